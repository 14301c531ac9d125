//! Every crash point of random traces: what was acknowledged survives the process, what was synced survives the machine, and
//! everything else is whole or absent.

use super::sim_disk::{Crash, Op, Random, SimDisk};
use super::{key, open_sized};
use crate::storage::conformance::bytes;
use crate::storage::file::engine::Engine;
use crate::storage::{Key, NewObject};
use std::collections::BTreeMap;
use std::sync::Arc;

const KEYS: u64 = 12;

/// Small segments, so that a short trace fills, seals, compacts and removes several.
fn open_on(disk: &SimDisk) -> Engine {
    open_sized(disk, 24 << 10, 0).unwrap()
}

/// What a key holds: a generation (its bytes follow from it), or nothing.
type Value = Option<u64>;

#[derive(Clone, Debug)]
enum Event {
    Put(u64, u64),
    Delete(Vec<u64>),
    Sync,
    Upkeep,
}

/// An event and the operations of the disk that it spans.
#[derive(Clone, Debug)]
struct Step {
    event: Event,
    began: usize,
    ended: usize,
}

fn body(number: u64, generation: u64) -> Vec<u8> {
    let shape = Random(number * 1000 + generation).below(10);
    let length = match shape {
        0..5 => shape * 97,
        5..8 => shape * 911,
        8 => 20_000 + generation % 1000,
        // Long enough to start at a block.
        _ => 66_000 + generation % 1000,
    };
    bytes(number * 1000 + generation, length as usize)
}

/// Runs random operations, and checks each answer.
fn run(engine: &Engine, disk: &SimDisk, random: &mut Random, count: usize, state: &mut BTreeMap<u64, u64>) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut generation = random.below(1 << 20);
    for _ in 0..count {
        let began = disk.ops();
        let event = match random.below(20) {
            0..11 => {
                let number = random.below(KEYS);
                generation += 1;
                let wanted = *state.entry(number).or_insert(generation);
                let (extra, body) = (bytes(wanted, 16), body(number, wanted));
                engine.put(&[NewObject { key: key(number), extra: &extra, body: &body }]).unwrap();
                Event::Put(number, wanted)
            }
            11..16 => {
                let numbers: Vec<u64> = (0..=random.below(3)).map(|_| random.below(KEYS)).collect();
                let there = numbers.iter().filter(|number| state.remove(number).is_some()).count();
                let keys: Vec<Key> = numbers.iter().map(|number| key(*number)).collect();
                assert_eq!(engine.delete(&keys).unwrap(), there);
                Event::Delete(numbers)
            }
            16..18 => {
                engine.sync().unwrap();
                Event::Sync
            }
            // Without a sync before it: upkeep itself must know what may be done.
            _ => {
                engine.maintain().unwrap();
                Event::Upkeep
            }
        };
        steps.push(Step { event, began, ended: disk.ops() });
    }
    steps
}

/// The values that a key may have after a crash after `count` operations.
fn allowed(start: Value, steps: &[Step], number: u64, count: usize, crash: Crash) -> Vec<Value> {
    let mut values = vec![start];
    for step in steps.iter().filter(|step| step.began <= count) {
        let finished = step.ended <= count;
        match &step.event {
            Event::Put(other, generation) if *other == number => values.push(Some(*generation)),
            Event::Delete(numbers) if numbers.contains(&number) => values.push(None),
            // A sync makes the newest value the only one.
            Event::Sync if finished => {
                values = values.split_off(values.len() - 1);
                continue;
            }
            _ => continue,
        }
        if finished && crash == Crash::Process {
            values = values.split_off(values.len() - 1);
        }
    }
    values
}

fn check(engine: &Engine, number: u64, allowed: &[Value], context: &dyn Fn() -> String) -> Value {
    let found = engine.get(&key(number)).unwrap_or_else(|error| panic!("{error}; {}", context()));
    let matches = |value: &Value| match (value, &found) {
        (None, None) => true,
        (Some(generation), Some(object)) => object.body == body(number, *generation) && object.extra == bytes(*generation, 16),
        _ => false,
    };
    allowed.iter().copied().find(matches).unwrap_or_else(|| panic!("key {number} is none of {allowed:?}; {}", context()))
}

