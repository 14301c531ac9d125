//! Collection from the providers: what only a dropped version reaches is deleted. For servers; the order and what goes are
//! [`crate::weave::Collection`]'s, which copies there are is this module's.
//!
//! A provider that is dead while something is deleted keeps its copy: it is garbage that nobody refers to, and goes with the disk.

use super::ClientError;
use super::cluster::Cluster;
use super::link::{address_of, malformed};
use super::nodes::NodeFailure;
use super::retry::{Context, Retry};
use crate::id::{BlobId, BlobVersion, InodeNumber, NodeId, PageObjectId, ProviderId, ROOT_INODE, VolumeId, VolumeVersion};
use crate::limits::{NODE_BATCHES_AT_ONCE_MAX, OBJECTS_PER_DELETE_MAX};
use crate::retention::{Dated, Retention};
use crate::time::Timestamp;
use crate::weave::{CollectStep, Collection, Garbage, Node};
use crate::wire::{
    CollectionJob, DataReply, DataRequest, DirectoryPolicy, ErrorKind, GarbageStatistics, HistoryReply, HistoryRequest,
    MetadataReply, MetadataRequest, ProviderState, Reader, Reply, Request, ServiceError, VersionRange,
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a collection deleted, each thing counted once however many copies it had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Tree nodes.
    pub nodes: u64,
    /// Page objects.
    pub objects: u64,
    /// Bytes of those page objects.
    pub bytes: u64,
}

/// A step of the clean-up of a volume.
#[derive(Clone, Debug)]
pub struct CollectionWork {
    /// What can be collected: one version of each of some blobs.
    pub jobs: Vec<CollectionJob>,
    /// The step did something that makes more to do.
    pub more: bool,
    /// There may be blobs behind this number.
    pub next: Option<u64>,
}

impl std::ops::AddAssign for Collected {
    fn add_assign(&mut self, more: Self) {
        self.nodes += more.nodes;
        self.objects += more.objects;
        self.bytes += more.bytes;
    }
}

/// Versions in one answer of the version manager.
const VERSIONS_PER_ANSWER: u32 = 4096;

