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

impl Cluster {
    /// Begins a count of bytes.
    #[must_use]
    pub fn begin_count(&self) -> Count {
        Count::default()
    }

    /// A page of the contents that the files of a volume have and had, those of now first; and where the next page begins.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn contents(&self, volume: VolumeId, after: Cursor) -> Result<(Vec<ContentRow>, Option<Cursor>), ClientError> {
        self.content_rows(volume, after).await
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
