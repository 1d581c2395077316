//! Lists subscriptions, and the subscribers of a topic.

use super::super::{Router, sessions::SlotRef};
use crate::{
    topic::{FilterId, Steps, TopicFilter, TopicName},
    types::{ClientId, QoS, SubscriptionOptions},
};

/// Filters that are looked up with the subscriptions locked once.
const FILTERS_A_STEP: usize = 256;

/// A subscription of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriptionView {
    /// The Topic Filter; of a shared subscription, with `$share/NAME/`.
    pub filter: Box<str>,
    /// The options of the subscription.
    pub options: SubscriptionOptions,
}

/// A client that would get a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriberView {
    /// The client; for a group, one of its members.
    pub client: ClientId,
    /// The Topic Filter of the group, one member of which gets the message. `None`: a subscription that is not shared.
    pub group: Option<Box<str>>,
    /// The highest QoS of the delivery.
    pub qos: QoS,
    /// Is it connected?
    pub connected: bool,
    /// Do the client's rights allow it to receive the message?
    pub may_receive: bool,
}

impl Router {
    /// The subscriptions of a client: `limit` of them behind the first `skip`, shared ones last. `None`: there is no
    /// session with this identifier.
    pub fn subscriptions_of(&self, client: &ClientId, skip: usize, limit: usize) -> Option<Vec<SubscriptionView>> {
        let slot = self.sessions.get(client)?;
        let (filters, groups, plain) = {
            let state = slot.lock();
            let all = state.session.subscriptions();
            let filters: Vec<FilterId> = all.iter().skip(skip).take(limit).copied().collect();
            let groups: Vec<_> = state.shared.iter().flat_map(|shared| shared.groups().cloned()).collect();
            (filters, groups, all.len())
        };
        let mut views = Vec::with_capacity(filters.len());
        for some in filters.chunks(FILTERS_A_STEP) {
            self.subscriptions.describe(some, &slot, |filter, options| {
                views.push(SubscriptionView { filter: filter.into(), options });
            });
        }
        let (skip, left) = (skip.saturating_sub(plain), limit.saturating_sub(views.len()));
        let shared = groups.iter().skip(skip).filter_map(|group| {
            let options = group.options_of(&slot)?;
            Some(SubscriptionView { filter: group.filter().into(), options })
        });
        views.extend(shared.take(left));
        Some(views)
    }

    /// The first `limit` clients that would get a message with this topic: subscribers, and a member of each group of
    /// shared subscriptions. Also returns their total number.
    pub fn subscribers(&self, topic: &TopicName, limit: usize) -> (Vec<SubscriberView>, usize) {
        let mut matching = self.subscriptions.begin_matching(topic);
        // nothing is locked between two steps
        while !self.subscriptions.go_on_matching(&mut matching, topic, &mut Steps::new(1_024)) {}
        let matched = matching.finish(topic);
        let mut views = Vec::new();
        for target in matched.targets.iter().take(limit) {
            views.extend(self.subscriber(topic, &target.slot, target.options.qos, None));
        }
        for group in matched.groups.iter().take(limit.saturating_sub(views.len())) {
            let Some(member) = group.any_member() else { continue };
            views.extend(self.subscriber(topic, &member.slot, member.options.qos, Some(group.filter())));
        }
        (views, matched.receivers)
    }

    fn subscriber(&self, topic: &TopicName, slot: &SlotRef, qos: QoS, group: Option<&str>) -> Option<SubscriberView> {
        let (client, connected, access) = {
            let state = slot.lock();
            if state.ended {
                return None;
            }
            (state.session.id().clone(), state.session.is_connected(), state.access.clone())
        };
        let may_receive = access.is_none_or(|access| access.may_receive(topic));
        Some(SubscriberView { client, group: group.map(Into::into), qos, connected, may_receive })
    }

    /// Number of clients that subscribe to exactly this filter; for a shared one, number of its group's members.
    pub fn subscribed_to(&self, filter: &TopicFilter) -> usize {
        match self.subscriptions.group(filter) {
            Some(group) => group.len(),
            None => self.subscriptions.subscribed_to(filter),
        }
    }
}
