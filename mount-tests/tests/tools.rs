//! `weft log`, `diff`, `restore`, `tag`, `volume`, `status` on a real volume, as a person or a script uses them.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;
use tempfile::TempDir;
use weft_mount_tests::binaries::path_of;
use weft_mount_tests::fingerprint::{Entry, differences, fingerprint};
use weft_mount_tests::mount::Mount;
use weft_mount_tests::operations::Scribbler;
use weft_mount_tests::process::{refuse, succeed};
use weft_mount_tests::random::Random;

struct Volume {
    mount: Mount,
    _folder: TempDir,
}

impl Volume {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("the folder");
        let mount = Mount::local(&root.join("data"), &root.join("mnt"), &["--page-size", "64K"]);
        Self { mount, _folder: folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.mount.path().join(name)
    }

    fn root(&self) -> &Path {
        self.mount.path()
    }

    /// `weft COMMAND PATH ARGUMENTS`, the path below the mount.
    fn command(&self, command: &[&str], path: &str, arguments: &[&str]) -> Command {
        let mut weft = Command::new(path_of("weft"));
        weft.args(command).arg(self.path(path)).args(arguments);
        weft
    }

    fn run(&self, command: &[&str], path: &str, arguments: &[&str]) -> String {
        succeed(self.command(command, path, arguments))
    }

    fn json(&self, command: &[&str], path: &str, arguments: &[&str]) -> Value {
        let text = succeed(self.command(command, path, &[arguments, &["--json"]].concat()));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("no JSON ({error}): {text}"))
    }

    fn refused(&self, command: &[&str], path: &str, arguments: &[&str]) -> String {
        let said = refuse(self.command(command, path, arguments));
        assert_eq!(said.trim().lines().count(), 1, "one line, not: {said}");
        said
    }

    fn newest(&self) -> u64 {
        self.json(&["log"], "", &["-n", "1"])[0]["version"].as_u64().expect("a version")
    }

    fn write(&self, path: &str, text: &str) -> u64 {
        fs::write(self.path(path), text).unwrap_or_else(|error| panic!("{path}: {error}"));
        self.newest()
    }
}

fn strings<'a>(rows: &'a Value, field: &str) -> Vec<&'a str> {
    rows.as_array().expect("rows").iter().map(|row| row[field].as_str().expect("a string")).collect()
}

#[test]
fn log_tells_what_changed_and_who_did_it() {
    let volume = Volume::new();
    fs::create_dir(volume.path("shots")).expect("mkdir");
    volume.write("shots/a", "one");
    fs::rename(volume.path("shots/a"), volume.path("shots/b")).expect("rename");
    fs::remove_file(volume.path("shots/b")).expect("remove");
    let rows = volume.json(&["log"], "", &["--limit", "0"]);
    assert_eq!(rows[0]["kind"], "remove");
    assert_eq!(
        (&rows[1]["kind"], &rows[1]["old_path"], &rows[1]["path"]),
        (&"rename".into(), &"/shots/a".into(), &"/shots/b".into())
    );
    let write = rows.as_array().expect("rows").iter().find(|row| row["kind"] == "write").expect("a write");
    assert_eq!((&write["path"], &write["size"]), (&"/shots/a".into(), &3.into()));
    assert_eq!(write["uid"], rustix::process::getuid().as_raw());
    assert!(!write["host"].as_str().expect("a host").is_empty() && write["time"].as_str().expect("a time").ends_with('Z'));
    let versions: Vec<u64> = rows.as_array().expect("rows").iter().filter_map(|row| row["version"].as_u64()).collect();
    assert!(versions.is_sorted_by(|newer, older| newer == &(older + 1)), "dense, newest first: {versions:?}");
    assert_eq!(volume.json(&["log"], "", &["-n", "2"]).as_array().map(Vec::len), Some(2));
    assert!(volume.run(&["log"], "", &[]).starts_with("VERSION"));
}

