//! What was measured: kept as lines of JSON, said as a table, drawn as a page.

mod figure;
mod page;
mod record;
mod table;
mod targets;

pub(crate) use figure::{Figure, median};
pub(crate) use record::{Contender, Head, Kind, Record};

#[cfg(test)]
pub(crate) use targets::peers_of_targets;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// Which recorded run, and where its page goes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What `mount` or `peers` wrote with `--json`.
    #[arg(long)]
    from: PathBuf,
    /// The page, one HTML file.
    #[arg(long)]
    to: PathBuf,
}

/// Makes the page of a recorded run again, and prints its table.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let record = Record::read(&arguments.from)?;
    print!("{record}");
    write_page(&record, &arguments.to)
}

/// Writes a run's page.
pub(crate) fn write_page(record: &Record, path: &Path) -> Result<(), Box<dyn Error>> {
    let html = page::page_of(record)?.to_html();
    fs::write(path, html).map_err(|error| format!("{}: {error}", path.display()).into())
}
