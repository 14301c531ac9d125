//! Content of a volume in memory: each blob version whole, each page object whole. Failures can be planted.

use bytes::Bytes;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;
use weft_common::checksum::Digest;
use weft_common::client::{BlobStore, ClientError, PublishRequest, Published};
use weft_common::id::{BlobId, BlobVersion, GroupId, InodeNumber, PageObjectId, SessionId, VolumeId};
use weft_common::limits::PAGE_SIZE_MIN;
use weft_common::weave::{ByteRange, Geometry, Operation, PageObject, Tree, Update};
use weft_common::wire::{Author, Change, ChangeKind, ChangeReply, ErrorKind, FileLock, ServiceError};

use super::namespace::Names;
use crate::lock;

/// The volume of the tests.
pub(crate) const VOLUME: VolumeId = VolumeId(1);

/// A volume in memory.
#[derive(Debug)]
pub(crate) struct FakeVolume {
    pub(super) names: Mutex<Names>,
    contents: Mutex<HashMap<(BlobId, BlobVersion), Bytes>>,
    objects: Mutex<HashMap<PageObjectId, Bytes>>,
    objects_made: AtomicU64,
    put_failure: Mutex<Option<ErrorKind>>,
    publish_failure: Mutex<Option<ErrorKind>>,
    /// Publications need a permit of it.
    pub(crate) gate: Semaphore,
    /// Updates as they were published.
    pub(crate) published: Mutex<Vec<(InodeNumber, Operation)>>,
    /// Queries answered.
    pub(crate) queries: AtomicU64,
    /// Calls of `sync`.
    pub(crate) syncs: AtomicU64,
    /// What `is_full` answers.
    pub(crate) full: AtomicBool,
    /// What `losses` answers.
    pub(crate) losses: AtomicU64,
    pub(super) locks: Mutex<HashMap<InodeNumber, Vec<FileLock>>>,
    /// The client's session.
    pub(crate) session: AtomicU64,
    /// So many locks that are given back are not heard of.
    pub(crate) deaf: AtomicU64,
}

impl FakeVolume {
    /// A volume with an empty root, pages of 64 KiB.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            names: Mutex::new(Names::new()),
            contents: Mutex::default(),
            objects: Mutex::default(),
            objects_made: AtomicU64::new(0),
            put_failure: Mutex::default(),
            publish_failure: Mutex::default(),
            gate: Semaphore::new(1_000_000),
            published: Mutex::default(),
            queries: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            full: AtomicBool::new(false),
            losses: AtomicU64::new(0),
            locks: Mutex::default(),
            session: AtomicU64::new(1),
            deaf: AtomicU64::new(0),
        })
    }

    /// Page objects stored so far.
    pub(crate) fn object_count(&self) -> usize {
        lock(&self.objects).len()
    }

    /// Makes uploads fail, or succeed again.
    pub(crate) fn fail_puts(&self, kind: Option<ErrorKind>) {
        *lock(&self.put_failure) = kind;
    }

    /// Makes publications fail, or succeed again.
    pub(crate) fn fail_publications(&self, kind: Option<ErrorKind>) {
        *lock(&self.publish_failure) = kind;
    }

    /// [`Change::ShareContent`].
    pub(super) fn share(&self, author: &Author, change: &Change) -> Result<ChangeReply, ClientError> {
        let Change::ShareContent { source, at, content, inode, replaces, modified } = change else { panic!("{change:?}") };
        planted(&self.publish_failure)?;
        let mut names = lock(&self.names);
        let pair = |tree: Tree| (tree.blob, tree.version);
        let tree = names.inode_at(*at, *source)?.tree.filter(|tree| pair(*tree) == *content);
        let replaced = names.inode(*inode).and_then(|inode| inode.tree).filter(|tree| pair(*tree) == *replaces);
        let (Some(tree), Some(_)) = (tree, replaced) else {
            return Err(ServiceError::new(ErrorKind::Conflict, "something else is there").into());
        };
        let number = 1_000_000 + self.objects_made.fetch_add(1, Ordering::Relaxed);
        let clone = Tree { blob: BlobId { number, ..tree.blob }, version: BlobVersion(0), ..tree };
        let bytes = self.content(&tree);
        lock(&self.contents).insert(pair(clone), bytes);
        let version = names.publish(*inode, clone, *modified, author, ChangeKind::Write);
        Ok(ChangeReply { version, attributes: names.inode(*inode).cloned() })
    }

    fn content(&self, tree: &Tree) -> Bytes {
        lock(&self.contents).get(&(tree.blob, tree.version)).cloned().unwrap_or_default()
    }

    /// The bytes after an update of `old`, and where its data went.
    fn apply(&self, old: &[u8], update: &Update, origin: usize) -> Vec<u8> {
        let mut bytes = old.to_vec();
        if let Some(cut) = update.cut_to {
            bytes.truncate(cut as usize);
        }
        for hole in &update.holes {
            let end = (hole.end as usize).min(bytes.len());
            if (hole.start as usize) < end {
                bytes[hole.start as usize..end].fill(0);
            }
        }
        for extent in &update.data {
            let start = origin + extent.offset as usize;
            let end = start + extent.length as usize;
            let object = update.objects[extent.object as usize];
            let source = lock(&self.objects)[&object.id].clone();
            bytes.resize(bytes.len().max(end), 0);
            let from = extent.object_offset as usize;
            bytes[start..end].copy_from_slice(&source[from..from + extent.length as usize]);
        }
        let size = bytes.len().max(update.grow_to.unwrap_or(0) as usize);
        bytes.resize(size, 0);
        bytes
    }
}

