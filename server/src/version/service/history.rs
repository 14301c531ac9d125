//! Requests about the history: policies, thinning, collection.

use super::state_thread::State;
use super::{Asker, Manager};
use crate::version::command::Action;
use crate::version::failure::Failure;
use crate::version::garbage::Look;
use crate::version::kv::{Kv, KvError};
use crate::version::namespace::{self, Readers};
use crate::version::{audit, blobs, garbage, sessions, volumes};
use weft_common::id::{BlobId, BlobVersion, RequestId, VolumeId};
use weft_common::limits::{
    BLOBS_PER_AUDIT, CURSOR_BYTES_MAX, ENTRIES_PER_ANSWER_MAX, IN_FLIGHT_PER_ANSWER, RANGES_PER_THINNING_MAX, ROWS_PER_AUDIT,
};
use weft_common::rpc::Peer;
use weft_common::wire::{DirectoryPolicy, ErrorKind, HistoryReply, HistoryRequest, Reader, Reply, ServiceError};

impl Manager {
    pub(super) async fn history(&self, peer: &Peer, id: RequestId, request: HistoryRequest) -> Result<Reply, ServiceError> {
        let is_servers =
            matches!(request, HistoryRequest::Work { .. } | HistoryRequest::Collected { .. } | HistoryRequest::Swept { .. });
        if is_servers && !peer.is_server {
            let message = format!("only servers collect garbage; the certificate of '{}' is a client's", peer.name);
            return Err(ServiceError::new(ErrorKind::Untrusted, message));
        }
        let reply = match request {
            HistoryRequest::SetPolicy { volume, directory, policy } => {
                return self.submit(id, Action::SetPolicy { volume, directory, policy }, Asker::default()).await;
            }
            HistoryRequest::Thin { ranges, .. } if ranges.len() > RANGES_PER_THINNING_MAX => {
                let message = format!("{} ranges in one thinning; at most {RANGES_PER_THINNING_MAX}, send several", ranges.len());
                return Err(ServiceError::new(ErrorKind::InvalidArgument, message));
            }
            HistoryRequest::Thin { volume, directory, ranges } => {
                return self.submit(id, Action::Thin { volume, directory, ranges }, Asker::default()).await;
            }
            HistoryRequest::Collected { blob, version } => {
                return self.submit(id, Action::Collected(blob, version), Asker::default()).await;
            }
            HistoryRequest::Work { volume, after } => return self.work(id, volume, after).await,
            HistoryRequest::Policies(volume) => {
                let read = move |state: &mut State| {
                    volumes::settings(state.machine.kv(), volume)?;
                    Ok(namespace::policies(state.machine.kv(), volume)?)
                };
                let policies = self.ask(read).await?;
                let policy = |(directory, policy)| DirectoryPolicy { directory, policy };
                HistoryReply::Policies(policies.into_iter().map(policy).collect())
            }
            HistoryRequest::Kept { volume, directory, after, limit } => {
                let limit = (limit as usize).clamp(1, ENTRIES_PER_ANSWER_MAX);
                let read = move |state: &mut State| Ok(namespace::kept(state.machine.kv(), volume, directory, after, limit)?);
                let (versions, more) = self.ask(read).await?;
                HistoryReply::Kept { versions, more }
            }
            HistoryRequest::Garbage(volume) => {
                let count = move |state: &mut State| Ok(garbage::statistics(state.machine.kv(), volume)?);
                HistoryReply::Garbage(self.ask(count).await?)
            }
            HistoryRequest::Sessions => {
                HistoryReply::Sessions(self.ask(|state: &mut State| Ok(state.machine.open_sessions()?)).await?)
            }
            HistoryRequest::Readers(volume) => {
                HistoryReply::Readers(self.ask(move |state: &mut State| readers(state, volume)).await?)
            }
            HistoryRequest::Blobs { volume, after, limit } => {
                let limit = (limit as usize).clamp(1, BLOBS_PER_AUDIT as usize);
                let read = move |state: &mut State| Ok(audit::blobs(state.machine.kv(), volume, after, limit)?);
                let (blobs, more) = self.ask(read).await?;
                HistoryReply::Blobs { blobs, more }
            }
            HistoryRequest::Contents { after, .. } if after.len() > CURSOR_BYTES_MAX => return Err(bad_cursor(after.len())),
            HistoryRequest::Contents { volume, after, limit } => {
                let limit = (limit as usize).clamp(1, ROWS_PER_AUDIT as usize);
                let read = move |state: &mut State| Ok(namespace::contents(state.machine.kv(), volume, &after, limit)?);
                let (rows, next) = self.ask(read).await?;
                HistoryReply::Contents { rows, next }
            }
            HistoryRequest::Sweep(extent) => self.sweeps(move |state| state.soft.ask_for_sweep(extent)).await?,
            HistoryRequest::SweepState => self.sweeps(|_| {}).await?,
            HistoryRequest::Swept { number, swept } => self.sweeps(move |state| state.soft.swept(number, swept)).await?,
            HistoryRequest::InFlight => {
                let (versions, more) = self.ask(|state: &mut State| Ok(in_flight(state.machine.kv())?)).await?;
                HistoryReply::InFlight { versions, more }
            }
            HistoryRequest::Volumes => {
                HistoryReply::Volumes(self.ask(|state: &mut State| Ok(volumes::all(state.machine.kv())?)).await?)
            }
        };
        Ok(Reply::History(reply))
    }

