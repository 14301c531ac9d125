//! Notices of change: a long poll that never gives up, read through a bounded channel.

use super::cluster::Background;
use super::retry::Retry;
use super::volume::Volume;
use crate::id::VolumeVersion;
use crate::limits::{ENTRIES_PER_ANSWER_MAX, RPC_DEADLINE, WATCH_BATCHES_MAX, WATCH_WAIT};
use crate::wire::{At, ChangeRecord, NamespaceAnswer, NamespaceQuery, Query, Reply, Request};
use std::sync::{Arc, Weak};
use tokio::sync::mpsc;

/// What a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// Changes in order, without gap behind those before. Empty right after an interruption that changed nothing.
    Changes(Vec<ChangeRecord>),
    /// The version manager does not answer: what is cached may be out of date until the next `Changes`.
    Interrupted,
}

/// A running watch; dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    events: mpsc::Receiver<WatchEvent>,
    _task: Background,
}

impl Watch {
    /// The next event; `None` once the volume is closed.
    pub async fn next(&mut self) -> Option<WatchEvent> {
        self.events.recv().await
    }
}

impl Volume {
    /// Every change behind version `after`, from now on. When the reader is slow the watch waits for it; nothing is lost.
    #[must_use]
    pub fn watch(self: &Arc<Self>, after: VolumeVersion) -> Watch {
        let (sender, events) = mpsc::channel(WATCH_BATCHES_MAX);
        Watch { events, _task: Background::spawn(poll(Arc::downgrade(self), after, sender)) }
    }

    async fn changes_behind(&self, after: VolumeVersion) -> Option<Vec<ChangeRecord>> {
        let context = self.cluster.link.context_for(RPC_DEADLINE);
        let limit = ENTRIES_PER_ANSWER_MAX as u32;
        let query = Query::Watch { after, limit, wait_ms: WATCH_WAIT.as_millis() as u32 };
        let request = Request::Query(NamespaceQuery { volume: self.info.id, at: At::Head, query });
        match self.cluster.link.manager(context, request).await {
            Ok(Reply::Query(NamespaceAnswer::Changes { changes, .. })) => Some(changes),
            Ok(_) => None,
            Err(failure) => {
                tracing::debug!(request = %context.id, volume = self.info.name, error = %failure.error, "watch interrupted");
                None
            }
        }
    }
}

async fn poll(volume: Weak<Volume>, mut after: VolumeVersion, events: mpsc::Sender<WatchEvent>) {
    let mut interrupted = false;
    loop {
        let Some(open) = volume.upgrade() else { return };
        let changes = open.changes_behind(after).await;
        let context = open.cluster.link.context();
        drop(open);
        let event = match changes {
            Some(changes) if changes.is_empty() && !interrupted => continue,
            Some(changes) => {
                interrupted = false;
                after = changes.last().map_or(after, |change| change.version);
                WatchEvent::Changes(changes)
            }
            None if interrupted => {
                Retry::new(context).wait().await;
                continue;
            }
            None => {
                interrupted = true;
                WatchEvent::Interrupted
            }
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}
