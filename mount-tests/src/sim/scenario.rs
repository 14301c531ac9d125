//! One simulation: set up, trouble, heal, verdict.

use super::client::{Client, PAGE, Stage, VOLUME, connect};
use super::history::{Deed, History};
use super::life::{Killer, birth};
use super::network::Network;
use super::plan::Plan;
use super::servers::Servers;
use super::world::World;
use super::{faults, verdict, workload};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use weft_common::client::{ClientError, Namespace};
use weft_common::id::ROOT_INODE;
use weft_common::retention::Retention;
use weft_common::weave::Geometry;
use weft_common::wire::VolumeSettings;

/// How long a healed cluster may take to finish everything.
pub(super) const HEALING: Duration = Duration::from_secs(150);

/// Runs the simulation that `world`'s seed decides.
pub(super) async fn run(world: Arc<World>) {
    let plan = Plan::draw(&world);
    world.log(format_args!("{plan:?}"));
    let network = Network::new(&world);
    let servers = Servers::new(&world, &network, plan.data, plan.metadata);
    let stage = Stage {
        world,
        network,
        servers,
        history: Arc::new(History::default()),
        sharing: plan.sharing,
        blackouts_left: Arc::new(AtomicU64::new(u64::from(plan.blackouts))),
    };
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
    if let Some(span) = plan.keep_all {
        let policy = Retention { keep_all: Some(span), ..Retention::default() };
        cluster.set_retention(client.volume().info().id, ROOT_INODE, Some(policy)).await?;
    }
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
    stage.blackouts_left.store(0, Ordering::Relaxed);
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
    if let Err(error) = verdict::judge(stage, plan, healed).await {
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
            let is_over = || over.load(Ordering::Relaxed);
            let programs = (0..plan.programs).map(|_| workload::work(&client, &stage.world, directories, is_over));
            let past = workload::read_the_past(&client, &stage.world, directories, is_over);
            tokio::join!(futures_util::future::join_all(programs), past);
            if stage.world.chance(500_000) {
                // If it fails, the session lapses.
                let _ = client.volume().cluster().close().await;
            }
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
