//! A filesystem in memory that can break any one promise: what the checker has to find.
//!
//! Clients plan as on real mounts. Their operations overlap in a time that is drawn, and each takes effect at one moment of its own, so
//! without a bug every history is right.

mod bugs;
mod volume;

use super::check::Promise;
use super::log::Change;
use super::plan::{Planner, Shared};
use super::record::{Moment, Operation, Record};
use crate::random::Random;
use bugs::Buggy;

/// Clients, two on each of four mounts.
const CLIENTS: u16 = 8;
/// An operation takes at most so long before it takes effect, and again after that.
const HALF_MAX: u64 = 1000;
/// One half in so many takes so many times as long: what is slow for one client, others see done before it has ended.
const SLOW_ONE_IN: u64 = 8;
const SLOW_TIMES: u64 = 40;
/// A client waits at most so long.
const PAUSE_MAX: u64 = 200;

/// An operation that is under way.
#[derive(Clone)]
struct Call {
    number: u32,
    start: Moment,
    effect: Moment,
    end: Moment,
    operation: Operation,
}

/// The history of so many operations, and the log, of a volume that breaks the promise `broken` now and then.
#[must_use]
pub fn history(seed: u64, operations: u32, broken: Option<Promise>) -> (Vec<Record>, Vec<Change>) {
    let shared = Shared::new(CLIENTS);
    let mut random = Random::new(seed);
    let mut volume = Buggy::new(seed, broken);
    let mut records = Vec::new();
    let mut moment = 0;
    let mut one_by_one = |volume: &mut Buggy, steps: Vec<Operation>, moment: &mut Moment| {
        for operation in steps {
            let call = call(&shared, &mut Random::new(*moment), *moment, operation);
            *moment = call.end + 1;
            records.push(answer(volume, 0, call));
        }
    };
    one_by_one(&mut volume, Shared::setup(), &mut moment);
    volume.armed = true;
    let crowd = crowd(&shared, &mut random, &mut volume, moment, seed, operations);
    volume.armed = false;
    moment = crowd.iter().map(|record| record.end).max().unwrap_or(moment) + 1;
    one_by_one(&mut volume, shared.last_looks(), &mut moment);
    records.extend(crowd);
    (records, volume.log())
}

/// All clients at once.
fn crowd(shared: &Shared, random: &mut Random, volume: &mut Buggy, from: Moment, seed: u64, operations: u32) -> Vec<Record> {
    let mut planners: Vec<Planner<'_>> = (0..CLIENTS).map(|client| Planner::new(shared, client, seed)).collect();
    let mut calls: Vec<Call> = planners.iter_mut().map(|planner| call(shared, random, from, planner.draw())).collect();
    let mut records = Vec::new();
    for _ in 0..operations {
        let Some(client) = (0..calls.len()).min_by_key(|client| calls[*client].effect) else { break };
        let done = calls[client].clone();
        let free = done.end + 1 + random.below(PAUSE_MAX);
        let record = answer(volume, client as u16, done);
        planners[client].learn(&record);
        records.push(record);
        calls[client] = call(shared, random, free, planners[client].draw());
    }
    records
}

fn call(shared: &Shared, random: &mut Random, start: Moment, operation: Operation) -> Call {
    let mut half = || (1 + random.below(HALF_MAX)) * if random.below(SLOW_ONE_IN) == 0 { SLOW_TIMES } else { 1 };
    let effect = start + half();
    Call { number: shared.number(), start, effect, end: effect + half(), operation }
}

fn answer(volume: &mut Buggy, client: u16, call: Call) -> Record {
    let Call { number, start, end, operation, .. } = call;
    let mount = client / 2;
    let outcome = volume.perform(number, (start, end), &operation);
    Record { number, client, mount, start, end, operation, outcome }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::check::check;
    use crate::recording::tally::Tally;
    use std::collections::BTreeMap;

    const OPERATIONS: u32 = 20_000;

    #[test]
    fn a_right_history_has_no_violation_and_everything_happens_in_it() {
        for seed in 0..5 {
            let (records, log) = history(seed, OPERATIONS, None);
            let violations = check(&records, &log);
            assert!(violations.is_empty(), "seed {seed}: {} violations, first {}", violations.len(), violations[0]);
            for (kind, counts) in Tally::of(&records).0 {
                assert!(counts.done > 10, "seed {seed}: {kind}: {counts:?}");
            }
        }
    }

    #[test]
    fn every_planted_bug_is_found_by_the_promise_that_it_breaks() {
        for promise in Promise::ALL {
            let (records, log) = history(7, OPERATIONS, Some(promise));
            let mut found: BTreeMap<Promise, usize> = BTreeMap::new();
            for violation in check(&records, &log) {
                *found.entry(violation.promise).or_default() += 1;
            }
            println!("{promise:?} broken: {found:?}");
            assert!(found.contains_key(&promise), "{promise:?} was broken, and found was {found:?}");
            // A log in the wrong order makes much else look wrong as well.
            assert!(found.len() == 1 || promise == Promise::Order, "{promise:?} was broken, and found was {found:?}");
        }
    }
}
