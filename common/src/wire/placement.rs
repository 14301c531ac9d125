//! The cluster map: who there is, who holds what, who is alive.

use crate::id::{ClusterId, GroupId, Incarnation, NodeId, ProviderId};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A versioned table of providers, replica groups and metadata partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterMap {
    /// The cluster.
    pub cluster: ClusterId,
    /// Raised with every change of the map.
    pub epoch: u64,
    /// Everybody who ever joined and was not removed.
    pub providers: Vec<ProviderInfo>,
    /// Sets of data providers; a page object lies on all members of one.
    pub groups: Vec<ReplicaGroup>,
    /// For each metadata partition all metadata providers, best first. A node lies on the first so many *living* ones.
    pub partitions: Vec<Vec<ProviderId>>,
}

impl ClusterMap {
    /// The provider with that id.
    #[must_use]
    pub fn provider(&self, id: ProviderId) -> Option<&ProviderInfo> {
        self.providers.iter().find(|provider| provider.id == id)
    }

    /// The group with that id.
    #[must_use]
    pub fn group(&self, id: GroupId) -> Option<&ReplicaGroup> {
        self.groups.iter().find(|group| group.id == id)
    }

    /// The metadata providers of a node, best first. Empty while no metadata provider has joined.
    #[must_use]
    pub fn metadata_providers(&self, node: &NodeId) -> &[ProviderId] {
        let mut bytes = [0u8; 32];
        bytes[..4].copy_from_slice(&node.blob.volume.0.to_le_bytes());
        bytes[4..12].copy_from_slice(&node.blob.number.to_le_bytes());
        bytes[12..20].copy_from_slice(&node.version.0.to_le_bytes());
        bytes[20] = node.level;
        bytes[21..29].copy_from_slice(&node.index.to_le_bytes());
        match self.partitions.len() {
            0 => &[],
            count => &self.partitions[(crate::checksum::crc64(&bytes) % count as u64) as usize],
        }
    }
}

/// What a provider stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ProviderRole {
    /// Page objects.
    Data,
    /// Tree nodes.
    Metadata,
}

/// What the provider manager thinks of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ProviderState {
    /// It reports, and takes data.
    Alive,
    /// It has not reported for longer than its lease.
    Dead,
    /// It reports, but its disk is (nearly) full: it is read from only.
    Full,
}

/// One provider: one store folder of one role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderInfo {
    /// Its id.
    pub id: ProviderId,
    /// What it stores.
    pub role: ProviderRole,
    /// Where it answers.
    pub address: String,
    /// Fails together with others of the same zone (rack, room); free text.
    pub zone: String,
    /// Its state.
    pub state: ProviderState,
    /// Bytes its disk holds.
    pub total_bytes: u64,
    /// Bytes free for it.
    pub free_bytes: u64,
    /// The incarnation of its store when it last joined.
    pub incarnation: Incarnation,
    /// It came back in another incarnation: of what is in the log since this moment (of the log's own time) it may have lost something,
    /// and nobody has looked yet what.
    pub lost_since: Option<Timestamp>,
}

/// A copyset: the data providers that hold the same page objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaGroup {
    /// Its id.
    pub id: GroupId,
    /// Its members; as many as copies.
    pub members: Vec<ProviderId>,
}

/// Asked of the provider manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlacementRequest {
    /// A store folder joins, or comes back after a restart. Answer: `Joined`. A new folder is given an id by it, and is a member once
    /// it has that written down and joins with it: so an answer that is lost leaves no member behind that nobody is.
    Join {
        /// What it stores.
        role: ProviderRole,
        /// The id in its store folder; `None` for a new folder.
        provider: Option<ProviderId>,
        /// The cluster in its store folder; `None` for a new folder. Another cluster's folder is refused.
        cluster: Option<ClusterId>,
        /// Where it answers.
        address: String,
        /// Its zone.
        zone: String,
        /// Its space.
        space: Space,
        /// The incarnation of its store. Another one than before: it may have lost what it had not synced.
        incarnation: Incarnation,
    },
    /// Still here. Answer: `Heard`.
    Heartbeat {
        /// Who.
        provider: ProviderId,
        /// Its space.
        space: Space,
        /// What it took before it was told this time (by a `Heard`) is on stable storage.
        synced: Timestamp,
    },
    /// The cluster map, if it is another than the one of the epoch given. Answer: `Map` or `Epoch`.
    Map {
        /// The epoch that the asker has; 0 for none.
        known: u64,
    },
    /// Server only: what the provider lost by coming into that incarnation was looked into. Answer: `Epoch`.
    Examined {
        /// Who.
        provider: ProviderId,
        /// If it is in another one by now, it is to be looked into again.
        incarnation: Incarnation,
    },
}

/// A provider's disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// Bytes the disk holds.
    pub total_bytes: u64,
    /// Bytes free.
    pub free_bytes: u64,
    /// Bytes that the provider's own objects take.
    pub used_bytes: u64,
    /// Bytes that its files take: besides the objects what is left of deleted ones.
    pub file_bytes: u64,
    /// Objects or nodes it holds.
    pub objects: u64,
}

/// The provider manager's answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlacementReply {
    /// To `Join`.
    Joined {
        /// The id to keep in the store folder.
        provider: ProviderId,
        /// The cluster that the folder now belongs to.
        cluster: ClusterId,
    },
    /// The epoch of the map as it stands.
    Epoch(u64),
    /// The whole map.
    Map(Box<ClusterMap>),
    /// To `Heartbeat`.
    Heard {
        /// The time of the newest command that was carried out: versions that were published at an earlier time were published before.
        time: Timestamp,
    },
}
