//! A connection, and how long it has been silent. That is remembered from call to call: each of them may have less patience than it takes
//! to tell a dead connection from a slow server.

use super::error::code;
use crate::limits::SILENCE_MAX;
use quinn::Connection;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// See the module.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) connection: Connection,
    silence: Mutex<Silence>,
}

impl Line {
    pub(super) fn new(connection: Connection) -> Self {
        // The handshake's packets were heard, so the first call begins anew.
        Self { connection, silence: Mutex::new(Silence { heard: 0, since: Instant::now() }) }
    }

    pub(super) fn is_live(&self) -> bool {
        self.connection.close_reason().is_none()
    }

    /// A call begins.
    pub(super) fn ask(&self) {
        let heard = self.heard();
        self.silence().ask(heard, Instant::now());
    }

    /// A call's deadline passed. If the connection is dead, it is given up, so that the next call dials anew; others may wait for answers
    /// on one that is alive.
    pub(super) fn lose_patience(&self) {
        let heard = self.heard();
        if self.silence().is_death(heard, Instant::now()) {
            self.connection.close(code::CANCELLED, b"no answer");
        }
    }

    /// Packets that came so far.
    fn heard(&self) -> u64 {
        self.connection.stats().udp_rx.datagrams
    }

    fn silence(&self) -> MutexGuard<'_, Silence> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Since when somebody asks and not even an acknowledgement comes.
#[derive(Debug)]
struct Silence {
    /// Packets that had come when the first of these calls began.
    heard: u64,
    /// When that was.
    since: Instant,
}

impl Silence {
    fn ask(&mut self, heard: u64, now: Instant) {
        if heard != self.heard {
            *self = Self { heard, since: now };
        }
    }

    fn is_death(&self, heard: u64, now: Instant) -> bool {
        heard == self.heard && now.duration_since(self.since) >= SILENCE_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn short_calls_add_up() {
        let start = Instant::now();
        let mut silence = Silence { heard: 0, since: start };
        silence.ask(7, start + SECOND);
        assert!(!silence.is_death(7, start + SECOND * 3));
        silence.ask(7, start + SECOND * 3);
        assert!(silence.is_death(7, start + SECOND + SILENCE_MAX));
    }

    #[test]
    fn a_packet_ends_the_silence() {
        let start = Instant::now();
        let mut silence = Silence { heard: 7, since: start };
        assert!(!silence.is_death(8, start + SILENCE_MAX));
        silence.ask(8, start + SILENCE_MAX);
        assert!(!silence.is_death(8, start + SILENCE_MAX + SECOND));
    }

    #[test]
    fn nobody_is_silent_who_was_not_asked() {
        let start = Instant::now();
        let mut silence = Silence { heard: 7, since: start };
        // The answer, and then a long rest.
        silence.ask(8, start + SILENCE_MAX * 9);
        assert!(!silence.is_death(8, start + SILENCE_MAX * 9 + SECOND));
    }
}
