//! Nodes as bytes.
//!
//! ```text
//! format u8 = 1 | postcard of the node | CRC-64/NVME, little endian, over (node id | everything before)
//! ```
//!
//! The id is part of the checksum and not of the bytes: a node stored or answered under a wrong id is found out like a damaged one.
//! A leaf lists its page objects once and its fragments refer to them; a child made by the node's own blob gives its version
//! as the distance back from the node's. So a full leaf of fan-out 32 takes about 800 bytes, an inner node about 100.

use crate::checksum::crc64;
use crate::id::{BlobVersion, NodeId};
use crate::limits::{FAN_OUT_MAX, FAN_OUT_MIN, NODE_BYTES_MAX, PAGE_SIZE_MAX};
use crate::weave::{Fragment, Node, NodeRef, PageDescriptor, PageObject};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

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
    Leaf { objects: Vec<PageObject>, pages: Vec<Vec<StoredFragment>> },
    Inner(Vec<StoredRef>),
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
        Node::Leaf(pages) => store_leaf(pages),
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
        StoredNode::Leaf { objects, pages } if id.level == 1 => load_leaf(&objects, pages),
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

fn store_leaf(pages: &[PageDescriptor]) -> StoredNode {
    let mut objects = Vec::new();
    let mut places = HashMap::new();
    let mut store_page = |page: &PageDescriptor| {
        let mut end = 0;
        let store = |fragment: &Fragment| {
            let object = *places.entry(fragment.object).or_insert_with(|| {
                objects.push(fragment.object);
                objects.len() as u32 - 1
            });
            let gap = fragment.page_offset - end;
            end = fragment.page_end();
            StoredFragment { gap, length: fragment.length, object, object_offset: fragment.object_offset }
        };
        page.fragments.iter().map(store).collect()
    };
    let pages = pages.iter().map(&mut store_page).collect();
    StoredNode::Leaf { objects, pages }
}

fn load_leaf(objects: &[PageObject], pages: Vec<Vec<StoredFragment>>) -> Result<Node, &'static str> {
    check_fan_out(pages.len())?;
    pages.into_iter().map(|page| load_page(objects, page)).collect::<Result<_, _>>().map(Node::Leaf)
}

fn load_page(objects: &[PageObject], stored: Vec<StoredFragment>) -> Result<PageDescriptor, &'static str> {
    let mut end = 0u64;
    let mut fragments = Vec::with_capacity(stored.len());
    for part in stored {
        let start = end + u64::from(part.gap);
        end = start + u64::from(part.length);
        if part.length == 0 || end > u64::from(PAGE_SIZE_MAX) {
            return Err("a fragment is empty, or reaches behind the end of the largest page");
        }
        let object = *objects.get(part.object as usize).ok_or("a fragment names no object")?;
        if u64::from(part.object_offset) + u64::from(part.length) > u64::from(object.length) {
            return Err("a fragment reaches behind the end of its object");
        }
        fragments.push(Fragment { page_offset: start as u32, length: part.length, object, object_offset: part.object_offset });
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
