//! Extended attributes: those of the volume, and a few that the mount answers itself.
//!
//! `user.weft.version`, `user.weft.blob` and `user.weft.writer` say which state of a file is looked at and who made it; `system.weft.mount` of the root tells
//! the tools how to reach the volume: in the `system` namespace, for which the kernel checks no permission and so asks for no
//! attributes, so that `weft umount` gets its answer when every server is gone. They are not listed, so that copying tools do
//! not try to set them.

use weft_common::acl;
use weft_common::id::{InodeNumber, VolumeVersion};
use weft_common::limits::{XATTR_NAME_BYTES_MAX, XATTRS_BYTES_MAX};
use weft_common::wire::{At, AttributeChange, Author, Change, ErrorKind, NamespaceAnswer, Query, XattrMode};
use weft_common::xattr::XattrName;

use super::{Caller, Failure, Filesystem, unexpected};
use crate::handle::File;
use crate::inode::{Node, NodeId};

const VERSION: &[u8] = b"user.weft.version";
const BLOB: &[u8] = b"user.weft.blob";
const WRITER: &[u8] = b"user.weft.writer";
const MOUNT: &[u8] = b"system.weft.mount";
const OWN_PREFIXES: [&[u8]; 2] = [b"user.weft.", b"system.weft."];
/// The kernel asks for it before writes.
const CAPABILITY: &[u8] = b"security.capability";
/// What only root may see.
const TRUSTED_PREFIX: &[u8] = b"trusted.";

