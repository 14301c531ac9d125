//! Leases on directories, with the clock in hand.

use crate::version::service::leases::{CallId, Leases};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use weft_common::id::{InodeNumber, SessionId, VolumeId};
use weft_common::limits::{LEASE_MARGIN, LEASE_PAUSE, LEASE_TERM};
use weft_common::wire::{LeaseReply, LeasedDirectory, Reply, ServiceError, SessionReply};

const VOLUME: VolumeId = VolumeId(1);
const HERE: LeasedDirectory = (VOLUME, InodeNumber(5));
const THERE: LeasedDirectory = (VOLUME, InodeNumber(6));
const DESK: SessionId = SessionId(1);
const FARM: SessionId = SessionId(2);
const TOOL: SessionId = SessionId(3);
const SILENCE: Duration = Duration::from_nanos(LEASE_TERM.as_nanos() as u64 + LEASE_MARGIN.as_nanos() as u64);

struct Table {
    leases: Leases,
    start: Instant,
}

impl Table {
    fn new() -> Self {
        let start = Instant::now();
        Self { leases: Leases::new(start, BTreeSet::new(), 100, LEASE_PAUSE), start }
    }

    fn at(&self, after: Duration) -> Instant {
        self.start + after
    }

    /// The line that `session` gets a lease on `directory` in.
    fn grant(&mut self, session: SessionId, directory: LeasedDirectory, after: Duration) -> Option<u64> {
        let now = self.at(after);
        self.leases.grant(session, VOLUME, vec![directory.1], now).map(|grant| grant.line)
    }

    /// A change of `directory` by `maker`; and its answer, which may be held.
    fn change(&mut self, maker: Option<SessionId>, directory: LeasedDirectory, after: Duration) -> (Option<CallId>, Answer) {
        let call = self.leases.call_in([directory], maker, self.at(after));
        let (sender, answer) = oneshot::channel();
        self.leases.answer_after(call, sender, Ok(Reply::Session(SessionReply::Done)));
        (call, Answer(answer))
    }

    fn called(&mut self, session: SessionId, line: u64) -> (u64, u64, Vec<LeasedDirectory>) {
        match self.leases.called((session, line), 9) {
            (LeaseReply::CalledIn { line, number, directories, .. }, _) => (line, number, directories),
            (other, _) => panic!("{other:?}"),
        }
    }
}

struct Answer(oneshot::Receiver<Result<Reply, ServiceError>>);

impl Answer {
    fn is_there(&mut self) -> bool {
        self.0.try_recv().is_ok()
    }
}

#[test]
fn a_change_is_told_when_everybody_else_has_let_go() {
    let mut table = Table::new();
    let [desk, farm] = [DESK, FARM].map(|session| table.grant(session, HERE, Duration::ZERO).unwrap());
    let (call, mut answer) = table.change(Some(DESK), HERE, Duration::ZERO);
    assert!(call.is_some() && !answer.is_there(), "the farm remembers it");
    assert_eq!(table.called(DESK, desk).2, [], "who made it knows of it");
    let (_, number, directories) = table.called(FARM, farm);
    assert_eq!(directories, [HERE]);
    table.leases.hear((FARM, farm), number - 1, &[], table.at(Duration::ZERO));
    assert!(!answer.is_there(), "the call was not heard");
    table.leases.hear((FARM, farm), number, &[], table.at(Duration::ZERO));
    assert!(answer.is_there());
    assert!(table.leases.is_quiet());
    let (call, mut answer) = table.change(Some(DESK), HERE, Duration::ZERO);
    assert!(call.is_none() && answer.is_there(), "nobody else has a lease any more");
}

#[test]
fn reads_and_later_changes_wait_for_the_same_call() {
    let mut table = Table::new();
    let farm = table.grant(FARM, HERE, Duration::ZERO).unwrap();
    let (_, mut first) = table.change(None, HERE, Duration::ZERO);
    let (_, mut second) = table.change(Some(DESK), HERE, Duration::ZERO);
    let mut read = table.leases.wait_for([THERE, HERE]).unwrap();
    let mut watch = table.leases.wait_in(VOLUME).unwrap();
    assert!(table.leases.wait_for([THERE]).is_none(), "nothing happened there");
    assert!(table.leases.call_for([HERE]).is_some() && table.leases.call_for([THERE]).is_none());
    assert!(!first.is_there() && !second.is_there() && read.try_recv().is_err());
    assert_eq!(table.grant(TOOL, HERE, Duration::ZERO), None, "no new lease while one is called in");
    let (_, number, _) = table.called(FARM, farm);
    table.leases.hear((FARM, farm), number, &[], table.at(Duration::ZERO));
    assert!(first.is_there() && second.is_there() && read.try_recv().is_ok() && watch.try_recv().is_ok());
}

#[test]
fn a_question_that_is_open_is_answered_by_the_call() {
    let mut table = Table::new();
    let farm = table.grant(FARM, HERE, Duration::ZERO).unwrap();
    let (nothing, tells) = table.leases.called((FARM, farm), 9);
    assert!(matches!(nothing, LeaseReply::CalledIn { directories, .. } if directories.is_empty()));
    let mut tells = tells.unwrap();
    assert!(tells.try_recv().is_err());
    table.change(Some(DESK), HERE, Duration::ZERO);
    assert!(tells.try_recv().is_ok());
}

