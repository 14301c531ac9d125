//! Nodes as bytes.
//!
//! ```text
//! format u8 = 1 | postcard of the node | CRC-64/NVME, little endian, over (node id | everything before)
//! ```
//!
//! The id is part of the checksum and not of the bytes: a node stored or answered under a wrong id is found out like a damaged one.
//! A leaf lists its page objects once, each with the update that brought it, and its fragments refer to them; a child made by the node's own blob gives its version
//! as the distance back from the node's. So a full leaf of fan-out 32 takes about 800 bytes, an inner node about 100.

use crate::checksum::crc64;
use crate::id::{BlobVersion, NodeId};
use crate::limits::{FAN_OUT_MAX, FAN_OUT_MIN, NODE_BYTES_MAX, PAGE_SIZE_MAX};
use crate::weave::{Birth, Fragment, Node, NodeRef, PageDescriptor, PageObject};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// The form that this build writes, and the only one so far.
const FORMAT: u8 = 1;
const CHECKSUM_BYTES: usize = size_of::<u64>();

/// Bytes that are not the node that was asked for, or a node that cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// Longer than any node.
    #[error("node {node} takes {bytes} bytes, more than {NODE_BYTES_MAX}; its pages need compaction")]
    TooLarge {
        /// The node.
        node: NodeId,
        /// Its length.
        bytes: usize,
    },
    /// The checksum does not match: damaged, cut short, or another node's.
    #[error("node {0} is damaged, or the bytes are another node's")]
    Checksum(NodeId),
    /// Written by another version of WeftFS.
    #[error("node {node} has format {format}; this build reads {FORMAT}")]
    Format {
        /// The node.
        node: NodeId,
        /// Its format.
        format: u8,
    },
    /// The checksum matches and the content makes no sense: written by a faulty or hostile program.
    #[error("node {node} is malformed: {detail}")]
    Malformed {
        /// The node.
        node: NodeId,
        /// What is wrong.
        detail: &'static str,
    },
}

#[derive(Serialize, Deserialize)]
enum StoredNode {
    Leaf { objects: Vec<StoredObject>, pages: Vec<Vec<StoredFragment>> },
    Inner(Vec<StoredRef>),
}

#[derive(Serialize, Deserialize)]
struct StoredObject {
    object: PageObject,
    birth: StoredBirth,
    /// 0 if all its bytes are on one page; else the second of its pages, counted from the leaf's first one, and 1 added.
    border: u32,
}

#[derive(Serialize, Deserialize)]
enum StoredBirth {
    /// Brought by the leaf's own blob, this many versions before the leaf's.
    Own { age: u64 },
    /// By the origin of a clone.
    Far { blob: u64, version: BlobVersion },
}

#[derive(Serialize, Deserialize)]
struct StoredFragment {
    /// Bytes between the end of the fragment before it and this one.
    gap: u32,
    length: u32,
    object: u32,
    object_offset: u32,
}

#[derive(Serialize, Deserialize)]
enum StoredRef {
    Hole,
    /// Same blob, next level, made `age` versions ago.
    Near {
        age: u64,
    },
    /// Same blob, shortened.
    Shortened {
        age: u64,
        level: u8,
    },
    /// Anything else: a clone's reference to its origin.
    Far(NodeRef),
}

/// The bytes to store for `node`.
///
/// # Errors
/// [`NodeError::TooLarge`] for a leaf with tens of thousands of fragments.
pub fn encode_node(id: &NodeId, node: &Node) -> Result<Vec<u8>, NodeError> {
    let stored = match node {
        Node::Leaf(pages) => {
            store_leaf(id, pages).ok_or(NodeError::Malformed { node: *id, detail: "its fragments do not fit it" })?
        }
        Node::Inner(children) => StoredNode::Inner(children.iter().map(|child| store_ref(id, *child)).collect()),
    };
    let unwritable = |_| NodeError::Malformed { node: *id, detail: "it cannot be written" };
    let mut bytes = postcard::to_extend(&stored, vec![FORMAT]).map_err(unwritable)?;
    bytes.extend_from_slice(&checksum(id, &bytes).to_le_bytes());
    if bytes.len() > NODE_BYTES_MAX { Err(NodeError::TooLarge { node: *id, bytes: bytes.len() }) } else { Ok(bytes) }
}

