//! The volume's own log: in which order everything became visible.

use crate::cluster::Cluster;
use crate::network::Site;
use std::sync::Arc;
use std::thread;
use weft_common::client::{ClientOptions, Namespace, Volume};
use weft_common::id::{ROOT_INODE, VolumeVersion};
use weft_common::rpc::Address;
use weft_common::transport::{Holder, Identity, QuicRpc};
use weft_common::wire::{At, ChangeKind, ChangeRecord, NamespaceAnswer, Query};

/// Changes in one answer.
const PAGE: u32 = 1024;

/// One version: what changed, and which operation did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The volume version.
    pub version: u64,
    /// The operation, if it was one.
    pub by: Option<u32>,
    /// What kind of change.
    pub kind: ChangeKind,
    /// The inode that changed.
    pub inode: u64,
    /// Its directory and name; for a rename the new ones.
    pub place: Option<(u64, String)>,
    /// For a rename the old ones.
    pub old_place: Option<(u64, String)>,
    /// For new content: the file's size.
    pub size: Option<u64>,
}

impl From<&ChangeRecord> for Change {
    fn from(record: &ChangeRecord) -> Self {
        let place = |place: &Option<(weft_common::id::InodeNumber, weft_common::name::FileName)>| {
            place.as_ref().map(|(directory, name)| (directory.0, name.to_string()))
        };
        Self {
            version: record.version.0,
            by: record.author.program.strip_prefix("op").and_then(|number| number.parse().ok()),
            kind: record.kind,
            inode: record.inode.0,
            place: place(&record.place),
            old_place: place(&record.old_place),
            size: record.content.map(|(_, _, size)| size),
        }
    }
}

/// Every change of a volume, oldest first.
///
/// # Panics
/// When the servers do not answer.
#[must_use]
pub fn changes(cluster: &Cluster, site: Option<&Site>, volume: &str) -> Vec<Change> {
    // A thread of its own moves to where the servers are, and the runtime's threads with it.
    thread::scope(|scope| {
        let fetching = scope.spawn(|| {
            if let Some(site) = site {
                site.enter().expect("the servers' network");
            }
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
            runtime.block_on(fetch(cluster, volume))
        });
        fetching.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

async fn fetch(cluster: &Cluster, volume: &str) -> Vec<Change> {
    let identity = Identity::load(&cluster.identity(), Holder::Client).expect("the cluster's certificates");
    let rpc = QuicRpc::new(&identity).expect("a QUIC endpoint");
    let options = ClientOptions { purpose: "test".to_owned(), ..ClientOptions::default() };
    let managers = vec![Address(cluster.manager().to_owned())];
    let connected = weft_common::client::Cluster::connect(Arc::new(rpc), managers, options).await.expect("a connection");
    let volume: Arc<Volume> = connected.open_volume(volume).await.expect("the volume");
    let (mut changes, mut after) = (Vec::new(), VolumeVersion(0));
    loop {
        let query = Query::VersionsOf { directory: ROOT_INODE, after, limit: PAGE };
        let NamespaceAnswer::Changes { changes: page, more } = volume.query(At::Head, query).await.expect("the log") else {
            panic!("another answer than was asked for");
        };
        after = page.last().map_or(after, |last| last.version);
        changes.extend(page.iter().map(Change::from));
        if !more {
            break;
        }
    }
    // An error means that the session lapses by itself.
    let _ = connected.close().await;
    changes
}
