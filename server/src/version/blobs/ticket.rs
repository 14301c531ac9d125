//! Tickets: an update gets its version, size and height, and its writer what it needs to weave.

use super::record::{BlobRecord, TicketRecord, blob_record, log_entries, log_entries_if_there, log_entry, tree_at};
use crate::version::core::Effect;
use crate::version::failure::Failure;
use crate::version::kv::{Kv, KvError};
use crate::version::sessions::{Admission, Remembered, admit};
use crate::version::{namespace, table, volumes};
use weft_common::id::{BlobId, BlobVersion};
use weft_common::limits::{TICKET_BYTES_MAX, TICKETS_IN_FLIGHT_MAX};
use weft_common::time::Timestamp;
use weft_common::weave::{self, LogEntry, Operation, Tree, Update, UpdateError};
use weft_common::wire::{ErrorKind, Ticket, TicketRequest, VolumeSettings, encode};

/// Orders an update. Everything is checked before anything is written.
///
/// # Errors
/// `NotFound`, `SessionExpired`, `InvalidArgument` (the update), `TooFewCopies`, `FileTooLarge`, `Conflict` (a compaction that
/// came too late), `Busy` (too much in flight).
pub(crate) fn ticket(
    kv: &mut dyn Kv,
    now: Timestamp,
    request: &TicketRequest,
    effects: &mut Vec<Effect>,
) -> Result<Ticket, Failure> {
    let admitted = match admit(kv, request.key, &request.author)? {
        Admission::New(admitted) => admitted,
        Admission::Repeated(Remembered::Ticket(blob, version)) => return granted(kv, blob, version),
        Admission::Repeated(Remembered::Change(_) | Remembered::Lock(_)) => {
            let message = format!("sequence {} of {} was a change of the namespace", request.key.sequence, request.key.session);
            return Err(Failure::refuse(ErrorKind::InvalidArgument, message));
        }
        Admission::Repeated(Remembered::Refused(error)) => return Err(error.into()),
    };
    let (blob, version) = match order(kv, now, request) {
        Ok(ordered) => ordered,
        Err(failure) => return admitted.refuse(kv, failure),
    };
    admitted.remember(kv, &Remembered::Ticket(blob, version))?;
    effects.push(Effect::Assigned { blob, version });
    granted(kv, blob, version)
}

/// Gives a new update its place.
fn order(kv: &mut dyn Kv, now: Timestamp, request: &TicketRequest) -> Result<(BlobId, BlobVersion), Failure> {
    let settings = volumes::settings(kv, request.volume)?;
    let tree = tree_of_file(kv, request)?;
    let blob = tree.blob;
    let mut record = table::get(kv, &table::blob(blob))?.unwrap_or_else(|| BlobRecord::new(request.inode, tree));
    let update = update_of(&request.operation);
    check_owner(request, update)?;
    check_copies(request, update, settings)?;
    check_room(blob, &record)?;
    check_compaction(kv, blob, &record, &request.operation)?;
    let entry = assign(blob, &record, &request.operation)?;
    let entry_bytes = check_bytes(blob, &record, &entry)?;

    record.assigned = entry.version;
    record.size = entry.size;
    record.in_flight_bytes += entry_bytes;
    let ticket = TicketRecord {
        inode: request.inode,
        author: request.author.clone(),
        modified: request.modified,
        assigned_at: now,
        committed: false,
        compaction: matches!(request.operation, Operation::Compact { .. }),
        stored_bytes: update.objects.iter().map(|object| u64::from(object.length)).sum(),
        entry_bytes,
    };
    table::put(kv, &table::entry(blob, entry.version), &entry)?;
    table::put(kv, &table::ticket(blob, entry.version), &ticket)?;
    table::put(kv, &table::blob(blob), &record)?;
    Ok((blob, entry.version))
}

/// The ticket of an assigned version once more, for whoever weaves its nodes.
///
/// # Errors
/// `NotFound`; `Conflict` if it is published already, so that there is nothing left to do.
pub fn rebuild(kv: &dyn Kv, blob: BlobId, version: BlobVersion) -> Result<Ticket, Failure> {
    let record = blob_record(kv, blob)?;
    if version <= record.published.version {
        return Err(Failure::refuse(ErrorKind::Conflict, format!("{blob} {version} is already published")));
    }
    if version > record.assigned {
        return Err(Failure::refuse(ErrorKind::NotFound, format!("{blob} has no {version}; {} is the newest", record.assigned)));
    }
    granted(kv, blob, version)
}

/// The ticket of an assigned version as things stand. For one that a helper published meanwhile the base is the version before it.
fn granted(kv: &dyn Kv, blob: BlobId, version: BlobVersion) -> Result<Ticket, Failure> {
    let record = blob_record(kv, blob)?;
    let base_version = record.published.version.min(BlobVersion(version.0 - 1));
    let is_there = |version: BlobVersion| Ok::<_, KvError>(kv.get(&table::entry(blob, version))?.is_some());
    let has_base = base_version == record.published.version || base_version == record.origin.version || is_there(base_version)?;
    if !has_base || !is_there(version)? {
        return Err(Failure::refuse(ErrorKind::Conflict, format!("{blob} {version} was published long ago, and is collected")));
    }
    let base = tree_at(kv, blob, &record, base_version)?;
    let copies = volumes::settings(kv, blob.volume)?.copies;
    let in_flight = log_entries(kv, blob, base_version, version)?;
    Ok(Ticket { blob, entry: log_entry(kv, blob, version)?, base, in_flight, copies })
}

