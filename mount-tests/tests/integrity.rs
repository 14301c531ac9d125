//! `weft verify` on a real cluster: every damaged copy is named, and whether another one is whole.

use std::fs;
use weft_mount_tests::cluster::{Cluster, Shape};
use weft_mount_tests::damage::damage_page;
use weft_mount_tests::process::{run, succeed};
use weft_mount_tests::random::Random;

const PAGE: usize = 64 << 10;
const SHAPE: Shape = Shape { page_kib: 64, fan_out: 2, copies: 2 };

fn json(cluster: &Cluster, arguments: &[&str], is_whole: bool) -> serde_json::Value {
    let output = run(cluster.weft(arguments));
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(i32::from(!is_whole)), "{arguments:?}: {error}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|cause| panic!("{arguments:?}: {cause}\n{error}"))
}

#[test]
fn verify_names_each_damaged_copy_and_what_of_it_is_lost() {
    let mut cluster = Cluster::start(2, 2);
    cluster.create_volume("show", SHAPE);
    let mount = cluster.mount("show");
    let mut random = Random::new(11);
    let pages: Vec<Vec<u8>> = (0..4).map(|_| random.bytes(PAGE)).collect();
    fs::create_dir(mount.path().join("shots")).expect("a folder");
    fs::write(mount.path().join("shots/frame"), pages.concat()).expect("written");
    fs::write(mount.path().join("shots/other"), b"untouched").expect("written");
    let url = cluster.url("show");
    let first = json(&cluster, &["log", &url, "--json"], true)[0]["version"].as_u64().expect("a version");
    fs::write(mount.path().join("shots/frame"), random.bytes(2 * PAGE)).expect("written over");
    mount.unmount();

    let whole = json(&cluster, &["verify", &url, "--json"], true);
    assert_eq!((whole["files"].as_u64(), whole["objects"].as_u64()), (Some(2), Some(3)), "{whole}");
    let at = first.to_string();
    let old = json(&cluster, &["verify", &url, "--at", &at, "--json"], true);
    assert_eq!(old["objects"].as_u64(), Some(5), "the version before: {old}");

    // One copy of the second page, both copies of the third.
    assert_eq!(damage_page(&cluster, "data1", &pages[1]), 1);
    assert_eq!(damage_page(&cluster, "data1", &pages[2]) + damage_page(&cluster, "data2", &pages[2]), 2);
    json(&cluster, &["verify", &url, "--json"], true);
    let report = json(&cluster, &["verify", &format!("{url}/shots"), "--at", &at, "--json"], false);
    let damaged = report["damaged"].as_array().expect("a list");
    assert_eq!(damaged.len(), 1, "{report}");
    assert_eq!((damaged[0]["path"].as_str(), damaged[0]["lost"].as_bool()), (Some("/shots/frame"), Some(true)), "{report}");
    let faults: Vec<_> = damaged[0]["faults"].as_array().expect("a list").iter().collect();
    let summary: Vec<_> = faults
        .iter()
        .map(|fault| (fault["offset"].as_u64(), fault["whole_copies"].as_u64(), fault["bad_copies"].as_array().map(Vec::len)))
        .collect();
    let page = PAGE as u64;
    assert_eq!(summary, [(Some(page), Some(1), Some(1)), (Some(2 * page), Some(0), Some(2))], "{report}");
    assert_eq!(faults[0]["bad_copies"][0]["state"], "damaged", "{report}");
    // The same seen from the whole volume: which versions it concerns.
    let fsck = json(&cluster, &["fsck", &url, "--json"], false);
    let affected = fsck["affected"].as_array().expect("a list");
    assert_eq!((affected.len(), fsck["faults"].as_array().map(Vec::len)), (1, Some(2)), "{fsck}");
    let row = (affected[0]["path"].as_str(), affected[0]["first_version"].as_u64(), affected[0]["lost"].as_bool());
    assert_eq!(row.0, Some("/shots/frame"), "{fsck}");
    assert!(row.1 <= Some(first) && affected[0]["last_version"].as_u64() >= Some(first) && row.2 == Some(true), "{fsck}");
    let text = run(cluster.weft(&["verify", &url, "--at", &at]));
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(
        text.contains("/shots/frame") && text.contains("another copy is whole") && text.contains("no copy is whole"),
        "{text}"
    );
}

#[test]
fn verify_tells_a_provider_that_is_away_from_one_that_is_damaged() {
    let mut cluster = Cluster::start(2, 2);
    cluster.create_volume("show", SHAPE);
    let mount = cluster.mount("show");
    fs::write(mount.path().join("frame"), Random::new(3).bytes(PAGE)).expect("written");
    mount.unmount();
    let url = cluster.url("show");
    succeed(cluster.weft(&["verify", &url]));
    cluster.server("data2").kill();
    let report = json(&cluster, &["verify", &url, "--json"], false);
    let fault = &report["damaged"][0]["faults"][0];
    assert_eq!(fault["bad_copies"][0]["state"], "unreachable", "{report}");
    assert_eq!((fault["whole_copies"].as_u64(), report["damaged"][0]["lost"].as_bool()), (Some(1), Some(false)), "{report}");
}
