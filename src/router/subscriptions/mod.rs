//! Who gets what is published.
//!
//! | module | owns |
//! |---|---|
//! | `table` | who subscribes to what |
//! | `groups` | which groups of shared subscriptions there are |
//! | `matches` | remembered answers to "who gets this topic" |
//! | `retained` | the retained messages |

mod groups;
mod matches;
mod retained;
mod table;
#[cfg(test)]
mod tests;

pub use matches::Matched;
pub(crate) use matches::{MatchCache, Matching, Target};
pub(crate) use retained::{Present, RetainedBounds, RetainedStore};
pub(crate) use table::{Changes, Subscriptions};
