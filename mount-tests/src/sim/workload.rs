//! What programs do on a client: files in a few directories are made, written, read, moved, linked, copied, restored and removed,
//! all by everybody, and the past is read, tagged and thinned beside it.

use super::client::{Client, PAGE};
use super::deeds::at;
use super::history::{Deed, Edit, Place};
use super::world::World;
use weft_common::client::ClientError;
use weft_common::id::ROOT_INODE;
use weft_common::wire::At;

/// Longest file, in bytes.
const SIZE_MAX: u64 = 5 * PAGE;
/// Names in each directory.
const NAMES: u64 = 3;
/// Directories that are copies of others, or are to be.
const COPIES: u64 = 2;

/// Does one thing after the other until its process ends or `until` says so.
pub async fn work(client: &Client, world: &World, directories: &[u64], until: impl Fn() -> bool) {
    while !until() {
        world.pause(1, 400).await;
        if let Err(error) = step(client, world, directories).await {
            world.count("read failed");
            world.log(format_args!("a read failed: {error}"));
        }
    }
}

/// Reads old versions, each for a while.
pub async fn read_the_past(client: &Client, world: &World, directories: &[u64], until: impl Fn() -> bool) {
    while !until() {
        world.pause(1, 3000).await;
        let place = some_place(client, world, directories).await;
        let Some(version) = client.some_version() else { continue };
        if let Err(error) = client.stay_in(version, &place, &until).await {
            world.log(format_args!("a read of N{version} failed: {error}"));
        }
    }
}

async fn step(client: &Client, world: &World, directories: &[u64]) -> Result<(), ClientError> {
    let place = some_place(client, world, directories).await;
    let share = (world.below(256), 1 + world.below(256));
    match world.below(100) {
        0..36 => {
            // As a program does: the name is looked up, and made if it is not there.
            let found = client.read(At::Head, place.clone(), (0, 0)).await?;
            let inode = match found {
                Some(inode) => Some(inode),
                None => client.change(Deed::Create(place, false)).await,
            };
            if let Some(inode) = inode {
                client.edit(inode, some_edit(world)).await;
            }
        }
        36..40 => _ = client.change(Deed::Create(place, false)).await,
        40..43 => _ = client.change(Deed::Unlink(place)).await,
        43..47 => _ = client.change(Deed::Rename(place, some_place(client, world, directories).await)).await,
        47..58 => change_more(client, world, directories, place).await?,
        58..64 => curate(client, world, place).await?,
        64..80 => drop(client.read(At::Head, place, share).await?),
        80..87 => {
            if let Some(version) = client.some_version() {
                client.read(at(Some(version)), place, share).await?;
            }
        }
        87..91 => drop(client.list(At::Head, place.0).await?),
        _ => client.sync().await,
    }
    Ok(())
}

/// Links, attributes, copies, restoration.
async fn change_more(client: &Client, world: &World, directories: &[u64], place: Place) -> Result<(), ClientError> {
    let version = client.some_version().filter(|_| world.chance(500_000));
    let found = client.look_up(at(version), &place).await?.map(|found| found.inode.0);
    let other = some_place(client, world, directories).await;
    let what = world.below(if client.stage.sharing { 22 } else { 8 });
    match (what, found, client.some_version()) {
        (0..2, Some(inode), _) => _ = client.change(Deed::Link(inode, other)).await,
        (2..4, Some(inode), _) => _ = client.change(Deed::SetMode(inode, world.below(0o1000) as u16)).await,
        (4..6, Some(inode), _) => _ = client.change(Deed::SetXattr(inode, world.below(1000))).await,
        (6..8, Some(inode), _) => client.read_xattr(version, inode).await?,
        (8..12, Some(source), _) => _ = client.change(Deed::Clone { source, at: version, place: other }).await,
        (12..14, Some(_), _) => client.share(&place, version, &other).await?,
        (14..18, _, Some(to)) => _ = client.change(Deed::Restore { source: place.0, place, to }).await,
        (18..20, _, _) => {
            let source = world.pick(&directories[1..]).copied().unwrap_or(0);
            client.change(Deed::Clone { source, at: version, place: some_copy(world) }).await;
        }
        (20, _, Some(to)) => client.restore_tree(some_copy(world), to).await?,
        (21, _, _) => client.remove_tree(some_copy(world)).await?,
        _ => {}
    }
    Ok(())
}

/// Tags, thinning, sweeps.
async fn curate(client: &Client, world: &World, place: Place) -> Result<(), ClientError> {
    let Some(version) = client.some_version() else { return Ok(()) };
    let tags = client.stage.network.ledger.tags();
    match (world.below(12), world.pick(&tags).cloned()) {
        (0..3, _) => client.tag(format!("t{}", world.below(u64::MAX)), version).await,
        (3, Some((name, _))) => client.untag(name).await,
        (4..7, Some(tag)) => client.read_tagged(tag, place).await,
        (7..10, _) => client.thin(version.saturating_sub(world.below(20)).max(1), version).await,
        (10, _) if version > 10 => client.thin(1, version - 10).await,
        (11, _) => client.ask_for_sweep().await,
        _ => Ok(()),
    }
}

fn some_copy(world: &World) -> Place {
    (ROOT_INODE.0, format!("d{}", world.below(COPIES)))
}

async fn some_place(client: &Client, world: &World, directories: &[u64]) -> Place {
    // One file that everybody wants, and others.
    if world.chance(300_000) {
        return (directories[0], "f0".to_owned());
    }
    let name = format!("f{}", world.below(NAMES));
    if world.chance(150_000) {
        let copy = client.look_up(At::Head, &some_copy(world)).await;
        if let Ok(Some(copy)) = copy
            && copy.tree.is_none()
        {
            return (copy.inode.0, name);
        }
    }
    (world.pick(directories).copied().unwrap_or(1), name)
}

fn some_length(world: &World) -> u64 {
    match world.below(10) {
        0..6 => world.between(1, 4000),
        6..8 => PAGE,
        _ => world.between(1, 2 * PAGE),
    }
}

fn some_edit(world: &World) -> Edit {
    let one = |offset: u64, length: u64| vec![(offset, length as u32)];
    let offset = world.below(SIZE_MAX - 2 * PAGE);
    match world.below(20) {
        0..7 => Edit { append: true, data: one(0, some_length(world)), ..Edit::default() },
        7..12 => Edit { data: one(offset, some_length(world)), ..Edit::default() },
        12..14 => Edit { data: one(offset / PAGE * PAGE, PAGE), ..Edit::default() },
        14 => Edit { cut_to: Some(0), data: one(0, some_length(world)), ..Edit::default() },
        15 => Edit { cut_to: Some(world.below(SIZE_MAX)), ..Edit::default() },
        16 => Edit { holes: vec![(offset, offset + some_length(world))], ..Edit::default() },
        17 => Edit { grow_to: Some(world.below(SIZE_MAX)), ..Edit::default() },
        _ => {
            let second = offset + PAGE / 2 + world.below(PAGE);
            Edit { data: vec![(offset, 1000), (second, 1000)], ..Edit::default() }
        }
    }
}
