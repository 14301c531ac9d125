//! What is written down: an operation, when it was under way, and what it answered.

use super::past::split;

/// Nanoseconds of `CLOCK_MONOTONIC`: one machine has one, so moments of different mounts compare.
pub type Moment = u64;

/// One operation of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number, unique in the history. Content that it writes carries it, and the volume's log names it as the program.
    pub number: u32,
    /// Who did it: a client does one operation after the other.
    pub client: u16,
    /// The mount that it was done on.
    pub mount: u16,
    /// Before its first system call.
    pub start: Moment,
    /// After its last one.
    pub end: Moment,
    /// What was done.
    pub operation: Operation,
    /// What came of it.
    pub outcome: Outcome,
}

/// What a client does. Paths are relative to the volume's root.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields are named for what they are")]
pub enum Operation {
    /// A new file: `O_CREAT | O_EXCL`, whole content, close.
    Create { path: String, size: u32 },
    /// New content for a file that is there: `O_TRUNC`, whole content, close.
    Overwrite { path: String, size: u32 },
    /// A draft with new content, renamed over the file.
    Replace { draft: String, path: String, size: u32 },
    /// `ftruncate(2)`, `fsync`, close.
    Cut { path: String, size: u32 },
    /// Open, `fstat`, read to the end, close.
    Read { path: String },
    /// `stat(2)`.
    Stat { path: String },
    /// As [`Operation::Read`], but the handle stays open.
    Hold { path: String },
    /// Reads the whole file through the handle that the operation `hold` opened at `path`.
    ReadHeld { hold: u32, path: String },
    /// Closes that handle.
    LetGo { hold: u32, path: String },
    /// Asks for `user.weft.version`.
    Version { path: String },
    /// Reads `.versions/VERSION/PATH`.
    ReadOld { version: u64, path: String },
    /// `rename(2)`.
    Rename { from: String, to: String },
    /// `link(2)`.
    Link { from: String, to: String },
    /// `unlink(2)`.
    Unlink { path: String },
    /// `mkdir(2)`.
    MakeDirectory { path: String },
    /// `rmdir(2)`.
    RemoveDirectory { path: String },
    /// Lists a directory.
    List { path: String },
    /// Appends one record with `O_APPEND`, closes.
    Append { path: String, size: u32 },
    /// Reads a log of records.
    ReadLog { path: String },
    /// Writes one slice of a shared file, closes.
    WriteTile { path: String, slice: u16 },
    /// Reads all slices.
    ReadTiles { path: String },
    /// Writes a growing file on to this length, `fsync`.
    Grow { path: String, to: u64 },
    /// Opens a growing file and reads it.
    ReadGrown { path: String },
    /// Reads a growing file through a handle that stays open.
    Follow { path: String },
}

/// What unpublished bytes are seen together within one mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Whole files and their names.
    Tree,
    /// Logs.
    Logs,
    /// Shared files of slices.
    Tiles,
    /// Growing files.
    Growing,
}

