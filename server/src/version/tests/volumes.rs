//! Volumes: names, settings, removal.

use super::{Cluster, kind, settings};
use crate::version::command::Action;
use crate::version::core::Effect;
use crate::version::kv::{Kv, Order};
use crate::version::table;
use weft_common::wire::*;

fn create(name: &str, copies: u8) -> Action {
    Action::Volume(VolumeRequest::Create { name: name.into(), settings: settings(copies), owner: (0, 0) })
}

#[test]
fn names_and_copies_are_checked() {
    let mut cluster = Cluster::new(1);
    let long = "x".repeat(65);
    for name in ["", ".x", "-x", "a b", "a/b", "ä", &long] {
        assert_eq!(kind(cluster.act(create(name, 1))), ErrorKind::InvalidArgument, "{name}");
    }
    for copies in [0, 9] {
        assert_eq!(kind(cluster.act(create("y", copies))), ErrorKind::InvalidArgument);
    }
    assert_eq!(kind(cluster.act(create("show", 1))), ErrorKind::AlreadyExists);
    cluster.act(create(&"x".repeat(64), 8)).unwrap();
    cluster.act(create("A.b_c-9", 1)).unwrap();
    let Ok(Reply::Volume(VolumeReply::Volumes(list))) = cluster.act(Action::Volume(VolumeRequest::List)) else { panic!() };
    assert_eq!(list.iter().map(|info| info.name.len()).collect::<Vec<_>>(), [7, 4, 64]);
}

#[test]
fn settings_change_and_versions_are_told() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let set = VolumeRequest::Set { name: "show".into(), settings: settings(3) };
    let Ok(Reply::Volume(VolumeReply::Volume(info))) = cluster.act(Action::Volume(set)) else { panic!() };
    assert_eq!((info.settings.copies, info.latest.0), (3, cluster.latest()));
    let update = cluster.update(0, 1);
    assert_eq!(kind(cluster.ticket(inode, weft_common::weave::Operation::Write(update))), ErrorKind::TooFewCopies);
    let missing = VolumeRequest::Set { name: "nope".into(), settings: settings(3) };
    assert_eq!(kind(cluster.act(Action::Volume(missing))), ErrorKind::NotFound);
}

#[test]
fn a_removed_volume_leaves_nothing_and_its_id_is_not_used_again() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let blob = cluster.write(inode, 0, 10).blob;
    let volume = cluster.volume;
    assert_eq!(cluster.act(Action::Volume(VolumeRequest::Remove("show".into()))).unwrap(), Reply::Volume(VolumeReply::Removed));
    assert_eq!(cluster.effects, [Effect::Removed(volume)]);
    assert_eq!(kind(cluster.commit(blob, 1)), ErrorKind::NotFound);
    while let (_, true) = cluster.collect(volume, u64::MAX) {}
    let mut left = Vec::new();
    cluster
        .machine
        .kv()
        .scan(&[0], &[0xff], Order::Ascending, &mut |key, _| {
            left.push(key.to_vec());
            true
        })
        .unwrap();
    let of_the_cluster = [table::meta(), table::epoch(), table::let_go(), table::session(cluster.session)];
    left.retain(|key| !of_the_cluster.contains(key));
    left.retain(|key| !key.starts_with(&table::reply(cluster.session, 0)[..9]));
    assert_eq!(left, Vec::<Vec<u8>>::new());
    let Ok(Reply::Volume(VolumeReply::Volume(info))) = cluster.act(create("show", 1)) else { panic!() };
    assert!(info.id > volume);
}

#[test]
fn texts_of_sessions_are_cut_and_authors_who_do_not_fit_are_refused() {
    let mut cluster = Cluster::new(1);
    let open = SessionRequest::Open { host: "ü".repeat(80), purpose: "x".repeat(101) };
    cluster.act(Action::Session(open)).unwrap();
    let Ok(Reply::Session(SessionReply::Sessions(list))) = cluster.act(Action::Session(SessionRequest::List)) else { panic!() };
    assert_eq!((list[1].host.len(), list[1].purpose.len()), (100, 100));
    let inode = cluster.create("f");
    let update = cluster.update(0, 1);
    let mut request = cluster.request(inode, weft_common::weave::Operation::Write(update));
    request.author.program = "x".repeat(256);
    assert_eq!(kind(cluster.ticket_for(request)), ErrorKind::InvalidArgument);
}
