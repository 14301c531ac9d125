//! Operations as system calls on a mount.

use super::content;
use super::record::{Operation, Outcome};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// One client's view of a mount: its root, and the handles that stay open.
#[derive(Debug)]
pub struct Hands {
    root: PathBuf,
    held: HashMap<u32, File>,
    /// The growing file that is written, how long it is, and the one that is followed.
    growing: Option<(String, File, u64)>,
    followed: Option<(String, File)>,
}

impl Hands {
    /// Nothing is open yet.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), held: HashMap::new(), growing: None, followed: None }
    }

    /// Does `operation`, whose number is `number`.
    pub fn perform(&mut self, number: u32, operation: &Operation) -> Outcome {
        self.attempt(number, operation).unwrap_or_else(|error| Outcome::Failed(error.raw_os_error().unwrap_or(libc::EIO)))
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn attempt(&mut self, number: u32, operation: &Operation) -> io::Result<Outcome> {
        let path = self.at(operation.path());
        match operation {
            Operation::Create { size, .. } => File::create_new(path)?.write_all(&content::whole(number, *size)).map(done),
            Operation::Overwrite { size, .. } => {
                let mut file = OpenOptions::new().write(true).truncate(true).open(path)?;
                file.write_all(&content::whole(number, *size)).map(done)
            }
            Operation::Replace { draft, size, .. } => {
                let draft = self.at(draft);
                fs::write(&draft, content::whole(number, *size))?;
                fs::rename(draft, path).map(done)
            }
            Operation::Cut { size, .. } => {
                let file = OpenOptions::new().write(true).open(path)?;
                file.set_len(u64::from(*size))?;
                // A mount leaves a bare cut for the last close if the process that closes has another descriptor for writing of
                // that inode number; and this process has some of the same numbers, on other mounts.
                file.sync_data().map(done)
            }
            Operation::Read { .. } => Ok(read_whole(&File::open(path)?)?),
            Operation::Stat { .. } => {
                fs::symlink_metadata(path).map(|about| Outcome::Stat { size: about.len(), links: about.nlink() })
            }
            Operation::Hold { .. } => self.hold(number, &path),
            Operation::ReadHeld { hold, .. } => read_whole(self.held.get(hold).ok_or(ErrorKind::NotFound)?),
            Operation::LetGo { hold, .. } => {
                self.held.remove(hold);
                Ok(Outcome::Done)
            }
            Operation::Version { .. } => version(&path),
            Operation::ReadOld { version, path } => {
                read_whole(&File::open(self.at(".versions").join(version.to_string()).join(path))?)
            }
            Operation::Rename { to, .. } => fs::rename(path, self.at(to)).map(done),
            Operation::Link { to, .. } => fs::hard_link(path, self.at(to)).map(done),
            Operation::Unlink { .. } => fs::remove_file(path).map(done),
            Operation::MakeDirectory { .. } => fs::create_dir(path).map(done),
            Operation::RemoveDirectory { .. } => fs::remove_dir(path).map(done),
            Operation::List { .. } => list(&path),
            Operation::Append { size, .. } => {
                let mut file = OpenOptions::new().append(true).create(true).open(path)?;
                file.write_all(&content::record(number, *size)).map(done)
            }
            Operation::ReadLog { .. } => Ok(content::read_log(&read_if_there(&path)?)),
            Operation::WriteTile { slice, .. } => {
                let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
                let offset = usize::from(*slice) * content::SLICE_BYTES;
                file.write_all_at(&content::tile(number), offset as u64).map(done)
            }
            Operation::ReadTiles { .. } => Ok(content::read_tiles(&read_if_there(&path)?)),
            Operation::Grow { path, to } => self.grow(path, *to),
            Operation::ReadGrown { path: name } => Ok(content::read_growth(name, &read_if_there(&path)?)),
            Operation::Follow { path } => self.follow(path),
        }
    }

    fn hold(&mut self, number: u32, path: &Path) -> io::Result<Outcome> {
        let file = File::open(path)?;
        let outcome = read_whole(&file)?;
        self.held.insert(number, file);
        Ok(outcome)
    }

    fn grow(&mut self, path: &str, to: u64) -> io::Result<Outcome> {
        if self.growing.as_ref().is_none_or(|(name, ..)| name != path) {
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(self.at(path))?;
            self.growing = Some((path.to_owned(), file, 0));
        }
        let (_, file, length) = self.growing.as_mut().ok_or(ErrorKind::NotFound)?;
        file.write_all_at(&content::growth(path, *length, to), *length)?;
        *length = to;
        file.sync_data().map(done)
    }

    fn follow(&mut self, path: &str) -> io::Result<Outcome> {
        if self.followed.as_ref().is_none_or(|(name, _)| name != path) {
            match File::open(self.at(path)) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Outcome::Grown(0)),
                opened => self.followed = Some((path.to_owned(), opened?)),
            }
        }
        let (_, file) = self.followed.as_ref().ok_or(ErrorKind::NotFound)?;
        Ok(content::read_growth(path, &read_all(file)?))
    }
}

fn done((): ()) -> Outcome {
    Outcome::Done
}

/// Reads through a handle from the start to the end, wherever it stands.
fn read_all(file: &File) -> io::Result<Vec<u8>> {
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match file.read_at(&mut piece, bytes.len() as u64)? {
            0 => return Ok(bytes),
            length => bytes.extend_from_slice(&piece[..length]),
        }
    }
}

fn read_whole(file: &File) -> io::Result<Outcome> {
    let said = file.metadata()?.len();
    Ok(match content::read_whole(&read_all(file)?) {
        Ok(value) => Outcome::Content { said, value },
        Err(at) => Outcome::Torn(at),
    })
}

/// A file's bytes; none if there is no file yet.
fn read_if_there(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(bytes),
        opened => opened?.read_to_end(&mut bytes).map(|_| bytes),
    }
}

fn list(path: &Path) -> io::Result<Outcome> {
    let entries: io::Result<Vec<_>> = fs::read_dir(path)?.collect();
    let names = entries?.into_iter().map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(Outcome::Names(names.collect()))
}

fn version(path: &Path) -> io::Result<Outcome> {
    let mut value = [0; 32];
    let length = rustix::fs::getxattr(path, "user.weft.version", &mut value)?;
    let text = std::str::from_utf8(&value[..length]).ok().and_then(|text| text.parse().ok());
    text.map(Outcome::Version).ok_or_else(|| ErrorKind::InvalidData.into())
}
