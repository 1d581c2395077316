//! Selects clients by filters; copies what a list shows of each.

use std::{
    net::IpAddr,
    ops::ControlFlow,
    time::{Duration, Instant, SystemTime},
};

use ipnet::IpNet;
use serde_json::{Value, json};

use super::{
    call::Call,
    parameters::{Kind, Parameter, Query},
    schema::{Field, Is, Shape, field, nullable},
};
use crate::{
    router::{
        PeerAddress,
        inspect::{ClientView, Cursor, Drops, Flow, Holds, SESSIONS_A_STEP, Wanted},
    },
    types::{ClientId, ProtocolVersion},
};

/// The filters of clients.
pub(super) static FILTERS: [Parameter; 13] = [
    Parameter::new("client_id", Kind::Text, "This Client Identifier"),
    Parameter::new("prefix", Kind::Text, "Client Identifiers that begin so"),
    Parameter::new("user", Kind::Text, "Clients of this user"),
    Parameter::new("peer", Kind::Network, "Connected from this address or network"),
    Parameter::new("listener", Kind::Text, "Connected through this listener, by its address"),
    Parameter::new("protocol", Kind::Choice(&["3.1", "3.1.1", "5"]), "Speak this version of MQTT"),
    Parameter::new("subscribed_to", Kind::Filter, "Have exactly this subscription"),
    Parameter::new("queued_min", Kind::Number(0, u64::MAX), "With at least this many queued messages"),
    Parameter::new("inflight_min", Kind::Number(0, u64::MAX), "With at least this many messages in flight"),
    Parameter::new("dropped_min", Kind::Number(0, u64::MAX), "With at least this many dropped messages"),
    Parameter::new("idle_min", Kind::Duration, "Connected, without a packet for this time"),
    Parameter::new("connected_before", Kind::Time, "Connected since before then"),
    Parameter::new("connected_after", Kind::Time, "Connected at or after this time"),
];

/// Connected, away, or both.
pub(super) static STATE: [Parameter; 1] =
    [Parameter::new("state", Kind::Choice(&["connected", "away", "all"]), "Connected clients, those away, or all")];

/// A client as shown.
pub(super) static CLIENT: Shape = Shape { name: "Client", fields: &CLIENT_FIELDS };

pub(super) const CLIENT_FIELDS: [Field; 29] = [
    field("client_id", Is::Text),
    nullable("user", Is::Text),
    field("connected", Is::Flag),
    field("protocol", Is::Text),
    nullable("listener", Is::Text),
    nullable("peer", Is::Text),
    nullable("connected_at", Is::Time),
    nullable("last_packet_at", Is::Time),
    nullable("keep_alive", Is::Number),
    nullable("received_packets", Is::Number),
    nullable("received_messages", Is::Number),
    nullable("received_bytes", Is::Number),
    nullable("sent_packets", Is::Number),
    nullable("sent_messages", Is::Number),
    nullable("sent_bytes", Is::Number),
    field("kept", Is::Flag),
    nullable("session_expiry", Is::Number),
    nullable("ends_at", Is::Time),
    field("subscriptions", Is::Number),
    field("queued", Is::Number),
    field("queued_bytes", Is::Number),
    field("inflight", Is::Number),
    field("unreleased", Is::Number),
    field("dropped", Is::Number),
    field("dropped_queue_full", Is::Number),
    field("dropped_outbound_full", Is::Number),
    field("dropped_too_large", Is::Number),
    field("dropped_expired", Is::Number),
    field("has_will", Is::Flag),
];

/// The names of all fields of a client.
pub(super) const NAMES: [&str; CLIENT_FIELDS.len()] = {
    let mut names = [""; CLIENT_FIELDS.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = CLIENT_FIELDS[at].name;
        at += 1;
    }
    names
};

