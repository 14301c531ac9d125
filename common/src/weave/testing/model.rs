//! The naive model: each version is a full copy of the list of which bytes come from where. Works on operations, not on log
//! entries, so that it also checks how entries are made.

use crate::weave::{ByteRange, Operation, PageObject, Update};

/// Bytes `[start, end)` of the file are those of `object` from `offset` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub start: u64,
    pub end: u64,
    pub object: PageObject,
    pub offset: u64,
}

/// One version of a file. Bytes without a run are zero.
#[derive(Clone, Debug, Default)]
pub struct FileModel {
    pub size: u64,
    runs: Vec<Run>,
}

impl FileModel {
    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Write(update) => {
                if let Some(cut) = update.cut_to {
                    self.size = self.size.min(cut);
                    self.erase(cut, u64::MAX);
                }
                for hole in &update.holes {
                    self.erase(hole.start, hole.end);
                }
                self.write(update, 0);
                self.size = self.size.max(update.grow_to.unwrap_or(0));
            }
            Operation::Append(update) => self.write(update, self.size),
            Operation::Compact { update, .. } => self.write(update, 0),
        }
    }

    fn write(&mut self, update: &Update, base: u64) {
        for extent in &update.data {
            let (start, end) = (base + extent.offset, base + extent.offset + u64::from(extent.length));
            self.erase(start, end);
            let object = update.objects[extent.object as usize];
            self.runs.push(Run { start, end, object, offset: u64::from(extent.object_offset) });
            self.size = self.size.max(end);
        }
        self.runs.sort_by_key(|run| run.start);
    }

    fn erase(&mut self, start: u64, end: u64) {
        let (below, above) = (ByteRange::new(0, start), ByteRange::new(end, u64::MAX));
        let parts = self.runs.iter().flat_map(|run| [clip(run, &below), clip(run, &above)]);
        self.runs = parts.flatten().collect();
    }

    /// The data in `range` as maximal runs.
    pub fn read(&self, range: ByteRange) -> Vec<Run> {
        merged(self.runs.iter().filter_map(|run| clip(run, &range)))
    }

    /// The numbers of the pages that have data.
    pub fn data_pages(&self, page_size: u64) -> Vec<u64> {
        let mut pages: Vec<u64> = self.runs.iter().flat_map(|run| run.start / page_size..run.end.div_ceil(page_size)).collect();
        pages.dedup();
        pages
    }

    /// The content of one page.
    pub fn page(&self, page: u64, page_size: u64) -> Vec<Run> {
        self.read(ByteRange::new(page * page_size, (page + 1) * page_size))
    }
}

fn clip(run: &Run, range: &ByteRange) -> Option<Run> {
    let (start, end) = (run.start.max(range.start), run.end.min(range.end));
    (start < end).then(|| Run { start, end, offset: run.offset + (start - run.start), ..*run })
}

/// Joins runs that continue each other.
pub fn merged(runs: impl IntoIterator<Item = Run>) -> Vec<Run> {
    let mut joined: Vec<Run> = Vec::new();
    for run in runs {
        match joined.last_mut() {
            Some(last)
                if last.end == run.start && last.object == run.object && last.offset + (last.end - last.start) == run.offset =>
            {
                last.end = run.end;
            }
            _ => joined.push(run),
        }
    }
    joined
}
