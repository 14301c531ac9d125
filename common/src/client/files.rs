//! Whole files by path, for programs that use volumes without a mount.

use super::volume::Volume;
use super::{BlobStore, ClientError, Namespace, PublishRequest, Published};
use crate::id::{ROOT_INODE, VolumeVersion};
use crate::limits::{ENTRIES_PER_ANSWER_MAX, OBJECTS_AT_ONCE_MAX};
use crate::name::FileName;
use crate::time::Timestamp;
use crate::weave::{ByteRange, DataExtent, Operation, PageObject, Tree, Update};
use crate::wire::{At, Attributes, Author, Change, ErrorKind, HistoryState, NamespaceAnswer, NewInode, Query, ServiceError};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::ops::Range;
use std::time::SystemTime;

impl Volume {
    /// Makes an empty file with mode 0644 at `path` (components separated by `/`, from the root).
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`], or [`ErrorKind::NotFound`] if its directory is missing.
    pub async fn create(&self, path: &str) -> Result<Attributes, ClientError> {
        let (parent, name) = self.place(path, At::Head).await?;
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let (parent, inode) = (parent.inode, NewInode::File);
        let change = Change::Create { parent, name, inode, mode: 0o644, uid, gid, exclusive: true, umask: 0 };
        let reply = self.change(&self.author(), change).await?;
        reply.attributes.ok_or_else(|| not_found(path))
    }

    /// Writes `bytes` at `offset` as one version.
    ///
    /// # Errors
    /// [`ClientError`]; [`ErrorKind::NotFound`] if there is no such file.
    pub async fn write(&self, path: &str, offset: u64, bytes: Bytes) -> Result<Published, ClientError> {
        let (file, tree) = self.file(path, At::Head).await?;
        let pieces = page_pieces(offset, bytes.len() as u64, u64::from(tree.geometry.page_size()));
        let update = self.upload(offset, &bytes, pieces).await?;
        self.publish_now(file, Operation::Write(update)).await
    }

    /// Appends `bytes` as one version; [`Published::offset`] tells where they went.
    ///
    /// # Errors
    /// As for [`Volume::write`].
    pub async fn append(&self, path: &str, bytes: Bytes) -> Result<Published, ClientError> {
        let (file, tree) = self.file(path, At::Head).await?;
        let pieces = page_pieces(0, bytes.len() as u64, u64::from(tree.geometry.page_size()));
        let update = self.upload(0, &bytes, pieces).await?;
        self.publish_now(file, Operation::Append(update)).await
    }

    /// The bytes of `range` of the file as it was at `at`, cut at its size.
    ///
    /// # Errors
    /// As for [`BlobStore::read`]; [`ErrorKind::NotFound`] if there was no such file.
    pub async fn read_file(&self, path: &str, at: At, range: ByteRange) -> Result<Bytes, ClientError> {
        let (_, tree) = self.file(path, at).await?;
        self.read(&tree, range).await
    }

    /// The file's size in bytes as it was at `at`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there was no such file.
    pub async fn size(&self, path: &str, at: At) -> Result<u64, ClientError> {
        Ok(self.file(path, at).await?.1.size)
    }

    /// Every kept content of the name `path`, ascending, also after it was deleted.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if its directory is missing.
    pub async fn versions(&self, path: &str) -> Result<Vec<HistoryState>, ClientError> {
        let (parent, name) = self.place(path, At::Head).await?;
        let mut states: Vec<HistoryState> = Vec::new();
        loop {
            let after = states.last().map_or(VolumeVersion(0), |state| state.from);
            let (parent, name, limit) = (parent.inode, name.clone(), ENTRIES_PER_ANSWER_MAX as u32);
            let answer = self.query(At::Head, Query::HistoryOf { parent, name, after, limit }).await?;
            let NamespaceAnswer::History { states: more, more: unfinished } = answer else { return Err(not_found(path)) };
            let stuck = more.is_empty();
            states.extend(more);
            if !unfinished || stuck {
                return Ok(states);
            }
        }
    }

    /// What `path` names at `at`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] names the first component that is missing.
    pub async fn look_up(&self, path: &str, at: At) -> Result<Attributes, ClientError> {
        let mut attributes = self.attributes(at, Query::Attributes(ROOT_INODE), path).await?;
        for name in components(path)? {
            attributes = self.attributes(at, Query::LookUp { parent: attributes.inode, name }, path).await?;
        }
        Ok(attributes)
    }

    /// Author of changes by this program itself.
    fn author(&self) -> Author {
        let program = std::env::current_exe().ok();
        let program = program.as_deref().and_then(|path| path.file_name()).unwrap_or_default().to_string_lossy();
        let uid = rustix::process::getuid().as_raw();
        Author { uid, host: self.cluster.options.host.clone(), program: program.into_owned() }
    }

    async fn attributes(&self, at: At, query: Query, path: &str) -> Result<Attributes, ClientError> {
        match self.query(at, query).await? {
            NamespaceAnswer::Attributes(attributes) => Ok(attributes),
            _ => Err(not_found(path)),
        }
    }

    async fn place(&self, path: &str, at: At) -> Result<(Attributes, FileName), ClientError> {
        let (directory, name) = path.trim_end_matches('/').rsplit_once('/').unwrap_or(("", path));
        let name = FileName::new(name).map_err(|error| invalid(path, &error.to_string()))?;
        Ok((self.look_up(directory, at).await?, name))
    }

    async fn file(&self, path: &str, at: At) -> Result<(Attributes, Tree), ClientError> {
        let attributes = self.look_up(path, at).await?;
        match attributes.tree {
            Some(tree) => Ok((attributes, tree)),
            None => Err(invalid(path, "it is no regular file")),
        }
    }

    async fn upload(&self, offset: u64, bytes: &Bytes, pieces: Vec<Range<u64>>) -> Result<Update, ClientError> {
        // By value: a future that borrows from the closure's argument could not be spawned.
        let parts = pieces.iter().map(|piece| bytes.slice(piece.start as usize..piece.end as usize)).collect::<Vec<_>>();
        let puts = parts.into_iter().map(|part| self.put_object(part));
        let objects: Vec<PageObject> = stream::iter(puts).buffered(OBJECTS_AT_ONCE_MAX).try_collect().await?;
        let extent = |(place, piece): (usize, &Range<u64>)| {
            let length = (piece.end - piece.start) as u32;
            DataExtent { offset: offset + piece.start, length, object: place as u32, object_offset: 0 }
        };
        Ok(Update { data: pieces.iter().enumerate().map(extent).collect(), objects, ..Update::default() })
    }

    async fn publish_now(&self, file: Attributes, operation: Operation) -> Result<Published, ClientError> {
        let modified = Timestamp::from(SystemTime::now());
        self.publish(PublishRequest { inode: file.inode, operation, modified, author: self.author(), only_in: None }).await
    }
}

/// `length` bytes that go to `offset`, cut where pages end. Ranges of the bytes, not of the file.
fn page_pieces(offset: u64, length: u64, page_size: u64) -> Vec<Range<u64>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    while start < length {
        let room = page_size - (offset + start) % page_size;
        let end = (start + room).min(length);
        pieces.push(start..end);
        start = end;
    }
    pieces
}

fn components(path: &str) -> Result<Vec<FileName>, ClientError> {
    let parts = path.split('/').filter(|part| !part.is_empty());
    parts.map(|part| FileName::new(part).map_err(|error| invalid(path, &error.to_string()))).collect()
}

fn not_found(path: &str) -> ClientError {
    ServiceError::new(ErrorKind::NotFound, format!("there is no '{path}'")).into()
}

fn invalid(path: &str, why: &str) -> ClientError {
    ServiceError::new(ErrorKind::InvalidArgument, format!("'{path}': {why}")).into()
}
