//! The real version manager, one command at a time.

use super::thinning::File;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use weft_common::id::{BlobId, BlobVersion, InodeNumber, ROOT_INODE, SessionId, VolumeId, VolumeVersion};
use weft_common::name::FileName;
use weft_common::time::Timestamp;
use weft_common::weave::{Geometry, Tree};
use weft_common::wire::{
    At, Author, BlobReply, Change, ChangeReply, CollectionJob, HistoryReply, NamespaceAnswer, NamespaceChange, NewInode, Query,
    Reply, RequestKey, ServiceError, SessionReply, SessionRequest, Ticket, TicketRequest, VersionRange, VolumeReply,
    VolumeRequest, VolumeSettings,
};
use weft_server::version::blobs;
use weft_server::version::command::{Action, Command};
use weft_server::version::core::{Effect, Outcome, StateMachine};
use weft_server::version::failure::Failure;
use weft_server::version::kv::{Kv, MemoryKv, Order};
use weft_server::version::namespace::Readers;
use weft_server::version::{garbage, namespace, table};

/// Its state. Copies are cheap; they share the table until one changes.
#[derive(Clone, Debug)]
pub struct Manager {
    table: Arc<MemoryKv>,
    /// Of all rows but the epoch's.
    rows: u64,
    pub volume: VolumeId,
    pub inode: InodeNumber,
}

impl Manager {
    /// One volume with one empty file.
    pub fn new(fan_out: u32) -> Self {
        let (volume, inode) = (VolumeId(0), InodeNumber(0));
        let mut manager = Self { table: Arc::default(), rows: 0, volume, inode };
        let settings = VolumeSettings { geometry: Geometry::new(super::menu::PAGE as u32, fan_out).unwrap(), copies: 1 };
        let create = VolumeRequest::Create { name: "v".into(), settings, owner: (0, 0) };
        let Ok(Reply::Volume(VolumeReply::Volume(info))) = manager.act(Action::Volume(create)).0 else {
            panic!("the volume was not created")
        };
        manager.volume = info.id;
        let session = manager.open_session();
        let (parent, name, inode) = (ROOT_INODE, file_name(), NewInode::File);
        let create = Change::Create { parent, name, inode, mode: 0o644, uid: 0, gid: 0, exclusive: true, umask: 0 };
        manager.inode = manager.change(session, create).unwrap().attributes.unwrap().inode;
        manager
    }

    pub fn act(&mut self, action: Action) -> (Result<Reply, ServiceError>, Vec<Effect>) {
        let takes_note = matches!(action, Action::Change(_) | Action::Commit { .. } | Action::Thin { .. } | Action::Collect(..));
        let mut machine = StateMachine::open((*self.table).clone()).unwrap();
        let Outcome { reply, effects } = machine.apply(&Command { time: Timestamp(1), action }).unwrap();
        let (epoch, table) = (self.epoch(), std::mem::take(machine.kv_mut()));
        let rows = digest_of(&table);
        if rows != self.rows {
            (self.table, self.rows) = (Arc::new(table), rows);
            if !takes_note {
                self.set_epoch(epoch);
            }
        }
        (reply, effects)
    }

    pub fn digest(&self) -> (u64, u64) {
        (self.rows, self.epoch())
    }

    /// Commands are counted to tell what came first. Those that note no epoch are not counted here, nor those that do nothing:
    /// nobody can tell the difference, and the states are fewer.
    fn set_epoch(&mut self, epoch: u64) {
        let table: &mut MemoryKv = Arc::make_mut(&mut self.table);
        table::put(table, &table::epoch(), &epoch).unwrap();
    }

    pub fn epoch(&self) -> u64 {
        table::get(&*self.table, &table::epoch()).unwrap().unwrap_or(0)
    }

    /// `first..=last` are not kept any more.
    pub fn thin(&mut self, first: u64, last: u64) {
        let range = VersionRange { first: VolumeVersion(first), last: VolumeVersion(last) };
        self.act(Action::Thin { volume: self.volume, directory: ROOT_INODE, ranges: vec![range] }).0.unwrap();
    }

    pub fn wants_step(&self, readers: &Readers) -> bool {
        garbage::look(&*self.table, self.volume, 0, readers).unwrap() != garbage::Look::Nothing
    }

