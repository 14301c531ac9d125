//! The bytes of some contents: each page object once, for what it is needed most.

use super::Class;
use super::census::{Census, Mode};
use crate::client::ClientError;
use crate::client::cluster::Cluster;
use crate::id::VolumeId;
use crate::weave::Tree;
use crate::wire::{ContentRow, Cursor};

/// Bytes of page objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Of those that present contents need.
    pub live_bytes: u64,
    /// Of those that only older ones need.
    pub history_bytes: u64,
    /// Of all, with every copy.
    pub disk_bytes: u64,
}

/// A count under way. Needs memory like [`Cluster::fsck`], of what it counts.
#[derive(Debug, Default)]
pub struct Count {
    census: Census,
    counted: Counted,
}

impl Count {
    /// What was counted so far.
    #[must_use]
    pub fn counted(&self) -> Counted {
        self.counted
    }
}

/// The contents of a volume's files, page by page.
#[derive(Debug)]
pub struct Contents<'c> {
    cluster: &'c Cluster,
    volume: VolumeId,
    next: Option<Cursor>,
}

impl Contents<'_> {
    /// The next page; `None` behind the last.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn page(&mut self) -> Result<Option<Vec<ContentRow>>, ClientError> {
        let Some(after) = self.next.take() else { return Ok(None) };
        let (rows, next) = self.cluster.content_rows(self.volume, after).await?;
        self.next = next;
        Ok(Some(rows))
    }
}

impl Cluster {
    /// Begins a count of bytes.
    #[must_use]
    pub fn begin_count(&self) -> Count {
        Count::default()
    }

    /// The contents that the files of a volume have and had, of each file the present one first.
    #[must_use]
    pub fn contents(&self, volume: VolumeId) -> Contents<'_> {
        Contents { cluster: self, volume, next: Some(Cursor::new()) }
    }

    /// Adds what `tree` needs and nothing before it did. Count present contents first.
    ///
    /// # Errors
    /// [`ClientError`], also when a node is lost.
    pub async fn count(&self, count: &mut Count, tree: &Tree, is_live: bool) -> Result<(), ClientError> {
        let map = self.map();
        let class = if is_live { Class::Live } else { Class::History };
        let counted = &mut count.counted;
        let mut add = |object: &crate::weave::PageObject| {
            let bytes = u64::from(object.length);
            *(if is_live { &mut counted.live_bytes } else { &mut counted.history_bytes }) += bytes;
            counted.disk_bytes += bytes * map.group(object.group).map_or(0, |group| group.members.len() as u64);
        };
        self.mark_tree(&mut count.census, tree, class, &mut Mode::Count(&mut add)).await
    }
}
