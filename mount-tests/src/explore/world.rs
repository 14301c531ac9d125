//! A state of the whole cluster: everything that the next steps depend on.

use super::faults::Fault;
use super::manager::Manager;
use super::menu::{Choice, PAGE};
use super::oracle::Oracle;
use super::past::Past;
use super::readers::Reader;
use super::thinning::Collectors;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use weft_common::id::{BlobId, BlobVersion, NodeId, PageObjectId, SessionId, VolumeVersion};
use weft_common::weave::testing::checks::Violation;
use weft_common::weave::testing::history::Nodes;
use weft_common::weave::{Geometry, Node, Operation};
use weft_common::wire::{CollectionJob, Ticket};

/// What is explored.
#[derive(Clone, Debug)]
pub struct Setup {
    pub fan_out: u32,
    /// Who writes what.
    pub writers: Vec<Choice>,
    /// Parts in which a version's nodes are stored, each by a message of its own.
    pub parts: u8,
    /// Whether a helper works.
    pub has_helper: bool,
    /// Answers that are lost, and requests that arrive once more.
    pub repeats: u8,
    /// Sessions that lapse.
    pub lapses: u8,
    /// Versions that are dropped.
    pub drops: u8,
    /// Whether the file is restored to its first version at some moment, which makes a clone.
    pub is_restored: bool,
    /// Volume versions that are thinned; none: versions are dropped without the manager.
    pub thins: u8,
    /// Who reads the past.
    pub readers: u8,
    /// How often each opens something, whether the newest state too, and how often it renews its session.
    pub opens: u8,
    pub opens_newest: bool,
    pub renewals: u8,
    /// Copies that are made of the file, and files that lose their name.
    pub clones: u8,
    pub unlinks: u8,
    /// How often the manager is restarted.
    pub restarts: u8,
    pub fault: Fault,
}

impl Setup {
    /// Writers, and nothing that goes wrong.
    pub fn new(fan_out: u32, writers: &[Choice]) -> Self {
        Self {
            fan_out,
            writers: writers.to_vec(),
            parts: 1,
            has_helper: false,
            repeats: 0,
            lapses: 0,
            drops: 0,
            is_restored: false,
            thins: 0,
            readers: 0,
            opens: 1,
            opens_newest: false,
            renewals: 4,
            clones: 0,
            unlinks: 0,
            restarts: 0,
            fault: Fault::None,
        }
    }
}

/// Something that has been woven and is being stored.
#[derive(Clone, Debug)]
pub struct Job {
    pub blob: BlobId,
    pub version: BlobVersion,
    pub nodes: Arc<Vec<(NodeId, Node)>>,
    /// Which parts are stored.
    pub stored: u8,
}

/// How far a writer is.
#[derive(Clone, Debug)]
pub enum Stage {
    Idle,
    /// Its page objects are stored.
    Uploaded(Arc<Operation>),
    Granted(Arc<Ticket>),
    Woven(Job),
    Done,
    /// Its program was told that the update is lost.
    Failed,
}

#[derive(Clone, Debug)]
pub struct Writer {
    pub choice: Choice,
    pub session: SessionId,
    pub stage: Stage,
    /// The request that it sent, for repetitions.
    pub operation: Option<Arc<Operation>>,
    /// The version that the manager gave it, known to it or not.
    pub version: Option<(BlobId, BlobVersion)>,
    /// Sequence of its request.
    pub sequence: u64,
    /// Blob and version that it saw when it began.
    pub read: (usize, u64),
}

/// The state.
#[derive(Clone, Debug)]
pub struct World {
    pub setup: Arc<Setup>,
    pub manager: Manager,
    pub nodes: Arc<Nodes>,
    pub objects: Arc<BTreeSet<PageObjectId>>,
    pub writers: Vec<Writer>,
    pub helper: Option<Job>,
    pub oracle: Arc<Oracle>,
    /// The version that is being dropped.
    pub dropping: Option<(usize, u64)>,
    pub repeats: u8,
    pub lapses: u8,
    pub drops: u8,
    pub is_restored: bool,
    pub past: Arc<Past>,
    pub thins: u8,
    pub clones: u8,
    pub unlinks: u8,
    pub restarts: u8,
    pub readers: Vec<Reader>,
    pub collectors: Collectors,
    /// Nodes that a late writer stored of what nobody needs.
    pub stored_late: Arc<BTreeSet<NodeId>>,
    /// The volume version that the first version of the file became.
    pub first: VolumeVersion,
}

