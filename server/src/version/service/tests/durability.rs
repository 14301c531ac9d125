//! What was answered is there after a stop, after a kill, and after a failure.

use super::{Client, LONG, dump, open, options};
use crate::version::command::Action;
use crate::version::core::StateMachine;
use crate::version::journal::{LocalLog, LogError, Replayed, ReplicatedLog};
use crate::version::service::{Manager, ManagerError, ManagerOptions, Workers};
use crate::version::store::{RedbKv, Writer};
use proptest::prelude::*;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use weft_common::id::BlobVersion;
use weft_common::wire::{ErrorKind, SessionRequest};

/// What a crash at this moment would leave.
pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn session() -> Action {
    Action::Session(SessionRequest::Open { host: "desk".into(), purpose: "test".into() })
}

#[tokio::test]
async fn a_stopped_manager_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let manager = open(folder.path());
    let client = Client::new(&manager).await;
    let inode = client.create("f").await;
    let blob = client.grow(inode, 100).await.blob;
    client.commit(blob, 1, LONG).await.unwrap();
    let before = dump(&manager).await;
    manager.shutdown().await.unwrap();
    assert_eq!(manager.propose(session()).await.unwrap_err().kind, ErrorKind::Unavailable);
    manager.shutdown().await.unwrap();

    let manager = open(folder.path());
    assert_eq!(dump(&manager).await, before);
    let client = Client::of(&manager, client.volume).await;
    assert_eq!(client.size(inode).await, 100);
    // A second one on the same folder is refused while this one runs, and not behind it.
    assert!(matches!(Manager::open(folder.path(), options()), Err(ManagerError::Table(_))));
    let (volume, handle) = (client.volume, manager.clone());
    drop((client, manager));
    assert!(handle.shutdown().await.is_ok());
    let client = Client::of(&open(folder.path()), volume).await;
    assert_eq!(client.grow(inode, 200).await.entry.version.0, 2);
}

/// As in simulation: one thread, a disk in memory, time that passes when nothing else does.
#[tokio::test]
async fn tasks_do_what_threads_do() {
    let options = ManagerOptions { workers: Workers::Tasks { append: Duration::from_millis(2) }, ..options() };
    let folder = tempfile::tempdir().unwrap();
    let log = || Box::new(LocalLog::open(&folder.path().join("log")).unwrap());
    let table = || RedbKv::open_on(redb::backends::InMemoryBackend::new(), Writer::Caller).unwrap();
    let manager = Manager::open_on(table(), log(), folder.path(), options.clone()).unwrap();
    let client = Client::new(&manager).await;
    let inode = client.create("f").await;
    let blob = client.grow(inode, 100).await.blob;
    client.commit(blob, 1, LONG).await.unwrap();
    let before = dump(&manager).await;
    manager.shutdown().await.unwrap();
    assert_eq!(manager.propose(session()).await.unwrap_err().kind, ErrorKind::Unavailable);
    let again = Manager::open_on(table(), log(), folder.path(), options).unwrap();
    assert_eq!(dump(&again).await, before, "replayed from the log alone");
}

#[tokio::test]
async fn a_repetition_after_a_restart_is_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let manager = open(folder.path());
    let client = Client::new(&manager).await;
    let inode = client.create("f").await;
    let ticket = client.grow(inode, 100).await;
    manager.shutdown().await.unwrap();
    let manager = open(folder.path());
    let again = Client { manager, sequence: 1.into(), ..client };
    assert_eq!(again.grow(inode, 100).await, ticket);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Create,
    Grow(usize),
    Commit(usize),
    Checkpoint,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Create),
        6 => any::<usize>().prop_map(Step::Grow),
        6 => any::<usize>().prop_map(Step::Commit),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Kill),
    ]
}

