//! Page objects on their way to the data providers, while the program still writes.

use bytes::{Bytes, BytesMut};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use weft_common::client::{BlobStore, ClientError};
use weft_common::weave::PageObject;
use weft_common::wire::{ErrorKind, ServiceError};

use crate::lock;

/// Page objects of one mount that are on their way at once.
const UPLOADS_IN_FLIGHT_MAX: usize = 8;

type Outcome = Result<PageObject, ClientError>;

/// Starts uploads, so many at once.
#[derive(Clone, Debug)]
pub(crate) struct Uploader {
    volume: Arc<dyn BlobStore>,
    runtime: Handle,
    slots: Arc<Semaphore>,
    failures: Arc<AtomicU64>,
}

/// One page object: its bytes until it is stored, its name from then on.
#[derive(Debug)]
pub(crate) struct Upload {
    pieces: Mutex<Option<Vec<Bytes>>>,
    outcome: watch::Receiver<Option<Outcome>>,
}

impl Uploader {
    /// Uploads to `volume`, in tasks of `runtime`.
    pub(crate) fn new(volume: Arc<dyn BlobStore>, runtime: Handle) -> Self {
        Self { volume, runtime, slots: Arc::new(Semaphore::new(UPLOADS_IN_FLIGHT_MAX)), failures: Arc::default() }
    }

    /// How many uploads have failed since the mount began.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Acquire)
    }

    /// Stores `pieces`, back to back, as one page object.
    pub(crate) fn start(&self, pieces: Vec<Bytes>) -> Arc<Upload> {
        let (sender, outcome) = watch::channel(None);
        let upload = Arc::new(Upload { pieces: Mutex::new(Some(pieces)), outcome });
        let (volume, slots, task) = (Arc::clone(&self.volume), Arc::clone(&self.slots), Arc::clone(&upload));
        let failures = Arc::clone(&self.failures);
        self.runtime.spawn(async move {
            // The semaphore is never closed.
            let Ok(_slot) = slots.acquire_owned().await else { return };
            let bytes = gather(lock(&task.pieces).as_deref().unwrap_or_default());
            let stored = volume.put_object(bytes).await;
            let has_failed = stored.is_err();
            sender.send_replace(Some(stored));
            lock(&task.pieces).take();
            failures.fetch_add(u64::from(has_failed), Ordering::Release);
        });
        upload
    }

    /// Bytes `range` of an upload: from memory while they are there, then from the providers.
    pub(crate) async fn read(&self, upload: &Upload, range: Range<u32>) -> Result<Bytes, ClientError> {
        if let Some(pieces) = lock(&upload.pieces).as_deref() {
            return Ok(slice(pieces, range));
        }
        let object = upload.stored().await?;
        self.volume.read_object(&object, range).await
    }
}

impl Upload {
    /// The page object, once it is stored.
    pub(crate) async fn stored(&self) -> Outcome {
        let mut outcome = self.outcome.clone();
        let stored = outcome.wait_for(Option::is_some).await.ok().and_then(|stored| stored.clone());
        stored.unwrap_or_else(|| {
            let message = "an upload stopped before it ended; the mount's log says why";
            Err(ClientError::Service(ServiceError::new(ErrorKind::Internal, message).from_server("this mount")))
        })
    }

    /// Why it failed, if it has.
    pub(crate) fn failure(&self) -> Option<ClientError> {
        self.outcome.borrow().as_ref().and_then(|stored| stored.as_ref().err().cloned())
    }
}

fn gather(pieces: &[Bytes]) -> Bytes {
    match pieces {
        [whole] => whole.clone(),
        pieces => slice(pieces, 0..pieces.iter().map(Bytes::len).sum::<usize>() as u32),
    }
}

/// Bytes `range` of `pieces` back to back.
fn slice(pieces: &[Bytes], range: Range<u32>) -> Bytes {
    let mut bytes = BytesMut::with_capacity(range.len());
    let mut start = 0;
    for piece in pieces {
        let end = start + piece.len();
        let (from, to) = ((range.start as usize).clamp(start, end), (range.end as usize).clamp(start, end));
        bytes.extend_from_slice(&piece[from - start..to - start]);
        start = end;
    }
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_crosses_pieces() {
        let pieces = [Bytes::from_static(b"abc"), Bytes::from_static(b"de"), Bytes::from_static(b"fghi")];
        assert_eq!(&slice(&pieces, 0..9)[..], b"abcdefghi");
        assert_eq!(&slice(&pieces, 2..6)[..], b"cdef");
        assert_eq!(&slice(&pieces, 3..5)[..], b"de");
        assert_eq!(&slice(&pieces, 8..9)[..], b"i");
    }
}
