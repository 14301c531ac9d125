//! Space, the past, and what is not there.

use crate::{Two, errno};
use rustix::fs::{CWD, FallocateFlags, Mode, OFlags, SeekFrom, fallocate, openat, seek};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command};
use std::time::Duration;
use weft_common::limits::LEASE_TERM;
use weft_mount_tests::cluster::{Cluster, Shape};
use weft_mount_tests::wait::until;

#[test]
fn holes() {
    let two = Two::start();
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(two.a("f")).unwrap();
    file.write_all_at(b"head", 0).unwrap();
    file.write_all_at(b"tail", 10 << 20).unwrap();
    file.write_all_at(&[b'x'; 200_000], 1 << 20).unwrap();
    fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, (1 << 20) + 10, 199_000).unwrap();
    fallocate(&file, FallocateFlags::ZERO_RANGE, (10 << 20) + 4, 1000).unwrap();
    fallocate(&file, FallocateFlags::KEEP_SIZE, 0, 20 << 20).unwrap();
    file.sync_all().unwrap();
    let there = File::open(two.b("f")).unwrap();
    assert_eq!(there.metadata().unwrap().len(), (10 << 20) + 1004);
    let mut bytes = vec![1; 300_000];
    there.read_exact_at(&mut bytes, 1 << 20).unwrap();
    assert!(bytes[..10].iter().all(|byte| *byte == b'x') && bytes[10..199_010].iter().all(|byte| *byte == 0));
    assert!(bytes[199_010..200_000].iter().all(|byte| *byte == b'x') && bytes[200_000..].iter().all(|byte| *byte == 0));
    assert_eq!(seek(&there, SeekFrom::Hole(0)).unwrap(), 65_536, "to the page");
    assert_eq!(seek(&there, SeekFrom::Data(2 << 20)).unwrap(), 10 << 20);
    assert_eq!(seek(&there, SeekFrom::Data(11 << 20)), Err(rustix::io::Errno::NXIO));
}

#[test]
fn copies_within_a_volume_share() {
    let two = Two::start();
    fs::write(two.a("f"), vec![7; 5 << 20]).unwrap();
    fs::copy(two.a("f"), two.a("g")).unwrap();
    assert_eq!(fs::read(two.b("g")).unwrap(), vec![7; 5 << 20]);
    let mut du = std::process::Command::new(weft_mount_tests::binaries::path_of("weft"));
    du.args(["du", "--json"]).arg(two.a.path());
    let text = weft_mount_tests::process::succeed(du);
    let disk = text.lines().find_map(|line| line.trim().strip_prefix("\"disk_bytes\": ")?.trim_end_matches(',').parse().ok());
    let disk: u64 = disk.unwrap_or_else(|| panic!("{text}"));
    assert!(((5 << 20)..(6 << 20)).contains(&disk), "both together: {text}");
    fs::write(two.a("f"), b"changed").unwrap();
    assert_eq!(fs::read(two.b("g")).unwrap(), vec![7; 5 << 20]);
}

#[test]
fn old_versions_never_change() {
    let two = Two::start();
    fs::write(two.a("f"), b"first").unwrap();
    let mut version = [0; 32];
    let length = rustix::fs::getxattr(two.a("f"), "user.weft.version", &mut version).unwrap();
    let old = format!(".versions/{}/f", str::from_utf8(&version[..length]).unwrap());
    fs::write(two.b("f"), b"second").unwrap();
    fs::remove_file(two.b("f")).unwrap();
    for path in [two.a(&old), two.b(&old)] {
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(errno(OpenOptions::new().write(true).open(&path)), libc::EROFS);
        assert_eq!(errno(fs::remove_file(&path)), libc::EROFS);
    }
    assert_eq!(fs::read_dir(two.a(".history/f")).unwrap().count(), 3, "made, and written twice");
    assert_eq!(errno(fs::create_dir(two.a(".history"))), libc::EEXIST);
    assert_eq!(errno(File::create_new(two.a(".versions"))), libc::EEXIST);
    assert_eq!(fs::read_dir(two.a.path()).unwrap().count(), 0, "neither is listed");
}

#[test]
fn a_program_that_waits_can_be_ended() {
    let mut cluster = Cluster::start(1, 1);
    cluster.create_volume("show", Shape { page_kib: 64, fan_out: 32, copies: 1 });
    let mount = cluster.mount_with("show", &["--timeout", "10m"]);
    fs::write(mount.path().join("f"), b"x").unwrap();
    let open = File::open(mount.path().join("f")).unwrap();
    cluster.server("manager").kill();
    // Until then the mount may answer by itself.
    std::thread::sleep(LEASE_TERM);
    let mut waiting: Vec<Child> = Vec::new();
    for program in ["cat", "stat"] {
        waiting.push(Command::new(program).arg(mount.path().join("f")).spawn().expect("a program"));
    }
    std::thread::sleep(Duration::from_secs(1));
    for program in &mut waiting {
        assert_eq!(program.try_wait().unwrap(), None, "it waits");
        program.kill().unwrap();
        until("a killed program to end", || program.try_wait().unwrap());
    }
    cluster.restart_killed();
    assert_eq!(fs::read(mount.path().join("f")).unwrap(), b"x", "the mount goes on");
    drop(open);
}

#[test]
fn unsupported_operations_answer_as_the_manual_pages_say() {
    let two = Two::start();
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(two.a("f")).unwrap();
    file.write_all_at(&[1; 200_000], 0).unwrap();
    for flag in [FallocateFlags::COLLAPSE_RANGE, FallocateFlags::INSERT_RANGE, FallocateFlags::UNSHARE_RANGE] {
        assert_eq!(fallocate(&file, flag, 0, 65_536), Err(rustix::io::Errno::OPNOTSUPP), "{flag:?}");
    }
    let temporary = openat(CWD, two.a.path(), OFlags::TMPFILE | OFlags::RDWR, Mode::RUSR);
    assert_eq!(temporary.expect_err("no temporary files"), rustix::io::Errno::OPNOTSUPP);
    let other = File::create(two.a("g")).unwrap();
    let cloned = rustix::fs::ioctl_ficlone(&other, &file).expect_err("no reflinks by ioctl");
    assert!([rustix::io::Errno::OPNOTSUPP, rustix::io::Errno::NOTTY].contains(&cloned), "{cloned}");
    rustix::fs::syncfs(&file).unwrap();
    assert_eq!(fs::read(two.a("f")).unwrap(), [1; 200_000], "and nothing was changed");
}
