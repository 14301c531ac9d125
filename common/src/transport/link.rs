//! The connection to one server: dialled when it is first needed, again when it is lost, never by two callers at once.

use super::error;
use super::tuning::ClientSettings;
use crate::limits::{CONNECT_TIMEOUT, DIAL_BACKOFF_MAX, DIAL_BACKOFF_MIN};
use crate::rpc::{Address, RpcError};
use quinn::{Connection, Endpoint};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The way to one server.
#[derive(Debug)]
pub(super) struct Link {
    address: Address,
    /// The connection in use, dead or alive.
    current: Mutex<Option<Connection>>,
    /// Held while dialling: other callers wait for the outcome.
    dialling: tokio::sync::Mutex<Failures>,
}

/// Dials that failed since the last that did not.
#[derive(Debug, Default)]
struct Failures {
    count: u32,
    last: Option<(Instant, RpcError)>,
}

impl Link {
    pub(super) fn new(address: Address) -> Self {
        Self { address, current: Mutex::new(None), dialling: tokio::sync::Mutex::default() }
    }

    pub(super) fn live(&self) -> Option<Connection> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().filter(|connection| connection.close_reason().is_none()).cloned()
    }

    /// Gives a connection up that no longer answers, so that the next call dials anew.
    pub(super) fn give_up(&self, connection: &Connection) {
        connection.close(error::code::CANCELLED, b"no answer");
    }

    /// A live connection. Within the backoff after a failed dial it fails at once with that dial's error, so that a dead
    /// replica does not cost every read a time-out.
    pub(super) async fn connect(
        &self,
        endpoint: &Endpoint,
        settings: &ClientSettings,
        server_name: &str,
    ) -> Result<Connection, RpcError> {
        if let Some(connection) = self.live() {
            return Ok(connection);
        }
        let mut failures = self.dialling.lock().await;
        if let Some(connection) = self.live() {
            return Ok(connection);
        }
        if let Some((when, error)) = &failures.last
            && when.elapsed() < failures.backoff()
        {
            return Err(error.clone());
        }
        match self.dial(endpoint, settings, server_name).await {
            Ok(connection) => {
                *failures = Failures::default();
                *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
                Ok(connection)
            }
            Err(error) => {
                failures.count = failures.count.saturating_add(1);
                failures.last = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn dial(&self, endpoint: &Endpoint, settings: &ClientSettings, server_name: &str) -> Result<Connection, RpcError> {
        let unreachable = |reason: String| RpcError::Unreachable { address: self.address.clone(), reason };
        let resolved: Vec<SocketAddr> = tokio::net::lookup_host(&self.address.0)
            .await
            .map_err(|error| unreachable(format!("the name cannot be resolved: {error}")))?
            .collect();
        let mut failure = unreachable("the name has no address".into());
        for peer in resolved {
            let connecting = match endpoint.connect_with(settings.for_peer(peer), peer, server_name) {
                Ok(connecting) => connecting,
                Err(error) => {
                    failure = unreachable(error.to_string());
                    continue;
                }
            };
            match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => failure = error::lost(&self.address, &error),
                Err(_) => failure = error::silent(&self.address),
            }
        }
        Err(failure)
    }
}

impl Failures {
    fn backoff(&self) -> Duration {
        DIAL_BACKOFF_MIN.saturating_mul(1 << self.count.saturating_sub(1).min(16)).min(DIAL_BACKOFF_MAX)
    }
}
