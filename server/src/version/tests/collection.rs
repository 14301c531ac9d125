//! What is offered for collection, and when.

use super::{Cluster, kind, name};
use crate::version::command::Action;
use crate::version::namespace::{self, Readers};
use weft_common::id::{BlobId, BlobVersion, InodeNumber, ROOT_INODE, VolumeVersion};
use weft_common::limits::COLLECTIONS_OFFERED_MAX;
use weft_common::retention::Retention;
use weft_common::weave::Operation;
use weft_common::wire::*;

impl Cluster {
    fn publish(&mut self, inode: InodeNumber, length: u32) -> BlobId {
        let ticket = self.write(inode, 0, length);
        self.commit(ticket.blob, ticket.entry.version.0).unwrap();
        ticket.blob
    }

    fn thin(&mut self, first: u64, last: u64) -> u64 {
        let range = VersionRange { first: VolumeVersion(first), last: VolumeVersion(last) };
        match self.act(Action::Thin { volume: self.volume, directory: ROOT_INODE, ranges: vec![range] }).unwrap() {
            Reply::History(HistoryReply::Thinned { versions }) => versions,
            other => panic!("{other:?}"),
        }
    }

    /// Collects everything that can be, as (blob, dropped, older, newer) in order.
    fn collect_all(&mut self) -> Vec<(u64, u64, u64, Option<u64>)> {
        let mut collected = Vec::new();
        loop {
            let (jobs, more) = self.collect(self.volume, u64::MAX);
            if jobs.is_empty() && !more {
                return collected;
            }
            for CollectionJob { dropped, older, newer } in jobs {
                let newer = newer.map(|newer| newer.version.0);
                collected.push((dropped.blob.number, dropped.version.0, older.0, newer));
                self.act(Action::Collected(dropped.blob, dropped.version)).unwrap();
            }
        }
    }

    fn kept(&self) -> Vec<u64> {
        let (versions, _) = namespace::kept(self.machine.kv(), self.volume, ROOT_INODE, VolumeVersion(0), 1000).unwrap();
        versions.into_iter().map(|(version, _)| version.0).collect()
    }

    fn query(&self, at: At, query: &Query) -> Result<NamespaceAnswer, ServiceError> {
        match namespace::query(self.machine.kv(), self.volume, at, query) {
            Ok(answer) => Ok(answer),
            Err(namespace::NamespaceError::Service(error)) => Err(error),
            Err(other) => panic!("{other}"),
        }
    }

    fn size_at(&self, version: u64, inode: InodeNumber) -> Result<u64, ServiceError> {
        match self.query(At::Version(VolumeVersion(version)), &Query::Attributes(inode))? {
            NamespaceAnswer::Attributes(attributes) => Ok(attributes.size),
            other => panic!("{other:?}"),
        }
    }

    fn tag(&mut self, name: &str, version: u64) -> Result<ChangeReply, ServiceError> {
        self.change(Change::SetTag { name: name.into(), version: VolumeVersion(version) })
    }
}

