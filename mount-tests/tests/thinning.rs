//! An aggressive policy and its collection beside writers on four mounts: what is kept stays readable at every moment, the rest
//! gives its space back, and in the end nothing is left over.
//!
//! Files are made of records that prove themselves, so whatever a version shows can be judged without knowing who wrote it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use weft_mount_tests::cluster::{Cluster, Shape, long_tests};
use weft_mount_tests::fingerprint::{Fingerprint, differences, fingerprint};
use weft_mount_tests::process::{run, succeed};
use weft_mount_tests::random::Random;
use weft_mount_tests::wait::until;

const MOUNTS: u64 = 4;
const RECORD: usize = 64 << 10;
/// A writer's pause after each change: the versions of some hundred changes are kept at any time.
const PAUSE: Duration = Duration::from_millis(60);
const LOOK: Duration = Duration::from_millis(100);

fn writing() -> Duration {
    Duration::from_secs(if long_tests() { 600 } else { 20 })
}

/// For so long the policy keeps every version.
fn kept_for() -> Duration {
    Duration::from_secs(if long_tests() { 120 } else { 6 })
}

/// A record: its seed, and bytes that follow from it.
fn record(seed: u64) -> Vec<u8> {
    let mut bytes = seed.to_le_bytes().to_vec();
    bytes.extend(Random::new(seed).bytes(RECORD - bytes.len()));
    bytes
}

fn is_whole(bytes: &[u8]) -> bool {
    bytes.len().is_multiple_of(RECORD)
        && bytes.chunks(RECORD).all(|chunk| {
            let seed = chunk.first_chunk().map_or(0, |seed| u64::from_le_bytes(*seed));
            chunk == record(seed)
        })
}

/// Frames overwritten, appended to and deleted, in a directory of its own, until the end. Says how many changes it made.
fn write(folder: &Path, seed: u64, stop: &AtomicBool) -> io::Result<u64> {
    fs::create_dir(folder)?;
    let (mut random, mut changes) = (Random::new(seed), 0);
    while !stop.load(Ordering::Relaxed) {
        let path = folder.join(format!("frame{}", random.below(4)));
        let records: Vec<u8> = (0..=random.below(3)).flat_map(|_| record(random.next_u64())).collect();
        match random.below(10) {
            0..=4 => fs::write(&path, records)?,
            5..=7 if path.metadata().is_ok_and(|file| file.len() < 12 * RECORD as u64) => {
                OpenOptions::new().append(true).open(&path)?.write_all(&records)?;
            }
            8 => {
                let draft = folder.join("draft");
                fs::write(&draft, records)?;
                fs::rename(&draft, &path)?;
            }
            9 => match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            },
            _ => continue,
        }
        changes += 1;
        std::thread::sleep(PAUSE);
    }
    Ok(changes)
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files_below(&entry.path(), found)?;
        } else {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// A whole tree: every record of every file in it, and its fingerprint.
fn look(root: &Path) -> io::Result<Fingerprint> {
    let mut files = Vec::new();
    files_below(root, &mut files)?;
    for path in files {
        assert!(is_whole(&fs::read(&path)?), "{} holds something that nobody wrote", path.display());
    }
    fingerprint(root)
}

/// A version that the policy keeps until `until` at least.
struct Seen {
    version: u64,
    until: Instant,
    tree: Option<Fingerprint>,
}

/// Looks at versions again and again while the policy keeps them.
struct Checker<'a> {
    root: &'a Path,
    random: Random,
    seen: Vec<Seen>,
    looks: u64,
}

