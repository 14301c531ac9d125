//! Random walks through setups that are too large to be exhausted: more writers, more versions that go, more faults.

use super::menu::Choice;
use super::search::Failure;
use super::steps::Step;
use super::world::{Seen, Setup, World};
use crate::random::Random;
use weft_common::weave::testing::checks::Violation;

/// Walks end after some hundred steps; one that takes so many goes in circles.
const STEPS_MAX: usize = 20_000;

/// A setup made of a seed: up to six writers and everything that may go wrong.
pub fn setup_of(random: &mut Random) -> Setup {
    let fan_out = if random.below(2) == 0 { 2 } else { 4 };
    let count = 2 + random.below(5);
    let writers: Vec<_> = (0..count).map(|_| Choice::ALL[random.below(Choice::ALL.len() as u64) as usize]).collect();
    let mut small = |bound| random.below(bound) as u8;
    let (parts, repeats, lapses, drops) = (1 + small(3), small(4), small(3), small(8));
    let is_restored = small(2) == 0;
    let setup = Setup { parts, has_helper: true, repeats, lapses, is_restored, ..Setup::new(fan_out, &writers) };
    if small(2) == 0 {
        return Setup { drops, ..setup };
    }
    let (thins, readers, opens, renewals) = (1 + drops, small(3), 3, 8);
    let (clones, unlinks, restarts) = (small(3), small(3), small(2));
    Setup { thins, readers, opens, renewals, opens_newest: true, clones, unlinks, restarts, ..setup }
}

/// One walk to its end. Every so often a writer is never heard of again, so that a helper has to finish its version.
///
/// # Errors
/// What must not happen, with the way there.
pub fn walk(seed: u64, seen: &mut Seen) -> Result<usize, Box<Failure>> {
    let mut random = Random::new(seed);
    let setup = setup_of(&mut random);
    let mut trace = Vec::new();
    take_steps(&setup, &mut random, seen, &mut trace)
        .map_err(|violation| Box::new(Failure { setup, violation, trace: trace.clone() }))?;
    Ok(trace.len())
}

fn take_steps(setup: &Setup, random: &mut Random, seen: &mut Seen, trace: &mut Vec<Step>) -> Result<(), Violation> {
    let mut world = World::new(setup.clone())?;
    loop {
        let mut steps = world.steps();
        if steps.is_empty() {
            return world.check_end(seen);
        }
        // A helper that is always torn away from its work would never end: mostly it goes on.
        if world.helper.is_some() && random.below(8) != 0 {
            steps.retain(|step| !matches!(step, Step::Help(..)));
        }
        if steps.is_empty() {
            continue;
        }
        let step = steps[random.below(steps.len() as u64) as usize];
        trace.push(step);
        if trace.len() == STEPS_MAX {
            return Err(Violation::Walk(format!("it has not come to an end after {STEPS_MAX} steps")));
        }
        world.take(step, seen)?;
    }
}
