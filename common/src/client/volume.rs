//! A volume of the cluster: content and names.

use super::cluster::Cluster;
use super::compaction::Compactor;
use super::holds::{Held, Hold, Holder, InUse};
use super::publish::Finisher;
use super::retry::Context;
use super::{BlobStore, ClientError, LeaseListener, Namespace, PublishRequest, Published};
use crate::id::{InodeNumber, SessionId};
use crate::limits::{PROVIDER_FULL_BELOW, PUBLISH_LOCKS};
use crate::time::Timestamp;
use crate::weave::{ByteRange, Operation, PageObject, Tree, Update};
use crate::wire::{
    At, Author, BlobReply, BlobRequest, Change, ChangeReply, ClusterMap, ErrorKind, NamespaceAnswer, NamespaceChange,
    ProviderRole, ProviderState, Query, Reply, Request, ServiceError, Space, Ticket, TicketRequest, VolumeInfo, VolumeReply,
    VolumeRequest,
};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::sync::RwLock;

/// An open volume. Implements [`BlobStore`] and [`Namespace`].
#[derive(Debug)]
pub struct Volume {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) info: VolumeInfo,
    /// Copies that the volume asks for, as far as is known: somebody may set another number at any time.
    copies: AtomicU8,
    compactor: Compactor,
    /// Publishes of a file share its lock, a compaction takes it alone. By inode, several inodes to a lock.
    publishing: Vec<RwLock<()>>,
}

impl Volume {
    pub(crate) fn new(cluster: Arc<Cluster>, info: VolumeInfo) -> Arc<Self> {
        Arc::new_cyclic(|volume| {
            let publishing = (0..PUBLISH_LOCKS).map(|_| RwLock::default()).collect();
            let copies = AtomicU8::new(info.settings.copies);
            Self { cluster, info, copies, compactor: Compactor::start(volume.clone()), publishing }
        })
    }

    /// The cluster that the volume is in.
    #[must_use]
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Says with every renewal of the session that `what` is used, until the hold is dropped: it is not collected meanwhile.
    #[must_use]
    pub fn hold(&self, what: Held) -> Hold {
        self.cluster.sessions.holds.hold(what)
    }

    pub(crate) fn publish_lock(&self, inode: InodeNumber) -> &RwLock<()> {
        &self.publishing[(inode.0 % self.publishing.len() as u64) as usize]
    }

    /// Gets a ticket for `operation`, exactly once, and the session that it belongs to. If the session lapses before, the page objects are stored again under
    /// the new one: those of a closed session are orphans that anybody may delete.
    pub(crate) async fn order(
        &self,
        context: Context,
        inode: InodeNumber,
        mut operation: Operation,
        modified: Timestamp,
        author: Author,
        only_in: Option<SessionId>,
    ) -> Result<(Ticket, SessionId), ClientError> {
        let (reply, session) = loop {
            let session = self.cluster.sessions.current(context).await?;
            if only_in.is_some_and(|held| held != session.id) {
                let message = "the session lapsed that held the writer's locks, and somebody else may hold them by now";
                return Err(ServiceError::new(ErrorKind::SessionExpired, message).into());
            }
            let copies = self.copies();
            self.adopt(context, session.id, copies, update_of(&mut operation)).await?;
            if let Operation::Compact { update, .. } = &operation {
                self.sync_objects(context, &update.objects).await?;
            }
            let make = |key| {
                let (volume, author, operation) = (self.info.id, author.clone(), operation.clone());
                let request = TicketRequest { volume, inode, key, author, operation, modified, copies };
                Request::Blob(BlobRequest::Ticket(Box::new(request)))
            };
            match self.cluster.sessions.change_in(context, &session, make).await {
                Ok(Some(reply)) => break (reply, session.id),
                Ok(None) => {}
                Err(error) if is_short_of_copies(&error) && !context.remaining().is_zero() => {
                    self.refresh_copies(context).await?
                }
                Err(error) => return Err(error.of_ordering()),
            }
        };
        match reply {
            Reply::Blob(BlobReply::Granted(ticket)) => {
                tracing::debug!(request = %context.id, %inode, blob = %ticket.blob, version = %ticket.entry.version,
                    base = %ticket.base.version, in_flight = ticket.in_flight.len(), size = ticket.entry.size, "ticket granted");
                Ok((*ticket, session))
            }
            other => Err(self.cluster.link.unexpected("a ticket", &other)),
        }
    }

    /// Copies that the volume asks for.
    fn copies(&self) -> u8 {
        self.copies.load(Ordering::Relaxed)
    }

