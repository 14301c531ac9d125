//! Repeated requests, late duplicates, sessions that are gone, clocks that go back.

use super::{Cluster, author, kind, name};
use crate::version::command::{Action, Command};
use weft_common::id::{ROOT_INODE, SessionId, VolumeVersion};
use weft_common::limits::CHANGES_UNANSWERED_MAX;
use weft_common::time::Timestamp;
use weft_common::weave::Operation;
use weft_common::wire::*;

fn creation(cluster: &mut Cluster, file: &str) -> NamespaceChange {
    let (parent, name, inode) = (ROOT_INODE, name(file), NewInode::File);
    let change = Change::Create { parent, name, inode, mode: 0o644, uid: 1000, gid: 1000, exclusive: true, umask: 0 };
    NamespaceChange { volume: cluster.volume, key: cluster.key(), author: author(), change }
}

#[test]
fn a_repeated_change_is_answered_and_not_carried_out_again() {
    let mut cluster = Cluster::new(1);
    let request = creation(&mut cluster, "f");
    let first = cluster.act(Action::Change(request.clone())).unwrap();
    let latest = cluster.latest();
    assert_eq!(cluster.act(Action::Change(request.clone())).unwrap(), first);
    assert_eq!(cluster.latest(), latest);
    // The client confirms; a duplicate that the network kept until now is refused.
    let mut confirming = creation(&mut cluster, "g");
    confirming.key.answered_below = confirming.key.sequence;
    cluster.act(Action::Change(confirming)).unwrap();
    assert_eq!(kind(cluster.act(Action::Change(request))), ErrorKind::Stale);
}

#[test]
fn a_refused_change_stays_refused_however_late_it_comes_again() {
    let mut cluster = Cluster::new(1);
    cluster.create("f");
    let request = creation(&mut cluster, "f");
    assert_eq!(kind(cluster.act(Action::Change(request.clone()))), ErrorKind::AlreadyExists);
    cluster.sequence += 1;
    let key = RequestKey { session: cluster.session, sequence: cluster.sequence, answered_below: request.key.sequence };
    let unlink = Change::Unlink { parent: ROOT_INODE, name: name("f") };
    let unlink = NamespaceChange { volume: cluster.volume, key, author: author(), change: unlink };
    cluster.act(Action::Change(unlink)).unwrap();
    assert_eq!(
        kind(cluster.act(Action::Change(request))),
        ErrorKind::AlreadyExists,
        "the client was told that it did not happen"
    );
}

#[test]
fn a_repeated_ticket_is_the_same_version_even_when_a_helper_published_it() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    cluster.write(inode, 0, 10);
    let update = cluster.update(0, 10);
    let request = cluster.request(inode, Operation::Write(update));
    let ticket = cluster.ticket_for(request.clone()).unwrap();
    assert_eq!(cluster.ticket_for(request.clone()).unwrap(), ticket);
    cluster.commit(ticket.blob, 1).unwrap();
    cluster.commit(ticket.blob, 2).unwrap();
    let again = cluster.ticket_for(request.clone()).unwrap();
    assert_eq!((again.entry, again.base.version.0, again.in_flight.len()), (ticket.entry, 1, 0));
    let mut mixed = creation(&mut cluster, "g");
    mixed.key = request.key;
    assert_eq!(kind(cluster.act(Action::Change(mixed))), ErrorKind::InvalidArgument);
}

#[test]
fn a_closed_or_unknown_session_changes_nothing() {
    let mut cluster = Cluster::new(1);
    let request = creation(&mut cluster, "f");
    let session = cluster.session;
    cluster.act(Action::Change(request.clone())).unwrap();
    assert_eq!(cluster.act(Action::Session(SessionRequest::Close(session))).unwrap(), Reply::Session(SessionReply::Done));
    assert_eq!(cluster.act(Action::Session(SessionRequest::Close(session))).unwrap(), Reply::Session(SessionReply::Done));
    assert_eq!(kind(cluster.act(Action::Change(request))), ErrorKind::SessionExpired);
    cluster.session = SessionId(77);
    let request = creation(&mut cluster, "g");
    assert_eq!(kind(cluster.act(Action::Change(request))), ErrorKind::SessionExpired);
    let reopened = cluster.open_session();
    assert!(reopened > session);
}

#[test]
fn a_client_that_confirms_nothing_is_stopped() {
    let mut cluster = Cluster::new(1);
    let mut request = creation(&mut cluster, "f");
    request.key.answered_below = 0;
    request.key.sequence = CHANGES_UNANSWERED_MAX + 1;
    assert_eq!(kind(cluster.act(Action::Change(request.clone()))), ErrorKind::Busy);
    request.key.answered_below = 5;
    cluster.act(Action::Change(request)).unwrap();
}

#[test]
fn time_never_falls() {
    let mut cluster = Cluster::new(1);
    cluster.create("f");
    let request = creation(&mut cluster, "g");
    let time = cluster.time;
    let command = Command { time: Timestamp(5), action: Action::Change(request) };
    let reply = cluster.machine.apply(&command).unwrap().reply.unwrap();
    let Reply::Change(ChangeReply { version, attributes }) = reply else { panic!("{reply:?}") };
    assert!(version > VolumeVersion(0));
    assert!(attributes.unwrap().born >= Timestamp(time));
}
