//! Wall-clock time as files carry it. Pure code is given a [`Timestamp`]; it never asks for one.

use serde::{Deserialize, Serialize};

/// Nanoseconds since 1970-01-01T00:00:00Z; negative before. Covers the years 1677 to 2262.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// From whole seconds and nanoseconds, saturating at the ends of the range.
    #[must_use]
    pub fn from_parts(seconds: i64, nanoseconds: u32) -> Self {
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(nanoseconds)))
    }

    /// Whole seconds, rounded down.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// Nanoseconds after [`Timestamp::seconds`], below 10^9.
    #[must_use]
    pub fn nanoseconds(self) -> u32 {
        self.0.rem_euclid(1_000_000_000) as u32
    }

    /// The last moment that somebody means who gives this one: of a whole second its end. People and logs tell seconds.
    #[must_use]
    pub fn through_second(self) -> Self {
        if self.nanoseconds() == 0 { Self(self.0.saturating_add(999_999_999)) } else { self }
    }

    /// This moment `duration` later, saturating.
    #[must_use]
    pub fn after(self, duration: std::time::Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl From<std::time::SystemTime> for Timestamp {
    fn from(time: std::time::SystemTime) -> Self {
        match time.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => Self(0).after(after),
            Err(before) => Self(-i64::try_from(before.duration().as_nanos()).unwrap_or(i64::MAX)),
        }
    }
}

impl From<Timestamp> for std::time::SystemTime {
    fn from(time: Timestamp) -> Self {
        let span = std::time::Duration::from_nanos(time.0.unsigned_abs());
        if time.0 >= 0 { Self::UNIX_EPOCH + span } else { Self::UNIX_EPOCH - span }
    }
}
