//! `weft send` and `weft receive`: what arrives is what was sent, and what is wrong with a stream is said before it does harm.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use weft_mount_tests::binaries::path_of;
use weft_mount_tests::fingerprint::{differences, fingerprint};
use weft_mount_tests::mount::Mount;
use weft_mount_tests::operations::Scribbler;
use weft_mount_tests::process::{refuse, succeed};

/// Two volumes that know nothing of each other, with pages of different sizes.
struct Pair {
    source: Mount,
    vault: Mount,
    folder: TempDir,
}

impl Pair {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("the folder");
        let mount =
            |name: &str, page: &str| Mount::local(&root.join(format!("{name}-data")), &root.join(name), &["--page-size", page]);
        Self { source: mount("source", "64K"), vault: mount("vault", "256K"), folder }
    }

    fn source(&self, name: &str) -> PathBuf {
        self.source.path().join(name)
    }

    fn vault(&self, name: &str) -> PathBuf {
        self.vault.path().join(name)
    }

    fn stream(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The newest version of the source.
    fn newest(&self) -> String {
        let log = succeed(weft(&["log"], self.source.path(), &["-n", "1", "--json"]));
        let rows: serde_json::Value = serde_json::from_str(&log).expect("JSON");
        rows[0]["version"].to_string()
    }

    fn send(&self, name: &str, arguments: &[&str], stream: &str) -> PathBuf {
        let path = self.stream(stream);
        let mut send = weft(&["send"], &self.source(name), arguments);
        send.arg("--output").arg(&path);
        succeed(send);
        path
    }

    fn receive(&self, name: &str, stream: &Path) -> Command {
        let mut receive = weft(&["receive"], &self.vault(name), &["--input"]);
        receive.arg(stream);
        receive
    }

    fn assert_same(&self, name: &str) {
        let (sent, received) = (fingerprint(&self.source(name)), fingerprint(&self.vault(name)));
        let wrong = differences(&sent.expect("a tree"), &received.expect("a tree"));
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

fn weft(command: &[&str], path: &Path, arguments: &[&str]) -> Command {
    let mut weft = Command::new(path_of("weft"));
    weft.args(command).arg(path).args(arguments);
    weft
}

fn set_xattr(path: &Path, value: &[u8]) {
    rustix::fs::setxattr(path, "user.shot", value, rustix::fs::XattrFlags::empty()).expect("setxattr");
}

#[test]
fn a_tree_and_its_differences_arrive_as_they_were_sent() {
    let pair = Pair::new();
    fs::create_dir_all(pair.source("d/sub")).expect("mkdir");
    let mut scribbler = Scribbler::new(&pair.source("d"), 7, 300_000);
    for _ in 0..60 {
        scribbler.step().expect("a change");
    }
    fs::write(pair.source("d/sub/one"), "linked").expect("write");
    fs::hard_link(pair.source("d/sub/one"), pair.source("d/two")).expect("link");
    symlink("sub/one", pair.source("d/three")).expect("symlink");
    let sparse = fs::File::create(pair.source("d/sparse")).expect("create");
    sparse.write_all_at(b"far behind", 40 << 20).expect("write");
    sparse.set_len(50 << 20).expect("set_len");
    set_xattr(&pair.source("d/sub"), b"a7");
    let first = pair.newest();
    let whole = pair.send("d", &["--at", &first], "whole");
    assert!(fs::metadata(&whole).expect("stat").len() < 20 << 20, "holes are not sent");
    succeed(pair.receive("d", &whole));
    pair.assert_same("d");
    let metadata = |path: PathBuf| fs::symlink_metadata(path).expect("stat");
    for name in ["d/sub", "d/sub/one", "d/three", "d/sparse"] {
        let (sent, received) = (metadata(pair.source(name)), metadata(pair.vault(name)));
        assert_eq!(
            (sent.mtime(), sent.mtime_nsec(), sent.uid()),
            (received.mtime(), received.mtime_nsec(), received.uid()),
            "{name}"
        );
    }
    assert_eq!(metadata(pair.vault("d/two")).ino(), metadata(pair.vault("d/sub/one")).ino(), "one file, two names");
    let mut value = [0; 8];
    assert_eq!(rustix::fs::getxattr(pair.vault("d/sub"), "user.shot", &mut value), Ok(2));

    for _ in 0..40 {
        scribbler.step().expect("a change");
    }
    fs::write(pair.source("d/sub/one"), "linked, and changed through one name").expect("write");
    sparse.write_all_at(b"in the hole", 3 << 20).expect("write");
    sparse.sync_all().expect("fsync");
    set_xattr(&pair.source("d/sub"), b"another");
    fs::rename(pair.source("d/three"), pair.source("d/sub/three")).expect("rename");
    fs::set_permissions(pair.source("d/sub"), fs::Permissions::from_mode(0o710)).expect("chmod");
    let second = pair.newest();
    let difference = pair.send("d", &["--from", &first, "--at", &second], "difference");
    fs::remove_dir_all(pair.source("d/sub")).expect("remove");
    succeed(pair.receive("d", &difference));
    let then = fingerprint(&pair.source(&format!(".versions/{second}/d"))).expect("a tree");
    let wrong = differences(&then, &fingerprint(&pair.vault("d")).expect("a tree"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(metadata(pair.vault("d/two")).ino(), metadata(pair.vault("d/sub/one")).ino(), "still one file");
    assert_eq!(fs::read_to_string(pair.vault("d/two")).expect("read"), "linked, and changed through one name");
    let third = pair.newest();
    succeed(pair.receive("d", &pair.send("d", &["--from", &second, "--at", &third], "again")));
    pair.assert_same("d");
}

#[test]
fn a_difference_is_as_small_as_what_changed() {
    let pair = Pair::new();
    fs::create_dir(pair.source("d")).expect("mkdir");
    fs::write(pair.source("d/large"), vec![5; 24 << 20]).expect("write");
    let first = pair.newest();
    let file = fs::OpenOptions::new().write(true).open(pair.source("d/large")).expect("open");
    file.write_all_at(b"three", 9 << 20).expect("write");
    drop(file);
    let difference = pair.send("d", &["--from", &first], "difference");
    let length = fs::metadata(difference).expect("stat").len();
    assert!(length < 128 << 10, "one page of 64 KiB changed, and {length} bytes were sent");
}

#[test]
fn a_stream_goes_through_a_pipe_into_an_empty_volume() {
    let pair = Pair::new();
    fs::write(pair.source("f"), "through a pipe").expect("write");
    let mut send = weft(&["send"], pair.source.path(), &[]).stdout(Stdio::piped()).spawn().expect("send");
    let stream = send.stdout.take().expect("a pipe");
    let received = weft(&["receive"], pair.vault.path(), &[]).stdin(stream).output().expect("receive");
    assert!(received.status.success(), "{}", String::from_utf8_lossy(&received.stderr));
    assert!(send.wait().expect("wait").success());
    pair.assert_same("");
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let pair = Pair::new();
    fs::create_dir(pair.source("d")).expect("mkdir");
    fs::write(pair.source("d/f"), vec![1; 200_000]).expect("write");
    let first = pair.newest();
    let whole = pair.send("d", &[], "whole");
    let before = || fingerprint(pair.vault.path()).expect("a tree");

    let bytes = fs::read(&whole).expect("read");
    let damaged = pair.stream("damaged");
    let mut wrong = bytes.clone();
    wrong[100_000] ^= 1;
    fs::write(&damaged, wrong).expect("write");
    assert!(refuse(pair.receive("d", &damaged)).contains("is damaged at byte"));
    fs::write(&damaged, &bytes[..150_000]).expect("write");
    assert!(refuse(pair.receive("d", &damaged)).contains("ends at byte"));
    fs::write(&damaged, "something else").expect("write");
    assert!(refuse(pair.receive("d", &damaged)).contains("weft send"));
    assert!(before().is_empty(), "nothing was made");

    fs::write(pair.source("d/g"), "new").expect("write");
    let second = pair.newest();
    fs::write(pair.source("d/h"), "newer").expect("write");
    let difference = pair.send("d", &["--from", &first, "--at", &second], "difference");
    let later = pair.send("d", &["--from", &second], "later");
    assert!(refuse(pair.receive("d", &difference)).contains("does not exist"));
    fs::create_dir(pair.vault("by-hand")).expect("mkdir");
    assert!(refuse(pair.receive("by-hand", &difference)).contains("was not received"));
    succeed(pair.receive("d", &whole));
    let there = before();
    assert!(refuse(pair.receive("d", &whole)).contains("/d exists"));
    assert!(refuse(pair.receive("d", &later)).contains("is at version"));
    assert_eq!(before(), there);
    fs::write(pair.vault("d/f"), "changed by hand").expect("write");
    let refused = refuse(pair.receive("d", &difference));
    assert!(refused.contains("/d/f was changed since"), "{refused}");
    let mut twice = weft(&["send"], &pair.source("d"), &["--output"]);
    twice.arg(&whole);
    assert!(refuse(twice).contains("exists"));
    assert!(refuse(weft(&["send"], &pair.source("never"), &["-o", "/dev/null/x"])).contains("/never does not exist"));
}
