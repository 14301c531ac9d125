//! The life of a simulated process: what runs in it ends with it, at once and wherever it stands.

use std::future::Future;
use tokio::sync::watch;

/// A process that runs, as those see it who live in it.
#[derive(Clone, Debug)]
pub struct Life(watch::Receiver<bool>);

/// The power to end it.
#[derive(Clone, Debug)]
pub struct Killer(watch::Sender<bool>);

/// A new process.
#[must_use]
pub fn birth() -> (Killer, Life) {
    let (sender, receiver) = watch::channel(false);
    (Killer(sender), Life(receiver))
}

impl Killer {
    /// Ends the process.
    pub fn kill(&self) {
        self.0.send_replace(true);
    }
}

impl Life {
    /// Whether the process has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when the process ends.
    pub async fn over(&self) {
        // Fails only when the killer is gone, and then nobody knows of the process any more.
        let _ = self.0.clone().wait_for(|over| *over).await;
    }

    /// Runs `work` within the process; `None` if the process ended before it was done.
    pub async fn run<R>(&self, work: impl Future<Output = R>) -> Option<R> {
        tokio::select! {
            biased;
            () = self.over() => None,
            result = work => Some(result),
        }
    }

    /// Starts `work` within the process.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let life = self.clone();
        tokio::spawn(async move {
            // A process that ended does nothing more.
            let _ = life.run(work).await;
        });
    }
}
