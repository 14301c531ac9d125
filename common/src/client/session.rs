//! Sessions: how the version manager knows this client, and the numbers that make its changes happen exactly once.
//!
//! Every change and ticket carries a [`RequestKey`]; a repetition with the same key is answered, not carried out again.
//! Changes complete out of order, so `answered_below` is the smallest sequence still waiting: what lies below it will
//! never be repeated, and the server forgets those answers.
//!
//! A session that lapsed (the host slept, the network was away) is replaced by a new one with a new line of sequences.

use super::holds::HoldBook;
use super::link::Link;
use super::retry::Context;
use super::{ClientError, lock};
use crate::id::{PageObjectId, SessionId};
use crate::limits::SESSION_RENEWAL;
use crate::wire::{ErrorKind, Renewal, Reply, Request, RequestKey, SessionReply, SessionRequest};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// However soon the manager wants to hear of a client again, so long it waits.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// An open session of this client.
#[derive(Debug)]
pub(crate) struct Session {
    /// Its number.
    pub(crate) id: SessionId,
    lease: Duration,
    objects: AtomicU64,
    changes: Mutex<Changes>,
}

#[derive(Debug)]
struct Changes {
    next: u64,
    waiting: BTreeSet<u64>,
}

/// A change that has its number and waits for its answer.
#[derive(Debug)]
pub(crate) struct PendingChange {
    session: Arc<Session>,
    key: RequestKey,
}

impl PendingChange {
    /// The key of the change and of every repetition of it.
    pub(crate) fn key(&self) -> RequestKey {
        self.key
    }
}

impl Drop for PendingChange {
    fn drop(&mut self) {
        lock(&self.session.changes).waiting.remove(&self.key.sequence);
    }
}

impl Session {
    fn new(id: SessionId, lease: Duration) -> Self {
        let changes = Changes { next: 1, waiting: BTreeSet::new() };
        Self { id, lease, objects: AtomicU64::new(1), changes: Mutex::new(changes) }
    }

    /// A name for one more page object.
    pub(crate) fn next_object(&self) -> PageObjectId {
        PageObjectId { session: self.id, sequence: self.objects.fetch_add(1, Ordering::Relaxed) }
    }

    /// A number for one more change.
    pub(crate) fn begin_change(self: &Arc<Self>) -> PendingChange {
        let mut changes = lock(&self.changes);
        let sequence = changes.next;
        changes.next += 1;
        changes.waiting.insert(sequence);
        let answered_below = changes.waiting.first().copied().unwrap_or(sequence);
        PendingChange { session: self.clone(), key: RequestKey { session: self.id, sequence, answered_below } }
    }
}

/// Opens the session when it is first needed, renews it, replaces it.
#[derive(Debug)]
pub(crate) struct Sessions {
    link: Arc<Link>,
    host: String,
    purpose: String,
    /// What is in use of the past.
    pub(crate) holds: Arc<HoldBook>,
    current: Mutex<Option<Arc<Session>>>,
    /// Held while a session is opened, so that only one is.
    opening: tokio::sync::Mutex<()>,
}

impl Sessions {
    pub(crate) fn new(link: Arc<Link>, host: String, purpose: String) -> Self {
        Self { link, host, purpose, holds: Arc::default(), current: Mutex::new(None), opening: tokio::sync::Mutex::new(()) }
    }

    /// The open session, if there is one.
    pub(crate) fn known(&self) -> Option<Arc<Session>> {
        lock(&self.current).clone()
    }

    /// The open session; opens one if there is none.
    pub(crate) async fn current(&self, context: Context) -> Result<Arc<Session>, ClientError> {
        if let Some(session) = self.known() {
            return Ok(session);
        }
        let _alone = self.opening.lock().await;
        if let Some(session) = self.known() {
            return Ok(session);
        }
        let open = SessionRequest::Open { host: self.host.clone(), purpose: self.purpose.clone() };
        let session = match self.link.manager(context, Request::Session(open)).await? {
            Reply::Session(SessionReply::Opened { session, lease }) => Arc::new(Session::new(session, lease)),
            other => return Err(self.link.unexpected("a new session", &other)),
        };
        self.link.name_requests_after(session.id);
        tracing::debug!(request = %context.id, session = %session.id, lease = ?session.lease, "session opened");
        *lock(&self.current) = Some(session.clone());
        Ok(session)
    }

    /// The version manager does not know `session` any more: the next use opens another.
    pub(crate) fn forget(&self, session: SessionId) {
        let mut current = lock(&self.current);
        if current.as_ref().is_some_and(|known| known.id == session) {
            *current = None;
            tracing::warn!(%session, "session lapsed; its open but unlinked files are gone, a new session is opened");
        }
    }

