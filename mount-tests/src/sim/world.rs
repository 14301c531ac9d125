//! What everything in one simulation shares: the seed's random numbers, the trace, counters, and what went wrong.

use super::plant::Plant;
use super::tamper::Memory;
use crate::random::Random;
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use weft_common::clock::Clock;
use weft_common::time::Timestamp;

/// The first moment of every simulation, 2026-01-01T00:00:00Z.
const BEGINNING: Timestamp = Timestamp(1_767_225_600_000_000_000);

/// See the module.
#[derive(Debug)]
pub struct World {
    start: Instant,
    /// The bug that is planted, if one is.
    pub plant: Plant,
    /// What a planted bug has to remember.
    pub(super) memory: Mutex<Memory>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    random: Random,
    trace: String,
    counts: BTreeMap<&'static str, u64>,
    violations: Vec<String>,
}

/// What came of a simulation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What happened, a line each, in virtual time.
    pub trace: String,
    /// How often what is worth counting happened.
    pub counts: BTreeMap<&'static str, u64>,
    /// Broken promises; none if all is well.
    pub violations: Vec<String>,
}

impl World {
    /// A world whose course `seed` decides. Must be made within the runtime whose time it goes by.
    #[must_use]
    pub fn new(seed: u64, plant: Plant) -> Arc<Self> {
        let random = Random::new(seed);
        let state = State { random, trace: String::new(), counts: BTreeMap::new(), violations: Vec::new() };
        Arc::new(Self { start: Instant::now(), plant, memory: Mutex::default(), state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Virtual time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&self, bound: u64) -> u64 {
        self.state().random.below(bound)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// `true` so many times in a million.
    pub fn chance(&self, millionths: u64) -> bool {
        self.below(1_000_000) < millionths
    }

    /// One of `choices`; `None` if there is none.
    pub fn pick<'a, T>(&self, choices: &'a [T]) -> Option<&'a T> {
        if choices.is_empty() { None } else { choices.get(self.below(choices.len() as u64) as usize) }
    }

    /// Waits for a span from `low` to `high` milliseconds.
    pub async fn pause(&self, low: u64, high: u64) {
        let pause = Duration::from_millis(self.between(low, high));
        tokio::time::sleep(pause).await;
    }

    /// Adds a line to the trace.
    pub fn log(&self, line: fmt::Arguments<'_>) {
        let elapsed = self.elapsed().as_millis();
        let mut state = self.state();
        // A String takes everything.
        let _ = writeln!(state.trace, "{:>4}.{:03} {line}", elapsed / 1000, elapsed % 1000);
    }

    /// Counts that `what` happened.
    pub fn count(&self, what: &'static str) {
        *self.state().counts.entry(what).or_default() += 1;
    }

    /// Whether `what` happened.
    pub fn has_happened(&self, what: &'static str) -> bool {
        self.state().counts.contains_key(what)
    }

    /// A promise was broken.
    pub fn violation(&self, what: String) {
        self.log(format_args!("VIOLATION {what}"));
        self.state().violations.push(what);
    }

    /// Whether a promise was broken already.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        !self.state().violations.is_empty()
    }

    /// Everything so far.
    #[must_use]
    pub fn report(&self) -> Report {
        let state = self.state();
        Report { trace: state.trace.clone(), counts: state.counts.clone(), violations: state.violations.clone() }
    }
}

/// A machine's idea of the time of day: the world's, wrong by some span.
#[derive(Debug)]
pub struct SkewedClock {
    world: Arc<World>,
    skew_ms: Mutex<i64>,
}

impl SkewedClock {
    /// A clock that is right.
    #[must_use]
    pub fn new(world: &Arc<World>) -> Arc<Self> {
        Arc::new(Self { world: world.clone(), skew_ms: Mutex::new(0) })
    }

    /// From now on it is wrong by `skew_ms`.
    pub fn set(&self, skew_ms: i64) {
        *self.skew_ms.lock().unwrap_or_else(PoisonError::into_inner) = skew_ms;
    }
}

impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        let skew_ms = *self.skew_ms.lock().unwrap_or_else(PoisonError::into_inner);
        let right = BEGINNING.after(self.world.elapsed());
        Timestamp(right.0 + skew_ms * 1_000_000)
    }
}
