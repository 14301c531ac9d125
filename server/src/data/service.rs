//! Answers [`DataRequest`]s out of an object store.
//!
//! With each page object its chunk table is stored (the store's `extra`): 8 bytes a chunk, little-endian. A read returns the
//! chunks that cover the wanted range and the whole table, so the provider touches no other byte and computes no checksum.

use crate::storage::blocking::BlockingStore;
use crate::storage::{Key, Listing, NewObject, ObjectStore, StoreError};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use weft_common::checksum::{ChunkTable, Digest};
use weft_common::id::PageObjectId;
use weft_common::limits::{IDS_PER_LISTING, OBJECTS_PER_DELETE_MAX, PAGE_SIZE_MAX};
use weft_common::rpc::{Answer, Call, Peer};
use weft_common::wire::{Cursor, DataReply, DataRequest, ErrorKind, Reply, Request, ServiceError, Space};

/// The data provider's role.
#[derive(Clone, Debug)]
pub struct DataProvider {
    store: BlockingStore,
}

impl DataProvider {
    /// A provider of the page objects in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store: BlockingStore::new(store) }
    }

    /// Carries out a [`Request::Data`].
    ///
    /// # Errors
    /// `WrongServer` for requests of other roles; otherwise what the store says, see [`StoreError`].
    #[tracing::instrument(level = "debug", skip_all, fields(request = %call.id, peer = %peer.name))]
    pub async fn handle(&self, peer: &Peer, call: Call) -> Result<Answer, ServiceError> {
        let Request::Data(request) = call.request else {
            let message = format!("a data provider does not answer '{}'", call.request.name());
            return Err(ServiceError::new(ErrorKind::WrongServer, message));
        };
        match request {
            DataRequest::Put { object, digest } => self.put(object, digest, call.body, call.deadline).await,
            DataRequest::Get { object, offset, length } => self.get(object, offset, length, call.deadline).await,
            DataRequest::Delete { objects } => self.delete(peer, &objects, call.deadline).await,
            DataRequest::List { after, limit } => self.list(after, limit, call.deadline).await,
            DataRequest::Space => {
                let space = self.store.run(call.deadline, |store| store.statistics()).await?.into();
                Ok(Answer { reply: Reply::Data(DataReply::Space(space)), body: Bytes::new() })
            }
            DataRequest::Sync { incarnation } => {
                self.store.sync(incarnation, call.deadline).await?;
                Ok(done())
            }
        }
    }

    /// The provider's disk, for heartbeats.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the disk does not tell.
    pub fn space(&self) -> Result<Space, StoreError> {
        Ok(self.store.store().statistics()?.into())
    }

    async fn put(&self, object: PageObjectId, digest: Digest, body: Bytes, patience: Duration) -> Result<Answer, ServiceError> {
        if body.is_empty() || body.len() > PAGE_SIZE_MAX as usize {
            let message = format!("{object} has {} bytes; a page object has 1 to {PAGE_SIZE_MAX}", body.len());
            return Err(ServiceError::new(ErrorKind::InvalidArgument, message));
        }
        let stored = self.store.run(patience, move |store| {
            let table = ChunkTable::of(&body);
            if table.digest() != digest {
                return Ok(None);
            }
            let extra: Vec<u8> = table.checksums().iter().flat_map(|checksum| checksum.to_le_bytes()).collect();
            // Asked for before the put: what is stored in a later incarnation than was named is merely thought lost.
            let incarnation = store.incarnation();
            store.put(&[NewObject { key: Key::from(object), extra: &extra, body: &body }])?;
            Ok(Some(incarnation))
        });
        if let Some(incarnation) = stored.await? {
            return Ok(Answer { reply: Reply::Data(DataReply::Stored { incarnation }), body: Bytes::new() });
        }
        // The object is not stored, so it can be sent again as it was meant.
        let message =
            format!("{object} did not arrive as it was sent: its bytes do not match the digest; it is not stored, send it again");
        Err(ServiceError { retry: true, ..ServiceError::new(ErrorKind::Damaged, message) })
    }

    async fn get(&self, object: PageObjectId, offset: u32, length: u32, patience: Duration) -> Result<Answer, ServiceError> {
        // The store cuts at the object's end; only the alignment matters here.
        let range = ChunkTable::covering(u32::MAX, offset, length);
        let start = range.start;
        let found = self.store.run(patience, move |store| store.get_part(&Key::from(object), range)).await?;
        let Some(part) = found else {
            return Err(ServiceError::new(ErrorKind::NotFound, format!("{object} is not here")));
        };
        if offset > part.body_bytes {
            let message = format!("{object} has {} bytes and was asked for byte {offset}", part.body_bytes);
            return Err(ServiceError::new(ErrorKind::InvalidArgument, message));
        }
        let checksums =
            part.extra.chunks_exact(8).map(|bytes| bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
        let reply = DataReply::Part { object_bytes: part.body_bytes, start, checksums: checksums.collect() };
        Ok(Answer { reply: Reply::Data(reply), body: part.body })
    }

    async fn list(&self, after: Cursor, limit: u32, patience: Duration) -> Result<Answer, ServiceError> {
        let limit = limit.clamp(1, IDS_PER_LISTING) as usize;
        let Listing { entries, next } = self.store.run(patience, move |store| store.list(&after, limit)).await?;
        let objects = entries.into_iter().filter_map(|(key, bytes)| Some((key.page_object()?, bytes))).collect();
        Ok(Answer { reply: Reply::Data(DataReply::List { objects, next }), body: Bytes::new() })
    }

    async fn delete(&self, peer: &Peer, objects: &[PageObjectId], patience: Duration) -> Result<Answer, ServiceError> {
        if !peer.is_server {
            let message = format!("only servers delete page objects; the certificate of '{}' is a client's", peer.name);
            return Err(ServiceError::new(ErrorKind::Untrusted, message));
        }
        if objects.len() > OBJECTS_PER_DELETE_MAX {
            let message = format!("{} page objects in one delete; at most {OBJECTS_PER_DELETE_MAX}, send several", objects.len());
            return Err(ServiceError::new(ErrorKind::InvalidArgument, message));
        }
        let keys: Vec<Key> = objects.iter().map(|object| Key::from(*object)).collect();
        self.store.run(patience, move |store| store.delete(&keys)).await?;
        Ok(done())
    }
}

fn done() -> Answer {
    Answer { reply: Reply::Data(DataReply::Done), body: Bytes::new() }
}

#[cfg(test)]
mod tests;
