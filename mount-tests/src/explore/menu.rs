//! What writers do: small updates that meet every border of a file of four pages.

use weft_common::checksum::Digest;
use weft_common::id::{BlobId, BlobVersion, GroupId, PageObjectId, SessionId};
use weft_common::weave::{ByteRange, DataExtent, Operation, PageObject, Update};

/// Bytes of a page.
pub const PAGE: u64 = 1 << 16;

/// An update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Choice {
    /// Page 1, whole.
    Page,
    /// Parts of pages 0 and 2, from one object each, and the end of page 3.
    Extents,
    /// One and a half pages behind the end, wherever that is.
    Append,
    /// A cut within page 1.
    Cut,
    /// Open with truncation, page 0 written, closed.
    Rewrite,
    /// From the middle of page 0 to the end of page 1.
    Punch,
    /// The file becomes nine pages long: a tree of fan-out 2 grows by two levels.
    Grow,
    /// Page 0 as one object, as it was when the writer read it.
    Compact,
}

impl Choice {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Page, Self::Extents, Self::Append, Self::Cut, Self::Rewrite, Self::Punch, Self::Grow, Self::Compact];

    /// The update, for a writer of `session` who saw version `read_at` of `blob` with `size` bytes. `None` if there is nothing
    /// to do.
    pub fn operation(self, session: SessionId, blob: BlobId, read_at: BlobVersion, size: u64) -> Option<Operation> {
        let mut made = Made { session, update: Update::default() };
        match self {
            Self::Page => made.data(PAGE, PAGE),
            Self::Extents => {
                made.data(10, 100);
                made.data(2 * PAGE + 7, PAGE / 2);
                made.data(4 * PAGE - 9, 9);
            }
            Self::Append => {
                made.data(0, PAGE);
                made.data(PAGE, PAGE / 2);
                return Some(Operation::Append(made.update));
            }
            Self::Cut => made.update.cut_to = Some(PAGE + 5),
            Self::Rewrite => {
                made.update.cut_to = Some(0);
                made.data(0, PAGE);
            }
            Self::Punch => made.update.holes = vec![ByteRange::new(PAGE / 2, 2 * PAGE)],
            Self::Grow => made.update.grow_to = Some(9 * PAGE),
            Self::Compact => {
                made.data(0, PAGE.min(size));
                return (size > 0).then_some(Operation::Compact { blob, read_at, update: made.update });
            }
        }
        Some(Operation::Write(made.update))
    }
}

struct Made {
    session: SessionId,
    update: Update,
}

impl Made {
    /// Bytes from an object of their own.
    fn data(&mut self, offset: u64, length: u64) {
        let object = self.update.objects.len() as u32;
        let id = PageObjectId { session: self.session, sequence: u64::from(object) + 1 };
        let digest = Digest(self.session.0 * 16 + u64::from(object));
        self.update.objects.push(PageObject { id, length: length as u32, digest, group: GroupId(0) });
        self.update.data.push(DataExtent { offset, length: length as u32, object, object_offset: 0 });
    }
}

/// The update of an operation.
pub fn update_of(operation: &Operation) -> &Update {
    match operation {
        Operation::Write(update) | Operation::Append(update) | Operation::Compact { update, .. } => update,
    }
}
