//! What is seen, by whom, and when.

use crate::Two;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use weft_mount_tests::wait::until;

#[test]
fn own_writes_are_seen_at_once() {
    let two = Two::start();
    let mut writer = File::create(two.a("f")).unwrap();
    let reader = File::open(two.a("f")).unwrap();
    writer.write_all(b"not closed").unwrap();
    let mut bytes = [0; 20];
    assert_eq!(reader.read_at(&mut bytes, 4).unwrap(), 6);
    assert_eq!(&bytes[..6], b"closed");
    assert_eq!(fs::metadata(two.a("f")).unwrap().len(), 10);
    assert_eq!(fs::read(two.a("f")).unwrap(), b"not closed");
    assert_eq!(fs::read(two.b("f")).unwrap(), b"", "nothing is published yet");
}

#[test]
fn a_close_is_seen_by_the_next_open() {
    let two = Two::start();
    for turn in 0..50u64 {
        let (writer, reader) = if turn % 2 == 0 { (two.a("f"), two.b("f")) } else { (two.b("f"), two.a("f")) };
        let content = vec![turn as u8; 1000 + turn as usize];
        fs::write(&writer, &content).unwrap();
        assert_eq!(fs::read(&reader).unwrap(), content, "turn {turn}");
        fs::write(&writer, &content[1..]).unwrap();
        let (there, here) = (fs::metadata(&reader).unwrap(), fs::metadata(&writer).unwrap());
        assert_eq!(there.len(), content.len() as u64 - 1, "stat, turn {turn}");
        assert_eq!((there.mtime(), there.mtime_nsec()), (here.mtime(), here.mtime_nsec()));
    }
}

#[test]
fn readers_never_see_half_an_update() {
    let two = Two::start();
    let versions = 40;
    fs::write(two.a("f"), vec![0; 300_000]).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for version in 1..=versions {
                let file = OpenOptions::new().write(true).open(two.a("f")).unwrap();
                for part in (0..6).rev().map(|part| part * 50_000) {
                    file.write_all_at(&vec![version; 50_000], part).unwrap();
                }
            }
        });
        let mut seen = std::collections::BTreeSet::new();
        while !writer.is_finished() {
            let content = fs::read(two.b("f")).unwrap();
            assert_eq!(content.len(), 300_000);
            assert!(content.iter().all(|byte| *byte == content[0]), "two versions in one");
            seen.insert(content[0]);
        }
        assert!(seen.len() > 2, "the reader met {seen:?} only");
    });
}

#[test]
fn an_open_file_stays_on_its_version() {
    let two = Two::start();
    fs::write(two.a("f"), vec![b'1'; 200_000]).unwrap();
    let mut reader = File::open(two.b("f")).unwrap();
    let mut first = vec![0; 1000];
    reader.read_exact(&mut first).unwrap();
    fs::write(two.a("f"), vec![b'2'; 100_000]).unwrap();
    assert_eq!(fs::read(two.b("f")).unwrap(), vec![b'2'; 100_000], "who opens it now has the new one");
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, vec![b'1'; 199_000]);
    assert_eq!(reader.metadata().unwrap().len(), 200_000);
}

#[test]
fn a_reader_follows_appends() {
    let two = Two::start();
    fs::write(two.a("log"), b"").unwrap();
    let mut reader = File::open(two.b("log")).unwrap();
    let mut read = Vec::new();
    for line in 0..30u8 {
        let mut writer = OpenOptions::new().append(true).open(two.a("log")).unwrap();
        writer.write_all(&vec![b'a' + line % 26; 5000]).unwrap();
        drop(writer);
        let whole = 5000 * (usize::from(line) + 1);
        until("the appended bytes", || {
            reader.metadata().unwrap();
            reader.read_to_end(&mut read).unwrap();
            assert!(!read.contains(&0), "zeros that nobody wrote");
            (read.len() == whole).then_some(())
        });
    }
    reader.seek(SeekFrom::Start(0)).unwrap();
    assert_eq!(fs::read(two.a("log")).unwrap(), read);
}

#[test]
fn names_are_seen_at_once() {
    let two = Two::start();
    let names = |path| -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    for turn in 0..20 {
        let name = format!("d{turn}");
        assert!(!two.b(&name).exists());
        fs::create_dir(two.a(&name)).unwrap();
        assert!(two.b(&name).is_dir());
        File::create_new(two.b(&format!("{name}/x"))).unwrap();
        fs::rename(two.a(&format!("{name}/x")), two.a(&format!("{name}/y"))).unwrap();
        assert!(!two.b(&format!("{name}/x")).exists());
        assert_eq!(names(two.b(&name)), ["y"]);
        fs::hard_link(two.b(&format!("{name}/y")), two.b(&format!("{name}/z"))).unwrap();
        assert_eq!(fs::metadata(two.a(&format!("{name}/y"))).unwrap().nlink(), 2);
        fs::remove_file(two.a(&format!("{name}/y"))).unwrap();
        assert_eq!(names(two.b(&name)), ["z"]);
    }
}

#[test]
fn a_listing_is_taken_in_pieces() {
    let two = Two::start();
    fs::create_dir(two.a("d")).unwrap();
    for number in 0..3000 {
        File::create(two.a(&format!("d/keep{number:04}"))).unwrap();
    }
    let mut listing = fs::read_dir(two.b("d")).unwrap();
    let mut names: Vec<_> = listing.by_ref().take(100).map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    for number in 0..50 {
        File::create(two.a(&format!("d/come{number}"))).unwrap();
        fs::remove_file(two.a(&format!("d/keep{:04}", 2000 + number))).unwrap();
    }
    names.extend(listing.map(|entry| entry.unwrap().file_name().into_string().unwrap()));
    let unique: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(unique.len(), names.len(), "a name was listed twice");
    for number in (0..3000).filter(|number| !(2000..2050).contains(number)) {
        assert!(unique.contains(&format!("keep{number:04}")), "keep{number:04} is missing");
    }
    assert_eq!(fs::read_dir(two.b("d")).unwrap().count(), 3000);
}

#[test]
fn attributes_of_open_files() {
    use std::os::unix::fs::PermissionsExt;
    let two = Two::start();
    fs::write(two.a("f"), b"published").unwrap();
    let reader = File::open(two.b("f")).unwrap();
    let writer = OpenOptions::new().append(true).open(two.b("f")).unwrap();
    (&writer).write_all(b" and not yet").unwrap();
    assert_eq!(writer.metadata().unwrap().len(), 21);
    fs::set_permissions(two.a("f"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::hard_link(two.a("f"), two.a("g")).unwrap();
    let seen = || reader.metadata().map(|now| (now.mode() & 0o777, now.nlink())).unwrap();
    until("the newest attributes", || (seen() == (0o600, 2)).then_some(()));
}
