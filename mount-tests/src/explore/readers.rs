//! Those who read the past: mounts that enter kept versions, look files up in them and keep them open; and the renewals by which the
//! manager learns of it.
//!
//! What the manager knows of a session is the real [`SessionReads`]; the mount is simulated, by the rules that the proof rests on:
//!
//! - with each list it says through which epoch it knows: the newest that it had heard of when it asked what is not answered yet, and
//!   before it makes the list;
//! - it holds a version as long as anything that it asked there may be answered;
//! - it takes its hold on a content before it lets go of the version that showed it, and a list is made of the versions first and of
//!   the contents after, so that no list misses both;
//! - what it has let go of it asks for again, from the start.

use super::faults::Fault;
use super::past::Content;
use super::steps::Step;
use super::world::{Seen, World, note};
use weft_common::id::{BlobVersion, SessionId, VolumeVersion};
use weft_common::weave::testing::checks::Violation;
use weft_common::wire::{Holds, Renewal};
use weft_server::version::namespace::Readers;
use weft_server::version::readers::{SessionReads, readers};

/// One reader.
#[derive(Clone, Debug, Hash)]
pub struct Reader {
    session: SessionId,
    /// What the manager knows.
    reads: SessionReads,
    /// The number of the newest list that arrived, and the epoch of that.
    arrived: u64,
    answered: u64,
    /// How often it may still open something, and renew its session.
    opens: u8,
    renewals: u8,
    /// The version that it holds.
    version: Option<u64>,
    /// It was told that this is kept.
    is_inside: bool,
    /// What it was in last, for a mount that asks there again although it let go of it.
    left: Option<u64>,
    /// The content that it has open.
    content: Option<Content>,
    /// What it asked was answered, and it has not heard it yet.
    answer: Option<Answer>,
    /// The newest epoch that it had heard of when it asked.
    asked_at: u64,
    /// Lists that it made, and what the newest answer to one said that it heard.
    number: u64,
    heard: u64,
    /// The half of a list, and through which epoch it knew.
    half: Option<(u64, Holds)>,
    /// On its way.
    sent: Option<Renewal>,
    /// Sent before, and may arrive at any time.
    late: Option<Renewal>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Answer {
    Kept(bool),
    /// What the file has at the version.
    There(Content),
    /// What it has now.
    Newest(Content),
}

/// What a reader does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// Asks whether a version is kept.
    Enter(u64),
    /// Asks what the file has in the version that it holds.
    LookUp,
    /// Asks what the file has now.
    LookUpNewest,
    /// Hears the answer.
    Hear,
    /// Lets go of the version.
    Leave,
    /// Closes the file.
    Close,
    /// Begins a list of what it uses.
    List,
    /// Ends and sends it.
    Send,
    /// The list arrives and is answered.
    Arrive,
    /// The list arrives, and the answer is lost.
    ArriveUnheard,
    /// The mount does not wait for the answer any longer.
    GiveUp,
    /// A list that was sent before arrives.
    ArriveLate,
    /// Its session lapses; it begins anew.
    Lapse,
}

impl Reader {
    pub fn new(session: SessionId, epoch: u64, opens: u8, renewals: u8) -> Self {
        Self {
            session,
            reads: SessionReads::opened(epoch),
            arrived: 0,
            answered: epoch,
            opens,
            renewals,
            version: None,
            is_inside: false,
            left: None,
            content: None,
            answer: None,
            asked_at: 0,
            number: 0,
            heard: 0,
            half: None,
            sent: None,
            late: None,
        }
    }

    /// What it may rely on: the version that it is in, and what it has open.
    pub fn uses(&self) -> (Option<u64>, Option<Content>) {
        (self.version.filter(|_| self.is_inside), self.content)
    }

    /// The manager starts anew and knows nothing of it.
    pub fn forget(&mut self, epoch: u64) {
        self.reads = SessionReads::unheard_since(epoch);
    }

    /// It closes everything, and nothing of it is under way any more.
    pub fn finish(&mut self) {
        let Self { session, reads, arrived, answered, number, heard, .. } = self.clone();
        *self = Self { reads, arrived, number, heard, ..Self::new(session, answered, 0, 0) };
    }

