//! Sessions: who the clients are, and what was answered to them.
//!
//! A client numbers its changes. The answer to each is remembered until the client says that it has it, so a change that
//! was repeated after a time-out is answered and not carried out again. Refusals are remembered like successes: the client was told,
//! and a duplicate that the network delivers late must not do what was refused. (Those that say "try again" are not: the client
//! repeats the request itself.) A sequence below `answered_below` is a duplicate that
//! the network delivered late; it is refused.
//!
//! Leases are not here: they are soft state of the service, and a lapsed one becomes a `Close` in the log.

use crate::version::failure::Failure;
use crate::version::kv::{Kv, KvError};
use crate::version::table;
use serde::{Deserialize, Serialize};
use weft_common::id::{BlobId, BlobVersion, SessionId};
use weft_common::limits::{AUTHOR_TEXT_BYTES_MAX, CHANGES_UNANSWERED_MAX, SESSION_TEXT_BYTES_MAX, SESSIONS_MAX};
use weft_common::time::Timestamp;
use weft_common::wire::{Author, ChangeReply, ErrorKind, LockReply, RequestKey, ServiceError, SessionInfo};

/// A session in the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SessionRecord {
    info: SessionInfo,
    /// Changes below this one were answered, and their answers forgotten.
    answered_below: u64,
}

/// Opens session `id`; `open` sessions there are already.
pub(crate) fn open(kv: &mut dyn Kv, id: SessionId, open: u64, host: &str, purpose: &str, now: Timestamp) -> Result<(), Failure> {
    if open >= SESSIONS_MAX {
        let message = format!("{open} sessions are open, which is as many as a cluster has; unmount some, see `weft status`");
        return Err(Failure::refuse(ErrorKind::Busy, message));
    }
    let info = SessionInfo { session: id, host: cut(host), purpose: cut(purpose), opened: now };
    Ok(table::put(kv, &table::session(id), &SessionRecord { info, answered_below: 0 })?)
}

/// They are for people to read; nothing else depends on them.
fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(SESSION_TEXT_BYTES_MAX)].to_owned()
}

/// Closes a session; says whether it was open.
pub(crate) fn close(kv: &mut dyn Kv, id: SessionId) -> Result<bool, KvError> {
    if !is_open(kv, id)? {
        return Ok(false);
    }
    table::clear(kv, &table::reply(id, 0), &table::replies_end(id))?;
    kv.delete(&table::session(id))?;
    Ok(true)
}

/// Whether the session is open.
pub(crate) fn is_open(kv: &dyn Kv, id: SessionId) -> Result<bool, KvError> {
    Ok(kv.get(&table::session(id))?.is_some())
}

/// All open sessions.
pub(crate) fn list(kv: &dyn Kv) -> Result<Vec<SessionInfo>, KvError> {
    let (from, to) = table::sessions();
    Ok(table::collect::<SessionRecord>(kv, &from, &to)?.into_iter().map(|(_, record)| record.info).collect())
}

/// A change that may be carried out, with what to do about the session once it was.
#[derive(Debug)]
pub(crate) struct Admitted {
    key: RequestKey,
    record: SessionRecord,
}

/// What is known of a change before it is looked at.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It is new.
    New(Admitted),
    /// It was carried out; this was remembered.
    Repeated(Remembered),
}

/// The answer to a change that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Remembered {
    /// To a change of the namespace.
    Change(ChangeReply),
    /// To a ticket request: the ticket is made again from the log.
    Ticket(BlobId, BlobVersion),
    /// It was refused for good.
    Refused(ServiceError),
    /// To taking or giving back a lock.
    Lock(LockReply),
}

/// Checks a change's session and sequence. Writes nothing.
///
/// # Errors
/// `SessionExpired`, `Stale` for a late duplicate, `Busy` when too many changes are unanswered, `InvalidArgument` for an author
/// who does not fit into every version's record.
pub(crate) fn admit(kv: &dyn Kv, key: RequestKey, author: &Author) -> Result<Admission, Failure> {
    if author.host.len().max(author.program.len()) > AUTHOR_TEXT_BYTES_MAX {
        let message = format!("host and program of an author have at most {AUTHOR_TEXT_BYTES_MAX} bytes each");
        return Err(Failure::refuse(ErrorKind::InvalidArgument, message));
    }
    let Some(record) = table::get::<SessionRecord>(kv, &table::session(key.session))? else {
        let message = format!("{} is closed or its lease lapsed; the client opens a new one", key.session);
        return Err(Failure::refuse(ErrorKind::SessionExpired, message));
    };
    if let Some(remembered) = table::get(kv, &table::reply(key.session, key.sequence))? {
        return Ok(Admission::Repeated(remembered));
    }
    if key.sequence < record.answered_below.max(1) {
        let message = format!("change {} of {} was answered before; this is a late duplicate", key.sequence, key.session);
        return Err(Failure::refuse(ErrorKind::Stale, message));
    }
    if key.sequence - key.answered_below.max(record.answered_below).min(key.sequence) >= CHANGES_UNANSWERED_MAX {
        let message = format!("{} waits for more than {CHANGES_UNANSWERED_MAX} answers; come again when some came", key.session);
        return Err(Failure::refuse(ErrorKind::Busy, message));
    }
    Ok(Admission::New(Admitted { key, record }))
}

impl Admitted {
    /// Remembers why a change was refused, unless it is to be tried again.
    ///
    /// # Errors
    /// The refusal, or the table's failure.
    pub(crate) fn refuse<T>(self, kv: &mut dyn Kv, failure: Failure) -> Result<T, Failure> {
        if let Failure::Service(error) = &failure
            && !error.retry
        {
            self.remember(kv, &Remembered::Refused(error.clone()))?;
        }
        Err(failure)
    }

    /// Remembers the answer to a change that was carried out, and forgets those that the client has.
    ///
    /// # Errors
    /// [`KvError`] is fatal.
    pub(crate) fn remember(mut self, kv: &mut dyn Kv, answer: &Remembered) -> Result<(), KvError> {
        let id = self.key.session;
        table::put(kv, &table::reply(id, self.key.sequence), answer)?;
        let answered_below = self.key.answered_below.min(self.key.sequence);
        if answered_below > self.record.answered_below {
            table::clear(kv, &table::reply(id, self.record.answered_below), &table::reply(id, answered_below))?;
            self.record.answered_below = answered_below;
            table::put(kv, &table::session(id), &self.record)?;
        }
        Ok(())
    }
}
