//! `weft mount --local` from beginning to end: what a new user does first, and how a mount ends.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use weft_mount_tests::binaries::path_of;
use weft_mount_tests::mount::{Mount, is_mounted};
use weft_mount_tests::process::{refuse, run, succeed};
use weft_mount_tests::wait::until;

fn weft(arguments: &[&str]) -> Command {
    let mut command = Command::new(path_of("weft"));
    command.args(arguments);
    command
}

/// A folder with room for a store and mountpoints; whatever is still mounted there when the test ends is detached.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().expect("the folder").join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("a path in UTF-8").to_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for entry in fs::read_dir(self.0.path()).into_iter().flatten().flatten() {
            if is_mounted(&entry.path()) {
                let _ = weft(&["umount"]).arg(entry.path()).output();
            }
        }
    }
}

fn mount_source(path: &Path) -> String {
    let table = fs::read_to_string("/proc/self/mounts").expect("the table of mounts");
    let line = table.lines().find(|line| line.split(' ').nth(1) == path.to_str()).expect("a mount").to_owned();
    line.split(' ').next().unwrap_or_default().to_owned()
}

#[test]
fn the_tour_of_the_readme() {
    let place = Place::new();
    // Neither folder exists yet.
    let mount = Mount::local(&place.path("data"), &place.path("mnt"), &[]);
    let frame = mount.path().join("frame.txt");
    let here = mount.path().to_str().expect("UTF-8");
    fs::write(&frame, "first light\n").expect("write");
    fs::write(&frame, "second light\n").expect("write");
    let history: Vec<Vec<u8>> = fs::read_dir(mount.path().join(".history/frame.txt"))
        .expect("a history")
        .map(|entry| fs::read(entry.expect("an entry").path()).expect("an old version"))
        .collect();
    assert!(history.contains(&b"first light\n".to_vec()) && history.contains(&b"second light\n".to_vec()));
    succeed(weft(&["tag", "add", here, "before-cleanup"]));
    fs::remove_file(&frame).expect("remove");
    let tagged = mount.path().join(".versions/before-cleanup/frame.txt");
    assert_eq!(fs::read_to_string(tagged).expect("read"), "second light\n");
    assert!(succeed(weft(&["log", here])).contains("before") || succeed(weft(&["log", here])).contains("/frame.txt"));
    succeed(weft(&["restore", frame.to_str().expect("UTF-8"), "--to", "before-cleanup"]));
    until("the restored file to be seen", || fs::read_to_string(&frame).ok().filter(|text| text == "second light\n"));
    let soon = mount.path().join(".versions/@2100-01-01T00:00:00Z/frame.txt");
    assert_eq!(fs::read_to_string(soon).expect("read by time"), "second light\n");
    mount.unmount();
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let place = Place::new();
    let mount = Mount::local(&place.path("data"), &place.path("mnt"), &[]);
    fs::write(mount.path().join("kept"), "kept").expect("write");
    mount.unmount();
    let mount = Mount::local(&place.path("data"), &place.path("mnt"), &[]);
    assert_eq!(fs::read_to_string(mount.path().join("kept")).expect("read"), "kept");
    mount.unmount();
}

#[test]
fn a_daemon_returns_once_mounted_and_ends_with_umount() {
    let place = Place::new();
    let (data, mnt, log) = (place.text("data"), place.text("mnt"), place.text("log"));
    succeed(weft(&["mount", "--local", &data, &mnt, "--daemon", "--log", &log]));
    fs::write(place.path("mnt").join("f"), "x").expect("the mount is there when the command returns");
    succeed(weft(&["umount", &mnt]));
    assert!(!is_mounted(&place.path("mnt")));
    // umount waits for the process, so that the store is free.
    succeed(weft(&["mount", "--local", &data, &mnt, "--daemon"]));
    assert_eq!(fs::read_to_string(place.path("mnt").join("f")).expect("read"), "x");
    succeed(weft(&["umount", &mnt]));
}

