//! The log against crashes and damage.

use super::{LocalLog, LogError, ReplicatedLog};
use std::fs;
use std::path::{Path, PathBuf};

fn commands(log: &mut LocalLog, from: u64) -> Result<Vec<(u64, Vec<u8>)>, LogError> {
    let mut found = Vec::new();
    log.replay(from, &mut |index, command| {
        found.push((index, command.to_vec()));
        Ok(())
    })?;
    Ok(found)
}

fn batch(first: u64, count: u64) -> Vec<Vec<u8>> {
    (first..first + count).map(|index| format!("command {index}").into_bytes()).collect()
}

fn expected(range: std::ops::Range<u64>) -> Vec<(u64, Vec<u8>)> {
    range.clone().zip(batch(range.start, range.end - range.start)).collect()
}

fn only_segment(folder: &Path) -> PathBuf {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 1);
    files.remove(0)
}

#[test]
fn commands_come_back_in_order_across_segments_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = 1;
    for count in [1, 3, 2, 7, 1] {
        let mut log = LocalLog::open_with(folder.path(), 100).unwrap();
        assert_eq!(log.next_index(), first);
        assert_eq!(log.append(&batch(first, count)).unwrap(), first);
        first += count;
    }
    let mut log = LocalLog::open_with(folder.path(), 100).unwrap();
    assert_eq!(commands(&mut log, 1).unwrap(), expected(1..15));
    assert_eq!(commands(&mut log, 9).unwrap(), expected(9..15));
    assert_eq!(commands(&mut log, 15).unwrap(), []);
    assert!(fs::read_dir(folder.path()).unwrap().count() > 2);
}

#[test]
fn truncation_drops_whole_segments_and_never_what_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = LocalLog::open_with(folder.path(), 1).unwrap();
    for index in 1..=6 {
        log.append(&batch(index, 1)).unwrap();
    }
    log.truncate_before(4).unwrap();
    assert_eq!(commands(&mut log, 4).unwrap(), expected(4..7));
    assert!(matches!(commands(&mut log, 3), Err(LogError::Gap { expected: 3, found: 4, .. })));
    drop(log);
    let mut log = LocalLog::open_with(folder.path(), 1).unwrap();
    assert_eq!(commands(&mut log, 4).unwrap(), expected(4..7));
    log.truncate_before(1000).unwrap();
    assert_eq!(log.append(&batch(7, 1)).unwrap(), 7);
    assert_eq!(commands(&mut log, 7).unwrap(), expected(7..8));
}

#[test]
fn a_log_cut_at_any_byte_of_its_last_frame_loses_exactly_that_frame() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = LocalLog::open(folder.path()).unwrap();
    log.append(&batch(1, 2)).unwrap();
    let path = only_segment(folder.path());
    let whole = fs::metadata(&path).unwrap().len();
    log.append(&batch(3, 2)).unwrap();
    drop(log);
    let bytes = fs::read(&path).unwrap();
    for length in whole..bytes.len() as u64 {
        fs::write(&path, &bytes[..length as usize]).unwrap();
        let mut log = LocalLog::open(folder.path()).unwrap();
        assert_eq!(commands(&mut log, 1).unwrap(), expected(1..3), "cut at {length}");
        log.append(&batch(3, 1)).unwrap();
        drop(log);
        let mut log = LocalLog::open(folder.path()).unwrap();
        assert_eq!(commands(&mut log, 1).unwrap(), expected(1..4), "appended after a cut at {length}");
    }
}

#[test]
fn a_torn_frame_whose_end_reached_the_disk_before_its_start_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = LocalLog::open(folder.path()).unwrap();
    log.append(&batch(1, 2)).unwrap();
    let path = only_segment(folder.path());
    let whole = fs::metadata(&path).unwrap().len() as usize;
    log.append(&batch(3, 20)).unwrap();
    drop(log);
    let mut bytes = fs::read(&path).unwrap();
    bytes[whole..whole + 40].fill(0);
    fs::write(&path, &bytes).unwrap();
    let mut log = LocalLog::open(folder.path()).unwrap();
    assert_eq!(commands(&mut log, 1).unwrap(), expected(1..3));
}

#[test]
fn a_flipped_bit_in_the_middle_is_an_error_that_names_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = LocalLog::open(folder.path()).unwrap();
    log.append(&batch(1, 2)).unwrap();
    let path = only_segment(folder.path());
    let middle = fs::metadata(&path).unwrap().len() as usize;
    log.append(&batch(3, 2)).unwrap();
    let last = fs::metadata(&path).unwrap().len() as usize;
    log.append(&batch(5, 2)).unwrap();
    drop(log);
    let bytes = fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, &damaged).unwrap();
        match LocalLog::open(folder.path()) {
            Err(LogError::Damaged { path: named, offset, .. }) => {
                assert_eq!(named, path);
                let frame = if at < 32 {
                    0
                } else if at < middle {
                    32
                } else {
                    middle
                };
                assert_eq!(offset as usize, frame, "byte {at}");
                assert!(at < last, "byte {at}");
            }
            Err(error) => panic!("byte {at}: {error}"),
            // Damage of the last frame cannot be told from a torn one.
            Ok(mut log) => {
                assert!(at >= last, "byte {at}");
                assert_eq!(commands(&mut log, 1).unwrap(), expected(1..5));
            }
        }
    }
}

#[test]
fn damage_in_an_older_segment_is_found_by_the_replay() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = LocalLog::open_with(folder.path(), 1).unwrap();
    for index in 1..=3 {
        log.append(&batch(index, 1)).unwrap();
    }
    let path = folder.path().join(format!("{:020}.log", 2));
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(commands(&mut log, 1), Err(LogError::Damaged { offset: 32, .. })));
    assert_eq!(commands(&mut log, 3).unwrap(), expected(3..4));
    fs::remove_file(&path).unwrap();
    let mut log = LocalLog::open_with(folder.path(), 1).unwrap();
    assert!(matches!(commands(&mut log, 1), Err(LogError::Gap { .. } | LogError::Damaged { .. })));
}

#[test]
fn a_segment_that_was_being_made_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = LocalLog::open_with(folder.path(), 1).unwrap();
    log.append(&batch(1, 1)).unwrap();
    drop(log);
    for length in 0..32 {
        fs::write(folder.path().join(format!("{:020}.log", 2)), vec![0; length]).unwrap();
        let mut log = LocalLog::open_with(folder.path(), 1).unwrap();
        assert_eq!((log.next_index(), commands(&mut log, 1).unwrap()), (2, expected(1..2)));
    }
}

#[test]
fn after_a_failed_sync_the_log_takes_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = LocalLog::open(folder.path()).unwrap();
    log.append(&batch(1, 1)).unwrap();
    log.fail_next_sync = true;
    assert!(matches!(log.append(&batch(2, 1)), Err(LogError::Io { action: "sync", .. })));
    assert!(matches!(log.append(&batch(2, 1)), Err(LogError::Poisoned(_))));
    drop(log);
    // What the failed append left is unknown to the caller and either there or not.
    let mut log = LocalLog::open(folder.path()).unwrap();
    let found = commands(&mut log, 1).unwrap();
    assert!(found == expected(1..2) || found == expected(1..3));
}
