//! The state machine over a table in memory.

mod collection;
mod fall_back;
mod golden;
mod idempotence;
mod locks;
mod model;
mod restore;
mod tickets;
mod volumes;

use crate::version::command::{Action, Command};
use crate::version::core::{Effect, Outcome, StateMachine};
use crate::version::kv::MemoryKv;
use crate::version::namespace::Readers;
use weft_common::checksum::Digest;
use weft_common::id::{BlobId, BlobVersion, GroupId, InodeNumber, PageObjectId, ROOT_INODE, SessionId, VolumeId};
use weft_common::name::FileName;
use weft_common::time::Timestamp;
use weft_common::weave::{DataExtent, Geometry, Operation, PageObject, Update};
use weft_common::wire::*;

/// A cluster with one volume and one session.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) machine: StateMachine<MemoryKv>,
    pub(super) volume: VolumeId,
    pub(super) session: SessionId,
    pub(super) sequence: u64,
    pub(super) objects: u64,
    pub(super) time: i64,
    pub(super) effects: Vec<Effect>,
}

pub(super) fn author() -> Author {
    Author { uid: 1000, host: "desk".into(), program: "test".into() }
}

pub(super) fn settings(copies: u8) -> VolumeSettings {
    VolumeSettings { geometry: Geometry::new(64 << 10, 4).unwrap(), copies }
}

pub(super) fn name(text: &str) -> FileName {
    FileName::new(text).unwrap()
}

impl Cluster {
    pub(super) fn new(copies: u8) -> Self {
        let machine = StateMachine::open(MemoryKv::default()).unwrap();
        let (volume, session) = (VolumeId(0), SessionId(0));
        let mut cluster = Self { machine, volume, session, sequence: 0, objects: 0, time: 1000, effects: Vec::new() };
        let create = VolumeRequest::Create { name: "show".into(), settings: settings(copies), owner: (0, 0) };
        match cluster.act(Action::Volume(create)) {
            Ok(Reply::Volume(VolumeReply::Volume(info))) => cluster.volume = info.id,
            other => panic!("{other:?}"),
        }
        cluster.session = cluster.open_session();
        cluster
    }

    pub(super) fn open_session(&mut self) -> SessionId {
        let open = SessionRequest::Open { host: "desk".into(), purpose: "test".into() };
        match self.act(Action::Session(open)) {
            Ok(Reply::Session(SessionReply::Opened { session, .. })) => session,
            other => panic!("{other:?}"),
        }
    }

    /// Applies an action one second later; the effects are kept in `effects`.
    pub(super) fn act(&mut self, action: Action) -> Result<Reply, ServiceError> {
        self.time += 1_000_000_000;
        let Outcome { reply, effects } = self.machine.apply(&Command { time: Timestamp(self.time), action }).unwrap();
        self.effects = effects;
        reply
    }

    pub(super) fn key(&mut self) -> RequestKey {
        self.sequence += 1;
        RequestKey { session: self.session, sequence: self.sequence, answered_below: self.sequence }
    }

    pub(super) fn change(&mut self, change: Change) -> Result<ChangeReply, ServiceError> {
        let request = NamespaceChange { volume: self.volume, key: self.key(), author: author(), change };
        match self.act(Action::Change(request))? {
            Reply::Change(reply) => Ok(reply),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn create(&mut self, file: &str) -> InodeNumber {
        let (parent, name, inode) = (ROOT_INODE, name(file), NewInode::File);
        let change = Change::Create { parent, name, inode, mode: 0o644, uid: 1000, gid: 1000, exclusive: true, umask: 0 };
        self.change(change).unwrap().attributes.unwrap().inode
    }

    /// An update that puts `length` bytes at `offset`.
    pub(super) fn update(&mut self, offset: u64, length: u32) -> Update {
        self.objects += 1;
        let id = PageObjectId { session: self.session, sequence: self.objects };
        let objects = vec![PageObject { id, length, digest: Digest(self.objects), group: GroupId(1) }];
        let data = vec![DataExtent { offset, length, object: 0, object_offset: 0 }];
        Update { objects, data, ..Update::default() }
    }

    pub(super) fn request(&mut self, inode: InodeNumber, operation: Operation) -> TicketRequest {
        let (key, modified) = (self.key(), Timestamp(self.time));
        TicketRequest { volume: self.volume, inode, key, author: author(), operation, modified, copies: 1 }
    }

    pub(super) fn ticket_for(&mut self, request: TicketRequest) -> Result<Ticket, ServiceError> {
        match self.act(Action::Ticket(Box::new(request)))? {
            Reply::Blob(BlobReply::Granted(ticket)) => Ok(*ticket),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn ticket(&mut self, inode: InodeNumber, operation: Operation) -> Result<Ticket, ServiceError> {
        let request = self.request(inode, operation);
        self.ticket_for(request)
    }

    pub(super) fn write(&mut self, inode: InodeNumber, offset: u64, length: u32) -> Ticket {
        let update = self.update(offset, length);
        self.ticket(inode, Operation::Write(update)).unwrap()
    }

    pub(super) fn commit(&mut self, blob: BlobId, version: u64) -> Result<BlobReply, ServiceError> {
        match self.act(Action::Commit { blob, version: BlobVersion(version) })? {
            Reply::Blob(reply) => Ok(reply),
            other => panic!("{other:?}"),
        }
    }

    /// The blob versions that the last action published, with the N that each became.
    pub(super) fn published(&self) -> Vec<(u64, Option<u64>)> {
        let published = self.effects.iter().filter_map(|effect| match effect {
            Effect::Published { version, became, .. } => Some((version.0, became.map(|version| version.0))),
            _ => None,
        });
        published.collect()
    }

    /// A step of collection: what is offered, and whether there is more. Everybody is known to have let go of what was let go of
    /// until epoch `through`.
    pub(super) fn collect(&mut self, volume: VolumeId, through: u64) -> (Vec<CollectionJob>, bool) {
        self.collect_with(volume, Readers { through, ..Readers::default() })
    }

    pub(super) fn collect_with(&mut self, volume: VolumeId, readers: Readers) -> (Vec<CollectionJob>, bool) {
        let (jobs, more, _) = self.collect_behind(volume, 0, readers);
        (jobs, more)
    }

    /// Of blobs behind number `after`; and where those begin that were not looked at.
    pub(super) fn collect_behind(
        &mut self,
        volume: VolumeId,
        after: u64,
        readers: Readers,
    ) -> (Vec<CollectionJob>, bool, Option<u64>) {
        match self.act(Action::Collect(volume, after, Box::new(readers))).unwrap() {
            Reply::History(HistoryReply::Work { jobs, more, next }) => (jobs, more, next),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn attributes(&self, inode: InodeNumber) -> Attributes {
        super::namespace::head_attributes(self.machine.kv(), self.volume, inode).unwrap().unwrap()
    }

    pub(super) fn latest(&self) -> u64 {
        super::namespace::latest(self.machine.kv(), self.volume).unwrap().0
    }
}

pub(super) fn kind<T: std::fmt::Debug>(result: Result<T, ServiceError>) -> ErrorKind {
    result.unwrap_err().kind
}
