//! Locks on ranges of files, for all mounts.
//!
//! They are part of the replicated state: a lock that was granted is still held after a restart, and nobody has to claim it
//! again. What goes with a session is found by `LOCKED_BY` rows, so that its end costs what it held and not what all hold.
//! Who *waits* for a lock is soft (`service/lock_waits.rs`): a client asks again.

use crate::version::core::Effect;
use crate::version::failure::Failure;
use crate::version::kv::{Kv, KvError};
use crate::version::sessions::{Admission, Remembered, admit};
use crate::version::{namespace, table, volumes};
use std::collections::BTreeSet;
use weft_common::file_locks;
use weft_common::id::{InodeNumber, SessionId, VolumeId};
use weft_common::limits::{LOCKED_FILES_PER_SESSION_MAX, LOCKS_PER_FILE_MAX};
use weft_common::wire::{
    At, Attributes, Author, ErrorKind, FileLock, LockKind, LockOwner, LockRange, LockReply, LockRequest, NamespaceAnswer, Query,
    RequestKey,
};

/// A file that may have locks.
pub(crate) type Place = (VolumeId, InodeNumber);

/// The locks of a file.
pub(crate) fn of_file(kv: &dyn Kv, place: Place) -> Result<Vec<FileLock>, KvError> {
    Ok(table::get(kv, &table::locks(place.0, place.1))?.unwrap_or_default())
}

/// What would keep `wanted` from being taken.
pub(crate) fn in_the_way(kv: &dyn Kv, place: Place, wanted: &FileLock) -> Result<Vec<FileLock>, KvError> {
    Ok(file_locks::all_in_the_way(&of_file(kv, place)?, wanted).copied().collect())
}

