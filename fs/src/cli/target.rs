//! What a command is about: a path inside a mount, or a URL.
//!
//! ```text
//! weft://HOST[:PORT][,HOST[:PORT]…][/VOLUME[/PATH…]][?identity=FOLDER][&process=PID]
//! ```
//! A mount tells its own URL in the extended attribute `system.weft.mount` of its root, so that `weft log frame.exr` needs no
//! more than the path. Names that a URL cannot carry are percent-encoded.

use super::error::CliError;
use super::mounts;
use super::version::VersionSpec;
use crate::inode::Label;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use weft_common::name::FileName;
use weft_common::rpc::DEFAULT_PORT;

/// The extended attribute that tells a mount's URL.
pub(super) const MOUNT_XATTR: &str = "system.weft.mount";
/// What every URL starts with.
pub(super) const SCHEME: &str = "weft://";

/// A cluster, perhaps a volume in it, perhaps a path in that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    /// `host:port` of the servers to ask first.
    pub servers: Vec<String>,
    /// The volume.
    pub volume: Option<String>,
    /// Components below the volume's root.
    pub path: Vec<FileName>,
    /// Folder of the certificate to show.
    pub identity: Option<PathBuf>,
    /// The process that serves the mount, when a mount tells its URL.
    pub process: Option<u32>,
}

/// Why a text is no URL of a volume.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UrlError {
    /// Something else than `weft://`.
    #[error("'{0}' is no WeftFS URL; write weft://HOST[:PORT][,HOST…]/VOLUME")]
    Scheme(String),
    /// No host, or a port that is none.
    #[error("'{0}' is no server; write HOST or HOST:PORT, several with commas between them")]
    Server(String),
    /// A part after `?` that is not known.
    #[error("'{0}' is not known in a WeftFS URL; only ?identity=FOLDER and process=PID are")]
    Parameter(String),
    /// A `%` without two hexadecimal digits, or a name that no file can have.
    #[error("'{0}' is no name that a file can have")]
    Name(String),
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| UrlError::Scheme(text.into()))?;
        let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (servers, path) = rest.split_once('/').unwrap_or((rest, ""));
        let servers = servers.split(',').map(parse_server).collect::<Result<Vec<_>, _>>()?;
        let (mut identity, mut process) = (None, None);
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("identity", folder)) => identity = Some(PathBuf::from(std::ffi::OsString::from_vec(decode(folder)?))),
                Some(("process", id)) => process = Some(id.parse().map_err(|_| UrlError::Parameter(parameter.into()))?),
                _ => return Err(UrlError::Parameter(parameter.into())),
            }
        }
        let mut names = path.split('/').filter(|name| !name.is_empty());
        let volume = names.next().map(str::to_owned);
        let path = names.map(parse_name).collect::<Result<_, _>>()?;
        Ok(Self { servers, volume, path, identity, process })
    }
}

fn parse_server(text: &str) -> Result<String, UrlError> {
    let wrong = || UrlError::Server(text.into());
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
            (format!("[{host}]"), rest.strip_prefix(':').or(if rest.is_empty() { None } else { Some("?") }))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (text.to_owned(), None),
        },
    };
    let port: u16 = port.map_or(Ok(DEFAULT_PORT), str::parse).map_err(|_| wrong())?;
    let bad = |c: char| c.is_whitespace() || c == '/';
    if host.is_empty() || host == "[]" || host.contains(bad) || port == 0 { Err(wrong()) } else { Ok(format!("{host}:{port}")) }
}

fn parse_name(text: &str) -> Result<FileName, UrlError> {
    FileName::new(decode(text)?).map_err(|_| UrlError::Name(text.into()))
}

fn decode(text: &str) -> Result<Vec<u8>, UrlError> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => decoded.push((high * 16 + low) as u8),
            _ => return Err(UrlError::Name(text.into())),
        }
    }
    Ok(decoded)
}

fn encode(bytes: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~@+,:=".contains(&byte);
    bytes.iter().map(|&byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{SCHEME}{}", self.servers.join(","))?;
        if let Some(volume) = &self.volume {
            write!(formatter, "/{volume}")?;
        }
        for name in &self.path {
            write!(formatter, "/{}", encode(name.as_bytes()))?;
        }
        let identity = self.identity.as_ref().map(|folder| format!("identity={}", encode(folder.as_os_str().as_bytes())));
        let process = self.process.map(|id| format!("process={id}"));
        for (separator, parameter) in ["?", "&"].into_iter().zip(identity.into_iter().chain(process)) {
            write!(formatter, "{separator}{parameter}")?;
        }
        Ok(())
    }
}

