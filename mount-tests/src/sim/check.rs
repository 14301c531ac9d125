//! The oracle's verdict: every read equals the fold of the writes before it, and saw what was acknowledged before it began.

use super::history::{Found, ListRecord, ReadRecord, Records, SyncedUpdate, XattrRecord};
use super::model::{Model, Traits};

/// Compares everything that clients saw with the model.
#[must_use]
pub fn complaints(model: &Model, records: &Records) -> Vec<String> {
    let mut complaints = model.complaints.clone();
    complaints.extend(records.reads.iter().filter_map(|read| judge_read(model, read)));
    complaints.extend(records.lists.iter().filter_map(|list| judge_list(model, list)));
    complaints.extend(records.xattrs.iter().filter_map(|xattr| judge_xattr(model, xattr)));
    // A file without a name, or one that was restored meanwhile, does not keep what is written to it.
    let is_kept = |update: &SyncedUpdate| {
        let state = model.content_at(update.inode, update.version);
        state.is_some_and(|state| state.from == update.version && state.blob == Some(update.blob))
    };
    complaints.extend(records.synced.iter().filter(|update| is_kept(update)).filter_map(|update| update.complaint.clone()));
    complaints
}

fn judge_read(model: &Model, read: &ReadRecord) -> Option<String> {
    let inode = read.found.as_ref().map(|found| found.inode);
    let about = || format!("{:?} at {:?} (N{} was known)", read.place, read.at, read.low.version);
    match read.at {
        Some(version) if model.named(&read.place, version) != inode => {
            return Some(format!("{} was {inode:?}, it is {:?}", about(), model.named(&read.place, version)));
        }
        None if !model.some_state_since(&read.place, &read.low, |named| named == inode) => {
            return Some(format!("{} was {inode:?}, which it never was since", about()));
        }
        _ => {}
    }
    let found = read.found.as_ref()?;
    let has_mode = |traits: Traits| traits.mode == found.mode;
    let is_right = match read.at {
        Some(version) => model.traits_at(found.inode, version).is_some_and(has_mode),
        None => model.some_traits(found.inode, &read.low, has_mode),
    };
    if !is_right {
        return Some(format!("{} had mode {:o}", about(), found.mode));
    }
    let content = found.content?;
    let Some(state) = model.content(found.inode, content) else {
        return Some(format!("{}: inode {} has no {content:?}", about(), found.inode));
    };
    // At an old version exactly what it showed; at the newest at least what was known.
    let expected = match read.at {
        Some(version) => model.content_at(found.inode, version),
        None => model.content_since(found.inode, &read.low),
    };
    let expected = expected.map(|state| state.from);
    let fresh = expected.is_none_or(|expected| match read.at {
        Some(_) => expected == state.from,
        None => expected <= state.from,
    });
    if !fresh {
        return Some(format!(
            "{}: the content since N{} of inode {} was seen, that since N{expected:?} was to be",
            about(),
            state.from,
            found.inode,
        ));
    }
    judge_bytes(found, &state.bytes).map(|what| format!("{}: {content:?} of inode {}: {what}", about(), found.inode))
}

fn judge_xattr(model: &Model, XattrRecord { low, at, inode, value }: &XattrRecord) -> Option<String> {
    let has_value = |traits: Traits| traits.xattr == *value;
    let is_right = match at {
        Some(version) => model.traits_at(*inode, *version).is_some_and(has_value),
        None => model.some_traits(*inode, low, has_value),
    };
    (!is_right).then(|| format!("the attribute of inode {inode} at {at:?} (N{} was known) was {value:?}", low.version))
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
    let possible = (model.settled_all(&list.low)..=model.latest).any(fits);
    (!possible).then(|| {
        format!("directory {} listed as {:?}, which it never was since N{}", list.directory, list.entries, list.low.version)
    })
}