fn planted(failure: &Mutex<Option<ErrorKind>>) -> Result<(), ClientError> {
    match *lock(failure) {
        Some(kind) => Err(ServiceError::new(kind, "planted").into()),
        None => Ok(()),
    }
}

/// The geometry of every blob.
pub(super) fn geometry() -> Geometry {
    Geometry::new(PAGE_SIZE_MIN, 32).expect("a geometry")
}

#[async_trait::async_trait]
impl BlobStore for FakeVolume {
    async fn put_object(&self, bytes: Bytes) -> Result<PageObject, ClientError> {
        tokio::task::yield_now().await;
        planted(&self.put_failure)?;
        assert!(!bytes.is_empty() && bytes.len() <= PAGE_SIZE_MIN as usize, "an object of {} bytes", bytes.len());
        let sequence = self.objects_made.fetch_add(1, Ordering::Relaxed);
        let id = PageObjectId { session: SessionId(1), sequence };
        lock(&self.objects).insert(id, Bytes::copy_from_slice(&bytes));
        Ok(PageObject { id, length: bytes.len() as u32, digest: Digest(0), group: GroupId(0) })
    }

    async fn publish(&self, request: PublishRequest) -> Result<Published, ClientError> {
        let _permit = self.gate.acquire().await.expect("the gate stays");
        planted(&self.publish_failure)?;
        if request.only_in.is_some_and(|session| session.0 != self.session.load(Ordering::Relaxed)) {
            return Err(ServiceError::new(ErrorKind::SessionExpired, "locks are lost").into());
        }
        let mut names = lock(&self.names);
        let old = names.inode(request.inode).ok_or_else(|| ServiceError::new(ErrorKind::NotFound, "no such inode"))?.tree;
        let old = old.ok_or_else(|| ServiceError::new(ErrorKind::InvalidArgument, "no file"))?;
        let before = self.content(&old);
        let (bytes, offset) = match &request.operation {
            Operation::Write(update) => (self.apply(&before, update, 0), 0),
            Operation::Append(update) => {
                assert!(update.cut_to.is_none() && update.holes.is_empty() && update.grow_to.is_none());
                (self.apply(&before, update, before.len()), before.len() as u64)
            }
            Operation::Compact { .. } => panic!("the mount compacts nothing"),
        };
        let tree = Tree { version: BlobVersion(old.version.0 + 1), size: bytes.len() as u64, ..old };
        lock(&self.contents).insert((tree.blob, tree.version), bytes.into());
        lock(&self.published).push((request.inode, request.operation));
        let version = names.publish(request.inode, tree, request.modified, &request.author, ChangeKind::Write);
        let attributes = names.inode(request.inode).cloned();
        Ok(Published { version, blob: tree.blob, blob_version: tree.version, offset, attributes })
    }

    async fn read(&self, tree: &Tree, range: ByteRange) -> Result<Bytes, ClientError> {
        assert!(tree.version.0 == 0 || lock(&self.contents).contains_key(&(tree.blob, tree.version)), "unknown {tree:?}");
        let mut bytes = self.content(tree).to_vec();
        bytes.resize(tree.size as usize, 0);
        let (start, end) = (range.start.min(tree.size), range.end.min(tree.size));
        Ok(Bytes::copy_from_slice(&bytes[start as usize..end.max(start) as usize]))
    }

    async fn read_object(&self, object: &PageObject, range: Range<u32>) -> Result<Bytes, ClientError> {
        Ok(lock(&self.objects)[&object.id].slice(range.start as usize..range.end as usize))
    }

    async fn next_data(&self, tree: &Tree, offset: u64) -> Result<Option<ByteRange>, ClientError> {
        let bytes = self.content(tree);
        let page = PAGE_SIZE_MIN as usize;
        let pages = bytes.chunks(page).enumerate().skip(offset as usize / page);
        let found = pages.into_iter().find(|(_, bytes)| bytes.iter().any(|byte| *byte != 0));
        Ok(found.map(|(index, bytes)| ByteRange::new((index * page) as u64, (index * page + bytes.len()) as u64)))
    }

    async fn changed_ranges(&self, old: &Tree, new: &Tree) -> Result<Vec<ByteRange>, ClientError> {
        Ok(vec![ByteRange::new(0, old.size.max(new.size))])
    }

    fn prefetch(&self, _: &Tree, _: ByteRange) {}

    async fn sync(&self) -> Result<(), ClientError> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    fn losses(&self) -> u64 {
        self.losses.load(Ordering::Relaxed)
    }
}
