//! Publication: a pending update becomes a blob version, and what this mount shows moves to it.
//!
//! Updates of one file go one after the other. While one is on its way it lies between the published state and the next
//! update in the making, so that readers on this mount never see less than what was written. If it fails, its bytes are lost
//! here: every handle that wrote some of them answers the error from then on, whatever it is asked, until it is closed.

use std::sync::Arc;
use weft_common::client::{ClientError, PublishRequest, Published};
use weft_common::id::{BlobId, BlobVersion};
use weft_common::time::Timestamp;
use weft_common::wire::{Attributes, ChangeReply, ErrorKind};

use super::buffer::Budget;
use super::pending::Pending;
use super::upload::Uploader;
use crate::errno::{Failure, of_client};
use crate::filesystem::Kernel;
use crate::handle::File;
use crate::mount::VolumeClient;

/// Smallest part of a file that is uploaded as one object before the update is complete.
const UNIT_BYTES_MIN: u64 = 64 * 1024;

/// A published content.
type Content = (BlobId, BlobVersion);

/// Publishes.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    volume: Arc<dyn VolumeClient>,
    uploader: Uploader,
    kernel: Arc<Kernel>,
    unit_max: u64,
}

impl Publisher {
    /// Publishes to `volume`. Units of upload are pages, or what an eighth of `budget` holds.
    pub(crate) fn new(volume: Arc<dyn VolumeClient>, uploader: Uploader, kernel: Arc<Kernel>, budget: &Budget) -> Self {
        let unit_max = (budget.capacity() / 8).max(UNIT_BYTES_MIN).next_power_of_two();
        Self { volume, uploader, kernel, unit_max }
    }

    /// Bytes that a page object of this file may have: a page, or a power of two that memory has room for.
    pub(crate) fn unit(&self, page_size: u32) -> u64 {
        u64::from(page_size).min(self.unit_max)
    }

    /// Publishes the update in the making, if there is one and `wanted` says so. Waits for the update before it.
    ///
    /// # Errors
    /// The update is lost then, and its contributors know.
    pub(crate) async fn publish(&self, file: &File, wanted: impl Fn(&Pending) -> bool + Send) -> Result<(), Failure> {
        let _turn = file.publishing.lock().await;
        self.publish_in_turn(file, wanted).await
    }

    /// As [`Publisher::publish`], for a caller that holds [`File::publishing`].
    ///
    /// # Errors
    /// As for [`Publisher::publish`].
    pub(crate) async fn publish_in_turn(&self, file: &File, wanted: impl Fn(&Pending) -> bool + Send) -> Result<(), Failure> {
        let Some(layer) = self.take(file, wanted) else { return Ok(()) };
        self.finish(file, &layer).await
    }

    /// Publishes what is on its way.
    async fn finish(&self, file: &File, layer: &Arc<Pending>) -> Result<(), Failure> {
        match self.deliver(file, layer).await {
            Ok(published) => {
                self.settle(file, layer, &published);
                Ok(())
            }
            Err(error) => {
                self.lose(file, layer, &error);
                Err(error.into())
            }
        }
    }

    /// Gives an empty file other content by `share`, which is told what it has by now. Whether it has it: not if the file is not
    /// empty, or the version manager refused. An update that only empties the file is part of it, so nobody sees the empty file.
    ///
    /// # Errors
    /// The version manager could not answer; whether the file has the content is not known then.
    pub(crate) async fn replace_empty(
        &self,
        file: &File,
        share: impl AsyncFnOnce(Content) -> Result<ChangeReply, Failure>,
    ) -> Result<bool, Failure> {
        let _turn = file.publishing.lock().await;
        let Some((replaces, cut)) = take_cut(file) else { return Ok(false) };
        match share(replaces).await {
            Ok(ChangeReply { attributes: Some(attributes), .. }) => {
                self.show(file, attributes);
                Ok(true)
            }
            Ok(_) => Err(Failure::Refused(ErrorKind::Internal, "the version manager told nothing of the file")),
            Err(failure) => {
                self.put_back(file, cut).await?;
                if is_refusal(&failure) { Ok(false) } else { Err(failure) }
            }
        }
    }

