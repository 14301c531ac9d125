//! Reading the namespace as it was at one version, or as it is.

use super::intervals::{History, try_scan};
use super::keys::{self, Key, OTHER_NAMES};
use super::policies::Policies;
use super::ranges::{Left, Ranges};
use super::records::{Counters, Dated, InodeRecord, Place};
use super::{NamespaceError, refuse, txn};
use crate::version::kv::{Kv, KvError};
use std::collections::BTreeMap;
use weft_common::id::{InodeNumber, ROOT_INODE, VolumeId, VolumeVersion};
use weft_common::limits::HEADER_BYTES_MAX;
use weft_common::name::FileName;
use weft_common::wire::{At, Attributes, ErrorKind, VersionRange};

pub(super) const ENTRIES: History<InodeNumber> = History::new(keys::ENTRIES, keys::ENTRIES_PAST);
pub(super) const INODES: History<InodeRecord> = History::new(keys::INODES, keys::INODES_PAST);
pub(super) const XATTRS: History<Vec<u8>> = History::new(keys::XATTRS, keys::XATTRS_PAST);

/// Extended attributes: names and values.
pub(super) type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// Components of a path that is answered take at most this many bytes together: an answer must fit a message.
const PATH_BYTES_MAX: usize = HEADER_BYTES_MAX as usize / 4;

/// A volume at one version.
pub(super) struct View<'k> {
    pub(super) kv: &'k dyn Kv,
    pub(super) volume: VolumeId,
    pub(super) at: At,
}

impl<'k> View<'k> {
    /// Checks that the volume and the version exist, and that of the version at least `inode` with all below it is still there: the
    /// volume may have let go of it while a directory keeps it. Returns the volume's counters too.
    pub(super) fn open(kv: &'k dyn Kv, volume: VolumeId, at: At, inode: InodeNumber) -> Result<(Self, Counters), NamespaceError> {
        let counters = txn::load(kv, volume)?;
        if let At::Version(n) = at
            && n > counters.latest
        {
            return refuse(ErrorKind::NotFound, format!("there is no version {n} yet, the newest is {}", counters.latest));
        }
        if let At::Version(n) = at
            && !Ranges::new(volume, ROOT_INODE).is_left(kv, n, Left::Readable)?
        {
            check_directories(kv, volume, n, inode)?;
        }
        Ok((Self { kv, volume, at }, counters))
    }

    /// The inode's state; at a version, only if it had a name then (without one it belongs to no version).
    pub(super) fn find_inode(&self, inode: InodeNumber) -> Result<Option<Dated<InodeRecord>>, KvError> {
        let found = INODES.at(self.kv, self.volume, &keys::of_inode(inode), self.at)?;
        Ok(found.filter(|found| self.at == At::Head || found.value.links > 0))
    }

    pub(super) fn inode(&self, inode: InodeNumber) -> Result<Dated<InodeRecord>, NamespaceError> {
        match self.find_inode(inode)? {
            Some(found) => Ok(found),
            None => Err(self.missing(inode)),
        }
    }

    /// Whether the volume has let go of version `n`, so that only what some directories keep of it is there.
    fn is_partial(&self, n: VolumeVersion) -> Result<bool, KvError> {
        Ok(!Ranges::new(self.volume, ROOT_INODE).is_left(self.kv, n, Left::Readable)?)
    }

    /// Why there is no such inode.
    fn missing(&self, inode: InodeNumber) -> NamespaceError {
        match (self.at, txn::load(self.kv, self.volume)) {
            (_, Err(error)) => error,
            (At::Head, Ok(counters)) if inode.0 < counters.next_inode => {
                super::refusal(ErrorKind::Stale, format!("{inode} of {} was removed", self.volume))
            }
            (At::Head, _) => super::refusal(ErrorKind::NotFound, format!("{} has no {inode}", self.volume)),
            (At::Version(n), _) if self.is_partial(n).unwrap_or(false) => super::refusal(
                ErrorKind::Stale,
                format!("{inode} of {} does not lie in a directory that keeps version {n}", self.volume),
            ),
            (At::Version(n), _) => super::refusal(ErrorKind::NotFound, format!("{} had no {inode} at version {n}", self.volume)),
        }
    }

    /// A directory that has not been removed.
    pub(super) fn directory(&self, inode: InodeNumber) -> Result<Dated<InodeRecord>, NamespaceError> {
        let found = self.inode(inode)?;
        if !found.value.is_directory() {
            return refuse(ErrorKind::NotDirectory, format!("{inode} of {} is not a directory", self.volume));
        }
        if found.value.links == 0 {
            return refuse(ErrorKind::NotFound, format!("directory {inode} of {} was removed", self.volume));
        }
        Ok(found)
    }

    pub(super) fn entry(&self, directory: InodeNumber, name: &FileName) -> Result<Option<InodeNumber>, KvError> {
        let key = keys::of_name(directory, name.as_bytes());
        Ok(ENTRIES.at(self.kv, self.volume, &key, self.at)?.map(|entry| entry.value))
    }

