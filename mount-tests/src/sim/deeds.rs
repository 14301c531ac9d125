//! What clients ask the version manager for, and what its refusals mean.

use super::history::{Deed, Outcome, Place};
use weft_common::client::ClientError;
use weft_common::id::{BlobId, BlobVersion, InodeNumber, VolumeVersion};
use weft_common::name::FileName;
use weft_common::time::Timestamp;
use weft_common::wire::{At, AttributeChange, Author, Change, ErrorKind, NewInode, XattrMode};

/// The one extended attribute that clients use.
pub(super) const XATTR: &[u8] = b"user.sim";

/// The change is known by its number.
pub(super) fn author(number: usize) -> Author {
    Author { uid: 0, host: "simulated".to_owned(), program: format!("op{number}") }
}

/// The state that a query or change is of.
pub(super) fn at(version: Option<u64>) -> At {
    version.map_or(At::Head, |version| At::Version(VolumeVersion(version)))
}

pub(super) fn change_of(deed: &Deed) -> Option<Change> {
    let name = |place: &Place| FileName::new(place.1.as_str()).ok();
    let parent = |place: &Place| InodeNumber(place.0);
    Some(match deed {
        Deed::Create(place, directory) => {
            let (inode, mode) = if *directory { (NewInode::Directory, 0o755) } else { (NewInode::File, 0o644) };
            Change::Create { parent: parent(place), name: name(place)?, inode, mode, uid: 0, gid: 0, exclusive: true, umask: 0 }
        }
        Deed::Unlink(place) => Change::Unlink { parent: parent(place), name: name(place)? },
        Deed::RemoveDirectory(place) => Change::RemoveDirectory { parent: parent(place), name: name(place)? },
        Deed::Rename(from, to) => Change::Rename {
            parent: parent(from),
            name: name(from)?,
            new_parent: parent(to),
            new_name: name(to)?,
            no_replace: false,
            exchange: false,
        },
        Deed::Link(inode, place) => Change::Link { inode: InodeNumber(*inode), parent: parent(place), name: name(place)? },
        Deed::SetMode(inode, mode) => {
            let set = AttributeChange { mode: Some(*mode), ..AttributeChange::default() };
            Change::SetAttributes { inode: InodeNumber(*inode), set }
        }
        Deed::SetXattr(inode, value) => Change::SetXattr {
            inode: InodeNumber(*inode),
            name: XATTR.to_vec(),
            value: value.to_le_bytes().to_vec(),
            mode: XattrMode::Any,
        },
        Deed::Restore { place, source, to } => {
            Change::Restore { parent: parent(place), name: name(place)?, source: InodeNumber(*source), to: VolumeVersion(*to) }
        }
        Deed::Clone { source, at: version, place } => {
            Change::Clone { source: InodeNumber(*source), at: at(*version), parent: parent(place), name: name(place)? }
        }
        Deed::Share { source, at: version, content, inode, replaces } => Change::ShareContent {
            source: InodeNumber(*source),
            at: at(*version),
            content: versioned(*content),
            inode: InodeNumber(*inode),
            replaces: versioned(*replaces),
            modified: Timestamp(0),
        },
        Deed::Edit(..) => return None,
    })
}

fn versioned((blob, version): (BlobId, u64)) -> (BlobId, BlobVersion) {
    (blob, BlobVersion(version))
}

/// Only these refusals say that nothing was done: others leave open what became of an earlier attempt.
pub(super) fn outcome_of(error: &ClientError) -> Outcome {
    match error {
        ClientError::Service(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::AlreadyExists) => {
            Outcome::Refused(error.kind)
        }
        _ => Outcome::Unknown,
    }
}