    async fn sweeps(&self, change: impl FnOnce(&mut State) + Send + 'static) -> Result<HistoryReply, ServiceError> {
        let look = move |state: &mut State| {
            change(state);
            Ok(state.soft.sweeps().clone())
        };
        Ok(HistoryReply::Sweep(self.ask(look).await?))
    }

    /// A step of collection. A step that would do nothing is not logged.
    async fn work(&self, id: RequestId, volume: VolumeId, after: u64) -> Result<Reply, ServiceError> {
        let look = move |state: &mut State| -> Result<(Look, Readers), Failure> {
            let readers = state.soft.readers(volume, state.machine.epoch());
            Ok((garbage::look(state.machine.kv(), volume, after, &readers)?, readers))
        };
        let nothing = |next| Ok(Reply::History(HistoryReply::Work { jobs: Vec::new(), more: false, next }));
        match self.ask(look).await? {
            (Look::Step(after), readers) => {
                self.submit(id, Action::Collect(volume, after, Box::new(readers)), Asker::default()).await
            }
            (Look::GoOn(after), _) => nothing(Some(after)),
            (Look::Nothing, _) => nothing(None),
        }
    }
}

/// Sessions that use anything of a volume, or have not said whether they do since something was let go of.
fn readers(state: &mut State, volume: VolumeId) -> Result<Vec<Reader>, Failure> {
    let kv = state.machine.kv();
    let let_go_last = garbage::let_go_last(kv)?;
    let mut readers = Vec::new();
    for session in sessions::list(kv)? {
        let Some(reads) = state.soft.reads(session.session) else { continue };
        let is_silent = reads.knows_through() < Some(let_go_last);
        let used = reads.holds();
        let mut versions = Vec::new();
        for (_, version) in used.versions.iter().filter(|(of, _)| *of == volume) {
            if !namespace::is_kept(kv, volume, *version)? {
                versions.push(*version);
            }
        }
        let inodes = used.inodes.iter().filter(|(of, _)| *of == volume).count();
        let contents = used.contents.iter().filter(|(blob, _)| blob.volume == volume).count();
        let (files, everything) = (inodes.max(contents) as u64, used.everything);
        if is_silent || everything || files > 0 || !versions.is_empty() {
            readers.push(Reader { session, versions, files, everything, is_silent });
        }
    }
    Ok(readers)
}

fn in_flight(kv: &dyn Kv) -> Result<(Vec<(BlobId, BlobVersion)>, bool), KvError> {
    let mut versions = Vec::new();
    blobs::waiting(kv, &mut |waiting| {
        versions.push((waiting.blob, waiting.version));
        versions.len() <= IN_FLIGHT_PER_ANSWER
    })?;
    let more = versions.len() > IN_FLIGHT_PER_ANSWER;
    versions.truncate(IN_FLIGHT_PER_ANSWER);
    Ok((versions, more))
}

fn bad_cursor(bytes: usize) -> ServiceError {
    ServiceError::new(
        ErrorKind::InvalidArgument,
        format!("a place in a listing has at most {CURSOR_BYTES_MAX} bytes, not {bytes}"),
    )
}
