//! What is needed: everything that the version manager's records lead to, gone through once.
//!
//! Nothing is locked meanwhile, so the answers are of different moments. Why what is not marked here is needed by nobody, all the
//! same, is said in ARCHITECTURE.md ("Orphans").

use super::marks::Marks;
use super::{Class, Fault, Stored};
use crate::blob::{Inventory, Placed};
use crate::client::ClientError;
use crate::client::cluster::Cluster;
use crate::client::nodes::NodeFailure;
use crate::id::{BlobId, BlobVersion, InodeNumber, NodeId, SessionId, VolumeId, VolumeVersion};
use crate::limits::{BLOBS_PER_AUDIT, NODES_PER_CHECK, OBJECTS_PER_CHECK, ROWS_PER_AUDIT};
use crate::weave::{Node, PageObject, Tree, WalkError};
use crate::wire::{BlobState, ContentRow, Cursor, ErrorKind, HistoryReply, HistoryRequest, OpenSessions, Reply, ServiceError};
use futures_util::{StreamExt, stream};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// What is needed, as far as it was gone through.
#[derive(Debug, Default)]
pub(crate) struct Census {
    pub(crate) marks: Marks,
    /// Of each blob the newest version that was published or dropped.
    pub(crate) settled: HashMap<BlobId, BlobVersion>,
    /// Volumes that were gone through.
    pub(crate) volumes: BTreeSet<VolumeId>,
    /// Whether these are all there are.
    pub(crate) is_whole: bool,
    /// Whether nodes that are needed are lost: what lies below them is not marked.
    pub(crate) has_gaps: bool,
    open: HashSet<SessionId>,
    next_session: SessionId,
}

/// What is wrong with the version manager's records of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// The volume.
    pub volume: VolumeId,
    /// The file.
    pub inode: InodeNumber,
    /// The volume version from which on it has the content.
    pub from: VolumeVersion,
    /// What is wrong.
    pub problem: String,
}

/// How a census goes about it.
pub(crate) enum Mode<'a> {
    /// Marks what is needed. A node that is missing ends it, unless its version is just being collected.
    Mark,
    /// Reads every copy of everything, and collects what is wrong.
    Check(&'a mut Checked),
    /// As `Mark`; is told of each page object that is new.
    Count(&'a mut (dyn FnMut(&PageObject) + Send)),
}

/// What a checking census found.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// Copies of each node there should be, in the volume under way.
    pub(crate) copies: u8,
    pub(crate) nodes: u64,
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
    pub(crate) faults: Vec<Fault>,
    pub(crate) contradictions: Vec<Contradiction>,
}

impl Census {
    /// Whether what a session stored and no log entry names is garbage: it was closed when the census began.
    pub(crate) fn was_closed(&self, session: SessionId) -> bool {
        session < self.next_session && !self.open.contains(&session)
    }
}

impl Cluster {
    /// Begins a census: what sessions are open has to be known before anything else.
    pub(crate) async fn begin_census(&self) -> Result<Census, ClientError> {
        let OpenSessions { open, next } = match self.history(HistoryRequest::Sessions).await? {
            HistoryReply::Sessions(sessions) => sessions,
            other => return Err(self.link.unexpected("sessions", &Reply::History(other))),
        };
        Ok(Census { open: open.into_iter().collect(), next_session: next, ..Census::default() })
    }

    /// Goes through what the files of a volume show, the newest state of each first: so that what is marked then is marked for
    /// what it is needed for most.
    pub(crate) async fn mark_contents(
        &self,
        census: &mut Census,
        volume: VolumeId,
        mode: &mut Mode<'_>,
    ) -> Result<(), ClientError> {
        let mut contents = self.contents(volume);
        while let Some(rows) = contents.page().await? {
            for row in rows {
                self.mark_row(census, volume, row, mode).await?;
            }
        }
        Ok(())
    }

