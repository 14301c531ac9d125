//! Depth-first search through all states of a setup.

use super::steps::Step;
use super::world::{Seen, Setup, World};
use std::collections::HashSet;
use weft_common::weave::testing::checks::Violation;

/// What was explored.
#[derive(Clone, Debug, Default)]
pub struct Explored {
    /// Different states.
    pub states: u64,
    /// Steps taken.
    pub steps: u64,
    /// States in which nothing can happen any more.
    pub ends: u64,
    /// Setups with more states than were to be entered: the rest of theirs is not known.
    pub cut: u64,
    /// What happened, and how often.
    pub seen: Seen,
}

impl Explored {
    /// Adds what another search found.
    pub fn add(&mut self, other: &Self) {
        self.states += other.states;
        self.steps += other.steps;
        self.ends += other.ends;
        self.cut += other.cut;
        for (what, count) in &other.seen {
            *self.seen.entry(what).or_default() += count;
        }
    }
}

/// What must not happen, and how it came about.
#[derive(Clone, Debug)]
pub struct Failure {
    pub setup: Setup,
    pub violation: Violation,
    pub trace: Vec<Step>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(formatter, "{:?}", self.setup)?;
        for (place, step) in self.trace.iter().enumerate() {
            writeln!(formatter, "{place:4}  {step:?}")?;
        }
        write!(formatter, "      {:?}", self.violation)
    }
}

impl std::error::Error for Failure {}

struct Level {
    world: World,
    steps: Vec<Step>,
}

/// Takes every step from every state, or stops when it has entered `states_max` of them.
///
/// # Errors
/// The first way to break an invariant.
pub fn explore(setup: &Setup, states_max: u64) -> Result<Explored, Box<Failure>> {
    let mut explored = Explored::default();
    let mut trace = Vec::new();
    search(setup, states_max, &mut explored, &mut trace)
        .map_err(|violation| Box::new(Failure { setup: setup.clone(), violation, trace }))?;
    Ok(explored)
}

fn search(setup: &Setup, states_max: u64, explored: &mut Explored, trace: &mut Vec<Step>) -> Result<(), Violation> {
    let world = World::new(setup.clone())?;
    let mut known = HashSet::from([world.digest()]);
    explored.states = 1;
    let steps = world.steps();
    let mut stack = vec![Level { world, steps }];
    while let Some(level) = stack.last_mut() {
        let Some(step) = level.steps.pop() else {
            stack.pop();
            trace.pop();
            continue;
        };
        let mut world = level.world.clone();
        trace.push(step);
        world.take(step, &mut explored.seen)?;
        explored.steps += 1;
        if !known.insert(world.digest()) {
            trace.pop();
            continue;
        }
        explored.states += 1;
        let steps = world.steps();
        if steps.is_empty() {
            explored.ends += 1;
            world.check_end(&mut explored.seen)?;
        }
        if explored.states >= states_max {
            explored.cut = 1;
            return Ok(());
        }
        stack.push(Level { world, steps });
    }
    Ok(())
}