#[test]
fn a_question_that_is_asked_again_ends_the_one_before() {
    let mut table = Table::new();
    let farm = table.grant(FARM, HERE, Duration::ZERO).unwrap();
    let (_, first) = table.leases.called((FARM, farm), 9);
    let (_, second) = table.leases.called((FARM, farm), 9);
    assert_eq!(first.unwrap().try_recv(), Err(oneshot::error::TryRecvError::Closed));
    assert_eq!(second.unwrap().try_recv(), Err(oneshot::error::TryRecvError::Empty));
}

#[test]
fn who_says_nothing_is_waited_for_until_he_believes_nothing() {
    let mut table = Table::new();
    let farm = table.grant(FARM, HERE, Duration::ZERO).unwrap();
    let heard = Duration::from_secs(1);
    table.leases.hear((FARM, farm), 0, &[], table.at(heard));
    let (_, mut answer) = table.change(Some(DESK), HERE, heard);
    table.leases.tick(table.at(heard + SILENCE - Duration::from_millis(1)));
    assert!(!answer.is_there(), "he may believe it still");
    // He speaks, and has not heard the call: that does not make the wait longer, as he believes longer only what he has when he is answered.
    table.leases.hear((FARM, farm), 0, &[], table.at(heard + LEASE_TERM));
    assert_eq!(
        table.grant(FARM, THERE, heard + LEASE_TERM),
        None,
        "who has not let go gets nothing that makes him believe longer"
    );
    table.leases.tick(table.at(heard + SILENCE));
    assert!(answer.is_there());
    assert_eq!(table.called(FARM, farm).0, 0, "what he holds is not known any more");
    let again = table.grant(FARM, THERE, heard + SILENCE).unwrap();
    assert_ne!(again, farm, "so that he forgets what he had");
}

#[test]
fn a_session_that_is_over_holds_nobody_up() {
    let mut table = Table::new();
    table.grant(FARM, HERE, Duration::ZERO).unwrap();
    let (_, mut answer) = table.change(Some(DESK), HERE, Duration::ZERO);
    table.leases.close(FARM);
    assert!(answer.is_there());
}

#[test]
fn after_a_start_changes_wait_for_leases_that_nobody_remembers() {
    let start = Instant::now();
    let mut table = Table { leases: Leases::new(start, [DESK, FARM, TOOL].into(), 100, LEASE_PAUSE), start };
    let (_, mut answer) = table.change(Some(DESK), HERE, Duration::ZERO);
    table.leases.hear((FARM, 99), 0, &[], start);
    assert_eq!(table.called(FARM, 99).0, 0, "what it holds is not ours");
    table.leases.close(TOOL);
    assert!(!answer.is_there(), "the farm may not have forgotten it yet");
    table.leases.hear((FARM, 0), 0, &[], start);
    assert!(answer.is_there());
    assert!(table.change(Some(DESK), HERE, Duration::ZERO).0.is_none());
    let (_, mut other) = table.change(Some(FARM), HERE, Duration::ZERO);
    assert!(!other.is_there(), "the desk has said nothing");
    let desk = table.grant(DESK, THERE, Duration::ZERO).unwrap();
    table.leases.hear((DESK, desk), 0, &[], start);
    assert!(other.is_there(), "it holds something of ours, so nothing else");
}

#[test]
fn a_stranger_is_waited_for_until_he_believes_nothing() {
    let start = Instant::now();
    let mut table = Table { leases: Leases::new(start, [DESK, FARM].into(), 100, LEASE_PAUSE), start };
    let (_, mut answer) = table.change(Some(DESK), HERE, Duration::ZERO);
    table.leases.tick(table.at(SILENCE - Duration::from_millis(1)));
    assert!(!answer.is_there());
    table.leases.tick(table.at(SILENCE));
    assert!(answer.is_there());
    assert!(table.change(Some(DESK), HERE, SILENCE).0.is_none());
}

#[test]
fn where_several_work_there_are_no_leases_for_a_while() {
    let mut table = Table::new();
    let farm = table.grant(FARM, HERE, Duration::ZERO).unwrap();
    table.change(Some(DESK), HERE, Duration::ZERO);
    table.leases.hear((FARM, farm), 1, &[], table.at(Duration::ZERO));
    let moment = Duration::from_millis(1);
    assert_eq!(table.grant(FARM, HERE, LEASE_PAUSE - moment), None);
    assert_eq!(table.grant(FARM, THERE, LEASE_PAUSE - moment), Some(farm));
    assert_eq!(table.grant(FARM, HERE, LEASE_PAUSE), Some(farm));
    // What a helper or a compaction did says nothing of what comes next.
    table.change(None, HERE, LEASE_PAUSE);
    table.leases.hear((FARM, farm), 2, &[], table.at(LEASE_PAUSE));
    assert_eq!(table.grant(FARM, HERE, LEASE_PAUSE), Some(farm));
}

#[test]
fn what_is_given_back_is_not_called_in() {
    let mut table = Table::new();
    let farm = table.grant(FARM, HERE, Duration::ZERO).unwrap();
    table.leases.hear((FARM, farm), 0, &[HERE], table.at(Duration::ZERO));
    assert!(table.change(Some(DESK), HERE, Duration::ZERO).0.is_none());
}
