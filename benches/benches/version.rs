//! The version manager's core over a table in memory: tickets and commits, and operations of the namespace. No log, no thread: what one
//! processor could order at most.

use criterion::Criterion;
use std::hint::black_box;
use std::time::Duration;
use weft_benches::clerk::Clerk;
use weft_common::id::{InodeNumber, ROOT_INODE, VolumeVersion};
use weft_common::name::FileName;
use weft_common::weave::Geometry;
use weft_common::wire::{At, Change, VolumeSettings};
use weft_server::version::kv::MemoryKv;

const PAGE: u32 = 1 << 20;

fn clerk(files: u64) -> (Clerk<MemoryKv>, InodeNumber) {
    let geometry = Geometry::new(PAGE, 32).expect("a possible geometry");
    let mut clerk = Clerk::new(MemoryKv::default(), VolumeSettings { geometry, copies: 1 }).expect("a clerk");
    let inode = clerk.create("frame.exr").expect("a file");
    for number in 0..files {
        clerk.create(&format!("f{number}")).expect("a file");
    }
    (clerk, inode)
}

/// A ticket and its commit: what each update of a file asks of the version manager.
fn tickets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ticket and commit");
    for (name, pages) in [("1 page", 1), ("8 pages", 8), ("256 pages", 256)] {
        let (mut clerk, inode) = clerk(0);
        let lengths = vec![PAGE; pages];
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let update = clerk.update(0, &lengths);
                let ticket = clerk.ticket(inode, update).expect("a ticket");
                clerk.commit(ticket.blob, ticket.entry.version).expect("a commit");
            });
        });
    }
    // The lists of what is in flight are copied into the ticket.
    let (mut clerk, inode) = clerk(0);
    for place in 0..256 {
        let update = clerk.update(place * u64::from(PAGE), &[PAGE]);
        clerk.ticket(inode, update).expect("a ticket");
    }
    let mut committed = 0;
    group.bench_function("1 page, 256 in flight", |bencher| {
        bencher.iter(|| {
            let update = clerk.update(0, &[PAGE]);
            let ticket = clerk.ticket(inode, update).expect("a ticket");
            committed += 1;
            clerk.commit(ticket.blob, weft_common::id::BlobVersion(committed)).expect("a commit");
        });
    });
    group.finish();
}

/// Changes and look-ups in a directory of 10,000 files.
fn names(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("namespace");
    let (mut clerk, _) = clerk(10_000);
    let old = At::Version(VolumeVersion(5000));
    let mut number = 0;
    let mut next = || {
        number = (number + 7919) % 4000;
        format!("f{number}")
    };
    group.bench_function("look-up at head", |bencher| {
        bencher.iter(|| black_box(clerk.look_up(At::Head, &next()).expect("a file")));
    });
    group.bench_function("look-up at an old version", |bencher| {
        bencher.iter(|| black_box(clerk.look_up(old, &next()).expect("a file")));
    });
    let mut made = 0;
    group.bench_function("create", |bencher| {
        bencher.iter(|| {
            made += 1;
            clerk.create(&format!("new{made}")).expect("a file")
        });
    });
    let name = |text: &str| FileName::new(text).expect("a name");
    let mut turn = 0;
    group.bench_function("rename", |bencher| {
        bencher.iter(|| {
            turn += 1;
            let (old, new) = (format!("r{}", turn - 1), format!("r{turn}"));
            if turn == 1 {
                clerk.create(&old).expect("a file");
            }
            clerk.change(rename(name(&old), name(&new))).expect("a rename")
        });
    });
    let mut created = 0;
    group.bench_function("create and unlink", |bencher| {
        bencher.iter(|| {
            created += 1;
            let file = format!("short{created}");
            clerk.create(&file).expect("a file");
            clerk.change(Change::Unlink { parent: ROOT_INODE, name: name(&file) }).expect("an unlink")
        });
    });
    group.finish();
}

fn rename(name: FileName, new_name: FileName) -> Change {
    Change::Rename { parent: ROOT_INODE, name, new_parent: ROOT_INODE, new_name, no_replace: false, exchange: false }
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(15)
        .warm_up_time(Duration::from_millis(150))
        .measurement_time(Duration::from_millis(600))
        .configure_from_args();
    tickets(&mut criterion);
    names(&mut criterion);
    criterion.final_summary();
}
