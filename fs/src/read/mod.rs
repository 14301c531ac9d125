//! Reading: what a reader sees ([`plan`]), how it is fetched ([`Reader`]), and what is fetched ahead ([`Sequence`]).

pub(crate) mod plan;
mod sequence;

pub(crate) use sequence::Sequence;

use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use weft_common::client::ClientError;
use weft_common::weave::{ByteRange, Tree};

use crate::mount::VolumeClient;
use crate::write::pending::Source;
use crate::write::upload::Uploader;
use plan::Segment;

/// Fetches what a plan says.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    volume: Arc<dyn VolumeClient>,
    uploader: Uploader,
}

impl Reader {
    /// Reads from `volume`, and from what `uploader` has uploaded.
    pub(crate) fn new(volume: Arc<dyn VolumeClient>, uploader: Uploader) -> Self {
        Self { volume, uploader }
    }

    /// The bytes of `segments`, which follow each other.
    ///
    /// # Errors
    /// As for [`weft_common::client::BlobStore::read`].
    pub(crate) async fn fetch(&self, tree: Option<Tree>, segments: Vec<Segment>) -> Result<Bytes, ClientError> {
        if let ([Segment::Base(range)], Some(tree)) = (&segments[..], &tree) {
            return self.volume.read(tree, *range).await;
        }
        let (start, base) = self.base(tree, &segments).await?;
        let length: u64 = segments.iter().map(|segment| segment.range().end - segment.range().start).sum();
        let mut bytes = BytesMut::with_capacity(length as usize);
        for segment in segments {
            match segment {
                Segment::Base(range) => {
                    bytes.extend_from_slice(&base[(range.start - start) as usize..(range.end - start) as usize])
                }
                Segment::Zero(range) => bytes.resize(bytes.len() + (range.end - range.start) as usize, 0),
                Segment::Dirty(_, Source::Buffer(buffer)) => bytes.extend_from_slice(&buffer),
                Segment::Dirty(range, Source::Object(upload, offset)) => {
                    let end = offset + (range.end - range.start) as u32;
                    bytes.extend_from_slice(&self.uploader.read(&upload, offset..end).await?);
                }
            }
        }
        Ok(bytes.freeze())
    }

    /// One read that covers all that comes from the published tree, and where it starts.
    async fn base(&self, tree: Option<Tree>, segments: &[Segment]) -> Result<(u64, Bytes), ClientError> {
        let ranges = || segments.iter().filter(|segment| matches!(segment, Segment::Base(_))).map(Segment::range);
        let (Some(first), Some(last), Some(tree)) = (ranges().next(), ranges().last(), tree) else {
            return Ok((0, Bytes::new()));
        };
        Ok((first.start, self.volume.read(&tree, ByteRange::new(first.start, last.end)).await?))
    }
}
