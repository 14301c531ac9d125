//! Calls within the process, with the same meaning as over the network.

use crate::rpc::{Address, Answer, Call, Handler, Peer, Rpc, RpcError};
use crate::wire::ServiceError;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use tokio::runtime::Handle;
use tokio::time::Instant;

/// Servers of this process by address. Callers count as servers: whoever can call within the process is it.
#[derive(Debug, Default)]
pub struct LocalRpc {
    handlers: RwLock<HashMap<Address, Arc<dyn Handler>>>,
}

impl LocalRpc {
    /// No servers yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a server at `address`.
    pub fn insert(&self, address: Address, handler: Arc<dyn Handler>) {
        self.handlers.write().unwrap_or_else(PoisonError::into_inner).insert(address, handler);
    }

    /// Takes the server at `address` away, and returns it; calls under way finish.
    pub fn remove(&self, address: &Address) -> Option<Arc<dyn Handler>> {
        self.handlers.write().unwrap_or_else(PoisonError::into_inner).remove(address)
    }

    fn get(&self, address: &Address) -> Option<Arc<dyn Handler>> {
        self.handlers.read().unwrap_or_else(PoisonError::into_inner).get(address).cloned()
    }
}

async fn call_handler(handler: Arc<dyn Handler>, address: &Address, call: Call) -> Result<Answer, RpcError> {
    let start = Instant::now();
    let (id, deadline) = (call.id, call.deadline);
    let work = Detached::new(async move {
        let peer = Peer { name: "local".to_owned(), is_server: true };
        handler.handle(&peer, call).await
    });
    match tokio::time::timeout(deadline, work).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(RpcError::Service(error.from_server(&address.0))),
        Err(_) => Err(RpcError::TimedOut { address: address.clone(), waited: start.elapsed(), id }),
    }
}

#[async_trait::async_trait]
impl Rpc for LocalRpc {
    async fn call(&self, address: &Address, call: Call) -> Result<Answer, RpcError> {
        match self.get(address) {
            Some(handler) => call_handler(handler, address, call).await,
            None => {
                let reason = "no such server in this process".to_owned();
                Err(RpcError::Unreachable { address: address.clone(), reason })
            }
        }
    }
}

/// Servers of this process directly, all others over the network.
#[derive(Debug)]
pub struct RoutingRpc {
    local: Arc<LocalRpc>,
    remote: Arc<dyn Rpc>,
}

impl RoutingRpc {
    /// Prefers `local`.
    #[must_use]
    pub fn new(local: Arc<LocalRpc>, remote: Arc<dyn Rpc>) -> Self {
        Self { local, remote }
    }
}

#[async_trait::async_trait]
impl Rpc for RoutingRpc {
    async fn call(&self, address: &Address, call: Call) -> Result<Answer, RpcError> {
        match self.local.get(address) {
            Some(handler) => call_handler(handler, address, call).await,
            None => self.remote.call(address, call).await,
        }
    }
}

type Work = Pin<Box<dyn Future<Output = Result<Answer, ServiceError>> + Send>>;

/// A handler's work that goes on when its caller stops waiting, as it does over the network. Runs on the caller's own task
/// (a hop to another thread costs more than most requests) and moves to one of its own only when the caller leaves.
struct Detached {
    work: Option<Work>,
    runtime: Handle,
}

impl Detached {
    fn new(work: impl Future<Output = Result<Answer, ServiceError>> + Send + 'static) -> Self {
        Self { work: Some(Box::pin(work)), runtime: Handle::current() }
    }
}

impl Future for Detached {
    type Output = Result<Answer, ServiceError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = self.work.as_mut() else { return Poll::Pending };
        let polled = work.as_mut().poll(context);
        if polled.is_ready() {
            self.work = None;
        }
        polled
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.runtime.spawn(work);
        }
    }
}
