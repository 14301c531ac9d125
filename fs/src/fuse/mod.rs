//! The adapter to the kernel: the only code that names `fuser`. It converts types, decides which thread works, and answers;
//! what an operation does is in [`crate::filesystem`].
//!
//! A request that can be answered from memory is answered on the thread that it came in by: a hop to another core costs
//! more than the answer. Everything else goes as far there as it can without waiting, and then becomes a task of the runtime. A panic in either answers EIO and is logged with the
//! request's id; the mount goes on.

mod convert;
mod operations;
mod session;

pub(crate) use session::{Session, SessionConfig};

use fuser::{Errno, Request};
use futures_util::FutureExt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::runtime::Handle;
use tracing::Instrument;
use weft_common::client::InUse;

use crate::errno::Failure;
use crate::filesystem::{Caller, Filesystem, killed};

/// Answers the kernel for one filesystem.
#[derive(Debug)]
pub(crate) struct Adapter {
    filesystem: Arc<Filesystem>,
    runtime: Handle,
}

/// A reply that can be an error.
trait Refuse: Send + 'static {
    fn refuse(self, errno: Errno);
}

macro_rules! refuse {
    ($($reply:ident),*) => {
        $(impl Refuse for fuser::$reply {
            fn refuse(self, errno: Errno) {
                self.error(errno);
            }
        })*
    };
}

refuse!(
    ReplyAttr,
    ReplyCreate,
    ReplyData,
    ReplyDirectory,
    ReplyDirectoryPlus,
    ReplyEmpty,
    ReplyEntry,
    ReplyLock,
    ReplyLseek,
    ReplyOpen,
    ReplyStatfs,
    ReplyWrite,
    ReplyXattr
);

impl Adapter {
    fn new(filesystem: Arc<Filesystem>, runtime: Handle) -> Self {
        Self { filesystem, runtime }
    }

    /// As [`Adapter::spawn`], for work that may wait for other programs without end, and says itself when it uses something of the past.
    fn spawn_waiting<R: Refuse, T: Send + 'static>(
        &self,
        request: &Request,
        operation: &'static str,
        reply: R,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
        answer: impl FnOnce(R, T) + Send + 'static,
    ) {
        self.spawn_holding(None, request, operation, reply, work, answer);
    }

    /// Does `work` in a task and answers with what it brings.
    fn spawn<R: Refuse, T: Send + 'static>(
        &self,
        request: &Request,
        operation: &'static str,
        reply: R,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
        answer: impl FnOnce(R, T) + Send + 'static,
    ) {
        self.spawn_holding(self.filesystem.begin_use(), request, operation, reply, work, answer);
    }

    fn spawn_holding<R: Refuse, T: Send + 'static>(
        &self,
        in_use: Option<InUse>,
        request: &Request,
        operation: &'static str,
        reply: R,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
        answer: impl FnOnce(R, T) + Send + 'static,
    ) {
        let id = request.unique().0;
        let span = tracing::debug_span!("fuse", operation, request = id);
        let mut work = Box::pin(AssertUnwindSafe(work).catch_unwind());
        if let Some(done) = self.at_once(&span, work.as_mut()) {
            return finish(operation, id, reply, done, answer);
        }
        let task = async move {
            // Until what the request found is held, that is, until it is done.
            let _in_use = in_use;
            finish(operation, id, reply, work.await, answer);
        };
        self.runtime.spawn(task.instrument(span));
    }

    /// What `work` comes to, if it does without waiting: on this thread. Otherwise it is under way, with its first message sent, and has to be
    /// awaited in a task.
    fn at_once<F: Future>(&self, span: &tracing::Span, work: Pin<&mut F>) -> Option<F::Output> {
        let (_runtime, _span) = (self.runtime.enter(), span.enter());
        match work.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        }
    }

    /// As [`Adapter::spawn`], for what nobody misses if its caller was killed: so a program that waits for servers can be ended. The work is
    /// done to its end all the same.
    fn spawn_killable<R: Refuse, T: Send + 'static>(
        &self,
        request: &Request,
        operation: &'static str,
        reply: R,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
        answer: impl FnOnce(R, T) + Send + 'static,
    ) {
        self.spawn_undoable(request, operation, reply, work, answer, drop);
    }

    /// As [`Adapter::spawn_killable`], for work whose result counts: what nobody takes is taken back.
    fn spawn_undoable<R: Refuse, T: Send + 'static>(
        &self,
        request: &Request,
        operation: &'static str,
        reply: R,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
        answer: impl FnOnce(R, T) + Send + 'static,
        undo: impl FnOnce(T) + Send + 'static,
    ) {
        let (id, caller) = (request.unique().0, caller(request));
        let in_use = self.filesystem.begin_use();
        let span = tracing::debug_span!("fuse", operation, request = id);
        let mut work = Box::pin(AssertUnwindSafe(work).catch_unwind());
        if let Some(done) = self.at_once(&span, work.as_mut()) {
            return finish(operation, id, reply, done, answer);
        }
        let task = async move {
            let _in_use = in_use;
            tokio::select! {
                biased;
                done = &mut work => finish(operation, id, reply, done, answer),
                () = killed(caller) => {
                    reply.refuse(Errno::EINTR);
                    // A failure was logged where it happened; nobody is left to be told.
                    if let Ok(Ok(result)) = work.await {
                        undo(result);
                    }
                }
            }
        };
        self.runtime.spawn(task.instrument(span));
    }

    /// Does `work` on this thread and answers with what it brings. Nothing in it may wait.
    fn inline<R: Refuse, T>(
        request: &Request,
        operation: &'static str,
        reply: R,
        work: impl FnOnce() -> Result<T, Failure>,
        answer: impl FnOnce(R, T),
    ) {
        let id = request.unique().0;
        match Self::guarded(request, operation, work) {
            Some(result) => settle(operation, id, reply, result, answer),
            None => reply.refuse(Errno::EIO),
        }
    }

    /// What `work` brings; `None` after a panic, which is logged.
    fn guarded<T>(request: &Request, operation: &'static str, work: impl FnOnce() -> T) -> Option<T> {
        let result = catch_unwind(AssertUnwindSafe(work)).ok();
        if result.is_none() {
            let id = request.unique().0;
            tracing::error!(operation, request = id, "a request panicked; it is answered EIO, the mount goes on");
        }
        result
    }
}

