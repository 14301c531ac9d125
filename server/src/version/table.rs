//! The layout of the version manager's own records in the table, and how they are written.
//!
//! Keys are a table byte and big-endian numbers, so that the order of keys is the order of numbers. The namespace has the
//! bytes below 0x80, the provider manager 0xC0 to 0xCF. Every value starts with [`RECORD_FORMAT`], then postcard.

use crate::version::kv::{Kv, KvError, Order};
use serde::{Serialize, de::DeserializeOwned};
use weft_common::id::{BlobId, BlobVersion, InodeNumber, SessionId, VolumeId};
use weft_common::wire::{decode, encode};

/// Format of every record below. A build that changes one raises it and reads the older form too.
pub const RECORD_FORMAT: u8 = 1;

const META: u8 = 0x80;
const VOLUMES: u8 = 0x81;
const VOLUME_NAMES: u8 = 0x82;
const SESSIONS: u8 = 0x83;
const REPLIES: u8 = 0x84;
const BLOBS: u8 = 0x85;
const ENTRIES: u8 = 0x86;
const TICKETS: u8 = 0x87;
const PUBLISHED: u8 = 0x88;
const MARKED: u8 = 0x89;
const PINS: u8 = 0x8A;
const ORIGINS: u8 = 0x8B;
const EPOCH: u8 = 0x8C;
const REMOVED_VOLUMES: u8 = 0x8D;
const LET_GO: u8 = 0x8E;
const LOCKS: u8 = 0x8F;
const LOCKED_BY: u8 = 0x90;
const LOCKED_FILES: u8 = 0x91;

/// The counters and the clock.
pub fn meta() -> Vec<u8> {
    vec![META]
}

/// A volume's record.
pub fn volume(id: VolumeId) -> Vec<u8> {
    [&[VOLUMES][..], &id.0.to_be_bytes()].concat()
}

/// A volume that was removed and is not collected yet.
pub fn removed_volume(id: VolumeId) -> Vec<u8> {
    [&[REMOVED_VOLUMES][..], &id.0.to_be_bytes()].concat()
}

/// The records of volumes, and those of removed ones: `from..to` each.
pub fn all_volumes() -> [(Vec<u8>, Vec<u8>); 2] {
    [VOLUMES, REMOVED_VOLUMES].map(|table| (vec![table], vec![table + 1]))
}

/// All blobs of a volume: `from..to`.
pub fn blobs_of(id: VolumeId) -> (Vec<u8>, Vec<u8>) {
    let from = [&[BLOBS][..], &id.0.to_be_bytes()].concat();
    (from.clone(), successor(from))
}

