//! Retention on a real cluster: what is let go goes from the disks, and nothing else does.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};
use weft_mount_tests::cluster::{Cluster, Shape};
use weft_mount_tests::fingerprint::{differences, fingerprint};
use weft_mount_tests::process::succeed;
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
    succeed(cluster.weft(&["retention", "set", &url, "--keep-all", "0s"]));
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
    let mut stdin = inside.stdin.take().expect("a pipe");
    stdin.write_all(b"go on\n").expect("written");
    drop(stdin);
    let output = inside.wait_with_output().expect("ended");
    assert!(output.status.success() && output.stdout == old, "a program in a version that is not kept any more");
    succeed(cluster.weft(&["gc", &url]));

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
