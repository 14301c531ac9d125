//! Random changes of a mounted tree: what programs do to files, one visible change a step.

use crate::random::Random;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Makes random changes below one directory, and knows which names there are.
#[derive(Debug)]
pub struct Scribbler {
    root: PathBuf,
    random: Random,
    files: Vec<PathBuf>,
    directories: Vec<PathBuf>,
    named: u64,
    largest: u64,
    hard_links: bool,
}

impl Scribbler {
    /// Starts in an empty directory; files grow to about `largest` bytes.
    #[must_use]
    pub fn new(root: &Path, seed: u64, largest: u64) -> Self {
        let directories = vec![root.to_owned()];
        Self {
            root: root.to_owned(),
            random: Random::new(seed),
            files: Vec::new(),
            directories,
            named: 0,
            largest,
            hard_links: true,
        }
    }

    /// Makes symbolic links only.
    #[must_use]
    pub fn without_hard_links(self) -> Self {
        Self { hard_links: false, ..self }
    }

    /// Makes one change and says what it was.
    ///
    /// # Errors
    /// The operation that failed, named.
    pub fn step(&mut self) -> io::Result<String> {
        let what = self.random.below(100);
        let done = match what {
            0..=19 => self.create(),
            20..=44 => self.overwrite(),
            45..=56 => self.append(),
            57..=66 => self.truncate(),
            67..=76 => self.rename(),
            77..=84 => self.delete(),
            85..=90 => self.make_directory(),
            91..=94 => self.change_mode(),
            95..=97 => self.replace_by_rename(),
            _ => self.link(),
        };
        done.map_err(|(what, error)| io::Error::new(error.kind(), format!("{what}: {error}")))
    }

    fn fresh_name(&mut self, kind: &str) -> PathBuf {
        self.named += 1;
        let directory = self.random.pick(&self.directories).unwrap_or(&self.root).clone();
        directory.join(format!("{kind}{:04}", self.named))
    }

    fn some_file(&mut self) -> Option<PathBuf> {
        self.random.pick(&self.files).cloned()
    }

    fn create(&mut self) -> Result<String, (String, io::Error)> {
        let path = self.fresh_name("file");
        let length = self.random.below(self.largest) as usize;
        let bytes = self.random.bytes(length);
        let what = format!("create {} with {length} bytes", path.display());
        fs::write(&path, bytes).map_err(|error| (what.clone(), error))?;
        self.files.push(path);
        Ok(what)
    }

    fn overwrite(&mut self) -> Result<String, (String, io::Error)> {
        let Some(path) = self.some_file() else { return self.create() };
        let places: Vec<(u64, Vec<u8>)> = (0..=self.random.below(3))
            .map(|_| {
                let offset = self.random.below(self.largest);
                let length = 1 + self.random.below(self.largest / 4) as usize;
                (offset, self.random.bytes(length))
            })
            .collect();
        let what = format!("overwrite {} in {} places", path.display(), places.len());
        let write = || {
            let file = OpenOptions::new().write(true).open(&path)?;
            places.iter().try_for_each(|(offset, bytes)| file.write_all_at(bytes, *offset))
        };
        write().map(|()| what.clone()).map_err(|error| (what, error))
    }

    fn append(&mut self) -> Result<String, (String, io::Error)> {
        let Some(path) = self.some_file() else { return self.create() };
        let length = 1 + self.random.below(self.largest / 8) as usize;
        let bytes = self.random.bytes(length);
        let what = format!("append {length} bytes to {}", path.display());
        let append = || OpenOptions::new().append(true).open(&path)?.write_all(&bytes);
        append().map(|()| what.clone()).map_err(|error| (what, error))
    }

    fn truncate(&mut self) -> Result<String, (String, io::Error)> {
        let Some(path) = self.some_file() else { return self.create() };
        let size = self.random.below(self.largest);
        let what = format!("truncate {} to {size}", path.display());
        let truncate = || OpenOptions::new().write(true).open(&path)?.set_len(size);
        truncate().map(|()| what.clone()).map_err(|error| (what, error))
    }

    fn rename(&mut self) -> Result<String, (String, io::Error)> {
        let Some(from) = self.some_file() else { return self.create() };
        let to = self.fresh_name("moved");
        let what = format!("rename {} to {}", from.display(), to.display());
        fs::rename(&from, &to).map_err(|error| (what.clone(), error))?;
        self.files.retain(|file| *file != from);
        self.files.push(to);
        Ok(what)
    }

    fn replace_by_rename(&mut self) -> Result<String, (String, io::Error)> {
        let (Some(from), Some(to)) = (self.some_file(), self.some_file()) else { return self.create() };
        let what = format!("rename {} over {}", from.display(), to.display());
        fs::rename(&from, &to).map_err(|error| (what.clone(), error))?;
        self.files.retain(|file| file.symlink_metadata().is_ok());
        Ok(what)
    }

    fn delete(&mut self) -> Result<String, (String, io::Error)> {
        let Some(path) = self.some_file() else { return self.create() };
        let what = format!("delete {}", path.display());
        fs::remove_file(&path).map_err(|error| (what.clone(), error))?;
        self.files.retain(|file| *file != path);
        Ok(what)
    }

    fn make_directory(&mut self) -> Result<String, (String, io::Error)> {
        let path = self.fresh_name("directory");
        let what = format!("make directory {}", path.display());
        fs::create_dir(&path).map_err(|error| (what.clone(), error))?;
        self.directories.push(path);
        Ok(what)
    }

    fn change_mode(&mut self) -> Result<String, (String, io::Error)> {
        let Some(path) = self.some_file() else { return self.create() };
        let mode = 0o600 | (self.random.below(0o100) as u32);
        let what = format!("chmod {mode:o} {}", path.display());
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(|error| (what.clone(), error))?;
        Ok(what)
    }

    fn link(&mut self) -> Result<String, (String, io::Error)> {
        let Some(path) = self.some_file() else { return self.create() };
        let to = self.fresh_name("link");
        let symbolic = self.random.below(2) == 0 || !self.hard_links;
        let what = format!("{} link {} to {}", if symbolic { "symbolic" } else { "hard" }, to.display(), path.display());
        let linked = if symbolic { std::os::unix::fs::symlink(&path, &to) } else { fs::hard_link(&path, &to) };
        linked.map_err(|error| (what.clone(), error))?;
        if !symbolic {
            self.files.push(to);
        }
        Ok(what)
    }
}
