//! The log over a file layer that loses power and breaks, against a model of what it keeps.

mod cleaning;
mod crashes;
mod damage;
mod driving;
mod faults;
mod holding;
mod model;
pub(crate) mod simulated;
pub(crate) mod stepped;
mod threads;
mod tools;
pub(super) mod world;
