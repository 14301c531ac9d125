//! The volume as it must have been at each of its versions: a plain replay of what clients did, in the order that the volume's
//! own history tells.

use super::history::{Deed, Outcome, Place, Records, apply};
use std::collections::{BTreeMap, BTreeSet};
use weft_common::wire::{ChangeKind, ChangeRecord};

/// A file from one volume version on.
#[derive(Clone, Debug)]
pub struct FileState {
    /// That version.
    pub from: u64,
    /// The blob version that it shows (a compaction may have made later ones of the same bytes).
    pub blob_version: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Model {
    /// What each name named: (from which version on, inode).
    pub names: BTreeMap<Place, Vec<(u64, Option<u64>)>>,
    /// What each file held.
    pub files: BTreeMap<u64, Vec<FileState>>,
    /// The version that took the inode's name away.
    pub nameless: BTreeMap<u64, u64>,
    /// The newest version.
    pub latest: u64,
    /// What does not fit.
    pub complaints: Vec<String>,
    done: BTreeSet<usize>,
}

impl Model {
    /// Replays `changes`, which are all there are.
    #[must_use]
    pub fn replay(changes: &[ChangeRecord], records: &Records) -> Self {
        let mut model = Self::default();
        for change in changes {
            model.step(change, records);
        }
        model.check_outcomes(records);
        model
    }

    fn complain(&mut self, what: String) {
        self.complaints.push(what);
    }

    /// What `place` names at `version`.
    #[must_use]
    pub fn named(&self, place: &Place, version: u64) -> Option<u64> {
        let states = self.names.get(place)?;
        states.iter().rev().find(|(from, _)| *from <= version).and_then(|(_, inode)| *inode)
    }

    /// The names of a directory at `version`.
    #[must_use]
    pub fn listed(&self, directory: u64, version: u64) -> Vec<(String, u64)> {
        let places = self.names.range((directory, String::new())..).take_while(|((parent, _), _)| *parent == directory);
        places.filter_map(|(place, _)| Some((place.1.clone(), self.named(place, version)?))).collect()
    }

    /// The content of a file as of `blob_version`.
    #[must_use]
    pub fn content(&self, inode: u64, blob_version: u64) -> Option<&FileState> {
        self.files.get(&inode)?.iter().rev().find(|state| state.blob_version <= blob_version)
    }

    /// The content of a file at a volume version.
    #[must_use]
    pub fn content_at(&self, inode: u64, version: u64) -> Option<&FileState> {
        self.files.get(&inode)?.iter().rev().find(|state| state.from <= version)
    }

    fn set_name(&mut self, place: &Place, version: u64, inode: Option<u64>) {
        if let Some(old) = self.named(place, version) {
            self.nameless.insert(old, version);
        }
        if let Some(inode) = inode {
            self.nameless.remove(&inode);
        }
        self.names.entry(place.clone()).or_default().push((version, inode));
    }

    fn step(&mut self, change: &ChangeRecord, records: &Records) {
        let version = change.version.0;
        if version != self.latest + 1 {
            self.complain(format!("N{version} follows N{}", self.latest));
        }
        self.latest = version;
        let number: Option<usize> = change.author.program.strip_prefix("op").and_then(|number| number.parse().ok());
        let Some((number, record)) = number.and_then(|number| Some((number, records.deeds.get(number)?))) else {
            return self.complain(format!("N{version} was made by nobody: {change:?}"));
        };
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
        self.act(change, number, &record.deed);
    }

