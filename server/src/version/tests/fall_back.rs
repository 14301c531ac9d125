//! A lost content gives way once, to what the history shows, and to nobody who was faster.

use super::{Cluster, kind, name};
use crate::version::{blobs, namespace};
use weft_common::id::{BlobId, BlobVersion, InodeNumber, ROOT_INODE, VolumeVersion};
use weft_common::wire::{At, Change, ChangeKind, ErrorKind, NamespaceAnswer, Query};

fn content(cluster: &Cluster, inode: InodeNumber) -> (BlobId, BlobVersion) {
    cluster.attributes(inode).tree.map(|tree| (tree.blob, tree.version)).unwrap()
}

fn fall_back(inode: InodeNumber, lost: (BlobId, BlobVersion), to: BlobVersion, abandon: bool) -> Change {
    Change::FallBack { parent: ROOT_INODE, name: name("f"), inode, lost, source: inode, content: (lost.0, to), abandon }
}

/// A file with two versions, of 10 and of 20 bytes.
fn two_versions(cluster: &mut Cluster) -> (InodeNumber, (BlobId, BlobVersion)) {
    let inode = cluster.create("f");
    for length in [10, 20] {
        let ticket = cluster.write(inode, 0, length);
        cluster.commit(ticket.blob, ticket.entry.version.0).unwrap();
    }
    (inode, content(cluster, inode))
}

#[test]
fn a_lost_content_gives_way_once_and_stays_in_the_history() {
    let mut cluster = Cluster::new(1);
    let (inode, lost) = two_versions(&mut cluster);
    let before = cluster.latest();
    let reply = cluster.change(fall_back(inode, lost, BlobVersion(1), false)).unwrap();
    assert_eq!((reply.version.0, reply.attributes.unwrap().size), (before + 1, 10));
    assert_eq!(kind(cluster.change(fall_back(inode, lost, BlobVersion(1), false))), ErrorKind::Conflict, "another recovery");
    let watch = Query::Watch { after: VolumeVersion(before), limit: 9, wait_ms: 0 };
    let answer = namespace::query(cluster.machine.kv(), cluster.volume, At::Head, &watch).unwrap();
    let NamespaceAnswer::Changes { changes, .. } = answer else { panic!("{answer:?}") };
    assert_eq!((changes[0].kind, changes[0].content.map(|(_, _, size)| size)), (ChangeKind::Restore, Some(10)));
    let ticket = cluster.write(inode, 0, 30);
    assert_ne!(ticket.blob, lost.0, "further writes go on from what is whole");
    cluster.commit(ticket.blob, ticket.entry.version.0).unwrap();
    assert_eq!(cluster.attributes(inode).size, 30);
}

#[test]
fn whoever_wrote_meanwhile_wins_and_what_cannot_be_finished_goes() {
    let mut cluster = Cluster::new(1);
    let (inode, lost) = two_versions(&mut cluster);
    let ticket = cluster.write(inode, 0, 30);
    assert_eq!(kind(cluster.change(fall_back(inode, lost, BlobVersion(1), false))), ErrorKind::Conflict, "it is in flight");
    cluster.commit(ticket.blob, ticket.entry.version.0).unwrap();
    assert_eq!(kind(cluster.change(fall_back(inode, lost, BlobVersion(1), true))), ErrorKind::Conflict, "it is published");
    assert_eq!(cluster.attributes(inode).size, 30);

    let lost = content(&cluster, inode);
    let stuck = cluster.write(inode, 5, 50);
    cluster.change(fall_back(inode, lost, BlobVersion(2), true)).unwrap();
    assert_eq!(cluster.attributes(inode).size, 20);
    assert_eq!(kind(cluster.commit(stuck.blob, stuck.entry.version.0)), ErrorKind::NotFound, "its writer is told");
    let mut in_flight = 0;
    blobs::waiting(cluster.machine.kv(), &mut |_| {
        in_flight += 1;
        true
    })
    .unwrap();
    assert_eq!(in_flight, 0, "helpers have nothing to try for ever");
    let next = cluster.write(inode, 0, 40);
    cluster.commit(next.blob, next.entry.version.0).unwrap();
    assert_eq!(cluster.attributes(inode).size, 40);
}

#[test]
fn there_is_no_falling_back_to_what_is_not_kept_nor_of_what_has_no_name() {
    let mut cluster = Cluster::new(1);
    let (inode, lost) = two_versions(&mut cluster);
    assert_eq!(kind(cluster.change(fall_back(inode, lost, BlobVersion(7), false))), ErrorKind::Conflict);
    let (parent, from, to) = (ROOT_INODE, name("f"), name("g"));
    let rename =
        |name, new_name| Change::Rename { parent, name, new_parent: parent, new_name, no_replace: false, exchange: false };
    cluster.change(rename(from.clone(), to.clone())).unwrap();
    assert_eq!(kind(cluster.change(fall_back(inode, lost, BlobVersion(1), false))), ErrorKind::Conflict, "it has another name");
    cluster.change(rename(to, from)).unwrap();
    cluster.change(Change::Unlink { parent: ROOT_INODE, name: name("f") }).unwrap();
    assert_eq!(kind(cluster.change(fall_back(inode, lost, BlobVersion(1), false))), ErrorKind::Conflict);
}
