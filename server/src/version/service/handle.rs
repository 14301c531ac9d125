//! Requests from the network: which of them are commands, which are reads, and which have to wait.

use super::state_thread::State;
use super::{Asker, Manager, busy};
use crate::version::command::Action;
use crate::version::failure::Failure;
use crate::version::kv::KvError;
use crate::version::{blobs, garbage, namespace, sessions, volumes};
use bytes::Bytes;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Instrument;
use weft_common::id::{RequestId, SessionId, VolumeId};
use weft_common::rpc::{Answer, Call, Peer};
use weft_common::wire::{
    At, BlobReply, BlobRequest, ErrorKind, NamespaceAnswer, NamespaceQuery, Query, Renewal, Reply, Request, ServiceError,
    SessionReply, SessionRequest, Ticket, VolumeRequest,
};

/// A watch that found nothing, or something.
enum Watched {
    Answer(Box<NamespaceAnswer>),
    Nothing(Box<NamespaceAnswer>, Option<oneshot::Receiver<()>>),
}

impl Manager {
    /// Carries out a request of the roles' protocol: volumes, sessions, queries, changes, blobs.
    ///
    /// # Errors
    /// The refusal; `WrongServer` for requests of other roles. A request that runs out of its deadline is answered
    /// `Unavailable` (a commit: `Busy`) and may still be carried out.
    pub async fn handle(&self, peer: &Peer, call: Call) -> Result<Answer, ServiceError> {
        let span = tracing::info_span!("manager", request = %call.id, op = call.request.name(), peer = %peer.name);
        let (deadline, commit) = (call.deadline, matches!(call.request, Request::Blob(BlobRequest::Commit { .. })));
        let work = async {
            note_request(&call.request);
            let result = match tokio::time::timeout(deadline, self.answer(peer, call)).await {
                Ok(result) => result,
                Err(_) => Err(out_of_time(deadline, commit)),
            };
            note_result(&result);
            result.map(|reply| Answer { reply, body: Bytes::new() }).map_err(|error| error.from_server(&self.inner.server))
        };
        work.instrument(span).await
    }

    async fn answer(&self, peer: &Peer, call: Call) -> Result<Reply, ServiceError> {
        match call.request {
            Request::Volume(request) => self.volume(call.id, request).await,
            Request::Session(request) => self.session(call.id, request).await,
            Request::History(request) => self.history(peer, call.id, request).await,
            Request::Query(NamespaceQuery { volume, at, query: Query::Watch { after, limit, wait_ms } }) => {
                // The answer has to leave before the asker gives up.
                let wait = Duration::from_millis(wait_ms.into()).min(call.deadline * 9 / 10);
                self.watch(volume, at, Query::Watch { after, limit, wait_ms }, wait).await.map(Reply::Query)
            }
            Request::Query(NamespaceQuery { volume, at, query }) => self.query(volume, at, query).await.map(Reply::Query),
            Request::Lease(request) => self.lease(request, call.deadline * 9 / 10).await.map(Reply::Lease),
            Request::Lock(request) => {
                let patience = call.deadline * 9 / 10;
                self.lock(call.id, request, patience).await
            }
            Request::Change(change) => self.submit(call.id, Action::Change(change), Asker::default()).await,
            Request::Blob(request) => self.blob(call.id, request).await,
            Request::Placement(_) | Request::Metadata(_) | Request::Data(_) => {
                let message = format!(
                    "a version manager does not answer '{}'; check the addresses in the cluster map",
                    call.request.name()
                );
                Err(ServiceError::new(ErrorKind::WrongServer, message))
            }
        }
    }

    async fn volume(&self, id: RequestId, request: VolumeRequest) -> Result<Reply, ServiceError> {
        if !matches!(request, VolumeRequest::List | VolumeRequest::Get(_)) {
            return self.submit(id, Action::Volume(request), Asker::default()).await;
        }
        let none = || Failure::refuse(ErrorKind::Internal, "a volume query had no answer");
        self.ask(move |state| volumes::query(state.machine.kv(), &request)?.ok_or_else(none)).await.map(Reply::Volume)
    }

