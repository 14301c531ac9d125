//! What weaving is tested with: a naive model of a file's content, the definitions of `Touch`, `Last`, `Ref` and `Node` worked out
//! by brute force over the whole log, and random histories that compare the real code with both.
//!
//! A history is a random sequence of updates, half-finished and repeated builds from stale bases, clones, reads, deleted files and
//! collections that are interrupted; it is a pure function of its seed. The checker itself is checked by planted bugs ([`faults`]).

#![allow(clippy::unwrap_used, missing_docs, reason = "part of the tests, if of other packages' too")]

pub mod checks;
mod collecting;
pub mod definition;
pub mod faults;
pub mod history;
pub mod model;
pub mod operations;
pub mod random;
