//! Tree nodes in: from the cache, else from the metadata providers, a batch to each.
//!
//! A node lies on the first so many living providers of its partition's ranking, but who is alive changes. So a reader
//! goes down the whole ranking until somebody has it. Nodes never change and are cached without expiry.

use super::ClientError;
use super::cache::byte_bounded;
use super::health::Health;
use super::link::{Link, address_of, malformed};
use super::map::MapKeeper;
use super::options::ClientOptions;
use super::placement::read_order;
use super::retry::{Context, Retry};
use crate::id::{NodeId, ProviderId};
use crate::limits::{NODE_BATCHES_AT_ONCE_MAX, NODES_PER_BATCH_MAX};
use crate::rpc::{Answer, RpcError};
use crate::weave::{Node, decode_node};
use crate::wire::{ClusterMap, MetadataReply, MetadataRequest, Reply, Request};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A decoded node takes about so many times its encoding.
const DECODED_FACTOR: usize = 4;

/// Reads tree nodes through the cache.
#[derive(Debug)]
pub(crate) struct NodeReader {
    link: Arc<Link>,
    map: Arc<MapKeeper>,
    health: Arc<Health>,
    cache: Cache<NodeId, CachedNode, ByBytes>,
}

#[derive(Clone, Debug)]
struct CachedNode {
    node: Arc<Node>,
    bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct ByBytes;

impl Weighter<NodeId, CachedNode> for ByBytes {
    fn weight(&self, _: &NodeId, cached: &CachedNode) -> u64 {
        cached.bytes
    }
}

/// Nodes that could not be read.
#[derive(Debug)]
pub(crate) enum NodeFailure {
    /// No provider has it whole: for a writer a base that was collected, for a reader damage.
    Missing(ClientError),
    /// Anything else.
    Other(ClientError),
}

impl From<NodeFailure> for ClientError {
    fn from(failure: NodeFailure) -> Self {
        match failure {
            NodeFailure::Missing(error) | NodeFailure::Other(error) => error,
        }
    }
}

/// A node on its way down the ranking.
#[derive(Debug)]
struct Wanted {
    id: NodeId,
    ranking: Vec<ProviderId>,
    complaints: Vec<String>,
    passing: Option<RpcError>,
}

impl NodeReader {
    pub(crate) fn new(link: Arc<Link>, map: Arc<MapKeeper>, health: Arc<Health>, options: &ClientOptions) -> Self {
        let cache = byte_bounded(options.node_cache_bytes(), 8 << 10, ByBytes);
        Self { link, map, health, cache }
    }

    /// Remembers a node whose encoding has `encoded_bytes`.
    pub(crate) fn remember(&self, id: NodeId, node: Arc<Node>, encoded_bytes: usize) {
        let bytes = (size_of::<NodeId>() + encoded_bytes * DECODED_FACTOR) as u64;
        self.cache.insert(id, CachedNode { node, bytes });
    }

    /// The nodes `ids`, in that order.
    pub(crate) async fn get(&self, context: Context, ids: &[NodeId]) -> Result<Vec<Arc<Node>>, NodeFailure> {
        let mut found = BTreeMap::new();
        let mut missing = Vec::new();
        for (place, id) in ids.iter().enumerate() {
            match self.cache.get(id) {
                Some(cached) => _ = found.insert(place, cached.node),
                None => missing.push((place, *id)),
            }
        }
        if !missing.is_empty() {
            tracing::debug!(request = %context.id, nodes = ids.len(), missing = missing.len(), "fetching nodes");
            self.fetch(context, missing, &mut found).await?;
        }
        Ok(found.into_values().collect())
    }

    async fn fetch(
        &self,
        context: Context,
        mut missing: Vec<(usize, NodeId)>,
        found: &mut BTreeMap<usize, Arc<Node>>,
    ) -> Result<(), NodeFailure> {
        let mut retry = Retry::new(context);
        loop {
            let map = self.map.current();
            let wanted = missing.iter().map(|(place, id)| (*place, self.wanted(&map, *id))).collect();
            let lost = self.descend(context, &map, wanted, found).await;
            let Some((_, first)) = lost.first() else { return Ok(()) };
            // One that is gone for good decides; otherwise all may still come.
            match lost.iter().find(|(_, wanted)| wanted.passing.is_none() && !wanted.complaints.is_empty()) {
                Some((_, gone)) => {
                    if self.map.confirm(context, map.epoch).await.map_err(NodeFailure::Other)? {
                        return Err(NodeFailure::Missing(damaged(gone)));
                    }
                }
                None => {
                    match first.passing.clone() {
                        Some(error) => retry.after("read of nodes", error).await.map_err(NodeFailure::Other)?,
                        None if retry.wait().await => {}
                        None => return Err(NodeFailure::Other(nobody())),
                    }
                    self.map.refresh(context).await;
                }
            }
            missing = lost.into_iter().map(|(place, wanted)| (place, wanted.id)).collect();
        }
    }

    fn wanted(&self, map: &ClusterMap, id: NodeId) -> Wanted {
        // Best first, as stored; only the dead and the suspected are asked last. Asked from the end.
        let mut ranking: Vec<_> = read_order(map, map.metadata_providers(&id), |id| self.health.is_suspect(id), |_| 0, 0)
            .iter()
            .map(|provider| provider.id)
            .collect();
        ranking.reverse();
        Wanted { id, ranking, complaints: Vec::new(), passing: None }
    }

