//! Rights that somebody else is asked about: a packet whose right is not known stays unhandled, and messages to the
//! client wait in its session, until the answer is known. Only this client waits. Answers about a packet are kept until
//! the packet is handled: the service's cache may forget them meanwhile.

use std::{sync::Arc, task::Waker};

use super::{
    super::{
        Router, RouterThread,
        ports::Right,
        publish::MOST_ASKED,
        sessions::{Access, Passed, SlotState},
    },
    answers::Asking,
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
        if let Some(asking) = self.asking_mut() {
            *asking = Asking::default();
        }
    }

    /// The answers about the packet that is handled now. Empty: its rights are not asked about.
    #[cold]
    pub(super) fn take_answers(&mut self) -> Vec<Option<bool>> {
        self.asking_mut().map_or_else(Vec::new, |asking| std::mem::take(&mut asking.answers))
    }

    fn asking_mut(&mut self) -> Option<&mut Asking> {
        self.awaited.as_mut()?.asking.as_deref_mut()
    }

    /// Does a packet wait for a right? Its connection is woken when that is known.
    pub fn waits_for_rights(&self) -> bool {
        self.awaited.as_ref().and_then(|awaited| awaited.asking.as_ref()).is_some_and(|asking| asking.waits)
    }
}

/// The right that each filter needs. `None`: it needs none.
fn rights_of<'a>(subscribe: &'a Subscribe<'_>) -> impl Iterator<Item = Option<Right<'a>>> {
    subscribe.filters.iter().map(|(filter, _)| match SharedFilter::of(filter) {
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
            Packet::Subscribe(subscribe) => self.knows_all(local, client, rights_of(&subscribe), handled),
            _ => Ok(true),
        }
    }

    /// Are these rights of the client known? Then [`take_answers`](Client::take_answers) has the answers. If not, its
    /// packet counts as not `handled`, and nothing more of it is handled until the connection is woken.
    #[cold]
    pub(super) fn knows_all<'r>(
        &self,
        local: &mut RouterThread,
        client: &mut Client,
        rights: impl IntoIterator<Item = Option<Right<'r>>>,
        handled: &mut Handled,
    ) -> Result<bool, CloseReason> {
        let (access, waker) = {
            let state = self.own(client)?;
            (state.access.clone(), state.waker().cloned())
        };
        // those of a packet that waited are kept
        let mut answers = if client.waits_for_rights() { client.take_answers() } else { Vec::new() };
        client.waits_no_more();
        let (Some(access), Some(waker)) = (access, waker) else { return Ok(true) };
        let mut unknown = 0;
        for (place, right) in rights.into_iter().enumerate() {
            if place == answers.len() {
                answers.push(None);
            }
            let (Some(right), None) = (right, answers[place]) else { continue };
            answers[place] = local.observers.call(Some(false), || access.ask(right, &waker));
            unknown += usize::from(answers[place].is_none());
            if unknown == AT_ONCE {
                break;
            }
        }
        let waits = unknown > 0;
        if let Some(asking) = client.asking_mut() {
            *asking = Asking { waits, answers };
        }
        if waits {
            *handled = Handled { frames: 0, bytes: 0 };
            local.work.spend();
        }
        Ok(!waits)
    }

    /// Decides about messages to the client that wait for its right to receive them, in their order, up to the first
    /// one whose topic is not known. `true`: enough are allowed, and the rest follows when these are sent.
    #[cold]
    pub(super) fn ask_about_deliveries(&self, local: &mut RouterThread, client: &mut Client) -> bool {
        for n in 0.. {
            let Ok(state) = self.own(client) else { return false };
            if state.session.has_enough_allowed() {
                return true;
            }
            let Some((number, message)) = state.session.first_unasked() else { return false };
            let (access, waker) = (state.access.clone(), state.waker().cloned());
            drop(state);
            // the connection ends, and its session keeps the messages
            if access.as_ref().is_some_and(|access| access.is_revoked()) {
                return false;
            }
            let Some(waker) = waker else { return false };
            if n == AT_ONCE {
                waker.wake();
                return false;
            }
            let topic = message.topic();
            let ask =
                |access: &Arc<Access>| local.observers.call(Some(false), || access.ask(Right::Receive(topic), &waker));
            let Some(may) = access.as_ref().map_or(Some(true), ask) else { return false };
            client.flush_due = true;
            if !may {
                if !self.together(|| self.refuse_delivery(local, client, number)) {
                    return false;
                }
            } else if let Ok(mut state) = self.own(client) {
                state.session.allow(number);
            }
        }
        false
    }

    /// Nothing is written that would bring the client's task back: what was allowed may have expired. Then the task is
    /// woken.
    #[cold]
    pub(super) fn ask_further(&self, client: &Client) {
        let Ok(state) = self.own(client) else { return };
        let waker = state.waker().filter(|_| !state.session.has_enough_allowed()).cloned();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// The client may not receive this message: it is dropped. If it is of a group, it goes to another member that may.
    ///
    /// Call it within a group of records, so that removal and delivery are stored together. `false`: the message is
    /// gone.
    fn refuse_delivery(&self, local: &mut RouterThread, client: &Client, number: u64) -> bool {
        let Ok(mut state) = self.own(client) else { return false };
        let SlotState { session, shared, access, .. } = &mut *state;
        let Some(moved) = session.refuse_unasked(number, &mut self.turn(local).journal) else { return false };
        let slot = &client.slot;
        let passed = shared.as_mut().and_then(|shared| shared.pass_on(slot, moved.clone()));
        match passed.filter(|Passed { group, not_to, .. }| not_to.len() < MOST_ASKED && group.has_others(slot)) {
            Some(passed) => {
                drop(state);
                passed.group.unstick(slot);
                self.move_to_others(local, &[passed]);
            }
            None => local.observers.may_not_receive(&client.id, access.as_deref(), moved.message.topic()),
        }
        true
    }
}
