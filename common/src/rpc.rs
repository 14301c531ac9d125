//! One trait for every way to reach a server: QUIC, a call within the process, a simulated network.
//!
//! The client library and the roles know servers only through [`Rpc`]; servers answer through [`Handler`].

use crate::id::RequestId;
use crate::wire::{Reply, Request, ServiceError};
use bytes::Bytes;
use std::fmt;
use std::time::Duration;

/// UDP port of a server that is named without one.
pub const DEFAULT_PORT: u16 = 9338;

/// Threads that calls are made and answered by, at most.
const WORKERS_MAX: usize = 4;

/// A runtime for a process that makes or answers calls.
///
/// More threads than half the processors only wake each other: what they do is move bytes, which programs, disks (they have
/// threads of their own) and the kernel do at the same time.
///
/// # Errors
/// When threads cannot be started.
pub fn runtime(name: &str) -> std::io::Result<tokio::runtime::Runtime> {
    let workers = std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).clamp(1, WORKERS_MAX));
    tokio::runtime::Builder::new_multi_thread().worker_threads(workers).thread_name(name).enable_all().build()
}

/// A server as the cluster map or the user names it: `host:port`, or a name that only this process knows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub String);

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A request with what travels beside its header.
#[derive(Clone, Debug)]
pub struct Call {
    /// Follows the request through every log.
    pub id: RequestId,
    /// What is asked.
    pub request: Request,
    /// Raw bytes: a page object, or encoded nodes one after the other.
    pub body: Bytes,
    /// When the caller stops waiting. A call that ran out is *unknown*, not failed.
    pub deadline: Duration,
}

/// A reply with what travels beside its header.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What was answered.
    pub reply: Reply,
    /// Raw bytes, as the reply's type says.
    pub body: Bytes,
}

/// Who sent a request, as the transport proved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Name in the peer's certificate, or `local` within the process.
    pub name: String,
    /// Whether the certificate allows acting as a server (providers, helpers).
    pub is_server: bool,
}

/// A call that brought no reply.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RpcError {
    /// The server answered with an error of its own.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// Nobody answers there.
    #[error("server {address} cannot be reached: {reason}; check that weftd runs there and that the network lets UDP through")]
    Unreachable {
        /// The server.
        address: Address,
        /// What the network said.
        reason: String,
    },
    /// No answer in time; the request may or may not have been carried out.
    #[error(
        "server {address} did not answer within {waited:.1?} ({id}); check that weftd runs there and that the network lets UDP through"
    )]
    TimedOut {
        /// The server.
        address: Address,
        /// How long was waited.
        waited: Duration,
        /// The request.
        id: RequestId,
    },
    /// The two do not accept each other.
    #[error(
        "server {address} and this client do not trust each other: {reason}; use a certificate that this cluster's `weftd init` made"
    )]
    Untrusted {
        /// The server.
        address: Address,
        /// What the handshake said.
        reason: String,
    },
    /// What came is no message of this protocol version.
    #[error("server {address} sent a malformed message: {reason}")]
    Malformed {
        /// The server.
        address: Address,
        /// What is wrong with it.
        reason: String,
    },
}

impl RpcError {
    /// Whether the same call may succeed later, here or at another replica, without anybody doing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Service(error) => error.retry,
            Self::Unreachable { .. } | Self::TimedOut { .. } => true,
            Self::Untrusted { .. } | Self::Malformed { .. } => false,
        }
    }
}

/// The calling side.
#[async_trait::async_trait]
pub trait Rpc: Send + Sync + fmt::Debug {
    /// Sends `call` to the server at `address` and waits for its answer, at most until the call's deadline.
    ///
    /// # Errors
    /// [`RpcError`]; [`RpcError::is_transient`] tells whether to try again.
    async fn call(&self, address: &Address, call: Call) -> Result<Answer, RpcError>;
}

/// The answering side: a process's roles behind one door.
#[async_trait::async_trait]
pub trait Handler: Send + Sync + fmt::Debug {
    /// Carries out one request of `peer`.
    ///
    /// # Errors
    /// [`ServiceError`] is sent back as it is.
    async fn handle(&self, peer: &Peer, call: Call) -> Result<Answer, ServiceError>;
}
