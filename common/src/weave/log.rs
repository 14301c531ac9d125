//! From an operation to a log entry: what the version manager does when it hands out a ticket.
//!
//! Sizes are a chain over *assigned* versions: `s_v = f(s_(v-1), operation)`, so an append knows its offset at once, whether or
//! not the versions before it were ever finished. Within one update the order is cut, holes, data, grow.
//!
//! Entries are stored in normal form: nothing cuts where there was nothing (a cut at or behind the end is dropped, holes end with
//! the last page that the file had). Weaving relies on it: *a page at or behind the end of version v is a hole in v*, so an
//! entry never touches, without wiping it out, a slot that its own root does not cover. A reference into nowhere cannot arise.

use crate::id::{BlobId, BlobVersion};
use crate::limits::{EXTENTS_PER_UPDATE_MAX, FILE_BYTES_MAX};
use crate::weave::{ByteRange, Geometry, LogEntry, NodeRef, Operation, Tree, Update};

/// An update that no version can be made of. The list positions count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// Too many items in a list.
    #[error("the update has {count} {what}, more than {EXTENTS_PER_UPDATE_MAX}; publish it as several versions")]
    TooMany {
        /// `objects`, `holes` or `data extents`.
        what: &'static str,
        /// How many there are.
        count: usize,
    },
    /// A page object of no bytes, or of more than a page.
    #[error("object {object} has {length} bytes; 1 to {page_size} are possible")]
    ObjectLength {
        /// Which object.
        object: usize,
        /// Its length.
        length: u32,
        /// The blob's page size.
        page_size: u32,
    },
    /// An extent or hole of no bytes.
    #[error("{what} {place} is empty")]
    Empty {
        /// `hole` or `data extent`.
        what: &'static str,
        /// Which one.
        place: usize,
    },
    /// Extents or holes that overlap, or are not in order.
    #[error("{what} {place} starts before the end of the one before it")]
    Order {
        /// `hole` or `data extent`.
        what: &'static str,
        /// Which one.
        place: usize,
    },
    /// An extent that names an object which the update does not bring, or bytes that the object does not have.
    #[error("data extent {place} names bytes that no object of the update has")]
    NoSuchBytes {
        /// Which extent.
        place: usize,
    },
    /// A page object that no extent uses: nobody would ever delete it.
    #[error("no data extent uses object {object}")]
    Unused {
        /// Which object.
        object: usize,
    },
    /// A page object with bytes here and there in the file; collection looks for them on two neighbouring pages.
    #[error("the bytes of object {object} lie further apart than a page is long ({page_size} bytes)")]
    Scattered {
        /// Which object.
        object: usize,
        /// The blob's page size.
        page_size: u32,
    },
    /// The file would become longer than a file can be.
    #[error("the file would end at byte {end}; {FILE_BYTES_MAX} is the most")]
    TooLong {
        /// Where it would end.
        end: u64,
    },
    /// A compaction that reaches behind the end of the file; it may not change what is read.
    #[error("the compaction ends at byte {end} of a file of {size}")]
    CompactionGrows {
        /// Where it ends.
        end: u64,
        /// The file's size.
        size: u64,
    },
}

/// Checks an update that somebody sent. Offsets may be absolute or, for an append, relative.
///
/// # Errors
/// [`UpdateError`] names the first thing that is wrong.
pub fn validate(update: &Update, geometry: Geometry) -> Result<(), UpdateError> {
    let counts = [("objects", update.objects.len()), ("holes", update.holes.len()), ("data extents", update.data.len())];
    if let Some((what, count)) = counts.into_iter().find(|(_, count)| *count > EXTENTS_PER_UPDATE_MAX) {
        return Err(UpdateError::TooMany { what, count });
    }
    let page_size = geometry.page_size();
    for (object, stored) in update.objects.iter().enumerate() {
        if stored.length == 0 || stored.length > page_size {
            return Err(UpdateError::ObjectLength { object, length: stored.length, page_size });
        }
    }
    for end in update.cut_to.iter().chain(&update.grow_to) {
        check_end(*end)?;
    }
    validate_holes(update)?;
    validate_data(update)?;
    validate_places(update, page_size)
}

