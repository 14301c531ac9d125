//! Clients on real mounts: threads that do what their plan says, and write it down.

use super::perform::Hands;
use super::plan::{Planner, Shared};
use super::record::{Moment, Operation, Outcome, Record};
use std::ffi::CString;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};
use std::thread;

/// What is recorded.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Operations, more or less.
    pub operations: u32,
    /// Clients on each mount.
    pub clients_per_mount: u16,
    /// What the operations are drawn from.
    pub seed: u64,
}

/// Where clients of one mount take turns: POSIX has them see one another's unpublished bytes, and the checker knows published states
/// only. Across mounts nobody waits for anybody.
#[derive(Debug, Default)]
struct Turns([RwLock<()>; 4]);

/// Now.
#[must_use]
pub fn now() -> Moment {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// How the volume's log calls the operation with this number: the mount notes the name of the thread that called.
#[must_use]
pub fn program_of(number: u32) -> String {
    format!("op{number}")
}

/// Records a run on these mounts of one empty volume, first what sets it up, at last what looks at it.
#[must_use]
pub fn record(mounts: &[PathBuf], run: Run) -> Vec<Record> {
    let clients = mounts.len() as u16 * run.clients_per_mount;
    let shared = Shared::new(clients);
    let turns: Vec<Turns> = mounts.iter().map(|_| Turns::default()).collect();
    let client = |client: u16| {
        let mount = client / run.clients_per_mount;
        Client { number: client, mount, hands: Hands::new(&mounts[usize::from(mount)]), turns: &turns[usize::from(mount)] }
    };
    let mut first = client(0);
    let mut records: Vec<Record> = Shared::setup().into_iter().map(|step| first.perform(shared.number(), step)).collect();
    let lists = thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|number| {
                let (mut client, mut planner) = (client(number), Planner::new(&shared, number, run.seed));
                let shared = &shared;
                scope.spawn(move || client.run(shared, &mut planner, run.operations))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Vec<_>>()
    });
    records.extend(lists.into_iter().flatten());
    let mut last = client(clients - 1);
    records.extend(shared.last_looks().into_iter().map(|look| last.perform(shared.number(), look)));
    records
}

/// One client.
#[derive(Debug)]
struct Client<'a> {
    number: u16,
    mount: u16,
    hands: Hands,
    turns: &'a Turns,
}

impl Client<'_> {
    fn run(&mut self, shared: &Shared, planner: &mut Planner<'_>, limit: u32) -> Vec<Record> {
        let mut records = Vec::new();
        loop {
            let number = shared.number();
            if number > limit {
                return records;
            }
            let record = self.perform(number, planner.draw());
            planner.learn(&record);
            records.push(record);
        }
    }

    fn perform(&mut self, number: u32, operation: Operation) -> Record {
        let name = CString::new(program_of(number)).unwrap_or_default();
        // Without its name the log would not tell which operation made a version, and the checker would say so.
        let _ = rustix::thread::set_name(&name);
        let turn = &self.turns.0[operation.family() as usize];
        let (start, outcome, end) = if operation.writes() {
            let _turn = turn.write().unwrap_or_else(PoisonError::into_inner);
            timed(&mut self.hands, number, &operation)
        } else {
            let _turn = turn.read().unwrap_or_else(PoisonError::into_inner);
            timed(&mut self.hands, number, &operation)
        };
        Record { number, client: self.number, mount: self.mount, start, end, operation, outcome }
    }
}

fn timed(hands: &mut Hands, number: u32, operation: &Operation) -> (Moment, Outcome, Moment) {
    let start = now();
    let outcome = hands.perform(number, operation);
    (start, outcome, now())
}
