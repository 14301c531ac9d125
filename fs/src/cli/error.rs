//! What can go wrong in a command, each with what to do about it. `weft` prints one of these and exits with 1.

use super::archive::StreamError;
use super::target::UrlError;
use crate::mount::MountError;
use std::path::PathBuf;
use weft_common::client::ClientError;

/// A command that failed. The message is one line for a person.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// The target is no URL that a volume can have.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// A server refused, or could not be reached.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Not inside a mount.
    #[error("{0} is not inside a WeftFS mount; give a path in a mount, or weft://HOST/VOLUME/PATH")]
    NotInMount(PathBuf),
    /// Inside a mount of somebody else, which the kernel keeps others out of.
    #[error(
        "{0} lies in a WeftFS mount of another user that is for that user alone; mount the volume yourself, have it mounted with \
         --allow-other, or name weft://HOST/VOLUME/PATH"
    )]
    ForeignMount(PathBuf),
    /// A path with `.versions` or `.history` in it where a live one is wanted.
    #[error("{0} is a path into the past; give the live path, and the version with the option for it")]
    PathInHistory(PathBuf),
    /// What two paths of different volumes cannot do.
    #[error("{source_path} and {destination} are in different volumes, which share no content; copy with cp")]
    OtherVolume {
        /// What was to be cloned.
        source_path: String,
        /// Where to.
        destination: String,
    },
    /// The command needs a volume.
    #[error("{0} names no volume; write weft://HOST/VOLUME")]
    NoVolume(String),
    /// The volume does not exist.
    #[error(
        "there is no volume '{name}' at {cluster}; `weft volume list weft://{cluster}` shows what there is, `weft volume create` makes one"
    )]
    UnknownVolume {
        /// Its name.
        name: String,
        /// The servers that were asked.
        cluster: String,
    },
    /// Nothing of that name.
    #[error("{path} does not exist at {at}")]
    NoSuchPath {
        /// The path below the volume's root.
        path: String,
        /// The version.
        at: String,
    },
    /// Not what the command works on.
    #[error("{path}: {problem}")]
    WrongKind {
        /// The path below the volume's root.
        path: String,
        /// Why not, and what to do.
        problem: &'static str,
    },
    /// The version does not exist.
    #[error("version {wanted} is not there: the newest is {latest}")]
    NoSuchVersion {
        /// What was asked for.
        wanted: u64,
        /// The newest.
        latest: u64,
    },
    /// No credentials.
    #[error(
        "no certificate for this cluster found in {}{}; copy the client folder that `weftd init` made there, or name it with --identity or WEFT_IDENTITY",
        list(.folders),
        if *.denied { ", of which not all are for you to look into" } else { "" }
    )]
    NoIdentity {
        /// Where was looked.
        folders: Vec<PathBuf>,
        /// Some could not be looked into.
        denied: bool,
    },
    /// The credentials cannot be used.
    #[error("{0}")]
    Identity(String),
    /// The network cannot be used.
    #[error("{0}")]
    Transport(String),
    /// The mount failed.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// Unmounting failed.
    #[error("unmounting {path} failed: {reason}")]
    Unmount {
        /// The mount point.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// The servers of `--local` did not start.
    #[error("the volume in {folder} cannot be served: {reason}")]
    Local {
        /// The store folder.
        folder: PathBuf,
        /// Why.
        reason: String,
    },
    /// Arguments that do not fit together.
    #[error("{0}")]
    Usage(String),
    /// Something of the operating system's.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted, on what.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// What `weft send` made cannot be read.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A difference does not fit what is there.
    #[error("{path} is not what the stream builds on, version {needs} of what was sent: {problem}")]
    Base {
        /// The path below the volume's root.
        path: String,
        /// The version that the difference starts from.
        needs: u64,
        /// What is there instead.
        problem: String,
    },
    /// There is something already.
    #[error("{0}")]
    Exists(String),
    /// What was begun cannot be ended now.
    #[error("{0}")]
    Unfinished(String),
    /// A check found something wrong; what, is printed already.
    #[error("{0}")]
    Damage(String),
    /// A server answered something else than was asked.
    #[error("the version manager's answer to {0} is of another kind; client and servers are of different builds")]
    UnexpectedAnswer(&'static str),
}

impl CliError {
    /// An operating system's error with its context.
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
