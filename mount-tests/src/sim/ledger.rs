//! What of the past has to be there. Versions may be thinned by whoever asks for it; until somebody has asked, while they have a
//! tag, and while a session that is in order says that it reads them, they have to be readable.

use super::history::Place;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use weft_common::id::BlobId;
use weft_common::limits::SESSION_LEASE;
use weft_common::time::Timestamp;
use weft_common::wire::VersionRange;

/// The life of a tag, in times since the beginning.
#[derive(Clone, Copy, Debug)]
pub struct TagLife {
    /// What it names.
    pub version: u64,
    /// When a client was told that it is there.
    pub set: Duration,
    /// When a client first asked for its end.
    pub ending: Option<Duration>,
}

/// Versions that the policy let go, and the time of day on the collector's machine when it looked at its clock.
#[derive(Clone, Debug)]
pub struct PolicyThinning {
    /// They.
    pub ranges: Vec<VersionRange>,
    /// That time.
    pub clock: Timestamp,
}

/// A fall-back that a recovery asked for.
#[derive(Clone, Debug)]
pub struct FallBack {
    /// The name that both had.
    pub place: Place,
    /// The file.
    pub inode: u64,
    /// Its content until then.
    pub lost: (BlobId, u64),
    /// The file that had the older content.
    pub source: u64,
    /// The older content.
    pub content: (BlobId, u64),
}

#[derive(Debug, Default)]
struct Book {
    fall_backs: Vec<FallBack>,
    thinnings: Vec<(Duration, Vec<VersionRange>)>,
    by_policy: Vec<PolicyThinning>,
    policy_clock: Timestamp,
    tags: BTreeMap<String, TagLife>,
    sessions: BTreeMap<String, Session>,
}

/// What is known of the session of a host.
#[derive(Clone, Copy, Debug, Default)]
struct Session {
    /// How many were opened before and with it.
    number: u64,
    /// When the last renewal was sent that was answered.
    renewed: Duration,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Book>);

impl Ledger {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody asks for versions to be thinned: from now on they may be. If nobody but the policy wants it, `by_policy`.
    pub fn thinning(&self, now: Duration, ranges: &[VersionRange], by_policy: bool) {
        let mut book = self.book();
        book.thinnings.push((now, ranges.to_vec()));
        if by_policy {
            let clock = book.policy_clock;
            book.by_policy.push(PolicyThinning { ranges: ranges.to_vec(), clock });
        }
    }

    /// A recovery asks for a fall-back.
    pub fn falling_back(&self, asked: FallBack) {
        self.book().fall_backs.push(asked);
    }

    /// What recoveries asked for, in order.
    #[must_use]
    pub fn fall_backs(&self) -> Vec<FallBack> {
        self.book().fall_backs.clone()
    }

    /// The collector looked at its machine's clock.
    pub fn policy_clock(&self, clock: Timestamp) {
        self.book().policy_clock = clock;
    }

    /// What policies let go.
    #[must_use]
    pub fn by_policy(&self) -> Vec<PolicyThinning> {
        self.book().by_policy.clone()
    }

    /// A client was told that a tag is there.
    pub fn tag_set(&self, now: Duration, name: &str, version: u64) {
        self.book().tags.insert(name.to_owned(), TagLife { version, set: now, ending: None });
    }

    /// A client asks for the end of a tag.
    pub fn tag_ending(&self, now: Duration, name: &str) {
        if let Some(tag) = self.book().tags.get_mut(name) {
            tag.ending.get_or_insert(now);
        }
    }

    /// Tags whose end nobody asked for.
    #[must_use]
    pub fn tags(&self) -> Vec<(String, u64)> {
        let tags = self.book().tags.clone();
        tags.into_iter().filter(|(_, tag)| tag.ending.is_none()).map(|(name, tag)| (name, tag.version)).collect()
    }

    /// Whether a version had to be there for somebody who asked for it at `from` and was answered at `to`.
    #[must_use]
    pub fn is_owed(&self, version: u64, from: Duration, to: Duration) -> bool {
        let book = self.book();
        let is_in = |range: &VersionRange| range.first.0 <= version && version <= range.last.0;
        let may_go = book.thinnings.iter().any(|(asked, ranges)| *asked <= to && ranges.iter().any(is_in));
        let is_tagged = |tag: &TagLife| tag.version == version && tag.set <= from && tag.ending.is_none_or(|ending| ending > to);
        !may_go || book.tags.values().any(is_tagged)
    }

    /// A host's client asked for a session and got one.
    pub fn session_opened(&self, host: &str, asked: Duration) {
        let mut book = self.book();
        let session = book.sessions.entry(host.to_owned()).or_default();
        *session = Session { number: session.number + 1, renewed: asked };
    }

    /// A renewal that was sent at `asked` was answered.
    pub fn session_renewed(&self, host: &str, asked: Duration) {
        if let Some(session) = self.book().sessions.get_mut(host) {
            session.renewed = session.renewed.max(asked);
        }
    }

    /// The session that a host has, if it cannot have lapsed: what its client holds has to be there.
    #[must_use]
    pub fn session(&self, host: &str, now: Duration) -> Option<u64> {
        let session = self.book().sessions.get(host).copied()?;
        (now < session.renewed + SESSION_LEASE).then_some(session.number)
    }
}
