//! The simulated network as quinn knows networks: the one file that touches quinn's traits.
//!
//! quinn's `TokioRuntime` needs no substitute: its clock, timers and tasks are tokio's, and the runtime is paused.

use super::network::{Network, SharedInbox};
use crate::transport::ground::Ground;
use crate::transport::socket::UDP_PAYLOAD_BYTES_MAX;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// A machine on the simulated network.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) network: Arc<Network>,
    pub(super) ip: IpAddr,
}

impl Ground for Host {
    fn socket(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let (bound, inbox) = self.network.open(SocketAddr::new(self.ip, address.port()))?;
        let local = SocketAddr::new(address.ip(), bound.port());
        Ok(Arc::new(SimulatedSocket { network: self.network.clone(), bound, local, inbox, stalled: Mutex::new(None) }))
    }

    fn seed(&self) -> Option<[u8; 32]> {
        Some(self.network.world.seed())
    }
}

/// A UDP socket of a [`Host`], which may be dual-stack as Linux' are.
#[derive(Debug)]
struct SimulatedSocket {
    network: Arc<Network>,
    bound: SocketAddr,
    /// As it was asked for, perhaps a wildcard.
    local: SocketAddr,
    inbox: SharedInbox,
    /// Until when it takes nothing.
    stalled: Mutex<Option<Instant>>,
}

impl SimulatedSocket {
    fn stalled_until(&self) -> Option<Instant> {
        let mut stalled = self.stalled.lock().unwrap_or_else(PoisonError::into_inner);
        *stalled = stalled.filter(|until| *until > Instant::now());
        *stalled
    }

    fn may_stall(&self, to: IpAddr) {
        let world = &self.network.world;
        if world.chance(self.network.stall(self.bound.ip(), to)) {
            world.count("send buffer full");
            let until = Instant::now() + Duration::from_millis(world.between(1, 20));
            *self.stalled.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        }
    }
}

impl AsyncUdpSocket for SimulatedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable { socket: self, wait: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let to = SocketAddr::new(transmit.destination.ip().to_canonical(), transmit.destination.port());
        self.may_stall(to.ip());
        if self.stalled_until().is_some() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if transmit.contents.len() > UDP_PAYLOAD_BYTES_MAX {
            // As the kernel does with a batch that fits no packet.
            self.network.world.count("batch too large");
            return Ok(());
        }
        let packet_bytes = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for packet in transmit.contents.chunks(packet_bytes) {
            self.network.send(self.bound, &self.inbox, to, packet);
        }
        Ok(())
    }

    fn poll_recv(&self, cx: &mut Context<'_>, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> Poll<io::Result<usize>> {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let mut received = 0;
        for (buffer, meta) in bufs.iter_mut().zip(meta) {
            let Some((from, bytes)) = inbox.take() else { break };
            let length = bytes.len().min(buffer.len());
            buffer[..length].copy_from_slice(&bytes[..length]);
            *meta = RecvMeta { addr: self.as_seen_here(from), len: length, stride: length, ecn: None, dst_ip: None };
            received += 1;
        }
        if received > 0 {
            return Poll::Ready(Ok(received));
        }
        inbox.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn max_transmit_segments(&self) -> usize {
        64
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

impl SimulatedSocket {
    fn as_seen_here(&self, peer: SocketAddr) -> SocketAddr {
        match (self.local, peer.ip()) {
            (SocketAddr::V6(_), IpAddr::V4(ip)) => SocketAddr::new(ip.to_ipv6_mapped().into(), peer.port()),
            _ => peer,
        }
    }
}

impl Drop for SimulatedSocket {
    fn drop(&mut self) {
        self.network.close(self.bound, &self.inbox);
    }
}

/// Waits until a stalled socket takes packets again.
#[derive(Debug)]
struct Writable {
    socket: Arc<SimulatedSocket>,
    wait: Option<Pin<Box<Sleep>>>,
}

impl UdpPoller for Writable {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(until) = self.socket.stalled_until() {
            let wait = self.wait.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
            ready!(wait.as_mut().poll(cx));
            self.wait = None;
        }
        self.wait = None;
        Poll::Ready(Ok(()))
    }
}
