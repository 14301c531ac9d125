//! The file engine against the bare disk and against redb.

use crate::report::median;
use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableDefinition};
use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
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
    /// Only opens the store that is there already (the bench starts itself with this, to see a fresh process's memory).
    #[arg(long, hide = true)]
    open: bool,
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
    if arguments.open {
        return open_only(&arguments.dir);
    }
    let pattern: Vec<u8> = (0..8 * MIB).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
    rates(arguments, &pattern)?;
    small_objects(arguments, &pattern)?;
    opening(arguments, &pattern)
}

/// Sequential rates, the measurements of a round side by side.
fn rates(arguments: &Arguments, pattern: &[u8]) -> Outcome<()> {
    let total = arguments.mib * MIB;
    let dir = &arguments.dir;
    let measurements: [(&str, &dyn Fn() -> Outcome<f64>); 8] = [
        ("bare disk, pwrite of 4 MiB", &|| bare_disk(dir, total, 4 * MIB, false, pattern)),
        ("bare disk, pwrite of 1 MiB, fallocate", &|| bare_disk(dir, total, MIB, true, pattern)),
        ("bare disk, pwrite of 64 KiB, fallocate", &|| bare_disk(dir, total, 64 << 10, true, pattern)),
        ("store, objects of 1 MiB", &|| store_puts(dir, total, MIB as usize, 1, pattern)),
        ("store, objects of 64 KiB", &|| store_puts(dir, total, 64 << 10, 1, pattern)),
        ("store, objects of 1 MiB, 4 threads", &|| store_puts(dir, total, MIB as usize, 4, pattern)),
        ("store, objects of 64 KiB, 4 threads", &|| store_puts(dir, total, 64 << 10, 4, pattern)),
        ("redb, values of 1 MiB", &|| redb_pages(dir, total, pattern)),
    ];
    let mut rates = vec![Vec::new(); measurements.len()];
    for round in 0..arguments.rounds {
        for step in 0..measurements.len() {
            // Each follows each other one in turn: removing the files of the one before costs the next.
            let which = (round + step) % measurements.len();
            settle()?;
            rates[which].push(measurements[which].1()?);
        }
    }
    // Where memory is new to the machine, taking it in costs more than writing it, and hits whom it will. So the best of each
    // counts, and the best way to use the bare disk.
    let best = |rates: &[f64]| rates.iter().copied().fold(0.0, f64::max);
    let bare = rates[..3].iter().map(|rates| best(rates)).fold(0.0, f64::max);
    println!("sequential, {} MiB, fdatasync every 64 MiB    best MB/s   of the bare disk   median", arguments.mib);
    for ((what, _), rates) in measurements.iter().zip(&mut rates) {
        println!(
            "  {what:<42} {:>6.0}   {:.2}   {:>6.0}",
            best(rates) / 1e6,
            best(rates) / bare,
            median(rates.iter().copied()) / 1e6
        );
    }
    Ok(())
}

/// Lets the disk finish what earlier measurements left behind.
fn settle() -> Outcome<()> {
    Command::new("sync").status()?;
    std::thread::sleep(Duration::from_millis(300));
    Ok(())
}

fn rate(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / took.as_secs_f64()
}

fn bare_disk(dir: &Path, total: u64, step: u64, reserve: bool, pattern: &[u8]) -> Outcome<f64> {
    let folder = tempfile::tempdir_in(dir)?;
    let file = File::create(folder.path().join("bare"))?;
    let started = Instant::now();
    for offset in (0..total).step_by(step as usize) {
        if reserve && offset.is_multiple_of(32 * MIB) {
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), offset, 32 * MIB)?;
        }
        let from = (offset / step * 4096) as usize % (pattern.len() - step as usize);
        file.write_all_at(&pattern[from..from + step as usize], offset)?;
        if (offset + step).is_multiple_of(SYNC_BYTES) {
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
    let store = FileStore::open(folder.path(), ProviderRole::Metadata, FileStoreOptions::default())?;
    for first in (0..arguments.objects).step_by(BATCH as usize) {
        put_nodes(&store, first..(first + BATCH).min(arguments.objects), pattern)?;
    }
    let sparse: Vec<Key> = (0..arguments.objects).step_by(100).map(node).collect();
    store.delete(&sparse)?;
    store.maintain()?;
    drop(store);
    let mut child = Command::new(std::env::current_exe()?).arg("store").arg("--open").arg("--dir").arg(folder.path()).spawn()?;
    if child.wait()?.success() { Ok(()) } else { Err("the process that opens the store failed".into()) }
}

fn open_only(folder: &Path) -> Outcome<()> {
    let memory_before = resident_bytes()?;
    let started = Instant::now();
    let store = FileStore::open(folder, ProviderRole::Metadata, FileStoreOptions::default())?;
    let took = started.elapsed();
    let statistics = store.statistics()?;
    let memory = resident_bytes()?.saturating_sub(memory_before) / statistics.objects.max(1);
    let (objects, size) = (statistics.objects, statistics.file_bytes / MIB);
    println!("opening {objects} nodes, {size} MiB of segments: {took:.2?}; {memory} bytes of memory an object");
    Ok(())
}

fn resident_bytes() -> Outcome<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split_whitespace().nth(1).unwrap_or("0").parse()?;
    Ok(pages * 4096)
}
