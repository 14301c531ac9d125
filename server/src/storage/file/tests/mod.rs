//! Tests of the file engine as a whole.

use super::*;

fn options() -> FileStoreOptions {
    FileStoreOptions { segment_bytes: Some(1 << 20), reserve_bytes: Some(0), background: false }
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
    fn keys(&self, visit: &mut VisitKey<'_>) -> Result<(), StoreError> {
        self.0.keys(visit)
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
