//! `weft mount`.

use super::args::MountArgs;
use super::error::CliError;
use std::process::ExitCode;

pub(super) fn run(_args: &MountArgs) -> Result<ExitCode, CliError> {
    Err(CliError::Usage("mounting is not part of this build yet".into()))
}