/// Where the update puts each of its objects.
fn validate_places(update: &Update, page_size: u32) -> Result<(), UpdateError> {
    let mut first: Vec<Option<u64>> = vec![None; update.objects.len()];
    for extent in &update.data {
        let object = extent.object as usize;
        let start = *first[object].get_or_insert(extent.offset);
        if extent.offset + u64::from(extent.length) - start > u64::from(page_size) {
            return Err(UpdateError::Scattered { object, page_size });
        }
    }
    first.iter().position(Option::is_none).map_or(Ok(()), |object| Err(UpdateError::Unused { object }))
}

fn validate_holes(update: &Update) -> Result<(), UpdateError> {
    let what = "hole";
    let mut last_end = 0;
    for (place, hole) in update.holes.iter().enumerate() {
        if hole.is_empty() {
            return Err(UpdateError::Empty { what, place });
        }
        if hole.start < last_end {
            return Err(UpdateError::Order { what, place });
        }
        if hole.end != ByteRange::UNBOUNDED {
            check_end(hole.end)?;
        }
        last_end = hole.end;
    }
    Ok(())
}

fn validate_data(update: &Update) -> Result<(), UpdateError> {
    let what = "data extent";
    let mut last_end = 0;
    for (place, extent) in update.data.iter().enumerate() {
        if extent.length == 0 {
            return Err(UpdateError::Empty { what, place });
        }
        if extent.offset < last_end {
            return Err(UpdateError::Order { what, place });
        }
        let object_end = u64::from(extent.object_offset) + u64::from(extent.length);
        let object = update.objects.get(extent.object as usize);
        if object.is_none_or(|object| object_end > u64::from(object.length)) {
            return Err(UpdateError::NoSuchBytes { place });
        }
        last_end = extent.offset.saturating_add(u64::from(extent.length));
        check_end(last_end)?;
    }
    Ok(())
}

fn check_end(end: u64) -> Result<(), UpdateError> {
    if end > FILE_BYTES_MAX { Err(UpdateError::TooLong { end }) } else { Ok(()) }
}

/// The log entry of the version behind `previous`, whose file has `previous_size` bytes (for version 0: its [`Tree::size`]).
/// Checks the operation; whether a compaction is still allowed is asked of [`crate::weave::touches_since`] before.
///
/// # Errors
/// [`UpdateError`]; nothing has changed then.
pub fn assign(
    geometry: Geometry,
    previous: BlobVersion,
    previous_size: u64,
    operation: Operation,
) -> Result<LogEntry, UpdateError> {
    let update = match operation {
        Operation::Write(update) => {
            validate(&update, geometry)?;
            normalise(update, geometry, previous_size)
        }
        Operation::Append(update) => shifted(only_data(update), geometry, previous_size)?,
        Operation::Compact { update, .. } => {
            let update = only_data(update);
            validate(&update, geometry)?;
            let end = data_end(&update);
            if end > previous_size {
                return Err(UpdateError::CompactionGrows { end, size: previous_size });
            }
            update
        }
    };
    let kept = update.cut_to.unwrap_or(previous_size).min(previous_size);
    let size = kept.max(data_end(&update)).max(update.grow_to.unwrap_or(0));
    Ok(LogEntry { version: BlobVersion(previous.0 + 1), update, size, height: geometry.height(size) })
}

/// A blob version as a reader needs it: every version writes its root, so the entry alone says where it is.
#[must_use]
pub fn tree_of(blob: BlobId, geometry: Geometry, entry: &LogEntry) -> Tree {
    let root = NodeRef { blob: blob.number, version: entry.version, level: entry.height };
    Tree { blob, version: entry.version, size: entry.size, geometry, root: Some(root) }
}

