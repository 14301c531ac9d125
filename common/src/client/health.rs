//! Which providers failed this client lately. A provider that hangs costs a whole deadline, so it becomes the last choice
//! for a few seconds, long before the provider manager declares it dead.

use super::lock;
use crate::id::ProviderId;
use crate::limits::SUSPICION;
use crate::rpc::RpcError;
use crate::wire::ErrorKind;
use std::collections::HashMap;
use std::sync::Mutex;
use tokio::time::Instant;

/// Providers under suspicion; at most as many as there are providers.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<HashMap<ProviderId, Instant>>);

impl Health {
    fn suspect(&self, provider: ProviderId) {
        lock(&self.0).insert(provider, Instant::now() + SUSPICION);
    }

    /// A call to `provider` failed: suspects it, unless the failure says something about the request only.
    pub(crate) fn judge(&self, provider: ProviderId, error: &RpcError) {
        let blamed = match error {
            RpcError::Service(error) => {
                matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Internal | ErrorKind::WrongServer)
            }
            _ => true,
        };
        if blamed {
            self.suspect(provider);
        }
    }

    /// `provider` answered: whatever it was, it is over.
    pub(crate) fn trust(&self, provider: ProviderId) {
        lock(&self.0).remove(&provider);
    }

    /// Whether `provider` failed lately.
    pub(crate) fn is_suspect(&self, provider: ProviderId) -> bool {
        lock(&self.0).get(&provider).is_some_and(|until| *until > Instant::now())
    }
}
