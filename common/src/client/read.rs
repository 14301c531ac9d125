//! Reading: the tree says which pieces a range is made of; they are fetched side by side and put together.

use super::ClientError;
use super::link::Link;
use super::nodes::NodeReader;
use super::replicas::ObjectReader;
use super::retry::Context;
use crate::blob::{ChangedRanges, NextData, Piece, ReadPlan, Source};
use crate::limits::{EXTENSION_BYTES_MAX, OBJECTS_AT_ONCE_MAX, PREFETCHES_MAX, READ_BYTES_MAX};
use crate::weave::{ByteRange, Tree};
use crate::wire::{ErrorKind, ServiceError};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Reads trees.
#[derive(Debug)]
pub(crate) struct TreeReader {
    link: Arc<Link>,
    nodes: Arc<NodeReader>,
    parts: Arc<ObjectReader>,
    prefetches: Arc<Semaphore>,
    runtime: tokio::runtime::Handle,
}

impl TreeReader {
    /// Must be made within a tokio runtime: prefetches run there, whoever asks for them.
    pub(crate) fn new(link: Arc<Link>, nodes: Arc<NodeReader>, parts: Arc<ObjectReader>) -> Self {
        let prefetches = Arc::new(Semaphore::new(PREFETCHES_MAX));
        Self { link, nodes, parts, prefetches, runtime: tokio::runtime::Handle::current() }
    }

    /// The page objects behind the trees.
    pub(crate) fn parts(&self) -> &Arc<ObjectReader> {
        &self.parts
    }

    /// What `range` consists of: pieces in order, without gap.
    pub(crate) async fn plan(&self, context: Context, tree: &Tree, range: ByteRange) -> Result<Vec<Piece>, ClientError> {
        Ok(self.nodes.drive(context, ReadPlan::new(tree, range)).await?)
    }

    /// The bytes of `range`, cut at the tree's size. A range within one piece is not copied.
    pub(crate) async fn read(&self, context: Context, tree: &Tree, range: ByteRange) -> Result<Bytes, ClientError> {
        let range = range.intersection(&ByteRange::new(0, tree.size));
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let length = range.end - range.start;
        if length > READ_BYTES_MAX {
            let message = format!("one read has at most {READ_BYTES_MAX} bytes, not {length}; read the range in parts");
            return Err(ServiceError::new(ErrorKind::InvalidArgument, message).into());
        }
        let pieces = self.plan(context, tree, range).await?;
        if let [piece] = pieces.as_slice() {
            return match piece.source {
                Source::Object { .. } => self.fetch(context, *piece).await,
                Source::Zero => Ok(BytesMut::zeroed(length as usize).freeze()),
            };
        }
        self.assemble(context, range, pieces).await
    }

    async fn assemble(&self, context: Context, range: ByteRange, pieces: Vec<Piece>) -> Result<Bytes, ClientError> {
        let mut whole = BytesMut::zeroed((range.end - range.start) as usize);
        let data = pieces.into_iter().filter(|piece| piece.source != Source::Zero);
        let fetches =
            data.map(|piece| async move { Ok::<_, ClientError>((piece.file_offset, self.fetch(context, piece).await?)) });
        let mut fetched = stream::iter(fetches).buffer_unordered(OBJECTS_AT_ONCE_MAX);
        while let Some((start, bytes)) = fetched.try_next().await? {
            let start = (start - range.start) as usize;
            whole[start..start + bytes.len()].copy_from_slice(&bytes);
        }
        drop(fetched);
        Ok(whole.freeze())
    }

    async fn fetch(&self, context: Context, piece: Piece) -> Result<Bytes, ClientError> {
        match piece.source {
            // A piece of data lies within one page.
            Source::Object { object, object_offset } => {
                self.parts.part(context, object, object_offset, piece.length as u32).await
            }
            Source::Zero => Ok(Bytes::new()),
        }
    }

    /// The first range of data that ends after `offset`.
    pub(crate) async fn next_data(&self, context: Context, tree: &Tree, offset: u64) -> Result<Option<ByteRange>, ClientError> {
        Ok(self.nodes.drive(context, NextData::new(tree, offset)).await?)
    }

    /// The ranges in which the trees may differ.
    pub(crate) async fn changed_ranges(&self, context: Context, old: &Tree, new: &Tree) -> Result<Vec<ByteRange>, ClientError> {
        Ok(self.nodes.drive(context, ChangedRanges::new(old, new)).await?)
    }

    /// Whether `newer` begins with the bytes of `older`. Where the trees share nodes or objects nothing is read.
    pub(crate) async fn extends(&self, context: Context, older: &Tree, newer: &Tree) -> Result<bool, ClientError> {
        if older.size > newer.size {
            return Ok(false);
        }
        let changed = self.changed_ranges(context, older, newer).await?;
        let shared = ByteRange::new(0, older.size);
        let changed: Vec<_> = changed.iter().map(|range| range.intersection(&shared)).filter(|range| !range.is_empty()).collect();
        if changed.iter().map(|range| range.end - range.start).sum::<u64>() > EXTENSION_BYTES_MAX {
            return Ok(false);
        }
        for range in changed {
            let same = self.plan(context, older, range).await? == self.plan(context, newer, range).await?
                || self.read(context, older, range).await? == self.read(context, newer, range).await?;
            if !same {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Brings `range` into the caches in the background, unless too many prefetches are under way.
    pub(crate) fn prefetch(self: &Arc<Self>, tree: &Tree, range: ByteRange) {
        let range = range.intersection(&ByteRange::new(0, tree.size.min(range.start.saturating_add(READ_BYTES_MAX))));
        let Ok(permit) = self.prefetches.clone().try_acquire_owned() else { return };
        if range.is_empty() {
            return;
        }
        let (reader, tree) = (self.clone(), *tree);
        self.runtime.spawn(async move {
            let context = reader.link.context();
            if let Err(error) = reader.warm(context, &tree, range).await {
                tracing::debug!(request = %context.id, blob = %tree.blob, version = %tree.version, %error, "prefetch failed");
            }
            drop(permit);
        });
    }

    async fn warm(&self, context: Context, tree: &Tree, range: ByteRange) -> Result<(), ClientError> {
        let pieces = self.plan(context, tree, range).await?;
        let fetches = pieces.into_iter().map(|piece| self.fetch(context, piece));
        stream::iter(fetches).buffer_unordered(OBJECTS_AT_ONCE_MAX).try_for_each(|_| async { Ok(()) }).await
    }
}
