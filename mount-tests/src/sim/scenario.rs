//! One simulation: set up, trouble, heal, verdict.

use super::check;
use super::client::{Client, PAGE, Stage, VOLUME, connect};
use super::faults;
use super::history::{Deed, History};
use super::life::{Killer, birth};
use super::model::Model;
use super::network::Network;
use super::plan::Plan;
use super::servers::Servers;
use super::workload;
use super::world::World;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use weft_common::client::{ClientError, Namespace};
use weft_common::id::{ROOT_INODE, VolumeVersion};
use weft_common::limits::TICKET_LEASE;
use weft_common::weave::Geometry;
use weft_common::wire::{At, ChangeRecord, NamespaceAnswer, Query, VolumeSettings};

/// How long a healed cluster may take to finish everything.
const HEALING: Duration = Duration::from_secs(150);
/// Old versions that are read again at the end.
const OLD_VERSIONS_READ: u64 = 40;

/// Runs the simulation that `world`'s seed decides.
pub(super) async fn run(world: Arc<World>) {
    let plan = Plan::draw(&world);
    world.log(format_args!("{plan:?}"));
    let network = Network::new(&world);
    let servers = Servers::new(&world, &network, plan.data, plan.metadata);
    let stage = Stage { world, network, servers, history: Arc::new(History::default()) };
    for host in stage.servers.hosts() {
        stage.servers.start(&host).await;
    }
    match set_up(&stage, &plan).await {
        Ok(directories) => play(&stage, &plan, directories).await,
        Err(error) => stage.world.violation(format!("a healthy cluster could not be set up: {error}")),
    }
}

/// The volume, and two directories in it beside its root.
async fn set_up(stage: &Stage, plan: &Plan) -> Result<Vec<u64>, ClientError> {
    // All providers have joined by then.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (_killer, life) = birth();
    let cluster = connect(stage, "setup", &life, Duration::from_secs(30)).await?;
    let geometry = Geometry::new(PAGE as u32, plan.fan_out);
    let geometry = geometry.unwrap_or_else(|error| unreachable!("a plan has possible figures: {error}"));
    cluster.create_volume(VOLUME, VolumeSettings { geometry, copies: plan.copies }, (0, 0)).await?;
    let client = Client::connect(stage, "setup", &life, Duration::from_secs(30)).await?;
    let mut directories = vec![ROOT_INODE.0];
    for name in ["a", "b"] {
        directories.extend(client.change(Deed::Create((ROOT_INODE.0, name.to_owned()), true)).await);
    }
    Ok(directories)
}

