//! What survives what.

use crate::Two;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::process::Command;
use weft_mount_tests::cluster::{Cluster, Shape};

const SHAPE: Shape = Shape { page_kib: 64, fan_out: 32, copies: 1 };

#[test]
fn a_close_is_safe_from_crashed_processes() {
    let mut cluster = Cluster::start(1, 1);
    cluster.create_volume("show", SHAPE);
    let mount = cluster.mount("show");
    let content: Vec<u8> = (0..500_000u32).map(|byte| (byte % 251) as u8).collect();
    fs::write(mount.path().join("f"), &content).unwrap();
    mount.crash();
    cluster.crash();
    let mount = cluster.mount("show");
    assert_eq!(fs::read(mount.path().join("f")).unwrap(), content);
}

#[test]
fn a_sync_is_on_stable_storage() {
    // That the power may fail then is held by `power_loss.rs`; here, that each call publishes and answers.
    let two = Two::start();
    let file = File::create(two.a("f")).unwrap();
    file.write_all_at(b"one", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(fs::read(two.b("f")).unwrap(), b"one");
    file.write_all_at(b"two", 0).unwrap();
    file.sync_all().unwrap();
    assert_eq!(fs::read(two.b("f")).unwrap(), b"two");
    for flag in [libc::O_SYNC, libc::O_DSYNC] {
        let mut file = OpenOptions::new().write(true).custom_flags(flag).open(two.a("f")).unwrap();
        file.write_all(&[b'0' + (flag % 10) as u8; 3]).unwrap();
        assert_eq!(fs::read(two.b("f")).unwrap(), [b'0' + (flag % 10) as u8; 3], "it is not closed yet");
    }
    File::open(two.a.path()).unwrap().sync_all().unwrap();
}

#[test]
fn an_error_is_told_once_and_stays() {
    let mut cluster = Cluster::start(1, 1);
    cluster.create_volume("show", SHAPE);
    let mount = cluster.mount_with("show", &["--timeout", "2s"]);
    let mut file = File::create(mount.path().join("f")).unwrap();
    let other = File::create(mount.path().join("other")).unwrap();
    file.write_all(b"lost").unwrap();
    cluster.server("manager").kill();
    assert_eq!(crate::errno(file.sync_all()), libc::EIO);
    cluster.restart_killed();
    assert_eq!(crate::errno(file.sync_all()), libc::EIO, "it stays failed");
    assert_eq!(crate::errno(file.write(b"more")), libc::EIO);
    other.write_all_at(b"fine", 0).unwrap();
    other.sync_all().unwrap();
    drop(file);
    fs::write(mount.path().join("f"), b"again").unwrap();
    assert_eq!(fs::read(mount.path().join("f")).unwrap(), b"again");
}

#[test]
fn mapped_files_are_published() {
    let two = Two::start();
    // `dd` and the shell do not map files; this program does.
    let mapper = weft_mount_tests::binaries::helper("mapper");
    let run = |arguments: &[&str]| {
        let output = Command::new(&mapper).arg(two.a("f")).args(arguments).output().expect("the program");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    fs::write(two.a("f"), vec![b'.'; 100_000]).unwrap();
    for (turn, how) in ["msync", "fsync", "munmap"].iter().enumerate() {
        let text = format!("by {how}");
        run(&[how, &(turn * 40_000).to_string(), &text, two.b("f").to_str().expect("UTF-8")]);
        let content = fs::read(two.b("f")).unwrap();
        assert_eq!(&content[turn * 40_000..][..text.len()], text.as_bytes());
    }
    fs::copy("/bin/sleep", two.a("program")).unwrap();
    fs::set_permissions(two.a("program"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut running = Command::new(two.b("program")).arg("1").spawn().expect("it runs from the mount");
    fs::write(two.a("new"), b"something else").unwrap();
    fs::rename(two.a("new"), two.a("program")).unwrap();
    assert!(running.wait().unwrap().success());
}
