//! Bugs that are planted to prove that the checks find them. Each is a fault that the transport could have.
//!
//! They sit outside of the transport, which knows nothing of simulation: [`Tampered`] spoils what a client's transport does,
//! and the simulated server spoils its answers.

use super::network::Network;
use super::world::World;
use crate::limits::SILENCE_MAX;
use crate::rpc::{Address, Answer, Call, Rpc, RpcError};
use crate::transport::QuicRpc;
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// None: the transport as it is.
    Nothing,
    /// A call gets the answer of the call before it.
    AnswersSwapped,
    /// A body that met a loss on its way lacks its last byte.
    BodyCut,
    /// Calls go on behind their deadlines.
    DeadlineIgnored,
    /// A server that could not be reached once is never dialled again.
    NoReconnect,
    /// A call whose fate is unknown is said not to have been carried out.
    FalseCertainty,
    /// A call that brought no answer is sent again unasked.
    SentAgain,
    /// A call that brought no answer is taken for done.
    MadeUpAnswer,
    /// The memory of a body is not given back.
    BufferKept,
    /// A connection outlives its client.
    ConnectionKept,
    /// A connection carries more requests at once than it may.
    RequestsUnbounded,
    /// A server takes more bytes of bodies than it may hold.
    BodiesUnbounded,
    /// Who closes waits until QUIC has forgotten every connection.
    GoodbyeUnbounded,
    /// A call with little patience does not notice that the connection is dead.
    SilenceForgotten,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::AnswersSwapped,
        Self::BodyCut,
        Self::DeadlineIgnored,
        Self::NoReconnect,
        Self::FalseCertainty,
        Self::SentAgain,
        Self::MadeUpAnswer,
        Self::BufferKept,
        Self::ConnectionKept,
        Self::RequestsUnbounded,
        Self::BodiesUnbounded,
        Self::GoodbyeUnbounded,
        Self::SilenceForgotten,
    ];
}

/// Closes a client's transport.
pub(super) async fn close(plant: Plant, quic: &QuicRpc) {
    quic.close().await;
    if plant == Plant::GoodbyeUnbounded {
        quic.endpoint.wait_idle().await;
    }
}

/// Calls, and calls it off just before the deadline, so that the transport never sees it pass.
async fn call_off(transport: &QuicRpc, address: &Address, call: &Call) -> Result<Answer, RpcError> {
    let waited = call.deadline.saturating_sub(Duration::from_millis(1));
    let timed_out = || RpcError::TimedOut { address: address.clone(), waited, id: call.id };
    tokio::time::timeout(waited, transport.call(address, call.clone())).await.unwrap_or_else(|_| Err(timed_out()))
}

/// A client's transport with the world's planted bug.
#[derive(Debug)]
pub(super) struct Tampered {
    pub(super) network: Arc<Network>,
    pub(super) host: IpAddr,
    pub(super) inner: Arc<QuicRpc>,
    /// A second connection to each server.
    pub(super) spare: Arc<QuicRpc>,
    pub(super) state: Mutex<State>,
}

/// What a bug remembers.
#[derive(Debug, Default)]
pub(super) struct State {
    given_up: Vec<(Address, RpcError)>,
    kept: Vec<Bytes>,
    calls: u64,
}

impl Tampered {
    fn world(&self) -> &World {
        &self.network.world
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self, address: &Address) -> u64 {
        let peer = address.0.parse::<SocketAddr>();
        peer.map_or(0, |peer| self.network.lost_between(self.host, peer.ip()))
    }

    fn known_dead(&self, address: &Address) -> Option<RpcError> {
        let state = self.state();
        state.given_up.iter().find(|(known, _)| known == address).map(|(_, error)| error.clone())
    }

    async fn spoil(
        &self,
        address: &Address,
        call: Call,
        lost_before: u64,
        outcome: Result<Answer, RpcError>,
    ) -> Result<Answer, RpcError> {
        let is_unknown = matches!(outcome, Err(RpcError::Unreachable { .. } | RpcError::TimedOut { .. }));
        match (self.world().plant, outcome) {
            (Plant::BodyCut, Ok(mut answer)) if self.lost(address) > lost_before => {
                answer.body.truncate(answer.body.len().saturating_sub(1));
                Ok(answer)
            }
            (Plant::BufferKept, Ok(answer)) => {
                self.state().kept.push(answer.body.clone());
                Ok(answer)
            }
            (Plant::NoReconnect, Err(error @ RpcError::Unreachable { .. })) => {
                self.state().given_up.push((address.clone(), error.clone()));
                Err(error)
            }
            (Plant::FalseCertainty, Err(_)) if is_unknown => {
                Err(RpcError::Malformed { address: address.clone(), reason: "it could not read the request".into() })
            }
            (Plant::SentAgain, Err(_)) if is_unknown => self.inner.call(address, call).await,
            (Plant::MadeUpAnswer, Err(error)) if is_unknown => self.world().history.expected_answer(call.id).ok_or(error),
            (_, outcome) => outcome,
        }
    }
}

#[async_trait::async_trait]
impl Rpc for Tampered {
    async fn call(&self, address: &Address, mut call: Call) -> Result<Answer, RpcError> {
        if let Some(error) = self.known_dead(address) {
            return Err(error);
        }
        let is_even = {
            let mut state = self.state();
            state.calls += 1;
            state.calls.is_multiple_of(2)
        };
        let mut transport = &self.inner;
        match self.world().plant {
            Plant::DeadlineIgnored => call.deadline *= 2,
            Plant::RequestsUnbounded if is_even => transport = &self.spare,
            _ => {}
        }
        let lost_before = self.lost(address);
        let outcome = if self.world().plant == Plant::SilenceForgotten && call.deadline < SILENCE_MAX {
            call_off(transport, address, &call).await
        } else {
            transport.call(address, call.clone()).await
        };
        self.spoil(address, call, lost_before, outcome).await
    }
}

impl Drop for Tampered {
    fn drop(&mut self) {
        let kept = std::mem::take(&mut self.state().kept);
        std::mem::forget(kept);
        if self.world().plant == Plant::ConnectionKept {
            std::mem::forget(self.inner.clone());
        }
    }
}
