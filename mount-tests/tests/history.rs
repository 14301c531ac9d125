//! Every earlier version still is what it was: whole trees, byte for byte, across restarts of everything.

use std::collections::BTreeMap;
use std::path::Path;
use weft_mount_tests::cluster::{Cluster, Shape, long_tests};
use weft_mount_tests::fingerprint::{Fingerprint, differences, fingerprint};
use weft_mount_tests::mount::Mount;
use weft_mount_tests::operations::Scribbler;

/// Operations on each volume; the full number with `WEFT_LONG_TESTS`.
fn operations() -> usize {
    if long_tests() { 2000 } else { 60 }
}

/// The newest version that `.versions` lists.
fn newest(root: &Path) -> u64 {
    let listed = std::fs::read_dir(root.join(".versions")).expect("a list of versions");
    let numbers = listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers.max().expect("at least one version")
}

/// Makes random changes and remembers, after each, what the newest version's tree was.
fn scribble(root: &Path, seed: u64, steps: usize) -> BTreeMap<u64, Fingerprint> {
    let mut scribbler = Scribbler::new(root, seed, 200_000);
    let mut seen = BTreeMap::new();
    for _ in 0..steps {
        let what = scribbler.step().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let now = fingerprint(root).unwrap_or_else(|error| panic!("seed {seed}, after {what}: {error}"));
        seen.insert(newest(root), now);
    }
    seen
}

fn check(root: &Path, seen: &BTreeMap<u64, Fingerprint>) {
    for (version, expected) in seen {
        let old = root.join(".versions").join(version.to_string());
        let actual = fingerprint(&old).unwrap_or_else(|error| panic!("version {version}: {error}"));
        let wrong = differences(expected, &actual);
        assert!(wrong.is_empty(), "version {version} is not what it was:\n{}", wrong.join("\n"));
    }
}

/// Every shape with pages of one size, one after the other on the same servers.
fn survives_a_restart(page_kib: u32) {
    let mut cluster = Cluster::start(3, 3);
    let shapes = Shape::tested().into_iter().filter(|shape| shape.page_kib == page_kib);
    for (number, shape) in shapes.enumerate() {
        let volume = format!("history{number}");
        cluster.create_volume(&volume, shape);
        let mount = cluster.mount(&volume);
        let seen = scribble(mount.path(), u64::from(page_kib) + number as u64, operations());
        mount.unmount();
        cluster.restart();
        let mount = cluster.mount(&volume);
        check(mount.path(), &seen);
        mount.unmount();
        eprintln!("{shape:?}: {} versions, all as they were before the restart", seen.len());
    }
}

#[test]
fn every_version_of_a_cluster_survives_a_restart_of_everything_with_small_pages() {
    survives_a_restart(64);
}

#[test]
fn every_version_of_a_cluster_survives_a_restart_of_everything_with_large_pages() {
    survives_a_restart(1024);
}

#[test]
fn every_version_of_a_local_volume_survives_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, path) = (folder.path().join("store"), folder.path().join("mnt"));
    let mount = Mount::local(&store, &path, &["--page-size", "64KiB", "--fan-out", "32"]);
    let seen = scribble(mount.path(), 99, operations() * 2);
    mount.unmount();
    let mount = Mount::local(&store, &path, &[]);
    check(mount.path(), &seen);
    mount.unmount();
}
