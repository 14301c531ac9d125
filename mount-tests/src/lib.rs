//! Tests on real parts: processes of `weftd` and `weft`, kernel mounts, renderers.
//!
//! The library is the harness: [`mount`] starts things and, whatever happens to the test, end them again;
//! [`fingerprint`], [`operations`] and [`random`] are what the tests do to a mount and compare. [`network`] gives each mount a network
//! namespace of its own, and [`recording`] writes down what programs see on several mounts and checks it. [`explore`] needs no process: it
//! takes the cores of common and server through every interleaving.

pub mod binaries;
pub mod cluster;
pub mod crash;
pub mod damage;
pub mod explore;
pub mod fingerprint;
pub mod locker;
pub mod mount;
pub mod network;
pub mod operations;
pub mod port;
pub mod process;
pub mod random;
pub mod recording;
pub mod sim;
pub mod wait;