#[test]
fn log_of_a_file_lasts_longer_than_the_file() {
    let volume = Volume::new();
    let first = volume.write("f", "one");
    let second = volume.write("f", "three");
    fs::remove_file(volume.path("f")).expect("remove");
    let rows = volume.json(&["log"], "f", &[]);
    let rows: Vec<(u64, u64)> =
        rows.as_array().expect("rows").iter().filter_map(|row| Some((row["version"].as_u64()?, row["size"].as_u64()?))).collect();
    assert!(rows.contains(&(first, 3)) && rows.contains(&(second, 5)), "{rows:?}");
    assert!(volume.refused(&["log"], "never", &[]).contains("/never does not exist"));
}

#[test]
fn diff_of_a_directory_names_what_differs() {
    let volume = Volume::new();
    fs::create_dir(volume.path("d")).expect("mkdir");
    for (name, text) in [("same", "s"), ("gone", "g"), ("changed", "old"), ("touched", "t")] {
        volume.write(&format!("d/{name}"), text);
    }
    symlink("same", volume.path("d/link")).expect("symlink");
    let before = volume.newest().to_string();
    volume.write("d/changed", "newer");
    volume.write("d/new", "n");
    fs::remove_file(volume.path("d/gone")).expect("remove");
    fs::set_permissions(volume.path("d/touched"), fs::Permissions::from_mode(0o600)).expect("chmod");
    let after = volume.newest().to_string();
    let rows = volume.json(&["diff"], "", &[&before, &after]);
    let found: Vec<(&str, &str)> = strings(&rows, "change").into_iter().zip(strings(&rows, "path")).collect();
    let expected = [("modified", "/d/changed"), ("removed", "/d/gone"), ("added", "/d/new"), ("attributes", "/d/touched")];
    assert_eq!(found, expected);
    assert_eq!((&rows[0]["old_size"], &rows[0]["new_size"]), (&3.into(), &5.into()));
    assert_eq!(volume.run(&["diff"], "", &[&after, &after]), "", "nothing differs from itself");
    assert!(volume.refused(&["diff"], "", &["1", "999999"]).contains("999999"));
}

#[test]
fn diff_of_a_file_gives_the_bytes() {
    let volume = Volume::new();
    let path = volume.path("f");
    fs::write(&path, vec![7; 300_000]).expect("write");
    let before = volume.newest().to_string();
    let file = fs::OpenOptions::new().write(true).open(&path).expect("open");
    file.write_all_at(b"xyz", 100_000).expect("write");
    file.write_all_at(b"tail", 300_000).expect("write");
    drop(file);
    let after = volume.newest().to_string();
    let rows = volume.json(&["diff"], "f", &[&before, &after]);
    assert_eq!(rows, serde_json::json!([{"offset": 100_000, "length": 3}, {"offset": 300_000, "length": 4}]));
    let totals = volume.json(&["diff", "--stat"], "", &[&before, &after]);
    assert_eq!((&totals["modified"], &totals["changed_bytes"], &totals["added"]), (&1.into(), &7.into(), &0.into()));
}

#[test]
fn diff_of_any_two_versions_is_what_their_trees_differ_in() {
    let volume = Volume::new();
    volume.write("first", "so that there is a version");
    // Hard links make the tool compare whole trees, so one round goes without.
    for (round, seed) in [("plain", 41), ("linked", 42)] {
        let first = volume.newest();
        let at = |name: &str| volume.path(&format!("{round}/{name}"));
        fs::create_dir(at("")).expect("mkdir");
        let scribbler = Scribbler::new(&at(""), seed, 100_000);
        let mut scribbler = if round == "linked" { scribbler } else { scribbler.without_hard_links() };
        for step in 0..120 {
            match step {
                30 => {
                    fs::create_dir_all(at("moved/below")).expect("mkdir");
                    fs::write(at("moved/below/x"), "moves with its directory").expect("write");
                    if round == "linked" {
                        fs::hard_link(at("moved/below/x"), at("second")).expect("link");
                    }
                }
                60 => {
                    fs::rename(at("moved"), at("elsewhere")).expect("rename");
                    fs::create_dir(at("moved")).expect("another directory of that name");
                }
                90 => fs::write(at("elsewhere/below/x"), "changed where it is").expect("write"),
                _ => drop(scribbler.step().unwrap_or_else(|error| panic!("seed {seed}: {error}"))),
            }
        }
        let (span, mut random) = (volume.newest() - first, Random::new(seed));
        for _ in 0..12 {
            let (from, to) = (first + random.below(span), first + 1 + random.below(span));
            let (told, real) = (diff_by_tool(&volume, from, to), diff_by_reading(&volume, from, to));
            let wrong: Vec<_> = told.symmetric_difference(&real).collect();
            assert!(wrong.is_empty(), "{round}, {from} and {to}: {wrong:?}");
        }
    }
}

