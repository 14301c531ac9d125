//! The version manager's state machine, command by command: no thread, no log, no network, and what it would have logged is counted.

use crate::Outcome;
use weft_common::checksum::Digest;
use weft_common::id::{BlobId, BlobVersion, GroupId, InodeNumber, PageObjectId, ROOT_INODE, SessionId, VolumeId};
use weft_common::name::FileName;
use weft_common::time::Timestamp;
use weft_common::weave::{DataExtent, Operation, PageObject, Update};
use weft_common::wire::{
    At, Attributes, Author, BlobReply, Change, ChangeReply, NamespaceAnswer, NamespaceChange, NewInode, Query, Reply, RequestKey,
    SessionReply, SessionRequest, Ticket, TicketRequest, VolumeReply, VolumeRequest, VolumeSettings, encode,
};
use weft_server::version::command::{Action, Command};
use weft_server::version::core::StateMachine;
use weft_server::version::kv::Kv;
use weft_server::version::namespace;

/// Name of the volume that a clerk makes.
pub const VOLUME: &str = "show";
/// Nanoseconds between two commands, so that no two versions have one time.
const TICK: i64 = 1_000_000;

/// A version manager's state with one volume in it and one session that changes it.
#[derive(Debug)]
pub struct Clerk<K> {
    machine: StateMachine<K>,
    volume: VolumeId,
    session: SessionId,
    sequence: u64,
    objects: u64,
    time: i64,
    commands: u64,
    logged_bytes: u64,
}

/// What a clerk knows and the table does not.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    volume: VolumeId,
    session: SessionId,
    sequence: u64,
    objects: u64,
    time: i64,
}

impl<K: Kv> Clerk<K> {
    /// A new cluster in an empty table, with the volume [`VOLUME`].
    ///
    /// # Errors
    /// Those of the state machine.
    pub fn new(table: K, settings: VolumeSettings) -> Outcome<Self> {
        let machine = StateMachine::open(table)?;
        let (volume, session) = (VolumeId(0), SessionId(0));
        let mut clerk = Self { machine, volume, session, sequence: 0, objects: 0, time: 0, commands: 0, logged_bytes: 0 };
        let create = VolumeRequest::Create { name: VOLUME.into(), settings, owner: (0, 0) };
        match clerk.act(Action::Volume(create))? {
            Reply::Volume(VolumeReply::Volume(info)) => clerk.volume = info.id,
            other => return Err(unexpected("a volume", &other)),
        }
        clerk.session = clerk.open_session()?;
        Ok(clerk)
    }

    /// Gets up from the table, so that somebody else can sit down at it.
    #[must_use]
    pub fn leave(self) -> Seat {
        let Self { volume, session, sequence, objects, time, .. } = self;
        Seat { volume, session, sequence, objects, time }
    }

    /// Goes on where `seat` was left, at the same table.
    ///
    /// # Errors
    /// Those of the state machine.
    pub fn resume(seat: Seat, table: K) -> Outcome<Self> {
        let Seat { volume, session, sequence, objects, time } = seat;
        let machine = StateMachine::open(table)?;
        Ok(Self { machine, volume, session, sequence, objects, time, commands: 0, logged_bytes: 0 })
    }

    /// Applies one command.
    ///
    /// # Errors
    /// The refusal, or the table's failure.
    pub fn act(&mut self, action: Action) -> Outcome<Reply> {
        self.time += TICK;
        let command = Command { time: Timestamp(self.time), action };
        self.commands += 1;
        self.logged_bytes += encode(&command)?.len() as u64;
        Ok(self.machine.apply(&command)?.reply?)
    }

    /// A further client.
    ///
    /// # Errors
    /// `Busy` when there are as many as a cluster has.
    pub fn open_session(&mut self) -> Outcome<SessionId> {
        let open = SessionRequest::Open { host: "desk".into(), purpose: "mount /mnt/show".into() };
        match self.act(Action::Session(open))? {
            Reply::Session(SessionReply::Opened { session, .. }) => Ok(session),
            other => Err(unexpected("a session", &other)),
        }
    }

    /// Carries out a change of the namespace.
    ///
    /// # Errors
    /// As [`Clerk::act`].
    pub fn change(&mut self, change: Change) -> Outcome<ChangeReply> {
        let request = NamespaceChange { volume: self.volume, key: self.key(), author: author(), change };
        match self.act(Action::Change(request))? {
            Reply::Change(reply) => Ok(reply),
            other => Err(unexpected("the end of a change", &other)),
        }
    }

