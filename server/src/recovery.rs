//! The recovery: after a loss of power, files whose newest content was on no disk yet fall back to the newest that is whole.
//!
//! A provider whose store comes back in another incarnation may have lost what it had not synced. The provider manager knows since when
//! (`lost_since` in the cluster map: what was published before is on that provider's stable storage), and says so until a recovery reports
//! that it has looked. It looks at the present content of each file that is newer than that, in three steps, all of which may be repeated by
//! anybody at any time:
//!
//! 1. What was ordered and not published when the power failed is finished, as [`crate::helper`] does it: it may consist of lost
//!    pages, and nobody would look at it any more if it were published later.
//! 2. Of each newer content it is asked whether it is to be had ([`Condition`]). Unknown is not lost: then all is looked at again later.
//! 3. A lost one is replaced by the newest whole one that the name had since it was last removed: a version of its own, on the
//!    condition that the file still has the lost content. So whoever wrote it meanwhile wins, and of two recoveries one does nothing.
//!
//! What was lost stays in the history, where reading it fails and `weft fsck` names it.

use futures_util::{StreamExt, stream};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::time::Instant;
use weft_common::client::{ClientError, Cluster, Condition, Namespace};
use weft_common::id::{BlobId, BlobVersion, Incarnation, InodeNumber, ProviderId, ROOT_INODE, VolumeVersion};
use weft_common::limits::{AFFECTED_LISTED_MAX, ENTRIES_PER_ANSWER_MAX, HELPER_PARALLEL, RECOVERY_PAUSE_MAX, RECOVERY_ROUND};
use weft_common::name::FileName;
use weft_common::time::Timestamp;
use weft_common::weave::Tree;
use weft_common::wire::{
    At, Author, Change, ContentRow, ErrorKind, HistoryState, NamespaceAnswer, ProviderState, Query, VolumeInfo,
};

/// Whom `weft log` names as the author of a fall-back.
const AUTHOR: &str = "recovery";

/// Recovers until it is dropped or aborted. Failures are logged and tried again.
pub async fn recover(cluster: Arc<Cluster>, host: String) {
    let mut recovery = Recovery::new(cluster, host);
    let (mut seen, mut next, mut pause) = (Vec::new(), Instant::now(), RECOVERY_ROUND);
    loop {
        tokio::time::sleep(RECOVERY_ROUND).await;
        let now = standing(&recovery.cluster);
        if recovery.cluster.losses().is_empty() || (now == seen && Instant::now() < next) {
            continue;
        }
        pause = if now == seen { (pause * 2).min(RECOVERY_PAUSE_MAX) } else { RECOVERY_ROUND };
        seen = now;
        if let Err(error) = recovery.look().await {
            tracing::warn!(%error, "what was lost with the power cannot be found out yet; trying again");
        }
        next = Instant::now() + pause;
    }
}

/// What has to change for another look to find more: who is there, and in which life.
fn standing(cluster: &Cluster) -> Vec<(ProviderId, ProviderState, Incarnation)> {
    cluster.map().providers.iter().map(|provider| (provider.id, provider.state, provider.incarnation)).collect()
}

/// Whether a look came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is known, and done what could be done.
    Settled,
    /// Something is to be looked at again.
    Open,
}

impl Outcome {
    fn and(self, other: Self) -> Self {
        if self == Self::Open { self } else { other }
    }
}

/// One server's recovery.
#[derive(Debug)]
pub struct Recovery {
    cluster: Arc<Cluster>,
    host: String,
    /// Blobs with updates in flight that nobody can finish: nodes below them are lost.
    hopeless: BTreeSet<BlobId>,
    /// Contents that were reported and are nevertheless the present ones, until all is known; at most [`AFFECTED_LISTED_MAX`].
    told: BTreeSet<(BlobId, BlobVersion)>,
}

impl Recovery {
    /// As a client of `cluster`, at `host`.
    #[must_use]
    pub fn new(cluster: Arc<Cluster>, host: String) -> Self {
        Self { cluster, host, hopeless: BTreeSet::new(), told: BTreeSet::new() }
    }

    /// Looks at everything once, and reports if nothing is left open.
    ///
    /// # Errors
    /// [`ClientError`]; what was done until then is done, and a repetition goes on.
    pub async fn look(&mut self) -> Result<Outcome, ClientError> {
        let losses = self.cluster.losses();
        let Some(since) = losses.iter().filter_map(|provider| provider.lost_since).min() else { return Ok(Outcome::Settled) };
        let mut outcome = self.finish_ordered().await?;
        let mut lost_copies = 0;
        for volume in self.cluster.volumes().await? {
            let (of_volume, copies) = self.look_at_volume(&volume, since).await?;
            outcome = outcome.and(of_volume);
            lost_copies += copies;
        }
        if outcome == Outcome::Open {
            return Ok(outcome);
        }
        let providers: Vec<String> = losses.iter().map(|provider| format!("{} at {}", provider.id, provider.address)).collect();
        if lost_copies > 0 {
            tracing::warn!(
                lost_copies,
                providers = providers.join(", "),
                "copies of page objects that had not been synced are gone; other copies are whole, `weft fsck` names them"
            );
        }
        self.told.clear();
        for provider in &losses {
            self.cluster.report_examined(provider).await?;
        }
        tracing::info!(providers = providers.join(", "), "what providers may have lost was looked into");
        Ok(outcome)
    }