fn tree_of_file(kv: &dyn Kv, request: &TicketRequest) -> Result<Tree, Failure> {
    let refuse = |kind, what| Failure::refuse(kind, format!("{} of {} {what}", request.inode, request.volume));
    match namespace::head_attributes(kv, request.volume, request.inode)? {
        None => Err(refuse(ErrorKind::NotFound, "is gone")),
        Some(attributes) => attributes.tree.ok_or_else(|| refuse(ErrorKind::InvalidArgument, "is no file: it has no content")),
    }
}

pub(super) fn update_of(operation: &Operation) -> &Update {
    match operation {
        Operation::Write(update) | Operation::Append(update) | Operation::Compact { update, .. } => update,
    }
}

/// Page objects that a closed session stored for nothing may be deleted at any time; so a log entry names only those of the
/// session that asks, which is open. It also keeps clients from naming an object that another version brought.
fn check_owner(request: &TicketRequest, update: &Update) -> Result<(), Failure> {
    let Some(object) = update.objects.iter().find(|object| object.id.session != request.key.session) else { return Ok(()) };
    let message = format!(
        "{} was not stored by {}, which wants to publish it in {}; store it again",
        object.id, request.key.session, request.inode
    );
    Err(Failure::refuse(ErrorKind::InvalidArgument, message))
}

fn check_copies(request: &TicketRequest, update: &Update, settings: VolumeSettings) -> Result<(), Failure> {
    if update.objects.is_empty() || request.copies >= settings.copies {
        return Ok(());
    }
    let message = format!(
        "the page objects of this update of {} are held by {} providers and the volume asks for {} copies; store the others first",
        request.inode, request.copies, settings.copies
    );
    Err(Failure::refuse(ErrorKind::TooFewCopies, message))
}

fn check_room(blob: BlobId, record: &BlobRecord) -> Result<(), Failure> {
    if record.in_flight() < TICKETS_IN_FLIGHT_MAX as u64 {
        return Ok(());
    }
    let message = format!("{blob} has {TICKETS_IN_FLIGHT_MAX} updates in flight already; come again when some are published");
    Err(Failure::refuse(ErrorKind::Busy, message))
}

/// A ticket has to fit a message together with everything in flight before it.
fn check_bytes(blob: BlobId, record: &BlobRecord, entry: &LogEntry) -> Result<u64, Failure> {
    let bytes = encode(entry).map_err(|error| KvError(error.to_string()))?.len() as u64;
    if record.in_flight_bytes + bytes <= TICKET_BYTES_MAX as u64 {
        return Ok(bytes);
    }
    if bytes > TICKET_BYTES_MAX as u64 {
        let message = format!("an update's extents take {bytes} bytes and {TICKET_BYTES_MAX} is the most; publish it in parts");
        return Err(Failure::refuse(ErrorKind::InvalidArgument, message));
    }
    let message = format!("{blob} has updates of {} bytes in flight already; come again", record.in_flight_bytes);
    Err(Failure::refuse(ErrorKind::Busy, message))
}

fn check_compaction(kv: &dyn Kv, blob: BlobId, record: &BlobRecord, operation: &Operation) -> Result<(), Failure> {
    let Operation::Compact { blob: read, read_at, update } = operation else { return Ok(()) };
    let late =
        |why: &str| Failure::refuse(ErrorKind::Conflict, format!("compaction of {blob} as of {read_at} {why}; read again"));
    if *read != blob {
        return Err(late("is of another content: the file was restored meanwhile"));
    }
    if *read_at > record.assigned {
        return Err(Failure::refuse(ErrorKind::InvalidArgument, format!("{blob} has no {read_at}")));
    }
    if record.assigned.0 - read_at.0 > TICKETS_IN_FLIGHT_MAX as u64 {
        return Err(late("is too old to be checked"));
    }
    // Those of published versions may be collected; then so much has happened since that the compaction is late anyway.
    let Some(later) = log_entries_if_there(kv, blob, *read_at, BlobVersion(record.assigned.0 + 1))? else {
        return Err(late("is too old to be checked"));
    };
    if weave::touches_since(&later, update, record.origin.geometry) {
        return Err(late("came too late, its pages were changed meanwhile"));
    }
    Ok(())
}

fn assign(blob: BlobId, record: &BlobRecord, operation: &Operation) -> Result<LogEntry, Failure> {
    weave::assign(record.origin.geometry, record.assigned, record.size, operation.clone()).map_err(|error| {
        let kind = match error {
            UpdateError::TooLong { .. } => ErrorKind::FileTooLarge,
            _ => ErrorKind::InvalidArgument,
        };
        Failure::refuse(kind, format!("update of {blob}: {error}"))
    })
}