    /// Makes an empty file in the root directory.
    ///
    /// # Errors
    /// As [`Clerk::act`].
    pub fn create(&mut self, file: &str) -> Outcome<InodeNumber> {
        let (parent, name, inode) = (ROOT_INODE, FileName::new(file)?, NewInode::File);
        let change = Change::Create { parent, name, inode, mode: 0o644, uid: 1000, gid: 1000, exclusive: true, umask: 0 };
        Ok(self.change(change)?.attributes.ok_or("a new file without attributes")?.inode)
    }

    /// What a name of the root directory is.
    ///
    /// # Errors
    /// As [`Clerk::act`].
    pub fn look_up(&self, at: At, file: &str) -> Outcome<Attributes> {
        let query = Query::LookUp { parent: ROOT_INODE, name: FileName::new(file)? };
        match namespace::query(self.machine.kv(), self.volume, at, &query)? {
            NamespaceAnswer::Attributes(attributes) => Ok(attributes),
            other => Err(format!("a look-up was answered with {other:?}").into()),
        }
    }

    /// An update that writes `lengths` bytes at `offset`, each piece an object of its own.
    pub fn update(&mut self, offset: u64, pieces: &[u32]) -> Update {
        let mut update = Update::default();
        let mut offset = offset;
        for (place, length) in pieces.iter().enumerate() {
            self.objects += 1;
            let id = PageObjectId { session: self.session, sequence: self.objects };
            update.objects.push(PageObject { id, length: *length, digest: Digest(self.objects), group: GroupId(0) });
            update.data.push(DataExtent { offset, length: *length, object: place as u32, object_offset: 0 });
            offset += u64::from(*length);
        }
        update
    }

    /// Gets an update its place.
    ///
    /// # Errors
    /// As [`Clerk::act`].
    pub fn ticket(&mut self, inode: InodeNumber, update: Update) -> Outcome<Ticket> {
        let request = self.ticket_request(inode, update);
        match self.act(Action::Ticket(Box::new(request)))? {
            Reply::Blob(BlobReply::Granted(ticket)) => Ok(*ticket),
            other => Err(unexpected("a ticket", &other)),
        }
    }

    /// What a client would send for [`Clerk::ticket`].
    pub fn ticket_request(&mut self, inode: InodeNumber, update: Update) -> TicketRequest {
        let (key, modified) = (self.key(), Timestamp(self.time));
        let operation = Operation::Write(update);
        TicketRequest { volume: self.volume, inode, key, author: author(), operation, modified, copies: 1 }
    }

    /// Publishes a version whose nodes are stored.
    ///
    /// # Errors
    /// As [`Clerk::act`].
    pub fn commit(&mut self, blob: BlobId, version: BlobVersion) -> Outcome<()> {
        self.act(Action::Commit { blob, version }).map(drop)
    }

    /// The file's size becomes at least `bytes`, all of them zero, as one version without nodes of its own to store.
    pub fn growth(bytes: u64) -> Update {
        Update { grow_to: Some(bytes), ..Update::default() }
    }

    fn key(&mut self) -> RequestKey {
        self.sequence += 1;
        RequestKey { session: self.session, sequence: self.sequence, answered_below: self.sequence }
    }

    /// Counts commands anew.
    pub fn forget_count(&mut self) {
        self.commands = 0;
    }

    /// Commands so far.
    #[must_use]
    pub fn commands(&self) -> u64 {
        self.commands
    }

    /// Bytes of the commands so far, as the log would hold them.
    #[must_use]
    pub fn logged_bytes(&self) -> u64 {
        self.logged_bytes
    }

    /// The volume.
    #[must_use]
    pub fn volume(&self) -> VolumeId {
        self.volume
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> &K {
        self.machine.kv()
    }

    /// The table, for its checkpoints.
    pub fn table_mut(&mut self) -> &mut K {
        self.machine.kv_mut()
    }
}

/// Who makes the changes.
#[must_use]
pub fn author() -> Author {
    Author { uid: 1000, host: "desk".into(), program: "render".into() }
}

fn unexpected(wanted: &str, reply: &Reply) -> Box<dyn std::error::Error> {
    format!("expected {wanted}, got {reply:?}").into()
}
