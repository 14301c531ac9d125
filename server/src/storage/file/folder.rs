//! A store folder's identity: whose it is, so that a disk of another cluster, provider or role is refused.
//!
//! `store.toml` is made with the role when the folder is first opened, and gets cluster and provider when the provider joins.

use super::disk::{Disk, RealDisk};
use crate::storage::StoreError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use weft_common::id::{ClusterId, ProviderId};
use weft_common::wire::ProviderRole;

const NAME: &str = "store.toml";
const DRAFT: &str = "store.toml.tmp";
const FORMAT: u32 = 1;
/// What may lie in a folder that is about to become a store.
const HARMLESS: [&str; 3] = ["lock", "lost+found", DRAFT];
const COMMENT: &str =
    "# The identity of this WeftFS store folder. weftd writes it; with another content the folder is refused.\n";

/// Cluster and provider that a folder belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The provider.
    pub provider: ProviderId,
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of cluster {}", self.provider, self.cluster)
    }
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u32,
    role: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<u32>,
}

/// An opened store folder; nobody else can open it while this lives.
#[derive(Debug)]
pub(super) struct Folder {
    role: ProviderRole,
    identity: Mutex<Option<Identity>>,
}

fn role_name(role: ProviderRole) -> &'static str {
    match role {
        ProviderRole::Data => "data",
        ProviderRole::Metadata => "metadata",
    }
}

fn io_error(folder: &Path, action: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    let file = folder.to_path_buf();
    move |source| StoreError::Io { action, file, source }
}

/// Makes the folder if need be, and locks it.
pub(super) fn lock(path: &Path) -> Result<RealDisk, StoreError> {
    std::fs::create_dir_all(path).map_err(io_error(path, "create"))?;
    RealDisk::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => StoreError::InUse { folder: path.to_path_buf() },
        _ => io_error(path, "lock")(error),
    })
}

impl Folder {
    /// Reads the identity, or makes one in an empty folder.
    pub(super) fn open(disk: &dyn Disk, role: ProviderRole) -> Result<Self, StoreError> {
        let names = disk.list().map_err(io_error(disk.path(), "list"))?;
        let identity = if names.iter().any(|name| name == NAME) {
            read(disk, role)?
        } else {
            if let Some(found) = names.into_iter().find(|name| !HARMLESS.contains(&name.as_str())) {
                return Err(StoreError::NotAStore { folder: disk.path().to_path_buf(), found });
            }
            write(disk, role, None)?;
            None
        };
        Ok(Self { role, identity: Mutex::new(identity) })
    }

