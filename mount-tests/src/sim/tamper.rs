//! Where planted bugs act on messages.

use super::plant::Plant;
use super::world::World;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use weft_common::id::{InodeNumber, VolumeVersion};
use weft_common::rpc::{Answer, Call, Handler, Peer};
use weft_common::wire::{
    At, BlobReply, BlobRequest, Change, DataReply, DataRequest, ErrorKind, HistoryReply, HistoryRequest, Holds, LeaseReply,
    MetadataReply, MetadataRequest, NamespaceAnswer, NamespaceChange, NamespaceQuery, Query, Reply, Request, ServiceError,
    SessionRequest, VersionRange,
};

/// What planted bugs remember.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Versions that were thinned.
    thinned: Vec<VersionRange>,
    /// Clones of files, and their origins.
    clones: BTreeMap<InodeNumber, InodeNumber>,
}

/// The answer that a client with a bug makes up instead of asking.
pub(super) fn answer_early(world: &World, call: &Call) -> Option<Answer> {
    let is_commit = matches!(call.request, Request::Blob(BlobRequest::Commit { .. }));
    if world.plant != Plant::EarlyAcknowledgement || !is_commit || !world.chance(100_000) {
        return None;
    }
    let reply = Reply::Blob(BlobReply::Published { version: VolumeVersion(1), attributes: None });
    Some(Answer { reply, body: bytes::Bytes::new() })
}

/// Has `call` answered, by a server with a bug if one is planted.
pub(super) async fn handle(world: &World, handler: &Arc<dyn Handler>, peer: &Peer, call: Call) -> Result<Answer, ServiceError> {
    match world.plant {
        Plant::Twice => twice(world, handler, peer, call).await,
        Plant::StaleNames => stale(world, handler, peer, call).await,
        Plant::OutOfOrder => out_of_order(handler, peer, call).await,
        Plant::RewrittenHistory => rewritten(handler, peer, call).await,
        Plant::DeafToReaders | Plant::RestoredTooFar => handler.handle(peer, changed(world.plant, call)).await,
        Plant::GreedySweep | Plant::NeighbourIgnored | Plant::CallsUnheard => {
            lies(world.plant, handler.handle(peer, call).await?)
        }
        Plant::EarlyNodeSync | Plant::NothingDeleted => match unheeded(world.plant, &call.request) {
            Some(reply) => Ok(Answer { reply, body: bytes::Bytes::new() }),
            None => handler.handle(peer, call).await,
        },
        Plant::TagsThinned => thinned(world, handler, peer, call).await,
        Plant::SharedClone => shared(world, handler, peer, call).await,
        _ => handler.handle(peer, call).await,
    }
}

async fn twice(world: &World, handler: &Arc<dyn Handler>, peer: &Peer, call: Call) -> Result<Answer, ServiceError> {
    let mut again = call.clone();
    if let Request::Blob(BlobRequest::Ticket(ticket)) = &mut again.request
        && world.chance(50_000)
    {
        ticket.key.sequence += 10_000 + world.below(10_000);
        // Whatever comes of it: the other one's answer is the client's.
        let _ = handler.handle(peer, again).await;
    }
    handler.handle(peer, call).await
}

async fn stale(world: &World, handler: &Arc<dyn Handler>, peer: &Peer, mut call: Call) -> Result<Answer, ServiceError> {
    let latest = Query::Latest;
    if let Request::Query(NamespaceQuery { volume, at: at @ At::Head, query: Query::LookUp { .. } }) = &mut call.request
        && world.chance(100_000)
    {
        let ask = Request::Query(NamespaceQuery { volume: *volume, at: At::Head, query: latest });
        let (id, body, deadline) = (call.id, bytes::Bytes::new(), call.deadline);
        let answer = handler.handle(peer, Call { id, request: ask, body, deadline }).await?;
        if let Reply::Query(NamespaceAnswer::Version(VolumeVersion(latest @ 4..))) = answer.reply {
            *at = At::Version(VolumeVersion(latest - 3));
        }
    }
    handler.handle(peer, call).await
}

async fn out_of_order(handler: &Arc<dyn Handler>, peer: &Peer, mut call: Call) -> Result<Answer, ServiceError> {
    if !matches!(call.request, Request::Blob(BlobRequest::Commit { .. })) {
        return handler.handle(peer, call).await;
    }
    call.deadline = Duration::from_millis(10);
    match handler.handle(peer, call).await {
        Err(error) if error.kind == ErrorKind::Busy => {
            let reply = Reply::Blob(BlobReply::Published { version: VolumeVersion(1), attributes: None });
            Ok(Answer { reply, body: bytes::Bytes::new() })
        }
        other => other,
    }
}

