//! Files that get another blob, or lose their name, while updates are in flight.

use super::{Cluster, kind, name};
use weft_common::id::{BlobVersion, ROOT_INODE, VolumeVersion};
use weft_common::weave::Operation;
use weft_common::wire::{BlobReply, Change, ErrorKind};

#[test]
fn a_restore_wins_over_updates_in_flight() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let old = cluster.write(inode, 0, 10).blob;
    cluster.commit(old, 1).unwrap();
    let to = VolumeVersion(cluster.latest());
    cluster.write(inode, 0, 20);
    cluster.commit(old, 2).unwrap();
    cluster.write(inode, 0, 500);
    let restore = Change::Restore { parent: ROOT_INODE, name: name("f"), source: ROOT_INODE, to };
    let restored = cluster.change(restore).unwrap().attributes.unwrap();
    assert_eq!((restored.inode, restored.size), (inode, 10));
    let latest = cluster.latest();
    // The update in flight is answered and published in the old blob's log, but nobody sees it.
    let BlobReply::Published { version, attributes } = cluster.commit(old, 3).unwrap() else { panic!() };
    assert_eq!((version.0, attributes.unwrap().size), (latest, 10));
    assert_eq!((cluster.published(), cluster.latest()), (vec![(3, None)], latest));
    // New updates go on from what was restored.
    let ticket = cluster.write(inode, 10, 5);
    assert_ne!(ticket.blob, old);
    assert_eq!((ticket.entry.version.0, ticket.entry.size, ticket.base.version.0), (1, 15, 0));
    assert_eq!(ticket.base.root.unwrap().blob, old.number);
    cluster.commit(ticket.blob, 1).unwrap();
    assert_eq!(cluster.attributes(inode).size, 15);
}

#[test]
fn an_update_of_a_file_that_lost_its_name_is_published_without_an_n() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let blob = cluster.write(inode, 0, 10).blob;
    cluster.change(Change::Unlink { parent: ROOT_INODE, name: name("f") }).unwrap();
    let latest = cluster.latest();
    cluster.commit(blob, 1).unwrap();
    assert_eq!((cluster.published(), cluster.latest()), (vec![(1, None)], latest));
    let open = cluster.attributes(inode);
    assert_eq!((open.links, open.size), (0, 10));
    let next = cluster.write(inode, 10, 10);
    assert_eq!((next.blob, next.entry.version.0), (blob, 2));
}

#[test]
fn a_compaction_of_what_was_read_before_a_restore_is_refused() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let blob = cluster.write(inode, 0, 10).blob;
    cluster.commit(blob, 1).unwrap();
    let to = VolumeVersion(cluster.latest());
    cluster.write(inode, 0, 10);
    cluster.commit(blob, 2).unwrap();
    // The client reads version 2 to rewrite it. Then the file gets another blob, which comes to have a version 2 as well.
    let update = cluster.update(0, 10);
    cluster.change(Change::Restore { parent: ROOT_INODE, name: name("f"), source: ROOT_INODE, to }).unwrap();
    cluster.write(inode, 20, 10);
    cluster.write(inode, 30, 10);
    let compact = Operation::Compact { blob, read_at: BlobVersion(2), update };
    assert_eq!(kind(cluster.ticket(inode, compact)), ErrorKind::Conflict);
}