/// The fields that are numbers, by which a list may be sorted; `-` before one: largest first.
pub(super) const KEYS: [&str; 40] = {
    const NUMBERS: [&str; 20] = [
        "connected_at",
        "last_packet_at",
        "keep_alive",
        "received_packets",
        "received_messages",
        "received_bytes",
        "sent_packets",
        "sent_messages",
        "sent_bytes",
        "session_expiry",
        "subscriptions",
        "queued",
        "queued_bytes",
        "inflight",
        "unreleased",
        "dropped",
        "dropped_queue_full",
        "dropped_outbound_full",
        "dropped_too_large",
        "dropped_expired",
    ];
    const DOWN: [&str; 20] = [
        "-connected_at",
        "-last_packet_at",
        "-keep_alive",
        "-received_packets",
        "-received_messages",
        "-received_bytes",
        "-sent_packets",
        "-sent_messages",
        "-sent_bytes",
        "-session_expiry",
        "-subscriptions",
        "-queued",
        "-queued_bytes",
        "-inflight",
        "-unreleased",
        "-dropped",
        "-dropped_queue_full",
        "-dropped_outbound_full",
        "-dropped_too_large",
        "-dropped_expired",
    ];
    let mut keys = [""; 40];
    let mut at = 0;
    while at < 20 {
        (keys[at], keys[at + 20]) = (NUMBERS[at], DOWN[at]);
        at += 1;
    }
    keys
};

/// Copied fields of a visited client.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub client: ClientId,
    user: Option<Box<str>>,
    version: ProtocolVersion,
    listener: u16,
    connection: Option<Connection>,
    kept: bool,
    expiry: Option<Duration>,
    ends: Option<Instant>,
    holds: Holds,
    shared: usize,
    drops: Drops,
    has_will: bool,
}

#[derive(Clone, Debug)]
struct Connection {
    peer: PeerAddress,
    since: Instant,
    last_packet: Instant,
    keep_alive: u16,
    received: Flow,
    sent: Flow,
}

impl Row {
    pub fn of(view: &ClientView<'_>) -> Self {
        let session = &view.session;
        Self {
            client: view.client.clone(),
            user: view.user.map(Into::into),
            version: view.version,
            listener: view.listener,
            connection: view.connection.map(|c| Connection {
                peer: c.peer,
                since: c.since,
                last_packet: c.last_packet,
                keep_alive: c.keep_alive,
                received: c.received,
                sent: c.sent,
            }),
            kept: session.kept,
            expiry: session.expiry,
            ends: session.looked_at,
            holds: session.holds,
            shared: session.shared_subscriptions,
            drops: session.drops,
            has_will: session.will.is_some(),
        }
    }

    /// The client as shown.
    pub fn json(&self, call: &Call, listeners: &[(u16, String)]) -> Value {
        let connection = self.connection.as_ref();
        let name = listeners.iter().find(|(number, _)| *number == self.listener).map(|(_, name)| name);
        let drops = &self.drops;
        json!({
            "client_id": self.client.as_str(),
            "user": self.user,
            "connected": connection.is_some(),
            "protocol": self.version.to_string(),
            "listener": name,
            "peer": connection.map(|c| c.peer.to_string()),
            "connected_at": connection.map(|c| call.time(c.since)),
            "last_packet_at": connection.map(|c| call.time(c.last_packet)),
            "keep_alive": connection.map(|c| c.keep_alive),
            "received_packets": connection.map(|c| c.received.packets),
            "received_messages": connection.map(|c| c.received.messages),
            "received_bytes": connection.map(|c| c.received.bytes),
            "sent_packets": connection.map(|c| c.sent.packets),
            "sent_messages": connection.map(|c| c.sent.messages),
            "sent_bytes": connection.map(|c| c.sent.bytes),
            "kept": self.kept,
            "session_expiry": self.expiry.map(|expiry| expiry.as_secs()),
            "ends_at": self.ends.map(|at| call.time(at)),
            "subscriptions": self.subscriptions(),
            "queued": self.holds.queued,
            "queued_bytes": self.holds.queued_bytes,
            "inflight": self.holds.in_flight,
            "unreleased": self.holds.unreleased,
            "dropped": self.dropped(),
            "dropped_queue_full": drops.queue_full,
            "dropped_outbound_full": drops.outbound_full,
            "dropped_too_large": drops.too_large,
            "dropped_expired": drops.expired,
            "has_will": self.has_will,
        })
    }

