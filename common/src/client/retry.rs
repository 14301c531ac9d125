//! Patience: when a failed call is repeated, and when the client gives up.
//!
//! Every public call of the library carries one [`Context`] through all the RPCs it makes: the request id, under which
//! client and servers log it, and the moment at which patience ends. Loops that repeat something keep a [`Retry`]: it
//! pauses 20 ms, 40 ms, … 2 s, each shortened by a random part up to half so that clients do not come back in step.

use super::ClientError;
use crate::id::RequestId;
use crate::limits::{RETRY_PAUSE_MAX, RETRY_PAUSE_MIN, RPC_DEADLINE};
use crate::rpc::RpcError;
use std::time::Duration;
use tokio::time::Instant;

/// One public call: its id and how long it may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    /// Names the call in every log.
    pub(crate) id: RequestId,
    ends: Instant,
}

impl Context {
    pub(crate) fn new(id: RequestId, timeout: Duration) -> Self {
        Self { id, ends: Instant::now() + timeout }
    }

    /// Time that is left.
    pub(crate) fn remaining(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }

    /// Deadline for the next RPC: the usual one, or what is left. Never so short that the call would be in vain.
    pub(crate) fn deadline(&self) -> Duration {
        self.remaining().clamp(RETRY_PAUSE_MIN, RPC_DEADLINE)
    }
}

/// One loop that repeats something until it works or patience ends.
#[derive(Debug)]
pub(crate) struct Retry {
    context: Context,
    attempts: u32,
}

impl Retry {
    pub(crate) fn new(context: Context) -> Self {
        Self { context, attempts: 0 }
    }

    /// Attempts that failed so far.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Waits before the next attempt; `false` at once when patience would end meanwhile.
    pub(crate) async fn wait(&mut self) -> bool {
        self.attempts += 1;
        let pause = jittered(pause_ceiling(self.attempts));
        if pause >= self.context.remaining() {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }

    /// After `what` failed with `error`: waits, or says why it is no use to try again.
    pub(crate) async fn after(&mut self, what: &str, error: RpcError) -> Result<(), ClientError> {
        if !error.is_transient() {
            self.attempts += 1;
            return Err(self.give_up(error));
        }
        if self.wait().await {
            tracing::debug!(request = %self.context.id, attempt = self.attempts, %error, "{what} failed, trying again");
            return Ok(());
        }
        tracing::warn!(request = %self.context.id, attempts = self.attempts, %error, "gave up on {what}");
        Err(self.give_up(error))
    }

    fn give_up(&self, error: RpcError) -> ClientError {
        match error {
            RpcError::Service(error) if !error.retry => ClientError::Service(error),
            last => ClientError::Unavailable { attempts: self.attempts.max(1), last: Box::new(last) },
        }
    }
}

/// Longest pause before attempt number `attempts + 1`.
fn pause_ceiling(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    RETRY_PAUSE_MIN.saturating_mul(1 << doublings).min(RETRY_PAUSE_MAX)
}

fn jittered(ceiling: Duration) -> Duration {
    ceiling.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ErrorKind, ServiceError};

    #[test]
    fn pauses_double_up_to_the_limit() {
        let pauses: Vec<_> = [1, 2, 3, 8, 1000].map(pause_ceiling).into();
        let expected = [RETRY_PAUSE_MIN, RETRY_PAUSE_MIN * 2, RETRY_PAUSE_MIN * 4, RETRY_PAUSE_MAX, RETRY_PAUSE_MAX];
        assert_eq!(pauses, expected);
        assert!(
            (0..100).map(|_| jittered(RETRY_PAUSE_MAX)).all(|pause| pause >= RETRY_PAUSE_MAX / 2 && pause <= RETRY_PAUSE_MAX)
        );
    }

    #[tokio::test]
    async fn refusals_are_final_and_patience_ends() {
        let context = Context::new(RequestId(1), Duration::from_millis(100));
        let mut retry = Retry::new(context);
        let refusal = ServiceError::new(ErrorKind::NotFound, "no such thing");
        assert!(matches!(retry.after("test", refusal.into()).await, Err(ClientError::Service(_))));
        let busy = || RpcError::Service(ServiceError::new(ErrorKind::Busy, "come again"));
        let mut retry = Retry::new(context);
        let mut pauses = 0;
        let error = loop {
            match retry.after("test", busy()).await {
                Ok(()) => pauses += 1,
                Err(error) => break error,
            }
        };
        assert!(pauses >= 1);
        assert!(matches!(error, ClientError::Unavailable { attempts, .. } if attempts == pauses + 1));
    }
}
