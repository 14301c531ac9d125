//! How a person names a version: `17`, `first-run`, `@2026-11-22T10:15:00Z`.

use super::error::CliError;
use super::human;
use super::names::Volume;
use crate::inode::Label;
use std::fmt;
use std::str::FromStr;
use weft_common::id::{InodeNumber, ROOT_INODE, VolumeVersion};
use weft_common::time::Timestamp;
use weft_common::wire::{At, NamespaceAnswer, Query};

/// A version as it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum VersionSpec {
    /// By number.
    Number(VolumeVersion),
    /// The newest one not after a time.
    Time(Timestamp),
    /// By tag.
    Tag(String),
}

impl FromStr for VersionSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(time) = text.strip_prefix('@') {
            return human::parse_time(time).map(Self::Time);
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text
                .parse()
                .map(|number| Self::Number(VolumeVersion(number)))
                .map_err(|_| format!("'{text}' is no version number"));
        }
        check_tag(text).map(|()| Self::Tag(text.to_owned()))
    }
}

/// Whether `name` can be a tag: a volume's name, and not only digits, which would be a version number.
///
/// # Errors
/// A sentence that says what is allowed.
pub(super) fn check_tag(name: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let good = (1..=64).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with(['.', '-']);
    let number = name.bytes().all(|byte| byte.is_ascii_digit());
    if good && !number {
        return Ok(());
    }
    Err(format!("'{name}' is no tag: a tag is 1 to 64 of a-z A-Z 0-9 . _ -, does not start with . or -, and is not only digits"))
}

impl From<Label> for VersionSpec {
    fn from(label: Label) -> Self {
        match label {
            Label::Number(version) => Self::Number(version),
            Label::Time(time) => Self::Time(time),
            Label::Tag(name) => Self::Tag(name),
        }
    }
}

impl fmt::Display for VersionSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(version) => write!(formatter, "{}", version.0),
            Self::Time(time) => write!(formatter, "@{}", human::time_exact(*time)),
            Self::Tag(name) => formatter.write_str(name),
        }
    }
}

impl VersionSpec {
    /// The number that it stands for; for a time, of the versions that are kept whole.
    ///
    /// # Errors
    /// [`CliError`] if there is no such version or tag.
    pub(super) async fn resolve(&self, volume: &Volume) -> Result<VolumeVersion, CliError> {
        self.resolve_in(volume, ROOT_INODE).await
    }

    /// The number that it stands for; for a time, of the versions that are kept in a directory.
    ///
    /// # Errors
    /// [`CliError`] if there is no such version or tag.
    pub(super) async fn resolve_in(&self, volume: &Volume, directory: InodeNumber) -> Result<VolumeVersion, CliError> {
        let query = match self {
            Self::Number(wanted) => {
                let latest = volume.latest().await?;
                let (wanted, latest) = (*wanted, latest);
                return if wanted <= latest {
                    Ok(wanted)
                } else {
                    Err(CliError::NoSuchVersion { wanted: wanted.0, latest: latest.0 })
                };
            }
            Self::Time(time) => Query::VersionAt { directory, time: time.through_second() },
            Self::Tag(name) => Query::VersionTagged(name.clone()),
        };
        match volume.names.query(At::Head, query).await? {
            NamespaceAnswer::Version(version) => Ok(version),
            _ => Err(CliError::UnexpectedAnswer("version")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!("17".parse(), Ok(VersionSpec::Number(VolumeVersion(17))));
        assert_eq!("first-run".parse(), Ok(VersionSpec::Tag("first-run".into())));
        assert_eq!("@1970-01-01T00:00:01Z".parse(), Ok(VersionSpec::Time(Timestamp(1_000_000_000))));
        for text in ["", "-1", ".x", "a b", "@noon", "99999999999999999999", &"x".repeat(65)] {
            assert!(text.parse::<VersionSpec>().is_err(), "{text}");
        }
        assert_eq!("@1970-01-01T00:00:01Z".parse::<VersionSpec>().unwrap().to_string(), "@1970-01-01T00:00:01Z");
    }
}