#[test]
fn thinned_versions_go_when_nobody_reads_them_and_kept_ones_stay_as_they_were() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let blob = cluster.publish(inode, 10).number;
    for length in [20, 30, 40, 50] {
        cluster.publish(inode, length);
    }
    assert_eq!(cluster.kept(), [1, 2, 3, 4, 5, 6]);
    cluster.tag("good", 4).unwrap();
    assert_eq!(cluster.thin(1, 99), 4, "neither the newest nor one with a tag");
    assert_eq!(cluster.kept(), [4, 6]);
    assert_eq!(cluster.thin(2, 5), 0, "thinned already");
    assert!(cluster.query(At::Head, &Query::Version { directory: ROOT_INODE, version: VolumeVersion(3) }).is_err());
    assert_eq!(kind(cluster.tag("late", 3)), ErrorKind::NotFound);
    // Who reads it goes on until everybody is known to have let go.
    let thinned_at = cluster.machine.epoch() - 2;
    assert_eq!(cluster.size_at(3, inode).unwrap(), 20);
    assert_eq!(cluster.collect(cluster.volume, thinned_at - 1), (vec![], false));
    let reader = Readers { through: u64::MAX, versions: vec![VolumeVersion(3)], ..Readers::default() };
    cluster.collect_with(cluster.volume, reader);
    assert_eq!(cluster.size_at(3, inode).unwrap(), 20);
    assert_eq!(kind(cluster.size_at(5, inode)), ErrorKind::Stale);
    // Versions 2, 3 and 5 show 10, 20 and 40 bytes: blob versions 1, 2 and 4.
    let mut collected = cluster.collect_all();
    // What a step purged first is collected first: the order is nobody's promise, but each between the neighbours that it had then.
    collected.sort_unstable();
    assert_eq!(collected, [(blob, 1, 0, Some(2)), (blob, 2, 0, Some(3)), (blob, 4, 3, Some(5))]);
    assert_eq!(kind(cluster.size_at(3, inode)), ErrorKind::Stale);
    assert_eq!((cluster.size_at(4, inode).unwrap(), cluster.size_at(6, inode).unwrap()), (30, 50));
    assert_eq!(cluster.collect_all(), []);
    // Times find what is kept.
    let NamespaceAnswer::Version(before) = cluster
        .query(At::Head, &Query::VersionAt { directory: ROOT_INODE, time: weft_common::time::Timestamp(i64::MAX) })
        .unwrap()
    else {
        panic!()
    };
    assert_eq!(before.0, 6);
}

/// What cannot be collected, as a server is away, does not keep the others from being offered.
#[test]
fn blobs_are_offered_behind_those_that_were_offered_before() {
    let mut cluster = Cluster::new(1);
    let files = COLLECTIONS_OFFERED_MAX + 6;
    for file in 0..files {
        let inode = cluster.create(&format!("f{file}"));
        cluster.publish(inode, 10);
        cluster.publish(inode, 20);
    }
    cluster.thin(1, 9999);
    let readers = Readers { through: u64::MAX, ..Readers::default() };
    while cluster.collect_behind(cluster.volume, 0, readers.clone()).1 {}
    let (first, _, next) = cluster.collect_behind(cluster.volume, 0, readers.clone());
    assert_eq!((first.len(), next), (COLLECTIONS_OFFERED_MAX, first.last().map(|job| job.dropped.blob.number)));
    let (again, _, _) = cluster.collect_behind(cluster.volume, 0, readers.clone());
    assert_eq!(again, first, "nobody collected them");
    let (rest, _, end) = cluster.collect_behind(cluster.volume, next.unwrap(), readers);
    // The newest version of the last file is the volume's newest, and kept; so is everything that it shows.
    assert_eq!((rest.len(), end), (6, None));
    assert!(rest.iter().all(|job| first.iter().all(|other| other.dropped.blob != job.dropped.blob)));
}

#[test]
fn a_content_that_is_read_is_not_offered() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let blob = cluster.publish(inode, 10);
    cluster.publish(inode, 20);
    cluster.publish(inode, 30);
    cluster.thin(1, 3);
    let mut readers = Readers { through: u64::MAX, ..Readers::default() };
    readers.contents.insert((blob, BlobVersion(1)));
    while cluster.collect_with(cluster.volume, readers.clone()).1 {}
    let (jobs, _) = cluster.collect_with(cluster.volume, readers.clone());
    assert_eq!(jobs.iter().map(|job| job.dropped.version.0).collect::<Vec<_>>(), [2], "the other one is read");
    assert_eq!(jobs[0].older.0, 1, "what is read is a neighbour");
    readers.everything = true;
    assert_eq!(cluster.collect_with(cluster.volume, readers).0, []);
    assert_eq!(cluster.collect_all().len(), 2);
}

