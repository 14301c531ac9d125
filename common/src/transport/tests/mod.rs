//! Two endpoints on loopback.

mod calls;
mod hostile;
mod identities;
mod local;
mod simulation;
mod trust;

use super::*;
use crate::id::{ClusterId, RequestId};
use crate::rpc::{Address, Answer, Call, Handler, Peer};
use crate::wire::{DataReply, DataRequest, ErrorKind, MetadataRequest, Reply, Request, ServiceError};
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

const CLUSTER: ClusterId = ClusterId(0xabc);

/// `Data(Sync)` echoes the body, `Data(Delete)` waits until it is let go, `Metadata` is refused.
#[derive(Debug, Default)]
struct Echo {
    begun: AtomicUsize,
    finished: AtomicUsize,
    go: Notify,
    last_peer: std::sync::Mutex<Option<Peer>>,
}

#[async_trait::async_trait]
impl Handler for Echo {
    async fn handle(&self, peer: &Peer, call: Call) -> Result<Answer, ServiceError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        *self.last_peer.lock().unwrap() = Some(peer.clone());
        match call.request {
            Request::Data(DataRequest::Delete { .. }) => self.go.notified().await,
            Request::Metadata(_) => return Err(ServiceError::new(ErrorKind::WrongServer, "no metadata here")),
            _ => {}
        }
        self.finished.fetch_add(1, Ordering::SeqCst);
        Ok(Answer { reply: Reply::Data(DataReply::Done), body: call.body })
    }
}

struct TestServer {
    echo: Arc<Echo>,
    address: Address,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl TestServer {
    fn start(authority: &ClusterAuthority) -> Self {
        Self::start_at(authority, SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    fn start_at(authority: &ClusterAuthority, address: SocketAddr) -> Self {
        let listener = Listener::bind(&authority.issue(Holder::Server, "server").unwrap(), address).unwrap();
        let address = Address(listener.local_address().unwrap().to_string());
        let (stop, stopped) = watch::channel(false);
        let echo = Arc::new(Echo::default());
        let task = tokio::spawn(listener.serve(echo.clone(), format!("data@{address}"), stopped));
        Self { echo, address, stop, task }
    }

    async fn stop(self) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap();
    }
}

fn authority() -> ClusterAuthority {
    ClusterAuthority::create(CLUSTER).unwrap()
}

fn client(authority: &ClusterAuthority) -> QuicRpc {
    QuicRpc::new(&authority.issue(Holder::Client, "desk-1").unwrap()).unwrap()
}

fn call(request: Request, body: impl Into<Bytes>) -> Call {
    Call { id: RequestId(7), request, body: body.into(), deadline: Duration::from_secs(30) }
}

fn echo(body: impl Into<Bytes>) -> Call {
    call(Request::Data(DataRequest::Sync { incarnation: crate::id::Incarnation(1) }), body)
}

fn wait(deadline: Duration) -> Call {
    Call { deadline, ..call(Request::Data(DataRequest::Delete { objects: vec![] }), Bytes::new()) }
}

fn refused() -> Call {
    call(Request::Metadata(MetadataRequest::Sync { incarnation: crate::id::Incarnation(1) }), Bytes::new())
}
