//! SIGINT and SIGTERM end a run in good order: what was started is stopped and taken away as at its end.
//!
//! A thread hears them. It kills the workers, so that the measurement under way fails at once, and whoever goes from one step to the next
//! asks [`check`]; from there on it is the ordinary way of an error, by which everything is dropped.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::{Mutex, OnceLock, PoisonError};
use tokio::signal::unix::{SignalKind, signal};

static STOPPED: OnceLock<&'static str> = OnceLock::new();
static WORKERS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// From here on SIGINT and SIGTERM do not end this process by themselves.
pub(crate) fn listen() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        let name = runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
            }
        });
        eprintln!("{name}: stopping, and taking everything away");
        // Set before workers are killed, so that nobody starts new ones behind that.
        let _ = STOPPED.set(name);
        for worker in WORKERS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if let Some(process) = rustix::process::Pid::from_raw(*worker) {
                // It may be gone already.
                let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
            }
        }
    });
    Ok(())
}

/// An error once a signal came.
pub(crate) fn check() -> Result<(), Box<dyn Error>> {
    STOPPED.get().map_or(Ok(()), |name| Err(format!("stopped by {name}").into()))
}

/// A worker that is to be killed when a signal comes, until this is dropped: before it is waited for, as its id may be another's afterwards.
#[derive(Debug)]
pub(crate) struct Stoppable(i32);

impl Stoppable {
    pub(crate) fn new(process: u32) -> Self {
        let id = process as i32;
        WORKERS.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        Self(id)
    }
}

impl Drop for Stoppable {
    fn drop(&mut self) {
        WORKERS.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}
