//! The table that holds the version manager's state: ordered, byte keys. Larger than memory in production, a `BTreeMap` in tests.
//!
//! Applying a command must be all or nothing. The rule that makes it so: **a command checks everything before its first
//! [`Kv::put`]**. A [`KvError`] is fatal: the process stops and replays its log.

use std::collections::BTreeMap;
use std::ops::Bound;

/// The table failed; nothing may be said about its state any more.
#[derive(Debug, thiserror::Error)]
#[error("the version manager's table failed: {0}; it is rebuilt from the log at the next start")]
pub struct KvError(pub String);

/// Direction of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Smallest key first.
    Ascending,
    /// Largest key first.
    Descending,
}

/// Called for each entry of a scan; `false` ends it.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> bool + 'a;

/// An ordered table of byte strings.
pub trait Kv {
    /// The value of `key`.
    ///
    /// # Errors
    /// [`KvError`] is fatal.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KvError>;

    /// Sets the value of `key`.
    ///
    /// # Errors
    /// [`KvError`] is fatal.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), KvError>;

    /// Removes `key`; no matter whether it is there.
    ///
    /// # Errors
    /// [`KvError`] is fatal.
    fn delete(&mut self, key: &[u8]) -> Result<(), KvError>;

    /// Visits the entries with `from <= key < to` in `order` until `visit` says `false`.
    ///
    /// # Errors
    /// [`KvError`] is fatal.
    fn scan(&self, from: &[u8], to: &[u8], order: Order, visit: &mut Visit<'_>) -> Result<(), KvError>;
}

/// A table in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryKv(BTreeMap<Vec<u8>, Vec<u8>>);

impl Kv for MemoryKv {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        Ok(self.0.get(key).cloned())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), KvError> {
        self.0.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), KvError> {
        self.0.remove(key);
        Ok(())
    }

    fn scan(&self, from: &[u8], to: &[u8], order: Order, visit: &mut Visit<'_>) -> Result<(), KvError> {
        if from >= to {
            return Ok(());
        }
        let mut range = self.0.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        let mut next = || match order {
            Order::Ascending => range.next(),
            Order::Descending => range.next_back(),
        };
        while let Some((key, value)) = next() {
            if !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}
