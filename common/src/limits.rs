//! Every bound in one place, with the relations between them asserted at compile time.
//!
//! A queue, window or table without a bound is a bug: it belongs here first. Bytes unless the name says otherwise.

use std::num::NonZeroU32;
use std::time::Duration;

/// One kibibyte.
pub const KIB: u64 = 1024;
/// One mebibyte.
pub const MIB: u64 = 1024 * KIB;

/// Smallest page size.
pub const PAGE_SIZE_MIN: u32 = 64 * KIB as u32;
/// Largest page size.
pub const PAGE_SIZE_MAX: u32 = 64 * MIB as u32;
/// Page size of a volume that sets none.
pub const PAGE_SIZE_DEFAULT: u32 = MIB as u32;

/// Smallest fan-out: the paper's binary tree.
pub const FAN_OUT_MIN: u32 = 2;
/// Largest fan-out.
pub const FAN_OUT_MAX: u32 = 256;
/// Fan-out of a volume that sets none: 32 children of about 12 bytes make a node of one small packet, and 2^40 pages are 8 levels deep.
pub const FAN_OUT_DEFAULT: u32 = 32;

/// A file has at most this many bytes (the kernel's own limit for file offsets).
pub const FILE_BYTES_MAX: u64 = i64::MAX as u64;

/// What one checksum covers: a reader who wants one byte fetches this much. 32 KiB keeps the table of a 1 MiB object at 256 bytes.
pub const CHUNK_BYTES: u32 = 32 * KIB as u32;

/// A page with more fragments than this is rewritten as one object when that cannot undo another writer's update.
pub const FRAGMENTS_BEFORE_COMPACTION: usize = 16;

/// Postcard header of one message. Larger lists are split by the sender or paged by the receiver.
pub const HEADER_BYTES_MAX: u32 = 4 * MIB as u32;
/// Raw bytes behind a header: one page object, or a batch of nodes.
pub const BODY_BYTES_MAX: u32 = PAGE_SIZE_MAX;
/// Data extents of one update; a client with more publishes in several versions or rewrites whole pages.
pub const EXTENTS_PER_UPDATE_MAX: usize = 65_536;
/// Nodes in one put or get.
pub const NODES_PER_BATCH_MAX: usize = 512;
/// An encoded node. A leaf of 256 pages with 16 fragments each is about 200 KiB.
pub const NODE_BYTES_MAX: usize = 2 * MIB as usize;
/// Directory entries in one answer.
pub const ENTRIES_PER_ANSWER_MAX: usize = 1024;
/// All extended attributes of one file together, names included.
pub const XATTRS_BYTES_MAX: usize = 64 * KIB as usize;
/// One extended attribute's name (Linux `XATTR_NAME_MAX`).
pub const XATTR_NAME_BYTES_MAX: usize = 255;
/// A symlink's target (Linux `PATH_MAX`, less the NUL).
pub const SYMLINK_BYTES_MAX: usize = 4095;
/// Names of one file.
pub const LINKS_MAX: u32 = 1_000_000;
/// Inodes that one clone makes: it is one command, and the version manager does nothing else meanwhile.
pub const CLONE_INODES_MAX: usize = 250_000;
/// Names, symlinks' targets and extended attributes of one clone together: they wait in memory for the next checkpoint.
pub const CLONE_BYTES_MAX: usize = 64 * MIB as usize;
/// Tags of one volume: all of them fit one answer.
pub const TAGS_MAX: u32 = 10_000;
/// Directories of one volume with a retention policy of their own: they are gone through for what only a directory keeps.
pub const POLICY_DIRECTORIES_MAX: usize = 256;
/// Replicas of a page object or node.
pub const COPIES_MAX: u8 = 8;
/// Page objects or nodes in one delete.
pub const OBJECTS_PER_DELETE_MAX: usize = 16_384;
/// Calls that block on one store's disk at once; further ones wait until their deadline.
pub const STORE_JOBS_MAX: usize = 16;
/// Largest segment file of a store: a 32nd of what it holds, at least 16 MiB, at most this; on disks below 16 GiB a sixty-fourth of the disk.
pub const STORE_SEGMENT_BYTES: u64 = 256 * MIB;
/// Smallest such size.
pub const STORE_SEGMENT_BYTES_MIN: u64 = 16 * MIB;
/// Free space that puts leave to deletes: a hundredth of the disk between these (on tiny disks at most an eighth).
pub const STORE_RESERVE_BYTES: std::ops::RangeInclusive<u64> = 64 * MIB..=1024 * MIB;
/// Full segments that are not on stable storage yet; the next put syncs first.
pub const STORE_SEGMENTS_UNSYNCED_MAX: usize = 4;
/// Deleted records whose space is not given back yet; the next delete gives it back first.
pub const STORE_GRAVES_MAX: usize = 65_536;
/// Segment files that a store keeps open for reading.
pub const STORE_FILES_OPEN_MAX: usize = 256;

