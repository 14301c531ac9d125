//! Where `weft` and `weftd` are: in the folder that `WEFT_BIN_DIR` names, or beside the test's own binary, built once if need be.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The path of `weft` or `weftd`, built with the profile of the running test.
///
/// # Panics
/// When it cannot be built; cargo's own output says why.
#[must_use]
pub fn path_of(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| std::env::var_os("WEFT_BIN_DIR").map_or_else(build, PathBuf::from)).join(name)
}

/// The path of a program of this package's, which cargo builds for its own tests.
///
/// # Panics
/// When this is no test's process.
#[must_use]
pub fn helper(name: &str) -> PathBuf {
    profile_folder().join(name)
}

/// Cargo builds a package's binaries only for that package's own tests, so another package's tests ask for them.
fn build() -> PathBuf {
    let profile = profile_folder();
    let target = profile.parent().expect("a target folder");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace's folder");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace).env("CARGO_TARGET_DIR", target).args(["build", "--quiet", "--locked"]);
    cargo.args(["--package", "weft-fs", "--package", "weft-server", "--bins"]);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.status().expect("cargo can be started");
    assert!(status.success(), "weft and weftd cannot be built");
    profile
}

/// `target/PROFILE`, where the test is in `target/PROFILE/deps`.
fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    test.ancestors().skip(1).find(|path| !path.ends_with("deps")).expect("a profile's folder").to_owned()
}
