//! Who is alive: soft state from heartbeats. Pure: the caller gives the time.

use std::collections::HashMap;
use tokio::time::Instant;
use weft_common::id::ProviderId;
use weft_common::limits::{PROVIDER_FULL_BELOW, PROVIDER_LEASE};
use weft_common::wire::{ProviderState, Space};

#[derive(Clone, Copy, Debug)]
struct Report {
    at: Instant,
    space: Space,
}

/// When each provider last reported, and what.
#[derive(Debug)]
pub struct Liveness {
    started: Instant,
    reports: HashMap<ProviderId, Report>,
}

impl Liveness {
    /// Nobody has reported yet; everybody is given one lease to do so.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { started: now, reports: HashMap::new() }
    }

    /// `provider` reports.
    pub fn report(&mut self, provider: ProviderId, space: Space, now: Instant) {
        self.reports.insert(provider, Report { at: now, space });
    }

    /// When `provider` was last heard of; the start of this process if it was not.
    #[must_use]
    pub fn last_heard(&self, provider: ProviderId) -> Instant {
        self.reports.get(&provider).map_or(self.started, |report| report.at)
    }

    /// What is thought of `provider` at `now`, and the space it last reported.
    #[must_use]
    pub fn state(&self, provider: ProviderId, now: Instant) -> (ProviderState, Space) {
        let (last, space) =
            self.reports.get(&provider).map_or((self.started, Space::default()), |report| (report.at, report.space));
        let state = if now.saturating_duration_since(last) > PROVIDER_LEASE {
            ProviderState::Dead
        } else if self.reports.contains_key(&provider) && space.free_bytes < PROVIDER_FULL_BELOW {
            ProviderState::Full
        } else {
            ProviderState::Alive
        };
        (state, space)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn silence_kills_a_report_revives_and_a_full_disk_is_read_only() {
        let start = Instant::now();
        let provider = ProviderId(1);
        let mut liveness = Liveness::new(start);
        assert_eq!(liveness.state(provider, start).0, ProviderState::Alive);
        let late = start + PROVIDER_LEASE + Duration::from_millis(1);
        assert_eq!(liveness.state(provider, late).0, ProviderState::Dead);
        let roomy = Space { free_bytes: PROVIDER_FULL_BELOW, ..Space::default() };
        liveness.report(provider, roomy, late);
        assert_eq!(liveness.state(provider, late), (ProviderState::Alive, roomy));
        liveness.report(provider, Space { free_bytes: PROVIDER_FULL_BELOW - 1, ..Space::default() }, late);
        assert_eq!(liveness.state(provider, late).0, ProviderState::Full);
    }
}