/// Finds out what `target` is about: a URL as it stands, or a path through the mount that it lies in. The path itself need not
/// exist (a deleted file has a history too); the mount's root is found from what does.
///
/// # Errors
/// [`CliError`] says why it is neither.
pub(super) fn resolve(target: &OsStr) -> Result<Url, CliError> {
    match target.to_str() {
        Some(text) if text.starts_with(SCHEME) => Ok(text.parse()?),
        _ => resolve_path(Path::new(target)),
    }
}

/// A path into the past: `.versions/VERSION/PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Past {
    /// The version.
    pub version: VersionSpec,
    /// Components below it.
    pub path: Vec<FileName>,
}

/// As [`resolve`], also for what lies in a directory's `.versions`. The URL's path is that of the directory then.
///
/// # Errors
/// [`CliError`] says why it is neither.
pub(super) fn resolve_anywhen(target: &OsStr) -> Result<(Url, Option<Past>), CliError> {
    let mut url = match target.to_str() {
        Some(text) if text.starts_with(SCHEME) => text.parse()?,
        _ => locate(Path::new(target))?,
    };
    let Some(place) = url.path.iter().position(FileName::is_reserved) else { return Ok((url, None)) };
    let in_history = || CliError::PathInHistory(PathBuf::from(target));
    let mut below = url.path.split_off(place).into_iter();
    let is_versions = below.next().is_some_and(|name| name.as_bytes() == b".versions");
    let label = below.next().filter(|_| is_versions).and_then(|name| Label::parse(name.as_bytes())).ok_or_else(in_history)?;
    let path: Vec<_> = below.collect();
    if path.iter().any(FileName::is_reserved) {
        return Err(in_history());
    }
    Ok((url, Some(Past { version: label.into(), path })))
}

fn resolve_path(path: &Path) -> Result<Url, CliError> {
    let url = locate(path)?;
    if url.path.iter().any(FileName::is_reserved) { Err(CliError::PathInHistory(path.to_owned())) } else { Ok(url) }
}

fn locate(path: &Path) -> Result<Url, CliError> {
    let (existing, missing) = split_existing(path)?;
    let root = mount_root(&existing).map_err(CliError::io(path.display().to_string()))?;
    let mut url: Url = match mount_url(&root) {
        Some(text) => text.parse()?,
        None if is_kept_out(path) => return Err(CliError::ForeignMount(path.to_owned())),
        None => return Err(CliError::NotInMount(path.to_owned())),
    };
    let below = existing.strip_prefix(&root).unwrap_or(Path::new("")).join(missing);
    for component in below.components() {
        let Component::Normal(name) = component else { return Err(CliError::NotInMount(path.to_owned())) };
        url.path.push(FileName::new(name.as_bytes()).map_err(|_| UrlError::Name(name.to_string_lossy().into_owned()))?);
    }
    Ok(url)
}

/// Whether `path` lies in a WeftFS mount that its user keeps to themself.
fn is_kept_out(path: &Path) -> bool {
    let Ok(absolute) = std::path::absolute(path) else { return false };
    let is_denied =
        |path: &Path| path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
    let is_ours = |path: &Path| mounts::at(path).is_ok_and(|mount| mount.is_some_and(|mount| mount.fs_type == mounts::FS_TYPE));
    absolute.ancestors().any(|path| is_ours(path) && is_denied(path))
}

/// Splits an absolute form of `path` into the longest part that exists and the rest. Symlinks are resolved, except that a path
/// which is one stands for itself.
fn split_existing(path: &Path) -> Result<(PathBuf, PathBuf), CliError> {
    let absolute = std::path::absolute(path).map_err(CliError::io(path.display().to_string()))?;
    let mut existing = absolute.as_path();
    loop {
        let is_link = existing == absolute && existing.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
        let real = match (is_link, existing.parent(), existing.file_name()) {
            (true, Some(parent), Some(name)) => parent.canonicalize().map(|parent| parent.join(name)),
            _ => existing.canonicalize(),
        };
        if let Ok(real) = real {
            return Ok((real, absolute.strip_prefix(existing).unwrap_or(Path::new("")).to_owned()));
        }
        match existing.parent() {
            Some(parent) => existing = parent,
            None => return Err(CliError::NotInMount(path.to_owned())),
        }
    }
}

