//! Names of extended attributes. Their first part says who may set them; what has no known one is nobody's business to keep.
//!
//! Linux itself lets anybody set `system.*` of anything and leaves the decision to the filesystem, so only the two lists are taken there.

use crate::acl;

/// Attributes that are kept as they are: of programs, of root, of security modules.
const KEPT_PREFIXES: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];

/// What may be done with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XattrName {
    /// It is kept.
    Kept,
    /// The first part of a name, and nothing behind it.
    Empty,
    /// Nothing that is kept begins like this.
    Unknown,
}

impl XattrName {
    /// Of a name.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        match KEPT_PREFIXES.iter().find_map(|prefix| name.strip_prefix(*prefix)) {
            Some([]) => Self::Empty,
            Some(_) => Self::Kept,
            None if name == acl::ACCESS || name == acl::DEFAULT => Self::Kept,
            None => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_known_parts_are_kept() {
        for kept in ["user.a", "trusted.x.y", "security.capability", "system.posix_acl_access", "system.posix_acl_default"] {
            assert_eq!(XattrName::of(kept.as_bytes()), XattrName::Kept, "{kept}");
        }
        for unknown in ["", "a", "foo.bar", "system.foo", "system.posix_acl_access2", "user", "users.a", "USER.a"] {
            assert_eq!(XattrName::of(unknown.as_bytes()), XattrName::Unknown, "{unknown}");
        }
        assert_eq!(XattrName::of(b"user."), XattrName::Empty);
    }
}