fn is_own(name: &[u8]) -> bool {
    OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// What the mount says of a state of a file.
fn is_told(name: &[u8]) -> bool {
    [VERSION, BLOB, WRITER].contains(&name)
}

impl Filesystem {
    /// The value of an attribute.
    pub(crate) async fn xattr(&self, node: NodeId, name: &[u8]) -> Result<Vec<u8>, Failure> {
        if let Some(known) = self.known_xattr(node, name) {
            return known;
        }
        let (at, inode) = match self.node(node)? {
            Node::Live(inode) => (At::Head, inode),
            Node::Old(old) => (At::Version(old.at), old.attributes.inode),
            // Who may enter a directory may enter its history, and nobody else.
            _ if name == acl::ACCESS => self.place(node)?,
            _ => return Err(no_attribute()),
        };
        if is_told(name) {
            return self.told(node, name).await;
        }
        let file = self.files.get(inode);
        let version = file.as_ref().map(|file| file.state().newest.version);
        let answer = self.volume.query(at, Query::GetXattr { inode, name: name.to_vec() }).await.map_err(Failure::from);
        if name == CAPABILITY
            && let (Err(error), Some(file)) = (&answer, &file)
        {
            let mut state = file.state();
            state.has_no_capability |= error.errno() == libc::ENODATA && Some(state.newest.version) == version;
        }
        match answer? {
            NamespaceAnswer::Bytes(value) => Ok(value),
            _ => Err(unexpected()),
        }
    }

    /// The value of an attribute, if nobody needs to be asked.
    pub(crate) fn known_xattr(&self, node: NodeId, name: &[u8]) -> Option<Result<Vec<u8>, Failure>> {
        if node == NodeId::ROOT && name == MOUNT {
            return Some(Ok(self.settings.control.clone().into_bytes()));
        }
        if name.len() > XATTR_NAME_BYTES_MAX || (is_own(name) && !is_told(name)) {
            return Some(Err(no_attribute()));
        }
        if is_told(name) {
            return None;
        }
        let has_none = match self.node(node) {
            Ok(Node::Live(inode)) => {
                // The kernel asks for lists right after the look-up that would have told of them.
                self.recent.get(inode).is_some_and(|attributes| attributes.xattr_bytes == 0)
                    || (name == CAPABILITY && self.files.get(inode)?.state().has_no_capability)
            }
            Ok(Node::Old(old)) => old.attributes.xattr_bytes == 0,
            _ => false,
        };
        has_none.then(|| Err(no_attribute()))
    }

    /// What the mount says of the state that `node` shows.
    async fn told(&self, node: NodeId, name: &[u8]) -> Result<Vec<u8>, Failure> {
        let (attributes, _) = self.attributes(node).await?;
        match (name, attributes.tree) {
            (VERSION, _) => Ok(attributes.version.0.to_string().into_bytes()),
            (BLOB, Some(tree)) => Ok(format!("{}@{}", tree.blob, tree.version).into_bytes()),
            (WRITER, _) => {
                let version = attributes.version;
                let query = Query::Watch { after: VolumeVersion(version.0.saturating_sub(1)), limit: 1, wait_ms: 0 };
                match self.volume.query(At::Head, query).await? {
                    NamespaceAnswer::Changes { changes, .. } => {
                        let made = changes.into_iter().find(|change| change.version == version).ok_or_else(no_attribute)?;
                        let Author { uid, host, program } = made.author;
                        Ok(format!("uid={uid} host={host} program={program}").into_bytes())
                    }
                    _ => Err(unexpected()),
                }
            }
            _ => Err(no_attribute()),
        }
    }

    /// The names of all attributes that the caller may see, each ended by a NUL.
    pub(crate) async fn xattr_names(&self, caller: Caller, node: NodeId) -> Result<Vec<u8>, Failure> {
        if !matches!(self.node(node)?, Node::Live(_) | Node::Old(_)) {
            return Ok(Vec::new());
        }
        let (at, inode) = self.place(node)?;
        match self.volume.query(at, Query::ListXattrs(inode)).await? {
            NamespaceAnswer::Names(names) => Ok(names
                .into_iter()
                .filter(|name| caller.uid == 0 || !name.starts_with(TRUSTED_PREFIX))
                .flat_map(|mut name| {
                    name.push(0);
                    name
                })
                .collect()),
            _ => Err(unexpected()),
        }
    }

    /// Sets an attribute.
    pub(crate) async fn set_xattr(
        &self,
        caller: Caller,
        node: NodeId,
        name: &[u8],
        value: &[u8],
        mode: XattrMode,
    ) -> Result<(), Failure> {
        let inode = self.changeable(node)?;
        if is_own(name) {
            return Err(own());
        }
        match XattrName::of(name) {
            XattrName::Kept => {}
            XattrName::Empty => return Err(Failure::Refused(ErrorKind::InvalidArgument, "the attribute has no name")),
            XattrName::Unknown => {
                let message = "attributes begin with user., trusted. or security., or are access control lists";
                return Err(Failure::Refused(ErrorKind::Unsupported, message));
            }
        }
        if name.len() > XATTR_NAME_BYTES_MAX {
            return Err(Failure::Refused(ErrorKind::NameTooLong, "an attribute's name has at most 255 bytes"));
        }
        if value.len() > XATTRS_BYTES_MAX {
            return Err(Failure::Refused(ErrorKind::AttributeTooLarge, "a file's attributes have at most 64 KiB together"));
        }
        let change = Change::SetXattr { inode, name: name.to_vec(), value: value.to_vec(), mode };
        self.change_xattr(caller, change, inode).await?;
        if name == acl::ACCESS { self.drop_foreign_set_gid(caller, inode).await } else { Ok(()) }
    }

    /// As `chmod` does, a list that is set by somebody who is not in the file's group takes the set-group-id bit away.
    async fn drop_foreign_set_gid(&self, caller: Caller, inode: InodeNumber) -> Result<(), Failure> {
        const SET_GID: u16 = 0o2000;
        if caller.uid == 0 {
            return Ok(());
        }
        let attributes = self.attributes_at(At::Head, inode).await?;
        if attributes.mode & SET_GID == 0 || caller.gid == attributes.gid || caller.has_group(attributes.gid) {
            return Ok(());
        }
        let set = AttributeChange { mode: Some(attributes.mode & !SET_GID), ..AttributeChange::default() };
        self.change(caller, Change::SetAttributes { inode, set }).await?;
        self.recent.forget(inode);
        Ok(())
    }

    /// Removes an attribute.
    pub(crate) async fn remove_xattr(&self, caller: Caller, node: NodeId, name: &[u8]) -> Result<(), Failure> {
        let inode = self.changeable(node)?;
        if is_own(name) {
            return Err(if is_told(name) { own() } else { no_attribute() });
        }
        let removed = self.change_xattr(caller, Change::RemoveXattr { inode, name: name.to_vec() }, inode).await;
        match removed {
            // A list that is not there says what the mode says: there is nothing to take away.
            Err(error) if error.errno() == libc::ENODATA && (name == acl::ACCESS || name == acl::DEFAULT) => Ok(()),
            removed => removed,
        }
    }

    /// What is written to a file takes its capabilities away: they were given to what was there before. (`FUSE_HANDLE_KILLPRIV_V2` leaves
    /// this to the filesystem.)
    pub(super) async fn drop_capability(&self, caller: Caller, file: &File) -> Result<(), Failure> {
        if !file.state().may_have_capability() {
            return Ok(());
        }
        // To look costs less than to change, and notes it if there is none.
        match self.xattr(file.inode.into(), CAPABILITY).await {
            Ok(_) => self.remove_xattr(caller, file.inode.into(), CAPABILITY).await,
            Err(error) if error.errno() == libc::ENODATA => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn change_xattr(&self, caller: Caller, change: Change, inode: InodeNumber) -> Result<(), Failure> {
        let reply = self.change(caller, change).await?;
        self.recent.forget(inode);
        if let (Some(file), Some(attributes)) = (self.files.get(inode), reply.attributes) {
            let mut state = file.state();
            state.has_no_capability = false;
            state.learn(attributes);
        }
        Ok(())
    }
}

fn own() -> Failure {
    Failure::Refused(ErrorKind::NotPermitted, "user.weft.* and system.weft.* are what the mount says, not what it is told")
}

fn no_attribute() -> Failure {
    Failure::Refused(ErrorKind::NoAttribute, "no such attribute")
}
