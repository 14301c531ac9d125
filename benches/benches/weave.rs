//! The weaving core: what a writer computes between ticket and put, and a reader before it fetches anything.

use criterion::{BatchSize, Criterion, Throughput};
use std::hint::black_box;
use std::time::Duration;
use weft_benches::clerk::Clerk;
use weft_benches::loom::Loom;
use weft_common::blob::ReadPlan;
use weft_common::weave::{ByteRange, Footprint, Geometry, Node, Slot, Tree, decode_node, encode_node, tree_of};
use weft_common::wire::{Ticket, VolumeSettings};
use weft_server::version::kv::MemoryKv;

const PAGE: u32 = 64 << 10;
const FAN_OUTS: [u32; 2] = [2, 32];
/// Sizes of files in pages: 1 MiB, and 1 TiB.
const SIZES: [(&str, u64); 2] = [("1MiB", 16), ("1TiB", 16 << 20)];

/// A file that has 64 pages of data, evenly spread.
struct File {
    clerk: Clerk<MemoryKv>,
    loom: Loom,
    inode: weft_common::id::InodeNumber,
    pages: u64,
}

impl File {
    fn new(fan_out: u32, pages: u64) -> Self {
        let geometry = Geometry::new(PAGE, fan_out).expect("a possible geometry");
        let mut clerk = Clerk::new(MemoryKv::default(), VolumeSettings { geometry, copies: 1 }).expect("a clerk");
        let inode = clerk.create("frame.exr").expect("a file");
        let mut file = Self { clerk, loom: Loom::default(), inode, pages };
        let growth = Clerk::<MemoryKv>::growth(pages * u64::from(PAGE));
        let ticket = file.clerk.ticket(inode, growth).expect("a ticket");
        file.publish(&ticket);
        for place in 0..64 {
            let ticket = file.order(place * (pages / 64).max(1) % pages, 1);
            file.publish(&ticket);
        }
        file
    }

    /// A ticket for `count` whole pages from `first` on.
    fn order(&mut self, first: u64, count: usize) -> Ticket {
        let update = self.clerk.update(first * u64::from(PAGE), &vec![PAGE; count]);
        self.clerk.ticket(self.inode, update).expect("a ticket")
    }

    fn publish(&mut self, ticket: &Ticket) -> Tree {
        self.loom.weave(ticket).expect("nodes");
        self.clerk.commit(ticket.blob, ticket.entry.version).expect("a commit");
        tree_of(ticket.blob, ticket.base.geometry, &ticket.entry)
    }
}

/// The nodes of an update of one page, and of 256.
fn plans(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("weave");
    for fan_out in FAN_OUTS {
        for (size, pages) in SIZES {
            for count in [1, 256].into_iter().filter(|count| *count as u64 <= pages) {
                let mut file = File::new(fan_out, pages);
                let ticket = file.order(pages / 2, count);
                group.bench_function(format!("plan/F{fan_out}/{size}/{count} pages"), |bencher| {
                    bencher.iter(|| file.loom.plan(black_box(&ticket)).expect("nodes"));
                });
            }
        }
    }
    group.finish();
}

/// An update behind others that are in flight: every reference on the border of its own nodes is looked for among them.
fn borders(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("border references");
    for fan_out in FAN_OUTS {
        for in_flight in [0, 16, 256] {
            let mut file = File::new(fan_out, 16 << 20);
            for place in 0..in_flight {
                file.order(place * 61_681 % file.pages, 1);
            }
            let ticket = file.order(file.pages / 2, 1);
            group.bench_function(format!("weave/F{fan_out}/{in_flight} in flight"), |bencher| {
                bencher.iter(|| file.loom.plan(black_box(&ticket)).expect("nodes"));
            });
            let footprint = Footprint::of(&ticket.entry, ticket.base.geometry);
            let slot = Slot { level: 2, index: 5 };
            group.bench_function(format!("one entry/F{fan_out}/{in_flight} in flight"), |bencher| {
                bencher.iter(|| black_box(&footprint).reference(ticket.blob, black_box(slot)));
            });
        }
    }
    group.finish();
}

/// What a reader computes: which objects a range of pages is made of.
fn reads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read plan");
    for fan_out in FAN_OUTS {
        for (size, pages) in SIZES {
            let mut file = File::new(fan_out, pages);
            let ticket = file.order(pages / 2, 8);
            let tree = file.publish(&ticket);
            let start = pages / 2 * u64::from(PAGE);
            let range = ByteRange::new(start, start + 8 * u64::from(PAGE));
            group.bench_function(format!("8 pages/F{fan_out}/{size}"), |bencher| {
                bencher.iter(|| file.loom.drive(ReadPlan::new(black_box(&tree), range)).expect("a plan"));
            });
        }
    }
    group.finish();
}

/// Nodes to bytes and back.
fn nodes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("node");
    let mut file = File::new(32, 1024);
    let ticket = file.order(0, 1024);
    let woven = file.loom.plan(&ticket).expect("nodes");
    let leaf = woven.iter().find(|(_, node)| matches!(node, Node::Leaf(_))).expect("a leaf");
    let inner = woven.iter().find(|(_, node)| matches!(node, Node::Inner(_))).expect("an inner node");
    for (name, (id, node)) in [("leaf of 32 pages", leaf), ("inner node of 32", inner)] {
        let bytes = encode_node(id, node).expect("bytes");
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("encode/{name}"), |bencher| bencher.iter(|| encode_node(black_box(id), black_box(node))));
        group.bench_function(format!("decode/{name}"), |bencher| bencher.iter(|| decode_node(black_box(id), black_box(&bytes))));
    }
    group.finish();
    criterion.bench_function("loom/first update of a new file", |bencher| {
        bencher.iter_batched(
            || {
                let mut file = File::new(32, 16);
                let ticket = file.order(0, 1);
                (file, ticket)
            },
            |(mut file, ticket)| file.loom.plan(&ticket).expect("nodes"),
            BatchSize::SmallInput,
        );
    });
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(15)
        .warm_up_time(Duration::from_millis(150))
        .measurement_time(Duration::from_millis(600))
        .configure_from_args();
    plans(&mut criterion);
    borders(&mut criterion);
    reads(&mut criterion);
    nodes(&mut criterion);
    criterion.final_summary();
}
