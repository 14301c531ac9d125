//! A provider's store folder.

use super::super::life::Life;
use super::super::plant::Plant;
use super::super::world::World;
use super::ended;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use weft_common::id::Incarnation;
use weft_server::node::OwnedStore;
use weft_server::storage::file::Identity;
use weft_server::storage::{Key, Listing, NewObject, ObjectStore, StoreError, StoreStatistics, StoredObject, VisitKey};

/// Bytes a provider's disk holds.
const CAPACITY: u64 = 64 << 30;

#[derive(Clone, Debug)]
struct Stored {
    extra: Bytes,
    body: Bytes,
    synced: bool,
}

/// What the disk does wrong next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFault {
    /// The next put fails; the store takes nothing any more until its process is started again.
    Put,
    /// The next sync fails, likewise.
    Sync,
    /// The next put finds no room; later ones do.
    Full,
    /// The next read of a page object brings a flipped bit.
    Flip,
}

/// See the module.
#[derive(Debug)]
pub struct StoreDisk(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    objects: BTreeMap<Key, Stored>,
    /// Deleted, and the deletion is not synced.
    deleted: BTreeMap<Key, Stored>,
    identity: Option<Identity>,
    incarnation: u64,
    fault: Option<StoreFault>,
    poisoned: bool,
}

impl StoreDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Content { incarnation: 1, ..Content::default() })))
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens it for a process.
    #[must_use]
    pub fn store(self: &Arc<Self>, world: &Arc<World>, life: Life) -> Arc<SimStore> {
        Arc::new(SimStore { disk: self.clone(), world: world.clone(), life })
    }

    /// Something goes wrong soon.
    pub fn plan(&self, fault: Option<StoreFault>) {
        self.content().fault = fault;
    }

    /// Whether a write failed, so that the store waits for a new process.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.content().poisoned
    }

    /// Everything that it has.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        self.content().objects.keys().copied().collect()
    }

    /// Whether it has the object, if need be on stable storage.
    #[must_use]
    pub fn has(&self, key: &Key, synced: bool) -> bool {
        self.content().objects.get(key).is_some_and(|object| object.synced || !synced)
    }

    /// The provider whose disk it is.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.content().identity
    }

    /// What the loss of power would take.
    #[must_use]
    pub fn at_risk(&self) -> Vec<Key> {
        self.content().objects.iter().filter(|(_, object)| !object.synced).map(|(key, _)| *key).collect()
    }

    /// The power fails, or the kernel drops what it could not write: of what was not synced each object is lost or kept; all are
    /// kept if the disk is `lucky`.
    pub fn lose(&self, world: &World, lucky: bool) {
        let mut content = self.content();
        let mut lost = 0;
        content.objects.retain(|_, object| {
            let kept = object.synced || lucky || world.chance(300_000);
            lost += u64::from(!kept);
            kept
        });
        let deleted = std::mem::take(&mut content.deleted);
        for (key, object) in deleted {
            if object.synced && world.chance(500_000) {
                content.objects.entry(key).or_insert(object);
            }
        }
        // What was read back after a restart is what the disk has.
        content.objects.values_mut().for_each(|object| object.synced = true);
        content.incarnation += 1;
        content.poisoned = false;
        drop(content);
        if lost > 0 {
            world.count("unsynced object lost");
        }
        world.log(format_args!("a disk lost {lost} objects that were not synced"));
    }
}

/// The disk, open in a process.
#[derive(Debug)]
pub struct SimStore {
    disk: Arc<StoreDisk>,
    world: Arc<World>,
    life: Life,
}

fn io_error(action: &'static str, source: io::Error) -> StoreError {
    StoreError::Io { action, file: PathBuf::from("disk"), source }
}

impl SimStore {
    /// The disk, if it takes writes.
    fn writable(&self) -> Result<MutexGuard<'_, Content>, StoreError> {
        if self.life.is_over() {
            return Err(io_error("write", ended()));
        }
        let content = self.disk.content();
        if content.poisoned {
            return Err(StoreError::Poisoned { folder: PathBuf::from("disk"), reason: "a planned failure".to_owned() });
        }
        Ok(content)
    }

    fn fails(&self, content: &mut Content, fault: StoreFault, action: &'static str) -> Result<(), StoreError> {
        if content.fault != Some(fault) {
            return Ok(());
        }
        content.fault = None;
        self.world.count("disk fault");
        self.world.log(format_args!("a disk fails: {fault:?}"));
        if fault == StoreFault::Full {
            return Err(StoreError::NoSpace { folder: PathBuf::from("disk"), wanted: 1, free: 0, reserve: 0 });
        }
        content.poisoned = true;
        Err(io_error(action, io::Error::other("planned failure")))
    }

    fn forgets(&self, key: &Key) -> bool {
        let bug = if key.page_object().is_some() { Plant::ForgetfulProvider } else { Plant::ForgetfulMetadata };
        self.world.plant == bug && self.world.chance(50_000)
    }
}

