//! Space adds up: what `weft df` counts is what the providers count, and what lies on their disks.

use std::fs;
use std::os::unix::fs::MetadataExt;
use weft_mount_tests::cluster::{Cluster, Shape};
use weft_mount_tests::damage::segments;
use weft_mount_tests::process::succeed;
use weft_mount_tests::random::Random;

const PAGE: usize = 64 << 10;

/// What a page object of [`PAGE`] takes on a disk: the store begins each at a block, behind a block with its header and checksums.
const RECORD: u64 = PAGE as u64 + 4096;

fn json(cluster: &Cluster, arguments: &[&str]) -> serde_json::Value {
    serde_json::from_str(&succeed(cluster.weft(arguments))).expect("JSON")
}

fn number(value: &serde_json::Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("no number {field} in {value}"))
}

fn sum(volume: &serde_json::Value) -> u64 {
    ["live_bytes", "history_bytes", "waiting_bytes", "in_flight_bytes"].iter().map(|field| number(volume, field)).sum()
}

/// Within one percent, and a little for what stores add to a file.
fn about(one: u64, other: u64) -> bool {
    one.abs_diff(other) * 100 <= one.max(other) + 100 * 4096
}

#[test]
fn what_df_counts_is_what_the_providers_count_and_what_lies_on_their_disks() {
    let mut cluster = Cluster::start(2, 3);
    let mut random = Random::new(21);
    for (volume, copies) in [("single", 1), ("double", 2)] {
        cluster.create_volume(volume, Shape { page_kib: 64, fan_out: 32, copies });
        let mount = cluster.mount(volume);
        for _ in 0..3 {
            fs::write(mount.path().join("frame"), random.bytes(40 * PAGE)).expect("written");
        }
        fs::write(mount.path().join("small"), random.bytes(1000)).expect("written");
        fs::write(mount.path().join("gone"), random.bytes(10 * PAGE)).expect("written");
        fs::remove_file(mount.path().join("gone")).expect("removed");
        mount.unmount();
    }
    let url = cluster.url("double");
    let used = json(&cluster, &["du", &url, "--history", "--json"]);
    assert_eq!((number(&used, "files"), number(&used, "size_bytes")), (2, 40 * PAGE as u64 + 1000), "{used}");
    assert_eq!(number(&used, "live_bytes"), 40 * PAGE as u64 + 1000, "{used}");
    assert_eq!(number(&used, "history_bytes"), 90 * PAGE as u64, "{used}");
    assert_eq!(number(&used, "disk_bytes"), 2 * (130 * PAGE as u64 + 1000), "{used}");
    let small = json(&cluster, &["du", &format!("{url}/small"), "--json"]);
    assert_eq!((number(&small, "live_bytes"), &small["history_bytes"]), (1000, &serde_json::Value::Null), "{small}");

    succeed(cluster.weft(&["retention", "set", &url, "--keep-all", "0s", "--force"]));
    succeed(cluster.weft(&["gc", &url]));
    // Stores that were stopped hold no space that they reserved ahead.
    cluster.restart();
    let whole = format!("weft://{}", cluster.manager());
    let space = json(&cluster, &["df", &whole, "--json"]);
    let volumes = space["volumes"].as_array().expect("volumes");
    let double = volumes.iter().find(|volume| volume["volume"] == "double").expect("the volume");
    let single = volumes.iter().find(|volume| volume["volume"] == "single").expect("the volume");
    assert!(about(number(double, "live_bytes"), 2 * 40 * RECORD), "{double}");
    assert_eq!((number(double, "history_bytes"), number(double, "waiting_bytes")), (0, 0), "{double}");
    assert!(about(number(single, "history_bytes"), 90 * RECORD), "{single}");
    assert_eq!((number(&space, "orphan_bytes"), number(&space, "session_bytes")), (0, 0), "{space}");

    let providers = space["providers"].as_array().expect("providers");
    assert_eq!(providers.len(), 5);
    let (mut needed, mut on_disks) = (0, 0);
    for provider in providers {
        let counted: u64 = provider["volumes"].as_array().expect("volumes").iter().map(sum).sum();
        assert_eq!(counted, number(provider, "used_bytes"), "what its own accounting says: {provider}");
        needed += counted;
        on_disks += counted + number(provider, "overhead_bytes");
    }
    assert_eq!(needed, volumes.iter().map(sum).sum::<u64>(), "by provider and by volume");
    let servers = (1..=3).map(|number| (format!("data{number}"), "data"));
    let servers = servers.chain((1..=2).map(|number| (format!("metadata{number}"), "metadata")));
    let files: u64 = servers
        .flat_map(|(server, role)| segments(&cluster, &server, role))
        .map(|path| fs::metadata(path).expect("a segment").blocks() * 512)
        .sum();
    // What is left of a deleted object is the block with its header.
    assert!(on_disks - needed < 2 * 110 * 2 * 4096, "{} bytes of overhead", on_disks - needed);
    assert!(about(files, on_disks), "{files} bytes in the stores' files, {on_disks} counted");
}
