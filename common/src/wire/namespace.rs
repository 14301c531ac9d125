//! The namespace: names, attributes, history. Reads go to any version at the same cost; changes make the next one.

use crate::id::{BlobId, BlobVersion, InodeNumber, VolumeId, VolumeVersion};
use crate::name::FileName;
use crate::time::Timestamp;
use crate::weave::Tree;
use crate::wire::{Author, RequestKey};
use serde::{Deserialize, Serialize};

/// The state that a read is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum At {
    /// As last published.
    Head,
    /// As it was at that volume version.
    Version(VolumeVersion),
}

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FileKind {
    /// A regular file: has a blob.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket's name.
    Socket,
    /// A block device; `rdev` says which.
    BlockDevice,
    /// A character device; `rdev` says which.
    CharacterDevice,
}

/// Everything `stat` needs of one inode at one version, and for a file the tree to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// The inode.
    pub inode: InodeNumber,
    /// What it is.
    pub kind: FileKind,
    /// Permission bits, setuid, setgid and sticky included: the low 12 bits of `st_mode`.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Names of the file; for a directory 2 + its sub-directories. 0 for an open file without a name.
    pub links: u32,
    /// Bytes of a file, length of a symlink's target, number of entries of a directory.
    pub size: u64,
    /// Device number of a device, as the kernel encodes it.
    pub rdev: u32,
    /// Last access, as far as somebody set it; reads do not.
    pub accessed: Timestamp,
    /// Last change of the content.
    pub modified: Timestamp,
    /// Last change of content or attributes.
    pub changed: Timestamp,
    /// When the inode was made.
    pub born: Timestamp,
    /// The volume version that this state is from: it was made by this N and holds until the next one that touches the inode.
    pub version: VolumeVersion,
    /// Names and values of its extended attributes together: 0 if it has none, so that nobody need ask.
    pub xattr_bytes: u32,
    /// A file's content.
    pub tree: Option<Tree>,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryEntry {
    /// The name.
    pub name: FileName,
    /// What it names.
    pub attributes: Attributes,
}

/// A read of the namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceQuery {
    /// The volume.
    pub volume: VolumeId,
    /// The state that is asked for; ignored by queries about the history itself.
    pub at: At,
    /// What is asked.
    pub query: Query,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// One name of a directory. Answer: `Attributes`.
    LookUp {
        /// The directory.
        parent: InodeNumber,
        /// The name.
        name: FileName,
    },
    /// One inode. Answer: `Attributes`.
    Attributes(InodeNumber),
    /// The directory that a directory lies in (the root's is the root). Answer: `Attributes`.
    Parent(InodeNumber),
    /// Part of a directory in order of names, attributes included. Answer: `Entries`.
    ReadDirectory {
        /// The directory.
        directory: InodeNumber,
        /// Start behind this name.
        after: Option<FileName>,
        /// At most so many, and at most [`crate::limits::ENTRIES_PER_ANSWER_MAX`].
        limit: u32,
    },
    /// A symlink's target. Answer: `Bytes`.
    ReadLink(InodeNumber),
    /// One extended attribute. Answer: `Bytes`.
    GetXattr {
        /// The inode.
        inode: InodeNumber,
        /// The attribute's name with its prefix (`user.comment`).
        name: Vec<u8>,
    },
    /// The names of all extended attributes. Answer: `Names`.
    ListXattrs(InodeNumber),
    /// A path from the root to the inode (one of them, for a file with several names). Answer: `Path`.
    PathOf(InodeNumber),
    /// Space and counts. Answer: `Statistics`.
    Statistics,
    /// The newest volume version. Answer: `Version`.
    Latest,
    /// The newest version not after a time that is kept in a directory: of the volume, or by a policy of the directory or of one that
    /// it lay in then. Answer: `Version`.
    VersionAt {
        /// The directory; the root for versions that are kept whole.
        directory: InodeNumber,
        /// The time.
        time: Timestamp,
    },
    /// That version, if it is kept in a directory. Answer: `Version`.
    Version {
        /// The directory; the root for versions that are kept whole.
        directory: InodeNumber,
        /// The version.
        version: VolumeVersion,
    },
    /// The version with a tag. Answer: `Version`.
    VersionTagged(String),
    /// All tags, by name. Answer: `Tags`.
    Tags,
    /// The versions in which the entries of a directory, or files directly in it, changed (for the root: every kept version),
    /// ascending. Answer: `Changes`.
    VersionsOf {
        /// The directory.
        directory: InodeNumber,
        /// Start behind this version.
        after: VolumeVersion,
        /// At most so many.
        limit: u32,
    },
    /// Every kept content of one name in one directory, ascending, also after it was deleted. Answer: `History`.
    HistoryOf {
        /// The directory.
        parent: InodeNumber,
        /// The name.
        name: FileName,
        /// Start behind this version.
        after: VolumeVersion,
        /// At most so many.
        limit: u32,
    },
    /// Every change of the volume behind a version, ascending; if there is none yet, waits up to `wait_ms` for one. Answer: `Changes`.
    Watch {
        /// Start behind this version.
        after: VolumeVersion,
        /// At most so many.
        limit: u32,
        /// How long to wait for the first.
        wait_ms: u32,
    },
}