impl Checker<'_> {
    /// The newest version, if there is one yet.
    fn newest(&self) -> Option<u64> {
        let listed = fs::read_dir(self.root.join(".versions")).expect("a list of versions");
        let numbers = listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        numbers.max()
    }

    fn run(&mut self, stop: &AtomicBool) {
        let mut before = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            if let Some(version) = self.newest()
                && self.seen.last().is_none_or(|last| last.version < version)
            {
                // It was not there at the look before, so it is younger than that.
                self.seen.push(Seen { version, until: before + kept_for(), tree: None });
            }
            before = now;
            self.seen.retain(|seen| seen.until > now);
            for _ in 0..3 {
                self.look_at_one();
            }
            std::thread::sleep(LOOK);
        }
    }

    fn look_at_one(&mut self) {
        if self.seen.is_empty() {
            return;
        }
        let place = self.random.below(self.seen.len() as u64) as usize;
        let seen = &mut self.seen[place];
        let found = look(&self.root.join(".versions").join(seen.version.to_string()));
        if Instant::now() >= seen.until {
            return;
        }
        let found = found.unwrap_or_else(|error| panic!("version {}, which is kept: {error}", seen.version));
        if let Some(first) = &seen.tree {
            let wrong = differences(first, &found);
            assert!(wrong.is_empty(), "version {} changed:\n{}", seen.version, wrong.join("\n"));
        }
        seen.tree = Some(found);
        self.looks += 1;
    }
}

/// What the stores' files take, by what it is for. All in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    /// What kept versions need.
    needed: u64,
    /// What waits to be collected, or is stored and not published yet.
    waiting: u64,
    /// What is left of deleted objects until their segment is written anew.
    overhead: u64,
    /// All of it.
    taken: u64,
}

impl Use {
    fn tell(&self) -> String {
        let mib = |bytes: u64| bytes >> 20;
        format!("{} MiB needed, {} waiting, {} overhead", mib(self.needed), mib(self.waiting), mib(self.overhead))
    }

    /// What is taken, in thousandths of what is needed.
    fn per_thousand(&self) -> u64 {
        self.taken * 1000 / self.needed.max(1)
    }
}

fn space_used(cluster: &Cluster) -> Use {
    let whole = format!("weft://{}", cluster.manager());
    let space: serde_json::Value = serde_json::from_str(&succeed(cluster.weft(&["df", &whole, "--json"]))).expect("JSON");
    let sum = |rows: &serde_json::Value, fields: &[&str]| -> u64 {
        let rows = rows.as_array().expect("rows");
        rows.iter().flat_map(|row| fields.iter().map(|field| row[*field].as_u64().expect("a number"))).sum()
    };
    let (used, overhead) = (sum(&space["providers"], &["used_bytes"]), sum(&space["providers"], &["overhead_bytes"]));
    let needed = sum(&space["volumes"], &["live_bytes", "history_bytes"]);
    Use { needed, waiting: used.saturating_sub(needed), overhead, taken: used + overhead }
}

/// Lets go of what is old enough all the time; the servers collect it beside that. The most that was used, and the mean of it.
fn thin(cluster: &Cluster, stop: &AtomicBool, rounds: &AtomicU64) -> (Use, u64) {
    let (started, mut most, mut all) = (Instant::now(), Use::default(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        succeed(cluster.weft(&["gc", &cluster.url("show"), "--no-wait"]));
        // Before anything is let go, what is in flight weighs most.
        if started.elapsed() > kept_for() * 2 {
            let used = space_used(cluster);
            all.push(used.per_thousand());
            if used.per_thousand() > most.per_thousand() {
                most = used;
            }
        }
        rounds.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_secs(1));
    }
    (most, all.iter().sum::<u64>() / all.len().max(1) as u64)
}

