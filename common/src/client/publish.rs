//! From a ticket to a published version: weave the nodes, store them, commit.
//!
//! The ticket is the commit point. Whatever fails behind it, the version will be published, if need be by a helper that
//! does just the same from the log; so everything here may be repeated by anybody.

use super::ClientError;
use super::link::Link;
use super::node_writer::NodeWriter;
use super::nodes::{NodeFailure, NodeReader};
use super::retry::Context;
use super::session::Sessions;
use crate::id::{BlobId, BlobVersion, NodeId, VolumeVersion};
use crate::limits::WEAVES_MAX;
use crate::weave::{Node, Tree, Weaver, encode_node};
use crate::wire::{Attributes, BlobReply, BlobRequest, ErrorKind, Reply, Request, Ticket};
use bytes::Bytes;
use std::sync::Arc;

/// Finishes versions: the client's own, and those of dead writers.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) link: Arc<Link>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) nodes: Arc<NodeReader>,
    pub(crate) node_writer: NodeWriter,
}

/// A version that is published.
#[derive(Debug)]
pub(crate) struct Completed {
    /// The volume version it became.
    pub(crate) version: VolumeVersion,
    /// The file since.
    pub(crate) attributes: Option<Attributes>,
    /// The nodes that this client wove for it; empty if it found the version published already.
    pub(crate) nodes: Vec<(NodeId, Arc<Node>)>,
}

impl Publisher {
    /// Weaves, stores and commits the version that `ticket` assigned.
    pub(crate) async fn complete(&self, context: Context, ticket: Ticket) -> Result<Completed, ClientError> {
        let (blob, version) = (ticket.blob, ticket.entry.version);
        let mut ticket = Box::new(ticket);
        for _ in 0..WEAVES_MAX {
            match self.weave(context, &ticket).await {
                Ok(nodes) => {
                    let nodes = self.store(context, ticket.copies, nodes).await?;
                    let (version, attributes) = self.commit(context, blob, version).await?;
                    return Ok(Completed { version, attributes, nodes });
                }
                Err(NodeFailure::Missing(error)) => {
                    tracing::debug!(request = %context.id, %blob, %version, base = %ticket.base.version, %error,
                        "base is incomplete, asking for a newer one");
                }
                Err(NodeFailure::Other(error)) => return Err(error),
            }
            ticket = match self.rebuild(context, blob, version).await? {
                Some(ticket) => ticket,
                None => return self.published(context, blob, version).await,
            };
        }
        // The base is the published head, and a node of it is missing again and again: that is damage.
        let nodes = self.weave(context, &ticket).await?;
        let nodes = self.store(context, ticket.copies, nodes).await?;
        let (version, attributes) = self.commit(context, blob, version).await?;
        Ok(Completed { version, attributes, nodes })
    }

    /// Finishes `version` from the log alone.
    pub(crate) async fn finish(&self, context: Context, blob: BlobId, version: BlobVersion) -> Result<Completed, ClientError> {
        match self.rebuild(context, blob, version).await? {
            Some(ticket) => self.complete(context, *ticket).await,
            None => self.published(context, blob, version).await,
        }
    }

    async fn weave(&self, context: Context, ticket: &Ticket) -> Result<Vec<(NodeId, Node)>, NodeFailure> {
        let weaver = Weaver::new(ticket.blob, &ticket.base, &ticket.in_flight, &ticket.entry);
        let weaver = weaver.map_err(|error| {
            NodeFailure::Missing(ClientError::Damaged { what: ticket.blob.to_string(), detail: error.to_string() })
        })?;
        let nodes = self.nodes.drive(context, ticket.base.geometry, weaver).await?;
        tracing::debug!(request = %context.id, blob = %ticket.blob, version = %ticket.entry.version, base = %ticket.base.version,
            in_flight = ticket.in_flight.len(), nodes = nodes.len(), "woven");
        Ok(nodes)
    }

    async fn store(
        &self,
        context: Context,
        copies: u8,
        nodes: Vec<(NodeId, Node)>,
    ) -> Result<Vec<(NodeId, Arc<Node>)>, ClientError> {
        let encoded: Vec<(NodeId, Bytes)> = nodes.iter().map(|(id, node)| (*id, encode_node(node).into())).collect();
        let sizes: Vec<usize> = encoded.iter().map(|(_, bytes)| bytes.len()).collect();
        self.node_writer.put(context, copies, encoded).await?;
        let nodes: Vec<_> = nodes.into_iter().map(|(id, node)| (id, Arc::new(node))).collect();
        for ((id, node), bytes) in nodes.iter().zip(sizes) {
            self.nodes.remember(*id, node.clone(), bytes);
        }
        Ok(nodes)
    }

    /// Only after every node is stored: the version manager believes it.
    async fn commit(
        &self,
        context: Context,
        blob: BlobId,
        version: BlobVersion,
    ) -> Result<(VolumeVersion, Option<Attributes>), ClientError> {
        match self.link.manager(context, Request::Blob(BlobRequest::Commit { blob, version })).await? {
            Reply::Blob(BlobReply::Published { version: published, attributes }) => {
                tracing::debug!(request = %context.id, %blob, %version, %published, "committed");
                Ok((published, attributes))
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

    /// What became of a version that somebody else has published: its commit, repeated, tells.
    async fn published(&self, context: Context, blob: BlobId, version: BlobVersion) -> Result<Completed, ClientError> {
        let (version, attributes) = self.commit(context, blob, version).await?;
        Ok(Completed { version, attributes, nodes: Vec::new() })
    }

    /// A published version of a blob; the newest without `version`.
    pub(crate) async fn tree(
        &self,
        context: Context,
        blob: BlobId,
        version: Option<BlobVersion>,
    ) -> Result<Tree, ClientError> {
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

