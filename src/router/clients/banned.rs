//! Refuses banned clients, and finds clients that reconnect too often.

use std::net::IpAddr;

use super::super::{
    Router, RouterThread,
    ports::{Peer, PeerAddress, SessionOwner},
    sessions::{BanTarget, SlotRef},
    thread::Count,
};
use crate::{
    codec::ReasonCode,
    session::{ByAdministrator, CloseReason},
    types::{ClientId, Frequency},
};

impl Router {
    /// Refuses a client that is banned.
    #[inline]
    pub(super) fn refuse_banned(
        &self,
        local: &RouterThread,
        client: &ClientId,
        user: Option<&str>,
        peer: Peer,
    ) -> Result<(), CloseReason> {
        if self.bans.any() { self.look_for_ban(local, client, user, peer) } else { Ok(()) }
    }

    /// The same after login, when the user is known and, with `whose`, proved. A client that reconnects too often is
    /// banned here.
    #[inline]
    pub(super) fn refuse_unwelcome(
        &self,
        local: &RouterThread,
        client: &ClientId,
        (user, whose): (Option<&str>, Option<&SessionOwner>),
        peer: Peer,
    ) -> Result<(), CloseReason> {
        if let (Some(may), Some(whose)) = (local.limits.reconnects, whose) {
            self.note_reconnect(local, client, whose.user.as_str(), may);
        }
        self.refuse_banned(local, client, user, peer)
    }

    #[cold]
    fn look_for_ban(
        &self,
        local: &RouterThread,
        client: &ClientId,
        user: Option<&str>,
        peer: Peer,
    ) -> Result<(), CloseReason> {
        let Some(ban) = self.bans.find(client.as_str(), user, network_address(peer.address), local.observers.now)
        else {
            return Ok(());
        };
        local.count(Count::RefusedBanned, 1);
        let colon = if ban.reason.is_empty() { "" } else { ": " };
        let why = format!("banned by {} ({}){colon}{}", ban.by, ban.target, ban.reason);
        Err(CloseReason::Refused { code: ReasonCode::Banned, why: why.into() })
    }

    /// A client was banned during its login, perhaps before its session could be found: closes its connection.
    #[cold]
    pub(super) fn close_if_banned(&self, local: &mut RouterThread, slot: &SlotRef) {
        let mut state = slot.lock();
        let Some(presence) = state.presence() else { return };
        let (user, address) = (presence.user().map(|user| user.as_str()), network_address(presence.peer()));
        let ban = self.bans.find(state.session.id().as_str(), user, address, local.observers.now);
        if let Some(ban) = ban {
            state.close(CloseReason::Administrator(Box::new(ByAdministrator::new(&ban.by, &ban.reason))));
            slot.signal(&state, &mut local.wakes);
        }
    }

    /// A client of this user has logged in: bans it if it reconnects too often.
    #[cold]
    fn note_reconnect(&self, local: &RouterThread, client: &ClientId, user: &str, may: Frequency) {
        if self.reconnects.are_too_many(user, client.as_str(), may, local.observers.now)
            && let Some(flaps) = self.flaps.get()
        {
            flaps(BanTarget { user: Some(user.into()), ..BanTarget::client(client.as_str()) });
        }
    }
}

/// The address for bans of networks; `None`: a Unix socket.
pub(crate) fn network_address(peer: PeerAddress) -> Option<IpAddr> {
    match peer {
        PeerAddress::Ip(address) => Some(address.ip()),
        PeerAddress::Unix => None,
    }
}
