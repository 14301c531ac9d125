//! Order, sizes, publishing.

use super::{Cluster, kind};
use crate::version::blobs;
use weft_common::id::BlobVersion;
use weft_common::limits::TICKETS_IN_FLIGHT_MAX;
use weft_common::weave::{Operation, Update};
use weft_common::wire::{BlobReply, ErrorKind};

fn grow(size: u64) -> Operation {
    Operation::Write(Update { grow_to: Some(size), ..Update::default() })
}

#[test]
fn a_ticket_tells_what_is_in_flight_between_its_base_and_itself() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let first = cluster.write(inode, 0, 10);
    assert_eq!((first.entry.version.0, first.base.version.0, first.entry.size), (1, 0, 10));
    assert_eq!((first.base.root, first.in_flight.len(), first.copies), (None, 0, 1));
    let blob = first.blob;
    let second = cluster.write(inode, 100, 10);
    assert_eq!(second.in_flight, vec![first.entry]);
    cluster.commit(blob, 1).unwrap();
    let third = cluster.write(inode, 5, 10);
    assert_eq!((third.base.version.0, third.in_flight, third.entry.size), (1, vec![second.entry], 110));
    assert_eq!(third.base.size, 10);
}

#[test]
fn commits_in_any_order_publish_in_order_and_each_takes_an_n() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let blob = cluster.write(inode, 0, 10).blob;
    for place in 1..4 {
        cluster.write(inode, place * 10, 10);
    }
    let before = cluster.latest();
    assert_eq!(kind(cluster.commit(blob, 3)), ErrorKind::Busy);
    assert_eq!(kind(cluster.commit(blob, 2)), ErrorKind::Busy);
    assert_eq!(cluster.published(), []);
    assert_eq!((cluster.latest(), cluster.attributes(inode).size), (before, 0));
    cluster.commit(blob, 1).unwrap();
    assert_eq!(cluster.published(), [(1, Some(before + 1)), (2, Some(before + 2)), (3, Some(before + 3))]);
    assert_eq!(cluster.attributes(inode).size, 30);
    match cluster.commit(blob, 2).unwrap() {
        BlobReply::Published { version, attributes } => {
            assert_eq!((version.0, attributes.unwrap().size), (before + 2, 30));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(cluster.published(), []);
    assert_eq!(kind(cluster.commit(blob, 5)), ErrorKind::NotFound);
    assert_eq!(kind(cluster.commit(blob, 0)), ErrorKind::NotFound);
}

#[test]
fn an_append_gets_the_size_before_it_though_nothing_is_published() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    for (length, offset) in [(7, 0), (100, 7), (3, 107)] {
        let update = cluster.update(0, length);
        let ticket = cluster.ticket(inode, Operation::Append(update)).unwrap();
        assert_eq!(ticket.entry.update.data[0].offset, offset);
        assert_eq!(ticket.entry.size, offset + u64::from(length));
    }
}

#[test]
fn sizes_chain_over_assigned_versions() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let cut = |size| Operation::Write(Update { cut_to: Some(size), ..Update::default() });
    for (operation, size) in [(grow(500), 500), (cut(20), 20), (grow(10), 20), (cut(90), 20), (cut(0), 0)] {
        assert_eq!(cluster.ticket(inode, operation).unwrap().entry.size, size);
    }
}

#[test]
fn too_few_copies_bad_updates_and_things_that_are_no_file_are_refused() {
    let mut cluster = Cluster::new(2);
    let inode = cluster.create("f");
    let update = cluster.update(0, 10);
    let error = cluster.ticket(inode, Operation::Write(update)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooFewCopies);
    assert!(error.message.contains("1 providers") && error.message.contains("2 copies"), "{error}");
    cluster.ticket(inode, grow(5)).unwrap();
    let mut update = cluster.update(0, 10);
    update.data[0].object = 1;
    let mut request = cluster.request(inode, Operation::Write(update));
    request.copies = 2;
    assert_eq!(kind(cluster.ticket_for(request)), ErrorKind::InvalidArgument);
    assert_eq!(kind(cluster.ticket(inode, grow(u64::MAX))), ErrorKind::FileTooLarge);
    assert_eq!(kind(cluster.ticket(weft_common::id::ROOT_INODE, grow(1))), ErrorKind::InvalidArgument);
    assert_eq!(kind(cluster.ticket(weft_common::id::InodeNumber(99), grow(1))), ErrorKind::NotFound);
    let mut request = cluster.request(inode, grow(1));
    request.volume = weft_common::id::VolumeId(9);
    assert_eq!(kind(cluster.ticket_for(request)), ErrorKind::NotFound);
}