/// Runs steps; after each kill the restarted manager has exactly what the killed one had.
async fn run(steps: &[Step]) {
    let root = tempfile::tempdir().unwrap();
    let mut lives = 0;
    let folder = |life: usize| root.path().join(life.to_string());
    let mut client = Client::new(&open(&folder(0))).await;
    let (mut files, mut tickets) = (vec![client.create("first").await], Vec::new());
    for (place, step) in steps.iter().enumerate() {
        match step {
            Step::Create => files.push(client.create(&format!("file{place}")).await),
            Step::Grow(file) => {
                let ticket = client.grow(files[file % files.len()], place as u64 * 10).await;
                tickets.push((ticket.blob, ticket.entry.version.0));
            }
            Step::Commit(_) if tickets.is_empty() => {}
            Step::Commit(ticket) => {
                let (blob, version) = tickets.swap_remove(ticket % tickets.len());
                let commit = Action::Commit { blob, version: BlobVersion(version) };
                match client.manager.propose(commit).await {
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.kind, ErrorKind::Busy),
                }
            }
            Step::Checkpoint => client.manager.with_state(|state| state.checkpoint()).await.unwrap().unwrap(),
            Step::Kill => {
                let before = dump(&client.manager).await;
                copy(&folder(lives), &folder(lives + 1));
                lives += 1;
                let manager = open(&folder(lives));
                assert!(dump(&manager).await == before, "after kill {lives}");
                client = Client { manager, ..client };
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_killed_manager_has_everything_that_was_answered(steps in proptest::collection::vec(step(), 1..40)) {
        tokio::runtime::Runtime::new().unwrap().block_on(run(&steps));
    }
}

#[tokio::test]
async fn checkpoints_happen_beside_the_work_and_old_segments_go() {
    let folder = tempfile::tempdir().unwrap();
    let often = ManagerOptions { checkpoint_every: Duration::ZERO, checkpoint_commands: 1, ..options() };
    let manager = Manager::open(folder.path(), often.clone()).unwrap();
    let client = Client::new(&manager).await;
    let inode = client.create("f").await;
    let mut checkpointed = 0;
    for size in 1.. {
        let ticket = client.grow(inode, size).await;
        client.commit(ticket.blob, size, LONG).await.unwrap();
        checkpointed = manager.read(|state| state.kv().checkpointed()).await.unwrap();
        if checkpointed > 10 {
            break;
        }
    }
    let before = dump(&manager).await;
    manager.shutdown().await.unwrap();
    let (table, applied) = RedbKv::open(&folder.path().join("state.redb")).unwrap();
    assert!(applied > checkpointed);
    drop(StateMachine::open(table).unwrap());
    let manager = Manager::open(folder.path(), often).unwrap();
    assert_eq!(dump(&manager).await, before);
}

#[tokio::test]
async fn a_log_without_its_end_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let manager = open(folder.path());
    Client::new(&manager).await;
    manager.shutdown().await.unwrap();
    fs::remove_dir_all(folder.path().join("log")).unwrap();
    match Manager::open(folder.path(), options()) {
        Err(ManagerError::LogBehind { next: 1, applied: 2, .. }) => {}
        other => panic!("{other:?}"),
    }
}

/// A log that fails as told.
#[derive(Debug)]
struct FailingLog {
    next: u64,
    failures: Arc<Mutex<Vec<LogError>>>,
}

impl ReplicatedLog for FailingLog {
    fn next_index(&self) -> u64 {
        self.next
    }

    fn append(&mut self, commands: &[Vec<u8>]) -> Result<u64, LogError> {
        if let Some(error) = self.failures.lock().unwrap().pop() {
            return Err(error);
        }
        self.next += commands.len() as u64;
        Ok(self.next - commands.len() as u64)
    }

    fn replay(&mut self, _: u64, _: &mut Replayed<'_>) -> Result<(), LogError> {
        Ok(())
    }

    fn truncate_before(&mut self, _: u64) -> Result<(), LogError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_a_failed_log_stops_everything() {
    let folder = tempfile::tempdir().unwrap();
    let (table, _) = RedbKv::open(&folder.path().join("state.redb")).unwrap();
    let failures = Arc::new(Mutex::new(Vec::new()));
    let log = Box::new(FailingLog { next: 1, failures: Arc::clone(&failures) });
    let manager = Manager::start(StateMachine::open(table).unwrap(), log, 0, options()).unwrap();
    let client = Client::new(&manager).await;
    let before = dump(&manager).await;

    failures.lock().unwrap().push(LogError::Full { path: "log".into() });
    assert_eq!(manager.propose(session()).await.unwrap_err().kind, ErrorKind::NoSpace);
    assert_eq!(dump(&manager).await, before);
    client.create("f").await;

    failures.lock().unwrap().push(LogError::Poisoned("the disk is gone".into()));
    let error = manager.propose(session()).await.unwrap_err();
    assert!(error.kind == ErrorKind::Unavailable && error.message.contains("the disk is gone"), "{error}");
    assert!(manager.failed().await.to_string().contains("the disk is gone"));
    assert_eq!(manager.propose(session()).await.unwrap_err().kind, ErrorKind::Unavailable);
    assert_eq!(manager.read(|_| ()).await.unwrap_err().kind, ErrorKind::Unavailable);
    assert!(matches!(manager.shutdown().await, Err(ManagerError::Failed(_))));
}
