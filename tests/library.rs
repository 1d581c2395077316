//! The broker as a library: starting and ending it, and what an embedding program plugs in.

mod support;

#[path = "library/forward.rs"]
mod forward;
#[path = "library/lifetime.rs"]
mod lifetime;
#[path = "library/observe.rs"]
mod observe;
#[path = "library/permissions.rs"]
mod permissions;
#[path = "library/races.rs"]
mod races;
#[path = "library/store.rs"]
mod store;