    fn is_listing(&self) -> bool {
        self.half.is_some() || self.sent.is_some()
    }
}

impl World {
    /// What the manager knows of all readers; here the planted bugs of the manager spoil it.
    pub(super) fn who_reads(&self) -> Readers {
        let mut known = readers(self.readers.iter().map(|reader| &reader.reads), self.manager.volume, self.manager.epoch());
        match self.setup.fault {
            Fault::PurgesWhatIsRead => known.versions.clear(),
            Fault::CollectsWhatIsRead => known.contents.clear(),
            Fault::WaitsForOneRenewal => {
                let answered = self.readers.iter().map(|reader| reader.answered);
                known.through = answered.chain([self.manager.epoch()]).min().unwrap_or(0);
            }
            _ => {}
        }
        known
    }

    pub(super) fn add_readers_steps(&self, steps: &mut Vec<Step>) {
        for (place, reader) in self.readers.iter().enumerate() {
            let mut add = |is_possible: bool, act| steps.extend(is_possible.then_some(Step::Read(place, act)));
            let is_idle = reader.answer.is_none();
            let can_open = is_idle && reader.opens > 0 && reader.content.is_none();
            if can_open && reader.version.is_none() {
                self.past.thinnable().for_each(|n| add(true, Act::Enter(n)));
                add(self.setup.opens_newest && self.past.newest().file.is_some(), Act::LookUpNewest);
            }
            add(can_open && (reader.is_inside || reader.left.is_some()), Act::LookUp);
            add(!is_idle, Act::Hear);
            let lets_go_first = self.setup.fault == Fault::LetsGoFirst;
            add(reader.version.is_some() && (is_idle || lets_go_first), Act::Leave);
            add(reader.content.is_some(), Act::Close);
            add(reader.renewals > 0 && !reader.is_listing(), Act::List);
            add(reader.half.is_some(), Act::Send);
            add(reader.sent.is_some(), Act::Arrive);
            add(self.repeats > 0 && reader.sent.is_some(), Act::ArriveUnheard);
            add(self.repeats > 0 && reader.sent.is_some(), Act::GiveUp);
            add(self.repeats > 0 && reader.late.is_some(), Act::ArriveLate);
            add(self.lapses > 0, Act::Lapse);
        }
    }

    pub(super) fn read(&mut self, place: usize, act: Act, seen: &mut Seen) -> Result<(), Violation> {
        let mut reader = self.readers[place].clone();
        match act {
            Act::Enter(_) | Act::LookUp | Act::LookUpNewest | Act::Hear | Act::Leave | Act::Close => {
                self.browse(&mut reader, act, seen)?;
            }
            Act::List | Act::Send => self.list(&mut reader, act),
            Act::Arrive | Act::ArriveUnheard | Act::GiveUp | Act::ArriveLate => self.arrive(&mut reader, act, seen),
            Act::Lapse => {
                self.lapses -= 1;
                note(seen, "session of a reader lapsed", reader.content.is_some());
                self.manager.close_session(reader.session);
                reader = Reader::new(self.manager.open_session(), self.manager.epoch(), reader.opens, reader.renewals);
            }
        }
        self.readers[place] = reader;
        Ok(())
    }

    /// It asks, hears, and lets go.
    fn browse(&self, reader: &mut Reader, act: Act, seen: &mut Seen) -> Result<(), Violation> {
        match act {
            Act::Enter(n) => {
                reader.answer = Some(Answer::Kept(self.ask_whether_kept(n)?));
                reader.version = Some(n);
                (reader.is_inside, reader.asked_at) = (false, reader.heard);
            }
            Act::LookUp | Act::LookUpNewest => {
                let at = if act == Act::LookUp { reader.version.or(reader.left) } else { None };
                let found = match self.look_up(at) {
                    Err(_) if reader.version.is_none() && at.is_some() => return Ok(()),
                    found => found?,
                };
                let there = at.map_or(Answer::Newest(found), |_| Answer::There(found));
                (reader.answer, reader.asked_at) = (Some(there), reader.heard);
                let is_thinned = reader.version.is_some_and(|n| !self.past.is_kept(n));
                note(seen, "looked up in a thinned version", is_thinned);
            }
            Act::Hear => {
                let Some(answer) = reader.answer.take() else { return Ok(()) };
                self.hear(reader, answer, seen)?;
            }
            Act::Leave => {
                let asks_again = self.setup.fault == Fault::AsksWithoutHolding;
                reader.left = reader.version.filter(|_| asks_again && reader.is_inside);
                (reader.version, reader.is_inside) = (None, false);
            }
            _ => reader.content = None,
        }
        Ok(())
    }

