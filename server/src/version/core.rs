//! The state machine: a command in, a reply and its effects out. Pure: it asks for no time, no randomness, no I/O but its table.
//!
//! Time is made monotone here: a command that was proposed by a clock that had been set back happens at the time of the
//! newest command before it. So the times of volume versions never fall while N rises.
//!
//! A refused command leaves everything as it was, the clock apart. A [`KvError`] is fatal.

use crate::placement;
use crate::version::command::{Action, Command};
use crate::version::failure::Failure;
use crate::version::kv::{Kv, KvError};
use crate::version::namespace::{self, VolumeTxn};
use crate::version::sessions::{Admission, Remembered, admit};
use crate::version::{blobs, garbage, locks, sessions, table, volumes};
use serde::{Deserialize, Serialize};
use weft_common::id::{BlobId, BlobVersion, InodeNumber, SessionId, VolumeId, VolumeVersion};
use weft_common::limits::SESSION_LEASE;
use weft_common::time::Timestamp;
use weft_common::wire::{
    Author, BlobReply, ChangeReply, ErrorKind, HistoryReply, NamespaceChange, OpenSessions, Reply, ServiceError, SessionReply,
    SessionRequest, VolumeReply, VolumeRequest,
};

/// What a command did that somebody beside its proposer wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A ticket was given.
    Assigned {
        /// The blob.
        blob: BlobId,
        /// The version.
        version: BlobVersion,
    },
    /// A blob version was published.
    Published {
        /// The blob.
        blob: BlobId,
        /// The version.
        version: BlobVersion,
        /// The volume version it became, if any.
        became: Option<VolumeVersion>,
    },
    /// A volume has a new newest version.
    Changed {
        /// The volume.
        volume: VolumeId,
        /// Its newest version.
        version: VolumeVersion,
    },
    /// Something changed that a lease on this directory covers.
    Touched {
        /// The volume.
        volume: VolumeId,
        /// The directory.
        directory: InodeNumber,
    },
    /// A volume is gone, with all that waits for something in it.
    Removed(VolumeId),
    /// A session was opened.
    Opened(SessionId),
    /// A session was closed.
    Closed(SessionId),
    /// Something of a file is not locked any more, or less strictly.
    Unlocked(VolumeId, InodeNumber),
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// For its proposer.
    pub reply: Result<Reply, ServiceError>,
    /// For everybody else.
    pub effects: Vec<Effect>,
}

/// The counters and the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Meta {
    time: Timestamp,
    next_volume: u32,
    next_session: u64,
    open_sessions: u64,
}

/// The version manager's state.
#[derive(Debug)]
pub struct StateMachine<K> {
    kv: K,
    meta: Meta,
    epoch: u64,
}

impl<K: Kv> StateMachine<K> {
    /// The state that `kv` holds; an empty table is a new cluster.
    ///
    /// # Errors
    /// [`KvError`] is fatal.
    pub fn open(kv: K) -> Result<Self, KvError> {
        let new = Meta { time: Timestamp(i64::MIN), next_volume: 1, next_session: 1, open_sessions: 0 };
        let meta = table::get(&kv, &table::meta())?.unwrap_or(new);
        let epoch = garbage::epoch(&kv)?;
        Ok(Self { kv, meta, epoch })
    }

    /// The table, for reads.
    #[must_use]
    pub fn kv(&self) -> &K {
        &self.kv
    }

    /// The table, for its owner's checkpoints.
    pub fn kv_mut(&mut self) -> &mut K {
        &mut self.kv
    }

