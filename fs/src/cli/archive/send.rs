//! Sending: what there is, or what is different, as frames.

use super::frame::{BODY_BYTES_MAX, Frame, FrameWriter, Meta, Path, State};
use super::receive::RECEIVED;
use crate::cli::args::SendArgs;
use crate::cli::connect::Client;
use crate::cli::diff::{Changed, Comparison};
use crate::cli::error::CliError;
use crate::cli::human;
use crate::cli::names::{Volume, show_path};
use crate::cli::output::{self, Output};
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::sync::Arc;
use tokio::io::AsyncWrite;
use weft_common::client::Held;
use weft_common::id::{InodeNumber, VolumeVersion};
use weft_common::weave::{ByteRange, Tree};
use weft_common::wire::{At, Attributes, FileKind, NamespaceAnswer, NewInode, Query};

/// Runs `weft send`.
///
/// # Errors
/// [`CliError`].
pub(in crate::cli) async fn run(client: &Client, args: &SendArgs) -> Result<(), CliError> {
    let (volume, path) = client.open_path(&args.target, &args.identity).await?;
    let to = match &args.at {
        Some(version) => version.resolve(&volume).await?,
        None => volume.latest().await?,
    };
    let from = match &args.from {
        Some(version) => Some(version.resolve(&volume).await?),
        None => None,
    };
    hold(&volume, from.into_iter().chain([to]).collect());
    if volume.find(At::Version(to), &path).await?.is_none() {
        return Err(CliError::NoSuchPath { path: show_path(&path), at: format!("version {}", to.0) });
    }
    if let Some(from) = from
        && volume.find(At::Version(from), &path).await?.is_none()
    {
        return Err(CliError::NoSuchPath { path: show_path(&path), at: format!("version {}, from which to send", from.0) });
    }
    let name = args.output.as_ref().map_or("standard output".into(), |path| path.display().to_string());
    let file = match &args.output {
        Some(path) => File::options().write(true).create_new(true).open(path).map_err(CliError::io(&name))?,
        None if std::io::stdout().is_terminal() => {
            let message = "a stream on a terminal helps nobody; name a file with --output, or pipe it to weft receive";
            return Err(CliError::Usage(message.into()));
        }
        None => File::from(std::io::stdout().as_fd().try_clone_to_owned().map_err(CliError::io(&name))?),
    };
    let output = tokio::io::BufWriter::with_capacity(1 << 20, tokio::fs::File::from_std(file));
    let sent = send(&volume, path.clone(), from, to, output).await;
    if sent.is_err()
        && let Some(path) = &args.output
    {
        // Half a stream is of no use to anybody, and would be in the way of the next attempt.
        let _ = std::fs::remove_file(path);
    }
    let (file, bytes) = sent?;
    if args.output.is_some() {
        file.into_inner().sync_all().await.map_err(CliError::io(&name))?;
        output::complain(&format!("{} of {} at version {} are in {name}", human::size(bytes), show_path(&path), to.0));
    }
    Ok(())
}

/// Keeps versions from being collected while they are read.
fn hold(volume: &Volume, versions: Vec<VolumeVersion>) {
    let id = volume.names.info().id;
    let held: Vec<_> = versions.into_iter().map(|version| Held::Version(id, version)).collect();
    volume.blobs.report_holds(Arc::new(move || held.clone()));
}

async fn send<W: AsyncWrite + Unpin>(
    volume: &Volume,
    path: Path,
    from: Option<VolumeVersion>,
    to: VolumeVersion,
    output: W,
) -> Result<(W, u64), CliError> {
    let info = volume.names.info();
    let identity = (info.id.0, info.created.0);
    let state = |version: VolumeVersion| State { volume: info.name.clone(), identity, path: path.clone(), version: version.0 };
    let start = Frame::Start { to: state(to), from: from.map(state) };
    let comparison = Comparison { volume, from: from.unwrap_or(VolumeVersion(0)), to };
    let changed = match from {
        Some(_) => comparison.run(path.clone()).await?,
        None => comparison.whole(path.clone()).await?,
    };
    let bar = Output::new(false).progress("sending", changed.len() as u64);
    let mut sender = Sender {
        volume,
        top: path,
        from,
        to,
        output: FrameWriter::new(output).await?,
        links: HashMap::new(),
        parents: BTreeSet::new(),
        removed: None,
    };
    sender.output.put(&start, &[]).await?;
    for changed in &changed {
        sender.entry(changed).await?;
        bar.inc(1);
    }
    sender.parents_again().await?;
    bar.finish_and_clear();
    Ok(sender.output.finish().await?)
}

struct Sender<'a, W> {
    volume: &'a Volume,
    /// The path of what is sent.
    top: Path,
    from: Option<VolumeVersion>,
    to: VolumeVersion,
    output: FrameWriter<W>,
    /// Files with several names that were sent, and under which.
    links: HashMap<InodeNumber, Path>,
    /// Directories in which something changed: their times come last.
    parents: BTreeSet<Path>,
    /// What was removed last; all below it is gone with it.
    removed: Option<Path>,
}

