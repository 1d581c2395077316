//! Publishing that takes several turns: [`Publishing`] is a message whose publishing was interrupted, and [`Leave`]
//! says where that is allowed.
//!
//! A client's PUBLISH may be interrupted: at QoS 0 and 1 while it is matched and while it is delivered; at QoS 2 only
//! while it is matched, because its store records form one group with its receipt. Messages without a connection
//! (Wills, `$SYS`, QoS 2 messages that waited for a place) are published in one turn.

use std::sync::Arc;

use super::{
    super::{
        Router, RouterThread,
        sessions::Version,
        subscriptions::{Matched, Matching},
    },
    sender::Sender,
};
use crate::{
    codec::ReasonCode,
    session::{Message, Outgoing, Stored},
    topic::Steps,
    types::QoS,
};

/// Where publishing may be interrupted, and where it was.
#[derive(Debug)]
pub(crate) struct Leave {
    at: LeaveAt,
    left: Option<Box<Publishing>>,
    outcome: ReasonCode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeaveAt {
    Nowhere,
    Matching,
    Anywhere,
}

/// A client's message whose publishing was interrupted.
#[derive(Debug)]
pub(crate) struct Publishing {
    /// With the QoS at which it is offered to subscriptions.
    message: Message,
    /// The QoS it was published at.
    qos: QoS,
    retain: bool,
    /// When the records so far are durable.
    stored: Stored,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The subscribers are being looked for. `permissions`: the version of the rules that admitted it; `None`: the next
    /// message of the topic must be admitted again.
    MatchFirst { matching: Matching, permissions: Option<Version> },
    /// It is retained. The subscribers are looked for again, because some subscribed meanwhile.
    MatchAgain { matching: Matching },
    /// Subscribers before the index `next` have it.
    Deliver { matched: Arc<Matched>, next: usize },
}

/// The result of a step.
pub(crate) enum Step {
    /// The message is published.
    Done(Stored),
    /// The subscribers are found.
    Matched(Arc<Matched>),
    /// There is more to do.
    Left,
}

impl Leave {
    /// It must be published in one step.
    pub(crate) fn nowhere() -> Self {
        Self { at: LeaveAt::Nowhere, left: None, outcome: ReasonCode::Success }
    }

    /// It may be interrupted before it has any effect.
    pub(crate) fn while_matching() -> Self {
        Self { at: LeaveAt::Matching, left: None, outcome: ReasonCode::Success }
    }

    /// It may be interrupted at each step.
    pub(crate) fn anywhere() -> Self {
        Self { at: LeaveAt::Anywhere, left: None, outcome: ReasonCode::Success }
    }

    /// The Reason Code for the publisher in MQTT 5.
    #[inline]
    pub(crate) fn outcome(&self) -> ReasonCode {
        self.outcome
    }

    #[inline]
    pub(super) fn set_outcome(&mut self, outcome: ReasonCode) {
        self.outcome = outcome;
    }

    /// Was it interrupted?
    #[inline]
    pub(crate) fn is_left(&self) -> bool {
        self.left.is_some()
    }

    /// Takes the interrupted message.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Box<Publishing>> {
        self.left.take()
    }

    #[inline]
    pub(super) fn may_match_in_steps(&self) -> bool {
        self.at != LeaveAt::Nowhere
    }

    #[inline]
    pub(super) fn may_deliver_in_steps(&self) -> bool {
        self.at == LeaveAt::Anywhere
    }

    #[cold]
    pub(super) fn match_first(&mut self, matching: Matching, permissions: Option<Version>, outgoing: &Outgoing<'_>) {
        self.leave(outgoing, Stored::Done, Stage::MatchFirst { matching, permissions });
    }

    #[cold]
    pub(super) fn match_again(&mut self, matching: Matching, stored: Stored, outgoing: &Outgoing<'_>) {
        self.leave(outgoing, stored, Stage::MatchAgain { matching });
    }

    #[cold]
    pub(super) fn deliver(&mut self, matched: Arc<Matched>, stored: Stored, outgoing: &Outgoing<'_>) {
        self.leave(outgoing, stored, Stage::Deliver { matched, next: 0 });
    }

    fn leave(&mut self, outgoing: &Outgoing<'_>, stored: Stored, stage: Stage) {
        let (message, qos, retain) = (outgoing.message().clone(), outgoing.qos, outgoing.retain);
        self.left = Some(Box::new(Publishing { message, qos, retain, stored, stage }));
    }
}

impl Publishing {
    /// The message as its client sent it.
    pub(crate) fn outgoing<'a>(&'a self, sender: Sender<'a>) -> Outgoing<'a> {
        let mut outgoing =
            Outgoing::from(&self.message).with_retain(self.retain).with_sender(sender.client, sender.user);
        outgoing.qos = self.qos;
        outgoing
    }
}

impl Router {
    /// Continues a message as far as this turn allows. `last`: see [`publish_from`](Self::publish_from).
    ///
    /// Call it within a group of records.
    pub(crate) fn publish_step(
        &self,
        local: &mut RouterThread,
        sender: Sender<'_>,
        last: &mut Option<Arc<Matched>>,
        publishing: &mut Publishing,
    ) -> Step {
        let Publishing { message, retain, stored, stage, .. } = publishing;
        let outgoing = Outgoing::from(&*message).with_retain(*retain).with_sender(sender.client, sender.user);
        loop {
            match stage {
                Stage::MatchFirst { matching, .. } | Stage::MatchAgain { matching } => {
                    let mut steps = Steps::new(local.work.nodes_left());
                    let is_whole = self.subscriptions.go_on_matching(matching, outgoing.topic, &mut steps);
                    local.work.add_nodes(steps.taken() as usize);
                    if !is_whole {
                        return Step::Left;
                    }
                    let matched = matching.finish(outgoing.topic);
                    local.cache.add(&matched);
                    if let Stage::MatchFirst { permissions, .. } = stage {
                        // a remembered admission is by the current rules
                        *last = (*permissions == Some(self.permissions.version())).then(|| matched.clone());
                        return Step::Matched(matched);
                    }
                    *stage = Stage::Deliver { matched, next: 0 };
                }
                Stage::Deliver { matched, next } => {
                    // first the targets, then the groups
                    let (begin, all) = (*next, matched.targets.len());
                    *next = matched.receivers.min(begin + local.work.deliveries_left() as usize);
                    let targets = &matched.targets[begin.min(all)..(*next).min(all)];
                    let groups = &matched.groups[begin.max(all) - all..(*next).max(all) - all];
                    *stored = stored.and(self.deliver(local, matched, targets, groups, &outgoing));
                    return if *next < matched.receivers { Step::Left } else { Step::Done(*stored) };
                }
            }
        }
    }

    /// Drops an interrupted message, because its connection has ended.
    pub(crate) fn give_up_publishing(&self, publishing: Publishing) {
        if let Stage::MatchFirst { matching, .. } | Stage::MatchAgain { matching } = publishing.stage {
            self.subscriptions.give_up_matching(matching);
        }
    }
}
