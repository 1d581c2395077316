//! The broker as a service of systemd. The tests play systemd: the notify socket, passed sockets, the stream of the
//! journal. Also the units, as far as they can be checked without running them.

mod journal;
mod notify;
mod sockets;
mod units;
