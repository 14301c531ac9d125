//! Failing writes and syncs, full disks, flipped bits.

use super::sim_disk::SimDisk;
use super::{key, open_on, try_open_on};
use crate::storage::conformance::bytes;
use crate::storage::file::engine::Engine;
use crate::storage::{NewObject, StoreError};

fn put(engine: &Engine, number: u64, length: usize) -> Result<(), StoreError> {
    engine.put(&[NewObject { key: key(number), extra: &bytes(number, 16), body: &bytes(number, length) }])
}

fn has(engine: &Engine, number: u64, length: usize) -> bool {
    engine.get(&key(number)).unwrap().is_some_and(|object| object.body == bytes(number, length))
}

#[test]
fn after_any_failed_write_or_sync_nothing_more_is_taken_and_nothing_synced_is_lost() {
    let rehearsal = SimDisk::new(1 << 30);
    let _ = workload(&open_on(&rehearsal));
    let (writes, syncs) = (rehearsal.writes(), rehearsal.syncs());
    assert!(writes > 30 && syncs > 10);
    for (is_sync, number) in (1..=writes).map(|write| (false, write)).chain((1..=syncs).map(|sync| (true, sync))) {
        let disk = SimDisk::new(1 << 30);
        if is_sync {
            disk.fail_sync(number);
        } else {
            disk.fail_write(number);
        }
        let Ok(engine) = try_open_on(&disk) else { continue };
        let (acknowledged, synced, failed) = workload(&engine);
        assert!(failed, "the failure of {number} was hidden");
        if engine.health.is_poisoned() {
            assert!(matches!(put(&engine, 999, 10), Err(StoreError::Poisoned { .. })));
            assert!(matches!(engine.delete(&[key(0)]), Err(StoreError::Poisoned { .. })));
            assert!(matches!(engine.sync(), Err(StoreError::Poisoned { .. })));
        }
        for number in &acknowledged {
            assert!(has(&engine, *number, length(*number)), "reads go on");
        }
        drop(engine);
        disk.fail_sync(0);
        disk.fail_write(0);
        let engine = open_on(&disk);
        assert!(synced.iter().all(|number| has(&engine, *number, length(*number))));
        put(&engine, 1000, 10).unwrap();
        engine.sync().unwrap();
    }
}

fn length(number: u64) -> usize {
    (number as usize * 1999) % 9000
}

/// What was acknowledged, what was synced, and whether anything failed.
fn workload(engine: &Engine) -> (Vec<u64>, Vec<u64>, bool) {
    let (mut acknowledged, mut synced) = (Vec::new(), Vec::new());
    for number in 0..40 {
        if put(engine, number, length(number)).is_err() {
            return (acknowledged, synced, true);
        }
        acknowledged.push(number);
        if number % 8 == 7 {
            if engine.sync().is_err() {
                return (acknowledged, synced, true);
            }
            synced = acknowledged.clone();
            if engine.maintain().is_err() {
                return (acknowledged, synced, true);
            }
        }
    }
    (acknowledged, synced, false)
}

#[test]
fn a_full_disk_refuses_puts_keeps_everything_and_takes_again_after_deletes() {
    let disk = SimDisk::new(512 << 10);
    let engine = super::open_with(&disk, 64 << 10).unwrap();
    let mut count = 0;
    let error = loop {
        match put(&engine, count, 20_000) {
            Ok(()) => count += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::NoSpace { .. }), "{error}");
    assert!(error.to_string().contains("/sim"), "{error}");
    assert!(count > 15 && !engine.health.is_poisoned());
    assert!((0..count).all(|number| has(&engine, number, 20_000)));
    assert!(engine.statistics().unwrap().disk_free_bytes < 24_000);
    engine.sync().unwrap();
    let keys: Vec<_> = (0..10).map(key).collect();
    assert_eq!(engine.delete(&keys).unwrap(), 10);
    engine.sync().unwrap();
    engine.maintain().unwrap();
    for number in 100..108 {
        put(&engine, number, 20_000).unwrap();
    }
    drop(engine);
    let engine = super::open_with(&disk, 64 << 10).unwrap();
    assert!((10..count).chain(100..108).all(|number| has(&engine, number, 20_000)));
    assert!((0..10).all(|number| !engine.contains(&key(number))));
}

