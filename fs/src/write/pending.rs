//! An update in the making: what programs changed in one file since its last publication on this mount.
//!
//! It becomes one blob version, whose parts apply in the order *cut, holes, data, grow* (see [`weft_common::weave::Update`]).
//! So only the net effect is kept here: a later write wins over an earlier hole because data comes after holes, and a
//! truncation forgets the data behind it. An update is either a *write*, whose offsets are the file's, or an *append*,
//! whose offsets count from wherever the version manager will say that the file ended.

use bytes::Bytes;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use weft_common::client::ClientError;
use weft_common::id::SessionId;
use weft_common::time::Timestamp;
use weft_common::weave::{ByteRange, DataExtent, Operation, Update};
use weft_common::wire::Author;

use super::extents::{Extents, Piece};
use super::upload::{Upload, Uploader};
use crate::handle::HandleId;

/// Where dirty bytes are.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// In memory.
    Buffer(Bytes),
    /// In a page object that is stored or on its way, from this offset on.
    Object(Arc<Upload>, u32),
}

impl Piece for Source {
    fn part(&self, offset: u64, length: u64) -> Self {
        match self {
            Self::Buffer(bytes) => Self::Buffer(bytes.slice(offset as usize..(offset + length) as usize)),
            Self::Object(upload, start) => Self::Object(Arc::clone(upload), start + offset as u32),
        }
    }
}

/// The update.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pending {
    cut_to: Option<u64>,
    holes: Vec<ByteRange>,
    data: Extents<Source>,
    grow_to: Option<u64>,
    is_append: bool,
    /// The handles that lose data if this update fails.
    pub(crate) contributors: BTreeSet<HandleId>,
    /// The file's modification time after it: the last write's, or what a program set since.
    pub(crate) modified: Option<Timestamp>,
    /// Who wrote last.
    pub(crate) author: Author,
    /// The session that holds locks under which it was written: if that lapses, the update must not be published.
    pub(crate) fence: Option<SessionId>,
    /// Failures of the mount's uploads that were looked at: none of them was this update's.
    pub(crate) failures_seen: u64,
}

