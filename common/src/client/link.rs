//! How a request of this client reaches a server: request ids, deadlines, and the managers of the cluster.
//!
//! The user names one or several managers (version manager and provider manager are one state machine). The client talks
//! to the one that answered last; when it fails, the next is tried, and only when all failed does it pause.

use super::ClientError;
use super::retry::{Context, Retry};
use crate::id::{RequestId, SessionId};
use crate::rpc::{Address, Answer, Call, Rpc, RpcError};
use crate::wire::{ErrorKind, ProviderInfo, Reply, Request};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// The way out of this process.
#[derive(Debug)]
pub(crate) struct Link {
    rpc: Arc<dyn Rpc>,
    managers: Vec<Address>,
    preferred: AtomicUsize,
    timeout: Duration,
    /// Upper half of the request ids: the session, or a random number with the highest bit set before there is one.
    prefix: AtomicU64,
    requests: AtomicU64,
}

/// A request to the managers that failed for good.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Why.
    pub(crate) error: ClientError,
    /// Whether some attempt brought no answer, so that it may have been carried out.
    pub(crate) uncertain: bool,
}

impl Failure {
    /// Whether the version manager does not know the session (any more).
    pub(crate) fn is_session_expired(&self) -> bool {
        matches!(&self.error, ClientError::Service(error) if error.kind == ErrorKind::SessionExpired)
    }
}

impl From<Failure> for ClientError {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

impl Link {
    pub(crate) fn new(rpc: Arc<dyn Rpc>, managers: Vec<Address>, timeout: Duration) -> Self {
        let prefix = AtomicU64::new(u64::from(fastrand::u32(..) | 0x8000_0000));
        Self { rpc, managers, preferred: AtomicUsize::new(0), timeout, prefix, requests: AtomicU64::new(0) }
    }

    /// From now on request ids begin with the session's number.
    pub(crate) fn name_requests_after(&self, session: SessionId) {
        self.prefix.store(session.0, Ordering::Relaxed);
    }

    /// A new public call: its id, and all the patience there is.
    pub(crate) fn context(&self) -> Context {
        self.context_for(self.timeout)
    }

    /// A new call with other patience than the usual.
    pub(crate) fn context_for(&self, timeout: Duration) -> Context {
        let count = self.requests.fetch_add(1, Ordering::Relaxed) & 0xffff_ffff;
        Context::new(RequestId(self.prefix.load(Ordering::Relaxed) << 32 | count), timeout)
    }

    /// One RPC, tried once.
    pub(crate) async fn once(&self, context: Context, to: &Address, request: Request, body: Bytes) -> Result<Answer, RpcError> {
        let call = Call { id: context.id, request, body, deadline: context.deadline() };
        self.rpc.call(to, call).await
    }

    /// Asks the managers until one answers or patience ends.
    pub(crate) async fn manager(&self, context: Context, request: Request) -> Result<Reply, Failure> {
        let mut retry = Retry::new(context);
        let (mut uncertain, mut wrong, mut failed) = (false, 0, 0);
        loop {
            let (place, address) = self.preferred_manager();
            let error = match self.once(context, address, request.clone(), Bytes::new()).await {
                Ok(answer) => return Ok(answer.reply),
                Err(error) => error,
            };
            uncertain |= may_have_happened(&error);
            let elsewhere = matches!(&error, RpcError::Service(service) if service.kind == ErrorKind::WrongServer);
            wrong += usize::from(elsewhere);
            failed += 1;
            if elsewhere || error.is_transient() {
                self.prefer_next(place);
            }
            let others = if elsewhere { wrong < self.managers.len() } else { failed % self.managers.len() != 0 };
            if others && (elsewhere || error.is_transient()) {
                tracing::debug!(request = %context.id, manager = %address, %error, "trying the next manager");
            } else {
                retry.after(request.name(), error).await.map_err(|error| Failure { error, uncertain })?;
            }
        }
    }

    fn preferred_manager(&self) -> (usize, &Address) {
        let place = self.preferred.load(Ordering::Relaxed) % self.managers.len();
        (place, &self.managers[place])
    }

    fn prefer_next(&self, failed: usize) {
        let next = (failed + 1) % self.managers.len();
        // Another call may have moved on already; then leave it there.
        let _ = self.preferred.compare_exchange(failed, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The error for a reply that does not belong to the request.
    pub(crate) fn unexpected(&self, wanted: &str, reply: &Reply) -> ClientError {
        let (_, address) = self.preferred_manager();
        malformed(address, wanted, reply)
    }
}

/// Whether the server may have carried out a request that failed like this. A refusal did nothing.
fn may_have_happened(error: &RpcError) -> bool {
    match error {
        RpcError::Service(error) => matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Internal),
        RpcError::TimedOut { .. } | RpcError::Unreachable { .. } | RpcError::Malformed { .. } => true,
        RpcError::Untrusted { .. } => false,
    }
}

/// Where a provider answers.
pub(crate) fn address_of(provider: &ProviderInfo) -> Address {
    Address(provider.address.clone())
}

/// The error for a reply from `address` that does not belong to the request.
pub(crate) fn malformed(address: &Address, wanted: &str, reply: &Reply) -> ClientError {
    let kind = match reply {
        Reply::Volume(_) => "volume",
        Reply::Session(_) => "session",
        Reply::Query(_) => "query",
        Reply::Change(_) => "change",
        Reply::Blob(_) => "blob",
        Reply::Placement(_) => "placement",
        Reply::Metadata(_) => "metadata",
        Reply::Data(_) => "data",
        Reply::History(_) => "history",
        Reply::Lock(_) => "lock",
        Reply::Lease(_) => "lease",
    };
    let reason = format!("expected {wanted}, got another {kind} reply");
    ClientError::Unavailable { attempts: 1, last: Box::new(RpcError::Malformed { address: address.clone(), reason }) }
}
