//! Locks between processes on two mounts of one volume: `fcntl(2)`, of processes and of open files, and `flock(2)`.

use std::process::Command;
use std::time::Duration;
use weft_mount_tests::cluster::{Cluster, Shape, long_tests};
use weft_mount_tests::locker::Locker;
use weft_mount_tests::wait::until;

const SHAPE: Shape = Shape { page_kib: 64, fan_out: 32, copies: 1 };

#[test]
fn locks_exclude_across_mounts() {
    let mut cluster = Cluster::start(1, 1);
    cluster.create_volume("show", SHAPE);
    let (a, b) = (cluster.mount("show"), cluster.mount("show"));
    let (mut one, mut two) = (Locker::with(&a.path().join("f")), Locker::with(&b.path().join("f")));
    let mut near = Locker::with(&a.path().join("f"));

    // Ranges, shared and exclusive, by process.
    assert_eq!(one.ask("lock f posix write 0 10"), "ok");
    for other in [&mut two, &mut near] {
        assert_eq!(other.ask("lock f posix read 9 1"), "EAGAIN");
        assert_eq!(other.ask("lock f posix write 10 5"), "ok");
        assert_eq!(other.ask("lock f posix none 10 5"), "ok");
    }
    assert_eq!(near.ask("test f read 0 0"), format!("write {}", one.pid()));
    assert_eq!(two.ask("test f read 0 0"), "write 0", "a process of another host has no number here");
    assert_eq!(two.ask("test f read 10 0"), "free");
    assert_eq!(one.ask("lock f posix read 0 10"), "ok", "it becomes shared");
    assert_eq!(two.ask("lock f posix read 0 0"), "ok");
    assert_eq!(one.ask("lock f posix write 0 1"), "EAGAIN");
    assert_eq!(two.ask("lock f posix none 0 0"), "ok");

    // A process's locks go with any of its descriptors of the file …
    assert_eq!(one.ask(&format!("open again {}", a.path().join("f").display())), "ok");
    assert_eq!(two.ask("lock f posix write 0 0"), "EAGAIN");
    assert_eq!(one.ask("close again"), "ok");
    assert_eq!(two.ask("lock f posix write 0 0"), "ok");
    assert_eq!(two.ask("lock f posix none 0 0"), "ok");

    // … those of an open file stay until it is closed.
    assert_eq!(one.ask("lock f ofd write 0 0"), "ok");
    assert_eq!(one.ask(&format!("open again {}", a.path().join("f").display())), "ok");
    assert_eq!(one.ask("lock again ofd read 0 0"), "EAGAIN", "another open file of the same process");
    assert_eq!(one.ask("close again"), "ok");
    assert_eq!(two.ask("flock f read"), "EAGAIN");
    assert_eq!(one.ask("close f"), "ok");
    until("the lock to go with the open file", || (two.ask("flock f write") == "ok").then_some(()));
    assert_eq!(near.ask("flock f write"), "EAGAIN");
    assert_eq!(two.ask("flock f none"), "ok");
    assert_eq!(near.ask("flock f write"), "ok");
}

#[test]
fn what_was_written_under_a_lock_is_seen_by_the_next_holder() {
    let mut cluster = Cluster::start(1, 1);
    cluster.create_volume("show", SHAPE);
    let (a, b) = (cluster.mount("show"), cluster.mount("show"));
    let mut lockers = [Locker::with(&a.path().join("f")), Locker::with(&b.path().join("f"))];
    for turn in 0..20 {
        if turn == 10 {
            // Who has it open goes on, without a name.
            std::fs::remove_file(a.path().join("f")).unwrap();
        }
        let holder = &mut lockers[turn % 2];
        assert_eq!(holder.ask("lock f wait write 0 0"), "ok");
        let expected = if turn == 0 { String::new() } else { format!("turn {:02}", turn - 1) };
        assert_eq!(holder.ask("read f"), expected.replace(' ', "_"), "by a file that has been open all the time");
        assert_eq!(holder.ask(&format!("write f turn_{turn:02}")), "ok");
        assert_eq!(holder.ask("lock f posix none 0 0"), "ok");
    }
}

