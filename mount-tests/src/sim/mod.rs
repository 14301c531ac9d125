//! The whole cluster in one thread, on virtual time, from a seed.
//!
//! The services, the helper, the collector and the client library are the real ones. Simulated are the network ([`network`]), the disks
//! ([`disk`]) and time; what goes wrong is drawn from the seed ([`plan`], [`faults`]), up to the loss of all power at once. Clients
//! write down what they do and see ([`client`], [`history`]); what of the past has to be there is known at every moment
//! ([`ledger`]). At the end everything heals, the volume's own history tells the order in which everything happened, and all that
//! was seen is held against a plain replay of it ([`model`], [`check`]). Then the past is cleaned up, and what providers hold is held
//! against what kept versions need.
//!
//! The same seed gives the same trace, byte for byte. That the oracle finds bugs is proved by planted ones ([`plant`]).

pub mod boot;
pub mod check;
pub mod client;
mod curator;
mod deeds;
pub mod disk;
pub mod faults;
pub mod history;
pub mod ledger;
pub mod life;
pub mod model;
pub mod network;
mod outcomes;
pub mod plan;
pub mod plant;
mod reader;
mod scenario;
pub mod servers;
mod tamper;
mod verdict;
pub mod workload;
pub mod world;

use plant::Plant;
pub use world::Report;

/// Runs the simulation of `seed`, with a bug if one is planted.
#[must_use]
pub fn simulate(seed: u64, plant: Plant) -> Report {
    // A thread of its own: the library's random numbers are seeded by thread.
    let run = move || {
        fastrand::seed(seed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
        runtime.block_on(async {
            let world = world::World::new(seed, plant);
            scenario::run(world.clone()).await;
            world.report()
        })
    };
    match std::thread::Builder::new().name(format!("sim-{seed}")).spawn(run).map(std::thread::JoinHandle::join) {
        Ok(Ok(report)) => report,
        Ok(Err(_)) => Report { violations: vec!["the simulation panicked".to_owned()], ..Report::default() },
        Err(error) => panic!("no thread: {error}"),
    }
}
