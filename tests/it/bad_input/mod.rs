//! Promise 5: bad bytes close one connection, with a reason in the log; they never touch another client, never panic,
//! never grow memory past the configured packet limit.
//!
//! | file | shows |
//! |---|---|
//! | `bytes` | malformed packets, truncations, flipped bits, random bytes |
//! | `lengths` | wrong lengths, and the limit on packets |
//! | `slow` | clients that stall, trickle, or do not read |
//! | `process` | the same against the binary: its log and its memory |
//! | `clients` | a broker, well-behaved clients and malicious ones |

mod bytes;
mod clients;
mod lengths;
mod process;
mod slow;
