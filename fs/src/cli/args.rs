//! The command line, and the help that teaches it. What each command does is in the file of its name.

use super::human;
use super::version::VersionSpec;
use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// `weft`.
#[derive(Debug, Parser)]
#[command(name = "weft", version, about = "WeftFS: a filesystem that keeps every version of every file", after_help = MAIN_HELP)]
pub(super) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const MAIN_HELP: &str = "\
Examples:
  weft mount --local ./weft-data ./mnt        a volume in one process, nothing to set up
  weft mount weft://server/show /mnt/show     a volume of a cluster
  ls /mnt/show/.versions                      every version of the tree; .versions/N is the tree as it was
  ls -l /mnt/show/.history/frame.exr/         every version of one file
  weft log /mnt/show                          who changed what, when
  weft umount /mnt/show

A TARGET is a path inside a mount, or weft://HOST[:PORT][,HOST...]/VOLUME[/PATH].
Manual pages: weft(1), weftfs(7), weftd(8). RUST_LOG sets how much is logged (error, warn, info, debug).";

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Mount a volume; stays in the foreground until Ctrl-C or `weft umount`
    Mount(MountArgs),
    /// Unmount a volume
    #[command(alias = "unmount")]
    Umount(UmountArgs),
    /// Make, list, change and remove volumes
    #[command(subcommand)]
    Volume(VolumeCommand),
    /// Show what changed, when, and by whom
    Log(LogArgs),
    /// Show changes as they happen, on whatever host
    Watch(WatchArgs),
    /// Show what differs between two versions
    Diff(DiffArgs),
    /// Make a past state the present one, as a new version
    Restore(RestoreArgs),
    /// Copy a file or a whole directory without copying data
    Clone(CloneArgs),
    /// Name versions
    #[command(subcommand)]
    Tag(TagCommand),
    /// Say how much history a volume keeps
    #[command(subcommand)]
    Retention(RetentionCommand),
    /// Let go now of what the retention policy does not keep, and give its space back
    Gc(GcArgs),
    /// Write a version, or the difference of two, as one file that can be checked and received elsewhere
    Send(SendArgs),
    /// Make what was sent, in another volume or cluster
    Receive(ReceiveArgs),
    /// Read every copy of every page of files, and compare it with its checksums
    Verify(VerifyArgs),
    /// Show what fills the disks of a cluster: by provider, by volume, live and past
    Df(DfArgs),
    /// Show what a file or directory takes, with its history
    Du(DuArgs),
    /// Check a volume or a whole cluster: every copy of every kept version, and what is stored beside it
    Fsck(FsckArgs),
    /// Show providers, volumes and sessions of a cluster
    Status(StatusArgs),
    /// Print completions for a shell
    #[command(
        after_help = "Examples:\n  weft completions bash > /etc/bash_completion.d/weft\n  weft completions fish > ~/.config/fish/completions/weft.fish"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Whether data is printed for a program.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Format {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Who we are to the servers.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct IdentityArgs {
    /// Folder with client.pem, client.key and ca.pem [default: the mount's own, $WEFT_IDENTITY, ~/.config/weft, /etc/weft]
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub identity: Option<PathBuf>,
}

const MOUNT_HELP: &str = "\
Examples:
  weft mount --local ./weft-data ./mnt
  weft mount weft://server/show /mnt/show
  weft mount weft://server1,server2:9400/show /mnt/show --daemon --allow-other
  weft mount weft://server/show ./mnt --read-only --identity ~/show-identity

With --local the servers run in this process and keep everything under DIR, which is made if need be, like MOUNTPOINT.
For /etc/fstab and `mount -t fuse.weft` see mount.weft(8).";

/// `weft mount`.
#[derive(Args, Clone, Debug)]
#[command(after_help = MOUNT_HELP)]
pub(super) struct MountArgs {
    /// Keep the volume in DIR and serve it in this process
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub local: Option<PathBuf>,
    /// [weft://HOST[:PORT][,HOST...]/VOLUME] MOUNTPOINT; with --local the volume's URL is left out
    #[arg(value_name = "TARGET", required = true, num_args = 1..=2, value_hint = ValueHint::DirPath)]
    pub places: Vec<OsString>,
    /// How to mount.
    #[command(flatten)]
    pub how: MountFlags,
}

/// How to mount: the same flags are `-o` options of mount.weft.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct MountFlags {
    /// Return once mounted; the mount goes on in the background
    #[arg(long)]
    pub daemon: bool,
    /// Let other users in, checked by the files' permissions (needs `user_allow_other` in /etc/fuse.conf unless root)
    #[arg(long)]
    pub allow_other: bool,
    /// Refuse every change
    #[arg(long)]
    pub read_only: bool,
    /// List .versions in the root directory (it always answers, listed or not)
    #[arg(long)]
    pub show_versions: bool,
    /// Keep locks of files to this host: quicker, but other mounts do not hear of them (always so with --local)
    #[arg(long)]
    pub local_locks: bool,
    /// How long a call waits for servers that are away before it fails [default: 30s]
    #[arg(long, value_name = "SPAN", value_parser = human::parse_duration)]
    pub timeout: Option<Duration>,
    /// Keep read data in this folder across mounts (not available yet)
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub cache_dir: Option<PathBuf>,
    /// Memory for buffers and caches [default: 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = human::parse_size)]
    pub memory: Option<u64>,
    /// Append log lines to this file instead of standard error
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub log: Option<PathBuf>,
    /// With --local: name of the volume [default: main]
    #[arg(long, value_name = "NAME", requires = "local")]
    pub volume: Option<String>,
    /// With --local, when the volume is made: page size, a power of two from 64K to 64M [default: 1MiB]
    #[arg(long, value_name = "SIZE", value_parser = human::parse_size_u32, requires = "local")]
    pub page_size: Option<u32>,
    /// With --local, when the volume is made: fan-out of the segment trees, a power of two from 2 to 256 [default: 32]
    #[arg(long, value_name = "N", requires = "local")]
    pub fan_out: Option<u32>,
    /// Who we are.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `weft umount`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  weft umount /mnt/show\n\nIf programs still have files open there, the mount is detached: the path is free at once, and the mount ends when the\nlast of them closes its files."
)]
pub(super) struct UmountArgs {
    /// Where it is mounted
    #[arg(value_hint = ValueHint::DirPath)]
    pub mountpoint: PathBuf,
}

