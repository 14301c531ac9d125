//! Waiting for something to become true, for a bounded time.

use std::time::{Duration, Instant};

/// Longer than anything that works takes on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks `question` until it gives an answer.
///
/// # Panics
/// When none came within [`PATIENCE`]; names `what` was waited for.
pub fn until<T>(what: &str, mut question: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
