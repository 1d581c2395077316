//! Two ends and a lossy link between them.