/// `weft volume`.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum VolumeCommand {
    /// Make a volume
    #[command(
        after_help = "Examples:\n  weft volume create weft://server/show\n  weft volume create weft://server/show --copies 2 --page-size 4M"
    )]
    Create(VolumeSettingsArgs),
    /// List the volumes of a cluster
    #[command(after_help = "Examples:\n  weft volume list weft://server\n  weft volume list /mnt/show --json")]
    List(ClusterArgs),
    /// Change a volume's settings; files that exist keep their page size and fan-out
    #[command(after_help = "Examples:\n  weft volume set weft://server/show --copies 3")]
    Set(VolumeSettingsArgs),
    /// Remove a volume and all its history, for good
    #[command(after_help = "Examples:\n  weft volume rm weft://server/show --yes")]
    Rm {
        /// The volume: weft://HOST/VOLUME
        target: OsString,
        /// Really remove it: nothing of it can be brought back
        #[arg(long)]
        yes: bool,
        /// Who we are.
        #[command(flatten)]
        identity: IdentityArgs,
    },
}

/// A volume with settings.
#[derive(Args, Clone, Debug)]
pub(super) struct VolumeSettingsArgs {
    /// The volume: weft://HOST/VOLUME
    pub target: OsString,
    /// Page size, a power of two from 64K to 64M [default: 1MiB]
    #[arg(long, value_name = "SIZE", value_parser = human::parse_size_u32)]
    pub page_size: Option<u32>,
    /// Fan-out of the segment trees, a power of two from 2 to 256 [default: 32]
    #[arg(long, value_name = "N")]
    pub fan_out: Option<u32>,
    /// Providers that hold each page object and each node [default: 1]
    #[arg(long, value_name = "N")]
    pub copies: Option<u8>,
    /// How it is printed.
    #[command(flatten)]
    pub format: Format,
    /// Who we are.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// A command about a whole cluster.
#[derive(Args, Clone, Debug)]
pub(super) struct ClusterArgs {
    /// The cluster: weft://HOST, or a path in a mount
    #[arg(value_hint = ValueHint::AnyPath)]
    pub target: OsString,
    /// How it is printed.
    #[command(flatten)]
    pub format: Format,
    /// Who we are.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `weft status`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  weft status weft://server\n  weft status /mnt/show --json")]
pub(super) struct StatusArgs {
    /// What about.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// `weft log`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  weft log /mnt/show                   every change of the volume, newest first\n  weft log shots/frame.0042.exr        the versions of one file, also after it was deleted\n  weft log shots --limit 100 --json"
)]
pub(super) struct LogArgs {
    /// A file or directory: a path in a mount, or weft://HOST/VOLUME/PATH
    #[arg(value_hint = ValueHint::AnyPath)]
    pub target: OsString,
    /// Show at most so many, the newest; 0 for all
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    pub limit: usize,
    /// How it is printed.
    #[command(flatten)]
    pub format: Format,
    /// Who we are.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `weft watch`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  weft watch /mnt/show                          every change of the volume from now on\n  weft watch shots --since 1200 --json          those behind version 1200 as well; goes on where another watch ended\n  weft watch shots --limit 1                    wait for the next change"
)]
pub(super) struct WatchArgs {
    /// A file or directory: a path in a mount, or weft://HOST/VOLUME/PATH
    #[arg(value_hint = ValueHint::AnyPath, default_value = ".")]
    pub target: OsString,
    /// Begin behind this version (a number, a tag, or @TIME) and not with the next change
    #[arg(long, value_name = "N")]
    pub since: Option<VersionSpec>,
    /// End after so many changes
    #[arg(long, short = 'n', value_name = "COUNT")]
    pub limit: Option<u64>,
    /// How it is printed; with --json one object on each line.
    #[command(flatten)]
    pub format: Format,
    /// Who we are.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `weft diff`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  weft diff /mnt/show 10 25                     files that differ\n  weft diff shots/frame.0042.exr 10 25          byte ranges of one file that differ\n  weft diff shots first-run @2026-11-22T10:15:00Z\n\nA version is a number, a tag, or @TIME."
)]
pub(super) struct DiffArgs {
    /// A file or directory: a path in a mount, or weft://HOST/VOLUME/PATH
    #[arg(value_hint = ValueHint::AnyPath)]
    pub target: OsString,
    /// One version
    #[arg(value_name = "N")]
    pub from: VersionSpec,
    /// The other version
    #[arg(value_name = "M")]
    pub to: VersionSpec,
    /// Only count: files that differ and bytes that differ
    #[arg(long)]
    pub stat: bool,
    /// How it is printed.
    #[command(flatten)]
    pub format: Format,
    /// Who we are.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `weft restore`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  weft restore shots/frame.0042.exr --to 17\n  weft restore shots --to first-run --dry-run\n  weft restore shots --to @2026-11-22T10:15:00Z --keep-new\n\nNothing is lost: what was there before the restore is a version like any other. Content is shared, not copied."
)]
pub(super) struct RestoreArgs {
    /// A file or directory, which may be deleted by now: a path in a mount, or weft://HOST/VOLUME/PATH. The last component may
    /// be a quoted pattern of names with *, ? and [0-9]: all that it matches at that version comes back
    #[arg(value_hint = ValueHint::AnyPath)]
    pub target: OsString,
    /// The version: a number, a tag, or @TIME
    #[arg(long, value_name = "VERSION")]
    pub to: VersionSpec,
    /// Leave alone what was not there at that version (otherwise a directory becomes exactly what it was)
    #[arg(long)]
    pub keep_new: bool,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// How it is printed.
    #[command(flatten)]
    pub format: Format,
    /// Who we are.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `weft clone`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  weft clone shots/0042 shots/0042-test\n  weft clone shots shots-as-approved --at approved\n  weft clone shots/.versions/17/frame.0042.exr frame.exr\n\nBoth are in one volume. Content is shared, not copied, until one of the two is written; a directory is one new version\nwith everything below it. Nothing is ever replaced: the new name must be free."
)]
pub(super) struct CloneArgs {
    /// A file or directory: a path in a mount, also in .versions, or weft://HOST/VOLUME/PATH
    #[arg(value_name = "SOURCE", value_hint = ValueHint::AnyPath)]
    pub source: OsString,
    /// The name of the copy, in the same volume
    #[arg(value_name = "NEW", value_hint = ValueHint::AnyPath)]
    pub destination: OsString,
    /// The version of SOURCE: a number, a tag, or @TIME [default: the newest]
    #[arg(long, value_name = "VERSION")]
    pub at: Option<VersionSpec>,
    /// How it is printed.
    #[command(flatten)]
    pub format: Format,
    /// Who we are.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `weft tag`.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum TagCommand {
    /// Name a version; a name that is taken is refused (`weft tag rm` frees it)
    #[command(
        after_help = "Examples:\n  weft tag add /mnt/show first-run              the newest version\n  weft tag add /mnt/show before-lunch --at @2026-11-22T12:00:00Z\n\nThen /mnt/show/.versions/first-run is the tree as it was."
    )]
    Add {
        /// The volume: a path in a mount, or weft://HOST/VOLUME
        #[arg(value_hint = ValueHint::AnyPath)]
        target: OsString,
        /// The name: 1 to 64 of a-z A-Z 0-9 . _ -, not only digits
        name: String,
        /// The version: a number, a tag, or @TIME [default: the newest]
        #[arg(long, value_name = "VERSION")]
        at: Option<VersionSpec>,
        /// Who we are.
        #[command(flatten)]
        identity: IdentityArgs,
    },
    /// Forget a name; the version stays
    #[command(after_help = "Examples:\n  weft tag rm /mnt/show first-run")]
    Rm {
        /// The volume: a path in a mount, or weft://HOST/VOLUME
        #[arg(value_hint = ValueHint::AnyPath)]
        target: OsString,
        /// The name
        name: String,
        /// Who we are.
        #[command(flatten)]
        identity: IdentityArgs,
    },
    /// List the names
    #[command(after_help = "Examples:\n  weft tag list /mnt/show --json")]
    List(VolumeArgs),
}

