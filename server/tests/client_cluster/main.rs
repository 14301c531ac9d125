//! The client library against the real roles, all in this process: version manager on disk, providers in memory.

mod compaction;
mod crashes;
mod files;
mod harness;
mod sessions;
mod writers;
