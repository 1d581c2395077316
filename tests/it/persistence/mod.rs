//! A broker with a disk, from outside: the state after a restart, its log, and unusable directories and full disks.
//! `tests/crash` kills it during traffic.
//!
//! | file | shows |
//! |---|---|
//! | `restart` | sessions, queues, in-flight messages, retained messages, Wills and expiry after SIGTERM or SIGKILL |
//! | `retained` | retained messages that two clients set at once |
//! | `modes` | the first log lines, and the data that each mode stores |
//! | `directory` | a data directory that is in use, invalid, damaged or torn |
//! | `earlier_versions` | data directories of earlier versions |
//! | `full_disk` | a disk without room |
//! | `identifiers` | messages with Subscription Identifiers take no more room than those without |
//! | `small_disk` | the size of a data directory, and a small disk |
//! | `wills` | Wills of clients that are connected when the broker ends |
//! | `access` | the effect of users and rules on stored sessions |
//! | `place` | a data directory and the brokers that use it |

mod access;
mod directory;
mod earlier_versions;
mod full_disk;
mod identifiers;
mod modes;
mod place;
mod restart;
mod retained;
mod small_disk;
mod wills;
