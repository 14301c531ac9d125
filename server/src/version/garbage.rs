//! What can be deleted from the providers: blob versions that nothing refers to any more.
//!
//! A blob version is needed by the rows of its file's history that show it, by clones that began with it, by tickets that are
//! woven on it, and by readers. Whatever takes one of these away *marks* the blob. `step` looks at marked blobs, and notes of each
//! the versions that only readers may still need; when these are known too, it offers the oldest of them that nobody reads. The
//! collector (a server's task, [`crate::collector`]) deletes what only that version reaches and says so; then the next one is
//! offered. What is marked meanwhile waits for the next note: a file that is written all the time is collected all the same. A
//! blob without mark is never looked at, so history costs nothing.
//!
//! **Readers** are known by their sessions. Every renewal lists what a client uses of the past, and says through which epoch it
//! *knows* (epochs count the commands): whatever it began to use before it was answered in that epoch is over or listed. Once
//! every session knows through e, what was let go of in e or before can be used by nobody but those who list it: whoever asks
//! later is not told of it any more.
//!
//! **One wait is enough** for a version and for the contents that only it showed. Let e be the epoch in which the last volume version of a
//! row was thinned. When everybody knows through e and nobody lists a version of the row, the row goes, and its content can be used
//! by nobody but those who list the content itself: a thinned version is found by nobody who does not use it already, so whoever
//! came to the content after e used such a version and lists it, until it has taken hold of the content. Clients take the one hold
//! before they leave the other. So the mark that a row leaves carries e (`since`) and not the epoch in which the row went.

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
/// What so many steps would look at is looked through at once; meanwhile the manager does nothing else.
const STEPS_PER_LOOK: usize = 16;
/// Versions of a blob that are noted together.
const VERSIONS_LET_GO_MAX: usize = 1024;

/// A blob of which something may have to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Marked {
    /// The file whose rows show it.
    inode: InodeNumber,
    /// The newest of the epochs in which its contents were let go of.
    since: u64,
    /// What nothing but readers needs; `None` until a step has looked.
    let_go: Option<LetGo>,
    /// The version that was offered last. Until it is collected no other one is: some of its nodes may be gone already, and so
    /// it can be no other version's neighbour.
    offered: Option<BlobVersion>,
}

/// What of a blob nothing but readers has needed since some epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LetGo {
    since: u64,
    /// Versions, the oldest first; at most [`VERSIONS_LET_GO_MAX`].
    versions: Vec<BlobVersion>,
    /// The blob itself, too.
    whole: bool,
}