/// A command about one volume.
#[derive(Args, Clone, Debug)]
pub(super) struct VolumeArgs {
    /// The volume: a path in a mount, or weft://HOST/VOLUME
    #[arg(value_hint = ValueHint::AnyPath)]
    pub target: OsString,
    /// How it is printed.
    #[command(flatten)]
    pub format: Format,
    /// Who we are.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `weft retention`.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum RetentionCommand {
    /// Show how much history a volume keeps, and which of its directories keep more
    #[command(after_help = "Examples:\n  weft retention show /mnt/show")]
    Show(VolumeArgs),
    /// Have a volume, or a directory that is to keep more, keep so much history; the newest version and those with a tag always stay
    #[command(
        after_help = "Examples:\n  weft retention set /mnt/show --keep-all 7d --daily 30 --monthly 12\n  weft retention set /mnt/show/finals --forever\n\nA directory's policy can only keep more than what is above it keeps: set the volume's short and those of directories long."
    )]
    Set(RetentionSetArgs),
    /// Take a directory's policy back; what only that kept goes
    #[command(after_help = "Examples:\n  weft retention unset /mnt/show/finals")]
    Unset(VolumeArgs),
    /// Show what the policies let go of a volume or directory, before it goes
    #[command(
        after_help = "Examples:\n  weft retention explain /mnt/show\n  weft retention explain weft://server/show/finals --json"
    )]
    Explain(VolumeArgs),
}

