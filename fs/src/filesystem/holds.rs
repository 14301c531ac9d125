//! What this mount uses of the past: told with every renewal of the session, so that retention does not take it away meanwhile.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use weft_common::client::Held;
use weft_common::id::VolumeVersion;

use super::Filesystem;
use crate::handle::Open;
use crate::lock;

/// A version that was entered or read in is in use for so long: a program may stand in it. Longer than the kernel keeps the
/// look-up of a version ([`LABEL_LIFETIME`]), so whoever uses paths is never without.
const USE_SPAN: Duration = Duration::from_secs(60);
/// How long the kernel may keep the look-up of a version in `.versions`. Two renewals of the session take longer.
pub(super) const LABEL_LIFETIME: Duration = Duration::from_secs(10);

/// Versions that were used lately.
#[derive(Debug, Default)]
pub(super) struct Holds(Mutex<HashMap<VolumeVersion, Instant>>);

impl Holds {
    /// `version` is being used.
    pub(super) fn use_version(&self, version: VolumeVersion) {
        lock(&self.0).insert(version, Instant::now());
    }

    fn used(&self) -> Vec<VolumeVersion> {
        let mut used = lock(&self.0);
        used.retain(|_, last| last.elapsed() < USE_SPAN);
        used.keys().copied().collect()
    }
}

impl Filesystem {
    /// Everything that is in use of the past.
    pub(crate) fn holds(&self) -> Vec<Held> {
        let volume = self.volume.info().id;
        let mut holds: Vec<Held> = self.holds.used().into_iter().map(|version| Held::Version(volume, version)).collect();
        for file in self.files.all() {
            holds.push(Held::Inode(volume, file.inode));
            let state = file.state();
            let trees = state.views.iter().filter_map(|view| view.attributes.tree).chain(state.newest.tree);
            holds.extend(trees.map(|tree| Held::Content(tree.blob, tree.version)));
        }
        let old = self.handles.all().into_iter().filter_map(|open| match open {
            Open::Old(handle) => Some(Held::Content(handle.tree.blob, handle.tree.version)),
            _ => None,
        });
        holds.extend(old);
        holds
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
        assert_eq!(contents(&mount.filesystem.holds()), [0u64; 0]);
        let live = mount.open("frame", READ).await;
        let now = mount.filesystem.holds();
        assert!(now.iter().any(|held| matches!(held, Held::Inode(..))), "{now:?}");
        let newest = contents(&now);
        let old = mount.open(".versions/2/frame", READ).await;
        let holds = mount.filesystem.holds();
        assert!(holds.contains(&Held::Version(volume_id(&mount), VolumeVersion(2))), "{holds:?}");
        assert_eq!(contents(&holds), [newest[0] - 1, newest[0]]);
        mount.close(live).await.unwrap();
        mount.close(old).await.unwrap();
        assert_eq!(contents(&mount.filesystem.holds()), [0u64; 0]);
    }

    fn volume_id(mount: &TestMount) -> weft_common::id::VolumeId {
        mount.filesystem.volume.info().id
    }
}
