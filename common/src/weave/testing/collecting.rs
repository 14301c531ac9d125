//! The part of a history that deletes: files are deleted, versions dropped, and collections interrupted anywhere.

use super::checks::{Reach, Violation, reach_of};
use super::faults::Collector;
use super::history::History;
use crate::id::BlobVersion;
use crate::weave::{CollectStep, Collection, Garbage, Tree};
use std::collections::BTreeSet;

/// A version that is being dropped.
#[derive(Clone, Debug)]
pub(super) struct Dropping {
    dropped: Tree,
    older: u64,
    newer: Option<Tree>,
    /// `None` when it has to begin again.
    walk: Option<Collection>,
    batches: usize,
}

impl History {
    /// The versions of a blob that can be opened, cloned, and built once more.
    pub(super) fn readable(&self, blob: usize) -> Vec<u64> {
        let dropped = self.dropping[blob].as_ref().map(|dropping| dropping.dropped.version.0);
        self.kept[blob].iter().copied().filter(|version| Some(*version) != dropped).collect()
    }

    fn is_pinned(&self, blob: usize, version: u64) -> bool {
        self.logs.iter().zip(&self.kept).any(|(log, kept)| log.origin == Some((blob, version)) && !kept.is_empty())
    }

    /// Versions of a blob that may be dropped now. Its newest one is not among them while it may have updates in flight.
    fn droppable(&mut self, blob: usize) -> Vec<u64> {
        if self.dropping[blob].is_some() {
            return Vec::new();
        }
        let keeps_head = !self.deleted[blob] && self.collector != Collector::DropsTheHead;
        let head = keeps_head.then_some(self.published[blob]);
        let candidates: Vec<u64> = self.kept[blob].iter().copied().filter(|v| *v > 0 && Some(*v) != head).collect();
        let pinned: Vec<u64> = candidates.iter().copied().filter(|version| self.is_pinned(blob, *version)).collect();
        self.note("pinned version kept", !pinned.is_empty());
        let ignored = self.collector == Collector::IgnoresPins;
        candidates.into_iter().filter(|version| ignored || !pinned.contains(version)).collect()
    }

    /// Goes on with a collection, or begins one.
    pub(super) fn collect_any(&mut self) -> Result<(), Violation> {
        let blob = self.random.below(self.logs.len() as u64) as usize;
        if self.dropping[blob].is_some() {
            return self.collect_batch(blob);
        }
        let droppable = self.droppable(blob);
        if droppable.is_empty() {
            return Ok(());
        }
        let version = *self.random.pick(&droppable);
        self.begin(blob, version);
        if self.collector == Collector::WalksAtOnce {
            self.drop_with_its_neighbour(blob, version)?;
        }
        self.collect_batch(blob)
    }

    fn begin(&mut self, blob: usize, version: u64) {
        self.record(|| format!("blob {blob} v{version} is dropped"));
        let ignores = |collector| self.collector == collector;
        let older = self.kept[blob].range(..version).next_back().copied();
        let newer = self.kept[blob].range(version + 1..).next().copied();
        let newer = newer.filter(|_| !ignores(Collector::IgnoresNewer)).map(|newer| self.tree(blob, newer));
        let older = older.filter(|_| !ignores(Collector::IgnoresOlder)).unwrap_or(0);
        self.dropping[blob] = Some(Dropping { dropped: self.tree(blob, version), older, newer, walk: None, batches: 0 });
    }

    /// The planted bug: the neighbour above is dropped as if this version were gone, before it is.
    fn drop_with_its_neighbour(&mut self, blob: usize, version: u64) -> Result<(), Violation> {
        let first = self.dropping[blob].take();
        let neighbour = self.kept[blob].range(version + 1..).next().copied();
        if let Some(neighbour) =
            neighbour.filter(|neighbour| *neighbour < self.published[blob] && !self.is_pinned(blob, *neighbour))
        {
            self.begin(blob, neighbour);
            while self.dropping[blob].is_some() {
                self.collect_batch(blob)?;
            }
        }
        self.dropping[blob] = first;
        Ok(())
    }

