//! Why a command or a read brought no answer: refused (the asker's affair), or the table failed (fatal).

use crate::version::kv::KvError;
use crate::version::namespace::NamespaceError;
use weft_common::wire::{ErrorKind, ServiceError};

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A refusal: state is as it was, the error goes to the asker.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The table failed: the process stops.
    #[error(transparent)]
    Kv(#[from] KvError),
}

impl From<NamespaceError> for Failure {
    fn from(error: NamespaceError) -> Self {
        match error {
            NamespaceError::Service(error) => Self::Service(error),
            NamespaceError::Kv(error) => Self::Kv(error),
        }
    }
}

impl Failure {
    /// A refusal.
    #[must_use]
    pub fn refuse(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::Service(ServiceError::new(kind, message))
    }

    /// Keeps the two apart: an answer or refusal, or the fatal error.
    ///
    /// # Errors
    /// [`KvError`] is fatal.
    pub fn split<T>(result: Result<T, Self>) -> Result<Result<T, ServiceError>, KvError> {
        match result {
            Ok(value) => Ok(Ok(value)),
            Err(Self::Service(error)) => Ok(Err(error)),
            Err(Self::Kv(error)) => Err(error),
        }
    }
}
