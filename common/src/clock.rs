//! The wall clock of a process, as something that it is given.
//!
//! Servers and clients ask the system for three things that a simulation has to decide: wall-clock time, monotone time and
//! random numbers. Only the first needs a seam. Monotone time is `tokio::time::Instant`, which stands still and jumps as a
//! paused runtime says; random numbers come from `fastrand`, whose generator is seeded by thread.

use crate::time::Timestamp;
use std::fmt::Debug;
use std::time::SystemTime;

/// Tells the time of day. It may jump, also backwards: nothing but what people see may depend on it.
pub trait Clock: Send + Sync + Debug {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from(SystemTime::now())
    }
}
