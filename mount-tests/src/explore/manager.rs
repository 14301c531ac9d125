//! The real version manager, one command at a time.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use weft_common::id::{BlobId, BlobVersion, InodeNumber, ROOT_INODE, SessionId, VolumeId, VolumeVersion};
use weft_common::name::FileName;
use weft_common::time::Timestamp;
use weft_common::weave::{Geometry, Tree};
use weft_common::wire::{
    Author, BlobReply, Change, ChangeReply, NamespaceChange, NewInode, Reply, RequestKey, ServiceError, SessionReply,
    SessionRequest, Ticket, TicketRequest, VolumeReply, VolumeRequest, VolumeSettings,
};
use weft_server::version::blobs;
use weft_server::version::command::{Action, Command};
use weft_server::version::core::{Effect, Outcome, StateMachine};
use weft_server::version::failure::Failure;
use weft_server::version::kv::{Kv, MemoryKv, Order};
use weft_server::version::{namespace, table};

/// Its state. Copies are cheap; they share the table until one changes.
#[derive(Clone, Debug)]
pub struct Manager {
    table: Arc<MemoryKv>,
    digest: u64,
    pub volume: VolumeId,
    pub inode: InodeNumber,
}

impl Manager {
    /// One volume with one empty file.
    pub fn new(fan_out: u32) -> Self {
        let (volume, inode) = (VolumeId(0), InodeNumber(0));
        let mut manager = Self { table: Arc::default(), digest: 0, volume, inode };
        let settings = VolumeSettings { geometry: Geometry::new(super::menu::PAGE as u32, fan_out).unwrap(), copies: 1 };
        let create = VolumeRequest::Create { name: "v".into(), settings, owner: (0, 0) };
        let Ok(Reply::Volume(VolumeReply::Volume(info))) = manager.act(Action::Volume(create)).0 else {
            panic!("the volume was not created")
        };
        manager.volume = info.id;
        let session = manager.open_session();
        let (parent, name, inode) = (ROOT_INODE, file_name(), NewInode::File);
        let create = Change::Create { parent, name, inode, mode: 0o644, uid: 0, gid: 0, exclusive: true };
        manager.inode = manager.change(session, create).unwrap().attributes.unwrap().inode;
        manager
    }

    pub fn act(&mut self, action: Action) -> (Result<Reply, ServiceError>, Vec<Effect>) {
        let mut machine = StateMachine::open((*self.table).clone()).unwrap();
        let Outcome { reply, effects } = machine.apply(&Command { time: Timestamp(1), action }).unwrap();
        self.table = Arc::new(std::mem::take(machine.kv_mut()));
        let mut hasher = DefaultHasher::new();
        self.table
            .scan(&[], &[u8::MAX], Order::Ascending, &mut |key, value| {
                (key, value).hash(&mut hasher);
                true
            })
            .unwrap();
        self.digest = hasher.finish();
        (reply, effects)
    }

    pub fn digest(&self) -> u64 {
        self.digest
    }

    pub fn open_session(&mut self) -> SessionId {
        let open = SessionRequest::Open { host: String::new(), purpose: String::new() };
        match self.act(Action::Session(open)).0 {
            Ok(Reply::Session(SessionReply::Opened { session, .. })) => session,
            other => panic!("{other:?}"),
        }
    }

    pub fn close_session(&mut self, session: SessionId) {
        self.act(Action::Session(SessionRequest::Close(session))).0.unwrap();
    }

    pub fn is_open(&self, session: SessionId) -> bool {
        self.table.get(&table::session(session)).unwrap().is_some()
    }

    pub fn change(&mut self, session: SessionId, change: Change) -> Result<ChangeReply, ServiceError> {
        let key = RequestKey { session, sequence: 1, answered_below: 1 };
        let request = NamespaceChange { volume: self.volume, key, author: Author::default(), change };
        match self.act(Action::Change(request)).0? {
            Reply::Change(reply) => Ok(reply),
            other => panic!("{other:?}"),
        }
    }

    /// The file's content becomes that of volume version `to`.
    pub fn restore(&mut self, to: VolumeVersion) -> Result<ChangeReply, ServiceError> {
        let session = self.open_session();
        self.change(session, Change::Restore { parent: ROOT_INODE, name: file_name(), source: ROOT_INODE, to })
    }

    pub fn ticket(&mut self, request: TicketRequest) -> (Result<Ticket, ServiceError>, Vec<Effect>) {
        match self.act(Action::Ticket(Box::new(request))) {
            (Ok(Reply::Blob(BlobReply::Granted(ticket))), effects) => (Ok(*ticket), effects),
            (Err(error), effects) => (Err(error), effects),
            other => panic!("{other:?}"),
        }
    }

    pub fn commit(&mut self, blob: BlobId, version: BlobVersion) -> (Result<Reply, ServiceError>, Vec<Effect>) {
        self.act(Action::Commit { blob, version })
    }

    pub fn rebuild(&self, blob: BlobId, version: BlobVersion) -> Result<Ticket, ServiceError> {
        Failure::split(blobs::rebuild(&*self.table, blob, version)).unwrap()
    }

    /// Versions that are assigned and not committed.
    pub fn waiting(&self) -> Vec<(BlobId, BlobVersion)> {
        let mut found = Vec::new();
        blobs::waiting(&*self.table, &mut |waiting| {
            found.push((waiting.blob, waiting.version));
            true
        })
        .unwrap();
        found
    }

    /// The file's content as everybody sees it.
    pub fn tree(&self) -> Tree {
        namespace::head_attributes(&*self.table, self.volume, self.inode).unwrap().unwrap().tree.unwrap()
    }

    /// The newest volume version.
    pub fn latest(&self) -> VolumeVersion {
        namespace::latest(&*self.table, self.volume).unwrap()
    }
}

fn file_name() -> FileName {
    FileName::new("f").unwrap()
}