impl Cluster {
    /// How much history a volume keeps, as that of its root; then the directories that have a policy of their own.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn policies(&self, volume: VolumeId) -> Result<Vec<DirectoryPolicy>, ClientError> {
        match self.history(HistoryRequest::Policies(volume)).await? {
            HistoryReply::Policies(policies) => Ok(policies),
            other => Err(self.link.unexpected("policies", &Reply::History(other))),
        }
    }

    /// Has a directory (the root: the volume) keep so much history from now on; `None` takes a directory's policy back. By a
    /// policy nothing goes before the next thinning; what only a policy kept that is taken back goes at once.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_retention(
        &self,
        volume: VolumeId,
        directory: InodeNumber,
        policy: Option<Retention>,
    ) -> Result<(), ClientError> {
        self.history(HistoryRequest::SetPolicy { volume, directory, policy }).await.map(drop)
    }

    /// Every version that the policy of a directory (the root: the volume) keeps, oldest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn kept_versions(&self, volume: VolumeId, directory: InodeNumber) -> Result<Vec<Dated>, ClientError> {
        let (mut kept, mut after) = (Vec::new(), VolumeVersion(0));
        loop {
            let request = HistoryRequest::Kept { volume, directory, after, limit: VERSIONS_PER_ANSWER };
            let (versions, more) = match self.history(request).await? {
                HistoryReply::Kept { versions, more } => (versions, more),
                other => return Err(self.link.unexpected("versions", &Reply::History(other))),
            };
            kept.extend(versions.into_iter().map(|(version, time)| Dated { version, time }));
            match kept.last() {
                Some(last) if more => after = last.version,
                _ => return Ok(kept),
            }
        }
    }

    /// The policy of a directory (the root: the volume) lets go of versions. Those that are tagged, and the newest, stay. Answers how
    /// many went.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn thin(&self, volume: VolumeId, directory: InodeNumber, ranges: Vec<VersionRange>) -> Result<u64, ClientError> {
        let mut count = 0;
        for ranges in ranges.chunks(crate::limits::RANGES_PER_THINNING_MAX) {
            match self.history(HistoryRequest::Thin { volume, directory, ranges: ranges.to_vec() }).await? {
                HistoryReply::Thinned { versions } => count += versions,
                other => return Err(self.link.unexpected("the end of a thinning", &Reply::History(other))),
            }
        }
        Ok(count)
    }

    /// Lets go of what the policies of a volume and of its directories do not keep at `now`. Answers how many versions the volume let
    /// go of. While it keeps everything, so do its directories, and nothing is asked of these.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn apply_retention(&self, volume: VolumeId, now: Timestamp) -> Result<u64, ClientError> {
        let mut policies = self.policies(volume).await?;
        if policies.first().is_none_or(|of_volume| of_volume.policy.keeps_everything()) {
            return Ok(0);
        }
        policies.retain(|directory| !directory.policy.keeps_everything());
        let mut count = 0;
        for DirectoryPolicy { directory, policy } in policies {
            let thinned = self.apply_policy(volume, directory, &policy, now).await;
            match thinned {
                Ok(versions) if directory == ROOT_INODE => count = versions,
                Ok(_) => {}
                // The policy was taken back meanwhile, or its directory removed.
                Err(ClientError::Service(error)) if error.kind == ErrorKind::NotFound && directory != ROOT_INODE => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    async fn apply_policy(
        &self,
        volume: VolumeId,
        directory: InodeNumber,
        policy: &Retention,
        now: Timestamp,
    ) -> Result<u64, ClientError> {
        let kept = self.kept_versions(volume, directory).await?;
        // The version manager keeps those with a tag in any case.
        self.thin(volume, directory, policy.expired(&kept, &BTreeSet::new(), now)).await
    }

    /// What there is to collect in a volume.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn garbage(&self, volume: VolumeId) -> Result<GarbageStatistics, ClientError> {
        match self.history(HistoryRequest::Garbage(volume)).await? {
            HistoryReply::Garbage(statistics) => Ok(statistics),
            other => Err(self.link.unexpected("counts of garbage", &Reply::History(other))),
        }
    }

    /// Who uses something of a volume, or may.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn readers(&self, volume: VolumeId) -> Result<Vec<Reader>, ClientError> {
        match self.history(HistoryRequest::Readers(volume)).await? {
            HistoryReply::Readers(readers) => Ok(readers),
            other => Err(self.link.unexpected("a list of readers", &Reply::History(other))),
        }
    }

    /// Every volume, also those that were removed and are not collected yet.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn volumes_to_collect(&self) -> Result<Vec<VolumeId>, ClientError> {
        match self.history(HistoryRequest::Volumes).await? {
            HistoryReply::Volumes(volumes) => Ok(volumes),
            other => Err(self.link.unexpected("volumes", &Reply::History(other))),
        }
    }

    /// A step of the clean-up of a volume: versions that can be collected of blobs behind number `after`. For servers.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn collection_work(&self, volume: VolumeId, after: u64) -> Result<CollectionWork, ClientError> {
        match self.history(HistoryRequest::Work { volume, after }).await? {
            HistoryReply::Work { jobs, more, next } => Ok(CollectionWork { jobs, more, next }),
            other => Err(self.link.unexpected("work", &Reply::History(other))),
        }
    }

    /// Deletes what only the dropped version reaches, and has it forgotten. May be repeated. For servers.
    ///
    /// # Errors
    /// [`ClientError`]; what was deleted until then is deleted, and a repetition goes on.
    #[tracing::instrument(level = "debug", skip_all, fields(request, blob = %job.dropped.blob, version = %job.dropped.version))]
    pub async fn collect(&self, job: &CollectionJob) -> Result<Collected, ClientError> {
        let mut walk = Collection::new(&job.dropped, job.older, job.newer.as_ref());
        let mut collected = Collected::default();
        loop {
            match walk.step() {
                CollectStep::Read(ids) => {
                    for (id, node) in self.nodes_if_there(&ids).await? {
                        walk.supply(&id, node.as_deref()).map_err(|error| damaged(&error))?;
                    }
                }
                CollectStep::Delete(garbage) => collected += self.delete(garbage).await?,
                CollectStep::Done => break,
            }
        }
        let (blob, version): (BlobId, BlobVersion) = (job.dropped.blob, job.dropped.version);
        if let [lost, ..] = walk.lost() {
            tracing::warn!(%blob, %version, %lost, "the next version of a file has lost a node; what it may need below stays until a sweep");
        }
        self.history(HistoryRequest::Collected { blob, version }).await?;
        tracing::debug!(?collected, "version collected");
        Ok(collected)
    }

    pub(super) async fn history(&self, request: HistoryRequest) -> Result<HistoryReply, ClientError> {
        match self.link.manager(self.context(), Request::History(request)).await? {
            Reply::History(reply) => Ok(reply),
            other => Err(self.link.unexpected("an answer about history", &other)),
        }
    }

    /// Each of `ids`, and the node if any provider has it.
    pub(super) async fn nodes_if_there(&self, ids: &[NodeId]) -> Result<Vec<(NodeId, Option<Arc<Node>>)>, ClientError> {
        let context = self.context();
        let reads: Vec<_> = ids.iter().map(|id| self.node_if_there(context, *id)).collect();
        stream::iter(reads).buffer_unordered(NODE_BATCHES_AT_ONCE_MAX).try_collect().await
    }

    async fn node_if_there(&self, context: Context, id: NodeId) -> Result<(NodeId, Option<Arc<Node>>), ClientError> {
        match self.publisher.nodes.get(context, &[id]).await {
            Ok(nodes) => Ok((id, nodes.into_iter().next())),
            Err(NodeFailure::Missing(_)) => Ok((id, None)),
            Err(NodeFailure::Other(error)) => Err(error),
        }
    }

    async fn delete(&self, garbage: Garbage) -> Result<Collected, ClientError> {
        let (map, batch) = (self.map(), self.deletes.batch(OBJECTS_PER_DELETE_MAX));
        let mut objects: BTreeMap<ProviderId, Vec<PageObjectId>> = BTreeMap::new();
        for object in &garbage.objects {
            for member in map.group(object.group).map(|group| group.members.as_slice()).unwrap_or_default() {
                objects.entry(*member).or_default().push(object.id);
            }
        }
        let requests = objects.into_iter().flat_map(|(provider, objects)| {
            let chunks: Vec<_> = objects.chunks(batch).map(<[_]>::to_vec).collect();
            chunks.into_iter().map(move |objects| (provider, Request::Data(DataRequest::Delete { objects })))
        });
        self.delete_all(requests.collect()).await?;
        let mut nodes: BTreeMap<ProviderId, Vec<NodeId>> = BTreeMap::new();
        for node in &garbage.nodes {
            // A node lies on the first living ones of its time; which ones these were nobody knows.
            for provider in map.metadata_providers(node) {
                nodes.entry(*provider).or_default().push(*node);
            }
        }
        let requests = nodes.into_iter().flat_map(|(provider, nodes)| {
            let chunks: Vec<_> = nodes.chunks(batch).map(<[_]>::to_vec).collect();
            chunks.into_iter().map(move |nodes| (provider, Request::Metadata(MetadataRequest::Delete { nodes })))
        });
        self.delete_all(requests.collect()).await?;
        let bytes = garbage.objects.iter().map(|object| u64::from(object.length)).sum();
        Ok(Collected { nodes: garbage.nodes.len() as u64, objects: garbage.objects.len() as u64, bytes })
    }

    async fn delete_all(&self, requests: Vec<(ProviderId, Request)>) -> Result<(), ClientError> {
        let deletes: Vec<_> = requests.into_iter().map(|(provider, request)| self.delete_from(provider, request)).collect();
        stream::iter(deletes).buffer_unordered(NODE_BATCHES_AT_ONCE_MAX).try_collect().await
    }

    /// Deletes copies from one provider, when it is their turn.
    pub(super) async fn delete_from(&self, id: ProviderId, request: Request) -> Result<(), ClientError> {
        self.deletes.wait(copies_in(&request)).await;
        // What was waited for does not count against the deadline.
        let context = self.context();
        let mut retry = Retry::new(context);
        loop {
            let map = self.map();
            let Some(provider) = map.provider(id).filter(|provider| provider.state != ProviderState::Dead) else {
                tracing::debug!(request = %context.id, provider = %id, "dead or gone; its copies stay behind");
                return Ok(());
            };
            let address = address_of(provider);
            match self.link.once(context, &address, request.clone(), Bytes::new()).await {
                Ok(answer) => match answer.reply {
                    Reply::Data(DataReply::Done) | Reply::Metadata(MetadataReply::Done) => return Ok(()),
                    other => return Err(malformed(&address, "the end of a delete", &other)),
                },
                Err(error) => retry.after("delete", error).await?,
            }
            self.map.refresh(context).await;
        }
    }
}

/// How many copies a request deletes.
fn copies_in(request: &Request) -> usize {
    match request {
        Request::Data(DataRequest::Delete { objects }) => objects.len(),
        Request::Metadata(MetadataRequest::Delete { nodes }) => nodes.len(),
        _ => 0,
    }
}

fn damaged(error: &crate::weave::WalkError) -> ClientError {
    ServiceError::new(ErrorKind::Damaged, format!("collection stops: {error}")).into()
}