    /// Renews for ever. Replaces a lapsed session at once, so that the next change need not wait for it.
    pub(crate) async fn keep_alive(self: Arc<Self>) {
        let mut wanted = SESSION_RENEWAL;
        for number in 1.. {
            let lease = self.known().map_or(SESSION_RENEWAL * 4, |session| session.lease);
            let longest = (lease / 4).min(SESSION_RENEWAL);
            tokio::time::sleep(pause(wanted, longest)).await;
            wanted = longest;
            let Some(session) = self.known() else { continue };
            let context = self.link.context_for(longest);
            let (knows, holds) = self.holds.report();
            let request = SessionRequest::Renew { session: session.id, renewal: Renewal { number, knows, holds } };
            match self.link.manager(context, Request::Session(request)).await {
                Ok(Reply::Session(SessionReply::Renewed { epoch, again_in, let_go })) => {
                    wanted = again_in;
                    self.holds.hear(epoch);
                    if !let_go.is_empty() {
                        self.holds.let_go(&let_go);
                    }
                }
                Ok(other) => {
                    let error = self.link.unexpected("the end of a renewal", &other);
                    tracing::warn!(request = %context.id, %error, "session not renewed");
                }
                Err(failure) if failure.is_session_expired() || is_unknown(&failure.error) => {
                    self.forget(session.id);
                    let _ = self.current(context).await;
                }
                Err(failure) => {
                    tracing::debug!(request = %context.id, session = %session.id, error = %failure.error, "session not renewed");
                }
            }
        }
    }

    /// Gives the session back: everything it holds goes now and not after its lease.
    pub(crate) async fn close(&self, context: Context) -> Result<(), ClientError> {
        let Some(session) = lock(&self.current).take() else { return Ok(()) };
        self.link.manager(context, Request::Session(SessionRequest::Close(session.id))).await?;
        tracing::debug!(request = %context.id, session = %session.id, "session closed");
        Ok(())
    }

    /// Sends a change under a key of the current session, or of the next one if that has lapsed.
    pub(crate) async fn change(&self, context: Context, make: impl Fn(RequestKey) -> Request) -> Result<Reply, ClientError> {
        loop {
            let session = self.current(context).await?;
            if let Some(reply) = self.change_in(context, &session, &make).await? {
                return Ok(reply);
            }
        }
    }

    /// Sends a change under a key of `session`. `None` if the session has lapsed and it is certain that the change was not
    /// carried out, so that it may be sent again under another key.
    pub(crate) async fn change_in(
        &self,
        context: Context,
        session: &Arc<Session>,
        make: impl Fn(RequestKey) -> Request,
    ) -> Result<Option<Reply>, ClientError> {
        let pending = session.begin_change();
        match self.link.manager(context, make(pending.key())).await {
            Ok(reply) => Ok(Some(reply)),
            Err(failure) if failure.is_session_expired() => {
                self.forget(session.id);
                let again = !failure.uncertain && !context.remaining().is_zero();
                if again { Ok(None) } else { Err(failure.error) }
            }
            Err(failure) => Err(failure.error),
        }
    }
}

fn is_unknown(error: &ClientError) -> bool {
    matches!(error, ClientError::Service(service) if service.kind == ErrorKind::NotFound)
}

/// How long to wait for the next renewal. Not to lose the lease comes before not to hurry.
fn pause(wanted: Duration, longest: Duration) -> Duration {
    wanted.max(PAUSE_MIN).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_lease_is_renewed_in_time() {
        let longest = PAUSE_MIN / 4;
        assert_eq!(pause(SESSION_RENEWAL, longest), longest);
        assert_eq!(pause(Duration::ZERO, longest), longest);
        assert_eq!(pause(Duration::ZERO, SESSION_RENEWAL), PAUSE_MIN);
        assert_eq!(pause(PAUSE_MIN * 2, SESSION_RENEWAL), PAUSE_MIN * 2);
    }

    #[test]
    fn answered_below_is_the_oldest_that_waits() {
        let session = Arc::new(Session::new(SessionId(7), Duration::from_secs(1)));
        let [first, second, third] = [(); 3].map(|()| session.begin_change());
        assert_eq!((first.key().sequence, first.key().answered_below), (1, 1));
        assert_eq!((third.key().sequence, third.key().answered_below), (3, 1));
        drop(second);
        assert_eq!(session.begin_change().key().answered_below, 1);
        drop(first);
        assert_eq!(session.begin_change().key().answered_below, 3);
        drop(third);
        let last = session.begin_change().key();
        assert_eq!(last.answered_below, last.sequence);
    }
}