/// An update in absolute offsets in normal form: see the module.
fn normalise(mut update: Update, geometry: Geometry, previous_size: u64) -> Update {
    update.cut_to = update.cut_to.filter(|cut| *cut < previous_size);
    // Behind the end everything is zero already, so the last page may be wiped out whole; behind a cut, the cut does it.
    let page_size = u64::from(geometry.page_size());
    let end = update.cut_to.unwrap_or_else(|| geometry.pages(previous_size).saturating_mul(page_size));
    for hole in &mut update.holes {
        let reaches_the_end = hole.end >= previous_size;
        hole.end = if reaches_the_end { end } else { hole.end.min(end) };
    }
    update.holes.retain(|hole| hole.start < hole.end.min(previous_size));
    update
}

fn only_data(update: Update) -> Update {
    Update { objects: update.objects, data: update.data, ..Update::default() }
}

fn shifted(mut update: Update, geometry: Geometry, by: u64) -> Result<Update, UpdateError> {
    validate(&update, geometry)?;
    for extent in &mut update.data {
        extent.offset += by;
        check_end(extent.offset + u64::from(extent.length))?;
    }
    Ok(update)
}

fn data_end(update: &Update) -> u64 {
    update.data.last().map_or(0, |extent| extent.offset + u64::from(extent.length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::Digest;
    use crate::id::{GroupId, PageObjectId, SessionId, VolumeId};
    use crate::weave::{DataExtent, PageObject};

    const PAGE: u64 = 1 << 16;

    fn geometry() -> Geometry {
        Geometry::new(PAGE as u32, 4).unwrap()
    }

    fn object(length: u32) -> PageObject {
        let id = PageObjectId { session: SessionId(1), sequence: 1 };
        PageObject { id, length, digest: Digest(1), group: GroupId(1) }
    }

    /// An update of one object of 100 bytes, if it is used, and extents (offset, length, object offset) of it.
    fn update(extents: &[(u64, u32, u32)]) -> Update {
        let objects = extents.first().map(|_| object(100)).into_iter().collect();
        let data = extents.iter().map(|(offset, length, object_offset)| DataExtent {
            offset: *offset,
            length: *length,
            object: 0,
            object_offset: *object_offset,
        });
        Update { objects, data: data.collect(), ..Update::default() }
    }

    fn with_holes(holes: &[(u64, u64)]) -> Update {
        Update { holes: holes.iter().map(|(start, end)| ByteRange::new(*start, *end)).collect(), ..Update::default() }
    }

    fn written(previous_size: u64, update: Update) -> LogEntry {
        assign(geometry(), BlobVersion(4), previous_size, Operation::Write(update)).unwrap()
    }

    #[test]
    fn what_cannot_be_is_refused_and_named() {
        let what = "data extent";
        let cases = [
            (update(&[(0, 0, 0)]), UpdateError::Empty { what, place: 0 }),
            (update(&[(0, 10, 0), (9, 1, 0)]), UpdateError::Order { what, place: 1 }),
            (update(&[(0, 10, 91)]), UpdateError::NoSuchBytes { place: 0 }),
            (update(&[(0, u32::MAX, u32::MAX)]), UpdateError::NoSuchBytes { place: 0 }),
            (Update { objects: Vec::new(), ..update(&[(0, 1, 0)]) }, UpdateError::NoSuchBytes { place: 0 }),
            (Update { objects: vec![object(100); 2], ..update(&[(0, 1, 0)]) }, UpdateError::Unused { object: 1 }),
            (update(&[(5, 1, 0), (PAGE + 5, 1, 1)]), UpdateError::Scattered { object: 0, page_size: PAGE as u32 }),
            (update(&[(FILE_BYTES_MAX, 1, 0)]), UpdateError::TooLong { end: FILE_BYTES_MAX + 1 }),
            (update(&[(u64::MAX, 1, 0)]), UpdateError::TooLong { end: u64::MAX }),
            (Update { cut_to: Some(1 << 63), ..Update::default() }, UpdateError::TooLong { end: 1 << 63 }),
            (Update { grow_to: Some(1 << 63), ..Update::default() }, UpdateError::TooLong { end: 1 << 63 }),
            (with_holes(&[(5, 5)]), UpdateError::Empty { what: "hole", place: 0 }),
            (with_holes(&[(5, 9), (8, 10)]), UpdateError::Order { what: "hole", place: 1 }),
            (with_holes(&[(5, 1 << 63)]), UpdateError::TooLong { end: 1 << 63 }),
            (
                with_holes(&vec![(1, 2); EXTENTS_PER_UPDATE_MAX + 1]),
                UpdateError::TooMany { what: "holes", count: EXTENTS_PER_UPDATE_MAX + 1 },
            ),
        ];
        for (update, error) in cases {
            assert_eq!(validate(&update, geometry()), Err(error), "{update:?}");
        }
        for length in [0, PAGE as u32 + 1] {
            let mut update = update(&[(0, 1, 0)]);
            update.objects[0].length = length;
            assert_eq!(
                validate(&update, geometry()),
                Err(UpdateError::ObjectLength { object: 0, length, page_size: PAGE as u32 })
            );
        }
    }

    #[test]
    fn an_object_may_lie_on_two_pages_that_are_neighbours() {
        assert_eq!(validate(&update(&[(5, 1, 0), (PAGE + 4, 1, 1)]), geometry()), Ok(()));
    }

    #[test]
    fn sizes_follow_from_cut_data_and_growth_in_that_order() {
        let operation = |cut_to, data: &[_], grow_to| Update { cut_to, grow_to, ..update(data) };
        for (update, size) in [
            (operation(None, &[], None), 1000),
            (operation(Some(10), &[], None), 10),
            (operation(Some(2000), &[], None), 1000),
            (operation(Some(10), &[(50, 5, 0)], None), 55),
            (operation(Some(10), &[(50, 5, 0)], Some(40)), 55),
            (operation(Some(10), &[(50, 5, 0)], Some(70)), 70),
            (operation(None, &[(998, 5, 0)], None), 1003),
        ] {
            assert_eq!(written(1000, update.clone()).size, size, "{update:?}");
        }
        assert_eq!(written(0, operation(None, &[], Some(4 * PAGE + 1))).height, 2);
        assert_eq!(written(0, Update::default()).version, BlobVersion(5));
    }

    #[test]
    fn an_append_starts_where_the_file_ended() {
        let append =
            |previous_size| assign(geometry(), BlobVersion(0), previous_size, Operation::Append(update(&[(0, 3, 0), (7, 2, 3)])));
        let entry = append(1000).unwrap();
        assert_eq!(entry.update.data.iter().map(|extent| extent.offset).collect::<Vec<_>>(), [1000, 1007]);
        assert_eq!(entry.size, 1009);
        assert_eq!(append(FILE_BYTES_MAX - 8), Err(UpdateError::TooLong { end: FILE_BYTES_MAX + 1 }));
    }

    #[test]
    fn a_compaction_does_not_change_the_size() {
        let blob = BlobId { volume: VolumeId(1), number: 1 };
        let compact =
            |update| assign(geometry(), BlobVersion(4), 50, Operation::Compact { blob, read_at: BlobVersion(2), update });
        assert_eq!(compact(Update { cut_to: Some(0), grow_to: Some(99), ..update(&[(0, 50, 0)]) }).unwrap().size, 50);
        assert_eq!(compact(update(&[(0, 51, 0)])), Err(UpdateError::CompactionGrows { end: 51, size: 50 }));
    }

    #[test]
    fn nothing_is_cut_where_nothing_is() {
        assert_eq!(written(1000, Update { cut_to: Some(1000), ..Update::default() }).update.cut_to, None);
        let holes = |previous_size, update| written(previous_size, update).update.holes;
        let end = 2 * PAGE;
        let size = PAGE + 7;
        assert_eq!(holes(size, with_holes(&[(5, 9), (PAGE, size)])), [ByteRange::new(5, 9), ByteRange::new(PAGE, end)]);
        assert_eq!(holes(size, with_holes(&[(5, u64::MAX)])), [ByteRange::new(5, end)]);
        assert_eq!(holes(size, with_holes(&[(size, size + 9)])), []);
        assert_eq!(
            holes(size, Update { cut_to: Some(8), ..with_holes(&[(5, 6), (7, 9), (PAGE, size)]) }),
            [ByteRange::new(5, 6), ByteRange::new(7, 8)]
        );
    }
}
