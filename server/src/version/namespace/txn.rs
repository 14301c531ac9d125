//! One command's view of one volume.

use super::NamespaceError;
use super::keys::{COUNTERS, Key};
use super::records::{Counters, from_row, to_row};
use super::refuse;
use crate::version::kv::{Kv, KvError};
use std::collections::BTreeSet;
use weft_common::id::{InodeNumber, VolumeId, VolumeVersion};
use weft_common::time::Timestamp;
use weft_common::wire::{Author, ErrorKind};

/// One command's view of one volume: loads the volume's counters once, stores them at the end. Dropped without
/// [`VolumeTxn::finish`] it has changed nothing if every change in it was refused.
pub struct VolumeTxn<'a> {
    /// The table.
    pub kv: &'a mut dyn Kv,
    /// The volume.
    pub volume: VolumeId,
    /// The command's time; never before that of the volume's newest version.
    pub now: Timestamp,
    /// Who does it.
    pub author: &'a Author,
    pub(super) counters: Counters,
    stored: Counters,
    /// Directories whose lease covers something that was changed; see [`weft_common::wire::LeaseRequest`].
    pub(super) touched: BTreeSet<InodeNumber>,
}

impl std::fmt::Debug for VolumeTxn<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("VolumeTxn").field("volume", &self.volume).field("now", &self.now).finish_non_exhaustive()
    }
}

impl<'a> VolumeTxn<'a> {
    /// Loads the volume's counters. A time before that of the newest version is moved up to it: versions are in order of time.
    ///
    /// # Errors
    /// `NotFound` if there is no such volume.
    pub fn open(kv: &'a mut dyn Kv, volume: VolumeId, now: Timestamp, author: &'a Author) -> Result<Self, NamespaceError> {
        let counters = load(&*kv, volume)?;
        let now = now.max(counters.changed);
        Ok(Self { kv, volume, now, author, stored: counters.clone(), counters, touched: BTreeSet::new() })
    }

    /// The newest version, those of this command included.
    #[must_use]
    pub fn latest(&self) -> VolumeVersion {
        self.counters.latest
    }

    /// Stores the counters. Returns the volume's newest version, and the directories whose lease covers something that was changed.
    ///
    /// # Errors
    /// [`KvError`] is fatal.
    pub fn finish(self) -> Result<(VolumeVersion, BTreeSet<InodeNumber>), KvError> {
        if self.counters != self.stored {
            store(self.kv, self.volume, &self.counters)?;
        }
        Ok((self.counters.latest, self.touched))
    }
}

/// The counters of a volume, or `NotFound`.
pub(super) fn load(kv: &dyn Kv, volume: VolumeId) -> Result<Counters, NamespaceError> {
    match kv.get(&Key::new(COUNTERS, volume))? {
        Some(row) => Ok(from_row(&row)?),
        None => refuse(ErrorKind::NotFound, format!("there is no {volume}; `weft volume list` shows those there are")),
    }
}

pub(super) fn store(kv: &mut dyn Kv, volume: VolumeId, counters: &Counters) -> Result<(), KvError> {
    kv.put(&Key::new(COUNTERS, volume), &to_row(counters)?)
}
