//! Work that is to disturb nobody: so much of it per second, and no more.

use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Spreads work over time. Who shares one shares what it allows.
#[derive(Debug)]
pub(crate) struct Pace {
    per_second: Option<NonZeroU32>,
    /// When what was allowed until now is done.
    free_at: Mutex<Instant>,
}

impl Pace {
    /// `None` allows everything at once.
    pub(crate) fn new(per_second: Option<NonZeroU32>) -> Self {
        Self { per_second, free_at: Mutex::new(Instant::now()) }
    }

    /// The most that should be done in one go: what a second allows.
    pub(crate) fn batch(&self, max: usize) -> usize {
        self.per_second.map_or(max, |rate| max.min(rate.get() as usize))
    }

    /// Waits until `count` more may be done.
    pub(crate) async fn wait(&self, count: usize) {
        if let Some(begin) = self.begin(count, Instant::now()) {
            tokio::time::sleep_until(begin).await;
        }
    }

    /// When `count` more may be done, which is then spoken for; `None` for at once.
    fn begin(&self, count: usize, now: Instant) -> Option<Instant> {
        let takes = Duration::from_secs_f64(count as f64 / f64::from(self.per_second?.get()));
        let mut free_at = self.free_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let begin = (*free_at).max(now);
        *free_at = begin + takes;
        Some(begin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_the_time_that_the_rate_gives_it() {
        let pace = Pace::new(NonZeroU32::new(10));
        assert_eq!((pace.batch(4), pace.batch(100)), (4, 10));
        let now = Instant::now();
        let seconds = |later: u64| Some(now + Duration::from_secs(later));
        for turn in 0..5 {
            assert_eq!(pace.begin(10, now), seconds(turn), "the first begins at once, each other a second behind");
        }
        assert_eq!(pace.begin(10, now + Duration::from_secs(60)), seconds(60));
        assert_eq!(pace.begin(1, now + Duration::from_secs(60)), seconds(61), "idle time is not saved up");
        assert_eq!(Pace::new(None).begin(usize::MAX, now), None);
    }
}
