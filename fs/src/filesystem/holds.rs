//! What this mount uses of the past: told with every renewal of the session, so that retention does not take it away meanwhile.
//!
//! Whatever the kernel remembers of a version it can open without asking, by a path that it knows or from a directory that a
//! program stands in. So a version is held as long as the kernel remembers anything of it. To let go of a version the kernel is
//! told to drop its name: it forgets what is not in use below it. That happens to a version that was not looked into for a while,
//! and at once to one that is not kept any more; and again at each renewal, with all names below it, since what was in use
//! leaves names behind which are found from nowhere.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use weft_common::client::{Held, Holder, InUse};
use weft_common::id::{VolumeId, VolumeVersion};

use super::Filesystem;
use crate::handle::Open;
use crate::lock;

/// The kernel keeps what it knows of a version for so long after the last look-up in it.
const IDLE_SPAN: Duration = Duration::from_secs(60);
/// How long the kernel may keep the look-up of a version in `.versions`: whoever uses paths is seen so often. Well below
/// [`IDLE_SPAN`].
pub(super) const LABEL_LIFETIME: Duration = Duration::from_secs(10);

/// When versions were last looked into.
#[derive(Debug, Default)]
pub(super) struct Uses(Mutex<HashMap<VolumeVersion, Instant>>);

impl Uses {
    /// `version` is being used.
    pub(super) fn note(&self, version: VolumeVersion) {
        lock(&self.0).insert(version, Instant::now());
    }

    /// Whether a version was used lately. Forgets when the others were.
    fn lately(&self) -> impl Fn(VolumeVersion) -> bool + use<> {
        let mut uses = lock(&self.0);
        uses.retain(|_, last| last.elapsed() < IDLE_SPAN);
        let lately: std::collections::HashSet<_> = uses.keys().copied().collect();
        move |version| lately.contains(&version)
    }
}

impl Filesystem {
    /// For a request that may find and take hold of something of the past; to be kept until it is done.
    pub(crate) fn begin_use(&self) -> Option<InUse> {
        self.volume.begin_use()
    }
}

impl Holder for Filesystem {
    fn held(&self) -> Vec<Held> {
        let is_in_use = self.uses.lately();
        self.kernel.drop_entries(self.nodes.names_at(|version| !is_in_use(version)));
        let volume = self.volume.info().id;
        let mut held: Vec<Held> = self.nodes.versions().into_iter().map(|version| Held::Version(volume, version)).collect();
        for file in self.files.all() {
            held.push(Held::Inode(volume, file.inode));
            let state = file.state();
            let trees = state.views.iter().filter_map(|view| view.attributes.tree).chain(state.newest.tree);
            held.extend(trees.map(|tree| Held::Content(tree.blob, tree.version)));
        }
        let old = self.handles.all().into_iter().filter_map(|open| match open {
            Open::Old(handle) => Some(Held::Content(handle.tree.blob, handle.tree.version)),
            _ => None,
        });
        held.extend(old);
        held
    }

    fn let_go(&self, versions: &[(VolumeId, VolumeVersion)]) {
        let volume = self.volume.info().id;
        self.kernel.drop_entries(self.nodes.let_go(|version| versions.contains(&(volume, version))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeVolume, READ, TestMount};

    #[tokio::test]
    async fn what_is_open_or_was_just_used_is_held() {
        let volume = FakeVolume::new();
        let mount = TestMount::new(&volume);
        mount.put("frame", b"first").await;
        mount.put("frame", b"second").await;
        let contents = |holds: &[Held]| {
            let of = |held: &Held| if let Held::Content(_, version) = held { Some(version.0) } else { None };
            let mut versions: Vec<u64> = holds.iter().filter_map(of).collect();
            versions.sort_unstable();
            versions.dedup();
            versions
        };
        assert_eq!(contents(&mount.filesystem.held()), [0u64; 0]);
        let live = mount.open("frame", READ).await;
        let now = mount.filesystem.held();
        assert!(now.iter().any(|held| matches!(held, Held::Inode(..))), "{now:?}");
        let newest = contents(&now);
        let old = mount.open(".versions/2/frame", READ).await;
        let holds = mount.filesystem.held();
        assert!(holds.contains(&Held::Version(volume_id(&mount), VolumeVersion(2))), "{holds:?}");
        assert_eq!(contents(&holds), [newest[0] - 1, newest[0]]);
        mount.close(live).await.unwrap();
        mount.close(old).await.unwrap();
        assert_eq!(contents(&mount.filesystem.held()), [0u64; 0]);
    }

    #[tokio::test]
    async fn what_is_not_kept_any_more_is_held_until_the_kernel_forgets_it() {
        let volume = FakeVolume::new();
        let mount = TestMount::new(&volume);
        mount.put("frame", b"first").await;
        mount.put("frame", b"second").await;
        let versions = mount.find(".versions").await.unwrap().node;
        let entry = mount.find(".versions/2").await.unwrap().node;
        let file = mount.filesystem.look_up(entry, b"frame").await.unwrap().node;
        let version = (volume_id(&mount), VolumeVersion(2));
        let held = Held::Version(version.0, version.1);
        mount.filesystem.let_go(&[version]);
        assert!(mount.has_dropped_name(versions, "2").await);
        assert!(mount.filesystem.held().contains(&held), "a program stands in it");
        mount.filesystem.forget(entry, 1);
        assert!(mount.filesystem.held().contains(&held), "a program has the file");
        mount.filesystem.forget(file, 1);
        assert!(!mount.filesystem.held().contains(&held));
    }

    fn volume_id(mount: &TestMount) -> weft_common::id::VolumeId {
        mount.filesystem.volume.info().id
    }
}
