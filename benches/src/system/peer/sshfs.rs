//! sshfs: a server of its own with keys of its own, by way of the loopback. Everything is encrypted.

use super::space::{ADDRESS, Space};
use super::{Outcome, Recipe, nothing_to_adjust};
use crate::work::Keep;
use std::path::Path;
use std::process::Command;

pub(super) const SSHFS: Recipe = Recipe {
    key: "sshfs",
    name: "sshfs",
    programs: &["sshfs", "sshd", "ssh-keygen"],
    packages: "apt install sshfs openssh-server",
    version: &["sshfs", "-V"],
    encrypts: true,
    covers: &[],
    start,
    client,
    adjust: nothing_to_adjust,
    cache: None,
    keep: Keep::Copy,
};

fn start(space: &mut Space) -> Outcome<()> {
    for key in ["host", "client"] {
        space.run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &space.at(key)])?;
    }
    space.folder("store")?;
    let configuration = format!(
        "ListenAddress {ADDRESS}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\n\
         PasswordAuthentication no\nPermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n",
        space.at("host"),
        space.at("client.pub")
    );
    let configuration = space.file("sshd_config", &configuration)?;
    space.serve("sshd", "sshd", &["-D", "-e", "-f", &configuration])?;
    // Until it listens; and the client then knows whom it speaks with.
    let known = space.at("known_hosts");
    space.retry("sh", &["-c", &format!("ssh-keyscan -t ed25519 {ADDRESS} > '{known}' && test -s '{known}'")])
}

fn client(space: &Space, at: &Path) -> Command {
    let mut command = space.client("sshfs");
    command.arg("-f").arg(format!("root@{ADDRESS}:{}", space.at("store"))).arg(at);
    let (key, known) = (space.at("client"), space.at("known_hosts"));
    command.args(["-F", "/dev/null", "-o", &format!("IdentityFile={key},UserKnownHostsFile={known},BatchMode=yes")]);
    command
}
