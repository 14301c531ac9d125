//! The file engine against the bare disk and against redb.

use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableDefinition};
use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use weft_common::checksum::ChunkTable;
use weft_common::id::{BlobId, BlobVersion, NodeId, PageObjectId, SessionId, VolumeId};
use weft_common::limits::MIB;
use weft_common::wire::ProviderRole;
use weft_server::storage::file::{FileStore, FileStoreOptions};
use weft_server::storage::{Key, NewObject, ObjectStore};

/// What to measure, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// An existing folder on the disk to measure; everything made in it is removed again.
    #[arg(long)]
    dir: PathBuf,
    /// MiB written in each measurement of a rate.
    #[arg(long, default_value_t = 1024)]
    mib: u64,
    /// Rounds; the medians are printed.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Small objects in the store that is opened.
    #[arg(long, default_value_t = 1_000_000)]
    objects: u64,
    /// Small objects put into redb and, for comparison, into a store.
    #[arg(long, default_value_t = 100_000)]
    redb_objects: u64,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Written between two syncs.
const SYNC_BYTES: u64 = 64 * MIB;
/// Length of a small object: a leaf of 32 pages of one fragment each has about this much.
const NODE_BYTES: usize = 1400;
/// Small objects in one put.
const BATCH: u64 = 64;
const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("objects");

pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    let pattern: Vec<u8> = (0..8 * MIB).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
    rates(arguments, &pattern)?;
    small_objects(arguments, &pattern)?;
    opening(arguments, &pattern)
}

/// Sequential rates, the measurements of a round side by side.
fn rates(arguments: &Arguments, pattern: &[u8]) -> Outcome<()> {
    let total = arguments.mib * MIB;
    let (mut disk, mut large, mut small, mut threads, mut redb) = (vec![], vec![], vec![], vec![], vec![]);
    for _ in 0..arguments.rounds {
        disk.push(bare_disk(&arguments.dir, total, pattern)?);
        large.push(store_puts(&arguments.dir, total, MIB as usize, 1, pattern)?);
        small.push(store_puts(&arguments.dir, total, 64 << 10, 1, pattern)?);
        threads.push(store_puts(&arguments.dir, total, MIB as usize, 4, pattern)?);
        redb.push(redb_pages(&arguments.dir, total, pattern)?);
    }
    let bare = median(disk);
    println!("sequential, {} MiB, a sync every 64 MiB      MB/s   of the bare disk", arguments.mib);
    let lines = [
        ("bare disk, 4 MiB pwrite + fdatasync", bare),
        ("store, objects of 1 MiB", median(large)),
        ("store, objects of 64 KiB", median(small)),
        ("store, objects of 1 MiB, 4 threads", median(threads)),
        ("redb, values of 1 MiB", median(redb)),
    ];
    for (what, rate) in lines {
        println!("  {what:<42} {:>6.0}   {:.2}", rate / 1e6, rate / bare);
    }
    Ok(())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}

fn rate(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / took.as_secs_f64()
}

fn bare_disk(dir: &Path, total: u64, pattern: &[u8]) -> Outcome<f64> {
    let folder = tempfile::tempdir_in(dir)?;
    let file = File::create(folder.path().join("bare"))?;
    let started = Instant::now();
    for offset in (0..total).step_by(4 * MIB as usize) {
        file.write_all_at(&pattern[..4 * MIB as usize], offset)?;
        if (offset + 4 * MIB).is_multiple_of(SYNC_BYTES) {
            file.sync_data()?;
        }
    }
    file.sync_data()?;
    Ok(rate(total, started.elapsed()))
}

fn page(number: u64) -> Key {
    Key::from(PageObjectId { session: SessionId(1), sequence: number })
}

