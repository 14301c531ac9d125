//! Look-ups, attributes, symlinks.

use weft_common::name::FileName;
use weft_common::wire::{At, Attributes, FileKind, NamespaceAnswer, Query};

use super::entry::virtual_directory;
use super::{Entry, FOREVER, Failure, Filesystem, not_found, unexpected};
use crate::inode::{Key, Node, NodeId};
use std::time::Duration;

impl Filesystem {
    /// Finds `name` in `parent`, counted as one look-up.
    pub(crate) async fn look_up(&self, parent: NodeId, name: &[u8]) -> Result<Entry, Failure> {
        let name = FileName::new(name)?;
        match self.node(parent)? {
            Node::Live(directory) => match name.as_bytes() {
                b".versions" => {
                    let about = self.directory(directory).await?;
                    Ok(self.virtual_entry(Key::Versions(directory), Node::Versions(directory), about))
                }
                b".history" => {
                    let about = self.directory(directory).await?;
                    Ok(self.virtual_entry(Key::History(directory), Node::History(directory), about))
                }
                _ => {
                    let newest = self.look_up_at(At::Head, directory, name.clone()).await?;
                    Ok(self.live_entry(newest, Some(&name)).await)
                }
            },
            Node::Old(_) if name.is_reserved() => Err(not_found()),
            Node::Old(old) => {
                self.uses.note(old.at);
                let attributes = self.look_up_at(At::Version(old.at), old.attributes.inode, name.clone()).await?;
                Ok(self.old_entry((parent, name), old.entry.unwrap_or(parent), old.at, attributes))
            }
            Node::Versions(directory) => self.version_entry(parent, directory, &name).await,
            Node::History(directory) => self.file_history_entry(directory, name).await,
            Node::FileHistory(directory, file) => self.state_entry(parent, directory, file, &name).await,
        }
    }

    /// The kernel drops `count` look-ups of `node`.
    pub(crate) fn forget(&self, node: NodeId, count: u64) {
        self.kernel.forget(node);
        if node.is_virtual() {
            self.nodes.forget(node, count);
        }
    }

    /// What `stat` shows of `node`, and how long the kernel may believe it.
    pub(crate) async fn attributes(&self, node: NodeId) -> Result<(Attributes, Duration), Failure> {
        if let Some(known) = self.known_attributes(node) {
            return known;
        }
        match self.node(node)? {
            Node::Live(inode) => {
                let fetched = self.attributes_at(At::Head, inode).await;
                if let Ok(newest) = &fetched {
                    self.recent.put(newest, None);
                }
                let Some(file) = self.files.get(inode) else {
                    let newest = fetched?;
                    let lifetime = self.attribute_lifetime(node, &newest);
                    return Ok((newest, lifetime));
                };
                match fetched {
                    Ok(newest) => {
                        self.follow(&file, node, newest).await;
                    }
                    // Open, but without a name anywhere.
                    Err(error) if error.is_not_found() => file.state().newest.links = 0,
                    Err(error) => return Err(error),
                }
                Ok((file.state().shown(node), Duration::ZERO))
            }
            Node::Old(old) => Ok((old.attributes.clone(), FOREVER)),
            Node::Versions(inode) | Node::History(inode) | Node::FileHistory(inode, _) => {
                let about = self.attributes_at(At::Head, inode).await?;
                Ok((virtual_directory(about), self.settings.attribute_lifetime))
            }
        }
    }

    /// As [`Filesystem::attributes`], if nobody needs to be asked.
    pub(crate) fn known_attributes(&self, node: NodeId) -> Option<Result<(Attributes, Duration), Failure>> {
        match self.node(node) {
            Ok(Node::Old(old)) => Some(Ok((old.attributes.clone(), FOREVER))),
            Ok(Node::Live(inode)) => {
                let file = self.files.get(inode)?;
                let state = file.state();
                state.is_dirty().then(|| Ok((state.shown(node), Duration::ZERO)))
            }
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// A symlink's target.
    pub(crate) async fn read_link(&self, node: NodeId) -> Result<Vec<u8>, Failure> {
        let (at, inode) = self.place(node)?;
        match self.volume.query(at, Query::ReadLink(inode)).await? {
            NamespaceAnswer::Bytes(target) => Ok(target),
            _ => Err(unexpected()),
        }
    }

    /// The inode behind `node` and the version to ask for it.
    pub(super) fn place(&self, node: NodeId) -> Result<(At, weft_common::id::InodeNumber), Failure> {
        match self.node(node)? {
            Node::Live(inode) | Node::Versions(inode) | Node::History(inode) | Node::FileHistory(inode, _) => {
                Ok((At::Head, inode))
            }
            Node::Old(old) => Ok((At::Version(old.at), old.attributes.inode)),
        }
    }

    /// Attributes of a live directory.
    pub(super) async fn directory(&self, inode: weft_common::id::InodeNumber) -> Result<Attributes, Failure> {
        let attributes = self.attributes_at(At::Head, inode).await?;
        if attributes.kind == FileKind::Directory { Ok(attributes) } else { Err(not_found()) }
    }
}
