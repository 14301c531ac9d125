//! A file's content becomes that of another one, shared and not copied: what `cp` asks for by `copy_file_range`.
//!
//! The client says what it takes the two contents for. If one is not that any more, it has to copy the bytes that it means. An update
//! of the file that is in flight would vanish with the file's old blob; it is somebody else's, so it wins over the sharing.

use crate::version::blobs::BlobRecord;
use crate::version::namespace::edit::Edit;
use crate::version::namespace::records::Body;
use crate::version::namespace::view::View;
use crate::version::namespace::{NamespaceError, VolumeTxn, refuse};
use crate::version::{garbage, table};
use weft_common::id::{BlobId, BlobVersion, InodeNumber};
use weft_common::time::Timestamp;
use weft_common::weave::Tree;
use weft_common::wire::{At, ChangeKind, ChangeReply, ErrorKind};

/// What is shared.
pub(super) struct From {
    pub(super) inode: InodeNumber,
    pub(super) at: At,
    pub(super) content: (BlobId, BlobVersion),
}

/// What gets it.
pub(super) struct To {
    pub(super) inode: InodeNumber,
    pub(super) content: (BlobId, BlobVersion),
    pub(super) modified: Timestamp,
}

pub(super) fn share(txn: &mut VolumeTxn<'_>, from: &From, to: &To) -> Result<ChangeReply, NamespaceError> {
    let mut edit = Edit::new(txn);
    let (view, _) = View::open(&*edit.txn.kv, edit.txn.volume, from.at, from.inode)?;
    let source = expected(&view, from.inode, from.content)?;
    let replaced = expected(&edit.head(), to.inode, to.content)?;
    if source.blob == replaced.blob && source.version == replaced.version {
        return refuse(ErrorKind::InvalidArgument, format!("{} has that content already", to.inode));
    }
    if source.geometry != replaced.geometry {
        return refuse(ErrorKind::Conflict, format!("{} and {} have pages of different sizes", from.inode, to.inode));
    }
    let record = table::get::<BlobRecord>(&*edit.txn.kv, &table::blob(replaced.blob))?;
    if record.is_some_and(|record| record.in_flight() > 0) {
        return refuse(ErrorKind::Conflict, format!("somebody is writing {}", to.inode));
    }
    let (now, since) = (edit.txn.now, edit.next_version());
    let tree = edit.clone_tree(&source);
    let file = edit.stage(to.inode)?;
    file.body = Body::File { tree, since };
    file.modified = to.modified;
    file.changed = now;
    if file.links == 0 {
        // The content before it leaves no past.
        garbage::mark(edit.txn.kv, replaced.blob, to.inode)?;
    }
    edit.commit_inode(ChangeKind::Write, to.inode)
}

fn expected(view: &View<'_>, inode: InodeNumber, content: (BlobId, BlobVersion)) -> Result<Tree, NamespaceError> {
    match view.inode(inode)?.value.tree() {
        None => refuse(ErrorKind::InvalidArgument, format!("{inode} is no file: it has no content")),
        Some(tree) if (tree.blob, tree.version) == content => Ok(*tree),
        Some(_) => refuse(ErrorKind::Conflict, format!("{inode} was changed meanwhile")),
    }
}
