//! The manager on real files, and on logs that fail.

mod clones;
mod durability;
mod leases;
mod soft;
mod waiting;

use super::{Manager, ManagerOptions};
use crate::version::kv::{Kv, Order};
use bytes::Bytes;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use weft_common::id::{BlobId, BlobVersion, InodeNumber, ROOT_INODE, RequestId, SessionId, VolumeId};
use weft_common::name::FileName;
use weft_common::rpc::{Call, Peer};
use weft_common::time::Timestamp;
use weft_common::weave::{Geometry, Operation, Update};
use weft_common::wire::*;

const LONG: Duration = Duration::from_secs(60);

/// A client of a manager with one volume.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) manager: Manager,
    pub(super) volume: VolumeId,
    session: SessionId,
    sequence: AtomicU64,
}

/// Never checkpoints by itself.
pub(super) fn options() -> ManagerOptions {
    ManagerOptions {
        server: "manager here".into(),
        checkpoint_every: LONG * 60,
        checkpoint_commands: u64::MAX,
        ..ManagerOptions::default()
    }
}

pub(super) fn open(folder: &Path) -> Manager {
    Manager::open(folder, options()).unwrap()
}

pub(super) async fn call(manager: &Manager, request: Request, deadline: Duration) -> Result<Reply, ServiceError> {
    let peer = Peer { name: "local".into(), is_server: false };
    let call = Call { id: RequestId(7), request, body: Bytes::new(), deadline };
    manager.handle(&peer, call).await.map(|answer| answer.reply)
}

/// Every record of the table.
pub(super) async fn dump(manager: &Manager) -> Vec<(Vec<u8>, Vec<u8>)> {
    let read = manager.read(|state| {
        let mut all = Vec::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            all.push((key.to_vec(), value.to_vec()));
            true
        };
        state.kv().scan(&[0], &[0xff], Order::Ascending, &mut visit).unwrap();
        all
    });
    read.await.unwrap()
}

impl Client {
    pub(super) async fn new(manager: &Manager) -> Self {
        let settings = VolumeSettings { geometry: Geometry::new(64 << 10, 4).unwrap(), copies: 1 };
        let create = VolumeRequest::Create { name: "show".into(), settings, owner: (0, 0) };
        let Reply::Volume(VolumeReply::Volume(info)) = call(manager, Request::Volume(create), LONG).await.unwrap() else {
            panic!()
        };
        Self::of(manager, info.id).await
    }

    pub(super) async fn of(manager: &Manager, volume: VolumeId) -> Self {
        let open = SessionRequest::Open { host: "desk".into(), purpose: "test".into() };
        let Ok(Reply::Session(SessionReply::Opened { session, .. })) = call(manager, Request::Session(open), LONG).await else {
            panic!()
        };
        Self { manager: manager.clone(), volume, session, sequence: AtomicU64::new(0) }
    }

    fn key(&self) -> RequestKey {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        RequestKey { session: self.session, sequence, answered_below: 0 }
    }

    pub(super) async fn ask(&self, request: Request) -> Result<Reply, ServiceError> {
        call(&self.manager, request, LONG).await
    }

    pub(super) async fn create(&self, name: &str) -> InodeNumber {
        let (parent, name) = (ROOT_INODE, FileName::new(name).unwrap());
        let change =
            Change::Create { parent, name, inode: NewInode::File, mode: 0o644, uid: 1, gid: 1, exclusive: true, umask: 0 };
        let change = NamespaceChange { volume: self.volume, key: self.key(), author: Author::default(), change };
        let Reply::Change(reply) = self.ask(Request::Change(change)).await.unwrap() else { panic!() };
        reply.attributes.unwrap().inode
    }

    /// A ticket for growing the file to `size`.
    pub(super) async fn grow(&self, inode: InodeNumber, size: u64) -> Ticket {
        let operation = Operation::Write(Update { grow_to: Some(size), ..Update::default() });
        let (volume, key, author) = (self.volume, self.key(), Author::default());
        let request = TicketRequest { volume, inode, key, author, operation, modified: Timestamp(9), copies: 1 };
        let request = Request::Blob(BlobRequest::Ticket(Box::new(request)));
        let Reply::Blob(BlobReply::Granted(ticket)) = self.ask(request).await.unwrap() else { panic!() };
        *ticket
    }

    pub(super) async fn commit(&self, blob: BlobId, version: u64, deadline: Duration) -> Result<u64, ServiceError> {
        let request = Request::Blob(BlobRequest::Commit { blob, version: BlobVersion(version), maker: None });
        match call(&self.manager, request, deadline).await? {
            Reply::Blob(BlobReply::Published { version, .. }) => Ok(version.0),
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn size(&self, inode: InodeNumber) -> u64 {
        let query = NamespaceQuery { volume: self.volume, at: At::Head, query: Query::Attributes(inode) };
        let Reply::Query(NamespaceAnswer::Attributes(attributes)) = self.ask(Request::Query(query)).await.unwrap() else {
            panic!()
        };
        attributes.size
    }

    pub(super) async fn watch(&self, after: u64, wait_ms: u32) -> Vec<u64> {
        let query = Query::Watch { after: weft_common::id::VolumeVersion(after), limit: 100, wait_ms };
        let query = NamespaceQuery { volume: self.volume, at: At::Head, query };
        let Reply::Query(NamespaceAnswer::Changes { changes, .. }) = self.ask(Request::Query(query)).await.unwrap() else {
            panic!()
        };
        changes.into_iter().map(|change| change.version.0).collect()
    }
}