#[test]
fn a_daemon_that_cannot_mount_says_why_and_fails() {
    let place = Place::new();
    let (data, file) = (place.text("data"), place.text("file"));
    fs::write(&file, "").expect("write");
    let said = refuse(weft(&["mount", "--local", &data, &file, "--daemon"]));
    assert!(said.contains("not a directory"), "{said}");
}

#[test]
fn a_mount_ends_when_somebody_else_unmounts_it() {
    let place = Place::new();
    let mut mount = Mount::local(&place.path("data"), &place.path("mnt"), &[]);
    let mut command = Command::new("fusermount3");
    command.arg("-u").arg(mount.path());
    succeed(command);
    let status = until("the process to end", || mount.process().ended());
    assert!(status.success(), "{status}");
}

#[test]
fn a_busy_mount_is_detached_and_says_so() {
    let place = Place::new();
    let mount = Mount::local(&place.path("data"), &place.path("mnt"), &[]);
    let file = fs::File::create(mount.path().join("open")).expect("create");
    let output = run(weft(&["umount", mount.path().to_str().expect("UTF-8")]));
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("detached"));
    assert!(!is_mounted(mount.path()), "the path is free at once");
    drop(file);
}

#[test]
fn umount_needs_no_answer_from_the_mount() {
    let place = Place::new();
    let mut mount = Mount::local(&place.path("store"), &place.path("mnt"), &[]);
    mount.process().signal(rustix::process::Signal::STOP);
    succeed(weft(&["umount", &place.text("mnt")]));
    assert!(!is_mounted(&place.path("mnt")), "a process that stands still does not keep the path");
    mount.process().signal(rustix::process::Signal::CONT);
    until("the mount's process has ended", || mount.process().ended());
}

#[test]
fn a_mountpoint_whose_process_was_killed_is_named_with_the_remedy() {
    let place = Place::new();
    let mut mount = Mount::local(&place.path("store"), &place.path("mnt"), &[]);
    fs::write(mount.path().join("f"), "kept").expect("write");
    mount.process().kill();
    let (store, mountpoint) = (place.text("store"), place.text("mnt"));
    let said = refuse(weft(&["mount", "--local", &store, &mountpoint]));
    assert!(said.contains("lost its process") && said.contains("weft umount"), "{said}");
    succeed(weft(&["umount", &mountpoint]));
    let again = Mount::local(&place.path("store"), &place.path("mnt"), &[]);
    assert_eq!(fs::read_to_string(again.path().join("f")).expect("read"), "kept");
    again.unmount();
}

#[test]
fn a_store_can_be_mounted_again_right_behind_its_umount() {
    let place = Place::new();
    let first = Mount::local(&place.path("store"), &place.path("mnt"), &[]);
    fs::write(first.path().join("f"), "kept").expect("write");
    // umount(8), other than `weft umount`, does not wait for the process.
    let mut umount = Command::new("umount");
    umount.arg(first.path());
    succeed(umount);
    let again = Mount::local(&place.path("store"), &place.path("again"), &[]);
    assert_eq!(fs::read_to_string(again.path().join("f")).expect("read"), "kept");
    again.unmount();
}

#[test]
fn a_store_is_served_by_one_process_and_a_second_mount_goes_through_it() {
    let place = Place::new();
    let first = Mount::local(&place.path("data"), &place.path("mnt1"), &[]);
    let said = refuse(weft(&["mount", "--local", &place.text("data"), &place.text("mnt2")]));
    assert!(said.contains("another process uses it") && said.contains("weft://127.0.0.1:"), "{said}");
    let url = mount_source(first.path());
    let identity = place.text("data/identity");
    let second = Mount::start(&["--identity", &identity, &url], &place.path("mnt3"), &place.path("mnt3.log"));
    fs::write(first.path().join("from-first"), "1").expect("write");
    assert_eq!(fs::read_to_string(second.path().join("from-first")).expect("read"), "1");
    fs::write(second.path().join("from-second"), "2").expect("write");
    assert_eq!(fs::read_to_string(first.path().join("from-second")).expect("read"), "2");
    second.unmount();
    first.unmount();
}

