//! Content that another process keeps: collected to pages, checksummed, sent while more is written; fetched ahead of the reader.

use super::content::Content;
use super::pages::{get, put, remove};
use super::pool::{Buffer, PAGE_BYTES, Pool};
use bytes::Bytes;
use fuser::{Errno, ReplyData};
use quinn::{Connection, Endpoint};
use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Runtime;
use tokio::sync::{OnceCell, Semaphore};
use weft_common::rpc::runtime;
use weft_common::transport::{Holder, Identity, bare};

/// Pages on their way at once.
const IN_FLIGHT: usize = 4;
/// Pages that are fetched ahead of the one that is read.
const AHEAD: u64 = 4;
/// Pages of a file that are kept for its reader.
const KEPT: usize = 12;

#[derive(Debug)]
pub(super) struct Remote {
    runtime: Runtime,
    // Lives as long as its connection.
    _endpoint: Endpoint,
    connection: Connection,
    pool: Pool,
    writers: Mutex<HashMap<u64, Writer>>,
    readers: Mutex<HashMap<u64, Reader>>,
}

/// What one file has on its way.
#[derive(Debug, Default)]
struct Writer {
    page: Option<(u64, Buffer)>,
    flight: Flight,
}

/// Permits for pages on their way, and how many failed.
#[derive(Clone, Debug)]
struct Flight(Arc<Semaphore>, Arc<AtomicU64>);

impl Default for Flight {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(IN_FLIGHT)), Arc::default())
    }
}

type Page = Arc<OnceCell<Option<Bytes>>>;

/// Pages that are there or coming, the newest last.
#[derive(Debug, Default)]
struct Reader(Vec<(u64, Page)>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Remote {
    pub(super) fn connect(identity: &Path, server: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let identity = Identity::load(identity, Holder::Client)?;
        let runtime = runtime("prototype")?;
        let dialled = runtime.block_on(bare::dial(&identity, server));
        let (endpoint, connection) = dialled.map_err(|error| error as Box<dyn Error>)?;
        let pool = Pool::default();
        Ok(Self { runtime, _endpoint: endpoint, connection, pool, writers: Mutex::default(), readers: Mutex::default() })
    }

    fn send(&self, file: u64, offset: u64, page: Buffer, flight: &Flight) -> Result<(), Errno> {
        let permit = self.runtime.block_on(Arc::clone(&flight.0).acquire_owned()).map_err(|_| Errno::EIO)?;
        let (connection, failed) = (self.connection.clone(), Arc::clone(&flight.1));
        let bytes = page.freeze();
        // What it is in WeftFS: the sum travels with the page and is checked by whoever reads it. Here it is only worked out.
        std::hint::black_box(checksum(&bytes));
        self.runtime.spawn(async move {
            if put(&connection, file, offset, bytes).await.is_err() {
                failed.fetch_add(1, Ordering::Relaxed);
            }
            drop(permit);
        });
        Ok(())
    }

    /// The page, and those behind it on their way.
    fn page(&self, file: u64, number: u64) -> Page {
        let mut readers = lock(&self.readers);
        let reader = readers.entry(file).or_default();
        let is_new = |reader: &Reader, wanted: u64| !reader.0.iter().any(|(number, _)| *number == wanted);
        for wanted in number..=number + AHEAD {
            if is_new(reader, wanted) {
                let page = Page::default();
                reader.0.push((wanted, Arc::clone(&page)));
                let (connection, pool) = (self.connection.clone(), self.pool.clone());
                self.runtime.spawn(async move {
                    page.get_or_init(|| async {
                        // The last page of a file is a whole one here: sizes of the work are.
                        let bytes = get(&connection, file, wanted * PAGE_BYTES as u64, PAGE_BYTES, &pool).await.ok()?;
                        std::hint::black_box(checksum(&bytes));
                        Some(bytes)
                    })
                    .await;
                });
            }
        }
        let found = reader.0.iter().find(|(wanted, _)| *wanted == number).map(|(_, page)| Arc::clone(page));
        let surplus = reader.0.len().saturating_sub(KEPT);
        reader.0.drain(..surplus);
        found.unwrap_or_default()
    }
}

fn checksum(bytes: &[u8]) -> u64 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes)
}

impl Content for Remote {
    fn write(&self, file: u64, mut offset: u64, mut bytes: &[u8]) -> Result<(), Errno> {
        lock(&self.readers).remove(&file);
        while !bytes.is_empty() {
            let mut writers = lock(&self.writers);
            let writer = writers.entry(file).or_default();
            let goes_on = writer.page.as_ref().is_some_and(|(from, page)| from + page.length as u64 == offset);
            let mut full = if goes_on { None } else { writer.page.take() };
            let (from, page) = writer.page.get_or_insert_with(|| (offset, self.pool.take()));
            // A page ends where pages end, wherever it began.
            let room = PAGE_BYTES - (*from as usize % PAGE_BYTES + page.length);
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            page.bytes[page.length..page.length + now.len()].copy_from_slice(now);
            page.length += now.len();
            if now.len() == room {
                let done = writer.page.take();
                full = full.or(done);
            }
            let flight = writer.flight.clone();
            drop(writers);
            if let Some((from, page)) = full {
                self.send(file, from, page, &flight)?;
            }
            offset += now.len() as u64;
            bytes = rest;
        }
        Ok(())
    }

    fn read(&self, file: u64, offset: u64, length: usize, reply: ReplyData) {
        let (first, within) = (offset / PAGE_BYTES as u64, (offset % PAGE_BYTES as u64) as usize);
        if within + length <= PAGE_BYTES {
            let page = self.page(file, first);
            let answer = move |bytes: Option<&Bytes>| match bytes.and_then(|bytes| bytes.get(within..within + length)) {
                Some(bytes) => reply.data(bytes),
                None => reply.error(Errno::EIO),
            };
            if let Some(bytes) = page.get() {
                return answer(bytes.as_ref());
            }
            // Whoever fetches it is on its way; asking for nothing oneself waits for them.
            self.runtime.spawn(async move { answer(page.get_or_init(std::future::pending).await.as_ref()) });
            return;
        }
        // A longer read than the kernel's largest never comes, so it lies on two pages.
        let pages = [self.page(file, first), self.page(file, first + 1)];
        self.runtime.spawn(async move {
            let mut whole = Vec::with_capacity(2 * PAGE_BYTES);
            for page in pages {
                whole.extend_from_slice(page.get_or_init(std::future::pending).await.as_deref().unwrap_or_default());
            }
            match whole.get(within..within + length) {
                Some(bytes) => reply.data(bytes),
                None => reply.error(Errno::EIO),
            }
        });
    }

    fn flush(&self, file: u64) -> Result<(), Errno> {
        let (page, flight) = {
            let mut writers = lock(&self.writers);
            let Some(writer) = writers.get_mut(&file) else { return Ok(()) };
            (writer.page.take(), writer.flight.clone())
        };
        if let Some((from, page)) = page {
            self.send(file, from, page, &flight)?;
        }
        let all = self.runtime.block_on(flight.0.acquire_many(IN_FLIGHT as u32)).map_err(|_| Errno::EIO)?;
        drop(all);
        if flight.1.swap(0, Ordering::Relaxed) > 0 { Err(Errno::EIO) } else { Ok(()) }
    }

    fn release(&self, file: u64) {
        lock(&self.readers).remove(&file);
    }

    fn remove(&self, file: u64) {
        lock(&self.readers).remove(&file);
        lock(&self.writers).remove(&file);
        let connection = self.connection.clone();
        self.runtime.spawn(async move { remove(&connection, file).await });
    }
}