    /// Somebody set another number of copies.
    async fn refresh_copies(&self, context: Context) -> Result<(), ClientError> {
        let request = Request::Volume(VolumeRequest::Get(self.info.name.clone()));
        match self.cluster.link.manager(context, request).await? {
            Reply::Volume(VolumeReply::Volume(info)) => {
                tracing::info!(request = %context.id, volume = info.name, copies = info.settings.copies, "the volume asks for another number of copies");
                self.copies.store(info.settings.copies, Ordering::Relaxed);
                Ok(())
            }
            other => Err(self.cluster.link.unexpected("a volume", &other)),
        }
    }

    /// Stores those objects again that another session stored, or that have fewer than `copies`.
    async fn adopt(&self, context: Context, session: SessionId, copies: u8, update: &mut Update) -> Result<(), ClientError> {
        let map = self.cluster.map();
        let has_copies =
            |object: &PageObject| map.group(object.group).is_some_and(|group| group.members.len() >= usize::from(copies));
        for object in update.objects.iter_mut().filter(|object| object.id.session != session || !has_copies(object)) {
            let bytes = self.cluster.reader.parts().part(context, *object, 0, object.length).await?;
            let again = self.put(context, bytes).await?;
            tracing::debug!(request = %context.id, from = %object.id, to = %again.id, "page object stored again");
            *object = again;
        }
        Ok(())
    }

    /// Bytes that take the place of synced ones have to be on stable storage themselves.
    async fn sync_objects(&self, context: Context, objects: &[PageObject]) -> Result<(), ClientError> {
        let map = self.cluster.map();
        let holders = objects.iter().filter_map(|object| map.group(object.group)).flat_map(|group| group.members.clone());
        self.cluster.unsynced.sync_on(context, &holders.collect()).await
    }

    pub(crate) async fn put(&self, context: Context, bytes: Bytes) -> Result<PageObject, ClientError> {
        let session = self.cluster.sessions.current(context).await?;
        let object = self.cluster.objects.put(context, &session, self.copies(), bytes).await?;
        tracing::debug!(request = %context.id, object = %object.id, bytes = object.length, group = %object.group, "page object stored");
        Ok(object)
    }
}

fn is_short_of_copies(error: &ClientError) -> bool {
    matches!(error, ClientError::Service(error) if error.kind == ErrorKind::TooFewCopies)
}

fn update_of(operation: &mut Operation) -> &mut Update {
    match operation {
        Operation::Write(update) | Operation::Append(update) | Operation::Compact { update, .. } => update,
    }
}

#[async_trait::async_trait]
impl BlobStore for Volume {
    #[tracing::instrument(level = "debug", skip_all, fields(request, volume = self.info.name, bytes = bytes.len()))]
    async fn put_object(&self, bytes: Bytes) -> Result<PageObject, ClientError> {
        self.put(self.cluster.context(), bytes).await
    }

    #[tracing::instrument(level = "debug", skip_all, fields(request, volume = self.info.name, inode = %request.inode))]
    async fn publish(&self, request: PublishRequest) -> Result<Published, ClientError> {
        let context = self.cluster.context();
        let PublishRequest { inode, operation, modified, author, only_in } = request;
        let asked = first_offset(&operation);
        let _shared = self.publish_lock(inode).read().await;
        self.cluster.publisher.node_writer.ready(context, self.copies()).await?;
        let leases = &self.cluster.leases;
        let mark = leases.publishing(self.info.id, inode);
        let published = async {
            let (ticket, session) = self.order(context, inode, operation, modified, author, only_in).await?;
            let (blob, blob_version) = (ticket.blob, ticket.entry.version);
            let offset = ticket.entry.update.data.first().map_or(ticket.entry.size, |extent| extent.offset.saturating_sub(asked));
            let completed = self.cluster.publisher.complete(context, ticket, Finisher::Writer(session)).await;
            let completed = completed.map_err(ClientError::of_finishing)?;
            self.compactor.consider(inode, blob, &completed.crowded_pages);
            Ok(Published { version: completed.version, blob, blob_version, offset, attributes: completed.attributes })
        };
        let published = published.await;
        let outcome = published.as_ref().map(|published: &Published| (published.version, published.attributes.as_ref()));
        leases.published(self.info.id, inode, mark, outcome);
        published
    }

    #[tracing::instrument(level = "debug", skip_all, fields(request, blob = %tree.blob, version = %tree.version, start = range.start, end = range.end))]
    async fn read(&self, tree: &Tree, range: ByteRange) -> Result<Bytes, ClientError> {
        self.cluster.reader.read(self.cluster.context(), tree, range).await
    }

    #[tracing::instrument(level = "debug", skip_all, fields(request, blob = %tree.blob, version = %tree.version, offset))]
    async fn next_data(&self, tree: &Tree, offset: u64) -> Result<Option<ByteRange>, ClientError> {
        self.cluster.reader.next_data(self.cluster.context(), tree, offset).await
    }