#[test]
fn a_compaction_is_granted_only_if_nobody_touched_its_pages_and_takes_no_n() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let blob = cluster.write(inode, 0, 65536).blob;
    cluster.commit(blob, 1).unwrap();
    cluster.write(inode, 65536, 10);
    let before = (cluster.latest(), cluster.attributes(inode).version);
    let update = cluster.update(0, 65536);
    let compact = |read_at, update| Operation::Compact { blob, read_at: BlobVersion(read_at), update };
    let ticket = cluster.ticket(inode, compact(1, update.clone())).unwrap();
    assert_eq!((ticket.entry.version.0, ticket.entry.size), (3, 65546));
    cluster.commit(blob, 2).unwrap();
    cluster.commit(blob, 3).unwrap();
    assert_eq!(cluster.published(), [(3, None)]);
    assert_eq!(cluster.latest(), before.0 + 1);
    assert_eq!(cluster.attributes(inode).tree.unwrap().version.0, 3);
    cluster.write(inode, 5, 1);
    assert_eq!(kind(cluster.ticket(inode, compact(3, update.clone()))), ErrorKind::Conflict);
    assert_eq!(kind(cluster.ticket(inode, compact(9, update))), ErrorKind::InvalidArgument);
}

#[test]
fn a_blob_takes_only_so_many_tickets_in_flight() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let blob = cluster.ticket(inode, grow(1)).unwrap().blob;
    for size in 1..TICKETS_IN_FLIGHT_MAX as u64 {
        cluster.ticket(inode, grow(size)).unwrap();
    }
    let error = cluster.ticket(inode, grow(1)).unwrap_err();
    assert!(error.kind == ErrorKind::Busy && error.retry);
    cluster.commit(blob, 1).unwrap();
    cluster.ticket(inode, grow(1)).unwrap();
}

#[test]
fn a_helper_gets_the_same_ticket_until_the_version_is_published() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let first = cluster.write(inode, 0, 10);
    let second = cluster.write(inode, 3, 10);
    let blob = first.blob;
    let rebuilt = blobs::rebuild(cluster.machine.kv(), blob, BlobVersion(2)).unwrap();
    assert_eq!(rebuilt, second);
    cluster.commit(blob, 1).unwrap();
    let rebuilt = blobs::rebuild(cluster.machine.kv(), blob, BlobVersion(2)).unwrap();
    assert_eq!((rebuilt.entry, rebuilt.base.version.0, rebuilt.in_flight), (second.entry, 1, vec![]));
    let refused = |version| match blobs::rebuild(cluster.machine.kv(), blob, BlobVersion(version)) {
        Err(crate::version::failure::Failure::Service(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!((refused(1).kind, refused(3).kind), (ErrorKind::Conflict, ErrorKind::NotFound));
    assert!(refused(1).message.contains("already published"));
}

#[test]
fn every_published_version_has_its_tree_and_no_other_has() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let blob = cluster.write(inode, 0, 10).blob;
    cluster.write(inode, 10, 10);
    cluster.write(inode, 20, 10);
    cluster.commit(blob, 1).unwrap();
    cluster.commit(blob, 2).unwrap();
    let size = |version| blobs::tree(cluster.machine.kv(), blob, version).map(|tree| tree.size).ok();
    let at = |version| size(Some(BlobVersion(version)));
    assert_eq!([at(0), at(1), at(2), at(3), size(None)], [Some(0), Some(10), Some(20), None, Some(20)]);
}

#[test]
fn the_first_uncommitted_version_blocks_those_behind_it() {
    let mut cluster = Cluster::new(1);
    let (inode, other) = (cluster.create("f"), cluster.create("g"));
    let blob = cluster.write(inode, 0, 10).blob;
    cluster.write(inode, 0, 10);
    cluster.write(inode, 0, 10);
    let alone = cluster.write(other, 0, 10).blob;
    let waiting = |cluster: &Cluster| {
        let mut found = Vec::new();
        blobs::waiting(cluster.machine.kv(), &mut |waiting| {
            found.push((waiting.blob, waiting.version.0, waiting.blocks_others));
            true
        })
        .unwrap();
        found
    };
    assert_eq!(waiting(&cluster), [(blob, 1, false), (blob, 2, false), (blob, 3, false), (alone, 1, false)]);
    assert_eq!(kind(cluster.commit(blob, 2)), ErrorKind::Busy);
    assert_eq!(waiting(&cluster), [(blob, 1, true), (blob, 3, false), (alone, 1, false)]);
    cluster.commit(blob, 1).unwrap();
    assert_eq!(waiting(&cluster), [(blob, 3, false), (alone, 1, false)]);
}

#[test]
fn page_objects_of_another_session_are_refused() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let update = cluster.update(0, 10);
    let first = std::mem::replace(&mut cluster.session, weft_common::id::SessionId(0));
    cluster.session = cluster.open_session();
    assert_eq!(kind(cluster.ticket(inode, Operation::Write(update.clone()))), ErrorKind::InvalidArgument);
    cluster.session = first;
    cluster.ticket(inode, Operation::Write(update)).unwrap();
}
