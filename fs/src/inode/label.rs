//! Names in `.versions` and `.history`: which version does `17`, `@2026-11-22T10:15:00Z` or `final.exr`'s `17.exr` mean? Pure.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use weft_common::id::VolumeVersion;
use weft_common::time::Timestamp;

/// A name in `.versions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    /// `17`: that version.
    Number(VolumeVersion),
    /// `@2026-11-22T10:15:00Z`: the newest version not after that time.
    Time(Timestamp),
    /// Anything else: a tag.
    Tag(String),
}

impl Label {
    /// Reads a name. `None` if it can be no version's name.
    ///
    /// A time is RFC 3339 after the `@`; a time without an offset, without seconds or without a time of day is taken
    /// as UTC, so that a path means the same on every machine.
    pub(crate) fn parse(name: &[u8]) -> Option<Self> {
        let name = std::str::from_utf8(name).ok()?;
        if let Some(time) = name.strip_prefix('@') {
            return parse_time(time).map(Self::Time);
        }
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            return parse_number(name).map(Self::Number);
        }
        Some(Self::Tag(name.to_owned()))
    }
}

/// A version number in its one canonical form: no sign, no leading zeros.
fn parse_number(digits: &str) -> Option<VolumeVersion> {
    let number: u64 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(VolumeVersion(number))
}

fn parse_time(text: &str) -> Option<Timestamp> {
    let instant = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let local: DateTime = text.parse().ok()?;
        TimeZone::UTC.to_timestamp(local).ok()
    })?;
    // A time that no version can have is as good as the last or first that one can.
    let nanoseconds = instant.as_nanosecond();
    Some(Timestamp(i64::try_from(nanoseconds).unwrap_or(if nanoseconds > 0 { i64::MAX } else { i64::MIN })))
}

/// What follows the last dot of a file's name, dot included; empty for `.bashrc` and `README`.
fn extension(name: &[u8]) -> &[u8] {
    match name.iter().rposition(|byte| *byte == b'.') {
        Some(dot) if dot > 0 => &name[dot..],
        _ => b"",
    }
}

/// The name of a file's state in `.history/FILE/`: `17.exr`.
pub(crate) fn state_name(file: &[u8], version: VolumeVersion) -> Vec<u8> {
    [version.0.to_string().as_bytes(), extension(file)].concat()
}

/// The version that a name in `.history/FILE/` means.
pub(crate) fn parse_state_name(file: &[u8], name: &[u8]) -> Option<VolumeVersion> {
    let digits = name.strip_suffix(extension(file))?;
    parse_number(std::str::from_utf8(digits).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Option<i64> {
        match Label::parse(text.as_bytes()) {
            Some(Label::Time(time)) => Some(time.seconds()),
            _ => None,
        }
    }

    #[test]
    fn numbers_are_canonical() {
        assert_eq!(Label::parse(b"17"), Some(Label::Number(VolumeVersion(17))));
        assert_eq!(Label::parse(b"017"), None);
        assert_eq!(Label::parse(b"99999999999999999999999"), None);
        assert_eq!(Label::parse(b"17b"), Some(Label::Tag("17b".into())));
    }

    #[test]
    fn times_come_in_several_lengths() {
        assert_eq!(time("@1970-01-01T00:00:10Z"), Some(10));
        assert_eq!(time("@1970-01-01T01:00:10+01:00"), Some(10));
        assert_eq!(time("@1970-01-01T00:02"), Some(120));
        assert_eq!(time("@1970-01-01T00:02Z"), Some(120));
        assert_eq!(time("@1970-01-02"), Some(86_400));
        assert_eq!(Label::parse(b"@yesterday"), None);
        assert_eq!(Label::parse(b"@"), None);
    }

    #[test]
    fn anything_else_is_a_tag_if_it_is_text() {
        assert_eq!(Label::parse("première".as_bytes()), Some(Label::Tag("première".into())));
        assert_eq!(Label::parse(b"\xff"), None);
    }

    #[test]
    fn states_keep_the_extension() {
        assert_eq!(state_name(b"f.0042.exr", VolumeVersion(9)), b"9.exr");
        assert_eq!(state_name(b"README", VolumeVersion(9)), b"9");
        assert_eq!(state_name(b".bashrc", VolumeVersion(9)), b"9");
        assert_eq!(parse_state_name(b"f.0042.exr", b"9.exr"), Some(VolumeVersion(9)));
        assert_eq!(parse_state_name(b"f.0042.exr", b"9.png"), None);
        assert_eq!(parse_state_name(b"f.0042.exr", b"x.exr"), None);
        assert_eq!(parse_state_name(b"README", b"12"), Some(VolumeVersion(12)));
    }
}
