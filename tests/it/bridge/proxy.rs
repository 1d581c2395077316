//! [`Proxy`]: a line that forwards a number of bytes and then stalls, until the test cuts it or lets more pass.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

/// A line between two brokers.
#[derive(Clone)]
pub struct Proxy(Arc<Line>);

struct Line {
    address: SocketAddr,
    target: Mutex<Option<SocketAddr>>,
    /// Bytes that still pass.
    left: AtomicI64,
    /// Connections of an earlier one are cut.
    epoch: AtomicU64,
    accepted: AtomicU64,
    /// Rings when more bytes pass, or connections are cut.
    changed: (Mutex<()>, Condvar),
}

/// How long a thread waits for bytes before it looks whether its connection is cut.
const LOOK: Duration = Duration::from_millis(5);

impl Proxy {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (target, left, epoch, accepted, changed) = Default::default();
        let proxy = Self(Arc::new(Line { address, target, left, epoch, accepted, changed }));
        let line = Arc::downgrade(&proxy.0);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Some(line) = line.upgrade() else { return };
                line.accepted.fetch_add(1, Ordering::SeqCst);
                let target = *line.target.lock();
                // an error: the broker is gone, and so is this connection
                if let Some(Ok(far)) = target.map(TcpStream::connect) {
                    let epoch = line.epoch.load(Ordering::SeqCst);
                    let ends = [near.try_clone().unwrap(), far.try_clone().unwrap()];
                    for (from, to) in [(near, ends[1].try_clone().unwrap()), (far, ends[0].try_clone().unwrap())] {
                        let line = line.clone();
                        thread::spawn(move || line.pass(from, to, epoch));
                    }
                }
            }
        });
        proxy
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Connections go there from now on; `None`: they are closed.
    pub fn to(&self, target: Option<SocketAddr>) {
        *self.0.target.lock() = target;
    }

    /// Lets so many bytes pass, both ways together.
    pub fn pass(&self, bytes: i64) {
        self.0.change(|line| line.left.store(bytes, Ordering::SeqCst));
    }

    /// All bytes that were to pass have passed.
    pub fn stalls(&self) -> bool {
        self.0.left.load(Ordering::SeqCst) <= 0
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.0.change(|line| _ = line.epoch.fetch_add(1, Ordering::SeqCst));
    }

    /// Connections so far.
    pub fn accepted(&self) -> u64 {
        self.0.accepted.load(Ordering::SeqCst)
    }
}

impl Line {
    fn change(&self, change: impl FnOnce(&Self)) {
        let _locked = self.changed.0.lock();
        change(self);
        self.changed.1.notify_all();
    }

    /// Until more may pass, or until connections of this epoch are cut.
    fn wait(&self, epoch: u64, may_pass: impl Fn() -> bool) {
        let mut locked = self.changed.0.lock();
        while self.epoch.load(Ordering::SeqCst) == epoch && !may_pass() {
            self.changed.1.wait(&mut locked);
        }
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream, epoch: u64) {
        from.set_read_timeout(Some(LOOK)).unwrap();
        let mut bytes = vec![0; 2048];
        while self.epoch.load(Ordering::SeqCst) == epoch {
            if self.left.load(Ordering::SeqCst) <= 0 {
                self.wait(epoch, || self.left.load(Ordering::SeqCst) > 0);
                continue;
            }
            match from.read(&mut bytes) {
                Ok(0) => break,
                Ok(read) => {
                    // those of a stalled line are lost with it
                    let may = self.left.fetch_sub(read as i64, Ordering::SeqCst).clamp(0, read as i64);
                    if to.write_all(&bytes[..may as usize]).is_err() || (may as usize) < read {
                        // half a packet: the rest cannot pass on this connection
                        if (may as usize) < read {
                            self.wait(epoch, || false);
                        }
                        break;
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break,
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}
