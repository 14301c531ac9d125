//! What a large clone costs, on real files, and what the manager's other clients notice of it.

use super::durability::copy as copy_folder;
use super::{Client, LONG, dump, open};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use weft_common::id::{InodeNumber, ROOT_INODE};
use weft_common::name::FileName;
use weft_common::wire::*;

/// Files in the directory; 100,000 with `WEFT_LONG_TESTS`.
fn files() -> u64 {
    if std::env::var_os("WEFT_LONG_TESTS").is_some() { 100_000 } else { 2_000 }
}

impl Client {
    async fn change(&self, change: Change) -> ChangeReply {
        let change = NamespaceChange { volume: self.volume, key: self.key(), author: Author::default(), change };
        let Reply::Change(reply) = self.ask(Request::Change(change)).await.unwrap() else { panic!() };
        reply
    }

    async fn make(&self, parent: InodeNumber, name: String, inode: NewInode) -> InodeNumber {
        let name = FileName::new(name).unwrap();
        let create = Change::Create { parent, name, inode, mode: 0o644, uid: 1, gid: 1, exclusive: true, umask: 0 };
        self.change(create).await.attributes.unwrap().inode
    }

    async fn clone_tree(&self, source: InodeNumber, name: &str) -> ChangeReply {
        let (parent, name) = (ROOT_INODE, FileName::new(name).unwrap());
        self.change(Change::Clone { source, at: At::Head, parent, name }).await
    }
}

/// Makes `count` files with content in a directory, many at a time.
async fn fill(client: &Arc<Client>, count: u64) -> InodeNumber {
    let directory = client.make(ROOT_INODE, "shots".into(), NewInode::Directory).await;
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..64 {
        // Each with a session of its own: none has more answers to remember than a session may.
        let client = Client::of(&client.manager, client.volume).await;
        workers.spawn(async move {
            for index in (worker..count).step_by(64) {
                let inode = client.make(directory, format!("frame.{index:06}.exr"), NewInode::File).await;
                let blob = client.grow(inode, index + 1).await.blob;
                client.commit(blob, 1, LONG).await.unwrap();
            }
        });
    }
    workers.join_all().await;
    directory
}

/// The slowest answer to somebody else until `done`.
async fn slowest_answer(client: Arc<Client>, inode: InodeNumber, done: Arc<AtomicBool>) -> Duration {
    let mut slowest = Duration::ZERO;
    while !done.load(Ordering::Relaxed) {
        let asked = Instant::now();
        client.size(inode).await;
        slowest = slowest.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    slowest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_directory_is_cloned_in_one_version_and_stays_so_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let manager = open(folder.path());
    let client = Arc::new(Client::new(&manager).await);
    let count = files();
    let directory = fill(&client, count).await;
    let (done, other) = (Arc::new(AtomicBool::new(false)), Arc::new(Client::of(&manager, client.volume).await));
    let watcher = tokio::spawn(slowest_answer(other, directory, Arc::clone(&done)));

    let begun = Instant::now();
    let reply = client.clone_tree(directory, "copy").await;
    let first = begun.elapsed();
    let copy = reply.attributes.unwrap();
    assert_eq!((reply.version.0, copy.size), (2 * count + 2, count));
    let begun = Instant::now();
    client.clone_tree(copy.inode, "copy of the copy").await;
    let second = begun.elapsed();
    done.store(true, Ordering::Relaxed);
    let slowest = watcher.await.unwrap();
    println!("{count} files: clone {first:?}, clone of the clone {second:?}, slowest answer to others {slowest:?}");

    // The log holds the command and not its result: what is replayed after a crash is the same.
    let crashed = tempfile::tempdir().unwrap();
    copy_folder(folder.path(), crashed.path());
    let (volume, before) = (client.volume, dump(&manager).await);
    let begun = Instant::now();
    let again = open(crashed.path());
    assert_eq!(dump(&again).await, before);
    println!("opened again after {:?}", begun.elapsed());
    let client = Client::of(&again, volume).await;
    assert_eq!((client.size(copy.inode).await, client.size(directory).await), (count, count));
}
