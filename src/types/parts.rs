//! How the Client Identifiers of sessions begin that parts of the broker have: bridges, webhooks, file sinks. The name
//! of the part follows.

use super::ClientId;

/// Sessions of bridges.
pub const BRIDGES: &str = "$bridge/";
/// Sessions of durable webhooks.
pub const WEBHOOKS: &str = "$webhook/";
/// Sessions of file sinks.
pub const SINKS: &str = "$sink/";

/// Is it the session of such a part?
pub fn is_of_part(client: &ClientId) -> bool {
    [BRIDGES, WEBHOOKS, SINKS].iter().any(|begin| client.as_str().starts_with(begin))
}
