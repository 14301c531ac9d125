//! The engine's shared state.
//!
//! Lock order: `upkeep`, then `appender`, then any one of the rest (`backlog`, `segments`, `files`, the index's shards), none of
//! which is held while another is taken. Reads take only the last kind.

use super::append::Appender;
use super::disk::{Disk, DiskFile};
use super::folder::Folder;
use super::index::{Index, Location};
use super::life::Life;
use super::recovery;
use super::sync::GroupSync;
use crate::storage::{StoreError, StoreStatistics};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use weft_common::buffers::BufferPool;
use weft_common::limits::{STORE_FILES_OPEN_MAX, STORE_RESERVE_BYTES, STORE_SEGMENT_BYTES, STORE_SEGMENT_BYTES_MIN};
use weft_common::wire::ProviderRole;

/// What is live would fill so many segments.
const SEGMENTS_OF_LIVE: u64 = 32;

/// Sizes that depend on the disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The largest segment; see [`Limits::segment_for`].
    pub(super) segment_bytes: u64,
    pub(super) reserve_bytes: u64,
}

impl Limits {
    pub(super) fn new(disk: &dyn Disk, segment: Option<u64>, reserve: Option<u64>) -> Result<Self, StoreError> {
        let file = || disk.path().to_path_buf();
        let total = disk.space().map_err(|source| StoreError::Io { action: "ask for the space of", file: file(), source })?.total;
        let segment_bytes = segment.unwrap_or_else(|| (total / 64).clamp(STORE_SEGMENT_BYTES_MIN, STORE_SEGMENT_BYTES));
        let usual = (total / 100).clamp(*STORE_RESERVE_BYTES.start(), *STORE_RESERVE_BYTES.end()).min(total / 8);
        Ok(Self { segment_bytes, reserve_bytes: reserve.unwrap_or(usual) })
    }

    /// How large a new segment of a store with so many live bytes gets. What is left of objects that are deleted from a segment goes with
    /// the segment, and not before that is full: it has to be small beside what the store holds.
    pub(super) fn segment_for(&self, live_bytes: u64) -> u64 {
        (live_bytes / SEGMENTS_OF_LIVE).max(STORE_SEGMENT_BYTES_MIN).min(self.segment_bytes)
    }
}

/// What is known of a segment file while the store is open.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u32,
    pub(super) salt: u64,
    /// Where its last record ends.
    pub(super) end: AtomicU64,
    /// What it takes on the disk.
    pub(super) allocated: AtomicU64,
    /// Bytes of the objects that the index points to.
    pub(super) live_bytes: AtomicU64,
    /// Bytes of its tombstones, which are needed as long as their targets exist.
    pub(super) tombstone_bytes: AtomicU64,
    /// Its index file is written: it never changes again.
    pub(super) sealed: AtomicBool,
    /// Copying it failed: it stays as it is until a restart.
    pub(super) stuck: AtomicBool,
    /// Older segments that its tombstones delete records of.
    pub(super) targets: Mutex<BTreeSet<u32>>,
}

impl Segment {
    pub(super) fn new(number: u32, salt: u64, end: u64) -> Self {
        Self {
            number,
            salt,
            end: AtomicU64::new(end),
            allocated: AtomicU64::new(end),
            live_bytes: AtomicU64::new(0),
            tombstone_bytes: AtomicU64::new(0),
            sealed: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            targets: Mutex::default(),
        }
    }

    /// Space behind its last record that the disk has set aside for it; none once it is sealed.
    pub(super) fn reserved_ahead(&self) -> u64 {
        if self.sealed.load(Ordering::Acquire) {
            return 0;
        }
        self.allocated.load(Ordering::Relaxed).saturating_sub(self.end.load(Ordering::Relaxed))
    }

    pub(super) fn file_name(number: u32) -> String {
        format!("{number:08x}.seg")
    }

    pub(super) fn index_name(number: u32) -> String {
        format!("{number:08x}.idx")
    }
}

/// Work for the next upkeep.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Full segments on stable storage, without an index file.
    pub(super) unsealed: Vec<Arc<Segment>>,
    /// Deleted records whose tombstones are on stable storage.
    pub(super) graves: Vec<Location>,
}

/// Whether the store may still be written.
#[derive(Debug, Default)]
pub(super) struct Health {
    poisoned: AtomicBool,
    reason: Mutex<String>,
}

impl Health {
    pub(super) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }
}

/// The store behind [`super::FileStore`].
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) folder: Folder,
    pub(super) life: Life,
    pub(super) limits: Limits,
    pub(super) index: Index,
    pub(super) health: Health,
    pub(super) group_sync: GroupSync,
    /// One upkeep at a time.
    pub(super) upkeep: Mutex<()>,
    appender: Mutex<Appender>,
    backlog: Mutex<Backlog>,
    segments: RwLock<BTreeMap<u32, Arc<Segment>>>,
    files: Mutex<HashMap<u32, Arc<dyn DiskFile>>>,
    /// For what is read: bodies of objects are as long as pages.
    pub(super) buffers: Arc<BufferPool>,
}

