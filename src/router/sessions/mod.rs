//! The router's state of each session, in addition to its Session State.
//!
//! | module | owns |
//! |---|---|
//! | `slot` | the place of one session, and the connection attached to it |
//! | `presence` | figures of its connection, for inspection |
//! | `rights` | the user of its client, and its rights |
//! | `owners` | how many sessions each user has |
//! | `waiting` | a Will with a delay |
//! | `map` | all sessions; connected clients; timers of sessions |
//! | `by_client` | which session has a Client Identifier |
//! | `group` | one group of shared subscriptions: its members, and whose turn it is |
//! | `ring` | which member of a group a key belongs to |
//! | `memberships` | the groups of one session |
//! | `permissions` | whether users and rules changed |
//! | `bans` | banned clients |
//! | `reconnects` | which clients come back too often |

mod bans;
mod by_client;
mod group;
mod map;
mod memberships;
mod owners;
mod permissions;
mod presence;
mod reconnects;
mod rights;
mod ring;
mod slot;
mod waiting;

pub(crate) use bans::Bans;
pub use bans::{Ban, BanTarget, MOST_BANS, TooManyBans};
pub(crate) use group::Standing;
pub(crate) use map::{Expired, Sessions};
pub use owners::SHARE_AT_LEAST;
pub(crate) use permissions::{Permissions, Version};
pub use presence::Flow;
pub(crate) use presence::{Moments, Presence, Tick};
pub(crate) use reconnects::Reconnects;
pub(crate) use rights::{Access, NoEvents, is_of_events};
pub(crate) use slot::SlotState;
pub use slot::{ConnectionId, SlotRef};
pub(crate) use waiting::{ExpiryKey, Looked};

/// A group of a shared subscription.
pub(crate) type GroupRef = group::GroupRef<SlotRef>;

/// A message of a group that goes from one member to another.
pub(crate) type Passed = memberships::Passed<SlotRef>;

/// A session in a group.
pub(crate) type Member = group::Member<SlotRef>;