/// Paths that differ, by `weft diff`.
fn diff_by_tool(volume: &Volume, from: u64, to: u64) -> BTreeSet<String> {
    let rows = volume.json(&["diff"], "", &[&from.to_string(), &to.to_string()]);
    strings(&rows, "path").into_iter().map(str::to_owned).collect()
}

fn diff_by_reading(volume: &Volume, from: u64, to: u64) -> BTreeSet<String> {
    let tree = |version: u64| tree_with_times(&volume.path(&format!(".versions/{version}")));
    let (old, new) = (tree(from), tree(to));
    let paths: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let differ = paths.into_iter().filter(|path| old.get(*path) != new.get(*path));
    differ.map(|path| format!("/{}", path.display())).collect()
}

/// A tree's fingerprint and the times of its files' content.
fn tree_with_times(root: &Path) -> BTreeMap<PathBuf, (Entry, Option<SystemTime>)> {
    let time = |path: &Path, entry: &Entry| match entry {
        Entry::File { .. } => Some(fs::metadata(root.join(path)).and_then(|metadata| metadata.modified()).expect("a time")),
        Entry::Directory { .. } | Entry::Symlink(_) => None,
    };
    let tree = fingerprint(root).expect("a tree");
    tree.into_iter().map(|(path, entry)| (path.clone(), (entry.clone(), time(&path, &entry)))).collect()
}

#[test]
fn restore_brings_back_a_file_by_number_tag_and_time() {
    let volume = Volume::new();
    let first = volume.write("f", "first");
    volume.run(&["tag", "add"], "", &["one"]);
    volume.write("f", "second");
    let time = strings(&volume.json(&["log"], "", &["-n", "1"]), "time")[0].to_owned();
    fs::remove_file(volume.path("f")).expect("remove");
    for (version, text) in [(first.to_string(), "first"), (format!("@{time}"), "second"), ("one".to_owned(), "first")] {
        volume.run(&["restore"], "f", &["--to", &version]);
        assert_eq!(fs::read_to_string(volume.path("f")).expect("read"), text, "{version}");
    }
    assert!(volume.refused(&["restore"], "f", &["--to", "nothing"]).contains("nothing"));
    assert!(volume.refused(&["restore"], "never", &["--to", "one"]).contains("/never does not exist"));
    volume.write("later", "made after the tag");
    assert!(volume.refused(&["restore"], "later", &["--to", "one"]).contains("made later"));
    assert_eq!(fs::read_to_string(volume.path("later")).expect("read"), "made after the tag", "a restore is no rm");
}

#[test]
fn restore_brings_back_attributes_and_a_range_of_frames() {
    let volume = Volume::new();
    make_tree(&volume);
    let (frame, name) = (volume.path("d/frame07"), "user.shot");
    rustix::fs::setxattr(&frame, name, b"a1", rustix::fs::XattrFlags::empty()).expect("setxattr");
    let version = volume.newest().to_string();
    rustix::fs::removexattr(&frame, name).expect("removexattr");
    rustix::fs::setxattr(volume.path("d"), name, b"later", rustix::fs::XattrFlags::empty()).expect("setxattr");
    volume.run(&["restore"], "d", &["--to", &version]);
    let mut value = [0; 8];
    assert_eq!(rustix::fs::getxattr(&frame, name, &mut value), Ok(2), "content was equal, attributes were not");
    assert!(rustix::fs::getxattr(volume.path("d"), name, &mut value).is_err(), "a directory has attributes as well");
    for number in 0..30 {
        fs::remove_file(volume.path(&format!("d/frame{number:02}"))).expect("remove");
    }
    volume.write("d/frame19", "a new one");
    volume.write("d/frame1x", "of today");
    let report = volume.json(&["restore"], "d/frame1[0-9]", &["--to", &version]);
    assert_eq!((strings_of(&report["restored"]).len(), strings_of(&report["removed"]).len()), (10, 0), "{report}");
    let back = (0..30).filter(|number| volume.path(&format!("d/frame{number:02}")).exists());
    assert_eq!(back.collect::<Vec<_>>(), (10..20).collect::<Vec<_>>());
    assert_eq!(fs::read_to_string(volume.path("d/frame19")).expect("read"), "frame 19");
    assert_eq!(fs::read_to_string(volume.path("d/frame1x")).expect("read"), "of today");
}

