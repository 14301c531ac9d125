//! The real transport over a simulated network: one thread, virtual time, all from a seed.
//!
//! Everything above the socket is real: quinn, rustls with certificates on both sides, dialling and its back-off, frames, the
//! server and its bounds. Simulated are packets (`network`, put under quinn by `adapter`) and time (a paused tokio runtime).
//! What the network does to packets, which servers vanish and which clients call what is drawn from the seed (`plan`,
//! `faults`, `client`). Every call is written down, with what both sides saw of it, and held against what the transport
//! promises (`history`); bodies prove whose they are. Then everything heals: every client must reach every server soon, and when
//! all is closed nothing may be left (`scenario`). Planted bugs (`plant`) prove that the checks find something.
//!
//! # What the same seed repeats
//! The moment, direction, size and fate of every packet, and with them everything that the trace says: each of its lines ends with a
//! digest of all packets so far. What is *in* the packets differs from run to run, because keys, certificates' dates, connection ids
//! and the order of TLS extensions are random in production and stay so here. They have no influence, because their lengths are
//! fixed: QUIC's own random numbers are seeded, and the certificates are Ed25519 (`identities`; ECDSA signatures differ in length).

mod adapter;
mod client;
mod contents;
mod faults;
mod history;
mod identities;
mod network;
mod plan;
mod plant;
mod scenario;
mod server;
mod world;

pub use plant::Plant;
pub use world::{Detail, Report};

/// Runs the simulation of `seed`, with a bug if one is planted.
///
/// # Panics
/// If no thread or runtime can be had.
#[must_use]
pub fn simulate(seed: u64, plant: Plant, detail: Detail) -> Report {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
        runtime.block_on(async {
            let world = world::World::new(seed, plant, detail);
            scenario::run(&world).await;
            world.report()
        })
    };
    // A thread of its own: what panics in it is a finding of this seed.
    match std::thread::Builder::new().name(format!("quic-sim-{seed}")).spawn(run).map(std::thread::JoinHandle::join) {
        Ok(Ok(report)) => report,
        Ok(Err(_)) => Report { violations: vec!["the simulation panicked".to_owned()], ..Report::default() },
        Err(error) => panic!("no thread: {error}"),
    }
}