impl Query {
    /// The query's name for logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::LookUp { .. } => "look_up",
            Self::Attributes(_) => "attributes",
            Self::Parent(_) => "parent",
            Self::ReadDirectory { .. } => "read_directory",
            Self::ReadLink(_) => "read_link",
            Self::GetXattr { .. } => "get_xattr",
            Self::ListXattrs(_) => "list_xattrs",
            Self::PathOf(_) => "path_of",
            Self::Statistics => "statistics",
            Self::Latest => "latest",
            Self::VersionAt { .. } => "version_at",
            Self::Version { .. } => "version",
            Self::VersionTagged(_) => "version_tagged",
            Self::Tags => "tags",
            Self::VersionsOf { .. } => "versions_of",
            Self::HistoryOf { .. } => "history_of",
            Self::Watch { .. } => "watch",
        }
    }
}

/// Answers to queries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamespaceAnswer {
    /// An inode.
    Attributes(Attributes),
    /// Part of a directory.
    Entries {
        /// The entries.
        entries: Vec<DirectoryEntry>,
        /// Whether there are more behind them.
        more: bool,
    },
    /// A symlink's target or an attribute's value.
    Bytes(Vec<u8>),
    /// Names of attributes.
    Names(Vec<Vec<u8>>),
    /// The components of a path from the root.
    Path(Vec<FileName>),
    /// Space and counts.
    Statistics(VolumeStatistics),
    /// A version.
    Version(VolumeVersion),
    /// Tags.
    Tags(Vec<Tag>),
    /// Changes.
    Changes {
        /// The changes.
        changes: Vec<ChangeRecord>,
        /// Whether there are more behind them.
        more: bool,
    },
    /// One name's states.
    History {
        /// The states.
        states: Vec<HistoryState>,
        /// Whether there are more behind them.
        more: bool,
    },
}

/// A name for a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// The name: as a volume's name.
    pub name: String,
    /// The version.
    pub version: VolumeVersion,
    /// When the tag was set.
    pub created: Timestamp,
}

/// One content that a name had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryState {
    /// The volume version from which on the name had it.
    pub from: VolumeVersion,
    /// The inode then.
    pub attributes: Attributes,
    /// Who made it.
    pub author: Author,
    /// The version that took the name away after this state, if one did.
    pub removed: Option<VolumeVersion>,
}

/// What `df` shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeStatistics {
    /// Bytes of the files as they are now.
    pub live_bytes: u64,
    /// Files, directories and the like as they are now.
    pub live_inodes: u64,
    /// Bytes of page objects that updates brought, all kept versions together, each counted once (not once per copy).
    pub stored_bytes: u64,
}

/// What kind of change made a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ChangeKind {
    /// A new name for a new inode.
    Create,
    /// New content.
    Write,
    /// A new name for a file that has one.
    Link,
    /// A name is gone.
    Remove,
    /// A name moved, perhaps over another.
    Rename,
    /// Mode, owner, times or extended attributes.
    Attributes,
    /// A state of the past was made the present one.
    Restore,
    /// A new name for a copy of something, with everything below it.
    Clone,
}

/// What one volume version changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRecord {
    /// The version.
    pub version: VolumeVersion,
    /// When.
    pub time: Timestamp,
    /// Who.
    pub author: Author,
    /// What kind.
    pub kind: ChangeKind,
    /// The inode that changed.
    pub inode: InodeNumber,
    /// Its directory and name; for a rename the new ones. `None` for the root.
    pub place: Option<(InodeNumber, FileName)>,
    /// For a rename the old ones, for a clone those of what it is a clone of.
    pub old_place: Option<(InodeNumber, FileName)>,
    /// For new content: the blob version and the size.
    pub content: Option<(BlobId, BlobVersion, u64)>,
}

