//! Concurrent writers of several files, commits in any order, repeats, helpers: against a model that is just the rules.
//!
//! I3: published is the longest committed prefix, and never falls. I6: sizes chain over assigned versions. N is dense and goes with
//! the order of publishing. I2 is the writers' part; here it means that nothing is published that was not committed.

use super::Cluster;
use crate::version::blobs;
use proptest::prelude::*;
use weft_common::id::{BlobId, BlobVersion, InodeNumber};
use weft_common::weave::{Operation, Update};
use weft_common::wire::{BlobReply, ErrorKind};

#[derive(Clone, Debug)]
enum Step {
    Write {
        file: usize,
        offset: u64,
        length: u32,
    },
    Append {
        file: usize,
        length: u32,
    },
    Cut {
        file: usize,
        size: u64,
    },
    /// Commits the version at this place of those assigned and not committed, a helper or a repeat of any.
    Commit {
        file: usize,
        place: usize,
    },
    Repeat {
        file: usize,
        place: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let file = 0usize..3;
    prop_oneof![
        4 => (file.clone(), 0u64..200_000, 1u32..65_536).prop_map(|(file, offset, length)| Step::Write { file, offset, length }),
        4 => (file.clone(), 1u32..65_536).prop_map(|(file, length)| Step::Append { file, length }),
        1 => (file.clone(), 0u64..200_000).prop_map(|(file, size)| Step::Cut { file, size }),
        8 => (file.clone(), any::<usize>()).prop_map(|(file, place)| Step::Commit { file, place }),
        1 => (file, any::<usize>()).prop_map(|(file, place)| Step::Repeat { file, place }),
    ]
}

#[derive(Debug)]
struct File {
    inode: InodeNumber,
    blob: Option<BlobId>,
    /// Sizes after each version; version 0 is empty.
    sizes: Vec<u64>,
    committed: Vec<bool>,
    published: usize,
}

impl File {
    fn assigned(&mut self, cluster: &mut Cluster, operation: Operation, size: u64, offset: Option<u64>) {
        let ticket = cluster.ticket(self.inode, operation).unwrap();
        let version = self.sizes.len();
        assert_eq!(ticket.entry.version.0 as usize, version);
        assert_eq!(ticket.entry.size, size, "I6");
        assert_eq!(ticket.base.version.0 as usize, self.published);
        assert_eq!(ticket.base.size, self.sizes[self.published]);
        let in_flight: Vec<_> = ticket.in_flight.iter().map(|entry| entry.version.0 as usize).collect();
        assert_eq!(in_flight, (self.published + 1..version).collect::<Vec<_>>());
        if let Some(offset) = offset {
            assert_eq!(ticket.entry.update.data[0].offset, offset, "an append goes where the size before it ends");
        }
        assert!(self.blob.is_none_or(|blob| blob == ticket.blob));
        self.blob = Some(ticket.blob);
        self.sizes.push(size);
        self.committed.push(false);
    }

    fn commit(&mut self, cluster: &mut Cluster, version: usize) {
        let Some(blob) = self.blob else { return };
        let latest = cluster.latest();
        let before = self.published;
        self.committed[version] = true;
        while self.committed.get(self.published + 1) == Some(&true) {
            self.published += 1;
        }
        match cluster.commit(blob, version as u64) {
            Ok(BlobReply::Published { attributes, .. }) => {
                assert!(version <= self.published, "I3: nothing is published before the versions below it");
                assert_eq!(attributes.unwrap().size, self.sizes[self.published]);
            }
            Err(error) => assert!(error.kind == ErrorKind::Busy && version > self.published, "{error}"),
            Ok(other) => panic!("{other:?}"),
        }
        let expected: Vec<_> = (before + 1..=self.published).zip(latest + 1..).map(|(v, n)| (v as u64, Some(n))).collect();
        assert_eq!(cluster.published(), expected, "published in order, each with the next N");
        assert_eq!(cluster.latest(), latest + expected.len() as u64);
    }

    fn check(&self, cluster: &Cluster) {
        let tree = cluster.attributes(self.inode).tree.unwrap();
        assert_eq!((tree.version.0 as usize, tree.size), (self.published, self.sizes[self.published]));
        let Some(blob) = self.blob else { return };
        let mut waiting = Vec::new();
        blobs::waiting(cluster.machine.kv(), &mut |found| {
            if found.blob == blob {
                waiting.push(found.version.0 as usize);
            }
            true
        })
        .unwrap();
        let expected: Vec<_> = (1..self.sizes.len()).filter(|version| !self.committed[*version]).collect();
        assert_eq!(waiting, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn concurrent_writers_are_published_in_the_order_of_their_tickets(steps in proptest::collection::vec(step(), 1..80)) {
        let mut cluster = Cluster::new(1);
        let mut files: Vec<_> = ["a", "b", "c"]
            .map(|name| File { inode: cluster.create(name), blob: None, sizes: vec![0], committed: vec![true], published: 0 })
            .into_iter()
            .collect();
        for step in steps {
            match step {
                Step::Write { file, offset, length } => {
                    let update = cluster.update(offset, length);
                    let size = (offset + u64::from(length)).max(*files[file].sizes.last().unwrap());
                    files[file].assigned(&mut cluster, Operation::Write(update), size, None);
                }
                Step::Append { file, length } => {
                    let update = cluster.update(0, length);
                    let before = *files[file].sizes.last().unwrap();
                    files[file].assigned(&mut cluster, Operation::Append(update), before + u64::from(length), Some(before));
                }
                Step::Cut { file, size } => {
                    let cut = Operation::Write(Update { cut_to: Some(size), ..Update::default() });
                    let size = size.min(*files[file].sizes.last().unwrap());
                    files[file].assigned(&mut cluster, cut, size, None);
                }
                Step::Commit { file, place } => {
                    let waiting: Vec<_> = (1..files[file].sizes.len()).filter(|version| !files[file].committed[*version]).collect();
                    if let Some(version) = (!waiting.is_empty()).then(|| waiting[place % waiting.len()]) {
                        files[file].commit(&mut cluster, version);
                    }
                }
                Step::Repeat { file, place } => {
                    let committed: Vec<_> = (1..files[file].sizes.len()).filter(|version| files[file].committed[*version]).collect();
                    if let Some(version) = (!committed.is_empty()).then(|| committed[place % committed.len()]) {
                        files[file].commit(&mut cluster, version);
                    }
                }
            }
            files.iter().for_each(|file| file.check(&cluster));
        }
        // A helper finishes what dead writers left: every ticket is published.
        let mut left = Vec::new();
        blobs::waiting(cluster.machine.kv(), &mut |waiting| {
            left.push((waiting.blob, waiting.version));
            true
        })
        .unwrap();
        for (blob, BlobVersion(version)) in left {
            let file = files.iter_mut().find(|file| file.blob == Some(blob)).unwrap();
            file.commit(&mut cluster, version as usize);
            file.check(&cluster);
        }
        prop_assert!(files.iter().all(|file| file.published == file.sizes.len() - 1));
    }
}