    async fn session(&self, id: RequestId, request: SessionRequest) -> Result<Reply, ServiceError> {
        match request {
            SessionRequest::Open { .. } | SessionRequest::Close(_) => {
                self.submit(id, Action::Session(request), Asker::default()).await
            }
            SessionRequest::Renew { session, renewal } => {
                self.ask(move |state| renew(state, session, renewal)).await.map(Reply::Session)
            }
            SessionRequest::List => {
                let list = self.ask(|state| Ok(sessions::list(state.machine.kv())?)).await?;
                Ok(Reply::Session(SessionReply::Sessions(list)))
            }
        }
    }

    async fn blob(&self, id: RequestId, request: BlobRequest) -> Result<Reply, ServiceError> {
        let reply = match request {
            BlobRequest::Ticket(request) => return self.submit(id, Action::Ticket(request), Asker::default()).await,
            BlobRequest::Commit { blob, version, maker } => {
                return self.submit(id, Action::Commit { blob, version }, Asker { wait: true, maker }).await;
            }
            BlobRequest::Rebuild { blob, version } => {
                let ticket = self.ask(move |state| blobs::rebuild(state.machine.kv(), blob, version)).await?;
                BlobReply::Granted(Box::new(ticket))
            }
            BlobRequest::Lapsed => {
                let lapsed = self.ask(|state| Ok(state.soft.lapsed_tickets(state.machine.kv(), Instant::now())?)).await?;
                BlobReply::Lapsed(lapsed)
            }
            BlobRequest::Tree { blob, version } => {
                BlobReply::Tree(self.ask(move |state| blobs::tree(state.machine.kv(), blob, version)).await?)
            }
        };
        Ok(Reply::Blob(reply))
    }

    /// Answers a watch at once if there is something, else when there is, or when `wait` is over.
    async fn watch(&self, volume: VolumeId, at: At, query: Query, wait: Duration) -> Result<NamespaceAnswer, ServiceError> {
        let until = Instant::now() + wait;
        let mut is_first = true;
        loop {
            let (asked, heeds_calls) = (query.clone(), std::mem::take(&mut is_first));
            match self.ask(move |state| look(state, volume, at, &asked, heeds_calls)).await? {
                Watched::Answer(answer) => return Ok(*answer),
                Watched::Nothing(answer, _) if wait.is_zero() => return Ok(*answer),
                Watched::Nothing(_, None) => return Err(busy("watches")),
                Watched::Nothing(answer, Some(change)) => {
                    if tokio::time::timeout_at(until, change).await.is_err() {
                        return Ok(*answer);
                    }
                }
            }
        }
    }

    /// Runs a read that may refuse. A table that fails here fails the next checkpoint as well, and that stops the manager.
    pub(super) async fn ask<R: Send + 'static>(
        &self,
        read: impl FnOnce(&mut State) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, ServiceError> {
        self.judge(self.with_state(read).await?)
    }

    pub(super) fn judge<R>(&self, seen: Result<R, Failure>) -> Result<R, ServiceError> {
        match Failure::split(seen) {
            Ok(result) => result,
            Err(KvError(reason)) => {
                tracing::error!(reason, "a read of the version manager's table failed");
                Err(ServiceError::new(ErrorKind::Internal, format!("the version manager's table failed: {reason}")))
            }
        }
    }
}

/// Whether a query looks at a few rows, however large the volume is.
pub(super) fn is_short(query: &Query) -> bool {
    matches!(
        query,
        Query::LookUp { .. }
            | Query::Attributes(_)
            | Query::Parent(_)
            | Query::ReadLink(_)
            | Query::GetXattr { .. }
            | Query::ListXattrs(_)
            | Query::Latest
    )
}

