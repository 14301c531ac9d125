//! The door: hands each request to the role that answers it.

use super::provider::Provider;
use crate::config::Role;
use crate::data::DataProvider;
use crate::metadata::MetadataProvider;
use crate::placement::PlacementService;
use crate::version::Manager;
use weft_common::rpc::{Address, Answer, Call, Handler, Peer};
use weft_common::wire::{ErrorKind, ProviderRole, Request, ServiceError};

/// The roles of this process.
#[derive(Debug)]
pub struct Roles {
    address: Address,
    manager: Option<Manager>,
    placement: Option<PlacementService>,
    metadata: Option<MetadataProvider>,
    data: Option<DataProvider>,
}

impl Roles {
    /// The door of the process at `address`.
    #[must_use]
    pub fn new(address: Address, manager: Option<Manager>, placement: Option<PlacementService>, providers: &[Provider]) -> Self {
        let store_of = |role| providers.iter().find(|provider| provider.stores == role).map(|provider| provider.store.clone());
        Self {
            address,
            manager,
            placement,
            metadata: store_of(ProviderRole::Metadata).map(|store| MetadataProvider::new(store)),
            data: store_of(ProviderRole::Data).map(|store| DataProvider::new(store)),
        }
    }

    async fn hand_over(&self, peer: &Peer, call: Call) -> Result<Answer, ServiceError> {
        match call.request {
            Request::Volume(_)
            | Request::Session(_)
            | Request::Query(_)
            | Request::Change(_)
            | Request::Blob(_)
            | Request::History(_)
            | Request::Lock(_)
            | Request::Lease(_) => match &self.manager {
                Some(manager) => manager.handle(peer, call).await,
                None => Err(absent("version manager")),
            },
            Request::Placement(_) => match &self.placement {
                Some(placement) => placement.handle(peer, call).await,
                None => Err(absent("provider manager")),
            },
            Request::Metadata(_) => match &self.metadata {
                Some(metadata) => metadata.handle(peer, call).await,
                None => Err(absent("metadata provider")),
            },
            Request::Data(_) => match &self.data {
                Some(data) => data.handle(peer, call).await,
                None => Err(absent("data provider")),
            },
        }
    }
}

#[async_trait::async_trait]
impl Handler for Roles {
    async fn handle(&self, peer: &Peer, call: Call) -> Result<Answer, ServiceError> {
        let role = role_of(&call.request);
        self.hand_over(peer, call).await.map_err(|error| error.from_server(&format!("{role}@{}", self.address)))
    }
}

/// The role that answers a request, as logs and errors name it.
fn role_of(request: &Request) -> String {
    match request {
        Request::Volume(_)
        | Request::Session(_)
        | Request::Query(_)
        | Request::Change(_)
        | Request::Blob(_)
        | Request::History(_)
        | Request::Lock(_)
        | Request::Lease(_) => Role::VersionManager.to_string(),
        Request::Placement(_) => "provider-manager".to_owned(),
        Request::Metadata(_) => Role::Metadata.to_string(),
        Request::Data(_) => Role::Data.to_string(),
    }
}

fn absent(role: &str) -> ServiceError {
    let message = format!("there is no {role} here; the address belongs to a weftd with other roles");
    ServiceError::new(ErrorKind::WrongServer, message)
}
