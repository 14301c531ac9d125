//! A real process on a real folder, killed while it writes.

use super::{key, options};
use crate::storage::conformance::bytes;
use crate::storage::file::FileStore;
use crate::storage::{NewObject, ObjectStore};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use weft_common::wire::ProviderRole;

const FOLDER: &str = "WEFT_TEST_STORE_FOLDER";

fn length(number: u64) -> usize {
    (number as usize * 7919) % 60_000
}

/// The other process: puts objects from several threads, and tells of each that was acknowledged.
#[test]
#[allow(clippy::print_stdout, reason = "tells its parent")]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let store = FileStore::open(Path::new(&folder), ProviderRole::Data, options()).unwrap();
    let start = store.statistics().unwrap().objects;
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let store = &store;
            scope.spawn(move || {
                for round in 0.. {
                    let number = (start + round) * 4 + thread;
                    store.put(&[NewObject { key: key(number), extra: b"", body: &bytes(number, length(number)) }]).unwrap();
                    println!("\nput {number}");
                }
            });
        }
    });
}

#[test]
fn what_a_killed_process_acknowledged_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<u64> = Vec::new();
    for round in 1..=5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "storage::file::tests::process::child", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let numbers =
            lines.by_ref().filter_map(|line| line.unwrap().strip_prefix("put ").map(|number| number.parse::<u64>().unwrap()));
        acknowledged.extend(numbers.take(100 + round * 37));
        child.kill().unwrap();
        // What it still said before it died counts too; its last line may be cut.
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        let whole = rest.len().saturating_sub(1);
        acknowledged.extend(rest[..whole].iter().filter_map(|line| line.strip_prefix("put ")?.parse::<u64>().ok()));
        child.wait().unwrap();
        let store = FileStore::open(folder.path(), ProviderRole::Data, options()).unwrap();
        for number in &acknowledged {
            assert_eq!(store.get(&key(*number)).unwrap().unwrap().body, bytes(*number, length(*number)), "{number}");
        }
        store.keys(&mut |key| store.verify(key).unwrap()).unwrap();
    }
    assert!(acknowledged.len() > 500);
}
