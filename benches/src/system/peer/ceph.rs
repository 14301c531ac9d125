//! CephFS: a monitor, a manager, a metadata server and three stores (BlueStore in a file each, as there are no disks to give away), one copy.

use super::space::{ADDRESS, Space};
use super::{Outcome, PATIENCE, Recipe, nothing_to_adjust};
use crate::stop;
use crate::work::Keep;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

pub(super) const CEPH: Recipe = Recipe {
    key: "cephfs",
    name: "CephFS",
    programs: &["ceph", "ceph-mon", "ceph-mgr", "ceph-osd", "ceph-mds", "ceph-fuse", "monmaptool"],
    packages: "apt install ceph-mon ceph-mgr ceph-osd ceph-mds ceph-fuse ceph-common",
    version: &["ceph", "--version"],
    encrypts: false,
    covers: &[],
    start,
    client,
    adjust: nothing_to_adjust,
    cache: None,
    keep: Keep::SnapshotDirectory,
};

const STORES: usize = 3;
/// Placement groups of the pools for data and for metadata.
const GROUPS: [(&str, &str); 2] = [("data", "32"), ("metadata", "8")];

/// No keys (its network is its own), one copy, and no opinion on how full somebody else's disk is.
fn configuration(space: &Space, cluster: &str) -> String {
    let home = space.home().display();
    format!(
        "[global]\nfsid = {cluster}\nmon host = v2:{ADDRESS}:3300/0\npublic network = {ADDRESS}/32\nms bind ipv6 = false\n\
         auth cluster required = none\nauth service required = none\nauth client required = none\n\
         osd pool default size = 1\nosd pool default min size = 1\nmon allow pool size one = true\nosd crush chooseleaf type = 0\n\
         osd pool default pg autoscale mode = off\nmgr initial modules =\n\
         mon data avail warn = 1\nmon data avail crit = 0\n\
         osd objectstore = bluestore\nbluestore block create = true\nbluestore block size = {}\n\
         fuse set user groups = false\n\
         run dir = {home}/run\ncrash dir = {home}/run\npid file =\nadmin socket = {home}/run/$name.asok\nlog file = {home}/run/$name.log\n\
         mon data = {home}/mon\nmgr data = {home}/mgr\nmds data = {home}/mds\nosd data = {home}/osd$id\n",
        32u64 << 30
    )
}

fn start(space: &mut Space) -> Outcome<()> {
    for folder in ["run", "mon", "mgr", "mds"] {
        space.folder(folder)?;
    }
    let cluster = unique();
    let path = space.file("ceph.conf", &configuration(space, &cluster))?;
    let conf = ["-c", path.as_str()];
    let map = space.at("monmap");
    space.run("monmaptool", &["--create", "--fsid", &cluster, "--addv", "a", &format!("[v2:{ADDRESS}:3300/0]"), &map])?;
    space.run("ceph-mon", &[&conf[..], &["--mkfs", "-i", "a", "--monmap", &map]].concat())?;
    space.serve("mon", "ceph-mon", &[&conf[..], &["-f", "-i", "a"]].concat())?;
    space.retry("ceph", &[&conf[..], &["--connect-timeout", "10", "status"]].concat())?;
    space.serve("mgr", "ceph-mgr", &[&conf[..], &["-f", "-i", "x"]].concat())?;
    for number in 0..STORES {
        let (number, id) = (number.to_string(), unique());
        space.folder(&format!("osd{number}"))?;
        space.run("ceph", &[&conf[..], &["osd", "new", &id, &number]].concat())?;
        space.run("ceph-osd", &[&conf[..], &["-i", &number, "--mkfs", "--osd-uuid", &id]].concat())?;
        space.serve(&format!("osd{number}"), "ceph-osd", &[&conf[..], &["-f", "-i", &number]].concat())?;
    }
    space.serve("mds", "ceph-mds", &[&conf[..], &["-f", "-i", "m"]].concat())?;
    for (pool, groups) in GROUPS {
        space.run("ceph", &[&conf[..], &["osd", "pool", "create", pool, groups]].concat())?;
    }
    space.run("ceph", &[&conf[..], &["fs", "new", "bench", "metadata", "data"]].concat())?;
    wait_until_active(space, &path)
}

/// An id as Ceph wants them.
fn unique() -> String {
    let digits = format!("{:032x}", fastrand::u128(..));
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

/// Until every placement group is served; a mount before that would hang.
fn wait_until_active(space: &Space, conf: &str) -> Outcome<()> {
    let began = Instant::now();
    loop {
        stop::check()?;
        let output = space.inside("timeout").arg("20").arg("ceph").args(["-c", conf, "pg", "stat"]).output()?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        // "41 pgs: 41 active+clean; …"
        let wanted = said.split_once(' ').map(|(count, _)| format!("{count} pgs: {count} active+clean;"));
        if wanted.is_some_and(|wanted| said.starts_with(&wanted) && !said.starts_with('0')) {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("its placement groups do not become active: {said}; an osd said:\n{}", space.log("osd0")).into());
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn client(space: &Space, at: &Path) -> Command {
    let mut command = space.client("ceph-fuse");
    command.args(["-f", "-c", &space.at("ceph.conf"), "--client_mountpoint", "/"]).arg(at);
    command
}
