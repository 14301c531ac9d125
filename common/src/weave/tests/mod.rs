//! Checks of weaving against two things that know nothing of it: a naive model of a file's content, and the definitions of
//! `Touch`, `Last`, `Ref` and `Node` worked out by brute force over the whole log.
//!
//! A history is a random sequence of updates, half-finished and repeated builds from stale bases, clones, reads; it is a pure
//! function of its seed. The checker itself is checked by planted bugs ([`faults`]).

mod checks;
mod definition;
mod exhaustive;
mod extents;
mod faults;
mod histories;
mod history;
mod model;
mod operations;
mod random;
