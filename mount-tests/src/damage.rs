//! Disks that lie: bits flipped in the stores' files.

use crate::cluster::Cluster;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// The segment files of a provider's store.
///
/// # Panics
/// When there is no such folder.
#[must_use]
pub fn segments(cluster: &Cluster, server: &str, role: &str) -> Vec<PathBuf> {
    let folder = cluster.folder().join(server).join(role);
    let listed = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = listed.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).collect()
}

/// Flips one bit in the middle of `content` wherever it lies in a data provider's segments; says how often it was found.
///
/// # Panics
/// When the files cannot be read or written.
pub fn damage_page(cluster: &Cluster, server: &str, content: &[u8]) -> usize {
    let mut found = 0;
    for path in segments(cluster, server, "data") {
        let bytes = fs::read(&path).expect("a segment");
        let middle = &content[content.len() / 2..content.len() / 2 + 64];
        for place in bytes.windows(64).enumerate().filter(|(_, window)| *window == middle).map(|(place, _)| place) {
            let file = OpenOptions::new().write(true).open(&path).expect("a segment");
            file.write_all_at(&[bytes[place] ^ 1], place as u64).expect("a flipped bit");
            found += 1;
        }
    }
    found
}
