//! The whole of a cluster, or one volume: every copy of everything that kept versions show, and what is stored beside it.

use super::census::{Checked, Contradiction, Mode};
use super::stock::{Copies, Copy, Purpose};
use super::taint::Taint;
use super::{Class, Fault};
use crate::client::ClientError;
use crate::client::cluster::Cluster;
use crate::id::{InodeNumber, ProviderId, VolumeId, VolumeVersion};
use crate::limits::{AFFECTED_LISTED_MAX, ORPHANS_LISTED_MAX};
use crate::wire::{Cursor, VolumeInfo};

/// A state of a file that damage concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affected {
    /// The volume.
    pub volume: VolumeId,
    /// The file.
    pub inode: InodeNumber,
    /// The volume version from which on it had this content.
    pub from: VolumeVersion,
    /// The volume version that took it away; `None` if the file has it still.
    pub to: Option<VolumeVersion>,
    /// The newest volume version that is kept and shows it.
    pub shown_at: Option<VolumeVersion>,
    /// Whether some of its bytes have no whole copy.
    pub is_lost: bool,
}

/// Copies on providers that nothing needs, or may need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orphans {
    /// Copies of page objects.
    pub objects: u64,
    /// Copies of nodes.
    pub nodes: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// Some of them: on which provider, and what.
    pub examples: Vec<(ProviderId, String)>,
}

impl Orphans {
    fn add(&mut self, provider: ProviderId, copy: &Copy, bytes: u64) {
        match copy {
            Copy::Node(_) => self.nodes += 1,
            Copy::Object(_) => self.objects += 1,
        }
        self.bytes += bytes;
        if self.examples.len() < ORPHANS_LISTED_MAX {
            let name = match copy {
                Copy::Node(id) => format!("node {id}"),
                Copy::Object(id) => format!("page object {id}"),
            };
            self.examples.push((provider, name));
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects + self.nodes == 0
    }
}

/// What was looked at, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fsck {
    /// Nodes of kept versions, each counted once.
    pub nodes: u64,
    /// Page objects of kept versions, each counted once.
    pub objects: u64,
    /// Bytes of those objects.
    pub bytes: u64,
    /// What has copies that are not as they should be.
    pub faults: Vec<Fault>,
    /// The files and versions that this concerns.
    pub affected: Vec<Affected>,
    /// How many more.
    pub more_affected: u64,
    /// What the version manager's records say against one another.
    pub contradictions: Vec<Contradiction>,
    /// Copies that nothing needs.
    pub orphans: Orphans,
    /// Copies that an open session stored and has not published (yet).
    pub of_sessions: Orphans,
    /// Copies of which it is not known whether anything needs them: only one volume was looked at, or nodes are lost.
    pub unknown: Orphans,
    /// Copies for updates in flight.
    pub in_flight: Orphans,
    /// Copies that versions need which are not kept any more: they are about to be collected.
    pub waiting: Orphans,
    /// Providers that did not say what they hold.
    pub silent: Vec<(ProviderId, String)>,
}

impl Fsck {
    /// Whether every copy of everything is there, and nothing else is.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty() && self.contradictions.is_empty() && self.orphans.is_empty() && self.silent.is_empty()
    }
}

/// Told what a check is doing.
pub type FsckProgress<'a> = &'a mut (dyn FnMut(&str) + Send);

impl Cluster {
    /// Checks one volume, or all. See [`Fsck`]. Needs memory of about 45 bytes for each page object and 32 for each node, and twice
    /// that for nodes if there is damage; its time is proportional to what is stored.
    ///
    /// # Errors
    /// [`ClientError`] when the version manager cannot be asked. What is wrong with providers is in the answer.
    pub async fn fsck(&self, only: Option<&VolumeInfo>, progress: FsckProgress<'_>) -> Result<Fsck, ClientError> {
        let mut census = self.begin_census().await?;
        let mut checked = Checked::default();
        let volumes = match only {
            Some(volume) => vec![volume.clone()],
            None => self.volumes().await?,
        };
        for volume in &volumes {
            progress(&format!("reading every copy of volume {}", volume.name));
            checked.copies = volume.settings.copies;
            self.mark_contents(&mut census, volume.id, &mut Mode::Check(&mut checked)).await?;
            self.mark_blobs(&mut census, volume.id, &mut Mode::Check(&mut checked)).await?;
        }
        if only.is_none() {
            for volume in self.volumes_to_collect().await? {
                if !census.volumes.contains(&volume) {
                    self.mark_blobs(&mut census, volume, &mut Mode::Check(&mut checked)).await?;
                }
            }
            census.is_whole = true;
        }
        let Checked { nodes, objects, bytes, faults, contradictions, .. } = checked;
        let mut fsck = Fsck { nodes, objects, bytes, faults, contradictions, ..Fsck::default() };
        let (providers, absent) = self.askable();
        fsck.silent.extend(absent.into_iter().map(|provider| (provider.id, "it is dead".to_owned())));
        for provider in providers {
            progress(&format!("listing what provider {} holds", provider.id.0));
            let mut count = |copies: Copies| {
                for (copy, bytes, purpose) in copies {
                    if let Some(sum) = fsck.sum_of(purpose) {
                        sum.add(provider.id, &copy, bytes);
                    }
                }
            };
            if let Err(error) = self.take_stock(&census, &provider, &mut count).await {
                fsck.silent.push((provider.id, error.to_string()));
            }
        }
        drop(census);
        if !fsck.faults.is_empty() {
            progress("looking which versions are affected");
            self.find_affected(&volumes, &mut fsck).await?;
        }
        Ok(fsck)
    }

    async fn find_affected(&self, volumes: &[VolumeInfo], fsck: &mut Fsck) -> Result<(), ClientError> {
        let mut taint = Taint::new(&fsck.faults);
        for volume in volumes {
            let mut after = Cursor::new();
            loop {
                let (rows, next) = self.content_rows(volume.id, after).await?;
                for row in rows.into_iter().filter(|row| row.shown_at.is_some()) {
                    let found = taint.of(self, &row.tree).await?;
                    if found.is_empty() {
                        continue;
                    }
                    let is_lost = found.iter().any(|place| fsck.faults.get(*place).is_some_and(|fault| !fault.is_healable()));
                    let affected = Affected {
                        volume: volume.id,
                        inode: row.inode,
                        from: row.from,
                        to: row.to,
                        shown_at: row.shown_at,
                        is_lost,
                    };
                    match fsck.affected.len() {
                        AFFECTED_LISTED_MAX => fsck.more_affected += 1,
                        _ => fsck.affected.push(affected),
                    }
                }
                match next {
                    Some(next) => after = next,
                    None => break,
                }
            }
        }
        Ok(())
    }
}

impl Fsck {
    /// Where copies of a purpose are counted; `None` for what kept versions show.
    fn sum_of(&mut self, purpose: Purpose) -> Option<&mut Orphans> {
        match purpose {
            Purpose::Needed(_, Class::Live | Class::History) => None,
            Purpose::Needed(_, Class::Waiting) => Some(&mut self.waiting),
            Purpose::Needed(_, Class::InFlight) => Some(&mut self.in_flight),
            Purpose::Session => Some(&mut self.of_sessions),
            Purpose::Orphan => Some(&mut self.orphans),
            Purpose::Unknown => Some(&mut self.unknown),
        }
    }
}
