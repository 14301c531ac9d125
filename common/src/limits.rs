//! Every bound in one place, with the relations between them asserted at compile time.
//!
//! A queue, window or table without a bound is a bug: it belongs here first. Bytes unless the name says otherwise.

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
/// Replicas of a page object or node.
pub const COPIES_MAX: u8 = 8;
/// Page objects or nodes in one delete.
pub const OBJECTS_PER_DELETE_MAX: usize = 16_384;
/// Calls that block on one store's disk at once; further ones wait until their deadline.
pub const STORE_JOBS_MAX: usize = 16;

/// Requests of one connection that a server works on at once; further streams wait in QUIC's flow control.
pub const REQUESTS_PER_CONNECTION_MAX: u32 = 256;
/// Connections a server accepts; further ones are refused before the handshake costs anything.
pub const CONNECTIONS_MAX: usize = 4096;
/// Handshakes under way at once.
pub const HANDSHAKES_MAX: usize = 64;
/// Commands waiting for the version manager's log.
pub const COMMANDS_WAITING_MAX: usize = 4096;
/// Commands in one group commit.
pub const COMMANDS_PER_COMMIT_MAX: usize = 512;
/// Tickets of one blob that are assigned but not published; a further one is told to come again.
pub const TICKETS_IN_FLIGHT_MAX: usize = 1024;

/// A session whose client says nothing for this long is closed: its open-but-unlinked files and locks go.
pub const SESSION_LEASE: Duration = Duration::from_secs(60);
/// How often a client renews its session.
pub const SESSION_RENEWAL: Duration = Duration::from_secs(15);
/// A ticket not committed within this span is finished by a helper.
pub const TICKET_LEASE: Duration = Duration::from_secs(10);
/// A provider that says nothing for this long is treated as dead: no new page objects go to it.
pub const PROVIDER_LEASE: Duration = Duration::from_secs(8);
/// How often a provider reports to the provider manager.
pub const HEARTBEAT: Duration = Duration::from_secs(2);
/// How often a provider forces what it took in to its disk without being asked.
pub const BACKGROUND_SYNC: Duration = Duration::from_secs(2);
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
/// Prefetches of one client under way at once; further hints are dropped.
pub const PREFETCHES_MAX: usize = 32;
/// Separate parts of one page object in a client's cache; with more the smallest goes.
pub const CACHED_PARTS_MAX: usize = 16;
/// Pages of one volume that wait for compaction by one client; further ones wait for the next update of the page.
pub const COMPACTIONS_WAITING_MAX: usize = 1024;
/// A compaction waits this long for a moment without publishes of its file; publishes wait behind it meanwhile.
pub const COMPACTION_PATIENCE: Duration = Duration::from_secs(1);
/// Publishes and compactions of one client exclude each other by inode, on so many locks.
pub const PUBLISH_LOCKS: usize = 64;
/// Times that a writer weaves one version before it leaves it to a helper: each time its base was collected meanwhile.
pub const WEAVES_MAX: u32 = 8;
/// Batches of changes that wait for the reader of a watch; then the watch waits too.
pub const WATCH_BATCHES_MAX: usize = 16;
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
    assert!(HEARTBEAT.as_millis() * 3 < PROVIDER_LEASE.as_millis());
    assert!(TICKET_LEASE.as_millis() < MOUNT_TIMEOUT_DEFAULT.as_millis());
    assert!(COMMANDS_PER_COMMIT_MAX <= COMMANDS_WAITING_MAX);
    assert!(RETRY_PAUSE_MAX.as_millis() * 2 < MOUNT_TIMEOUT_DEFAULT.as_millis());
    assert!(WATCH_WAIT.as_millis() < RPC_DEADLINE.as_millis());
    assert!(NODE_BATCH_BYTES_MAX >= NODE_BYTES_MAX && NODE_BATCH_BYTES_MAX <= BODY_BYTES_MAX as usize);
};
