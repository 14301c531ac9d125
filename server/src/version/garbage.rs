//! What can be deleted from the providers: blob versions that nothing refers to any more.
//!
//! A blob version is needed by the rows of its file's history that show it, by clones that began with it, by tickets that are
//! woven on it, and by readers. Whatever takes one of these away *marks* the blob. [`step`] looks at marked blobs, and notes of each
//! the versions that only readers may still need; when these are known too, it offers the oldest of them that nobody reads. The
//! collector (a server's task, [`crate::collector`]) deletes what only that version reaches and says so; then the next one is
//! offered. What is marked meanwhile waits for the next note: a file that is written all the time is collected all the same. A
//! blob without mark is never looked at, so history costs nothing.
//!
//! **Readers** are known by their sessions. Every renewal lists what a client uses of the past. Counting the commands as *epochs*,
//! what was let go of in epoch e can be used by nobody but those who list it as soon as every session has been answered a renewal in e or
//! later and has renewed once more: clients ask again for what they have not used for a few seconds, and list the rest.

use crate::version::blobs::{self, BlobRecord};
use crate::version::kv::{Kv, KvError, Order};
use crate::version::namespace::{self, Readers};
use crate::version::table;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use weft_common::id::{BlobId, BlobVersion, InodeNumber, VolumeId};
use weft_common::limits::COLLECTIONS_OFFERED_MAX;
use weft_common::wire::{CollectionJob, GarbageStatistics};

/// Nameless files that are looked at together. A removed tree leaves many, and each step lets go of a few only.
const ORPHANS_PER_LOOK: usize = 1024;
/// Versions of a blob that are noted together.
const VERSIONS_LET_GO_MAX: usize = 1024;

/// A blob of which something may have to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Marked {
    /// The file whose rows show it.
    inode: InodeNumber,
    /// What nothing but readers needs; `None` until a step has looked.
    let_go: Option<LetGo>,
    /// The version that was offered last. Until it is collected no other one is: some of its nodes may be gone already, and so
    /// it can be no other version's neighbour.
    offered: Option<BlobVersion>,
}

/// What of a blob nothing but readers needed in some epoch, and so in every later one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LetGo {
    epoch: u64,
    /// Versions, the oldest first; at most [`VERSIONS_LET_GO_MAX`].
    versions: Vec<BlobVersion>,
    /// The blob itself, too.
    whole: bool,
}

impl Marked {
    /// Whether it has to be looked at, or everybody knows what was let go of.
    fn is_ripe(&self, readers: &Readers) -> bool {
        self.let_go.as_ref().is_none_or(|let_go| let_go.epoch <= readers.through)
    }
}

/// Where a clone began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    blob: BlobId,
    version: BlobVersion,
}

/// The epoch of the command under way.
pub(crate) fn epoch(kv: &dyn Kv) -> Result<u64, KvError> {
    Ok(table::get::<u64>(kv, &table::epoch())?.unwrap_or(0))
}

/// A version of `blob`, whose file is `inode`, may not be needed any more.
pub(crate) fn mark(kv: &mut dyn Kv, blob: BlobId, inode: InodeNumber) -> Result<(), KvError> {
    let known = table::get::<Marked>(&*kv, &table::marked(blob))?;
    let (let_go, offered) = known.map_or((None, None), |marked| (marked.let_go, marked.offered));
    table::put(kv, &table::marked(blob), &Marked { inode, let_go, offered })
}

/// `clone` begins with `version` of `origin`, which stays as long as the clone does.
pub(crate) fn pin(kv: &mut dyn Kv, (origin, version): (BlobId, BlobVersion), clone: BlobId) -> Result<(), KvError> {
    table::put(kv, &table::pin(origin, version, clone), &())?;
    table::put(kv, &table::origin(clone), &Origin { blob: origin, version })
}

/// The volume goes, and with it clones that nobody wrote to: no record tells of them but that of their origin.
pub(crate) fn mark_clones(kv: &mut dyn Kv, volume: VolumeId) -> Result<(), KvError> {
    let (from, to) = table::origins_of_volume(volume);
    for (key, _) in table::collect::<Origin>(kv, &from, &to)? {
        let Some(clone) = table::parse_origin(&key) else { continue };
        if kv.get(&table::blob(clone))?.is_none() {
            mark(kv, clone, InodeNumber(0))?;
        }
    }
    Ok(())
}

/// The version of `blob` that is being collected.
pub(crate) fn offered(kv: &dyn Kv, blob: BlobId) -> Result<Option<BlobVersion>, KvError> {
    Ok(table::get::<Marked>(kv, &table::marked(blob))?.and_then(|marked| marked.offered))
}

