//! Group commit: callers that arrive while a sync runs share the next one.

use super::engine::{Engine, Segment};
use crate::storage::StoreError;
use std::sync::{Condvar, Mutex, PoisonError};

#[derive(Debug, Default)]
struct Progress {
    running: bool,
    started: u64,
    finished: u64,
}

/// Who syncs and who waits.
#[derive(Debug, Default)]
pub(super) struct GroupSync {
    progress: Mutex<Progress>,
    done: Condvar,
}

impl Engine {
    /// Everything acknowledged before the call is on stable storage when it returns.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let GroupSync { progress, done } = &self.group_sync;
        let mut state = progress.lock().unwrap_or_else(PoisonError::into_inner);
        // One that runs already may have looked at the segments before this caller's writes: only the next one counts.
        let wanted = state.started + 1;
        while state.finished < wanted {
            if state.running {
                state = done.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.running = true;
            state.started += 1;
            let mine = state.started;
            drop(state);
            let outcome = self.check_health().and_then(|()| self.sync_segments());
            state = progress.lock().unwrap_or_else(PoisonError::into_inner);
            state.running = false;
            state.finished = mine;
            done.notify_all();
            outcome?;
        }
        // A failure of the one who synced for this caller too poisoned the store.
        drop(state);
        self.check_health()
    }

    fn sync_segments(&self) -> Result<(), StoreError> {
        let (full, active, graves) = {
            let mut appender = self.appender();
            let active = appender.active.as_ref().map(|active| (active.segment.number, active.file.clone()));
            let active = active.filter(|_| appender.dirty);
            appender.dirty = false;
            (std::mem::take(&mut appender.full), active, std::mem::take(&mut appender.graves))
        };
        let files = full.iter().map(|(segment, file)| (segment.number, file.clone())).chain(active);
        for (number, file) in files {
            file.sync().map_err(|error| self.poison(self.io_error("sync", number)(error)))?;
        }
        let mut backlog = self.backlog();
        backlog.unsealed.extend(full.into_iter().map(|(segment, _)| segment));
        backlog.graves.extend(graves);
        Ok(())
    }

    /// The last sync; gives back the space that was reserved ahead.
    pub(super) fn close(&self) -> Result<(), StoreError> {
        if self.health.is_poisoned() {
            return Ok(());
        }
        self.sync()?;
        let mut appender = self.appender();
        if let Some(active) = &mut appender.active {
            let number = active.segment.number;
            active.file.truncate(active.end).map_err(self.io_error("truncate", number))?;
            active.reserved = active.end;
            tracing::debug!(segment = %Segment::file_name(number), end = active.end, "store closed");
        }
        Ok(())
    }
}
