//! Checks of weaving by small cases exhausted, random histories, and planted bugs that these must find. The harness is in
//! [`testing`](super::testing).

mod collection;
mod exhaustive;
mod extents;
mod faults;
mod histories;
