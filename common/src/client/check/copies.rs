//! Every copy of a node or page object, each read from its provider and from nowhere else.

use super::{BadCopy, CopyState, Fault, Stored};
use crate::checksum::ChunkTable;
use crate::client::cluster::Cluster;
use crate::client::link::address_of;
use crate::client::replicas::verify_part;
use crate::client::retry::{Context, Retry};
use crate::id::{NodeId, ProviderId};
use crate::limits::{CHECK_ATTEMPTS, NODES_PER_CHECK};
use crate::rpc::{Answer, RpcError};
use crate::weave::{Node, PageObject, decode_node};
use crate::wire::{
    ClusterMap, DataReply, DataRequest, ErrorKind, MetadataReply, MetadataRequest, ProviderInfo, ProviderState, Reply, Request,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A node that was looked for at its providers.
#[derive(Debug)]
pub(crate) struct CheckedNode {
    pub(crate) id: NodeId,
    /// From a whole copy.
    pub(crate) node: Option<Arc<Node>>,
    /// What is wrong with it, if anything.
    pub(crate) fault: Option<Fault>,
}

/// What one provider has of a node.
type NodeCopy = Result<Arc<Node>, CopyState>;

impl Cluster {
    /// Looks for `copies` whole copies of each node. A node lies on the first living providers of its ranking, as they were when it was
    /// stored, so those further down are asked when one of the first does not have it.
    pub(crate) async fn check_nodes(&self, context: Context, ids: &[NodeId], copies: u8) -> Vec<CheckedNode> {
        loop {
            let map = self.map();
            let checked = self.check_nodes_in(&map, context, ids, copies).await;
            let is_whole = checked.iter().all(|checked| checked.fault.is_none());
            // What the managers do not say leaves it at that: whoever has to know whether something is gone asks them.
            if is_whole || self.map.confirm(context, map.epoch).await.unwrap_or(true) {
                return checked;
            }
        }
    }

    /// As [`Cluster::check_nodes`], by one map, be it the newest or not.
    pub(super) async fn check_nodes_in(
        &self,
        map: &ClusterMap,
        context: Context,
        ids: &[NodeId],
        copies: u8,
    ) -> Vec<CheckedNode> {
        let mut found: BTreeMap<NodeId, Vec<(ProviderId, NodeCopy)>> = ids.iter().map(|id| (*id, Vec::new())).collect();
        for depth in 0.. {
            let mut asks: BTreeMap<ProviderId, Vec<NodeId>> = BTreeMap::new();
            for (id, seen) in &found {
                let whole = seen.iter().filter(|(_, copy)| copy.is_ok()).count();
                if let Some(provider) = map.metadata_providers(id).get(depth).filter(|_| whole < usize::from(copies)) {
                    asks.entry(*provider).or_default().push(*id);
                }
            }
            if asks.is_empty() {
                break;
            }
            for (provider, ids) in asks {
                for part in ids.chunks(NODES_PER_CHECK) {
                    for (id, copy) in self.node_copies(context, map, provider, part).await {
                        found.entry(id).or_default().push((provider, copy));
                    }
                }
            }
        }
        found.into_iter().map(|(id, seen)| judge_node(map, id, seen, copies)).collect()
    }

    /// What `provider` has of each of `ids`.
    async fn node_copies(
        &self,
        context: Context,
        map: &ClusterMap,
        provider: ProviderId,
        ids: &[NodeId],
    ) -> Vec<(NodeId, NodeCopy)> {
        match self.ask_for_nodes(context, map, provider, ids).await {
            Ok(copies) => ids.iter().copied().zip(copies).collect(),
            // One of them is damaged, and the provider refuses all: one by one.
            Err(CopyState::Damaged(_)) if ids.len() > 1 => {
                let mut copies = Vec::new();
                for id in ids {
                    let copy = self.ask_for_nodes(context, map, provider, &[*id]).await;
                    copies.push((*id, copy.and_then(|mut one| one.pop().unwrap_or(Err(CopyState::Missing)))));
                }
                copies
            }
            Err(state) => ids.iter().map(|id| (*id, Err(state.clone()))).collect(),
        }
    }

    async fn ask_for_nodes(
        &self,
        context: Context,
        map: &ClusterMap,
        provider: ProviderId,
        ids: &[NodeId],
    ) -> Result<Vec<NodeCopy>, CopyState> {
        let request = Request::Metadata(MetadataRequest::Get { nodes: ids.to_vec() });
        let answer = self.ask_one(context, map.provider(provider), request).await?;
        let Reply::Metadata(MetadataReply::Nodes { lengths }) = answer.reply else {
            return Err(CopyState::Unreachable("it answered something else than nodes".into()));
        };
        let mut rest = answer.body;
        let mut copies = Vec::with_capacity(ids.len());
        for (id, length) in ids.iter().zip(lengths) {
            copies.push(match length {
                None => Err(CopyState::Missing),
                Some(length) if length as usize > rest.len() => Err(CopyState::Damaged("its answer is cut short".into())),
                Some(length) => decode_node(id, &rest.split_to(length as usize))
                    .map(Arc::new)
                    .map_err(|error| CopyState::Damaged(error.to_string())),
            });
        }
        copies.resize(ids.len(), Err(CopyState::Unreachable("it answered for fewer nodes than asked for".into())));
        Ok(copies)
    }

    /// Reads every copy of an object whole; the fault, if one is not as it should be.
    pub(crate) async fn check_object(&self, context: Context, object: &PageObject) -> Option<Fault> {
        let mut map = self.map();
        if map.group(object.group).is_none() && !self.map.confirm(context, map.epoch).await.unwrap_or(true) {
            map = self.map();
        }
        let members = map.group(object.group).map(|group| group.members.clone()).unwrap_or_default();
        let mut fault = Fault { what: Stored::Object(*object), bad: Vec::new(), whole: 0 };
        for member in &members {
            match self.object_copy(context, &map, *member, object, object.length).await {
                CopyState::Whole => fault.whole += 1,
                state => fault.bad.push(bad_copy(&map, *member, state)),
            }
        }
        (!fault.bad.is_empty() || members.is_empty()).then_some(fault)
    }

    /// What `provider` has of an object, as far as its first `length` bytes tell.
    pub(super) async fn object_copy(
        &self,
        context: Context,
        map: &ClusterMap,
        provider: ProviderId,
        object: &PageObject,
        length: u32,
    ) -> CopyState {
        let range = ChunkTable::covering(object.length, 0, length);
        let request = Request::Data(DataRequest::Get { object: object.id, offset: 0, length });
        let mut state = CopyState::Whole;
        // Damage counts if it is there each time: a bit may have flipped on the way, and a frame is given up for less than that otherwise.
        for _ in 0..CHECK_ATTEMPTS {
            let answer = match self.ask_one(context, map.provider(provider), request.clone()).await {
                Ok(answer) => answer,
                Err(damaged @ CopyState::Damaged(_)) => {
                    state = damaged;
                    continue;
                }
                Err(state) => return state,
            };
            if !matches!(answer.reply, Reply::Data(DataReply::Part { .. })) {
                return CopyState::Unreachable("it answered something else than a page object".into());
            }
            match verify_part(object, &range, answer) {
                Ok(_) => return CopyState::Whole,
                Err(error) => state = CopyState::Damaged(error.to_string()),
            }
        }
        state
    }

    /// One request to one provider, repeated a few times if that may help.
    async fn ask_one(&self, context: Context, provider: Option<&ProviderInfo>, request: Request) -> Result<Answer, CopyState> {
        let Some(provider) = provider else {
            return Err(CopyState::Unreachable("it is not in the cluster map any more".into()));
        };
        if provider.state == ProviderState::Dead {
            return Err(CopyState::Unreachable("it is dead".into()));
        }
        let (address, mut retry) = (address_of(provider), Retry::new(context));
        loop {
            let error = match self.link.once(context, &address, request.clone(), Bytes::new()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if let RpcError::Service(service) = &error {
                match service.kind {
                    ErrorKind::NotFound => return Err(CopyState::Missing),
                    ErrorKind::Damaged | ErrorKind::InvalidArgument => return Err(CopyState::Damaged(service.message.clone())),
                    _ => {}
                }
            }
            if !error.is_transient() || retry.attempts() >= CHECK_ATTEMPTS || !retry.wait().await {
                return Err(CopyState::Unreachable(error.to_string()));
            }
        }
    }
}

pub(super) fn bad_copy(map: &ClusterMap, provider: ProviderId, state: CopyState) -> BadCopy {
    let address = map.provider(provider).map(|info| info.address.clone()).unwrap_or_default();
    BadCopy { provider, address, state }
}

/// Which copies are bad: every damaged one, and of the others as many as are lacking, best ranked first.
fn judge_node(map: &ClusterMap, id: NodeId, seen: Vec<(ProviderId, NodeCopy)>, copies: u8) -> CheckedNode {
    let node = seen.iter().find_map(|(_, copy)| copy.as_ref().ok().cloned());
    let whole = seen.iter().filter(|(_, copy)| copy.is_ok()).count();
    let bad: Vec<_> = seen.into_iter().filter_map(|(provider, copy)| copy.err().map(|state| (provider, state))).collect();
    let (damaged, other): (Vec<_>, Vec<_>) = bad.into_iter().partition(|(_, state)| matches!(state, CopyState::Damaged(_)));
    let lacking = usize::from(copies).saturating_sub(whole + damaged.len());
    let bad: Vec<_> = damaged.into_iter().chain(other.into_iter().take(lacking)).collect();
    let is_lost = node.is_none();
    let bad: Vec<_> = bad.into_iter().map(|(provider, state)| bad_copy(map, provider, state)).collect();
    let fault = (!bad.is_empty() || is_lost).then_some(Fault { what: Stored::Node(id), bad, whole });
    CheckedNode { id, node, fault }
}
