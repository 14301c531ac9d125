//! Receiving: a stream's frames become changes of a volume.
//!
//! A whole tree is built under a name of its own and takes its place in the end by one rename: it is there whole or not at all. A
//! difference is applied in place, file by file, after the stream was read through once; were it interrupted, the versions before
//! it are all there, and `weft restore` makes one of them the present.

use super::content::Content;
use super::frame::{Frame, FrameReader, Meta, Path, State, StreamError};
use crate::cli::args::ReceiveArgs;
use crate::cli::connect::Client;
use crate::cli::diff::Comparison;
use crate::cli::error::CliError;
use crate::cli::names::{Volume, show_path};
use crate::cli::output::Output;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::{Seek, SeekFrom};
use tokio::io::BufReader;
use weft_common::id::{InodeNumber, ROOT_INODE, VolumeVersion};
use weft_common::name::FileName;
use weft_common::weave::ByteRange;
use weft_common::wire::{At, AttributeChange, Attributes, Change, FileKind, NewInode, XattrMode};

/// The extended attribute in which what was received says what it is.
pub(super) const RECEIVED: &str = "user.weft-received";

/// What [`RECEIVED`] holds, as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Received {
    state: State,
    /// The receiving volume's version when all of it was there.
    at: u64,
}

/// What was done.
#[derive(Debug, Serialize)]
struct Report {
    path: String,
    from: Option<u64>,
    to: u64,
    frames: u64,
}

type Input = FrameReader<BufReader<tokio::fs::File>>;

/// Runs `weft receive`.
///
/// # Errors
/// [`CliError`]; a stream that is damaged or does not fit is refused before anything is changed.
pub(in crate::cli) async fn run(client: &Client, args: &ReceiveArgs) -> Result<(), CliError> {
    let output = Output::new(args.format.json);
    let file = source(args)?;
    let frames = verify(&file, output).await?;
    let mut input = open(&file).await?;
    let (Frame::Start { to, from }, _) = input.next().await? else { return Err(StreamError::Foreign.into()) };
    let (volume, path) = client.open_path(&args.target, &args.identity).await?;
    let report = Report { path: show_path(&path), from: from.as_ref().map(|from| from.version), to: to.version, frames };
    let bar = output.progress("receiving", frames);
    match from {
        Some(from) => {
            check_base(&volume, &path, &from).await?;
            Builder::new(&volume, path.clone()).apply(&mut input, &bar).await?;
            note(&volume, &path, to).await?;
        }
        None => {
            receive_whole(&volume, &path, &mut input, &bar).await?;
            note(&volume, &path, to).await?;
        }
    }
    bar.finish_and_clear();
    output.data(&report, |report| format!("{} is what was sent of version {}\n", report.path, report.to));
    Ok(())
}

/// The stream as a file that can be read twice: what comes through a pipe is kept in a temporary one.
fn source(args: &ReceiveArgs) -> Result<std::fs::File, CliError> {
    let Some(path) = &args.input else {
        let mut kept = tempfile::tempfile().map_err(CliError::io("a temporary file for the stream"))?;
        std::io::copy(&mut std::io::stdin().lock(), &mut kept).map_err(CliError::io("standard input"))?;
        return Ok(kept);
    };
    std::fs::File::open(path).map_err(CliError::io(path.display().to_string()))
}

async fn open(file: &std::fs::File) -> Result<Input, CliError> {
    let mut file = file.try_clone().map_err(StreamError::from)?;
    file.seek(SeekFrom::Start(0)).map_err(StreamError::from)?;
    Ok(FrameReader::new(BufReader::with_capacity(1 << 20, tokio::fs::File::from_std(file))).await?)
}

/// Reads the stream to its end. Answers how many frames it has.
async fn verify(file: &std::fs::File, output: Output) -> Result<u64, CliError> {
    let mut input = open(file).await?;
    let bar = output.progress("checking", file.metadata().map_or(0, |metadata| metadata.len()));
    let mut frames = 0;
    loop {
        let (frame, body) = input.next().await?;
        bar.inc(body.len() as u64);
        frames += 1;
        match frame {
            Frame::End { .. } => break,
            Frame::Start { .. } if frames != 1 => return Err(StreamError::Foreign.into()),
            _ => {}
        }
    }
    bar.finish_and_clear();
    Ok(frames)
}