    /// Asks down the rankings until every node is found or has nobody left to ask; the latter are returned.
    async fn descend(
        &self,
        context: Context,
        map: &ClusterMap,
        wanted: Vec<(usize, Wanted)>,
        found: &mut BTreeMap<usize, Arc<Node>>,
    ) -> Vec<(usize, Wanted)> {
        let mut lost = Vec::new();
        let mut open = wanted;
        while !open.is_empty() {
            let mut by_provider: BTreeMap<ProviderId, Vec<(usize, Wanted)>> = BTreeMap::new();
            for (place, mut wanted) in open.drain(..) {
                match wanted.ranking.pop() {
                    Some(provider) => by_provider.entry(provider).or_default().push((place, wanted)),
                    None => lost.push((place, wanted)),
                }
            }
            let batches = by_provider.into_iter().flat_map(|(provider, wanted)| batches(provider, wanted));
            let asks = batches.map(|(provider, batch)| self.ask(context, map, provider, batch));
            let mut answers = stream::iter(asks).buffer_unordered(NODE_BATCHES_AT_ONCE_MAX);
            while let Some(batch) = answers.next().await {
                for (place, outcome) in batch {
                    match outcome {
                        Ok(node) => _ = found.insert(place, node),
                        Err(wanted) => open.push((place, *wanted)),
                    }
                }
            }
        }
        lost
    }

    /// Asks one provider for one batch; nodes that it does not have come back with its complaint noted.
    async fn ask(
        &self,
        context: Context,
        map: &ClusterMap,
        provider: ProviderId,
        batch: Vec<(usize, Wanted)>,
    ) -> Vec<(usize, Result<Arc<Node>, Box<Wanted>>)> {
        let result = self.request(context, map, provider, &batch).await;
        let encodings = match result {
            Ok(encodings) => encodings,
            Err(error) => {
                self.health.judge(provider, &error);
                tracing::debug!(request = %context.id, %provider, nodes = batch.len(), %error, "nodes not read, asking the next provider");
                return batch.into_iter().map(|(place, wanted)| (place, Err(wanted.refused(provider, &error)))).collect();
            }
        };
        self.health.trust(provider);
        let outcomes = batch.into_iter().zip(encodings);
        outcomes.map(|((place, wanted), encoding)| (place, self.accept(context, provider, wanted, encoding))).collect()
    }

    fn accept(
        &self,
        context: Context,
        provider: ProviderId,
        mut wanted: Wanted,
        encoding: Option<Bytes>,
    ) -> Result<Arc<Node>, Box<Wanted>> {
        let Some(bytes) = encoding else {
            wanted.complaints.push(format!("{provider} does not have it"));
            return Err(Box::new(wanted));
        };
        match decode_node(&wanted.id, &bytes) {
            Ok(node) => {
                let node = Arc::new(node);
                self.remember(wanted.id, node.clone(), bytes.len());
                Ok(node)
            }
            Err(error) => {
                tracing::warn!(request = %context.id, %provider, node = %wanted.id,
                    "node is damaged: {error}; asking another provider; look after the disk of this one");
                wanted.complaints.push(format!("{provider}: {error}"));
                Err(Box::new(wanted))
            }
        }
    }

    async fn request(
        &self,
        context: Context,
        map: &ClusterMap,
        provider: ProviderId,
        batch: &[(usize, Wanted)],
    ) -> Result<Vec<Option<Bytes>>, RpcError> {
        let Some(info) = map.provider(provider) else { return Ok(vec![None; batch.len()]) };
        let address = address_of(info);
        let nodes = batch.iter().map(|(_, wanted)| wanted.id).collect();
        let Answer { reply, body } =
            self.link.once(context, &address, Request::Metadata(MetadataRequest::Get { nodes }), Bytes::new()).await?;
        let Reply::Metadata(MetadataReply::Nodes { lengths }) = reply else {
            let reason = malformed(&address, "nodes", &reply).to_string();
            return Err(RpcError::Malformed { address, reason });
        };
        let split = (lengths.len() == batch.len()).then(|| split(&lengths, &body)).flatten();
        split.ok_or_else(|| RpcError::Malformed { address, reason: "the lengths of nodes do not fit the body".to_owned() })
    }
}

impl Wanted {
    fn refused(mut self, provider: ProviderId, error: &RpcError) -> Box<Self> {
        if error.is_transient() {
            self.passing = Some(error.clone());
        } else {
            self.complaints.push(format!("{provider}: {error}"));
        }
        Box::new(self)
    }
}

fn batches(provider: ProviderId, mut wanted: Vec<(usize, Wanted)>) -> Vec<(ProviderId, Vec<(usize, Wanted)>)> {
    let mut batches = Vec::new();
    while !wanted.is_empty() {
        let rest = wanted.split_off(wanted.len().min(NODES_PER_BATCH_MAX));
        batches.push((provider, std::mem::replace(&mut wanted, rest)));
    }
    batches
}

/// Cuts `body` into pieces of `lengths`; `None` if they do not fill it exactly.
fn split(lengths: &[Option<u32>], body: &Bytes) -> Option<Vec<Option<Bytes>>> {
    let mut rest = body.clone();
    let mut pieces = Vec::with_capacity(lengths.len());
    for length in lengths {
        pieces.push(match length {
            Some(length) if *length as usize <= rest.len() => Some(rest.split_to(*length as usize)),
            Some(_) => return None,
            None => None,
        });
    }
    rest.is_empty().then_some(pieces)
}

fn damaged(wanted: &Wanted) -> ClientError {
    ClientError::Damaged { what: format!("node {}", wanted.id), detail: wanted.complaints.join("; ") }
}

fn nobody() -> ClientError {
    ClientError::TooFewProviders { role: "metadata", needed: 1, alive: 0 }
}
