//! Stores block, servers must not: jobs run on tokio's blocking threads, a bounded number at once.
//! Those of a store that does not block run where they are: in memory that is faster, and in simulation all that happens has one order.

use super::{ObjectStore, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use weft_common::id::Incarnation;
use weft_common::limits::STORE_JOBS_MAX;
use weft_common::wire::{ErrorKind, ServiceError};

/// A store and the right to block on it.
#[derive(Clone, Debug)]
pub struct BlockingStore {
    store: Arc<dyn ObjectStore>,
    permits: Arc<Semaphore>,
}

impl BlockingStore {
    /// At most [`STORE_JOBS_MAX`] jobs of `store` run at once.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, permits: Arc::new(Semaphore::new(STORE_JOBS_MAX)) }
    }

    /// The store itself, for calls that do not block.
    #[must_use]
    pub fn store(&self) -> &dyn ObjectStore {
        &*self.store
    }

    /// Makes stable what was put in `incarnation`.
    ///
    /// # Errors
    /// `Stale` when that one has ended, and what was put in it may be lost; otherwise as for [`ObjectStore::sync`].
    pub async fn sync(&self, incarnation: Incarnation, patience: Duration) -> Result<(), ServiceError> {
        let current = self.store.incarnation();
        if current != incarnation {
            let message = format!(
                "this store lost power or failed since (it is in {current}, not in {incarnation}); what it took in the seconds \
                 before may be lost, write it again"
            );
            return Err(ServiceError::new(ErrorKind::Stale, message));
        }
        self.run(patience, |store| store.sync()).await
    }

    /// Runs `job` where it may block. If the caller goes away the job still ends by itself.
    ///
    /// # Errors
    /// `Busy` when no job could start within `patience`; otherwise the job's own error.
    pub async fn run<T: Send + 'static>(
        &self,
        patience: Duration,
        job: impl FnOnce(&dyn ObjectStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let busy = || ServiceError::new(ErrorKind::Busy, format!("the disk has not finished earlier work within {patience:?}"));
        let waiting = tokio::time::timeout(patience, Arc::clone(&self.permits).acquire_owned());
        let permit = waiting.await.map_err(|_| busy())?.map_err(|_| busy())?;
        let store = Arc::clone(&self.store);
        if !store.blocks() {
            return job(&*store).map_err(ServiceError::from);
        }
        let span = tracing::Span::current();
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            span.in_scope(|| job(&*store))
        });
        match done.await {
            Ok(outcome) => outcome.map_err(ServiceError::from),
            Err(error) => Err(ServiceError::new(ErrorKind::Internal, format!("a job of the store broke off: {error}"))),
        }
    }
}
