//! Leases at work: what may be answered from memory, and the question that is open as long as anything is remembered.
//!
//! The promise that names and attributes are seen at once, on every mount, stays as it is: see [`crate::wire::LeaseRequest`] for the
//! protocol, and `core` for what is remembered and when it is not.

mod core;
mod terms;
#[cfg(test)]
mod tests;

use self::core::Book;
pub(crate) use self::terms::Mark;
use self::terms::{Forgotten, Known, Now, Outcome};
use super::ClientError;
use super::link::Link;
use super::lock;
use super::retry::Context;
use super::session::Sessions;
use crate::clock::Clock;
use crate::id::{InodeNumber, SessionId, VolumeId, VolumeVersion};
use crate::limits::{LEASE_TERM, LEASE_WAIT};
use crate::wire::{
    At, Attributes, Change, ChangeReply, ErrorKind, LeaseReply, LeaseRequest, NamespaceAnswer, NamespaceQuery, Query, Reply,
    Request, ServiceError,
};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::sync::Notify;

/// Who else believes what is leased: a mount's kernel.
pub trait LeaseListener: Send + Sync + Debug {
    /// What [`super::Namespace::known`] told of the attributes of these inodes is not believed any more when this returns. Must not wait for
    /// anything that waits for an answer of the cluster.
    fn forget(&self, volume: VolumeId, inodes: &[InodeNumber]);
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Leases {
    link: Arc<Link>,
    sessions: Arc<Sessions>,
    /// Whether this client wants leases at all.
    wanted: bool,
    clock: Arc<dyn Clock>,
    book: Mutex<Book>,
    /// Nothing is remembered, and so nothing asked.
    is_idle: AtomicBool,
    began: Notify,
    listener: OnceLock<Arc<dyn LeaseListener>>,
}

impl Leases {
    pub(crate) fn new(link: Arc<Link>, sessions: Arc<Sessions>, wanted: bool, clock: Arc<dyn Clock>) -> Self {
        Self {
            link,
            sessions,
            wanted,
            clock,
            book: Mutex::default(),
            is_idle: AtomicBool::new(false),
            began: Notify::new(),
            listener: OnceLock::new(),
        }
    }

    fn now(&self) -> Now {
        Now { steady: tokio::time::Instant::now().into_std(), wall: self.clock.now() }
    }

    /// Who is told what is forgotten; the first one that is named.
    pub(crate) fn listen(&self, listener: Arc<dyn LeaseListener>) {
        if self.listener.set(listener).is_err() {
            tracing::warn!("a second listener for leases is not told of anything");
        }
    }

    /// The answer to a query of the present, if it is remembered, and for how long it may be believed.
    pub(crate) fn known(&self, volume: VolumeId, query: &Query) -> Option<(Result<NamespaceAnswer, ClientError>, Duration)> {
        if !self.wanted {
            return None;
        }
        let now = self.now();
        let (known, lifetime) = {
            let mut book = lock(&self.book);
            (book.known(volume, query, now)?, book.believed_for(now))
        };
        let answer = match known {
            Known::Attributes(attributes) => Ok(NamespaceAnswer::Attributes(*attributes)),
            Known::Absent => Err(absent()),
        };
        Some((answer, lifetime))
    }

    /// Asks, and remembers the answer as far as leases come with it.
    pub(crate) async fn query(&self, context: Context, volume: VolumeId, query: Query) -> Result<NamespaceAnswer, ClientError> {
        let session = self.sessions.known().filter(|_| self.wanted && is_leased(&query));
        let Some(session) = session else {
            let query = NamespaceQuery { volume, at: At::Head, query };
            return match self.link.manager(context, Request::Query(query)).await? {
                Reply::Query(answer) => Ok(answer),
                other => Err(self.link.unexpected("the answer to a query", &other)),
            };
        };
        let listing = lock(&self.book).listing_for(volume, &query);
        if let Some(listing) = listing
            && self.look(context, session.id, volume, listing).await.is_ok()
            && let Some((known, _)) = self.known(volume, &query)
        {
            return known;
        }
        self.look(context, session.id, volume, query).await
    }

    async fn look(
        &self,
        context: Context,
        session: SessionId,
        volume: VolumeId,
        query: Query,
    ) -> Result<NamespaceAnswer, ClientError> {
        let asked = self.now();
        let look = LeaseRequest::Look { volume, session, query: query.clone() };
        match self.link.manager(context, Request::Lease(look)).await? {
            Reply::Lease(LeaseReply::Seen { answer, moment, grant }) => {
                if let Some(grant) = &grant {
                    let forgotten = lock(&self.book).remember(volume, &query, answer.as_ref(), moment, grant, asked);
                    self.tell(&forgotten);
                    if self.is_idle.swap(false, Ordering::AcqRel) {
                        self.began.notify_one();
                    }
                }
                answer.ok_or_else(absent)
            }
            other => Err(self.link.unexpected("the answer to a look", &other)),
        }
    }

