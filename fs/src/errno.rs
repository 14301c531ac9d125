//! The one table from failures to error numbers. Whatever goes wrong in a mount reaches the program through here.
//!
//! Both matches are exhaustive: a new kind of failure does not compile until somebody decides what programs see.

use weft_common::client::ClientError;
use weft_common::name::NameError;
use weft_common::wire::ErrorKind;

/// Why a file operation failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// The cluster refused or could not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The mount itself refuses.
    #[error("{1}")]
    Refused(ErrorKind, &'static str),
    /// What this handle wrote was lost earlier; it stays failed until it is closed.
    #[error("data written through this handle was lost ({0}); close it and write the file again")]
    Lost(i32),
    /// The kernel names a handle or inode that the mount does not know.
    #[error("the mount knows no such handle or inode")]
    Unknown,
    /// A lock.
    #[error(transparent)]
    Lock(#[from] LockFailure),
    /// No data (or hole) behind this offset.
    #[error("nothing follows this offset")]
    NothingFollows,
}

/// Why a lock was not taken, or is not there any more.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LockFailure {
    /// Somebody else holds it.
    #[error("somebody else holds a lock of these bytes")]
    Held,
    /// To wait would be in vain.
    #[error("whoever holds the lock waits for a lock of the asker's")]
    Deadlock,
    /// A signal ended the waiting.
    #[error("a signal came while the lock was waited for")]
    Interrupted,
    /// The client's session lapsed, and the lock with it.
    #[error("a lock that was taken through this handle is lost: servers did not hear of this mount for too long; close the file")]
    Lost,
    /// The version manager could not be asked.
    #[error("the version manager could not be asked for a lock: {0}")]
    Unanswered(Box<ClientError>),
}

impl LockFailure {
    fn errno(&self) -> i32 {
        match self {
            Self::Held => libc::EAGAIN,
            Self::Deadlock => libc::EDEADLK,
            Self::Interrupted => libc::EINTR,
            Self::Lost => libc::EIO,
            Self::Unanswered(_) => libc::ENOLCK,
        }
    }
}

impl Failure {
    /// The error number that the program sees.
    #[must_use]
    pub fn errno(&self) -> i32 {
        match self {
            Self::Client(error) => of_client(error),
            Self::Refused(kind, _) => of_kind(*kind),
            Self::Lost(errno) => *errno,
            Self::Lock(failure) => failure.errno(),
            Self::Unknown => libc::EBADF,
            Self::NothingFollows => libc::ENXIO,
        }
    }

    /// Whether a person should hear of it: servers away, data damaged or lost. Refusals are the program's business alone.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        matches!(self.errno(), libc::EIO | libc::ENOSPC | libc::EDQUOT) || matches!(self, Self::Lock(LockFailure::Unanswered(_)))
    }

    /// Whether the thing asked for does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.errno() == libc::ENOENT
    }
}

impl From<NameError> for Failure {
    fn from(error: NameError) -> Self {
        match error {
            NameError::TooLong(_) => Self::Refused(ErrorKind::NameTooLong, "a file name has at most 255 bytes"),
            NameError::Malformed => Self::Refused(ErrorKind::InvalidArgument, "not a file name"),
        }
    }
}

/// The error number of a call of the client library that failed for good.
#[must_use]
pub fn of_client(error: &ClientError) -> i32 {
    match error {
        ClientError::Service(error) => of_kind(error.kind),
        ClientError::Unconfirmed { cause } => of_client(cause),
        ClientError::Unavailable { .. } | ClientError::Damaged { .. } | ClientError::TooFewProviders { .. } => libc::EIO,
    }
}

/// The error number of a refusal.
#[must_use]
pub fn of_kind(kind: ErrorKind) -> i32 {
    match kind {
        ErrorKind::NotFound => libc::ENOENT,
        ErrorKind::AlreadyExists => libc::EEXIST,
        ErrorKind::NotDirectory => libc::ENOTDIR,
        ErrorKind::IsDirectory => libc::EISDIR,
        ErrorKind::NotEmpty => libc::ENOTEMPTY,
        ErrorKind::NameTooLong => libc::ENAMETOOLONG,
        ErrorKind::NotPermitted => libc::EPERM,
        ErrorKind::PermissionDenied => libc::EACCES,
        ErrorKind::ReadOnly => libc::EROFS,
        ErrorKind::NoSpace => libc::ENOSPC,
        ErrorKind::QuotaExceeded => libc::EDQUOT,
        ErrorKind::InvalidArgument => libc::EINVAL,
        ErrorKind::TooManyLinks => libc::EMLINK,
        ErrorKind::FileTooLarge => libc::EFBIG,
        ErrorKind::NoAttribute => libc::ENODATA,
        ErrorKind::AttributeTooLarge => libc::ENOSPC,
        ErrorKind::Stale => libc::ESTALE,
        ErrorKind::Unsupported => libc::EOPNOTSUPP,
        ErrorKind::TooManyLocks => libc::ENOLCK,
        ErrorKind::Conflict
        | ErrorKind::TooFewCopies
        | ErrorKind::Busy
        | ErrorKind::Unavailable
        | ErrorKind::SessionExpired
        | ErrorKind::Damaged
        | ErrorKind::WrongServer
        | ErrorKind::Untrusted
        | ErrorKind::Internal => libc::EIO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_common::wire::ServiceError;

    #[test]
    fn the_table_gives_what_the_manual_promises() {
        let table = [
            (ErrorKind::NoSpace, libc::ENOSPC),
            (ErrorKind::QuotaExceeded, libc::EDQUOT),
            (ErrorKind::NotPermitted, libc::EPERM),
            (ErrorKind::ReadOnly, libc::EROFS),
            (ErrorKind::NameTooLong, libc::ENAMETOOLONG),
            (ErrorKind::SessionExpired, libc::EIO),
            (ErrorKind::Damaged, libc::EIO),
            (ErrorKind::NotFound, libc::ENOENT),
        ];
        for (kind, errno) in table {
            assert_eq!(Failure::from(ClientError::Service(ServiceError::new(kind, "x"))).errno(), errno, "{kind:?}");
        }
    }

    #[test]
    fn a_long_name_is_told_from_a_malformed_one() {
        assert_eq!(Failure::from(NameError::TooLong(256)).errno(), libc::ENAMETOOLONG);
        assert_eq!(Failure::from(NameError::Malformed).errno(), libc::EINVAL);
    }

    #[test]
    fn faults_are_for_people_refusals_are_not() {
        assert!(Failure::Refused(ErrorKind::NoSpace, "full").is_fault());
        assert!(!Failure::Refused(ErrorKind::NotFound, "no").is_fault());
        let error = ClientError::TooFewProviders { role: "data", needed: 2, alive: 1 };
        assert_eq!(Failure::from(error).errno(), libc::EIO);
    }
}
