//! One write can be followed through the logs of client and servers by its request id.

use std::fs;
use std::os::unix::fs::FileExt;
use weft_mount_tests::cluster::{Cluster, Shape};
use weft_mount_tests::wait::until;

/// The request ids (`req` and digits) of the lines of `log` that contain `words`.
fn requests(log: &str, words: &str) -> Vec<String> {
    let id = |line: &str| {
        let (_, rest) = line.rsplit_once("request=req")?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some(format!("req{digits}"))
    };
    log.lines().filter(|line| line.contains(words)).filter_map(id).collect()
}

#[test]
fn a_write_is_followed_from_the_mount_to_every_server() {
    let mut cluster = Cluster::start(1, 1);
    cluster.create_volume("show", Shape { page_kib: 64, fan_out: 2, copies: 1 });
    let mount = cluster.mount("show");
    let file = fs::File::create(mount.path().join("frame.exr")).expect("a frame");
    file.write_all_at(&[1; 100_000], 0).expect("its bytes");
    drop(file);
    let id = until("the mount logs the ticket", || requests(&mount.output(), "ticket granted").pop());
    for (server, what) in [("manager", "ticket"), ("manager", "commit"), ("metadata1", "metadata")] {
        until(&format!("{server} logs {what} of {id}"), || {
            let log = cluster.server(server).output();
            log.lines().any(|line| line.contains(&id) && line.contains(what)).then_some(())
        });
    }
    // Page objects leave before there is a ticket, under ids of their own; the mount's log has them.
    let stored = until("the mount logs its page objects", || requests(&mount.output(), "page object stored").pop());
    until(&format!("data1 logs {stored}"), || cluster.server("data1").output().contains(&stored).then_some(()));
}
