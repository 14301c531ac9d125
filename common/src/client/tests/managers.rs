//! Managers and sessions: another manager takes over, a change happens once.

use super::fakes::{FakeCluster, Fault};
use super::{IMPATIENT, PATIENT, connect, link};
use crate::client::{ClientError, ClientOptions, Cluster, Namespace, Volume};
use crate::id::{VolumeId, VolumeVersion};
use crate::time::Timestamp;
use crate::weave::Geometry;
use crate::wire::{Author, Change, ErrorKind, VolumeInfo, VolumeSettings};
use std::sync::Arc;

fn volume(cluster: &Arc<Cluster>) -> Arc<Volume> {
    let settings = VolumeSettings { geometry: Geometry::new(1 << 16, 2).unwrap(), copies: 1 };
    let (id, latest, created) = (VolumeId(1), VolumeVersion(0), Timestamp(0));
    Volume::new(cluster.clone(), VolumeInfo { id, name: "test".to_owned(), settings, latest, created })
}

async fn change(volume: &Volume) -> Result<VolumeVersion, ClientError> {
    Ok(volume.change(&Author::default(), Change::RemoveTag("x".to_owned())).await?.version)
}

#[tokio::test]
async fn another_manager_takes_over_without_a_pause() {
    let fake = FakeCluster::new(0, &[], 0);
    fake.rpc.always("manager1", Some(Fault::Lose));
    let cluster = connect(&fake, PATIENT).await;
    let calls = fake.rpc.calls("manager1");
    assert_eq!(change(&volume(&cluster)).await.unwrap(), VolumeVersion(1));
    assert_eq!(fake.rpc.calls("manager1"), calls, "the one that answered is asked first");
    fake.rpc.always("manager1", Some(Fault::Refuse(ErrorKind::WrongServer)));
    fake.rpc.plan("manager2", [Fault::Lose]);
    assert_eq!(change(&volume(&cluster)).await.unwrap(), VolumeVersion(2));
}

#[tokio::test]
async fn a_refusal_is_no_reason_to_leave_a_manager() {
    let fake = FakeCluster::new(0, &[], 0);
    let cluster = connect(&fake, PATIENT).await;
    let volume = volume(&cluster);
    let calls = fake.rpc.calls("manager2");
    fake.rpc.plan("manager1", [Fault::Refuse(ErrorKind::NotFound)]);
    change(&volume).await.unwrap_err();
    change(&volume).await.unwrap();
    assert_eq!(fake.rpc.calls("manager2"), calls);
    fake.rpc.plan("manager1", [Fault::Refuse(ErrorKind::WrongServer)]);
    fake.rpc.plan("manager2", [Fault::Refuse(ErrorKind::WrongServer)]);
    let error = change(&volume).await.unwrap_err();
    assert!(matches!(error, ClientError::Service(error) if error.kind == ErrorKind::WrongServer), "nobody has the role");
}

#[tokio::test]
async fn nobody_there_is_an_error_that_names_the_server() {
    let fake = FakeCluster::new(0, &[], 0);
    for name in ["manager1", "manager2"] {
        fake.rpc.always(name, Some(Fault::Lose));
    }
    let options = ClientOptions { timeout: IMPATIENT, ..ClientOptions::default() };
    let error = Cluster::connect(fake.rpc.clone(), fake.managers.clone(), options.clone()).await.unwrap_err();
    assert!(matches!(&error, ClientError::Unavailable { .. }) && error.to_string().contains("manager"), "{error}");
    let error = Cluster::connect(fake.rpc.clone(), Vec::new(), options).await.unwrap_err();
    assert!(matches!(error, ClientError::Service(error) if error.kind == ErrorKind::InvalidArgument));
}

#[tokio::test]
async fn a_change_whose_answer_was_lost_happens_once() {
    let fake = FakeCluster::new(0, &[], 0);
    let cluster = connect(&fake, PATIENT).await;
    let volume = volume(&cluster);
    fake.rpc.plan("manager1", [Fault::Lose]);
    assert_eq!(change(&volume).await.unwrap(), VolumeVersion(1));
    for expected in 2..10 {
        fake.rpc.plan("manager1", [Fault::LoseAnswer]);
        fake.rpc.plan("manager2", [Fault::LoseAnswer]);
        assert_eq!(change(&volume).await.unwrap(), VolumeVersion(expected));
    }
    let changes = fake.manager.changes.lock().unwrap();
    assert_eq!(changes.len(), 9);
    assert!(changes.iter().all(|key| key.answered_below == key.sequence), "{changes:?}");
}

#[tokio::test]
async fn a_lapsed_session_is_replaced_when_nothing_is_uncertain() {
    let fake = FakeCluster::new(0, &[], 0);
    let cluster = connect(&fake, PATIENT).await;
    let volume = volume(&cluster);
    change(&volume).await.unwrap();
    fake.manager.expire_sessions();
    change(&volume).await.unwrap();
    let keys: Vec<_> = fake.manager.changes.lock().unwrap().iter().map(|key| (key.session.0, key.sequence)).collect();
    assert_eq!(keys, [(1, 1), (2, 1)]);
    // The answer is lost and the session lapses before the repetition: whether the change happened, nobody can tell.
    let lost = cluster.sessions.current(link(&cluster).context()).await.unwrap().id;
    fake.rpc.plan("manager1", [Fault::LoseAnswer]);
    let expire = async {
        while fake.manager.changes.lock().unwrap().len() < 3 {
            tokio::task::yield_now().await;
        }
        fake.manager.expire_sessions();
    };
    fake.rpc.plan("manager2", [Fault::Lose]);
    let (result, ()) = tokio::join!(change(&volume), expire);
    assert!(matches!(result, Err(ClientError::Service(error)) if error.kind == ErrorKind::SessionExpired));
    assert_ne!(cluster.sessions.current(link(&cluster).context()).await.unwrap().id, lost);
    assert_eq!(fake.manager.changes.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn request_ids_differ_and_name_the_session() {
    let fake = FakeCluster::new(0, &[], 0);
    let cluster = connect(&fake, PATIENT).await;
    change(&volume(&cluster)).await.unwrap();
    let ids: std::collections::BTreeSet<u64> = (0..1000).map(|_| link(&cluster).context().id.0).collect();
    assert_eq!(ids.len(), 1000);
    assert!(ids.iter().all(|id| id >> 32 == 1), "session 1");
}
