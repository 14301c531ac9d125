//! Pages of many fragments become few again.
//!
//! Every small update leaves one more fragment on its page, and a reader fetches each. After a publish the client looks
//! at the leaves that it wove; a page with more than [`FRAGMENTS_BEFORE_COMPACTION`] fragments waits here for a background
//! task, which rewrites runs of neighbouring fragments as one object each and asks for a ticket on the condition that
//! nobody touched the page meanwhile. If somebody did, nothing happens: the next update of the page asks again.
//!
//! A compaction takes no version of the volume: its tree takes the place of the one that it read, which may have been synced. So its
//! objects are on stable storage before its ticket, and its nodes before its commit.
//!
//! Runs grow geometrically ([`runs`]): fragments join only into an object at least half as large again as the largest of
//! them, so that a byte is rewritten O(log page size) times however many small writes fill the page.

use super::cluster::Background;
use super::publish::{Finisher, is_conflict};
use super::retry::Context;
use super::volume::Volume;
use super::{ClientError, lock};
use crate::blob::{Piece, Source};
use crate::id::{BlobId, BlobVersion, InodeNumber};
use crate::limits::{COMPACTION_PATIENCE, COMPACTIONS_WAITING_MAX, FRAGMENTS_BEFORE_COMPACTION};
use crate::time::Timestamp;
use crate::weave::{ByteRange, DataExtent, Operation, Update};
use crate::wire::Author;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, Weak};
use tokio::sync::mpsc;

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

    /// Notes crowded pages of a version that was just published. Never waits: what does not fit is found again.
    pub(crate) fn consider(&self, inode: InodeNumber, blob: BlobId, pages: &[u64]) {
        for page in pages {
            let crowded = Crowded { inode, blob, page: *page };
            if lock(&self.waiting).insert(crowded) && self.queue.try_send(crowded).is_err() {
                lock(&self.waiting).remove(&crowded);
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
        // A provider that hangs must not make them wait long.
        let rewritten = tokio::time::timeout(COMPACTION_PATIENCE, self.rewritten(context, crowded)).await;
        let Some((read_at, update)) = rewritten.unwrap_or(Ok(None))? else { return Ok(false) };
        let operation = Operation::Compact { blob: crowded.blob, read_at, update };
        let author = Author { host: self.cluster.options.host.clone(), program: "compaction".to_owned(), uid: 0 };
        let (ticket, _) = self.order(context, crowded.inode, operation, Timestamp::default(), author, None).await?;
        drop(alone);
        self.cluster.publisher.complete(context, ticket, Finisher::Other).await?;
        Ok(true)
    }

    /// The page's bytes in fewer objects, and the version they were read at. `None` if it is not crowded any more.
    async fn rewritten(&self, context: Context, crowded: Crowded) -> Result<Option<(BlobVersion, Update)>, ClientError> {
        let tree = self.cluster.publisher.tree(context, crowded.blob, None).await?;
        let page_size = u64::from(tree.geometry.page_size());
        let range = ByteRange::new(crowded.page * page_size, (crowded.page + 1) * page_size);
        let pieces = self.cluster.reader.plan(context, &tree, range.intersection(&ByteRange::new(0, tree.size))).await?;
        if pieces.iter().filter(|piece| piece.source != Source::Zero).count() <= FRAGMENTS_BEFORE_COMPACTION {
            return Ok(None);
        }
        let mut update = Update::default();
        for (place, run) in runs(&pieces).into_iter().enumerate() {
            let bytes = self.cluster.reader.read(context, &tree, run).await?;
            let length = bytes.len() as u32;
            update.objects.push(self.put(context, bytes).await?);
            update.data.push(DataExtent { offset: run.start, length, object: place as u32, object_offset: 0 });
        }
        Ok(Some((tree.version, update)))
    }
}

/// The ranges to rewrite, each of at least two neighbouring fragments, so that the page has at most
/// [`FRAGMENTS_BEFORE_COMPACTION`] / 2 fragments afterwards.
///
/// Fragments are pushed on a stack; while the topmost is at least half as large as the one below, the two become one. What
/// remains shrinks at least by half from piece to piece. If holes between fragments leave too many, everything becomes one.
fn runs(pieces: &[Piece]) -> Vec<ByteRange> {
    let mut stack: Vec<(ByteRange, usize)> = Vec::new();
    for piece in pieces.iter().filter(|piece| piece.source != Source::Zero) {
        stack.push((ByteRange::new(piece.file_offset, piece.file_offset + piece.length), 1));
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
        return vec![ByteRange::new(first.start, last.end)];
    }
    stack.into_iter().filter(|(_, count)| *count > 1).map(|(range, _)| range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::Digest;
    use crate::id::{GroupId, PageObjectId};
    use crate::weave::PageObject;

    fn data(file_offset: u64, length: u64) -> Piece {
        let object = PageObject {
            id: PageObjectId { session: crate::id::SessionId(1), sequence: 1 },
            length: 1 << 20,
            digest: Digest(0),
            group: GroupId(0),
        };
        Piece { file_offset, length, source: Source::Object { object, object_offset: 0 } }
    }

    fn zero(file_offset: u64, length: u64) -> Piece {
        Piece { file_offset, length, source: Source::Zero }
    }

    #[test]
    fn appends_are_rewritten_a_logarithmic_number_of_times() {
        let (record, page) = (1000, 1_000_000);
        let mut pieces: Vec<Piece> = Vec::new();
        let mut rewritten = 0;
        for offset in (0..page).step_by(record) {
            pieces.push(data(offset as u64, record as u64));
            if pieces.len() > FRAGMENTS_BEFORE_COMPACTION {
                for run in runs(&pieces) {
                    rewritten += run.end - run.start;
                    let within = |piece: &Piece| run.start <= piece.file_offset && piece.file_offset < run.end;
                    let place = pieces.iter().position(within).unwrap();
                    pieces.retain(|piece| !within(piece));
                    pieces.insert(place, data(run.start, run.end - run.start));
                }
                assert!(pieces.len() <= FRAGMENTS_BEFORE_COMPACTION / 2);
            }
        }
        assert!(rewritten < 8 * page as u64, "{rewritten} bytes rewritten for {page}");
    }

    #[test]
    fn large_fragments_stay_and_holes_do_not_help_forever() {
        let large_and_small = [data(0, 100_000), data(100_000, 10), data(100_010, 10)];
        assert_eq!(runs(&large_and_small), [ByteRange::new(100_000, 100_020)]);
        let scattered: Vec<Piece> = (0..20).flat_map(|place| [data(place * 10, 5), zero(place * 10 + 5, 5)]).collect();
        assert_eq!(runs(&scattered), [ByteRange::new(0, 195)]);
    }
}
