//! [`Stepped`]: the connections of one thread without a runtime and without sockets. A test decides when a task that
//! was woken is polled.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    connection::{Connection, SHARED_BUFFER},
    threads::do_what_is_due,
    transport::{ANSWERS_A_TURN, Stream},
    worker::{ConnectRate, Gate, Lines, NetLimits, NetShared, PublishRates, Through, Worker},
};
use crate::{
    clock::Clock,
    router::{Peer, Router},
    trace::Traces,
};

/// The state shared by a client and the broker's end of its connection.
#[derive(Clone, Default)]
pub(crate) struct Line(Rc<RefCell<Inner>>);

#[derive(Default)]
struct Inner {
    /// Bytes for the broker.
    up: VecDeque<u8>,
    /// Bytes from the broker. They can be read until none are left, then the reader asks again.
    down: Vec<u8>,
    /// Number of bytes that the client still accepts.
    room: usize,
    client_is_gone: bool,
    broker_is_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Line {
    /// The client sends bytes.
    pub(crate) fn send(&self, bytes: &[u8]) {
        let mut inner = self.0.borrow_mut();
        inner.up.extend(bytes);
        let reader = inner.reader.take();
        drop(inner);
        reader.into_iter().for_each(Waker::wake);
    }

    /// The client reads everything that has arrived, and accepts `room` more bytes.
    pub(crate) fn take(&self, room: usize) -> Vec<u8> {
        let mut inner = self.0.borrow_mut();
        inner.room = room;
        let bytes = std::mem::take(&mut inner.down);
        let writer = inner.writer.take();
        drop(inner);
        writer.into_iter().for_each(Waker::wake);
        bytes
    }

    /// The client closes; the bytes that it sent arrive.
    pub(crate) fn hang_up(&self) {
        let mut inner = self.0.borrow_mut();
        inner.client_is_gone = true;
        let wakers = [inner.reader.take(), inner.writer.take()];
        drop(inner);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Has the broker closed the connection?
    pub(crate) fn is_closed(&self) -> bool {
        self.0.borrow().broker_is_gone
    }
}

/// The broker's end.
struct Socket(Line);

impl Stream for Socket {}

impl Drop for Socket {
    fn drop(&mut self) {
        self.0.0.borrow_mut().broker_is_gone = true;
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.0.borrow_mut();
        if inner.up.is_empty() && !inner.client_is_gone {
            inner.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let most = buf.remaining().min(inner.up.len());
        inner.up.drain(..most).for_each(|byte| buf.put_slice(&[byte]));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut inner = self.0.0.borrow_mut();
        if inner.client_is_gone {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let part = buf.len().min(inner.room);
        if part == 0 {
            inner.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        inner.room -= part;
        inner.down.extend_from_slice(&buf[..part]);
        Poll::Ready(Ok(part))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct Task {
    connection: Pin<Box<Connection<Socket>>>,
    woken: Arc<Woken>,
    waker: Waker,
}

/// The connections of the thread that created this.
pub(crate) struct Stepped {
    shared: Arc<NetShared>,
    tasks: BTreeMap<u64, Task>,
    last: u64,
    tidied: Instant,
}

impl Stepped {
    pub(crate) fn begin(router: Arc<Router>, limits: NetLimits, clock: Clock) -> Self {
        let (rates, connects) = (PublishRates::default(), ConnectRate::default());
        rates.limits_changed(&limits);
        let (limits, lines) = (ArcSwap::from_pointee(limits), Lines::new(clock.clone()));
        let (gate, traces) = (Gate::default(), Arc::new(Traces::new(clock.clone())));
        let shared = Arc::new(NetShared { router, clock, limits, gate, rates, connects, lines, tap: None, traces });
        let tidied = shared.clock.now();
        Worker::new(shared.clone(), vec![0; SHARED_BUFFER], ANSWERS_A_TURN, tidied).begin();
        Self { shared, tasks: BTreeMap::new(), last: 0, tidied }
    }

    /// Connects a client, which accepts `room` bytes at first. Returns the client's end.
    pub(crate) fn connect(&mut self, room: usize) -> Line {
        let line = Line::default();
        line.0.borrow_mut().room = room;
        let now = self.shared.clock.now();
        let ticket = self
            .shared
            .gate
            .enter(Through { listener: 0, most: None }, None, 0, &self.shared.limits.load(), now)
            .expect("there is room");
        let peer = Peer { address: ([127, 0, 0, 1], 1).into(), loopback_listener: true, listener: 0 };
        let connection = Box::pin(Connection::new(Socket(line.clone()), peer, ticket));
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(woken.clone());
        self.last += 1;
        self.tasks.insert(self.last, Task { connection, woken, waker });
        line
    }

    /// The tasks that were woken.
    pub(crate) fn woken(&self) -> Vec<u64> {
        let woken = |(number, task): (&u64, &Task)| task.woken.0.load(Ordering::SeqCst).then_some(*number);
        self.tasks.iter().filter_map(woken).collect()
    }

    /// Polls one of them.
    pub(crate) fn poll(&mut self, number: u64) {
        let Some(task) = self.tasks.get_mut(&number) else { return };
        task.woken.0.store(false, Ordering::SeqCst);
        if task.connection.as_mut().poll(&mut Context::from_waker(&task.waker)).is_ready() {
            self.tasks.remove(&number);
        }
    }

    /// The work of the housekeeping task.
    pub(crate) fn housekeeping(&mut self) {
        let (now, router) = (self.shared.clock.now(), &self.shared.router);
        let mut due = Vec::new();
        router.sum_up_queues();
        Worker::with(|worker| {
            router.refresh(&mut worker.local, now);
            worker.local.finish(|local| while do_what_is_due(router, local, now) {});
            worker.local.wake();
            if now - self.tidied >= Duration::from_secs(10) {
                router.tidy(&mut worker.local);
                self.tidied = now;
            }
            worker.look_at_wall(now);
            worker.deadlines.due(now, &mut due);
        });
        due.into_iter().for_each(Waker::wake);
    }
}
