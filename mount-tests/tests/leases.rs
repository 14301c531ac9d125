//! Mounts that answer from memory: what others change is seen all the same, and one that says nothing holds nobody up for long.

use rustix::process::Signal;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use weft_common::limits::{LEASE_MARGIN, LEASE_TERM};
use weft_mount_tests::cluster::{Cluster, Shape};
use weft_mount_tests::mount::Mount;

struct Two {
    farm: Mount,
    desk: Mount,
    cluster: Cluster,
}

impl Two {
    fn start() -> Self {
        let mut cluster = Cluster::start(1, 1);
        cluster.create_volume("show", Shape { page_kib: 64, fan_out: 32, copies: 1 });
        let (farm, desk) = (cluster.mount("show"), cluster.mount("show"));
        Self { farm, desk, cluster }
    }

    fn farm(&self, name: &str) -> PathBuf {
        self.farm.path().join(name)
    }

    fn desk(&self, name: &str) -> PathBuf {
        self.desk.path().join(name)
    }

    /// The desk gets to know a directory with a file: it answers from memory, and so does its kernel.
    fn look(&self) {
        fs::create_dir(self.farm("shot")).expect("a directory");
        fs::write(self.farm("shot/frame"), b"one").expect("a file");
        // Until then nobody gets a lease on what was just called in.
        std::thread::sleep(weft_common::limits::LEASE_PAUSE);
        for _ in 0..3 {
            assert_eq!(fs::read_dir(self.desk("shot")).expect("a listing").count(), 1);
            assert_eq!(fs::metadata(self.desk("shot/frame")).expect("attributes").len(), 3);
            assert!(!self.desk("shot/other").exists());
        }
    }
}

#[test]
fn what_another_mount_changes_is_seen_at_once_again_and_again() {
    let two = Two::start();
    two.look();
    for round in 0..50 {
        let other = format!("shot/other{round}");
        assert!(!two.desk(&other).exists());
        fs::write(two.farm(&other), vec![b'x'; round + 1]).unwrap();
        assert_eq!(fs::metadata(two.desk(&other)).unwrap().len(), round as u64 + 1);
        fs::rename(two.farm(&other), two.farm("shot/frame")).unwrap();
        assert!(!two.desk(&other).exists());
        assert_eq!(fs::metadata(two.desk("shot/frame")).unwrap().len(), round as u64 + 1);
        let links = fs::metadata(two.desk("shot")).unwrap().nlink();
        fs::create_dir(two.farm(&other)).unwrap();
        assert_eq!(fs::metadata(two.desk("shot")).unwrap().nlink(), links + 1);
        fs::remove_dir(two.farm(&other)).unwrap();
        assert_eq!(fs::metadata(two.desk("shot")).unwrap().nlink(), links);
    }
}

#[test]
fn a_mount_that_is_killed_holds_up_a_change_of_what_it_knew_once() {
    let two = Two::start();
    two.look();
    let Two { farm, desk, cluster: _cluster } = two;
    desk.crash();
    let began = Instant::now();
    fs::write(farm.path().join("shot/other"), b"x").unwrap();
    // A machine under load is late by more than the manager's own clock, but nowhere near a second term.
    assert!(began.elapsed() < 2 * (LEASE_TERM + LEASE_MARGIN), "{:?}", began.elapsed());
    assert_eq!(fs::read(farm.path().join("shot/other")).unwrap(), b"x");
}

#[test]
fn a_mount_that_stood_still_believes_nothing_when_it_goes_on() {
    let mut two = Two::start();
    two.look();
    two.desk.process().signal(Signal::STOP);
    fs::write(two.farm("shot/frame"), b"longer").unwrap();
    File::create_new(two.farm("shot/other")).unwrap();
    two.desk.process().signal(Signal::CONT);
    assert_eq!(fs::metadata(two.desk("shot/frame")).unwrap().len(), 6);
    assert!(two.desk("shot/other").exists());
}

#[test]
fn a_manager_that_is_started_again_knows_that_mounts_remember() {
    let mut two = Two::start();
    two.look();
    for round in 0..3 {
        two.cluster.server("manager").kill();
        two.cluster.restart_killed();
        let other = format!("shot/other{round}");
        fs::write(two.farm(&other), b"x").unwrap();
        assert!(two.desk(&other).exists());
        fs::write(two.farm("shot/frame"), vec![b'x'; round + 10]).unwrap();
        assert_eq!(fs::metadata(two.desk("shot/frame")).unwrap().len(), round as u64 + 10);
        std::thread::sleep(Duration::from_millis(100));
        assert!(!two.desk(&format!("shot/other{}", round + 1)).exists());
    }
}
