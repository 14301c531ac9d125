//! The oracle's verdict: every read equals the fold of the writes before it, and saw what was acknowledged before it began.

use super::history::{Found, ListRecord, ReadRecord, Records};
use super::model::Model;

/// Compares everything that clients saw with the model.
#[must_use]
pub fn complaints(model: &Model, records: &Records) -> Vec<String> {
    let mut complaints = model.complaints.clone();
    complaints.extend(records.reads.iter().filter_map(|read| judge_read(model, read)));
    complaints.extend(records.lists.iter().filter_map(|list| judge_list(model, list)));
    complaints
}

fn judge_read(model: &Model, read: &ReadRecord) -> Option<String> {
    let inode = read.found.as_ref().map(|found| found.inode);
    let about = || format!("{:?} at {:?} (N{} was known)", read.place, read.at, read.low);
    match read.at {
        Some(version) if model.named(&read.place, version) != inode => {
            return Some(format!("{} was {inode:?}, it is {:?}", about(), model.named(&read.place, version)));
        }
        None if !model.some_state(&read.place, read.low, |named| named == inode) => {
            return Some(format!("{} was {inode:?}, which it never was since", about()));
        }
        _ => {}
    }
    let found = read.found.as_ref()?;
    let blob_version = found.blob_version?;
    let Some(state) = model.content(found.inode, blob_version) else {
        return Some(format!("{}: inode {} has no v{blob_version}", about(), found.inode));
    };
    let expected = match read.at {
        Some(version) => model.content_at(found.inode, version),
        None => model.content_at(found.inode, read.low),
    };
    // At an old version exactly what it showed; at the newest at least what was known.
    let fresh = expected.is_none_or(|expected| match read.at {
        Some(_) => expected.blob_version == state.blob_version,
        None => expected.blob_version <= state.blob_version,
    });
    if !fresh {
        return Some(format!(
            "{}: v{blob_version} of inode {} was seen, v{:?} was to be",
            about(),
            found.inode,
            expected.map(|state| state.blob_version)
        ));
    }
    judge_bytes(found, &state.bytes).map(|what| format!("{}: v{blob_version} of inode {}: {what}", about(), found.inode))
}

fn judge_bytes(found: &Found, bytes: &[u8]) -> Option<String> {
    if found.size != bytes.len() as u64 {
        return Some(format!("{} bytes, it has {}", found.size, bytes.len()));
    }
    let end = (found.end as usize).min(bytes.len());
    let start = (found.start as usize).min(end);
    let expected = &bytes[start..end];
    if expected.len() != found.bytes.len() {
        return Some(format!("{} bytes came for {start}..{end}", found.bytes.len()));
    }
    let place = expected.iter().zip(&found.bytes).position(|(expected, found)| expected != found)?;
    Some(format!("byte {} is wrong", start + place))
}

fn judge_list(model: &Model, list: &ListRecord) -> Option<String> {
    let fits = |version: u64| model.listed(list.directory, version) == list.entries;
    let possible = (list.low..=model.latest).any(fits);
    (!possible)
        .then(|| format!("directory {} listed as {:?}, which it never was since N{}", list.directory, list.entries, list.low))
}
