//! Where planted bugs act on messages.

use super::plant::Plant;
use super::world::World;
use std::sync::Arc;
use std::time::Duration;
use weft_common::id::VolumeVersion;
use weft_common::rpc::{Answer, Call, Handler, Peer};
use weft_common::wire::{
    At, BlobReply, BlobRequest, ErrorKind, NamespaceAnswer, NamespaceQuery, Query, Reply, Request, ServiceError,
};

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
