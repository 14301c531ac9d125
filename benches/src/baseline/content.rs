//! Where the bytes of files go.

use fuser::{Errno, ReplyData};
use std::fmt::Debug;

/// The content of all files of a baseline.
pub(super) trait Content: Debug + Send + Sync + 'static {
    /// Takes bytes in; they may be on their way until [`Content::flush`].
    fn write(&self, file: u64, offset: u64, bytes: &[u8]) -> Result<(), Errno>;

    /// Answers with `length` bytes, all of which are there.
    fn read(&self, file: u64, offset: u64, length: usize, reply: ReplyData);

    /// Waits until everything that was written is where it should be.
    fn flush(&self, file: u64) -> Result<(), Errno>;

    /// A handle of the file was closed: what was fetched for its reader is not needed.
    fn release(&self, file: u64);

    /// The file is gone.
    fn remove(&self, file: u64);
}

/// Longest read that the kernel asks for.
const READ_BYTES_MAX: usize = 1 << 20;

/// Takes everything and keeps nothing.
#[derive(Debug)]
pub(super) struct Null {
    bytes: Vec<u8>,
}

impl Null {
    pub(super) fn new() -> Self {
        // Of ones: memory that was only reserved would be supplied while it is first read.
        Self { bytes: vec![1; READ_BYTES_MAX] }
    }
}

impl Content for Null {
    fn write(&self, _file: u64, _offset: u64, _bytes: &[u8]) -> Result<(), Errno> {
        Ok(())
    }

    fn read(&self, _file: u64, _offset: u64, length: usize, reply: ReplyData) {
        reply.data(&self.bytes[..length.min(self.bytes.len())]);
    }

    fn flush(&self, _file: u64) -> Result<(), Errno> {
        Ok(())
    }

    fn release(&self, _file: u64) {}

    fn remove(&self, _file: u64) {}
}
