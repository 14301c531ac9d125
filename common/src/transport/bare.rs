//! QUIC with this transport's certificates, sockets and settings and nothing on top of it: what measurements compare with.

use super::error::TransportError;
use super::ground::System;
use super::identity::Identity;
use super::tuning::{ClientSettings, ServerSettings, dialling_endpoint, listening_endpoint, server_name};
use quinn::{Connection, Endpoint};
use std::error::Error;
use std::io;
use std::net::SocketAddr;

/// Connections that come in.
#[derive(Debug)]
pub struct BareListener {
    endpoint: Endpoint,
    settings: ServerSettings,
}

impl BareListener {
    /// Listens at `address`, whose port may be 0.
    ///
    /// # Errors
    /// [`TransportError`].
    pub fn new(identity: &Identity, address: SocketAddr) -> Result<Self, TransportError> {
        let settings = ServerSettings::new(identity)?;
        let endpoint = listening_endpoint(&System, identity, &settings, address)?;
        Ok(Self { endpoint, settings })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the socket has no address.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// The next connection; `None` when the endpoint is closed.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn accept(&self) -> Option<Result<Connection, Box<dyn Error + Send + Sync>>> {
        let incoming = self.endpoint.accept().await?;
        let settings = self.settings.for_peer(incoming.remote_address());
        let connecting = incoming.accept_with(settings);
        Some(async { Ok(connecting?.await?) }.await)
    }
}

/// A connection to `address`, and the endpoint that it lives as long as.
///
/// # Errors
/// When the settings are refused or the handshake fails.
pub async fn dial(identity: &Identity, address: SocketAddr) -> Result<(Endpoint, Connection), Box<dyn Error + Send + Sync>> {
    let endpoint = dialling_endpoint(&System, identity)?;
    let settings = ClientSettings::new(identity)?.for_peer(address);
    // The endpoint's socket is of IPv6, where an IPv4 address is written in its way.
    let is_v6 = endpoint.local_addr()?.is_ipv6();
    let target = match address {
        SocketAddr::V4(v4) if is_v6 => SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port())),
        other => other,
    };
    let connection = endpoint.connect_with(settings, target, &server_name(identity))?.await?;
    Ok((endpoint, connection))
}