/// Where a clone began.
pub(crate) fn origin(kv: &dyn Kv, clone: BlobId) -> Result<Option<(BlobId, BlobVersion)>, KvError> {
    Ok(table::get::<Origin>(kv, &table::origin(clone))?.map(|origin| (origin.blob, origin.version)))
}

/// Counts what waits for collection.
pub(crate) fn statistics(kv: &dyn Kv, volume: VolumeId) -> Result<GarbageStatistics, KvError> {
    let (thinned_versions, is_purging) = namespace::waiting(kv, volume)?;
    let (from, to) = table::marked_of_volume(volume);
    let mut blobs = 0;
    kv.scan(&from, &to, Order::Ascending, &mut |_, _| {
        blobs += 1;
        true
    })?;
    let nameless_files = namespace::orphans(kv, volume, InodeNumber(0), usize::MAX)?.len() as u64;
    Ok(GarbageStatistics { thinned_versions, blobs, nameless_files, is_purging })
}

/// Whether a step of collection would do or offer anything.
///
/// # Errors
/// [`KvError`] is fatal.
pub fn wants_step(kv: &dyn Kv, volume: VolumeId, readers: &Readers) -> Result<bool, KvError> {
    Ok(namespace::wants_purge(kv, volume, readers)?
        || !releasable(kv, volume, readers)?.is_empty()
        || !ripe(kv, volume, readers, 1)?.is_empty())
}

/// Does a step: cleans up past rows, lets nameless files go that nobody has open, and offers versions to be collected. Says
/// whether there is more to do at once.
pub(crate) fn step(kv: &mut dyn Kv, volume: VolumeId, readers: &Readers) -> Result<(Vec<CollectionJob>, bool), KvError> {
    let mut more = namespace::purge(kv, volume, readers)?;
    for inode in releasable(&*kv, volume, readers)? {
        more = true;
        if let Some(blob) = namespace::release_orphan(kv, volume, inode)? {
            mark(kv, blob, inode)?;
        }
    }
    let mut jobs = Vec::new();
    for (blob, mut marked) in ripe(&*kv, volume, readers, COLLECTIONS_OFFERED_MAX)? {
        let mut verdict = judge(&*kv, blob, &marked, readers)?;
        if let Verdict::LetGo(let_go) = verdict {
            more = true;
            marked.let_go = Some(let_go);
            table::put(kv, &table::marked(blob), &marked)?;
            verdict = if marked.is_ripe(readers) { judge(&*kv, blob, &marked, readers)? } else { Verdict::Held };
        }
        match verdict {
            Verdict::Collect(job) => {
                marked.offered = Some(job.dropped.version);
                table::put(kv, &table::marked(blob), &marked)?;
                jobs.push(*job);
            }
            // Was taken note of just now.
            Verdict::LetGo(_) => {}
            Verdict::Held => {}
            Verdict::Clean => kv.delete(&table::marked(blob))?,
            Verdict::Gone => {
                more = true;
                forget(kv, blob)?;
            }
        }
    }
    Ok((jobs, more))
}

/// Everything that went with a version is deleted: its record goes too.
pub(crate) fn collected(kv: &mut dyn Kv, blob: BlobId, version: BlobVersion) -> Result<(), KvError> {
    kv.delete(&table::entry(blob, version))?;
    kv.delete(&table::published(blob, version))
}

fn releasable(kv: &dyn Kv, volume: VolumeId, readers: &Readers) -> Result<Vec<InodeNumber>, KvError> {
    if readers.everything {
        return Ok(Vec::new());
    }
    let is_free = |(inode, since): &(InodeNumber, u64)| *since <= readers.through && !readers.inodes.contains(inode);
    let (mut found, mut after) = (Vec::new(), Some(InodeNumber(0)));
    while let Some(last) = after.filter(|_| found.len() < COLLECTIONS_OFFERED_MAX) {
        let some = namespace::orphans(kv, volume, last, ORPHANS_PER_LOOK)?;
        after = some.last().map(|(inode, _)| *inode);
        found.extend(some.into_iter().filter(is_free).map(|(inode, _)| inode));
    }
    found.truncate(COLLECTIONS_OFFERED_MAX);
    Ok(found)
}

/// Marked blobs that a step can do something about.
fn ripe(kv: &dyn Kv, volume: VolumeId, readers: &Readers, limit: usize) -> Result<Vec<(BlobId, Marked)>, KvError> {
    let (mut found, mut failed) = (Vec::new(), None);
    if readers.everything {
        return Ok(found);
    }
    let (from, to) = table::marked_of_volume(volume);
    kv.scan(&from, &to, Order::Ascending, &mut |key, value| {
        match table::parse::<Marked>(key, value) {
            Ok(marked) if marked.is_ripe(readers) => found.extend(table::parse_marked(key).map(|blob| (blob, marked))),
            Ok(_) => {}
            Err(error) => failed = Some(error),
        }
        found.len() < limit && failed.is_none()
    })?;
    failed.map_or(Ok(found), Err)
}

