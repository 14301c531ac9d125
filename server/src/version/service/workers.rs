//! Who does the work of the two queues: threads of their own, or tasks of the runtime.
//!
//! Threads are for production: they block on the disk and compute. Tasks are for simulation: there is one thread and one order
//! of events, time stands still while they work, and the disk is one that never blocks. What is done with a job is the same
//! code for both ([`Worker::work`]).

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SendError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::Duration;
use tokio::sync::Notify;

/// How often a worker is woken when there is nothing to do: it looks at leases and checkpoints then.
pub(super) const TICK: Duration = Duration::from_millis(250);

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// Threads of the manager's own.
    Threads,
    /// Tasks of the current runtime. Commands gather for `append` of its time before they are appended to the log together.
    Tasks {
        /// How long the log's disk is said to take.
        append: Duration,
    },
}

/// The sending end of a worker's queue.
pub(super) struct Queue<T> {
    jobs: SyncSender<T>,
    /// Wakes a task; threads wake by the queue itself.
    bell: Option<Arc<Notify>>,
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone(), bell: self.bell.clone() }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Queue")
    }
}

impl<T> Queue<T> {
    /// Waits while the queue is full (which a simulation never lets happen: nobody else would run meanwhile).
    pub(super) fn send(&self, job: T) -> Result<(), SendError<T>> {
        self.ring_after(self.jobs.send(job))
    }

    pub(super) fn try_send(&self, job: T) -> Result<(), TrySendError<T>> {
        self.ring_after(self.jobs.try_send(job))
    }

    /// Whether sending never waits for another thread.
    pub(super) fn is_of_a_task(&self) -> bool {
        self.bell.is_some()
    }

    fn ring_after<R>(&self, sent: R) -> R {
        if let Some(bell) = &self.bell {
            bell.notify_one();
        }
        sent
    }
}

/// The receiving end.
pub(super) struct Jobs<T> {
    jobs: Receiver<T>,
    bell: Option<Arc<Notify>>,
    /// What a task waits after it was woken.
    pause: Duration,
}

/// A queue for at most `bound` jobs. As a task, its worker lets jobs gather for `pause`.
pub(super) fn queue<T>(bound: usize, workers: Workers, pause: impl FnOnce(Duration) -> Duration) -> (Queue<T>, Jobs<T>) {
    let (sender, receiver) = sync_channel(bound);
    let (bell, pause) = match workers {
        Workers::Threads => (None, Duration::ZERO),
        Workers::Tasks { append } => (Some(Arc::new(Notify::new())), pause(append)),
    };
    (Queue { jobs: sender, bell: bell.clone() }, Jobs { jobs: receiver, bell, pause })
}

impl<T> Jobs<T> {
    /// A further job that waits already.
    pub(super) fn next_now(&self) -> Option<T> {
        self.jobs.try_recv().ok()
    }
}

/// What is done with jobs, one after the other.
pub(super) trait Worker: Send + Sized + 'static {
    /// What it is asked to do.
    type Job: Send + 'static;
    /// Name of its thread.
    const NAME: &'static str;

    /// Does `job`, or what is due when none came for a [`TICK`]. `jobs` are those behind it. Whether to go on.
    fn work(&mut self, job: Option<Self::Job>, jobs: &Jobs<Self::Job>) -> bool;

    /// Nobody can send any more; it is dropped behind this.
    fn abandoned(&mut self) {}

    /// Runs until [`Worker::work`] says to stop or nobody can send any more, and is dropped then.
    fn spawn(self, jobs: Jobs<Self::Job>) -> std::io::Result<()> {
        if jobs.bell.is_some() {
            tokio::spawn(run_as_task(self, jobs));
            return Ok(());
        }
        std::thread::Builder::new().name(Self::NAME.into()).spawn(move || run_as_thread(self, &jobs)).map(drop)
    }
}

fn run_as_thread<W: Worker>(mut worker: W, jobs: &Jobs<W::Job>) {
    loop {
        let job = match jobs.jobs.recv_timeout(TICK) {
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return worker.abandoned(),
        };
        if !worker.work(job, jobs) {
            return;
        }
    }
}

async fn run_as_task<W: Worker>(mut worker: W, jobs: Jobs<W::Job>) {
    let bell = jobs.bell.clone().unwrap_or_default();
    loop {
        // Whether it was the bell or the tick does not matter: the queue tells.
        let _ = tokio::time::timeout(TICK, bell.notified()).await;
        if !jobs.pause.is_zero() {
            tokio::time::sleep(jobs.pause).await;
        }
        loop {
            let job = match jobs.jobs.try_recv() {
                Ok(job) => Some(job),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => return worker.abandoned(),
            };
            let idle = job.is_none();
            if !worker.work(job, &jobs) {
                return;
            }
            if idle {
                break;
            }
        }
    }
}