#[test]
fn clone_shares_a_file_or_a_tree_under_a_name_of_its_own() {
    let volume = Volume::new();
    make_tree(&volume);
    let before = volume.newest();
    let report = volume.json(&["clone"], "d", &[volume.path("e").to_str().expect("UTF-8")]);
    assert_eq!((&report["path"], &report["source"], &report["version"]), (&"/e".into(), &"/d".into(), &(before + 1).into()));
    assert!(report["at"].is_null());
    let tree = |name: &str| fingerprint(&volume.path(name)).expect("a tree");
    assert_eq!(differences(&tree("d"), &tree("e")), [""; 0]);
    let row = &volume.json(&["log"], "", &["-n", "1"])[0];
    assert_eq!((&row["kind"], &row["old_path"], &row["path"]), (&"clone".into(), &"/d".into(), &"/e".into()));
    // A restore takes back what the clone became, and to before it existed there is nothing to restore.
    volume.write("e/frame01", "changed");
    volume.run(&["restore"], "e", &["--to", &(before + 1).to_string()]);
    assert_eq!(differences(&tree("d"), &tree("e")), [""; 0]);
    assert!(volume.refused(&["restore"], "e", &["--to", &before.to_string()]).contains("/e"));
    assert!(volume.path("e/frame01").exists());
    // The past, by option and by path.
    let then = volume.write("d/frame01", "as it was");
    fs::remove_dir_all(volume.path("d")).expect("removed");
    let new = |name: &str| volume.path(name).to_str().expect("UTF-8").to_owned();
    volume.run(&["clone"], "d/frame01", &[&new("one"), "--at", &then.to_string()]);
    volume.run(&["clone"], &format!(".versions/{then}/d/frame01"), &[&new("two")]);
    assert!(["one", "two"].iter().all(|name| fs::read(volume.path(name)).expect("read") == b"as it was"));
    volume.run(&["clone"], "", &[&new("everything"), "--at", &then.to_string()]);
    assert_eq!(fs::read_to_string(volume.path("everything/d/frame01")).expect("read"), "as it was");
    for (source, target, arguments, problem) in [
        ("e", "one", &[][..], "/one: exists"),
        ("e", "e/below", &[], "lies in the directory"),
        ("", "x", &[], "lies in the directory"),
        ("nothing", "x", &[], "/nothing does not exist"),
        ("e", "no/x", &[], "/no does not exist"),
        ("e", "one/x", &[], "/one: is not a directory"),
        ("e", "x", &["--at", "999999"], "999999"),
        ("e", "x", &["--at", "nothing"], "nothing"),
        (&format!(".versions/{then}/d"), "x", &["--at", "3"], "leave out --at"),
        (".history/one", "x", &[], "path into the past"),
        ("e", ".versions/1/x", &[], "path into the past"),
    ] {
        let target_path = new(target);
        let arguments = [&[&target_path[..]], arguments].concat();
        let said = volume.refused(&["clone"], source, &arguments);
        assert!(said.contains(problem), "{source} to {target}: {said}");
    }
    let elsewhere = Volume::new();
    let said = volume.refused(&["clone"], "e", &[elsewhere.path("e").to_str().expect("UTF-8")]);
    assert!(said.contains("different volumes") && said.contains("cp"), "{said}");
}

