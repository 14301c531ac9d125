//! What dead writers leave behind is found and deleted; what living ones have not published yet is not.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use weft_common::client::{BlobStore, ClientOptions, Namespace, PublishRequest};
use weft_common::id::ROOT_INODE;
use weft_common::limits::SESSION_LEASE;
use weft_common::name::FileName;
use weft_common::rpc::Address;
use weft_common::time::Timestamp;
use weft_common::transport::{Holder, Identity, QuicRpc};
use weft_common::weave::{DataExtent, Operation, Update};
use weft_common::wire::{At, Author, NamespaceAnswer, Query};
use weft_mount_tests::cluster::{Cluster, Shape};
use weft_mount_tests::process::{run, succeed};
use weft_mount_tests::random::Random;
use weft_mount_tests::wait::until;

const PAGE: usize = 64 << 10;
const SHAPE: Shape = Shape { page_kib: 64, fan_out: 2, copies: 2 };

fn whole_cluster(cluster: &Cluster) -> String {
    format!("weft://{}", cluster.manager())
}

/// What `weft fsck` says of the whole cluster, which has to be in order or not.
fn fsck(cluster: &Cluster, is_clean: bool) -> serde_json::Value {
    let output = run(cluster.weft(&["fsck", &whole_cluster(cluster), "--json"]));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.success(), is_clean, "{text}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).expect("JSON")
}

fn count(report: &serde_json::Value, what: &str) -> (u64, u64) {
    let number = |field: &str| report[what][field].as_u64().expect("a number");
    (number("objects"), number("nodes"))
}

fn sessions(cluster: &Cluster) -> usize {
    let status = succeed(cluster.weft(&["status", &whole_cluster(cluster), "--json"]));
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    status["sessions"].as_array().expect("a list").len()
}

/// Lets a writer of `file` die when the answer to its call of that number is there.
fn write_and_die(cluster: &Cluster, file: &str, call: u32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crash-writer"));
    command.arg(cluster.manager()).arg(cluster.identity()).args(["show", file, &call.to_string(), "after"]);
    assert!(run(command).stdout.is_empty(), "it died");
}

#[test]
fn a_writer_that_died_before_its_ticket_leaves_orphans_and_gc_removes_them() {
    let mut cluster = Cluster::start(2, 2);
    cluster.create_volume("show", SHAPE);
    let mount = cluster.mount("show");
    let content = Random::new(5).bytes(500_000);
    for file in ["a", "b"] {
        fs::write(mount.path().join(file), &content).expect("written");
    }
    mount.unmount();
    let whole = fsck(&cluster, true);
    assert_eq!((count(&whole, "orphans"), count(&whole, "of_open_sessions")), ((0, 0), (0, 0)), "{whole}");

    // One died behind its first page, the other behind its ticket: that one's update is finished by a helper.
    write_and_die(&cluster, "a", 0);
    let alive = fsck(&cluster, true);
    let stored = count(&alive, "of_open_sessions").0;
    assert!(stored > 0, "its lease has not lapsed: {alive}");
    succeed(cluster.weft(&["gc", &cluster.url("show")]));
    assert_eq!(count(&fsck(&cluster, true), "of_open_sessions").0, stored, "a sweep leaves alone what open sessions stored");

    // It lapses when as much time has passed as `until` waits.
    std::thread::sleep(SESSION_LEASE / 2);
    until("the dead writer's session to lapse", || (sessions(&cluster) == 0).then_some(()));
    let orphaned = fsck(&cluster, false);
    assert_eq!((count(&orphaned, "orphans"), count(&orphaned, "of_open_sessions")), ((stored, 0), (0, 0)), "{orphaned}");
    let one_volume = run(cluster.weft(&["fsck", &cluster.url("show"), "--json"]));
    let one_volume: serde_json::Value = serde_json::from_slice(&one_volume.stdout).expect("JSON");
    assert_eq!(
        (count(&one_volume, "orphans"), count(&one_volume, "unknown")),
        ((0, 0), (stored, 0)),
        "other volumes may need them"
    );
    let swept = succeed(cluster.weft(&["gc", &cluster.url("show")]));
    assert!(swept.contains(&format!("{stored} orphaned page objects")), "{swept}");
    let clean = fsck(&cluster, true);
    assert_eq!(clean["objects"], whole["objects"], "{clean}");
    let mount = cluster.mount("show");
    for file in ["a", "b"] {
        assert!(fs::read(mount.path().join(file)).expect("read") == content, "{file}");
    }
}