/// Answers what a task has come to, be it a panic.
fn finish<R: Refuse, T>(
    operation: &'static str,
    id: u64,
    reply: R,
    done: std::thread::Result<Result<T, Failure>>,
    answer: impl FnOnce(R, T),
) {
    match done {
        Ok(result) => settle(operation, id, reply, result, answer),
        Err(_) => {
            tracing::error!(operation, request = id, "a request panicked; it is answered EIO, the mount goes on");
            reply.refuse(Errno::EIO);
        }
    }
}

fn settle<R: Refuse, T>(operation: &'static str, id: u64, reply: R, result: Result<T, Failure>, answer: impl FnOnce(R, T)) {
    match result {
        Ok(value) => answer(reply, value),
        Err(failure) => {
            if failure.is_fault() {
                tracing::warn!(operation, request = id, errno = failure.errno(), %failure, "a program was answered an error");
            }
            reply.refuse(convert::errno(&failure));
        }
    }
}

fn caller(request: &Request) -> Caller {
    Caller { uid: request.uid(), gid: request.gid(), pid: request.pid() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};
    use weft_common::wire::ErrorKind;

    /// A reply that tells what it was.
    struct Told(Sender<Result<u32, i32>>);

    impl Refuse for Told {
        fn refuse(self, errno: Errno) {
            self.0.send(Err(errno.code())).unwrap();
        }
    }

    /// What the kernel is answered when a task came to `done`.
    fn answered(done: std::thread::Result<Result<u32, Failure>>) -> Result<u32, i32> {
        let (sender, told) = channel();
        finish("test", 1, Told(sender), done, |reply, value| reply.0.send(Ok(value)).unwrap());
        let answer = told.recv().unwrap();
        assert!(told.recv().is_err(), "answered once");
        answer
    }

    #[tokio::test]
    async fn a_request_that_panics_is_answered_eio() {
        let panicking = async { if std::hint::black_box(true) { panic!("a bug") } else { Ok(1) } };
        assert_eq!(answered(AssertUnwindSafe(panicking).catch_unwind().await), Err(libc::EIO));
        let refusing = async { Err(Failure::Refused(ErrorKind::NotFound, "no")) };
        assert_eq!(answered(AssertUnwindSafe(refusing).catch_unwind().await), Err(libc::ENOENT));
        let working = async { Ok(7) };
        assert_eq!(answered(AssertUnwindSafe(working).catch_unwind().await), Ok(7));
    }
}