    /// A change of this client goes out; what came of it has to be said.
    pub(crate) fn begin(&self, volume: VolumeId, change: &Change) -> Option<Mark> {
        self.wanted.then(|| lock(&self.book).begin(volume, change))
    }

    /// What came of a change.
    pub(crate) fn end(&self, volume: VolumeId, change: &Change, mark: Option<Mark>, result: Result<&ChangeReply, &ClientError>) {
        let Some(mark) = mark else { return };
        let outcome = match result {
            Ok(reply) => Outcome::Done(reply),
            Err(error) if is_refusal(error) => Outcome::Refused,
            Err(_) => Outcome::Unknown(self.now()),
        };
        let forgotten = lock(&self.book).end(volume, change, mark, outcome);
        self.tell(&forgotten);
    }

    /// An update of a file is being published; what came of it has to be said.
    pub(crate) fn publishing(&self, volume: VolumeId, inode: InodeNumber) -> Option<Mark> {
        self.wanted.then(|| lock(&self.book).publishing(volume, inode))
    }

    /// What came of a publication.
    pub(crate) fn published(
        &self,
        volume: VolumeId,
        inode: InodeNumber,
        mark: Option<Mark>,
        result: Result<(VolumeVersion, Option<&Attributes>), &ClientError>,
    ) {
        let Some(mark) = mark else { return };
        match result {
            Ok((version, attributes)) => lock(&self.book).published(volume, inode, mark, version, attributes),
            Err(error) if is_refusal(error) => lock(&self.book).not_published(volume, inode),
            Err(_) => {
                let now = self.now();
                let forgotten = {
                    let mut book = lock(&self.book);
                    book.not_published(volume, inode);
                    book.doubt(now)
                };
                self.tell(&forgotten);
            }
        }
    }

    /// Asks what is called in, as long as anything is remembered.
    pub(crate) async fn keep(self: Arc<Self>) {
        if !self.wanted {
            return;
        }
        loop {
            let now = self.now();
            let (question, forgotten) = lock(&self.book).question(now);
            self.tell(&forgotten);
            let Some(question) = question else {
                self.is_idle.store(true, Ordering::Release);
                // Something may have come between the look and the word that nobody asks.
                if lock(&self.book).is_empty() {
                    self.began.notified().await;
                }
                self.is_idle.store(false, Ordering::Release);
                continue;
            };
            let Some(session) = self.sessions.known() else {
                self.unanswered().await;
                continue;
            };
            let wait_ms = if question.gives_back.is_empty() { LEASE_WAIT.as_millis() as u32 } else { 0 };
            let (line, done, gives_back) = (question.line, question.done, question.gives_back.clone());
            let ask = LeaseRequest::Await { session: session.id, line, done, gives_back, wait_ms };
            let (asked, context) = (self.now(), self.link.context_for(LEASE_TERM));
            let reply = self.link.manager(context, Request::Lease(ask)).await;
            match reply {
                Ok(Reply::Lease(LeaseReply::CalledIn { line, number, epoch, directories })) => {
                    let forgotten = lock(&self.book).answered(&question, asked, (line, number, epoch), &directories);
                    self.tell(&forgotten);
                }
                Ok(_) | Err(_) => self.unanswered().await,
            }
        }
    }

    async fn unanswered(&self) {
        let now = self.now();
        let forgotten = lock(&self.book).unanswered(now);
        self.tell(&forgotten);
        tokio::time::sleep(LEASE_WAIT / 4).await;
    }

    fn tell(&self, Forgotten(places): &Forgotten) {
        let Some(listener) = self.listener.get().filter(|_| !places.is_empty()) else { return };
        let mut by_volume: BTreeMap<VolumeId, Vec<InodeNumber>> = BTreeMap::new();
        places.iter().for_each(|(volume, inode)| by_volume.entry(*volume).or_default().push(*inode));
        by_volume.iter().for_each(|(volume, inodes)| listener.forget(*volume, inodes));
    }
}

/// Queries whose answers leases cover.
fn is_leased(query: &Query) -> bool {
    matches!(query, Query::LookUp { .. } | Query::Attributes(_) | Query::ReadDirectory { .. })
}

/// Whether the version manager said no, so that nothing will happen.
fn is_refusal(error: &ClientError) -> bool {
    let is_open = |kind| matches!(kind, ErrorKind::SessionExpired | ErrorKind::Internal | ErrorKind::WrongServer);
    matches!(error, ClientError::Service(error) if !error.retry && !is_open(error.kind))
}

fn absent() -> ClientError {
    ServiceError::new(ErrorKind::NotFound, "there is no such name").into()
}