    fn subscriptions(&self) -> usize {
        self.holds.subscriptions + self.shared
    }

    fn dropped(&self) -> u64 {
        let Drops { queue_full, outbound_full, too_large, expired, .. } = self.drops;
        queue_full + outbound_full + too_large + expired
    }

    /// The value of a field to sort by; `None`: this client has none.
    pub fn key(&self, name: &str, call: &Call) -> Option<u128> {
        let connection = self.connection.as_ref();
        let flow = |of: fn(&Connection) -> u64| connection.map(|c| of(c).into());
        let moment = |of: fn(&Connection) -> Instant| {
            let at = call.wall(of(connection?)).duration_since(SystemTime::UNIX_EPOCH).ok()?;
            Some(at.as_millis())
        };
        match name {
            "connected_at" => moment(|c| c.since),
            "last_packet_at" => moment(|c| c.last_packet),
            "keep_alive" => flow(|c| c.keep_alive.into()),
            "received_packets" => flow(|c| c.received.packets),
            "received_messages" => flow(|c| c.received.messages),
            "received_bytes" => flow(|c| c.received.bytes),
            "sent_packets" => flow(|c| c.sent.packets),
            "sent_messages" => flow(|c| c.sent.messages),
            "sent_bytes" => flow(|c| c.sent.bytes),
            // a session without an expiry sorts last
            "session_expiry" => Some(self.expiry.map_or(u128::MAX, |expiry| expiry.as_millis())),
            "subscriptions" => Some(self.subscriptions() as u128),
            "queued" => Some(self.holds.queued as u128),
            "queued_bytes" => Some(self.holds.queued_bytes as u128),
            "inflight" => Some(self.holds.in_flight as u128),
            "unreleased" => Some(self.holds.unreleased as u128),
            "dropped" => Some(self.dropped().into()),
            "dropped_queue_full" => Some(self.drops.queue_full.into()),
            "dropped_outbound_full" => Some(self.drops.outbound_full.into()),
            "dropped_too_large" => Some(self.drops.too_large.into()),
            "dropped_expired" => Some(self.drops.expired.into()),
            _ => None,
        }
    }
}

/// The filters of a request.
pub(super) struct Selection {
    wanted: Wanted,
    client_id: Option<String>,
    prefix: Option<String>,
    user: Option<String>,
    peer: Option<IpNet>,
    listener: Option<u16>,
    version: Option<String>,
    subscribed_to: Option<String>,
    least: [Option<u64>; 3],
    /// Time of the last packet at the latest.
    quiet_since: Option<Instant>,
    connected: [Option<SystemTime>; 2],
}

impl Selection {
    /// `otherwise`: the state if the request has none.
    pub fn of(query: &Query, otherwise: Wanted, call: &Call) -> Self {
        let text = |name| query.text(name).map(str::to_owned);
        let number = |name: &str| call.desk.control.listeners().into_iter().find(|(_, known)| known == name);
        let before = |ago: Duration| call.state.clock.now().checked_sub(ago);
        Self {
            wanted: match query.text("state") {
                Some("connected") => Wanted::Connected,
                Some("away") => Wanted::Away,
                Some(_) => Wanted::All,
                None => otherwise,
            },
            client_id: text("client_id"),
            prefix: text("prefix"),
            user: text("user"),
            peer: query.network("peer"),
            // a listener that is not open has no clients
            listener: query.text("listener").map(|name| number(name).map_or(u16::MAX, |(number, _)| number)),
            version: text("protocol"),
            subscribed_to: text("subscribed_to"),
            least: ["queued_min", "inflight_min", "dropped_min"].map(|name| query.number(name)),
            quiet_since: query.duration("idle_min").and_then(before),
            connected: ["connected_before", "connected_after"].map(|name| query.time(name)),
        }
    }

