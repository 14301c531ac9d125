//! Who may be reading what of the past, as the sessions tell it with their renewals. Pure; the service keeps one [`SessionReads`]
//! per session beside its lease.
//!
//! A renewal lists what its client uses. What is needed besides is a moment before which the client let go of everything else: the
//! client *had the answer* to an earlier renewal when it composed this list, so whatever was thinned until the manager answered that
//! one, it had come to before, and it lists it if it still uses it. An answer that the client may not have had proves nothing: the
//! first attempt at a renewal may have arrived and its answer be lost, and the second one brings a list that is older than that
//! answer. So each answer says its epoch, and each renewal the epoch of the newest answer that was heard.
//!
//! Renewals are numbered, so that a list that comes late does not replace a newer one. A manager that was restarted does not
//! know the numbers; but it believes a list only if the answer that its client had is the one that it gave itself, to the renewal
//! before.

use crate::version::namespace::Readers;
use weft_common::id::VolumeId;
use weft_common::wire::{Holds, Renewal};

/// What one session told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SessionReads {
    /// Number of the newest renewal, 0 for the session's beginning, and the epoch at which it was answered first; `None` if this
    /// process has not heard of the session yet.
    answered: Option<(u64, u64)>,
    /// What was let go of until then it can only use if it holds it.
    knows_through: Option<u64>,
    holds: Holds,
}

impl SessionReads {
    /// A session that was opened at `epoch` has not seen anything before.
    #[must_use]
    pub fn opened(epoch: u64) -> Self {
        Self { answered: Some((0, epoch)), knows_through: Some(epoch), holds: Holds::default() }
    }

    /// A renewal arrives at `epoch`, which its answer says.
    pub fn renew(&mut self, renewal: Renewal, epoch: u64) {
        let newest = self.answered.map(|(number, _)| number);
        if newest.is_some_and(|newest| renewal.number <= newest) {
            return;
        }
        if self.answered.is_some_and(|(_, answered)| answered == renewal.heard) {
            self.knows_through = Some(renewal.heard);
        }
        self.answered = Some((renewal.number, epoch));
        self.holds = renewal.holds;
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

    fn renewal(number: u64, heard: u64, version: u64) -> Renewal {
        let holds = Holds { versions: vec![(VOLUME, VolumeVersion(version))], ..Holds::default() };
        Renewal { number, heard, holds }
    }

    fn known(session: &SessionReads) -> (u64, u64) {
        let readers = readers([session], VOLUME, 1000);
        (readers.through, readers.versions[0].0)
    }

    #[test]
    fn a_list_counts_from_the_answer_that_its_client_had() {
        let mut session = SessionReads::opened(10);
        session.renew(renewal(1, 0, 7), 20);
        assert_eq!(known(&session), (10, 7), "nothing before its beginning");
        session.renew(renewal(2, 20, 7), 30);
        assert_eq!(known(&session), (20, 7));
        // Its answer was lost: the client asks once more, with the same list.
        session.renew(renewal(2, 20, 7), 40);
        assert_eq!(known(&session), (20, 7));
        session.renew(renewal(3, 20, 8), 50);
        assert_eq!(known(&session), (20, 8), "it has not had the answer of 30");
        session.renew(renewal(2, 20, 7), 60);
        assert_eq!(known(&session), (20, 8), "a late one is an old list");
        session.renew(renewal(4, 50, 8), 70);
        assert_eq!(known(&session), (50, 8));
    }

    #[test]
    fn a_manager_that_was_restarted_knows_nothing_until_an_answer_of_its_own_was_heard() {
        let mut session = SessionReads::default();
        // This one arrived before, and was answered at 10.
        session.renew(renewal(7, 5, 3), 20);
        session.renew(renewal(8, 10, 4), 30);
        assert_eq!(known(&session), (0, 4));
        session.renew(renewal(9, 30, 4), 40);
        assert_eq!(known(&session), (30, 4));
    }
}
