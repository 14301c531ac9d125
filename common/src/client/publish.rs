//! From a ticket to a published version: weave the nodes, store them, commit.
//!
//! The ticket is the commit point. Whatever fails behind it, the version will be published, if need be by a helper that
//! does just the same from the log; so everything here may be repeated by anybody.

use super::ClientError;
use super::link::Link;
use super::node_writer::NodeWriter;
use super::nodes::{NodeFailure, NodeReader};
use super::retry::Context;
use crate::id::{BlobId, BlobVersion, NodeId, ProviderId, SessionId, VolumeVersion};
use crate::limits::WEAVES_MAX;
use crate::weave::{Node, NodeError, Tree, Weaver, crowded_pages, encode_node};
use crate::wire::{Attributes, BlobReply, BlobRequest, ErrorKind, Reply, Request, ServiceError, Ticket};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Finishes versions: the client's own, and those of dead writers.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) link: Arc<Link>,
    pub(crate) nodes: Arc<NodeReader>,
    pub(crate) node_writer: NodeWriter,
}

/// Who finishes a version. It tells how well its nodes must be kept when it is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finisher {
    /// Its writer, in this session: the nodes survive the death of every process.
    Writer(SessionId),
    /// Somebody to whom it may be a compaction. That takes the place of what may be on stable storage already, and leaves no version of the
    /// volume behind that one could go back to: the nodes are on stable storage.
    Other,
}

/// A version that is published.
#[derive(Debug)]
pub(crate) struct Completed {
    /// The volume version it became.
    pub(crate) version: VolumeVersion,
    /// The file since.
    pub(crate) attributes: Option<Attributes>,
    /// Pages with so many fragments that they should be compacted; none if somebody else wove the version.
    pub(crate) crowded_pages: Vec<u64>,
}

impl Publisher {
    /// Weaves, stores and commits the version that `ticket` assigned.
    pub(crate) async fn complete(&self, context: Context, ticket: Ticket, by: Finisher) -> Result<Completed, ClientError> {
        let (blob, version) = (ticket.blob, ticket.entry.version);
        let mut ticket = Box::new(ticket);
        let mut weaves = 0;
        let nodes = loop {
            let missing = match self.weave(context, &ticket).await {
                Ok(nodes) => break nodes,
                Err(NodeFailure::Other(error)) => return Err(error),
                Err(NodeFailure::Missing(error)) => error,
            };
            weaves += 1;
            if weaves == WEAVES_MAX {
                return Err(missing);
            }
            tracing::debug!(request = %context.id, %blob, %version, base = %ticket.base.version, error = %missing,
                "base is incomplete, asking for a newer one");
            ticket = match self.rebuild(context, blob, version).await? {
                Some(ticket) => ticket,
                None => return self.commit(context, blob, version, by).await,
            };
        };
        let crowded_pages = crowded_pages(&nodes, ticket.base.geometry);
        let holders = self.store(context, ticket.copies, nodes).await?;
        if by == Finisher::Other {
            self.node_writer.unsynced.sync_on(context, &holders).await?;
        }
        Ok(Completed { crowded_pages, ..self.commit(context, blob, version, by).await? })
    }

    /// Finishes `version` from the log alone. What it is, a compaction perhaps, the log does not say.
    pub(crate) async fn finish(&self, context: Context, blob: BlobId, version: BlobVersion) -> Result<Completed, ClientError> {
        match self.rebuild(context, blob, version).await? {
            Some(ticket) => self.complete(context, *ticket, Finisher::Other).await,
            // Repeating the commit tells what became of it.
            None => self.commit(context, blob, version, Finisher::Other).await,
        }
    }

    async fn weave(&self, context: Context, ticket: &Ticket) -> Result<Vec<(NodeId, Node)>, NodeFailure> {
        let weaver = Weaver::new(&ticket.base, &ticket.in_flight, &ticket.entry);
        let weaver = weaver.map_err(|error| {
            NodeFailure::Missing(ClientError::Damaged { what: ticket.blob.to_string(), detail: error.to_string() })
        })?;
        let nodes = self.nodes.drive(context, weaver).await?;
        tracing::debug!(request = %context.id, blob = %ticket.blob, version = %ticket.entry.version, base = %ticket.base.version,
            in_flight = ticket.in_flight.len(), nodes = nodes.len(), "woven");
        Ok(nodes)
    }

    async fn store(&self, context: Context, copies: u8, nodes: Vec<(NodeId, Node)>) -> Result<BTreeSet<ProviderId>, ClientError> {
        let encode = |(id, node): &(NodeId, Node)| Ok((*id, Bytes::from(encode_node(id, node).map_err(unstorable)?)));
        let encoded: Vec<_> = nodes.iter().map(encode).collect::<Result<_, ClientError>>()?;
        let sizes: Vec<usize> = encoded.iter().map(|(_, bytes): &(NodeId, Bytes)| bytes.len()).collect();
        let holders = self.node_writer.put(context, copies, encoded).await?;
        for ((id, node), bytes) in nodes.into_iter().zip(sizes) {
            self.nodes.remember(id, Arc::new(node), bytes);
        }
        Ok(holders)
    }

    /// Only after every node is stored, or if the version is published already: the version manager believes it.
    async fn commit(&self, context: Context, blob: BlobId, version: BlobVersion, by: Finisher) -> Result<Completed, ClientError> {
        let maker = if let Finisher::Writer(session) = by { Some(session) } else { None };
        match self.link.manager(context, Request::Blob(BlobRequest::Commit { blob, version, maker })).await? {
            Reply::Blob(BlobReply::Published { version: published, attributes }) => {
                tracing::debug!(request = %context.id, %blob, %version, %published, "committed");
                Ok(Completed { version: published, attributes, crowded_pages: Vec::new() })
            }
            other => Err(self.link.unexpected("the end of a commit", &other)),
        }
    }

    /// The ticket of an assigned version with the newest base; `None` if it is published meanwhile.
    async fn rebuild(&self, context: Context, blob: BlobId, version: BlobVersion) -> Result<Option<Box<Ticket>>, ClientError> {
        let refusal = match self.link.manager(context, Request::Blob(BlobRequest::Rebuild { blob, version })).await {
            Ok(Reply::Blob(BlobReply::Granted(ticket))) if ticket.base.version < version => return Ok(Some(ticket)),
            Ok(Reply::Blob(BlobReply::Granted(_))) => return Ok(None),
            Ok(other) => return Err(self.link.unexpected("a ticket", &other)),
            Err(failure) => failure.error,
        };
        let is_published = self.tree(context, blob, None).await.is_ok_and(|tree| tree.version >= version);
        if is_published { Ok(None) } else { Err(refusal) }
    }

    /// A published version of a blob; the newest without `version`.
    pub(crate) async fn tree(&self, context: Context, blob: BlobId, version: Option<BlobVersion>) -> Result<Tree, ClientError> {
        match self.link.manager(context, Request::Blob(BlobRequest::Tree { blob, version })).await? {
            Reply::Blob(BlobReply::Tree(tree)) => Ok(tree),
            other => Err(self.link.unexpected("a tree", &other)),
        }
    }
}

/// Whether a compaction came too late: nothing is lost, a later one will try again.
pub(crate) fn is_conflict(error: &ClientError) -> bool {
    matches!(error, ClientError::Service(error) if error.kind == ErrorKind::Conflict)
}

fn unstorable(error: NodeError) -> ClientError {
    ServiceError::new(ErrorKind::Internal, error.to_string()).into()
}
