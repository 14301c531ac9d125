//! UDP sockets: big buffers, both IP versions, and batches that fit a datagram's 64 KiB.

use crate::limits::SOCKET_BUFFER_BYTES;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with, sockopt};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Largest UDP payload over IPv4: 65,535 less the headers.
pub(super) const UDP_PAYLOAD_BYTES_MAX: usize = 65_507;

/// Opens a socket at `address`, on an IPv6 wildcard for IPv4 as well.
pub(super) fn open(address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(ipproto::UDP))?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    // FORCE goes beyond net.core.{r,w}mem_max and needs CAP_NET_ADMIN; without it the kernel grants what it allows.
    if sockopt::set_socket_recv_buffer_size_force(&socket, SOCKET_BUFFER_BYTES).is_err() {
        sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_BYTES)?;
    }
    if sockopt::set_socket_send_buffer_size_force(&socket, SOCKET_BUFFER_BYTES).is_err() {
        sockopt::set_socket_send_buffer_size(&socket, SOCKET_BUFFER_BYTES)?;
    }
    bind(&socket, &address)?;
    let granted = sockopt::socket_recv_buffer_size(&socket)?;
    if granted < SOCKET_BUFFER_BYTES {
        tracing::debug!(
            granted,
            wanted = SOCKET_BUFFER_BYTES,
            "small receive buffer; raise net.core.rmem_max for more throughput"
        );
    }
    let inner = TokioRuntime.wrap_udp_socket(std::net::UdpSocket::from(socket))?;
    Ok(inner)
}

/// The same socket, made to cut batches that do not fit a UDP packet.
pub(super) fn fitting(socket: Arc<dyn AsyncUdpSocket>) -> Arc<dyn AsyncUdpSocket> {
    Arc::new(FittingSocket(socket))
}

/// A socket whose sends always fit a UDP packet.
///
/// quinn hands over up to ten packets at once for the kernel to cut apart (GSO). The whole batch must fit 64 KiB; with the
/// large packets of a loopback or jumbo-frame path it does not, and the kernel drops it whole. Here such a batch is
/// cut into ones that fit.
#[derive(Debug)]
struct FittingSocket(Arc<dyn AsyncUdpSocket>);

impl AsyncUdpSocket for FittingSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.0).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let Some(segment) = transmit.segment_size.filter(|_| transmit.contents.len() > UDP_PAYLOAD_BYTES_MAX) else {
            return self.0.try_send(transmit);
        };
        let part_bytes = (UDP_PAYLOAD_BYTES_MAX / segment).max(1) * segment;
        // When a later part would block, quinn offers the whole batch again and the first parts go out twice. That is
        // rare (the socket's buffer is 4 MiB) and harmless: the peer drops packets that it has seen.
        for part in transmit.contents.chunks(part_bytes) {
            let segment_size = Some(segment).filter(|segment| part.len() > *segment);
            self.0.try_send(&Transmit { contents: part, segment_size, ..transmit.clone() })?;
        }
        Ok(())
    }

    fn poll_recv(&self, cx: &mut Context<'_>, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> Poll<io::Result<usize>> {
        self.0.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.0.max_transmit_segments()
    }

    /// quinn reserves this many largest packets for each of its 32 receive buffers. The kernel joins packets (GRO) to at
    /// most 64 KiB, which one largest packet holds already; 64 of them would be 133 MiB of buffers.
    fn max_receive_segments(&self) -> usize {
        1
    }

    fn may_fragment(&self) -> bool {
        self.0.may_fragment()
    }
}