#[test]
fn who_knows_that_a_version_is_thinned_is_waited_for_once() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let blob = cluster.publish(inode, 10);
    cluster.publish(inode, 20);
    cluster.publish(inode, 30);
    cluster.thin(1, 3);
    let thinned = cluster.machine.epoch();
    assert_eq!(crate::version::garbage::let_go_last(cluster.machine.kv()).unwrap(), thinned);
    let offered = |cluster: &mut Cluster, readers: &Readers| {
        let mut offered = Vec::new();
        while let (jobs, true) = cluster.collect_with(cluster.volume, readers.clone()) {
            offered.extend(jobs.iter().map(|job| job.dropped.version.0));
        }
        offered
    };
    let mut readers = Readers { through: thinned - 1, ..Readers::default() };
    assert_eq!(offered(&mut cluster, &readers), [0u64; 0]);
    // Somebody uses the version, through which he may come to its content; somebody else has come to the other.
    (readers.through, readers.versions) = (thinned, vec![VolumeVersion(2)]);
    readers.contents.insert((blob, BlobVersion(2)));
    assert_eq!(offered(&mut cluster, &readers), [0u64; 0]);
    // He has taken hold of the content and let go of the version.
    readers.versions.clear();
    readers.contents.insert((blob, BlobVersion(1)));
    assert_eq!(offered(&mut cluster, &readers), [0u64; 0]);
    // All that happened since the thinning is no reason to wait: everybody knows through that.
    readers.contents.clear();
    assert_eq!(readers.through, thinned);
    assert_eq!(offered(&mut cluster, &readers)[0], 1);
}

#[test]
fn a_reader_of_one_version_keeps_none_of_its_neighbours() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    (1..=6).for_each(|length| _ = cluster.publish(inode, length));
    assert_eq!(cluster.thin(1, 6), 6, "in one range");
    let readers = Readers { through: u64::MAX, versions: vec![VolumeVersion(3), VolumeVersion(3)], ..Readers::default() };
    let mut gone = Vec::new();
    while let (jobs, true) = cluster.collect_with(cluster.volume, readers.clone()) {
        for job in jobs {
            gone.push(job.dropped.version.0);
            cluster.act(Action::Collected(job.dropped.blob, job.dropped.version)).unwrap();
        }
    }
    // Version 3 shows blob version 2.
    assert_eq!(cluster.size_at(3, inode).unwrap(), 2);
    assert_eq!(kind(cluster.size_at(4, inode)), ErrorKind::Stale);
    let (mut jobs, _) = cluster.collect_with(cluster.volume, readers);
    gone.extend(jobs.drain(..).map(|job| job.dropped.version.0));
    assert!(!gone.contains(&2) && gone.contains(&1), "{gone:?}");
    cluster.collect_all();
    assert_eq!(kind(cluster.size_at(3, inode)), ErrorKind::Stale);
}

#[test]
fn a_manager_that_knows_no_readers_yet_collects_nothing_of_purged_versions() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    cluster.publish(inode, 10);
    cluster.publish(inode, 20);
    cluster.thin(1, 2);
    let thinned = cluster.machine.epoch();
    // Everybody knew, and one had hold of the content; then the manager was started anew.
    let mut readers = Readers { through: thinned, ..Readers::default() };
    readers.contents.insert((cluster.attributes(inode).tree.unwrap().blob, BlobVersion(1)));
    while cluster.collect_with(cluster.volume, readers.clone()).1 {}
    assert_eq!(cluster.collect(cluster.volume, 0), (vec![], true), "what is not used by then is noted");
    assert_eq!(cluster.collect(cluster.volume, 0), (vec![], false));
    assert_eq!(cluster.collect(cluster.volume, thinned).0.len(), 1);
}