impl Engine {
    pub(super) fn open(disk: Arc<dyn Disk>, role: ProviderRole, limits: Limits) -> Result<Self, StoreError> {
        let folder = Folder::open(&*disk, role)?;
        let life = Life::begin(&*disk, &disk.boot())?;
        let index = Index::default();
        let recovered = recovery::recover(&*disk, &index, &limits)?;
        let engine = Self {
            folder,
            life,
            limits,
            index,
            health: Health::default(),
            group_sync: GroupSync::default(),
            upkeep: Mutex::default(),
            appender: Mutex::new(recovered.appender),
            backlog: Mutex::new(Backlog { unsealed: Vec::new(), graves: recovered.graves }),
            segments: RwLock::new(recovered.segments),
            files: Mutex::default(),
            buffers: Arc::default(),
            disk,
        };
        engine.bury(&recovered.duplicates)?;
        Ok(engine)
    }

    pub(super) fn appender(&self) -> MutexGuard<'_, Appender> {
        // Nothing that holds the lock panics half way through a change of it: each append is one assignment at its end.
        self.appender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn segment(&self, number: u32) -> Option<Arc<Segment>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }

    /// All segments, by number.
    pub(super) fn segments(&self) -> Vec<Arc<Segment>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(super) fn add_segment(&self, segment: Arc<Segment>) {
        self.segments.write().unwrap_or_else(PoisonError::into_inner).insert(segment.number, segment);
    }

    pub(super) fn forget_segment(&self, number: u32) {
        self.segments.write().unwrap_or_else(PoisonError::into_inner).remove(&number);
        self.files.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }

    /// The open file of a segment. `NotFound` if it was unlinked.
    pub(super) fn file(&self, number: u32) -> io::Result<Arc<dyn DiskFile>> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(&number) {
            return Ok(Arc::clone(file));
        }
        let file = self.disk.open(&Segment::file_name(number), false)?;
        if files.len() >= STORE_FILES_OPEN_MAX {
            // Any will do: opening again costs microseconds.
            if let Some(victim) = files.keys().next().copied() {
                files.remove(&victim);
            }
        }
        files.insert(number, Arc::clone(&file));
        Ok(file)
    }

    pub(super) fn path(&self, number: u32) -> PathBuf {
        self.disk.path().join(Segment::file_name(number))
    }

    pub(super) fn io_error(&self, action: &'static str, number: u32) -> impl FnOnce(io::Error) -> StoreError {
        let file = self.path(number);
        move |source| StoreError::Io { action, file, source }
    }

    /// Refuses when the store is read-only.
    pub(super) fn check_health(&self) -> Result<(), StoreError> {
        if !self.health.is_poisoned() {
            return Ok(());
        }
        let reason = self.health.reason.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Err(StoreError::Poisoned { folder: self.disk.path().to_path_buf(), reason })
    }

    /// The store takes nothing any more; returns `error` for the caller. A failed write or sync is never tried again: the kernel
    /// may have dropped the pages and would call the second attempt a success.
    pub(super) fn poison(&self, error: StoreError) -> StoreError {
        let mut reason = self.health.reason.lock().unwrap_or_else(PoisonError::into_inner);
        if reason.is_empty() {
            *reason = format!("a failure ({error})");
            tracing::error!(folder = %self.disk.path().display(), %error, "the store is read-only from now on");
            self.life.end(&*self.disk);
        }
        self.health.poisoned.store(true, Ordering::Release);
        error
    }

    /// Bytes of all objects.
    pub(super) fn live_bytes(&self) -> u64 {
        self.segments().iter().map(|segment| segment.live_bytes.load(Ordering::Relaxed)).sum()
    }

    /// Keeps puts out of a segment that they may go to: a put reserves space, writes and counts as one.
    pub(super) fn hold_puts(&self, segment: &Segment) -> Option<MutexGuard<'_, Appender>> {
        (!segment.sealed.load(Ordering::Acquire)).then(|| self.appender())
    }

    /// What a segment takes on the disk; space that is reserved ahead does not count. Right for the active one while it is held ([`Engine::hold_puts`]).
    pub(super) fn taken(&self, segment: &Segment) -> Result<u64, StoreError> {
        if segment.sealed.load(Ordering::Acquire) {
            return Ok(segment.allocated.load(Ordering::Relaxed));
        }
        // What is deleted from it is punched out without being counted yet.
        let ahead = segment.reserved_ahead();
        match self.file(segment.number).and_then(|file| file.size()) {
            Ok(size) => Ok(size.allocated.saturating_sub(ahead)),
            // Unlinked meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.segment(segment.number).is_none() => Ok(0),
            Err(error) => Err(self.io_error("ask for the size of", segment.number)(error)),
        }
    }

    pub(super) fn statistics(&self) -> Result<StoreStatistics, StoreError> {
        let file = self.disk.path().to_path_buf();
        let space = self.disk.space().map_err(|source| StoreError::Io { action: "ask for the space of", file, source })?;
        let (mut file_bytes, mut reserved) = (0, 0);
        for segment in self.segments() {
            let _no_put = self.hold_puts(&segment);
            file_bytes += self.taken(&segment)?;
            reserved += segment.reserved_ahead();
        }
        let usable = space.free.saturating_sub(self.limits.reserve_bytes) + reserved;
        let free = if self.health.is_poisoned() { 0 } else { usable };
        Ok(StoreStatistics {
            objects: self.index.len(),
            live_bytes: self.live_bytes(),
            file_bytes,
            disk_total_bytes: space.total,
            disk_free_bytes: free,
        })
    }
}
