//! Postcard, made strict: the caller caps the frame, trailing bytes are an error.

use serde::{Serialize, de::DeserializeOwned};

/// Bytes that are no such message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Postcard could not read or write it.
    #[error("not a {what}: {source}")]
    Malformed {
        /// The type that was expected.
        what: &'static str,
        /// Postcard's word.
        source: postcard::Error,
    },
    /// A whole message, and then more.
    #[error("{count} bytes follow the end of a {what}")]
    Trailing {
        /// The type that was expected.
        what: &'static str,
        /// How many bytes too many.
        count: usize,
    },
}

/// The bytes of `value`.
///
/// # Errors
/// [`CodecError::Malformed`] when a value refuses to be written; none of WeftFS's own do.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    postcard::to_stdvec(value).map_err(|source| CodecError::Malformed { what: std::any::type_name::<T>(), source })
}

/// The value that `bytes` hold, all of them.
///
/// # Errors
/// [`CodecError`] when they are not exactly one `T`.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let what = std::any::type_name::<T>();
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(|source| CodecError::Malformed { what, source })?;
    if rest.is_empty() { Ok(value) } else { Err(CodecError::Trailing { what, count: rest.len() }) }
}