    /// Checks all filters but subscriptions, which are looked up with nothing locked.
    fn has(&self, view: &ClientView<'_>, call: &Call) -> bool {
        let holds = &view.session.holds;
        let Drops { queue_full, outbound_full, too_large, expired, .. } = view.session.drops;
        let counts = [holds.queued as u64, holds.in_flight as u64, queue_full + outbound_full + too_large + expired];
        let enough = self.least.iter().zip(counts).all(|(least, count)| least.is_none_or(|least| count >= least));
        let is = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|wanted| wanted == is);
        let connection = view.connection.as_ref();
        let peer = |network: &IpNet| match connection.map(|c| c.peer) {
            Some(PeerAddress::Ip(peer)) => {
                let peer: IpAddr = peer.ip();
                network.contains(&peer) || network.contains(&peer.to_canonical())
            }
            _ => false,
        };
        let [before, after] = self.connected;
        let since = |holds: &dyn Fn(SystemTime) -> bool| connection.is_some_and(|c| holds(call.wall(c.since)));
        enough
            && is(&self.client_id, view.client.as_str())
            && self.prefix.as_ref().is_none_or(|prefix| view.client.as_str().starts_with(prefix.as_str()))
            && self.user.as_ref().is_none_or(|user| view.user == Some(user.as_str()))
            && self.listener.is_none_or(|listener| listener == view.listener)
            && self.version.as_ref().is_none_or(|version| view.version.to_string() == *version)
            && self.peer.as_ref().is_none_or(peer)
            && self.quiet_since.is_none_or(|quiet| connection.is_some_and(|c| c.last_packet <= quiet))
            && before.is_none_or(|before| since(&|at| at < before))
            && after.is_none_or(|after| since(&|at| at >= after))
    }

    fn is_subscribed(&self, client: &ClientId, call: &Call) -> bool {
        let Some(wanted) = &self.subscribed_to else { return true };
        let mut skip = 0;
        while let Some(some) = call.router().subscriptions_of(client, skip, SUBSCRIPTIONS_A_STEP) {
            if some.iter().any(|subscription| *subscription.filter == **wanted) {
                return true;
            }
            if some.len() < SUBSCRIPTIONS_A_STEP {
                break;
            }
            skip += some.len();
        }
        false
    }

    /// Visits at most `limit` selected clients after `after`. Returns the next position. Other tasks have turns between
    /// two steps.
    pub async fn walk(&self, call: &Call, after: Cursor, limit: usize, mut each: impl FnMut(Row)) -> Option<Cursor> {
        let router = call.router().clone();
        if let Some(one) = &self.client_id {
            let row = router.client(&ClientId::from(one.as_str()), |view| {
                let is_wanted = match self.wanted {
                    Wanted::All => true,
                    Wanted::Connected => view.connection.is_some(),
                    Wanted::Away => view.connection.is_none(),
                };
                (is_wanted && self.has(view, call)).then(|| Row::of(view))
            });
            row.flatten().filter(|row| self.is_subscribed(&row.client, call)).into_iter().for_each(each);
            return None;
        }
        let (mut next, mut left) = (Some(after), limit);
        while let Some(after) = next.filter(|_| left > 0) {
            let mut found = Vec::new();
            next = router.clients(after, self.wanted, left.min(SESSIONS_A_STEP), &mut |view| {
                if self.has(view, call) {
                    found.push(Row::of(view));
                }
                ControlFlow::Continue(())
            });
            for row in found.into_iter().filter(|row| self.is_subscribed(&row.client, call)) {
                left -= 1;
                each(row);
            }
            tokio::task::yield_now().await;
        }
        next
    }
}

const SUBSCRIPTIONS_A_STEP: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sort_key_is_a_shown_field() {
        assert!(KEYS.iter().all(|key| NAMES.contains(&key.trim_start_matches('-'))));
        assert!(CLIENT.fields.iter().filter(|field| field.is == Is::Number).all(|field| KEYS.contains(&field.name)));
        for shared in [STATE[0].name, "limit"] {
            assert!(!FILTERS.iter().any(|filter| filter.name == shared));
        }
    }
}
