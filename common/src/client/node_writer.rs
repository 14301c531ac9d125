//! Tree nodes out: each to the first `copies` living providers of its partition's ranking, a batch to each provider.
//!
//! When a provider fails, the next one of the ranking takes its place; readers go down the same ranking and find it there.
//! Putting a node twice is harmless, for the bytes are a function of the log.

use super::ClientError;
use super::health::Health;
use super::link::{Link, address_of};
use super::map::MapKeeper;
use super::objects::no_space;
use super::placement::{count, lacks_only_room};
use super::retry::{Context, Retry};
use super::sync::{Unsynced, stored_in};
use crate::id::{NodeId, ProviderId};
use crate::limits::{ATTEMPTS_BEFORE_TOO_FEW, NODE_BATCH_BYTES_MAX, NODE_BATCHES_AT_ONCE_MAX, NODES_PER_BATCH_MAX};
use crate::rpc::{Address, RpcError};
use crate::wire::{ClusterMap, ErrorKind, MetadataRequest, ProviderRole, ProviderState, Request};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Stores tree nodes.
#[derive(Debug)]
pub(crate) struct NodeWriter {
    pub(crate) link: Arc<Link>,
    pub(crate) map: Arc<MapKeeper>,
    pub(crate) health: Arc<Health>,
    pub(crate) unsynced: Arc<Unsynced>,
}

/// A node and who has it.
#[derive(Debug)]
struct Unstored {
    id: NodeId,
    bytes: Bytes,
    stored: Vec<ProviderId>,
    failed: Vec<ProviderId>,
}

/// One message to one provider: which nodes (places in the caller's list).
#[derive(Debug)]
struct Batch {
    provider: ProviderId,
    places: Vec<usize>,
}

impl NodeWriter {
    /// Stores the encoded `nodes` with `copies` each, and answers who has them.
    pub(crate) async fn put(
        &self,
        context: Context,
        copies: u8,
        nodes: Vec<(NodeId, Bytes)>,
    ) -> Result<BTreeSet<ProviderId>, ClientError> {
        let unstored = |(id, bytes)| Unstored { id, bytes, stored: Vec::new(), failed: Vec::new() };
        let mut nodes: Vec<Unstored> = nodes.into_iter().map(unstored).collect();
        let mut retry = Retry::new(context);
        loop {
            let map = self.map.current();
            let mut last = None;
            loop {
                let batches = self.plan(&map, usize::from(copies), &nodes);
                if batches.is_empty() {
                    break;
                }
                self.send(context, &map, batches, &mut nodes, &mut last).await?;
            }
            if nodes.iter().all(|node| node.stored.len() >= usize::from(copies)) {
                tracing::debug!(request = %context.id, nodes = nodes.len(), copies, "nodes stored");
                return Ok(nodes.into_iter().flat_map(|node| node.stored).collect());
            }
            self.pause(&mut retry, context, copies, &map, last).await?;
            nodes.iter_mut().for_each(|node| node.failed.clear());
        }
    }

    /// Waits until there are providers for `copies` of each node: asked before a ticket, which cannot be taken back.
    pub(crate) async fn ready(&self, context: Context, copies: u8) -> Result<(), ClientError> {
        let mut retry = Retry::new(context);
        loop {
            let map = self.map.current();
            if count(&map, ProviderRole::Metadata).0 >= usize::from(copies) {
                return Ok(());
            }
            self.pause(&mut retry, context, copies, &map, None).await?;
        }
    }

    async fn pause(
        &self,
        retry: &mut Retry,
        context: Context,
        copies: u8,
        map: &ClusterMap,
        last: Option<RpcError>,
    ) -> Result<(), ClientError> {
        if let Some(error) = last {
            retry.after("put of nodes", error).await?;
        } else {
            if lacks_only_room(map, ProviderRole::Metadata, copies) {
                return Err(no_space("metadata"));
            }
            let (alive, known) = count(map, ProviderRole::Metadata);
            let hopeless = known < usize::from(copies) && retry.attempts() >= ATTEMPTS_BEFORE_TOO_FEW;
            if hopeless || !retry.wait().await {
                return Err(ClientError::TooFewProviders { role: "metadata", needed: copies, alive });
            }
        }
        self.map.refresh(context).await;
        Ok(())
    }