/// A change of the namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceChange {
    /// The volume.
    pub volume: VolumeId,
    /// Recognises a repetition.
    pub key: RequestKey,
    /// Who does it.
    pub author: Author,
    /// What is done.
    pub change: Change,
}

/// What a new inode is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NewInode {
    /// An empty file.
    File,
    /// An empty directory.
    Directory,
    /// A symlink with its target.
    Symlink(Vec<u8>),
    /// A pipe, socket or device with its device number.
    Special(FileKind, u32),
}

/// Whether an extended attribute may or must exist before it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum XattrMode {
    /// Either way.
    Any,
    /// It must not exist (`XATTR_CREATE`).
    Create,
    /// It must exist (`XATTR_REPLACE`).
    Replace,
}

/// Attributes to set; `None` leaves one as it is. Sizes change by blob updates, never here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributeChange {
    /// Low 12 bits of `st_mode`.
    pub mode: Option<u16>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Access time.
    pub accessed: Option<Timestamp>,
    /// Modification time.
    pub modified: Option<Timestamp>,
}

/// What is done. Permissions are the kernel's business (`default_permissions`); the version manager checks structure only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A new inode under a new name. Reply: its attributes.
    Create {
        /// The directory.
        parent: InodeNumber,
        /// The name.
        name: FileName,
        /// What it is.
        inode: NewInode,
        /// Low 12 bits of `st_mode`, as the program asked for them.
        mode: u16,
        /// Owner.
        uid: u32,
        /// Group, unless the directory is setgid and gives its own.
        gid: u32,
        /// Whether an existing *file* of that name is an error; if not, it is answered as if just made.
        exclusive: bool,
        /// Bits that the program's process keeps out of the mode, unless the directory has a default access control list.
        umask: u16,
    },
    /// Another name for a file. Reply: its attributes.
    Link {
        /// The file.
        inode: InodeNumber,
        /// The directory.
        parent: InodeNumber,
        /// The name.
        name: FileName,
    },
    /// Takes a name from anything but a directory. Reply: the attributes of what it named.
    Unlink {
        /// The directory.
        parent: InodeNumber,
        /// The name.
        name: FileName,
    },
    /// Removes an empty directory. Reply: its attributes.
    RemoveDirectory {
        /// The directory it is in.
        parent: InodeNumber,
        /// Its name.
        name: FileName,
    },
    /// Moves a name, atomically, over another if need be. Reply: the attributes of what moved.
    Rename {
        /// The directory it is in.
        parent: InodeNumber,
        /// Its name.
        name: FileName,
        /// The directory it goes to.
        new_parent: InodeNumber,
        /// The name it gets.
        new_name: FileName,
        /// Refuse if the new name is taken (`RENAME_NOREPLACE`).
        no_replace: bool,
        /// Both names exist and trade places (`RENAME_EXCHANGE`).
        exchange: bool,
    },
    /// Mode, owner, times. Reply: the attributes.
    SetAttributes {
        /// The inode.
        inode: InodeNumber,
        /// What to set.
        set: AttributeChange,
    },
    /// An extended attribute. Reply: the attributes.
    SetXattr {
        /// The inode.
        inode: InodeNumber,
        /// The attribute's name with its prefix.
        name: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
        /// Whether it may or must exist.
        mode: XattrMode,
    },
    /// No longer that attribute. Reply: the attributes.
    RemoveXattr {
        /// The inode.
        inode: InodeNumber,
        /// The attribute's name with its prefix.
        name: Vec<u8>,
    },
    /// Makes one name's state of the past the present one: a file (its content by a clone, in O(1)), a symlink, or the
    /// absence of the name. A directory is made again if it is gone; its entries are restored one by one. Reply: the attributes.
    Restore {
        /// The directory, as it is now.
        parent: InodeNumber,
        /// The name.
        name: FileName,
        /// The directory in which the name was then (the same, unless the directory itself was made again).
        source: InodeNumber,
        /// The version to go back to.
        to: VolumeVersion,
    },
    /// Names a version. Reply: none; takes no N.
    SetTag {
        /// The tag.
        name: String,
        /// The version.
        version: VolumeVersion,
    },
    /// Forgets a tag. Reply: none; takes no N.
    RemoveTag(String),
    /// A new name for a copy of an inode as it was or is: a directory with everything below it. Contents are shared, not copied; names
    /// of one file become files of their own. Attributes are those of the source, but for the time of the change. One version,
    /// however much it is; at most [`crate::limits::CLONE_INODES_MAX`]. Reply: the attributes of the copy.
    Clone {
        /// What is copied.
        source: InodeNumber,
        /// The state of it that is copied.
        at: At,
        /// The directory that the copy goes to.
        parent: InodeNumber,
        /// The name that it gets.
        name: FileName,
    },
    /// A file gets the content of another one, or of an older version of itself: shared, not copied. Refused with `Conflict` if one of
    /// the two is not what the client takes it for, or an update of the file is in flight: then the bytes are to be copied. Reply: the
    /// attributes of the file.
    ShareContent {
        /// The file whose content it is.
        source: InodeNumber,
        /// The state of it.
        at: At,
        /// What its content is then.
        content: (BlobId, BlobVersion),
        /// The file that gets it.
        inode: InodeNumber,
        /// What its content is until then.
        replaces: (BlobId, BlobVersion),
        /// The file's modification time after it.
        modified: Timestamp,
    },
    /// A file whose content was lost gets an older one that is whole, its own or that of a file that had its name: shared, not copied.
    /// For recovery after a loss of power. Refused with `Conflict` if the file has another content than the lost one by now, or another
    /// name. Reply: the attributes of the file.
    FallBack {
        /// The directory of the name whose history has the older content.
        parent: InodeNumber,
        /// That name.
        name: FileName,
        /// The file that has it now.
        inode: InodeNumber,
        /// Its content, which is lost.
        lost: (BlobId, BlobVersion),
        /// The file that had the older content.
        source: InodeNumber,
        /// The older content.
        content: (BlobId, BlobVersion),
        /// Updates of the lost content that are in flight can never be finished and go with it. Without this they are a reason to refuse.
        abandon: bool,
    },
}

