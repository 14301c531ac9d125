//! What is remembered, with the clock in hand.

use super::core::Book;
use super::terms::{Known, Mark, Now, Outcome, Question};
use crate::id::{InodeNumber, VolumeId, VolumeVersion};
use crate::limits::{LEASE_DOUBT, LEASE_IDLE, LEASE_TERM};
use crate::name::FileName;
use crate::time::Timestamp;
use crate::wire::{
    Attributes, Change, ChangeReply, DirectoryEntry, FileKind, Grant, LeasedDirectory, Moment, NamespaceAnswer, NewInode, Query,
};
use std::time::{Duration, Instant};

const VOLUME: VolumeId = VolumeId(1);
const HERE: InodeNumber = InodeNumber(5);
const FRAME: InodeNumber = InodeNumber(50);

fn name(text: &str) -> FileName {
    FileName::new(text).unwrap()
}

fn attributes(inode: InodeNumber, kind: FileKind, version: u64) -> Attributes {
    let time = Timestamp(version as i64);
    let (accessed, modified, changed, born) = (time, time, time, time);
    let links = if kind == FileKind::Directory { 2 } else { 1 };
    let (mode, uid, gid, size, rdev, xattr_bytes, tree) = (0o644, 0, 0, 3, 0, 0, None);
    let version = VolumeVersion(version);
    Attributes { inode, kind, mode, uid, gid, links, size, rdev, accessed, modified, changed, born, version, xattr_bytes, tree }
}

fn look_up(text: &str) -> Query {
    Query::LookUp { parent: HERE, name: name(text) }
}

fn create(text: &str) -> Change {
    let inode = NewInode::File;
    Change::Create { parent: HERE, name: name(text), inode, mode: 0o644, uid: 0, gid: 0, exclusive: true, umask: 0 }
}

fn unlink(text: &str) -> Change {
    Change::Unlink { parent: HERE, name: name(text) }
}

/// A client's memory of the directory `HERE`, and its clock.
struct Memory {
    book: Book,
    start: Instant,
    after: Duration,
    line: u64,
}

impl Memory {
    fn new() -> Self {
        Self { book: Book::default(), start: Instant::now(), after: Duration::ZERO, line: 7 }
    }

    fn now(&self) -> Now {
        Now { steady: self.start + self.after, wall: Timestamp(1_000_000_000 + self.after.as_nanos() as i64) }
    }

    fn known(&mut self, query: &Query) -> Option<Known> {
        let now = self.now();
        self.book.known(VOLUME, query, now)
    }

    /// The state of a file that is known by `text`.
    fn version_of(&mut self, text: &str) -> Option<u64> {
        match self.known(&look_up(text)) {
            Some(Known::Attributes(attributes)) => Some(attributes.version.0),
            Some(Known::Absent) => Some(0),
            None => None,
        }
    }

    /// An answer as of command and version `at`, with a lease on `HERE`.
    fn seen(&mut self, query: &Query, answer: Option<NamespaceAnswer>, at: u64) -> Vec<LeasedDirectory> {
        let moment = Moment { epoch: at, version: VolumeVersion(at) };
        let grant = Grant { line: self.line, directories: vec![HERE] };
        let asked = self.now();
        self.book.remember(VOLUME, query, answer.as_ref(), moment, &grant, asked).0
    }

    fn seen_file(&mut self, text: &str, at: u64) {
        let found = NamespaceAnswer::Attributes(attributes(FRAME, FileKind::File, at));
        self.seen(&look_up(text), Some(found), at);
    }

    fn change(&mut self, change: &Change, inode: InodeNumber, version: u64) {
        let mark = self.book.begin(VOLUME, change);
        self.end(change, mark, inode, version);
    }

    fn end(&mut self, change: &Change, mark: Mark, inode: InodeNumber, version: u64) {
        let attributes = Some(attributes(inode, FileKind::File, version));
        let reply = ChangeReply { version: VolumeVersion(version), attributes };
        self.book.end(VOLUME, change, mark, Outcome::Done(&reply));
    }

    /// `HERE` is called in by command `epoch`; answers what is forgotten.
    fn call(&mut self, number: u64, epoch: u64) -> Vec<LeasedDirectory> {
        let now = self.now();
        let question = Question { line: self.line, done: number - 1, gives_back: Vec::new() };
        self.book.answered(&question, now, (self.line, number, epoch), &[(VOLUME, HERE)]).0
    }
}

