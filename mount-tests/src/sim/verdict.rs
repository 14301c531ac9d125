//! What has to be so in the end, when everything has healed: all is published, everything kept is readable, everything that clients saw
//! fits together; and once the past has been cleaned up, providers hold what kept versions need, and nothing else.

use super::boot::MANAGER;
use super::check;
use super::client::{Client, Stage};
use super::deeds::at;
use super::history::{Place, SyncedUpdate};
use super::life::birth;
use super::model::Model;
use super::plan::Plan;
use super::scenario::HEALING;
use super::servers::Fate;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use weft_common::client::{BlobStore, ClientError, Fsck, Namespace};
use weft_common::id::{BlobId, BlobVersion, InodeNumber, ROOT_INODE, VolumeVersion};
use weft_common::limits::{SESSION_LEASE, TICKET_LEASE};
use weft_common::time::Timestamp;
use weft_common::weave::ByteRange;
use weft_common::wire::{At, ChangeRecord, ErrorKind, GarbageStatistics, NamespaceAnswer, Query, SweepExtent};

/// Old versions that are read again before the clean-up and behind it.
const OLD_VERSIONS_READ: u64 = 40;
/// Synced updates of which the bytes are read again, the last ones.
const SYNCED_READ: usize = 100;
/// How long the clean-up may take: sessions of the dead lapse, and then it waits for readers twice.
const CLEANING: Duration = Duration::from_secs(400);
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything is published and readable, and everything that was seen fits together.
pub(super) async fn judge(stage: &Stage, plan: &Plan, healed: Instant) -> Result<(), ClientError> {
    let (_killer, life) = birth();
    let client = Client::connect(stage, "judge", &life, PATIENCE).await?;
    // Until then a ticket may be in flight that nobody calls lapsed.
    tokio::time::sleep(TICKET_LEASE + Duration::from_secs(1)).await;
    if !wait_for_publication(stage, &client, healed).await? {
        return Ok(());
    }
    stage.world.log(format_args!("healed after {:?}", healed.elapsed()));
    let changes = all_changes(&client).await?;
    let model = replay(stage, &changes);
    read_all(stage, &client, &model).await?;
    read_synced(stage, &client).await?;
    client.volume().cluster().close().await?;
    clean_up(stage, &model).await?;
    // A recovery may have gone on meanwhile.
    let client = Client::connect(stage, "judge", &life, PATIENCE).await?;
    let changes = all_changes(&client).await?;
    let model = replay(stage, &changes);
    judge_policy(stage, plan, &changes);
    for complaint in check::complaints(&model, &stage.history.all()) {
        stage.world.violation(complaint);
    }
    stage.world.log(format_args!("{} versions, {} reads", changes.len(), stage.history.all().reads.len()));
    Ok(())
}

