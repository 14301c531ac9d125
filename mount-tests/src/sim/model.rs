//! The volume as it must have been at each of its versions: a plain replay of what clients did, in the order that the volume's
//! own history tells.

use super::history::{Deed, Known, Outcome, Place, Records, apply};
use super::ledger::FallBack;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use weft_common::id::BlobId;
use weft_common::wire::{ChangeKind, ChangeRecord};

/// A file's content from one volume version on.
#[derive(Clone, Debug)]
pub struct FileState {
    /// That version.
    pub from: u64,
    /// The blob that it is of; `None` for a copy below a cloned directory as long as nobody wrote to it, for no record tells of it.
    pub blob: Option<BlobId>,
    /// The blob version that it shows (a compaction may have made later ones of the same bytes).
    pub blob_version: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// An inode's attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// Permission bits.
    pub mode: u16,
    /// The one extended attribute that clients use.
    pub xattr: Option<u64>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Model {
    /// What each name named: (from which version on, inode).
    pub names: BTreeMap<Place, Vec<(u64, Option<u64>)>>,
    /// What each file held.
    pub files: BTreeMap<u64, Vec<FileState>>,
    /// How many names each inode had, and from which version on.
    links: BTreeMap<u64, Vec<(u64, usize)>>,
    traits: BTreeMap<u64, Vec<(u64, Traits)>>,
    /// The newest version.
    pub latest: u64,
    /// The change that made each version.
    makers: BTreeMap<u64, usize>,
    /// What does not fit.
    pub complaints: Vec<String>,
    pub(super) done: BTreeSet<usize>,
}

impl Model {
    /// Replays `changes`, which are all there are; `fall_backs` were asked for.
    #[must_use]
    pub fn replay(changes: &[ChangeRecord], records: &Records, fall_backs: &[FallBack]) -> Self {
        let mut model = Self::default();
        for change in changes {
            model.step(change, records, fall_backs);
        }
        super::outcomes::check(&mut model, records);
        model
    }

    pub(super) fn complain(&mut self, what: String) {
        self.complaints.push(what);
    }

    /// What `place` names at `version`.
    #[must_use]
    pub fn named(&self, place: &Place, version: u64) -> Option<u64> {
        at(self.names.get(place)?, version).flatten()
    }

    /// The names of a directory at `version`.
    #[must_use]
    pub fn listed(&self, directory: u64, version: u64) -> Vec<(String, u64)> {
        let places = self.names.range((directory, String::new())..).take_while(|((parent, _), _)| *parent == directory);
        places.filter_map(|(place, _)| Some((place.1.clone(), self.named(place, version)?))).collect()
    }

    /// The content of a file as of a version of its blob.
    #[must_use]
    pub fn content(&self, inode: u64, (blob, version): (BlobId, u64)) -> Option<&FileState> {
        let states = self.files.get(&inode)?;
        let newest = |of: Option<BlobId>| states.iter().rev().find(|state| state.blob == of && state.blob_version <= version);
        newest(Some(blob)).or_else(|| newest(None))
    }

    /// The content of a file at a volume version.
    #[must_use]
    pub fn content_at(&self, inode: u64, version: u64) -> Option<&FileState> {
        self.files.get(&inode)?.iter().rev().find(|state| state.from <= version)
    }

    /// The attributes of an inode at a volume version.
    #[must_use]
    pub fn traits_at(&self, inode: u64, version: u64) -> Option<Traits> {
        at(self.traits.get(&inode)?, version)
    }

    /// Where a look at something at the head has to be at least that began when `known` was known. `states` are the versions that changed
    /// it, in order: those need not have happened yet that were under way.
    #[must_use]
    pub fn settled(&self, known: &Known, states: impl DoubleEndedIterator<Item = u64>) -> u64 {
        let mut low = known.version;
        for version in states.rev().filter(|version| *version <= known.version) {
            if !self.makers.get(&version).is_some_and(|maker| known.under_way.contains(maker)) {
                break;
            }
            low = version - 1;
        }
        low
    }

    /// As [`Model::settled`], for something that any change may concern.
    #[must_use]
    pub fn settled_all(&self, known: &Known) -> u64 {
        let open = self.makers.iter().find(|(_, maker)| known.under_way.contains(maker)).map(|(version, _)| *version - 1);
        open.unwrap_or(known.version).min(known.version)
    }

