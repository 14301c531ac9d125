//! Which incarnation a store is in: whether what it acknowledged before can still be relied on.
//!
//! A page cache outlives the process, so a store that is opened again in the same boot of the machine goes on in its incarnation. After
//! another boot, or a write that failed, a new one begins. The file `incarnation` holds the two; a damaged or missing one begins
//! a new incarnation, which is always safe: clients write again what they had not synced.

use super::disk::Disk;
use super::folder::replace;
use crate::storage::StoreError;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use weft_common::id::Incarnation;

const NAME: &str = "incarnation";
const DRAFT: &str = "incarnation.tmp";
/// Longer files are no incarnations.
const BYTES_MAX: u64 = 1024;

/// The incarnation of an open store.
#[derive(Debug)]
pub(super) struct Life(AtomicU64);

impl Life {
    /// Goes on in the incarnation that the folder remembers for `boot`, or begins a new one.
    ///
    /// # Errors
    /// Those of writing, but for a full disk: then the incarnation merely ends with the process.
    pub(super) fn begin(disk: &dyn Disk, boot: &str) -> Result<Self, StoreError> {
        let remembered = read(disk);
        if let Some(number) = remembered.as_deref().and_then(|text| number_in(text, boot)) {
            return Ok(Self(AtomicU64::new(number)));
        }
        let number = random();
        if remembered.is_some() {
            tracing::warn!(folder = %disk.path().display(), incarnation = number,
                "the machine was started anew since this store was last open; if it had lost power, objects of the last seconds \
                 before may be missing");
        }
        match replace(disk, DRAFT, NAME, format!("{number} {boot}\n").as_bytes()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                tracing::warn!(folder = %disk.path().display(), %error, "cannot remember the store's incarnation");
            }
            Err(source) => return Err(StoreError::Io { action: "write", file: disk.path().join(NAME), source }),
        }
        Ok(Self(AtomicU64::new(number)))
    }

    pub(super) fn incarnation(&self) -> Incarnation {
        Incarnation(self.0.load(Ordering::Acquire))
    }

    /// What was acknowledged can be relied on no more.
    pub(super) fn end(&self, disk: &dyn Disk) {
        self.0.store(random(), Ordering::Release);
        // On a broken disk this may fail. Then the folder most probably cannot be opened for writing in this boot either.
        if let Err(error) = disk.remove(NAME) {
            tracing::warn!(folder = %disk.path().display(), %error, "cannot end the store's incarnation");
        }
    }
}

fn random() -> u64 {
    RandomState::new().hash_one(NAME)
}

fn read(disk: &dyn Disk) -> Option<String> {
    let text = || -> io::Result<String> {
        let file = disk.open(NAME, false)?;
        let length = file.size()?.end.min(BYTES_MAX) as usize;
        String::from_utf8(file.read(0, length)?).map_err(io::Error::other)
    };
    match text() {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!(folder = %disk.path().display(), %error, "cannot read the store's incarnation; a new one begins");
            None
        }
    }
}

fn number_in(text: &str, boot: &str) -> Option<u64> {
    let (number, remembered) = text.strip_suffix('\n')?.split_once(' ')?;
    if remembered == boot && !boot.is_empty() { number.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::super::folder::lock;
    use super::*;

    #[test]
    fn an_incarnation_outlives_the_process_but_neither_boot_nor_failure() {
        let directory = tempfile::tempdir().unwrap();
        let begin = |boot: &str| {
            let disk = lock(directory.path()).unwrap();
            (Life::begin(&disk, boot).unwrap(), disk)
        };
        let of = |boot: &str| begin(boot).0.incarnation();
        let first = of("monday");
        let (again, disk) = begin("monday");
        assert_eq!(again.incarnation(), first);
        again.end(&disk);
        let ended = again.incarnation();
        drop(disk);
        let (after, disk) = begin("monday");
        assert!(ended != first && after.incarnation() != first && after.incarnation() != ended);
        drop(disk);
        let tuesday = of("tuesday");
        assert!(tuesday != after.incarnation() && tuesday == of("tuesday"));
        for damaged in ["", "17", "x tuesday\n", "\u{0}\n"] {
            let before = of("tuesday");
            std::fs::write(directory.path().join(NAME), damaged).unwrap();
            assert_ne!(of("tuesday"), before, "{damaged:?}");
        }
        assert_ne!(of(""), of(""), "a machine that does not tell its boot");
    }
}
