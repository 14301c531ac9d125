//! MooseFS: a master and three chunk servers.

use super::space::{ADDRESS, Space, succeed};
use super::{Outcome, Recipe};
use crate::work::Keep;
use std::fs;
use std::path::Path;
use std::process::Command;

pub(super) const GOAL_1: Recipe = Recipe {
    key: "moosefs",
    name: "MooseFS",
    programs: &["mfsmaster", "mfschunkserver", "mfsmount", "mfssetgoal", "mfsmakesnapshot"],
    packages: "apt install moosefs-master moosefs-chunkserver moosefs-client",
    version: &["mfsmaster", "-v"],
    encrypts: false,
    covers: &[],
    start,
    client,
    adjust: one_copy,
    cache: None,
    keep: Keep::MooseSnapshot,
};
pub(super) const GOAL_2: Recipe = Recipe { key: "moosefs2", name: "MooseFS goal 2", adjust: two_copies, ..GOAL_1 };

const CHUNK_SERVERS: usize = 3;
/// What an empty master begins with; the package has the same file in the system's folder.
const EMPTY: &str = "MFSM NEW";

fn start(space: &mut Space) -> Outcome<()> {
    let exports = space.file("exports.cfg", &format!("{ADDRESS} / rw,alldirs,admin,maproot=0:0\n{ADDRESS} . rw\n"))?;
    let data = space.folder("master")?;
    fs::write(Path::new(&data).join("metadata.mfs"), EMPTY)?;
    let common = "WORKING_USER = root\nWORKING_GROUP = root\n";
    let master = format!("{common}DATA_PATH = {data}\nEXPORTS_FILENAME = {exports}\n");
    let master = space.file("master.cfg", &master)?;
    space.serve("master", "mfsmaster", &["-c", &master, "-f", "start"])?;
    for number in 1..=CHUNK_SERVERS {
        let data = space.folder(&format!("chunks{number}"))?;
        let disks =
            space.file(&format!("disks{number}.cfg"), &format!("{}\n", space.folder(&format!("chunks{number}/disk"))?))?;
        let configuration = format!(
            "{common}DATA_PATH = {data}\nHDD_CONF_FILENAME = {disks}\nMASTER_HOST = {ADDRESS}\nCSSERV_LISTEN_PORT = {}\n\
             HDD_LEAVE_SPACE_DEFAULT = 256MiB\n",
            9500 + number
        );
        let configuration = space.file(&format!("chunks{number}.cfg"), &configuration)?;
        space.serve(&format!("chunks{number}"), "mfschunkserver", &["-c", &configuration, "-f", "start"])?;
    }
    Ok(())
}

fn client(space: &Space, at: &Path) -> Command {
    let mut command = space.client("mfsmount");
    command.args(["-H", ADDRESS, "-f"]).arg(at);
    command
}

fn one_copy(space: &Space, at: &Path) -> Outcome<()> {
    goal(space, at, "1")
}

fn two_copies(space: &Space, at: &Path) -> Outcome<()> {
    goal(space, at, "2")
}

/// So many copies of everything; and what is deleted is gone, as with the others.
fn goal(space: &Space, at: &Path, copies: &str) -> Outcome<()> {
    succeed(space.client("mfssetgoal").args(["-r", copies]).arg(at))?;
    succeed(space.client("mfssettrashtime").args(["-r", "0"]).arg(at))
}