#[test]
fn a_file_without_a_name_goes_when_it_is_closed_and_no_version_shows_it() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let blob = cluster.publish(inode, 10);
    cluster.change(Change::Unlink { parent: ROOT_INODE, name: name("f") }).unwrap();
    // Whoever has it open writes on; what was there before is shown by the past only.
    cluster.publish(inode, 20);
    cluster.publish(inode, 30);
    let mut readers = Readers { through: u64::MAX, ..Readers::default() };
    readers.inodes.insert(inode);
    let (jobs, _) = cluster.collect_with(cluster.volume, readers.clone());
    assert_eq!(jobs.iter().map(|job| job.dropped.version.0).collect::<Vec<_>>(), [2], "it left no past, and 3 replaced it");
    assert_eq!(cluster.attributes(inode).size, 30);
    assert_eq!(cluster.collect_all(), [(blob.number, 2, 1, Some(3)), (blob.number, 3, 1, None)], "the past shows version 1");
    assert!(namespace::head_attributes(cluster.machine.kv(), cluster.volume, inode).unwrap().is_none());
    assert_eq!(cluster.size_at(2, inode).unwrap(), 10);
    cluster.create("g");
    cluster.thin(1, 3);
    assert_eq!(cluster.collect_all(), [(blob.number, 1, 0, None)]);
    assert!(cluster.commit(blob, 1).is_err(), "the blob is forgotten");
}

#[test]
fn a_clone_keeps_what_it_began_with() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let origin = cluster.publish(inode, 10);
    cluster.publish(inode, 20);
    let restore = Change::Restore { parent: ROOT_INODE, name: name("f"), source: ROOT_INODE, to: VolumeVersion(2) };
    cluster.change(restore).unwrap();
    let clone = cluster.publish(inode, 5);
    assert_ne!(clone, origin);
    cluster.thin(1, 4);
    // Of the origin version 2 goes; version 1 is what the clone began with.
    assert_eq!(cluster.collect_all(), [(origin.number, 2, 1, None)]);
    cluster.change(Change::Unlink { parent: ROOT_INODE, name: name("f") }).unwrap();
    cluster.create("g");
    cluster.thin(1, 99);
    assert_eq!(cluster.collect_all(), [(clone.number, 1, 0, None), (origin.number, 1, 0, None)], "the clone first");
}

fn clone(cluster: &mut Cluster, source: InodeNumber, at: At, to: &str) -> InodeNumber {
    let change = Change::Clone { source, at, parent: ROOT_INODE, name: name(to) };
    cluster.change(change).unwrap().attributes.unwrap().inode
}

fn unlink(cluster: &mut Cluster, file: &str) {
    cluster.change(Change::Unlink { parent: ROOT_INODE, name: name(file) }).unwrap();
}

#[test]
fn the_origin_of_clones_stays_until_the_last_of_them_is_gone() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let origin = cluster.publish(inode, 10);
    let then = VolumeVersion(cluster.latest());
    cluster.publish(inode, 20);
    let first = clone(&mut cluster, inode, At::Version(then), "first");
    // A clone of a clone that nobody wrote to begins where that one begins.
    clone(&mut cluster, first, At::Head, "second");
    unlink(&mut cluster, "f");
    unlink(&mut cluster, "first");
    cluster.create("g");
    cluster.thin(1, 99);
    assert_eq!(cluster.collect_all(), [(origin.number, 2, 1, None)], "version 1 is the second clone's");
    let second = match cluster.query(At::Head, &Query::LookUp { parent: ROOT_INODE, name: name("second") }).unwrap() {
        NamespaceAnswer::Attributes(second) => second,
        other => panic!("{other:?}"),
    };
    assert_eq!((second.size, second.tree.unwrap().root.unwrap().blob), (10, origin.number));
    let second_blob = cluster.publish(second.inode, 5);
    unlink(&mut cluster, "second");
    cluster.create("h");
    cluster.thin(1, 99);
    assert_eq!(cluster.collect_all(), [(second_blob.number, 1, 0, None), (origin.number, 1, 0, None)]);
    assert!(cluster.commit(origin, 1).is_err(), "nothing is left of it");
}

