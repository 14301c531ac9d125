//! Extended attributes: those of the volume, and a few that the mount answers itself.
//!
//! `user.weft.version` and `user.weft.blob` say which state of a file is looked at; `system.weft.mount` of the root tells
//! the tools how to reach the volume: in the `system` namespace, for which the kernel checks no permission and so asks for no
//! attributes, so that `weft umount` gets its answer when every server is gone. They are not listed, so that copying tools do
//! not try to set them.

use weft_common::limits::{XATTR_NAME_BYTES_MAX, XATTRS_BYTES_MAX};
use weft_common::wire::{At, Change, ErrorKind, NamespaceAnswer, Query, XattrMode};

use super::{Caller, Failure, Filesystem, unexpected};
use crate::inode::{Node, NodeId};

const VERSION: &[u8] = b"user.weft.version";
const BLOB: &[u8] = b"user.weft.blob";
const MOUNT: &[u8] = b"system.weft.mount";
const OWN_PREFIXES: [&[u8]; 2] = [b"user.weft.", b"system.weft."];
/// The kernel asks for it before writes.
const CAPABILITY: &[u8] = b"security.capability";
/// Access control lists. An attribute that is only stored would tell `cp -p` that it has set the mode, which it has not.
const ACL_PREFIX: &[u8] = b"system.posix_acl_";

fn is_own(name: &[u8]) -> bool {
    OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn no_acls() -> Failure {
    Failure::Refused(ErrorKind::Unsupported, "access control lists are not supported; the mode's bits are")
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
            _ => return Err(no_attribute()),
        };
        if name == VERSION || name == BLOB {
            let (attributes, _) = self.attributes(node).await?;
            return match (name, attributes.tree) {
                (VERSION, _) => Ok(attributes.version.0.to_string().into_bytes()),
                (_, Some(tree)) => Ok(format!("{}@{}", tree.blob, tree.version).into_bytes()),
                _ => Err(no_attribute()),
            };
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
        if name.len() > XATTR_NAME_BYTES_MAX || (is_own(name) && name != VERSION && name != BLOB) {
            return Some(Err(no_attribute()));
        }
        if name.starts_with(ACL_PREFIX) {
            return Some(Err(no_acls()));
        }
        let Ok(Node::Live(inode)) = self.node(node) else { return None };
        let is_known = name == CAPABILITY && self.files.get(inode)?.state().has_no_capability;
        is_known.then(|| Err(no_attribute()))
    }

    /// The names of all attributes, each ended by a NUL.
    pub(crate) async fn xattr_names(&self, node: NodeId) -> Result<Vec<u8>, Failure> {
        if !matches!(self.node(node)?, Node::Live(_) | Node::Old(_)) {
            return Ok(Vec::new());
        }
        let (at, inode) = self.place(node)?;
        match self.volume.query(at, Query::ListXattrs(inode)).await? {
            NamespaceAnswer::Names(names) => Ok(names
                .into_iter()
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
        if name.starts_with(ACL_PREFIX) {
            return Err(no_acls());
        }
        if is_own(name) {
            return Err(Failure::Refused(
                ErrorKind::NotPermitted,
                "user.weft.* and system.weft.* are what the mount says, not what it is told",
            ));
        }
        if name.len() > XATTR_NAME_BYTES_MAX {
            return Err(Failure::Refused(ErrorKind::NameTooLong, "an attribute's name has at most 255 bytes"));
        }
        if value.len() > XATTRS_BYTES_MAX {
            return Err(Failure::Refused(ErrorKind::AttributeTooLarge, "a file's attributes have at most 64 KiB together"));
        }
        let change = Change::SetXattr { inode, name: name.to_vec(), value: value.to_vec(), mode };
        self.change_xattr(caller, change, inode).await
    }

    /// Removes an attribute.
    pub(crate) async fn remove_xattr(&self, caller: Caller, node: NodeId, name: &[u8]) -> Result<(), Failure> {
        let inode = self.changeable(node)?;
        if is_own(name) {
            return Err(no_attribute());
        }
        self.change_xattr(caller, Change::RemoveXattr { inode, name: name.to_vec() }, inode).await
    }

    async fn change_xattr(&self, caller: Caller, change: Change, inode: weft_common::id::InodeNumber) -> Result<(), Failure> {
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

fn no_attribute() -> Failure {
    Failure::Refused(ErrorKind::NoAttribute, "no such attribute")
}
