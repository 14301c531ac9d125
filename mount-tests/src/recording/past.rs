//! The volume's log replayed: what every path was at every version.

use super::log::Change;
use super::record::{Family, Moment, Operation, Outcome, Record, Value};
use std::collections::{BTreeSet, HashMap};
use weft_common::id::ROOT_INODE;
use weft_common::wire::ChangeKind;

/// What changed at versions, ascending.
#[derive(Clone, Debug)]
struct Timeline<T>(Vec<(u64, T)>);

impl<T> Default for Timeline<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Copy> Timeline<T> {
    fn push(&mut self, version: u64, state: T) {
        self.0.push((version, state));
    }

    /// What it was at `version`, and since which one.
    fn at(&self, version: u64) -> Option<(u64, T)> {
        let behind = self.0.partition_point(|(from, _)| *from <= version);
        behind.checked_sub(1).map(|place| self.0[place])
    }

    /// What came behind `after`, up to `until`.
    fn between(&self, after: u64, until: u64) -> impl Iterator<Item = (u64, T)> + '_ {
        let first = self.0.partition_point(|(from, _)| *from <= after);
        self.0[first..].iter().copied().take_while(move |(from, _)| *from <= until)
    }
}

/// An impossible change: the log contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impossible {
    /// The change.
    pub change: Change,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Everything that ever was.
#[derive(Debug, Default)]
pub struct Past {
    names: HashMap<u64, HashMap<String, Timeline<Option<u64>>>>,
    contents: HashMap<u64, Timeline<Value>>,
    links: HashMap<u64, Timeline<u64>>,
    touched: HashMap<u64, Timeline<()>>,
    /// Who made each version.
    makers: Vec<Option<u32>>,
    /// The changes that each operation made.
    by: HashMap<u32, Vec<Change>>,
    /// When each version was published at the earliest: the operation that made it had begun, and those before it.
    earliest: Vec<Moment>,
    /// What the log gets wrong by itself.
    pub impossible: Vec<Impossible>,
}

/// The directory and the last name of a path.
#[must_use]
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

impl Past {
    /// Replays `changes`, made by `records`.
    #[must_use]
    pub fn replay(changes: &[Change], records: &HashMap<u32, &Record>) -> Self {
        let mut past = Self::default();
        let mut earliest = 0;
        for (place, change) in changes.iter().enumerate() {
            let maker = change.by.and_then(|number| records.get(&number).copied());
            if change.version != place as u64 + 1 {
                past.refuse(change, "versions are not dense");
            }
            if maker.is_none() {
                past.refuse(change, "nobody made this version");
            }
            earliest = maker.map_or(earliest, |maker| maker.start.max(earliest));
            past.earliest.push(earliest);
            past.makers.push(change.by);
            past.take(change, records);
            if let Some(number) = change.by {
                past.by.entry(number).or_default().push(change.clone());
            }
        }
        past.check_order(changes, records);
        past
    }

    /// What ended before something else began has to come before it.
    fn check_order(&mut self, changes: &[Change], records: &HashMap<u32, &Record>) {
        for (change, earliest) in changes.iter().zip(self.earliest.clone()) {
            let maker = change.by.and_then(|number| records.get(&number));
            // A growing file's handle, which the log knows by the operation that opened it, outlives that operation. And what failed
            // may happen later.
            let is_over = |maker: &&Record| {
                maker.operation.family() != Family::Growing
                    && !matches!(maker.outcome, Outcome::Failed(_))
                    && maker.end < earliest
            };
            if maker.is_some_and(is_over) {
                self.refuse(change, "an older version was made by an operation that began after this one's had ended");
            }
        }
    }

    fn refuse(&mut self, change: &Change, why: &'static str) {
        self.impossible.push(Impossible { change: change.clone(), why });
    }

    fn take(&mut self, change: &Change, records: &HashMap<u32, &Record>) {
        let maker = change.by.and_then(|number| records.get(&number).copied());
        self.touched.entry(change.inode).or_default().push(change.version, ());
        match change.kind {
            ChangeKind::Create => {
                if self.set(change, change.place.as_ref(), Some(change.inode)).is_some() {
                    self.refuse(change, "the name that was made was there");
                }
                self.links.entry(change.inode).or_default().push(change.version, 1);
                self.contents.entry(change.inode).or_default().push(change.version, Value::default());
            }
            ChangeKind::Write => {
                let earlier = self.content(change.inode, change.version).and_then(|(since, _)| self.maker(since));
                let earlier_end = earlier.and_then(|number| records.get(&number)).map_or(0, |record| record.end);
                self.write(change, maker, earlier_end);
            }
            ChangeKind::Link => {
                if self.set(change, change.place.as_ref(), Some(change.inode)).is_some() {
                    self.refuse(change, "the name that was linked was there");
                }
                self.add_links(change.inode, change.version, 1);
            }
            ChangeKind::Remove => {
                match self.set(change, change.place.as_ref(), None) {
                    Some(inode) if inode == change.inode => {}
                    _ => self.refuse(change, "the name that was removed was another file's or nobody's"),
                }
                self.add_links(change.inode, change.version, -1);
            }
            ChangeKind::Rename => {
                if self.set(change, change.old_place.as_ref(), None) != Some(change.inode) {
                    self.refuse(change, "the name that was moved was another file's or nobody's");
                }
                if let Some(replaced) = self.set(change, change.place.as_ref(), Some(change.inode)) {
                    self.touched.entry(replaced).or_default().push(change.version, ());
                    self.add_links(replaced, change.version, -1);
                }
            }
            ChangeKind::Attributes | ChangeKind::Restore | ChangeKind::Clone => {}
        }
    }

