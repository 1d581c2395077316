//! Clients that connect, subscribe, publish to themselves, receive and disconnect: `cargo bench --bench churn --
//! --rounds 5 --seconds 3` runs the load generator's churn against dunlin, mosquitto if it is installed, and a minimal
//! broker of one thread that only makes the necessary system calls and answers without decoding requests. If the load
//! generator's core is busy, the rates measure the load generator; the CPU time of a cycle still measures the broker.

#[path = "common/compare.rs"]
mod compare;
#[path = "common/loadgen.rs"]
mod loadgen;

use std::{
    env,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::{AsRawFd, RawFd},
    process::ExitCode,
};

use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, EventData, EventFlags},
    net::{SocketFlags, accept_with, sockopt::set_tcp_nodelay},
};

fn main() -> ExitCode {
    if let Ok(address) = env::var("DUNLIN_LEAST") {
        return match serve(&address) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("churn: {address}: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let program = loadgen::program();
    let this = env::current_exe().expect("this program has a path");
    let least = format!("least=env DUNLIN_LEAST=127.0.0.1:{{port}} {}", this.display());
    // without what cargo adds for its own harness
    let arguments = env::args().skip(1).filter(|a| a != "--bench").chain(["--only".into(), "churn".into()]);
    compare::run(&program, arguments, least)
}

/// Serves all clients until the process is killed.
fn serve(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    // those that it accepts have it from it
    set_tcp_nodelay(&listener, true)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let listening = key(&listener);
    epoll::add(&epoll, &listener, EventData::new_u64(listening), EventFlags::IN)?;
    let mut clients: Vec<Option<TcpStream>> = Vec::new();
    let (mut events, mut bytes, mut answers) = (Vec::with_capacity(1024), vec![0; 1 << 16], Vec::new());
    loop {
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in &events {
            let from = event.data.u64();
            if from == listening {
                while let Ok(client) = accept_with(&listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                    let client = TcpStream::from(client);
                    epoll::add(&epoll, &client, EventData::new_u64(key(&client)), EventFlags::IN | EventFlags::ET)?;
                    let place = key(&client) as usize;
                    clients.resize_with(clients.len().max(place + 1), || None);
                    clients[place] = Some(client);
                }
            } else if let Some(client) = &mut clients[from as usize] {
                let read = client.read(&mut bytes).unwrap_or_default();
                answers.clear();
                let goes_on = read > 0 && answer(&bytes[..read], &mut answers);
                if !answers.is_empty() {
                    let _ = client.write(&answers);
                }
                if !goes_on {
                    clients[from as usize] = None;
                }
            }
        }
    }
}

fn key(socket: &impl AsRawFd) -> u64 {
    let fd: RawFd = socket.as_raw_fd();
    fd.unsigned_abs().into()
}

/// Answers whole packets of less than 130 bytes. `false`: one of them is a DISCONNECT.
fn answer(mut packets: &[u8], answers: &mut Vec<u8>) -> bool {
    while let &[first, length, ref rest @ ..] = packets {
        let Some((body, next)) = rest.split_at_checked(length.into()) else { return false };
        match (first >> 4, body) {
            // CONNECT: CONNACK
            (1, _) => answers.extend([0x20, 2, 0, 0]),
            // SUBSCRIBE: SUBACK, at QoS 1
            (8, &[high, low, ..]) => answers.extend([0x90, 3, high, low, 1]),
            // PUBLISH at QoS 1: to its sender, as it came, and PUBACK
            (3, &[high, low, ref rest @ ..]) => {
                answers.extend(&packets[..packets.len() - next.len()]);
                let topic = usize::from(u16::from_be_bytes([high, low]));
                answers.extend([0x40, 2]);
                answers.extend(rest.get(topic..topic + 2).unwrap_or(&[0, 1]));
            }
            (14, _) => return false,
            _ => {}
        }
        packets = next;
    }
    true
}
