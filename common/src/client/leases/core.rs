//! What is remembered under leases. Pure: time comes as an argument.
//!
//! A directory is remembered with its own attributes, its names, and the attributes of its files; what it is not known to have is
//! known not to be there once all of it was listed, or when it was empty to begin with. Three things keep it right:
//! - *Calls.* What is called in is forgotten before the next question goes out, which says so.
//! - *Moments.* Answers overtake one another. One that is about a time before the newest call, or before the newest change of
//!   this client's own, is used and not remembered.
//! - *Own changes* are not called in. A name that is being changed is not answered from memory until the answer is there, and then from
//!   that. What a change does that its answer does not tell is forgotten.
//!
//! Nothing is believed for longer than [`LEASE_TERM`] after the newest question, or look, that the manager has answered was *sent*.

use super::terms::{Directory, Flight, Forgotten, Known, Listed, Mark, Now, Outcome, Question, names};
use crate::id::{InodeNumber, VolumeId, VolumeVersion};
use crate::limits::{ENTRIES_PER_ANSWER_MAX, LEASE_DOUBT, LEASE_IDLE, LEASE_TERM, LEASED_NAMES_MAX, LEASES_PER_SESSION_MAX};
use crate::name::FileName;
use crate::wire::{
    Attributes, Change, ChangeReply, DirectoryEntry, FileKind, Grant, LeasedDirectory, Moment, NamespaceAnswer, Query,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// So many names of a directory are asked for one by one; before the next one some of it is listed.
const LOOK_UPS_BEFORE_LISTING: u32 = 4;
/// Entries of a directory that is listed because of that: a few answers.
const LISTED_ENTRIES_MAX: u64 = 16_384;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Book {
    line: u64,
    believed_since: Option<Now>,
    doubt_until: Option<Instant>,
    /// Commands of the newest call; answers from before are not remembered.
    floor: u64,
    /// The newest own change of each volume; answers from before are not remembered.
    own: BTreeMap<VolumeId, VolumeVersion>,
    done: u64,
    /// How much of that the manager knows.
    told: u64,
    /// Leases are forgotten that the manager does not know of, or whose call it may be waiting for.
    owes_word: bool,
    directories: HashMap<LeasedDirectory, Directory>,
    homes: HashMap<LeasedDirectory, InodeNumber>,
    /// Inodes whose attributes this client is changing, and how many of its changes do.
    busy: BTreeMap<LeasedDirectory, u32>,
    /// Names that this client is changing.
    in_flight: BTreeMap<(LeasedDirectory, FileName), Flight>,
    /// Everything that the manager has given a lease on, and not called in.
    held: BTreeSet<LeasedDirectory>,
    /// Forgotten, and the manager does not know yet.
    leaving: BTreeSet<LeasedDirectory>,
    entries: usize,
}

impl Book {
    /// For how long what is known now may be believed.
    pub(super) fn believed_for(&self, now: Now) -> Duration {
        let is_in_doubt = self.doubt_until.is_some_and(|until| now.steady < until);
        match self.believed_since {
            Some(since) if !is_in_doubt => LEASE_TERM.saturating_sub(now.since(since)),
            _ => Duration::ZERO,
        }
    }

    /// What is known of what `query` asks.
    pub(super) fn known(&mut self, volume: VolumeId, query: &Query, now: Now) -> Option<Known> {
        if self.believed_for(now).is_zero() {
            return None;
        }
        let inode = match query {
            Query::Attributes(inode) => *inode,
            Query::LookUp { parent, name } => {
                if self.in_flight.contains_key(&((volume, *parent), name.clone())) {
                    return None;
                }
                let directory = self.directories.get_mut(&(volume, *parent))?;
                directory.used = now.steady;
                match directory.names.get(name) {
                    Some(Some(inode)) => *inode,
                    Some(None) => return Some(Known::Absent),
                    None if directory.listed == Listed::All => return Some(Known::Absent),
                    None => return None,
                }
            }
            _ => return None,
        };
        if let Some(directory) = self.directories.get_mut(&(volume, inode)) {
            directory.used = now.steady;
            return directory.own.clone().map(|own| Known::Attributes(Box::new(own)));
        }
        let home = self.homes.get(&(volume, inode))?;
        let directory = self.directories.get_mut(&(volume, *home))?;
        directory.used = now.steady;
        directory.files.get(&inode)?.clone().map(|attributes| Known::Attributes(Box::new(attributes)))
    }

    /// `query` has to be asked. If it is one of several for names of one directory that is not too large, this answers a better one: part of
    /// the directory, from where it is not known on. Whoever looks at some names one by one looks at more, and who makes
    /// files asks for each name whether it is there.
    pub(super) fn listing_for(&mut self, volume: VolumeId, query: &Query) -> Option<Query> {
        let Query::LookUp { parent, name } = query else { return None };
        if self.in_flight.contains_key(&((volume, *parent), name.clone())) {
            return None;
        }
        let directory = self.directories.get_mut(&(volume, *parent))?;
        directory.misses += 1;
        let is_small = directory.own.as_ref().is_some_and(|own| own.size <= LISTED_ENTRIES_MAX);
        if directory.misses <= LOOK_UPS_BEFORE_LISTING || !is_small {
            return None;
        }
        let after = match &directory.listed {
            Listed::No => None,
            Listed::Through(name) => Some(name.clone()),
            Listed::All => return None,
        };
        directory.misses = 0;
        Some(Query::ReadDirectory { directory: *parent, after, limit: ENTRIES_PER_ANSWER_MAX as u32 })
    }

    /// Takes in the answer to `query`, which was asked at `asked`.
    pub(super) fn remember(
        &mut self,
        volume: VolumeId,
        query: &Query,
        answer: Option<&NamespaceAnswer>,
        moment: Moment,
        grant: &Grant,
        asked: Now,
    ) -> Forgotten {
        let granted = grant.directories.iter().map(|inode| (volume, *inode));
        if grant.line == self.line {
            self.held.extend(granted.clone());
        }
        let is_late = moment.epoch < self.floor || self.own.get(&volume).is_some_and(|own| moment.version < *own);
        if is_late || self.doubt_until.is_some_and(|until| asked.steady < until) {
            return Forgotten::default();
        }
        let forgotten = if grant.line == self.line { Forgotten::default() } else { self.begin_line(grant.line, moment.epoch) };
        self.believe(asked);
        self.held.extend(granted.clone());
        for place in granted.filter(|place| !self.leaving.contains(place)) {
            self.directories.entry(place).or_insert_with(|| Directory {
                own: None,
                as_of: VolumeVersion(0),
                names: HashMap::new(),
                files: HashMap::new(),
                listed: Listed::No,
                misses: 0,
                used: asked.steady,
            });
        }
        match (query, answer) {
            (Query::LookUp { parent, name }, None) => self.put_name((volume, *parent), name, None),
            (Query::LookUp { parent, name }, Some(NamespaceAnswer::Attributes(attributes))) => {
                self.put_name((volume, *parent), name, Some(attributes.inode));
                self.put_attributes(volume, *parent, attributes, moment);
            }
            (Query::Attributes(_), Some(NamespaceAnswer::Attributes(attributes))) => {
                if let Some(home) = grant.directories.first() {
                    self.put_attributes(volume, *home, attributes, moment);
                }
            }
            (Query::ReadDirectory { directory, after, .. }, Some(NamespaceAnswer::Entries { entries, more })) => {
                self.put_listing((volume, *directory), after.as_ref(), entries, *more, moment);
            }
            _ => {}
        }
        forgotten
    }

    fn put_listing(
        &mut self,
        place: LeasedDirectory,
        after: Option<&FileName>,
        entries: &[DirectoryEntry],
        more: bool,
        moment: Moment,
    ) {
        for entry in entries {
            self.put_name(place, &entry.name, Some(entry.attributes.inode));
            self.put_attributes(place.0, place.1, &entry.attributes, moment);
        }
        let Some(directory) = self.directories.get_mut(&place) else { return };
        let goes_on = match (after, &directory.listed) {
            (None, _) => true,
            (Some(after), Listed::Through(through)) => after == through,
            (Some(_), _) => false,
        };
        if directory.listed != Listed::All && goes_on {
            directory.listed = match entries.last().filter(|_| more) {
                Some(last) => Listed::Through(last.name.clone()),
                None if more => Listed::No,
                None => Listed::All,
            };
        }
    }

    fn put_name(&mut self, place: LeasedDirectory, name: &FileName, inode: Option<InodeNumber>) {
        if self.in_flight.contains_key(&(place, name.clone())) {
            return;
        }
        let Some(directory) = self.directories.get_mut(&place) else { return };
        if inode.is_none() && directory.listed == Listed::All {
            self.entries -= usize::from(directory.names.remove(name).is_some());
        } else {
            self.entries += usize::from(directory.names.insert(name.clone(), inode).is_none());
        }
    }

    /// Attributes that were so at `moment`, of something in the directory `home`, or of a directory.
    fn put_attributes(&mut self, volume: VolumeId, home: InodeNumber, attributes: &Attributes, moment: Moment) {
        let inode = attributes.inode;
        if self.busy.contains_key(&(volume, inode)) {
            return;
        }
        if attributes.kind == FileKind::Directory {
            let Some(directory) = self.directories.get_mut(&(volume, inode)) else { return };
            directory.own = Some(attributes.clone());
            directory.as_of = moment.version;
            if attributes.size == 0 && attributes.links > 0 {
                directory.listed = Listed::All;
            }
        } else if attributes.links == 1
            && let Some(directory) = self.directories.get_mut(&(volume, home))
        {
            self.entries += usize::from(directory.files.insert(inode, Some(attributes.clone())).is_none());
            self.homes.insert((volume, inode), home);
        }
    }

    /// A change of this client goes out.
    pub(super) fn begin(&mut self, volume: VolumeId, change: &Change) -> Mark {
        for (directory, name) in names(change) {
            let place = (volume, directory);
            let flight = self.in_flight.entry((place, name.clone())).or_default();
            flight.overlapped |= flight.count > 0;
            flight.count += 1;
            let directory = self.directories.get_mut(&place);
            let known = directory.and_then(|directory| {
                let absent = (directory.listed == Listed::All).then_some(None);
                let named = directory.names.remove(&name);
                self.entries -= usize::from(named.is_some());
                named.or(absent)
            });
            if flight.count == 1 {
                flight.before = known;
            }
            if let Some(inode) = known.flatten() {
                self.forget_attributes((volume, inode));
            }
        }
        match change.subject() {
            Some(inode) => self.occupy((volume, inode)),
            None => self.mark(),
        }
    }

    /// The answer to a change that went out at `mark` is there.
    pub(super) fn end(&mut self, volume: VolumeId, change: &Change, mark: Mark, outcome: Outcome<'_>) -> Forgotten {
        let mut is_certain = mark == self.mark();
        if let Some(inode) = change.subject() {
            self.release((volume, inode));
        }
        for (directory, name) in names(change) {
            let key = ((volume, directory), name);
            let Some(flight) = self.in_flight.get_mut(&key) else { continue };
            flight.count -= 1;
            is_certain &= !flight.overlapped;
            let before = flight.before;
            if flight.count == 0 {
                self.in_flight.remove(&key);
            }
            match before {
                Some(None) => {}
                Some(Some(inode)) => self.forget_attributes((volume, inode)),
                // The only change that takes a name from something without telling from what.
                None if matches!(change, Change::Rename { .. }) => self.forget_files((volume, directory)),
                None => {}
            }
        }
        match outcome {
            Outcome::Done(reply) if is_certain => self.done(volume, change, reply),
            Outcome::Done(ChangeReply { version, .. }) => {
                self.note_own(volume, *version);
                self.forget_directories(volume, change)
            }
            Outcome::Refused => {
                // What the names stand for is not known any more, so the directories are not known as a whole.
                names(change).for_each(|(directory, _)| self.unlist((volume, directory)));
                Forgotten::default()
            }
            Outcome::Unknown(now) => self.doubt(now),
        }
    }

    /// Takes a change in of which it is certain that no other one of this client's concerned the same names meanwhile.
    fn done(&mut self, volume: VolumeId, change: &Change, reply: &ChangeReply) -> Forgotten {
        let is_newest = self.note_own(volume, reply.version);
        let Some(attributes) = &reply.attributes else { return self.forget_directories(volume, change) };
        self.forget_attributes((volume, attributes.inode));
        let moment = Moment { epoch: self.floor, version: reply.version };
        let is_directory = attributes.kind == FileKind::Directory;
        match change {
            Change::Create { parent, name, .. } | Change::Link { parent, name, .. } => {
                self.put_name((volume, *parent), name, Some(attributes.inode));
                // A file that was there already is answered as if it was made.
                if attributes.version == reply.version {
                    self.count((volume, *parent), attributes, 1, reply.version);
                }
                if is_newest && !is_directory {
                    self.put_attributes(volume, *parent, attributes, moment);
                }
                Forgotten::default()
            }
            Change::Unlink { parent, name } | Change::RemoveDirectory { parent, name } => {
                self.put_name((volume, *parent), name, None);
                self.count((volume, *parent), attributes, -1, reply.version);
                if is_directory {
                    return self.drop_directories([(volume, attributes.inode)]);
                }
                self.drop_file((volume, attributes.inode));
                Forgotten::default()
            }
            Change::Rename { parent, name, new_parent, new_name, exchange: false, .. } if attributes.version == reply.version => {
                for directory in [parent, new_parent] {
                    self.forget_attributes((volume, *directory));
                }
                if (parent, name) != (new_parent, new_name) {
                    self.put_name((volume, *parent), name, None);
                }
                self.put_name((volume, *new_parent), new_name, Some(attributes.inode));
                self.drop_file((volume, attributes.inode));
                if is_newest {
                    self.put_attributes(volume, *new_parent, attributes, moment);
                }
                Forgotten::default()
            }
            Change::SetAttributes { inode, .. } | Change::SetXattr { inode, .. } | Change::RemoveXattr { inode, .. } => {
                let home = if is_directory { Some(*inode) } else { self.homes.get(&(volume, *inode)).copied() };
                if let Some(home) = home.filter(|_| is_newest) {
                    self.put_attributes(volume, home, attributes, moment);
                }
                Forgotten::default()
            }
            _ => self.forget_directories(volume, change),
        }
    }

    /// An own change became `version`. Whether none is known that is newer.
    fn note_own(&mut self, volume: VolumeId, version: VolumeVersion) -> bool {
        let own = self.own.entry(volume).or_insert(version);
        let is_newest = version >= *own;
        *own = version.max(*own);
        is_newest
    }

    /// An update of this client's is being published: what the file will be is not known.
    pub(super) fn publishing(&mut self, volume: VolumeId, inode: InodeNumber) -> Mark {
        self.occupy((volume, inode))
    }

    /// A publication came to nothing, for all that is known.
    pub(super) fn not_published(&mut self, volume: VolumeId, inode: InodeNumber) {
        self.release((volume, inode));
    }

    fn mark(&self) -> Mark {
        Mark { line: self.line, floor: self.floor }
    }

    /// The attributes of an inode are not known until what is done about it is over.
    fn occupy(&mut self, place: LeasedDirectory) -> Mark {
        *self.busy.entry(place).or_default() += 1;
        self.forget_attributes(place);
        self.mark()
    }

    fn release(&mut self, place: LeasedDirectory) {
        if let Some(count) = self.busy.get_mut(&place) {
            *count -= 1;
            if *count == 0 {
                self.busy.remove(&place);
            }
        }
    }

    /// A file's update was published: by this client, so that nobody calls it in.
    pub(super) fn published(
        &mut self,
        volume: VolumeId,
        inode: InodeNumber,
        mark: Mark,
        version: VolumeVersion,
        now: Option<&Attributes>,
    ) {
        self.release((volume, inode));
        let is_newest = self.note_own(volume, version) && mark == self.mark();
        let home = self.homes.get(&(volume, inode)).copied();
        match now.zip(home) {
            Some((attributes, home)) if is_newest && attributes.links == 1 => {
                self.put_attributes(volume, home, attributes, Moment { epoch: self.floor, version });
            }
            _ => self.forget_attributes((volume, inode)),
        }
    }

    /// A change may still be carried out without being called in.
    pub(super) fn doubt(&mut self, now: Now) -> Forgotten {
        self.doubt_until = Some(now.steady + LEASE_DOUBT);
        self.forget_all()
    }

    /// The directory counts an entry more or less, and was changed when the entry was.
    fn count(&mut self, place: LeasedDirectory, entry: &Attributes, by: i64, version: VolumeVersion) {
        let Some(directory) = self.directories.get_mut(&place).filter(|directory| directory.as_of < version) else { return };
        let Some(own) = &mut directory.own else { return };
        own.size = own.size.saturating_add_signed(by);
        if entry.kind == FileKind::Directory {
            own.links = own.links.saturating_add_signed(by as i32);
        }
        own.modified = own.modified.max(entry.changed);
        own.changed = own.changed.max(entry.changed);
        own.version = own.version.max(version);
    }

    /// Whatever a change did in directories is not known.
    fn forget_directories(&mut self, volume: VolumeId, change: &Change) -> Forgotten {
        let places = change.directories().into_iter().flatten().map(|directory| (volume, directory));
        self.drop_directories(places)
    }

    fn unlist(&mut self, place: LeasedDirectory) {
        if let Some(directory) = self.directories.get_mut(&place) {
            directory.listed = Listed::No;
        }
    }

    /// The attributes of a directory or a file are not known.
    fn forget_attributes(&mut self, place: LeasedDirectory) {
        if let Some(directory) = self.directories.get_mut(&place) {
            directory.own = None;
        }
        if let Some(home) = self.homes.get(&place)
            && let Some(attributes) = self.directories.get_mut(&(place.0, *home)).and_then(|home| home.files.get_mut(&place.1))
        {
            *attributes = None;
        }
    }

    /// A file is not in its directory any more.
    fn drop_file(&mut self, place: LeasedDirectory) {
        let home = self.homes.remove(&place).and_then(|home| self.directories.get_mut(&(place.0, home)));
        self.entries -= usize::from(home.is_some_and(|home| home.files.remove(&place.1).is_some()));
    }

    /// The attributes of nothing in a directory are known.
    fn forget_files(&mut self, place: LeasedDirectory) {
        if let Some(directory) = self.directories.get_mut(&place) {
            directory.files.values_mut().for_each(|attributes| *attributes = None);
        }
    }

    fn begin_line(&mut self, line: u64, epoch: u64) -> Forgotten {
        let forgotten = self.forget_all();
        self.leaving.clear();
        self.held.clear();
        (self.line, self.done, self.told, self.believed_since) = (line, 0, 0, None);
        self.floor = self.floor.max(epoch);
        forgotten
    }

    fn believe(&mut self, asked: Now) {
        if self.believed_since.is_none_or(|since| since.steady < asked.steady) {
            self.believed_since = Some(asked);
        }
    }

    /// What to ask next; `None` while nothing is remembered and nothing is to be said.
    pub(super) fn question(&mut self, now: Now) -> (Option<Question>, Forgotten) {
        let forgotten = self.tidy(now);
        if self.is_empty() {
            return (None, forgotten);
        }
        let gives_back = self.leaving.iter().copied().collect();
        (Some(Question { line: self.line, done: self.done, gives_back }), forgotten)
    }

    /// Gives back what was not used for long, and what there is no room for.
    fn tidy(&mut self, now: Now) -> Forgotten {
        let is_idle = |directory: &Directory| now.steady.saturating_duration_since(directory.used) >= LEASE_IDLE;
        let mut out: Vec<_> =
            self.directories.iter().filter(|(_, directory)| is_idle(directory)).map(|(place, _)| *place).collect();
        if self.entries > LEASED_NAMES_MAX || self.directories.len() > LEASES_PER_SESSION_MAX * 3 / 4 {
            let mut by_age: Vec<_> = self.directories.iter().map(|(place, directory)| (directory.used, *place)).collect();
            by_age.sort_unstable();
            let half = by_age.len().div_ceil(2);
            out.extend(by_age.into_iter().take(half).map(|(_, place)| place));
        }
        let forgotten = self.drop_directories(out);
        // Also what was forgotten for another reason, and not remembered again.
        let left = self.held.iter().filter(|place| !self.directories.contains_key(*place));
        self.leaving.extend(left);
        forgotten
    }

    /// Whether nothing is remembered and nothing is to be said.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.leaving.is_empty() && self.done == self.told && !self.owes_word
    }

    /// Takes in the answer to `question`, which was sent at `asked`: forgets what is called in.
    pub(super) fn answered(
        &mut self,
        question: &Question,
        asked: Now,
        (line, number, epoch): (u64, u64, u64),
        called_in: &[LeasedDirectory],
    ) -> Forgotten {
        if question.line != self.line {
            return Forgotten::default();
        }
        if line != self.line {
            self.owes_word = true;
            // None of them counts for anything any more.
            return self.begin_line(0, epoch);
        }
        self.owes_word = false;
        for place in &question.gives_back {
            self.leaving.remove(place);
            self.held.remove(place);
        }
        for place in called_in {
            self.held.remove(place);
        }
        if !called_in.is_empty() {
            self.floor = self.floor.max(epoch);
        }
        let forgotten = self.drop_directories(called_in.iter().copied());
        self.told = self.told.max(question.done);
        self.done = self.done.max(number);
        // The manager waits for what it has called in from when it heard of this client before, and not longer.
        if called_in.is_empty() {
            self.believe(asked);
        }
        forgotten
    }

    /// The manager does not answer: what is remembered is believed until its term is over, and then it is forgotten.
    pub(super) fn unanswered(&mut self, now: Now) -> Forgotten {
        if !self.believed_for(now).is_zero() || self.held.is_empty() {
            return Forgotten::default();
        }
        self.owes_word = true;
        self.forget_all()
    }

    fn forget_all(&mut self) -> Forgotten {
        let all: Vec<_> = self.directories.keys().copied().collect();
        self.drop_directories(all)
    }

    fn drop_directories(&mut self, places: impl IntoIterator<Item = LeasedDirectory>) -> Forgotten {
        let mut forgotten = Vec::new();
        for place in places {
            let Some(directory) = self.directories.remove(&place) else { continue };
            self.entries -= directory.names.len() + directory.files.len();
            forgotten.push(place);
            for inode in directory.files.into_keys() {
                self.homes.remove(&(place.0, inode));
                forgotten.push((place.0, inode));
            }
        }
        Forgotten(forgotten)
    }
}
