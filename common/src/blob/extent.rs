//! Finding data: what `lseek(SEEK_DATA)` and `SEEK_HOLE` ask.

use crate::id::{NodeId, VolumeId};
use crate::weave::{ByteRange, Content, Geometry, Node, Place, Slot, Tree, Walk, WalkError};
use std::collections::BTreeMap;
use std::ops::Range;

/// Nodes asked for at once: enough that a long run of data takes few round trips, few enough that a short one wastes little.
const LOOK_AHEAD: usize = 32;

/// Finds the first range of data that ends after an offset: whole pages (cut at the version's size), as far as they follow one
/// another; `None` if only holes follow. The range starts at the offset's own page at the earliest, so it may start before the
/// offset. `SEEK_DATA` is the greater of offset and start; `SEEK_HOLE` is the offset if the range starts after it, else its end.
#[derive(Debug)]
pub struct NextData {
    volume: VolumeId,
    geometry: Geometry,
    size: u64,
    first_page: u64,
    /// What is not known yet, by first page.
    unknown: BTreeMap<u64, (NodeId, Place)>,
    /// Runs of data pages by first page, behind the first that is known.
    runs: BTreeMap<u64, u64>,
}

impl NextData {
    /// A search in `tree` from `offset` on.
    #[must_use]
    pub fn new(tree: &Tree, offset: u64) -> Self {
        let mut search = Self {
            volume: tree.blob.volume,
            geometry: tree.geometry,
            size: tree.size,
            first_page: offset / u64::from(tree.geometry.page_size()),
            unknown: BTreeMap::new(),
            runs: BTreeMap::new(),
        };
        if offset < tree.size {
            search.visit(Place::root(tree));
        }
        search
    }

    fn visit(&mut self, place: Place) {
        let Some(reference) = place.reference else { return };
        let place = if reference.level < place.slot.level { Place { slot: Slot::root(reference.level), ..place } } else { place };
        let pages = self.clipped(place.slot.pages(self.geometry));
        if let Some(id) = place.node_id(self.volume)
            && pages.start < pages.end
        {
            self.unknown.insert(pages.start, (id, place));
        }
    }

    fn clipped(&self, pages: Range<u64>) -> Range<u64> {
        pages.start.max(self.first_page)..pages.end.min(self.geometry.pages(self.size))
    }

    /// The first run of data pages, as far as it is known, and whether it is known to begin and to end there.
    fn answer(&self) -> (Option<Range<u64>>, bool) {
        let first_unknown = self.unknown.keys().next().copied().unwrap_or(u64::MAX);
        let mut answer: Option<Range<u64>> = None;
        for (start, end) in &self.runs {
            match &mut answer {
                None if *start < first_unknown => answer = Some(*start..*end),
                Some(run) if run.end == *start => run.end = *end,
                _ => break,
            }
        }
        let settled = answer.as_ref().map_or(self.unknown.is_empty(), |run| run.end < first_unknown);
        (answer, settled)
    }
}

impl Walk for NextData {
    type Output = Option<ByteRange>;

    fn missing(&self) -> Vec<NodeId> {
        if self.answer().1 {
            return Vec::new();
        }
        let mut ids: Vec<_> = self.unknown.values().take(LOOK_AHEAD).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    fn supply(&mut self, id: &NodeId, node: &Node) -> Result<(), WalkError> {
        let content = Content::of(id, node, self.geometry)?;
        let slot = Slot { level: id.level, index: id.index };
        let start = self.clipped(slot.pages(self.geometry)).start;
        let asked = self.unknown.get(&start).is_some_and(|(waiting, _)| waiting == id);
        let (_, place) = self.unknown.remove(&start).filter(|_| asked).ok_or(WalkError::NotAsked(*id))?;
        for position in 0..self.geometry.fan_out() as usize {
            if let Some(child) = content.child(position) {
                self.visit(Place { slot: place.slot.child(self.geometry, position), reference: Some(child) });
            }
            if content.page(position).is_some() {
                let page = place.slot.pages(self.geometry).start + position as u64;
                let page = self.clipped(page..page + 1);
                if page.start < page.end {
                    self.runs.insert(page.start, page.end);
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Self::Output, WalkError> {
        let (run, settled) = self.answer();
        if !settled {
            return Err(WalkError::Incomplete(self.unknown.len()));
        }
        let page_size = u64::from(self.geometry.page_size());
        let bytes = |run: Range<u64>| ByteRange::new(run.start * page_size, run.end.saturating_mul(page_size).min(self.size));
        Ok(run.map(bytes))
    }
}
