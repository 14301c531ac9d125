//! Names for versions.

use crate::version::namespace::keys::{Key, TAGS};
use crate::version::namespace::records::{TagRecord, from_row, to_row};
use crate::version::namespace::{NamespaceError, VolumeTxn, policies, refuse};
use weft_common::id::{ROOT_INODE, VolumeVersion};
use weft_common::limits::TAGS_MAX;
use weft_common::wire::{ChangeReply, ErrorKind};

/// Longest tag, in bytes.
const TAG_BYTES_MAX: usize = 64;

pub(super) fn set(txn: &mut VolumeTxn<'_>, name: &str, version: VolumeVersion) -> Result<ChangeReply, NamespaceError> {
    check(name)?;
    if version > txn.counters.latest {
        let message = format!("there is no version {version} yet, the newest is {}", txn.counters.latest);
        return refuse(ErrorKind::NotFound, message);
    }
    if !policies::is_kept(&*txn.kv, txn.volume, ROOT_INODE, version)? {
        return refuse(ErrorKind::NotFound, format!("version {version} is not kept whole any more; it cannot get a tag"));
    }
    let key = Key::new(TAGS, txn.volume).bytes(name.as_bytes());
    match txn.kv.get(&key)?.map(|row| from_row::<TagRecord>(&row)).transpose()? {
        Some(old) if old.version == version => {}
        Some(old) => {
            let message = format!("tag '{name}' is at version {}; remove it first to give it to another", old.version);
            return refuse(ErrorKind::AlreadyExists, message);
        }
        None if txn.counters.tags >= TAGS_MAX => {
            return refuse(ErrorKind::QuotaExceeded, format!("{} has {TAGS_MAX} tags already; remove some", txn.volume));
        }
        None => {
            txn.kv.put(&key, &to_row(&TagRecord { version, created: txn.now })?)?;
            txn.counters.tags += 1;
        }
    }
    Ok(ChangeReply { version: txn.counters.latest, attributes: None })
}

pub(super) fn remove(txn: &mut VolumeTxn<'_>, name: &str) -> Result<ChangeReply, NamespaceError> {
    let key = Key::new(TAGS, txn.volume).bytes(name.as_bytes());
    if txn.kv.get(&key)?.is_none() {
        return refuse(ErrorKind::NotFound, format!("there is no tag '{name}'"));
    }
    txn.kv.delete(&key)?;
    txn.counters.tags -= 1;
    Ok(ChangeReply { version: txn.counters.latest, attributes: None })
}

/// A tag stands beside version numbers and times in `.versions`, so it must not look like one of them.
fn check(name: &str) -> Result<(), NamespaceError> {
    let well_formed = (1..=TAG_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && !name.starts_with(['.', '-'])
        && !name.bytes().all(|byte| byte.is_ascii_digit());
    if well_formed {
        return Ok(());
    }
    let message = format!(
        "'{}' cannot be a tag: 1 to {TAG_BYTES_MAX} of a-z A-Z 0-9 . _ -, not digits only, and not starting with . or -",
        name.escape_debug()
    );
    refuse(ErrorKind::InvalidArgument, message)
}
