//! The broker as a service of systemd, whose side the tests play: the socket that it reports to, the sockets that it is
//! passed, the stream of the journal. And the units, as far as they can be judged without a system that runs them.

mod journal;
mod notify;
mod sockets;
mod units;
