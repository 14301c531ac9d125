//! How much history is kept: which versions a policy lets go. Pure.
//!
//! The newest version is always kept, and so are those with a tag. Younger versions than [`Retention::keep_all`] are kept as well. Of
//! the older ones the last of an hour is kept, in the newest [`Retention::hourly`] hours that have versions; likewise the last of a
//! day, a week and a month. (Backup programs count in the same way.) What an hour is, is told in UTC.

use crate::id::VolumeVersion;
use crate::time::Timestamp;
use crate::wire::VersionRange;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// A policy. The default keeps everything for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Every version is kept for so long; `None` for ever.
    pub keep_all: Option<Duration>,
    /// Hours of which the last version is kept.
    pub hourly: u32,
    /// Days, likewise.
    pub daily: u32,
    /// Weeks, which begin on Monday.
    pub weekly: u32,
    /// Months.
    pub monthly: u32,
}

/// A version as the policy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dated {
    /// It.
    pub version: VolumeVersion,
    /// When it was made.
    pub time: Timestamp,
}

impl Retention {
    /// Whether it never lets anything go.
    #[must_use]
    pub fn keeps_everything(&self) -> bool {
        self.keep_all.is_none()
    }

    /// What goes of `versions`, which are all that are kept at `now`, ascending. Neighbours in the result are apart by a version that is kept.
    #[must_use]
    pub fn expired(&self, versions: &[Dated], tagged: &BTreeSet<VolumeVersion>, now: Timestamp) -> Vec<VersionRange> {
        let Some(span) = self.keep_all else { return Vec::new() };
        let young = Timestamp(now.0.saturating_sub(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)));
        let mut periods = self.periods();
        let mut expired: Vec<VersionRange> = Vec::new();
        for (place, Dated { version, time }) in versions.iter().enumerate().rev() {
            // Each asks, so that each counts its own periods.
            let is_last_of_period = periods.iter_mut().fold(false, |last, period| period.takes(*time) | last);
            let is_newest = place + 1 == versions.len();
            if is_newest || *time > young || tagged.contains(version) || is_last_of_period {
                continue;
            }
            let next = versions[place + 1].version;
            match expired.last_mut() {
                Some(range) if range.first == next => range.first = *version,
                _ => expired.push(VersionRange { first: *version, last: *version }),
            }
        }
        expired.reverse();
        expired
    }

    fn periods(&self) -> [Period; 4] {
        let hour: fn(Timestamp) -> i64 = |time| time.seconds().div_euclid(3600);
        let day: fn(Timestamp) -> i64 = |time| time.seconds().div_euclid(86_400);
        // 1970-01-01 was a Thursday.
        let week: fn(Timestamp) -> i64 = |time| (time.seconds().div_euclid(86_400) + 3).div_euclid(7);
        let month: fn(Timestamp) -> i64 = |time| {
            let date = date_of(time);
            i64::from(date.year()) * 12 + i64::from(date.month())
        };
        let period = |number, left| Period { number, left, last: None };
        [period(hour, self.hourly), period(day, self.daily), period(week, self.weekly), period(month, self.monthly)]
    }
}

fn date_of(time: Timestamp) -> Date {
    let instant = jiff::Timestamp::from_nanosecond(i128::from(time.0)).unwrap_or_default();
    TimeZone::UTC.to_datetime(instant).date()
}

/// Counts hours (days, …) backwards.
struct Period {
    number: fn(Timestamp) -> i64,
    left: u32,
    last: Option<i64>,
}

impl Period {
    /// Whether a version of `time`, asked for in descending order, is the last of one of the periods that count.
    fn takes(&mut self, time: Timestamp) -> bool {
        let number = Some((self.number)(time));
        if self.left == 0 || self.last == number {
            return false;
        }
        self.last = number;
        self.left -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: i64 = 3_600_000_000_000;

    fn dated(hours: &[i64]) -> Vec<Dated> {
        let dated =
            |(place, hour): (usize, &i64)| Dated { version: VolumeVersion(place as u64 + 1), time: Timestamp(hour * HOUR) };
        hours.iter().enumerate().map(dated).collect()
    }

    fn gone(policy: &Retention, hours: &[i64], tagged: &[u64], now: i64) -> Vec<u64> {
        let tagged = tagged.iter().copied().map(VolumeVersion).collect();
        let expired = policy.expired(&dated(hours), &tagged, Timestamp(now * HOUR));
        expired.iter().flat_map(|range| range.first.0..=range.last.0).collect()
    }

    #[test]
    fn the_default_keeps_everything() {
        assert_eq!(gone(&Retention::default(), &[0, 1, 2], &[], 1 << 20), [0u64; 0]);
    }

    #[test]
    fn what_is_young_newest_or_tagged_stays() {
        let policy = Retention { keep_all: Some(Duration::from_secs(3600 * 10)), ..Retention::default() };
        assert_eq!(gone(&policy, &[0, 1, 2, 85, 95, 99], &[2], 100), [1, 3, 4]);
        assert_eq!(gone(&policy, &[0, 1, 2], &[], 100), [1, 2], "the newest of all stays, however old");
        assert_eq!(gone(&policy, &[], &[], 100), [0u64; 0]);
    }

    #[test]
    fn the_last_of_each_period_stays_for_so_many_periods() {
        let nothing = Some(Duration::ZERO);
        let hourly = Retention { keep_all: nothing, hourly: 2, ..Retention::default() };
        assert_eq!(gone(&hourly, &[0, 0, 5, 5, 9, 9], &[], 100), [1, 2, 3, 5]);
        let daily = Retention { keep_all: nothing, daily: 3, ..Retention::default() };
        assert_eq!(gone(&daily, &[0, 23, 24, 47, 48, 240, 241], &[], 300), [1, 2, 3, 6]);
        // 1970-01-05, hour 96, was a Monday.
        let weekly = Retention { keep_all: nothing, weekly: 2, ..Retention::default() };
        assert_eq!(gone(&weekly, &[90, 95, 96, 97], &[], 300), [1, 3]);
        let monthly = Retention { keep_all: nothing, monthly: 9, ..Retention::default() };
        assert_eq!(gone(&monthly, &[1, 30 * 24, 31 * 24, 58 * 24], &[], 9999), [1, 3]);
    }

    proptest! {
        #[test]
        fn thinning_twice_at_once_changes_nothing_and_ranges_are_apart(
            mut hours in prop::collection::vec(0..3000i64, 1..80), hourly in 0..5u32, daily in 0..5u32, weekly in 0..3u32, monthly in 0..3u32, span in 0..200u64,
        ) {
            hours.sort_unstable();
            let policy = Retention { keep_all: Some(Duration::from_secs(span * 3600)), hourly, daily, weekly, monthly };
            let (all, now) = (dated(&hours), Timestamp(3000 * HOUR));
            let expired = policy.expired(&all, &BTreeSet::new(), now);
            let is_gone = |version: VolumeVersion| expired.iter().any(|range| range.first <= version && version <= range.last);
            prop_assert!(expired.windows(2).all(|pair| pair[0].last.0 + 1 < pair[1].first.0));
            let kept: Vec<Dated> = all.iter().copied().filter(|dated| !is_gone(dated.version)).collect();
            prop_assert_eq!(kept.last(), all.last());
            prop_assert!(policy.expired(&kept, &BTreeSet::new(), now).is_empty(), "what was kept is kept again");
        }
    }
}