async fn rewritten(handler: &Arc<dyn Handler>, peer: &Peer, call: Call) -> Result<Answer, ServiceError> {
    let is_past = matches!(call.request, Request::Query(NamespaceQuery { at: At::Version(_), .. }));
    let mut answer = handler.handle(peer, call).await?;
    if let Reply::Query(NamespaceAnswer::Attributes(attributes)) = &mut answer.reply
        && let Some(tree) = &mut attributes.tree
        && is_past
        && tree.size > 0
    {
        tree.size -= 1;
    }
    Ok(answer)
}

/// What a server makes of a request that it does not understand.
fn changed(plant: Plant, mut call: Call) -> Call {
    match &mut call.request {
        Request::Session(SessionRequest::Renew { renewal, .. }) if plant == Plant::DeafToReaders => {
            renewal.holds = Holds::default()
        }
        Request::Change(NamespaceChange { change: Change::Restore { to, .. }, .. }) if plant == Plant::RestoredTooFar => {
            to.0 = to.0.saturating_sub(1).max(1);
        }
        _ => {}
    }
    call
}

/// Answers of the version manager that leave something out.
fn lies(plant: Plant, mut answer: Answer) -> Result<Answer, ServiceError> {
    match &mut answer.reply {
        Reply::History(HistoryReply::Sessions(sessions)) if plant == Plant::GreedySweep => sessions.open.clear(),
        Reply::History(HistoryReply::Work { jobs, .. }) if plant == Plant::NeighbourIgnored => {
            jobs.iter_mut().for_each(|job| job.newer = None);
        }
        Reply::Lease(LeaseReply::CalledIn { directories, .. }) if plant == Plant::CallsUnheard => directories.clear(),
        _ => {}
    }
    Ok(answer)
}

/// The answer to a request that a provider does nothing about.
fn unheeded(plant: Plant, request: &Request) -> Option<Reply> {
    match request {
        Request::Metadata(MetadataRequest::Sync { .. }) if plant == Plant::EarlyNodeSync => {
            Some(Reply::Metadata(MetadataReply::Done))
        }
        Request::Metadata(MetadataRequest::Delete { .. }) if plant == Plant::NothingDeleted => {
            Some(Reply::Metadata(MetadataReply::Done))
        }
        Request::Data(DataRequest::Delete { .. }) if plant == Plant::NothingDeleted => Some(Reply::Data(DataReply::Done)),
        _ => None,
    }
}

async fn thinned(world: &World, handler: &Arc<dyn Handler>, peer: &Peer, call: Call) -> Result<Answer, ServiceError> {
    let memory = || world.memory.lock().unwrap_or_else(PoisonError::into_inner);
    match &call.request {
        Request::History(HistoryRequest::Thin { ranges, .. }) => memory().thinned.extend(ranges),
        Request::Query(NamespaceQuery { at: At::Version(version), .. }) => {
            let is_in = |range: &VersionRange| range.first <= *version && *version <= range.last;
            if memory().thinned.iter().any(is_in) {
                return Err(ServiceError::new(ErrorKind::Stale, "it was thinned, tag or not"));
            }
        }
        _ => {}
    }
    handler.handle(peer, call).await
}

async fn shared(world: &World, handler: &Arc<dyn Handler>, peer: &Peer, call: Call) -> Result<Answer, ServiceError> {
    let (id, request, deadline) = (call.id, call.request.clone(), call.deadline);
    let mut answer = handler.handle(peer, call).await?;
    let memory = || world.memory.lock().unwrap_or_else(PoisonError::into_inner);
    match (request, &mut answer.reply) {
        (Request::Change(NamespaceChange { change: Change::Clone { source, .. }, .. }), Reply::Change(reply)) => {
            memory().clones.extend(reply.attributes.as_ref().map(|clone| (clone.inode, source)));
        }
        (
            Request::Query(NamespaceQuery { volume, at: At::Head, query: Query::LookUp { .. } }),
            Reply::Query(NamespaceAnswer::Attributes(found)),
        ) => {
            let origin = memory().clones.get(&found.inode).copied();
            let Some(origin) = origin else { return Ok(answer) };
            let request = Request::Query(NamespaceQuery { volume, at: At::Head, query: Query::Attributes(origin) });
            let asked = handler.handle(peer, Call { id, request, body: bytes::Bytes::new(), deadline }).await;
            if let Ok(Answer { reply: Reply::Query(NamespaceAnswer::Attributes(origin)), .. }) = asked
                && found.tree.is_some()
            {
                (found.tree, found.size) = (origin.tree, origin.size);
            }
        }
        _ => {}
    }
    Ok(answer)
}
