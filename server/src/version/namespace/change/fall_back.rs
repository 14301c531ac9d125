//! A file whose content was lost with the power gets an older one: a restore whose condition is that nobody was faster.
//!
//! Which content is lost, and which is whole, the recovery has found out from the providers ([`crate::recovery`]). Here it is only seen to
//! that a lost content is replaced, once, and by one that the history still shows.

use crate::version::blobs::{self, BlobRecord};
use crate::version::namespace::edit::Edit;
use crate::version::namespace::keys;
use crate::version::namespace::records::{Body, InodeRecord, Place};
use crate::version::namespace::view::INODES;
use crate::version::namespace::{NamespaceError, VolumeTxn, refuse};
use crate::version::table;
use weft_common::id::{BlobId, BlobVersion, InodeNumber, VolumeVersion};
use weft_common::weave::Tree;
use weft_common::wire::{ChangeKind, ChangeReply, ErrorKind};

/// What is lost.
pub(super) struct Lost {
    /// Under this name.
    pub(super) place: Place,
    pub(super) inode: InodeNumber,
    pub(super) content: (BlobId, BlobVersion),
    /// Whether what is in flight goes with it.
    pub(super) abandon: bool,
}

/// What is there.
pub(super) struct To {
    pub(super) inode: InodeNumber,
    pub(super) content: (BlobId, BlobVersion),
}

pub(super) fn fall_back(txn: &mut VolumeTxn<'_>, lost: &Lost, to: &To) -> Result<ChangeReply, NamespaceError> {
    let mut edit = Edit::new(txn);
    let current = edit.head().inode(lost.inode)?.value;
    if current.links == 0 || !current.tree().is_some_and(|tree| is(tree, lost.content)) {
        return refuse(ErrorKind::Conflict, format!("{} was changed meanwhile", lost.inode));
    }
    // Under another name another content is the one before.
    if edit.head().entry(lost.place.directory, &lost.place.name)? != Some(lost.inode) {
        return refuse(ErrorKind::Conflict, format!("{} was renamed meanwhile", lost.inode));
    }
    let Some((tree, then)) = shown(&edit, to)? else {
        return refuse(ErrorKind::Conflict, format!("that content of {} is not kept any more", to.inode));
    };
    let blob = lost.content.0;
    let record = table::get::<BlobRecord>(&*edit.txn.kv, &table::blob(blob))?.filter(|record| record.in_flight() > 0);
    if record.is_some() && !lost.abandon {
        return refuse(ErrorKind::Conflict, format!("somebody is writing {}", lost.inode));
    }
    let (now, since) = (edit.txn.now, edit.next_version());
    let tree = edit.clone_tree(&tree);
    let file = edit.stage(lost.inode)?;
    file.body = Body::File { tree, since };
    file.modified = then.modified;
    file.changed = now;
    if let Some(record) = record {
        blobs::drop_in_flight(edit.txn.kv, blob, record)?;
    }
    edit.commit_inode(ChangeKind::Restore, lost.inode)
}

/// The content that is fallen back to, and the file as it was with it.
fn shown(edit: &Edit<'_, '_>, to: &To) -> Result<Option<(Tree, InodeRecord)>, NamespaceError> {
    let mut found = None;
    let key = keys::of_inode(to.inode);
    INODES.intervals(&*edit.txn.kv, edit.txn.volume, &key, VolumeVersion(0), &mut |interval| {
        found = interval.value.tree().filter(|tree| is(tree, to.content)).copied().map(|tree| (tree, interval.value));
        Ok(found.is_none())
    })?;
    Ok(found)
}

fn is(tree: &Tree, content: (BlobId, BlobVersion)) -> bool {
    (tree.blob, tree.version) == content
}
