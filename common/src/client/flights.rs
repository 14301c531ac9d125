//! Fetches under way, so that two readers of one part cause one fetch, and a read waits for its own prefetch.

use super::{ClientError, lock};
use crate::id::PageObjectId;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// A fetch that any number of readers wait for. Whoever polls drives it; it ends when nobody waits any more.
pub(crate) type Fetch = Shared<BoxFuture<'static, Result<Bytes, ClientError>>>;
type WeakFetch = WeakShared<BoxFuture<'static, Result<Bytes, ClientError>>>;

/// The table of fetches. Bounded by the readers: a fetch that ends or is given up leaves it.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<HashMap<PageObjectId, Vec<Flight>>>);

/// The part of the object that comes, and who brings it.
type Flight = (Range<u32>, WeakFetch);

/// Takes a fetch out of the table when it ends, however it ends.
struct Landing {
    flights: Arc<Flights>,
    object: PageObjectId,
    range: Range<u32>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut flights = lock(&self.flights.0);
        if let Some(fetches) = flights.get_mut(&self.object) {
            fetches.retain(|(range, _)| *range != self.range);
            if fetches.is_empty() {
                flights.remove(&self.object);
            }
        }
    }
}

impl Flights {
    /// The fetch that brings `range` of `object`, and where its bytes start: one under way, or the one that `fetch` makes.
    pub(crate) fn join(
        self: &Arc<Self>,
        object: PageObjectId,
        range: Range<u32>,
        fetch: impl Future<Output = Result<Bytes, ClientError>> + Send + 'static,
    ) -> (u32, Fetch) {
        let mut flights = lock(&self.0);
        let fetches = flights.entry(object).or_default();
        let covering = fetches.iter().filter(|(other, _)| other.start <= range.start && range.end <= other.end);
        let found = covering.filter_map(|(other, weak)| Some((other.start, weak.upgrade()?))).next();
        if let Some(found) = found {
            return found;
        }
        let landing = Landing { flights: self.clone(), object, range: range.clone() };
        let start = range.start;
        let fetch = async move {
            let _landing = landing;
            fetch.await
        };
        let fetch = fetch.boxed().shared();
        if let Some(weak) = fetch.downgrade() {
            fetches.push((range, weak));
        }
        (start, fetch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SessionId;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn readers_share_a_fetch_and_abandoned_ones_leave_nothing() {
        let flights = Arc::new(Flights::default());
        let object = PageObjectId { session: SessionId(1), sequence: 1 };
        let count = Arc::new(AtomicU32::new(0));
        let fetch = || {
            let count = count.clone();
            async move {
                tokio::task::yield_now().await;
                count.fetch_add(1, Ordering::Relaxed);
                Ok(Bytes::from_static(b"0123456789"))
            }
        };
        let (start, first) = flights.join(object, 0..10, fetch());
        let (_, second) = flights.join(object, 2..5, fetch());
        let (first, second) = futures_util::future::join(first, second).await;
        assert_eq!((start, first.unwrap(), second.unwrap().len()), (0, Bytes::from_static(b"0123456789"), 10));
        assert_eq!(count.load(Ordering::Relaxed), 1);
        drop(flights.join(object, 0..10, fetch()));
        assert!(lock(&flights.0).is_empty());
    }
}
