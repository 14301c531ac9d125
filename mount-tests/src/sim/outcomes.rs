//! What was acknowledged is there, and what was refused was refused for a reason.

use super::history::{Deed, DeedRecord, Outcome, Place, Records};
use super::model::Model;
use weft_common::id::BlobId;
use weft_common::wire::ErrorKind;

/// Adds to the model's complaints what clients were told and is not so.
pub(super) fn check(model: &mut Model, records: &Records) {
    let complaints: Vec<String> = records
        .deeds
        .iter()
        .enumerate()
        .filter_map(|(number, record)| judge(model, number, record).map(|what| format!("op{number} ({:?}) {what}", record.deed)))
        .collect();
    model.complaints.extend(complaints);
}

fn judge(model: &Model, number: usize, record: &DeedRecord) -> Option<String> {
    match &record.outcome {
        Outcome::Done(told, content) if !model.done.contains(&number) => {
            let blob = content.map(|(blob, ..)| blob);
            (!took_no_version(model, record, *told, blob)).then(|| format!("was acknowledged as N{told} and is not there"))
        }
        Outcome::Done(_, Some((blob, version, offset))) => judge_offset(model, &record.deed, (*blob, *version), *offset),
        Outcome::Refused(kind) => {
            let reason = has_reason(model, record.low, &record.deed, *kind);
            (!reason).then(|| format!("was refused with {kind:?}, which was never true since N{}", record.low))
        }
        _ => None,
    }
}

/// Whether it is right that a change has been done and is no version.
fn took_no_version(model: &Model, DeedRecord { deed, low, .. }: &DeedRecord, told: u64, blob: Option<BlobId>) -> bool {
    match deed {
        // A file without a name has no versions; what was written to a blob that the file no longer has is overwritten.
        Deed::Edit(inode, _) => {
            let replaced = |blob: BlobId| model.content_at(*inode, told).is_some_and(|state| state.blob != Some(blob));
            model.was_nameless(*inode, *low, told) || blob.is_some_and(replaced)
        }
        Deed::SetMode(inode, _) | Deed::SetXattr(inode, _) | Deed::Share { inode, .. } => model.was_nameless(*inode, *low, told),
        Deed::Rename(from, to) => from == to || model.named(from, told) == model.named(to, told),
        Deed::Restore { place, source, to } => is_as_then(model, place, *source, *to, told),
        _ => false,
    }
}

/// Whether a name was as at `to` already, so that a restoration had nothing to do.
fn is_as_then(model: &Model, place: &Place, source: u64, to: u64, told: u64) -> bool {
    let (then, now) = (model.named(&(source, place.1.clone()), to), model.named(place, told));
    let (Some(then), Some(now)) = (then, now) else { return then == now };
    let bytes = |inode: u64, version: u64| model.content_at(inode, version).map(|state| &state.bytes);
    model.traits_at(then, to) == model.traits_at(now, told) && bytes(then, to) == bytes(now, told)
}

fn judge_offset(model: &Model, deed: &Deed, (blob, version): (BlobId, u64), told: u64) -> Option<String> {
    let Deed::Edit(inode, edit) = deed else { return None };
    let before = model.content(*inode, (blob, version.saturating_sub(1))).filter(|_| edit.append)?;
    let size = before.bytes.len() as u64;
    (size != told).then(|| format!("was told offset {told}, the file had {size} bytes"))
}

fn has_reason(model: &Model, low: u64, deed: &Deed, kind: ErrorKind) -> bool {
    let was = |place: &Place, wanted: bool| model.some_state(place, low, |inode| inode.is_some() == wanted);
    let gone = |inode: u64| model.was_nameless(inode, low, model.latest);
    match (deed, kind) {
        (Deed::Create(place, _) | Deed::Link(_, place) | Deed::Clone { place, .. }, ErrorKind::AlreadyExists) => was(place, true),
        (Deed::Create(place, _), _) => gone(place.0),
        (Deed::Link(inode, place), _) => gone(*inode) || gone(place.0),
        (Deed::Unlink(place) | Deed::RemoveDirectory(place), _) => was(place, false),
        (Deed::Rename(from, to), _) => was(from, false) || gone(to.0),
        (Deed::Restore { place, source, to }, _) => gone(place.0) || !model.has_name(*source, *to),
        _ => true,
    }
}
