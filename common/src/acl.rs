//! POSIX access control lists (IEEE 1003.1e draft 17, acl(5)): their bytes in `system.posix_acl_*`, and what they have to do with the mode.
//!
//! The kernel checks access by them; what is computed here is what it leaves to a filesystem. Three entries, for the owner, the
//! owning group and all others, say what the mode's bits say. With further users or groups there is a mask, and the mode's group
//! bits are the mask's: so `chmod` and the list always agree, and a list that says no more than the mode is not stored.
//!
//! Bytes, little-endian: version 2 in four, then for each entry tag and permissions in two each and the id in four.

/// The attribute of the list that access is checked by.
pub const ACCESS: &[u8] = b"system.posix_acl_access";
/// The attribute of the list that new entries of a directory inherit.
pub const DEFAULT: &[u8] = b"system.posix_acl_default";

const VERSION: u32 = 2;
/// Entries that the kernel takes at most would fill an attribute; this is what ext4 takes in a block of 4 KiB, and more.
const ENTRIES_MAX: usize = 1024;
/// The id of entries that name nobody.
pub const NOBODY: u32 = u32::MAX;

/// Whom an entry is about. In the order in which entries are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tag {
    Owner = 0x01,
    User = 0x02,
    OwningGroup = 0x04,
    Group = 0x08,
    Mask = 0x10,
    Other = 0x20,
}

impl Tag {
    fn of(bits: u16) -> Option<Self> {
        [Self::Owner, Self::User, Self::OwningGroup, Self::Group, Self::Mask, Self::Other]
            .into_iter()
            .find(|tag| *tag as u16 == bits)
    }

    fn has_id(self) -> bool {
        matches!(self, Self::User | Self::Group)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    tag: Tag,
    permissions: u16,
    id: u32,
}

/// A valid list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl(Vec<Entry>);

impl Acl {
    /// The list in an attribute's bytes; `None` if they are no valid one.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first_chunk()?;
        if u32::from_le_bytes(*version) != VERSION || rest.len() % 8 != 0 || rest.len() / 8 > ENTRIES_MAX {
            return None;
        }
        let entries = rest.chunks_exact(8).map(|entry| {
            let number = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
            let tag = Tag::of(number(0))?;
            let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
            Some(Entry { tag, permissions: number(2), id: if tag.has_id() { id } else { NOBODY } })
        });
        let acl = Self(entries.collect::<Option<_>>()?);
        acl.is_valid().then_some(acl)
    }

    /// Sorted, each of the three once, a mask where somebody is named.
    fn is_valid(&self) -> bool {
        let count = |tag| self.0.iter().filter(|entry| entry.tag == tag).count();
        let in_order = |pair: &[Entry]| (pair[0].tag, pair[0].id) < (pair[1].tag, pair[1].id);
        let masks = count(Tag::Mask);
        [Tag::Owner, Tag::OwningGroup, Tag::Other].iter().all(|tag| count(*tag) == 1)
            && (masks == 1 || (masks == 0 && self.is_minimal()))
            && self.0.windows(2).all(in_order)
            && self.0.iter().all(|entry| entry.permissions <= 0o7 && (!entry.tag.has_id() || entry.id != NOBODY))
    }

    /// The attribute's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let entries: Vec<_> = self.0.iter().map(|entry| (entry.tag as u16, entry.permissions, entry.id)).collect();
        encode(&entries)
    }

    /// Whether it says no more than a mode does.
    #[must_use]
    pub fn is_minimal(&self) -> bool {
        self.0.iter().all(|entry| matches!(entry.tag, Tag::Owner | Tag::OwningGroup | Tag::Other))
    }

    fn permissions(&self, tag: Tag) -> Option<u16> {
        self.0.iter().find(|entry| entry.tag == tag).map(|entry| entry.permissions)
    }

    fn set(&mut self, tag: Tag, permissions: u16) {
        if let Some(entry) = self.0.iter_mut().find(|entry| entry.tag == tag) {
            entry.permissions = permissions;
        }
    }

    /// Which entry the mode's group bits are: the mask's if there is one.
    fn group_class(&self) -> Tag {
        if self.permissions(Tag::Mask).is_some() { Tag::Mask } else { Tag::OwningGroup }
    }

    /// `mode` with the permission bits that go with the list.
    #[must_use]
    pub fn mode(&self, mode: u16) -> u16 {
        let bits = |tag| self.permissions(tag).unwrap_or_default();
        (mode & !0o777) | bits(Tag::Owner) << 6 | bits(self.group_class()) << 3 | bits(Tag::Other)
    }

    /// The list after `chmod`.
    #[must_use]
    pub fn with_mode(mut self, mode: u16) -> Self {
        self.set(Tag::Owner, mode >> 6 & 0o7);
        self.set(self.group_class(), mode >> 3 & 0o7);
        self.set(Tag::Other, mode & 0o7);
        self
    }

    /// The access list of what is made with `mode` in a directory whose default list this is. The umask counts for nothing then.
    #[must_use]
    pub fn inherited(mut self, mode: u16) -> Self {
        let group_class = self.group_class();
        for (tag, allowed) in [(Tag::Owner, mode >> 6), (group_class, mode >> 3), (Tag::Other, mode)] {
            let permissions = self.permissions(tag).unwrap_or_default() & allowed & 0o7;
            self.set(tag, permissions);
        }
        self
    }
}

