//! `mount.weft SPEC DIR [-sfnv] [-o OPTIONS]`: how mount(8) and `/etc/fstab` mount a volume. The `weft` binary plays this role
//! when it is called by that name (`ln -s weft /sbin/mount.fuse.weft`).
//!
//! Every `-o` option is a flag of `weft mount` under its name with underscores. An option that is not known is an error that
//! names it: a typing error in fstab must not mount something else than was meant.

use super::args::{IdentityArgs, MountArgs, MountFlags};
use super::human;
use super::target::SCHEME;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Names that make the binary a mount helper.
const HELPER_NAMES: [&str; 3] = ["mount.weft", "mount.fuse.weft", "mount.fuse3.weft"];

/// Options of mount(8) and fstab(5) that are dealt with before the helper, or that say what is so anyway.
const WITHOUT_MEANING: [&str; 23] = [
    "defaults",
    "rw",
    "_netdev",
    "nofail",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "owner",
    "group",
    "async",
    "nosuid",
    "nodev",
    "exec",
    "atime",
    "noatime",
    "relatime",
    "nodiratime",
    "silent",
    "loud",
    "default_permissions",
    "lazytime",
];

/// What is to be mounted, or nothing (`-f` checks only).
#[derive(Debug)]
pub(super) struct Request {
    /// As `weft mount` takes it.
    pub args: MountArgs,
    /// Only check.
    pub fake: bool,
}

/// Whether `program` is a name under which the binary is a mount helper.
#[must_use]
pub(super) fn is_helper(program: &OsStr) -> bool {
    std::path::Path::new(program).file_name().is_some_and(|name| HELPER_NAMES.iter().any(|helper| name == *helper))
}

/// Reads a helper's arguments, without the program's name.
///
/// # Errors
/// A sentence that names what is wrong.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, String> {
    let mut places = Vec::new();
    let mut options = Vec::new();
    let (mut fake, mut sloppy) = (false, false);
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("-o") => options.push(arguments.next().ok_or("-o needs options behind it")?),
            Some("-t" | "-N") => drop(arguments.next()),
            Some(text) if text.starts_with("-o") => options.push(text[2..].into()),
            Some(flags) if flags.len() > 1 && flags.starts_with('-') => {
                for flag in flags[1..].chars() {
                    match flag {
                        'f' => fake = true,
                        's' => sloppy = true,
                        'n' | 'v' | 'w' => {}
                        'r' => options.push("ro".into()),
                        _ => return Err(format!("-{flag} is not known; usage: mount.weft SPEC DIR [-sfnv] [-o OPTIONS]")),
                    }
                }
            }
            _ => places.push(argument),
        }
    }
    let [spec, directory] = <[OsString; 2]>::try_from(places).map_err(|_| "usage: mount.weft SPEC DIR [-sfnv] [-o OPTIONS]")?;
    let mut how = MountFlags { daemon: true, ..MountFlags::default() };
    for list in options {
        let list = list.into_string().map_err(|list| format!("options must be UTF-8: {}", list.display()))?;
        for option in list.split(',').filter(|option| !option.is_empty()) {
            apply(&mut how, option, sloppy)?;
        }
    }
    let (local, places) = split_spec(spec, directory)?;
    if local.is_none() && (how.volume.is_some() || how.page_size.is_some() || how.fan_out.is_some()) {
        return Err("volume, page_size and fan_out are for a local store folder; a cluster's volume is named in its URL".into());
    }
    Ok(Request { args: MountArgs { local, places, how }, fake })
}

/// A URL is a cluster's volume, an absolute path a local store folder.
fn split_spec(spec: OsString, directory: OsString) -> Result<(Option<PathBuf>, Vec<OsString>), String> {
    let text = spec.to_string_lossy();
    if text.starts_with(SCHEME) {
        return Ok((None, vec![spec, directory]));
    }
    if text.starts_with('/') {
        return Ok((Some(spec.into()), vec![directory]));
    }
    Err(format!("'{text}' is neither {SCHEME}HOST/VOLUME nor the absolute path of a local store folder"))
}