/// `weft retention set`.
#[derive(Args, Clone, Debug)]
pub(super) struct RetentionSetArgs {
    /// The volume or a directory in it: a path in a mount, or weft://HOST/VOLUME[/DIRECTORY]
    #[arg(value_hint = ValueHint::AnyPath)]
    pub target: OsString,
    /// Keep every version for ever
    #[arg(long, conflicts_with_all = ["keep_all", "hourly", "daily", "weekly", "monthly"])]
    pub forever: bool,
    /// Keep every version for so long [default: 0 if periods are given]
    #[arg(long, value_name = "SPAN", value_parser = human::parse_duration)]
    pub keep_all: Option<Duration>,
    /// Of older ones keep the last of each of the newest N hours that have versions
    #[arg(long, value_name = "N")]
    pub hourly: Option<u32>,
    /// Likewise for days
    #[arg(long, value_name = "N")]
    pub daily: Option<u32>,
    /// Likewise for weeks
    #[arg(long, value_name = "N")]
    pub weekly: Option<u32>,
    /// Likewise for months
    #[arg(long, value_name = "N")]
    pub monthly: Option<u32>,
    /// Set a policy by which the whole past of the volume goes
    #[arg(long, conflicts_with = "forever")]
    pub force: bool,
    /// Who we are.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `weft send`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  weft send /mnt/show/shots --output shots-1.weft\n  weft send /mnt/show/shots --from 4711 --at first-run --output shots-2.weft\n  weft send /mnt/show | ssh backup weft receive weft://vault/show\n\nA difference holds what changed since the version that --from names; it is received where that version was received before."
)]
pub(super) struct SendArgs {
    /// A file or directory: a path in a mount, or weft://HOST/VOLUME/PATH
    #[arg(value_hint = ValueHint::AnyPath)]
    pub target: OsString,
    /// The version to send: a number, a tag, or @TIME (otherwise the newest)
    #[arg(long, value_name = "VERSION")]
    pub at: Option<VersionSpec>,
    /// Only what is different from this version
    #[arg(long, value_name = "VERSION")]
    pub from: Option<VersionSpec>,
    /// A new file for the stream (otherwise standard output)
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Who we are.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `weft receive`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  weft receive /mnt/vault/shots --input shots-1.weft     a new directory\n  weft receive /mnt/vault/shots --input shots-2.weft     brings it up to date\n\nThe stream is checked to its end before anything is changed. Each change is a version like any other."
)]
pub(super) struct ReceiveArgs {
    /// Where: a path that does not exist or, for a difference, that was received before; weft://HOST/VOLUME for a whole volume
    #[arg(value_hint = ValueHint::AnyPath)]
    pub target: OsString,
    /// The file that weft send made (otherwise standard input)
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub input: Option<PathBuf>,
    /// How it is printed.
    #[command(flatten)]
    pub format: Format,
    /// Who we are.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `weft gc`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  weft gc /mnt/show\n  weft gc weft://server/show --no-wait\n\nThe servers do the same by themselves every few minutes. What somebody still reads goes when it is closed."
)]
pub(super) struct GcArgs {
    /// The volume: a path in a mount, or weft://HOST/VOLUME
    #[arg(value_hint = ValueHint::AnyPath)]
    pub target: OsString,
    /// Do not wait until everything is deleted
    #[arg(long)]
    pub no_wait: bool,
    /// Delete orphans also of a provider that holds more than a thousand of them and little else: after it was away for long
    #[arg(long, conflicts_with = "no_wait")]
    pub force: bool,
    /// Who we are.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `weft verify`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  weft verify shots/frame.0042.exr\n  weft verify /mnt/show/shots --at first-run\n  weft verify weft://server/show --json\n\nThe exit status is 1 if any copy of anything is damaged, missing, or on a provider that does not answer."
)]
pub(super) struct VerifyArgs {
    /// A file, or a directory with all that is below it: a path in a mount, or weft://HOST/VOLUME/PATH
    #[arg(value_hint = ValueHint::AnyPath)]
    pub target: OsString,
    /// The version: a number, a tag, or @TIME [default: the newest]
    #[arg(long, value_name = "VERSION")]
    pub at: Option<VersionSpec>,
    /// How it is printed.
    #[command(flatten)]
    pub format: Format,
    /// Who we are.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// `weft fsck`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  weft fsck weft://server\n  weft fsck /mnt/show --json\n\nOrphaned page objects are found only by a check of the whole cluster, since any volume might need them.\nThe exit status is 1 if anything is wrong."
)]
pub(super) struct FsckArgs {
    /// What about: weft://HOST for everything, or a volume.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// `weft df`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  weft df weft://server\n  weft df /mnt/show --json\n\nBytes on disks: every copy counts, and what the stores add to each object. It goes through all nodes and reads no page."
)]
pub(super) struct DfArgs {
    /// What about.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// `weft du`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  weft du /mnt/show/shots\n  weft du --history shots/frame.0042.exr\n  weft du weft://server/show --history --json\n\nWhat several files share is counted once."
)]
pub(super) struct DuArgs {
    /// A file or directory: a path in a mount, or weft://HOST/VOLUME/PATH
    #[arg(value_hint = ValueHint::AnyPath)]
    pub target: OsString,
    /// Count what older kept versions need as well
    #[arg(long)]
    pub history: bool,
    /// How it is printed.
    #[command(flatten)]
    pub format: Format,
    /// Who we are.
    #[command(flatten)]
    pub identity: IdentityArgs,
}
