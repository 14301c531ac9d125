//! What people get wrong: each is answered by one clear message or errno, and harms nothing.
//! (Disks that go wrong are in `disk_faults.rs`.)

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use weft_mount_tests::binaries::path_of;
use weft_mount_tests::cluster::{Cluster, Shape};
use weft_mount_tests::fingerprint::fingerprint;
use weft_mount_tests::mount::{Mount, is_mounted};
use weft_mount_tests::port::Port;
use weft_mount_tests::process::{refuse, succeed};

const SMALL: Shape = Shape { page_kib: 64, fan_out: 2, copies: 1 };

#[track_caller]
fn assert_says(said: &str, parts: &[&str]) {
    assert_eq!(said.trim().lines().count(), 1, "one line, not: {said}");
    for part in parts {
        assert!(said.contains(part), "'{part}' is not in: {said}");
    }
}

/// A command fails with an errno.
#[track_caller]
fn assert_errno<T>(what: &str, done: io::Result<T>, errno: i32) {
    let error = done.err().unwrap_or_else(|| panic!("{what} succeeded"));
    assert_eq!(error.raw_os_error(), Some(errno), "{what}: {error}");
}

fn weft_mount(arguments: &[&str], path: &Path) -> Command {
    let mut command = Command::new(path_of("weft"));
    command.arg("mount").args(arguments).arg(path).env_remove("WEFT_IDENTITY").env("HOME", "/nonexistent");
    command
}

#[test]
fn clusters_and_volumes_that_are_not_what_was_meant() {
    let (cluster, other) = (Cluster::start(1, 1), Cluster::start(1, 1));
    cluster.create_volume("show", SMALL);
    let identity = cluster.identity();
    let identity = identity.to_str().expect("UTF-8");
    let stranger = other.identity();
    let mountpoint = cluster.folder().join("mnt");
    fs::create_dir(&mountpoint).expect("mkdir");
    let manager = cluster.manager();

    let said = refuse(weft_mount(&["--identity", identity, &cluster.url("shwo")], &mountpoint));
    assert_says(&said, &["'shwo'", manager, "weft volume list"]);

    let wrong = ["--identity", stranger.to_str().expect("UTF-8"), &cluster.url("show")];
    let said = refuse(weft_mount(&wrong, &mountpoint));
    assert_says(&said, &[manager, "do not trust each other", "weftd init"]);

    let port = Port::reserve();
    let nobody = format!("weft://{}/show", port.address());
    let said = refuse(weft_mount(&["--identity", identity, "--timeout", "2s", &nobody], &mountpoint));
    assert_says(&said, &[nobody.trim_start_matches("weft://").trim_end_matches("/show"), "weftd"]);

    let said = refuse(weft_mount(&[&cluster.url("show")], &mountpoint));
    assert_says(&said, &["no certificate", "--identity"]);

    let empty = cluster.folder().join("empty");
    fs::create_dir(&empty).expect("mkdir");
    let said = refuse(weft_mount(&["--identity", empty.to_str().expect("UTF-8"), &cluster.url("show")], &mountpoint));
    assert_says(&said, &["missing", "weftd init"]);

    assert!(!is_mounted(&mountpoint));
    assert_says(&cluster.refused(&["log", &cluster.url("shwo")]), &["'shwo'"]);
    assert_says(&cluster.refused(&["volume", "create", &cluster.url("x"), "--page-size", "100K"]), &["power of two"]);
    assert_says(&cluster.refused(&["volume", "create", &cluster.url("x"), "--fan-out", "3"]), &["power of two"]);
    assert_says(&cluster.refused(&["volume", "create", &cluster.url("show")]), &["show"]);
    assert_says(&cluster.refused(&["volume", "create", &cluster.url(".x")]), &["volume"]);
    assert_says(&cluster.refused(&["mount", "weft://:/show", "/tmp"]), &["no server"]);
    // What is done to a volume is done to nothing smaller.
    let below = format!("{}/shots/0042", cluster.url("show"));
    let done_to_volumes: [&[&str]; 3] =
        [&["volume", "rm", &below, "--yes"], &["volume", "set", &below, "--copies", "1"], &["volume", "create", &below]];
    for arguments in done_to_volumes {
        assert_says(&cluster.refused(arguments), &["/shots/0042", "show", "a whole volume"]);
    }
    // A directory may have a policy of its own, but has to be there.
    assert_says(&cluster.refused(&["retention", "set", &below, "--keep-all", "0s"]), &["/shots/0042", "does not exist"]);
    assert!(succeed(cluster.weft(&["volume", "list", &cluster.url("show")])).contains("show"));
}