    /// How many commands it carried out in its life.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The time of the newest command that was carried out; it never falls.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.meta.time
    }

    /// Which sessions are open, and the number of the next one.
    ///
    /// # Errors
    /// [`KvError`] is fatal.
    pub fn open_sessions(&self) -> Result<OpenSessions, KvError> {
        let open = sessions::list(&self.kv)?.into_iter().map(|info| info.session).collect();
        Ok(OpenSessions { open, next: SessionId(self.meta.next_session) })
    }

    /// Carries out a command.
    ///
    /// # Errors
    /// [`KvError`] is fatal: the state is not to be used any more.
    pub fn apply(&mut self, command: &Command) -> Result<Outcome, KvError> {
        self.meta.time = self.meta.time.max(command.time);
        self.epoch += 1;
        table::put(&mut self.kv, &table::epoch(), &self.epoch)?;
        let mut effects = Vec::new();
        let reply = Failure::split(self.act(&command.action, &mut effects))?;
        table::put(&mut self.kv, &table::meta(), &self.meta)?;
        Ok(Outcome { reply, effects })
    }

    fn act(&mut self, action: &Action, effects: &mut Vec<Effect>) -> Result<Reply, Failure> {
        let now = self.meta.time;
        match action {
            Action::Volume(request) => self.volume(request, effects).map(Reply::Volume),
            Action::Session(request) => self.session(request, effects).map(Reply::Session),
            Action::Change(change) => change_namespace(&mut self.kv, now, change, effects).map(Reply::Change),
            Action::Ticket(request) => {
                let ticket = blobs::ticket(&mut self.kv, now, request, effects)?;
                Ok(Reply::Blob(BlobReply::Granted(Box::new(ticket))))
            }
            Action::Commit { blob, version } => {
                let reply = blobs::commit(&mut self.kv, now, (*blob, *version), effects);
                push_newest(effects);
                reply.map(Reply::Blob)
            }
            Action::Lock(request) => locks::apply(&mut self.kv, request, effects).map(Reply::Lock),
            Action::Placement(request) => placement::core::apply(&mut self.kv, now, request).map(Reply::Placement),
            Action::SetPolicy { .. } | Action::Thin { .. } | Action::Collect(..) | Action::Collected(..) => {
                self.history(action).map(Reply::History)
            }
        }
    }

    fn history(&mut self, action: &Action) -> Result<HistoryReply, Failure> {
        match action {
            Action::SetPolicy { volume, directory, policy } => {
                volumes::settings(&self.kv, *volume)?;
                namespace::set_policy(&mut self.kv, *volume, *directory, *policy)?;
                Ok(HistoryReply::Done)
            }
            Action::Thin { volume, directory, ranges } => {
                volumes::settings(&self.kv, *volume)?;
                let author = Author::default();
                let mut txn = VolumeTxn::open(&mut self.kv, *volume, self.meta.time, &author)?;
                Ok(HistoryReply::Thinned { versions: namespace::thin(&mut txn, *directory, ranges)? })
            }
            Action::Collect(volume, after, readers) => {
                let garbage::Work { jobs, more, next } = garbage::step(&mut self.kv, *volume, *after, readers)?;
                volumes::forget_if_empty(&mut self.kv, *volume)?;
                Ok(HistoryReply::Work { jobs, more, next })
            }
            Action::Collected(blob, version) => {
                garbage::collected(&mut self.kv, *blob, *version)?;
                Ok(HistoryReply::Done)
            }
            _ => Err(Failure::refuse(ErrorKind::Internal, "no action of the history")),
        }
    }

    fn volume(&mut self, request: &VolumeRequest, effects: &mut Vec<Effect>) -> Result<VolumeReply, Failure> {
        if let Some(reply) = volumes::query(&self.kv, request)? {
            return Ok(reply);
        }
        match request {
            VolumeRequest::Create { name, settings, owner } => {
                let id = VolumeId(self.meta.next_volume);
                let info = volumes::create(&mut self.kv, id, name, *settings, *owner, self.meta.time)?;
                self.meta.next_volume += 1;
                Ok(VolumeReply::Volume(info))
            }
            VolumeRequest::Set { name, settings } => volumes::set(&mut self.kv, name, *settings).map(VolumeReply::Volume),
            VolumeRequest::Remove(name) => {
                effects.push(Effect::Removed(volumes::remove(&mut self.kv, name)?));
                Ok(VolumeReply::Removed)
            }
            VolumeRequest::List | VolumeRequest::Get(_) => {
                Err(Failure::refuse(ErrorKind::Internal, "a volume query had no answer"))
            }
        }
    }

    fn session(&mut self, request: &SessionRequest, effects: &mut Vec<Effect>) -> Result<SessionReply, Failure> {
        match request {
            SessionRequest::Open { host, purpose } => {
                let session = SessionId(self.meta.next_session);
                sessions::open(&mut self.kv, session, self.meta.open_sessions, host, purpose, self.meta.time)?;
                self.meta.next_session += 1;
                self.meta.open_sessions += 1;
                effects.push(Effect::Opened(session));
                Ok(SessionReply::Opened { session, lease: SESSION_LEASE })
            }
            SessionRequest::Close(session) => {
                if sessions::close(&mut self.kv, *session)? {
                    self.meta.open_sessions -= 1;
                    let unlocked = locks::forget_session(&mut self.kv, *session)?;
                    effects.extend(unlocked.into_iter().map(|(volume, inode)| Effect::Unlocked(volume, inode)));
                    effects.push(Effect::Closed(*session));
                }
                Ok(SessionReply::Done)
            }
            SessionRequest::Renew { .. } => Err(Failure::refuse(ErrorKind::InvalidArgument, "renewals are not logged")),
            SessionRequest::List => Ok(SessionReply::Sessions(sessions::list(&self.kv)?)),
        }
    }
}

/// Carries out a change of the namespace once.
fn change_namespace(
    kv: &mut dyn Kv,
    now: Timestamp,
    request: &NamespaceChange,
    effects: &mut Vec<Effect>,
) -> Result<ChangeReply, Failure> {
    let admitted = match admit(kv, request.key, &request.author)? {
        Admission::New(admitted) => admitted,
        Admission::Repeated(Remembered::Change(reply)) => return Ok(reply),
        Admission::Repeated(Remembered::Refused(error)) => return Err(error.into()),
        Admission::Repeated(Remembered::Ticket(..) | Remembered::Lock(_)) => {
            let message = format!("sequence {} of {} was another change", request.key.sequence, request.key.session);
            return Err(Failure::refuse(ErrorKind::InvalidArgument, message));
        }
    };
    let (reply, done) = match carry_out(kv, now, request) {
        Ok(done) => done,
        Err(failure) => return admitted.refuse(kv, failure),
    };
    admitted.remember(kv, &Remembered::Change(reply.clone()))?;
    effects.extend(done);
    Ok(reply)
}

fn carry_out(kv: &mut dyn Kv, now: Timestamp, request: &NamespaceChange) -> Result<(ChangeReply, Vec<Effect>), Failure> {
    let volume = request.volume;
    let settings = volumes::settings(kv, volume)?;
    let mut txn = VolumeTxn::open(kv, volume, now, &request.author)?;
    let reply = namespace::apply(&mut txn, &request.change, &settings)?;
    let (version, touched) = txn.finish()?;
    let touched = touched.into_iter().map(|directory| Effect::Touched { volume, directory });
    Ok((reply, touched.chain([Effect::Changed { volume, version }]).collect()))
}

/// The last of the versions that were published is what watchers of the volume wait for.
fn push_newest(effects: &mut Vec<Effect>) {
    let newest = effects.iter().rev().find_map(|effect| match effect {
        Effect::Published { blob, became: Some(version), .. } => Some((blob.volume, *version)),
        _ => None,
    });
    if let Some((volume, version)) = newest {
        effects.push(Effect::Changed { volume, version });
    }
}