    /// The file has content that no update of this mount brought.
    fn show(&self, file: &File, attributes: Attributes) {
        let mut state = file.state();
        state.in_flight = None;
        if state.is_older_than(&attributes) {
            state.newest = attributes;
        }
        let newest = state.newest.clone();
        for view in &mut state.views {
            view.attributes = newest.clone();
            self.kernel.drop_pages(view.node);
        }
    }

    /// The update in the making is one again, or is published if another one began meanwhile.
    async fn put_back(&self, file: &File, cut: Option<Arc<Pending>>) -> Result<(), Failure> {
        let Some(layer) = cut else { return Ok(()) };
        {
            let mut state = file.state();
            if state.pending.is_empty() {
                state.in_flight = None;
                state.pending = Pending::clone(&layer);
                return Ok(());
            }
        }
        self.finish(file, &layer).await
    }

    /// Puts the update in the making on its way.
    fn take(&self, file: &File, wanted: impl Fn(&Pending) -> bool) -> Option<Arc<Pending>> {
        let mut state = file.state();
        if state.pending.is_empty() || !wanted(&state.pending) {
            return None;
        }
        let unit = state.newest.tree.map_or(UNIT_BYTES_MIN, |tree| self.unit(tree.geometry.page_size()));
        state.pending.upload_all(&self.uploader, unit);
        let layer = Arc::new(std::mem::take(&mut state.pending));
        state.in_flight = Some(Arc::clone(&layer));
        Some(layer)
    }

    async fn deliver(&self, file: &File, layer: &Pending) -> Result<Published, ClientError> {
        let operation = layer.operation().await?;
        let modified = layer.modified.unwrap_or_else(|| Timestamp::from(std::time::SystemTime::now()));
        let (inode, author, only_in) = (file.inode, layer.author.clone(), layer.fence);
        self.volume.publish(PublishRequest { inode, operation, modified, author, only_in }).await
    }

    /// Moves every view of this mount to what was published.
    fn settle(&self, file: &File, layer: &Pending, published: &Published) {
        let mut state = file.state();
        state.in_flight = None;
        let Some(attributes) = &published.attributes else {
            state.newest.links = 0;
            return;
        };
        if state.is_older_than(attributes) {
            state.newest = attributes.clone();
        }
        let newest = state.newest.clone();
        for view in &mut state.views {
            // The kernel's pages were written through: they are the new version's, unless somebody else's update is below ours.
            // An append passed by them, to a place that the kernel need not have known.
            let is_next = match (view.tree(), newest.tree) {
                (Some(old), Some(new)) if !layer.is_append() => {
                    old.blob == new.blob && new.version == published.blob_version && old.version.0 + 1 == new.version.0
                }
                _ => false,
            };
            view.attributes = newest.clone();
            match newest.tree {
                Some(tree) if is_next && view.writers > 0 => self.kernel.note_pages(view.node, tree),
                _ => self.kernel.drop_pages(view.node),
            }
        }
    }

    fn lose(&self, file: &File, layer: &Pending, error: &ClientError) {
        let errno = of_client(error);
        let is_open = matches!(error, ClientError::Unconfirmed { .. });
        let fate = if is_open { "may be lost; look at the file" } else { "is lost" };
        tracing::error!(file = file.label(), %error, "what was written to the file since its last publication {fate}");
        let mut state = file.state();
        state.in_flight = None;
        for handle in &layer.contributors {
            state.lost.insert(*handle, errno);
        }
        for view in &state.views {
            self.kernel.drop_pages(view.node);
        }
    }
}

/// What an empty file has published, and the update in the making on its way if that is what empties it. `None` for other files.
fn take_cut(file: &File) -> Option<(Content, Option<Arc<Pending>>)> {
    let mut state = file.state();
    let tree = state.newest.tree?;
    let replaces = (tree.blob, tree.version);
    if state.pending.is_empty() {
        return (tree.size == 0).then_some((replaces, None));
    }
    if !state.pending.is_bare_cut() {
        return None;
    }
    let layer = Arc::new(std::mem::take(&mut state.pending));
    state.in_flight = Some(Arc::clone(&layer));
    Some((replaces, Some(layer)))
}

/// Whether the version manager said no, so that nothing has happened.
fn is_refusal(failure: &Failure) -> bool {
    matches!(failure, Failure::Client(ClientError::Service(error)) if !error.retry)
}
