//! The engine below data and metadata providers: puts and gets of page objects and of nodes, on the disk of the system's folder for
//! temporary files (`TMPDIR` moves it). Nothing is synced but by the engine's own upkeep.

use criterion::{BenchmarkId, Criterion, Throughput};
use std::hint::black_box;
use std::time::Duration;
use weft_common::checksum::ChunkTable;
use weft_common::id::{BlobId, BlobVersion, NodeId, PageObjectId, SessionId, VolumeId};
use weft_common::wire::ProviderRole;
use weft_server::storage::file::{FileStore, FileStoreOptions};
use weft_server::storage::{Key, NewObject, ObjectStore};

/// Of this many objects each put is one, so that the store stays small: what is put again is deleted first, outside of the time.
const KEPT: u64 = 256;
/// A leaf of 32 pages of one fragment each has about this much.
const NODE_BYTES: usize = 1400;
/// Nodes that one put brings, as a client batches them.
const BATCH: u64 = 3;

fn store(role: ProviderRole) -> (tempfile::TempDir, FileStore) {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let store = FileStore::open(folder.path(), role, FileStoreOptions::default()).expect("a store");
    (folder, store)
}

fn page(number: u64) -> Key {
    Key::from(PageObjectId { session: SessionId(1), sequence: number })
}

fn node(number: u64) -> Key {
    let blob = BlobId { volume: VolumeId(1), number: number % 97 };
    Key::from(NodeId { blob, version: BlobVersion(number), level: 1, index: number / 97 })
}

fn body(length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect()
}

fn pages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("page engine");
    for length in [64 << 10, 1 << 20] {
        let (_folder, store) = store(ProviderRole::Data);
        let body = body(length);
        let extra: Vec<u8> = ChunkTable::of(&body).checksums().iter().flat_map(|sum| sum.to_le_bytes()).collect();
        group.throughput(Throughput::Bytes(length as u64));
        let mut number = 0;
        group.bench_with_input(BenchmarkId::new("put", length), &body, |bencher, body| {
            bencher.iter_batched(
                || {
                    number += 1;
                    if number > KEPT {
                        store.delete(&[page(number - KEPT)]).expect("a delete");
                    }
                    page(number)
                },
                |key| store.put(&[NewObject { key, extra: &extra, body }]).expect("a put"),
                criterion::BatchSize::PerIteration,
            );
        });
        let mut at = 0;
        group.bench_with_input(BenchmarkId::new("get", length), &number, |bencher, newest| {
            bencher.iter(|| {
                at = (at + 7) % newest.min(&(KEPT - 1));
                black_box(store.get(&page(newest - at)).expect("a get").expect("an object"))
            });
        });
    }
    group.finish();
}

fn nodes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("node engine");
    let (_folder, store) = store(ProviderRole::Metadata);
    let body = body(NODE_BYTES);
    group.throughput(Throughput::Elements(BATCH));
    let mut number = 0;
    group.bench_function("put of 3", |bencher| {
        bencher.iter(|| {
            let key = |place| NewObject { key: node(number + place), extra: &[], body: &body };
            let objects: Vec<NewObject<'_>> = (0..BATCH).map(key).collect();
            store.put(&objects).expect("a put");
            number += BATCH;
        });
    });
    group.throughput(Throughput::Elements(1));
    let mut at = 0;
    group.bench_function("get", |bencher| {
        bencher.iter(|| {
            at = (at + 7919) % number;
            black_box(store.get(&node(at)).expect("a get").expect("a node"))
        });
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(15)
        .warm_up_time(Duration::from_millis(150))
        .measurement_time(Duration::from_millis(600))
        .configure_from_args();
    pages(&mut criterion);
    nodes(&mut criterion);
    criterion.final_summary();
}