/// Opens what a crash left, checks every key, works on, and opens once more.
fn check_crash(disk: &SimDisk, steps: &[Step], count: usize, crash: Crash, seed: u64) {
    let mut random = Random(seed ^ (count as u64) << 20);
    let left = disk.after_crash(count, crash, &mut random);
    let context = || format!("{crash:?} after operation {count}, seed {seed}");
    let engine = open_on(&left);
    let mut state = BTreeMap::new();
    for number in 0..KEYS {
        let allowed = allowed(None, steps, number, count, crash);
        state.extend(check(&engine, number, &allowed, &context).map(|generation| (number, generation)));
    }
    assert_eq!(engine.index.len(), state.len() as u64, "{}", context());
    run(&engine, &left, &mut random, 8, &mut state);
    // The process dies again, without a word.
    drop(engine);
    let engine = open_on(&left);
    for number in 0..KEYS {
        check(&engine, number, &[state.get(&number).copied()], &|| format!("second opening, {}", context()));
    }
}

/// `WEFT_TEST_TRACES` runs more than a quick test should.
fn traces(usual: u64) -> u64 {
    std::env::var("WEFT_TEST_TRACES").ok().and_then(|count| count.parse().ok()).unwrap_or(usual)
}

fn every_crash_of(first_seed: u64, usual: u64, crash: Crash) {
    let (mut sealed, mut punched, mut removed) = (0, 0, 0);
    for seed in first_seed..first_seed + traces(usual) {
        let disk = SimDisk::new(1 << 30);
        let engine = open_on(&disk);
        let first = disk.ops();
        let steps = run(&engine, &disk, &mut Random(seed), 60, &mut BTreeMap::new());
        for count in first..disk.ops() {
            check_crash(&disk, &steps, count, crash, seed);
        }
        sealed += disk.count(|op| matches!(op, Op::Rename(_, to) if to.ends_with(".idx")));
        punched += disk.count(|op| matches!(op, Op::Punch(..)));
        removed += disk.count(|op| matches!(op, Op::Remove(name) if name.ends_with(".seg")));
    }
    // Traces in which nothing happens prove nothing.
    assert!(sealed > 50 && punched > 20 && removed > 20, "sealed {sealed}, punched {punched}, removed {removed}");
}

#[test]
fn acknowledged_objects_survive_the_process() {
    every_crash_of(0, 50, Crash::Process);
}

#[test]
fn synced_objects_survive_the_machine() {
    // So many that punching before the tombstone is synced, planted on purpose, is found.
    every_crash_of(1_000_000, 200, Crash::Power);
}

/// The check itself must be able to fail: a disk whose syncs do nothing loses synced objects.
#[test]
#[should_panic(expected = "is none of")]
fn a_lying_disk_is_found_out() {
    for seed in 0..20 {
        let disk = SimDisk::new(1 << 30);
        let engine = open_on(&disk);
        let first = disk.ops();
        let mut steps = run(&engine, &disk, &mut Random(seed), 60, &mut BTreeMap::new());
        // Claims that a sync took place after every step.
        let claims = steps.clone().into_iter().map(|step| Step { event: Event::Sync, began: step.ended, ended: step.ended });
        steps = steps.into_iter().zip(claims).flat_map(|(step, claim)| [step, claim]).collect();
        for count in first..disk.ops() {
            check_crash(&disk, &steps, count, Crash::Power, seed);
        }
    }
}

#[test]
fn a_crash_during_recovery_loses_nothing() {
    for seed in 2_000_000..2_000_000 + traces(30) {
        let disk = SimDisk::new(1 << 30);
        let engine = open_on(&disk);
        let mut state = BTreeMap::new();
        run(&engine, &disk, &mut Random(seed), 60, &mut state);
        engine.sync().unwrap();
        drop(engine);
        // The second process dies while it opens, the third must find everything.
        let reopened = Arc::new(disk.clone());
        let first = disk.ops();
        drop(open_on(&reopened));
        for count in first..=disk.ops() {
            for crash in [Crash::Process, Crash::Power] {
                let left = disk.after_crash(count, crash, &mut Random(seed + count as u64));
                let engine = open_on(&left);
                for number in 0..KEYS {
                    check(&engine, number, &[state.get(&number).copied()], &|| format!("{crash:?} {count} {seed}"));
                }
            }
        }
    }
}
