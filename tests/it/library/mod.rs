//! The broker as a library: starting and ending it, and what an embedding program plugs in.

mod authentication;
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
