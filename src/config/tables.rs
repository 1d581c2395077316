//! All tables of keys but those of lists.

use super::{
    auth_keys::AUTH,
    keys::{HTTP, LIMITS, LOG, SYS, TOP, Table},
    settings::Config,
};

/// The tables, in the order of the reference.
pub(super) const TABLES: [&Table<Config>; 6] = [&TOP, &AUTH, &LOG, &HTTP, &LIMITS, &SYS];
