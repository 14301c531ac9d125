//! What is known to be needed, in memory: about 45 bytes for each page object and 32 for each node, however many versions and
//! copies there are of it.

use super::Class;
use crate::fingerprint::{FingerprintMap, Fingerprints};
use crate::id::{GroupId, NodeId, PageObjectId, VolumeId};
use crate::weave::PageObject;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// What is known of a page object that is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) group: GroupId,
    pub(crate) volume: VolumeId,
    pub(crate) class: Class,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    fingerprints: Fingerprints,
    /// By fingerprint of a node's id.
    nodes: FingerprintMap<Class>,
    /// By session and sequence, in halves: so an entry needs no padding.
    objects: HashMap<[u32; 4], Mark>,
}

impl Marks {
    /// Marks a node; `false` if it was marked before, which then stays as it is.
    pub(crate) fn node(&mut self, id: &NodeId, class: Class) -> bool {
        match self.nodes.entry(self.fingerprints.of(id)) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(class);
                true
            }
        }
    }

    /// What a node is needed for.
    pub(crate) fn of_node(&self, id: &NodeId) -> Option<Class> {
        self.nodes.get(&self.fingerprints.of(id)).copied()
    }

    /// Marks a page object; `false` if it was marked before.
    pub(crate) fn object(&mut self, object: &PageObject, volume: VolumeId, class: Class) -> bool {
        match self.objects.entry(halves(&object.id)) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(Mark { group: object.group, volume, class });
                true
            }
        }
    }

    /// What a page object is needed for.
    pub(crate) fn of_object(&self, id: &PageObjectId) -> Option<Mark> {
        self.objects.get(&halves(id)).copied()
    }
}

fn halves(id: &PageObjectId) -> [u32; 4] {
    [id.session.0 as u32, (id.session.0 >> 32) as u32, id.sequence as u32, (id.sequence >> 32) as u32]
}

const _: () = {
    assert!(size_of::<([u32; 4], Mark)>() == 28);
    assert!(size_of::<(crate::fingerprint::Fingerprint, Class)>() == 20);
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::Digest;
    use crate::id::{BlobId, BlobVersion, SessionId};

    #[test]
    fn the_first_mark_counts_and_nothing_else_is_marked() {
        let mut marks = Marks::default();
        let node = |index| {
            let blob = BlobId { volume: VolumeId(1), number: 2 };
            NodeId { blob, version: BlobVersion(3), level: 1, index }
        };
        let object = |sequence| {
            let id = PageObjectId { session: SessionId(1 << 40), sequence };
            PageObject { id, length: 9, digest: Digest(8), group: GroupId(sequence as u32) }
        };
        for number in 0..1000 {
            assert!(marks.node(&node(number), Class::Live));
            assert!(marks.object(&object(number), VolumeId(1), Class::Live));
        }
        assert!(!marks.node(&node(7), Class::History));
        assert!(!marks.object(&object(7), VolumeId(1), Class::History));
        assert_eq!(marks.of_node(&node(7)), Some(Class::Live));
        let mark = Mark { group: GroupId(7), volume: VolumeId(1), class: Class::Live };
        assert_eq!(marks.of_object(&object(7).id), Some(mark));
        assert_eq!((marks.of_node(&node(1000)), marks.of_object(&object(1000).id)), (None, None));
        let swapped = PageObjectId { session: SessionId(7), sequence: 1 << 40 };
        assert_eq!(marks.of_object(&swapped), None);
    }
}