#[test]
fn read_only_and_shown_versions() {
    let place = Place::new();
    let mount = Mount::local(&place.path("data"), &place.path("mnt"), &[]);
    fs::write(mount.path().join("f"), "x").expect("write");
    let listed =
        |path: &Path| fs::read_dir(path).expect("a directory").flatten().map(|entry| entry.file_name()).collect::<Vec<_>>();
    assert_eq!(listed(mount.path()), ["f"], "the past is not listed");
    mount.unmount();
    let mount = Mount::local(&place.path("data"), &place.path("mnt"), &["--read-only", "--show-versions"]);
    assert!(listed(mount.path()).contains(&".versions".into()));
    let error = fs::write(mount.path().join("g"), "x").expect_err("a read-only mount");
    assert_eq!(error.raw_os_error(), Some(libc::EROFS));
    assert_eq!(fs::read_to_string(mount.path().join("f")).expect("read"), "x");
    mount.unmount();
}

#[test]
fn settings_are_for_the_making_of_a_volume() {
    let place = Place::new();
    let options = ["--volume", "small", "--page-size", "64K", "--fan-out", "2"];
    let mount = Mount::local(&place.path("data"), &place.path("mnt"), &options);
    let mut list = weft(&["volume", "list", "--json"]);
    list.arg(mount.path());
    let volumes: serde_json::Value = serde_json::from_str(&succeed(list)).expect("JSON");
    assert_eq!(
        (&volumes[0]["name"], &volumes[0]["page_size"], &volumes[0]["fan_out"]),
        (&"small".into(), &65536.into(), &2.into())
    );
    mount.unmount();
    Mount::local(&place.path("data"), &place.path("mnt"), &options).unmount();
    let arguments = ["mount", "--local", &place.text("data"), &place.text("mnt"), "--volume", "small", "--page-size", "1M"];
    let said = refuse(weft(&arguments));
    assert!(said.contains("page size 65536"), "{said}");
    let said = refuse(weft(&["mount", "--local", &place.text("new"), &place.text("mnt"), "--page-size", "100K"]));
    assert!(said.contains("not a power of two"), "{said}");
    assert!(!place.path("new").exists(), "nothing is made for a mount that cannot be");
}

#[test]
fn the_mount_helper() {
    let place = Place::new();
    let helper = place.path("mount.fuse.weft");
    std::os::unix::fs::symlink(path_of("weft"), &helper).expect("a link");
    let call = |arguments: &[&str]| {
        let mut command = Command::new(&helper);
        command.args(arguments);
        command
    };
    fs::create_dir(place.path("mnt")).expect("a mountpoint");
    let (data, mnt) = (place.text("data"), place.text("mnt"));
    let said = refuse(call(&[&data, &mnt, "-o", "rw,alow_other"]));
    assert!(said.contains("alow_other"), "{said}");
    succeed(call(&[&data, &mnt, "-f", "-o", "ro"]));
    assert!(!is_mounted(&place.path("mnt")), "-f only checks");
    succeed(call(&[&data, &mnt, "-o", "rw,_netdev,nofail,x-systemd.automount,show_versions"]));
    fs::write(place.path("mnt/f"), "x").expect("mounted");
    assert!(place.path("mnt/.versions").exists());
    succeed(weft(&["umount", &mnt]));
}

/// To the nanosecond, on both sides of 1970, as the kernel hands them out.
#[test]
fn times_are_what_they_were_set_to() {
    let place = Place::new();
    let mount = Mount::local(&place.path("data"), &place.path("mnt"), &[]);
    let path = mount.path().join("file");
    let file = fs::File::create(&path).expect("create");
    for (seconds, nanoseconds) in [(-3, 123_456_789), (-3, 0), (-1, 999_999_999), (0, 0), (0, 1), (1 << 32, 999_999_999)] {
        let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        rustix::fs::futimens(&file, &rustix::fs::Timestamps { last_access: time, last_modification: time }).expect("futimens");
        let known = fs::metadata(&path).expect("stat");
        assert_eq!((known.mtime(), known.mtime_nsec()), (seconds, nanoseconds), "modified");
        assert_eq!((known.atime(), known.atime_nsec()), (seconds, nanoseconds), "read");
    }
    drop(file);
    mount.unmount();
}
