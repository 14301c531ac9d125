//! Orphans are deleted: what is stored and can be needed by nobody. For servers.

use super::census::{Census, Mode};
use super::stock::{Copy, Purpose};
use crate::client::ClientError;
use crate::client::cluster::Cluster;
use crate::limits::SWEEP_PAUSE;
use crate::wire::{
    DataRequest, HistoryReply, HistoryRequest, MetadataRequest, ProviderInfo, ProviderRole, Reply, Request, SweepState, Swept,
};

impl Cluster {
    /// Goes through everything that is needed, lists what the providers hold, and deletes what nobody can come to need. Needs memory for
    /// each object and node (45 and 32 bytes). A provider that does not answer keeps its orphans until the next time.
    ///
    /// # Errors
    /// [`ClientError`]: then nothing was deleted. In particular when a node that is needed is lost.
    pub async fn sweep(&self) -> Result<Swept, ClientError> {
        let mut census = self.begin_census().await?;
        for volume in self.volumes_to_collect().await? {
            self.mark_blobs(&mut census, volume, &mut Mode::Mark).await?;
            tokio::time::sleep(SWEEP_PAUSE).await;
        }
        census.is_whole = true;
        let mut swept = Swept::default();
        let (providers, absent) = self.askable();
        let mut silent: Vec<String> = absent.iter().map(|provider| format!("{} is dead", provider.id)).collect();
        for provider in providers {
            if let Err(error) = self.sweep_provider(&census, &provider, &mut swept).await {
                tracing::debug!(provider = %provider.id, %error, "its orphans stay until the next sweep");
                silent.push(format!("{}: {error}", provider.id));
            }
        }
        if !silent.is_empty() {
            swept.problem = Some(format!("some orphans may be left on {}", silent.join(", ")));
        }
        Ok(swept)
    }

    async fn sweep_provider(&self, census: &Census, provider: &ProviderInfo, swept: &mut Swept) -> Result<(), ClientError> {
        let mut orphans: Vec<(Copy, u64)> = Vec::new();
        // The listing is over before anything is deleted: places in it stay what they are.
        self.take_stock(census, provider, &mut |copies| {
            let found = copies.into_iter().filter(|(_, _, purpose)| *purpose == Purpose::Orphan);
            orphans.extend(found.map(|(copy, bytes, _)| (copy, bytes)));
        })
        .await?;
        for part in orphans.chunks(crate::limits::OBJECTS_PER_DELETE_MAX) {
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
            self.delete_from(self.context(), provider.id, request).await?;
            let bytes: u64 = part.iter().map(|(_, bytes)| bytes).sum();
            let objects = part.iter().filter(|(copy, _)| matches!(copy, Copy::Object(_))).count() as u64;
            swept.objects += objects;
            swept.nodes += part.len() as u64 - objects;
            swept.bytes += bytes;
            tokio::time::sleep(SWEEP_PAUSE).await;
        }
        Ok(())
    }

    /// Asks the servers for a sweep. The answer's `asked` is its number: it is over when `done` is as high.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ask_for_sweep(&self) -> Result<SweepState, ClientError> {
        self.sweep_request(HistoryRequest::Sweep).await
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