#[test]
fn mountpoints_that_cannot_be_used() {
    let mut cluster = Cluster::start(1, 1);
    cluster.create_volume("show", SMALL);
    let mount = cluster.mount("show");
    let identity = cluster.identity();
    let arguments = ["--identity", identity.to_str().expect("UTF-8"), &cluster.url("show")];
    let missing = cluster.folder().join("missing");
    assert_says(&refuse(weft_mount(&arguments, &missing)), &["does not exist", "mkdir"]);
    assert!(!missing.exists(), "a mountpoint of a cluster's volume is not made");
    assert_says(&refuse(weft_mount(&arguments, mount.path())), &["already", "weft umount"]);
    let file = cluster.folder().join("file");
    fs::write(&file, "").expect("write");
    assert_says(&refuse(weft_mount(&arguments, &file)), &["not a directory"]);
    fs::write(mount.path().join("f"), "x").expect("the mount that was there is unharmed");
    mount.unmount();
}

#[test]
fn configurations_that_are_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("weftd.toml");
    let said = |text: &str, arguments: &[&str]| {
        fs::write(&path, text).expect("write");
        let mut command = Command::new(path_of("weftd"));
        command.args(arguments).arg("--config").arg(&path);
        refuse(command)
    };
    for arguments in [&[][..], &["check"]] {
        assert_says(&said("roles = [\"data\"]\nlisen = \"x\"\n", arguments), &["weftd.toml line 2", "`lisen`", "`listen`"]);
        assert_says(&said("roles = [\"storage\"]\n", arguments), &["line 1", "storage"]);
        assert_says(&said("roles = [\"data\"]\n", arguments), &["managers"]);
        assert_says(&said("roles = [\"version-manager\"]\n", arguments), &["ca.pem", "missing"]);
    }
    let mut command = Command::new(path_of("weftd"));
    command.args(["--config", "/nonexistent/weftd.toml"]);
    assert_says(&refuse(command), &["/nonexistent/weftd.toml", "weftd init"]);
}

struct Local {
    mount: Mount,
    _folder: tempfile::TempDir,
}

fn local() -> Local {
    let folder = tempfile::tempdir().expect("a folder");
    let mount = Mount::local(&folder.path().join("data"), &folder.path().join("mnt"), &[]);
    Local { mount, _folder: folder }
}

impl Local {
    fn path(&self, name: &str) -> PathBuf {
        self.mount.path().join(name)
    }
}

#[test]
fn reserved_names_cannot_be_made() {
    let local = local();
    fs::create_dir(local.path("d")).expect("mkdir");
    fs::create_dir(local.path("e")).expect("mkdir");
    fs::write(local.path("f"), "x").expect("write");
    for name in [".versions", ".history", "d/.versions", "d/.history"] {
        let path = local.path(name);
        // The names answer look-ups, so the kernel says of most of these that they exist before we are asked.
        let refused = [libc::EPERM, libc::EEXIST, libc::EISDIR];
        for (what, done) in [
            ("mkdir", fs::create_dir(&path)),
            ("symlink", symlink("x", &path)),
            ("create", fs::write(&path, "x")),
            ("rename a file", fs::rename(local.path("f"), &path)),
            ("rename a directory", fs::rename(local.path("e"), &path)),
            ("link", fs::hard_link(local.path("f"), &path)),
        ] {
            let error = done.err().unwrap_or_else(|| panic!("{what} {name} succeeded"));
            assert!(error.raw_os_error().is_some_and(|errno| refused.contains(&errno)), "{what} {name}: {error}");
        }
        assert_errno(name, fs::remove_dir(&path), libc::EPERM);
    }
    assert_eq!(fingerprint(local.mount.path()).expect("a tree").len(), 3, "nothing was made");
    local.mount.unmount();
}