impl Operation {
    /// Its name, for counts and messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create O_EXCL",
            Self::Overwrite { .. } => "overwrite",
            Self::Replace { .. } => "replace by rename",
            Self::Cut { .. } => "truncate",
            Self::Read { .. } => "read",
            Self::Stat { .. } => "stat",
            Self::Hold { .. } => "open and hold",
            Self::ReadHeld { .. } => "read at a held handle",
            Self::LetGo { .. } => "close a held handle",
            Self::Version { .. } => "ask for the version",
            Self::ReadOld { .. } => "read an old version",
            Self::Rename { .. } => "rename",
            Self::Link { .. } => "link",
            Self::Unlink { .. } => "unlink",
            Self::MakeDirectory { .. } => "mkdir",
            Self::RemoveDirectory { .. } => "rmdir",
            Self::List { .. } => "readdir",
            Self::Append { .. } => "append",
            Self::ReadLog { .. } => "read a log",
            Self::WriteTile { .. } => "write a slice",
            Self::ReadTiles { .. } => "read all slices",
            Self::Grow { .. } => "grow and fsync",
            Self::ReadGrown { .. } => "read a growing file",
            Self::Follow { .. } => "follow a growing file",
        }
    }

    /// The path that it is about; of two, the one that exists before.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Create { path, .. }
            | Self::Overwrite { path, .. }
            | Self::Replace { path, .. }
            | Self::Cut { path, .. }
            | Self::Read { path }
            | Self::Stat { path }
            | Self::Hold { path }
            | Self::ReadHeld { path, .. }
            | Self::LetGo { path, .. }
            | Self::Version { path }
            | Self::ReadOld { path, .. }
            | Self::Unlink { path }
            | Self::MakeDirectory { path }
            | Self::RemoveDirectory { path }
            | Self::List { path }
            | Self::Append { path, .. }
            | Self::ReadLog { path }
            | Self::WriteTile { path, .. }
            | Self::ReadTiles { path }
            | Self::Grow { path, .. }
            | Self::ReadGrown { path }
            | Self::Follow { path } => path,
            Self::Rename { from, .. } | Self::Link { from, .. } => from,
        }
    }

    /// The directories that it is about.
    #[must_use]
    pub fn directories(&self) -> Vec<&str> {
        let of = |path| split(path).0;
        match self {
            Self::List { path } => vec![path],
            Self::Rename { from, to } | Self::Link { from, to } => vec![of(from), of(to)],
            Self::Replace { draft, path, .. } => vec![of(draft), of(path)],
            _ => vec![of(self.path())],
        }
    }

    /// Where its unpublished bytes would be seen.
    #[must_use]
    pub fn family(&self) -> Family {
        match self {
            Self::Append { .. } | Self::ReadLog { .. } => Family::Logs,
            Self::WriteTile { .. } | Self::ReadTiles { .. } => Family::Tiles,
            Self::Grow { .. } | Self::ReadGrown { .. } | Self::Follow { .. } => Family::Growing,
            _ => Family::Tree,
        }
    }

    /// Whether it has bytes written and not published for a moment.
    #[must_use]
    pub fn writes(&self) -> bool {
        matches!(
            self,
            Self::Create { .. }
                | Self::Overwrite { .. }
                | Self::Replace { .. }
                | Self::Cut { .. }
                | Self::Append { .. }
                | Self::WriteTile { .. }
                | Self::Grow { .. }
        )
    }
}

/// The content of a whole file: what one write left in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Value {
    /// The operation that wrote it; 0 if nobody did.
    pub by: u32,
    /// So many of its bytes are still there.
    pub kept: u32,
    /// The file's size: behind the kept bytes are zeros.
    pub size: u32,
}

impl Value {
    /// The whole content that the operation `by` wrote.
    #[must_use]
    pub fn whole(by: u32, size: u32) -> Self {
        Self { by, kept: size, size }
    }

    /// What is left of it when the file is cut to `size`, or drawn out.
    #[must_use]
    pub fn cut(self, size: u32) -> Self {
        Self { kept: self.kept.min(size), size, ..self }
    }
}

/// What an operation answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields are named for what they are")]
pub enum Outcome {
    /// It succeeded, and there is nothing to say.
    Done,
    /// The size that `fstat` said, and what was read.
    Content { said: u64, value: Value },
    /// What `stat` said.
    Stat { size: u64, links: u64 },
    /// The names in a directory.
    Names(Vec<String>),
    /// A volume version.
    Version(u64),
    /// The appending operations whose records are there, in their order.
    Log(Vec<u32>),
    /// The operation that wrote each slice last; 0 for none.
    Tiles(Vec<u32>),
    /// So many right bytes.
    Grown(u64),
    /// What was read is nothing that anybody wrote; from this offset on it is wrong.
    Torn(u64),
    /// It failed with this error number.
    Failed(i32),
}