/// The file as it is now; `None` if it has no name any more.
pub(crate) fn file(kv: &dyn Kv, (volume, inode): Place) -> Result<Option<Box<Attributes>>, Failure> {
    let answer = namespace::query(kv, volume, At::Head, &Query::Attributes(inode)).map_err(Failure::from);
    match answer {
        Ok(NamespaceAnswer::Attributes(attributes)) => Ok(Some(Box::new(attributes))),
        Ok(_) => Err(Failure::refuse(ErrorKind::Internal, "attributes were asked for and something else was told")),
        Err(Failure::Service(error)) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Takes or gives back, once.
pub(crate) fn apply(kv: &mut dyn Kv, request: &LockRequest, effects: &mut Vec<Effect>) -> Result<LockReply, Failure> {
    let (key, owner, place) = match request {
        LockRequest::Take { volume, inode, key, lock, .. } => (key, lock.owner, (*volume, *inode)),
        LockRequest::Release { volume, inode, key, owner, .. } => (key, *owner, (*volume, *inode)),
        LockRequest::Cancel { .. } | LockRequest::Test { .. } => {
            return Err(Failure::refuse(ErrorKind::InvalidArgument, "only taking and giving back of locks is logged"));
        }
    };
    check(request, key, owner)?;
    let admitted = match admit(kv, *key, &Author::default())? {
        Admission::New(admitted) => admitted,
        Admission::Repeated(Remembered::Lock(reply)) => return Ok(reply),
        Admission::Repeated(Remembered::Refused(error)) => return Err(error.into()),
        Admission::Repeated(Remembered::Change(_) | Remembered::Ticket(..)) => {
            let message = format!("sequence {} of {} was another change", key.sequence, key.session);
            return Err(Failure::refuse(ErrorKind::InvalidArgument, message));
        }
    };
    let done = match request {
        LockRequest::Take { lock, .. } => take(kv, place, *lock, effects),
        LockRequest::Release { range, .. } => release(kv, place, owner, *range, effects),
        LockRequest::Cancel { .. } | LockRequest::Test { .. } => Ok(LockReply::Released),
    };
    match done {
        Ok(reply) => {
            admitted.remember(kv, &Remembered::Lock(reply.clone()))?;
            Ok(reply)
        }
        Err(failure) => admitted.refuse(kv, failure),
    }
}

fn check(request: &LockRequest, key: &RequestKey, owner: LockOwner) -> Result<(), Failure> {
    let range = match request {
        LockRequest::Take { lock, .. } | LockRequest::Test { lock, .. } => lock.range,
        LockRequest::Release { range, .. } => *range,
        LockRequest::Cancel { .. } => LockRange::ALL,
    };
    if range.first > range.last {
        let message = format!("a lock of the bytes from {} to {} has none", range.first, range.last);
        return Err(Failure::refuse(ErrorKind::InvalidArgument, message));
    }
    if owner.session != key.session {
        let message = format!("{} cannot take or give back locks of {}", key.session, owner.session);
        return Err(Failure::refuse(ErrorKind::InvalidArgument, message));
    }
    Ok(())
}

fn take(kv: &mut dyn Kv, place: Place, wanted: FileLock, effects: &mut Vec<Effect>) -> Result<LockReply, Failure> {
    volumes::settings(kv, place.0)?;
    let held = of_file(kv, place)?;
    if let Some(lock) = file_locks::in_the_way(&held, &wanted) {
        return Ok(LockReply::InTheWay(*lock));
    }
    let locks = file_locks::with(&held, wanted);
    if locks.len() > LOCKS_PER_FILE_MAX {
        let message = format!("the file has {LOCKS_PER_FILE_MAX} locks, which is as many as a file has");
        return Err(Failure::refuse(ErrorKind::TooManyLocks, message));
    }
    if !held.iter().any(|lock| lock.owner.session == wanted.owner.session) {
        enter(kv, place, wanted.owner.session)?;
    }
    // An exclusive lock may have become a shared one.
    if wanted.kind == LockKind::Shared && held.iter().any(|lock| lock.owner == wanted.owner) {
        effects.push(Effect::Unlocked(place.0, place.1));
    }
    table::put(kv, &table::locks(place.0, place.1), &locks)?;
    Ok(LockReply::Taken(file(kv, place)?))
}

fn release(
    kv: &mut dyn Kv,
    place: Place,
    owner: LockOwner,
    range: LockRange,
    effects: &mut Vec<Effect>,
) -> Result<LockReply, Failure> {
    let held = of_file(kv, place)?;
    let left = file_locks::without(&held, owner, range);
    if left != held {
        if left.len() > LOCKS_PER_FILE_MAX {
            let message = format!("what is left would be more than {LOCKS_PER_FILE_MAX} locks of one file");
            return Err(Failure::refuse(ErrorKind::TooManyLocks, message));
        }
        store(kv, place, &left, owner.session)?;
        effects.push(Effect::Unlocked(place.0, place.1));
    }
    Ok(LockReply::Released)
}

/// Writes what is left of a file's locks, where `session` has fewer than before.
fn store(kv: &mut dyn Kv, place: Place, left: &[FileLock], session: SessionId) -> Result<(), KvError> {
    let key = table::locks(place.0, place.1);
    if left.is_empty() {
        kv.delete(&key)?
    } else {
        table::put(kv, &key, &left)?
    }
    if !left.iter().any(|lock| lock.owner.session == session) {
        kv.delete(&table::locked_by(session, place.0, place.1))?;
        let files = files_of(kv, session)?.saturating_sub(1);
        table::put(kv, &table::locked_files(session), &files)?;
    }
    Ok(())
}

/// The session has its first lock of a file.
fn enter(kv: &mut dyn Kv, place: Place, session: SessionId) -> Result<(), Failure> {
    let files = files_of(kv, session)?;
    if files >= LOCKED_FILES_PER_SESSION_MAX {
        let message = format!("{session} has locks of {LOCKED_FILES_PER_SESSION_MAX} files, which is as many as a client has");
        return Err(Failure::refuse(ErrorKind::TooManyLocks, message));
    }
    table::put(kv, &table::locked_files(session), &(files + 1))?;
    table::put(kv, &table::locked_by(session, place.0, place.1), &())?;
    Ok(())
}

fn files_of(kv: &dyn Kv, session: SessionId) -> Result<u32, KvError> {
    Ok(table::get(kv, &table::locked_files(session))?.unwrap_or_default())
}

/// All locks of a session go; answers of which files.
pub(crate) fn forget_session(kv: &mut dyn Kv, session: SessionId) -> Result<Vec<Place>, KvError> {
    let (from, to) = table::locked_by_session(session);
    let rows = table::collect::<()>(kv, &from, &to)?;
    let places: Vec<Place> = rows.iter().filter_map(|(key, ())| table::parse_locked_by(key)).collect();
    for place in &places {
        let mut left = of_file(kv, *place)?;
        left.retain(|lock| lock.owner.session != session);
        store(kv, *place, &left, session)?;
    }
    kv.delete(&table::locked_files(session))?;
    Ok(places)
}

/// All locks in a volume go.
pub(crate) fn forget_volume(kv: &mut dyn Kv, volume: VolumeId) -> Result<(), KvError> {
    let (from, to) = table::locks_of_volume(volume);
    for (key, held) in table::collect::<Vec<FileLock>>(kv, &from, &to)? {
        let Some(place) = table::parse_locked_by(&key) else { continue };
        let sessions: BTreeSet<_> = held.iter().map(|lock| lock.owner.session).collect();
        for session in sessions {
            store(kv, place, &[], session)?;
        }
    }
    Ok(())
}
