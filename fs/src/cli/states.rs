//! How two states of a file, directory or link differ.

use super::error::CliError;
use super::names::Volume;
use weft_common::id::InodeNumber;
use weft_common::weave::Tree;
use weft_common::wire::{At, Attributes, FileKind, NamespaceAnswer, Query};

/// A state: an inode as it is in a version.
pub(super) type State<'a> = (At, &'a Attributes);

/// The most that differs between two states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// A file is a directory now, or the like.
    Kind,
    /// The bytes, the target of a link or the number of a device.
    Content,
    /// Mode, owner, time of a change or extended attributes.
    Attributes,
}

impl Volume {
    /// How two states differ, extended attributes included. A directory's entries are not looked at, nor is its time, which
    /// follows from theirs.
    ///
    /// # Errors
    /// [`CliError`].
    pub(super) async fn difference(&self, old: State<'_>, new: State<'_>) -> Result<Option<Difference>, CliError> {
        let ((old_at, old), (new_at, new)) = (old, new);
        if (old.inode, old.version) == (new.inode, new.version) {
            return Ok(None);
        }
        if old.kind != new.kind {
            return Ok(Some(Difference::Kind));
        }
        let same_content = match old.kind {
            FileKind::File => same_bytes(old.tree.as_ref(), new.tree.as_ref()),
            FileKind::Symlink if old.inode != new.inode => {
                self.link_target(old_at, old.inode).await? == self.link_target(new_at, new.inode).await?
            }
            _ => old.rdev == new.rdev,
        };
        if !same_content {
            return Ok(Some(Difference::Content));
        }
        let owner = |side: &Attributes| (side.mode, side.uid, side.gid);
        let touched = old.kind != FileKind::Directory && old.modified != new.modified;
        let differs = touched
            || owner(old) != owner(new)
            || self.xattrs(old_at, old.inode).await? != self.xattrs(new_at, new.inode).await?;
        Ok(differs.then_some(Difference::Attributes))
    }

    async fn link_target(&self, at: At, inode: InodeNumber) -> Result<Vec<u8>, CliError> {
        match self.names.query(at, Query::ReadLink(inode)).await? {
            NamespaceAnswer::Bytes(target) => Ok(target),
            _ => Err(CliError::UnexpectedAnswer("read_link")),
        }
    }
}

/// Whether two trees surely read the same: equal size and the same root node, as a restored file has with its origin.
pub(super) fn same_bytes(old: Option<&Tree>, new: Option<&Tree>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => old.size == new.size && old.root_id() == new.root_id() && old.geometry == new.geometry,
        _ => old.is_none() && new.is_none(),
    }
}
