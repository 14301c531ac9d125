//! Operations against a volume in memory. Two mounts of one volume are two machines.

mod copies;
mod failures;
mod history;
mod locks;
mod names;
mod views;
mod writes;