/// Refuses a difference where its base is not.
async fn check_base(volume: &Volume, path: &[FileName], from: &State) -> Result<(), CliError> {
    let place = show_path(path);
    let refuse = |problem: String| Err(CliError::Base { path: place.clone(), needs: from.version, problem });
    let Some(top) = volume.find(At::Head, path).await? else { return refuse("it does not exist".into()) };
    let xattrs = volume.xattrs(At::Head, top.inode).await?;
    let Some(received) = xattrs.get(RECEIVED.as_bytes()).and_then(|value| serde_json::from_slice::<Received>(value).ok()) else {
        return refuse("it was not received".into());
    };
    let same_source = (received.state.identity, &received.state.path) == (from.identity, &from.path);
    if !same_source {
        return refuse(format!("it is {} of volume '{}'", show_path(&received.state.path), received.state.volume));
    }
    if received.state.version != from.version {
        return refuse(format!("it is at version {} of what is sent", received.state.version));
    }
    let comparison = Comparison { volume, from: VolumeVersion(received.at), to: volume.latest().await? };
    let changed = comparison.run(path.to_vec()).await?;
    match changed.iter().find(|changed| changed.path.as_slice() != path || changed.change != "attributes") {
        Some(changed) => refuse(format!(
            "{} was changed since it was received; `weft restore … --to {}` takes that back",
            show_path(&changed.path),
            received.at
        )),
        None => Ok(()),
    }
}

async fn receive_whole(
    volume: &Volume,
    path: &[FileName],
    input: &mut Input,
    bar: &indicatif::ProgressBar,
) -> Result<(), CliError> {
    let Some((name, parents)) = path.split_last() else {
        if !volume.entries(At::Head, ROOT_INODE).await?.is_empty() {
            return Err(CliError::Exists("/ has entries; name a path that does not exist".into()));
        }
        return Builder::new(volume, Path::new()).apply(input, bar).await;
    };
    if volume.find(At::Head, path).await?.is_some() {
        return Err(CliError::Exists(format!("{} exists; name a path that does not", show_path(path))));
    }
    let parent = volume.walk(At::Head, parents).await?.inode;
    let draft = draft_name(name);
    let top = parents.iter().cloned().chain([draft.clone()]).collect();
    let applied = Builder::new(volume, top).apply(input, bar).await;
    let put_in_place = match applied {
        Ok(()) => {
            let (new_name, name) = (name.clone(), draft.clone());
            let rename = Change::Rename { parent, name, new_parent: parent, new_name, no_replace: true, exchange: false };
            volume.change(rename).await.map(drop)
        }
        Err(error) => Err(error),
    };
    if put_in_place.is_err()
        && let Ok(Some(half)) = volume.entry(At::Head, parent, &draft).await
    {
        let _ = volume.remove_all(parent, vec![draft], half, false, &|_| {}).await;
    }
    put_in_place
}

/// Notes at the top what it is now.
async fn note(volume: &Volume, path: &[FileName], state: State) -> Result<(), CliError> {
    let inode = volume.walk(At::Head, path).await?.inode;
    let received = Received { state, at: volume.latest().await?.0 };
    let value = serde_json::to_vec(&received).map_err(|error| StreamError::from(std::io::Error::other(error)))?;
    let set = Change::SetXattr { inode, name: RECEIVED.into(), value, mode: XattrMode::Any };
    volume.change(set).await.map(drop)
}

/// The name under which a tree is built.
fn draft_name(name: &FileName) -> FileName {
    let mut bytes = format!(".receiving-{}-", std::process::id()).into_bytes();
    bytes.extend_from_slice(name.as_bytes());
    bytes.truncate(255);
    FileName::new(bytes).unwrap_or_else(|_| name.clone())
}

/// Applies frames below one path.
struct Builder<'a> {
    volume: &'a Volume,
    top: Path,
    /// Directories that were met.
    directories: HashMap<Path, InodeNumber>,
    content: Option<(Content<'a>, InodeNumber, Meta)>,
}

impl<'a> Builder<'a> {
    fn new(volume: &'a Volume, top: Path) -> Self {
        Self { volume, top, directories: HashMap::new(), content: None }
    }

    async fn apply(&mut self, input: &mut Input, bar: &indicatif::ProgressBar) -> Result<(), CliError> {
        loop {
            let (frame, body) = input.next().await?;
            bar.inc(1);
            if !matches!(frame, Frame::Data { .. } | Frame::Hole { .. }) {
                self.end_file().await?;
            }
            match frame {
                Frame::Start { .. } => return Err(StreamError::Foreign.into()),
                Frame::Remove(path) => self.remove(&path).await?,
                Frame::Directory(path, meta) => {
                    let made = self.make(&path, NewInode::Directory).await?;
                    self.directories.insert(path, made.inode);
                    self.set_meta(&made, &meta).await?;
                }
                Frame::File { path, meta, size } => {
                    let file = self.make(&path, NewInode::File).await?;
                    self.content = Some((Content::new(self.volume, &file, size), file.inode, meta));
                }
                Frame::Data { offset } => self.content()?.write(offset, body).await?,
                Frame::Hole { start, end } => self.content()?.punch(ByteRange::new(start, end)),
                Frame::Link { path, to } => self.link(&path, &to).await?,
                Frame::Other(path, meta, inode) => {
                    let made = self.make(&path, inode).await?;
                    self.set_meta(&made, &meta).await?;
                }
                Frame::End { .. } => return Ok(()),
            }
        }
    }

