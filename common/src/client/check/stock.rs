//! What the providers hold, set against what is needed.

use super::Class;
use super::census::Census;
use crate::client::ClientError;
use crate::client::cluster::Cluster;
use crate::client::link::{address_of, malformed};
use crate::client::retry::{Context, Retry};
use crate::id::{BlobId, BlobVersion, NodeId, PageObjectId, ProviderId, VolumeId};
use crate::limits::IDS_PER_LISTING;
use crate::wire::{
    ClusterMap, Cursor, DataReply, DataRequest, MetadataReply, MetadataRequest, ProviderInfo, ProviderRole, ProviderState, Reply,
    Request, Space,
};
use bytes::Bytes;
use std::collections::BTreeSet;

/// One copy that a provider holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copy {
    Node(NodeId),
    Object(PageObjectId),
}

/// What a copy is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Purpose {
    /// A volume needs it.
    Needed(VolumeId, Class),
    /// A session that is open stored it, and may still publish it.
    Session,
    /// Nothing needs it, and nothing can come to need it.
    Orphan,
    /// That is not known: volumes were left out, or nodes are lost.
    Unknown,
}

/// Copies of one provider: what each is, how many bytes it takes there, and what for.
pub(crate) type Copies = Vec<(Copy, u64, Purpose)>;

impl Cluster {
    /// Lists everything that a provider holds, page by page, and says what each is there for. The census has to be over.
    pub(crate) async fn take_stock(
        &self,
        census: &Census,
        provider: &ProviderInfo,
        visit: &mut (dyn FnMut(Copies) + Send),
    ) -> Result<(), ClientError> {
        let (map, mut after) = (self.map(), Cursor::new());
        loop {
            let (copies, next) = self.list(self.context(), provider, after).await?;
            let mut judged: Copies = Vec::with_capacity(copies.len());
            let mut unheard: BTreeSet<BlobId> = BTreeSet::new();
            for (copy, bytes) in copies {
                let purpose = match copy {
                    Copy::Object(id) => judge_object(census, &map, provider.id, &id),
                    Copy::Node(id) => judge_node(census, &id).unwrap_or_else(|| {
                        unheard.insert(id.blob);
                        if census.has_gaps { Purpose::Unknown } else { Purpose::Orphan }
                    }),
                };
                judged.push((copy, bytes, purpose));
            }
            let known = self.heard_of(unheard).await?;
            for (copy, _, purpose) in &mut judged {
                if let Copy::Node(id) = copy
                    && known.contains(&id.blob)
                {
                    *purpose = Purpose::Needed(id.blob.volume, Class::InFlight);
                }
            }
            visit(judged);
            match next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    /// Of blobs that the census did not meet, those that the version manager has a record of by now: they are new. Of any other
    /// there was one before its first node was stored, so it is gone for good.
    async fn heard_of(&self, blobs: BTreeSet<BlobId>) -> Result<BTreeSet<BlobId>, ClientError> {
        let mut known = BTreeSet::new();
        for blob in blobs {
            let before = (blob.number.saturating_sub(1), BlobVersion(u64::MAX));
            let (states, _) = self.blob_states(blob.volume, before, 1).await?;
            known.extend(states.first().filter(|state| state.number == blob.number).map(|_| blob));
        }
        Ok(known)
    }

    async fn list(
        &self,
        context: Context,
        provider: &ProviderInfo,
        after: Cursor,
    ) -> Result<(Vec<(Copy, u64)>, Option<Cursor>), ClientError> {
        let limit = IDS_PER_LISTING;
        let request = match provider.role {
            ProviderRole::Data => Request::Data(DataRequest::List { after, limit }),
            ProviderRole::Metadata => Request::Metadata(MetadataRequest::List { after, limit }),
        };
        match self.ask_patiently(context, provider, request).await? {
            Reply::Data(DataReply::List { objects, next }) => {
                Ok((objects.into_iter().map(|(id, bytes)| (Copy::Object(id), u64::from(bytes))).collect(), next))
            }
            Reply::Metadata(MetadataReply::List { nodes, next }) => {
                Ok((nodes.into_iter().map(|(id, bytes)| (Copy::Node(id), u64::from(bytes))).collect(), next))
            }
            other => Err(malformed(&address_of(provider), "a list of what is stored", &other)),
        }
    }

    /// What a provider counts itself.
    pub(crate) async fn space_of(&self, provider: &ProviderInfo) -> Result<Space, ClientError> {
        let request = match provider.role {
            ProviderRole::Data => Request::Data(DataRequest::Space),
            ProviderRole::Metadata => Request::Metadata(MetadataRequest::Space),
        };
        match self.ask_patiently(self.context(), provider, request).await? {
            Reply::Data(DataReply::Space(space)) | Reply::Metadata(MetadataReply::Space(space)) => Ok(space),
            other => Err(malformed(&address_of(provider), "a provider's space", &other)),
        }
    }

    async fn ask_patiently(&self, context: Context, provider: &ProviderInfo, request: Request) -> Result<Reply, ClientError> {
        let (address, mut retry) = (address_of(provider), Retry::new(context));
        loop {
            match self.link.once(context, &address, request.clone(), Bytes::new()).await {
                Ok(answer) => return Ok(answer.reply),
                Err(error) => retry.after("a question about what is stored", error).await?,
            }
        }
    }

    /// The providers that can be asked, and those that cannot.
    pub(crate) fn askable(&self) -> (Vec<ProviderInfo>, Vec<ProviderInfo>) {
        self.map().providers.iter().cloned().partition(|provider| provider.state != ProviderState::Dead)
    }
}

fn judge_object(census: &Census, map: &ClusterMap, provider: ProviderId, id: &PageObjectId) -> Purpose {
    if let Some(mark) = census.marks.of_object(id) {
        // A copy that a failed put left on a provider of another group: groups never change, so nobody looks for it there.
        let is_stray = map.group(mark.group).is_some_and(|group| !group.members.contains(&provider));
        return match is_stray {
            true if census.was_closed(id.session) => Purpose::Orphan,
            true => Purpose::Session,
            false => Purpose::Needed(mark.volume, mark.class),
        };
    }
    if !census.was_closed(id.session) {
        return Purpose::Session;
    }
    if census.is_whole && !census.has_gaps { Purpose::Orphan } else { Purpose::Unknown }
}

/// `None` for a node of a blob that the census did not meet.
fn judge_node(census: &Census, id: &NodeId) -> Option<Purpose> {
    let volume = id.blob.volume;
    if let Some(class) = census.marks.of_node(id) {
        return Some(Purpose::Needed(volume, class));
    }
    if !census.is_whole && !census.volumes.contains(&volume) {
        return Some(Purpose::Unknown);
    }
    let settled = census.settled.get(&id.blob)?;
    Some(match id.version > *settled {
        true => Purpose::Needed(volume, Class::InFlight),
        false if census.has_gaps => Purpose::Unknown,
        false => Purpose::Orphan,
    })
}