#[test]
fn a_clone_that_is_read_holds_its_origin() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let origin = cluster.publish(inode, 10);
    let copy = clone(&mut cluster, inode, At::Head, "copy");
    let copied = cluster.attributes(copy).tree.unwrap();
    unlink(&mut cluster, "f");
    unlink(&mut cluster, "copy");
    cluster.create("g");
    cluster.thin(1, 99);
    let mut readers = Readers { through: u64::MAX, ..Readers::default() };
    readers.contents.insert((copied.blob, copied.version));
    for _ in 0..5 {
        assert_eq!(cluster.collect_with(cluster.volume, readers.clone()).0, []);
    }
    assert_eq!(cluster.collect_all(), [(origin.number, 1, 0, None)]);
}

#[test]
fn shared_content_is_pinned_and_what_it_replaced_goes() {
    let mut cluster = Cluster::new(1);
    let (from, to) = (cluster.create("from"), cluster.create("to"));
    let origin = cluster.publish(from, 10);
    let replaced = cluster.publish(to, 20);
    let pair = |cluster: &Cluster, inode| cluster.attributes(inode).tree.map(|tree| (tree.blob, tree.version)).unwrap();
    let (content, replaces) = (pair(&cluster, from), pair(&cluster, to));
    let modified = weft_common::time::Timestamp(1);
    let share = Change::ShareContent { source: from, at: At::Head, content, inode: to, replaces, modified };
    // Somebody else's update is in flight: it must not vanish.
    let ticket = cluster.write(to, 50, 1);
    assert_eq!(kind(cluster.change(share.clone())), ErrorKind::Conflict);
    cluster.commit(replaced, ticket.entry.version.0).unwrap();
    let replaces = pair(&cluster, to);
    cluster.change(Change::ShareContent { source: from, at: At::Head, content, inode: to, replaces, modified }).unwrap();
    unlink(&mut cluster, "from");
    cluster.create("g");
    cluster.thin(1, 99);
    assert_eq!(cluster.collect_all(), [(replaced.number, 1, 0, Some(2)), (replaced.number, 2, 0, None)]);
    assert_eq!(cluster.attributes(to).size, 10);
    unlink(&mut cluster, "to");
    // Whoever has it open gives it other content: what it had leaves no past, but the version that shows it.
    cluster.create("h");
    let other = cluster.create("other");
    let other_blob = cluster.publish(other, 30);
    let (content, replaces) = (pair(&cluster, other), pair(&cluster, to));
    cluster.change(Change::ShareContent { source: other, at: At::Head, content, inode: to, replaces, modified }).unwrap();
    cluster.thin(1, 99);
    assert_eq!(cluster.collect_all(), [(origin.number, 1, 0, None)]);
    assert_eq!(cluster.attributes(other).tree.unwrap().blob, other_blob);
}

#[test]
fn a_removed_volume_with_clones_is_collected_to_the_last_blob() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let origin = cluster.publish(inode, 10);
    clone(&mut cluster, inode, At::Head, "never-written");
    cluster.act(Action::Volume(VolumeRequest::Remove("show".into()))).unwrap();
    assert_eq!(cluster.collect_all(), [(origin.number, 1, 0, None)]);
}

#[test]
fn many_files_without_a_name_are_let_go_whoever_has_the_first_ones_open() {
    let mut cluster = Cluster::new(1);
    let files: Vec<_> = (0..1200).map(|index| cluster.create(&index.to_string())).collect();
    (0..1200).for_each(|index| unlink(&mut cluster, &index.to_string()));
    let inodes = files[..1100].iter().copied().collect();
    let readers = Readers { through: u64::MAX, inodes, ..Readers::default() };
    while cluster.collect_with(cluster.volume, readers.clone()).1 {}
    let left = namespace::orphans(cluster.machine.kv(), cluster.volume, InodeNumber(0), usize::MAX).unwrap();
    assert_eq!(left.into_iter().map(|(inode, _)| inode).collect::<Vec<_>>(), files[..1100]);
}

