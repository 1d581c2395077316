//! One connection, from its first byte to its end.
//!
//! | module | owns |
//! |---|---|
//! | `task` | [`Connection`]: how far it has come |
//! | `turn` | what its task does each time that it is woken; its reading half |
//! | `behind` | work left from earlier turns |
//! | `reader` | bytes from a socket, cut into whole frames |
//! | `writing` | its writing half |
//! | `connecting` | memory held before CONNACK |
//! | `admission`, `waiting` | between CONNECT and CONNACK |
//! | `authentication` | exchanges of AUTH packets, before CONNACK and after |
//! | `refusal` | tells a client that it is refused |
//! | `health` | the connections of `dunlin health` |
//! | `ending` | its end |
//! | `traced` | records its packets for traces |
//! | `draining`, `farewell` | its last turns, when the server shuts down |

mod admission;
mod authentication;
mod behind;
mod connecting;
pub(crate) mod draining;
mod ending;
mod farewell;
mod health;
mod pacing;
mod reader;
mod refusal;
mod task;
mod traced;
mod turn;
mod waiting;
mod writing;

pub use health::HEALTH_CHECK;
pub(crate) use reader::SHARED_BUFFER;
pub(crate) use task::Connection;
