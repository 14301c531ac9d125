//! File names: bytes, as the kernel gives them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One component of a path: 1 to 255 bytes, no `/`, no NUL, neither `.` nor `..`. Not necessarily UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct FileName(Vec<u8>);

/// Longest name, in bytes (`NAME_MAX` on Linux).
pub const NAME_BYTES_MAX: usize = 255;

/// Names that the filesystem itself answers in every directory; creating them is refused with EPERM.
pub const RESERVED_NAMES: [&[u8]; 2] = [b".versions", b".history"];

/// Why a sequence of bytes is no file name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Longer than [`NAME_BYTES_MAX`].
    #[error("a file name has at most 255 bytes, this one has {0}")]
    TooLong(usize),
    /// Empty, `.`, `..`, or with a `/` or NUL in it.
    #[error("a file name is not empty, not '.' or '..', and has no '/' and no NUL byte")]
    Malformed,
}

impl FileName {
    /// Checks `bytes` against the rules of the type.
    ///
    /// # Errors
    /// [`NameError`] says which rule is broken.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, NameError> {
        let bytes = bytes.into();
        if bytes.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong(bytes.len()));
        }
        let malformed = bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') || bytes.contains(&0);
        if malformed { Err(NameError::Malformed) } else { Ok(Self(bytes)) }
    }

    /// The bytes of the name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is one of [`RESERVED_NAMES`].
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        RESERVED_NAMES.contains(&self.as_bytes())
    }
}

impl TryFrom<Vec<u8>> for FileName {
    type Error = NameError;

    fn try_from(bytes: Vec<u8>) -> Result<Self, NameError> {
        Self::new(bytes)
    }
}

impl From<FileName> for Vec<u8> {
    fn from(name: FileName) -> Self {
        name.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "'{self}'")
    }
}