/// Looks for changes, and if there are none has the asker told of the next one: both between the same two commands.
///
/// What is called in has not happened yet, for those who watch either. It is waited for once: somewhere there may always be a call.
fn look(state: &mut State, volume: VolumeId, at: At, query: &Query, heeds_calls: bool) -> Result<Watched, Failure> {
    if heeds_calls && let Some(over) = state.soft.leases.wait_in(volume) {
        let nothing = NamespaceAnswer::Changes { changes: Vec::new(), more: false };
        return Ok(Watched::Nothing(Box::new(nothing), Some(over)));
    }
    let answer = Box::new(namespace::query(state.machine.kv(), volume, at, query)?);
    match &*answer {
        NamespaceAnswer::Changes { changes, .. } if changes.is_empty() => Ok(Watched::Nothing(answer, state.soft.watch(volume))),
        _ => Ok(Watched::Answer(answer)),
    }
}

fn renew(state: &mut State, session: SessionId, renewal: Renewal) -> Result<SessionReply, Failure> {
    if !state.soft.renew(session, Instant::now()) {
        return Err(Failure::Service(expired(session)));
    }
    let (kv, epoch) = (state.machine.kv(), state.machine.epoch());
    let mut let_go = Vec::new();
    for (volume, version) in &renewal.holds.versions {
        if !namespace::is_kept(kv, *volume, *version)? {
            let_go.push((*volume, *version));
        }
    }
    let again_in = state.soft.renewal_pause(renewal.knows, garbage::let_go_last(kv)?);
    state.soft.hold(session, renewal);
    Ok(SessionReply::Renewed { epoch, again_in, let_go })
}

fn expired(session: SessionId) -> ServiceError {
    ServiceError::new(ErrorKind::SessionExpired, format!("{session} is closed or its lease lapsed; the client opens a new one"))
}

fn out_of_time(deadline: Duration, commit: bool) -> ServiceError {
    if commit {
        let message = format!("committed, but an earlier version was not published within {deadline:?}; ask again");
        return ServiceError::new(ErrorKind::Busy, message);
    }
    let message = format!("no answer of the version manager within {deadline:?}; the request may still be carried out");
    ServiceError::new(ErrorKind::Unavailable, message)
}

/// What a person needs to find the request again, by its id or by what it is about.
fn note_request(request: &Request) {
    match request {
        Request::Blob(BlobRequest::Ticket(ticket)) => {
            let (key, inode) = (ticket.key, ticket.inode);
            tracing::debug!(volume = %ticket.volume, %inode, session = %key.session, sequence = key.sequence, "asked for a ticket");
        }
        Request::Blob(BlobRequest::Commit { blob, version, .. } | BlobRequest::Rebuild { blob, version }) => {
            tracing::debug!(%blob, %version, "asked");
        }
        Request::Change(change) => {
            let key = change.key;
            tracing::debug!(volume = %change.volume, session = %key.session, sequence = key.sequence, change = ?change.change, "asked");
        }
        Request::Volume(request) => tracing::info!(?request, "asked"),
        _ => tracing::trace!("asked"),
    }
}

fn note_result(result: &Result<Reply, ServiceError>) {
    match result {
        Ok(Reply::Blob(BlobReply::Granted(ticket))) => {
            let Ticket { blob, entry, base, in_flight, .. } = &**ticket;
            tracing::debug!(%blob, version = %entry.version, base = %base.version, in_flight = in_flight.len(), "granted");
        }
        Ok(Reply::Blob(BlobReply::Published { version, attributes })) => {
            let inode = attributes.as_ref().map(|attributes| attributes.inode.0);
            tracing::debug!(n = %version, inode, "answered: published");
        }
        Ok(Reply::Change(reply)) => {
            let inode = reply.attributes.as_ref().map(|attributes| attributes.inode.0);
            tracing::debug!(n = %reply.version, inode, "changed");
        }
        Ok(_) => tracing::trace!("answered"),
        Err(error) => tracing::debug!(%error, "refused"),
    }
}
