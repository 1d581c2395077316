//! Users and rules from the program instead of files. Run it with `cargo run --example users`.

use dunlin::{Builder, Config};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Builder::new(Config::ephemeral())
        .add_user("sensor", "its password")?
        .rules("user sensor\ntopic write sensors/%c/#\n\nuser display\ntopic read sensors/#\n")?
        .start()
        .await?;
    println!("sensor may log in at {}", server.local_addrs()[0]);

    // while it runs: one more, another password, none any more
    server.add_user("display", "another password").await?;
    server.add_user("sensor", "its new password").await?;
    server.remove_user("sensor").await?;
    server.set_rules(Some("user display\ntopic read #\n")).await?;
    let unknown = server.remove_user("sensor").await.expect_err("it is gone");
    println!("{unknown}");

    server.shutdown().await?;
    Ok(())
}
