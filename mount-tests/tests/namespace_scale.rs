//! Large directories, deep ones, and files of many names. Sizes of the issue with `WEFT_LONG_TESTS=1`, small ones of the same code in every run;
//! `--nocapture` shows the rates and the memory that they took.

#![allow(clippy::print_stdout, reason = "what a measurement found is for whoever runs it with --nocapture")]

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;
use weft_mount_tests::cluster::{Cluster, Shape, long_tests};
use weft_mount_tests::mount::Mount;

const SHAPE: Shape = Shape { page_kib: 1024, fan_out: 32, copies: 1 };
const MAKERS: usize = 4;
/// What a client may take whatever it lists.
const CLIENT_KIB_MAX: u64 = 256 << 10;

fn name(number: usize) -> String {
    format!("frame.{number:07}.exr")
}

fn report(what: &str, count: usize, began: Instant) {
    let seconds = began.elapsed().as_secs_f64();
    println!("{what}: {count} in {seconds:.2} s, {:.0} in a second", count as f64 / seconds);
}

/// Most memory that a process has had, in KiB.
fn memory_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Every maker does its share of `count` things on a mount of its own turn.
fn share_out(mounts: &[&Mount], count: usize, work: impl Fn(&Path, usize) + Sync) {
    std::thread::scope(|scope| {
        for maker in 0..MAKERS {
            let (path, work) = (mounts[maker % mounts.len()].path(), &work);
            scope.spawn(move || (maker..count).step_by(MAKERS).for_each(|number| work(path, number)));
        }
    });
}

fn listed(path: &Path) -> BTreeSet<String> {
    let mut count = 0;
    let names = fs::read_dir(path).expect("a listing").map(|entry| {
        count += 1;
        entry.expect("an entry").file_name().into_string().expect("UTF-8")
    });
    let names: BTreeSet<_> = names.collect();
    assert_eq!(names.len(), count, "a name was listed twice");
    names
}

#[test]
fn a_directory_of_many_files() {
    let count = if long_tests() { 1_000_000 } else { 5_000 };
    let mut cluster = Cluster::start_quiet(1, 1);
    cluster.create_volume("show", SHAPE);
    let (mut a, mut b) = (cluster.mount("show"), cluster.mount("show"));
    fs::create_dir(a.path().join("shots")).unwrap();
    let mounts = [&a, &b];
    let began = Instant::now();
    share_out(&mounts, count, |mount, number| {
        drop(File::create_new(mount.join("shots").join(name(number))).expect("a new file"))
    });
    report("created, by four at once on two mounts", count, began);

    let shots = b.path().join("shots");
    let began = Instant::now();
    let first = fs::read_dir(&shots).unwrap().next();
    assert!(first.is_some());
    println!("first entry of a listing after {:?}", began.elapsed());
    let began = Instant::now();
    let names = listed(&shots);
    report("listed", names.len(), began);
    assert!(names.iter().cloned().eq((0..count).map(name)));
    let looked = count.min(20_000);
    let began = Instant::now();
    for number in (0..count).step_by(count / looked) {
        assert!(fs::symlink_metadata(shots.join(name(number))).unwrap().is_file());
    }
    report("looked up", looked, began);
    let began = Instant::now();
    share_out(&mounts, count, |mount, number| fs::remove_file(mount.join("shots").join(name(number))).expect("removed"));
    report("removed, by four at once on two mounts", count, began);
    assert!(listed(&shots).is_empty());
    fs::remove_dir(&shots).unwrap();
    for mount in [&mut a, &mut b] {
        let memory = memory_kib(mount.process().id());
        println!("a mount took {} MiB at most", memory >> 10);
        assert!(memory < CLIENT_KIB_MAX, "{memory} KiB");
    }
    println!("the manager took {} MiB at most", memory_kib(cluster.server("manager").id()) >> 10);
}

#[test]
fn directories_in_one_another() {
    let depth = 1000;
    let mut cluster = Cluster::start_quiet(1, 1);
    cluster.create_volume("show", SHAPE);
    let (a, b) = (cluster.mount("show"), cluster.mount("show"));
    let below = "d/".repeat(depth);
    // Step by step: each path from the root is looked up name by name, on the server.
    let mut here = openat(CWD, a.path(), OFlags::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..depth {
        mkdirat(&here, "d", Mode::RWXU).unwrap();
        here = openat(&here, "d", OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    fs::write(a.path().join(&below).join("f"), b"deep").unwrap();
    assert_eq!(fs::read(b.path().join(&below).join("f")).unwrap(), b"deep");
    fs::rename(b.path().join("d"), b.path().join("e")).unwrap();
    assert_eq!(fs::read(a.path().join("e").join(&below[2..]).join("f")).unwrap(), b"deep");
    fs::remove_dir_all(a.path().join("e")).unwrap();
    assert_eq!(fs::read_dir(b.path()).unwrap().count(), 0);
}

#[test]
fn a_file_of_many_names() {
    let count = if long_tests() { 100_000 } else { 2_000 };
    let mut cluster = Cluster::start_quiet(1, 1);
    cluster.create_volume("show", SHAPE);
    let (a, b) = (cluster.mount("show"), cluster.mount("show"));
    fs::write(a.path().join("f"), b"one content").unwrap();
    fs::create_dir(a.path().join("names")).unwrap();
    let began = Instant::now();
    share_out(&[&a, &b], count, |mount, number| {
        fs::hard_link(mount.join("f"), mount.join("names").join(name(number))).expect("a further name");
    });
    report("linked", count, began);
    assert_eq!(fs::metadata(b.path().join("f")).unwrap().nlink(), count as u64 + 1);
    assert_eq!(listed(&b.path().join("names")).len(), count);
    fs::write(b.path().join("names").join(name(count / 2)), b"another").unwrap();
    assert_eq!(fs::read(a.path().join("f")).unwrap(), b"another");
    fs::remove_file(a.path().join("f")).unwrap();
    let began = Instant::now();
    share_out(&[&a, &b], count - 1, |mount, number| fs::remove_file(mount.join("names").join(name(number))).expect("removed"));
    report("unlinked", count - 1, began);
    let last = fs::metadata(b.path().join("names").join(name(count - 1))).unwrap();
    assert_eq!((last.nlink(), last.len()), (1, 7));
}