#[test]
fn waiting_for_a_lock() {
    let mut cluster = Cluster::start(1, 1);
    cluster.create_volume("show", SHAPE);
    let (a, b) = (cluster.mount("show"), cluster.mount("show"));
    let (mut one, mut two) = (Locker::with(&a.path().join("f")), Locker::with(&b.path().join("f")));

    // It comes when it is free, whether it was given back or its holder died.
    assert_eq!(one.ask("lock f posix write 0 0"), "ok");
    two.tell("lock f wait write 0 0");
    assert_eq!(one.ask("lock f posix none 0 0"), "ok");
    assert_eq!(two.answer(), "ok");
    one.tell("lock f wait write 0 0");
    two.kill();
    assert_eq!(one.answer(), "ok");

    // Who would wait for himself through others is told.
    let mut two = Locker::with(&b.path().join("f"));
    assert_eq!(one.ask("lock f posix none 0 0"), "ok");
    assert_eq!((one.ask("lock f posix write 0 1"), two.ask("lock f posix write 1 1")), ("ok".into(), "ok".into()));
    one.tell("lock f wait write 1 1");
    std::thread::sleep(Duration::from_millis(300));
    two.tell("lock f wait write 0 1");
    assert_eq!(two.answer(), "EDEADLK");
    assert_eq!(two.ask("lock f posix none 0 0"), "ok");
    assert_eq!(one.answer(), "ok", "the other one goes on");

    // A signal ends the waiting: flock(1) uses a timer.
    let mut flock = Command::new("flock");
    let path = b.path().join("f");
    let status = flock.args(["-w", "1"]).arg(&path).arg("true").status().expect("flock(1)");
    assert_eq!(status.code(), Some(1), "it gave up after a second");
    assert_eq!(one.ask("lock f posix none 0 0"), "ok");
    let mut flock = Command::new("flock");
    assert!(flock.args(["-w", "10"]).arg(&path).arg("true").status().expect("flock(1)").success());

    // Who is killed while it waits is gone, and takes no lock afterwards. (The kernel tells the mount of flock(1)'s end a moment later.)
    until("the lock of flock(1) to go", || (one.ask("lock f posix write 0 0") == "ok").then_some(()));
    two.tell("lock f wait write 0 0");
    std::thread::sleep(Duration::from_millis(300));
    two.kill();
    assert_eq!(one.ask("lock f posix none 0 0"), "ok");
    let mut three = Locker::with(&b.path().join("f"));
    assert_eq!(three.ask("lock f wait write 0 0"), "ok");
}

#[test]
fn locks_outlive_a_restart_of_the_manager_and_go_with_their_mount() {
    let mut cluster = Cluster::start(1, 1);
    cluster.create_volume("show", SHAPE);
    let (a, b) = (cluster.mount("show"), cluster.mount("show"));
    let (mut one, mut two) = (Locker::with(&a.path().join("f")), Locker::with(&b.path().join("f")));
    assert_eq!(one.ask("lock f posix write 0 0"), "ok");
    cluster.crash();
    assert_eq!(two.ask("lock f posix write 0 0"), "EAGAIN", "it was granted, so it is held");
    assert_eq!(one.ask("write f still"), "ok");
    assert_eq!(one.ask("lock f posix none 0 0"), "ok");
    assert_eq!(two.ask("lock f posix write 0 0"), "ok");
    assert_eq!(two.ask("read f"), "still");
    assert_eq!(two.ask("lock f posix none 0 0"), "ok");
    assert_eq!(one.ask("lock f posix write 0 0"), "ok");
    two.tell("lock f wait write 0 0");
    if long_tests() {
        // The mount is gone without a word: its session lapses after a minute.
        a.crash();
    } else {
        drop(one);
    }
    assert_eq!(two.answer(), "ok");
}

#[test]
fn local_locks_stay_on_their_host() {
    let mut cluster = Cluster::start(1, 1);
    cluster.create_volume("show", SHAPE);
    let (a, b) = (cluster.mount_with("show", &["--local-locks"]), cluster.mount_with("show", &["--local-locks"]));
    let (mut one, mut two) = (Locker::with(&a.path().join("f")), Locker::with(&b.path().join("f")));
    let mut near = Locker::with(&a.path().join("f"));
    assert_eq!(one.ask("lock f posix write 0 0"), "ok");
    assert_eq!(near.ask("lock f posix write 0 0"), "EAGAIN");
    assert_eq!(two.ask("lock f posix write 0 0"), "ok");
    assert_eq!(near.ask("flock f write"), "ok", "flock(2) and fcntl(2) do not hear of each other on one host");
}
