//! What a provider lost that came back without what it had not synced: whether contents are to be had all the same.
//!
//! A verdict rests on answers only. *Lost* is what every provider that should have it says it does not have; while one of them does not
//! answer it is not known, however long that takes. Of page objects only those are asked for that lie on a provider with a loss: the others have
//! lost nothing. Their first chunk is enough, as a store compares what it finds with its checksums when it opens after a crash.

use super::{CopyState, Fault, Stored};
use crate::blob::Inventory;
use crate::client::ClientError;
use crate::client::cluster::Cluster;
use crate::id::{BlobId, BlobVersion, NodeId, ProviderId, VolumeId};
use crate::limits::{MAP_REFRESH_PAUSE, NODES_PER_CHECK, OBJECTS_AT_ONCE_MAX};
use crate::weave::{PageObject, Tree};
use crate::wire::{
    At, ErrorKind, HistoryReply, HistoryRequest, NamespaceAnswer, NamespaceQuery, PlacementReply, PlacementRequest, ProviderInfo,
    ProviderState, Query, Reply, Request, ServiceError,
};
use futures_util::{StreamExt, stream};
use std::collections::HashSet;

/// Whether a content is to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Each part of it is somewhere.
    Whole {
        /// Copies of its page objects that their providers lost.
        lost_copies: u64,
    },
    /// Nobody has this part of it any more.
    Lost(String),
    /// Somebody does not answer who may have this part of it.
    Unknown(String),
}

impl Cluster {
    /// Providers that may have lost something, and nobody has looked yet what.
    #[must_use]
    pub fn losses(&self) -> Vec<ProviderInfo> {
        self.map().providers.iter().filter(|provider| provider.lost_since.is_some()).cloned().collect()
    }

