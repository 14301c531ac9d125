//! What programs do on a client: files in three directories are made, written, read, moved and removed, all by everybody.

use super::client::{Client, PAGE};
use super::history::{Deed, Edit, Place};
use super::world::World;
use weft_common::client::ClientError;
use weft_common::wire::At;

/// Longest file, in bytes.
const SIZE_MAX: u64 = 5 * PAGE;
/// Names in each directory.
const NAMES: u64 = 3;

/// Does one thing after the other until its process ends or `until` says so.
pub async fn work(client: &Client, world: &World, directories: &[u64], until: impl Fn() -> bool) {
    while !until() {
        world.pause(1, 400).await;
        if let Err(error) = step(client, world, directories).await {
            world.count("read failed");
            world.log(format_args!("a read failed: {error}"));
            if matches!(error, ClientError::Damaged { .. }) {
                world.count("damage reported");
            }
        }
    }
}

async fn step(client: &Client, world: &World, directories: &[u64]) -> Result<(), ClientError> {
    let place = some_place(world, directories);
    let share = (world.below(256), 1 + world.below(256));
    match world.below(100) {
        0..45 => {
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
        45..50 => drop(client.change(Deed::Create(place, false)).await),
        50..54 => drop(client.change(Deed::Unlink(place)).await),
        54..60 => drop(client.change(Deed::Rename(place, some_place(world, directories))).await),
        60..82 => drop(client.read(At::Head, place, share).await?),
        82..90 => {
            if let Some(version) = client.some_version() {
                client.read(version, place, share).await?;
            }
        }
        90..94 => client.list(place.0).await?,
        _ => client.sync().await,
    }
    Ok(())
}

fn some_place(world: &World, directories: &[u64]) -> Place {
    let directory = world.pick(directories).copied().unwrap_or(1);
    // One file that everybody wants, and others.
    if world.chance(300_000) { (directories[0], "f0".to_owned()) } else { (directory, format!("f{}", world.below(NAMES))) }
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