impl Pending {
    /// Whether it changes nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.cut_to.is_none() && self.holes.is_empty() && self.data.is_empty() && self.grow_to.is_none()
    }

    /// Whether it empties the file and does nothing else so far.
    pub(crate) fn is_bare_cut(&self) -> bool {
        self.cut_to == Some(0) && self.holes.is_empty() && self.data.is_empty() && self.grow_to.is_none()
    }

    /// Whether a write at `is_append`'s kind of offset can join: an append and a write are different updates, unless the
    /// update replaces the whole file anyway, when an append's place is known.
    pub(crate) fn takes(&self, is_append: bool) -> bool {
        self.is_empty() || self.is_append == is_append || (is_append && self.cut_to == Some(0))
    }

    /// Whether its place is known only when it is published.
    pub(crate) fn is_append(&self) -> bool {
        self.is_append
    }

    /// Pieces that would each become an extent.
    pub(crate) fn piece_count(&self) -> usize {
        self.data.count() + self.holes.len()
    }

    /// The file's size after it, on a file of `base` bytes.
    pub(crate) fn size_over(&self, base: u64) -> u64 {
        if self.is_append {
            return base + self.data.end();
        }
        base.min(self.cut_to.unwrap_or(u64::MAX)).max(self.data.end()).max(self.grow_to.unwrap_or(0))
    }

    /// Where offset 0 of its data is, on a file of `base` bytes.
    pub(crate) fn origin_over(&self, base: u64) -> u64 {
        if self.is_append { base } else { 0 }
    }

    /// Bytes from here on come from nothing below.
    pub(crate) fn cut(&self) -> u64 {
        self.cut_to.unwrap_or(u64::MAX)
    }

    /// Ranges that became zeros, in order.
    pub(crate) fn holes(&self) -> &[ByteRange] {
        &self.holes
    }

    /// The dirty bytes.
    pub(crate) fn data(&self) -> &Extents<Source> {
        &self.data
    }

    /// New bytes at `offset`. Answers the range that they took.
    pub(crate) fn write(&mut self, offset: u64, bytes: Bytes) -> ByteRange {
        let range = ByteRange::new(offset, offset + bytes.len() as u64);
        self.data.insert(range, Source::Buffer(bytes));
        range
    }

    /// New bytes at the end. Answers the range that they took among this update's offsets. `base` is the size below.
    pub(crate) fn append(&mut self, base: u64, bytes: Bytes) -> ByteRange {
        self.is_append |= self.is_empty();
        let end = if self.is_append { self.data.end() } else { self.size_over(base) };
        self.write(end, bytes)
    }

    /// The size becomes `to`. `base` is the size below. Only for an update that is no append.
    pub(crate) fn truncate(&mut self, base: u64, to: u64) {
        if to >= self.size_over(base) && to > 0 {
            return self.grow(to);
        }
        self.data.remove(ByteRange::new(to, ByteRange::UNBOUNDED));
        self.cut_to = Some(self.cut().min(to));
        self.grow_to = (to > 0).then_some(to);
        self.holes.retain_mut(|hole| {
            hole.end = hole.end.min(to);
            !hole.is_empty()
        });
    }

    /// The size becomes at least `to`. Only for an update that is no append.
    pub(crate) fn grow(&mut self, to: u64) {
        self.grow_to = Some(self.grow_to.unwrap_or(0).max(to));
    }

    /// `range` becomes zeros, up to the end of the file. `base` is the size below. Only for an update that is no append.
    pub(crate) fn punch(&mut self, base: u64, range: ByteRange) {
        let mut hole = ByteRange::new(range.start, range.end.min(self.size_over(base)));
        if hole.is_empty() {
            return;
        }
        if !self.data.is_empty() {
            // The size must not shrink with the data that ends it.
            self.grow(self.data.end());
        }
        self.data.remove(hole);
        self.holes.retain(|other| {
            let apart = other.end < hole.start || other.start > hole.end;
            if !apart {
                hole = ByteRange::new(hole.start.min(other.start), hole.end.max(other.end));
            }
            apart
        });
        let place = self.holes.partition_point(|other| other.start < hole.start);
        self.holes.insert(place, hole);
    }

    /// Uploads each unit that `touched` completed: one whose bytes are all here, none of them uploaded yet.
    pub(crate) fn upload_complete(&mut self, uploader: &Uploader, unit: u64, touched: ByteRange) {
        let first = touched.start / unit;
        for index in first..touched.end.div_ceil(unit) {
            let range = ByteRange::new(index * unit, (index + 1) * unit);
            // Whatever order the pieces come in, most often the one that completes a unit touches one of its ends.
            let at_an_end = touched.start <= range.start || touched.end >= range.end;
            if at_an_end && self.data.covers(range) && self.data.within(range).all(|(_, source)| is_buffer(&source)) {
                self.upload_unit(uploader, range);
            }
        }
    }

    /// Uploads everything that is still in memory only.
    pub(crate) fn upload_all(&mut self, uploader: &Uploader, unit: u64) {
        let mut units = BTreeSet::new();
        for (range, _) in self.data.iter().filter(|(_, source)| is_buffer(source)) {
            units.extend(range.start / unit..range.end.div_ceil(unit));
        }
        for index in units {
            self.upload_unit(uploader, ByteRange::new(index * unit, (index + 1) * unit));
        }
    }

    /// Uploads what `range` has in memory as one object, its pieces back to back.
    fn upload_unit(&mut self, uploader: &Uploader, range: ByteRange) {
        let (mut ranges, mut pieces) = (Vec::<ByteRange>::new(), Vec::new());
        for (part, source) in self.data.within(range) {
            let Source::Buffer(bytes) = source else { continue };
            match ranges.last_mut() {
                Some(last) if last.end == part.start => last.end = part.end,
                _ => ranges.push(part),
            }
            pieces.push(bytes);
        }
        let upload = uploader.start(pieces);
        let mut offset = 0;
        for part in ranges {
            self.data.insert(part, Source::Object(Arc::clone(&upload), offset));
            offset += (part.end - part.start) as u32;
        }
    }

    /// Why an upload failed, if one has.
    pub(crate) fn upload_failure(&self) -> Option<ClientError> {
        self.data.iter().find_map(|(_, source)| match source {
            Source::Buffer(_) => None,
            Source::Object(upload, _) => upload.failure(),
        })
    }

    /// What to ask a ticket for, once everything is stored. Needs [`Pending::upload_all`] before it.
    ///
    /// # Errors
    /// The failure of the first upload that failed.
    pub(crate) async fn operation(&self) -> Result<Operation, ClientError> {
        let mut update = Update { cut_to: self.cut_to, holes: self.holes.clone(), grow_to: self.grow_to, ..Update::default() };
        let mut places = HashMap::new();
        for (range, source) in self.data.iter() {
            let Source::Object(upload, object_offset) = source else { continue };
            let object = match places.get(&Arc::as_ptr(upload).addr()) {
                Some(place) => *place,
                None => {
                    update.objects.push(upload.stored().await?);
                    let place = update.objects.len() as u32 - 1;
                    places.insert(Arc::as_ptr(upload).addr(), place);
                    place
                }
            };
            push_extent(&mut update.data, range, object, *object_offset);
        }
        Ok(if self.is_append { Operation::Append(update) } else { Operation::Write(update) })
    }
}

fn is_buffer(source: &Source) -> bool {
    matches!(source, Source::Buffer(_))
}

/// Adds an extent, or makes the last one longer if it goes on in file and object alike.
fn push_extent(extents: &mut Vec<DataExtent>, range: ByteRange, object: u32, object_offset: u32) {
    let length = (range.end - range.start) as u32;
    if let Some(last) = extents.last_mut() {
        let goes_on = last.object == object && last.object_offset + last.length == object_offset;
        if goes_on && last.offset + u64::from(last.length) == range.start {
            last.length += length;
            return;
        }
    }
    extents.push(DataExtent { offset: range.start, length, object, object_offset });
}