    /// A page of the contents of a volume's files.
    pub(crate) async fn content_rows(
        &self,
        volume: VolumeId,
        after: Cursor,
    ) -> Result<(Vec<ContentRow>, Option<Cursor>), ClientError> {
        match self.history(HistoryRequest::Contents { volume, after, limit: ROWS_PER_AUDIT }).await? {
            HistoryReply::Contents { rows, next } => Ok((rows, next)),
            other => Err(self.link.unexpected("contents of files", &Reply::History(other))),
        }
    }

    async fn mark_row(
        &self,
        census: &mut Census,
        volume: VolumeId,
        row: ContentRow,
        mode: &mut Mode<'_>,
    ) -> Result<(), ClientError> {
        let ContentRow { inode, from, to, tree, shown_at, problem, .. } = row;
        if let (Mode::Check(checked), Some(problem)) = (&mut *mode, problem) {
            checked.contradictions.push(Contradiction { volume, inode, from, problem });
        }
        if shown_at.is_none() {
            return Ok(());
        }
        let class = if to.is_none() { Class::Live } else { Class::History };
        self.mark_tree(census, &tree, class, mode).await
    }

    /// Goes through every version of every blob of a volume that is there, and what is in flight.
    pub(crate) async fn mark_blobs(&self, census: &mut Census, volume: VolumeId, mode: &mut Mode<'_>) -> Result<(), ClientError> {
        let mut after = (0, BlobVersion(0));
        loop {
            let (blobs, more) = self.blob_states(volume, after, BLOBS_PER_AUDIT).await?;
            for state in &blobs {
                for tree in &state.versions {
                    self.mark_tree(census, tree, Class::Waiting, mode).await?;
                }
                census.settled.insert(BlobId { volume, number: state.number }, state.settled);
                self.mark_in_flight(census, volume, state, mode).await;
            }
            match blobs.last() {
                Some(last) if more => {
                    let version = last.versions.last().filter(|_| !last.is_last_part);
                    after = (last.number, version.map_or(BlobVersion(u64::MAX), |tree| tree.version));
                }
                _ => break,
            }
        }
        census.volumes.insert(volume);
        Ok(())
    }

    /// What is known of blobs, behind a blob's number and version; and whether there are more.
    pub(crate) async fn blob_states(
        &self,
        volume: VolumeId,
        after: (u64, BlobVersion),
        limit: u32,
    ) -> Result<(Vec<BlobState>, bool), ClientError> {
        match self.history(HistoryRequest::Blobs { volume, after, limit }).await? {
            HistoryReply::Blobs { blobs, more } => Ok((blobs, more)),
            other => Err(self.link.unexpected("states of blobs", &Reply::History(other))),
        }
    }

    async fn mark_in_flight(&self, census: &mut Census, volume: VolumeId, state: &BlobState, mode: &mut Mode<'_>) {
        for object in state.in_flight.iter().flat_map(|entry| &entry.update.objects) {
            if census.marks.object(object, volume, Class::InFlight)
                && let Mode::Check(checked) = mode
            {
                self.check_marked(vec![*object], checked).await;
            }
        }
    }

    /// Marks all that is reached from `tree` and not marked yet. Copies are looked at of what a kept version shows only: of other
    /// versions they may be being deleted.
    pub(crate) async fn mark_tree(
        &self,
        census: &mut Census,
        tree: &Tree,
        class: Class,
        mode: &mut Mode<'_>,
    ) -> Result<(), ClientError> {
        let volume = tree.blob.volume;
        let marks = &mut census.marks;
        let mut walk = Inventory::new(tree, &mut |id| marks.node(id, class));
        loop {
            let ids = walk.take(NODES_PER_CHECK);
            if ids.is_empty() {
                return Ok(());
            }
            let (nodes, missing) = match mode {
                Mode::Check(checked) if class.is_kept() => self.read_and_check(&ids, checked).await,
                _ => self.read_nodes(&ids).await?,
            };
            if !missing.is_empty() && self.is_needed(tree).await? {
                census.has_gaps = true;
                match mode {
                    Mode::Check(checked) => checked.faults.extend(missing),
                    Mode::Mark | Mode::Count(_) => return Err(stops(&missing, tree)),
                }
            }
            let mut placed: Vec<Placed> = Vec::new();
            for (id, node) in nodes {
                match walk.supply(&id, &node, &mut |id| marks.node(id, class)) {
                    Ok(objects) => placed.extend(objects),
                    Err(error) => return Err(misfit(id, &error)),
                }
            }
            let objects = placed.into_iter().map(|placed| placed.object);
            let new: Vec<_> = objects.filter(|object| marks.object(object, volume, class)).collect();
            match mode {
                Mode::Check(checked) if class.is_kept() => self.check_marked(new, checked).await,
                Mode::Count(hear) => new.iter().for_each(hear),
                Mode::Check(_) | Mode::Mark => {}
            }
        }
    }

