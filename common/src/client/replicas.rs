//! Page objects back: any verified copy is as good as another.
//!
//! The reader asks for the chunks that cover what it wants, checks the chunk table against the digest that the metadata
//! remembers, and the chunks against the table. A copy that does not fit is named in the log and passed over.

use super::ClientError;
use super::cache::{ObjectCache, slice_of};
use super::flights::Flights;
use super::health::Health;
use super::link::{Link, address_of, malformed};
use super::map::MapKeeper;
use super::options::ClientOptions;
use super::placement::read_order;
use super::retry::{Context, Retry};
use crate::checksum::{ChecksumError, ChunkTable};
use crate::rpc::{Answer, RpcError};
use crate::weave::PageObject;
use crate::wire::{DataReply, DataRequest, ErrorKind, ProviderInfo, Reply, Request};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

/// Reads page objects through the cache.
#[derive(Debug)]
pub(crate) struct ObjectReader {
    link: Arc<Link>,
    map: Arc<MapKeeper>,
    health: Arc<Health>,
    cache: ObjectCache,
    flights: Arc<Flights>,
    zone: String,
    local: Vec<String>,
}

/// What the replicas said in one round.
#[derive(Debug, Default)]
struct Complaints {
    /// One line for each replica that has no such object, or a damaged one.
    damaged: Vec<String>,
    /// The last failure that may pass.
    passing: Option<RpcError>,
}

impl ObjectReader {
    pub(crate) fn new(link: Arc<Link>, map: Arc<MapKeeper>, health: Arc<Health>, options: &ClientOptions) -> Self {
        let local = options.local.iter().map(|address| address.0.clone()).collect();
        let cache = ObjectCache::new(options.object_cache_bytes());
        Self { link, map, health, cache, flights: Arc::default(), zone: options.zone.clone(), local }
    }

    /// `length` bytes of `object` from `offset` on.
    pub(crate) async fn part(
        self: &Arc<Self>,
        context: Context,
        object: PageObject,
        offset: u32,
        length: u32,
    ) -> Result<Bytes, ClientError> {
        let end = offset.checked_add(length).filter(|end| *end <= object.length);
        let Some(end) = end else {
            let detail = format!("bytes {offset}+{length} are asked for, it has {}", object.length);
            return Err(ClientError::Damaged { what: object.id.to_string(), detail });
        };
        let wanted = offset..end;
        if let Some(bytes) = self.cache.get(object.id, &wanted) {
            return Ok(bytes);
        }
        let range = ChunkTable::covering(object.length, offset, length);
        let reader = self.clone();
        let covering = range.clone();
        let fetch = async move {
            let bytes = reader.fetch(context, &object, covering.clone()).await?;
            reader.cache.insert(object.id, covering.start, bytes.clone());
            Ok(bytes)
        };
        let (start, fetch) = self.flights.join(object.id, range, fetch);
        let bytes = fetch.await?;
        slice_of(start, &bytes, &wanted).ok_or_else(|| ClientError::Damaged {
            what: object.id.to_string(),
            detail: format!("{} bytes came for {wanted:?}", bytes.len()),
        })
    }

    /// The chunk-aligned `range` of `object` from the first replica that has it whole.
    async fn fetch(&self, context: Context, object: &PageObject, range: Range<u32>) -> Result<Bytes, ClientError> {
        let mut retry = Retry::new(context);
        loop {
            let complaints = match self.ask_replicas(context, object, &range).await {
                Ok(bytes) => return Ok(bytes),
                Err(complaints) => complaints,
            };
            match complaints.passing {
                Some(error) => retry.after("read of a page object", error).await?,
                None if self.map.current().group(object.group).is_none() && retry.wait().await => {}
                None => return Err(damaged(object, &complaints.damaged)),
            }
            self.map.refresh(context).await;
        }
    }

    async fn ask_replicas(&self, context: Context, object: &PageObject, range: &Range<u32>) -> Result<Bytes, Complaints> {
        let map = self.map.current();
        let members = map.group(object.group).map(|group| group.members.as_slice()).unwrap_or_default();
        let mut complaints = Complaints::default();
        let suspect = |id| self.health.is_suspect(id);
        for provider in read_order(&map, members, suspect, |provider| self.distance(provider), fastrand::u64(..)) {
            match self.ask(context, provider, object, range).await {
                Ok(bytes) => return Ok(bytes),
                Err(Complaint::Passing(error)) => {
                    tracing::debug!(request = %context.id, provider = %provider.id, object = %object.id, %error, "trying the next replica");
                    complaints.passing = Some(error);
                }
                Err(Complaint::Damaged(detail)) => {
                    tracing::warn!(request = %context.id, provider = %provider.id, address = provider.address, object = %object.id,
                        "replica is damaged: {detail}; reading another one; look after its disk");
                    complaints.damaged.push(format!("{} at {}: {detail}", provider.id, provider.address));
                }
            }
        }
        Err(complaints)
    }

    fn distance(&self, provider: &ProviderInfo) -> u8 {
        if self.local.contains(&provider.address) {
            0
        } else if !self.zone.is_empty() && provider.zone == self.zone {
            1
        } else {
            2
        }
    }

    async fn ask(
        &self,
        context: Context,
        provider: &ProviderInfo,
        object: &PageObject,
        range: &Range<u32>,
    ) -> Result<Bytes, Complaint> {
        let address = address_of(provider);
        let (offset, length) = (range.start, range.end - range.start);
        let request = Request::Data(DataRequest::Get { object: object.id, offset, length });
        let answer = self.link.once(context, &address, request, Bytes::new()).await;
        let answer = answer.map_err(|error| self.judge(provider, error))?;
        self.health.trust(provider.id);
        let Reply::Data(DataReply::Part { .. }) = answer.reply else {
            return Err(Complaint::Damaged(malformed(&address, "part of a page object", &answer.reply).to_string()));
        };
        verify_part(object, range, answer).map_err(|error| Complaint::Damaged(error.to_string()))
    }

    fn judge(&self, provider: &ProviderInfo, error: RpcError) -> Complaint {
        self.health.judge(provider.id, &error);
        match &error {
            RpcError::Service(service) if matches!(service.kind, ErrorKind::NotFound | ErrorKind::Stale | ErrorKind::Damaged) => {
                Complaint::Damaged(service.message.clone())
            }
            _ if error.is_transient() => Complaint::Passing(error),
            _ => Complaint::Damaged(error.to_string()),
        }
    }
}

/// Why one replica did not help.
#[derive(Debug)]
enum Complaint {
    /// It may later.
    Passing(RpcError),
    /// It does not have the right bytes.
    Damaged(String),
}

/// The body of `answer`, if it is `range` of `object` bit for bit.
pub(super) fn verify_part(object: &PageObject, range: &Range<u32>, answer: Answer) -> Result<Bytes, ChecksumError> {
    let Reply::Data(DataReply::Part { object_bytes, start, checksums }) = answer.reply else {
        return Err(ChecksumError::Table);
    };
    if object_bytes != object.length || start != range.start {
        return Err(ChecksumError::Table);
    }
    let (expected, actual) = (range.len(), answer.body.len());
    if expected != actual {
        return Err(ChecksumError::Length { expected, actual });
    }
    ChunkTable::from_checksums(object_bytes, checksums).verify(object.digest, start, &answer.body)?;
    Ok(answer.body)
}

fn damaged(object: &PageObject, complaints: &[String]) -> ClientError {
    let detail = if complaints.is_empty() { format!("the cluster map has no {}", object.group) } else { complaints.join("; ") };
    ClientError::Damaged { what: format!("page object {}", object.id), detail }
}