    /// The first half of a list, or the second, with which it is sent.
    fn list(&self, reader: &mut Reader, act: Act) {
        let begins = act == Act::List;
        let counts_operations = self.setup.fault != Fault::ForgetsOperations;
        let asked_at = reader.answer.filter(|_| counts_operations).map_or(u64::MAX, |_| reader.asked_at);
        let (knows, mut holds) = reader.half.take().unwrap_or((reader.heard.min(asked_at), Holds::default()));
        if begins == (self.setup.fault == Fault::ListsContentsFirst) {
            self.list_content(reader, &mut holds);
        } else {
            self.list_version(reader, &mut holds);
        }
        if begins {
            reader.renewals -= 1;
            reader.number += 1;
            reader.half = Some((knows, holds));
        } else {
            reader.sent = Some(Renewal { number: reader.number, knows, holds });
        }
    }

    /// What becomes of a list on its way.
    fn arrive(&mut self, reader: &mut Reader, act: Act, seen: &mut Seen) {
        let sent = if act == Act::ArriveLate { &mut reader.late } else { &mut reader.sent };
        let Some(renewal) = sent.take() else { return };
        if act != Act::GiveUp {
            self.renew(reader, &renewal);
        }
        note(seen, "answer to a renewal lost", act == Act::ArriveUnheard);
        note(seen, "renewal late or twice", act == Act::ArriveLate);
        if act == Act::Arrive {
            reader.heard = self.manager.epoch();
        } else {
            self.repeats -= 1;
        }
        if act != Act::ArriveLate {
            reader.late = (self.repeats > 0).then_some(renewal);
        }
    }

    fn hear(&self, reader: &mut Reader, answer: Answer, seen: &mut Seen) -> Result<(), Violation> {
        match answer {
            Answer::Kept(is_kept) => {
                reader.is_inside = is_kept;
                reader.version = reader.version.filter(|_| is_kept);
                note(seen, "entered a version that was thinned meanwhile", reader.version.is_some_and(|n| !self.past.is_kept(n)));
            }
            Answer::There(content) | Answer::Newest(content) => {
                reader.opens -= 1;
                reader.content = Some(content);
                note(seen, "opened a content that no kept version shows", !self.past.kept().contains(&content));
                return self.check_version(content.0, content.1);
            }
        }
        Ok(())
    }

    fn list_version(&self, reader: &Reader, holds: &mut Holds) {
        let version = reader.version.filter(|_| reader.is_inside);
        holds.versions.extend(version.map(|n| (self.manager.volume, VolumeVersion(n))));
    }

    fn list_content(&self, reader: &Reader, holds: &mut Holds) {
        holds.contents.extend(reader.content.map(|(place, version)| (self.oracle.logs[place].id, BlobVersion(version))));
    }

    /// A renewal arrives.
    fn renew(&self, reader: &mut Reader, renewal: &Renewal) {
        let mut renewal = renewal.clone();
        let epoch = self.manager.epoch();
        if self.setup.fault == Fault::BelievesRepeatedRenewals {
            (renewal.knows, renewal.number) = (reader.answered, reader.arrived + 1);
        }
        if renewal.number > reader.arrived {
            (reader.arrived, reader.answered) = (renewal.number, epoch);
        }
        reader.reads.renew(renewal);
    }

    /// Every reader has closed everything and renews.
    pub(super) fn renew_all(&mut self) {
        let mut readers = std::mem::take(&mut self.readers);
        for reader in &mut readers {
            reader.number = reader.number.max(reader.arrived) + 1;
            let renewal = Renewal { number: reader.number, knows: reader.heard, holds: Holds::default() };
            reader.heard = self.manager.epoch();
            self.renew(reader, &renewal);
        }
        self.readers = readers;
    }
}