#[test]
fn what_the_policy_keeps_stays_readable_and_the_rest_leaves_no_trace() {
    let mut cluster = Cluster::start(3, 3);
    cluster.create_volume("show", Shape { page_kib: 64, fan_out: 32, copies: 2 });
    let span = format!("{}s", kept_for().as_secs());
    succeed(cluster.weft(&["retention", "set", &cluster.url("show"), "--keep-all", &span]));
    let mounts: Vec<_> = (0..MOUNTS).map(|_| cluster.mount("show")).collect();
    let (stop, rounds, mut tagged) = (AtomicBool::new(false), AtomicU64::new(0), Vec::new());
    let mut checker = Checker { root: mounts[0].path(), random: Random::new(1), seen: Vec::new(), looks: 0 };

    let (changes, (most, mean)) = std::thread::scope(|threads| {
        let writers: Vec<_> = (0..MOUNTS)
            .map(|number| {
                let (folder, stop) = (mounts[number as usize].path().join(format!("shot{number}")), &stop);
                threads.spawn(move || write(&folder, 100 + number, stop))
            })
            .collect();
        let thinner = threads.spawn(|| thin(&cluster, &stop, &rounds));
        let checking = threads.spawn(|| checker.run(&stop));
        // Whoever fails ends all the others.
        let started = Instant::now();
        while started.elapsed() < writing()
            && !checking.is_finished()
            && !thinner.is_finished()
            && !writers.iter().any(|writer| writer.is_finished())
        {
            std::thread::sleep(writing() / 10);
            let name = format!("good{}", tagged.len());
            succeed(cluster.weft(&["tag", "add", &cluster.url("show"), &name]));
            let tree = look(&mounts[1].path().join(".versions").join(&name)).expect("a version with a tag");
            tagged.push((name, tree));
        }
        stop.store(true, Ordering::Relaxed);
        let changes: u64 = writers.into_iter().map(|writer| writer.join().expect("a writer").expect("written")).sum();
        checking.join().expect("every kept version stayed what it was");
        (changes, thinner.join().expect("thinned"))
    });
    let (looks, rounds) = (checker.looks, rounds.into_inner());
    eprintln!(
        "{changes} changes, {looks} looks at kept versions, {rounds} thinnings, {} tags; \
         the stores took at most {:.2} of what kept versions needed ({}), {:.2} on average",
        tagged.len(),
        most.per_thousand() as f64 / 1000.0,
        most.tell(),
        mean as f64 / 1000.0,
    );
    assert!(looks > 20 && rounds > 2, "too little happened to prove anything");

    for (name, first) in &tagged {
        let found = look(&mounts[2].path().join(".versions").join(name)).expect("a version with a tag");
        let wrong = differences(first, &found);
        assert!(wrong.is_empty(), "{name} changed:\n{}", wrong.join("\n"));
    }
    let present: Vec<_> = mounts.iter().map(|mount| look(mount.path()).expect("the present tree")).collect();
    mounts.into_iter().for_each(|mount| mount.unmount());
    std::thread::sleep(kept_for());
    succeed(cluster.weft(&["gc", &cluster.url("show")]));
    // The stores copy together what is left; beside so few versions the megabyte that is not worth it shows.
    let left = until("the stores to give back what is left of deleted objects", || {
        Some(space_used(&cluster).per_thousand()).filter(|left| *left <= 1500)
    });
    let output = run(cluster.weft(&["fsck", &format!("weft://{}", cluster.manager()), "--json"]));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(output.status.success() && report["clean"] == true, "{report}");
    for left in ["orphans", "of_open_sessions", "in_flight", "waiting_for_collection", "unknown"] {
        assert_eq!((&report[left]["objects"], &report[left]["nodes"]), (&0.into(), &0.into()), "{left}: {report}");
    }
    let mount = cluster.mount("show");
    let now = look(mount.path()).expect("the present tree");
    for before in &present {
        let wrong = differences(before, &now);
        assert!(wrong.is_empty(), "the present changed:\n{}", wrong.join("\n"));
    }
    let kept = fs::read_dir(mount.path().join(".versions")).expect("a list").count();
    mount.unmount();
    eprintln!(
        "{kept} names in .versions at the end, and the stores take {:.2} of what those versions need",
        left as f64 / 1000.0
    );
    // What waits to be collected is that of some seconds: of versions that are kept for minutes only it is a small part.
    assert!(!long_tests() || most.per_thousand() <= 1200, "the stores took more than kept versions need: {}", most.tell());
}
