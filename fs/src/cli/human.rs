//! Sizes, spans and times as people write and read them. Sizes are binary: `64K`, `64KiB` and `65536` are the same.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use std::time::Duration;
use weft_common::time::Timestamp;

const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// `1536` is `1.5 KiB`.
#[must_use]
pub(super) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    if unit == 0 || value.fract() == 0.0 { format!("{value} {}", UNITS[unit]) } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Reads `64KiB`, `64K`, `1M`, `4 GiB`, `65536`.
///
/// # Errors
/// A sentence that says what is allowed.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is no size; write bytes, or a number with K, M, G or T (64K, 1MiB)");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit = unit.trim().to_ascii_lowercase();
    let power = match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit) {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(wrong()),
    };
    number.checked_mul(1u64 << (10 * power)).ok_or_else(wrong)
}

/// Reads a size that fits 32 bits (page sizes).
///
/// # Errors
/// As for [`parse_size`].
pub(super) fn parse_size_u32(text: &str) -> Result<u32, String> {
    u32::try_from(parse_size(text)?).map_err(|_| format!("'{text}' is larger than 4 GiB"))
}

/// Reads `30`, `30s`, `500ms`, `2m`, `1h`, `7d`, `2w`.
///
/// # Errors
/// A sentence that says what is allowed.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is no span of time; write seconds, or a number with ms, s, m, h, d or w (30s, 2m, 7d)");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let milliseconds = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(milliseconds).map(Duration::from_millis).ok_or_else(wrong)
}

/// A span as [`parse_duration`] reads it, in its largest whole unit.
#[must_use]
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [(86_400, "d"), (3600, "h"), (60, "m")];
    let unit = units.into_iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{seconds}s"), |(unit, name)| format!("{}{name}", seconds / unit))
}

/// RFC 3339 in UTC, to the second: for tables.
#[must_use]
pub(super) fn time(moment: Timestamp) -> String {
    format!("{:.0}", to_jiff(moment))
}

/// RFC 3339 in UTC with every digit: for JSON.
#[must_use]
pub(super) fn time_exact(moment: Timestamp) -> String {
    to_jiff(moment).to_string()
}

/// Reads RFC 3339 (`2026-11-22T10:15:00Z`); without a zone it is local time, without a time of day it is midnight.
///
/// # Errors
/// A sentence that says what is allowed.
pub(super) fn parse_time(text: &str) -> Result<Timestamp, String> {
    let wrong = |_| format!("'{text}' is no time; write it like 2026-11-22T10:15:00Z, or 2026-11-22T10:15 for local time");
    let moment = match text.parse::<jiff::Timestamp>() {
        Ok(moment) => moment,
        Err(_) => text.parse::<DateTime>().and_then(|civil| civil.to_zoned(TimeZone::system())).map_err(wrong)?.timestamp(),
    };
    i64::try_from(moment.as_nanosecond()).map(Timestamp).map_err(|_| format!("'{text}' is outside the years 1678 to 2262"))
}

fn to_jiff(moment: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_nanosecond(i128::from(moment.0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_trip() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(1 << 20), "1 MiB");
        for (text, bytes) in
            [("0", 0), ("65536", 65536), ("64K", 65536), ("64KiB", 65536), ("64kb", 65536), ("1 MiB", 1 << 20), ("2G", 2 << 30)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "K", "-1", "1.5M", "1X", "99999999999T"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        assert!(parse_size_u32("4G").is_err());
    }

    #[test]
    fn durations() {
        for (text, ms) in [("30", 30_000), ("30s", 30_000), ("500ms", 500), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "-3s", "3y", "1.5s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times() {
        let moment = parse_time("2026-11-22T10:15:00.5Z").unwrap();
        assert_eq!(moment, Timestamp::from_parts(1_795_342_500, 500_000_000));
        assert_eq!(time(moment), "2026-11-22T10:15:00Z");
        assert_eq!(time_exact(moment), "2026-11-22T10:15:00.5Z");
        assert_eq!(parse_time("2026-11-22T12:15:00.5+02:00"), Ok(moment));
        assert!(parse_time("2026-11-22").is_ok());
        assert!(parse_time("yesterday").unwrap_err().contains("2026-11-22T10:15:00Z"));
    }
}