    /// Has everything published that was ordered.
    async fn finish_ordered(&mut self) -> Result<Outcome, ClientError> {
        let (versions, more) = self.cluster.in_flight().await?;
        let mut outcome = if more { Outcome::Open } else { Outcome::Settled };
        self.hopeless.clear();
        let cluster = &self.cluster;
        let finishes = versions
            .into_iter()
            .map(|(blob, version)| async move { (blob, version, cluster.finish_version(blob, version).await) });
        let mut finished = stream::iter(finishes).buffered(HELPER_PARALLEL);
        while let Some((blob, version, result)) = finished.next().await {
            match result {
                Ok(()) => {}
                Err(ClientError::Damaged { .. }) => _ = self.hopeless.insert(blob),
                // Behind one that nobody can finish.
                Err(_) if self.hopeless.contains(&blob) => {}
                Err(error) => {
                    tracing::debug!(%blob, %version, %error, "an update is not finished yet");
                    outcome = Outcome::Open;
                }
            }
        }
        Ok(outcome)
    }

    async fn look_at_volume(&mut self, volume: &VolumeInfo, since: Timestamp) -> Result<(Outcome, u64), ClientError> {
        let synced = self.newest_before(volume, since).await?;
        let cluster = Arc::clone(&self.cluster);
        let (mut contents, mut outcome, mut lost_copies) = (cluster.contents(volume.id), Outcome::Settled, 0);
        while let Some(rows) = contents.page().await? {
            let is_past = rows.last().is_some_and(|row| row.to.is_some());
            let is_newer = |row: &&ContentRow| row.to.is_none() && row.from > synced && row.shown_at.is_some();
            for row in rows.iter().filter(is_newer) {
                match cluster.condition(&row.tree, self.known(volume, row, synced).await?).await? {
                    Condition::Whole { lost_copies: copies } => lost_copies += copies,
                    Condition::Lost(what) => outcome = outcome.and(self.fall_back(volume, row, &what).await?),
                    // One of them is named: there may be many.
                    Condition::Unknown(_) if outcome == Outcome::Open => {}
                    Condition::Unknown(what) => {
                        let path = self.path(volume, row.inode).await?.unwrap_or_default();
                        tracing::warn!(
                            file = shown(volume, &path),
                            missing = what,
                            "a file cannot be read, and whether it is lost is not known while a provider is away: nothing is collected until \
                             that is back; if it never comes back, restore or remove the file"
                        );
                        outcome = Outcome::Open;
                    }
                }
            }
            // The present contents come first.
            if is_past {
                break;
            }
        }
        Ok((outcome, lost_copies))
    }

    /// The newest version that was published before `since`.
    async fn newest_before(&self, volume: &VolumeInfo, since: Timestamp) -> Result<VolumeVersion, ClientError> {
        let before = Query::VersionAt { directory: ROOT_INODE, time: Timestamp(since.0.saturating_sub(1)) };
        match self.cluster.query(volume.id, At::Head, before).await {
            Ok(NamespaceAnswer::Version(version)) => Ok(version),
            // The volume is younger.
            Err(error) if !is(&error, ErrorKind::NotFound) => Err(error),
            _ => Ok(VolumeVersion(0)),
        }
    }