fn apply(how: &mut MountFlags, option: &str, sloppy: bool) -> Result<(), String> {
    let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
    let needed = || value.filter(|value| !value.is_empty()).ok_or_else(|| format!("option {name} needs a value: {name}=…"));
    let about = |message: String| format!("option {name}: {message}");
    match name {
        "ro" | "read_only" => how.read_only = true,
        "allow_other" => how.allow_other = true,
        "show_versions" => how.show_versions = true,
        "local_locks" => how.local_locks = true,
        "timeout" => how.timeout = Some(human::parse_duration(needed()?).map_err(about)?),
        "cache_dir" => how.cache_dir = Some(needed()?.into()),
        "memory" => how.memory = Some(human::parse_size(needed()?).map_err(about)?),
        "log" => how.log = Some(needed()?.into()),
        "identity" => how.identity = IdentityArgs { identity: Some(needed()?.into()) },
        "volume" => how.volume = Some(needed()?.into()),
        "page_size" => how.page_size = Some(human::parse_size_u32(needed()?).map_err(about)?),
        "fan_out" => how.fan_out = Some(needed()?.parse().map_err(|_| format!("option {option}: not a number"))?),
        _ if WITHOUT_MEANING.contains(&name) || name.starts_with("x-") || name.starts_with("X-") || name == "comment" => {}
        _ if sloppy => {}
        _ => return Err(format!("option {name} is not known to mount.weft; see mount.weft(8)")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Request, String> {
        parse(text.split(' ').map(OsString::from))
    }

    #[test]
    fn the_helper_is_known_by_its_name() {
        for name in ["/sbin/mount.fuse.weft", "mount.weft", "/sbin/mount.weft"] {
            assert!(is_helper(OsStr::new(name)), "{name}");
        }
        for name in ["weft", "/usr/bin/weft", "umount.weft", "xmount.weft"] {
            assert!(!is_helper(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn fstab_lines_are_understood() {
        let line =
            "weft://a,b:7/show /mnt -n -o rw,_netdev,nofail,x-systemd.automount,allow_other,timeout=5s,memory=1G,identity=/etc/w";
        let request = read(line).unwrap();
        assert!(!request.fake && request.args.local.is_none());
        assert_eq!(request.args.places, ["weft://a,b:7/show", "/mnt"]);
        let how = request.args.how;
        assert!(how.daemon && how.allow_other && !how.read_only);
        assert_eq!(how.timeout, Some(std::time::Duration::from_secs(5)));
        assert_eq!((how.memory, how.identity.identity), (Some(1 << 30), Some("/etc/w".into())));
    }

    #[test]
    fn a_local_folder_and_flags() {
        let request = read("/srv/weft /mnt -fv -oro,show_versions,page_size=64K,fan_out=2,volume=a -t fuse.weft").unwrap();
        assert!(request.fake);
        assert_eq!((request.args.local, request.args.places), (Some("/srv/weft".into()), vec!["/mnt".into()]));
        let how = request.args.how;
        assert!(how.read_only && how.show_versions);
        assert_eq!((how.page_size, how.fan_out, how.volume.as_deref()), (Some(65536), Some(2), Some("a")));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, problem) in [
            ("weft://a/v /mnt -o allow_ohter", "allow_ohter"),
            ("weft://a/v /mnt -o suid", "suid"),
            ("weft://a/v /mnt -o timeout=soon", "timeout"),
            ("weft://a/v /mnt -o memory", "memory"),
            ("weft://a/v /mnt -o page_size=64K", "page_size"),
            ("weft://a/v /mnt -x", "-x"),
            ("weft://a/v", "usage"),
            ("server:/v /mnt", "server:/v"),
        ] {
            let message = read(line).unwrap_err();
            assert!(message.contains(problem), "{line}: {message}");
        }
        assert!(read("weft://a/v /mnt -s -o allow_ohter").is_ok());
    }
}
