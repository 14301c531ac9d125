//! How clients read: the newest state and old ones, once and over a while, as a mount does. What they see is written down and judged
//! when all is over; that something is refused which has to be there is known at once ([`super::ledger`]).

use super::client::Client;
use super::deeds::{XATTR, at};
use super::history::{Found, Known, ListRecord, Place, ReadRecord, XattrRecord};
use super::servers::Fate;
use bytes::Bytes;
use std::fmt;
use std::time::Duration;
use weft_common::client::{BlobStore, ClientError, Held, Hold, Namespace};
use weft_common::id::{InodeNumber, ROOT_INODE, VolumeVersion};
use weft_common::name::FileName;
use weft_common::weave::{ByteRange, Tree};
use weft_common::wire::{At, Attributes, DirectoryEntry, ErrorKind, NamespaceAnswer, Query};

/// Who has not used an answer for so long asks again: only then is it sure that a hold on it comes in time.
const ANSWER_LIFETIME: Duration = Duration::from_secs(2);
/// How often somebody asks again.
const QUESTIONS: usize = 3;

/// What a client says that it reads, with the session in which it says so.
struct Claim {
    session: Option<u64>,
    _hold: Hold,
}

impl Client {
    fn claim(&self, what: Held) -> Claim {
        let session = self.stage.network.ledger.session(&self.host, self.stage.world.elapsed());
        Claim { session, _hold: self.volume.hold(what) }
    }

    /// Whether what was claimed has to be there: the session has been in order all the time.
    fn is_good(&self, claim: &Claim) -> bool {
        claim.session.is_some() && claim.session == self.stage.network.ledger.session(&self.host, self.stage.world.elapsed())
    }

    /// A read failed of something that has to be there if it `is_owed`.
    fn judge_failure(&self, error: &ClientError, is_owed: bool, about: fmt::Arguments<'_>) {
        let world = &self.stage.world;
        let is_gone = match error {
            ClientError::Damaged { what, .. } => match self.stage.servers.fate(what) {
                Fate::There => {
                    world.count("damage reported");
                    false
                }
                Fate::Lost => {
                    world.count("lost with all power");
                    false
                }
                Fate::Gone => true,
            },
            ClientError::Service(error) => matches!(error.kind, ErrorKind::Stale | ErrorKind::NotFound),
            _ => false,
        };
        if is_gone && is_owed {
            world.violation(format!("{}: {about} had to be there: {error}", self.host));
        } else if is_gone {
            world.count("past refused");
        }
    }