/// Requests of one connection that a server works on at once; further streams wait in QUIC's flow control.
pub const REQUESTS_PER_CONNECTION_MAX: u32 = 256;
/// Connections a server accepts; further ones are refused before the handshake costs anything.
pub const CONNECTIONS_MAX: usize = 4096;
/// Handshakes under way at once.
pub const HANDSHAKES_MAX: usize = 64;
/// A handshake that takes longer is given up, by both sides.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection on which nothing is heard for this long is lost.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(8);
/// How often the dialling side makes itself heard on an idle connection.
pub const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// A connection on which calls, however short each of them was, heard nothing at all for this long is given up, unless [`IDLE_TIMEOUT`] does
/// that first.
pub const SILENCE_MAX: Duration = Duration::from_secs(3);
/// After a failed dial the next one to that server waits this long, doubled with each failure …
pub const DIAL_BACKOFF_MIN: Duration = Duration::from_millis(50);
/// … up to this.
pub const DIAL_BACKOFF_MAX: Duration = Duration::from_secs(2);
/// The longest deadline that a server lets a request have.
pub const REQUEST_DEADLINE_MAX: Duration = Duration::from_secs(120);
/// How long a server that stops lets requests finish.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
/// Received and not yet read, one stream. 8 MiB keep 40 Gb/s busy at a round trip of 1.6 ms.
pub const STREAM_WINDOW: u32 = 8 * MIB as u32;
/// Received and not yet read, one connection.
pub const CONNECTION_WINDOW: u32 = 32 * MIB as u32;
/// Sent and not yet acknowledged, one connection.
pub const SEND_WINDOW: u64 = 32 * MIB;
/// Socket buffers that are asked of the kernel; its default of 208 KiB loses packets in bulk.
pub const SOCKET_BUFFER_BYTES: usize = 4 * MIB as usize;
/// Request bodies that a server holds at once; further ones wait in QUIC's flow control.
pub const BODIES_BYTES_MAX: u32 = 512 * MIB as u32;
/// Body buffers that an endpoint keeps for reuse (first touch of fresh memory costs more than the copy).
pub const BUFFER_POOL_BYTES_MAX: usize = 64 * MIB as usize;
/// Commands waiting for the version manager's log.
pub const COMMANDS_WAITING_MAX: usize = 4096;
/// Bytes of the commands that wait for the log or to be applied.
pub const COMMANDS_WAITING_BYTES_MAX: usize = 256 * MIB as usize;
/// Reads waiting for the version manager's state.
pub const READS_WAITING_MAX: usize = 4096;
/// Commits and watches that wait for something to be published; a further one is told to come again.
pub const WAITERS_MAX: usize = 65_536;
/// Commands in one group commit.
pub const COMMANDS_PER_COMMIT_MAX: usize = 512;
/// Tickets of one blob that are assigned but not published; a further one is told to come again.
pub const TICKETS_IN_FLIGHT_MAX: usize = 1024;
/// What all tickets in flight of one blob may take in an answer; it leaves room for the rest of the header.
pub const TICKET_BYTES_MAX: usize = HEADER_BYTES_MAX as usize - 64 * KIB as usize;
/// Lapsed tickets in one answer.
pub const LAPSED_PER_ANSWER_MAX: usize = 256;
/// Open sessions of a cluster; with [`SESSION_TEXT_BYTES_MAX`] their list fits one answer.
pub const SESSIONS_MAX: u64 = 16_384;
/// Host and purpose of a session are cut to this, each.
pub const SESSION_TEXT_BYTES_MAX: usize = 100;
/// Host and program of an author, each; Linux knows 64 and 15.
pub const AUTHOR_TEXT_BYTES_MAX: usize = 255;
/// Volumes of a cluster; their list fits one answer.
pub const VOLUMES_MAX: usize = 4096;
/// Changes of one session whose answers the client did not confirm.
pub const CHANGES_UNANSWERED_MAX: u64 = 65_536;
/// Locks of one file, counted in ranges: they are rewritten together.
pub const LOCKS_PER_FILE_MAX: usize = 4096;
/// Files of which one session has locks.
pub const LOCKED_FILES_PER_SESSION_MAX: u32 = 16_384;
/// A segment of the version manager's log; a new one is begun behind this.
pub const LOG_SEGMENT_BYTES: u64 = 64 * MIB;
/// Commands of one write and fsync of the log together; a larger group is split.
pub const LOG_FRAME_BYTES_MAX: usize = 16 * MIB as usize;
/// Changes of the state that wait in memory for the next checkpoint; more make the manager wait for its disk.
pub const CHECKPOINT_BYTES_MAX: usize = 256 * MIB as usize;