#[test]
fn names_and_targets_that_are_too_long() {
    let local = local();
    let longest = "n".repeat(255);
    fs::write(local.path(&longest), "x").expect("255 bytes are a name");
    let longer = "n".repeat(256);
    assert_errno("create", fs::write(local.path(&longer), "x"), libc::ENAMETOOLONG);
    assert_errno("mkdir", fs::create_dir(local.path(&longer)), libc::ENAMETOOLONG);
    assert_errno("rename", fs::rename(local.path(&longest), local.path(&longer)), libc::ENAMETOOLONG);
    assert_errno("look-up", fs::metadata(local.path(&longer)), libc::ENAMETOOLONG);
    symlink("t".repeat(4095), local.path("link")).expect("4095 bytes are a target");
    assert_errno("symlink", symlink("t".repeat(4096), local.path("link2")), libc::ENAMETOOLONG);
    assert_eq!(fs::read(local.path(&longest)).expect("read"), b"x");
    local.mount.unmount();
}

#[test]
fn the_past_cannot_be_changed() {
    let local = local();
    fs::create_dir(local.path("d")).expect("mkdir");
    fs::write(local.path("d/f"), "old").expect("write");
    symlink("f", local.path("d/link")).expect("symlink");
    fs::write(local.path("d/f"), "new").expect("write");
    for folder in [".versions/5/d", "d/.versions/5"] {
        let folder = local.path(folder);
        let before = fingerprint(&folder).expect("a tree");
        try_to_change(&folder);
        assert_eq!(fingerprint(&folder).expect("a tree"), before);
    }
    let state = fs::read_dir(local.path("d/.history/f")).expect("a history").next().expect("a state").expect("an entry").path();
    assert_errno("write to a state", fs::OpenOptions::new().write(true).open(&state), libc::EROFS);
    assert_errno("remove a state", fs::remove_file(&state), libc::EROFS);
    assert_errno("mkdir among versions", fs::create_dir(local.path(".versions/mine")), libc::EROFS);
    assert_errno("rename a version", fs::rename(local.path(".versions/3"), local.path(".versions/4")), libc::EROFS);
    assert_errno("no such version", fs::metadata(local.path(".versions/999999")), libc::ENOENT);
    assert_errno("no such tag", fs::metadata(local.path(".versions/never")), libc::ENOENT);
    assert_errno("no such time", fs::metadata(local.path(".versions/@noon")), libc::ENOENT);
    local.mount.unmount();
}

fn try_to_change(folder: &Path) {
    let file = folder.join("f");
    assert_errno("write", fs::OpenOptions::new().write(true).open(&file), libc::EROFS);
    assert_errno("append", fs::OpenOptions::new().append(true).open(&file), libc::EROFS);
    assert_errno("create", fs::write(folder.join("g"), "x"), libc::EROFS);
    assert_errno("mkdir", fs::create_dir(folder.join("g")), libc::EROFS);
    assert_errno("symlink", symlink("x", folder.join("g")), libc::EROFS);
    assert_errno("unlink", fs::remove_file(&file), libc::EROFS);
    assert_errno("rename", fs::rename(&file, folder.join("g")), libc::EROFS);
    assert_errno("link", fs::hard_link(&file, folder.join("g")), libc::EROFS);
    assert_errno("chmod", fs::set_permissions(&file, fs::Permissions::from_mode(0o600)), libc::EROFS);
    assert_errno("truncate", truncate(&file), libc::EROFS);
}

fn truncate(path: &Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let path = CString::new(path.as_os_str().as_bytes())?;
    rustix::fs::open(path, rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::TRUNC, rustix::fs::Mode::empty())?;
    Ok(())
}
