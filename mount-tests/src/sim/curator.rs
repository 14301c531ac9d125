//! What clients do to the past: tags, thinning, sweeps, restoration, copies.

use super::client::Client;
use super::deeds::{at, author};
use super::history::{Deed, Place};
use weft_common::client::{ClientError, Namespace};
use weft_common::id::{ROOT_INODE, VolumeVersion};
use weft_common::wire::{At, Attributes, Change, ChangeReply, NamespaceAnswer, Query, SweepExtent, VersionRange};

impl Client {
    /// A volume version that was there at some time; `None` as long as there was none. Rather a young one.
    #[must_use]
    pub fn some_version(&self) -> Option<u64> {
        let (seen, world) = (self.stage.history.seen(), &self.stage.world);
        let low = if world.chance(500_000) { seen.saturating_sub(20) } else { 0 };
        (seen > 0).then(|| world.between(low + 1, seen.max(low + 1)))
    }

    async fn change_tags(&self, change: Change) -> Result<ChangeReply, ClientError> {
        self.volume.change(&author(usize::MAX), change).await
    }

    /// Gives a version a tag.
    ///
    /// # Errors
    /// Those of the client library.
    pub async fn tag(&self, name: String, version: u64) -> Result<(), ClientError> {
        self.change_tags(Change::SetTag { name: name.clone(), version: VolumeVersion(version) }).await?;
        self.log(format_args!("tag {name} is N{version}"));
        self.stage.world.count("tag set");
        self.stage.network.ledger.tag_set(self.stage.world.elapsed(), &name, version);
        Ok(())
    }

    /// Takes a tag away.
    ///
    /// # Errors
    /// Those of the client library.
    pub async fn untag(&self, name: String) -> Result<(), ClientError> {
        self.log(format_args!("tag {name} is to go"));
        self.stage.world.count("tag removed");
        self.stage.network.ledger.tag_ending(self.stage.world.elapsed(), &name);
        self.change_tags(Change::RemoveTag(name)).await.map(drop)
    }

    /// Goes to the version with a tag that nobody has asked to remove, and reads there.
    ///
    /// # Errors
    /// Those of the client library.
    pub async fn read_tagged(&self, (name, version): (String, u64), place: Place) -> Result<(), ClientError> {
        let (world, ledger) = (&self.stage.world, &self.stage.network.ledger);
        let answer = self.volume.query(At::Head, Query::VersionTagged(name.clone())).await;
        let is_set = ledger.tags().iter().any(|(known, _)| *known == name);
        match answer {
            Ok(NamespaceAnswer::Version(VolumeVersion(found))) if found == version => {}
            Err(error) if !is_set || !matches!(error, ClientError::Service(_)) => return Err(error),
            other => {
                world.violation(format!("tag {name} is N{version}: {other:?}"));
                return Ok(());
            }
        }
        world.count("tagged read");
        self.read(at(Some(version)), place, (0, 256)).await.map(drop)
    }

    /// Lets go of versions.
    ///
    /// # Errors
    /// Those of the client library.
    pub async fn thin(&self, first: u64, last: u64) -> Result<(), ClientError> {
        let range = VersionRange { first: VolumeVersion(first), last: VolumeVersion(last) };
        let count = self.volume.cluster().thin(self.volume.info().id, ROOT_INODE, vec![range]).await?;
        self.log(format_args!("{count} of N{first} to N{last} are thinned"));
        self.stage.world.count("thinning");
        Ok(())
    }

    /// Has the servers look for orphans.
    ///
    /// # Errors
    /// Those of the client library.
    pub async fn ask_for_sweep(&self) -> Result<(), ClientError> {
        self.stage.world.count("sweep asked for");
        self.volume.cluster().ask_for_sweep(SweepExtent::Everything).await.map(drop)
    }

    /// Restores a directory and what was in it, name by name, as `weft restore` does.
    ///
    /// # Errors
    /// Those of the client library.
    pub async fn restore_tree(&self, place: Place, to: u64) -> Result<(), ClientError> {
        let Some(Attributes { inode: then, tree: None, .. }) = self.look_up(at(Some(to)), &place).await? else { return Ok(()) };
        let names = self.list(at(Some(to)), then.0).await?;
        let deed = Deed::Restore { source: place.0, place, to };
        let Some(now) = self.change(deed).await else { return Ok(()) };
        for (name, _) in names {
            self.change(Deed::Restore { place: (now, name), source: then.0, to }).await;
        }
        self.stage.world.count("tree restored");
        Ok(())
    }

    /// Gives a file the content of another one.
    ///
    /// # Errors
    /// Those of the client library.
    pub async fn share(&self, from: &Place, version: Option<u64>, to: &Place) -> Result<(), ClientError> {
        let (Some(source), Some(target)) = (self.look_up(at(version), from).await?, self.look_up(At::Head, to).await?) else {
            return Ok(());
        };
        let content = |of: &Attributes| of.tree.map(|tree| (tree.blob, tree.version.0));
        let (Some(content), Some(replaces)) = (content(&source), content(&target)) else { return Ok(()) };
        self.change(Deed::Share { source: source.inode.0, at: version, content, inode: target.inode.0, replaces }).await;
        Ok(())
    }

    /// Removes a directory and the files in it.
    ///
    /// # Errors
    /// Those of the client library.
    pub async fn remove_tree(&self, place: Place) -> Result<(), ClientError> {
        let Some(Attributes { inode, tree: None, .. }) = self.look_up(At::Head, &place).await? else { return Ok(()) };
        for (name, _) in self.list(At::Head, inode.0).await? {
            self.change(Deed::Unlink((inode.0, name))).await;
        }
        self.change(Deed::RemoveDirectory(place)).await;
        Ok(())
    }
}