fn store_puts(dir: &Path, total: u64, length: usize, threads: u64, pattern: &[u8]) -> Outcome<f64> {
    let folder = tempfile::tempdir_in(dir)?;
    let store = FileStore::open(folder.path(), ProviderRole::Data, FileStoreOptions::default())?;
    let started = Instant::now();
    let each = total / threads;
    std::thread::scope(|scope| {
        let jobs: Vec<_> = (0..threads)
            .map(|thread| {
                let store = &store;
                scope.spawn(move || -> Result<(), weft_server::storage::StoreError> {
                    for offset in (0..each).step_by(length) {
                        // Another part of the pattern each time; the table is what a data provider stores along.
                        let from = (offset / length as u64 * 4096) as usize % (pattern.len() - length);
                        let body = &pattern[from..from + length];
                        let extra: Vec<u8> = ChunkTable::of(body).checksums().iter().flat_map(|sum| sum.to_le_bytes()).collect();
                        store.put(&[NewObject { key: page(thread << 40 | offset), extra: &extra, body }])?;
                        if (offset + length as u64).is_multiple_of(SYNC_BYTES / threads) {
                            store.sync()?;
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        jobs.into_iter().try_for_each(|job| job.join().unwrap_or(Ok(())))
    })?;
    store.sync()?;
    Ok(rate(total, started.elapsed()))
}

fn redb_pages(dir: &Path, total: u64, pattern: &[u8]) -> Outcome<f64> {
    let folder = tempfile::tempdir_in(dir)?;
    let database = Database::create(folder.path().join("redb"))?;
    let started = Instant::now();
    for first in (0..total).step_by(SYNC_BYTES as usize) {
        let transaction = database.begin_write()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for offset in (first..(first + SYNC_BYTES).min(total)).step_by(MIB as usize) {
                table.insert(&page(offset).0[..], &pattern[..MIB as usize])?;
            }
        }
        transaction.commit()?;
    }
    Ok(rate(total, started.elapsed()))
}

fn node(number: u64) -> Key {
    // In the order in which hashing spreads them: a partition sees parts of many trees.
    let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let blob = BlobId { volume: VolumeId(1), number: scattered >> 44 };
    Key::from(NodeId { blob, version: BlobVersion(scattered >> 20 & 0xfff), level: 1, index: number })
}

fn put_nodes(store: &FileStore, numbers: std::ops::Range<u64>, pattern: &[u8]) -> Outcome<()> {
    let body = |number: u64| &pattern[number as usize % MIB as usize..][..NODE_BYTES];
    let objects: Vec<NewObject<'_>> =
        numbers.map(|number| NewObject { key: node(number), extra: &[], body: body(number) }).collect();
    Ok(store.put(&objects)?)
}

fn store_nodes(dir: &Path, count: u64, sync: bool, pattern: &[u8]) -> Outcome<Duration> {
    let folder = tempfile::tempdir_in(dir)?;
    let store = FileStore::open(folder.path(), ProviderRole::Metadata, FileStoreOptions::default())?;
    let started = Instant::now();
    for first in (0..count).step_by(BATCH as usize) {
        put_nodes(&store, first..(first + BATCH).min(count), pattern)?;
        if sync {
            store.sync()?;
        }
    }
    Ok(started.elapsed())
}

fn small_objects(arguments: &Arguments, pattern: &[u8]) -> Outcome<()> {
    let count = arguments.redb_objects;
    let print = |what: &str, took: Duration| println!("  {what:<42} {:>8.0}/s", count as f64 / took.as_secs_f64());
    println!("{count} nodes of {NODE_BYTES} bytes, {BATCH} in a put");
    print("store, synced in the background", store_nodes(&arguments.dir, count, false, pattern)?);
    print("store, a sync after each put", store_nodes(&arguments.dir, count, true, pattern)?);
    let folder = tempfile::tempdir_in(&arguments.dir)?;
    let file = folder.path().join("redb");
    let database = Database::create(&file)?;
    let started = Instant::now();
    for first in (0..count).step_by(BATCH as usize) {
        let transaction = database.begin_write()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for number in first..(first + BATCH).min(count) {
                table.insert(&node(number).0[..], &pattern[number as usize % MIB as usize..][..NODE_BYTES])?;
            }
        }
        transaction.commit()?;
    }
    print("redb, a durable commit for each put", started.elapsed());
    let before = std::fs::metadata(&file)?.len();
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(TABLE)?;
        table.retain(|_, _| false)?;
    }
    transaction.commit()?;
    let (after, left) = (std::fs::metadata(&file)?.len(), database.begin_read()?.open_table(TABLE)?.len()?);
    println!("  redb's file: {} MiB, {} MiB after deleting all but {left}", before / MIB, after / MIB);
    Ok(())
}

fn opening(arguments: &Arguments, pattern: &[u8]) -> Outcome<()> {
    let folder = tempfile::tempdir_in(&arguments.dir)?;
    let open = || FileStore::open(folder.path(), ProviderRole::Metadata, FileStoreOptions::default());
    let store = open()?;
    for first in (0..arguments.objects).step_by(BATCH as usize) {
        put_nodes(&store, first..(first + BATCH).min(arguments.objects), pattern)?;
    }
    let sparse: Vec<Key> = (0..arguments.objects).step_by(100).map(node).collect();
    store.delete(&sparse)?;
    store.maintain()?;
    let bytes = store.statistics()?.file_bytes;
    drop(store);
    let memory_before = resident_bytes()?;
    let started = Instant::now();
    let store = open()?;
    let took = started.elapsed();
    let objects = store.statistics()?.objects;
    let memory = resident_bytes()?.saturating_sub(memory_before);
    println!(
        "opening {objects} nodes, {} MiB of segments: {took:.2?}; {} bytes of memory an object",
        bytes / MIB,
        memory / objects.max(1)
    );
    Ok(())
}

fn resident_bytes() -> Outcome<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split_whitespace().nth(1).unwrap_or("0").parse()?;
    Ok(pages * 4096)
}
