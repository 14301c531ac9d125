//! What is known to be needed, in memory: about 45 bytes for each page object and 32 for each node, however many versions and
//! copies there are of it.

use super::Class;
use crate::id::{GroupId, NodeId, PageObjectId, VolumeId};
use crate::weave::PageObject;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

/// Stands for a node's id: 128 bits, keyed at random for each process, so that two nodes meet by no accident and by nobody's intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fingerprint([u32; 4]);

impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.0[0]) | u64::from(self.0[1]) << 32);
    }
}

/// A fingerprint is random already: its first half is its hash.
#[derive(Debug, Default)]
struct FirstHalf(u64);

impl Hasher for FirstHalf {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |sum, byte| sum.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

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
    seeds: [RandomState; 2],
    nodes: HashMap<Fingerprint, Class, std::hash::BuildHasherDefault<FirstHalf>>,
    /// By session and sequence, in halves: so an entry needs no padding.
    objects: HashMap<[u32; 4], Mark>,
}

impl Marks {
    /// Marks a node; `false` if it was marked before, which then stays as it is.
    pub(crate) fn node(&mut self, id: &NodeId, class: Class) -> bool {
        let fingerprint = self.fingerprint(id);
        match self.nodes.entry(fingerprint) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(class);
                true
            }
        }
    }

    /// What a node is needed for.
    pub(crate) fn of_node(&self, id: &NodeId) -> Option<Class> {
        self.nodes.get(&self.fingerprint(id)).copied()
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

    fn fingerprint(&self, id: &NodeId) -> Fingerprint {
        let [first, second] = [self.seeds[0].hash_one(id), self.seeds[1].hash_one(id)];
        Fingerprint([first as u32, (first >> 32) as u32, second as u32, (second >> 32) as u32])
    }
}

fn halves(id: &PageObjectId) -> [u32; 4] {
    [id.session.0 as u32, (id.session.0 >> 32) as u32, id.sequence as u32, (id.sequence >> 32) as u32]
}

const _: () = {
    assert!(size_of::<([u32; 4], Mark)>() == 28);
    assert!(size_of::<(Fingerprint, Class)>() == 20);
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
