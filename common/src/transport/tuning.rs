//! QUIC's settings, each set on purpose. Measured on loopback: throughput goes with the size of packets, so discovery looks for
//! packets of up to 65,000 bytes while connections begin with what every path carries.

use super::error::{TransportError, code};
use super::ground::Ground;
use super::identity::Identity;
use super::{certificate, socket, tls};
use crate::limits::{
    CONNECTION_WINDOW, HANDSHAKES_MAX, IDLE_TIMEOUT, KEEP_ALIVE, KIB, REQUESTS_PER_CONNECTION_MAX, SEND_WINDOW, STREAM_WINDOW,
};
use aws_lc_rs::hmac;
use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig,
    TokioRuntime, TransportConfig, VarInt,
};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What discovery tries at most: a loopback's 65,535 less headers, rounded down.
const PACKET_BYTES_MAX: u16 = 65_000;
/// What we are ready to receive; also the size of a receive buffer, which must hold 64 KiB of joined packets.
const RECEIVE_BYTES_MAX: u16 = 65_527;
/// Packets that every IPv6 path carries (RFC 9000, section 14).
const PACKET_BYTES_ANYWHERE: u16 = 1200;
/// Packets that every loopback carries; jumbo frames are of this size too. A larger *first* packet hung handshakes.
const PACKET_BYTES_LOOPBACK: u16 = 8952;
/// A LAN's buffers take this at once; pacing spreads it.
const FIRST_WINDOW_BYTES: u64 = 256 * KIB;
const FIRST_ROUND_TRIP: Duration = Duration::from_millis(50);
/// A closed endpoint is waited for so long. The packets that say so leave at once; what QUIC calls draining (three probe time-outs, most of a
/// minute if the peer is gone) only serves to answer packets that come late.
pub(super) const GOODBYE_WAIT: Duration = Duration::from_millis(500);
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(120);
const DISCOVERY_COOLDOWN: Duration = Duration::from_secs(10);

fn transport(loopback: bool, requests: u32) -> Result<TransportConfig, TransportError> {
    let packet_bytes = if loopback { PACKET_BYTES_LOOPBACK } else { PACKET_BYTES_ANYWHERE };
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(PACKET_BYTES_MAX).interval(DISCOVERY_INTERVAL).black_hole_cooldown(DISCOVERY_COOLDOWN);
    let mut congestion = CubicConfig::default();
    congestion.initial_window(FIRST_WINDOW_BYTES);
    let idle = IdleTimeout::try_from(IDLE_TIMEOUT).map_err(|error| TransportError::Setting(error.to_string()))?;
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(requests))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .max_idle_timeout(Some(idle))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        .send_fairness(false)
        .initial_rtt(FIRST_ROUND_TRIP)
        .initial_mtu(packet_bytes)
        .min_mtu(packet_bytes)
        .mtu_discovery_config(Some(discovery))
        .crypto_buffer_size(16 * KIB as usize)
        .allow_spin(false)
        .datagram_receive_buffer_size(None)
        .datagram_send_buffer_size(0)
        .congestion_controller_factory(Arc::new(congestion));
    Ok(config)
}

/// The settings of a dialling side, for servers elsewhere and on this machine.
#[derive(Clone, Debug)]
pub(super) struct ClientSettings {
    anywhere: ClientConfig,
    loopback: ClientConfig,
}

impl ClientSettings {
    pub(super) fn new(identity: &Identity) -> Result<Self, TransportError> {
        Self::with_crypto(Arc::new(tls::client(identity)?))
    }

    pub(super) fn with_crypto(crypto: Arc<QuicClientConfig>) -> Result<Self, TransportError> {
        let config = |loopback| {
            let mut transport = transport(loopback, 0)?;
            transport.keep_alive_interval(Some(KEEP_ALIVE));
            let mut config = ClientConfig::new(crypto.clone());
            config.transport_config(Arc::new(transport));
            Ok(config)
        };
        Ok(Self { anywhere: config(false)?, loopback: config(true)? })
    }

    pub(super) fn for_peer(&self, peer: SocketAddr) -> ClientConfig {
        if peer.ip().to_canonical().is_loopback() { self.loopback.clone() } else { self.anywhere.clone() }
    }
}

/// The settings of a listening side, for clients elsewhere and on this machine.
#[derive(Clone, Debug)]
pub(super) struct ServerSettings {
    anywhere: Arc<ServerConfig>,
    loopback: Arc<ServerConfig>,
}