    /// Whether an inode had attributes that fit at some version from what was known on.
    #[must_use]
    pub fn some_traits(&self, inode: u64, known: &Known, fit: impl Fn(Traits) -> bool) -> bool {
        let states = || self.traits.get(&inode).into_iter().flatten();
        let low = self.settled(known, self.traits.get(&inode).map_or(&[][..], Vec::as_slice).iter().map(|(from, _)| *from));
        self.traits_at(inode, low).is_some_and(&fit) || states().any(|(from, traits)| *from > low && fit(*traits))
    }

    /// The content that a file had to have at least when `known` was known.
    #[must_use]
    pub fn content_since(&self, inode: u64, known: &Known) -> Option<&FileState> {
        let states = self.files.get(&inode).map_or(&[][..], Vec::as_slice);
        self.content_at(inode, self.settled(known, states.iter().map(|state| state.from)))
    }

    /// Whether a name was in a state that fits at some version from what was known on.
    #[must_use]
    pub fn some_state_since(&self, place: &Place, known: &Known, fits: impl Fn(Option<u64>) -> bool) -> bool {
        let states = self.names.get(place).map_or(&[][..], Vec::as_slice);
        self.some_state(place, self.settled(known, states.iter().map(|(from, _)| *from)), fits)
    }

    /// Whether a name was in a state that fits at some version from `low` on.
    #[must_use]
    pub fn some_state(&self, place: &Place, low: u64, fits: impl Fn(Option<u64>) -> bool) -> bool {
        let later = self.names.get(place).into_iter().flatten().filter(|(from, _)| *from > low);
        fits(self.named(place, low)) || later.into_iter().any(|(_, inode)| fits(*inode))
    }

    /// Whether an inode had no name at some version from `low` to `high`.
    pub(super) fn was_nameless(&self, inode: u64, low: u64, high: u64) -> bool {
        let Some(counts) = self.links.get(&inode) else { return false };
        let between = counts.iter().filter(|(from, _)| low < *from && *from <= high);
        at(counts, low) == Some(0) || between.into_iter().any(|(_, count)| *count == 0)
    }

    /// Whether an inode had a name at a version.
    pub(super) fn has_name(&self, inode: u64, version: u64) -> bool {
        // The root has none and is always there.
        self.links.get(&inode).is_none_or(|counts| at(counts, version).is_some_and(|count| count > 0))
    }

    fn set_name(&mut self, place: &Place, version: u64, inode: Option<u64>) {
        let old = self.named(place, version);
        self.names.entry(place.clone()).or_default().push((version, inode));
        for (changed, more) in old.map(|old| (old, false)).into_iter().chain(inode.map(|inode| (inode, true))) {
            let counts = self.links.entry(changed).or_default();
            let count = counts.last().map_or(0, |(_, count)| *count);
            counts.push((version, if more { count + 1 } else { count.saturating_sub(1) }));
        }
    }

    fn set_traits(&mut self, inode: u64, version: u64, traits: Traits) {
        self.traits.entry(inode).or_default().push((version, traits));
    }

    fn step(&mut self, change: &ChangeRecord, records: &Records, fall_backs: &[FallBack]) {
        let version = change.version.0;
        if version != self.latest + 1 {
            self.complain(format!("N{version} follows N{}", self.latest));
        }
        self.latest = version;
        let number: Option<usize> = change.author.program.strip_prefix("op").and_then(|number| number.parse().ok());
        let Some((number, record)) = number.and_then(|number| Some((number, records.deeds.get(number)?))) else {
            return self.fall_back(change, records, fall_backs);
        };
        self.makers.insert(version, number);
        if !self.done.insert(number) {
            self.complain(format!("op{number} happened twice, the second time as N{version}"));
        }
        match &record.outcome {
            Outcome::Refused(kind) => self.complain(format!("op{number} was refused ({kind:?}) and happened as N{version}")),
            Outcome::Done(told, _) if *told != version => {
                self.complain(format!("op{number} was told N{told} and is N{version}"));
            }
            _ => {}
        }
        if record.low >= version {
            self.complain(format!("op{number} is N{version} and began when N{} was known", record.low));
        }
        if let Err(what) = self.act(change, number, &record.deed) {
            self.complain(format!("op{number}, which is N{version}: {what}"));
        }
    }