    /// Looks a name up.
    ///
    /// # Errors
    /// Those of the client library, but `NotFound`.
    pub async fn look_up(&self, version: At, (parent, name): &Place) -> Result<Option<Attributes>, ClientError> {
        let Ok(name) = FileName::new(name.as_str()) else { return Ok(None) };
        match self.volume.query(version, Query::LookUp { parent: InodeNumber(*parent), name }).await {
            Ok(NamespaceAnswer::Attributes(attributes)) => Ok(Some(attributes)),
            Ok(other) => {
                self.stage.world.violation(format!("a look-up was answered with {other:?}"));
                Ok(None)
            }
            Err(ClientError::Service(error)) if error.kind == ErrorKind::NotFound => Ok(None),
            // The directory itself is gone.
            Err(ClientError::Service(error)) if error.kind == ErrorKind::Stale && version == At::Head => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Looks a name up and reads part of the file behind it, `share` being where in it and how much (in 256ths). At the head the
    /// content is held meanwhile.
    ///
    /// # Errors
    /// Those of the client library.
    pub async fn read(&self, version: At, place: Place, share: (u64, u64)) -> Result<Option<u64>, ClientError> {
        for _ in 0..QUESTIONS {
            let (low, asked) = (self.stage.history.known(), self.stage.world.elapsed());
            let found = match self.look_up(version, &place).await {
                Ok(found) => found,
                Err(error) => {
                    if let At::Version(version) = version {
                        let is_owed = self.stage.network.ledger.is_owed(version.0, asked, self.stage.world.elapsed());
                        self.judge_failure(&error, is_owed, format_args!("N{version}"));
                    }
                    return Err(error);
                }
            };
            if self.stage.world.elapsed() < asked + ANSWER_LIFETIME {
                return self.read_found(low, version, place, share, found).await;
            }
        }
        Ok(None)
    }

    async fn read_found(
        &self,
        low: Known,
        version: At,
        place: Place,
        share: (u64, u64),
        attributes: Option<Attributes>,
    ) -> Result<Option<u64>, ClientError> {
        let history = &self.stage.history;
        let number = if let At::Version(version) = version { Some(version.0) } else { None };
        let Some(attributes) = attributes else {
            self.log(format_args!("{place:?} at {number:?} is not there (known then: N{})", low.version));
            history.note_read(ReadRecord { low, at: number, place, found: None });
            return Ok(None);
        };
        let mut found = Found {
            inode: attributes.inode.0,
            mode: attributes.mode,
            content: attributes.tree.map(|tree| (tree.blob, tree.version.0)),
            size: attributes.size,
            start: 0,
            end: 0,
            bytes: Bytes::new(),
        };
        if let Some(tree) = attributes.tree {
            if number.is_none() {
                history.saw(tree.blob, tree.version.0);
            }
            let claim = self.claim(Held::Content(tree.blob, tree.version));
            found.start = tree.size * share.0 / 256;
            let range = ByteRange::new(found.start, found.start + (tree.size * share.1).div_ceil(256));
            found.end = range.end;
            found.bytes = match self.volume.read(&tree, range).await {
                Ok(bytes) => bytes,
                Err(error) => {
                    // Of an old version that nobody held before it was looked up anything may be gone.
                    let is_owed = number.is_none() && self.is_good(&claim);
                    self.judge_failure(&error, is_owed, format_args!("{place:?} at {number:?}, {} {}", tree.blob, tree.version));
                    return Err(error);
                }
            };
        }
        self.log(format_args!("read {place:?} at {number:?}: {:?}, {} bytes", found.content, found.bytes.len()));
        self.stage.world.count("read");
        history.note_read(ReadRecord { low, at: number, place, found: Some(found) });
        Ok(Some(attributes.inode.0))
    }

    /// Reads an old version as a program does that stands in it for a while: it is held before it is asked for. Then the file that was
    /// opened is read on, when the version itself is not held any more.
    ///
    /// # Errors
    /// Those of the client library.
    pub async fn stay_in(&self, version: u64, place: &Place, until: impl Fn() -> bool) -> Result<(), ClientError> {
        let (world, ledger) = (&self.stage.world, &self.stage.network.ledger);
        let began = world.elapsed();
        let claim = self.claim(Held::Version(self.volume.info().id, VolumeVersion(version)));
        let query = Query::Version { directory: ROOT_INODE, version: VolumeVersion(version) };
        if let Err(error) = self.volume.query(At::Head, query).await {
            let is_owed = ledger.is_owed(version, began, world.elapsed());
            self.judge_failure(&error, is_owed, format_args!("N{version}"));
            return Err(error);
        }
        if world.chance(300_000) {
            // Whoever lets go of it: it is being read.
            self.thin(version, version).await?;
        }
        let mut open: Option<(Attributes, Claim)> = None;
        for _ in 0..world.between(1, 8) {
            let found = match self.look_up(at(Some(version)), place).await {
                Ok(found) => found,
                Err(error) => {
                    self.judge_failure(&error, self.is_good(&claim), format_args!("held N{version}"));
                    return Err(error);
                }
            };
            self.read_kept(version, place, found.as_ref(), &claim).await?;
            let content = found.as_ref().and_then(|found| found.tree).map(|tree| Held::Content(tree.blob, tree.version));
            open = found.zip(content.map(|content| self.claim(content)));
            if until() {
                return Ok(());
            }
            world.pause(0, 20_000).await;
        }
        drop(claim);
        let Some((attributes, claim)) = open else { return Ok(()) };
        for _ in 0..world.below(8) {
            world.pause(0, 20_000).await;
            if until() {
                break;
            }
            self.read_kept(version, place, Some(&attributes), &claim).await?;
            world.count("read of an open old file");
        }
        Ok(())
    }

    async fn read_kept(
        &self,
        version: u64,
        place: &Place,
        attributes: Option<&Attributes>,
        claim: &Claim,
    ) -> Result<(), ClientError> {
        let tree = attributes.and_then(|found| found.tree);
        let bytes = match &tree {
            Some(tree) => match self.volume.read(tree, whole(tree)).await {
                Ok(bytes) => bytes,
                Err(error) => {
                    self.judge_failure(&error, self.is_good(claim), format_args!("held {place:?} at N{version}"));
                    return Err(error);
                }
            },
            None => Bytes::new(),
        };
        let found = attributes.map(|attributes| Found {
            inode: attributes.inode.0,
            mode: attributes.mode,
            content: tree.map(|tree| (tree.blob, tree.version.0)),
            size: attributes.size,
            start: 0,
            end: attributes.size,
            bytes,
        });
        self.stage.world.count("held read");
        self.log(format_args!("held read of {place:?} at N{version}"));
        self.stage.history.note_read(ReadRecord {
            low: Known { version, ..Known::default() },
            at: Some(version),
            place: place.clone(),
            found,
        });
        Ok(())
    }

    /// Lists a directory; records it if it is the newest state.
    ///
    /// # Errors
    /// Those of the client library.
    pub async fn list(&self, version: At, directory: u64) -> Result<Vec<(String, u64)>, ClientError> {
        let low = self.stage.history.known();
        let query = Query::ReadDirectory { directory: InodeNumber(directory), after: None, limit: 1000 };
        let NamespaceAnswer::Entries { entries, .. } = self.volume.query(version, query).await? else { return Ok(Vec::new()) };
        let entry =
            |entry: DirectoryEntry| (String::from_utf8_lossy(entry.name.as_bytes()).into_owned(), entry.attributes.inode.0);
        let entries: Vec<_> = entries.into_iter().map(entry).collect();
        if version == At::Head {
            self.stage.history.note_list(ListRecord { low, directory, entries: entries.clone() });
        }
        Ok(entries)
    }

    /// Reads the extended attribute of an inode.
    ///
    /// # Errors
    /// Those of the client library.
    pub async fn read_xattr(&self, version: Option<u64>, inode: u64) -> Result<(), ClientError> {
        let low = self.stage.history.known();
        let query = Query::GetXattr { inode: InodeNumber(inode), name: XATTR.to_vec() };
        let value = match self.volume.query(at(version), query).await {
            Ok(NamespaceAnswer::Bytes(bytes)) => bytes.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes)),
            Ok(_) => None,
            Err(ClientError::Service(error)) if error.kind == ErrorKind::NoAttribute => None,
            Err(error) => return Err(error),
        };
        self.stage.world.count("attribute read");
        self.stage.history.note_xattr(XattrRecord { low, at: version, inode, value });
        Ok(())
    }
}

fn whole(tree: &Tree) -> ByteRange {
    ByteRange::new(0, tree.size)
}
