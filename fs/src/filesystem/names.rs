//! Names: directories, links, special files, renaming and removing.

use weft_common::name::FileName;
use weft_common::wire::{At, Attributes, Change, ErrorKind, FileKind, NewInode};

use super::open::NewFile;
use super::{Caller, Entry, Failure, Filesystem, ordinary, unexpected};
use crate::inode::NodeId;

/// How a name is moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RenameMode {
    /// The new name must be free.
    pub(crate) no_replace: bool,
    /// The two names trade places.
    pub(crate) exchange: bool,
}

impl Filesystem {
    /// A new directory, symlink, pipe, socket or device, counted as one look-up.
    pub(crate) async fn make_node(
        &self,
        caller: Caller,
        parent: NodeId,
        name: &[u8],
        inode: NewInode,
        new: NewFile,
    ) -> Result<Entry, Failure> {
        let (entry, _) = self.make(caller, parent, name, inode, new).await?;
        Ok(entry)
    }

    /// Another name for a file, counted as one look-up.
    pub(crate) async fn link(&self, caller: Caller, node: NodeId, parent: NodeId, name: &[u8]) -> Result<Entry, Failure> {
        let name = ordinary(name)?;
        let (inode, parent) = (self.changeable(node)?, self.changeable(parent)?);
        let reply = self.change(caller, Change::Link { inode, parent, name: name.clone() }).await?;
        Ok(self.live_entry(reply.attributes.ok_or_else(unexpected)?, Some(&name)).await)
    }

    /// Takes a name from a file.
    pub(crate) async fn unlink(&self, caller: Caller, parent: NodeId, name: &[u8]) -> Result<(), Failure> {
        let name = ordinary(name)?;
        let parent = self.changeable(parent)?;
        let reply = self.change(caller, Change::Unlink { parent, name }).await?;
        self.lost_a_name(reply.attributes);
        Ok(())
    }

    /// Removes an empty directory.
    pub(crate) async fn remove_directory(&self, caller: Caller, parent: NodeId, name: &[u8]) -> Result<(), Failure> {
        let name = ordinary(name)?;
        let parent = self.changeable(parent)?;
        let reply = self.change(caller, Change::RemoveDirectory { parent, name }).await?;
        self.lost_a_name(reply.attributes);
        Ok(())
    }

    /// Moves a name. What was written to the file but not published yet is published before it, so that nobody finds an
    /// unfinished file under the new name.
    pub(crate) async fn rename(
        &self,
        caller: Caller,
        (parent, name): (NodeId, &[u8]),
        (new_parent, new_name): (NodeId, &[u8]),
        mode: RenameMode,
    ) -> Result<(), Failure> {
        let (name, new_name) = (ordinary(name)?, ordinary(new_name)?);
        let (parent, new_parent) = (self.changeable(parent)?, self.changeable(new_parent)?);
        if self.files.all().iter().any(|file| file.state().is_dirty()) {
            self.publish_named(parent, name.clone()).await?;
            if mode.exchange {
                self.publish_named(new_parent, new_name.clone()).await?;
            }
        }
        let RenameMode { no_replace, exchange } = mode;
        let reply = self.change(caller, Change::Rename { parent, name, new_parent, new_name, no_replace, exchange }).await?;
        self.lost_a_name(reply.attributes);
        Ok(())
    }

    async fn publish_named(&self, parent: weft_common::id::InodeNumber, name: FileName) -> Result<(), Failure> {
        let attributes = self.look_up_at(At::Head, parent, name).await?;
        match self.files.get(attributes.inode) {
            Some(file) => self.publish(&file, |_| true).await,
            None => Ok(()),
        }
    }

    /// An open file learns that it has a name less.
    fn lost_a_name(&self, attributes: Option<Attributes>) {
        let Some(attributes) = attributes else { return };
        self.recent.forget(attributes.inode);
        if let Some(file) = self.files.get(attributes.inode) {
            file.state().learn(attributes);
        }
    }
}

/// What `mknod(2)` with these `S_IFMT` bits makes.
///
/// # Errors
/// EINVAL for a kind that no file has.
pub(crate) fn new_inode(mode: u32, rdev: u32) -> Result<NewInode, Failure> {
    let kind = match mode & libc::S_IFMT {
        0 | libc::S_IFREG => return Ok(NewInode::File),
        libc::S_IFIFO => FileKind::Fifo,
        libc::S_IFSOCK => FileKind::Socket,
        libc::S_IFBLK => FileKind::BlockDevice,
        libc::S_IFCHR => FileKind::CharacterDevice,
        _ => return Err(Failure::Refused(ErrorKind::InvalidArgument, "no such kind of file")),
    };
    Ok(NewInode::Special(kind, rdev))
}
