//! Tests of the file engine as a whole.

mod crash;
mod faults;
mod process;
mod sim_disk;
mod space;

use super::*;
use sim_disk::SimDisk;

fn options() -> FileStoreOptions {
    FileStoreOptions { segment_bytes: Some(1 << 20), reserve_bytes: Some(0), background: false }
}

fn key(number: u64) -> Key {
    let mut bytes = [0x33; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Key(bytes)
}

/// The engine on a simulated disk, with segments of 64 KiB.
fn open_on(disk: &SimDisk) -> Engine {
    try_open_on(disk).unwrap()
}

fn try_open_on(disk: &SimDisk) -> Result<Engine, StoreError> {
    open_with(disk, 0)
}

fn open_with(disk: &SimDisk, reserve: u64) -> Result<Engine, StoreError> {
    open_sized(disk, 64 << 10, reserve)
}

fn open_sized(disk: &SimDisk, segment: u64, reserve: u64) -> Result<Engine, StoreError> {
    let limits = Limits::new(disk, Some(segment), Some(reserve))?;
    Engine::open(Arc::new(disk.clone()), ProviderRole::Data, limits)
}

/// A store that removes its folder when it goes.
#[derive(Debug)]
struct Temporary(FileStore, #[allow(dead_code)] tempfile::TempDir);

impl ObjectStore for Temporary {
    fn put(&self, objects: &[NewObject<'_>]) -> Result<(), StoreError> {
        self.0.put(objects)
    }
    fn get(&self, key: &Key) -> Result<Option<StoredObject>, StoreError> {
        // Where both ways answer they must agree.
        let now = self.0.get_now(key).transpose()?;
        let found = self.0.get(key)?;
        assert!(now.is_none_or(|now| now == found));
        Ok(found)
    }
    fn get_part(&self, key: &Key, range: Range<u32>) -> Result<Option<StoredObject>, StoreError> {
        self.0.get_part(key, range)
    }
    fn contains(&self, key: &Key) -> bool {
        self.0.contains(key)
    }
    fn delete(&self, keys: &[Key]) -> Result<usize, StoreError> {
        let count = self.0.delete(keys)?;
        self.0.maintain()?;
        Ok(count)
    }
    fn sync(&self) -> Result<(), StoreError> {
        self.0.sync()
    }
    fn incarnation(&self) -> weft_common::id::Incarnation {
        self.0.incarnation()
    }
    fn keys(&self, visit: &mut VisitKey<'_>) -> Result<(), StoreError> {
        self.0.keys(visit)
    }
    fn list(&self, after: &[u8], limit: usize) -> Result<Listing, StoreError> {
        self.0.list(after, limit)
    }
    fn statistics(&self) -> Result<StoreStatistics, StoreError> {
        self.0.statistics()
    }
}

#[test]
fn conforms() {
    crate::storage::conformance::run(&|| {
        let folder = tempfile::tempdir().unwrap();
        Temporary(FileStore::open(folder.path(), ProviderRole::Data, options()).unwrap(), folder)
    });
}