    /// A step of collection. What is to be collected.
    pub fn work(&mut self, readers: Readers) -> Vec<CollectionJob> {
        match self.act(Action::Collect(self.volume, 0, Box::new(readers))).0 {
            Ok(Reply::History(HistoryReply::Work { jobs, .. })) => jobs,
            other => panic!("{other:?}"),
        }
    }

    pub fn collected(&mut self, blob: BlobId, version: BlobVersion) {
        self.act(Action::Collected(blob, version)).0.unwrap();
    }

    /// Whether anything waits for collection.
    pub fn has_garbage(&self) -> bool {
        let (thinned, is_purging) = namespace::waiting(&*self.table, self.volume).unwrap();
        let nameless = namespace::orphans(&*self.table, self.volume, InodeNumber(0), 1).unwrap();
        thinned > 0 || is_purging || !nameless.is_empty() || !self.marked().is_empty()
    }

    /// The keys of the marks.
    pub fn marked(&self) -> BTreeSet<Vec<u8>> {
        self.keys(table::marked_of_volume(self.volume))
    }

    /// Here a planted bug loses the marks that are new.
    pub fn unmark_but(&mut self, marked: &BTreeSet<Vec<u8>>) {
        let lost: Vec<_> = self.marked().difference(marked).cloned().collect();
        self.delete(&lost);
    }

    /// Here a planted bug loses what holds a clone's origin.
    pub fn unpin(&mut self, clone: BlobId) {
        let (from, to) = table::pins_of(BlobId { number: 0, ..clone });
        let pins = self.keys((from, table::pins_of(BlobId { number: u64::MAX, ..clone }).1.max(to)));
        self.delete(&pins.into_iter().filter(|key| key.ends_with(&clone.number.to_be_bytes())).collect::<Vec<_>>());
    }

    fn keys(&self, (from, to): (Vec<u8>, Vec<u8>)) -> BTreeSet<Vec<u8>> {
        let mut keys = BTreeSet::new();
        self.table
            .scan(&from, &to, Order::Ascending, &mut |key, _| {
                keys.insert(key.to_vec());
                true
            })
            .unwrap();
        keys
    }

    fn delete(&mut self, keys: &[Vec<u8>]) {
        keys.iter().for_each(|key| Arc::make_mut(&mut self.table).delete(key).unwrap());
        self.rows = digest_of(&self.table);
    }

    pub fn is_kept(&self, n: u64) -> bool {
        let query = Query::Version { directory: ROOT_INODE, version: VolumeVersion(n) };
        namespace::query(&*self.table, self.volume, At::Head, &query).is_ok()
    }

    /// The content that the file has at a version, or now.
    pub fn look_up(&self, n: Option<u64>) -> Result<Tree, String> {
        let at = n.map_or(At::Head, |n| At::Version(VolumeVersion(n)));
        match namespace::query(&*self.table, self.volume, at, &Query::Attributes(self.inode)) {
            Ok(NamespaceAnswer::Attributes(attributes)) => Ok(attributes.tree.unwrap()),
            other => Err(format!("{other:?}")),
        }
    }

    /// A copy of the file as it was.
    pub fn clone_file(&mut self, n: u64) -> Result<Tree, ServiceError> {
        let (source, at, name) = (self.inode, At::Version(VolumeVersion(n)), FileName::new(COPY).unwrap());
        let session = self.open_session();
        let reply = self.change(session, Change::Clone { source, at, parent: ROOT_INODE, name });
        self.close_session(session);
        reply.map(|reply| reply.attributes.unwrap().tree.unwrap())
    }

    pub fn unlink(&mut self, file: File) -> Result<ChangeReply, ServiceError> {
        let name = if file == File::Copy { FileName::new(COPY).unwrap() } else { file_name() };
        let session = self.open_session();
        let reply = self.change(session, Change::Unlink { parent: ROOT_INODE, name });
        self.close_session(session);
        reply
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

/// The name of the copy.
const COPY: &str = "g";

fn digest_of(kv: &MemoryKv) -> u64 {
    let (mut hasher, epoch) = (DefaultHasher::new(), table::epoch());
    kv.scan(&[], &[u8::MAX], Order::Ascending, &mut |key, value| {
        if key != epoch {
            (key, value).hash(&mut hasher);
        }
        true
    })
    .unwrap();
    hasher.finish()
}

fn file_name() -> FileName {
    FileName::new("f").unwrap()
}