    /// After the loss of all copies a file may go back to an older content that its name had, by a version that no client made.
    fn fall_back(&mut self, change: &ChangeRecord, records: &Records, fall_backs: &[FallBack]) {
        let (version, inode) = (change.version.0, change.inode.0);
        let content = change.content.filter(|_| records.has_lost && change.author.program == "recovery");
        let Some((blob, blob_version, size)) = content else {
            return self.complain(format!("N{version} was made by nobody: {change:?}"));
        };
        // The last one that fits: one that was repeated was looked at again before.
        let asked = fall_backs.iter().rev().filter(|asked| asked.inode == inode && self.is_present(inode, asked.lost));
        let mut sources = asked.filter(|asked| self.had_name(&asked.place, inode, asked.source));
        let older =
            sources.find_map(|asked| self.content(asked.source, asked.content).filter(|older| older.bytes.len() as u64 == size));
        let Some(bytes) = older.map(|older| older.bytes.clone()) else {
            return self.complain(format!("N{version} fell back to a content that its name never had: {change:?}"));
        };
        let state = FileState { from: version, blob: Some(blob), blob_version: blob_version.0, bytes };
        self.files.entry(inode).or_default().push(state);
    }

    /// Whether a file's newest content is this one, but for compactions.
    fn is_present(&self, inode: u64, (blob, version): (BlobId, u64)) -> bool {
        let newest = self.files.get(&inode).and_then(|states| states.last());
        newest.is_some_and(|newest| newest.blob.is_none_or(|known| known == blob) && newest.blob_version <= version)
    }

    /// Whether a name of `inode` named `source` since it was last removed.
    fn had_name(&self, place: &Place, inode: u64, source: u64) -> bool {
        let mut named = self.names.get(place).into_iter().flatten().rev().map_while(|(_, inode)| *inode).peekable();
        named.peek() == Some(&inode) && named.any(|named| named == source)
    }

    fn act(&mut self, change: &ChangeRecord, number: usize, deed: &Deed) -> Result<(), String> {
        let (version, inode) = (change.version.0, change.inode.0);
        match (deed, change.kind) {
            (Deed::Create(place, directory), ChangeKind::Create) => {
                self.take_name(place, version, inode)?;
                let mode = if *directory { 0o755 } else { 0o644 };
                self.set_traits(inode, version, Traits { mode, xattr: None });
                if !directory {
                    let state = FileState { from: version, blob: None, blob_version: 0, bytes: Vec::new() };
                    self.files.insert(inode, vec![state]);
                }
                Ok(())
            }
            (Deed::Unlink(place) | Deed::RemoveDirectory(place), ChangeKind::Remove) => self.lose_name(place, version, inode),
            (Deed::Rename(from, to), ChangeKind::Rename) => {
                self.lose_name(from, version, inode)?;
                self.set_name(to, version, Some(inode));
                Ok(())
            }
            (Deed::Link(linked, place), ChangeKind::Link) if *linked == inode => self.take_name(place, version, inode),
            (Deed::SetMode(of, mode), ChangeKind::Attributes) if *of == inode => {
                let old = self.traits_of(inode)?;
                self.set_traits(inode, version, Traits { mode: *mode, ..old });
                Ok(())
            }
            (Deed::SetXattr(of, value), ChangeKind::Attributes) if *of == inode => {
                let old = self.traits_of(inode)?;
                self.set_traits(inode, version, Traits { xattr: Some(*value), ..old });
                Ok(())
            }
            (Deed::Edit(edited, edit), ChangeKind::Write) if *edited == inode => {
                let (blob, blob_version, size) = change.content.ok_or("a write without content")?;
                let bytes = self.written(inode, (blob, blob_version.0), |bytes| apply(edit, number, bytes))?;
                if size != bytes.len() as u64 {
                    return Err(format!("{} bytes were to be {:?}", bytes.len(), change.content));
                }
                self.push_content(inode, version, blob, blob_version.0, bytes)
            }
            (Deed::Share { source, content, inode: shared, .. }, ChangeKind::Write) if *shared == inode => {
                let bytes = self.content(*source, *content).ok_or("shares a content that never was")?.bytes.clone();
                let (blob, blob_version, _) = change.content.ok_or("a share without content")?;
                self.push_content(inode, version, blob, blob_version.0, bytes)
            }
            (Deed::Restore { place, source, to }, ChangeKind::Restore) => self.restore(change, place, *source, *to),
            (Deed::Clone { source, at, place }, ChangeKind::Clone) => {
                self.clone_inode(change, *source, at.unwrap_or(version - 1), place)
            }
            _ => Err(format!("{deed:?} became {change:?}")),
        }
    }

    fn traits_of(&self, inode: u64) -> Result<Traits, String> {
        self.traits_at(inode, self.latest).ok_or_else(|| format!("inode {inode} was made by nobody"))
    }

