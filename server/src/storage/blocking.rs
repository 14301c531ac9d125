//! Stores block, servers must not: jobs run on tokio's blocking threads, a bounded number at once.

use super::{ObjectStore, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
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
