//! Buffers for pages on their way: reused, because the first touch of fresh memory costs more than filling it, and because the buffer that was
//! let go of last is still in the processor's cache.

use crate::limits::BUFFER_POOL_BYTES_MAX;
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};

/// Smaller buffers come from the allocator, which reuses those by itself.
const POOLED_BYTES_MIN: usize = 64 * 1024;

/// Buffers that are free. Each is as long as its memory, so that reuse needs no clearing.
#[derive(Debug, Default)]
pub struct BufferPool {
    free: Mutex<Free>,
}

#[derive(Debug, Default)]
struct Free {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

/// A buffer to be filled; [`Buffer::freeze`] makes it [`Bytes`] that come back to the pool when the last clone is dropped.
#[derive(Debug)]
pub struct Buffer {
    memory: Vec<u8>,
    length: usize,
    pool: Option<Arc<BufferPool>>,
}

impl BufferPool {
    /// A buffer of `length` bytes with anything in it.
    #[must_use]
    pub fn take(self: &Arc<Self>, length: usize) -> Buffer {
        if length < POOLED_BYTES_MIN {
            return Buffer { memory: vec![0; length], length, pool: None };
        }
        let rounded = length.next_multiple_of(POOLED_BYTES_MIN);
        let reused = {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            let fits = |buffer: &Vec<u8>| (rounded..=rounded + rounded / 4).contains(&buffer.len());
            let place = free.buffers.iter().rposition(fits);
            place.map(|place| {
                let buffer = free.buffers.swap_remove(place);
                free.bytes -= buffer.len();
                buffer
            })
        };
        let memory = reused.unwrap_or_else(|| vec![0; rounded]);
        Buffer { memory, length, pool: Some(Arc::clone(self)) }
    }

    fn give_back(&self, buffer: Vec<u8>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.bytes + buffer.len() <= BUFFER_POOL_BYTES_MAX {
            free.bytes += buffer.len();
            free.buffers.push(buffer);
        }
    }
}

impl Buffer {
    /// Its bytes, whatever they are.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.memory[..self.length]
    }

    /// Its bytes as they are from now on.
    #[must_use]
    pub fn freeze(mut self) -> Bytes {
        if self.pool.is_some() { Bytes::from_owner(self) } else { Bytes::from(std::mem::take(&mut self.memory)) }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.give_back(std::mem::take(&mut self.memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_when_the_last_clone_is_dropped() {
        let pool = Arc::new(BufferPool::default());
        let mut buffer = pool.take(100_000);
        buffer.as_mut_slice().fill(7);
        let bytes = buffer.freeze();
        assert_eq!(bytes.len(), 100_000);
        let address = bytes.as_ptr();
        let clone = bytes.slice(5..10);
        drop(bytes);
        let mut other = pool.take(100_000);
        assert_ne!(other.as_mut_slice().as_ptr(), address, "still in use");
        assert_eq!(&clone[..], [7; 5]);
        drop(clone);
        assert_eq!(pool.take(100_000).as_mut_slice().as_ptr(), address);
    }

    #[test]
    fn the_pool_is_bounded() {
        let pool = Arc::new(BufferPool::default());
        let buffers: Vec<_> = (0..10).map(|_| pool.take(BUFFER_POOL_BYTES_MAX / 4)).collect();
        drop(buffers);
        assert_eq!(pool.free.lock().unwrap().buffers.len(), 4);
    }
}
