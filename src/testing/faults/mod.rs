//! Faults on the way between a client and the broker, packet by packet. The broker itself has none: a PUBACK that is
//! dropped was processed.
//!
//! | module | owns |
//! |---|---|
//! | `fault` | [`Fault`]: when, and what |
//! | `set` | the faults that are set; which of them hits |
//! | `lane` | packets that go one way |
//! | `wire` | the connection of one client, both ways |
//! | `tapped` | all connections go through the faults |
//! | `rewrite` | packets that are made or changed |
//! | `presets` | faults that belong together |

mod fault;
mod lane;
mod presets;
mod rewrite;
mod set;
mod tapped;
mod wire;

pub use fault::{Does, Fault, When};
pub(super) use presets::PRESETS;
pub use presets::preset;
pub(super) use set::Faults;
pub use set::Shown;
pub(super) use tapped::Tapped;