/// The node that `bytes` hold, if they are what [`encode_node`] gave for this id.
///
/// # Errors
/// [`NodeError`]; try another replica.
pub fn decode_node(id: &NodeId, bytes: &[u8]) -> Result<Node, NodeError> {
    if bytes.len() > NODE_BYTES_MAX {
        return Err(NodeError::TooLarge { node: *id, bytes: bytes.len() });
    }
    let (content, stored_checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(NodeError::Checksum(*id))?;
    if checksum(id, content) != u64::from_le_bytes(*stored_checksum) {
        return Err(NodeError::Checksum(*id));
    }
    let (format, body) = content.split_first().ok_or(NodeError::Checksum(*id))?;
    if *format != FORMAT {
        return Err(NodeError::Format { node: *id, format: *format });
    }
    let malformed = |detail| NodeError::Malformed { node: *id, detail };
    let (stored, rest) = postcard::take_from_bytes(body).map_err(|_| malformed("it is no node"))?;
    if !rest.is_empty() {
        return Err(malformed("bytes follow its end"));
    }
    match stored {
        StoredNode::Leaf { objects, pages } if id.level == 1 => load_leaf(id, &objects, pages),
        StoredNode::Inner(children) if id.level > 1 => load_inner(id, children),
        StoredNode::Leaf { .. } | StoredNode::Inner(_) => Err("a leaf at an inner level, or an inner node at level 1"),
    }
    .map_err(malformed)
}

/// Over the id's fixed-width form and the content.
fn checksum(id: &NodeId, content: &[u8]) -> u64 {
    let mut bytes = Vec::with_capacity(29 + content.len());
    bytes.extend_from_slice(&id.blob.volume.0.to_le_bytes());
    bytes.extend_from_slice(&id.blob.number.to_le_bytes());
    bytes.extend_from_slice(&id.version.0.to_le_bytes());
    bytes.push(id.level);
    bytes.extend_from_slice(&id.index.to_le_bytes());
    bytes.extend_from_slice(content);
    crc64(&bytes)
}

fn store_leaf(id: &NodeId, pages: &[PageDescriptor]) -> Option<StoredNode> {
    let mut objects = Vec::new();
    let mut places = HashMap::new();
    let mut store_page = |page: &PageDescriptor| {
        let mut end = 0;
        let store = |fragment: &Fragment| {
            let object = match places.entry((fragment.object, fragment.born)) {
                Entry::Occupied(place) => *place.get(),
                Entry::Vacant(place) => {
                    objects.push(store_object(id, pages.len(), fragment)?);
                    *place.insert(objects.len() as u32 - 1)
                }
            };
            let gap = fragment.page_offset.checked_sub(end)?;
            end = fragment.page_end();
            Some(StoredFragment { gap, length: fragment.length, object, object_offset: fragment.object_offset })
        };
        page.fragments.iter().map(store).collect()
    };
    let pages = pages.iter().map(&mut store_page).collect::<Option<_>>()?;
    Some(StoredNode::Leaf { objects, pages })
}

/// `None` if the object's border is not one of the leaf's.
fn store_object(id: &NodeId, page_count: usize, fragment: &Fragment) -> Option<StoredObject> {
    let Birth { blob, version, border } = fragment.born;
    let birth = match id.version.0.checked_sub(version.0) {
        Some(age) if blob == id.blob.number => StoredBirth::Own { age },
        _ => StoredBirth::Far { blob, version },
    };
    let border = match border {
        None => 0,
        Some(page) => u32::try_from(page.checked_sub(first_page(id, page_count))?.checked_add(1)?).ok()?,
    };
    Some(StoredObject { object: fragment.object, birth, border })
}

fn first_page(id: &NodeId, page_count: usize) -> u64 {
    id.index.saturating_mul(page_count as u64)
}

fn load_leaf(id: &NodeId, objects: &[StoredObject], pages: Vec<Vec<StoredFragment>>) -> Result<Node, &'static str> {
    check_fan_out(pages.len())?;
    let first = first_page(id, pages.len());
    let load = |stored: &StoredObject| load_birth(id, first, stored).map(|birth| (stored.object, birth));
    let objects: Vec<_> = objects.iter().map(load).collect::<Result<_, _>>()?;
    let numbered = (first..=u64::MAX).zip(pages);
    numbered.map(|(number, page)| load_page(&objects, number, page)).collect::<Result<_, _>>().map(Node::Leaf)
}

