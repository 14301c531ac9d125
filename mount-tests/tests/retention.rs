//! Retention on a real cluster: what is let go goes from the disks, and nothing else does.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};
use weft_mount_tests::cluster::{Cluster, Shape};
use weft_mount_tests::fingerprint::{differences, fingerprint};
use weft_mount_tests::process::{run, succeed};
use weft_mount_tests::random::Random;
use weft_mount_tests::wait::until;

const PAGE: usize = 64 << 10;
const VERSIONS: usize = 24;

/// Bytes that the store folders take on the disk.
fn disk_bytes(folder: &Path) -> u64 {
    let mut sum = 0;
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        sum += if metadata.is_dir() { disk_bytes(&entry.path()) } else { metadata.blocks() * 512 };
    }
    sum
}

#[test]
fn what_is_not_kept_goes_from_the_disks_and_what_is_kept_or_read_stays() {
    let mut cluster = Cluster::start(3, 3);
    cluster.create_volume("show", Shape { page_kib: 64, fan_out: 2, copies: 2 });
    let mount = cluster.mount("show");
    let file = mount.path().join("frame.exr");
    let mut random = Random::new(7);
    let mut content = random.bytes(8 * PAGE);
    fs::write(&file, &content).expect("written");
    // Versions that share most pages with their neighbours, and a second file that is deleted.
    for number in 0..VERSIONS {
        let page = random.below(8) as usize * PAGE;
        let bytes = random.bytes(PAGE);
        content[page..page + PAGE].copy_from_slice(&bytes);
        File::options().write(true).open(&file).expect("open").write_all_at(&bytes, page as u64).expect("written");
        fs::write(mount.path().join(format!("temporary{}", number % 3)), random.bytes(4 * PAGE)).expect("written");
    }
    (0..3).for_each(|number| fs::remove_file(mount.path().join(format!("temporary{number}"))).expect("removed"));
    mount.unmount();
    // Stores that were stopped hold no space that they reserved ahead.
    cluster.restart();
    let before = disk_bytes(cluster.folder());
    let mount = cluster.mount("show");
    let file = mount.path().join("frame.exr");
    let url = cluster.url("show");
    succeed(cluster.weft(&["tag", "add", &url, "good", "--at", "9"]));
    let tree_of = |version: &str| fingerprint(&mount.path().join(".versions").join(version)).expect("a tree");
    let (good, old_path) = (tree_of("good"), mount.path().join(".versions/30/frame.exr"));
    let old = fs::read(&old_path).expect("an old version");
    let mut reader = File::open(&old_path).expect("an old version");
    // A program that works in an old version.
    let mut inside = Command::new("sh")
        .args(["-c", "read line && cat frame.exr"])
        .current_dir(old_path.parent().expect("a folder"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");

    assert!(succeed(cluster.weft(&["retention", "show", &url])).contains("for ever"));
    succeed(cluster.weft(&["retention", "set", &url, "--keep-all", "0s", "--force"]));
    let explained = succeed(cluster.weft(&["retention", "explain", &url]));
    assert!(explained.contains("2 stay"), "the newest and the tagged one: {explained}");
    let explained = succeed(cluster.weft(&["retention", "explain", &url, "--json"]));
    let explained: serde_json::Value = serde_json::from_str(&explained).expect("JSON");
    let freed = explained["freed_bytes"].as_u64().expect("a number");
    succeed(cluster.weft(&["gc", &url, "--no-wait"]));
    assert!(until("versions to be gone", || (!mount.path().join(".versions/30").exists()).then_some(true)));
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).expect("read on");
    assert!(bytes == old, "an open file of a version that is not kept any more");
    drop(reader);
    let told = cluster.folder().join("gc.out");
    let mut waiting = cluster.weft(&["gc", &url]).stdout(File::create(&told).expect("a file")).spawn().expect("weft gc");
    until("gc to name who reads", || {
        let told = fs::read_to_string(&told).expect("what it said");
        (told.contains(&format!("mount {}", mount.path().display())) && told.contains("reads let-go versions 30")).then_some(())
    });
    let mut stdin = inside.stdin.take().expect("a pipe");
    stdin.write_all(b"go on\n").expect("written");
    drop(stdin);
    let output = inside.wait_with_output().expect("ended");
    assert!(output.status.success() && output.stdout == old, "a program in a version that is not kept any more");
    assert!(waiting.wait().expect("ended").success());

    let mut kept: Vec<String> = fs::read_dir(mount.path().join(".versions"))
        .expect("a list")
        .flatten()
        .map(|entry| entry.file_name().into_string().expect("UTF-8"))
        .collect();
    kept.sort();
    assert_eq!((kept.len(), kept.contains(&"9".to_owned()), kept.contains(&"good".to_owned())), (3, true, true), "{kept:?}");
    let wrong = differences(&good, &tree_of("good"));
    assert!(wrong.is_empty(), "the tagged version changed:\n{}", wrong.join("\n"));
    assert!(fs::read(&file).expect("read") == content, "the newest version changed");
    mount.unmount();
    cluster.restart();
    // Of the objects 8 pages are shown now, and at most 8 + 3 * 4 at the tagged version, each held twice; the rest goes.
    let written = ((8 + VERSIONS * 5) * PAGE * 2) as u64;
    let kept = ((8 + 8 + 3 * 4) * PAGE * 2) as u64;
    assert!(freed * 2 >= written - kept && freed * 2 <= written - 16 * PAGE as u64, "what was said to go: {freed}");
    assert_eq!(explained["freed_disk_bytes"], freed * 2, "{explained}");
    until("the space to come back", || (disk_bytes(cluster.folder()) + (written - kept) * 9 / 10 < before).then_some(()));
    let mount = cluster.mount("show");
    assert!(fs::read(mount.path().join("frame.exr")).expect("read") == content, "after a restart");
    let wrong = differences(&good, &fingerprint(&mount.path().join(".versions/good")).expect("a tree"));
    assert!(wrong.is_empty(), "the tagged version changed:\n{}", wrong.join("\n"));
    mount.unmount();
}

/// Versions that are listed in a directory, by number.
fn versions_in(directory: &Path) -> Vec<u64> {
    let listed = fs::read_dir(directory.join(".versions")).expect("a list").flatten();
    let mut numbers: Vec<u64> = listed.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn a_directory_keeps_what_its_volume_lets_go_of() {
    let mut cluster = Cluster::start(2, 2);
    cluster.create_volume("show", Shape { page_kib: 64, fan_out: 4, copies: 2 });
    let mount = cluster.mount("show");
    let (finals, scratch) = (mount.path().join("finals"), mount.path().join("scratch"));
    fs::create_dir_all(finals.join("shot")).expect("made");
    fs::create_dir(&scratch).expect("made");
    let mut random = Random::new(11);
    let mut frames = Vec::new();
    for _ in 0..6 {
        fs::write(scratch.join("draft.exr"), random.bytes(4 * PAGE)).expect("written");
        let frame = random.bytes(2 * PAGE);
        fs::write(finals.join("shot/frame.exr"), &frame).expect("written");
        frames.push((versions_in(&finals.join("shot")).last().copied().expect("a version"), frame));
    }
    let (first, _) = frames[0];
    let before = fingerprint(&finals.join(format!(".versions/{first}"))).expect("a tree");
    let (url, of_finals) = (cluster.url("show"), cluster.url("show") + "/finals");

    succeed(cluster.weft(&["retention", "set", &url, "--keep-all", "0s", "--force"]));
    let refused = |arguments: &[&str], why: &str| {
        let output = run(cluster.weft(arguments));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(why), "{arguments:?}: {told}");
    };
    let of_frame = of_finals.clone() + "/shot/frame.exr";
    refused(&["retention", "set", &of_frame, "--forever"], "not a directory");
    refused(&["retention", "set", &of_finals, "--keep-all", "0s"], "keeps nothing");
    refused(&["retention", "unset", &url], "always has a policy");
    refused(&["retention", "unset", &of_finals], "no policy of its own");
    refused(&["retention", "explain", &of_finals], "no policy of its own");
    succeed(cluster.weft(&["retention", "set", finals.to_str().expect("UTF-8"), "--forever"]));
    let shown = succeed(cluster.weft(&["retention", "show", &url]));
    assert!(shown.contains("0s") && shown.contains("/finals: every version is kept for ever"), "{shown}");
    let explained = |target: &str| -> serde_json::Value {
        serde_json::from_str(&succeed(cluster.weft(&["retention", "explain", target, "--json"]))).expect("JSON")
    };
    let (of_volume, of_directory) = (explained(&url), explained(&of_finals));
    assert_eq!((&of_directory["goes"], &of_directory["freed_bytes"]), (&0.into(), &0.into()), "{of_directory}");
    let drafts = (5 * 4 * PAGE) as u64;
    assert_eq!(of_volume["freed_bytes"], drafts, "all drafts but the newest, and no frame: {of_volume}");

    succeed(cluster.weft(&["gc", &url]));
    assert!(!mount.path().join(format!(".versions/{first}")).exists(), "the volume does not keep it");
    assert!(!scratch.join(format!(".versions/{first}")).exists(), "nor does this directory");
    for (version, frame) in &frames {
        let found = fs::read(finals.join(format!(".versions/{version}/shot/frame.exr"))).expect("a kept frame");
        assert!(found == *frame, "version {version} changed");
        let found = fs::read(finals.join(format!("shot/.history/frame.exr/{version}.exr"))).expect("a kept frame");
        assert!(found == *frame, "version {version} changed in the history");
    }
    let wrong = differences(&before, &fingerprint(&finals.join(format!(".versions/{first}"))).expect("a tree"));
    assert!(wrong.is_empty(), "a kept version changed:\n{}", wrong.join("\n"));
    let clean = || {
        let output = run(cluster.weft(&["fsck", &format!("weft://{}", cluster.manager()), "--json"]));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert!(output.status.success() && report["clean"] == true, "{report}");
    };
    clean();
    // What is history is what the directory keeps: five older frames.
    let history = || {
        let whole = format!("weft://{}", cluster.manager());
        let space: serde_json::Value = serde_json::from_str(&succeed(cluster.weft(&["df", &whole, "--json"]))).expect("JSON");
        let volumes = space["volumes"].as_array().expect("rows").clone();
        volumes.iter().map(|row| row["history_bytes"].as_u64().expect("a number")).sum::<u64>()
    };
    let (with_frames, frame_bytes) = (history(), (5 * 2 * PAGE * 2) as u64);
    assert!((frame_bytes..frame_bytes * 5 / 4).contains(&with_frames), "{with_frames} of history");

    // A frame comes back, also after the directory moved.
    fs::rename(&finals, mount.path().join("archive")).expect("renamed");
    let archived = cluster.url("show") + "/archive";
    succeed(cluster.weft(&["restore", &(archived.clone() + "/shot/frame.exr"), "--to", &first.to_string()]));
    let restored = mount.path().join("archive/shot/frame.exr");
    assert!(until("the frame", || (fs::read(&restored).ok()? == frames[0].1).then_some(true)));

    succeed(cluster.weft(&["retention", "unset", &archived]));
    succeed(cluster.weft(&["gc", &url]));
    assert!(!mount.path().join(format!("archive/.versions/{first}")).exists(), "nothing keeps it any more");
    clean();
    assert!(fs::read(&restored).expect("read") == frames[0].1, "the newest version changed");
    mount.unmount();
}
