//! Values with a history. A value that holds now is a *head* row; one that held during the versions `[from, to)` is a *past*
//! row whose key ends with `to`. Both rows say `from`.
//!
//! Live operations read and write head rows only, so history costs them nothing but the one past row that a replaced value
//! becomes. What held at N is the head row, if it is from N or before, else the past row with the smallest `to` behind N, if that
//! is from N or before: two look-ups, however long the history is.

use super::keys::{self, Key};
use super::records::{Dated, from_dated_row, row_from, to_dated_row};
use crate::version::kv::{Kv, KvError, Order};
use serde::{Serialize, de::DeserializeOwned};
use std::marker::PhantomData;
use weft_common::id::{VolumeId, VolumeVersion};
use weft_common::wire::At;

/// Rows of a listing that do not count are stepped over up to this many in a row; then a seek is cheaper.
const STEPS_BEFORE_SEEK: u32 = 8;

/// A pair of tables: the values of now and those of the past.
#[derive(Debug)]
pub(super) struct History<R> {
    head: u8,
    past: u8,
    value: PhantomData<fn() -> R>,
}

/// Names and what they had, in order.
pub(super) type Listing<R> = Vec<(Vec<u8>, Dated<R>)>;

/// A visitor of a scan that may fail.
pub(super) type TryVisit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<bool, KvError> + 'a;

/// A value and when it held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interval<R> {
    pub(super) from: VolumeVersion,
    /// The version that ended it; `None` if it holds now.
    pub(super) to: Option<VolumeVersion>,
    pub(super) value: R,
}

impl<R: Serialize + DeserializeOwned> History<R> {
    pub(super) const fn new(head: u8, past: u8) -> Self {
        Self { head, past, value: PhantomData }
    }

    /// What holds now.
    pub(super) fn head(&self, kv: &dyn Kv, volume: VolumeId, key: &[u8]) -> Result<Option<Dated<R>>, KvError> {
        kv.get(&Key::new(self.head, volume).bytes(key))?.map(|row| from_dated_row(&row)).transpose()
    }

    /// What held at `at`.
    pub(super) fn at(&self, kv: &dyn Kv, volume: VolumeId, key: &[u8], at: At) -> Result<Option<Dated<R>>, KvError> {
        let head = self.head(kv, volume, key)?;
        let At::Version(n) = at else { return Ok(head) };
        if head.as_ref().is_some_and(|head| head.from <= n) {
            return Ok(head);
        }
        let mut found = None;
        let past = Key::new(self.past, volume).bytes(key);
        kv.scan(&past.clone().version(next(n)), &past.end(), Order::Ascending, &mut |_, row| {
            found = Some(row.to_vec());
            false
        })?;
        let Some(row) = found else { return Ok(None) };
        if row_from(&row)? <= n { from_dated_row(&row).map(Some) } else { Ok(None) }
    }

    /// From version `n` on `value` holds. What held before becomes past, unless it is of the same version.
    pub(super) fn set(&self, kv: &mut dyn Kv, volume: VolumeId, key: &[u8], n: VolumeVersion, value: &R) -> Result<(), KvError> {
        self.end(kv, volume, key, n)?;
        self.replace(kv, volume, key, n, value)
    }

    /// From version `n` on `value` holds. What held before is forgotten.
    pub(super) fn replace(
        &self,
        kv: &mut dyn Kv,
        volume: VolumeId,
        key: &[u8],
        n: VolumeVersion,
        value: &R,
    ) -> Result<(), KvError> {
        kv.put(&Key::new(self.head, volume).bytes(key), &to_dated_row(n, value)?)
    }

    /// From version `n` on nothing holds.
    pub(super) fn remove(&self, kv: &mut dyn Kv, volume: VolumeId, key: &[u8], n: VolumeVersion) -> Result<(), KvError> {
        self.end(kv, volume, key, n)?;
        self.forget(kv, volume, key)
    }

    /// Nothing holds now, and what did until now is forgotten.
    pub(super) fn forget(&self, kv: &mut dyn Kv, volume: VolumeId, key: &[u8]) -> Result<(), KvError> {
        kv.delete(&Key::new(self.head, volume).bytes(key))
    }

    fn end(&self, kv: &mut dyn Kv, volume: VolumeId, key: &[u8], n: VolumeVersion) -> Result<(), KvError> {
        let Some(row) = kv.get(&Key::new(self.head, volume).bytes(key))? else { return Ok(()) };
        if row_from(&row)? < n {
            kv.put(&Key::new(self.past, volume).bytes(key).version(n), &row)?;
        }
        Ok(())
    }