/// A session whose client says nothing for this long is closed: its open-but-unlinked files and locks go.
pub const SESSION_LEASE: Duration = Duration::from_secs(60);
/// How often a client renews its session.
pub const SESSION_RENEWAL: Duration = Duration::from_secs(15);
/// How often it does so while something waits to be collected until it is known what the client uses …
pub const SESSION_RENEWAL_HURRIED: Duration = Duration::from_secs(1);
/// … and by how much more seldom for each open session, so that the manager is asked 500 times a second at most.
pub const SESSION_RENEWAL_SHARE: Duration = Duration::from_millis(2);
/// A client believes what it has leases on for this long after it last asked whether any are called in …
pub const LEASE_TERM: Duration = Duration::from_secs(3);
/// … and the version manager waits for it so much longer, as no two clocks run alike. A change of a directory that a mount knew which
/// was killed waits for both together.
pub const LEASE_MARGIN: Duration = Duration::from_millis(500);
/// How long the question for leases that are called in waits at the version manager.
pub const LEASE_WAIT: Duration = Duration::from_secs(1);
/// No leases are given on a directory for this long after one was called in, so that several writers cost each other next to nothing.
pub const LEASE_PAUSE: Duration = Duration::from_secs(2);
/// Leases of all clients together; each takes about 150 bytes of the version manager's memory.
pub const LEASES_MAX: usize = 262_144;
/// Leases of one client; it gives old ones back before it needs more.
pub const LEASES_PER_SESSION_MAX: usize = 8192;
/// A client that did not look into a directory for this long gives the lease on it back.
pub const LEASE_IDLE: Duration = Duration::from_secs(60);
/// Names and attributes that a client remembers under leases; each takes about 400 bytes.
pub const LEASED_NAMES_MAX: usize = 65_536;
/// A change whose outcome a client could not learn may be carried out for so long: it answers nothing from memory meanwhile.
pub const LEASE_DOUBT: Duration = Duration::from_secs(60);
/// A ticket not committed within this span is finished by a helper.
pub const TICKET_LEASE: Duration = Duration::from_secs(10);
/// A ticket at the head of its blob's line, with committed ones behind it, is offered to helpers after this span already.
pub const TICKET_GRACE: Duration = Duration::from_secs(2);
/// How often a helper asks for versions of dead writers.
pub const HELPER_ROUND: Duration = Duration::from_secs(1);
/// Versions that a helper finishes at once.
pub const HELPER_PARALLEL: usize = 4;
/// A provider that says nothing for this long is treated as dead: no new page objects go to it.
pub const PROVIDER_LEASE: Duration = Duration::from_secs(8);
/// A provider with less room than this is only read from.
pub const PROVIDER_FULL_BELOW: u64 = 16 * MIB;
/// How often a provider reports to the provider manager.
pub const HEARTBEAT: Duration = Duration::from_secs(2);
/// How often a provider forces what it took in to its disk without being asked.
pub const BACKGROUND_SYNC: Duration = Duration::from_secs(2);
/// Ranges of versions that one request thins.
pub const RANGES_PER_THINNING_MAX: usize = 4096;
/// Rows of the namespace's past that one step of its clean-up looks at.
pub const ROWS_PER_PURGE: usize = 4096;
/// Collections that the version manager offers at once.
pub const COLLECTIONS_OFFERED_MAX: usize = 64;
/// Things of the past that a session can hold one by one; a session that uses more holds everything.
pub const HOLDS_MAX: usize = 16_384;
/// Copies of page objects and nodes that collection deletes per second, unless it is set otherwise: of pages of 1 MiB that is 2 GiB, and
/// small beside what providers take in.
pub const DELETES_PER_SECOND_DEFAULT: NonZeroU32 = match NonZeroU32::new(2000) {
    Some(rate) => rate,
    None => NonZeroU32::MIN,
};
/// Versions that a server collects at the same time.
pub const COLLECTIONS_AT_ONCE: usize = 8;
/// How often the collector asks for what can be deleted.
pub const COLLECTOR_ROUND: Duration = Duration::from_secs(5);
/// How soon it asks again after it deleted something.
pub const COLLECTOR_ROUND_BUSY: Duration = Duration::from_secs(1);
/// How often retention policies are applied.
pub const RETENTION_ROUND: Duration = Duration::from_secs(600);
/// How often a client asks those that took something from it whether it is on stable storage.
pub const CLIENT_SYNC: Duration = Duration::from_secs(5);
/// Deadline of one RPC unless the caller sets another.
pub const RPC_DEADLINE: Duration = Duration::from_secs(10);
/// How long a mount keeps trying before a call fails with EIO (`--timeout`).
pub const MOUNT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// Memory of one mount for buffers and caches (`--memory`).
pub const CLIENT_MEMORY_DEFAULT: u64 = 256 * MIB;
/// Two versions of a larger file are not compared byte by byte to see whether one only appended to the other.
pub const EXTENSION_BYTES_MAX: u64 = 64 * MIB;
/// First pause of a client before it repeats a call; doubled with each further attempt.
pub const RETRY_PAUSE_MIN: Duration = Duration::from_millis(20);
/// Longest such pause: a server that comes back is noticed within this span.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often a client asks whether the cluster map changed.
pub const MAP_REFRESH: Duration = Duration::from_secs(2);
/// A failure makes a client ask for the map at once, but not more often than this.
pub const MAP_REFRESH_PAUSE: Duration = Duration::from_millis(200);
/// Attempts, about a second of them, after which a cluster map with too few providers is believed: they may just be joining.
pub const ATTEMPTS_BEFORE_TOO_FEW: u32 = 6;
/// A provider that failed a client is its last choice for this long.
pub const SUSPICION: Duration = Duration::from_secs(5);
/// Replica groups that one page object is offered to before the client pauses and looks at the map again.
pub const GROUPS_TRIED_MAX: usize = 3;
/// Page objects that one call of the client library fetches or stores at once.
pub const OBJECTS_AT_ONCE_MAX: usize = 16;
/// Batches of nodes that one call of the client library fetches or stores at once.
pub const NODE_BATCHES_AT_ONCE_MAX: usize = 16;
/// Encoded nodes of one batch: a batch is a small message, so that no other one waits long behind it.
pub const NODE_BATCH_BYTES_MAX: usize = 4 * MIB as usize;
/// Bytes of one read of the client library; callers with longer ranges read them in parts.
pub const READ_BYTES_MAX: u64 = 1024 * MIB;
/// Nodes that a check asks one provider for at once: even the largest fit one answer.
pub const NODES_PER_CHECK: usize = 32;
/// Page objects that a check reads at once, from all their providers one after the other.
pub const OBJECTS_PER_CHECK: usize = 4;
/// Attempts at a provider that does not answer, before a check calls its copies unreachable.
pub const CHECK_ATTEMPTS: u32 = 4;
/// Faults that a check lists one by one; further ones are counted.
pub const FAULTS_LISTED_MAX: usize = 10_000;
/// Ids in one answer about what a provider holds.
pub const IDS_PER_LISTING: u32 = 16_384;
/// Where a listing goes on takes at most this many bytes: the key of a name, which is the longest.
pub const CURSOR_BYTES_MAX: usize = 512;
/// Blobs and versions in one answer: they fit a message together with what is in flight (see [`TICKET_BYTES_MAX`]).
pub const BLOBS_PER_AUDIT: u32 = 256;
/// Contents of files in one answer.
pub const ROWS_PER_AUDIT: u32 = 1024;
/// States of files that `weft fsck` names one by one.
pub const AFFECTED_LISTED_MAX: usize = 10_000;
/// Orphans that `weft fsck` names one by one.
pub const ORPHANS_LISTED_MAX: usize = 100;
/// How often the servers look for orphans unasked: there are only as many as clients died with unpublished pages.
pub const SWEEP_ROUND: Duration = Duration::from_secs(24 * 3600);
/// So many orphans of a provider are deleted even if they are most of what it holds: a small or new store.
pub const SWEEP_UNSUSPICIOUS_MAX: usize = 1000;
/// How often the servers look whether a provider came back that may have lost what it had not synced …
pub const RECOVERY_ROUND: Duration = Duration::from_secs(5);
/// … and after a look that left something open, the longest pause before the next. It is doubled up to this.
pub const RECOVERY_PAUSE_MAX: Duration = Duration::from_secs(600);
/// How much later than noted a provider has to have synced for that to be noted in the log: after a loss of power, what was published in
/// so long before is looked at.
pub const SYNCED_NOTED_EVERY: Duration = Duration::from_secs(60);
/// Updates in flight in one answer.
pub const IN_FLIGHT_PER_ANSWER: usize = 65_536;
/// A sweep pauses for this long after each volume and each batch of deletes.
pub const SWEEP_PAUSE: Duration = Duration::from_millis(50);
/// Prefetches of one client under way at once; further hints are dropped.
pub const PREFETCHES_MAX: usize = 32;
/// Separate parts of one page object in a client's cache; with more the smallest goes.
pub const CACHED_PARTS_MAX: usize = 16;
/// Pages of one volume that wait for compaction by one client; further ones wait for the next update of the page.
pub const COMPACTIONS_WAITING_MAX: usize = 1024;
/// A compaction waits this long for a moment without publishes of its file, and then takes at most this long to rewrite the page;
/// publishes of the file wait meanwhile.
pub const COMPACTION_PATIENCE: Duration = Duration::from_secs(1);
/// Publishes and compactions of one client exclude each other by inode, on so many locks.
pub const PUBLISH_LOCKS: usize = 64;
/// Times that a writer weaves one version before it leaves it to a helper: each time its base was collected meanwhile.
pub const WEAVES_MAX: u32 = 8;
/// Batches of changes that wait for the reader of a watch; then the watch waits too.
pub const WATCH_BATCHES_MAX: usize = 16;
/// How long one request for a lock waits at the version manager; the client goes on with another one.
pub const LOCK_WAIT: Duration = Duration::from_secs(8);
/// How long one poll of a watch waits at the version manager.
pub const WATCH_WAIT: Duration = Duration::from_secs(8);

