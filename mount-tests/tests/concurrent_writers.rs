//! Writers on several mounts, one file: nobody's bytes are lost, nobody waits for anybody, nothing is torn.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use weft_mount_tests::cluster::{Cluster, Shape, long_tests};
use weft_mount_tests::mount::Mount;
use weft_mount_tests::random::Random;

const MOUNTS: usize = 4;
const WRITERS: usize = 8;
const RANGE: usize = 1000;

/// The byte that belongs at `offset`: it tells the writer and the place.
fn byte_at(offset: usize) -> u8 {
    let range = offset / RANGE;
    (range.wrapping_mul(31) ^ (offset % RANGE)) as u8
}

#[test]
fn interleaved_ranges_of_one_file_are_exact() {
    let bytes = if long_tests() { 64 << 20 } else { 8 << 20 };
    let mut cluster = Cluster::start(3, 3);
    for (number, shape) in Shape::tested().into_iter().enumerate() {
        let volume = format!("tiles{number}");
        cluster.create_volume(&volume, shape);
        let mounts: Vec<Mount> = (0..MOUNTS).map(|_| cluster.mount(&volume)).collect();
        File::create(mounts[0].path().join("frame.exr")).expect("a new file");
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let path = mounts[writer % MOUNTS].path().join("frame.exr");
                scope.spawn(move || write_every_eighth_range(&path, writer, bytes));
            }
        });
        for mount in &mounts {
            check_pattern(&mount.path().join("frame.exr"), bytes, shape);
        }
    }
}

fn write_every_eighth_range(path: &Path, writer: usize, bytes: usize) {
    let file = OpenOptions::new().write(true).open(path).expect("the shared file");
    for start in (writer * RANGE..bytes).step_by(WRITERS * RANGE) {
        let content: Vec<u8> = (start..(start + RANGE).min(bytes)).map(byte_at).collect();
        file.write_all_at(&content, start as u64).expect("a write of one range");
    }
    file.sync_all().expect("fsync");
}

fn check_pattern(path: &Path, bytes: usize, shape: Shape) {
    let content = std::fs::read(path).expect("the whole file");
    assert_eq!(content.len(), bytes, "{shape:?}");
    let wrong = content.iter().enumerate().find(|(offset, byte)| **byte != byte_at(*offset));
    assert_eq!(wrong, None, "first wrong byte of {} with {shape:?}", path.display());
}

#[test]
fn appenders_on_all_mounts_lose_no_record_and_tear_none() {
    let records = if long_tests() { 1000 } else { 100 };
    let mut cluster = Cluster::start(3, 3);
    for (number, shape) in Shape::tested().into_iter().enumerate() {
        let volume = format!("logs{number}");
        cluster.create_volume(&volume, shape);
        let mounts: Vec<Mount> = (0..MOUNTS).map(|_| cluster.mount(&volume)).collect();
        File::create(mounts[0].path().join("render.log")).expect("a new file");
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let path = mounts[writer % MOUNTS].path().join("render.log");
                scope.spawn(move || append_records(&path, writer as u8, records));
            }
        });
        let fresh = cluster.mount(&volume);
        for mount in std::iter::once(&fresh).chain(&mounts) {
            check_records(&mount.path().join("render.log"), records, shape);
        }
    }
}

/// A record: writer, number, length, then that many bytes of a pattern which the number seeds.
fn record(writer: u8, number: u32) -> Vec<u8> {
    let mut random = Random::new(u64::from(writer) << 32 | u64::from(number));
    let length = 1 + random.below(3001) as usize;
    let mut record = vec![writer];
    record.extend_from_slice(&number.to_le_bytes());
    record.extend_from_slice(&(length as u32).to_le_bytes());
    record.extend(random.bytes(length));
    record
}

fn append_records(path: &Path, writer: u8, records: u32) {
    for number in 0..records {
        let mut file = OpenOptions::new().append(true).open(path).expect("the shared log");
        file.write_all(&record(writer, number)).expect("one record in one write");
    }
}

fn check_records(path: &Path, records: u32, shape: Shape) {
    let mut content = Vec::new();
    File::open(path).and_then(|mut file| file.read_to_end(&mut content)).expect("the whole log");
    let mut next = [0_u32; WRITERS];
    let mut rest = &content[..];
    while !rest.is_empty() {
        let writer = rest[0];
        let number = next[usize::from(writer)];
        let expected = record(writer, number);
        if !rest.starts_with(&expected) {
            let offset = content.len() - rest.len();
            let same = expected.iter().zip(rest).take_while(|(a, b)| a == b).count();
            let wrong = offset + same;
            let elsewhere = content.windows(12).position(|window| Some(window) == expected.get(same..same + 12));
            eprintln!(
                "wrong bytes at {wrong}: {:x?}; the right ones are at {elsewhere:?}",
                &content[wrong..(wrong + 24).min(content.len())]
            );
            let found = (0..records).find(|number| rest.starts_with(&record(writer, *number)));
            panic!(
                "{} at {offset} of {}: record {number} of writer {writer} has {same} of {} bytes right, record {found:?} is there; {shape:?}",
                path.display(),
                content.len(),
                expected.len()
            );
        }
        next[usize::from(writer)] += 1;
        rest = &rest[expected.len()..];
    }
    assert_eq!(next, [records; WRITERS], "records of each writer with {shape:?}");
}