    fn write(&mut self, change: &Change, maker: Option<&Record>, earlier_end: Moment) {
        let Some(maker) = maker else { return };
        let contents = self.contents.entry(change.inode).or_default();
        let before = contents.at(change.version).map_or_else(Value::default, |(_, value)| value);
        let value = match &maker.operation {
            // Drawing a file out is no more than "at least so long". It does nothing to one that another mount made longer between the
            // call and its publication, as if it had come before that.
            Operation::Cut { size, .. } if *size < before.size && earlier_end > maker.start => match change.size {
                Some(size) if size == u64::from(before.size) => before,
                _ => before.cut(*size),
            },
            Operation::Cut { size, .. } => before.cut(*size),
            Operation::Create { size, .. } | Operation::Overwrite { size, .. } | Operation::Replace { size, .. } => {
                Value::whole(maker.number, *size)
            }
            _ => return,
        };
        contents.push(change.version, value);
        if change.size != Some(u64::from(value.size)) {
            self.refuse(change, "the file has another size than was asked for");
        }
    }

    /// A name means `inode` from the change on; what it meant before.
    fn set(&mut self, change: &Change, place: Option<&(u64, String)>, inode: Option<u64>) -> Option<u64> {
        let (directory, name) = place?;
        let timeline = self.names.entry(*directory).or_default().entry(name.clone()).or_default();
        let before = timeline.at(change.version).and_then(|(_, inode)| inode);
        timeline.push(change.version, inode);
        before
    }

    fn add_links(&mut self, inode: u64, version: u64, more: i64) {
        let links = self.links.entry(inode).or_default();
        let before = links.at(version).map_or(0, |(_, links)| links);
        links.push(version, before.saturating_add_signed(more));
    }

    /// The newest version of which an operation that ended at `end` can know.
    #[must_use]
    pub fn newest_before(&self, end: Moment) -> u64 {
        self.earliest.partition_point(|earliest| *earliest < end) as u64
    }

    /// The changes that an operation made.
    #[must_use]
    pub fn made_by(&self, number: u32) -> &[Change] {
        self.by.get(&number).map_or(&[], Vec::as_slice)
    }

    /// The operation that made a version.
    #[must_use]
    pub fn maker(&self, version: u64) -> Option<u32> {
        *self.makers.get(version.checked_sub(1)? as usize)?
    }

    /// The inode that a path meant.
    #[must_use]
    pub fn resolve(&self, path: &str, version: u64) -> Option<u64> {
        let names = path.split('/').filter(|name| !name.is_empty());
        names.into_iter().try_fold(ROOT_INODE.0, |directory, name| self.names.get(&directory)?.get(name)?.at(version)?.1)
    }

    /// The content of a file, and since which version.
    #[must_use]
    pub fn content(&self, inode: u64, version: u64) -> Option<(u64, Value)> {
        self.contents.get(&inode)?.at(version)
    }

    /// The contents that a file got behind `after`, up to `until`.
    pub fn contents_between(&self, inode: u64, after: u64, until: u64) -> impl Iterator<Item = (u64, Value)> + '_ {
        self.contents.get(&inode).into_iter().flat_map(move |contents| contents.between(after, until))
    }

    /// How many names a file had.
    #[must_use]
    pub fn links(&self, inode: u64, version: u64) -> u64 {
        self.links.get(&inode).and_then(|links| links.at(version)).map_or(0, |(_, links)| links)
    }

    /// The version that last changed an inode.
    #[must_use]
    pub fn touched(&self, inode: u64, version: u64) -> Option<u64> {
        self.touched.get(&inode)?.at(version).map(|(version, ())| version)
    }

    /// The names in a directory.
    #[must_use]
    pub fn listing(&self, directory: u64, version: u64) -> BTreeSet<&str> {
        let names = self.names.get(&directory).into_iter().flatten();
        let there = names.filter(|(_, timeline)| timeline.at(version).is_some_and(|(_, inode)| inode.is_some()));
        there.map(|(name, _)| name.as_str()).collect()
    }
}
