//! Hooks: decides who may connect, publish, subscribe and leave a Will, and prints events. Run it with `cargo run
//! --example hooks`.

use std::{sync::Arc, time::Duration};

use dunlin::{
    Authenticate, Authorize, Builder, ClientId, Config, Credentials, Event, Identity, Observe, Publication, QoS,
    ReasonCode, Refusal, Rights, TopicFilter, TopicName, Verdict,
};
use rumqttc::{AsyncClient, LastWill, MqttOptions, Packet};

/// The hook of CONNECT: it decides who is let in, and as whom.
struct Doorman;

impl Authenticate for Doorman {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict {
        match (credentials.username, credentials.password) {
            (Some(user), Some(b"sesame")) => Ok(Identity { user: Some(user.into()), ..Identity::default() }).into(),
            _ => Err(Refusal::new(ReasonCode::BadUserNameOrPassword, "the password is not sesame")).into(),
        }
    }
}

/// The hooks of PUBLISH, SUBSCRIBE and Wills: a client may use topics below its own name.
struct Rules;

impl Authorize for Rules {
    fn rights(&self, client: &ClientId, _: &Identity) -> Option<Arc<dyn Rights>> {
        Some(Arc::new(Below(format!("{client}/"))))
    }
}

struct Below(String);

impl Rights for Below {
    /// By a PUBLISH or a Will.
    fn may_publish(&self, topic: &TopicName) -> bool {
        topic.as_str().starts_with(&self.0)
    }

    fn may_subscribe(&self, filter: &TopicFilter) -> bool {
        filter.as_str().starts_with(&self.0)
    }
}

/// The hook of what happened. It is called on the broker's threads, and must not wait.
struct Log;

impl Observe for Log {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Connect { client, peer, .. } => println!("{client} connected from {peer}"),
            Event::Disconnect { client, reason, .. } => println!("{client} went: {reason}"),
            Event::Subscribe { client, filter, qos, .. } => println!("{client} subscribes to {filter:?} at {qos:?}"),
            Event::Publish { client: Some(client), topic, content, .. } => {
                println!("{client} publishes {:?} to {topic:?}", String::from_utf8_lossy(content));
            }
            Event::Will { client, topic, .. } => println!("the Will of {client} went to {topic:?}"),
            _ => {}
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let builder = Builder::new(Config::ephemeral()).authenticate(Arc::new(Doorman)).authorize(Arc::new(Rules));
    let server = builder.observe(Arc::new(Log)).start().await?;
    // messages with their payloads come to a client within the process
    let all = server.subscribe("#", QoS::AtMostOnce).await?;

    let address = server.local_addrs()[0];
    let mut options = MqttOptions::new("lamp", address.ip().to_string(), address.port());
    options.set_credentials("somebody", "sesame").set_keep_alive(Duration::from_secs(30));
    options.set_last_will(LastWill::new("lamp/state", "gone", rumqttc::QoS::AtMostOnce, false));
    let (client, mut connection) = AsyncClient::new(options, 10);
    client.publish("lamp/state", rumqttc::QoS::AtLeastOnce, false, "on").await?;
    client.publish("door/state", rumqttc::QoS::AtLeastOnce, false, "it may not").await?;
    let mut acknowledged = 0;
    while acknowledged < 2 {
        if let rumqttc::Event::Incoming(Packet::PubAck(_)) = connection.poll().await? {
            acknowledged += 1;
        }
    }
    // it goes without a DISCONNECT
    drop((client, connection));
    for expected in ["on", "gone"] {
        let received = all.recv().await.ok_or("the server stopped")?;
        println!("{}: {}", received.topic(), String::from_utf8_lossy(received.payload()));
        assert_eq!((received.topic(), received.payload()), ("lamp/state", expected.as_bytes()));
    }
    server.publish(Publication::new("greeting", "of the broker itself")).await?;
    server.shutdown().await?;
    Ok(())
}