#[test]
fn copies_that_were_away_when_their_version_was_collected_are_swept_when_they_are_back() {
    let mut cluster = Cluster::start(2, 3);
    cluster.create_volume("show", SHAPE);
    let mount = cluster.mount("show");
    let mut random = Random::new(9);
    let mut content = Vec::new();
    for _ in 0..6 {
        content = random.bytes(8 * PAGE);
        fs::write(mount.path().join("frame"), &content).expect("written");
    }
    mount.unmount();
    let url = cluster.url("show");
    succeed(cluster.weft(&["retention", "set", &url, "--keep-all", "0s", "--force"]));
    let whole = whole_cluster(&cluster);
    cluster.server("data1").kill();
    until("the provider to be dead", || {
        let status = succeed(cluster.weft(&["status", &whole, "--json"]));
        status.contains("\"dead\"").then_some(())
    });
    succeed(cluster.weft(&["gc", &url]));
    cluster.restart_killed();
    let report = fsck(&cluster, false);
    assert!(count(&report, "orphans").0 > 0, "what the dead provider had of old versions: {report}");
    assert_eq!(report["affected"].as_array().map(Vec::len), Some(0), "{report}");
    succeed(cluster.weft(&["gc", &url]));
    let report = fsck(&cluster, true);
    assert_eq!(count(&report, "orphans"), (0, 0), "{report}");
    let mount = cluster.mount("show");
    assert!(fs::read(mount.path().join("frame")).expect("read") == content);
}

#[test]
fn the_pages_of_a_slow_writer_survive_a_sweep() {
    let mut cluster = Cluster::start(2, 2);
    cluster.create_volume("show", SHAPE);
    let mount = cluster.mount("show");
    fs::write(mount.path().join("frame"), b"before").expect("written");
    let content = Random::new(4).bytes(PAGE);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let (client, volume, object) = runtime.block_on(async {
        let identity = Identity::load(Path::new(&cluster.identity()), Holder::Client).expect("an identity");
        let rpc = Arc::new(QuicRpc::new(&identity).expect("a network"));
        let managers = vec![Address(cluster.manager().to_owned())];
        let client = weft_common::client::Cluster::connect(rpc, managers, ClientOptions::default()).await.expect("connected");
        let volume = client.open_volume("show").await.expect("a volume");
        let object = volume.put_object(content.clone().into()).await.expect("stored");
        (client, volume, object)
    });
    assert_eq!(count(&fsck(&cluster, true), "of_open_sessions"), (2, 0), "two copies of what is not published");
    for _ in 0..2 {
        succeed(cluster.weft(&["gc", &cluster.url("show")]));
    }
    runtime.block_on(async {
        let name = FileName::new("frame").expect("a name");
        let found = volume.query(At::Head, Query::LookUp { parent: ROOT_INODE, name }).await.expect("the file");
        let NamespaceAnswer::Attributes(attributes) = found else { panic!("{found:?}") };
        let extent = DataExtent { offset: 0, length: object.length, object: 0, object_offset: 0 };
        let update = Update { objects: vec![object], data: vec![extent], ..Update::default() };
        let (operation, author) = (Operation::Write(update), Author::default());
        let request = PublishRequest { inode: attributes.inode, operation, modified: Timestamp(1), author, only_in: None };
        volume.publish(request).await.expect("published");
        client.close().await.expect("closed");
    });
    let report = fsck(&cluster, true);
    assert_eq!((count(&report, "of_open_sessions"), count(&report, "orphans")), ((0, 0), (0, 0)), "{report}");
    assert!(until("the new content", || Some(fs::read(mount.path().join("frame")).expect("read") == content)), "bytes");
}
