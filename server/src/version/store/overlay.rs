//! Changes in memory above a table on disk, and scans through all layers at once.

use crate::version::kv::{KvError, Order, Visit};
use redb::AccessGuard;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Memory that an entry of the map takes beside its bytes, roughly.
const ENTRY_BYTES: usize = 64;

/// Puts, and deletions as `None`.
#[derive(Debug, Default)]
pub(super) struct Changes {
    map: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
}

/// A change as the layers show it.
pub(super) type Change<'a> = (&'a [u8], Option<&'a [u8]>);

impl Changes {
    /// Memory they take, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The change of `key`, if there is one.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        self.map.get(key).map(Option::as_deref)
    }

    pub(super) fn set(&mut self, key: &[u8], value: Option<&[u8]>) {
        let length = |value: Option<&[u8]>| value.map_or(0, <[u8]>::len);
        if let Some(present) = self.map.get_mut(key) {
            self.bytes = self.bytes - length(present.as_deref()) + length(value);
            *present = value.map(<[u8]>::to_vec);
        } else {
            self.bytes += key.len() + length(value) + ENTRY_BYTES;
            self.map.insert(key.to_vec(), value.map(<[u8]>::to_vec));
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Change<'_>> {
        self.map.iter().map(|(key, value)| (&key[..], value.as_deref()))
    }

    /// The changes of `from <= key < to`, which must not be empty.
    pub(super) fn range<'a>(&'a self, from: &[u8], to: &[u8], order: Order) -> Box<dyn Iterator<Item = Change<'a>> + 'a> {
        let range = self.map.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        let range = range.map(|(key, value)| (&key[..], value.as_deref()));
        match order {
            Order::Ascending => Box::new(range),
            Order::Descending => Box::new(range.rev()),
        }
    }
}

type Guards<'a> = (AccessGuard<'a, &'static [u8]>, AccessGuard<'a, &'static [u8]>);

/// Visits what the layers together show: of each key the uppermost change counts.
pub(super) fn merge<'a>(
    order: Order,
    mut fresh: Box<dyn Iterator<Item = Change<'a>> + 'a>,
    frozen: Option<Box<dyn Iterator<Item = Change<'a>> + 'a>>,
    mut disk: redb::Range<'_, &'static [u8], &'static [u8]>,
    visit: &mut Visit<'_>,
) -> Result<(), KvError> {
    let mut frozen = frozen.into_iter().flatten();
    let mut next_on_disk = || -> Result<Option<Guards<'_>>, KvError> {
        let next = match order {
            Order::Ascending => disk.next(),
            Order::Descending => disk.next_back(),
        };
        next.transpose().map_err(|error| KvError(format!("scanning: {error}")))
    };
    let (mut upper, mut middle, mut lower) = (fresh.next(), frozen.next(), next_on_disk()?);
    loop {
        let keys = [upper.map(|(key, _)| key), middle.map(|(key, _)| key), lower.as_ref().map(|(key, _)| key.value())];
        let first = match order {
            Order::Ascending => keys.into_iter().flatten().min(),
            Order::Descending => keys.into_iter().flatten().max(),
        };
        let Some(first) = first else { return Ok(()) };
        let [in_upper, in_middle, in_lower] = keys.map(|key| key == Some(first));
        let value = match (upper.filter(|_| in_upper), middle.filter(|_| in_middle), &lower) {
            (Some((_, value)), _, _) | (None, Some((_, value)), _) => value,
            (None, None, Some((_, value))) => Some(value.value()),
            (None, None, None) => None,
        };
        if value.is_some_and(|value| !visit(first, value)) {
            return Ok(());
        }
        if in_upper {
            upper = fresh.next();
        }
        if in_middle {
            middle = frozen.next();
        }
        if in_lower {
            lower = next_on_disk()?;
        }
    }
}