    pub(super) fn identity(&self) -> Option<Identity> {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder belongs to `identity` from now on; an error if it belongs to another.
    pub(super) fn claim(&self, disk: &dyn Disk, identity: Identity) -> Result<(), StoreError> {
        let mut known = self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        match *known {
            Some(known) if known == identity => Ok(()),
            Some(known) => Err(StoreError::WrongFolder {
                folder: disk.path().to_path_buf(),
                found: known.to_string(),
                expected: identity.to_string(),
            }),
            None => {
                write(disk, self.role, Some(identity))?;
                *known = Some(identity);
                Ok(())
            }
        }
    }
}

fn read(disk: &dyn Disk, role: ProviderRole) -> Result<Option<Identity>, StoreError> {
    let path = disk.path().join(NAME);
    let damaged = |what: String| StoreError::Damaged { what, file: path.clone(), offset: 0 };
    let file = disk.open(NAME, false).map_err(io_error(&path, "open"))?;
    let length = file.size().map_err(io_error(&path, "read"))?.end.min(1 << 16) as usize;
    let bytes = file.read(0, length).map_err(io_error(&path, "read"))?;
    let text = String::from_utf8(bytes).map_err(|_| damaged("text that is not UTF-8".into()))?;
    let document: Document =
        toml::from_str(&text).map_err(|error| damaged(format!("no store identity ({})", error.message())))?;
    if document.format != FORMAT {
        return Err(StoreError::Format { file: path, found: document.format.to_string(), expected: FORMAT });
    }
    if document.role != role_name(role) {
        let found = format!("a {} provider", document.role);
        let expected = format!("a {} provider", role_name(role));
        return Err(StoreError::WrongFolder { folder: disk.path().to_path_buf(), found, expected });
    }
    match (document.cluster, document.provider) {
        (None, None) => Ok(None),
        (Some(cluster), Some(provider)) => {
            let cluster = cluster.parse().map_err(|error| damaged(format!("no cluster id ({error})")))?;
            Ok(Some(Identity { cluster, provider: ProviderId(provider) }))
        }
        _ => Err(damaged("half an identity (cluster and provider belong together)".into())),
    }
}

fn write(disk: &dyn Disk, role: ProviderRole, identity: Option<Identity>) -> Result<(), StoreError> {
    let path = disk.path().join(NAME);
    let document = Document {
        format: FORMAT,
        role: role_name(role).into(),
        cluster: identity.map(|identity| identity.cluster.to_string()),
        provider: identity.map(|identity| identity.provider.0),
    };
    let text = toml::to_string(&document).map_err(|error| io_error(&path, "write")(io::Error::other(error)))?;
    let attempt = || replace(disk, DRAFT, NAME, format!("{COMMENT}{text}").as_bytes());
    attempt().map_err(io_error(&path, "write"))
}

/// Makes `name` a file with these bytes, whole and durable, or leaves what was there.
pub(super) fn replace(disk: &dyn Disk, draft: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    match disk.remove(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.open(draft, true)?;
    file.write(0, &[bytes])?;
    file.sync()?;
    disk.rename(draft, name)?;
    disk.sync_folder()
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity { cluster: ClusterId(0xabc), provider: ProviderId(7) };

    fn open(path: &Path, role: ProviderRole) -> Result<(RealDisk, Folder), StoreError> {
        let disk = lock(path)?;
        let folder = Folder::open(&disk, role)?;
        Ok((disk, folder))
    }

    #[test]
    fn a_folder_remembers_whose_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made/on/demand");
        let (disk, folder) = open(&path, ProviderRole::Data).unwrap();
        assert_eq!(folder.identity(), None);
        folder.claim(&disk, IDENTITY).unwrap();
        assert!(matches!(lock(&path), Err(StoreError::InUse { .. })));
        drop(disk);
        let (disk, folder) = open(&path, ProviderRole::Data).unwrap();
        assert_eq!(folder.identity(), Some(IDENTITY));
        folder.claim(&disk, IDENTITY).unwrap();
        let other = Identity { cluster: ClusterId(0xdef), ..IDENTITY };
        let error = folder.claim(&disk, other).unwrap_err().to_string();
        assert!(error.contains("abc") && error.contains("def"), "{error}");
        drop(disk);
        assert!(matches!(open(&path, ProviderRole::Metadata), Err(StoreError::WrongFolder { .. })));
    }

    #[test]
    fn foreign_and_damaged_folders_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("thesis.tex"), "x").unwrap();
        let error = open(directory.path(), ProviderRole::Data).unwrap_err().to_string();
        assert!(error.contains("thesis.tex"), "{error}");
        std::fs::remove_file(directory.path().join("thesis.tex")).unwrap();
        drop(open(directory.path(), ProviderRole::Data).unwrap());
        let write = |text: &str| std::fs::write(directory.path().join(NAME), text).unwrap();
        for text in ["", "format = 1", "format = 1\nrole = 'data'\nprovider = 3", "\u{1}"] {
            write(text);
            assert!(matches!(open(directory.path(), ProviderRole::Data), Err(StoreError::Damaged { .. })), "{text}");
        }
        write("format = 2\nrole = 'data'");
        assert!(matches!(open(directory.path(), ProviderRole::Data), Err(StoreError::Format { .. })));
    }
}
