//! The calling side.

use super::error::{self, TransportError, code};
use super::frame::{self, AnswerHeader, FrameError, SendGuard};
use super::ground::{Ground, System};
use super::identity::Identity;
use super::link::Link;
use super::tuning::{self, ClientSettings};
use crate::buffers::BufferPool;
use crate::limits::CONNECTIONS_MAX;
use crate::rpc::{Address, Answer, Call, Rpc, RpcError};
use quinn::{Connection, Endpoint};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

/// Calls servers over QUIC, each over one connection that all callers share.
pub struct QuicRpc {
    pub(super) endpoint: Endpoint,
    settings: ClientSettings,
    /// The name that every server of the cluster proves, wherever it runs.
    server_name: String,
    /// Ordered, so that a simulation can repeat the order in which connections are dropped.
    links: Mutex<BTreeMap<Address, Arc<Link>>>,
    pub(super) bodies: Arc<BufferPool>,
}

impl std::fmt::Debug for QuicRpc {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("QuicRpc").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl QuicRpc {
    /// Opens a socket to call from; connections are made when they are first needed. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// [`TransportError`].
    pub fn new(identity: &Identity) -> Result<Self, TransportError> {
        Self::on(&System, identity)
    }

    pub(super) fn on(ground: &dyn Ground, identity: &Identity) -> Result<Self, TransportError> {
        Ok(Self {
            endpoint: tuning::dialling_endpoint(ground, identity)?,
            settings: ClientSettings::new(identity)?,
            server_name: tuning::server_name(identity),
            links: Mutex::default(),
            bodies: Arc::default(),
        })
    }

    /// Closes every connection and tells the servers so. Takes half a second at most, whether or not they can be reached.
    pub async fn close(&self) {
        tuning::say_goodbye(&self.endpoint, "done").await;
    }

    /// Servers that this side is connected to now.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.values().filter(|link| link.live().is_some()).count()
    }

    #[cfg(test)]
    pub(super) fn connection(&self, address: &Address) -> Option<Connection> {
        Some(self.link(address).ok()?.live()?.connection.clone())
    }

    #[cfg(test)]
    pub(super) fn replace_crypto(&mut self, crypto: Arc<quinn::crypto::rustls::QuicClientConfig>) {
        self.settings = ClientSettings::with_crypto(crypto).expect("settings that were accepted before");
    }

    fn link(&self, address: &Address) -> Result<Arc<Link>, RpcError> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(address) {
            return Ok(Arc::clone(link));
        }
        if links.len() >= CONNECTIONS_MAX {
            links.retain(|_, link| link.live().is_some());
        }
        if links.len() >= CONNECTIONS_MAX {
            let reason = format!("this process has {CONNECTIONS_MAX} connections already");
            return Err(RpcError::Unreachable { address: address.clone(), reason });
        }
        let link = Arc::new(Link::new(address.clone()));
        links.insert(address.clone(), Arc::clone(&link));
        Ok(link)
    }

    async fn exchange(&self, address: &Address, call: &Call, connection: &Connection, end: Instant) -> Result<Answer, RpcError> {
        let (send, mut receive) = connection.open_bi().await.map_err(|error| error::lost(address, &error))?;
        let mut send = SendGuard::new(send, code::CANCELLED);
        let _ = send.stream.set_priority(call.request.priority());
        let left_ms = end.saturating_duration_since(Instant::now()).as_millis();
        let left_ms = u32::try_from(left_ms).unwrap_or(u32::MAX);
        let failed = |error: FrameError| explain(address, error);
        let head = frame::encode_request(call.id, left_ms, &call.request, call.body.len()).map_err(failed)?;
        match send.write(head, call.body.clone()).await {
            // A server may answer before it has read everything; its answer says why.
            Ok(()) | Err(FrameError::Reset(_)) => {}
            Err(error) => return Err(failed(error)),
        }
        let answer = frame::read_head::<AnswerHeader>(&mut receive).await.map_err(failed)?;
        let body = frame::read_body(&mut receive, &answer, &self.bodies).await.map_err(failed)?;
        Ok(Answer { reply: answer.header?, body })
    }
}

#[async_trait::async_trait]
impl Rpc for QuicRpc {
    async fn call(&self, address: &Address, call: Call) -> Result<Answer, RpcError> {
        let link = self.link(address)?;
        let start = Instant::now();
        let end = start + call.deadline;
        let timed_out = || RpcError::TimedOut { address: address.clone(), waited: start.elapsed(), id: call.id };
        let connecting = link.connect(&self.endpoint, &self.settings, &self.server_name);
        let line = tokio::time::timeout_at(end, connecting).await.map_err(|_| timed_out())??;
        line.ask();
        let exchange = self.exchange(address, &call, &line.connection, end);
        tokio::time::timeout_at(end, exchange).await.unwrap_or_else(|_| {
            line.lose_patience();
            Err(timed_out())
        })
    }
}

fn explain(address: &Address, error: FrameError) -> RpcError {
    match error {
        FrameError::Lost(error) => error::lost(address, &error),
        FrameError::Reset(code) => error::reset(address, code),
        FrameError::Truncated | FrameError::Late | FrameError::Malformed(_) => {
            RpcError::Malformed { address: address.clone(), reason: error.to_string() }
        }
    }
}
