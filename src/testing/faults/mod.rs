//! Faults between client and broker, packet by packet. The broker itself has none: it has processed a PUBACK that is
//! dropped.
//!
//! | module | owns |
//! |---|---|
//! | `fault` | [`Fault`]: a condition and an effect |
//! | `set` | the faults that are set; selects the one that hits |
//! | `lane` | one direction of a connection |
//! | `longest` | sizes of the largest packets that can have faults |
//! | `wire` | the connection of one client |
//! | `tapped` | puts a wire into every connection |
//! | `rewrite` | builds and changes packets |
//! | `presets` | named groups of faults |

mod fault;
mod lane;
mod longest;
mod presets;
mod rewrite;
mod set;
mod tapped;
mod wire;

pub use fault::{Does, Fault, When};
pub(super) use longest::Longest;
pub(super) use presets::PRESETS;
pub use presets::preset;
pub(super) use set::Faults;
pub use set::Shown;
pub(super) use tapped::Tapped;
