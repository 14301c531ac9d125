//! A cluster of real processes whose data providers all lose power at once: their folders go back to what was on stable storage.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use weft_mount_tests::cluster::{Cluster, Shape};
use weft_mount_tests::process::run;
use weft_mount_tests::random::Random;
use weft_mount_tests::wait::until;

const SHAPE: Shape = Shape { page_kib: 64, fan_out: 2, copies: 2 };
const PROVIDERS: [(&str, &str); 2] = [("data1", "data"), ("data2", "data")];

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a store's folder") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("a copy");
    }
}

/// What the disks would hold if the power failed now: what was synced. (Nothing else was written since.)
fn note_disks(cluster: &Cluster) {
    for (server, store) in PROVIDERS {
        copy(&cluster.folder().join(server).join(store), &cluster.folder().join("disks").join(server));
    }
}

/// The machines lose power, and start again under another boot id.
fn lose_power(cluster: &mut Cluster) {
    for (server, store) in PROVIDERS {
        cluster.server(server).kill();
        let folder = cluster.folder().join(server).join(store);
        fs::remove_dir_all(&folder).expect("what was not synced is gone");
        copy(&cluster.folder().join("disks").join(server), &folder);
        let incarnation = fs::read_to_string(folder.join("incarnation")).expect("an incarnation");
        let number = incarnation.split(' ').next().expect("a number");
        fs::write(folder.join("incarnation"), format!("{number} an-earlier-boot\n")).expect("written");
    }
    cluster.restart_killed();
}

fn write_synced(path: &Path, content: &[u8]) {
    let mut file = File::create(path).expect("a file");
    file.write_all(content).expect("written");
    file.sync_all().expect("on stable storage");
}

#[test]
fn frames_that_were_closed_and_not_synced_fall_back_and_the_log_names_them() {
    let mut cluster = Cluster::start(2, 2);
    cluster.create_volume("show", SHAPE);
    let mount = cluster.mount("show");
    let mut random = Random::new(3);
    let (kept, lost, other) = (random.bytes(200_000), random.bytes(200_000), random.bytes(1000));
    fs::create_dir(mount.path().join("shots")).expect("a folder");
    write_synced(&mount.path().join("shots/frame"), &kept);
    write_synced(&mount.path().join("other"), &other);
    note_disks(&cluster);
    fs::write(mount.path().join("shots/frame"), &lost).expect("closed");
    fs::write(mount.path().join("only"), &lost).expect("closed");
    let url = cluster.url("show");
    let log = |cluster: &Cluster| {
        let output = run(cluster.weft(&["log", &url, "--json"]));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("a log")
    };
    mount.unmount();
    let written: Vec<u64> = log(&cluster).as_array().expect("a list").iter().filter_map(|row| row["version"].as_u64()).collect();
    lose_power(&mut cluster);

    // A mount that has nothing in its caches.
    let mount = cluster.mount("show");
    until("the frame is as it was synced", || (fs::read(mount.path().join("shots/frame")).ok()? == kept).then_some(()));
    let rows = log(&cluster);
    let newest = &rows.as_array().expect("a list")[0];
    assert_eq!(newest["program"].as_str().or(newest["author"]["program"].as_str()), Some("recovery"), "{rows}");
    let output = cluster.server("manager").output();
    let named = |level: &str, file: &str| output.lines().any(|line| line.contains(level) && line.contains(file));
    assert!(named("WARN", "show/shots/frame") && named("render it anew", "show/shots/frame"), "{output}");
    until("the other one is told of", || {
        cluster.server("manager").output().lines().any(|line| line.contains("ERROR") && line.contains("show/only")).then_some(())
    });
    assert_eq!(fs::read(mount.path().join("other")).expect("a file of which nothing is lost"), other);

    // Nothing of the history is gone or made up.
    let readable = |version: &u64| fs::read(mount.path().join(format!(".versions/{version}/shots/frame")));
    let newest_written = written.iter().max().expect("versions");
    assert_eq!(readable(newest_written).expect_err("it is lost").raw_os_error(), Some(libc::EIO));
    let with_kept = written.iter().filter(|version| readable(version).is_ok_and(|content| content == kept)).count();
    assert!(with_kept > 0, "the synced version is where it was");
    let fsck = String::from_utf8_lossy(&run(cluster.weft(&["fsck", &url])).stdout).into_owned();
    assert!(fsck.contains("/shots/frame") && fsck.contains("/only"), "{fsck}");

    fs::write(mount.path().join("shots/frame"), &lost).expect("rendered anew");
    fs::write(mount.path().join("only"), &lost).expect("rendered anew");
    mount.unmount();
    let mount = cluster.mount("show");
    for file in ["shots/frame", "only"] {
        assert!(fs::read(mount.path().join(file)).expect("readable") == lost, "{file}");
    }
    mount.unmount();
}
