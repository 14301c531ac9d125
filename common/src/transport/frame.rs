//! A message on a stream: `header length: u32 LE | body length: u32 LE | header | body`, then the end of the stream.
//!
//! Both lengths come first so that both are checked before anything is allocated. The header is postcard; the body never
//! passes through serde: it is written as the caller's own [`Bytes`] and read in order straight into one buffer. (In the order in which
//! packets arrive it must not be read: quinn hands out again what was read in order before, if it had arrived twice by then.)
//! Anything behind the body is an error.

use crate::buffers::{Buffer, BufferPool};
use crate::id::RequestId;
use crate::limits::{BODY_BYTES_MAX, HEADER_BYTES_MAX};
use crate::wire::{self, Reply, Request, ServiceError};
use bytes::Bytes;
use quinn::{ConnectionError, ReadError, ReadExactError, RecvStream, SendStream, VarInt, WriteError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const PREFIX_BYTES: usize = 8;

/// Header of a request.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RequestHeader<R> {
    pub(super) id: RequestId,
    /// What is left of the caller's deadline, in milliseconds.
    pub(super) deadline_ms: u32,
    pub(super) request: R,
}

/// Header of an answer.
pub(super) type AnswerHeader = Result<Reply, ServiceError>;

/// A message that did not come, or is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("connection lost: {0}")]
    Lost(ConnectionError),
    #[error("the peer gave it up (code {0})")]
    Reset(VarInt),
    #[error("the stream ended before the message did")]
    Truncated,
    #[error("the message did not arrive in time")]
    Late,
    #[error("{0}")]
    Malformed(String),
}

impl From<ReadError> for FrameError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Reset(code) => Self::Reset(code),
            ReadError::ConnectionLost(error) => Self::Lost(error),
            other => Self::Malformed(other.to_string()),
        }
    }
}

impl From<WriteError> for FrameError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stopped(code) => Self::Reset(code),
            WriteError::ConnectionLost(error) => Self::Lost(error),
            other => Self::Malformed(other.to_string()),
        }
    }
}

impl From<ReadExactError> for FrameError {
    fn from(error: ReadExactError) -> Self {
        match error {
            ReadExactError::FinishedEarly(_) => Self::Truncated,
            ReadExactError::ReadError(error) => error.into(),
        }
    }
}

/// The start of a message whose body is still on its way.
#[derive(Debug)]
pub(super) struct Head<T> {
    pub(super) header: T,
    pub(super) body_bytes: usize,
}

/// A message's bytes before its body.
pub(super) fn encode_head<T: Serialize>(header: &T, body_bytes: usize) -> Result<Bytes, FrameError> {
    let header = wire::encode(header).map_err(|error| FrameError::Malformed(error.to_string()))?;
    check_lengths(header.len() as u64, body_bytes as u64)?;
    let mut bytes = Vec::with_capacity(PREFIX_BYTES + header.len());
    bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&(body_bytes as u32).to_le_bytes());
    bytes.extend_from_slice(&header);
    Ok(bytes.into())
}

fn check_lengths(header: u64, body: u64) -> Result<(), FrameError> {
    if header > u64::from(HEADER_BYTES_MAX) {
        return Err(FrameError::Malformed(format!("a header of {header} bytes; at most {HEADER_BYTES_MAX} are allowed")));
    }
    if body > u64::from(BODY_BYTES_MAX) {
        return Err(FrameError::Malformed(format!("a body of {body} bytes; at most {BODY_BYTES_MAX} are allowed")));
    }
    Ok(())
}

/// Writes a whole message and ends the stream.
pub(super) async fn write(stream: &mut SendStream, head: Bytes, body: Bytes) -> Result<(), FrameError> {
    let mut chunks = [head, body];
    stream.write_all_chunks(&mut chunks).await?;
    stream.finish().map_err(|error| FrameError::Malformed(error.to_string()))
}

