//! The log over a simulated file layer with power cuts and faults, against a model of its content.

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