fn load_birth(id: &NodeId, first_page: u64, stored: &StoredObject) -> Result<Birth, &'static str> {
    let (blob, version) = match stored.birth {
        StoredBirth::Own { age } => {
            let version = id.version.0.checked_sub(age).ok_or("an object is older than its blob")?;
            (id.blob.number, BlobVersion(version))
        }
        StoredBirth::Far { blob, version } => (blob, version),
    };
    let border = stored.border.checked_sub(1).map(|place| first_page.saturating_add(u64::from(place)));
    Ok(Birth { blob, version, border })
}

fn load_page(objects: &[(PageObject, Birth)], number: u64, stored: Vec<StoredFragment>) -> Result<PageDescriptor, &'static str> {
    let mut end = 0u64;
    let mut fragments = Vec::with_capacity(stored.len());
    for part in stored {
        let start = end + u64::from(part.gap);
        end = start + u64::from(part.length);
        if part.length == 0 || end > u64::from(PAGE_SIZE_MAX) {
            return Err("a fragment is empty, or reaches behind the end of the largest page");
        }
        let (object, born) = *objects.get(part.object as usize).ok_or("a fragment names no object")?;
        if u64::from(part.object_offset) + u64::from(part.length) > u64::from(object.length) {
            return Err("a fragment reaches behind the end of its object");
        }
        if born.border.is_some_and(|border| border != number && border.checked_sub(1) != Some(number)) {
            return Err("a fragment lies on a page that its object has no bytes for");
        }
        let (page_offset, length, object_offset) = (start as u32, part.length, part.object_offset);
        fragments.push(Fragment { page_offset, length, object, object_offset, born });
    }
    Ok(PageDescriptor { fragments })
}

fn store_ref(id: &NodeId, child: Option<NodeRef>) -> StoredRef {
    let Some(child) = child else { return StoredRef::Hole };
    match id.version.0.checked_sub(child.version.0) {
        Some(age) if child.blob == id.blob.number && child.level.checked_add(1) == Some(id.level) => StoredRef::Near { age },
        Some(age) if child.blob == id.blob.number => StoredRef::Shortened { age, level: child.level },
        _ => StoredRef::Far(child),
    }
}

fn load_inner(id: &NodeId, children: Vec<StoredRef>) -> Result<Node, &'static str> {
    check_fan_out(children.len())?;
    let load = |(place, stored)| {
        let child = load_ref(id, stored)?;
        let spine = id.index == 0 && place == 0;
        let fits = |child: &NodeRef| child.level + 1 == id.level || (spine && (1..id.level).contains(&child.level));
        if child.as_ref().is_none_or(fits) { Ok(child) } else { Err("a child is of an impossible level") }
    };
    children.into_iter().enumerate().map(load).collect::<Result<_, _>>().map(Node::Inner)
}

fn load_ref(id: &NodeId, stored: StoredRef) -> Result<Option<NodeRef>, &'static str> {
    let own = |age, level| {
        let version = id.version.0.checked_sub(age).ok_or("a child is older than its blob")?;
        Ok(Some(NodeRef { blob: id.blob.number, version: BlobVersion(version), level }))
    };
    match stored {
        StoredRef::Hole => Ok(None),
        StoredRef::Near { age } => own(age, id.level - 1),
        StoredRef::Shortened { age, level } => own(age, level),
        StoredRef::Far(child) if child.level == u8::MAX => Err("a child is of an impossible level"),
        StoredRef::Far(child) => Ok(Some(child)),
    }
}

