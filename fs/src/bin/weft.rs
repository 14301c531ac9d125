//! weft: see `weft --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    weft_fs::cli::run(std::env::args_os().collect())
}