/// How often things happened that must happen sometimes.
pub type Seen = BTreeMap<&'static str, u64>;

/// Adds one to what is seen.
pub fn note(seen: &mut Seen, what: &'static str, happened: bool) {
    *seen.entry(what).or_default() += u64::from(happened);
}

impl World {
    /// A file of three pages and a half, in two published versions, before the writers come.
    ///
    /// # Errors
    /// If even that breaks an invariant.
    pub fn new(setup: Setup) -> Result<Self, Violation> {
        let mut manager = Manager::new(setup.fan_out);
        let geometry = Geometry::new(PAGE as u32, setup.fan_out).expect("a fan-out that is possible");
        let mut oracle = Oracle::new(geometry);
        oracle.add(manager.tree().blob, None);
        let choices = [Choice::Append, Choice::Append].into_iter().chain(setup.writers.iter().copied());
        let writers = choices.map(|choice| Writer {
            choice,
            session: manager.open_session(),
            stage: Stage::Idle,
            operation: None,
            version: None,
            sequence: 1,
            read: (0, 0),
        });
        let writers = writers.collect();
        let past = Arc::new(Past::new(manager.latest().0, (0, 0)));
        let setup = Arc::new(setup);
        let fault = setup.fault;
        let mut world = Self {
            manager,
            nodes: Arc::default(),
            objects: Arc::default(),
            writers,
            helper: None,
            oracle: Arc::new(oracle),
            dropping: None,
            repeats: setup.repeats,
            lapses: setup.lapses,
            drops: setup.drops,
            is_restored: false,
            past,
            thins: setup.thins,
            clones: setup.clones,
            unlinks: setup.unlinks,
            restarts: setup.restarts,
            readers: Vec::new(),
            collectors: Collectors::default(),
            stored_late: Arc::default(),
            first: VolumeVersion(0),
            setup: Arc::new(Setup { fault: Fault::None, parts: 1, ..(*setup).clone() }),
        };
        let mut seen = Seen::new();
        for writer in 0..2 {
            world.run_alone(writer, &mut seen)?;
            if writer == 0 {
                world.first = world.manager.latest();
            }
        }
        world.writers.drain(..2);
        let epoch = world.manager.epoch();
        world.readers =
            (0..setup.readers).map(|_| Reader::new(world.manager.open_session(), epoch, setup.opens, setup.renewals)).collect();
        world.setup = Arc::new(Setup { fault, ..(*setup).clone() });
        Ok(world)
    }

    /// Equal for states from which the same can happen.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.manager.digest().hash(&mut hasher);
        let nodes = self.nodes.keys().map(hash_of).fold(0, u64::wrapping_add);
        (nodes, &*self.objects, self.dropping, self.repeats, self.lapses, self.drops, self.is_restored).hash(&mut hasher);
        for writer in &self.writers {
            (writer.session, writer.version, writer.sequence, writer.read).hash(&mut hasher);
            match &writer.stage {
                Stage::Idle => 0.hash(&mut hasher),
                Stage::Uploaded(operation) => (1, operation).hash(&mut hasher),
                Stage::Granted(ticket) => (2, ticket.base.version).hash(&mut hasher),
                Stage::Woven(job) => (3, job.blob, job.version, job.stored).hash(&mut hasher),
                Stage::Done => 4.hash(&mut hasher),
                Stage::Failed => 5.hash(&mut hasher),
            }
        }
        self.helper.as_ref().map(|job| (job.blob, job.version, job.stored)).hash(&mut hasher);
        (self.thins, self.clones, self.unlinks, self.restarts, &self.readers, &*self.stored_late).hash(&mut hasher);
        let Collectors { jobs, late, reported } = &self.collectors;
        let place =
            |job: &Arc<CollectionJob>| (job.dropped.blob, job.dropped.version, job.older, job.newer.map(|newer| newer.version));
        (jobs.iter().map(place).collect::<Vec<_>>(), late.as_ref().map(place), reported).hash(&mut hasher);
        for blob in &self.oracle.blobs {
            (&blob.kept, &blob.committed).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// The part in which a node is stored.
    pub fn part_of(&self, id: &NodeId) -> u8 {
        ((u64::from(id.level) + id.index) % u64::from(self.setup.parts)) as u8
    }

    /// The parts that a job has to store, as a set of bits.
    pub fn all_parts(&self, job: &Job) -> u8 {
        job.nodes.iter().fold(0, |parts, (id, _)| parts | 1 << self.part_of(id))
    }
}

fn hash_of<T: Hash>(value: T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