    /// What an entry names: an entry without an inode means that the table is damaged.
    pub(super) fn named(&self, inode: InodeNumber) -> Result<Dated<InodeRecord>, KvError> {
        let found = self.find_inode(inode)?;
        found.ok_or_else(|| KvError(format!("a name of {} names {inode}, which has no row", self.volume)))
    }

    pub(super) fn look_up(&self, directory: InodeNumber, name: &FileName) -> Result<Attributes, NamespaceError> {
        match self.entry(directory, name)? {
            Some(inode) => Ok(self.named(inode)?.attributes(inode)),
            None => {
                self.directory(directory)?;
                refuse(ErrorKind::NotFound, format!("there is no '{name}' in directory {directory} of {}", self.volume))
            }
        }
    }

    /// All extended attributes; together they are small.
    pub(super) fn xattrs(&self, inode: InodeNumber) -> Result<Xattrs, KvError> {
        let found = XATTRS.list(self.kv, self.volume, &keys::of_inode(inode), None, self.at, usize::MAX)?;
        Ok(found.into_iter().map(|(name, value)| (name, value.value)).collect())
    }

    /// Whether `inner` is `outer` or lies somewhere below it.
    pub(super) fn is_within(&self, inner: InodeNumber, outer: InodeNumber) -> Result<bool, NamespaceError> {
        let mut directory = inner;
        while directory != outer && directory != ROOT_INODE {
            directory = self.inode(directory)?.value.parent();
        }
        Ok(directory == outer)
    }

    /// The components of one path to the inode. Of a version that only directories keep, what lies above them is not there: to such a
    /// directory the path is that of now, as to its `.versions`.
    pub(super) fn path_of(&self, inode: InodeNumber) -> Result<Vec<FileName>, NamespaceError> {
        let (mut path, mut bytes, mut at) = (Vec::new(), 0, inode);
        let mut view = View { kv: self.kv, volume: self.volume, at: self.at };
        let policies = match self.at {
            At::Version(n) if self.is_partial(n)? => Some(Policies::load(self.kv, self.volume)?),
            _ => None,
        };
        while at != ROOT_INODE {
            if policies.as_ref().is_some_and(|policies| policies.has(at)) {
                view.at = At::Head;
            }
            let Some(place) = view.inode(at)?.value.place else {
                return refuse(ErrorKind::NotFound, format!("{inode} of {} has no name any more", self.volume));
            };
            bytes += place.name.as_bytes().len() + 2;
            if bytes > PATH_BYTES_MAX {
                return refuse(ErrorKind::NameTooLong, format!("the path of {inode} is longer than {PATH_BYTES_MAX} bytes"));
            }
            path.push(place.name);
            at = place.directory;
        }
        path.reverse();
        Ok(path)
    }

    /// The first name of a file besides the one in its record, of those in `directory` or behind it.
    pub(super) fn other_name(&self, inode: InodeNumber, directory: InodeNumber) -> Result<Option<Place>, KvError> {
        let base = Key::new(OTHER_NAMES, self.volume).inode(inode);
        let mut found = None;
        try_scan(self.kv, &base.clone().inode(directory), &base.end(), &mut |key, _| {
            found = Some(place_of(&key[base.len()..])?);
            Ok(false)
        })?;
        Ok(found)
    }

    /// Every directory that has a name of the inode.
    pub(super) fn directories_of(&self, inode: InodeNumber, record: &InodeRecord) -> Result<Vec<InodeNumber>, KvError> {
        let mut directories: Vec<_> = record.place.iter().map(|place| place.directory).collect();
        let mut from = InodeNumber(0);
        while record.links > 1 && !record.is_directory() {
            let Some(place) = self.other_name(inode, from)? else { break };
            from = InodeNumber(place.directory.0 + 1);
            directories.push(place.directory);
        }
        Ok(directories)
    }
}

/// Whether a directory with a policy of its own has `inode` of a version that the volume has let go of.
fn check_directories(kv: &dyn Kv, volume: VolumeId, n: VolumeVersion, inode: InodeNumber) -> Result<(), NamespaceError> {
    let policies = Policies::load(kv, volume)?;
    if policies.leave_inode(kv, volume, inode, VersionRange { first: n, last: n }, Left::Readable)? {
        return Ok(());
    }
    if policies.leave(kv, volume, n, Left::Readable)? {
        let message = format!(
            "version {n} is kept of some directories only, and {inode} was not in them; `weft retention show` names them"
        );
        return refuse(ErrorKind::Stale, message);
    }
    refuse(ErrorKind::Stale, format!("version {n} is not kept any more; `weft retention show` tells why"))
}

fn place_of(key: &[u8]) -> Result<Place, KvError> {
    let damaged = || KvError("a row of the names of an inode has a damaged key".into());
    let (directory, name) = key.split_first_chunk::<8>().ok_or_else(damaged)?;
    let name = FileName::new(name.strip_suffix(&[0]).unwrap_or(name)).map_err(|_| damaged())?;
    Ok(Place { directory: InodeNumber(u64::from_be_bytes(*directory)), name })
}