impl Marked {
    /// Whether it has to be looked at, or everybody knows what was let go of.
    fn is_ripe(&self, readers: &Readers) -> bool {
        self.let_go.as_ref().is_none_or(|let_go| let_go.since <= readers.through)
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

/// Something is let go of by the command under way: its epoch. Clients hurry to know through it.
pub(crate) fn let_go_now(kv: &mut dyn Kv) -> Result<u64, KvError> {
    let now = epoch(&*kv)?;
    table::put(kv, &table::let_go(), &now)?;
    Ok(now)
}

/// The newest epoch in which something was let go of.
pub(crate) fn let_go_last(kv: &dyn Kv) -> Result<u64, KvError> {
    Ok(table::get::<u64>(kv, &table::let_go())?.unwrap_or(0))
}

/// A version of `blob`, whose file is `inode`, may not be needed any more from this command on.
pub(crate) fn mark(kv: &mut dyn Kv, blob: BlobId, inode: InodeNumber) -> Result<(), KvError> {
    let now = let_go_now(kv)?;
    mark_since(kv, blob, inode, now)
}

/// A version of `blob`, whose file is `inode`, may not be needed any more. Since epoch `since` nobody can have come to it but
/// through what everybody lists; see the module.
pub(crate) fn mark_since(kv: &mut dyn Kv, blob: BlobId, inode: InodeNumber, since: u64) -> Result<(), KvError> {
    let marked = match table::get::<Marked>(&*kv, &table::marked(blob))? {
        Some(known) => Marked { inode, since: since.max(known.since), ..known },
        None => Marked { inode, since, let_go: None, offered: None },
    };
    table::put(kv, &table::marked(blob), &marked)
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

/// What a look for something to do found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// A step that looks at the blobs behind this number does or offers something.
    Step(u64),
    /// Nothing so far; the next look begins behind this number.
    GoOn(u64),
    /// Nothing.
    Nothing,
}

/// Whether a step of collection behind blob number `after` would do or offer anything. What is being read waits for hours perhaps, and
/// is no reason to log a step in every round.
///
/// # Errors
/// [`KvError`] is fatal.
pub fn look(kv: &dyn Kv, volume: VolumeId, after: u64, readers: &Readers) -> Result<Look, KvError> {
    if namespace::wants_purge(kv, volume, readers)? || !releasable(kv, volume, readers)?.is_empty() {
        return Ok(Look::Step(after));
    }
    let mut after = after;
    for _ in 0..STEPS_PER_LOOK {
        let ripe = ripe(kv, volume, after, readers, COLLECTIONS_OFFERED_MAX)?;
        for (blob, marked) in &ripe {
            let needs = needs(kv, *blob, marked.inode, readers)?;
            if needs.is_some_and(|needs| !matches!(judge(&needs, marked), Verdict::Held)) {
                return Ok(Look::Step(after));
            }
        }
        let Some((last, _)) = ripe.last().filter(|_| ripe.len() == COLLECTIONS_OFFERED_MAX) else { return Ok(Look::Nothing) };
        after = last.number;
    }
    Ok(Look::GoOn(after))
}

/// What a step found to do.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub(crate) jobs: Vec<CollectionJob>,
    /// It did something that makes more to do.
    pub(crate) more: bool,
    /// Blobs behind this number were not looked at.
    pub(crate) next: Option<u64>,
}

/// Does a step: cleans up past rows, lets nameless files go that nobody has open, and offers versions of blobs behind number
/// `after` to be collected.
pub(crate) fn step(kv: &mut dyn Kv, volume: VolumeId, after: u64, readers: &Readers) -> Result<Work, KvError> {
    let mut more = namespace::purge(kv, volume, readers)?;
    for (inode, since) in releasable(&*kv, volume, readers)? {
        more = true;
        if let Some(blob) = namespace::release_orphan(kv, volume, inode)? {
            mark_since(kv, blob, inode, since)?;
        }
    }
    let mut jobs = Vec::new();
    let ripe = ripe(&*kv, volume, after, readers, COLLECTIONS_OFFERED_MAX)?;
    let next = ripe.last().filter(|_| ripe.len() == COLLECTIONS_OFFERED_MAX).map(|(blob, _)| blob.number);
    for (blob, mut marked) in ripe {
        let Some(needs) = needs(&*kv, blob, marked.inode, readers)? else { continue };
        let mut verdict = judge(&needs, &marked);
        if let Verdict::LetGo(let_go) = verdict {
            more = true;
            marked.let_go = Some(let_go);
            table::put(kv, &table::marked(blob), &marked)?;
            verdict = if marked.is_ripe(readers) { judge(&needs, &marked) } else { Verdict::Held };
        }
        match verdict {
            Verdict::Collect(dropped, record) => {
                marked.offered = Some(dropped);
                table::put(kv, &table::marked(blob), &marked)?;
                jobs.push(job(&*kv, blob, record, &needs.there, dropped)?);
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
    Ok(Work { jobs, more, next })
}

/// Everything that went with a version is deleted: its record goes too.
pub(crate) fn collected(kv: &mut dyn Kv, blob: BlobId, version: BlobVersion) -> Result<(), KvError> {
    kv.delete(&table::entry(blob, version))?;
    kv.delete(&table::published(blob, version))
}

/// Nameless files that nobody has open, and since when they have no name.
fn releasable(kv: &dyn Kv, volume: VolumeId, readers: &Readers) -> Result<Vec<(InodeNumber, u64)>, KvError> {
    if readers.everything {
        return Ok(Vec::new());
    }
    let is_free = |(inode, since): &(InodeNumber, u64)| *since <= readers.through && !readers.inodes.contains(inode);
    let (mut found, mut after) = (Vec::new(), Some(InodeNumber(0)));
    while let Some(last) = after.filter(|_| found.len() < COLLECTIONS_OFFERED_MAX) {
        let some = namespace::orphans(kv, volume, last, ORPHANS_PER_LOOK)?;
        after = some.last().map(|(inode, _)| *inode);
        found.extend(some.into_iter().filter(is_free));
    }
    found.truncate(COLLECTIONS_OFFERED_MAX);
    Ok(found)
}

/// Marked blobs behind number `after` that a step can do something about.
fn ripe(kv: &dyn Kv, volume: VolumeId, after: u64, readers: &Readers, limit: usize) -> Result<Vec<(BlobId, Marked)>, KvError> {
    let (mut found, mut failed) = (Vec::new(), None);
    if readers.everything {
        return Ok(found);
    }
    let (_, to) = table::marked_of_volume(volume);
    let from = table::marked(BlobId { volume, number: after.saturating_add(1) });
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

/// What a blob has, and what of it is needed.
struct Needs {
    record: Option<BlobRecord>,
    /// Its versions that are there.
    there: BTreeSet<BlobVersion>,
    /// Those of them that nobody needs, and nobody reads; the oldest first.
    free: Vec<BlobVersion>,
    /// Some more are needed by readers only.
    some_are_read: bool,
    /// The blob itself is not needed either.
    whole: bool,
}

enum Verdict<'n> {
    /// Only readers need this; who they are is known later.
    LetGo(LetGo),
    /// This version can go.
    Collect(BlobVersion, &'n BlobRecord),
    /// Some can, but are being read.
    Held,
    /// Everything is needed.
    Clean,
    /// Nothing is left of it.
    Gone,
}

/// `None` while a reader reads version 0 of a clone, which is its origin's: the clone goes last.
fn needs(kv: &dyn Kv, blob: BlobId, inode: InodeNumber, readers: &Readers) -> Result<Option<Needs>, KvError> {
    let is_read = |version: &BlobVersion| readers.contents.contains(&(blob, *version));
    if is_read(&BlobVersion(0)) {
        return Ok(None);
    }
    let shown = namespace::versions_shown(kv, inode, blob)?;
    let pinned = pinned(kv, blob)?;
    let record = table::get::<BlobRecord>(kv, &table::blob(blob))?;
    let there = if record.is_some() { blobs::published_versions(kv, blob)? } else { BTreeSet::new() };
    let in_flight = record.as_ref().map_or(0, BlobRecord::in_flight);
    let woven_on = record.as_ref().filter(|_| in_flight > 0).map(|record| record.published.version);
    let is_needed = |version: &BlobVersion| shown.contains(version) || pinned.contains(version) || woven_on == Some(*version);
    let unneeded = there.iter().filter(|version| !is_needed(version)).copied();
    let (read, free): (Vec<_>, Vec<_>) = unneeded.partition(is_read);
    let whole = shown.is_empty() && pinned.is_empty() && in_flight == 0;
    Ok(Some(Needs { record, there, free, some_are_read: !read.is_empty(), whole }))
}

fn judge<'n>(needs: &'n Needs, marked: &Marked) -> Verdict<'n> {
    let known: &[BlobVersion] = marked.let_go.as_ref().map_or(&[], |let_go| &let_go.versions);
    let is_known_whole = marked.let_go.as_ref().is_some_and(|let_go| let_go.whole);
    let begun = marked.offered.filter(|version| needs.there.contains(version));
    if let Some(dropped) = begun.or_else(|| needs.free.iter().copied().find(|version| known.contains(version))) {
        return needs.record.as_ref().map_or(Verdict::Clean, |record| Verdict::Collect(dropped, record));
    }
    let versions: Vec<BlobVersion> = needs.free.iter().take(VERSIONS_LET_GO_MAX).copied().collect();
    let is_empty = needs.there.is_empty() && needs.whole;
    if !versions.is_empty() || (is_empty && !is_known_whole) {
        return Verdict::LetGo(LetGo { since: marked.since, versions, whole: needs.whole });
    }
    match needs.some_are_read {
        _ if is_empty => Verdict::Gone,
        true => Verdict::Held,
        false => Verdict::Clean,
    }
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
