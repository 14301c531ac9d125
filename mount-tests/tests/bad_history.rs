//! What people get wrong with the past of a volume, and servers that are away meanwhile: clear errors, and nothing is lost.

use std::fs;
use weft_mount_tests::cluster::{Cluster, Shape};
use weft_mount_tests::fingerprint::fingerprint;
use weft_mount_tests::process::{refuse, succeed};
use weft_mount_tests::random::Random;
use weft_mount_tests::wait::until;

const PAGE: usize = 64 << 10;
const SHAPE: Shape = Shape { page_kib: 64, fan_out: 2, copies: 1 };

#[track_caller]
fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "'{part}' is not in: {said}");
    }
}

#[test]
fn a_version_that_is_gone_and_a_policy_that_keeps_nothing() {
    let mut cluster = Cluster::start(1, 1);
    cluster.create_volume("show", SHAPE);
    let mount = cluster.mount("show");
    let file = mount.path().join("frame");
    for number in 0..5_u8 {
        fs::write(&file, [number; 1000]).expect("written");
    }
    let (url, below, copy) = (cluster.url("show"), cluster.url("show/frame"), cluster.url("show/copy"));
    succeed(cluster.weft(&["tag", "add", &url, "good", "--at", "3"]));
    assert_says(&cluster.refused(&["tag", "add", &url, "good"]), &["'good'", "remove it first"]);
    let before = fingerprint(&mount.path().join(".versions")).expect("a tree");

    let said = cluster.refused(&["retention", "set", &url, "--keep-all", "0s"]);
    assert_says(&said, &["nothing of the past", "--force", "--daily"]);
    assert!(succeed(cluster.weft(&["retention", "show", &url])).contains("for ever"), "the policy is what it was");
    succeed(cluster.weft(&["gc", &url]));
    assert_eq!(fingerprint(&mount.path().join(".versions")).expect("a tree"), before);

    succeed(cluster.weft(&["retention", "set", &url, "--keep-all", "0s", "--force"]));
    succeed(cluster.weft(&["gc", &url]));
    let newest = fs::read(&file).expect("read");
    for gone in ["2", "@2001-01-01"] {
        for command in [
            &["restore", &below, "--to", gone][..],
            &["clone", &below, &copy, "--at", gone],
            &["send", &url, "--at", gone, "--output", "/dev/null"],
            &["tag", "add", &url, "late", "--at", gone],
        ] {
            let said = cluster.refused(command);
            assert_eq!(said.trim().lines().count(), 1, "{said}");
        }
    }
    assert_says(&cluster.refused(&["restore", &below, "--to", "2"]), &["not", "2", "retention show"]);
    assert!(fs::read(&file).expect("read") == newest, "it was not restored");
    succeed(cluster.weft(&["restore", &below, "--to", "good"]));
    assert!(fs::read(&file).expect("read") != newest, "it was");
}

/// Half of the nodes are on a server that is away.
#[test]
fn gc_without_a_metadata_provider_says_which_and_ends_when_it_is_back() {
    let mut cluster = Cluster::start(2, 1);
    cluster.create_volume("show", SHAPE);
    let mount = cluster.mount("show");
    let mut random = Random::new(5);
    let mut content = Vec::new();
    for round in 0..4 {
        content = random.bytes(16 * PAGE);
        for name in ["a", "b", "c"] {
            fs::write(mount.path().join(name), &content[round * 10..]).expect("written");
        }
    }
    mount.unmount();
    let url = cluster.url("show");
    succeed(cluster.weft(&["retention", "set", &url, "--keep-all", "0s", "--force"]));
    cluster.server("metadata1").kill();
    until("the provider to be dead", || succeed(cluster.weft(&["status", &url, "--json"])).contains("\"dead\"").then_some(()));
    let said = refuse(cluster.weft(&["gc", &url]));
    assert_says(&said, &["metadata provider", "nothing is lost", "by themselves when it is back"]);
    cluster.restart_killed();
    succeed(cluster.weft(&["gc", &url]));
    let report = succeed(cluster.weft(&["fsck", &url, "--json"]));
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!((report["orphans"]["objects"].as_u64(), report["orphans"]["nodes"].as_u64()), (Some(0), Some(0)), "{report}");
    let mount = cluster.mount("show");
    for name in ["a", "b", "c"] {
        assert!(fs::read(mount.path().join(name)).expect("read") == content[30..], "{name}");
    }
}