impl<W: AsyncWrite + Unpin> Sender<'_, W> {
    async fn entry(&mut self, changed: &Changed) -> Result<(), CliError> {
        let path = changed.path[self.top.len()..].to_vec();
        if let Some((_, parent)) = path.split_last() {
            self.parents.insert(parent.to_vec());
        }
        let mut old = changed.old.as_ref();
        let stays = |old: &Attributes, new: &Attributes| {
            let same = old.kind == new.kind && (old.inode == new.inode || old.kind == FileKind::Directory);
            same && matches!(new.kind, FileKind::File | FileKind::Directory)
        };
        if let Some(before) = old
            && !changed.new.as_ref().is_some_and(|new| stays(before, new))
        {
            self.remove(&path).await?;
            old = None;
        }
        let Some(new) = &changed.new else { return Ok(()) };
        match new.kind {
            FileKind::Directory => {
                self.parents.insert(path.clone());
                let meta = self.meta(new).await?;
                self.put(&Frame::Directory(path, meta)).await
            }
            FileKind::File => match self.name_sent_before(&path, new).await? {
                Some(to) => self.put(&Frame::Link { path, to }).await,
                None => self.file(path, old, new).await,
            },
            FileKind::Symlink => {
                let target = self.link_target(new.inode).await?;
                let meta = self.meta(new).await?;
                self.put(&Frame::Other(path, meta, NewInode::Symlink(target))).await
            }
            kind => {
                let meta = self.meta(new).await?;
                self.put(&Frame::Other(path, meta, NewInode::Special(kind, new.rdev))).await
            }
        }
    }

    async fn put(&mut self, frame: &Frame) -> Result<(), CliError> {
        Ok(self.output.put(frame, &[]).await?)
    }

    async fn remove(&mut self, path: &Path) -> Result<(), CliError> {
        if self.removed.as_ref().is_some_and(|removed| path.starts_with(removed)) {
            return Ok(());
        }
        self.removed = Some(path.clone());
        self.put(&Frame::Remove(path.clone())).await
    }

    /// Times of directories change with what is in them: said again when all of it is there, the deepest first.
    async fn parents_again(&mut self) -> Result<(), CliError> {
        for path in std::mem::take(&mut self.parents).into_iter().rev() {
            let full: Path = self.top.iter().chain(&path).cloned().collect();
            if let Some(directory) = self.volume.find(At::Version(self.to), &full).await?
                && directory.kind == FileKind::Directory
            {
                let meta = self.meta(&directory).await?;
                self.put(&Frame::Directory(path, meta)).await?;
            }
        }
        Ok(())
    }

    async fn meta(&self, attributes: &Attributes) -> Result<Meta, CliError> {
        let Attributes { mode, uid, gid, accessed, modified, .. } = *attributes;
        let xattrs = self.volume.xattrs(At::Version(self.to), attributes.inode).await?;
        let xattrs = xattrs.into_iter().filter(|(name, _)| name != RECEIVED.as_bytes()).collect();
        Ok(Meta { mode, uid, gid, accessed, modified, xattrs })
    }

    async fn link_target(&self, inode: InodeNumber) -> Result<Vec<u8>, CliError> {
        match self.volume.names.query(At::Version(self.to), Query::ReadLink(inode)).await? {
            NamespaceAnswer::Bytes(target) => Ok(target),
            _ => Err(CliError::UnexpectedAnswer("read_link")),
        }
    }

    /// A name under which the receiver has the file already.
    async fn name_sent_before(&mut self, path: &Path, file: &Attributes) -> Result<Option<Path>, CliError> {
        if file.links < 2 {
            return Ok(None);
        }
        match self.links.get(&file.inode) {
            Some(first) => Ok(Some(first.clone()).filter(|first| first != path)),
            None => {
                self.links.insert(file.inode, path.clone());
                Ok(self.name_in_base(path, file.inode).await?)
            }
        }
    }

    /// Another name that a file had in the base and has still.
    async fn name_in_base(&self, path: &Path, inode: InodeNumber) -> Result<Option<Path>, CliError> {
        let Some(from) = self.from else { return Ok(None) };
        let Some(before) = self.volume.path_of(At::Version(from), inode).await? else { return Ok(None) };
        let still = self.volume.find(At::Version(self.to), &before).await?;
        let name = before.strip_prefix(self.top.as_slice()).filter(|name| *name != path.as_slice());
        Ok(name.filter(|_| still.is_some_and(|still| still.inode == inode)).map(<[_]>::to_vec))
    }

    async fn file(&mut self, path: Path, old: Option<&Attributes>, new: &Attributes) -> Result<(), CliError> {
        let meta = self.meta(new).await?;
        self.put(&Frame::File { path, meta, size: new.size }).await?;
        let Some(tree) = new.tree else { return Ok(()) };
        let old = old.and_then(|old| old.tree);
        let ranges = match &old {
            Some(old) => self.volume.blobs.changed_ranges(old, &tree).await?,
            None => vec![ByteRange::new(0, tree.size)],
        };
        for range in ranges {
            self.content(&tree, range.intersection(&ByteRange::new(0, tree.size)), old.is_some()).await?;
        }
        Ok(())
    }

    /// The data of a range; its holes too where there is something to cover.
    async fn content(&mut self, tree: &Tree, range: ByteRange, with_holes: bool) -> Result<(), CliError> {
        let mut at = range.start;
        while at < range.end {
            let data = self.volume.blobs.next_data(tree, at).await?;
            let data = data.map_or(ByteRange::new(range.end, range.end), |data| data.intersection(&range));
            let start = data.start.max(at).min(range.end);
            if start > at && with_holes {
                self.put(&Frame::Hole { start: at, end: start }).await?;
            }
            at = start;
            while at < data.end {
                // Bodies end at multiples of their length, so that a page is sent whole.
                let end = (at + 1).next_multiple_of(u64::from(BODY_BYTES_MAX)).min(data.end);
                let bytes = self.volume.blobs.read(tree, ByteRange::new(at, end)).await?;
                self.output.put(&Frame::Data { offset: at }, &bytes).await?;
                at = end;
            }
        }
        Ok(())
    }
}