#[test]
fn a_compaction_replaces_a_tree_that_nothing_shows() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let blob = cluster.publish(inode, 10);
    let update = cluster.update(0, 10);
    let ticket = cluster.ticket(inode, Operation::Compact { blob, read_at: BlobVersion(1), update }).unwrap();
    cluster.commit(blob, ticket.entry.version.0).unwrap();
    assert_eq!(cluster.collect_all(), [(blob.number, 1, 0, Some(2))]);
    let update = cluster.update(0, 10);
    let late = cluster.ticket(inode, Operation::Compact { blob, read_at: BlobVersion(0), update });
    assert_eq!(kind(late), ErrorKind::Conflict, "entries that are collected cannot be checked");
    assert_eq!(cluster.attributes(inode).size, 10);
}

/// Each compaction marks its blob, and everybody is always one round behind with letting go.
#[test]
fn a_file_that_is_compacted_all_the_time_is_collected_all_the_same() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let blob = cluster.publish(inode, 10);
    let (mut before, mut through, mut collected) = (0, 0, Vec::new());
    for newest in 1..20 {
        let update = cluster.update(0, 10);
        let compaction = Operation::Compact { blob, read_at: BlobVersion(newest), update };
        let ticket = cluster.ticket(inode, compaction).unwrap();
        cluster.commit(blob, ticket.entry.version.0).unwrap();
        for job in cluster.collect(cluster.volume, through).0 {
            assert!(job.dropped.version.0 < newest, "what was let go of in this round may be in use");
            cluster.act(Action::Collected(blob, job.dropped.version)).unwrap();
            collected.push(job.dropped.version.0);
        }
        (through, before) = (before, cluster.machine.epoch());
    }
    assert!(collected.len() >= 8 && collected.is_sorted(), "{collected:?}");
}

#[test]
fn a_version_that_is_woven_on_stays() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let blob = cluster.publish(inode, 10);
    let ticket = cluster.write(inode, 3, 4);
    cluster.change(Change::Unlink { parent: ROOT_INODE, name: name("f") }).unwrap();
    cluster.create("g");
    cluster.thin(1, 99);
    assert_eq!(cluster.collect_all(), [], "version 2 is in flight and refers to version 1");
    cluster.commit(blob, ticket.entry.version.0).unwrap();
    assert_eq!(cluster.collect_all(), [(blob.number, 1, 0, Some(2)), (blob.number, 2, 0, None)]);
}

#[test]
fn a_removed_volume_is_collected_to_the_last_blob() {
    let mut cluster = Cluster::new(1);
    let (f, g) = (cluster.create("f"), cluster.create("g"));
    let (first, second) = (cluster.publish(f, 10), cluster.publish(g, 20));
    cluster.act(Action::Volume(VolumeRequest::Remove("show".into()))).unwrap();
    assert_eq!(cluster.collect_all(), [(first.number, 1, 0, None), (second.number, 1, 0, None)]);
}

#[test]
fn the_policy_is_kept_with_the_volume() {
    let mut cluster = Cluster::new(1);
    let policy = Retention { hourly: 24, keep_all: Some(std::time::Duration::from_secs(60)), ..Retention::default() };
    cluster.act(Action::SetPolicy { volume: cluster.volume, directory: ROOT_INODE, policy: Some(policy) }).unwrap();
    assert_eq!(namespace::policies(cluster.machine.kv(), cluster.volume).unwrap(), [(ROOT_INODE, policy)]);
}

/// Some of its nodes may be gone: an older version that was compared with it would meet holes in a tree that should be whole.
#[test]
fn a_version_that_was_offered_is_no_others_neighbour() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let blob = cluster.publish(inode, 10).number;
    for length in [20, 30, 40] {
        cluster.publish(inode, length);
    }
    let offered = |cluster: &mut Cluster| {
        let (jobs, _) = cluster.collect(cluster.volume, u64::MAX);
        jobs.iter().map(|job| job.dropped.version.0).collect::<Vec<_>>()
    };
    cluster.thin(3, 3);
    while offered(&mut cluster).is_empty() {}
    cluster.thin(2, 2);
    for _ in 0..3 {
        assert_eq!(offered(&mut cluster), [2], "it was begun, and is not said to be done");
    }
    assert_eq!(cluster.collect_all(), [(blob, 2, 1, Some(3)), (blob, 1, 0, Some(3))]);
}
