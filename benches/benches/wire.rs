//! The messages that an update is made of, to bytes and back.

use criterion::{Criterion, Throughput};
use std::hint::black_box;
use std::time::Duration;
use weft_benches::clerk::Clerk;
use weft_common::checksum::Digest;
use weft_common::id::{BlobId, BlobVersion, NodeId, PageObjectId, ROOT_INODE, SessionId, VolumeId};
use weft_common::name::FileName;
use weft_common::weave::Geometry;
use weft_common::wire::{
    At, BlobReply, BlobRequest, DataRequest, MetadataReply, MetadataRequest, NamespaceAnswer, NamespaceQuery, Query, Reply,
    Request, VolumeSettings, decode, encode,
};
use weft_server::version::kv::MemoryKv;

const PAGE: u32 = 1 << 20;

fn clerk() -> Clerk<MemoryKv> {
    let geometry = Geometry::new(PAGE, 32).expect("a possible geometry");
    Clerk::new(MemoryKv::default(), VolumeSettings { geometry, copies: 1 }).expect("a clerk")
}

fn node(index: u64) -> NodeId {
    NodeId { blob: BlobId { volume: VolumeId(1), number: 70_000 }, version: BlobVersion(300), level: 1, index }
}

fn requests() -> Vec<(&'static str, Request)> {
    let mut clerk = clerk();
    let inode = clerk.create("frame.exr").expect("a file");
    let mut ticket = |pages: usize| {
        let update = clerk.update(0, &vec![PAGE; pages]);
        Request::Blob(BlobRequest::Ticket(Box::new(clerk.ticket_request(inode, update))))
    };
    let object = PageObjectId { session: SessionId(300), sequence: 70_000 };
    let query = Query::LookUp { parent: ROOT_INODE, name: FileName::new("frame.0042.exr").expect("a name") };
    vec![
        ("put of a page", Request::Data(DataRequest::Put { object, digest: Digest(0x9e37_79b9_7f4a_7c15) })),
        ("ticket of 1 page", ticket(1)),
        ("ticket of 8 pages", ticket(8)),
        ("ticket of 256 pages", ticket(256)),
        ("put of 3 nodes", Request::Metadata(MetadataRequest::Put { nodes: (0..3).map(|index| (node(index), 1400)).collect() })),
        ("get of 3 nodes", Request::Metadata(MetadataRequest::Get { nodes: (0..3).map(node).collect() })),
        ("look-up", Request::Query(NamespaceQuery { volume: VolumeId(1), at: At::Head, query })),
    ]
}

fn replies() -> Vec<(&'static str, Reply)> {
    let mut clerk = clerk();
    let inode = clerk.create("frame.exr").expect("a file");
    let mut ticket = |pages: usize| {
        let update = clerk.update(0, &vec![PAGE; pages]);
        Reply::Blob(BlobReply::Granted(Box::new(clerk.ticket(inode, update).expect("a ticket"))))
    };
    let tickets = [("granted 1 page", ticket(1)), ("granted 8 pages, 1 in flight", ticket(8))];
    let attributes = clerk.look_up(At::Head, "frame.exr").expect("a file");
    let mut replies = tickets.to_vec();
    replies.push(("attributes", Reply::Query(NamespaceAnswer::Attributes(attributes))));
    replies.push(("lengths of 3 nodes", Reply::Metadata(MetadataReply::Nodes { lengths: vec![Some(1400); 3] })));
    replies
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(15)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
        .configure_from_args();
    let mut group = criterion.benchmark_group("request");
    for (name, request) in requests() {
        let bytes = encode(&request).expect("bytes");
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("encode/{name}"), |bencher| bencher.iter(|| encode(black_box(&request))));
        group.bench_function(format!("decode/{name}"), |bencher| bencher.iter(|| decode::<Request>(black_box(&bytes))));
    }
    group.finish();
    let mut group = criterion.benchmark_group("reply");
    for (name, reply) in replies() {
        let bytes = encode(&reply).expect("bytes");
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("encode/{name}"), |bencher| bencher.iter(|| encode(black_box(&reply))));
        group.bench_function(format!("decode/{name}"), |bencher| bencher.iter(|| decode::<Reply>(black_box(&bytes))));
    }
    group.finish();
    criterion.final_summary();
}