/// The number of a key that [`blob`] made.
pub fn parse_blob(key: &[u8]) -> Option<u64> {
    key.last_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// The id of the volume of that name.
pub fn volume_name(name: &str) -> Vec<u8> {
    [&[VOLUME_NAMES][..], name.as_bytes()].concat()
}

/// All names of volumes: `from..to`.
pub fn volume_names() -> (Vec<u8>, Vec<u8>) {
    (vec![VOLUME_NAMES], vec![VOLUME_NAMES + 1])
}

/// A session's record.
pub fn session(id: SessionId) -> Vec<u8> {
    [&[SESSIONS][..], &id.0.to_be_bytes()].concat()
}

/// All sessions: `from..to`.
pub fn sessions() -> (Vec<u8>, Vec<u8>) {
    (vec![SESSIONS], vec![SESSIONS + 1])
}

/// The remembered answer to a session's change.
pub fn reply(id: SessionId, sequence: u64) -> Vec<u8> {
    [&[REPLIES][..], &id.0.to_be_bytes(), &sequence.to_be_bytes()].concat()
}

/// The end of a session's remembered answers.
pub fn replies_end(id: SessionId) -> Vec<u8> {
    successor([&[REPLIES][..], &id.0.to_be_bytes()].concat())
}

/// A blob's record.
pub fn blob(id: BlobId) -> Vec<u8> {
    of_blob(BLOBS, id)
}

/// A blob version's log entry.
pub fn entry(id: BlobId, version: BlobVersion) -> Vec<u8> {
    of_version(ENTRIES, id, version)
}

/// A ticket that is not published yet.
pub fn ticket(id: BlobId, version: BlobVersion) -> Vec<u8> {
    of_version(TICKETS, id, version)
}

/// All tickets of all blobs: `from..to`.
pub fn tickets() -> (Vec<u8>, Vec<u8>) {
    (vec![TICKETS], vec![TICKETS + 1])
}

/// What a blob version became when it was published.
pub fn published(id: BlobId, version: BlobVersion) -> Vec<u8> {
    of_version(PUBLISHED, id, version)
}

/// All published versions of a blob: `from..to`.
pub fn published_of(id: BlobId) -> (Vec<u8>, Vec<u8>) {
    let from = of_blob(PUBLISHED, id);
    (from.clone(), successor(from))
}

/// The version of a key that [`published`] made.
pub fn parse_published(key: &[u8]) -> Option<BlobVersion> {
    key.last_chunk().map(|bytes| BlobVersion(u64::from_be_bytes(*bytes)))
}

/// How many commands were begun.
pub fn epoch() -> Vec<u8> {
    vec![EPOCH]
}

/// The newest epoch in which something was let go of.
pub fn let_go() -> Vec<u8> {
    vec![LET_GO]
}

/// The locks of a file.
pub fn locks(volume: VolumeId, inode: InodeNumber) -> Vec<u8> {
    [&[LOCKS][..], &volume.0.to_be_bytes(), &inode.0.to_be_bytes()].concat()
}

/// All locks in a volume: `from..to`.
pub fn locks_of_volume(volume: VolumeId) -> (Vec<u8>, Vec<u8>) {
    let from = [&[LOCKS][..], &volume.0.to_be_bytes()].concat();
    (from.clone(), successor(from))
}

/// A session has locks of a file.
pub fn locked_by(session: SessionId, volume: VolumeId, inode: InodeNumber) -> Vec<u8> {
    [&[LOCKED_BY][..], &session.0.to_be_bytes(), &volume.0.to_be_bytes(), &inode.0.to_be_bytes()].concat()
}

/// All files of which a session has locks: `from..to`.
pub fn locked_by_session(session: SessionId) -> (Vec<u8>, Vec<u8>) {
    let from = [&[LOCKED_BY][..], &session.0.to_be_bytes()].concat();
    (from.clone(), successor(from))
}

/// The file of a key that [`locked_by`] made.
pub fn parse_locked_by(key: &[u8]) -> Option<(VolumeId, InodeNumber)> {
    let (rest, inode) = key.split_last_chunk()?;
    let volume = rest.last_chunk()?;
    Some((VolumeId(u32::from_be_bytes(*volume)), InodeNumber(u64::from_be_bytes(*inode))))
}

/// Of how many files a session has locks.
pub fn locked_files(session: SessionId) -> Vec<u8> {
    [&[LOCKED_FILES][..], &session.0.to_be_bytes()].concat()
}

/// A blob of which something may have to go.
pub fn marked(id: BlobId) -> Vec<u8> {
    of_blob(MARKED, id)
}

/// All marked blobs of a volume: `from..to`.
pub fn marked_of_volume(id: VolumeId) -> (Vec<u8>, Vec<u8>) {
    let from = [&[MARKED][..], &id.0.to_be_bytes()].concat();
    (from.clone(), successor(from))
}

/// The blob of a key that [`marked`] made.
pub fn parse_marked(key: &[u8]) -> Option<BlobId> {
    parse_of_blob(MARKED, key)
}

/// The hold of a clone on the version that it begins with.
pub fn pin(origin: BlobId, version: BlobVersion, clone: BlobId) -> Vec<u8> {
    [&of_version(PINS, origin, version)[..], &clone.number.to_be_bytes()].concat()
}

/// All holds of clones on a blob: `from..to`.
pub fn pins_of(origin: BlobId) -> (Vec<u8>, Vec<u8>) {
    let from = of_blob(PINS, origin);
    (from.clone(), successor(from))
}

/// The version of a key that [`pin`] made.
pub fn parse_pin(key: &[u8]) -> Option<BlobVersion> {
    key.get(13..21)?.first_chunk().map(|bytes| BlobVersion(u64::from_be_bytes(*bytes)))
}

/// Where a clone began.
pub fn origin(clone: BlobId) -> Vec<u8> {
    of_blob(ORIGINS, clone)
}

/// Where the clones of a volume began: `from..to`.
pub fn origins_of_volume(id: VolumeId) -> (Vec<u8>, Vec<u8>) {
    let from = [&[ORIGINS][..], &id.0.to_be_bytes()].concat();
    (from.clone(), successor(from))
}

/// The clone of a key that [`origin`] made.
pub fn parse_origin(key: &[u8]) -> Option<BlobId> {
    parse_of_blob(ORIGINS, key)
}

/// Blob and version of a key that [`ticket`] made; `None` for any other.
pub fn parse_ticket(key: &[u8]) -> Option<(BlobId, BlobVersion)> {
    let (volume, rest) = key.strip_prefix(&[TICKETS])?.split_first_chunk()?;
    let (number, rest) = rest.split_first_chunk()?;
    let (version, rest) = rest.split_first_chunk()?;
    let blob = BlobId { volume: VolumeId(u32::from_be_bytes(*volume)), number: u64::from_be_bytes(*number) };
    rest.is_empty().then_some((blob, BlobVersion(u64::from_be_bytes(*version))))
}

/// Every range of keys that belongs to the blobs of a volume.
pub fn blobs_of_volume(id: VolumeId) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    [BLOBS, ENTRIES, TICKETS, PUBLISHED, MARKED, PINS, ORIGINS].into_iter().map(move |table| {
        let from = [&[table][..], &id.0.to_be_bytes()].concat();
        (from.clone(), successor(from))
    })
}