    /// Takes a collection to its next batch and carries that out, perhaps not to its end.
    fn collect_batch(&mut self, blob: usize) -> Result<(), Violation> {
        let Some(mut dropping) = self.dropping[blob].take() else { return Ok(()) };
        let (older, newer) = (BlobVersion(dropping.older), dropping.newer);
        let new = || Collection::new(&dropping.dropped, older, newer.as_ref());
        let mut walk = dropping.walk.take().unwrap_or_else(new);
        let Some(garbage) = self.next_batch(&mut walk)? else {
            self.note("tree deleted in many batches", dropping.batches > 4);
            return self.dropped(blob, &dropping);
        };
        dropping.batches += 1;
        self.record(|| format!("blob {blob} {}: goes {garbage:?}", dropping.dropped.version));
        self.check_garbage(blob, &dropping.dropped, &garbage)?;
        let walk_goes_on = self.delete(garbage);
        self.note("collection begun again", !walk_goes_on);
        dropping.walk = walk_goes_on.then_some(walk);
        self.dropping[blob] = Some(dropping);
        Ok(())
    }

    /// `None` at the end of the walk.
    fn next_batch(&mut self, walk: &mut Collection) -> Result<Option<Garbage>, Violation> {
        let mut gathered: Vec<Garbage> = Vec::new();
        loop {
            match walk.step() {
                CollectStep::Read(ids) => {
                    self.note("object on two leaves looked up", walk.is_probing());
                    for id in ids.iter().rev() {
                        let node = self.nodes.get(id).map(|node| self.collector.spoil(id.version.0, node));
                        walk.supply(id, node.as_ref()).map_err(|error| Violation::Walk(error.to_string()))?;
                    }
                    if let [lost, ..] = walk.lost() {
                        return Err(Violation::Unreachable(format!("{lost} is needed by a kept version and not there")));
                    }
                }
                CollectStep::Delete(garbage) if self.collector == Collector::ParentsFirst => gathered.push(garbage),
                CollectStep::Delete(garbage) => return Ok(Some(garbage)),
                CollectStep::Done => return Ok(gathered.pop()),
            }
        }
    }

    /// Carries out a batch, often not wholly. Whether the walk goes on from there; else its process has died.
    fn delete(&mut self, mut garbage: Garbage) -> bool {
        if self.collector == Collector::NodesBeforeObjects {
            self.nodes.retain(|id, _| !garbage.nodes.contains(id));
            garbage.nodes.clear();
        }
        let end = self.random.below(100);
        if end < 12 {
            garbage.objects.retain(|_| self.random.chance(50));
            garbage.nodes.clear();
        } else if end < 24 {
            garbage.nodes.retain(|_| self.random.chance(50));
        }
        self.objects.retain(|id| garbage.objects.iter().all(|object| object.id != *id));
        self.nodes.retain(|id, _| !garbage.nodes.contains(id));
        self.reached.clear();
        end >= 30 && self.collector != Collector::ParentsFirst
    }

    /// The version is gone, and with the last one of a deleted file its blob.
    fn dropped(&mut self, blob: usize, dropping: &Dropping) -> Result<(), Violation> {
        self.note("collection done", dropping.batches > 0);
        self.kept[blob].remove(&dropping.dropped.version.0);
        for neighbour in [Some(dropping.older), dropping.newer.map(|tree| tree.version.0)].into_iter().flatten() {
            if self.kept[blob].contains(&neighbour) {
                self.check_version(blob, neighbour)?;
            }
        }
        self.forget(blob)?;
        self.check_leaks()
    }

    fn forget(&mut self, blob: usize) -> Result<(), Violation> {
        if !self.deleted[blob] || self.kept[blob].len() != 1 || !self.kept[blob].contains(&0) {
            return Ok(());
        }
        self.kept[blob].clear();
        let Some((origin, version)) = self.logs[blob].origin else { return Ok(()) };
        self.note("clone gone before its origin", !self.kept[origin].is_empty());
        if self.collector == Collector::TakesTheOrigin && version > 0 && self.dropping[origin].is_none() {
            self.begin(origin, version);
            while self.dropping[origin].is_some() {
                self.collect_batch(origin)?;
            }
            self.kept[origin].insert(version);
        }
        Ok(())
    }

