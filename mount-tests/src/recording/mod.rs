//! What programs see on several mounts at once, written down and held against what WeftFS promises.
//!
//! Clients ([`worker`]) draw operations from a seed ([`plan`]), do them by plain system calls ([`perform`]) and write down what they
//! were answered and when ([`record`]). Every content says which operation wrote it ([`content`]). Afterwards the volume's log tells
//! the order in which all changes became visible ([`log`]); it is replayed ([`past`]), and each answer has to be right for a moment
//! between the operation's start and end ([`check`]). Real time holds the log to account: what ended before another operation began
//! has to come before it.
//!
//! That the checker finds violations is proved by a filesystem in memory with bugs that can be switched on ([`fake`]).

pub mod check;
pub mod content;
pub mod fake;
pub mod log;
pub mod past;
pub mod perform;
pub mod plan;
pub mod record;
pub mod story;
pub mod tally;
pub mod worker;
