//! Every call with what both sides saw of it, and the promises that follow:
//!
//! - a call ends by its deadline, with an answer or a typed error;
//! - an answer or refusal is this call's own, byte for byte, and the call was carried out;
//! - a call is carried out at most as often as it was sent, by the server that it was sent to, with the request's own body, in the
//!   name of its sender, with no more time than the sender gave;
//! - a call that is said not to have been carried out was not, then or later.

use super::contents::{self, Way};
use super::world::World;
use crate::id::RequestId;
use crate::limits::BODY_BYTES_MAX;
use crate::rpc::{Answer, Call, Peer, RpcError};
use crate::wire::{DataReply, ErrorKind, Reply};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How much later than it should something may end: tokio's timers have milliseconds.
pub(super) const LATENESS_MAX: Duration = Duration::from_millis(5);

/// What a client asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) client: u8,
    pub(super) server: u8,
    pub(super) request_bytes: usize,
    pub(super) answer_bytes: usize,
    pub(super) deadline: Duration,
    /// How long the server works on it.
    pub(super) work: Duration,
    /// Whether the server refuses it.
    pub(super) is_refused: bool,
}

impl Order {
    /// Whether the client's own side has to refuse it.
    fn is_oversized(&self) -> bool {
        self.request_bytes > BODY_BYTES_MAX as usize
    }
}

#[derive(Debug)]
struct Record {
    order: Order,
    executions: u32,
    /// It was said that it was not carried out.
    is_denied: bool,
}

/// All calls of a simulation.
#[derive(Debug, Default)]
pub(super) struct History {
    records: Mutex<BTreeMap<RequestId, Record>>,
}

/// How a call ended, for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With the server's answer or refusal.
    Answered,
    /// Without; nobody knows whether it was carried out.
    Unknown,
    /// It was not sent.
    Denied,
}

pub(super) fn client_name(index: u8) -> String {
    format!("client-{index}")
}

impl History {
    fn records(&self) -> MutexGuard<'_, BTreeMap<RequestId, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call is about to be sent.
    pub(super) fn begin(&self, order: Order) -> RequestId {
        let mut records = self.records();
        let id = RequestId(records.len() as u64 + 1);
        records.insert(id, Record { order, executions: 0, is_denied: false });
        id
    }

    /// The answer that a server gives to this call.
    pub(super) fn expected_answer(&self, id: RequestId) -> Option<Answer> {
        let order = self.records().get(&id)?.order;
        Some(Answer { reply: Reply::Data(DataReply::Done), body: contents::body(id, Way::Answer, order.answer_bytes) })
    }

    /// Server `server` carries a call out; what was ordered, if anybody did.
    pub(super) fn execute(&self, world: &World, server: u8, peer: &Peer, call: &Call) -> Option<Order> {
        let mut records = self.records();
        let id = call.id;
        let Some(record) = records.get_mut(&id) else {
            world.violation(format!("{id}: carried out, and never sent"));
            return None;
        };
        record.executions += 1;
        let order = record.order;
        let complain = |what: String| world.violation(format!("{id}: {what}"));
        if record.executions > 1 {
            complain(format!("sent once, carried out {} times", record.executions));
        }
        if record.is_denied {
            complain("carried out, after it was said that it was not".into());
        }
        if order.server != server {
            complain(format!("sent to server {}, carried out by {server}", order.server));
        }
        if *peer != (Peer { name: client_name(order.client), is_server: false }) {
            complain(format!("sent by client {}, carried out for {peer:?}", order.client));
        }
        if call.deadline > order.deadline {
            complain(format!("the server has {:?}, the sender gave {:?}", call.deadline, order.deadline));
        }
        if let Some(flaw) = contents::flaw(&call.body, id, Way::Request, order.request_bytes) {
            complain(format!("the server got another request: {flaw}"));
        }
        Some(order)
    }

    /// A call ended for its client after `took`.
    pub(super) fn end(&self, world: &World, id: RequestId, outcome: &Result<Answer, RpcError>, took: Duration) -> End {
        let mut records = self.records();
        let Some(record) = records.get_mut(&id) else { return End::Unknown };
        let order = record.order;
        let complain = |what: String| world.violation(format!("{id}: {what}"));
        if took > order.deadline + LATENESS_MAX {
            complain(format!("ended after {took:?}, its deadline was {:?}", order.deadline));
        }
        let end = match outcome {
            Ok(answer) => {
                if order.is_refused || answer.reply != Reply::Data(DataReply::Done) {
                    complain("answered otherwise than its server did".into());
                }
                if let Some(flaw) = contents::flaw(&answer.body, id, Way::Answer, order.answer_bytes) {
                    complain(format!("not its own answer: {flaw}"));
                }
                End::Answered
            }
            Err(RpcError::Service(error)) => {
                if !order.is_refused || error.kind != ErrorKind::Conflict || error.message != refusal(id) {
                    complain(format!("not its own refusal: {error}"));
                }
                End::Answered
            }
            Err(RpcError::Unreachable { .. } | RpcError::TimedOut { .. }) => End::Unknown,
            Err(error @ (RpcError::Malformed { .. } | RpcError::Untrusted { .. })) => {
                record.is_denied = true;
                if !order.is_oversized() {
                    complain(format!("nothing is wrong with it, and yet: {error}"));
                }
                End::Denied
            }
        };
        if end == End::Answered && record.executions == 0 {
            complain("answered without being carried out".into());
        }
        if end == End::Denied && record.executions > 0 {
            complain("said not to have been carried out, and was".into());
        }
        end
    }
}

/// What a server says that refuses this call.
pub(super) fn refusal(id: RequestId) -> String {
    format!("{id} is refused")
}
