//! Orphans are deleted: what is stored and can be needed by nobody. For servers.

use super::census::{Census, Mode};
use super::stock::{Copy, Purpose};
use crate::client::ClientError;
use crate::client::cluster::Cluster;
use crate::limits::{SWEEP_PAUSE, SWEEP_UNSUSPICIOUS_MAX};
use crate::wire::{
    DataRequest, HistoryReply, HistoryRequest, MetadataRequest, ProviderInfo, ProviderRole, Reply, Request, SweepExtent,
    SweepState, Swept,
};

impl Cluster {
    /// Goes through everything that is needed, lists what the providers hold, and deletes what nobody can come to need. Needs memory for
    /// each object and node (45 and 32 bytes). A provider that does not answer, or of which more would go than `extent` allows,
    /// keeps its orphans until the next time.
    ///
    /// # Errors
    /// [`ClientError`]: then nothing was deleted. In particular when a node that is needed is lost.
    pub async fn sweep(&self, extent: SweepExtent) -> Result<Swept, ClientError> {
        let mut census = self.begin_census().await?;
        for volume in self.volumes_to_collect().await? {
            self.mark_blobs(&mut census, volume, &mut Mode::Mark).await?;
            tokio::time::sleep(SWEEP_PAUSE).await;
        }
        census.is_whole = true;
        let mut swept = Swept::default();
        let (providers, absent) = self.askable();
        let mut left: Vec<String> = absent.iter().map(|provider| format!("{} is dead", provider.id)).collect();
        for provider in providers {
            match self.sweep_provider(&census, &provider, extent, &mut swept).await {
                Ok(None) => {}
                Ok(Some(refusal)) => {
                    tracing::error!(provider = %provider.id, "{refusal}");
                    left.push(format!("{}: {refusal}", provider.id));
                }
                Err(error) => {
                    tracing::debug!(provider = %provider.id, %error, "its orphans stay until the next sweep");
                    left.push(format!("{}: {error}", provider.id));
                }
            }
        }
        if !left.is_empty() {
            swept.problem = Some(format!("orphans may be left: {}", left.join("; ")));
        }
        Ok(swept)
    }

    /// Deletes the orphans of one provider, or says why not.
    async fn sweep_provider(
        &self,
        census: &Census,
        provider: &ProviderInfo,
        extent: SweepExtent,
        swept: &mut Swept,
    ) -> Result<Option<String>, ClientError> {
        let mut orphans: Vec<(Copy, u64)> = Vec::new();
        let mut held = 0;
        // The listing is over before anything is deleted: places in it stay what they are.
        self.take_stock(census, provider, &mut |copies| {
            held += copies.len();
            let found = copies.into_iter().filter(|(_, _, purpose)| *purpose == Purpose::Orphan);
            orphans.extend(found.map(|(copy, bytes, _)| (copy, bytes)));
        })
        .await?;
        if extent < SweepExtent::Everything && is_suspicious(orphans.len(), held) {
            return Ok(Some(format!(
                "{} of the {held} things that it holds belong to nothing that the version manager knows, too many to be garbage; \
                 if the manager's folder was replaced by an older one, put the right one back; if this is as it should be, \
                 `weft gc --force` deletes them",
                orphans.len()
            )));
        }
        for part in orphans.chunks(self.deletes.batch(crate::limits::OBJECTS_PER_DELETE_MAX)) {
            let request = match provider.role {
                ProviderRole::Data => {
                    let object = |copy: &Copy| if let Copy::Object(id) = copy { Some(*id) } else { None };
                    Request::Data(DataRequest::Delete { objects: part.iter().filter_map(|(copy, _)| object(copy)).collect() })
                }
                ProviderRole::Metadata => {
                    let node = |copy: &Copy| if let Copy::Node(id) = copy { Some(*id) } else { None };
                    Request::Metadata(MetadataRequest::Delete { nodes: part.iter().filter_map(|(copy, _)| node(copy)).collect() })
                }
            };
            self.delete_from(provider.id, request).await?;
            let bytes: u64 = part.iter().map(|(_, bytes)| bytes).sum();
            let objects = part.iter().filter(|(copy, _)| matches!(copy, Copy::Object(_))).count() as u64;
            swept.objects += objects;
            swept.nodes += part.len() as u64 - objects;
            swept.bytes += bytes;
            tokio::time::sleep(SWEEP_PAUSE).await;
        }
        Ok(None)
    }

    /// Asks the servers for a sweep. The answer's `asked` is its number: it is over when `done` is as high.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ask_for_sweep(&self, extent: SweepExtent) -> Result<SweepState, ClientError> {
        self.sweep_request(HistoryRequest::Sweep(extent)).await
    }

    /// How far the sweeps are.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn sweep_state(&self) -> Result<SweepState, ClientError> {
        self.sweep_request(HistoryRequest::SweepState).await
    }

    /// Says that the sweep of that number is over. For servers.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn report_sweep(&self, number: u64, swept: Swept) -> Result<SweepState, ClientError> {
        self.sweep_request(HistoryRequest::Swept { number, swept }).await
    }

    async fn sweep_request(&self, request: HistoryRequest) -> Result<SweepState, ClientError> {
        match self.history(request).await? {
            HistoryReply::Sweep(state) => Ok(state),
            other => Err(self.link.unexpected("the state of sweeps", &Reply::History(other))),
        }
    }
}

/// Whether orphans are too many of what a provider holds to be garbage.
fn is_suspicious(orphans: usize, held: usize) -> bool {
    orphans > SWEEP_UNSUSPICIOUS_MAX && orphans > held / 2
}
