//! The version manager's log, as the provider manager needs it.

use crate::placement::Membership;
use crate::placement::core::Roster;
use crate::version::Manager;
use crate::version::command::Action;
use weft_common::time::Timestamp;
use weft_common::wire::{ErrorKind, PlacementReply, PlacementRequest, Reply, ServiceError};

/// Changes of the roster are commands of the version manager.
#[derive(Debug)]
pub struct LoggedMembership(Manager);

impl LoggedMembership {
    /// Logs with `manager`.
    #[must_use]
    pub fn new(manager: Manager) -> Self {
        Self(manager)
    }
}

#[async_trait::async_trait]
impl Membership for LoggedMembership {
    async fn log(&self, request: PlacementRequest) -> Result<PlacementReply, ServiceError> {
        match self.0.propose(Action::Placement(request)).await? {
            Reply::Placement(reply) => Ok(reply),
            other => Err(ServiceError::new(ErrorKind::Internal, format!("a change of the roster was answered with {other:?}"))),
        }
    }

    async fn roster(&self) -> Result<Roster, ServiceError> {
        let roster = self.0.read(|state| Roster::load(state.kv())).await?;
        roster.map_err(|error| ServiceError::new(ErrorKind::Unavailable, error.to_string()))
    }

    async fn time(&self) -> Result<Timestamp, ServiceError> {
        self.0.read(|state| state.time()).await
    }
}
