//! What happens in one step, whoever does it at the same time.

use crate::{Two, errno};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};

#[test]
fn appends_are_atomic() {
    let two = Two::start();
    fs::write(two.a("log"), b"").unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4u8 {
            let path = if writer % 2 == 0 { two.a("log") } else { two.b("log") };
            scope.spawn(move || {
                for _ in 0..25 {
                    let mut log = OpenOptions::new().append(true).open(&path).unwrap();
                    log.write_all(&[b'a' + writer; 7001]).unwrap();
                }
            });
        }
    });
    let log = fs::read(two.a("log")).unwrap();
    assert_eq!(log.len(), 4 * 25 * 7001);
    assert!(log.chunks(7001).all(|record| record.iter().all(|byte| *byte == record[0])), "a record was torn");
    for writer in 0..4u8 {
        assert_eq!(log.chunks(7001).filter(|record| record[0] == b'a' + writer).count(), 25);
    }
}

#[test]
fn exclusive_creation_has_one_winner() {
    let two = Two::start();
    let start = Barrier::new(4);
    let winners: Vec<AtomicU32> = (0..40).map(|_| AtomicU32::new(0)).collect();
    std::thread::scope(|scope| {
        for contestant in 0..4 {
            let (two, start, winners) = (&two, &start, &winners);
            scope.spawn(move || {
                for (turn, wins) in winners.iter().enumerate() {
                    let name = format!("prize{turn}");
                    let path = if contestant % 2 == 0 { two.a(&name) } else { two.b(&name) };
                    start.wait();
                    let won = match turn % 4 {
                        0 => File::create_new(&path).map(drop),
                        1 => fs::create_dir(&path),
                        2 => std::os::unix::fs::symlink("x", &path),
                        _ => rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0)
                            .map_err(Into::into),
                    };
                    match won {
                        Ok(()) => drop(wins.fetch_add(1, Ordering::Relaxed)),
                        refused => assert_eq!(errno(refused), libc::EEXIST),
                    }
                }
            });
        }
    });
    let wins: Vec<u32> = winners.iter().map(|wins| wins.load(Ordering::Relaxed)).collect();
    assert_eq!(wins, [1; 40]);
}

#[test]
fn rename_is_atomic() {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let two = Two::start();
    fs::create_dir(two.a("d")).unwrap();
    fs::write(two.a("target"), b"0").unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for turn in 1..=100 {
                let mut file = File::create(two.a("d/new")).unwrap();
                write!(file, "{turn}").unwrap();
                // Not closed: what was written is published by the rename.
                fs::rename(two.a("d/new"), two.a("target")).unwrap();
            }
        });
        let mut last = 0;
        while !writer.is_finished() {
            let turn: u32 = fs::read_to_string(two.b("target")).expect("there is no moment without it").parse().expect("whole");
            assert!(turn >= last);
            last = turn;
        }
    });
    fs::write(two.b("other"), b"other").unwrap();
    let with = |flags| renameat_with(CWD, two.a("other"), CWD, two.a("target"), flags);
    assert_eq!(with(RenameFlags::NOREPLACE), Err(rustix::io::Errno::EXIST));
    with(RenameFlags::EXCHANGE).unwrap();
    assert_eq!((fs::read(two.b("target")).unwrap(), fs::read(two.b("other")).unwrap()), (b"other".to_vec(), b"100".to_vec()));
    assert_eq!(with(RenameFlags::WHITEOUT), Err(rustix::io::Errno::INVAL));
}

#[test]
fn writers_of_different_bytes_never_lose_them() {
    let two = Two::start();
    fs::write(two.a("f"), vec![b'.'; 400_000]).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4u8 {
            let path = if writer % 2 == 0 { two.a("f") } else { two.b("f") };
            scope.spawn(move || {
                for round in 0..5 {
                    let file = OpenOptions::new().write(true).open(&path).unwrap();
                    for place in (0..400).filter(|place| place % 4 == u64::from(writer) && place / 4 % 5 == round) {
                        file.write_all_at(&[b'a' + writer; 1000], place * 1000).unwrap();
                    }
                }
            });
        }
    });
    let content = fs::read(two.b("f")).unwrap();
    for (place, bytes) in content.chunks(1000).enumerate() {
        assert!(bytes.iter().all(|byte| *byte == b'a' + (place % 4) as u8), "at {place}");
    }
}

#[test]
fn unlinked_files_stay_readable() {
    let two = Two::start();
    fs::write(two.a("f"), b"still here").unwrap();
    let mut here = OpenOptions::new().read(true).write(true).open(two.a("f")).unwrap();
    let mut there = File::open(two.b("f")).unwrap();
    fs::remove_file(two.b("f")).unwrap();
    assert!(!two.a("f").exists());
    let mut text = String::new();
    there.read_to_string(&mut text).unwrap();
    assert_eq!(text, "still here");
    here.set_len(20).unwrap();
    here.sync_all().unwrap();
    assert_eq!(there.metadata().unwrap().len(), 20, "growth is followed, name or no name");
    here.write_all(b"changed").unwrap();
    here.sync_all().unwrap();
    text.clear();
    let mut bytes = [0; 10];
    here.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"changedere");
    assert_eq!(here.metadata().unwrap().nlink(), 0);
}
