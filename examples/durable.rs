//! A durable client within the process: unacknowledged messages survive a restart. Run it with `cargo run --example
//! durable`.

use dunlin::{Bound, Client, Config, InsideClient, Publication, QoS, QueueFull, Server};

async fn collector(server: &Server) -> Result<Client, dunlin::ClientError> {
    server
        .client(InsideClient {
            id: "$collector".into(),
            filters: vec!["meters/#".into()],
            qos: QoS::AtLeastOnce,
            queue: Bound { messages: 100_000, bytes: 64 << 20, policy: QueueFull::DropOldest },
            durable: true,
            ..InsideClient::default()
        })
        .await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join(format!("dunlin-example-{}", std::process::id()));
    let config = Config { data_dir: Some(dir.clone()), ..Config::ephemeral() };

    let server = Server::start(config.clone()).await?;
    let client = collector(&server).await?;
    for value in ["1", "2", "3"] {
        // when this returns, the message is on the disk
        client.publish(Publication::new("meters/7", value).qos(QoS::AtLeastOnce)).await?;
    }
    let first = client.recv().await.ok_or("the server stopped")?;
    client.ack(&first);
    server.shutdown().await?;

    let server = Server::start(config).await?;
    let client = collector(&server).await?;
    let mut left = Vec::new();
    while let Some(message) = client.try_recv() {
        left.push(String::from_utf8_lossy(message.payload()).into_owned());
        client.ack(&message);
    }
    println!("after the restart there were {left:?}, and {:?} were missed", client.missed());
    assert_eq!(left, ["2", "3"]);
    server.shutdown().await?;
    std::fs::remove_dir_all(dir)?;
    Ok(())
}