#[test]
fn what_was_seen_is_known_and_what_was_called_in_is_not() {
    let mut memory = Memory::new();
    assert_eq!(memory.version_of("frame"), None);
    memory.seen_file("frame", 4);
    memory.seen(&look_up("other"), None, 5);
    assert_eq!((memory.version_of("frame"), memory.version_of("other"), memory.version_of("third")), (Some(4), Some(0), None));
    assert!(matches!(memory.known(&Query::Attributes(FRAME)), Some(Known::Attributes(_))));
    assert_eq!(memory.call(1, 6), [(VOLUME, HERE), (VOLUME, FRAME)], "the kernel hears of both");
    assert_eq!((memory.version_of("frame"), memory.version_of("other")), (None, None));
    assert_eq!(memory.known(&Query::Attributes(FRAME)), None);
    memory.seen_file("frame", 5);
    assert_eq!(memory.version_of("frame"), None, "that answer is from before the call, and came late");
    memory.seen_file("frame", 6);
    assert_eq!(memory.version_of("frame"), Some(6));
    assert_eq!(memory.call(2, 7).len(), 2);
    let now = memory.now();
    let question = memory.book.question(now).0.unwrap();
    assert_eq!(question.done, 2, "though nothing is remembered, the manager waits to hear that");
    memory.book.answered(&question, now, (memory.line, 2, 7), &[]);
    assert_eq!(memory.book.question(now).0, None);
}

#[test]
fn a_directory_that_was_listed_whole_has_nothing_else() {
    let mut memory = Memory::new();
    let list = |after: Option<&str>| Query::ReadDirectory { directory: HERE, after: after.map(name), limit: 2 };
    let entries = |names: &[&str], more| {
        let entry = |(place, text): (usize, &&str)| {
            let attributes = attributes(InodeNumber(60 + place as u64), FileKind::File, 3);
            DirectoryEntry { name: name(text), attributes }
        };
        Some(NamespaceAnswer::Entries { entries: names.iter().enumerate().map(entry).collect(), more })
    };
    memory.seen(&list(None), entries(&["a", "b"], true), 4);
    assert_eq!((memory.version_of("a"), memory.version_of("z")), (Some(3), None));
    memory.seen(&list(Some("x")), entries(&["y"], false), 4);
    assert_eq!(memory.version_of("z"), None, "from b to x nobody has looked");
    memory.seen(&list(Some("b")), entries(&["y"], false), 4);
    assert_eq!((memory.version_of("z"), memory.version_of("c")), (Some(0), Some(0)));
    memory.change(&create("c"), FRAME, 5);
    assert_eq!((memory.version_of("c"), memory.version_of("z")), (Some(5), Some(0)));
    let mark = memory.book.begin(VOLUME, &create("z"));
    memory.book.end(VOLUME, &create("z"), mark, Outcome::Refused);
    assert_eq!(memory.version_of("z"), None, "somebody else may have it");
}

#[test]
fn who_asks_for_one_name_after_the_other_is_told_all_of_them() {
    let mut memory = Memory::new();
    let own = Attributes { size: 2000, ..attributes(HERE, FileKind::Directory, 4) };
    memory.seen(&Query::Attributes(HERE), Some(NamespaceAnswer::Attributes(own.clone())), 4);
    let ask = |memory: &mut Memory, text: &str| memory.book.listing_for(VOLUME, &look_up(text));
    let mut asked = || (0..5).map(|_| ask(&mut memory, "frame")).collect::<Vec<_>>();
    let listing = asked().pop().flatten().expect("the fifth");
    assert!(matches!(&listing, Query::ReadDirectory { directory: HERE, after: None, .. }));
    assert_eq!(asked()[..4], [None, None, None, None], "once");
    let attributes = attributes(FRAME, FileKind::File, 3);
    let entries = vec![DirectoryEntry { name: name("a"), attributes }];
    memory.seen(&listing, Some(NamespaceAnswer::Entries { entries, more: true }), 4);
    let mut asked = || (0..5).map(|_| ask(&mut memory, "frame")).collect::<Vec<_>>();
    assert!(matches!(asked().pop(), Some(Some(Query::ReadDirectory { after: Some(after), .. })) if after == name("a")));
    let large = Attributes { size: 1_000_000, ..own };
    memory.seen(&Query::Attributes(HERE), Some(NamespaceAnswer::Attributes(large)), 5);
    assert!((0..20).all(|_| ask(&mut memory, "frame").is_none()), "that would take longer than asking");
}

