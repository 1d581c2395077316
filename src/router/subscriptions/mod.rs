//! From a topic to its subscribers, and from a filter to its retained messages.
//!
//! | module | owns |
//! |---|---|
//! | `table` | all subscriptions |
//! | `groups` | the groups of shared subscriptions |
//! | `matches` | cached matches of each thread |
//! | `retained` | the retained messages |

mod groups;
mod matches;
mod retained;
mod table;
#[cfg(test)]
mod tests;

pub use matches::Matched;
pub(crate) use matches::{MatchCache, Matching, Target};
pub(crate) use retained::{FoundRetained, Present, RetainedBounds, RetainedBy, RetainedStore};
pub(crate) use table::{Changes, Subscriptions};