fn make_tree(volume: &Volume) {
    fs::create_dir_all(volume.path("d/sub/deep")).expect("mkdir");
    for number in 0..30 {
        volume.write(&format!("d/frame{number:02}"), &format!("frame {number}"));
    }
    volume.write("d/sub/a", "a");
    volume.write("d/sub/deep/b", "b");
    symlink("sub/a", volume.path("d/link")).expect("symlink");
    fs::set_permissions(volume.path("d/sub/a"), fs::Permissions::from_mode(0o640)).expect("chmod");
}

#[test]
fn restore_makes_a_directory_what_it_was() {
    let volume = Volume::new();
    make_tree(&volume);
    let (version, before) = (volume.newest().to_string(), fingerprint(&volume.path("d")).expect("a tree"));
    volume.write("d/frame03", "worse");
    volume.write("d/new", "new");
    fs::remove_file(volume.path("d/frame04")).expect("remove");
    fs::remove_dir_all(volume.path("d/sub")).expect("remove");
    fs::write(volume.path("d/sub"), "a file in the place of a directory").expect("write");
    fs::remove_file(volume.path("d/link")).expect("remove");
    fs::create_dir_all(volume.path("d/link/x")).expect("a directory in the place of a link");
    let spoiled = fingerprint(&volume.path("d")).expect("a tree");
    let plan = volume.json(&["restore"], "d", &["--to", &version, "--dry-run"]);
    assert!(strings_of(&plan["restored"]).contains(&"/d/frame04") && strings_of(&plan["removed"]).contains(&"/d/new"), "{plan}");
    assert_eq!(fingerprint(&volume.path("d")).expect("a tree"), spoiled, "a dry run changes nothing");
    let report = volume.json(&["restore"], "d", &["--to", &version]);
    assert_eq!(report["unchanged"], 28, "what is as it was stays untouched: {report}");
    let wrong = differences(&before, &fingerprint(&volume.path("d")).expect("a tree"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn strings_of(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().filter_map(Value::as_str).collect()
}

#[test]
fn restore_brings_back_a_directory_that_is_gone_and_keeps_what_is_new() {
    let volume = Volume::new();
    make_tree(&volume);
    let (version, before) = (volume.newest().to_string(), fingerprint(&volume.path("d")).expect("a tree"));
    fs::remove_dir_all(volume.path("d")).expect("remove");
    volume.run(&["restore"], "d/sub/deep/b", &["--to", &version]);
    assert_eq!(fs::read_to_string(volume.path("d/sub/deep/b")).expect("read"), "b", "its directories come back as well");
    volume.write("d/new", "new");
    volume.run(&["restore"], "d", &["--to", &version, "--keep-new"]);
    let mut after = fingerprint(&volume.path("d")).expect("a tree");
    assert!(after.remove(Path::new("new")).is_some());
    let wrong = differences(&before, &after);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    volume.run(&["restore"], "", &["--to", "0"]);
    assert_eq!(fingerprint(volume.root()).expect("a tree").len(), 0, "version 0 is the empty volume");
}

#[test]
fn tags_name_versions() {
    let volume = Volume::new();
    let first = volume.write("f", "1");
    volume.run(&["tag", "add"], "", &["run"]);
    let second = volume.write("f", "2");
    volume.run(&["tag", "add"], "", &["early", "--at", &first.to_string()]);
    let tags = volume.json(&["tag", "list"], "", &[]);
    let found: Vec<(&str, u64)> =
        tags.as_array().expect("rows").iter().filter_map(|row| Some((row["name"].as_str()?, row["version"].as_u64()?))).collect();
    assert_eq!(found, [("early", first), ("run", first)]);
    assert_eq!(fs::read_to_string(volume.path(".versions/early/f")).expect("read"), "1");
    assert!(volume.refused(&["tag", "add"], "", &["run"]).contains("remove it first"));
    volume.run(&["tag", "rm"], "", &["run"]);
    volume.run(&["tag", "add"], "", &["run"]);
    assert_eq!(volume.json(&["tag", "list"], "", &[])[1]["version"], second);
    volume.run(&["tag", "rm"], "", &["early"]);
    assert!(volume.refused(&["restore"], "f", &["--to", "early"]).contains("early"));
    for name in ["17", ".x", "a b", "-x=", &"x".repeat(65)] {
        let mut command = volume.command(&["tag", "add"], "", &["--"]);
        command.arg(name);
        assert!(refuse(command).contains("is no tag"), "{name}");
    }
}

#[test]
fn volumes_are_made_listed_set_and_removed() {
    let volume = Volume::new();
    let url = succeed(volume.command(&["volume", "list"], "", &[])).lines().count();
    assert_eq!(url, 2, "a header and the one volume");
    let source = fs::read_to_string("/proc/self/mounts").expect("mounts");
    let source = source.lines().find(|line| line.contains(&*volume.root().to_string_lossy())).expect("ours");
    let cluster = source.split(' ').next().expect("a source").trim_end_matches("main").to_owned();
    let identity = volume.root().with_file_name("data").join("identity");
    let weft = |arguments: &[&str]| {
        let mut command = Command::new(path_of("weft"));
        command.args(arguments).arg("--identity").arg(&identity);
        command
    };
    let other = format!("{cluster}other");
    succeed(weft(&["volume", "create", &other, "--page-size", "4M", "--fan-out", "8"]));
    assert!(refuse(weft(&["volume", "create", &other])).contains("other"));
    let list = || -> Value { serde_json::from_str(&succeed(weft(&["volume", "list", &cluster, "--json"]))).expect("JSON") };
    assert_eq!(strings(&list(), "name"), ["main", "other"]);
    assert_eq!((&list()[1]["page_size"], &list()[1]["fan_out"]), (&4_194_304.into(), &8.into()));
    succeed(weft(&["volume", "set", &other, "--fan-out", "16"]));
    assert_eq!((&list()[1]["page_size"], &list()[1]["fan_out"]), (&4_194_304.into(), &16.into()));
    let warned = weft(&["volume", "set", &other, "--copies", "2"]).output().expect("weft");
    assert!(warned.status.success() && String::from_utf8_lossy(&warned.stderr).contains("2 copies need as many data providers"));
    assert!(refuse(weft(&["volume", "rm", &other])).contains("--yes"));
    succeed(weft(&["volume", "rm", &other, "--yes"]));
    assert_eq!(strings(&list(), "name"), ["main"]);
    for (arguments, problem) in [
        (&["volume", "create", &cluster][..], "names no volume"),
        (&["volume", "create", &other, "--page-size", "100K"], "power of two"),
        (&["volume", "create", &other, "--fan-out", "3"], "power of two"),
        (&["volume", "rm", &other, "--yes"], "other"),
    ] {
        let said = refuse(weft(arguments));
        assert!(said.contains(problem), "{arguments:?}: {said}");
    }
}

#[test]
fn status_shows_who_is_there() {
    let volume = Volume::new();
    let status = volume.json(&["status"], "", &[]);
    assert_eq!(strings(&status["providers"], "state"), ["alive", "alive"]);
    assert_eq!(strings(&status["volumes"], "name"), ["main"]);
    let mounts = strings(&status["sessions"], "purpose");
    assert!(mounts.iter().any(|purpose| purpose.starts_with("mount /")), "{mounts:?}");
    assert!(volume.run(&["status"], "", &[]).contains("PROVIDER"));
}

#[test]
fn tools_give_their_sessions_back() {
    let volume = Volume::new();
    volume.write("f", "x");
    for _ in 0..3 {
        volume.run(&["log"], "f", &[]);
        volume.refused(&["log"], "never", &[]);
    }
    let sessions = volume.json(&["status"], "", &[])["sessions"].as_array().map(Vec::len);
    assert_eq!(sessions, Some(1), "only the mount's");
}

#[test]
fn paths_that_are_not_in_a_mount_are_refused() {
    let volume = Volume::new();
    let outside = volume.root().with_file_name("outside");
    let mut command = Command::new(path_of("weft"));
    command.arg("log").arg(&outside);
    assert!(refuse(command).contains("not inside a WeftFS mount"));
    assert!(volume.refused(&["log"], ".versions/1", &[]).contains("path into the past"));
}

#[test]
fn what_cannot_be_printed_is_a_failure() {
    let volume = Volume::new();
    volume.write("a", "one");
    for (command, arguments) in [("log", &[][..]), ("log", &["--json"]), ("watch", &["--since", "0", "--limit", "1"])] {
        let mut weft = volume.command(&[command], "", arguments);
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("a full disk");
        let output = weft.stdout(full).output().expect("weft");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("standard output cannot be written"), "{command}: {said}");
    }
}

#[test]
fn a_watch_of_what_is_not_there_says_so_and_waits_for_it() {
    let volume = Volume::new();
    let since = volume.write("a", "one").to_string();
    let mut watch = volume.command(&["watch"], "to-come", &["--since", &since, "--limit", "1"]);
    let watch = watch.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().expect("a watch");
    std::thread::sleep(std::time::Duration::from_millis(500));
    volume.write("to-come", "x");
    let output = watch.wait_with_output().expect("its output");
    assert!(String::from_utf8_lossy(&output.stdout).contains("create     /to-come"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/to-come is not there now"), "{output:?}");
}

#[test]
fn completions_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let mut command = Command::new(path_of("weft"));
        command.args(["completions", shell]);
        let script = succeed(command);
        assert!(script.contains("restore") && script.contains("keep-new"), "{shell}");
    }
}

#[test]
fn a_watch_tells_every_change_once_and_goes_on_where_it_ended() {
    let volume = Volume::new();
    fs::create_dir(volume.path("shots")).unwrap();
    fs::write(volume.path("shots/a"), b"one").unwrap();
    fs::write(volume.path("elsewhere"), b"x").unwrap();
    fs::rename(volume.path("shots/a"), volume.path("shots/b")).unwrap();
    fs::rename(volume.path("shots/b"), volume.path("gone")).unwrap();
    let lines = |path: &str, arguments: &[&str]| -> Vec<Value> {
        let text = succeed(volume.command(&["watch"], path, &[arguments, &["--json"]].concat()));
        text.lines().map(|line| serde_json::from_str(line).expect("an object on each line")).collect()
    };
    let told = |rows: &[Value]| -> Vec<(String, String)> {
        let text = |row: &Value, field: &str| row[field].as_str().expect("a text").to_owned();
        rows.iter().map(|row| (text(row, "kind"), text(row, "path"))).collect()
    };
    let pair = |kind: &str, path: &str| (kind.to_owned(), path.to_owned());
    let all = lines("shots", &["--since", "0", "--limit", "5"]);
    let expected = [
        pair("create", "/shots"),
        pair("create", "/shots/a"),
        pair("write", "/shots/a"),
        pair("rename", "/shots/b"),
        pair("rename", "/gone"),
    ];
    assert_eq!(told(&all), expected);
    let third = all[2]["version"].to_string();
    assert_eq!(lines("shots", &["--since", &third, "--limit", "2"]), all[3..]);
    // What is to come, while somebody waits for it.
    let mut watch = volume.command(&["watch"], "shots", &["--limit", "1", "--json"]);
    let watch = watch.stdout(std::process::Stdio::piped()).spawn().expect("a watch");
    std::thread::sleep(std::time::Duration::from_millis(500));
    fs::write(volume.path("not-watched"), b"y").unwrap();
    for number in 0.. {
        // It may not have begun with the first one.
        fs::write(volume.path(&format!("shots/new{number}")), b"z").unwrap();
        if number > 100 || fs::read_to_string(format!("/proc/{}/stat", watch.id())).is_ok_and(|stat| stat.contains(") Z ")) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let output = watch.wait_with_output().expect("its output");
    let row: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert!(row["path"].as_str().expect("a path").starts_with("/shots/new"), "{row}");
    assert!(volume.refused(&["watch"], "shots", &["--since", "no-such-tag"]).contains("no-such-tag"));
}