#[test]
fn an_empty_directory_is_known_as_a_whole_and_counts_what_is_made_in_it() {
    let mut memory = Memory::new();
    let empty = Attributes { size: 0, ..attributes(HERE, FileKind::Directory, 4) };
    memory.seen(&Query::Attributes(HERE), Some(NamespaceAnswer::Attributes(empty)), 4);
    assert_eq!(memory.version_of("frame"), Some(0));
    memory.change(&create("frame"), FRAME, 5);
    memory.change(&create("second"), InodeNumber(51), 6);
    memory.change(&unlink("frame"), FRAME, 7);
    let Some(Known::Attributes(own)) = memory.known(&Query::Attributes(HERE)) else { panic!("not known") };
    assert_eq!((own.size, own.modified, own.version), (1, Timestamp(7), VolumeVersion(7)));
    assert_eq!((memory.version_of("frame"), memory.version_of("second")), (Some(0), Some(6)));
}

#[test]
fn a_name_that_is_being_changed_is_asked_for() {
    let mut memory = Memory::new();
    memory.seen(&look_up("frame"), None, 4);
    let mark = memory.book.begin(VOLUME, &create("frame"));
    assert_eq!(memory.version_of("frame"), None);
    memory.seen(&look_up("frame"), None, 4);
    assert_eq!(memory.version_of("frame"), None, "it is not known when that was so");
    memory.end(&create("frame"), mark, FRAME, 5);
    assert_eq!(memory.version_of("frame"), Some(5));
    memory.seen(&look_up("frame"), None, 4);
    assert_eq!(memory.version_of("frame"), Some(5), "an answer from before the change");
    // Two at once: their answers do not tell which came last.
    let unlinking = memory.book.begin(VOLUME, &unlink("frame"));
    let creating = memory.book.begin(VOLUME, &create("frame"));
    memory.end(&create("frame"), creating, FRAME, 7);
    memory.end(&unlink("frame"), unlinking, FRAME, 6);
    assert_eq!(memory.version_of("frame"), None);
}

#[test]
fn a_change_may_be_answered_after_a_later_one() {
    let mut memory = Memory::new();
    memory.seen(&look_up("other"), None, 4);
    let (one, two) = (create("one"), create("two"));
    let [first, second] = [&one, &two].map(|change| memory.book.begin(VOLUME, change));
    memory.end(&two, second, InodeNumber(52), 6);
    memory.end(&one, first, InodeNumber(51), 5);
    assert_eq!(memory.version_of("two"), Some(6));
    assert_eq!(memory.version_of("one"), None, "its attributes may have been changed by then");
    memory.seen(&look_up("one"), Some(NamespaceAnswer::Attributes(attributes(InodeNumber(51), FileKind::File, 5))), 6);
    assert_eq!(memory.version_of("one"), Some(5));
}

#[test]
fn what_was_seen_while_a_change_was_under_way_is_not_known() {
    let mut memory = Memory::new();
    memory.seen_file("frame", 4);
    let link = Change::Link { inode: FRAME, parent: HERE, name: name("other") };
    let mark = memory.book.begin(VOLUME, &link);
    memory.seen_file("frame", 4);
    assert_eq!(memory.version_of("frame"), None, "its attributes are being changed");
    let linked = Attributes { links: 2, ..attributes(FRAME, FileKind::File, 5) };
    let reply = ChangeReply { version: VolumeVersion(5), attributes: Some(linked) };
    memory.book.end(VOLUME, &link, mark, Outcome::Done(&reply));
    assert_eq!(memory.version_of("frame"), None, "it has two names now");
    // A rename takes the name of what it replaces, which its answer does not tell.
    memory.seen_file("frame", 6);
    let (parent, new_parent) = (HERE, HERE);
    let rename =
        Change::Rename { parent, name: name("draft"), new_parent, new_name: name("final"), no_replace: false, exchange: false };
    memory.change(&rename, InodeNumber(51), 7);
    assert_eq!(memory.known(&Query::Attributes(FRAME)), None, "for all that is known this was the one");
    assert_eq!(memory.version_of("final"), Some(7));
}

#[test]
fn what_was_called_in_while_a_change_was_under_way_is_not_known_from_its_answer() {
    let mut memory = Memory::new();
    memory.seen(&look_up("other"), None, 4);
    let mark = memory.book.begin(VOLUME, &create("frame"));
    memory.call(1, 6);
    memory.seen(&look_up("other"), None, 6);
    memory.end(&create("frame"), mark, FRAME, 5);
    assert_eq!(memory.version_of("frame"), None, "somebody else may have taken it away again");
}

#[test]
fn what_is_forgotten_is_given_back() {
    let mut memory = Memory::new();
    memory.seen_file("frame", 4);
    let mark = memory.book.begin(VOLUME, &create("frame"));
    memory.call(1, 6);
    memory.seen(&look_up("other"), None, 6);
    memory.end(&create("frame"), mark, FRAME, 5);
    let now = memory.now();
    assert_eq!(memory.book.question(now).0.unwrap().gives_back, [(VOLUME, HERE)], "or the manager would count it for ever");
}

