//! The answering side: accepts connections, checks who is there, reads requests, hands them to a [`Handler`].
//!
//! Bounds, from outside in: handshakes under way, connections, requests of one connection, bytes of all bodies together. What
//! exceeds the first two is sent away before it costs anything (first asked to prove its address, then refused); the others
//! wait in QUIC's flow control.

use super::certificate::CertificateFacts;
use super::error::{TransportError, code};
use super::frame::{self, AnswerHeader, FrameError, Head, RequestHeader, SendGuard};
use super::ground::{Ground, System};
use super::identity::{Holder, Identity};
use super::tuning::{self, ServerSettings};
use crate::buffers::BufferPool;
use crate::id::ClusterId;
use crate::limits::{
    BODIES_BYTES_MAX, CONNECT_TIMEOUT, CONNECTIONS_MAX, HANDSHAKES_MAX, REQUEST_DEADLINE_MAX, REQUESTS_PER_CONNECTION_MAX,
    RPC_DEADLINE, SHUTDOWN_GRACE,
};
use crate::rpc::{Answer, Call, Handler, Peer};
use crate::wire::{ErrorKind, Request, ServiceError};
use bytes::Bytes;
use quinn::{Connection, ConnectionError, Endpoint, Incoming, RecvStream, SendStream};
use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::Instrument;

/// An open socket that answers once [`Listener::serve`] runs.
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
    settings: ServerSettings,
    cluster: ClusterId,
    pub(super) bodies: Arc<BufferPool>,
    /// Bytes of bodies that may be in memory.
    pub(super) body_budget: Arc<Semaphore>,
}

/// What all connections of a listener share.
#[derive(Debug)]
struct Service {
    handler: Arc<dyn Handler>,
    server_name: String,
    cluster: ClusterId,
    bodies: Arc<BufferPool>,
    body_budget: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    /// Has no permits; closed when the server stops. It wakes connections in the order in which they came, so that a simulation
    /// can repeat it; a watch would in random order.
    running: Semaphore,
}

impl Listener {
    /// Opens the socket. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// [`TransportError`], most often because the port is taken.
    pub fn bind(identity: &Identity, listen: SocketAddr) -> Result<Self, TransportError> {
        Self::on(&System, identity, listen)
    }

    pub(super) fn on(ground: &dyn Ground, identity: &Identity, listen: SocketAddr) -> Result<Self, TransportError> {
        if identity.holder != Holder::Server {
            return Err(TransportError::Identity("a client's certificate cannot serve".into()));
        }
        let settings = ServerSettings::new(identity)?;
        let endpoint = tuning::listening_endpoint(ground, identity, &settings, listen)?;
        let body_budget = Arc::new(Semaphore::new(BODIES_BYTES_MAX as usize));
        Ok(Self { endpoint, settings, cluster: identity.facts.cluster, bodies: Arc::default(), body_budget })
    }

    /// Where it listens: with the port that the system chose, if none was given.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_address(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Answers requests until `shutdown` becomes true (or its sender is gone); then lets those under way finish, for at most
    /// [`SHUTDOWN_GRACE`], and closes. `server_name` is put into errors that name no server.
    pub async fn serve(self, handler: Arc<dyn Handler>, server_name: String, mut shutdown: watch::Receiver<bool>) {
        let service = Arc::new(Service {
            handler,
            server_name,
            cluster: self.cluster,
            bodies: self.bodies.clone(),
            body_budget: self.body_budget.clone(),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            running: Semaphore::new(0),
        });
        let mut connections = JoinSet::new();
        loop {
            // In this order, so that neither a busy socket hides the end nor finished connections pile up behind new ones.
            tokio::select! {
                biased;
                _ = shutdown.wait_for(|stop| *stop) => break,
                Some(finished) = connections.join_next() => report_panic(finished),
                incoming = self.endpoint.accept() => match incoming {
                    Some(incoming) => self.admit(incoming, &service, &mut connections),
                    None => break,
                },
            }
        }
        self.endpoint.set_server_config(None);
        service.running.close();
        let finish = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(SHUTDOWN_GRACE, finish).await.is_err() {
            tracing::warn!("requests that were still under way after {SHUTDOWN_GRACE:?} were cut off");
        }
        tuning::say_goodbye(&self.endpoint, "the server stops").await;
    }

    fn admit(&self, incoming: Incoming, service: &Arc<Service>, connections: &mut JoinSet<()>) {
        let remote = incoming.remote_address();
        let Ok(place) = Arc::clone(&service.connections).try_acquire_owned() else {
            tracing::warn!(%remote, "connection refused: there are {CONNECTIONS_MAX} already");
            return incoming.refuse();
        };
        // Half of the places for handshakes are for peers that proved to be where they say.
        let crowded = service.handshakes.available_permits() < HANDSHAKES_MAX / 2;
        if crowded && !incoming.remote_address_validated() {
            let _ = incoming.retry();
            return;
        }
        let Ok(handshake) = Arc::clone(&service.handshakes).try_acquire_owned() else { return incoming.refuse() };
        let service = Arc::clone(service);
        let settings = self.settings.for_peer(remote);
        connections.spawn(async move {
            let connecting = incoming.accept_with(settings);
            let connected = async { connecting?.await };
            let connection = tokio::time::timeout(CONNECT_TIMEOUT, connected).await;
            drop(handshake);
            match connection {
                Ok(Ok(connection)) => serve_connection(&service, connection).await,
                Ok(Err(error)) => tracing::warn!(%remote, %error, "a peer failed the handshake; it gets nothing"),
                Err(_) => tracing::debug!(%remote, "a handshake took longer than {CONNECT_TIMEOUT:?}"),
            }
            drop(place);
        });
    }
}

