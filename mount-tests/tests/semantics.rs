//! `fs/SEMANTICS.md`, promise by promise: each section has the test of its name here, and there is no test without a section.

mod semantics {
    mod atomicity;
    mod attributes;
    mod durability;
    mod locks;
    mod rest;
    mod visibility;
}

use std::collections::BTreeSet;
use std::path::PathBuf;
use weft_mount_tests::cluster::{Cluster, Shape};
use weft_mount_tests::mount::Mount;

/// Two mounts of one volume.
struct Two {
    a: Mount,
    b: Mount,
    _cluster: Cluster,
}

impl Two {
    fn start() -> Self {
        Self::with(&[])
    }

    fn with(options: &[&str]) -> Self {
        let mut cluster = Cluster::start(1, 1);
        cluster.create_volume("show", Shape { page_kib: 64, fan_out: 32, copies: 1 });
        let (a, b) = (cluster.mount_with("show", options), cluster.mount_with("show", options));
        Self { a, b, _cluster: cluster }
    }

    fn a(&self, name: &str) -> PathBuf {
        self.a.path().join(name)
    }

    fn b(&self, name: &str) -> PathBuf {
        self.b.path().join(name)
    }
}

fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> i32 {
    result.expect_err("a refusal").raw_os_error().expect("an error of the system")
}

/// Headings of the second level, as names of functions.
fn promises(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter_map(|line| line.strip_prefix("## "));
    headings.map(|heading| heading.to_lowercase().replace([' ', '-'], "_")).collect()
}

#[test]
fn every_promise_has_its_test_and_every_test_its_promise() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let promised = promises(&std::fs::read_to_string(folder.join("../fs/SEMANTICS.md")).expect("the document"));
    let mut tested = BTreeSet::new();
    for file in std::fs::read_dir(folder.join("tests/semantics")).expect("the tests") {
        let text = std::fs::read_to_string(file.expect("a file").path()).expect("its text");
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if line == "#[test]" {
                let name = lines.next().and_then(|line| line.strip_prefix("fn ")).and_then(|line| line.split('(').next());
                tested.insert(name.expect("a function behind #[test]").to_owned());
            }
        }
    }
    assert!(promised.len() > 25, "{promised:?}");
    assert_eq!(promised, tested);
}
