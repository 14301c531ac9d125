//! Deletes give space back, whatever the objects' sizes, and nothing that is alive goes with them.

use super::sim_disk::SimDisk;
use super::{key, open_on, open_sized};
use crate::storage::NewObject;
use crate::storage::conformance::bytes;
use crate::storage::file::engine::Engine;

fn put(engine: &Engine, number: u64, length: usize) {
    engine.put(&[NewObject { key: key(number), extra: b"", body: &bytes(number, length) }]).unwrap();
}

fn upkeep(engine: &Engine) {
    // One upkeep compacts a few segments only.
    for _ in 0..20 {
        engine.sync().unwrap();
        engine.maintain().unwrap();
    }
}

fn check(engine: &Engine, alive: impl Iterator<Item = u64>, length: usize) {
    let mut count = 0;
    for number in alive {
        assert_eq!(engine.get(&key(number)).unwrap().unwrap().body, bytes(number, length), "{number}");
        count += 1;
    }
    assert_eq!(engine.statistics().unwrap().objects, count);
}

/// Deletes all but every `keep`th of `count` objects; returns the bytes on disk before and after.
fn churn(length: usize, count: u64, keep: u64) -> (u64, u64) {
    let disk = SimDisk::new(1 << 30);
    let engine = open_on(&disk);
    (0..count).for_each(|number| put(&engine, number, length));
    upkeep(&engine);
    let before = disk.used();
    let keys: Vec<_> = (0..count).filter(|number| number % keep != 0).map(key).collect();
    engine.delete(&keys).unwrap();
    upkeep(&engine);
    check(&engine, (0..count).step_by(keep as usize), length);
    let statistics = engine.statistics().unwrap();
    // `store.toml` and `incarnation` take a block each.
    assert!(statistics.file_bytes.abs_diff(disk.used() - (8 << 10)) < 64 << 10, "{statistics:?} {}", disk.used());
    let after = disk.used();
    // Tombstones must still hold what they hold after moves and restarts.
    for _ in 0..2 {
        drop(open_on(&disk));
    }
    let engine = open_on(&disk);
    check(&engine, (0..count).step_by(keep as usize), length);
    (before, after)
}

#[test]
fn large_bodies_are_punched_out() {
    let (before, after) = churn(40_000, 100, 10);
    assert!(after < before / 5, "{before} -> {after}");
}

/// Of each deleted object a block or two is left, which adds up when much more was deleted than is kept.
#[test]
fn what_punching_leaves_stays_a_small_part_of_what_is_alive() {
    let disk = SimDisk::new(1 << 30);
    let engine = open_sized(&disk, 4 << 20, 0).unwrap();
    (0..1600).for_each(|number| put(&engine, number, 40_000));
    engine.delete(&(0..1600).filter(|number| number % 4 != 0).map(key).collect::<Vec<_>>()).unwrap();
    upkeep(&engine);
    check(&engine, (0..1600).step_by(4), 40_000);
    let used = disk.used();
    assert!(used < 400 * 40_000 * 6 / 5, "{used}");
}

/// Small records are not punched out, and whoever writes little may take weeks to fill a segment.
#[test]
fn the_segment_that_is_appended_to_is_no_hiding_place_for_waste() {
    let disk = SimDisk::new(1 << 30);
    let engine = open_sized(&disk, 64 << 20, 0).unwrap();
    (0..20_000).for_each(|number| put(&engine, number, 300));
    let taken = || engine.statistics().unwrap().file_bytes;
    let before = taken();
    engine.delete(&(0..20_000).filter(|number| number % 20 != 0).map(key).collect::<Vec<_>>()).unwrap();
    upkeep(&engine);
    check(&engine, (0..20_000).step_by(20), 300);
    assert!(taken() < before / 10, "{before} -> {}", taken());
    let names = disk.names();
    upkeep(&engine);
    assert_eq!(disk.names(), names, "what is left is written anew again and again");
    put(&engine, 20_001, 300);
    drop(engine);
    let engine = open_sized(&disk, 64 << 20, 0).unwrap();
    check(&engine, (0..20_000).step_by(20).chain([20_001]), 300);
}

#[test]
fn a_store_without_deletes_is_not_written_anew() {
    let disk = SimDisk::new(1 << 30);
    let engine = open_on(&disk);
    (0..3000).for_each(|number| put(&engine, number, if number % 3 == 0 { 20_000 } else { 300 }));
    upkeep(&engine);
    let before = disk.names();
    upkeep(&engine);
    assert_eq!(disk.names(), before);
}

#[test]
fn small_bodies_are_compacted() {
    let (before, after) = churn(300, 5000, 10);
    assert!(after < before / 3, "{before} -> {after}");
}

#[test]
fn an_emptied_store_takes_next_to_nothing() {
    let disk = SimDisk::new(1 << 30);
    let engine = open_on(&disk);
    for round in 0..4 {
        let numbers = round * 1000..round * 1000 + 500;
        numbers.clone().for_each(|number| put(&engine, number, 1500));
        engine.delete(&numbers.map(key).collect::<Vec<_>>()).unwrap();
        upkeep(&engine);
    }
    assert!(disk.used() < 200 << 10, "{} bytes, {:?}", disk.used(), disk.names());
    assert_eq!(engine.statistics().unwrap().live_bytes, 0);
    drop(engine);
    assert_eq!(open_on(&disk).statistics().unwrap().objects, 0);
}

#[test]
fn reads_during_moves_and_deletes_find_the_object_or_nothing() {
    let disk = SimDisk::new(1 << 30);
    let engine = open_on(&disk);
    let length = |number: u64| if number.is_multiple_of(7) { 20_000 } else { 400 };
    (0..600).for_each(|number| put(&engine, number, length(number)));
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut kept = 0;
                while !done.load(std::sync::atomic::Ordering::Relaxed) || kept == 0 {
                    for number in 0..600 {
                        let found = engine.get(&key(number)).unwrap();
                        assert!(found.is_some() || number % 5 != 0, "{number} is kept");
                        kept += u64::from(found.is_some());
                        assert!(found.is_none_or(|object| object.body == bytes(number, length(number))));
                    }
                }
            });
        }
        for group in 0..6 {
            let keys: Vec<_> = (group * 100..group * 100 + 100).filter(|number| number % 5 != 0).map(key).collect();
            engine.delete(&keys).unwrap();
            upkeep(&engine);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let mut alive = 0;
    engine
        .keys(&mut |_| {
            alive += 1;
            true
        })
        .unwrap();
    assert_eq!(alive, 120);
}
