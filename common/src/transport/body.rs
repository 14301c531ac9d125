//! Buffers for message bodies: reused, because the first touch of fresh memory costs more than filling it.

use crate::limits::BODY_POOL_BYTES_MAX;
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};

/// Smaller buffers come from the allocator, which reuses those by itself.
const POOLED_BYTES_MIN: usize = 64 * 1024;

/// Buffers that are free. Each is as long as its memory, so that reuse needs no clearing.
#[derive(Debug, Default)]
pub(super) struct BodyPool {
    free: Mutex<Free>,
}

#[derive(Debug, Default)]
struct Free {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

/// A buffer to be filled; [`BodyBuffer::freeze`] makes it [`Bytes`] that come back to the pool when the last clone is dropped.
#[derive(Debug)]
pub(super) struct BodyBuffer {
    memory: Vec<u8>,
    length: usize,
    pool: Option<Arc<BodyPool>>,
}

impl BodyPool {
    /// A buffer of `length` bytes with anything in it.
    pub(super) fn take(self: &Arc<Self>, length: usize) -> BodyBuffer {
        if length < POOLED_BYTES_MIN {
            return BodyBuffer { memory: vec![0; length], length, pool: None };
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
        BodyBuffer { memory, length, pool: Some(Arc::clone(self)) }
    }

    fn give_back(&self, buffer: Vec<u8>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.bytes + buffer.len() <= BODY_POOL_BYTES_MAX {
            free.bytes += buffer.len();
            free.buffers.push(buffer);
        }
    }
}

impl BodyBuffer {
    pub(super) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.memory[..self.length]
    }

    pub(super) fn freeze(mut self) -> Bytes {
        if self.pool.is_some() { Bytes::from_owner(self) } else { Bytes::from(std::mem::take(&mut self.memory)) }
    }
}

impl AsRef<[u8]> for BodyBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.length]
    }
}

impl Drop for BodyBuffer {
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
        let pool = Arc::new(BodyPool::default());
        let mut buffer = pool.take(100_000);
        buffer.as_mut().fill(7);
        let bytes = buffer.freeze();
        assert_eq!(bytes.len(), 100_000);
        let address = bytes.as_ptr();
        let clone = bytes.slice(5..10);
        drop(bytes);
        let mut other = pool.take(100_000);
        assert_ne!(other.as_mut().as_ptr(), address, "still in use");
        assert_eq!(&clone[..], [7; 5]);
        drop(clone);
        assert_eq!(pool.take(100_000).as_mut().as_ptr(), address);
    }

    #[test]
    fn the_pool_is_bounded() {
        let pool = Arc::new(BodyPool::default());
        let buffers: Vec<_> = (0..10).map(|_| pool.take(BODY_POOL_BYTES_MAX / 4)).collect();
        drop(buffers);
        assert_eq!(pool.free.lock().unwrap().buffers.len(), 4);
    }
}
