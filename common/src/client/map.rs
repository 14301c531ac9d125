//! The client's copy of the cluster map: asked for again every few seconds, and at once when a provider failed.

use super::ClientError;
use super::link::Link;
use super::placement::lacks_only_room;
use super::retry::Context;
use crate::limits::{COPIES_MAX, MAP_REFRESH, MAP_REFRESH_PAUSE};
use crate::wire::{ClusterMap, PlacementReply, PlacementRequest, ProviderRole, Reply, Request};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::time::Instant;

/// Keeps the newest map that is known.
#[derive(Debug)]
pub(crate) struct MapKeeper {
    link: Arc<Link>,
    current: RwLock<Arc<ClusterMap>>,
    /// Bit `c - 1`: for `c` copies nothing is lacking but room. Asked for by every write, so kept ready.
    full_for: AtomicU64,
    /// When the managers were last asked; held while asking, so that a thousand failures ask once.
    asked: tokio::sync::Mutex<Instant>,
}

impl MapKeeper {
    /// Asks for the map; fails if no manager answers.
    pub(crate) async fn fetch(link: Arc<Link>, context: Context) -> Result<Self, ClientError> {
        let Some(map) = request(&link, context, 0).await? else {
            let reply = Reply::Placement(PlacementReply::Epoch(0));
            return Err(link.unexpected("the cluster map", &reply));
        };
        let full_for = AtomicU64::new(full_for(&map));
        Ok(Self { link, full_for, current: RwLock::new(Arc::new(map)), asked: tokio::sync::Mutex::new(Instant::now()) })
    }

    /// Whether data or metadata with `copies` could be stored if only the providers were not full.
    pub(crate) fn lacks_only_room(&self, copies: u8) -> bool {
        self.full_for.load(Ordering::Relaxed) >> copies.saturating_sub(1) & 1 == 1
    }

    /// The newest map that is known.
    pub(crate) fn current(&self) -> Arc<ClusterMap> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks for a newer map because something failed. That the managers do not answer is not an error here: the caller
    /// goes on with the map it has.
    pub(crate) async fn refresh(&self, context: Context) {
        let mut asked = self.asked.lock().await;
        if asked.elapsed() < MAP_REFRESH_PAUSE {
            return;
        }
        if let Err(error) = self.update(context).await {
            tracing::debug!(request = %context.id, %error, "cluster map could not be refreshed");
        }
        *asked = Instant::now();
    }

    /// Whether the map of `epoch` is the newest, as the managers say now. Who did not find something where that map says asks before
    /// calling it gone: it may lie on a provider that joined since.
    pub(crate) async fn confirm(&self, context: Context, epoch: u64) -> Result<bool, ClientError> {
        Ok(self.update(context).await? == epoch)
    }

    /// The newest epoch.
    async fn update(&self, context: Context) -> Result<u64, ClientError> {
        let known = self.current().epoch;
        let newer = request(&self.link, context, known).await?;
        let epoch = newer.as_ref().map_or(known, |map| map.epoch);
        if let Some(map) = newer {
            tracing::debug!(request = %context.id, epoch = map.epoch, known, "new cluster map");
            self.full_for.store(full_for(&map), Ordering::Relaxed);
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(map);
        }
        Ok(epoch)
    }

    /// Refreshes for ever.
    pub(crate) async fn keep_fresh(self: Arc<Self>) {
        loop {
            tokio::time::sleep(MAP_REFRESH).await;
            let context = self.link.context_for(MAP_REFRESH);
            if let Err(error) = self.update(context).await {
                tracing::debug!(request = %context.id, %error, "cluster map could not be refreshed, going on with epoch {}", self.current().epoch);
            }
        }
    }
}

fn full_for(map: &ClusterMap) -> u64 {
    let is_full =
        |copies| [ProviderRole::Data, ProviderRole::Metadata].into_iter().any(|role| lacks_only_room(map, role, copies));
    (1..=COPIES_MAX).filter(|copies| is_full(*copies)).fold(0, |bits, copies| bits | 1 << (copies - 1))
}

/// The map, if it is newer than `known`.
async fn request(link: &Link, context: Context, known: u64) -> Result<Option<ClusterMap>, ClientError> {
    match link.manager(context, Request::Placement(PlacementRequest::Map { known })).await? {
        Reply::Placement(PlacementReply::Map(map)) => Ok(Some(*map)),
        Reply::Placement(PlacementReply::Epoch(_)) => Ok(None),
        other => Err(link.unexpected("the cluster map", &other)),
    }
}