async fn play(stage: &Stage, plan: &Plan, directories: Vec<u64>) {
    let over = Arc::new(AtomicBool::new(false));
    let working = Arc::new(AtomicUsize::new(0));
    let directories: Arc<[u64]> = directories.into();
    let names: Vec<String> = (1..=plan.clients).map(|place| format!("client{place}")).collect();
    for name in &names {
        working.fetch_add(1, Ordering::Relaxed);
        let (stage, plan, name) = (stage.clone(), plan.clone(), name.clone());
        let (directories, over, working) = (directories.clone(), over.clone(), working.clone());
        tokio::spawn(async move {
            host_of_clients(&stage, &plan, &name, &directories, &over).await;
            working.fetch_sub(1, Ordering::Relaxed);
        });
    }
    let end = Instant::now() + plan.trouble;
    faults::trouble(stage, plan, &names, || Instant::now() >= end || stage.world.is_broken()).await;
    over.store(true, Ordering::Relaxed);
    // What was to be started later is started by then.
    tokio::time::sleep(Duration::from_secs(15)).await;
    faults::heal(stage).await;
    let healed = Instant::now();
    while working.load(Ordering::Relaxed) > 0 && healed.elapsed() < HEALING {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    if working.load(Ordering::Relaxed) > 0 {
        stage.world.violation(format!("some client still waits {HEALING:?} after everything healed"));
    }
    if let Err(error) = verdict(stage, healed).await {
        stage.world.violation(format!("the healed cluster cannot be read: {error}"));
    }
}

/// A desktop: one client process after the other, each with some programs.
async fn host_of_clients(stage: &Stage, plan: &Plan, name: &str, directories: &[u64], over: &AtomicBool) {
    let mut lives = 0;
    while !over.load(Ordering::Relaxed) {
        lives += 1;
        let (killer, life) = birth();
        let host = name.to_owned();
        if plan.client_crashes {
            kill_later(stage, &host, killer.clone());
        }
        let patience = Duration::from_secs(stage.world.between(5, 30));
        let work = async {
            let client = match Client::connect(stage, &host, &life, patience).await {
                Ok(client) => client,
                Err(error) => return stage.world.log(format_args!("{host} cannot connect: {error}")),
            };
            let programs =
                (0..plan.programs).map(|_| workload::work(&client, &stage.world, directories, || over.load(Ordering::Relaxed)));
            futures_util::future::join_all(programs).await;
        };
        if life.run(work).await.is_none() {
            stage.world.count("client crash");
            stage.world.log(format_args!("{host} crashed in its life {lives}"));
        }
        killer.kill();
        stage.world.pause(10, 2000).await;
    }
}

fn kill_later(stage: &Stage, host: &str, killer: Killer) {
    let (stage, host) = (stage.clone(), host.to_owned());
    tokio::spawn(async move {
        stage.world.pause(2000, 60_000).await;
        stage.world.log(format_args!("{host} is killed if it still runs"));
        killer.kill();
    });
}

/// Everything is published and readable, and everything that was seen fits together.
async fn verdict(stage: &Stage, healed: Instant) -> Result<(), ClientError> {
    let (_killer, life) = birth();
    let patience = Duration::from_secs(30);
    let client = Client::connect(stage, "judge", &life, patience).await?;
    // Until then a ticket may be in flight that nobody calls lapsed.
    tokio::time::sleep(TICKET_LEASE + Duration::from_secs(1)).await;
    loop {
        let lapsed = client.volume().cluster().lapsed_versions().await?;
        if lapsed.is_empty() {
            break;
        }
        if healed.elapsed() > HEALING {
            stage.world.violation(format!("not published {HEALING:?} after everything healed: {lapsed:?}"));
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    stage.world.log(format_args!("healed after {:?}", healed.elapsed()));
    let changes = all_changes(&client).await?;
    let model = Model::replay(&changes, &stage.history.all());
    read_all(stage, &client, &model).await?;
    for complaint in check::complaints(&model, &stage.history.all()) {
        stage.world.violation(complaint);
    }
    stage.world.log(format_args!("{} versions, {} reads", changes.len(), stage.history.all().reads.len()));
    Ok(())
}

async fn all_changes(client: &Client) -> Result<Vec<ChangeRecord>, ClientError> {
    let mut all: Vec<ChangeRecord> = Vec::new();
    loop {
        let after = all.last().map_or(VolumeVersion(0), |change| change.version);
        let query = Query::VersionsOf { directory: ROOT_INODE, after, limit: 500 };
        let NamespaceAnswer::Changes { changes, more } = client.volume().query(At::Head, query).await? else { break };
        all.extend(changes);
        if !more {
            break;
        }
    }
    Ok(all)
}

/// Every file as it is, and some as they were.
async fn read_all(stage: &Stage, client: &Client, model: &Model) -> Result<(), ClientError> {
    let whole = (0, 256);
    for place in model.names.keys() {
        client.read(At::Head, place.clone(), whole).await?;
    }
    let places: Vec<_> = model.names.keys().cloned().collect();
    for _ in 0..OLD_VERSIONS_READ {
        let version = VolumeVersion(1 + stage.world.below(model.latest.max(1)));
        if let Some(place) = stage.world.pick(&places) {
            client.read(At::Version(version), place.clone(), whole).await?;
        }
    }
    Ok(())
}
