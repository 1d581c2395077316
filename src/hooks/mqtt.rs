//! [`Published`]: events as MQTT messages to topics that begin with `$events/` (`sys.events`).

use std::sync::Arc;

use super::{choice::Choice, event::Teller};
use crate::{
    clock::Clock,
    inside::{Inside, Publication},
    router::inspect::{EventStream, EventStreams},
    types::{ClientId, PayloadForm, Told, percent_encode},
};

/// Publishes events.
pub(super) struct Published {
    inside: Arc<Inside>,
    teller: Teller,
    clock: Clock,
}

/// The begin of the topics.
const TOPICS: &str = "$events";
/// The name of the event that reports lost events.
const LOST: &str = "events.lost";
/// Largest number of events before other tasks of the thread have a turn.
const TURN: usize = 64;

impl Published {
    pub(super) fn new(inside: Arc<Inside>, teller: Teller, clock: Clock) -> Self {
        Self { inside, teller, clock }
    }

    /// Publishes the events that are not about messages, until the task ends. It misses no event that happens after the
    /// call.
    pub(super) fn run(self: &Arc<Self>, events: &Arc<EventStreams>) -> impl Future<Output = ()> + Send + 'static {
        let choice = Choice::of_all(Told::WORDS.iter().map(|(_, told)| *told).filter(|told| !told.is_of_message()));
        let events = events.open(choice.kinds(PayloadForm::None));
        self.clone().publish_all(choice, events)
    }

    async fn publish_all(self: Arc<Self>, choice: Choice, mut events: EventStream) {
        let (mut taken, mut reported) = (0_usize, 0);
        loop {
            let happened = events.recv().await;
            let lost = events.lost();
            if lost > reported {
                let request = self.teller.request("events", lost);
                self.publish(LOST, None, self.teller.lost(lost - reported, &request, self.clock.wall()));
                reported = lost;
            }
            if let Some(told) = choice.told(&happened) {
                let text = self.teller.of(told, &happened, self.clock.wall());
                self.publish(told.name(), happened.client.as_ref(), text);
            }
            taken += 1;
            if taken.is_multiple_of(TURN) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Publishes an event of the broker itself.
    pub(super) fn tell(&self, told: Told) {
        self.publish(told.name(), None, self.teller.of_broker(told, self.clock.wall()));
    }

    fn publish(&self, name: &str, client: Option<&ClientId>, text: String) {
        let topic = topic_of(name, client);
        if let Err(error) = self.inside.publish_at_once(Publication::new(&*topic, text)) {
            tracing::debug!(target: "dunlin::hooks", topic, %error, "an event is not published");
        }
    }
}

fn topic_of(name: &str, client: Option<&ClientId>) -> String {
    let mut topic = format!("{TOPICS}/{}", name.replace('.', "/"));
    if let Some(client) = client {
        topic.push('/');
        percent_encode(client.as_str().as_bytes(), &mut topic);
    }
    topic
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_of_events_have_the_name_and_the_encoded_client() {
        let client = ClientId::from("a/+#%ä");
        assert_eq!(topic_of("client.connected", Some(&client)), "$events/client/connected/a%2F%2B%23%25%C3%A4");
        assert_eq!(topic_of("broker.started", None), "$events/broker/started");
    }
}
