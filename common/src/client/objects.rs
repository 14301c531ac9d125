//! Page objects out: one pass for the checksums, then all copies in parallel.
//!
//! An object is stored when every member of one replica group has it. If a member fails, the same object under the same id
//! goes to another group: ids are unique, the bytes are the same, so copies left behind in the first group are merely
//! garbage. Nobody is told where an object lies but by the update that names it.

use super::ClientError;
use super::health::Health;
use super::link::{Link, address_of};
use super::map::MapKeeper;
use super::placement::{NoGroup, choose_group};
use super::retry::{Context, Retry};
use super::session::Session;
use super::sync::{Unsynced, stored_in};
use crate::checksum::ChunkTable;
use crate::id::GroupId;
use crate::limits::{ATTEMPTS_BEFORE_TOO_FEW, GROUPS_TRIED_MAX, PAGE_SIZE_MAX};
use crate::rpc::RpcError;
use crate::weave::PageObject;
use crate::wire::{ClusterMap, DataRequest, ErrorKind, ProviderInfo, ReplicaGroup, Request, ServiceError};
use bytes::Bytes;
use futures_util::future::join_all;
use std::sync::Arc;

/// Stores page objects.
#[derive(Debug)]
pub(crate) struct ObjectWriter {
    pub(crate) link: Arc<Link>,
    pub(crate) map: Arc<MapKeeper>,
    pub(crate) health: Arc<Health>,
    pub(crate) unsynced: Arc<Unsynced>,
}

/// What one put has tried.
#[derive(Debug, Default)]
struct Tried {
    /// Groups that failed since the last pause.
    failed: Vec<GroupId>,
    /// Groups with a member that has no room.
    full: Vec<GroupId>,
    /// The last failure other than lack of room.
    last: Option<RpcError>,
}

impl Tried {
    fn excluded(&self) -> Vec<GroupId> {
        self.failed.iter().chain(&self.full).copied().collect()
    }

    fn note(&mut self, group: GroupId, error: RpcError) {
        if is_full(&error) {
            self.full.push(group);
        } else {
            self.failed.push(group);
            self.last = Some(error);
        }
    }
}

impl ObjectWriter {
    /// Stores `bytes` as a new object of `session` with all `copies`.
    pub(crate) async fn put(
        &self,
        context: Context,
        session: &Session,
        copies: u8,
        bytes: Bytes,
    ) -> Result<PageObject, ClientError> {
        if bytes.is_empty() || bytes.len() > PAGE_SIZE_MAX as usize {
            let message = format!("a page object has 1 to {PAGE_SIZE_MAX} bytes, not {}", bytes.len());
            return Err(ServiceError::new(ErrorKind::InvalidArgument, message).into());
        }
        let digest = ChunkTable::of(&bytes).digest();
        let mut object = PageObject { id: session.next_object(), length: bytes.len() as u32, digest, group: GroupId(0) };
        let (mut retry, mut tried) = (Retry::new(context), Tried::default());
        loop {
            let map = self.map.current();
            let excluded = tried.excluded();
            let choice = choose_group(&map, copies, &excluded, |id| self.health.is_suspect(id), fastrand::u64(..));
            match choice {
                Ok(group) if tried.failed.len() < GROUPS_TRIED_MAX => {
                    object.group = group.id;
                    match self.put_to_group(context, &map, group, &object, &bytes).await {
                        Ok(()) => return Ok(object),
                        Err(error) => tried.note(group.id, error),
                    }
                }
                choice => self.pause(&mut retry, context, copies, &mut tried, choice.err()).await?,
            }
        }
    }

    /// No group is left for now: waits for the world to change, or says what is wrong with it.
    async fn pause(
        &self,
        retry: &mut Retry,
        context: Context,
        copies: u8,
        tried: &mut Tried,
        reason: Option<NoGroup>,
    ) -> Result<(), ClientError> {
        match (tried.last.take(), reason) {
            (Some(error), _) => retry.after("put of a page object", error).await?,
            (None, Some(NoGroup::TooFew { alive, known })) => {
                let hopeless = known < usize::from(copies) && retry.attempts() >= ATTEMPTS_BEFORE_TOO_FEW;
                if hopeless || !retry.wait().await {
                    return Err(ClientError::TooFewProviders { role: "data", needed: copies, alive });
                }
            }
            (None, _) => return Err(no_space("data")),
        }
        tried.failed.clear();
        self.map.refresh(context).await;
        Ok(())
    }

    async fn put_to_group(
        &self,
        context: Context,
        map: &ClusterMap,
        group: &ReplicaGroup,
        object: &PageObject,
        bytes: &Bytes,
    ) -> Result<(), RpcError> {
        let members = group.members.iter().filter_map(|id| map.provider(*id));
        let puts = members.map(|provider| self.put_to_provider(context, provider, object, bytes.clone()));
        let mut failure = None;
        for result in join_all(puts).await {
            // Lack of room is the verdict only if nothing else went wrong.
            if let Err(error) = result
                && (failure.is_none() || !is_full(&error))
            {
                failure = Some(error);
            }
        }
        failure.map_or(Ok(()), Err)
    }

    async fn put_to_provider(
        &self,
        context: Context,
        provider: &ProviderInfo,
        object: &PageObject,
        bytes: Bytes,
    ) -> Result<(), RpcError> {
        let address = address_of(provider);
        let request = Request::Data(DataRequest::Put { object: object.id, digest: object.digest });
        match self.link.once(context, &address, request, bytes).await {
            Ok(answer) => stored_in(&address, &answer.reply).map(|incarnation| {
                self.health.trust(provider.id);
                self.unsynced.note(provider.id, incarnation);
            }),
            Err(error) => {
                self.health.judge(provider.id, &error);
                tracing::debug!(request = %context.id, provider = %provider.id, object = %object.id, %error, "put refused");
                Err(error)
            }
        }
    }
}

fn is_full(error: &RpcError) -> bool {
    matches!(error, RpcError::Service(service) if service.kind == ErrorKind::NoSpace)
}

pub(crate) fn no_space(role: &str) -> ClientError {
    let message = format!("no {role} provider has room; add one, or free space on those there are");
    ServiceError::new(ErrorKind::NoSpace, message).into()
}
