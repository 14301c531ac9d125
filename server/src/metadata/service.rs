//! Answers [`MetadataRequest`]s out of an object store: batches of nodes, whose encodings travel one after the other in the body.
//!
//! Nodes are small and mostly in the kernel's cache, so a read is first tried without leaving the async thread (a hop costs more
//! than the read); only what the disk must supply goes to a blocking one.

use crate::storage::blocking::BlockingStore;
use crate::storage::{Key, Listing, NewObject, ObjectStore, StoreError};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use std::time::Duration;
use weft_common::id::NodeId;
use weft_common::limits::{BODY_BYTES_MAX, IDS_PER_LISTING, NODE_BYTES_MAX, NODES_PER_BATCH_MAX, OBJECTS_PER_DELETE_MAX};
use weft_common::rpc::{Answer, Call, Peer};
use weft_common::wire::{Cursor, ErrorKind, MetadataReply, MetadataRequest, Reply, Request, ServiceError, Space};

/// The metadata provider's role.
#[derive(Clone, Debug)]
pub struct MetadataProvider {
    store: BlockingStore,
}

impl MetadataProvider {
    /// A provider of the nodes in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store: BlockingStore::new(store) }
    }

    /// Carries out a [`Request::Metadata`].
    ///
    /// # Errors
    /// `WrongServer` for requests of other roles; otherwise what the store says, see [`StoreError`].
    #[tracing::instrument(level = "debug", skip_all, fields(request = %call.id, peer = %peer.name))]
    pub async fn handle(&self, peer: &Peer, call: Call) -> Result<Answer, ServiceError> {
        let Request::Metadata(request) = call.request else {
            let message = format!("a metadata provider does not answer '{}'", call.request.name());
            return Err(ServiceError::new(ErrorKind::WrongServer, message));
        };
        match request {
            MetadataRequest::Put { nodes } => self.put(nodes, call.body, call.deadline).await,
            MetadataRequest::Get { nodes } => self.get(&nodes, call.deadline).await,
            MetadataRequest::Delete { nodes } => self.delete(peer, &nodes, call.deadline).await,
            MetadataRequest::List { after, limit } => self.list(after, limit, call.deadline).await,
            MetadataRequest::Space => {
                let space = self.store.run(call.deadline, |store| store.statistics()).await?.into();
                Ok(Answer { reply: Reply::Metadata(MetadataReply::Space(space)), body: Bytes::new() })
            }
            MetadataRequest::Sync { incarnation } => {
                self.store.sync(incarnation, call.deadline).await?;
                Ok(done())
            }
        }
    }

    /// The provider's disk, for heartbeats.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the disk does not tell.
    pub fn space(&self) -> Result<Space, StoreError> {
        Ok(self.store.store().statistics()?.into())
    }

    async fn put(&self, nodes: Vec<(NodeId, u32)>, body: Bytes, patience: Duration) -> Result<Answer, ServiceError> {
        check_count(nodes.len(), NODES_PER_BATCH_MAX)?;
        let total: u64 = nodes.iter().map(|(_, length)| u64::from(*length)).sum();
        if total != body.len() as u64 {
            return Err(invalid(format!("the nodes have {total} bytes together, the body has {}", body.len())));
        }
        if let Some((node, length)) = nodes.iter().find(|(_, length)| *length == 0 || *length as usize > NODE_BYTES_MAX) {
            return Err(invalid(format!("node {node} has {length} bytes; a node has 1 to {NODE_BYTES_MAX}")));
        }
        let job = move |store: &dyn ObjectStore| {
            let mut start = 0;
            let objects: Vec<NewObject<'_>> = nodes
                .iter()
                .map(|(node, length)| {
                    let end = start + *length as usize;
                    let body = &body[start..end];
                    start = end;
                    NewObject { key: Key::from(*node), extra: &[], body }
                })
                .collect();
            let incarnation = store.incarnation();
            store.put(&objects).map(|()| incarnation)
        };
        let incarnation = self.store.run(patience, job).await?;
        Ok(Answer { reply: Reply::Metadata(MetadataReply::Stored { incarnation }), body: Bytes::new() })
    }

    async fn get(&self, nodes: &[NodeId], patience: Duration) -> Result<Answer, ServiceError> {
        check_count(nodes.len(), NODES_PER_BATCH_MAX)?;
        let mut found: Vec<Option<Bytes>> = vec![None; nodes.len()];
        let mut on_disk: Vec<(usize, Key)> = Vec::new();
        for (place, node) in nodes.iter().enumerate() {
            let key = Key::from(*node);
            match self.store.store().get_now(&key) {
                Some(object) => found[place] = object?.map(|object| object.body),
                None => on_disk.push((place, key)),
            }
        }
        if !on_disk.is_empty() {
            let read = move |store: &dyn ObjectStore| {
                on_disk.iter().map(|(place, key)| Ok((*place, store.get(key)?))).collect::<Result<Vec<_>, StoreError>>()
            };
            for (place, object) in self.store.run(patience, read).await? {
                found[place] = object.map(|object| object.body);
            }
        }
        answer_of(&found)
    }

    async fn list(&self, after: Cursor, limit: u32, patience: Duration) -> Result<Answer, ServiceError> {
        let limit = limit.clamp(1, IDS_PER_LISTING) as usize;
        let Listing { entries, next } = self.store.run(patience, move |store| store.list(&after, limit)).await?;
        let nodes = entries.into_iter().filter_map(|(key, bytes)| Some((key.node()?, bytes))).collect();
        Ok(Answer { reply: Reply::Metadata(MetadataReply::List { nodes, next }), body: Bytes::new() })
    }

    async fn delete(&self, peer: &Peer, nodes: &[NodeId], patience: Duration) -> Result<Answer, ServiceError> {
        if !peer.is_server {
            let message = format!("only servers delete nodes; the certificate of '{}' is a client's", peer.name);
            return Err(ServiceError::new(ErrorKind::Untrusted, message));
        }
        check_count(nodes.len(), OBJECTS_PER_DELETE_MAX)?;
        let keys: Vec<Key> = nodes.iter().map(|node| Key::from(*node)).collect();
        self.store.run(patience, move |store| store.delete(&keys)).await?;
        Ok(done())
    }
}

fn answer_of(found: &[Option<Bytes>]) -> Result<Answer, ServiceError> {
    let lengths = found.iter().map(|body| body.as_ref().map(|body| body.len() as u32)).collect();
    let total: usize = found.iter().flatten().map(Bytes::len).sum();
    if total > BODY_BYTES_MAX as usize {
        return Err(invalid(format!(
            "these nodes have {total} bytes together, an answer at most {BODY_BYTES_MAX}; ask for fewer"
        )));
    }
    let mut there = found.iter().flatten();
    let body = match (there.next(), there.next()) {
        (Some(only), None) => only.clone(),
        _ => {
            let mut body = BytesMut::with_capacity(total);
            found.iter().flatten().for_each(|node| body.extend_from_slice(node));
            body.freeze()
        }
    };
    Ok(Answer { reply: Reply::Metadata(MetadataReply::Nodes { lengths }), body })
}

fn check_count(count: usize, limit: usize) -> Result<(), ServiceError> {
    if count > limit { Err(invalid(format!("{count} nodes in one request; at most {limit}, send several"))) } else { Ok(()) }
}

fn invalid(message: String) -> ServiceError {
    ServiceError::new(ErrorKind::InvalidArgument, message)
}

fn done() -> Answer {
    Answer { reply: Reply::Metadata(MetadataReply::Done), body: Bytes::new() }
}

#[cfg(test)]
mod tests;
