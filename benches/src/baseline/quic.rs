//! Page calls alone: what QUIC and the other process's disk give.

use super::pages::{Outcome, get, put};
use super::pool::{PAGE_BYTES, Pool};
use bytes::Bytes;
use quinn::Connection;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;
use tokio::task::JoinSet;
use weft_common::rpc::runtime;
use weft_common::transport::{Holder, Identity, bare};

/// Calls on their way at once.
pub(crate) const IN_FLIGHT: usize = 4;

/// A worker of the row: not for people.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct QuicArguments {
    #[arg(long)]
    identity: PathBuf,
    #[arg(long)]
    server: SocketAddr,
    /// Bytes of a call.
    #[arg(long, default_value_t = 1 << 20)]
    call_bytes: usize,
    #[arg(long, default_value_t = 1 << 30)]
    bytes: u64,
}

/// Writes and reads, and prints the seconds that each took.
pub(crate) fn run_quic(arguments: &QuicArguments) -> Result<(), Box<dyn Error>> {
    let identity = Identity::load(&arguments.identity, Holder::Client)?;
    let outcome: Outcome<[f64; 2]> = runtime("calls")?.block_on(async {
        let (_endpoint, connection) = bare::dial(&identity, arguments.server).await?;
        let (pool, length) = (Pool::default(), arguments.call_bytes.min(PAGE_BYTES));
        let calls = arguments.bytes / length as u64;
        let mut took = [0.0; 2];
        for (place, is_write) in [true, false].into_iter().enumerate() {
            let began = Instant::now();
            let mut flying = JoinSet::new();
            for call in 0..calls {
                if flying.len() >= IN_FLIGHT {
                    flying.join_next().await.ok_or("no call")???;
                }
                flying.spawn(one(connection.clone(), pool.clone(), call * length as u64, length, is_write));
            }
            while let Some(done) = flying.join_next().await {
                done??;
            }
            took[place] = began.elapsed().as_secs_f64();
        }
        Ok(took)
    });
    let took = outcome.map_err(|error| error as Box<dyn Error>)?;
    println!("{}", serde_json::to_string(&took)?);
    Ok(())
}

async fn one(connection: Connection, pool: Pool, offset: u64, length: usize, is_write: bool) -> Outcome<()> {
    if !is_write {
        return get(&connection, 0, offset, length, &pool).await.map(drop);
    }
    let mut page = pool.take();
    page.length = length;
    let bytes: Bytes = page.freeze();
    put(&connection, 0, offset, bytes).await
}
