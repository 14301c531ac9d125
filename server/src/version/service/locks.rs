//! Requests about locks: what is logged, what is only looked at, and who waits.

use super::lock_waits::Woken;
use super::state_thread::State;
use super::{Asker, Manager, busy};
use crate::version::command::Action;
use crate::version::failure::Failure;
use crate::version::locks;
use crate::version::sessions;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use weft_common::id::RequestId;
use weft_common::limits::{LOCK_WAIT, WAITERS_MAX};
use weft_common::wire::{LockReply, LockRequest, Reply, ServiceError};

/// What is known before anything is logged.
enum Look {
    /// The command changes something.
    Log,
    /// It does not; this is the answer.
    Answer(LockReply),
    /// Somebody is in the way; told when to look again.
    Wait(LockReply, oneshot::Receiver<Woken>),
    /// Somebody is in the way, and too many wait.
    TooMany,
}

impl Manager {
    /// Answers within `patience`. Who waits is answered `InTheWay` when that is over, and asks again.
    pub(super) async fn lock(&self, id: RequestId, request: LockRequest, patience: Duration) -> Result<Reply, ServiceError> {
        let wait = match &request {
            LockRequest::Take { wait: Some(wait), .. } => Duration::from_millis(wait.wait_ms.into()).min(LOCK_WAIT).min(patience),
            _ => Duration::ZERO,
        };
        let until = Instant::now() + wait;
        loop {
            let asked = request.clone();
            let reply = match self.ask(move |state| look(state, &asked)).await? {
                // Somebody may have come in between: then the answer is `InTheWay`, and the client asks again under another key.
                Look::Log => return self.submit(id, Action::Lock(request), Asker::default()).await,
                Look::Answer(reply) => reply,
                Look::TooMany => return Err(busy("locks")),
                Look::Wait(in_the_way, woken) => match tokio::time::timeout_at(until, woken).await {
                    Ok(Ok(Woken::Cancelled)) => LockReply::Cancelled,
                    Ok(Ok(Woken::LookAgain) | Err(_)) => continue,
                    Err(_) => in_the_way,
                },
            };
            return Ok(Reply::Lock(reply));
        }
    }
}

/// Looks, and if the client has to wait enters it: both between the same two commands.
fn look(state: &mut State, request: &LockRequest) -> Result<Look, Failure> {
    let kv = state.machine.kv();
    match request {
        LockRequest::Take { volume, inode, key, lock, wait } => {
            let place = (*volume, *inode);
            let locks = locks::in_the_way(kv, place, lock)?;
            let Some(in_the_way) = locks.first().copied() else { return Ok(Look::Log) };
            if !sessions::is_open(kv, key.session)? {
                // The log says so, in the words that the client understands.
                return Ok(Look::Log);
            }
            let Some(wait) = wait else { return Ok(Look::Answer(LockReply::InTheWay(in_the_way))) };
            let mut behind: Vec<_> = locks.iter().map(|lock| lock.owner).collect();
            behind.dedup();
            let waits = &mut state.soft.locks;
            // Who gave up without a word is in nobody's way.
            waits.forget_gone_in(place);
            if waits.is_deadlock(lock.owner, &behind) {
                return Ok(Look::Answer(LockReply::Deadlock));
            }
            if waits.len() >= WAITERS_MAX {
                return Ok(Look::TooMany);
            }
            let woken = waits.wait(place, lock.owner, wait.number, behind);
            Ok(Look::Wait(LockReply::InTheWay(in_the_way), woken))
        }
        // Also if nothing is held: something may be on its way into the log, and behind this one it comes too late.
        LockRequest::Release { .. } => Ok(Look::Log),
        LockRequest::Cancel { volume, inode, owner, number } => {
            state.soft.locks.cancel((*volume, *inode), *owner, *number);
            Ok(Look::Answer(LockReply::Released))
        }
        LockRequest::Test { volume, inode, lock } => {
            let locks = locks::in_the_way(kv, (*volume, *inode), lock)?;
            Ok(Look::Answer(locks.first().map_or(LockReply::Free, |lock| LockReply::InTheWay(*lock))))
        }
    }
}
