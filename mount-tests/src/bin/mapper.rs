//! Writes to a file through a shared mapping, and looks whether another path shows it: `mapper PATH HOW OFFSET TEXT OTHER`.
//!
//! HOW says by what it is to be published: `msync`, `fsync` (both while it is mapped), or `munmap` (and close).

use memmap2::MmapMut;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::time::Duration;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, how, offset, text, other] = arguments.as_slice() else { panic!("mapper PATH HOW OFFSET TEXT OTHER") };
    let offset: usize = offset.parse().expect("an offset");
    let file = OpenOptions::new().read(true).write(true).open(path).expect("the file");
    // SAFETY: whoever else changes the file meanwhile is this program's test, which does not.
    let mut map = unsafe { MmapMut::map_mut(&file) }.expect("a mapping");
    map[offset..offset + text.len()].copy_from_slice(text.as_bytes());
    let is_seen = || {
        let mut bytes = vec![0; text.len()];
        let there = std::fs::File::open(other).expect("the other path");
        there.read_exact_at(&mut bytes, offset as u64).expect("its bytes");
        bytes == text.as_bytes()
    };
    assert!(!is_seen(), "nothing is published yet");
    match how.as_str() {
        "msync" => map.flush().expect("msync"),
        "fsync" => file.sync_all().expect("fsync"),
        _ => {
            drop((map, file));
            // What is released is released behind the process's back.
            let seen = (0..500).any(|_| {
                std::thread::sleep(Duration::from_millis(20));
                is_seen()
            });
            assert!(seen, "not published after the last close");
            return;
        }
    }
    assert!(is_seen(), "not published by {how}");
}