    /// Deletes a file that has nothing in flight, as long as another one is left.
    pub(super) fn delete_any(&mut self) {
        let blob = self.random.below(self.logs.len() as u64) as usize;
        let is_busy = self.unfinished.iter().any(|(busy, _)| *busy == blob);
        let living = self.deleted.iter().filter(|deleted| !**deleted).count();
        if living > 1 && !is_busy && !self.deleted[blob] {
            self.deleted[blob] = true;
            self.record(|| format!("blob {blob} is deleted"));
            self.note("deleted file", self.published[blob] > 0);
        }
    }

    /// Ends all collections that were begun, and those of deleted files.
    pub(super) fn collect_to_the_end(&mut self) -> Result<(), Violation> {
        loop {
            let mut is_done = true;
            for blob in 0..self.logs.len() {
                while self.dropping[blob].is_some() {
                    self.collect_batch(blob)?;
                }
                if !self.deleted[blob] {
                    continue;
                }
                self.forget(blob)?;
                if let Some(version) = self.droppable(blob).first() {
                    self.begin(blob, *version);
                    is_done = false;
                }
            }
            if is_done {
                return Ok(());
            }
        }
    }

    /// Nothing at all may be left then.
    pub(super) fn delete_everything(&mut self) -> Result<(), Violation> {
        self.deleted.fill(true);
        while self.kept.iter().any(|kept| !kept.is_empty()) {
            self.collect_to_the_end()?;
        }
        self.note("everything deleted", true);
        if self.nodes.is_empty() && self.objects.is_empty() {
            return Ok(());
        }
        Err(Violation::Leak(format!("all files are gone, and {:?}, {:?} are left", self.nodes.keys(), self.objects)))
    }

    /// What the versions that can be opened reach.
    fn needed(&self) -> Reach {
        let mut reach = Reach::default();
        for blob in 0..self.logs.len() {
            for version in self.readable(blob) {
                reach_of(&self.tree(blob, version), &self.nodes, &mut reach);
            }
        }
        reach
    }

    /// I8: nothing in a batch is needed.
    fn check_garbage(&self, blob: usize, dropped: &Tree, garbage: &Garbage) -> Result<(), Violation> {
        let mut reach = Reach::default();
        for other in 0..self.logs.len() {
            for version in self.kept[other].iter().filter(|version| (other, **version) != (blob, dropped.version.0)) {
                reach_of(&self.tree(other, *version), &self.nodes, &mut reach);
            }
        }
        let node = garbage.nodes.iter().find(|id| reach.nodes.contains(id)).map(ToString::to_string);
        let object = garbage.objects.iter().find(|object| reach.objects.contains(&object.id)).map(|object| object.id.to_string());
        match node.or(object) {
            Some(what) => {
                Err(Violation::Lost(format!("{what} is needed, and goes with {} of {}", dropped.version, dropped.blob)))
            }
            None => Ok(()),
        }
    }

    /// Nothing is stored but what kept versions reach, what is in flight, and what is being deleted.
    pub(super) fn check_leaks(&self) -> Result<(), Violation> {
        let mut reach = self.needed();
        for dropping in self.dropping.iter().flatten() {
            reach_of(&dropping.dropped, &self.nodes, &mut reach);
        }
        let mut in_flight = BTreeSet::new();
        for (log, published) in self.logs.iter().zip(&self.published) {
            in_flight.extend((published + 1..=log.entries.len() as u64).map(|version| (log.id, version)));
            let entries = &log.entries[*published as usize..];
            reach.objects.extend(entries.iter().flat_map(|entry| &entry.update.objects).map(|object| object.id));
        }
        let mut nodes = self.nodes.keys().filter(|id| !reach.nodes.contains(id));
        let node = nodes.find(|id| !in_flight.contains(&(id.blob, id.version.0))).map(ToString::to_string);
        let object = self.objects.iter().find(|object| !reach.objects.contains(object)).map(ToString::to_string);
        match node.or(object) {
            Some(what) => Err(Violation::Leak(format!("nobody needs {what}"))),
            None => Ok(()),
        }
    }
}
