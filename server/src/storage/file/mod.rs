//! The file engine: objects in append-only segment files. FORMAT.md has the bytes, the crash argument and the measured reasons.
//!
//! A put appends to the active segment under one lock: the filesystem serialises writes to a file anyway, and a file that is
//! written strictly in order needs no repair but a cut at its end. Reads take no lock: a record never changes; after reading it
//! the index is asked whether it still points there. Deletes append tombstones; once those are on stable storage the space of
//! large bodies is punched out, dead segments are unlinked, and sparse ones are copied together.
//!
//! | file | is |
//! |---|---|
//! | `record`, `index_file` | bytes |
//! | `disk` | what is asked of the operating system |
//! | `folder`, `life` | whose folder it is, which incarnation it is in |
//! | `engine` | the shared state and its lock order |
//! | `append`, `read`, `sync` | put and delete, get, group commit |
//! | `scan`, `recovery` | opening, also after a crash |
//! | `reclaim` | sealing, and giving space back |

mod append;
mod disk;
mod engine;
mod folder;
mod index;
mod index_file;
mod life;
mod read;
mod reclaim;
mod record;
mod recovery;
mod scan;
mod sync;

#[cfg(test)]
mod tests;

pub use folder::Identity;

use super::{Key, Listing, NewObject, ObjectStore, StoreError, StoreStatistics, StoredObject, VisitKey};
use engine::{Engine, Limits};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use weft_common::id::Incarnation;
use weft_common::limits::BACKGROUND_SYNC;
use weft_common::wire::ProviderRole;

/// How a store is run. The default suits every disk.
#[derive(Clone, Copy, Debug)]
pub struct FileStoreOptions {
    /// A segment that has reached this many bytes is full; `None` for what suits the disk.
    pub segment_bytes: Option<u64>,
    /// Free bytes of the disk that puts leave alone; `None` for what suits the disk.
    pub reserve_bytes: Option<u64>,
    /// Whether a thread syncs and gives space back every [`BACKGROUND_SYNC`]; without it [`FileStore::maintain`] does.
    pub background: bool,
}

impl Default for FileStoreOptions {
    fn default() -> Self {
        Self { segment_bytes: None, reserve_bytes: None, background: true }
    }
}

/// A store in a folder.
#[derive(Debug)]
pub struct FileStore {
    engine: Arc<Engine>,
    background: Option<Background>,
}

#[derive(Debug)]
struct Background {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: JoinHandle<()>,
}

impl FileStore {
    /// Opens the store in `folder`, which is made if need be, and recovers it if the last process died.
    ///
    /// # Errors
    /// [`StoreError`] says what is wrong with the folder and what to do about it.
    pub fn open(folder: &Path, role: ProviderRole, options: FileStoreOptions) -> Result<Self, StoreError> {
        let disk = Arc::new(folder::lock(folder)?);
        let limits = Limits::new(&*disk, options.segment_bytes, options.reserve_bytes)?;
        let engine = Arc::new(Engine::open(disk, role, limits)?);
        let background = if options.background { Some(Background::start(&engine, folder)?) } else { None };
        Ok(Self { engine, background })
    }

    /// Cluster and provider that the folder belongs to; `None` before [`FileStore::claim`].
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.engine.folder.identity()
    }

    /// The folder belongs to `identity` from now on. Repeating it is harmless.
    ///
    /// # Errors
    /// [`StoreError::WrongFolder`] if it belongs to another already.
    pub fn claim(&self, identity: Identity) -> Result<(), StoreError> {
        self.engine.folder.claim(&*self.engine.disk, identity)
    }

    /// Syncs, seals full segments and gives back the space of what was deleted. The background thread does this by itself.
    ///
    /// # Errors
    /// Those of [`ObjectStore::sync`] and of the operating system.
    pub fn maintain(&self) -> Result<(), StoreError> {
        self.engine.sync()?;
        self.engine.maintain()
    }
}

impl Background {
    fn start(engine: &Arc<Engine>, folder: &Path) -> Result<Self, StoreError> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let (engine, signal) = (Arc::clone(engine), Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("weft-store".into())
            .spawn(move || Self::run(&engine, &signal))
            .map_err(|source| StoreError::Io { action: "start a thread for", file: folder.to_path_buf(), source })?;
        Ok(Self { stop, thread })
    }

    fn run(engine: &Engine, (stop, bell): &(Mutex<bool>, Condvar)) {
        let mut stopping = stop.lock().unwrap_or_else(PoisonError::into_inner);
        while !*stopping {
            stopping = bell.wait_timeout(stopping, BACKGROUND_SYNC).unwrap_or_else(PoisonError::into_inner).0;
            if *stopping || engine.health.is_poisoned() {
                continue;
            }
            drop(stopping);
            if let Err(error) = engine.sync().and_then(|()| engine.maintain()) {
                tracing::error!(folder = %engine.disk.path().display(), %error, "upkeep of a store failed");
            }
            stopping = stop.lock().unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for FileStore {
    fn drop(&mut self) {
        if let Some(Background { stop, thread }) = self.background.take() {
            *stop.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
            stop.1.notify_all();
            if thread.join().is_err() {
                tracing::error!(folder = %self.engine.disk.path().display(), "the upkeep thread of a store had panicked");
            }
            if let Err(error) = self.engine.close() {
                tracing::error!(folder = %self.engine.disk.path().display(), %error, "a store could not be synced as it was closed");
            }
        }
    }
}

impl ObjectStore for FileStore {
    fn put(&self, objects: &[NewObject<'_>]) -> Result<(), StoreError> {
        self.engine.put(objects)
    }

    fn get(&self, key: &Key) -> Result<Option<StoredObject>, StoreError> {
        self.engine.get(key)
    }

    fn get_now(&self, key: &Key) -> Option<Result<Option<StoredObject>, StoreError>> {
        self.engine.get_now(key)
    }

    fn get_part(&self, key: &Key, range: Range<u32>) -> Result<Option<StoredObject>, StoreError> {
        self.engine.get_part(key, range)
    }

    fn contains(&self, key: &Key) -> bool {
        self.engine.contains(key)
    }

    fn delete(&self, keys: &[Key]) -> Result<usize, StoreError> {
        self.engine.delete(keys)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.engine.sync()
    }

    fn incarnation(&self) -> Incarnation {
        self.engine.life.incarnation()
    }

    fn keys(&self, visit: &mut VisitKey<'_>) -> Result<(), StoreError> {
        self.engine.keys(visit)
    }

    fn list(&self, after: &[u8], limit: usize) -> Result<Listing, StoreError> {
        self.engine.list(after, limit)
    }

    fn statistics(&self) -> Result<StoreStatistics, StoreError> {
        self.engine.statistics()
    }
}