/// The topmost directory on the same filesystem as `path`.
fn mount_root(path: &Path) -> std::io::Result<PathBuf> {
    let device = path.symlink_metadata()?.dev();
    let same = |parent: &&Path| parent.symlink_metadata().is_ok_and(|metadata| metadata.dev() == device);
    Ok(path.ancestors().take_while(same).last().unwrap_or(path).to_owned())
}

fn mount_url(root: &Path) -> Option<String> {
    let mut value = vec![0; 4096];
    let length = rustix::fs::getxattr(root, MOUNT_XATTR, value.as_mut_slice()).ok()?;
    value.truncate(length);
    String::from_utf8(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> FileName {
        FileName::new(text).unwrap()
    }

    #[test]
    fn urls_are_read() {
        let url: Url = "weft://a,b:7,[::1],[fe80::1]:8/show/shots/f%20x.exr?identity=/etc/my%20weft".parse().unwrap();
        assert_eq!(url.servers, ["a:9338", "b:7", "[::1]:9338", "[fe80::1]:8"]);
        assert_eq!(url.volume.as_deref(), Some("show"));
        assert_eq!(url.path, [name("shots"), name("f x.exr")]);
        assert_eq!(url.identity.as_deref(), Some(Path::new("/etc/my weft")));
        let bare: Url = "weft://server".parse().unwrap();
        assert_eq!((bare.volume, bare.path.len()), (None, 0));
        assert_eq!("weft://server/".parse::<Url>().unwrap().volume, None);
    }

    #[test]
    fn urls_round_trip() {
        for text in [
            "weft://a:1/v",
            "weft://a:1/v?identity=/a&process=7",
            "weft://a:1/v?process=7",
            "weft://a:1,b:2/v/x%20y/%FF%25?identity=/a%3Fb",
            "weft://[::1]:5",
        ] {
            assert_eq!(text.parse::<Url>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn bad_urls_say_what_is_wrong() {
        for (text, problem) in [
            ("http://a/v", "weft://HOST"),
            ("weft:///v", "server"),
            ("weft://a,,b/v", "server"),
            ("weft://a:x/v", "'a:x'"),
            ("weft://a:0/v", "'a:0'"),
            ("weft://a:99999/v", "'a:99999'"),
            ("weft://[::1/v", "'[::1'"),
            ("weft://[::1]x/v", "'[::1]x'"),
            ("weft://a/v?colour=red", "'colour=red'"),
            ("weft://a/v/%2", "'%2'"),
            ("weft://a/v/..", "'..'"),
        ] {
            let message = text.parse::<Url>().unwrap_err().to_string();
            assert!(message.contains(problem), "{text}: {message}");
        }
    }

    #[test]
    fn the_past_of_a_directory_is_found_in_a_url() {
        let of = |text: &str| resolve_anywhen(OsStr::new(text)).map(|(url, past)| (url.path.len(), past));
        let past = |version, path: &[&str]| Some(Past { version, path: path.iter().map(|text| name(text)).collect() });
        assert_eq!(of("weft://a/v/d/f").unwrap(), (2, None));
        let number = VersionSpec::Number(weft_common::id::VolumeVersion(7));
        assert_eq!(of("weft://a/v/d/.versions/7/e/f").unwrap(), (1, past(number.clone(), &["e", "f"])));
        assert_eq!(of("weft://a/v/.versions/7").unwrap(), (0, past(number, &[])));
        // As the mount reads it: without a zone it is UTC.
        let time = VersionSpec::Time(weft_common::time::Timestamp(60_000_000_000));
        assert_eq!(of("weft://a/v/.versions/@1970-01-01T00:01/f").unwrap(), (0, past(time, &["f"])));
        for text in
            ["weft://a/v/.versions", "weft://a/v/.history/f/7", "weft://a/v/.versions/7/.versions/8", "weft://a/v/.versions/07"]
        {
            assert!(matches!(of(text), Err(CliError::PathInHistory(_))), "{text}");
        }
    }

    #[test]
    fn a_path_outside_any_mount_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = resolve(folder.path().join("not/there").as_os_str()).unwrap_err();
        assert!(matches!(error, CliError::NotInMount(_)), "{error}");
    }

    #[test]
    fn the_part_that_exists_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        std::fs::create_dir(real.join("d")).unwrap();
        std::os::unix::fs::symlink("d", real.join("link")).unwrap();
        assert_eq!(split_existing(&real.join("link/x/y")).unwrap(), (real.join("d"), PathBuf::from("x/y")));
        assert_eq!(split_existing(&real.join("link")).unwrap(), (real.join("link"), PathBuf::new()));
    }
}
