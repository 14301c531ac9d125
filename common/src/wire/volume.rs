//! Volumes: making, listing, setting, removing.

use crate::id::{VolumeId, VolumeVersion};
use crate::time::Timestamp;
use crate::weave::Geometry;
use serde::{Deserialize, Serialize};

/// What a volume is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSettings {
    /// Page size and fan-out of the blobs made from now on.
    pub geometry: Geometry,
    /// Providers that hold each page object and each node.
    pub copies: u8,
}

/// A volume as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeInfo {
    /// Its id.
    pub id: VolumeId,
    /// Its name: 1 to 64 of `a-z A-Z 0-9 . _ -`, not starting with `.` or `-`.
    pub name: String,
    /// Its settings.
    pub settings: VolumeSettings,
    /// Its newest version.
    pub latest: VolumeVersion,
    /// When it was made.
    pub created: Timestamp,
}

/// Asked of the version manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeRequest {
    /// A new volume.
    Create {
        /// Its name.
        name: String,
        /// Its settings.
        settings: VolumeSettings,
        /// Owner of the root directory (uid, gid).
        owner: (u32, u32),
    },
    /// All volumes, by name.
    List,
    /// One volume.
    Get(String),
    /// Other settings; blobs that exist keep their geometry.
    Set {
        /// Its name.
        name: String,
        /// The new settings.
        settings: VolumeSettings,
    },
    /// The volume and all its history go.
    Remove(String),
}

/// The version manager's answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeReply {
    /// To `Create`, `Get` and `Set`.
    Volume(VolumeInfo),
    /// To `List`.
    Volumes(Vec<VolumeInfo>),
    /// To `Remove`.
    Removed,
}
