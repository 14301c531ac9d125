//! Commits and watches that wait, queues that are full, requests of other roles.

use super::{Client, LONG, call, open};
use crate::version::command::Action;
use std::sync::Arc;
use std::time::Duration;
use weft_common::limits::{COMMANDS_PER_COMMIT_MAX, COMMANDS_WAITING_MAX, READS_WAITING_MAX};
use weft_common::wire::*;

#[tokio::test]
async fn a_commit_waits_until_the_versions_before_it_are_published() {
    let folder = tempfile::tempdir().unwrap();
    let client = Arc::new(Client::new(&open(folder.path())).await);
    let inode = client.create("f").await;
    let blob = client.grow(inode, 10).await.blob;
    client.grow(inode, 20).await;
    let error = client.commit(blob, 2, Duration::from_millis(50)).await.unwrap_err();
    assert!(error.kind == ErrorKind::Busy && error.retry && error.server == "manager here", "{error}");
    let waiting = tokio::spawn({
        let client = Arc::clone(&client);
        async move { client.commit(blob, 2, LONG).await }
    });
    assert_eq!(client.size(inode).await, 0);
    let first = client.commit(blob, 1, LONG).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), first + 1);
    assert_eq!(client.size(inode).await, 20);
}

#[tokio::test]
async fn a_commit_that_waits_hears_that_its_volume_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let client = Arc::new(Client::new(&open(folder.path())).await);
    let inode = client.create("f").await;
    let blob = client.grow(inode, 10).await.blob;
    client.grow(inode, 20).await;
    let waiting = tokio::spawn({
        let client = Arc::clone(&client);
        async move { client.commit(blob, 2, LONG).await }
    });
    // Whether the commit comes first or the removal, its answer is the same.
    client.ask(Request::Volume(VolumeRequest::Remove("show".into()))).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_watch_answers_at_once_or_with_the_next_change_or_when_its_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let client = Arc::new(Client::new(&open(folder.path())).await);
    assert_eq!(client.watch(0, 0).await, [0u64; 0]);
    assert_eq!(client.watch(0, 20).await, [0u64; 0]);
    let waiting = tokio::spawn({
        let client = Arc::clone(&client);
        async move { client.watch(0, 50_000).await }
    });
    client.create("f").await;
    assert_eq!(waiting.await.unwrap(), [1]);
    client.create("g").await;
    assert_eq!(client.watch(0, 50_000).await, [1, 2]);
    assert_eq!(client.watch(1, 50_000).await, [2]);
}

#[tokio::test]
async fn many_writers_share_syncs_and_all_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let client = Arc::new(Client::new(&open(folder.path())).await);
    let mut writers = Vec::new();
    for writer in 0..64 {
        let client = Arc::clone(&client);
        writers.push(tokio::spawn(async move {
            let inode = client.create(&format!("f{writer}")).await;
            for size in 1..=4 {
                let ticket = client.grow(inode, size).await;
                client.commit(ticket.blob, ticket.entry.version.0, LONG).await.unwrap();
            }
            client.size(inode).await
        }));
    }
    for writer in writers {
        assert_eq!(writer.await.unwrap(), 4);
    }
    assert_eq!(client.watch(0, 0).await.len(), 100);
}

#[tokio::test]
async fn full_queues_say_busy_and_recover() {
    let folder = tempfile::tempdir().unwrap();
    let manager = open(folder.path());
    let client = Client::new(&manager).await;
    // The state thread is held up. The log thread fills its queue, then waits with a batch in its hands, and one more.
    let (release, held) = std::sync::mpsc::sync_channel::<()>(1);
    let (begun, begins) = std::sync::mpsc::sync_channel(1);
    let mut holding = Box::pin(manager.with_state(move |_| {
        begun.send(()).unwrap();
        held.recv().unwrap();
    }));
    assert!(futures_util::poll!(&mut holding).is_pending());
    begins.recv().unwrap();
    let mut waiting = Vec::new();
    let session = || Action::Session(SessionRequest::Open { host: String::new(), purpose: String::new() });
    let mut refused = None;
    for _ in 0..=READS_WAITING_MAX {
        let mut read = Box::pin({
            let manager = manager.clone();
            async move { manager.read(|_| ()).await }
        });
        match futures_util::poll!(&mut read) {
            std::task::Poll::Ready(Err(error)) => {
                refused = Some(error);
                break;
            }
            std::task::Poll::Ready(Ok(())) => panic!("read while the state thread was held up"),
            std::task::Poll::Pending => waiting.push(read),
        }
    }
    assert_eq!(refused.unwrap().kind, ErrorKind::Busy);
    let mut commands = Vec::new();
    let mut refused = None;
    // A batch, and the one behind it that it has looked for.
    for _ in 0..=COMMANDS_WAITING_MAX + COMMANDS_PER_COMMIT_MAX + 1 {
        let mut command = Box::pin({
            let (manager, action) = (manager.clone(), session());
            async move { manager.propose(action).await }
        });
        match futures_util::poll!(&mut command) {
            std::task::Poll::Ready(answer) => {
                refused = Some(answer.unwrap_err());
                break;
            }
            std::task::Poll::Pending => commands.push(command),
        }
    }
    assert_eq!(refused.unwrap().kind, ErrorKind::Busy);
    release.send(()).unwrap();
    holding.await.unwrap();
    for read in waiting {
        read.await.unwrap();
    }
    for command in commands {
        command.await.unwrap();
    }
    client.create("f").await;
}

#[tokio::test]
async fn requests_of_other_roles_and_unknown_things_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let manager = open(folder.path());
    let client = Client::new(&manager).await;
    let wrong = call(&manager, Request::Data(DataRequest::Sync { incarnation: weft_common::id::Incarnation(1) }), LONG)
        .await
        .unwrap_err();
    assert!(wrong.kind == ErrorKind::WrongServer && wrong.server == "manager here");
    let missing = call(&manager, Request::Volume(VolumeRequest::Get("nope".into())), LONG).await.unwrap_err();
    assert!(missing.kind == ErrorKind::NotFound && missing.message.contains("'nope'"));
    let session = weft_common::id::SessionId(99);
    let renew = |session| Request::Session(SessionRequest::Renew { session, renewal: weft_common::wire::Renewal::default() });
    let unknown = call(&manager, renew(session), LONG).await.unwrap_err();
    assert_eq!(unknown.kind, ErrorKind::SessionExpired);
    let renewed = client.ask(renew(client.session)).await;
    assert!(matches!(renewed, Ok(Reply::Session(SessionReply::Renewed { .. }))), "{renewed:?}");
    let Ok(Reply::Session(SessionReply::Sessions(list))) = client.ask(Request::Session(SessionRequest::List)).await else {
        panic!()
    };
    assert_eq!(list.iter().map(|info| info.session).collect::<Vec<_>>(), [client.session]);
    assert_eq!(client.ask(Request::Blob(BlobRequest::Lapsed)).await, Ok(Reply::Blob(BlobReply::Lapsed(vec![]))));
}
