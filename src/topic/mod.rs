//! Topic Names and Topic Filters (MQTT 3.1.1 section 4.7), and the two indexes over them. Pure: no clock, no locks, no
//! randomness; the seed of each index is an argument.
//!
//! | module | owns |
//! |---|---|
//! | `name` | [`TopicName`] and [`TopicFilter`]: text that is valid by type; the definition of "matches" |
//! | `shared` | [`SharedFilter`]: the parts of a shared subscription's filter |
//! | `subscriptions` | [`SubscriptionTrie`]: from a topic to its subscribers |
//! | `retained` | [`RetainedTree`]: from a filter to its retained messages |
//! | `tree` | the tree of levels that both are built on |
//! | `walk` | the state of interrupted walks |
//! | `exact` | the hash table of filters without a wildcard |
//! | `subscribers` | the subscribers of one filter, from one to very many |
//! | `hash`, `slab` | seeded hashing with tables of numbers, and storage by number |

mod exact;
mod hash;
mod name;
mod retained;
mod shared;
mod slab;
#[cfg(test)]
mod strategies;
mod subscribers;
mod subscriptions;
mod tree;
mod walk;

pub use name::{Levels, SHARE_PREFIX, TopicError, TopicFilter, TopicName};
pub use retained::RetainedTree;
pub use shared::{ShareError, SharedFilter};
pub use subscriptions::{Beginning, FilterId, Subscribed, SubscriptionTrie, TooMany};
pub use walk::{Place, Steps, Walked};
