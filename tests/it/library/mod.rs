//! The broker as a library: start, end, and plug-ins of an embedding program.

mod authentication;
mod bans;
mod forward;
mod inside;
mod inspection;
mod lifetime;
mod observe;
mod panics;
mod permissions;
mod races;
mod store;
mod users;
mod versions;
