//! Who may be reading what of the past, as the sessions tell it with their renewals. Pure; the service keeps one [`SessionReads`]
//! per session beside its lease.
//!
//! A renewal lists what its client uses, and says through which epoch it *knows*: what the client had begun to use before an answer of that
//! epoch is used no more or is in the list. A client counts only answers that it had when it composed the list, and only those that
//! its oldest operation under way had; so neither an answer that was lost nor one that is still on its way proves anything.
//!
//! Renewals are numbered, so that a list that comes late does not replace a newer one. A manager that was restarted does not know
//! the numbers: it takes a list's word only if its client had heard of an epoch at which this process ran. A list from before may be one
//! that its client has replaced since, and what was purged by the newer one is not protected by the older.

use crate::version::namespace::Readers;
use weft_common::id::VolumeId;
use weft_common::wire::{Holds, Renewal};

/// What one session told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SessionReads {
    /// The epoch at which the session was opened or this process started.
    since: u64,
    /// Number of the newest renewal that this process has heard.
    number: u64,
    /// What was let go of until then it can only use if it holds it.
    knows_through: Option<u64>,
    holds: Holds,
}

impl SessionReads {
    /// A session that was opened at `epoch` has not seen anything before.
    #[must_use]
    pub fn opened(epoch: u64) -> Self {
        Self { since: epoch, knows_through: Some(epoch), ..Self::default() }
    }

    /// A session of which a process that started at `epoch` has not heard yet.
    #[must_use]
    pub fn unheard_since(epoch: u64) -> Self {
        Self { since: epoch, ..Self::default() }
    }

    /// What the session uses of the past, as it told last.
    #[must_use]
    pub fn holds(&self) -> &Holds {
        &self.holds
    }

    /// What was let go of until then it can only use if it told so; `None` if it was not heard yet.
    #[must_use]
    pub fn knows_through(&self) -> Option<u64> {
        self.knows_through
    }

    /// A renewal arrives.
    pub fn renew(&mut self, renewal: Renewal) {
        if renewal.number <= self.number {
            return;
        }
        if renewal.knows >= self.since {
            self.knows_through = self.knows_through.max(Some(renewal.knows));
        }
        (self.number, self.holds) = (renewal.number, renewal.holds);
    }
}

/// Who may be reading what of a volume, as of `epoch`. See [`garbage`](super::garbage).
pub fn readers<'s>(sessions: impl IntoIterator<Item = &'s SessionReads>, volume: VolumeId, epoch: u64) -> Readers {
    let mut readers = Readers { through: epoch, ..Readers::default() };
    for session in sessions {
        readers.through = readers.through.min(session.knows_through.unwrap_or(0));
        let Holds { everything, versions, contents, inodes } = &session.holds;
        readers.everything |= everything;
        readers.versions.extend(versions.iter().filter(|(of, _)| *of == volume).map(|(_, version)| *version));
        readers.contents.extend(contents.iter().filter(|(blob, _)| blob.volume == volume));
        readers.inodes.extend(inodes.iter().filter(|(of, _)| *of == volume).map(|(_, inode)| *inode));
    }
    readers
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_common::id::VolumeVersion;

    const VOLUME: VolumeId = VolumeId(1);

    fn renewal(number: u64, knows: u64, version: u64) -> Renewal {
        let holds = Holds { versions: vec![(VOLUME, VolumeVersion(version))], ..Holds::default() };
        Renewal { number, knows, holds }
    }

    fn known(session: &SessionReads) -> (u64, u64) {
        let readers = readers([session], VOLUME, 1000);
        (readers.through, readers.versions[0].0)
    }

    #[test]
    fn a_list_counts_for_what_its_client_knew() {
        let mut session = SessionReads::opened(10);
        session.renew(renewal(1, 0, 7));
        assert_eq!(known(&session), (10, 7), "nothing before its beginning");
        session.renew(renewal(2, 20, 7));
        assert_eq!(known(&session), (20, 7));
        session.renew(renewal(4, 20, 8));
        assert_eq!(known(&session), (20, 8));
        session.renew(renewal(3, 20, 7));
        assert_eq!(known(&session), (20, 8), "a late one is an old list");
        session.renew(renewal(5, 50, 9));
        assert_eq!(known(&session), (50, 9));
    }

    #[test]
    fn a_manager_that_was_restarted_knows_nothing_until_it_was_heard() {
        let mut session = SessionReads::unheard_since(20);
        // From before, perhaps overtaken by another that the process before heard.
        session.renew(renewal(7, 15, 3));
        assert_eq!(known(&session), (0, 3));
        session.renew(renewal(8, 20, 4));
        assert_eq!(known(&session), (20, 4));
    }
}