    /// The version of the row's blob that the file had at `synced`, if it is known: what that consists of needs no look.
    async fn known(
        &self,
        volume: &VolumeInfo,
        row: &ContentRow,
        synced: VolumeVersion,
    ) -> Result<Option<BlobVersion>, ClientError> {
        match self.cluster.query(volume.id, At::Version(synced), Query::Attributes(row.inode)).await {
            Ok(NamespaceAnswer::Attributes(then)) => {
                Ok(then.tree.filter(|tree| tree.blob == row.tree.blob).map(|tree| tree.version))
            }
            Ok(_) => Ok(None),
            // Younger than that, or the version is not kept any more.
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The file that has the lost content of `row` gets the newest whole one that its name had.
    async fn fall_back(&mut self, volume: &VolumeInfo, row: &ContentRow, what: &str) -> Result<Outcome, ClientError> {
        let lost = content(&row.tree);
        let Some(path) = self.path(volume, row.inode).await? else { return Ok(Outcome::Open) };
        let Some((name, folders)) = path.split_last() else { return Ok(Outcome::Open) };
        let Some(parent) = self.directory(volume, folders).await? else { return Ok(Outcome::Open) };
        let Some(states) = self.history(volume, parent, name).await? else { return Ok(Outcome::Open) };
        let (name, path) = (name.clone(), shown(volume, &path));
        let mut gone = Vec::new();
        for state in states.iter().rev().take_while(|state| state.removed.is_none()) {
            let Some(tree) = state.attributes.tree.filter(|tree| !is_unwritten(tree)) else { continue };
            let condition = if content(&tree) == lost {
                Condition::Lost(what.to_owned())
            } else {
                self.cluster.condition(&tree, None).await?
            };
            match condition {
                Condition::Lost(_) => gone.push(state.from),
                Condition::Unknown(_) => return Ok(Outcome::Open),
                Condition::Whole { .. } => {
                    let change = Change::FallBack {
                        parent,
                        name,
                        inode: row.inode,
                        lost,
                        source: state.attributes.inode,
                        content: content(&tree),
                        abandon: self.hopeless.contains(&row.tree.blob),
                    };
                    return self.replace(volume, change, &path, &gone, state.from).await;
                }
            }
        }
        if self.told.len() >= AFFECTED_LISTED_MAX || self.told.insert(lost) {
            tracing::error!(
                file = path,
                missing = what,
                versions = listed(&gone),
                "the file was lost with the power, and no version of it is whole: write it again (render it anew), or remove it"
            );
        }
        Ok(Outcome::Settled)
    }

    async fn replace(
        &self,
        volume: &VolumeInfo,
        change: Change,
        path: &str,
        gone: &[VolumeVersion],
        back_to: VolumeVersion,
    ) -> Result<Outcome, ClientError> {
        let author = Author { host: self.host.clone(), program: AUTHOR.to_owned(), uid: 0 };
        let opened = self.cluster.open_volume(&volume.name).await?;
        match opened.change(&author, change).await {
            Ok(reply) => {
                tracing::warn!(file = path, lost = listed(gone), %back_to, version = %reply.version,
                    "the newest content was lost with the power before it was on stable storage: the file is again as it was; \
                     what wrote it has to write it again (render it anew)");
                Ok(Outcome::Settled)
            }
            // Somebody was faster. What the file has now is to be looked at.
            Err(error) if is(&error, ErrorKind::Conflict) || is(&error, ErrorKind::Stale) => Ok(Outcome::Open),
            Err(error) => Err(error),
        }
    }

    /// The components of a path of the inode; `None` if it has no name any more.
    async fn path(&self, volume: &VolumeInfo, inode: InodeNumber) -> Result<Option<Vec<FileName>>, ClientError> {
        match self.cluster.query(volume.id, At::Head, Query::PathOf(inode)).await {
            Ok(NamespaceAnswer::Path(components)) => Ok(Some(components)),
            Ok(_) => Ok(None),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The directory at a path; `None` if it is not there any more.
    async fn directory(&self, volume: &VolumeInfo, folders: &[FileName]) -> Result<Option<InodeNumber>, ClientError> {
        let mut parent = ROOT_INODE;
        for folder in folders {
            let query = Query::LookUp { parent, name: folder.clone() };
            match self.cluster.query(volume.id, At::Head, query).await {
                Ok(NamespaceAnswer::Attributes(attributes)) => parent = attributes.inode,
                Ok(_) => return Ok(None),
                Err(error) if is_gone(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(parent))
    }

    /// What was ever under a name.
    async fn history(
        &self,
        volume: &VolumeInfo,
        parent: InodeNumber,
        name: &FileName,
    ) -> Result<Option<Vec<HistoryState>>, ClientError> {
        let (mut states, mut after) = (Vec::new(), VolumeVersion(0));
        loop {
            let (name, limit) = (name.clone(), ENTRIES_PER_ANSWER_MAX as u32);
            let query = Query::HistoryOf { parent, name, after, limit };
            let NamespaceAnswer::History { states: some, more } = self.cluster.query(volume.id, At::Head, query).await? else {
                return Ok(None);
            };
            states.extend(some);
            match states.last() {
                Some(last) if more => after = last.from,
                _ => return Ok(Some(states)),
            }
        }
    }
}

fn content(tree: &Tree) -> (BlobId, BlobVersion) {
    (tree.blob, tree.version)
}

/// The empty file that its creation made and nobody has written: nothing that one would want back.
fn is_unwritten(tree: &Tree) -> bool {
    tree.version == BlobVersion(0) && tree.root.is_none()
}

fn is(error: &ClientError, kind: ErrorKind) -> bool {
    matches!(error, ClientError::Service(service) if service.kind == kind)
}

/// Removed, or not kept any more, or not there yet.
fn is_gone(error: &ClientError) -> bool {
    is(error, ErrorKind::NotFound) || is(error, ErrorKind::Stale)
}

fn shown(volume: &VolumeInfo, components: &[FileName]) -> String {
    components.iter().fold(volume.name.clone(), |path, name| format!("{path}/{name}"))
}

fn listed(versions: &[VolumeVersion]) -> String {
    versions.iter().rev().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