    fn act(&mut self, change: &ChangeRecord, number: usize, deed: &Deed) {
        let (version, inode) = (change.version.0, change.inode.0);
        match (deed, change.kind) {
            (Deed::Create(place, directory), ChangeKind::Create) => {
                if let Some(old) = self.named(place, version) {
                    self.complain(format!("op{number} made {place:?} as N{version}, which was inode {old}"));
                }
                self.set_name(place, version, Some(inode));
                if !directory {
                    self.files.insert(inode, vec![FileState { from: version, blob_version: 0, bytes: Vec::new() }]);
                }
            }
            (Deed::Unlink(place), ChangeKind::Remove) => {
                if self.named(place, version) != Some(inode) {
                    self.complain(format!(
                        "op{number} took inode {inode} from {place:?}, which was {:?}",
                        self.named(place, version)
                    ));
                }
                self.set_name(place, version, None);
            }
            (Deed::Rename(from, to), ChangeKind::Rename) => {
                if self.named(from, version) != Some(inode) {
                    self.complain(format!(
                        "op{number} moved inode {inode} from {from:?}, which was {:?}",
                        self.named(from, version)
                    ));
                }
                self.set_name(from, version, None);
                self.set_name(to, version, Some(inode));
            }
            (Deed::Edit(edited, edit), ChangeKind::Write) if *edited == inode => {
                let blob_version = change.content.map_or(0, |(_, version, _)| version.0);
                let Some(before) = self.files.get(&inode).and_then(|states| states.last()) else {
                    return self.complain(format!("op{number} wrote inode {inode}, which nobody made"));
                };
                if before.blob_version >= blob_version {
                    self.complain(format!(
                        "op{number} is v{blob_version} of inode {inode} and comes behind v{}",
                        before.blob_version
                    ));
                    return;
                }
                let mut bytes = before.bytes.clone();
                apply(edit, number, &mut bytes);
                if change.content.is_some_and(|(_, _, size)| size != bytes.len() as u64) {
                    self.complain(format!("N{version} has {:?}, op{number} makes {} bytes", change.content, bytes.len()));
                }
                if let Some(states) = self.files.get_mut(&inode) {
                    states.push(FileState { from: version, blob_version, bytes });
                }
            }
            _ => self.complain(format!("op{number} was {deed:?} and became {change:?}")),
        }
    }

    /// What was acknowledged is there, and what was refused was refused for a reason.
    fn check_outcomes(&mut self, records: &Records) {
        for (number, record) in records.deeds.iter().enumerate() {
            match &record.outcome {
                Outcome::Done(told, _) if !self.done.contains(&number) => {
                    let nameless = match &record.deed {
                        Deed::Edit(inode, _) => self.nameless.get(inode).is_some_and(|version| version <= told),
                        Deed::Rename(from, to) => from == to,
                        _ => false,
                    };
                    if !nameless {
                        self.complain(format!("op{number} was acknowledged as N{told} and is not there"));
                    }
                }
                Outcome::Done(_, Some((_, version, offset))) => self.check_offset(number, &record.deed, *version, *offset),
                Outcome::Refused(kind) => self.check_refusal(number, record.low, &record.deed, *kind),
                _ => {}
            }
        }
    }

    fn check_offset(&mut self, number: usize, deed: &Deed, blob_version: u64, told: u64) {
        let Deed::Edit(inode, edit) = deed else { return };
        let before = self.files.get(inode).and_then(|states| states.iter().rev().find(|state| state.blob_version < blob_version));
        if let Some(before) = before.filter(|_| edit.append)
            && before.bytes.len() as u64 != told
        {
            let size = before.bytes.len();
            self.complain(format!("append op{number} was told offset {told}, the file had {size} bytes"));
        }
    }

    fn check_refusal(&mut self, number: usize, low: u64, deed: &Deed, kind: weft_common::wire::ErrorKind) {
        let (place, wanted) = match deed {
            Deed::Create(place, _) => (place, true),
            Deed::Unlink(place) | Deed::Rename(place, _) => (place, false),
            Deed::Edit(..) => return,
        };
        if !self.some_state(place, low, |inode| inode.is_some() == wanted) {
            self.complain(format!("op{number} ({deed:?}) was refused with {kind:?}, which was never true since N{low}"));
        }
    }

    /// Whether a name was in a state that fits at some version from `low` on.
    #[must_use]
    pub fn some_state(&self, place: &Place, low: u64, fits: impl Fn(Option<u64>) -> bool) -> bool {
        let later = self.names.get(place).into_iter().flatten().filter(|(from, _)| *from > low);
        fits(self.named(place, low)) || later.into_iter().any(|(_, inode)| fits(*inode))
    }
}
