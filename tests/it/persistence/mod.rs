//! A broker with a disk, from the outside: what a restart keeps, what its log says, what it does with a directory that
//! it cannot use or a disk that is full. `tests/crash` kills it in the middle of traffic.
//!
//! | file | shows |
//! |---|---|
//! | `restart` | sessions, queues, in-flight messages, retained messages, Wills, expiry after an end, in peace or by SIGKILL |
//! | `retained` | retained messages that two clients set at once |
//! | `modes` | what the first lines say, and what each mode keeps and writes |
//! | `directory` | a data directory that is used, is none, is damaged or torn |
//! | `earlier_versions` | data directories of earlier versions |
//! | `full_disk` | a disk without room |
//! | `identifiers` | messages with Subscription Identifiers take no more room than those without |
//! | `small_disk` | how much of a disk is taken, and a disk that has little |
//! | `wills` | Wills of clients that are connected when the broker ends |
//! | `access` | what users and rules do to what was kept |
//! | `place` | a data directory and brokers on it |

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
