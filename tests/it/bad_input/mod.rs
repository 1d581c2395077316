//! Promise 5: bad bytes close one connection, with a reason in the log; they never touch another client, never panic,
//! never grow memory past the configured packet limit.
//!
//! | file | shows |
//! |---|---|
//! | `bytes` | malformed packets, truncations, flipped bits, random bytes |
//! | `lengths` | lengths that lie, and the limit on packets |
//! | `slow` | clients that stall, trickle, or do not read |
//! | `process` | the same against the binary: what its log says, what its memory does |
//! | `clients` | a broker, clients that do nothing wrong beside the bad ones |

mod bytes;
mod clients;
mod lengths;
mod process;
mod slow;
