//! Exhaustive exploration: every interleaving of a few writers, a helper, readers, collectors and a faulty network on a small file.
//!
//! What runs is the real thing, driven step by step: the version manager's [`StateMachine`](weft_server::version::core::StateMachine)
//! on a table in memory, the weaver, the collection. Only messages, providers and processes are simulated: a *step* is one
//! message that arrives, or one thing that a process does by itself. From every state every possible step is taken; states that
//! were seen before are not entered again. A process that is never chosen any more is a dead one, so crashes need no step of
//! their own; nor do lost requests. Lost *answers* and repeated requests do.
//!
//! After each step the invariants of the design are checked ([`checks`]), against the naive model of a file's content and the
//! definitions by brute force (`weft_common::weave::testing`), not against what the code under test says:
//!
//! | invariant | checked when |
//! |---|---|
//! | I1 a stored node is the defined one | nodes are woven and stored |
//! | I2 what is committed is stored, I3 published in order, each with the next N | something is published |
//! | I4, I8 what kept versions and those in flight need is there | something is deleted |
//! | I5 reads give the model's bytes | a version is published; the walk of a collection ends |
//! | I6 sizes | a ticket is given |
//! | I7 the objects of a ticket are there, I9 orphans | a ticket is given; objects are deleted |
//! | liveness: a helper can finish whatever waits | in every state |
//! | nothing is left that nobody needs | when no step is left; where the manager decides, when readers have closed and collection has gone on |
//! | nothing is offered that somebody needs; kept versions and those being read can be read | a collector asks for work |
//!
//! Own code rather than a model checker: the state is a table, stores and processes of other crates that know nothing of
//! hashing, one function enumerates the steps, and depth-first search with a set of digests is forty lines.
//!
//! **Two ways to collect.** Either a version is dropped because the oracle knows that nobody needs it (`collecting`), which is small
//! enough for three writers with everything; or the way is the manager's (`thinning`): volume versions are thinned, sessions renew
//! and say what they read ([`readers`]), the manager purges, marks, offers, and collectors work and report. What a client has a
//! right to rests on four rules of its own, which stand in [`readers`]; each of them is broken by a planted bug that is found.
//! A writer's session reads nothing of the past there, and counts as renewed. What a writer that comes too late stores of a version
//! that is collected is left to the sweep for orphans, which is not explored.
//!
//! **Epochs** are only compared, so commands that note none are not counted ([`manager`]): states that differ in nothing else are one.
//!
//! [`search`] runs one [`Setup`], [`setups`] names those that are explored, [`walk`] takes random steps through larger ones.

#![allow(clippy::unwrap_used, missing_docs, reason = "part of the tests")]

pub mod checks;
mod collecting;
pub mod faults;
pub mod manager;
pub mod menu;
pub mod oracle;
pub mod past;
pub mod readers;
pub mod search;
pub mod setups;
pub mod steps;
pub mod thinning;
pub mod walk;
pub mod world;

pub use faults::Fault;
pub use world::{Setup, World};
