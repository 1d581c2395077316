//! Bridges between real brokers.
//!
//! | file | has |
//! |---|---|
//! | this one | two brokers with a bridge between them |
//! | `passing` | messages through a bridge: versions, directions, prefixes, QoS, RETAIN; to dunlin and to mosquitto |
//! | `retained` | retained messages that change while the line is down |
//! | `removed` | retained messages that an administrator removes |
//! | `rings` | brokers in a ring |
//! | `packets` | packets of a bridge, the other broker being played by the test |
//! | `scripted` | that broker |
//! | `notices` | the connection's state at another broker |
//! | `operating` | API, `dunlin ctl`, the log, and bridges of a `mosquitto.conf` |
//! | `refusals` | other brokers that refuse, or send invalid packets |
//! | `loss` | SIGKILL and a line that is cut and stalls: no message is lost |
//! | `proxy` | that line |
//! | `ways` | connecting, and changes by a reload |

mod loss;
mod notices;
mod operating;
mod packets;
mod passing;
mod proxy;
mod refusals;
mod removed;
mod retained;
mod rings;
mod scripted;
mod ways;

use std::net::SocketAddr;

use dunlin::{BridgePhase, BridgeView, Config, Server};

use crate::support::{config, wait_until};

/// A broker with a bridge to that address; `more` are further keys of it.
fn bridged(name: &str, to: SocketAddr, topics: &[&str], more: &str) -> Config {
    let topics: Vec<_> = topics.iter().map(|topic| format!("'{topic}'")).collect();
    let text = format!(
        "[[bridge]]\nname = '{name}'\naddresses = ['{to}']\nreconnect_min = '10ms'\nreconnect_max = '100ms'\ntopics = \
         [{}]\n{more}\n",
        topics.join(", ")
    );
    let bridges = dunlin::config::parse(&text, "test").expect("the bridge is right").bridges;
    Config { bridges, ..config() }
}

fn view(server: &Server) -> BridgeView {
    server.bridges().into_iter().next().expect("there is a bridge")
}

/// Waits until the bridge is connected, and has its subscriptions there.
fn wait_until_connected(server: &Server) {
    wait_until(|| view(server).phase == BridgePhase::Connected, || format!("{:?}", view(server)));
    // a topic that comes in is asked for in the first packets
    wait_until(|| view(server).is_subscribed, || format!("{:?}", view(server)));
}
