//! Disks. A disk outlives the process that uses it; the death of a process leaves what was written, the loss of power only what
//! was synced. A process that has ended cannot write any more, whatever of it still runs.

mod log;
mod store;
mod table;

pub use log::{LogDisk, LogFault, SimLog};
pub use store::{SimStore, StoreDisk, StoreFault};
pub use table::{SimTable, TableDisk};

use std::io;

/// What a call of an ended process gets; nobody hears of it.
fn ended() -> io::Error {
    io::Error::other("the process has ended")
}
