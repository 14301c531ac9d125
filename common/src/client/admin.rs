//! Volumes and sessions of a cluster, as the tools see them.

use super::ClientError;
use super::cluster::Cluster;
use super::link::Failure;
use super::volume::Volume;
use crate::wire::{
    ErrorKind, Reply, Request, SessionInfo, SessionReply, SessionRequest, VolumeInfo, VolumeReply, VolumeRequest, VolumeSettings,
};
use std::sync::Arc;

impl Cluster {
    /// All volumes, by name.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn volumes(&self) -> Result<Vec<VolumeInfo>, ClientError> {
        match self.volume_request(VolumeRequest::List).await? {
            VolumeReply::Volumes(volumes) => Ok(volumes),
            other => Err(self.link.unexpected("volumes", &Reply::Volume(other))),
        }
    }

    /// The volume of that name as it stands.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none.
    pub async fn volume(&self, name: &str) -> Result<VolumeInfo, ClientError> {
        let reply = self.volume_request(VolumeRequest::Get(name.to_owned())).await?;
        self.one_volume(reply)
    }

    /// Makes a volume; `owner` (uid, gid) owns its root directory.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] if the name is taken, [`ErrorKind::InvalidArgument`] for an impossible name or setting.
    pub async fn create_volume(
        &self,
        name: &str,
        settings: VolumeSettings,
        owner: (u32, u32),
    ) -> Result<VolumeInfo, ClientError> {
        let request = VolumeRequest::Create { name: name.to_owned(), settings, owner };
        match self.volume_request(request).await {
            Ok(reply) => self.one_volume(reply),
            // An earlier attempt whose answer was lost may have made it; the request has no key to tell.
            Err(failure) if failure.uncertain && is(&failure, ErrorKind::AlreadyExists) => {
                let volume = self.volume(name).await?;
                if volume.settings == settings { Ok(volume) } else { Err(failure.error) }
            }
            Err(failure) => Err(failure.error),
        }
    }

    /// Changes a volume's settings; blobs that exist keep their geometry, objects their copies.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such volume.
    pub async fn set_volume(&self, name: &str, settings: VolumeSettings) -> Result<VolumeInfo, ClientError> {
        let reply = self.volume_request(VolumeRequest::Set { name: name.to_owned(), settings }).await?;
        self.one_volume(reply)
    }

    /// Removes a volume with all its history.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such volume.
    pub async fn remove_volume(&self, name: &str) -> Result<(), ClientError> {
        match self.volume_request(VolumeRequest::Remove(name.to_owned())).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.uncertain && is(&failure, ErrorKind::NotFound) => Ok(()),
            Err(failure) => Err(failure.error),
        }
    }

    /// Opens a volume, and the session if there is none yet.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such volume.
    #[tracing::instrument(level = "debug", skip(self), fields(request))]
    pub async fn open_volume(self: &Arc<Self>, name: &str) -> Result<Arc<Volume>, ClientError> {
        let info = self.volume(name).await?;
        self.sessions.current(self.context()).await?;
        Ok(Volume::new(self.clone(), info))
    }

    /// The open sessions of all clients.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn sessions(&self) -> Result<Vec<SessionInfo>, ClientError> {
        match self.link.manager(self.context(), Request::Session(SessionRequest::List)).await? {
            Reply::Session(SessionReply::Sessions(sessions)) => Ok(sessions),
            other => Err(self.link.unexpected("sessions", &other)),
        }
    }

    async fn volume_request(&self, request: VolumeRequest) -> Result<VolumeReply, Failure> {
        match self.link.manager(self.context(), Request::Volume(request)).await? {
            Reply::Volume(reply) => Ok(reply),
            other => Err(Failure { error: self.link.unexpected("a volume", &other), uncertain: false }),
        }
    }

    fn one_volume(&self, reply: VolumeReply) -> Result<VolumeInfo, ClientError> {
        match reply {
            VolumeReply::Volume(volume) => Ok(volume),
            other => Err(self.link.unexpected("a volume", &Reply::Volume(other))),
        }
    }
}

fn is(failure: &Failure, kind: ErrorKind) -> bool {
    matches!(&failure.error, ClientError::Service(error) if error.kind == kind)
}