impl OwnedStore for SimStore {
    fn identity(&self) -> Option<Identity> {
        self.disk.identity()
    }

    fn claim(&self, identity: Identity) -> Result<(), StoreError> {
        let mut content = self.writable()?;
        match content.identity {
            Some(found) if found != identity => {
                Err(io_error("claim", io::Error::other(format!("{found} is to become {identity}"))))
            }
            _ => {
                content.identity = Some(identity);
                Ok(())
            }
        }
    }
}

impl ObjectStore for SimStore {
    fn blocks(&self) -> bool {
        false
    }

    fn incarnation(&self) -> Incarnation {
        Incarnation(self.disk.content().incarnation)
    }

    fn put(&self, objects: &[NewObject<'_>]) -> Result<(), StoreError> {
        let mut content = self.writable()?;
        self.fails(&mut content, StoreFault::Full, "write")?;
        self.fails(&mut content, StoreFault::Put, "write")?;
        for object in objects {
            if let Some(stored) = content.objects.get(&object.key) {
                if stored.extra == object.extra && stored.body == object.body {
                    continue;
                }
                let what = format!("{} is stored with other bytes", object.key);
                return Err(StoreError::Damaged { what, file: PathBuf::from("disk"), offset: 0 });
            }
            if self.forgets(&object.key) {
                continue;
            }
            let (extra, body) = (Bytes::copy_from_slice(object.extra), Bytes::copy_from_slice(object.body));
            content.objects.insert(object.key, Stored { extra, body, synced: false });
        }
        Ok(())
    }

    fn get(&self, key: &Key) -> Result<Option<StoredObject>, StoreError> {
        self.get_part(key, 0..u32::MAX)
    }

    fn get_now(&self, key: &Key) -> Option<Result<Option<StoredObject>, StoreError>> {
        Some(self.get(key))
    }

    fn get_part(&self, key: &Key, range: Range<u32>) -> Result<Option<StoredObject>, StoreError> {
        let mut content = self.disk.content();
        let Some(object) = content.objects.get(key).cloned() else { return Ok(None) };
        let end = (range.end as usize).min(object.body.len());
        let start = (range.start as usize).min(end);
        let mut body = object.body.slice(start..end);
        if content.fault == Some(StoreFault::Flip) && key.page_object().is_some() && !body.is_empty() {
            content.fault = None;
            self.world.count("bit flipped");
            let mut flipped = body.to_vec();
            let at = self.world.below(flipped.len() as u64) as usize;
            flipped[at] ^= 1;
            body = flipped.into();
        }
        Ok(Some(StoredObject { extra: object.extra, body_bytes: object.body.len() as u32, body }))
    }

    fn contains(&self, key: &Key) -> bool {
        self.disk.has(key, false)
    }

    fn delete(&self, keys: &[Key]) -> Result<usize, StoreError> {
        let mut content = self.writable()?;
        let mut count = 0;
        for key in keys {
            if let Some(object) = content.objects.remove(key) {
                content.deleted.insert(*key, object);
                count += 1;
            }
        }
        Ok(count)
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut content = self.writable()?;
        self.fails(&mut content, StoreFault::Sync, "sync")?;
        if self.world.plant != Plant::HollowSync {
            content.objects.values_mut().for_each(|object| object.synced = true);
            content.deleted.clear();
        }
        Ok(())
    }

    fn keys(&self, visit: &mut VisitKey<'_>) -> Result<(), StoreError> {
        let keys: Vec<Key> = self.disk.content().objects.keys().copied().collect();
        keys.iter().all(visit);
        Ok(())
    }

    fn list(&self, after: &[u8], limit: usize) -> Result<Listing, StoreError> {
        let content = self.disk.content();
        let behind = content.objects.iter().skip_while(|(key, _)| key.0[..] <= *after);
        let mut entries: Vec<(Key, u32)> =
            behind.map(|(key, object)| (*key, (object.extra.len() + object.body.len()) as u32)).take(limit + 1).collect();
        let has_more = entries.len() > limit;
        entries.truncate(limit);
        let next = entries.last().filter(|_| has_more).map(|(key, _)| key.0.to_vec());
        Ok(Listing { entries, next })
    }

    fn statistics(&self) -> Result<StoreStatistics, StoreError> {
        let content = self.disk.content();
        let live_bytes = content.objects.values().map(|object| (object.extra.len() + object.body.len()) as u64).sum();
        Ok(StoreStatistics {
            objects: content.objects.len() as u64,
            live_bytes,
            file_bytes: live_bytes,
            disk_total_bytes: CAPACITY,
            disk_free_bytes: CAPACITY - live_bytes,
        })
    }
}