#[test]
fn flipped_bits_are_found_and_named() {
    let disk = SimDisk::new(1 << 30);
    let engine = open_on(&disk);
    put(&engine, 1, 30_000).unwrap();
    put(&engine, 2, 100).unwrap();
    // The first record: 72 bytes of header from 64 on, 16 of extra, then the body.
    for (at, what) in [(64 + 20, "header"), (64 + 72 + 3, "checksum"), (64 + 72 + 16 + 29_000, "checksum")] {
        disk.meddle("00000001.seg", |bytes| bytes[at] ^= 1);
        let error = engine.get(&key(1)).unwrap_err();
        assert!(matches!(&error, StoreError::Damaged { offset: 64, .. }), "{error}");
        assert!(error.to_string().contains("00000001.seg") && error.to_string().contains(what), "{error}");
        if at < 64 + 72 + 16 {
            assert!(engine.get_part(&key(1), 0..10).is_err());
        }
        disk.meddle("00000001.seg", |bytes| bytes[at] ^= 1);
        assert!(has(&engine, 1, 30_000) && has(&engine, 2, 100));
    }
}

#[test]
fn damage_in_the_unsealed_segment_costs_only_what_it_hit() {
    for at in [64, 64 + 9, 64 + 40, 64 + 72 + 16 + 500, 64 + 72 + 16 + 990] {
        let disk = SimDisk::new(1 << 30);
        let engine = open_on(&disk);
        for number in 0..6 {
            put(&engine, number, 1000).unwrap();
        }
        engine.sync().unwrap();
        drop(engine);
        // The second of six records.
        disk.meddle("00000001.seg", |bytes| bytes[at + 1088] ^= 4);
        for _ in 0..2 {
            let engine = open_on(&disk);
            for number in [0, 2, 3, 4, 5] {
                assert!(has(&engine, number, 1000), "record {number}, damage at {at}");
            }
            assert!(!engine.contains(&key(1)));
        }
    }
}

#[test]
fn a_damaged_index_file_is_made_again() {
    let disk = SimDisk::new(1 << 30);
    let engine = open_on(&disk);
    for number in 0..200 {
        put(&engine, number, 1000).unwrap();
    }
    let keys: Vec<_> = (0..50).map(key).collect();
    engine.delete(&keys).unwrap();
    engine.sync().unwrap();
    engine.maintain().unwrap();
    drop(engine);
    let indexes: Vec<String> = disk.names().into_iter().filter(|name| name.ends_with(".idx")).collect();
    assert!(indexes.len() >= 2, "{indexes:?}");
    for name in &indexes {
        disk.meddle(name, |bytes| bytes[50] ^= 1);
    }
    let engine = open_on(&disk);
    assert!((50..200).all(|number| has(&engine, number, 1000)));
    assert!((0..50).all(|number| !engine.contains(&key(number))));
    drop(engine);
    let engine = open_on(&disk);
    assert_eq!(engine.statistics().unwrap().objects, 150);
}

#[test]
fn a_segment_with_a_damaged_header_is_named_not_dropped() {
    let disk = SimDisk::new(1 << 30);
    let engine = open_on(&disk);
    put(&engine, 1, 1000).unwrap();
    drop(engine);
    disk.meddle("00000001.seg", |bytes| bytes[20] ^= 1);
    let error = try_open_on(&disk).unwrap_err();
    assert!(matches!(&error, StoreError::Damaged { .. }) && error.to_string().contains("00000001.seg"), "{error}");
}

#[test]
fn records_inside_bodies_are_not_records() {
    let disk = SimDisk::new(1 << 30);
    let engine = open_on(&disk);
    for number in 0..5 {
        put(&engine, number, 500).unwrap();
    }
    engine.delete(&[key(4)]).unwrap();
    let mut copy = Vec::new();
    disk.meddle("00000001.seg", |bytes| copy = bytes[..6000].to_vec());
    // Somebody stores a copy of the segment, at the same offset modulo nothing; then its record is torn.
    engine.put(&[NewObject { key: key(100), extra: &[], body: &copy }]).unwrap();
    put(&engine, 101, 500).unwrap();
    let end = engine.segment(1).unwrap().end.load(std::sync::atomic::Ordering::Relaxed) as usize;
    drop(engine);
    disk.meddle("00000001.seg", |bytes| bytes[end - 600 - 6000] ^= 1);
    let engine = open_on(&disk);
    let mut keys = Vec::new();
    engine
        .keys(&mut |key| {
            keys.push(*key);
            true
        })
        .unwrap();
    keys.sort_unstable();
    let mut expected: Vec<_> = [0, 1, 2, 3, 101].map(key).to_vec();
    expected.sort_unstable();
    keys.retain(|found| *found != key(100));
    assert_eq!(keys, expected);
}
