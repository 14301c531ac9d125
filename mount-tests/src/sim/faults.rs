//! What goes wrong, and for how long. Everything ends with [`heal`].

use super::boot::MANAGER;
use super::client::Stage;
use super::disk::{LogFault, StoreFault};
use super::network::Weather;
use super::plan::Plan;
use std::sync::atomic::Ordering;
use std::time::Duration;
use weft_common::wire::ProviderRole;

/// Makes trouble until `until` says so.
pub async fn trouble(stage: &Stage, plan: &Plan, clients: &[String], until: impl Fn() -> bool) {
    let (mut newcomers, mut absent) = (0, None);
    while !until() {
        stage.world.pause(200, 3000).await;
        let mut hosts = stage.servers.hosts();
        hosts.retain(|host| absent.as_ref() != Some(host));
        match stage.world.below(14) {
            0 | 1 => change_weather(stage, plan),
            2 | 3 if plan.partitions => {
                hosts.extend(clients.iter().cloned());
                partition(stage, &hosts);
            }
            4 | 5 if plan.crashes => crash(stage, &hosts),
            6 if plan.power_losses => lose_power(stage, &hosts),
            7 | 8 if plan.disk_faults => fail_disk(stage, &hosts),
            9 if plan.clock_skew => skew(stage, &hosts),
            10 if plan.newcomers && newcomers < 2 => {
                newcomers += 1;
                join(stage, newcomers).await;
            }
            11 => lose_all_power(stage),
            12 if plan.absences && absent.is_none() => absent = leave(stage, &hosts),
            _ => restart_failed(stage, absent.as_deref()).await,
        }
    }
}

/// Ends every fault and starts whoever is down.
pub async fn heal(stage: &Stage) {
    stage.world.log(format_args!("everything heals"));
    stage.network.set_weather(Weather::default());
    stage.network.heal();
    stage.servers.plan_log_fault(None);
    for host in stage.servers.hosts() {
        stage.servers.plan_store_fault(&host, None);
        stage.servers.skew(&host, 0);
    }
    restart_failed(stage, None).await;
    for host in stage.servers.hosts() {
        stage.servers.start(&host).await;
    }
}

fn change_weather(stage: &Stage, plan: &Plan) {
    let world = &stage.world;
    let part = |most: u64| if most == 0 { 0 } else { world.below(most + 1) };
    let weather = Weather {
        loss: part(plan.loss_max),
        duplication: part(plan.duplication_max),
        lateness: part(plan.lateness_max),
        late_ms_max: world.between(5, 3000),
    };
    world.log(format_args!("{weather:?}"));
    stage.network.set_weather(weather);
}

fn partition(stage: &Stage, hosts: &[String]) {
    let (stage, world) = (stage.clone(), &stage.world);
    let (Some(one), Some(other)) = (world.pick(hosts).cloned(), world.pick(hosts).cloned()) else { return };
    let both_ways = world.chance(500_000);
    let whole = world.chance(300_000);
    let others: Vec<_> = hosts.iter().filter(|host| **host != one && (whole || **host == other)).cloned().collect();
    world.log(format_args!("partition: {one} to {others:?}, both ways: {both_ways}"));
    for other in &others {
        stage.network.cut(&one, other);
        if both_ways {
            stage.network.cut(other, &one);
        }
    }
    let span = Duration::from_millis(world.between(100, 15_000));
    tokio::spawn(async move {
        tokio::time::sleep(span).await;
        stage.network.heal();
    });
}

fn start_later(stage: &Stage, host: String) {
    let stage = stage.clone();
    tokio::spawn(async move {
        stage.world.pause(50, 12_000).await;
        stage.servers.start(&host).await;
    });
}

fn crash(stage: &Stage, hosts: &[String]) {
    let Some(host) = stage.world.pick(hosts).filter(|host| stage.servers.is_up(host)) else { return };
    stage.world.count("crash");
    stage.world.log(format_args!("{host} crashes"));
    stage.servers.kill(host);
    start_later(stage, host.clone());
}

/// Not all copies at once: then unsynced data may go, and that is promised.
fn lose_power(stage: &Stage, hosts: &[String]) {
    let Some(host) = stage.world.pick(hosts).filter(|host| stage.servers.is_up(host)) else { return };
    if !stage.servers.others_have_what_is_at_risk(host) {
        return;
    }
    stage.world.count(if host == MANAGER { "manager lost power" } else { "provider lost power" });
    stage.world.log(format_args!("{host} loses power"));
    stage.servers.cut_power(host);
    start_later(stage, host.clone());
}

/// All machines at once: of what was not synced some is gone for good. Not more often than planned.
pub(super) fn lose_all_power(stage: &Stage) {
    let planned = stage.blackouts_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    if planned.is_err() {
        return;
    }
    stage.world.count("blackout");
    stage.world.log(format_args!("all machines lose power"));
    if stage.servers.cut_all_power() {
        stage.world.count("lost from all disks");
        stage.history.note_loss();
    }
    for host in stage.servers.hosts() {
        start_later(stage, host);
    }
}

/// A provider goes and does not come back until everything heals.
fn leave(stage: &Stage, hosts: &[String]) -> Option<String> {
    let providers: Vec<_> = hosts.iter().filter(|host| *host != MANAGER).cloned().collect();
    let host = stage.world.pick(&providers).cloned()?;
    stage.world.count("provider left");
    stage.world.log(format_args!("{host} leaves"));
    stage.servers.kill(&host);
    Some(host)
}

fn fail_disk(stage: &Stage, hosts: &[String]) {
    let world = &stage.world;
    let Some(host) = world.pick(hosts) else { return };
    if host == MANAGER {
        let fault = world.pick(&[LogFault::Full, LogFault::Lost, LogFault::Kept]).copied();
        stage.servers.plan_log_fault(fault);
    } else {
        let faults = [StoreFault::Put, StoreFault::Sync, StoreFault::Full, StoreFault::Flip];
        stage.servers.plan_store_fault(host, world.pick(&faults).copied());
    }
}

fn skew(stage: &Stage, hosts: &[String]) {
    let Some(host) = stage.world.pick(hosts) else { return };
    let skew_ms = stage.world.below(7_200_000) as i64 - 3_600_000;
    stage.world.count("clock skewed");
    stage.world.log(format_args!("the clock of {host} is wrong by {skew_ms} ms"));
    stage.servers.skew(host, skew_ms);
}

async fn join(stage: &Stage, count: u64) {
    let role = if stage.world.chance(500_000) { ProviderRole::Data } else { ProviderRole::Metadata };
    let host = format!("new{count}");
    stage.world.count("newcomer");
    stage.servers.add_provider(&host, role);
    stage.servers.start(&host).await;
}

/// As an operator or a service manager does: whoever failed is started again.
async fn restart_failed(stage: &Stage, absent: Option<&str>) {
    let failed = stage.servers.poisoned().into_iter().filter(|host| absent != Some(host.as_str()));
    for host in failed {
        stage.servers.kill(&host);
        stage.servers.start(&host).await;
    }
    if !stage.servers.is_up(MANAGER) {
        stage.servers.start(MANAGER).await;
    }
}