fn of_blob(table: u8, id: BlobId) -> Vec<u8> {
    [&[table][..], &id.volume.0.to_be_bytes(), &id.number.to_be_bytes()].concat()
}

fn parse_of_blob(table: u8, key: &[u8]) -> Option<BlobId> {
    let (volume, rest) = key.strip_prefix(&[table])?.split_first_chunk()?;
    let number = rest.first_chunk()?;
    Some(BlobId { volume: VolumeId(u32::from_be_bytes(*volume)), number: u64::from_be_bytes(*number) })
}

fn of_version(table: u8, id: BlobId, version: BlobVersion) -> Vec<u8> {
    [&of_blob(table, id)[..], &version.0.to_be_bytes()].concat()
}

/// The least key that is greater than every key with this prefix. The first byte is a table, so there always is one.
fn successor(mut prefix: Vec<u8>) -> Vec<u8> {
    while prefix.last() == Some(&u8::MAX) {
        prefix.pop();
    }
    if let Some(last) = prefix.last_mut() {
        *last += 1;
    }
    prefix
}

/// Writes a record.
///
/// # Errors
/// [`KvError`] is fatal.
pub fn put<T: Serialize>(kv: &mut dyn Kv, key: &[u8], value: &T) -> Result<(), KvError> {
    let body = encode(value).map_err(|error| KvError(error.to_string()))?;
    kv.put(key, &[&[RECORD_FORMAT][..], &body].concat())
}

/// Reads a record.
///
/// # Errors
/// [`KvError`] is fatal; a record that cannot be read is one.
pub fn get<T: DeserializeOwned>(kv: &dyn Kv, key: &[u8]) -> Result<Option<T>, KvError> {
    kv.get(key)?.map(|bytes| parse(key, &bytes)).transpose()
}

/// The record in a value that a scan showed.
///
/// # Errors
/// [`KvError`] when the bytes are no such record.
pub fn parse<T: DeserializeOwned>(key: &[u8], bytes: &[u8]) -> Result<T, KvError> {
    let of = |reason: String| KvError(format!("record {} {reason}", key.escape_ascii()));
    match bytes.split_first() {
        Some((&RECORD_FORMAT, body)) => decode(body).map_err(|error| of(error.to_string())),
        Some((format, _)) => Err(of(format!("has format {format}, this build knows {RECORD_FORMAT}; use a newer weftd"))),
        None => Err(of("is empty".into())),
    }
}

/// Reads every record of a range, in order of keys.
///
/// # Errors
/// [`KvError`] is fatal.
pub fn collect<T: DeserializeOwned>(kv: &dyn Kv, from: &[u8], to: &[u8]) -> Result<Vec<(Vec<u8>, T)>, KvError> {
    let (mut found, mut failed) = (Vec::new(), None);
    kv.scan(from, to, Order::Ascending, &mut |key, value| match parse(key, value) {
        Ok(record) => {
            found.push((key.to_vec(), record));
            true
        }
        Err(error) => {
            failed = Some(error);
            false
        }
    })?;
    failed.map_or(Ok(found), Err)
}

/// Deletes every record of a range.
///
/// # Errors
/// [`KvError`] is fatal.
pub fn clear(kv: &mut dyn Kv, from: &[u8], to: &[u8]) -> Result<(), KvError> {
    let mut keys = Vec::new();
    kv.scan(from, to, Order::Ascending, &mut |key, _| {
        keys.push(key.to_vec());
        true
    })?;
    keys.iter().try_for_each(|key| kv.delete(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_their_numbers_and_ranges_hold_exactly_theirs() {
        let blob = |volume, number| BlobId { volume: VolumeId(volume), number };
        assert!(ticket(blob(1, 255), BlobVersion(9)) < ticket(blob(1, 256), BlobVersion(1)));
        assert_eq!(parse_ticket(&ticket(blob(7, 8), BlobVersion(9))), Some((blob(7, 8), BlobVersion(9))));
        assert_eq!(parse_ticket(&entry(blob(7, 8), BlobVersion(9))), None);
        for (from, to) in blobs_of_volume(VolumeId(255)) {
            assert!(from < to);
        }
        let (from, to) = blobs_of_volume(VolumeId(255)).nth(1).unwrap();
        let inside = entry(blob(255, u64::MAX), BlobVersion(u64::MAX));
        let outside = entry(blob(256, 0), BlobVersion(0));
        assert!(from <= inside && inside < to && to <= outside);
        assert_eq!(successor(vec![3, 255, 255]), vec![4]);
    }

    #[test]
    fn a_record_of_another_format_is_refused_with_its_key() {
        let mut kv = crate::version::kv::MemoryKv::default();
        put(&mut kv, b"k", &7u32).unwrap();
        assert_eq!(get::<u32>(&kv, b"k").unwrap(), Some(7));
        kv.put(b"k", &[9, 7]).unwrap();
        assert!(get::<u32>(&kv, b"k").unwrap_err().to_string().contains("format 9"));
    }
}
