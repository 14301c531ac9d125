//! Small files that a node keeps beside its roles' folders.

use super::NodeError;
use std::io::Write;
use std::path::Path;
use weft_common::id::ClusterId;

/// The cluster that a version manager's folder belongs to. (Provider's stores keep theirs themselves.)
const CLUSTER_FILE: &str = "cluster";

fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> NodeError + 'a {
    move |source| NodeError::Io { action, path: path.to_owned(), source }
}

/// The version manager's `folder` belongs to `cluster` from now on.
///
/// # Errors
/// [`NodeError::OtherCluster`] if it belongs to another already.
pub(super) fn claim(folder: &Path, cluster: ClusterId) -> Result<(), NodeError> {
    std::fs::create_dir_all(folder).map_err(io_error("make", folder))?;
    let path = folder.join(CLUSTER_FILE);
    match std::fs::read_to_string(&path) {
        Ok(found) if found.trim() == cluster.to_string() => Ok(()),
        Ok(found) => {
            Err(NodeError::OtherCluster { folder: folder.to_owned(), found: found.trim().to_owned(), expected: cluster })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => replace(&path, &format!("{cluster}\n")),
        Err(error) => Err(io_error("read", &path)(error)),
    }
}

/// Writes `text` to `path` so that a reader sees the old file or the new one, whole, after a power loss too.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), NodeError> {
    let draft = path.with_extension("tmp");
    let write = || {
        let mut file = std::fs::File::create(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&draft, path)?;
        match path.parent() {
            Some(folder) => std::fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    write().map_err(io_error("write", path))
}
