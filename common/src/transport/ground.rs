//! What endpoints stand on: the system's sockets and its entropy. A simulation brings its own (`sim::adapter`).
//!
//! Time is tokio's, so that a paused runtime makes it virtual; this is all that is left.

use super::socket;
use quinn::AsyncUdpSocket;
use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// See the module.
pub(super) trait Ground: Send + Sync + Debug {
    /// Opens a socket at `address`, whose port may be 0 and whose IP a wildcard.
    fn socket(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>>;

    /// What QUIC's random choices follow from (skipped packet numbers, padding); `None` leaves them to the system. Keys and
    /// certificates never follow from it.
    fn seed(&self) -> Option<[u8; 32]>;
}

/// The machine that this process runs on.
#[derive(Debug)]
pub(super) struct System;

impl Ground for System {
    fn socket(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        socket::open(address)
    }

    fn seed(&self) -> Option<[u8; 32]> {
        None
    }
}