    #[tracing::instrument(level = "debug", skip_all, fields(request, object = %object.id, start = range.start, end = range.end))]
    async fn read_object(&self, object: &PageObject, range: Range<u32>) -> Result<Bytes, ClientError> {
        let length = range.end.saturating_sub(range.start);
        self.cluster.reader.parts().part(self.cluster.context(), *object, range.start, length).await
    }

    #[tracing::instrument(level = "debug", skip_all, fields(request, blob = %older.blob, older = %older.version, newer = %newer.version))]
    async fn extends(&self, older: &Tree, newer: &Tree) -> Result<bool, ClientError> {
        self.cluster.reader.extends(self.cluster.context(), older, newer).await
    }

    #[tracing::instrument(level = "debug", skip_all, fields(request, blob = %old.blob, old = %old.version, new = %new.version))]
    async fn changed_ranges(&self, old: &Tree, new: &Tree) -> Result<Vec<ByteRange>, ClientError> {
        self.cluster.reader.changed_ranges(self.cluster.context(), old, new).await
    }

    fn space(&self) -> Space {
        usable_space(&self.cluster.map(), self.copies())
    }

    fn is_full(&self) -> bool {
        self.cluster.map.lacks_only_room(self.copies())
    }

    fn prefetch(&self, tree: &Tree, range: ByteRange) {
        self.cluster.reader.prefetch(tree, range);
    }

    #[tracing::instrument(level = "debug", skip_all, fields(request, volume = self.info.name))]
    async fn sync(&self) -> Result<(), ClientError> {
        self.cluster.unsynced.sync(self.cluster.context()).await
    }

    fn report_holds(&self, holder: Arc<dyn Holder>) {
        self.cluster.sessions.holds.ask(holder);
    }

    fn begin_use(&self) -> Option<InUse> {
        Some(self.cluster.sessions.holds.begin())
    }

    fn losses(&self) -> u64 {
        self.cluster.unsynced.losses()
    }
}

/// What the living data providers hold and could take, in bytes of content of `copies` copies. What a provider keeps free counts as used.
fn usable_space(map: &ClusterMap, copies: u8) -> Space {
    let living =
        map.providers.iter().filter(|provider| provider.role == ProviderRole::Data && provider.state != ProviderState::Dead);
    let copies = u64::from(copies.max(1));
    living.fold(Space::default(), |sum, provider| {
        let used = provider.total_bytes.saturating_sub(provider.free_bytes);
        Space {
            total_bytes: sum.total_bytes + provider.total_bytes / copies,
            free_bytes: sum.free_bytes + provider.free_bytes.saturating_sub(PROVIDER_FULL_BELOW) / copies,
            used_bytes: sum.used_bytes + used / copies,
            ..Space::default()
        }
    })
}

/// For an append, where in it the first byte is; else 0.
fn first_offset(operation: &Operation) -> u64 {
    match operation {
        Operation::Append(update) => update.data.first().map_or(0, |extent| extent.offset),
        Operation::Write(_) | Operation::Compact { .. } => 0,
    }
}

#[async_trait::async_trait]
impl Namespace for Volume {
    fn info(&self) -> VolumeInfo {
        self.info.clone()
    }

    #[tracing::instrument(level = "debug", skip_all, fields(request, volume = self.info.name, query = query.name()))]
    async fn query(&self, at: At, query: Query) -> Result<NamespaceAnswer, ClientError> {
        if at == At::Head {
            return match self.cluster.leases.known(self.info.id, &query) {
                Some((known, _)) => known,
                None => self.cluster.leases.query(self.cluster.context(), self.info.id, query).await,
            };
        }
        self.cluster.query(self.info.id, at, query).await
    }

    fn known(&self, query: &Query) -> Option<(Result<NamespaceAnswer, ClientError>, Duration)> {
        self.cluster.leases.known(self.info.id, query)
    }

    fn report_leases(&self, listener: Arc<dyn LeaseListener>) {
        self.cluster.leases.listen(listener);
    }

    #[tracing::instrument(level = "debug", skip_all, fields(request, volume = self.info.name, change = change.name()))]
    async fn change(&self, author: &Author, change: Change) -> Result<ChangeReply, ClientError> {
        let context = self.cluster.context();
        let make = |key| {
            let (volume, author, change) = (self.info.id, author.clone(), change.clone());
            Request::Change(NamespaceChange { volume, key, author, change })
        };
        let leases = &self.cluster.leases;
        let mark = leases.begin(self.info.id, &change);
        let done = match self.cluster.sessions.change(context, make).await {
            Ok(Reply::Change(reply)) => {
                tracing::debug!(request = %context.id, version = %reply.version, "changed");
                Ok(reply)
            }
            Ok(other) => Err(self.cluster.link.unexpected("the end of a change", &other)),
            Err(error) => Err(error),
        };
        leases.end(self.info.id, &change, mark, done.as_ref());
        done
    }
}