fn check_fan_out(count: usize) -> Result<(), &'static str> {
    let sane = count.is_power_of_two() && (FAN_OUT_MIN as usize..=FAN_OUT_MAX as usize).contains(&count);
    if sane { Ok(()) } else { Err("its fan-out is no power of two from 2 to 256") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::Digest;
    use crate::id::{BlobId, GroupId, PageObjectId, SessionId, VolumeId};
    use proptest::prelude::*;

    fn id(version: u64, level: u8, index: u64) -> NodeId {
        let blob = BlobId { volume: VolumeId(2), number: 7 };
        NodeId { blob, version: BlobVersion(version), level, index }
    }

    fn fragment(page_offset: u32, length: u32, sequence: u64, object_offset: u32) -> Fragment {
        let id = PageObjectId { session: SessionId(5), sequence };
        let object = PageObject { id, length: 1 << 16, digest: Digest(0x0102_0304_0506_0708), group: GroupId(3) };
        let born = Birth { blob: 7, version: BlobVersion(298), border: None };
        Fragment { page_offset, length, object, object_offset, born }
    }

    fn leaf() -> Node {
        let far = Birth { blob: 6, version: BlobVersion(2), border: Some(1) };
        let fragments = vec![fragment(0, 100, 9, 4), Fragment { born: far, ..fragment(100, 5, 10, 0) }, fragment(200, 1, 9, 700)];
        Node::Leaf(vec![PageDescriptor { fragments }, PageDescriptor::default()])
    }

    fn inner() -> Node {
        let child = |blob, version, level| Some(NodeRef { blob, version: BlobVersion(version), level });
        Node::Inner(vec![child(7, 40, 1), None, child(7, 300, 2), child(6, 2, 2)])
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn bytes_are_as_they_always_were() {
        // format | leaf | 2 objects: session, sequence, length, digest, group, own by its age or far in full, border + 1
        // | 2 pages: gap, length, object, object offset | checksum
        let expected = "01 | 00 02 05 09 808004 888e98a8c0e0808101 03 00 02 00 05 0a 808004 888e98a8c0e0808101 03 01 06 02 02 \
            | 02 03 00 64 00 04 00 05 01 00 5f 01 00 bc05 00 | 83d03dcd19aded9c";
        assert_eq!(hex(&encode_node(&id(300, 1, 0), &leaf()).unwrap()), expected.replace([' ', '|'], ""));
        // format | inner | 4 children: shortened by its age and level, hole, near by its age, far in full | checksum
        let expected = "01 | 01 04 02 8402 01 00 01 00 03 06 02 02 | e0fb150ef58577cc";
        assert_eq!(hex(&encode_node(&id(300, 3, 0), &inner()).unwrap()), expected.replace([' ', '|'], ""));
    }

    #[test]
    fn a_node_comes_back_under_its_own_id_only() {
        for (level, node) in [(1, leaf()), (3, inner())] {
            let bytes = encode_node(&id(300, level, 0), &node).unwrap();
            assert_eq!(decode_node(&id(300, level, 0), &bytes), Ok(node));
            for other in [id(301, level, 0), id(300, level + 1, 0), id(300, level, 1)] {
                assert_eq!(decode_node(&other, &bytes), Err(NodeError::Checksum(other)));
            }
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let (id, bytes) = (id(300, 3, 0), encode_node(&id(300, 3, 0), &inner()).unwrap());
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_node(&id, &damaged), Err(NodeError::Checksum(id)), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert_eq!(decode_node(&id, &bytes[..length]), Err(NodeError::Checksum(id)), "{length} bytes");
        }
    }

    /// Bytes with a right checksum, as a faulty program could store them.
    fn sealed(id: &NodeId, format: u8, stored: &StoredNode) -> Vec<u8> {
        let mut bytes = postcard::to_extend(stored, vec![format]).unwrap();
        bytes.extend_from_slice(&checksum(id, &bytes).to_le_bytes());
        bytes
    }

    #[test]
    fn nonsense_under_a_right_checksum_is_refused() {
        let leaf_id = id(300, 1, 0);
        let object = |age, border| {
            let object = fragment(0, 1, 1, 0).object;
            StoredObject { object, birth: StoredBirth::Own { age }, border }
        };
        let holes = |count| StoredNode::Inner((0..count).map(|_| StoredRef::Hole).collect());
        assert_eq!(
            decode_node(&id(9, 2, 0), &sealed(&id(9, 2, 0), 2, &holes(2))),
            Err(NodeError::Format { node: id(9, 2, 0), format: 2 })
        );
        let pages = |part: StoredFragment| StoredNode::Leaf { objects: vec![object(2, 0)], pages: vec![vec![part], Vec::new()] };
        let of = |object| {
            let part = StoredFragment { gap: 0, length: 1, object: 0, object_offset: 0 };
            StoredNode::Leaf { objects: vec![object], pages: vec![vec![part], Vec::new()] }
        };
        let part = |gap, length, object, object_offset| pages(StoredFragment { gap, length, object, object_offset });
        let near = |age| StoredNode::Inner(vec![StoredRef::Near { age }, StoredRef::Hole]);
        let short = |level| StoredNode::Inner(vec![StoredRef::Hole, StoredRef::Shortened { age: 1, level }]);
        let far =
            |level| StoredNode::Inner(vec![StoredRef::Far(NodeRef { blob: 1, version: BlobVersion(1), level }), StoredRef::Hole]);
        let nonsense = [
            (leaf_id, holes(2)),
            (id(9, 2, 0), part(0, 1, 0, 0)),
            (leaf_id, part(0, 0, 0, 0)),
            (leaf_id, part(0, 1, 1, 0)),
            (leaf_id, part(0, 65_536, 0, 1)),
            (leaf_id, part(u32::MAX, u32::MAX, 0, 0)),
            (leaf_id, of(object(301, 0))),
            (leaf_id, of(object(2, 3))),
            (leaf_id, of(object(2, u32::MAX))),
            (id(9, 2, 0), holes(0)),
            (id(9, 2, 0), holes(3)),
            (id(9, 2, 0), holes(512)),
            (id(9, 2, 0), near(10)),
            (id(9, 3, 0), short(1)),
            (id(9, 3, 0), far(3)),
            (id(9, 3, 0), far(0)),
            (id(9, 3, 0), far(u8::MAX)),
        ];
        for (id, stored) in nonsense {
            let answer = decode_node(&id, &sealed(&id, FORMAT, &stored));
            assert!(matches!(answer, Err(NodeError::Malformed { .. })), "{answer:?}");
        }
    }

    #[test]
    fn a_full_leaf_and_an_inner_node_are_small() {
        let pages = (0..32).map(|i| PageDescriptor { fragments: vec![fragment(0, 1 << 16, 100_000 + i, 0)] }).collect();
        assert!(encode_node(&id(300, 1, 0), &Node::Leaf(pages)).unwrap().len() < 900);
        let child = |i: u64| Some(NodeRef { blob: 7, version: BlobVersion(250 + i), level: 1 });
        assert!(encode_node(&id(300, 2, 0), &Node::Inner((0..32).map(child).collect())).unwrap().len() < 110);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(level in any::<u8>(), body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let id = id(300, level, 0);
            let mut bytes = vec![FORMAT];
            bytes.extend(body);
            bytes.extend_from_slice(&checksum(&id, &bytes).to_le_bytes());
            if let Ok(node) = decode_node(&id, &bytes) {
                prop_assert_eq!(decode_node(&id, &encode_node(&id, &node).unwrap()), Ok(node));
            }
        }
    }
}
