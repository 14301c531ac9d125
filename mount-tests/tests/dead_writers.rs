//! A writer that dies anywhere between its first upload and its commit holds up nobody, and its update is whole or absent.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::{Duration, Instant};
use weft_common::limits::TICKET_LEASE;
use weft_mount_tests::cluster::{Cluster, Shape, long_tests};
use weft_mount_tests::crash::{DEAD_BYTE, DEAD_RANGE};
use weft_mount_tests::mount::Mount;
use weft_mount_tests::process::run;

const FILE_BYTES: usize = 500_000;
const OLD_BYTE: u8 = b'o';
const NEXT_BYTE: u8 = b'n';
/// What the writer behind the dead one writes.
const NEXT_RANGE: std::ops::Range<usize> = 400_000..410_000;

#[test]
fn a_dead_writer_holds_up_nobody_and_leaves_all_or_nothing() {
    let mut cluster = Cluster::start(2, 2);
    let shapes = if long_tests() { Shape::tested() } else { vec![Shape { page_kib: 64, fan_out: 2, copies: 2 }] };
    for (number, shape) in shapes.into_iter().enumerate() {
        let volume = format!("show{number}");
        cluster.create_volume(&volume, shape);
        let mount = cluster.mount(&volume);
        kill_at_every_call(&cluster, &volume, &mount);
        mount.unmount();
    }
}

fn kill_at_every_call(cluster: &Cluster, volume: &str, mount: &Mount) {
    let (mut absent, mut whole) = (0, 0);
    for when in ["before", "after"] {
        for call in 0.. {
            let file = format!("{when}{call}");
            std::fs::write(mount.path().join(&file), vec![OLD_BYTE; FILE_BYTES]).expect("the file before");
            let published = write_and_die(cluster, volume, &file, call, when);
            match next_writer(mount, &file) {
                true => whole += 1,
                false => absent += 1,
            }
            if published {
                assert!(call > 3, "pages, ticket, nodes and commit are more than {call} calls");
                break;
            }
        }
    }
    assert!(absent > 0, "a writer that died before its ticket leaves nothing");
    assert!(whole > 2, "a writer that died behind its ticket is finished by a helper");
}

/// Whether the writer lived.
fn write_and_die(cluster: &Cluster, volume: &str, file: &str, call: usize, when: &str) -> bool {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crash-writer"));
    command.arg(cluster.manager()).arg(cluster.identity()).args([volume, file, &call.to_string(), when]);
    let output = run(command);
    let published = output.stdout == b"published\n";
    let killed = std::os::unix::process::ExitStatusExt::signal(&output.status) == Some(rustix::process::Signal::KILL.as_raw());
    assert!(published || killed, "crash-writer: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    published
}

/// Writes behind the dead writer, and says whether the dead one's update is there.
fn next_writer(mount: &Mount, file: &str) -> bool {
    let path = mount.path().join(file);
    let started = Instant::now();
    let handle = OpenOptions::new().write(true).open(&path).expect("the file");
    handle.write_all_at(&vec![NEXT_BYTE; NEXT_RANGE.len()], NEXT_RANGE.start as u64).expect("a write");
    handle.sync_all().expect("published behind a dead writer");
    drop(handle);
    // Not a measurement: the bound is the lease, with room for a slow machine.
    assert!(
        started.elapsed() < TICKET_LEASE + Duration::from_secs(10),
        "{file}: waited {:?} for a dead writer",
        started.elapsed()
    );
    let content = std::fs::read(&path).expect("the file after");
    assert_eq!(content.len(), FILE_BYTES);
    let dead = &content[DEAD_RANGE.start as usize..DEAD_RANGE.end as usize];
    let whole = dead[0] == DEAD_BYTE;
    for (offset, byte) in content.iter().enumerate() {
        let expected = match offset {
            offset if NEXT_RANGE.contains(&offset) => NEXT_BYTE,
            offset if whole && DEAD_RANGE.contains(&(offset as u64)) => DEAD_BYTE,
            _ => OLD_BYTE,
        };
        assert_eq!(*byte, expected, "{file}: byte {offset} with the dead update {}", if whole { "whole" } else { "absent" });
    }
    whole
}
