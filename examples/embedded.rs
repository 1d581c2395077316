//! A broker in a program: it starts one, receives what clients publish, and answers. Run it with
//! `cargo run --example embedded`.

use dunlin::{Config, InsideClient, Publication, QoS, Server};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::start(Config::ephemeral()).await?;
    println!("clients connect to {}", server.local_addrs()[0]);

    let answers = server
        .client(InsideClient {
            id: "$answers".into(),
            filters: vec!["ask/+".into()],
            qos: QoS::AtLeastOnce,
            ..InsideClient::default()
        })
        .await?;
    // another client, here in the same program
    let asker = server.subscribe("answer/#", QoS::AtLeastOnce).await?;
    asker.publish(Publication::new("ask/time", "what time is it?").qos(QoS::AtLeastOnce)).await?;

    let question = answers.recv().await.ok_or("the server stopped")?;
    println!("{}: {}", question.topic(), String::from_utf8_lossy(question.payload()));
    answers.publish(Publication::new("answer/time", "late").qos(QoS::AtLeastOnce)).await?;
    answers.ack(&question);

    let answer = asker.recv().await.ok_or("the server stopped")?;
    println!("{}: {}", answer.topic(), String::from_utf8_lossy(answer.payload()));
    assert_eq!(answer.payload(), b"late");
    asker.ack(&answer);

    server.shutdown().await?;
    Ok(())
}
