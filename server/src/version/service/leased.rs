//! Requests about the present namespace: those that want to remember the answer, and all others that must not overtake a call for leases.

use super::Manager;
use super::handle::is_short;
use super::state_thread::State;
use crate::version::failure::Failure;
use crate::version::kv::{Kv, KvError};
use crate::version::namespace;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use weft_common::id::{InodeNumber, SessionId, VolumeId};
use weft_common::wire::{
    At, Attributes, ErrorKind, FileKind, LeaseReply, LeaseRequest, LeasedDirectory, Moment, NamespaceAnswer, Query, ServiceError,
};

/// Sub-directories that are leased with a listing of the directory that they are in.
const LISTED_DIRECTORIES_MAX: usize = 64;

/// A read that has its answer, or has to wait until a call is over.
enum Read<T> {
    Done(T),
    Later(oneshot::Receiver<()>),
}

impl Manager {
    /// Answers a query.
    pub(super) async fn query(&self, volume: VolumeId, at: At, query: Query) -> Result<NamespaceAnswer, ServiceError> {
        self.unless_called_in(query, move |state, query| read(state, volume, at, query)).await
    }

    /// What `read` finds, once nothing that it is about is being called in.
    async fn unless_called_in<T: Send + 'static>(
        &self,
        query: Query,
        read: impl Fn(&mut State, &Query) -> Result<Read<T>, Failure> + Copy + Send + 'static,
    ) -> Result<T, ServiceError> {
        let is_short = is_short(&query);
        loop {
            let query = query.clone();
            let read = move |state: &mut State| read(state, &query);
            let seen = if is_short { self.judge(self.glance(read).await?) } else { self.ask(read).await };
            match seen? {
                Read::Done(seen) => return Ok(seen),
                // A sender that is gone has stopped with the manager; then so does the next look.
                Read::Later(over) => drop(over.await),
            }
        }
    }

    /// Answers who wants leases, or has them; a question waits up to `patience`.
    pub(super) async fn lease(&self, request: LeaseRequest, patience: Duration) -> Result<LeaseReply, ServiceError> {
        match request {
            LeaseRequest::Look { volume, session, query } => {
                self.unless_called_in(query, move |state, query| look(state, volume, session, query)).await
            }
            LeaseRequest::Await { session, line, done, gives_back, wait_ms } => {
                let until = Instant::now() + Duration::from_millis(wait_ms.into()).min(patience);
                self.await_call((session, line), done, gives_back, until).await
            }
        }
    }

    async fn await_call(
        &self,
        holder: (SessionId, u64),
        done: u64,
        gives_back: Vec<LeasedDirectory>,
        until: Instant,
    ) -> Result<LeaseReply, ServiceError> {
        let hear = move |state: &mut State| {
            // A client that asks is there, however its renewals fare: its session must not end while it believes what it has leases on.
            state.soft.renew(holder.0, Instant::now());
            state.soft.leases.hear(holder, done, &gives_back, Instant::now());
            called(state, holder)
        };
        let (mut answer, mut tells) = self.glance(hear).await?;
        while let Some(told) = tells {
            // Out of time; or the same client asks anew, and this question is one that it has given up.
            let Ok(Ok(())) = tokio::time::timeout_at(until, told).await else { break };
            (answer, tells) = self.glance(move |state| called(state, holder)).await?;
        }
        Ok(answer)
    }
}

fn called(state: &mut State, holder: (SessionId, u64)) -> (LeaseReply, Option<oneshot::Receiver<()>>) {
    let epoch = state.machine.epoch();
    state.soft.leases.called(holder, epoch)
}

/// A query, unless it would tell of what is being called in.
fn read(state: &mut State, volume: VolumeId, at: At, query: &Query) -> Result<Read<NamespaceAnswer>, Failure> {
    let answer = namespace::query(state.machine.kv(), volume, at, query);
    if at == At::Head && !state.soft.leases.is_quiet() {
        let mut about = covering(state.machine.kv(), volume, query, answer.as_ref().ok())?;
        if matches!(query, Query::ReadDirectory { .. }) {
            // Of many sub-directories one may always be called in.
            about.truncate(1);
        }
        let about = about.into_iter().map(|directory| (volume, directory));
        if let Some(over) = state.soft.leases.wait_for(about) {
            return Ok(Read::Later(over));
        }
    }
    Ok(Read::Done(answer?))
}

/// As [`read`] of the present, with leases on what the answer tells.
fn look(state: &mut State, volume: VolumeId, session: SessionId, query: &Query) -> Result<Read<LeaseReply>, Failure> {
    let answer = match read(state, volume, At::Head, query) {
        Ok(Read::Done(answer)) => Some(answer),
        Ok(Read::Later(over)) => return Ok(Read::Later(over)),
        Err(Failure::Service(error)) if error.kind == ErrorKind::NotFound => match query {
            Query::LookUp { parent, .. } if namespace::leased_under(state.machine.kv(), volume, *parent)? == Some(*parent) => {
                None
            }
            _ => return Err(Failure::Service(error)),
        },
        Err(failure) => return Err(failure),
    };
    let directories = covering(state.machine.kv(), volume, query, answer.as_ref())?;
    let moment = Moment { epoch: state.machine.epoch(), version: namespace::latest(state.machine.kv(), volume)? };
    let is_open = state.soft.is_open(session);
    let grant = if is_open { state.soft.leases.grant(session, volume, directories, Instant::now()) } else { None };
    Ok(Read::Done(LeaseReply::Seen { answer, moment, grant }))
}

/// The directories whose leases cover what a query of the present tells.
fn covering(kv: &dyn Kv, volume: VolumeId, query: &Query, answer: Option<&NamespaceAnswer>) -> Result<Vec<InodeNumber>, KvError> {
    let directory = |attributes: &Attributes| (attributes.kind == FileKind::Directory).then_some(attributes.inode);
    let mut covering = match query {
        Query::LookUp { parent, .. } => vec![*parent],
        Query::ReadDirectory { directory, .. } => vec![*directory],
        Query::Attributes(inode)
        | Query::Parent(inode)
        | Query::ReadLink(inode)
        | Query::GetXattr { inode, .. }
        | Query::ListXattrs(inode) => namespace::leased_under(kv, volume, *inode)?.into_iter().collect(),
        _ => Vec::new(),
    };
    match answer {
        Some(NamespaceAnswer::Attributes(attributes)) => covering.extend(directory(attributes)),
        Some(NamespaceAnswer::Entries { entries, .. }) => {
            covering.extend(entries.iter().filter_map(|entry| directory(&entry.attributes)).take(LISTED_DIRECTORIES_MAX));
        }
        _ => {}
    }
    covering.dedup();
    Ok(covering)
}
