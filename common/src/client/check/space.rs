//! Space that adds up: every byte that providers hold, by what it is there for.

use super::Class;
use super::census::Mode;
use super::stock::Purpose;
use crate::client::ClientError;
use crate::client::cluster::Cluster;
use crate::id::VolumeId;
use crate::wire::{ProviderInfo, Space};
use std::collections::BTreeMap;

/// Bytes by what they are there for, copies and what stores add to each object included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Files as they are now.
    pub live_bytes: u64,
    /// Versions that are kept.
    pub history_bytes: u64,
    /// Versions that are not kept any more and wait for collection.
    pub waiting_bytes: u64,
    /// Updates that are not published yet.
    pub in_flight_bytes: u64,
}

impl Use {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.live_bytes + self.history_bytes + self.waiting_bytes + self.in_flight_bytes
    }

    fn add(&mut self, class: Class, bytes: u64) {
        *match class {
            Class::Live => &mut self.live_bytes,
            Class::History => &mut self.history_bytes,
            Class::Waiting => &mut self.waiting_bytes,
            Class::InFlight => &mut self.in_flight_bytes,
        } += bytes;
    }
}

impl std::ops::AddAssign for Use {
    fn add_assign(&mut self, more: Self) {
        self.live_bytes += more.live_bytes;
        self.history_bytes += more.history_bytes;
        self.waiting_bytes += more.waiting_bytes;
        self.in_flight_bytes += more.in_flight_bytes;
    }
}

/// A provider's share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderUse {
    /// Who.
    pub provider: ProviderInfo,
    /// What it counts itself; `None` if it did not answer.
    pub space: Option<Space>,
    /// What it holds for each volume.
    pub volumes: BTreeMap<VolumeId, Use>,
    /// What an open session stored and has not published (yet).
    pub session_bytes: u64,
    /// What nothing needs.
    pub orphan_bytes: u64,
}

/// The space of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpaceReport {
    /// Each provider's share.
    pub providers: Vec<ProviderUse>,
}

impl SpaceReport {
    /// What all providers hold for a volume.
    #[must_use]
    pub fn of_volume(&self, volume: VolumeId) -> Use {
        let mut sum = Use::default();
        self.providers.iter().filter_map(|provider| provider.volumes.get(&volume)).for_each(|part| sum += *part);
        sum
    }
}

impl Cluster {
    /// Counts every byte that the living providers hold. Goes through all nodes of all volumes, and needs memory like
    /// [`Cluster::fsck`], but reads no page.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn space_report(&self) -> Result<SpaceReport, ClientError> {
        let mut census = self.begin_census().await?;
        let named = self.volumes().await?;
        for volume in &named {
            self.mark_contents(&mut census, volume.id, &mut Mode::Mark).await?;
        }
        for volume in self.volumes_to_collect().await? {
            self.mark_blobs(&mut census, volume, &mut Mode::Mark).await?;
        }
        census.is_whole = true;
        let (providers, absent) = self.askable();
        let mut report = SpaceReport::default();
        for provider in providers {
            let mut part = empty(provider.clone());
            part.space = Some(self.space_of(&provider).await?);
            self.take_stock(&census, &provider, &mut |copies| {
                for (_, bytes, purpose) in copies {
                    match purpose {
                        Purpose::Needed(volume, class) => part.volumes.entry(volume).or_default().add(class, bytes),
                        Purpose::Session => part.session_bytes += bytes,
                        Purpose::Orphan | Purpose::Unknown => part.orphan_bytes += bytes,
                    }
                }
            })
            .await?;
            report.providers.push(part);
        }
        report.providers.extend(absent.into_iter().map(empty));
        Ok(report)
    }
}

fn empty(provider: ProviderInfo) -> ProviderUse {
    ProviderUse { provider, space: None, volumes: BTreeMap::new(), session_bytes: 0, orphan_bytes: 0 }
}
