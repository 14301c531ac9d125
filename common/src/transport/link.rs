//! The connection to one server: dialled when it is first needed, again when it is lost, never by two callers at once.

use super::error;
use super::line::Line;
use super::tuning::ClientSettings;
use crate::limits::{CONNECT_TIMEOUT, DIAL_BACKOFF_MAX, DIAL_BACKOFF_MIN};
use crate::rpc::{Address, RpcError};
use quinn::{Connection, Endpoint};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The way to one server.
#[derive(Debug)]
pub(super) struct Link {
    address: Address,
    /// The connection in use, dead or alive.
    current: Mutex<Option<Arc<Line>>>,
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

    pub(super) fn live(&self) -> Option<Arc<Line>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().filter(|line| line.is_live()).cloned()
    }

    /// A live connection. Within the backoff after a failed dial it fails at once with that dial's error, so that a dead
    /// replica does not cost every read a time-out.
    pub(super) async fn connect(
        &self,
        endpoint: &Endpoint,
        settings: &ClientSettings,
        server_name: &str,
    ) -> Result<Arc<Line>, RpcError> {
        if let Some(line) = self.live() {
            return Ok(line);
        }
        let mut failures = self.dialling.lock().await;
        if let Some(line) = self.live() {
            return Ok(line);
        }
        if let Some((when, error)) = &failures.last
            && when.elapsed() < failures.backoff()
        {
            return Err(error.clone());
        }
        match self.dial(endpoint, settings, server_name).await {
            Ok(connection) => {
                *failures = Failures::default();
                let line = Arc::new(Line::new(connection));
                *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(line.clone());
                Ok(line)
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
