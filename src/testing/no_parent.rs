//! The parent process, on systems that do not report its end.

use std::{future, io};

/// The parent process.
pub struct Parent;

/// The parent process.
pub fn parent() -> io::Result<Option<Parent>> {
    Ok(Some(Parent))
}

impl Parent {
    /// Never completes.
    pub async fn ended(&self) {
        future::pending().await
    }
}
