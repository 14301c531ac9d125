//! What everything in one simulation shares: the seed's random numbers, the trace, counters, and what went wrong.

use super::history::History;
use super::plant::Plant;
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// See the module.
#[derive(Debug)]
pub(super) struct World {
    start: Instant,
    pub(super) plant: Plant,
    detail: Detail,
    pub(super) history: History,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    random: fastrand::Rng,
    trace: String,
    /// Of all packets so far.
    digest: u64,
    counts: BTreeMap<&'static str, u64>,
    violations: Vec<String>,
}

/// What a trace tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Calls and what happened to clients, servers and paths.
    Calls,
    /// Every packet as well.
    Packets,
}

/// What came of a simulation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What happened, a line each: seconds of virtual time, the event, a digest of all packets so far.
    pub trace: String,
    /// How often what is worth counting happened.
    pub counts: BTreeMap<&'static str, u64>,
    /// Broken promises; none if all is well.
    pub violations: Vec<String>,
}

impl World {
    /// A world whose course `seed` decides. Must be made within the runtime whose time it goes by.
    pub(super) fn new(seed: u64, plant: Plant, detail: Detail) -> Arc<Self> {
        let random = fastrand::Rng::with_seed(seed);
        let state = State { random, trace: String::new(), digest: 0, counts: BTreeMap::new(), violations: Vec::new() };
        Arc::new(Self { start: Instant::now(), plant, detail, history: History::default(), state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Virtual time since the beginning.
    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The moment that is `elapsed` after the beginning.
    pub(super) fn moment(&self, elapsed: Duration) -> Instant {
        self.start + elapsed
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&self, low: u64, high: u64) -> u64 {
        self.state().random.u64(low..=high)
    }

    /// `true` so many times in a million.
    pub(super) fn chance(&self, millionths: u64) -> bool {
        millionths > 0 && self.between(0, 999_999) < millionths
    }

    /// One of `choices`.
    pub(super) fn pick<T: Copy, const N: usize>(&self, choices: [T; N]) -> T {
        choices[self.between(0, N as u64 - 1) as usize]
    }

    /// A seed for somebody's own random numbers.
    pub(super) fn seed(&self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.state().random.fill(&mut seed);
        seed
    }

    /// Waits for a span from `low` to `high` milliseconds.
    pub(super) async fn pause(&self, low: u64, high: u64) {
        let pause = Duration::from_millis(self.between(low, high));
        tokio::time::sleep(pause).await;
    }

    /// Adds a line to the trace.
    pub(super) fn log(&self, line: fmt::Arguments<'_>) {
        let elapsed = self.elapsed().as_millis();
        let mut state = self.state();
        let digest = state.digest as u32;
        // A String takes everything.
        let _ = writeln!(state.trace, "{:>4}.{:03} {line} #{digest:08x}", elapsed / 1000, elapsed % 1000);
    }

    /// A packet was sent. What is noted of it is all that is the same in every run of the seed.
    pub(super) fn packet(&self, from: SocketAddr, to: SocketAddr, bytes: usize, fate: Result<Duration, &'static str>) {
        let now = self.elapsed();
        if self.detail == Detail::Packets {
            self.log(format_args!("{from} > {to}: {bytes} B: {fate:?}"));
        }
        let facts = [
            now.as_micros() as u64,
            from.port().into(),
            to.port().into(),
            bytes as u64,
            fate.map_or(0, |at| at.as_micros() as u64),
        ];
        let mut state = self.state();
        for fact in facts {
            state.digest = (state.digest ^ fact).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
        }
    }

    /// Counts that `what` happened.
    pub(super) fn count(&self, what: &'static str) {
        *self.state().counts.entry(what).or_default() += 1;
    }

    /// A promise was broken.
    pub(super) fn violation(&self, what: String) {
        self.log(format_args!("VIOLATION {what}"));
        self.state().violations.push(what);
    }

    /// Everything so far.
    pub(super) fn report(&self) -> Report {
        let state = self.state();
        Report { trace: state.trace.clone(), counts: state.counts.clone(), violations: state.violations.clone() }
    }
}