    /// Nodes from wherever they are, and faults for those that nobody has.
    async fn read_nodes(&self, ids: &[NodeId]) -> Result<(Vec<(NodeId, Arc<Node>)>, Vec<Fault>), ClientError> {
        match self.publisher.nodes.get(self.context(), ids).await {
            Ok(nodes) => return Ok((ids.iter().copied().zip(nodes).collect(), Vec::new())),
            Err(NodeFailure::Other(error)) => return Err(error),
            Err(NodeFailure::Missing(_)) => {}
        }
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for (id, node) in self.nodes_if_there(ids).await? {
            match node {
                Some(node) => found.push((id, node)),
                None => missing.push(Fault { what: Stored::Node(id), bad: Vec::new(), whole: 0 }),
            }
        }
        Ok((found, missing))
    }

    /// Nodes with all their copies looked at. Faults of those that are to be had go into `checked`, those of others are returned.
    async fn read_and_check(&self, ids: &[NodeId], checked: &mut Checked) -> (Vec<(NodeId, Arc<Node>)>, Vec<Fault>) {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for node in self.check_nodes(self.context(), ids, checked.copies).await {
            checked.nodes += 1;
            match (node.node, node.fault) {
                (Some(whole), fault) => {
                    checked.faults.extend(fault);
                    found.push((node.id, whole));
                }
                (None, fault) => missing.extend(fault),
            }
        }
        (found, missing)
    }

    async fn check_marked(&self, objects: Vec<PageObject>, checked: &mut Checked) {
        let checks = objects.into_iter().map(|object| async move { (object, self.check_object(self.context(), &object).await) });
        let mut answers = stream::iter(checks).buffered(OBJECTS_PER_CHECK);
        while let Some((object, fault)) = answers.next().await {
            checked.objects += 1;
            checked.bytes += u64::from(object.length);
            checked.faults.extend(fault);
        }
    }

    /// Whether a version is there, and not being collected. What a clone begins with is its origin's, and always needed.
    async fn is_needed(&self, tree: &Tree) -> Result<bool, ClientError> {
        let own = tree.root.is_none_or(|root| root.blob == tree.blob.number);
        let before = BlobVersion(tree.version.0.saturating_sub(1));
        let (blobs, _) = self.blob_states(tree.blob.volume, (tree.blob.number, before), 1).await?;
        let state = blobs.first().filter(|state| state.number == tree.blob.number);
        let is_there = state.is_some_and(|state| {
            let version = state.versions.first().is_some_and(|there| there.version == tree.version);
            version && state.offered != Some(tree.version)
        });
        Ok(is_there || !own)
    }
}

/// A census that only marks cannot go on: below a missing node nothing would be marked.
fn stops(missing: &[Fault], tree: &Tree) -> ClientError {
    let what = missing.first().map(|fault| fault.what.to_string()).unwrap_or_default();
    let (blob, version) = (tree.blob, tree.version);
    let message =
        format!("{what} of {blob} {version} is on no server, so nothing is deleted; `weft fsck` shows what is affected");
    ServiceError::new(ErrorKind::Damaged, message).into()
}

fn misfit(id: NodeId, error: &WalkError) -> ClientError {
    ClientError::Damaged { what: Stored::Node(id).to_string(), detail: error.to_string() }
}