/// Reads and decodes the part of a message before its body.
pub(super) async fn read_head<T: serde::de::DeserializeOwned>(stream: &mut RecvStream) -> Result<Head<T>, FrameError> {
    let mut prefix = [0u8; PREFIX_BYTES];
    stream.read_exact(&mut prefix).await?;
    let [a, b, c, d, e, f, g, h] = prefix;
    let header_bytes = u32::from_le_bytes([a, b, c, d]);
    let body_bytes = u32::from_le_bytes([e, f, g, h]);
    check_lengths(header_bytes.into(), body_bytes.into())?;
    let header = read_header(stream, header_bytes as usize).await?;
    let header = wire::decode(&header).map_err(|error| FrameError::Malformed(error.to_string()))?;
    Ok(Head { header, body_bytes: body_bytes as usize })
}

/// Grows with what really arrives: a peer that announces 4 MiB and sends nothing costs nothing.
async fn read_header(stream: &mut RecvStream, length: usize) -> Result<Bytes, FrameError> {
    let mut whole = Vec::new();
    while whole.len() < length {
        let chunk = stream.read_chunk(length - whole.len(), true).await?.ok_or(FrameError::Truncated)?;
        if chunk.bytes.len() == length {
            return Ok(chunk.bytes);
        }
        whole.extend_from_slice(&chunk.bytes);
    }
    Ok(whole.into())
}

/// Reads the body that `head` announced, and the end of the stream.
pub(super) async fn read_body<T>(stream: &mut RecvStream, head: &Head<T>, pool: &Arc<BufferPool>) -> Result<Bytes, FrameError> {
    let length = head.body_bytes;
    let mut whole: Option<Buffer> = None;
    let mut only_chunk = Bytes::new();
    let mut received = 0;
    while let Some(chunk) = stream.read_chunk(usize::MAX, true).await? {
        let end = received + chunk.bytes.len();
        if end > length {
            return Err(FrameError::Malformed(format!("bytes follow the announced body of {length}")));
        }
        if chunk.bytes.len() == length {
            only_chunk = chunk.bytes;
        } else {
            whole.get_or_insert_with(|| pool.take(length)).as_mut_slice()[received..end].copy_from_slice(&chunk.bytes);
        }
        received = end;
    }
    match whole {
        _ if received != length => Err(FrameError::Truncated),
        Some(whole) => Ok(whole.freeze()),
        None => Ok(only_chunk),
    }
}

/// The sending half of a stream; resets it unless the message was finished. (quinn would *finish* a half-written message.)
#[derive(Debug)]
pub(super) struct SendGuard {
    pub(super) stream: SendStream,
    pub(super) code: VarInt,
    finished: bool,
}

impl SendGuard {
    pub(super) fn new(stream: SendStream, code: VarInt) -> Self {
        Self { stream, code, finished: false }
    }

    pub(super) async fn write(&mut self, head: Bytes, body: Bytes) -> Result<(), FrameError> {
        write(&mut self.stream, head, body).await?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for SendGuard {
    fn drop(&mut self) {
        if !self.finished {
            // Fails only when the stream is gone already.
            let _ = self.stream.reset(self.code);
        }
    }
}

/// The bytes of a request before its body.
pub(super) fn encode_request(id: RequestId, deadline_ms: u32, request: &Request, body_bytes: usize) -> Result<Bytes, FrameError> {
    encode_head(&RequestHeader { id, deadline_ms, request }, body_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::PlacementRequest;

    #[test]
    fn golden_bytes_of_a_request() {
        let request = Request::Placement(PlacementRequest::Map { known: 300 });
        let bytes = encode_request(RequestId(1), 10_000, &request, 3).unwrap();
        let header = [1, 0x90, 0x4e, 5, 2, 0xac, 2];
        let lengths = [7, 0, 0, 0, 3, 0, 0, 0];
        assert_eq!(bytes[..], [&lengths[..], &header].concat());
    }

    #[test]
    fn lengths_are_capped() {
        assert!(check_lengths(u64::from(HEADER_BYTES_MAX), u64::from(BODY_BYTES_MAX)).is_ok());
        assert!(check_lengths(u64::from(HEADER_BYTES_MAX) + 1, 0).is_err());
        assert!(check_lengths(0, u64::from(BODY_BYTES_MAX) + 1).is_err());
    }
}