    /// The next messages: for each node that lacks copies the best providers that have not had it yet.
    fn plan(&self, map: &ClusterMap, copies: usize, nodes: &[Unstored]) -> Vec<Batch> {
        let mut by_provider: BTreeMap<ProviderId, Vec<usize>> = BTreeMap::new();
        for (place, node) in nodes.iter().enumerate() {
            let missing = copies.saturating_sub(node.stored.len());
            for provider in self.candidates(map, node).into_iter().take(missing) {
                by_provider.entry(provider).or_default().push(place);
            }
        }
        by_provider.into_iter().flat_map(|(provider, places)| batches(provider, &places, nodes)).collect()
    }

    fn candidates(&self, map: &ClusterMap, node: &Unstored) -> Vec<ProviderId> {
        let alive = |id: &&ProviderId| map.provider(**id).is_some_and(|provider| provider.state == ProviderState::Alive);
        let fresh = |id: &&ProviderId| !node.stored.contains(id) && !node.failed.contains(id);
        let mut candidates: Vec<_> = map.metadata_providers(&node.id).iter().filter(alive).filter(fresh).copied().collect();
        candidates.sort_by_key(|id| self.health.is_suspect(*id));
        candidates
    }

    async fn send(
        &self,
        context: Context,
        map: &ClusterMap,
        batches: Vec<Batch>,
        nodes: &mut [Unstored],
        last: &mut Option<RpcError>,
    ) -> Result<(), ClientError> {
        let sends: Vec<_> = batches.into_iter().map(|batch| self.send_one(context, map, message(batch, nodes))).collect();
        let mut results = stream::iter(sends).buffer_unordered(NODE_BATCHES_AT_ONCE_MAX);
        while let Some((batch, result)) = results.next().await {
            for place in &batch.places {
                let node = &mut nodes[*place];
                if result.is_ok() { node.stored.push(batch.provider) } else { node.failed.push(batch.provider) }
            }
            match result {
                Err(RpcError::Service(error)) if error.kind == ErrorKind::Damaged => {
                    tracing::error!(request = %context.id, provider = %batch.provider, %error, "provider holds other bytes under the id of a node of ours");
                    return Err(error.into());
                }
                Err(error) => *last = Some(error),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    async fn send_one(&self, context: Context, map: &ClusterMap, message: Message) -> (Batch, Result<(), RpcError>) {
        let Message { batch, request, body } = message;
        let Some(provider) = map.provider(batch.provider) else {
            let (address, reason) = (Address(batch.provider.to_string()), "it is not in the cluster map".to_owned());
            return (batch, Err(RpcError::Unreachable { address, reason }));
        };
        let address = address_of(provider);
        let result = match self.link.once(context, &address, request, body).await {
            Ok(answer) => stored_in(&address, &answer.reply).map(|incarnation| {
                self.health.trust(provider.id);
                self.unsynced.note(provider.id, incarnation);
            }),
            Err(error) => {
                self.health.judge(provider.id, &error);
                tracing::debug!(request = %context.id, provider = %provider.id, nodes = batch.places.len(), %error, "nodes not stored");
                Err(error)
            }
        };
        (batch, result)
    }
}

/// A batch as it is sent.
#[derive(Debug)]
struct Message {
    batch: Batch,
    request: Request,
    body: Bytes,
}

fn message(batch: Batch, nodes: &[Unstored]) -> Message {
    let of = |place: &usize| &nodes[*place];
    let list = batch.places.iter().map(of).map(|node| (node.id, node.bytes.len() as u32)).collect();
    let body = match batch.places.as_slice() {
        [only] => nodes[*only].bytes.clone(),
        places => {
            let mut body = BytesMut::with_capacity(places.iter().map(of).map(|node| node.bytes.len()).sum());
            places.iter().map(of).for_each(|node| body.extend_from_slice(&node.bytes));
            body.freeze()
        }
    };
    Message { request: Request::Metadata(MetadataRequest::Put { nodes: list }), body, batch }
}

/// `places` cut so that no batch has too many nodes or bytes.
fn batches(provider: ProviderId, places: &[usize], nodes: &[Unstored]) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut bytes = 0;
    for place in places {
        let length = nodes[*place].bytes.len();
        match batches.last_mut() {
            Some(batch) if batch.places.len() < NODES_PER_BATCH_MAX && bytes + length <= NODE_BATCH_BYTES_MAX => {
                batch.places.push(*place);
                bytes += length;
            }
            _ => {
                batches.push(Batch { provider, places: vec![*place] });
                bytes = length;
            }
        }
    }
    batches
}
