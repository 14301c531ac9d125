//! Pages of many fragments become few again.
//!
//! Every small update leaves one more fragment on its page, and a reader fetches each. After a publish the client looks
//! at the leaves that it wove; a page with more than [`FRAGMENTS_BEFORE_COMPACTION`] fragments waits here for a background
//! task, which rewrites runs of neighbouring fragments as one object each and asks for a ticket on the condition that
//! nobody touched the page meanwhile. If somebody did, nothing happens: the next update of the page asks again.
//!
//! Runs grow geometrically ([`runs`]): fragments join only into an object at least half as large again as the largest of
//! them, so that a byte is rewritten O(log page size) times however many small writes fill the page.

use super::publish::{Completed, is_conflict};
use super::volume::Volume;
use super::{ClientError, api::BlobStore, lock};
use crate::id::{BlobId, InodeNumber};
use crate::limits::{COMPACTION_PATIENCE, COMPACTIONS_WAITING_MAX, FRAGMENTS_BEFORE_COMPACTION};
use crate::time::Timestamp;
use crate::weave::{ByteRange, DataExtent, Node, Operation, Piece, Tree, Update};
use crate::wire::Author;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, Weak};
use tokio::sync::mpsc;

use super::cluster::Background;

/// One page that has too many fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Crowded {
    inode: InodeNumber,
    blob: BlobId,
    page: u64,
}

/// The pages of one volume that wait for compaction, and the task that works on them one by one.
#[derive(Debug)]
pub(crate) struct Compactor {
    queue: mpsc::Sender<Crowded>,
    waiting: Arc<Mutex<HashSet<Crowded>>>,
    _task: Background,
}

impl Compactor {
    pub(crate) fn start(volume: Weak<Volume>) -> Self {
        let (queue, mut pages) = mpsc::channel(COMPACTIONS_WAITING_MAX);
        let waiting: Arc<Mutex<HashSet<Crowded>>> = Arc::default();
        let noted = waiting.clone();
        let task = Background::spawn(async move {
            while let Some(page) = pages.recv().await {
                lock(&noted).remove(&page);
                let Some(volume) = volume.upgrade() else { return };
                volume.compact(page).await;
            }
        });
        Self { queue, waiting, _task: task }
    }

    /// Notes the crowded pages of a version that was just published. Never waits: what does not fit is found again.
    pub(crate) fn consider(&self, inode: InodeNumber, blob: BlobId, fan_out: u32, completed: &Completed) {
        for (id, node) in &completed.nodes {
            let Node::Leaf(pages) = &**node else { continue };
            let crowded = pages.iter().enumerate().filter(|(_, page)| page.fragments.len() > FRAGMENTS_BEFORE_COMPACTION);
            for (place, _) in crowded {
                let page = Crowded { inode, blob, page: id.index * u64::from(fan_out) + place as u64 };
                if lock(&self.waiting).insert(page) && self.queue.try_send(page).is_err() {
                    lock(&self.waiting).remove(&page);
                }
            }
        }
    }
}

impl Volume {
    #[tracing::instrument(level = "debug", skip_all, fields(request, inode = %crowded.inode, blob = %crowded.blob, page = crowded.page))]
    async fn compact(&self, crowded: Crowded) {
        match self.rewrite(crowded).await {
            Ok(true) => tracing::debug!("page compacted"),
            Ok(false) => {}
            Err(error) if is_conflict(&error) => tracing::debug!("page was written meanwhile, not compacted"),
            Err(error) => tracing::debug!(%error, "page not compacted; its next update tries again"),
        }
    }

    /// Whether the page was rewritten.
    async fn rewrite(&self, crowded: Crowded) -> Result<bool, ClientError> {
        let context = self.cluster.context();
        // This client's own publishes of the file wait meanwhile: they would make the compaction a conflict for ever.
        let alone = tokio::time::timeout(COMPACTION_PATIENCE, self.publish_lock(crowded.inode).write()).await;
        let Ok(alone) = alone else { return Ok(false) };
        let tree = self.cluster.publisher.tree(context, crowded.blob, None).await?;
        let page_size = u64::from(tree.geometry.page_size());
        let range = ByteRange::new(crowded.page * page_size, (crowded.page + 1) * page_size);
        let pieces = self.cluster.reader.plan(context, &tree, range.intersection(&ByteRange::new(0, tree.size))).await?;
        if pieces.iter().filter(|piece| piece.fragment.is_some()).count() <= FRAGMENTS_BEFORE_COMPACTION {
            return Ok(false);
        }
        let update = self.rewritten(&tree, &runs(&pieces)).await?;
        let operation = Operation::Compact { read_at: tree.version, update };
        let author = Author { host: self.cluster.options.host.clone(), program: "compaction".to_owned(), uid: 0 };
        let ticket = self.order(context, crowded.inode, operation, Timestamp::default(), author).await?;
        drop(alone);
        self.cluster.publisher.complete(context, ticket).await?;
        Ok(true)
    }

    async fn rewritten(&self, tree: &Tree, runs: &[Range<u64>]) -> Result<Update, ClientError> {
        let mut update = Update::default();
        for (place, run) in runs.iter().enumerate() {
            let bytes = self.read(tree, ByteRange::new(run.start, run.end)).await?;
            let length = bytes.len() as u32;
            update.objects.push(self.put_object(bytes).await?);
            update.data.push(DataExtent { offset: run.start, length, object: place as u32, object_offset: 0 });
        }
        Ok(update)
    }
}

/// The ranges to rewrite, each of at least two neighbouring fragments, so that the page has at most
/// [`FRAGMENTS_BEFORE_COMPACTION`] / 2 fragments afterwards.
///
/// Fragments are pushed on a stack; while the topmost is at least half as large as the one below, the two become one. What
/// remains shrinks at least by half from piece to piece. If holes between fragments leave too many, everything becomes one.
fn runs(pieces: &[Piece]) -> Vec<Range<u64>> {
    let fragments = pieces.iter().filter(|piece| piece.fragment.is_some()).map(|piece| piece.range.start..piece.range.end);
    let mut stack: Vec<(Range<u64>, usize)> = Vec::new();
    for fragment in fragments {
        stack.push((fragment, 1));
        while let [.., (below, count), (top, more)] = stack.as_mut_slice()
            && below.end == top.start
            && (top.end - top.start) * 2 >= below.end - below.start
        {
            (below.end, *count) = (top.end, *count + *more);
            stack.pop();
        }
    }
    if stack.len() > FRAGMENTS_BEFORE_COMPACTION / 2
        && let (Some((first, _)), Some((last, _))) = (stack.first(), stack.last())
    {
        return vec![first.start..last.end];
    }
    stack.into_iter().filter(|(_, count)| *count > 1).map(|(range, _)| range).collect()
}