#[test]
fn a_rename_moves_what_is_known() {
    let mut memory = Memory::new();
    memory.seen_file("frame", 4);
    let (parent, new_parent) = (HERE, HERE);
    let (name, new_name) = (name("frame"), name("final"));
    let rename = Change::Rename { parent, name, new_parent, new_name, no_replace: false, exchange: false };
    memory.change(&rename, FRAME, 5);
    assert_eq!((memory.version_of("frame"), memory.version_of("final")), (Some(0), Some(5)));
    assert_eq!(memory.known(&Query::Attributes(HERE)), None, "how many entries it has is not known");
}

#[test]
fn what_this_client_publishes_is_known_from_the_answer() {
    let mut memory = Memory::new();
    memory.seen_file("frame", 4);
    let mark = memory.book.publishing(VOLUME, FRAME);
    assert_eq!(memory.version_of("frame"), None);
    memory.book.published(VOLUME, FRAME, mark, VolumeVersion(5), Some(&attributes(FRAME, FileKind::File, 5)));
    assert_eq!(memory.version_of("frame"), Some(5));
    memory.seen_file("frame", 4);
    assert_eq!(memory.version_of("frame"), Some(5));
}

#[test]
fn nothing_is_believed_for_longer_than_a_term() {
    let mut memory = Memory::new();
    memory.seen_file("frame", 4);
    memory.after = LEASE_TERM - Duration::from_millis(1);
    assert_eq!(memory.version_of("frame"), Some(4));
    let asked = memory.now();
    memory.after = LEASE_TERM;
    assert_eq!(memory.version_of("frame"), None);
    // The question that was sent before is answered now.
    let question = Question { line: memory.line, done: 0, gives_back: Vec::new() };
    memory.book.answered(&question, asked, (memory.line, 0, 9), &[]);
    assert_eq!(memory.version_of("frame"), Some(4));
    // The machine sleeps, and its steady clock with it.
    let now = Now { wall: Timestamp(memory.now().wall.0 + LEASE_TERM.as_nanos() as i64), ..memory.now() };
    assert_eq!(memory.book.known(VOLUME, &look_up("frame"), now), None);
}

#[test]
fn a_manager_that_knows_nothing_of_it_makes_it_forget() {
    let mut memory = Memory::new();
    memory.seen_file("frame", 4);
    let now = memory.now();
    let question = Question { line: memory.line, done: 0, gives_back: Vec::new() };
    assert_eq!(memory.book.answered(&question, now, (0, 0, 4), &[]).0.len(), 2);
    assert_eq!(memory.version_of("frame"), None);
    let word = memory.book.question(now).0.unwrap();
    assert_eq!(word.line, 0, "it says that it has forgotten everything");
    memory.book.answered(&word, now, (0, 0, 4), &[]);
    assert_eq!(memory.book.question(now).0, None);
    memory.seen_file("frame", 5);
    assert_eq!(memory.version_of("frame"), Some(5));
    memory.line = 8;
    memory.seen(&look_up("other"), None, 5);
    assert_eq!((memory.version_of("frame"), memory.version_of("other")), (None, Some(0)), "another line of leases");
}

#[test]
fn a_change_whose_outcome_is_not_known_ends_all_belief_for_a_while() {
    let mut memory = Memory::new();
    memory.seen_file("frame", 4);
    let mark = memory.book.begin(VOLUME, &create("other"));
    let now = memory.now();
    assert_eq!(memory.book.end(VOLUME, &create("other"), mark, Outcome::Unknown(now)).0.len(), 2);
    memory.seen_file("frame", 5);
    assert_eq!(memory.version_of("frame"), None, "the change may come yet, and is not called in");
    memory.after = LEASE_DOUBT;
    memory.seen_file("frame", 6);
    assert_eq!(memory.version_of("frame"), Some(6));
}

#[test]
fn what_nobody_looks_at_is_given_back() {
    let mut memory = Memory::new();
    memory.seen_file("frame", 4);
    memory.after = LEASE_IDLE;
    let now = memory.now();
    let (question, forgotten) = memory.book.question(now);
    let question = question.unwrap();
    assert_eq!((question.gives_back.as_slice(), forgotten.0.len()), (&[(VOLUME, HERE)][..], 2));
    memory.seen_file("frame", 5);
    assert_eq!(memory.version_of("frame"), None, "the manager may not have heard yet that it was given back");
    memory.book.answered(&question, now, (memory.line, 0, 5), &[]);
    assert_eq!(memory.book.question(now).0, None, "nothing is left to ask for");
    memory.seen_file("frame", 6);
    assert_eq!(memory.version_of("frame"), Some(6));
}
