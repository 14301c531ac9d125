//! The promises about locks in short; `tests/locks.rs` has them at length.

use crate::Two;
use std::process::Command;
use weft_mount_tests::locker::Locker;
use weft_mount_tests::wait::until;

#[test]
fn locks_reach_all_mounts() {
    let two = Two::start();
    let (mut here, mut there) = (Locker::with(&two.a("f")), Locker::with(&two.b("f")));
    for how in ["lock f posix write 0 0", "lock f ofd write 0 0", "flock f write"] {
        assert_eq!(here.ask(how), "ok");
        for other in ["lock f posix read 5 1", "lock f ofd read 5 1", "flock f read"] {
            assert_eq!(there.ask(other), "EAGAIN", "{other} behind {how}");
        }
        assert_eq!(there.ask("test f read 0 0"), "write 0");
        assert_eq!(here.ask(&how.replace("write", "none")), "ok");
    }
}

#[test]
fn a_lock_shows_what_was_written_before() {
    let two = Two::start();
    let (mut here, mut there) = (Locker::with(&two.a("f")), Locker::with(&two.b("f")));
    assert_eq!(here.ask("lock f posix write 0 0"), "ok");
    assert_eq!(here.ask("write f one"), "ok");
    assert_eq!(there.ask("read f"), "", "not published");
    assert_eq!(here.ask("lock f posix read 0 0"), "ok");
    assert_eq!(there.ask("lock f posix read 0 0"), "ok");
    assert_eq!(there.ask("read f"), "one");
}

#[test]
fn waiting_for_a_lock_ends() {
    let two = Two::start();
    let (mut here, mut there) = (Locker::with(&two.a("f")), Locker::with(&two.b("f")));
    assert_eq!((here.ask("lock f posix write 0 1"), there.ask("lock f posix write 1 1")), ("ok".into(), "ok".into()));
    there.tell("lock f wait write 0 1");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(here.ask("lock f wait write 1 1"), "EDEADLK");
    assert_eq!(here.ask("lock f posix none 0 0"), "ok");
    assert_eq!(there.answer(), "ok");
    let status = Command::new("flock").args(["-w", "1"]).arg(two.a("f")).arg("true").status().expect("flock(1)");
    assert_eq!(status.code(), Some(1), "its alarm ended the waiting");
}

#[test]
fn locks_go_with_their_holder() {
    let two = Two::start();
    let (mut here, mut there) = (Locker::with(&two.a("f")), Locker::with(&two.b("f")));
    assert_eq!(here.ask(&format!("open again {}", two.a("f").display())), "ok");
    assert_eq!(here.ask("lock f posix write 0 0"), "ok");
    assert_eq!(there.ask("lock f posix write 0 0"), "EAGAIN");
    assert_eq!(here.ask("close again"), "ok");
    assert_eq!(there.ask("lock f posix write 0 0"), "ok");
    there.kill();
    until("a dead process's lock to go", || (here.ask("lock f posix write 0 0") == "ok").then_some(()));
    let mut there = Locker::with(&two.b("f"));
    there.tell("lock f wait write 0 0");
    drop(here);
    assert_eq!(there.answer(), "ok");
}