enum Verdict {
    /// Only readers need this; who they are is known later.
    LetGo(LetGo),
    /// This version can go.
    Collect(Box<CollectionJob>),
    /// Some can, but are being read.
    Held,
    /// Everything is needed.
    Clean,
    /// Nothing is left of it.
    Gone,
}

fn judge(kv: &dyn Kv, blob: BlobId, marked: &Marked, readers: &Readers) -> Result<Verdict, KvError> {
    if readers.contents.range((blob, BlobVersion(0))..).next().is_some_and(|(read, version)| *read == blob && version.0 == 0) {
        // Version 0 of a clone is its origin's: the clone goes last.
        return Ok(Verdict::Held);
    }
    let shown = namespace::versions_shown(kv, marked.inode, blob)?;
    let pinned = pinned(kv, blob)?;
    let record = table::get::<BlobRecord>(kv, &table::blob(blob))?;
    let there = if record.is_some() { blobs::published_versions(kv, blob)? } else { BTreeSet::new() };
    let in_flight = record.as_ref().map_or(0, BlobRecord::in_flight);
    let is_woven_on =
        |version: &BlobVersion| in_flight > 0 && record.as_ref().is_some_and(|record| record.published.version == *version);
    let is_needed = |version: &&BlobVersion| shown.contains(*version) || pinned.contains(*version) || is_woven_on(version);
    let is_read = |version: &BlobVersion| readers.contents.contains(&(blob, *version));
    let unneeded: Vec<BlobVersion> = there.iter().filter(|version| !is_needed(version)).copied().collect();
    let whole = shown.is_empty() && pinned.is_empty() && in_flight == 0;

    let known: &[BlobVersion] = marked.let_go.as_ref().map_or(&[], |let_go| &let_go.versions);
    let is_known_whole = marked.let_go.as_ref().is_some_and(|let_go| let_go.whole);
    let begun = marked.offered.filter(|version| there.contains(version));
    let free = unneeded.iter().copied().filter(|version| !is_read(version));
    if let Some(dropped) = begun.or_else(|| free.clone().find(|version| known.contains(version))) {
        let Some(record) = record else { return Ok(Verdict::Clean) };
        return Ok(Verdict::Collect(Box::new(job(kv, blob, &record, &there, dropped)?)));
    }
    let versions: Vec<BlobVersion> = free.take(VERSIONS_LET_GO_MAX).collect();
    let is_empty = there.is_empty() && whole;
    if !versions.is_empty() || (is_empty && !is_known_whole) {
        return Ok(Verdict::LetGo(LetGo { epoch: epoch(kv)?, versions, whole }));
    }
    Ok(match unneeded.is_empty() {
        _ if is_empty => Verdict::Gone,
        true => Verdict::Clean,
        false => Verdict::Held,
    })
}

/// What it takes to drop a version of those that are there.
fn job(
    kv: &dyn Kv,
    blob: BlobId,
    record: &BlobRecord,
    there: &BTreeSet<BlobVersion>,
    dropped: BlobVersion,
) -> Result<CollectionJob, KvError> {
    let older = there.range(..dropped).next_back().copied().unwrap_or(record.origin.version);
    let newer = there.range(BlobVersion(dropped.0 + 1)..).next();
    let tree = |version| blobs::tree_at(kv, blob, record, version);
    Ok(CollectionJob { dropped: tree(dropped)?, older, newer: newer.map(|version| tree(*version)).transpose()? })
}

/// The versions of `blob` that clones begin with.
fn pinned(kv: &dyn Kv, blob: BlobId) -> Result<BTreeSet<BlobVersion>, KvError> {
    let (from, to) = table::pins_of(blob);
    let mut found = BTreeSet::new();
    kv.scan(&from, &to, Order::Ascending, &mut |key, _| {
        found.extend(table::parse_pin(key));
        true
    })?;
    Ok(found)
}

/// The last of a blob goes, and with it its hold on its origin.
fn forget(kv: &mut dyn Kv, blob: BlobId) -> Result<(), KvError> {
    if let Some(origin) = table::get::<Origin>(&*kv, &table::origin(blob))? {
        kv.delete(&table::pin(origin.blob, origin.version, blob))?;
        kv.delete(&table::origin(blob))?;
        if let Some(record) = table::get::<BlobRecord>(&*kv, &table::blob(origin.blob))? {
            mark(kv, origin.blob, record.inode)?;
        }
    }
    kv.delete(&table::blob(blob))?;
    kv.delete(&table::marked(blob))
}