    fn content(&mut self) -> Result<&mut Content<'a>, CliError> {
        self.content.as_mut().map(|(content, ..)| content).ok_or_else(|| StreamError::Foreign.into())
    }

    async fn end_file(&mut self) -> Result<(), CliError> {
        let Some((mut content, inode, meta)) = self.content.take() else { return Ok(()) };
        content.publish(meta.modified).await?;
        let file = self.volume.attributes(At::Head, inode).await?;
        self.set_meta(&file, &meta).await
    }

    /// The directory and the name that a path of the stream stands for; `None` for the volume's root.
    async fn place(&mut self, path: &[FileName]) -> Result<Option<(InodeNumber, FileName)>, CliError> {
        let full: Path = self.top.iter().chain(path).cloned().collect();
        let Some((name, parents)) = full.split_last() else { return Ok(None) };
        let known = path.split_last().and_then(|(_, parent)| self.directories.get(parent)).copied();
        let parent = match known {
            Some(parent) => parent,
            None => self.volume.walk(At::Head, parents).await?.inode,
        };
        Ok(Some((parent, name.clone())))
    }

    async fn existing(&mut self, path: &[FileName]) -> Result<Option<Attributes>, CliError> {
        match self.place(path).await? {
            Some((parent, name)) => self.volume.entry(At::Head, parent, &name).await,
            None => self.volume.attributes(At::Head, ROOT_INODE).await.map(Some),
        }
    }

    /// What is at `path`, made if it is not there.
    async fn make(&mut self, path: &[FileName], inode: NewInode) -> Result<Attributes, CliError> {
        if let Some(existing) = self.existing(path).await? {
            let fits = match inode {
                NewInode::Directory => existing.kind == FileKind::Directory,
                NewInode::File => existing.kind == FileKind::File,
                NewInode::Symlink(_) | NewInode::Special(..) => false,
            };
            if fits {
                return Ok(existing);
            }
            let problem = "something else is there than the stream builds on; receive into another place";
            return Err(CliError::WrongKind { path: show_path(path), problem });
        }
        let Some((parent, name)) = self.place(path).await? else { return Err(StreamError::Foreign.into()) };
        let change = Change::Create { parent, name, inode, mode: 0o600, uid: 0, gid: 0, exclusive: true, umask: 0 };
        self.volume.change(change).await?.attributes.ok_or(CliError::UnexpectedAnswer("create"))
    }

    async fn remove(&mut self, path: &[FileName]) -> Result<(), CliError> {
        self.directories.retain(|directory, _| !directory.starts_with(path));
        if let (Some((parent, name)), Some(what)) = (self.place(path).await?, self.existing(path).await?) {
            self.volume.remove_all(parent, vec![name], what, false, &|_| {}).await?;
        }
        Ok(())
    }

    async fn link(&mut self, path: &[FileName], to: &[FileName]) -> Result<(), CliError> {
        let file =
            self.existing(to).await?.ok_or_else(|| CliError::NoSuchPath { path: show_path(to), at: "the receiver".into() })?;
        let there = self.existing(path).await?;
        if there.as_ref().is_some_and(|there| there.inode == file.inode) {
            return Ok(());
        }
        if there.is_some() {
            self.remove(path).await?;
        }
        let Some((parent, name)) = self.place(path).await? else { return Err(StreamError::Foreign.into()) };
        self.volume.change(Change::Link { inode: file.inode, parent, name }).await.map(drop)
    }

    async fn set_meta(&self, now: &Attributes, meta: &Meta) -> Result<(), CliError> {
        let inode = now.inode;
        let had = self.volume.xattrs(At::Head, inode).await?;
        let keeps = |name: &[u8]| name == RECEIVED.as_bytes() || meta.xattrs.iter().any(|(kept, _)| kept == name);
        for name in had.keys().filter(|name| !keeps(name)) {
            self.volume.change(Change::RemoveXattr { inode, name: name.clone() }).await?;
        }
        for (name, value) in meta.xattrs.iter().filter(|(name, value)| had.get(name) != Some(value)) {
            let set = Change::SetXattr { inode, name: name.clone(), value: value.clone(), mode: XattrMode::Any };
            self.volume.change(set).await?;
        }
        let Meta { mode, uid, gid, accessed, modified, .. } = *meta;
        if (mode, uid, gid, accessed, modified) == (now.mode, now.uid, now.gid, now.accessed, now.modified) {
            return Ok(());
        }
        let set = AttributeChange {
            mode: Some(mode),
            uid: Some(uid),
            gid: Some(gid),
            accessed: Some(accessed),
            modified: Some(modified),
        };
        self.volume.change(Change::SetAttributes { inode, set }).await.map(drop)
    }
}
