//! What may be forgotten: leases of sessions and tickets, and who waits for what.

use crate::version::core::Effect;
use crate::version::kv::{Kv, KvError};
use crate::version::namespace::Readers;
use crate::version::readers::{SessionReads, readers};
use crate::version::service::ManagerOptions;
use crate::version::service::leases::Leases;
use crate::version::service::lock_waits::LockWaits;
use crate::version::{blobs, garbage, sessions};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use weft_common::id::{BlobId, BlobVersion, SessionId, VolumeId};
use weft_common::limits::{
    LAPSED_PER_ANSWER_MAX, SESSION_LEASE, SESSION_RENEWAL, SESSION_RENEWAL_HURRIED, SESSION_RENEWAL_SHARE, TICKET_GRACE,
    TICKET_LEASE, WAITERS_MAX,
};
use weft_common::wire::{Renewal, Reply, ServiceError, SweepExtent, SweepState, Swept};

/// Where a commit's answer goes.
pub(super) type Waiter = oneshot::Sender<Result<Reply, ServiceError>>;

#[derive(Debug)]
struct SessionLease {
    renewed: Instant,
    /// Its end has been proposed: it cannot be renewed any more.
    closing: bool,
    reads: SessionReads,
}

impl SessionLease {
    fn new(renewed: Instant, reads: SessionReads) -> Self {
        Self { renewed, closing: false, reads }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Soft {
    sessions: BTreeMap<SessionId, SessionLease>,
    /// When each ticket in flight was given, or this process started.
    tickets: BTreeMap<(BlobId, BlobVersion), Instant>,
    commits: BTreeMap<(BlobId, BlobVersion), Vec<Waiter>>,
    watchers: BTreeMap<VolumeId, Vec<oneshot::Sender<()>>>,
    waiters: usize,
    sweeps: SweepState,
    /// Who waits for locks.
    pub(super) locks: LockWaits,
    /// Who may answer from memory.
    pub(super) leases: Leases,
}

impl Soft {
    /// Gives every open session and every ticket in flight a fresh lease.
    pub(super) fn new(kv: &dyn Kv, now: Instant, options: &ManagerOptions) -> Result<Self, KvError> {
        let reads = SessionReads::unheard_since(garbage::epoch(kv)?);
        let lease = |session| (session, SessionLease::new(now, reads.clone()));
        let sessions: BTreeMap<_, _> = sessions::list(kv)?.into_iter().map(|info| lease(info.session)).collect();
        let strangers = if options.alone { BTreeSet::new() } else { sessions.keys().copied().collect() };
        // No process before had this one, as long as the clock is not set back to the very nanosecond.
        let line = u64::try_from(options.clock.now().0).unwrap_or_default();
        let leases = Leases::new(now, strangers, line, options.lease_pause);
        let mut tickets = BTreeMap::new();
        blobs::waiting(kv, &mut |waiting| {
            tickets.insert((waiting.blob, waiting.version), now);
            true
        })?;
        Ok(Self {
            sessions,
            tickets,
            commits: BTreeMap::new(),
            watchers: BTreeMap::new(),
            waiters: 0,
            sweeps: SweepState::default(),
            locks: LockWaits::default(),
            leases,
        })
    }

    /// Keeps the leases in step with the state, and wakes watchers.
    pub(super) fn note(&mut self, effect: &Effect, now: Instant) {
        match *effect {
            Effect::Assigned { blob, version } => {
                self.tickets.insert((blob, version), now);
            }
            Effect::Published { blob, version, .. } => {
                self.tickets.remove(&(blob, version));
            }
            Effect::Changed { volume, .. } => self.wake(volume),
            Effect::Removed(volume) => {
                self.tickets.retain(|(blob, _), _| blob.volume != volume);
                self.wake(volume);
                self.locks.wake_all_in(volume);
            }
            Effect::Opened(session) => {
                self.sessions.insert(session, SessionLease::new(now, SessionReads::default()));
            }
            Effect::Closed(session) => {
                self.sessions.remove(&session);
                self.leases.close(session);
            }
            Effect::Unlocked(volume, inode) => self.locks.wake((volume, inode)),
            Effect::Touched { .. } => {}
        }
    }

    /// Sweeps that were asked for.
    pub(super) fn sweeps(&self) -> &SweepState {
        &self.sweeps
    }

    /// One more sweep is wanted.
    pub(super) fn ask_for_sweep(&mut self, extent: SweepExtent) {
        self.sweeps.asked += 1;
        self.sweeps.extent = self.sweeps.extent.max(extent);
    }

    /// The sweep that began when `number` had been asked for is over.
    pub(super) fn swept(&mut self, number: u64, swept: Swept) {
        // One that an earlier process of ours was asked for counts for nothing.
        self.sweeps.done = self.sweeps.done.max(number.min(self.sweeps.asked));
        if self.sweeps.done == self.sweeps.asked {
            self.sweeps.extent = SweepExtent::default();
        }
        self.sweeps.last = swept;
    }

    /// A sign of life. Whether the session is open and stays so.
    pub(super) fn renew(&mut self, session: SessionId, now: Instant) -> bool {
        match self.sessions.get_mut(&session) {
            Some(lease) if !lease.closing => {
                lease.renewed = now;
                true
            }
            _ => false,
        }
    }

    /// The manager itself heard nothing for so long (it was stopped, or its disk was): that is no silence of the clients'.
    pub(super) fn forgive(&mut self, span: Duration) {
        self.sessions.values_mut().for_each(|lease| lease.renewed += span);
        self.tickets.values_mut().for_each(|given| *given += span);
    }

    /// A session that was opened at `epoch` has not seen anything before.
    pub(super) fn opened(&mut self, session: SessionId, epoch: u64) {
        if let Some(lease) = self.sessions.get_mut(&session) {
            lease.reads = SessionReads::opened(epoch);
        }
    }

    /// Whether the session is open and stays so.
    pub(super) fn is_open(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|lease| !lease.closing)
    }

    /// What the session uses of the past, told with its renewal.
    pub(super) fn hold(&mut self, session: SessionId, renewal: Renewal) {
        if let Some(lease) = self.sessions.get_mut(&session) {
            lease.reads.renew(renewal);
        }
    }

    /// What the session told.
    pub(super) fn reads(&self, session: SessionId) -> Option<&SessionReads> {
        self.sessions.get(&session).map(|lease| &lease.reads)
    }

    /// When a session that knows through epoch `knows` should renew again. `let_go` is the newest epoch in which something was let go of.
    pub(super) fn renewal_pause(&self, knows: u64, let_go: u64) -> Duration {
        if knows >= let_go {
            return SESSION_RENEWAL;
        }
        let share = SESSION_RENEWAL_SHARE * u32::try_from(self.sessions.len()).unwrap_or(u32::MAX);
        share.clamp(SESSION_RENEWAL_HURRIED, SESSION_RENEWAL)
    }

    /// Who may be reading what of a volume, as of `epoch`. See [`crate::version::garbage`].
    pub(super) fn readers(&self, volume: VolumeId, epoch: u64) -> Readers {
        readers(self.sessions.values().map(|lease| &lease.reads), volume, epoch)
    }

    /// Sessions whose lease is over; each is told once.
    pub(super) fn lapsed_sessions(&mut self, now: Instant) -> Vec<SessionId> {
        let over = |lease: &SessionLease| !lease.closing && now.duration_since(lease.renewed) >= SESSION_LEASE;
        let lapsed: Vec<_> = self.sessions.iter_mut().filter(|(_, lease)| over(lease)).collect();
        lapsed
            .into_iter()
            .map(|(session, lease)| {
                lease.closing = true;
                *session
            })
            .collect()
    }

    /// The end of a session could not be proposed: it will be tried again.
    pub(super) fn still_open(&mut self, session: SessionId) {
        if let Some(lease) = self.sessions.get_mut(&session) {
            lease.closing = false;
        }
    }

    /// Tickets that helpers should finish: their lease is over, or others have been waiting behind them for [`TICKET_GRACE`].
    pub(super) fn lapsed_tickets(&self, kv: &dyn Kv, now: Instant) -> Result<Vec<(BlobId, BlobVersion)>, KvError> {
        let mut lapsed = Vec::new();
        blobs::waiting(kv, &mut |waiting| {
            let place = (waiting.blob, waiting.version);
            let age = self.tickets.get(&place).map_or(TICKET_LEASE, |given| now.duration_since(*given));
            if age >= if waiting.blocks_others { TICKET_GRACE } else { TICKET_LEASE } {
                lapsed.push(place);
            }
            lapsed.len() < LAPSED_PER_ANSWER_MAX
        })?;
        Ok(lapsed)
    }

    /// Keeps a commit's answer until its version is published; gives it back as `busy` if too many wait.
    pub(super) fn wait_for_publish(&mut self, place: (BlobId, BlobVersion), waiter: Waiter, busy: ServiceError) {
        if self.waiters >= WAITERS_MAX {
            // The asker may have gone away.
            let _ = waiter.send(Err(busy));
            return;
        }
        self.waiters += 1;
        self.commits.entry(place).or_default().push(waiter);
    }

    /// Those who wait for a version.
    pub(super) fn take_waiters(&mut self, place: (BlobId, BlobVersion)) -> Vec<Waiter> {
        let waiters = self.commits.remove(&place).unwrap_or_default();
        self.waiters -= waiters.len();
        waiters
    }

    /// The versions of a volume that somebody waits for.
    pub(super) fn waited_for_in(&self, volume: VolumeId) -> Vec<(BlobId, BlobVersion)> {
        self.commits.keys().filter(|(blob, _)| blob.volume == volume).copied().collect()
    }

    /// Told at the next change of the volume; `None` if too many wait.
    pub(super) fn watch(&mut self, volume: VolumeId) -> Option<oneshot::Receiver<()>> {
        if self.waiters >= WAITERS_MAX {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        self.waiters += 1;
        self.watchers.entry(volume).or_default().push(sender);
        Some(receiver)
    }

    fn wake(&mut self, volume: VolumeId) {
        for watcher in self.watchers.remove(&volume).unwrap_or_default() {
            self.waiters -= 1;
            // It may have gone away.
            let _ = watcher.send(());
        }
    }

    /// Makes room: those whose time ran out need no answer.
    pub(super) fn forget_gone_waiters(&mut self) {
        self.commits.retain(|_, waiters| {
            waiters.retain(|waiter| !waiter.is_closed());
            !waiters.is_empty()
        });
        self.watchers.retain(|_, watchers| {
            watchers.retain(|watcher| !watcher.is_closed());
            !watchers.is_empty()
        });
        self.locks.forget_gone();
        let commits: usize = self.commits.values().map(Vec::len).sum();
        self.waiters = commits + self.watchers.values().map(Vec::len).sum::<usize>();
    }
}
