//! Errors on the wire: which server, what, and whether to retry.

use serde::{Deserialize, Serialize};

/// What kind of failure it is. The FUSE client's one errno table matches on it exhaustively.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ErrorKind {
    /// No such file, volume, version, tag, node or page object.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// A directory is needed here.
    NotDirectory,
    /// A directory cannot stand here.
    IsDirectory,
    /// The directory has entries.
    NotEmpty,
    /// A name of more than 255 bytes, a symlink target of more than 4095.
    NameTooLong,
    /// The name is reserved, or the operation is never allowed on this object.
    NotPermitted,
    /// The caller's user may not do this.
    PermissionDenied,
    /// Old versions never change.
    ReadOnly,
    /// No provider has room.
    NoSpace,
    /// The volume's quota is used up.
    QuotaExceeded,
    /// An argument out of range; the message says which.
    InvalidArgument,
    /// The file would have too many names.
    TooManyLinks,
    /// The file would be longer than a file can be.
    FileTooLarge,
    /// No such extended attribute.
    NoAttribute,
    /// An extended attribute too large.
    AttributeTooLarge,
    /// The object was there and is gone for good.
    Stale,
    /// A conditional update (a compaction) came too late; the condition no longer holds.
    Conflict,
    /// The page objects of an update have fewer copies than the volume asks for by now; store them again.
    TooFewCopies,
    /// Too much is under way; come again.
    Busy,
    /// The server, or one it needs, cannot answer now.
    Unavailable,
    /// The session is closed or its lease lapsed.
    SessionExpired,
    /// Stored bytes do not match their checksum, or their identity.
    Damaged,
    /// This server does not have the role that was asked for.
    WrongServer,
    /// The peer's certificate does not allow this.
    Untrusted,
    /// Not something that WeftFS does.
    Unsupported,
    /// The server failed in a way it did not expect; its log has the same request id.
    Internal,
    /// A file, or a session, has as many locks as it may have.
    TooManyLocks,
}

/// A server's refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({kind:?}, from {})", if .server.is_empty() { "this client" } else { .server })]
pub struct ServiceError {
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// The server that says so: its role and address.
    pub server: String,
    /// What happened, to what, and what to do about it; one line for a person.
    pub message: String,
    /// Whether the same request may succeed later without anybody doing anything.
    pub retry: bool,
}

impl ServiceError {
    /// An error that a repetition will not cure. The server's name is filled in where the request left ([`ServiceError::from_server`]).
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let retry = matches!(kind, ErrorKind::Busy | ErrorKind::Unavailable);
        Self { kind, server: String::new(), message: message.into(), retry }
    }

    /// Names the server, unless one is named already.
    #[must_use]
    pub fn from_server(mut self, server: &str) -> Self {
        if self.server.is_empty() {
            server.clone_into(&mut self.server);
        }
        self
    }
}
