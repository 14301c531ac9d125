//! `weft verify`: reads every copy of every page of files, and says which are damaged.

use super::args::VerifyArgs;
use super::connect::Client;
use super::error::CliError;
use super::human;
use super::names::{Volume, show_path};
use super::output::{Output, visible};
use serde::Serialize;
use weft_common::client::{BadCopy, Fault, TreeCheck, TreeFault};
use weft_common::name::FileName;
use weft_common::weave::Tree;
use weft_common::wire::{At, FileKind};

/// What was looked at, and what is wrong.
#[derive(Debug, Default, Serialize)]
struct Report {
    version: u64,
    files: u64,
    nodes: u64,
    objects: u64,
    bytes: u64,
    damaged: Vec<FileRow>,
}

/// A file with something wrong.
#[derive(Debug, Serialize)]
struct FileRow {
    path: String,
    /// Whether some of its bytes have no whole copy.
    lost: bool,
    faults: Vec<FaultRow>,
    more_faults: u64,
}

/// A node or page object with copies that are not as they should be.
#[derive(Debug, Serialize)]
pub(super) struct FaultRow {
    what: String,
    /// The bytes of the file that depend on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
    whole_copies: usize,
    bad_copies: Vec<CopyRow>,
}

/// A bad copy.
#[derive(Debug, Serialize)]
struct CopyRow {
    provider: u32,
    address: String,
    state: &'static str,
    detail: String,
}

impl From<&BadCopy> for CopyRow {
    fn from(copy: &BadCopy) -> Self {
        Self {
            provider: copy.provider.0,
            address: copy.address.clone(),
            state: copy.state.word(),
            detail: copy.state.detail().to_owned(),
        }
    }
}

impl From<&Fault> for FaultRow {
    fn from(fault: &Fault) -> Self {
        Self {
            what: fault.what.to_string(),
            offset: None,
            length: None,
            whole_copies: fault.whole,
            bad_copies: fault.bad.iter().map(CopyRow::from).collect(),
        }
    }
}

impl From<&TreeFault> for FaultRow {
    fn from(found: &TreeFault) -> Self {
        let (offset, length) = (Some(found.bytes.start), Some(found.bytes.end.saturating_sub(found.bytes.start)));
        Self { offset, length, ..Self::from(&found.fault) }
    }
}

impl FaultRow {
    /// One line for a person.
    pub(super) fn text(&self) -> String {
        let place = match (self.offset, self.length) {
            (Some(offset), Some(length)) => format!("{} at offset {offset}: ", human::size(length)),
            _ => String::new(),
        };
        let copies = self.bad_copies.iter().map(|copy| {
            let detail = if copy.detail.is_empty() { String::new() } else { format!(" ({})", copy.detail) };
            format!("{} on provider {} at {}{detail}", copy.state, copy.provider, copy.address)
        });
        let copies = copies.collect::<Vec<_>>().join(", ");
        let rest = match self.whole_copies {
            0 => "no copy is whole".to_owned(),
            1 => "another copy is whole".to_owned(),
            more => format!("{more} other copies are whole"),
        };
        format!("{place}{}: {}; {rest}", self.what, if copies.is_empty() { "on no provider" } else { &copies })
    }
}

/// Runs `weft verify`.
///
/// # Errors
/// [`CliError::Damage`] if anything is wrong.
pub(super) async fn run(client: &Client, args: &VerifyArgs) -> Result<(), CliError> {
    let output = Output::new(args.format.json);
    let (cluster, volume, path) = client.open_with_cluster(&args.target, &args.identity).await?;
    let copies = volume.names.info().settings.copies;
    let version = match &args.at {
        Some(at) => at.resolve(&volume).await?,
        None => volume.latest().await?,
    };
    let files = files_below(&volume, At::Version(version), path).await?;
    let bar = output.progress("verifying", files.iter().map(|(_, tree)| tree.size).sum());
    let mut report = Report { version: version.0, ..Report::default() };
    for (path, tree) in files {
        let before = bar.position();
        let check = cluster.verify(&tree, copies, &mut |bytes| bar.inc(bytes)).await?;
        // Holes are looked at in no time.
        bar.set_position(before + tree.size);
        report.add(path, &check);
    }
    bar.finish_and_clear();
    output.data(&report, text);
    match report.damaged.len() {
        0 => Ok(()),
        count => Err(CliError::Damage(format!("{count} of {} files are not whole in every copy", report.files))),
    }
}

/// Every regular file at or below a path.
async fn files_below(volume: &Volume, at: At, path: Vec<FileName>) -> Result<Vec<(String, Tree)>, CliError> {
    let (mut files, mut waiting) = (Vec::new(), vec![(path.clone(), volume.walk(at, &path).await?)]);
    while let Some((path, attributes)) = waiting.pop() {
        if let Some(tree) = attributes.tree {
            files.push((show_path(&path), tree));
        }
        if attributes.kind == FileKind::Directory {
            let entries = volume.entries(at, attributes.inode).await?;
            let below = |name: FileName| path.iter().cloned().chain([name]).collect();
            waiting.extend(entries.into_iter().rev().map(|entry| (below(entry.name), entry.attributes)));
        }
    }
    Ok(files)
}

impl Report {
    fn add(&mut self, path: String, check: &TreeCheck) {
        self.files += 1;
        self.nodes += check.nodes;
        self.objects += check.objects;
        self.bytes += check.bytes;
        if !check.is_whole() {
            let lost = check.faults.iter().any(|found| !found.fault.is_healable());
            let faults = check.faults.iter().map(FaultRow::from).collect();
            self.damaged.push(FileRow { path, lost, faults, more_faults: check.more_faults });
        }
    }
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    for file in &report.damaged {
        let verdict =
            if file.lost { "damaged; an older version may be whole (.history)" } else { "readable, but not every copy is whole" };
        text += &format!("{}: {verdict}\n", visible(&file.path));
        file.faults.iter().for_each(|fault| text += &format!("  {}\n", fault.text()));
        if file.more_faults > 0 {
            text += &format!("  and {} more\n", file.more_faults);
        }
    }
    let (files, bytes) = (report.files, human::size(report.bytes));
    text + &format!(
        "version {}: {files} files, {bytes} in {} page objects and {} nodes read from every copy\n",
        report.version, report.objects, report.nodes
    )
}
