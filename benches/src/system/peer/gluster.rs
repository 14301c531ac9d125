//! GlusterFS: three bricks over which files are spread, or two that hold the same.

use super::space::{ADDRESS, Space};
use super::{Outcome, Recipe, nothing_to_adjust};
use crate::work::Keep;
use std::path::Path;
use std::process::Command;

pub(super) const DISTRIBUTED: Recipe = Recipe {
    key: "gluster",
    name: "Gluster",
    programs: &["glusterd", "gluster", "glusterfs", "glusterfsd"],
    packages: "apt install glusterfs-server glusterfs-client",
    version: &["glusterfs", "--version"],
    encrypts: false,
    covers: &["/var/lib/glusterd", "/var/log/glusterfs"],
    start: spread,
    client,
    adjust: nothing_to_adjust,
    cache: None,
    keep: Keep::Copy,
};
pub(super) const REPLICATED: Recipe = Recipe { key: "gluster2", name: "Gluster rep2", start: replicated, ..DISTRIBUTED };

fn spread(space: &mut Space) -> Outcome<()> {
    start(space, 3, &[])
}

fn replicated(space: &mut Space) -> Outcome<()> {
    start(space, 2, &["replica", "2"])
}

/// The daemon starts bricks as daemons; they stay in the space.
fn start(space: &mut Space, bricks: usize, layout: &[&str]) -> Outcome<()> {
    space.serve("glusterd", "glusterd", &["--no-daemon", "--log-level", "WARNING"])?;
    space.retry("gluster", &["--mode=script", "volume", "info"])?;
    let bricks: Vec<String> = (1..=bricks)
        .map(|number| Ok(format!("{ADDRESS}:{}", space.folder(&format!("brick{number}"))?)))
        .collect::<Outcome<_>>()?;
    let bricks: Vec<&str> = bricks.iter().map(String::as_str).collect();
    // Forced, as all bricks are on one machine, beside the system.
    let create =
        [&["--mode=script", "volume", "create", "bench"][..], layout, &["transport", "tcp"], &bricks, &["force"]].concat();
    space.run("gluster", &create)?;
    space.run("gluster", &["--mode=script", "volume", "start", "bench"])
}

fn client(space: &Space, at: &Path) -> Command {
    let mut command = space.client("glusterfs");
    command.args(["--no-daemon", &format!("--volfile-server={ADDRESS}"), "--volfile-id=bench"]);
    command.arg(format!("--log-file={}", space.at("mount.log"))).arg(at);
    command
}