    fn take_name(&mut self, place: &Place, version: u64, inode: u64) -> Result<(), String> {
        let old = self.named(place, version);
        self.set_name(place, version, Some(inode));
        old.map_or(Ok(()), |old| Err(format!("{place:?} was taken by inode {old}")))
    }

    fn lose_name(&mut self, place: &Place, version: u64, inode: u64) -> Result<(), String> {
        let named = self.named(place, version);
        self.set_name(place, version, None);
        if named == Some(inode) { Ok(()) } else { Err(format!("inode {inode} lost {place:?}, which was {named:?}")) }
    }

    /// The bytes of a file after an update of its newest content, which has to be of the same blob.
    fn written(
        &mut self,
        inode: u64,
        (blob, blob_version): (BlobId, u64),
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Vec<u8>, String> {
        let states = self.files.get_mut(&inode).ok_or("was written and made by nobody")?;
        let before = states.last_mut().ok_or("was written and has no content")?;
        if *before.blob.get_or_insert(blob) != blob || before.blob_version >= blob_version {
            return Err(format!("is v{blob_version} of {blob} and comes behind v{} of {:?}", before.blob_version, before.blob));
        }
        let mut bytes = before.bytes.clone();
        write(&mut bytes);
        Ok(bytes)
    }

    fn push_content(&mut self, inode: u64, from: u64, blob: BlobId, blob_version: u64, bytes: Vec<u8>) -> Result<(), String> {
        let states = self.files.entry(inode).or_default();
        states.push(FileState { from, blob: Some(blob), blob_version, bytes });
        Ok(())
    }

    fn restore(&mut self, change: &ChangeRecord, place: &Place, source: u64, to: u64) -> Result<(), String> {
        let (version, inode) = (change.version.0, change.inode.0);
        let then = self.named(&(source, place.1.clone()), to);
        let now = self.named(place, version);
        let Some(then) = then else { return self.lose_name(place, version, inode) };
        let is_file = self.files.contains_key(&then);
        let stays = now.is_some_and(|now| now == then || !(is_file || self.files.contains_key(&now)));
        if stays && now != Some(inode) {
            return Err(format!("inode {inode} was restored in place of {now:?}"));
        }
        let traits = self.traits_at(then, to).ok_or("was restored to before it was")?;
        if is_file {
            let bytes = self.content_at(then, to).ok_or("had no content then")?.bytes.clone();
            let (blob, blob_version, _) = change.content.ok_or("a restored file without content")?;
            let current = self.files.get(&inode).and_then(|states| states.last()).filter(|_| stays);
            let is_new = current.is_none_or(|current| match current.blob {
                Some(known) => known != blob,
                None => current.bytes != bytes,
            });
            if is_new {
                self.push_content(inode, version, blob, blob_version.0, bytes)?;
            } else if current.is_some_and(|current| current.bytes != bytes) {
                return Err("kept a content that it was to lose".to_owned());
            }
        }
        if !stays {
            self.set_name(place, version, Some(inode));
        }
        self.set_traits(inode, version, traits);
        Ok(())
    }

    /// The inodes of a clone have numbers that follow one another: directories as they are met, names in order.
    fn clone_inode(&mut self, change: &ChangeRecord, source: u64, at: u64, place: &Place) -> Result<(), String> {
        let (version, top) = (change.version.0, change.inode.0);
        let taken = self.take_name(place, version, top);
        self.copy(source, at, top, version, change.content.map(|(blob, ..)| blob))?;
        let (mut directories, mut next) = (VecDeque::from([(source, top)]), top + 1);
        while let Some((from, to)) = directories.pop_front() {
            for (name, inode) in self.listed(from, at) {
                self.set_name(&(to, name), version, Some(next));
                self.copy(inode, at, next, version, None)?;
                directories.push_back((inode, next));
                next += 1;
            }
        }
        taken
    }

    fn copy(&mut self, source: u64, at: u64, copy: u64, version: u64, blob: Option<BlobId>) -> Result<(), String> {
        let traits = self.traits_at(source, at).ok_or_else(|| format!("cloned inode {source}, which was not there"))?;
        self.set_traits(copy, version, traits);
        if let Some(state) = self.content_at(source, at) {
            let state = FileState { from: version, blob, blob_version: 0, bytes: state.bytes.clone() };
            self.files.insert(copy, vec![state]);
        }
        Ok(())
    }
}

/// The state of something at `version`.
fn at<T: Copy>(states: &[(u64, T)], version: u64) -> Option<T> {
    states.iter().rev().find(|(from, _)| *from <= version).map(|(_, state)| *state)
}
