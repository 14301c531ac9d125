//! Names of objects in a store: 32 bytes that page object ids and node ids encode into and can be read back from.

use std::fmt;
use weft_common::id::{BlobId, BlobVersion, NodeId, PageObjectId, SessionId, VolumeId};

/// Bytes of a [`Key`].
pub const KEY_BYTES: usize = 32;

const PAGE_OBJECT: u8 = b'P';
const NODE: u8 = b'N';

/// Name of an object. The first byte tells what kind it is; integers are little-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub [u8; KEY_BYTES]);

impl Key {
    /// The page object that this key names, if it names one.
    #[must_use]
    pub fn page_object(&self) -> Option<PageObjectId> {
        let id = PageObjectId { session: SessionId(self.u64_at(8)), sequence: self.u64_at(16) };
        (Self::from(id) == *self).then_some(id)
    }

    /// The tree node that this key names, if it names one.
    #[must_use]
    pub fn node(&self) -> Option<NodeId> {
        let volume = u32::from_le_bytes([self.0[4], self.0[5], self.0[6], self.0[7]]);
        let blob = BlobId { volume: VolumeId(volume), number: self.u64_at(8) };
        let id = NodeId { blob, version: BlobVersion(self.u64_at(16)), level: self.0[1], index: self.u64_at(24) };
        (Self::from(id) == *self).then_some(id)
    }

    fn u64_at(&self, at: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[at..at + 8]);
        u64::from_le_bytes(bytes)
    }
}

impl From<PageObjectId> for Key {
    fn from(id: PageObjectId) -> Self {
        let mut bytes = [0; KEY_BYTES];
        bytes[0] = PAGE_OBJECT;
        bytes[8..16].copy_from_slice(&id.session.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&id.sequence.to_le_bytes());
        Self(bytes)
    }
}

impl From<NodeId> for Key {
    fn from(id: NodeId) -> Self {
        let mut bytes = [0; KEY_BYTES];
        bytes[0] = NODE;
        bytes[1] = id.level;
        bytes[4..8].copy_from_slice(&id.blob.volume.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&id.blob.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&id.version.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&id.index.to_le_bytes());
        Self(bytes)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = self.page_object() {
            write!(formatter, "{id}")
        } else if let Some(id) = self.node() {
            write!(formatter, "node {id}")
        } else {
            self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_come_back_and_kinds_do_not_mix(a in any::<u64>(), b in any::<u64>(), c in any::<u64>(), volume in any::<u32>(), level in any::<u8>()) {
            let page = PageObjectId { session: SessionId(a), sequence: b };
            let blob = BlobId { volume: VolumeId(volume), number: a };
            let node = NodeId { blob, version: BlobVersion(b), level, index: c };
            prop_assert_eq!(Key::from(page).page_object(), Some(page));
            prop_assert_eq!(Key::from(page).node(), None);
            prop_assert_eq!(Key::from(node).node(), Some(node));
            prop_assert_eq!(Key::from(node).page_object(), None);
        }
    }

    #[test]
    fn the_bytes_of_a_key_stay_what_they_are_on_disks() {
        let page = PageObjectId { session: SessionId(0x0102), sequence: 3 };
        let mut bytes = [0; KEY_BYTES];
        (bytes[0], bytes[8], bytes[9], bytes[16]) = (b'P', 2, 1, 3);
        assert_eq!(Key::from(page).0, bytes);
        let blob = BlobId { volume: VolumeId(4), number: 5 };
        let mut bytes = [0; KEY_BYTES];
        (bytes[0], bytes[1], bytes[4], bytes[8], bytes[16], bytes[24]) = (b'N', 2, 4, 5, 6, 7);
        assert_eq!(Key::from(NodeId { blob, version: BlobVersion(6), level: 2, index: 7 }).0, bytes);
    }
}