/// The bytes of a list of tags, permissions and ids, whether it is valid or not.
#[must_use]
pub fn encode(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let entries = entries.iter().flat_map(|(tag, permissions, id)| {
        [&tag.to_le_bytes()[..], &permissions.to_le_bytes()[..], &id.to_le_bytes()[..]].concat()
    });
    VERSION.to_le_bytes().into_iter().chain(entries).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `u::rw-,u:1000:rwx,g::r--,m::rwx,o::---`
    fn named() -> Vec<u8> {
        encode(&[(1, 6, NOBODY), (2, 7, 1000), (4, 4, NOBODY), (0x10, 7, NOBODY), (0x20, 0, NOBODY)])
    }

    #[test]
    fn the_mode_is_the_lists_and_chmod_changes_the_mask() {
        let acl = Acl::parse(&named()).unwrap();
        assert_eq!(acl.to_bytes(), named());
        assert!(!acl.is_minimal());
        assert_eq!(acl.mode(0o4000), 0o4670);
        let after = acl.with_mode(0o640);
        assert_eq!(after.mode(0), 0o640);
        let group = Entry { tag: Tag::OwningGroup, permissions: 4, id: NOBODY };
        assert!(after.0.contains(&group), "the owning group keeps what it has, under the mask");
    }

    #[test]
    fn three_entries_are_the_mode() {
        let acl = Acl::parse(&encode(&[(1, 6, 0), (4, 4, 0), (0x20, 0, 0)])).unwrap();
        assert!(acl.is_minimal());
        assert_eq!(acl.mode(0o777), 0o640);
        assert_eq!(acl.with_mode(0o751).mode(0), 0o751);
    }

    #[test]
    fn what_is_made_has_no_more_than_was_asked_for() {
        let default = Acl::parse(&named()).unwrap();
        assert_eq!(default.clone().inherited(0o666).mode(0), 0o660);
        assert_eq!(default.inherited(0o600).mode(0), 0o600);
    }

    #[test]
    fn invalid_lists_are_refused() {
        let invalid: &[&[(u16, u16, u32)]] = &[
            &[],
            &[(1, 6, 0), (4, 4, 0)],
            &[(1, 6, 0), (2, 7, 1000), (4, 4, 0), (0x20, 0, 0)],
            &[(4, 4, 0), (1, 6, 0), (0x20, 0, 0)],
            &[(1, 6, 0), (1, 6, 0), (4, 4, 0), (0x20, 0, 0)],
            &[(1, 8, 0), (4, 4, 0), (0x20, 0, 0)],
            &[(1, 6, 0), (2, 7, 5), (2, 7, 5), (4, 4, 0), (0x10, 7, 0), (0x20, 0, 0)],
            &[(1, 6, 0), (2, 7, NOBODY), (4, 4, 0), (0x10, 7, 0), (0x20, 0, 0)],
            &[(1, 6, 0), (4, 4, 0), (0x20, 0, 0), (0x40, 0, 0)],
        ];
        for entries in invalid {
            assert_eq!(Acl::parse(&encode(entries)), None, "{entries:?}");
        }
        assert_eq!(Acl::parse(&named()[..named().len() - 1]), None);
        assert_eq!(Acl::parse(&[&3u32.to_le_bytes()[..], &named()[4..]].concat()), None);
    }

    proptest! {
        #[test]
        fn what_is_parsed_is_written_again(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Some(acl) = Acl::parse(&bytes) {
                prop_assert_eq!(Acl::parse(&acl.to_bytes()), Some(acl));
            }
        }
    }
}
