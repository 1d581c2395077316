//! Rights that somebody else is asked about: a packet whose right is not known stays unhandled, and messages to the
//! client wait in its session, until the answer is known. Only this client waits.

use std::sync::Arc;

use super::{
    super::{Router, RouterThread, ports::Right, sessions::Access},
    client::Client,
    handled::Handled,
};
use crate::{
    codec::{self, Frame, Packet, PacketType, Subscribe},
    session::CloseReason,
    topic::SharedFilter,
};

/// Messages that are asked about, or refused, in one call.
const AT_ONCE: usize = 64;

impl Client {
    /// Are its rights asked about elsewhere?
    #[inline]
    pub(crate) fn asks(&self) -> bool {
        self.awaited.as_ref().is_some_and(|awaited| awaited.asking.is_some())
    }

    /// No packet waits for a right.
    pub(super) fn waits_no_more(&mut self) {
        if let Some(asking) = self.awaited.as_mut().and_then(|awaited| awaited.asking.as_mut()) {
            *asking = false;
        }
    }

    /// Does a packet wait for a right? Its connection is woken when that is known.
    pub fn waits_for_rights(&self) -> bool {
        self.awaited.as_ref().is_some_and(|awaited| awaited.asking == Some(true))
    }
}

/// The right that each filter needs.
pub(super) fn filters_of<'a>(subscribe: &'a Subscribe<'_>) -> impl Iterator<Item = Right<'a>> {
    subscribe.filters.iter().filter_map(|(filter, _)| match SharedFilter::of(filter) {
        None => Some(Right::Subscribe(filter)),
        Some(Ok(shared)) => Some(Right::Subscribe(shared.filter)),
        // refused in any case
        Some(Err(_)) => None,
    })
}

impl Router {
    /// Are the rights known that this packet needs? See [`knows_all`](Self::knows_all).
    #[cold]
    pub(super) fn may_handle(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        frame: Frame<'_>,
        handled: &mut Handled,
    ) -> Result<bool, CloseReason> {
        if frame.first >> 4 != PacketType::Subscribe as u8 {
            return Ok(true);
        }
        match codec::decode_from_client(client.version, frame)? {
            Packet::Subscribe(subscribe) => self.knows_all(local, client, filters_of(&subscribe), handled),
            _ => Ok(true),
        }
    }

    /// Are these rights of the client known? If not, its packet counts as not `handled`, and nothing more of it is
    /// handled until the connection is woken.
    #[cold]
    pub(super) fn knows_all<'r>(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        rights: impl IntoIterator<Item = Right<'r>>,
        handled: &mut Handled,
    ) -> Result<bool, CloseReason> {
        let (access, waker) = {
            let state = self.own(client)?;
            (state.access.clone(), state.waker().cloned())
        };
        client.waits_no_more();
        let (Some(access), Some(waker)) = (access, waker) else { return Ok(true) };
        let is_unknown = |right: &Right<'_>| local.observers.call(Some(false), || access.ask(*right, &waker)).is_none();
        let waits = rights.into_iter().filter(is_unknown).take(AT_ONCE).count() > 0;
        if let Some(awaited) = &mut client.awaited {
            awaited.asking = Some(waits);
        }
        if waits {
            *handled = Handled { frames: 0, bytes: 0 };
            local.work.spend();
        }
        Ok(!waits)
    }

    /// Decides about messages to the client that wait for its right to receive them, in their order, up to the first
    /// one whose topic is not known.
    #[cold]
    pub(super) fn ask_about_deliveries(&self, local: &mut RouterThread, client: &mut Client) {
        for n in 0.. {
            let Ok(state) = self.own(client) else { return };
            let Some((number, message)) = state.session.first_unasked() else { return };
            let (access, waker) = (state.access.clone(), state.waker().cloned());
            drop(state);
            // the connection ends, and its session keeps the messages
            if access.as_ref().is_some_and(|access| access.is_revoked()) {
                return;
            }
            let Some(waker) = waker else { return };
            if n == AT_ONCE {
                return waker.wake();
            }
            let topic = message.topic();
            let ask =
                |access: &Arc<Access>| local.observers.call(Some(false), || access.ask(Right::Receive(topic), &waker));
            let Some(may) = access.as_ref().map_or(Some(true), ask) else { return };
            client.flush_due = true;
            let Ok(mut state) = self.own(client) else { return };
            if may {
                state.session.allow(number);
            } else if state.session.refuse_unasked(number, &mut self.turn(local).journal) {
                local.observers.may_not_receive(&client.id, access.as_deref(), topic);
            }
        }
    }
}