/// Metadata partitions of a cluster; fixed when it is made.
pub const METADATA_PARTITIONS: u16 = 64;

const _: () = {
    assert!(PAGE_SIZE_MIN.is_power_of_two() && PAGE_SIZE_MAX.is_power_of_two() && PAGE_SIZE_DEFAULT.is_power_of_two());
    assert!(PAGE_SIZE_MIN.is_multiple_of(CHUNK_BYTES));
    assert!(BODY_BYTES_MAX >= PAGE_SIZE_MAX);
    assert!(NODE_BYTES_MAX <= BODY_BYTES_MAX as usize);
    assert!(SESSION_RENEWAL.as_millis() * 3 < SESSION_LEASE.as_millis());
    assert!(SESSION_RENEWAL_HURRIED.as_millis() < SESSION_RENEWAL.as_millis());
    assert!(HEARTBEAT.as_millis() * 3 < PROVIDER_LEASE.as_millis());
    assert!(TICKET_LEASE.as_millis() < MOUNT_TIMEOUT_DEFAULT.as_millis());
    assert!(SESSIONS_MAX as usize * (2 * SESSION_TEXT_BYTES_MAX + 32) < HEADER_BYTES_MAX as usize);
    assert!(TICKET_GRACE.as_millis() < TICKET_LEASE.as_millis());
    assert!(LOG_FRAME_BYTES_MAX > 2 * HEADER_BYTES_MAX as usize && LOG_SEGMENT_BYTES > LOG_FRAME_BYTES_MAX as u64);
    assert!(COMMANDS_PER_COMMIT_MAX <= COMMANDS_WAITING_MAX);
    assert!(RETRY_PAUSE_MAX.as_millis() * 2 < MOUNT_TIMEOUT_DEFAULT.as_millis());
    assert!(WATCH_WAIT.as_millis() < RPC_DEADLINE.as_millis());
    assert!(LOCK_WAIT.as_millis() < RPC_DEADLINE.as_millis());
    assert!(
        LEASE_WAIT.as_millis() * 2 < LEASE_TERM.as_millis()
            && (LEASE_TERM.as_millis() + LEASE_MARGIN.as_millis()) * 2 < RPC_DEADLINE.as_millis()
    );
    assert!(LEASE_DOUBT.as_millis() > 2 * RPC_DEADLINE.as_millis());
    assert!(NODE_BATCH_BYTES_MAX >= NODE_BYTES_MAX && NODE_BATCH_BYTES_MAX <= BODY_BYTES_MAX as usize);
    assert!(KEEP_ALIVE.as_millis() * 3 < IDLE_TIMEOUT.as_millis());
    assert!(KEEP_ALIVE.as_millis() < SILENCE_MAX.as_millis() && SILENCE_MAX.as_millis() < IDLE_TIMEOUT.as_millis());
    assert!(CONNECT_TIMEOUT.as_millis() < RPC_DEADLINE.as_millis());
    assert!(NODES_PER_CHECK * NODE_BYTES_MAX <= BODY_BYTES_MAX as usize);
    assert!(STREAM_WINDOW <= CONNECTION_WINDOW);
    assert!(BODY_BYTES_MAX <= BODIES_BYTES_MAX);
};
