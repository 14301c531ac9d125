//! Following what others change, where the kernel is allowed to believe names for a while.
//!
//! With entry lifetime 0 the kernel asks at every step and nothing needs to be followed. Otherwise this task drops
//! from the kernel's caches what a change of the volume makes stale. Changes that this mount made itself are passed over: to
//! drop a directory's name that the kernel has just entered would take it away under the feet of a process that works in it.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, Weak};
use std::time::Duration;
use weft_common::id::{InodeNumber, VolumeVersion};
use weft_common::wire::{At, Attributes, ChangeRecord, NamespaceAnswer, Query};

use super::{Failure, Filesystem, unexpected};
use crate::inode::NodeId;
use crate::lock;

/// Changes in one answer.
const CHANGES_PER_ANSWER: u32 = 1024;
/// Versions that are remembered: more than can be made between a change and the answer that tells of it.
const OWN_VERSIONS_MAX: usize = 65_536;
/// How long the server holds a question that has no answer yet.
const WAIT: Duration = Duration::from_secs(5);
/// Between an answer and its consequences, so that a burst of changes costs few questions.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two questions that could not be asked.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(2);

/// Follows the changes of `filesystem`'s volume for as long as it is mounted.
pub(crate) async fn follow_changes(filesystem: Weak<Filesystem>) {
    let mut after = None;
    while let Some(filesystem) = filesystem.upgrade() {
        match filesystem.next_changes(after).await {
            Ok(seen) => after = Some(seen),
            Err(error) => {
                tracing::debug!(%error, "changes of others are not seen for a while; the kernel's caches expire by themselves");
                drop(filesystem);
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

/// The newest versions that this mount made itself.
#[derive(Debug, Default)]
pub(crate) struct OwnVersions(Mutex<BTreeSet<VolumeVersion>>);

impl OwnVersions {
    /// This mount made `version`.
    pub(crate) fn insert(&self, version: VolumeVersion) {
        let mut versions = lock(&self.0);
        versions.insert(version);
        if versions.len() > OWN_VERSIONS_MAX {
            versions.pop_first();
        }
    }

    fn contains(&self, version: VolumeVersion) -> bool {
        lock(&self.0).contains(&version)
    }
}

impl Filesystem {
    /// Leases are called in or over: the kernel must not believe any more what it was told of the attributes of these inodes. Waits for nobody.
    pub(crate) fn forget_leased(&self, inodes: &[InodeNumber]) {
        // What was answered a moment ago may be on its way to the kernel still, so `recent` keeps it: an open has to know of it.
        let numbers = |inode: &InodeNumber| {
            let (own, current) = (NodeId::from(*inode), self.nodes.peek(*inode));
            [Some(own), (current != own).then_some(current)].into_iter().flatten()
        };
        self.kernel.drop_attributes(inodes.iter().flat_map(numbers));
    }

    /// Whether changes of others must be followed.
    pub(crate) fn needs_watch(&self) -> bool {
        !self.settings.entry_lifetime.is_zero()
    }

    /// Before a file is opened that somebody else may have changed so lately that the kernel was not told: it is told now.
    /// With lifetime 0 the kernel has just asked for the attributes; and where it has pages of this very content, it was told with them.
    pub(super) async fn catch_up(&self, node: NodeId, newest: &Attributes) {
        let is_unseen = newest.version.0 > self.seen.load(Ordering::Acquire) && !self.own.contains(newest.version);
        let is_told = newest.tree.is_some_and(|tree| self.kernel.has_pages_of(node, tree));
        if self.needs_watch() && is_unseen && !is_told {
            self.kernel.drop_pages_now(node).await;
        }
    }

    /// Waits for changes behind `after` and takes them in. Answers the last one; to begin with, the newest there is.
    async fn next_changes(&self, after: Option<VolumeVersion>) -> Result<VolumeVersion, Failure> {
        let Some(after) = after else {
            return match self.volume.query(At::Head, Query::Latest).await? {
                NamespaceAnswer::Version(latest) => Ok(latest),
                _ => Err(unexpected()),
            };
        };
        let query = Query::Watch { after, limit: CHANGES_PER_ANSWER, wait_ms: WAIT.as_millis() as u32 };
        match self.volume.query(At::Head, query).await? {
            NamespaceAnswer::Changes { changes, .. } => {
                // The answers to this mount's own changes are on their way, too.
                tokio::time::sleep(PAUSE).await;
                for change in &changes {
                    self.take_in(change).await;
                }
                let seen = changes.last().map_or(after, |change| change.version);
                self.seen.store(seen.0, Ordering::Release);
                Ok(seen)
            }
            _ => Err(unexpected()),
        }
    }

    async fn take_in(&self, change: &ChangeRecord) {
        if self.own.contains(change.version) {
            return;
        }
        self.recent.forget(change.inode);
        // A file that is written here shows what was written here; its views move when it publishes.
        let is_dirty = self.files.get(change.inode).is_some_and(|file| file.state().is_dirty());
        if !is_dirty {
            self.kernel.drop_pages_now(self.nodes.peek(change.inode)).await;
        }
        let places = change.place.iter().chain(&change.old_place);
        self.kernel.drop_entries(places.map(|(parent, name)| ((*parent).into(), name.clone())).collect());
    }
}