    /// What `provider` lost, as it came into the incarnation that it is described in, was looked into. For servers.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn report_examined(&self, provider: &ProviderInfo) -> Result<(), ClientError> {
        let (provider, incarnation) = (provider.id, provider.incarnation);
        let request = Request::Placement(PlacementRequest::Examined { provider, incarnation });
        match self.link.manager(self.context(), request).await? {
            Reply::Placement(PlacementReply::Epoch(_)) => Ok(()),
            other => Err(self.link.unexpected("an epoch", &other)),
        }
    }

    /// Updates that are ordered and not committed, and whether there are more behind them.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn in_flight(&self) -> Result<(Vec<(BlobId, BlobVersion)>, bool), ClientError> {
        match self.history(HistoryRequest::InFlight).await? {
            HistoryReply::InFlight { versions, more } => Ok((versions, more)),
            other => Err(self.link.unexpected("updates in flight", &Reply::History(other))),
        }
    }

    /// Asks about names of a volume that need not be open.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn query(&self, volume: VolumeId, at: At, query: Query) -> Result<NamespaceAnswer, ClientError> {
        let request = Request::Query(NamespaceQuery { volume, at, query });
        match self.link.manager(self.context(), request).await? {
            Reply::Query(answer) => Ok(answer),
            other => Err(self.link.unexpected("an answer about names", &other)),
        }
    }

    /// Returns when all that the living providers took before the call is on stable storage.
    ///
    /// # Errors
    /// [`ClientError`] if that is not so, or if it is not known yet what one of them lost.
    pub async fn stabilize(&self) -> Result<(), ClientError> {
        let map = self.map();
        for provider in map.providers.iter().filter(|provider| provider.state != ProviderState::Dead) {
            if provider.lost_since.is_some() {
                let message = format!("{} came back, and it is not known yet what it lost", provider.id);
                return Err(ServiceError { retry: true, ..ServiceError::new(ErrorKind::Unavailable, message) }.into());
            }
            tokio::select! {
                synced = self.unsynced.sync_one(self.context(), (provider.id, provider.incarnation)) => synced?,
                () = self.until_dead(provider.id) => {}
            }
        }
        Ok(())
    }

    /// Returns when a provider that does not answer counts as dead.
    async fn until_dead(&self, id: ProviderId) {
        while self.map().provider(id).is_some_and(|provider| provider.state != ProviderState::Dead) {
            tokio::time::sleep(MAP_REFRESH_PAUSE).await;
        }
    }

    /// Whether `tree` is to be had. What versions of its blob up to `known` consist of is known to be.
    ///
    /// # Errors
    /// [`ClientError::Damaged`] if nodes that are whole by their checksums make no tree.
    pub async fn condition(&self, tree: &Tree, known: Option<BlobVersion>) -> Result<Condition, ClientError> {
        let is_new = |id: &NodeId| id.blob != tree.blob || known.is_none_or(|known| id.version > known);
        let mut walk = Inventory::new(tree, &mut |id| is_new(id));
        let (mut seen, mut lost_copies, mut unknown) = (HashSet::new(), 0, None);
        loop {
            let ids = walk.take(NODES_PER_CHECK);
            if ids.is_empty() {
                return Ok(unknown.map_or(Condition::Whole { lost_copies }, Condition::Unknown));
            }
            let mut objects = Vec::new();
            for checked in self.check_nodes(self.context(), &ids, 1).await {
                let Some(node) = checked.node else {
                    match self.node_condition(checked.id).await {
                        Condition::Unknown(what) => unknown = Some(what),
                        Condition::Whole { .. } => {
                            unknown = Some(format!("{} was stored again just now", Stored::Node(checked.id)))
                        }
                        lost @ Condition::Lost(_) => return Ok(lost),
                    }
                    continue;
                };
                let placed = walk.supply(&checked.id, &node, &mut |id| is_new(id)).map_err(|error| ClientError::Damaged {
                    what: Stored::Node(checked.id).to_string(),
                    detail: error.to_string(),
                })?;
                objects.extend(placed.into_iter().map(|placed| placed.object).filter(|object| seen.insert(object.id)));
            }
            let conditions = objects.into_iter().map(|object| self.object_condition(object));
            let mut conditions = stream::iter(conditions).buffered(OBJECTS_AT_ONCE_MAX);
            while let Some(condition) = conditions.next().await {
                match condition {
                    Condition::Whole { lost_copies: lost } => lost_copies += lost,
                    Condition::Unknown(what) => unknown = Some(what),
                    lost @ Condition::Lost(_) => return Ok(lost),
                }
            }
        }
    }

    /// Of a node that was found nowhere.
    async fn node_condition(&self, id: NodeId) -> Condition {
        // Asked for as many copies as there can be, every provider is asked, and every one that has none is named.
        let map = self.map();
        let checked = self.check_nodes_in(&map, self.context(), &[id], u8::MAX).await;
        if !self.map.confirm(self.context(), map.epoch).await.unwrap_or(false) {
            return Condition::Unknown(format!(
                "{}, for the cluster changed just now or its manager does not answer",
                Stored::Node(id)
            ));
        }
        match checked.into_iter().next() {
            Some(checked) if checked.node.is_some() => Condition::Whole { lost_copies: 0 },
            Some(checked) => judge(Stored::Node(id), checked.fault),
            None => Condition::Unknown(Stored::Node(id).to_string()),
        }
    }

    async fn object_condition(&self, object: PageObject) -> Condition {
        let (map, context) = (self.map(), self.context());
        let members = map.group(object.group).map(|group| group.members.clone()).unwrap_or_default();
        let has_loss = |id: &ProviderId| map.provider(*id).is_some_and(|provider| provider.lost_since.is_some());
        let (suspects, others): (Vec<_>, Vec<_>) = members.into_iter().partition(has_loss);
        if suspects.is_empty() {
            return Condition::Whole { lost_copies: 0 };
        }
        let mut fault = Fault { what: Stored::Object(object), bad: Vec::new(), whole: 0 };
        for (member, is_suspect) in suspects.iter().map(|id| (id, true)).chain(others.iter().map(|id| (id, false))) {
            if !is_suspect && fault.whole > 0 {
                break;
            }
            match self.object_copy(context, &map, *member, &object, 1).await {
                CopyState::Whole => fault.whole += 1,
                state => fault.bad.push(super::copies::bad_copy(&map, *member, state)),
            }
        }
        match fault.whole {
            0 => judge(fault.what, Some(fault)),
            _ => Condition::Whole { lost_copies: fault.bad.iter().filter(|bad| bad.state == CopyState::Missing).count() as u64 },
        }
    }
}

/// Of what has no whole copy.
fn judge(what: Stored, fault: Option<Fault>) -> Condition {
    let bad = fault.map(|fault| fault.bad).unwrap_or_default();
    match bad.iter().find(|copy| matches!(copy.state, CopyState::Unreachable(_))) {
        Some(copy) => {
            Condition::Unknown(format!("{what}, which {} at {} may have, {}", copy.provider, copy.address, copy.state.detail()))
        }
        None if bad.is_empty() => Condition::Unknown(format!("{what}, which no provider of the cluster map has")),
        None => Condition::Lost(what.to_string()),
    }
}