impl Change {
    /// The directories in which it changes names.
    #[must_use]
    pub fn directories(&self) -> [Option<InodeNumber>; 2] {
        match self {
            Self::Create { parent, .. }
            | Self::Link { parent, .. }
            | Self::Unlink { parent, .. }
            | Self::RemoveDirectory { parent, .. }
            | Self::Restore { parent, .. }
            | Self::Clone { parent, .. }
            | Self::FallBack { parent, .. } => [Some(*parent), None],
            Self::Rename { parent, new_parent, .. } => [Some(*parent), Some(*new_parent)],
            Self::SetAttributes { .. }
            | Self::SetXattr { .. }
            | Self::RemoveXattr { .. }
            | Self::SetTag { .. }
            | Self::RemoveTag(_)
            | Self::ShareContent { .. } => [None, None],
        }
    }

    /// The inode whose attributes it changes, apart from what follows from names.
    #[must_use]
    pub fn subject(&self) -> Option<InodeNumber> {
        match self {
            Self::SetAttributes { inode, .. }
            | Self::SetXattr { inode, .. }
            | Self::RemoveXattr { inode, .. }
            | Self::Link { inode, .. }
            | Self::ShareContent { inode, .. } => Some(*inode),
            _ => None,
        }
    }

    /// The change's name for logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Link { .. } => "link",
            Self::Unlink { .. } => "unlink",
            Self::RemoveDirectory { .. } => "remove_directory",
            Self::Rename { .. } => "rename",
            Self::SetAttributes { .. } => "set_attributes",
            Self::SetXattr { .. } => "set_xattr",
            Self::RemoveXattr { .. } => "remove_xattr",
            Self::Restore { .. } => "restore",
            Self::SetTag { .. } => "set_tag",
            Self::RemoveTag(_) => "remove_tag",
            Self::Clone { .. } => "clone",
            Self::ShareContent { .. } => "share_content",
            Self::FallBack { .. } => "fall_back",
        }
    }
}

/// The answer to a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeReply {
    /// The volume version that it made (the newest one, if it made none).
    pub version: VolumeVersion,
    /// The inode it is about, after the change.
    pub attributes: Option<Attributes>,
}
