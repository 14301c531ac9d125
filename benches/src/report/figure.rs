//! One measurement, and what follows from several.

use crate::work::Done;
use serde::{Deserialize, Serialize};

/// Shares of a row's operations of which the longest latency is told: nearly the fastest, the middle, and towards the slowest.
pub(crate) const SHARES: [f64; 6] = [0.1, 0.5, 0.9, 0.99, 0.999, 1.0];
const MEDIAN: usize = 1;
const RARE: usize = 3;

/// One measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) seconds: f64,
    pub(crate) bytes: u64,
    pub(crate) operations: u64,
    /// Of the system's processes and the workers.
    pub(crate) cpu_seconds: f64,
    /// Of the whole machine.
    pub(crate) machine_seconds: f64,
    /// Of the process of the system that took most.
    pub(crate) memory_mib: f64,
    /// Latency of an operation in microseconds, at [`SHARES`]; of rows that are about single operations.
    pub(crate) latency_us: Option<[f64; SHARES.len()]>,
}

impl Figure {
    pub(crate) fn new(done: &Done, seconds: f64, cpu_seconds: f64, machine_seconds: f64, memory_mib: f64) -> Self {
        let mut latencies = done.latencies.clone();
        latencies.sort_unstable();
        let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize] as f64 / 1e3;
        let latency_us = (!latencies.is_empty()).then(|| SHARES.map(at));
        Self { seconds, bytes: done.bytes, operations: done.operations, cpu_seconds, machine_seconds, memory_mib, latency_us }
    }

    /// MB/s if the row is about bytes, operations a second otherwise. Small operations are counted, not their bytes.
    pub(crate) fn rate(&self) -> f64 {
        if self.is_about_bytes() { self.bytes as f64 / 1e6 / self.seconds } else { self.operations as f64 / self.seconds }
    }

    pub(crate) fn is_about_bytes(&self) -> bool {
        self.bytes > 0 && self.bytes >= self.operations * 32_768
    }

    pub(crate) fn unit(&self) -> &'static str {
        if self.is_about_bytes() { "MB/s" } else { "op/s" }
    }

    pub(crate) fn cpu_per_gb(&self) -> Option<f64> {
        self.is_about_bytes().then(|| self.cpu_seconds / (self.bytes as f64 / 1e9))
    }
}

/// The median of some figures: of an even number, the mean of the two in the middle; NaN of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count => (values[(count - 1) / 2] + values[count / 2]) / 2.0,
    }
}

/// Medians of the same work on the same system.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Typical {
    pub(crate) rate: f64,
    pub(crate) unit: &'static str,
    pub(crate) cpu_per_gb: Option<f64>,
    pub(crate) latency_us: Option<[f64; SHARES.len()]>,
    /// Not a median: the most of any round.
    pub(crate) memory_mib: f64,
}

impl Typical {
    /// Of at least one figure.
    pub(crate) fn of(figures: &[Figure]) -> Option<Self> {
        let first = figures.first()?;
        let latency = |place: usize| median(figures.iter().filter_map(|figure| Some(figure.latency_us?[place])));
        Some(Self {
            rate: median(figures.iter().map(Figure::rate)),
            unit: first.unit(),
            cpu_per_gb: first.cpu_per_gb().map(|_| median(figures.iter().filter_map(Figure::cpu_per_gb))),
            latency_us: first.latency_us.map(|_| std::array::from_fn(latency)),
            memory_mib: figures.iter().map(|figure| figure.memory_mib).fold(0.0, f64::max),
        })
    }

    /// Median and 99 of 100, in microseconds.
    pub(crate) fn usual_and_rare(&self) -> Option<(f64, f64)> {
        self.latency_us.map(|latency| (latency[MEDIAN], latency[RARE]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_in_the_middle() {
        assert_eq!((median([3.0, 1.0, 2.0]), median([4.0, 1.0]), median([7.0])), (2.0, 2.5, 7.0));
        assert!(median([]).is_nan());
    }

    #[test]
    fn latencies_are_those_of_their_shares() {
        let done = Done { operations: 1001, latencies: (0..=1000).rev().map(|us| us * 1000).collect(), ..Done::default() };
        let figure = Figure::new(&done, 2.0, 0.0, 0.0, 0.0);
        assert_eq!(figure.latency_us, Some([100.0, 500.0, 900.0, 990.0, 999.0, 1000.0]));
        assert_eq!((figure.rate(), figure.unit(), figure.cpu_per_gb()), (500.5, "op/s", None));
    }
}