/// Whether every ticket's version was published, but for those that cannot be woven since nodes were lost with all power.
async fn wait_for_publication(stage: &Stage, client: &Client, healed: Instant) -> Result<bool, ClientError> {
    let cluster = client.volume().cluster();
    loop {
        let lapsed = cluster.lapsed_versions().await?;
        if lapsed.is_empty() {
            return Ok(true);
        }
        if healed.elapsed() > HEALING {
            // The first of each blob: the others wait for it.
            let mut firsts: BTreeMap<BlobId, BlobVersion> = BTreeMap::new();
            lapsed.iter().rev().for_each(|(blob, version)| _ = firsts.insert(*blob, *version));
            for (blob, version) in firsts {
                match cluster.finish_version(blob, version).await {
                    Err(ClientError::Damaged { what, .. }) if stage.servers.fate(&what) == Fate::Lost => {
                        stage.world.count("update stuck on lost nodes");
                    }
                    other => {
                        let what = format!("{blob} {version} is not published {HEALING:?} after everything healed: {other:?}");
                        stage.world.violation(what);
                    }
                }
            }
            return Ok(!stage.world.is_broken());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn replay(stage: &Stage, changes: &[ChangeRecord]) -> Model {
    Model::replay(changes, &stage.history.all(), &stage.network.ledger.fall_backs())
}

/// Every change, also those that made versions which are not kept any more.
async fn all_changes(client: &Client) -> Result<Vec<ChangeRecord>, ClientError> {
    let mut all: Vec<ChangeRecord> = Vec::new();
    loop {
        let after = all.last().map_or(VolumeVersion(0), |change| change.version);
        let query = Query::Watch { after, limit: 500, wait_ms: 0 };
        let NamespaceAnswer::Changes { changes, more } = client.volume().query(At::Head, query).await? else { break };
        all.extend(changes);
        if !more {
            break;
        }
    }
    Ok(all)
}

/// A read at the end. Only what all power took with it may be damaged.
async fn read_again(stage: &Stage, client: &Client, version: Option<u64>, place: &Place) -> Result<(), ClientError> {
    match client.read(at(version), place.clone(), (0, 256)).await {
        Err(ClientError::Damaged { what, .. }) if stage.servers.fate(&what) == Fate::Lost => {
            stage.world.count("damage told");
            Ok(())
        }
        Err(error) => Err(error),
        Ok(_) => Ok(()),
    }
}

/// Every file as it is, and some kept versions of them.
async fn read_all(stage: &Stage, client: &Client, model: &Model) -> Result<(), ClientError> {
    for place in model.names.keys() {
        read_again(stage, client, None, place).await?;
    }
    read_the_kept(stage, client, model).await?;
    for (name, version) in stage.network.ledger.tags() {
        for place in model.names.keys() {
            match client.read_tagged((name.clone(), version), place.clone()).await {
                Err(ClientError::Damaged { what, .. }) if stage.servers.fate(&what) == Fate::Lost => {}
                other => other?,
            }
        }
    }
    Ok(())
}

async fn read_the_kept(stage: &Stage, client: &Client, model: &Model) -> Result<(), ClientError> {
    let kept = client.volume().cluster().kept_versions(client.volume().info().id, ROOT_INODE).await?;
    let places: Vec<_> = model.names.keys().cloned().collect();
    for _ in 0..OLD_VERSIONS_READ {
        if let (Some(kept), Some(place)) = (stage.world.pick(&kept), stage.world.pick(&places)) {
            read_again(stage, client, Some(kept.version.0), place).await?;
        }
    }
    for (_, version) in stage.network.ledger.tags() {
        if !kept.iter().any(|kept| kept.version.0 == version) {
            stage.world.violation(format!("N{version} has a tag and is not kept"));
        }
    }
    Ok(())
}

/// No policy took what was younger than it says, by the clock that dated it.
fn judge_policy(stage: &Stage, plan: &Plan, changes: &[ChangeRecord]) {
    let Some(span) = plan.keep_all else { return };
    let times: BTreeMap<u64, Timestamp> = changes.iter().map(|change| (change.version.0, change.time)).collect();
    for thinning in stage.network.ledger.by_policy() {
        stage.world.count("thinned by policy");
        let versions = thinning.ranges.iter().flat_map(|range| range.first.0..=range.last.0);
        let young = versions.filter(|version| times.get(version).is_some_and(|time| time.after(span) > thinning.clock));
        for version in young {
            stage.world.violation(format!("the policy let N{version} go, which was younger than {span:?}"));
        }
    }
}

/// What was synced is there, whatever power was lost.
async fn read_synced(stage: &Stage, client: &Client) -> Result<(), ClientError> {
    let synced = stage.history.all().synced;
    for SyncedUpdate { inode, blob, version, ranges, .. } in synced.iter().rev().take(SYNCED_READ) {
        let query = Query::Attributes(InodeNumber(*inode));
        let found = match client.volume().query(at(Some(*version)), query).await {
            Ok(NamespaceAnswer::Attributes(found)) => found,
            Ok(_) => continue,
            // It had no name, or is not kept.
            Err(ClientError::Service(error)) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Stale) => continue,
            Err(error) => return Err(error),
        };
        let Some(tree) = found.tree.filter(|tree| found.version.0 == *version && tree.blob == *blob) else { continue };
        for (start, end) in ranges {
            stage.world.count("synced bytes read");
            if let Err(error) = client.volume().read(&tree, ByteRange::new(*start, *end)).await {
                let about = format!("{start}..{end} of inode {inode} at N{version} were synced");
                stage.world.violation(format!("{about}: {error}"));
            }
        }
    }
    Ok(())
}

/// Lets more of the past go, waits until it has been collected, sweeps, and looks at what is left.
async fn clean_up(stage: &Stage, model: &Model) -> Result<(), ClientError> {
    // The policy is applied by a collector that starts.
    stage.servers.kill(MANAGER);
    stage.servers.start(MANAGER).await;
    let (_killer, life) = birth();
    let client = Client::connect(stage, "gardener", &life, PATIENCE).await?;
    let (cluster, volume) = (client.volume().cluster(), client.volume().info().id);
    if model.latest > 3 {
        let first = stage.world.between(1, model.latest - 1);
        client.thin(first, stage.world.between(first, model.latest)).await?;
    }
    // Until then the sessions of the dead hold what they held: a lease from the manager's start on, and it looks every now and then.
    tokio::time::sleep(SESSION_LEASE + Duration::from_secs(5)).await;
    let began = Instant::now();
    while !cluster.losses().is_empty() {
        if began.elapsed() > CLEANING {
            stage.world.violation(format!(
                "nobody knows yet what was lost, {CLEANING:?} after everything healed: {:?}",
                cluster.losses()
            ));
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let (began, mut waiting) = (Instant::now(), cluster.garbage(volume).await?);
    while waiting != GarbageStatistics::default() {
        if began.elapsed() > CLEANING {
            break;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        waiting = cluster.garbage(volume).await?;
    }
    let number = cluster.ask_for_sweep(SweepExtent::Everything).await?.asked;
    while cluster.sweep_state().await?.done < number {
        if began.elapsed() > CLEANING * 2 {
            stage.world.violation("a sweep does not end".to_owned());
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    cluster.close().await?;
    let auditor = Client::connect(stage, "auditor", &life, PATIENCE).await?;
    read_the_kept(stage, &auditor, model).await?;
    let fsck = auditor.volume().cluster().fsck(None, &mut |_| {}).await?;
    judge_stock(stage, &fsck, &waiting);
    Ok(())
}

/// Everything that kept versions need is there, and nothing else; but what was lost with all power is lost.
fn judge_stock(stage: &Stage, fsck: &Fsck, waiting: &GarbageStatistics) {
    let lost = fsck.faults.iter().filter(|fault| !fault.is_healable());
    let gone: Vec<_> = lost.filter(|fault| stage.servers.fate(&fault.what.to_string()) != Fate::Lost).collect();
    if !gone.is_empty() {
        stage.world.violation(format!("kept versions need what is nowhere: {gone:?}"));
    }
    if !fsck.contradictions.is_empty() || !fsck.silent.is_empty() {
        stage.world.violation(format!("fsck found {:?}, silent {:?}", fsck.contradictions, fsck.silent));
    }
    let mut left = vec![&fsck.orphans, &fsck.of_sessions, &fsck.unknown, &fsck.in_flight];
    if !stage.sharing && stage.network.ledger.fall_backs().is_empty() {
        // A copy, and what fell back, pins all of its origin, however little of it the copy still shows.
        left.push(&fsck.waiting);
    }
    // While a node is lost that a kept version needs nothing is swept, and an update that cannot be woven on it stays in flight.
    let is_hurt = !fsck.faults.is_empty() || stage.world.has_happened("update stuck on lost nodes");
    if !is_hurt && *waiting != GarbageStatistics::default() {
        stage.world.violation(format!("not collected after {CLEANING:?} of quiet: {waiting:?}"));
    }
    if !is_hurt && left.iter().any(|left| !left.is_empty()) {
        stage.world.violation(format!("what nobody needs is left: {left:?}"));
    }
    let has_lost = stage.history.all().has_lost;
    stage.world.count(match (has_lost, is_hurt) {
        (false, _) => "checked clean",
        (true, false) => "checked clean after losses",
        (true, true) => "checked after losses",
    });
    stage.world.log(format_args!("fsck: {} nodes, {} objects, {} faults", fsck.nodes, fsck.objects, fsck.faults.len()));
}
