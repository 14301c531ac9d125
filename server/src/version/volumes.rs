//! Volumes: names, settings, and what of them has to go when one is removed.

use crate::version::failure::Failure;
use crate::version::kv::{Kv, KvError, Order};
use crate::version::{blobs, garbage, locks, namespace, table};
use weft_common::id::VolumeId;
use weft_common::limits::{COPIES_MAX, VOLUMES_MAX};
use weft_common::time::Timestamp;
use weft_common::wire::{ErrorKind, VolumeInfo, VolumeReply, VolumeRequest, VolumeSettings};

/// Longest name of a volume.
const NAME_BYTES_MAX: usize = 64;

/// The volume with that id, its newest version filled in.
///
/// # Errors
/// `NotFound`.
pub(crate) fn by_id(kv: &dyn Kv, id: VolumeId) -> Result<VolumeInfo, Failure> {
    let info = table::get::<VolumeInfo>(kv, &table::volume(id))?;
    let mut info = info.ok_or_else(|| Failure::refuse(ErrorKind::NotFound, format!("there is no volume {id} (any more)")))?;
    info.latest = namespace::latest(kv, id)?;
    Ok(info)
}

/// The settings of the volume with that id.
///
/// # Errors
/// `NotFound`.
pub(crate) fn settings(kv: &dyn Kv, id: VolumeId) -> Result<VolumeSettings, Failure> {
    let info = table::get::<VolumeInfo>(kv, &table::volume(id))?;
    let info = info.ok_or_else(|| Failure::refuse(ErrorKind::NotFound, format!("there is no volume {id} (any more)")))?;
    Ok(info.settings)
}

/// The volume of that name.
///
/// # Errors
/// `NotFound`.
pub(crate) fn by_name(kv: &dyn Kv, name: &str) -> Result<VolumeInfo, Failure> {
    match table::get::<VolumeId>(kv, &table::volume_name(name))? {
        Some(id) => by_id(kv, id),
        None => {
            let message = format!("there is no volume '{name}'; `weft volume list` shows those there are");
            Err(Failure::refuse(ErrorKind::NotFound, message))
        }
    }
}

/// Answers the requests that change nothing; `None` for the others.
///
/// # Errors
/// `NotFound`.
pub(crate) fn query(kv: &dyn Kv, request: &VolumeRequest) -> Result<Option<VolumeReply>, Failure> {
    match request {
        VolumeRequest::List => {
            let (from, to) = table::volume_names();
            let ids = table::collect::<VolumeId>(kv, &from, &to)?;
            let volumes = ids.into_iter().map(|(_, id)| by_id(kv, id)).collect::<Result<_, _>>()?;
            Ok(Some(VolumeReply::Volumes(volumes)))
        }
        VolumeRequest::Get(name) => by_name(kv, name).map(|info| Some(VolumeReply::Volume(info))),
        VolumeRequest::Create { .. } | VolumeRequest::Set { .. } | VolumeRequest::Remove(_) => Ok(None),
    }
}

/// Makes a volume with an empty root directory.
///
/// # Errors
/// `InvalidArgument` for name or settings, `AlreadyExists`.
pub(crate) fn create(
    kv: &mut dyn Kv,
    id: VolumeId,
    name: &str,
    settings: VolumeSettings,
    owner: (u32, u32),
    now: Timestamp,
) -> Result<VolumeInfo, Failure> {
    check_name(name)?;
    check_settings(settings)?;
    if kv.get(&table::volume_name(name))?.is_some() {
        return Err(Failure::refuse(ErrorKind::AlreadyExists, format!("there is a volume '{name}' already")));
    }
    let (from, to) = table::volume_names();
    if table::collect::<VolumeId>(kv, &from, &to)?.len() >= VOLUMES_MAX {
        return Err(Failure::refuse(
            ErrorKind::Busy,
            format!("there are {VOLUMES_MAX} volumes, which is as many as a cluster has"),
        ));
    }
    let latest = weft_common::id::VolumeVersion(0);
    let info = VolumeInfo { id, name: name.to_owned(), settings, latest, created: now };
    table::put(kv, &table::volume_name(name), &id)?;
    table::put(kv, &table::volume(id), &info)?;
    namespace::create_volume(kv, &info, owner, now)?;
    by_id(kv, id)
}

/// Changes a volume's settings.
///
/// # Errors
/// `NotFound`, `InvalidArgument`.
pub(crate) fn set(kv: &mut dyn Kv, name: &str, settings: VolumeSettings) -> Result<VolumeInfo, Failure> {
    check_settings(settings)?;
    let mut info = by_name(kv, name)?;
    info.settings = settings;
    table::put(kv, &table::volume(info.id), &info)?;
    Ok(info)
}

/// Removes a volume and its namespace. Its blobs are collected one by one; when the last is gone, nothing is left of it.
///
/// # Errors
/// `NotFound`.
pub(crate) fn remove(kv: &mut dyn Kv, name: &str) -> Result<VolumeId, Failure> {
    let id = by_name(kv, name)?.id;
    kv.delete(&table::volume_name(name))?;
    kv.delete(&table::volume(id))?;
    table::put(kv, &table::removed_volume(id), &())?;
    blobs::abandon(kv, id)?;
    locks::forget_volume(kv, id)?;
    garbage::mark_clones(kv, id)?;
    namespace::remove_volume(kv, id)?;
    forget_if_empty(kv, id)?;
    Ok(id)
}

/// Forgets a removed volume of which nothing is left to be collected.
///
/// # Errors
/// [`KvError`] is fatal.
pub(crate) fn forget_if_empty(kv: &mut dyn Kv, id: VolumeId) -> Result<(), KvError> {
    if kv.get(&table::removed_volume(id))?.is_none() {
        return Ok(());
    }
    let (from, to) = table::marked_of_volume(id);
    let mut is_empty = true;
    kv.scan(&from, &to, Order::Ascending, &mut |_, _| {
        is_empty = false;
        false
    })?;
    if is_empty {
        for (from, to) in table::blobs_of_volume(id) {
            table::clear(kv, &from, &to)?;
        }
        namespace::remove_volume(kv, id)?;
        kv.delete(&table::removed_volume(id))?;
    }
    Ok(())
}

/// Every volume, also those that were removed and are not collected yet.
///
/// # Errors
/// [`KvError`] is fatal.
pub(crate) fn all(kv: &dyn Kv) -> Result<Vec<VolumeId>, KvError> {
    let mut found = Vec::new();
    for (from, to) in table::all_volumes() {
        kv.scan(&from, &to, Order::Ascending, &mut |key, _| {
            found.extend(key.get(1..5).and_then(|id| id.first_chunk()).map(|id| VolumeId(u32::from_be_bytes(*id))));
            true
        })?;
    }
    Ok(found)
}

fn check_name(name: &str) -> Result<(), Failure> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let well_formed = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with(['.', '-']);
    if well_formed {
        return Ok(());
    }
    let message = format!(
        "'{}' is no name for a volume: 1 to {NAME_BYTES_MAX} of a-z A-Z 0-9 . _ -, not starting with . or -",
        name.escape_debug()
    );
    Err(Failure::refuse(ErrorKind::InvalidArgument, message))
}

fn check_settings(settings: VolumeSettings) -> Result<(), Failure> {
    if (1..=COPIES_MAX).contains(&settings.copies) {
        return Ok(());
    }
    let message = format!("a volume has 1 to {COPIES_MAX} copies, not {}", settings.copies);
    Err(Failure::refuse(ErrorKind::InvalidArgument, message))
}