fn report_panic(finished: Result<(), tokio::task::JoinError>) {
    if let Err(error) = finished
        && error.is_panic()
    {
        tracing::error!(%error, "a request's handler panicked; this is a bug");
    }
}

/// Who is at the other end, from the certificate that the handshake checked.
fn identify(connection: &Connection, cluster: ClusterId) -> Result<Peer, String> {
    let chain = connection.peer_identity().and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok());
    let certificate = chain.as_ref().and_then(|chain| chain.first()).ok_or("no certificate")?;
    let facts = CertificateFacts::read(certificate)?;
    if facts.cluster != cluster {
        return Err(format!("the certificate is of cluster {}, this is {cluster}", facts.cluster));
    }
    let holder = facts.holder.ok_or("the certificate is the authority's own")?;
    Ok(Peer { name: facts.name, is_server: holder == Holder::Server })
}

async fn serve_connection(service: &Arc<Service>, connection: Connection) {
    let remote = connection.remote_address();
    let peer = match identify(&connection, service.cluster) {
        Ok(peer) => Arc::new(peer),
        Err(reason) => {
            tracing::warn!(%remote, reason, "a peer's certificate says nothing useful; it gets nothing");
            return connection.close(code::UNTRUSTED, reason.as_bytes());
        }
    };
    tracing::debug!(%remote, peer = peer.name, is_server = peer.is_server, "connected");
    let places = Arc::new(Semaphore::new(REQUESTS_PER_CONNECTION_MAX as usize));
    let mut stop = pin!(service.running.acquire());
    let mut requests = JoinSet::new();
    let end: Option<ConnectionError> = loop {
        while let Some(finished) = requests.try_join_next() {
            report_panic(finished);
        }
        let accept = async {
            let place = Arc::clone(&places).acquire_owned().await;
            connection.accept_bi().await.map(|streams| (streams, place))
        };
        tokio::select! {
            biased;
            _ = &mut stop => break None,
            accepted = accept => match accepted {
                Ok(((send, receive), place)) => {
                    let (service, peer) = (Arc::clone(service), Arc::clone(&peer));
                    requests.spawn(async move {
                        serve_request(&service, &peer, send, receive).await;
                        drop(place);
                    });
                }
                Err(error) => break Some(error),
            },
        }
    };
    // Handlers are never cut off in the middle of a change: a peer that went away does not undo its request.
    while let Some(finished) = requests.join_next().await {
        report_panic(finished);
    }
    match end {
        Some(error) => tracing::debug!(%remote, %error, "connection ended"),
        None => connection.close(code::DONE, b"the server stops"),
    }
}

async fn serve_request(service: &Service, peer: &Peer, send: SendStream, mut receive: RecvStream) {
    let mut send = SendGuard::new(send, code::FAILED);
    let head = match tokio::time::timeout(RPC_DEADLINE, frame::read_head::<RequestHeader<Request>>(&mut receive)).await {
        Ok(Ok(head)) => head,
        Ok(Err(error)) => return refuse(peer, &error, &mut send, &mut receive),
        Err(_) => return refuse(peer, &FrameError::Late, &mut send, &mut receive),
    };
    let _ = send.stream.set_priority(head.header.request.priority());
    let id = head.header.id;
    let span = tracing::info_span!("request", %id, peer = peer.name, request = head.header.request.name());
    let work = async {
        let deadline = Duration::from_millis(head.header.deadline_ms.into()).min(REQUEST_DEADLINE_MAX);
        let reading = async {
            let budget = Arc::clone(&service.body_budget).acquire_many_owned(head.body_bytes as u32).await;
            frame::read_body(&mut receive, &head, &service.bodies).await.map(|body| (body, budget))
        };
        let (body, budget) = match tokio::time::timeout(deadline, reading).await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return refuse(peer, &error, &mut send, &mut receive),
            Err(_) => return refuse(peer, &FrameError::Late, &mut send, &mut receive),
        };
        let Head { header: RequestHeader { request, .. }, .. } = head;
        let answer = service.handler.handle(peer, Call { id, request, body, deadline }).await;
        drop(budget);
        respond(service, answer, &mut send).await;
    };
    work.instrument(span).await;
}

async fn respond(service: &Service, answer: Result<Answer, ServiceError>, send: &mut SendGuard) {
    let (header, body): (AnswerHeader, Bytes) = match answer {
        Ok(Answer { reply, body }) => {
            tracing::debug!(bytes = body.len(), "answered");
            (Ok(reply), body)
        }
        Err(error) => {
            tracing::debug!(%error, "refused");
            (Err(error.from_server(&service.server_name)), Bytes::new())
        }
    };
    let (head, body) = match frame::encode_head(&header, body.len()) {
        Ok(head) => (head, body),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be sent");
            let refusal = ServiceError::new(ErrorKind::Internal, format!("the answer cannot be sent: {error}"));
            let header: AnswerHeader = Err(refusal.from_server(&service.server_name));
            match frame::encode_head(&header, 0) {
                Ok(head) => (head, Bytes::new()),
                Err(_) => return,
            }
        }
    };
    if let Err(error) = send.write(head, body).await {
        tracing::debug!(%error, "nobody waits for the answer any more");
    }
}

/// Sends a message away that is none; the connection stays, other requests on it are not at fault.
fn refuse(peer: &Peer, error: &FrameError, send: &mut SendGuard, receive: &mut RecvStream) {
    match error {
        FrameError::Malformed(_) => tracing::warn!(peer = peer.name, %error, "a malformed request was refused"),
        _ => tracing::debug!(peer = peer.name, %error, "a request did not arrive whole"),
    }
    // What is only late is not at fault: its sender may try again.
    send.code = if matches!(error, FrameError::Late) { code::FAILED } else { code::MALFORMED };
    // Fails only when the stream is gone already.
    let _ = receive.stop(send.code);
}
