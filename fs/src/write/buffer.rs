//! Memory for dirty data: a budget that is never exceeded, and buffers that are used again.
//!
//! Each write is copied once, into a chunk that owns its share of the [`Budget`] and gives it back when the last reference
//! to the bytes is gone: after upload, or when the range was overwritten. Large chunks are recycled, because memory
//! that was never touched before is supplied more slowly than it is copied.

use bytes::Bytes;
use std::sync::{Arc, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::lock;

/// What a piece costs beside its bytes: map entries and reference counts.
const PIECE_OVERHEAD: u64 = 256;
/// Buffers of at least this capacity are kept for the next chunk; smaller ones the allocator handles as well.
const RECYCLED_BYTES_MIN: usize = 128 * 1024;
/// Most buffers that wait for use.
const RECYCLED_BUFFERS_MAX: usize = 64;

/// A bound on the dirty bytes of one mount.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    room: Arc<Semaphore>,
    capacity: u64,
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// Room for one chunk, taken but not yet filled.
#[derive(Debug)]
pub(crate) struct Reservation(OwnedSemaphorePermit);

/// The owner behind a chunk's [`Bytes`].
struct Chunk {
    bytes: Vec<u8>,
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.capacity() >= RECYCLED_BYTES_MIN {
            let mut spare = lock(&self.spare);
            if spare.len() < RECYCLED_BUFFERS_MAX {
                spare.push(bytes);
            }
        }
    }
}

impl Budget {
    /// A budget of `capacity` bytes.
    pub(crate) fn new(capacity: u64) -> Self {
        let capacity = capacity.clamp(1 << 20, u64::from(u32::MAX));
        Self { room: Arc::new(Semaphore::new(capacity as usize)), capacity, spare: Arc::default() }
    }

    /// The whole budget in bytes.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    fn cost(&self, length: usize) -> u32 {
        (length as u64 + PIECE_OVERHEAD).min(self.capacity) as u32
    }

    /// Room for `length` bytes if there is some now.
    pub(crate) fn try_reserve(&self, length: usize) -> Option<Reservation> {
        Arc::clone(&self.room).try_acquire_many_owned(self.cost(length)).ok().map(Reservation)
    }

    /// Room for `length` bytes, when others have given theirs back. First come, first served.
    pub(crate) async fn reserve(&self, length: usize) -> Option<Reservation> {
        Arc::clone(&self.room).acquire_many_owned(self.cost(length)).await.ok().map(Reservation)
    }

    /// Copies `data` into a chunk.
    pub(crate) fn fill(&self, reservation: Reservation, data: &[u8]) -> Bytes {
        let recycled = if data.len() >= RECYCLED_BYTES_MIN { lock(&self.spare).pop() } else { None };
        let mut bytes = recycled.unwrap_or_else(|| Vec::with_capacity(data.len()));
        bytes.clear();
        bytes.extend_from_slice(data);
        Bytes::from_owner(Chunk { bytes, spare: Arc::clone(&self.spare), _room: reservation.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_comes_back_with_the_last_reference() {
        let budget = Budget::new(1 << 20);
        let first = budget.fill(budget.try_reserve(600_000).expect("room"), &vec![7; 600_000]);
        assert!(budget.try_reserve(600_000).is_none());
        let part = first.slice(5..9);
        drop(first);
        assert!(budget.try_reserve(600_000).is_none(), "a part still holds the chunk");
        assert_eq!(&part[..], &[7; 4]);
        drop(part);
        assert!(budget.try_reserve(600_000).is_some());
    }

    #[test]
    fn a_write_larger_than_the_budget_takes_all_of_it() {
        let budget = Budget::new(1 << 20);
        assert!(budget.try_reserve(5 << 20).is_some());
    }

    #[test]
    fn large_buffers_are_used_again() {
        let budget = Budget::new(4 << 20);
        let first = budget.fill(budget.try_reserve(1 << 20).expect("room"), &vec![1; 1 << 20]);
        let address = first.as_ptr();
        drop(first);
        let second = budget.fill(budget.try_reserve(1 << 20).expect("room"), &vec![2; 1 << 20]);
        assert_eq!(second.as_ptr(), address);
        assert!(second.iter().all(|byte| *byte == 2));
    }
}
