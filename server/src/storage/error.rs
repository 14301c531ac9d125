//! What can go wrong in a store, and how the network is told.

use std::io;
use std::path::PathBuf;
use weft_common::wire::{ErrorKind, ServiceError};

/// A store's refusal or failure. Every message names the file and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full, or so nearly that what is left is kept for deletes.
    #[error(
        "no space in {folder}: {wanted} bytes wanted, {free} free of which {reserve} are kept so that deletes work; delete old \
         versions or add a provider"
    )]
    NoSpace {
        /// The store folder.
        folder: PathBuf,
        /// Bytes that the call needs.
        wanted: u64,
        /// Bytes free on the disk.
        free: u64,
        /// Bytes of them that are not given to puts.
        reserve: u64,
    },
    /// Stored bytes are not those that were put, or other bytes were put under the same key.
    #[error("{what} in {file} at byte {offset}; readers use another replica; look after this disk")]
    Damaged {
        /// What does not fit.
        what: String,
        /// The file.
        file: PathBuf,
        /// Where in it.
        offset: u64,
    },
    /// The operating system refused.
    #[error("cannot {action} {file}: {source}; check the disk, its mount and the permissions")]
    Io {
        /// What was tried: `read`, `write`, `open`…
        action: &'static str,
        /// The file or folder.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A write or sync failed earlier; the store can be read and takes nothing any more.
    #[error("the store {folder} is read-only since {reason}; check the disk, then restart weftd")]
    Poisoned {
        /// The store folder.
        folder: PathBuf,
        /// The failure.
        reason: String,
    },
    /// The folder belongs to another cluster, provider or role.
    #[error("{folder} belongs to {found}, not to {expected}; use another folder, or this one with the weftd it belongs to")]
    WrongFolder {
        /// The store folder.
        folder: PathBuf,
        /// Whose it is.
        found: String,
        /// Who wants it.
        expected: String,
    },
    /// Another process has the folder open.
    #[error("{folder} is in use by another process; stop the weftd or mount that has it open")]
    InUse {
        /// The store folder.
        folder: PathBuf,
    },
    /// The folder holds something that no WeftFS store put there.
    #[error("{folder} is not empty and is no WeftFS store (it holds '{found}'); use an empty folder")]
    NotAStore {
        /// The folder.
        folder: PathBuf,
        /// Something in it.
        found: String,
    },
    /// A file's format is not one that this build reads.
    #[error("{file} has format {found}, this weftd reads {expected}; use the version of WeftFS that wrote it, or a newer one")]
    Format {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: String,
        /// What is read.
        expected: u32,
    },
    /// An object that no store takes.
    #[error("{what} has {actual} bytes, at most {limit} are stored; send less")]
    TooLarge {
        /// The part that is too large.
        what: String,
        /// Its length.
        actual: usize,
        /// The limit.
        limit: usize,
    },
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::NoSpace { .. } => ErrorKind::NoSpace,
            StoreError::Damaged { .. } => ErrorKind::Damaged,
            // Another replica, or this provider after a restart, can answer: `Unavailable` makes the client look there.
            StoreError::Io { .. } | StoreError::Poisoned { .. } | StoreError::InUse { .. } => ErrorKind::Unavailable,
            StoreError::WrongFolder { .. } | StoreError::NotAStore { .. } | StoreError::Format { .. } => ErrorKind::Internal,
            StoreError::TooLarge { .. } => ErrorKind::InvalidArgument,
        };
        Self::new(kind, error.to_string())
    }
}
