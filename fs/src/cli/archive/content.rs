//! A received file's content, as one update in the making: uploaded while the stream is read, published at the end.

use crate::cli::error::CliError;
use crate::cli::names::Volume;
use crate::write::pending::Pending;
use crate::write::upload::Uploader;
use bytes::Bytes;
use weft_common::client::PublishRequest;
use weft_common::id::InodeNumber;
use weft_common::limits::EXTENTS_PER_UPDATE_MAX;
use weft_common::time::Timestamp;
use weft_common::weave::ByteRange;
use weft_common::wire::Attributes;

/// Bytes that are taken in before the uploads begun so far are waited for.
const AHEAD_BYTES_MAX: u64 = 16 << 20;

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Content<'a> {
    volume: &'a Volume,
    uploader: Uploader,
    inode: InodeNumber,
    /// Size of the file as it is.
    base: u64,
    /// Bytes of one page object.
    unit: u64,
    pending: Pending,
    ahead: u64,
}

impl<'a> Content<'a> {
    /// The file with these attributes gets the size `size`, and what is written next.
    pub(super) fn new(volume: &'a Volume, file: &Attributes, size: u64) -> Self {
        let unit = file.tree.map_or(1 << 16, |tree| u64::from(tree.geometry.page_size()));
        let mut pending = Pending::default();
        if size != file.size {
            pending.truncate(file.size, size);
        }
        let uploader = Uploader::new(volume.blobs.clone(), tokio::runtime::Handle::current());
        Self { volume, uploader, inode: file.inode, base: file.size, unit, pending, ahead: 0 }
    }

    /// Bytes of the file.
    ///
    /// # Errors
    /// [`CliError`] if they cannot be stored.
    pub(super) async fn write(&mut self, offset: u64, bytes: Vec<u8>) -> Result<(), CliError> {
        self.ahead += bytes.len() as u64;
        let range = self.pending.write(offset, Bytes::from(bytes));
        self.pending.upload_complete(&self.uploader, self.unit, range);
        if self.ahead >= AHEAD_BYTES_MAX {
            self.ahead = 0;
            self.pending.upload_all(&self.uploader, self.unit);
            self.pending.operation().await?;
        }
        // One update has room for so many pieces; a file of more takes several.
        if self.pending.piece_count() >= EXTENTS_PER_UPDATE_MAX / 2 {
            self.publish(Timestamp::default()).await?;
        }
        Ok(())
    }

    /// Zeros.
    pub(super) fn punch(&mut self, range: ByteRange) {
        self.pending.punch(self.base, range);
    }

    /// Publishes what was written.
    ///
    /// # Errors
    /// [`CliError`].
    pub(super) async fn publish(&mut self, modified: Timestamp) -> Result<(), CliError> {
        let author = self.volume.author.clone();
        let mut pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return Ok(());
        }
        pending.upload_all(&self.uploader, self.unit);
        let operation = pending.operation().await?;
        let published =
            self.volume.blobs.publish(PublishRequest { inode: self.inode, operation, modified, author, only_in: None }).await?;
        self.base = published.attributes.map_or(self.base, |attributes| attributes.size);
        Ok(())
    }
}
