//! One command's view of one volume.

use super::{NamespaceError, unfinished};
use crate::version::kv::{Kv, KvError};
use weft_common::id::{VolumeId, VolumeVersion};
use weft_common::time::Timestamp;
use weft_common::wire::Author;

/// One command's view of one volume: loads the volume's counters once, stores them at the end.
pub struct VolumeTxn<'a> {
    /// The table.
    pub kv: &'a mut dyn Kv,
    /// The volume.
    pub volume: VolumeId,
    /// The command's time; never before that of the volume's newest version.
    pub now: Timestamp,
    /// Who does it.
    pub author: &'a Author,
}

impl std::fmt::Debug for VolumeTxn<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("VolumeTxn").field("volume", &self.volume).field("now", &self.now).finish_non_exhaustive()
    }
}

impl<'a> VolumeTxn<'a> {
    /// Loads the volume's counters.
    ///
    /// # Errors
    /// `NotFound` if there is no such volume.
    pub fn open(kv: &'a mut dyn Kv, volume: VolumeId, now: Timestamp, author: &'a Author) -> Result<Self, NamespaceError> {
        let _ = (kv, volume, now, author);
        Err(unfinished("open"))
    }

    /// Stores the counters. Returns the volume's newest version.
    ///
    /// # Errors
    /// [`KvError`] is fatal.
    pub fn finish(self) -> Result<VolumeVersion, KvError> {
        Err(KvError("unfinished".into()))
    }
}
