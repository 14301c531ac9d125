//! Leases, with the clock in hand.

use super::options;
use crate::version::core::Effect;
use crate::version::service::soft::Soft;
use crate::version::tests::Cluster;
use std::time::Duration;
use tokio::time::Instant;
use weft_common::id::{BlobVersion, SessionId, VolumeId, VolumeVersion};
use weft_common::limits::{SESSION_LEASE, SESSION_RENEWAL, SESSION_RENEWAL_HURRIED, TICKET_GRACE, TICKET_LEASE};
use weft_common::wire::{Holds, Renewal};

#[test]
fn a_dead_writers_ticket_is_offered_after_its_lease_and_sooner_when_others_wait() {
    let mut cluster = Cluster::new(1);
    let start = Instant::now();
    let mut soft = Soft::new(cluster.machine.kv(), start, &options()).unwrap();
    let inode = cluster.create("f");
    let blob = cluster.write(inode, 0, 10).blob;
    let note = |soft: &mut Soft, effects: &[Effect], at| effects.iter().for_each(|effect| soft.note(effect, at));
    note(&mut soft, &cluster.effects, start);
    cluster.write(inode, 10, 10);
    note(&mut soft, &cluster.effects, start + TICKET_GRACE);
    let lapsed = |soft: &Soft, cluster: &Cluster, age| {
        let found = soft.lapsed_tickets(cluster.machine.kv(), start + age).unwrap();
        found.into_iter().map(|(_, version)| version.0).collect::<Vec<_>>()
    };
    let moment = Duration::from_millis(1);
    assert_eq!(lapsed(&soft, &cluster, TICKET_LEASE - moment), [0u64; 0]);
    assert_eq!(lapsed(&soft, &cluster, TICKET_LEASE), [1]);
    assert_eq!(lapsed(&soft, &cluster, TICKET_LEASE + TICKET_GRACE), [1, 2]);
    // The second one commits and waits behind the first.
    cluster.commit(blob, 2).unwrap_err();
    assert_eq!(lapsed(&soft, &cluster, TICKET_GRACE - moment), [0u64; 0]);
    assert_eq!(lapsed(&soft, &cluster, TICKET_GRACE), [1]);
    // After a restart its lease starts anew.
    let restarted = Soft::new(cluster.machine.kv(), start + TICKET_LEASE, &options()).unwrap();
    assert_eq!(lapsed(&restarted, &cluster, TICKET_LEASE + moment), [0u64; 0]);
    assert_eq!(lapsed(&restarted, &cluster, TICKET_LEASE + TICKET_GRACE), [1]);
    // A helper finishes it.
    cluster.commit(blob, 1).unwrap();
    note(&mut soft, &cluster.effects, start);
    assert_eq!(cluster.published(), [(1, Some(2)), (2, Some(3))]);
    assert_eq!(lapsed(&soft, &cluster, TICKET_LEASE * 9), [0u64; 0]);
    assert!(crate::version::blobs::rebuild(cluster.machine.kv(), blob, BlobVersion(1)).is_err());
}

#[test]
fn a_silent_session_is_closed_once_and_cannot_be_renewed_meanwhile() {
    let cluster = Cluster::new(1);
    let start = Instant::now();
    let mut soft = Soft::new(cluster.machine.kv(), start, &options()).unwrap();
    let session = cluster.session;
    assert!(soft.renew(session, start + SESSION_LEASE / 2));
    assert!(!soft.renew(SessionId(99), start));
    assert_eq!(soft.lapsed_sessions(start + SESSION_LEASE), []);
    let over = start + SESSION_LEASE * 3 / 2;
    assert_eq!(soft.lapsed_sessions(over), [session]);
    assert_eq!(soft.lapsed_sessions(over), []);
    assert!(!soft.renew(session, over));
    soft.still_open(session);
    assert_eq!(soft.lapsed_sessions(over), [session]);
    soft.note(&Effect::Closed(session), over);
    soft.still_open(session);
    assert_eq!(soft.lapsed_sessions(over), []);
}

#[test]
fn a_manager_that_stood_still_closes_nobody_for_its_own_silence() {
    let mut cluster = Cluster::new(1);
    let start = Instant::now();
    let mut soft = Soft::new(cluster.machine.kv(), start, &options()).unwrap();
    cluster.create("f");
    cluster.effects.iter().for_each(|effect| soft.note(effect, start));
    soft.forgive(SESSION_LEASE * 2);
    assert_eq!(soft.lapsed_sessions(start + SESSION_LEASE * 2), []);
    assert_eq!(soft.lapsed_sessions(start + SESSION_LEASE * 3).len(), 1, "the client's own silence counts");
}

#[test]
fn readers_know_what_the_last_of_them_knows_and_late_renewals_change_nothing() {
    let cluster = Cluster::new(1);
    let start = Instant::now();
    let mut soft = Soft::new(cluster.machine.kv(), start, &options()).unwrap();
    let (old, volume) = (cluster.session, cluster.volume);
    let reading = |n| Holds { versions: vec![(volume, VolumeVersion(n))], ..Holds::default() };
    let readers = |soft: &Soft| {
        let readers = soft.readers(volume, 50);
        (readers.through, readers.versions.iter().map(|version| version.0).collect::<Vec<_>>())
    };
    assert_eq!(readers(&soft), (0, vec![]), "this process has not heard of it");
    soft.hold(old, Renewal { number: 1, knows: 20, holds: reading(7) });
    assert_eq!(readers(&soft), (20, vec![7]));
    let new = SessionId(old.0 + 1);
    soft.note(&Effect::Opened(new), start);
    soft.opened(new, 30);
    soft.hold(new, Renewal { number: 1, knows: 0, holds: Holds::default() });
    assert_eq!(readers(&soft), (20, vec![7]), "what was before it was opened it cannot have found");
    soft.hold(old, Renewal { number: 3, knows: 40, holds: reading(9) });
    assert_eq!(readers(&soft), (30, vec![9]));
    soft.hold(old, Renewal { number: 2, knows: 20, holds: reading(7) });
    assert_eq!(readers(&soft), (30, vec![9]), "a late duplicate");
    soft.hold(
        new,
        Renewal {
            number: 2,
            knows: 45,
            holds: Holds { versions: vec![(VolumeId(volume.0 + 1), VolumeVersion(1))], ..Holds::default() },
        },
    );
    assert_eq!(readers(&soft), (40, vec![9]), "a version of another volume");
}

#[test]
fn clients_hurry_while_something_waits_for_them_and_many_clients_less() {
    let cluster = Cluster::new(1);
    let start = Instant::now();
    let mut soft = Soft::new(cluster.machine.kv(), start, &options()).unwrap();
    assert_eq!(soft.renewal_pause(5, 5), SESSION_RENEWAL);
    assert_eq!(soft.renewal_pause(4, 5), SESSION_RENEWAL_HURRIED);
    (10..3010).for_each(|session| soft.note(&Effect::Opened(SessionId(session)), start));
    let pause = soft.renewal_pause(4, 5);
    assert!(SESSION_RENEWAL_HURRIED < pause && pause < SESSION_RENEWAL, "{pause:?}");
    (5000..15_000).for_each(|session| soft.note(&Effect::Opened(SessionId(session)), start));
    assert_eq!(soft.renewal_pause(4, 5), SESSION_RENEWAL);
}
