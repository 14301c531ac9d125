//! The disk of the version manager's table, below the real redb: writes since the last sync can be undone.

use super::super::life::Life;
use super::super::world::World;
use super::ended;
use redb::StorageBackend;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What one write replaced.
#[derive(Debug)]
enum Undo {
    Bytes(usize, Vec<u8>),
    /// The length, and the bytes that a cut took away.
    Length(usize, Vec<u8>),
}

/// See the module.
#[derive(Debug, Default)]
pub struct TableDisk(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    unsynced: Vec<Undo>,
}

impl TableDisk {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens it for a process.
    #[must_use]
    pub fn table(self: &Arc<Self>, life: Life) -> SimTable {
        SimTable { disk: self.clone(), life }
    }

    /// The power fails: the last so many writes that were not synced are gone.
    pub fn lose(&self, world: &World) {
        let mut content = self.content();
        let kept = world.below(content.unsynced.len() as u64 + 1) as usize;
        while content.unsynced.len() > kept {
            match content.unsynced.pop() {
                Some(Undo::Bytes(at, old)) => content.bytes[at..at + old.len()].copy_from_slice(&old),
                Some(Undo::Length(length, tail)) => {
                    content.bytes.resize(length - tail.len().min(length), 0);
                    content.bytes.extend_from_slice(&tail);
                    content.bytes.truncate(length);
                }
                None => {}
            }
        }
        content.unsynced.clear();
    }
}

/// The table's file, open in a process.
#[derive(Debug)]
pub struct SimTable {
    disk: Arc<TableDisk>,
    life: Life,
}

impl SimTable {
    fn writable(&self) -> io::Result<MutexGuard<'_, Content>> {
        if self.life.is_over() { Err(ended()) } else { Ok(self.disk.content()) }
    }
}

impl StorageBackend for SimTable {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.content().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let content = self.disk.content();
        let start = offset as usize;
        let found = content.bytes.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut content = self.writable()?;
        let (old, new) = (content.bytes.len(), length as usize);
        let tail = content.bytes.get(new..).unwrap_or_default().to_vec();
        content.unsynced.push(Undo::Length(old, tail));
        content.bytes.resize(new, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.writable()?.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut content = self.writable()?;
        let range = offset as usize..offset as usize + data.len();
        let old = content.bytes.get(range.clone()).ok_or(io::ErrorKind::UnexpectedEof)?.to_vec();
        content.unsynced.push(Undo::Bytes(range.start, old));
        content.bytes[range].copy_from_slice(data);
        Ok(())
    }
}