    /// Visits every interval of `key` that ends behind `after`, oldest first, until `visit` says `false`.
    pub(super) fn intervals(
        &self,
        kv: &dyn Kv,
        volume: VolumeId,
        key: &[u8],
        after: VolumeVersion,
        visit: &mut dyn FnMut(Interval<R>) -> Result<bool, KvError>,
    ) -> Result<(), KvError> {
        let past = Key::new(self.past, volume).bytes(key);
        let mut more = true;
        try_scan(kv, &past.clone().version(next(after)), &past.end(), &mut |key, row| {
            let Dated { from, value } = from_dated_row(row)?;
            more = visit(Interval { from, to: keys::last_version(key), value })?;
            Ok(more)
        })?;
        if more && let Some(Dated { from, value }) = self.head(kv, volume, key)? {
            visit(Interval { from, to: None, value })?;
        }
        Ok(())
    }

    /// The names behind `after` that begin with `prefix` and held at `at`, in order, at most `limit`.
    pub(super) fn list(
        &self,
        kv: &dyn Kv,
        volume: VolumeId,
        prefix: &[u8],
        after: Option<&[u8]>,
        at: At,
        limit: usize,
    ) -> Result<Listing<R>, KvError> {
        let mut found = self.list_head(kv, volume, prefix, after, at, limit)?;
        if let At::Version(n) = at {
            found.extend(self.list_past(kv, volume, prefix, after, n, limit)?);
            found.sort_by(|(a, _), (b, _)| a.cmp(b));
            found.truncate(limit);
        }
        Ok(found)
    }

    fn list_head(
        &self,
        kv: &dyn Kv,
        volume: VolumeId,
        prefix: &[u8],
        after: Option<&[u8]>,
        at: At,
        limit: usize,
    ) -> Result<Listing<R>, KvError> {
        let base = Key::new(self.head, volume).bytes(prefix);
        let mut found = Vec::new();
        try_scan(kv, &start(&base, after), &base.end(), &mut |key, row| {
            let holds = match at {
                At::Head => true,
                At::Version(n) => row_from(row)? <= n,
            };
            if holds && found.len() < limit {
                found.push((key[base.len()..key.len() - 1].to_vec(), from_dated_row(row)?));
            }
            Ok(found.len() < limit)
        })?;
        Ok(found)
    }

    /// Of each name only the past row with the smallest `to` behind `n` can hold at `n`; the rest is stepped or jumped over.
    fn list_past(
        &self,
        kv: &dyn Kv,
        volume: VolumeId,
        prefix: &[u8],
        after: Option<&[u8]>,
        n: VolumeVersion,
        limit: usize,
    ) -> Result<Listing<R>, KvError> {
        let base = Key::new(self.past, volume).bytes(prefix);
        let (mut found, mut decided, mut seek) = (Vec::new(), Vec::new(), Some(start(&base, after)));
        while let Some(from) = seek.take() {
            let mut steps = 0;
            try_scan(kv, &from, &base.end(), &mut |key, row| {
                let (named, to) = (&key[..key.len() - 8], keys::last_version(key));
                let is_decided = decided == named;
                if is_decided || to <= Some(n) {
                    steps += 1;
                    if steps > STEPS_BEFORE_SEEK {
                        let named = Key::raw(named);
                        seek = Some(if is_decided { named.end() } else { named.version(next(n)) });
                    }
                    return Ok(seek.is_none());
                }
                steps = 0;
                named.clone_into(&mut decided);
                if row_from(row)? <= n && found.len() < limit {
                    found.push((named[base.len()..named.len() - 1].to_vec(), from_dated_row(row)?));
                }
                Ok(found.len() < limit)
            })?;
        }
        Ok(found)
    }
}

/// The first key of a listing behind the name `after`, of which there may be several rows.
fn start(base: &Key, after: Option<&[u8]>) -> Key {
    match after {
        None => base.clone(),
        Some(name) => base.clone().name(name).end(),
    }
}

fn next(n: VolumeVersion) -> VolumeVersion {
    VolumeVersion(n.0.saturating_add(1))
}

/// An ascending scan whose visitor may fail.
pub(super) fn try_scan(kv: &dyn Kv, from: &[u8], to: &[u8], visit: &mut TryVisit<'_>) -> Result<(), KvError> {
    let mut failure = None;
    kv.scan(from, to, Order::Ascending, &mut |key, row| {
        visit(key, row).unwrap_or_else(|error| {
            failure = Some(error);
            false
        })
    })?;
    failure.map_or(Ok(()), Err)
}
