//! MQTT 5 over a raw socket: the statements that a server must meet. `coverage` checks the table of all statements,
//! `../mqtt5-statements.tsv`, whose column `test` names the tests that show a statement.

mod coverage;

mod acknowledgements;
mod authentication;
mod connect;
mod delivery;
mod disconnect;
mod expiry;
mod malformed;
mod publish;
mod receive;
mod restart;
mod retained;
mod server_says;
mod shared;
mod subscribe;
mod take_over;
mod transport;
mod versions;
mod will;
mod will_delay;

use super::case::Case;
use crate::support::{
    Broker,
    five::{Connect, Five, Properties},
};

impl Case {
    /// A client of MQTT 5 with Clean Start 1, whose session ends with its connection.
    #[track_caller]
    fn five(&self, role: &str) -> Five {
        self.accepted(&Connect::new(&self.id(role)), 0)
    }

    /// One that is accepted with this Session Present flag, with Clean Start 0 and a session that lasts.
    #[track_caller]
    fn lasting(&self, role: &str, session_present: u8) -> Five {
        self.accepted(&Connect::new(&self.id(role)).lasting(1_000), session_present)
    }

    /// One with these properties in its CONNECT.
    #[track_caller]
    fn says(&self, role: &str, properties: Properties) -> Five {
        self.accepted(&Connect::new(&self.id(role)).with(properties), 0)
    }

    #[track_caller]
    fn accepted(&self, connect: &Connect, session_present: u8) -> Five {
        Five::accepted(self.address(), connect, session_present)
    }
}

/// A client of MQTT 5 of a broker of the test's own.
#[track_caller]
fn client_of(broker: &Broker, id: &str) -> Five {
    Five::accepted(broker.address(), &Connect::new(id), 0)
}
