//! A cluster that no one machine can hold: 10,000 data providers, 100,000 mounts. What is sent for each operation is counted with the real
//! client and the cluster map of that size, what the parts cost is measured with the real cores, and the rest is multiplication. It asks
//! what breaks first in the implementation as it is, and what would lift that; `benches/SCALE.md` has the answer.
//!
//! | part | is |
//! |---|---|
//! | `cluster` | the map of a cluster of any size |
//! | `messages` | what an operation sends: counted, and as the protocol has it; a test holds the two together |
//! | `costs` | what calls, commands, questions cost on this machine |
//! | `model` | loads of resources, and the clients that use them up |
//! | `text` | the report |

mod cluster;
mod costs;
mod messages;
mod model;
mod text;

use crate::about::About;
use cluster::Size;
use std::path::PathBuf;
use weft_benches::Outcome;
use weft_common::wire::{ClusterMap, PlacementReply, Reply, encode};

/// How large, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The report that is written.
    #[arg(long, default_value = "benches/SCALE.md")]
    to: PathBuf,
    /// Data providers.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(8..))]
    data: u32,
    /// Metadata providers.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(8..))]
    metadata: u32,
    /// Mounts.
    #[arg(long, default_value_t = 100_000)]
    clients: u64,
    /// Copies of pages and nodes.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
    copies: u8,
}

/// Everything that the report is made of.
#[derive(Debug)]
pub(crate) struct Findings {
    size: Size,
    map: ClusterMap,
    map_bytes: u64,
    /// Data providers with which the map just fits one answer.
    providers_max: u32,
    counted: messages::Counted,
    costs: costs::Costs,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    let Arguments { data, metadata, clients, copies, .. } = *arguments;
    let size = Size { data, metadata, clients, copies };
    let map = cluster::map(size);
    eprintln!("counting messages");
    let counted = messages::count(&map, size)?;
    eprintln!("measuring costs");
    let costs = costs::measure(size)?;
    let (map_bytes, providers_max) = (map_bytes(&map)?, providers_max(size)?);
    let findings = Findings { size, map, map_bytes, providers_max, counted, costs };
    let about = About::now(&std::env::temp_dir());
    let text = text::report(&findings, &about);
    std::fs::write(&arguments.to, &text).map_err(|error| format!("cannot write {}: {error}", arguments.to.display()))?;
    println!("{text}");
    Ok(())
}

/// Bytes of the map as a client gets it.
fn map_bytes(map: &ClusterMap) -> Outcome<u64> {
    let reply: Result<Reply, weft_common::wire::ServiceError> = Ok(Reply::Placement(PlacementReply::Map(Box::new(map.clone()))));
    Ok(encode(&reply)?.len() as u64)
}

/// The most data providers whose map fits one answer.
fn providers_max(size: Size) -> Outcome<u32> {
    let (mut fits, mut too_many) = (8, 1 << 17);
    while too_many - fits > 16 {
        let data = u32::midpoint(fits, too_many);
        let bytes = map_bytes(&cluster::map(Size { data, ..size }))?;
        if bytes <= u64::from(weft_common::limits::HEADER_BYTES_MAX) { fits = data } else { too_many = data }
    }
    Ok(fits)
}