impl ServerSettings {
    pub(super) fn new(identity: &Identity) -> Result<Self, TransportError> {
        let crypto = Arc::new(tls::server(identity)?);
        let config = |loopback| {
            let transport = transport(loopback, REQUESTS_PER_CONNECTION_MAX)?;
            let mut config = ServerConfig::with_crypto(crypto.clone());
            config
                .transport_config(Arc::new(transport))
                .migration(false)
                .retry_token_lifetime(Duration::from_secs(15))
                .max_incoming(HANDSHAKES_MAX * 4)
                .incoming_buffer_size(64 * KIB)
                .incoming_buffer_size_total(4 * 1024 * KIB);
            config.validation_token.sent(0);
            Ok(Arc::new(config))
        };
        Ok(Self { anywhere: config(false)?, loopback: config(true)? })
    }

    pub(super) fn for_peer(&self, peer: SocketAddr) -> Arc<ServerConfig> {
        if peer.ip().to_canonical().is_loopback() { Arc::clone(&self.loopback) } else { Arc::clone(&self.anywhere) }
    }
}

fn endpoint_config(reset_key: hmac::Key) -> Result<EndpointConfig, TransportError> {
    let mut config = EndpointConfig::new(Arc::new(reset_key));
    config.cid_generator(|| Box::new(ConnectionIds::default()));
    config.max_udp_payload_size(RECEIVE_BYTES_MAX).map_err(|error| TransportError::Setting(error.to_string()))?;
    Ok(config)
}

/// Connection ids: a keyed hash of a counter. quinn's own generator recognises only ids of its own life and answers packets
/// for others with silence; a server that was restarted has to answer them with a reset (see [`reset_key`]).
#[derive(Debug, Default)]
struct ConnectionIds {
    keys: RandomState,
    made: u64,
}

impl ConnectionIdGenerator for ConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        self.made += 1;
        ConnectionId::new(&self.keys.hash_one(self.made).to_le_bytes())
    }

    fn cid_len(&self) -> usize {
        size_of::<u64>()
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// An endpoint that only dials.
pub(super) fn dialling_endpoint(ground: &dyn Ground, identity: &Identity) -> Result<Endpoint, TransportError> {
    let config = || endpoint_config(reset_key(identity, None));
    let wildcards = [SocketAddr::from(([0u16; 8], 0)), SocketAddr::from(([0u8; 4], 0))];
    // A machine without IPv6 has only the second.
    match open(ground, config()?, None, wildcards[0]) {
        Ok(endpoint) => Ok(endpoint),
        Err(_) => open(ground, config()?, None, wildcards[1]),
    }
}

/// An endpoint that listens at `address`.
pub(super) fn listening_endpoint(
    ground: &dyn Ground,
    identity: &Identity,
    settings: &ServerSettings,
    address: SocketAddr,
) -> Result<Endpoint, TransportError> {
    let config = endpoint_config(reset_key(identity, Some(address)))?;
    open(ground, config, Some(ServerConfig::clone(&settings.anywhere)), address)
}

fn open(
    ground: &dyn Ground,
    mut config: EndpointConfig,
    server: Option<ServerConfig>,
    address: SocketAddr,
) -> Result<Endpoint, TransportError> {
    config.rng_seed(ground.seed());
    let failed = |source| TransportError::Bind { address, source };
    let socket = socket::fitting(ground.socket(address).map_err(failed)?);
    Endpoint::new_with_abstract_socket(config, server, socket, Arc::new(TokioRuntime)).map_err(failed)
}

/// A server that was restarted tells clients of its former life at once that their connections are gone ("stateless reset",
/// RFC 9000, section 10.3) — if it still has the key that those resets were promised with. So the key follows from what outlives
/// a restart: its private key and its address. The address is part of it because servers may share an identity folder, and
/// nobody may use one to reset connections of another.
fn reset_key(identity: &Identity, address: Option<SocketAddr>) -> hmac::Key {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, identity.key.secret_der());
    let purpose = match address.filter(|address| address.port() != 0) {
        Some(address) => format!("weft stateless reset {address}"),
        None => format!("weft stateless reset of process {} {:?}", std::process::id(), std::time::Instant::now()),
    };
    hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&secret, purpose.as_bytes()).as_ref())
}

/// Closes all connections of `endpoint`, which says so to its peers, and lets these packets leave. Draining goes on behind this for as long as
/// the runtime lives.
pub(super) async fn say_goodbye(endpoint: &Endpoint, reason: &str) {
    endpoint.close(code::DONE, reason.as_bytes());
    // A peer that does not hear it notices the silence.
    let _ = tokio::time::timeout(GOODBYE_WAIT, endpoint.wait_idle()).await;
}

/// The name that a dialled server must prove.
pub(super) fn server_name(identity: &Identity) -> String {
    certificate::proof_name(super::Holder::Server, identity.facts.cluster)
}
