//! `.versions` and `.history` as a person walks through them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use weft_mount_tests::fingerprint::{differences, fingerprint};
use weft_mount_tests::mount::Mount;

struct Volume {
    mount: Mount,
    _folder: tempfile::TempDir,
}

impl Volume {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mount = Mount::local(&folder.path().join("data"), &folder.path().join("mnt"), &[]);
        Self { mount, _folder: folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.mount.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// The numbers that a directory lists as versions.
    fn versions(&self, directory: &str) -> Vec<u64> {
        let mut numbers: Vec<u64> =
            names(&self.path(directory).join(".versions")).iter().filter_map(|name| name.parse().ok()).collect();
        numbers.sort_unstable();
        numbers
    }

    fn newest(&self) -> u64 {
        self.versions("").pop().expect("a version")
    }

    fn at(&self, version: u64, name: &str) -> PathBuf {
        self.path(&format!(".versions/{version}/{name}"))
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_root_lists_every_version_and_each_is_the_whole_tree() {
    let volume = Volume::new();
    let mut expected = Vec::new();
    for number in 0..12 {
        match number % 4 {
            0 => fs::create_dir(volume.path(&format!("d{number}"))).expect("mkdir"),
            1 => volume.write(&format!("d{}/f", number - 1), &format!("text {number}")),
            2 => fs::rename(volume.path(&format!("d{}/f", number - 2)), volume.path(&format!("g{number}"))).expect("rename"),
            _ => symlink("d0", volume.path(&format!("l{number}"))).expect("symlink"),
        }
        expected.push((volume.newest(), fingerprint(volume.mount.path()).expect("a tree")));
    }
    let listed = volume.versions("");
    assert_eq!(listed, (1..=volume.newest()).collect::<Vec<_>>(), "dense, from 1");
    for (version, tree) in &expected {
        let wrong = differences(tree, &fingerprint(&volume.at(*version, "")).expect("a tree"));
        assert!(wrong.is_empty(), "version {version}:\n{}", wrong.join("\n"));
    }
    volume.mount.unmount();
}

#[test]
fn a_directory_lists_the_versions_in_which_it_changed_and_finds_all() {
    let volume = Volume::new();
    fs::create_dir_all(volume.path("a/deep")).expect("mkdir");
    fs::create_dir(volume.path("b")).expect("mkdir");
    volume.write("a/f", "1");
    let own = volume.newest();
    volume.write("b/g", "x");
    let other = volume.newest();
    volume.write("a/f", "2");
    let again = volume.newest();
    let listed = volume.versions("a");
    assert!(listed.contains(&own) && listed.contains(&again) && !listed.contains(&other), "{listed:?}");
    assert_eq!(read(&volume.path(&format!("a/.versions/{own}/f"))), "1");
    assert_eq!(read(&volume.path(&format!("a/.versions/{other}/f"))), "1", "a version that is not listed is found too");
    assert!(volume.path(&format!("a/.versions/{again}/deep")).is_dir());
    volume.mount.unmount();
}

#[test]
fn versions_are_not_listed_among_the_files() {
    let volume = Volume::new();
    fs::create_dir(volume.path("d")).expect("mkdir");
    assert_eq!(names(volume.mount.path()), ["d"]);
    assert_eq!(names(&volume.path("d")), Vec::<String>::new());
    assert!(volume.path("d/.versions").is_dir() && volume.path("d/.history").is_dir());
    volume.mount.unmount();
}

#[test]
fn versions_by_time() {
    let volume = Volume::new();
    volume.write("f", "before");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    // The second that begins now lies between the two.
    let between = now();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    volume.write("f", "after");
    assert_eq!(read(&volume.path(&format!(".versions/@{between}/f"))), "before");
    assert_eq!(read(&volume.path(".versions/@2100-01-01T00:00:00Z/f")), "after");
    // What `weft log` and `date` tell to the second is found by that second.
    assert_eq!(read(&volume.path(&format!(".versions/@{}/f", now()))), "after");
    assert!(!volume.path(".versions/@1999-01-01T00:00:00Z/f").exists());
    volume.mount.unmount();
}

/// The present second in RFC 3339, as `date` knows it.
fn now() -> String {
    let mut date = std::process::Command::new("date");
    date.args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]);
    weft_mount_tests::process::succeed(date).trim().to_owned()
}

#[test]
fn a_files_history_has_every_state_with_its_own_attributes() {
    let volume = Volume::new();
    let texts = ["one", "three", "seventeen"];
    for text in texts {
        volume.write("frame.0042.exr", text);
    }
    fs::set_permissions(volume.path("frame.0042.exr"), fs::Permissions::from_mode(0o600)).expect("chmod");
    let history = volume.path(".history/frame.0042.exr");
    let mut found = Vec::new();
    for name in names(&history) {
        let number: u64 = name.strip_suffix(".exr").and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{name}"));
        let metadata = fs::metadata(history.join(&name)).expect("attributes");
        let text = read(&history.join(&name));
        assert_eq!(metadata.len(), text.len() as u64);
        assert_eq!(text, read(&volume.at(number, "frame.0042.exr")), "state {number}");
        found.push((number, text, metadata.mode() & 0o777));
    }
    found.sort();
    let contents: Vec<&str> = found.iter().map(|(_, text, _)| text.as_str()).filter(|text| !text.is_empty()).collect();
    let mut distinct = contents.clone();
    distinct.dedup();
    assert_eq!(distinct, texts, "in order: {contents:?}");
    volume.mount.unmount();
}

#[test]
fn history_outlives_the_file_and_its_name() {
    let volume = Volume::new();
    fs::create_dir(volume.path("d")).expect("mkdir");
    volume.write("d/f.txt", "kept");
    fs::remove_file(volume.path("d/f.txt")).expect("remove");
    let kept =
        |directory: &str| names(&volume.path(directory)).iter().any(|name| read(&volume.path(directory).join(name)) == "kept");
    assert!(kept("d/.history/f.txt"));
    volume.write("d/f.txt", "another file of that name");
    assert!(kept("d/.history/f.txt"));
    fs::rename(volume.path("d/f.txt"), volume.path("d/g.txt")).expect("rename");
    assert!(kept("d/.history/f.txt"));
    assert!(!volume.path("d/.history/never.txt").exists());
    volume.mount.unmount();
}

#[test]
fn inodes_of_the_past_are_their_own() {
    let volume = Volume::new();
    volume.write("f", "old");
    let old = volume.newest();
    volume.write("f", "new");
    let inode = |path: &Path| fs::metadata(path).expect("attributes").ino();
    assert_ne!(inode(&volume.path("f")), inode(&volume.at(old, "f")));
    volume.mount.unmount();
}

#[test]
fn a_tree_of_the_past_can_be_copied_and_searched() {
    let volume = Volume::new();
    fs::create_dir_all(volume.path("shots/a/b")).expect("mkdir");
    for name in ["shots/1", "shots/a/2", "shots/a/b/3"] {
        volume.write(name, name);
    }
    let version = volume.newest();
    fs::remove_dir_all(volume.path("shots")).expect("remove");
    let copy = tempfile::tempdir().expect("a folder");
    let mut cp = std::process::Command::new("cp");
    cp.arg("-r").arg(volume.at(version, "shots")).arg(copy.path());
    weft_mount_tests::process::succeed(cp);
    let copied = fingerprint(&copy.path().join("shots")).expect("a tree");
    assert_eq!(copied.len(), 5);
    assert_eq!(read(&copy.path().join("shots/a/b/3")), "shots/a/b/3");
    volume.mount.unmount();
}

#[test]
fn a_shells_redirection_publishes_no_empty_file() {
    let volume = Volume::new();
    let shell = |script: &str| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script]).current_dir(volume.path(""));
        weft_mount_tests::process::succeed(command)
    };
    shell("echo first > f");
    shell("echo second > f; cat f > g; (echo third) > f; /bin/echo fourth > f");
    let mut states: Vec<u64> = names(&volume.path(".history/f")).iter().map(|name| name.parse().expect("a number")).collect();
    states.sort_unstable();
    let texts: Vec<String> = states.iter().map(|state| read(&volume.path(&format!(".history/f/{state}")))).collect();
    assert_eq!(texts, ["", "first\n", "second\n", "third\n", "fourth\n"], "made, and then written four times");
    shell("> f");
    assert_eq!(read(&volume.path("f")), "", "a truncation by itself counts when its last descriptor is closed");
    volume.mount.unmount();
}

#[test]
fn copies_keep_modes_and_times() {
    let volume = Volume::new();
    let source = tempfile::tempdir().expect("a folder");
    let script = source.path().join("script");
    fs::write(&script, "#!/bin/sh\n").expect("written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o754)).expect("chmod");
    for (option, name) in [("-p", "copied"), ("-a", "archived")] {
        let mut copy = std::process::Command::new("cp");
        copy.arg(option).arg(&script).arg(volume.path(name));
        weft_mount_tests::process::succeed(copy);
        let (there, here) = (fs::metadata(&script).expect("stat"), fs::metadata(volume.path(name)).expect("stat"));
        assert_eq!(
            (here.mode() & 0o7777, here.mtime(), here.mtime_nsec()),
            (0o754, there.mtime(), there.mtime_nsec()),
            "cp {option}"
        );
    }
    let mut edit = std::process::Command::new("sed");
    edit.args(["-i", "s/sh/bash/"]).arg(volume.path("copied"));
    weft_mount_tests::process::succeed(edit);
    assert_eq!(fs::metadata(volume.path("copied")).expect("stat").mode() & 0o7777, 0o754, "sed -i");
    volume.mount.unmount();
}
