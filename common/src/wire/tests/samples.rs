//! One message of every variant, with no two fields alike.

use crate::checksum::Digest;
use crate::id::{
    BlobId, BlobVersion, ClusterId, GroupId, Incarnation, InodeNumber, NodeId, PageObjectId, ProviderId, SessionId, VolumeId,
    VolumeVersion,
};
use crate::name::FileName;
use crate::retention::Retention;
use crate::time::Timestamp;
use crate::weave::{ByteRange, DataExtent, Geometry, LogEntry, NodeRef, Operation, PageObject, Tree, Update};
use crate::wire::*;
use std::time::Duration;

const BLOB: BlobId = BlobId { volume: VolumeId(2), number: 300 };
const NODE: NodeId = NodeId { blob: BLOB, version: BlobVersion(4), level: 1, index: 5 };
const OBJECT: PageObjectId = PageObjectId { session: SessionId(6), sequence: 700 };
const KEY: RequestKey = RequestKey { session: SessionId(6), sequence: 8, answered_below: 7 };
const ROOT: InodeNumber = InodeNumber(1);
const SPACE: Space = Space { total_bytes: 9, free_bytes: 8, used_bytes: 7, file_bytes: 10, objects: 6 };

fn name(text: &str) -> FileName {
    FileName::new(text).unwrap()
}

fn geometry() -> Geometry {
    Geometry::new(1 << 20, 32).unwrap()
}

fn author() -> Author {
    Author { uid: 1000, host: "desk".into(), program: "blender".into() }
}

fn tree() -> Tree {
    let root = NodeRef { blob: 300, version: BlobVersion(4), level: 1 };
    Tree { blob: BLOB, version: BlobVersion(4), size: 99, geometry: geometry(), root: Some(root) }
}

fn attributes() -> Attributes {
    Attributes {
        inode: InodeNumber(12),
        kind: FileKind::File,
        mode: 0o644,
        uid: 1,
        gid: 2,
        links: 3,
        size: 99,
        rdev: 4,
        accessed: Timestamp(-5),
        modified: Timestamp(6),
        changed: Timestamp(7),
        born: Timestamp(8),
        version: VolumeVersion(13),
        xattr_bytes: 14,
        tree: Some(tree()),
    }
}

fn update() -> Update {
    Update {
        cut_to: Some(1),
        holes: vec![ByteRange::new(2, 3)],
        data: vec![DataExtent { offset: 4, length: 5, object: 0, object_offset: 6 }],
        grow_to: Some(7),
        objects: vec![PageObject { id: OBJECT, length: 11, digest: Digest(12), group: GroupId(13) }],
    }
}

fn settings() -> VolumeSettings {
    VolumeSettings { geometry: geometry(), copies: 2 }
}

fn volume() -> VolumeInfo {
    let (id, latest, created) = (VolumeId(2), VolumeVersion(13), Timestamp(14));
    VolumeInfo { id, name: "show".into(), settings: settings(), latest, created }
}

fn cluster_map() -> ClusterMap {
    let provider = ProviderInfo {
        id: ProviderId(1),
        role: ProviderRole::Metadata,
        address: "m1:9338".into(),
        zone: "rack".into(),
        state: ProviderState::Full,
        total_bytes: 2,
        free_bytes: 1,
        incarnation: Incarnation(77),
        lost_since: Some(Timestamp(6)),
    };
    ClusterMap {
        cluster: ClusterId(0xabc),
        epoch: 5,
        providers: vec![provider],
        groups: vec![ReplicaGroup { id: GroupId(3), members: vec![ProviderId(4), ProviderId(5)] }],
        partitions: vec![vec![ProviderId(1)]],
    }
}

/// Requests.
pub(super) fn requests() -> Vec<Request> {
    let sets = [
        volume_requests(),
        session_requests(),
        queries(),
        changes(),
        blob_requests(),
        provider_requests(),
        history_requests(),
        lock_requests(),
        lease_requests(),
    ];
    sets.into_iter().flatten().collect()
}

fn volume_requests() -> Vec<Request> {
    let name = || "show".to_owned();
    let requests = [
        VolumeRequest::Create { name: name(), settings: settings(), owner: (1, 2) },
        VolumeRequest::List,
        VolumeRequest::Get(name()),
        VolumeRequest::Set { name: name(), settings: settings() },
        VolumeRequest::Remove(name()),
    ];
    requests.map(Request::Volume).into()
}

fn session_requests() -> Vec<Request> {
    let requests = [
        SessionRequest::Open { host: "desk".into(), purpose: "mount".into() },
        SessionRequest::Renew {
            session: SessionId(6),
            renewal: Renewal {
                number: 3,
                knows: 300,
                holds: Holds {
                    everything: false,
                    versions: vec![(VolumeId(2), VolumeVersion(3))],
                    contents: vec![(BLOB, BlobVersion(4))],
                    inodes: vec![(VolumeId(2), InodeNumber(12))],
                },
            },
        },
        SessionRequest::Close(SessionId(6)),
        SessionRequest::List,
    ];
    requests.map(Request::Session).into()
}

fn queries() -> Vec<Request> {
    let (after, limit, inode) = (VolumeVersion(3), 10, InodeNumber(12));
    let queries = [
        Query::LookUp { parent: ROOT, name: name("a") },
        Query::Attributes(inode),
        Query::Parent(inode),
        Query::ReadDirectory { directory: ROOT, after: Some(name("a")), limit },
        Query::ReadLink(inode),
        Query::GetXattr { inode, name: b"user.a".to_vec() },
        Query::ListXattrs(inode),
        Query::PathOf(inode),
        Query::Statistics,
        Query::Latest,
        Query::VersionAt { directory: ROOT, time: Timestamp(-1) },
        Query::Version { directory: ROOT, version: VolumeVersion(4) },
        Query::VersionTagged("first".into()),
        Query::Tags,
        Query::VersionsOf { directory: ROOT, after, limit },
        Query::HistoryOf { parent: ROOT, name: name("a"), after, limit },
        Query::Watch { after, limit, wait_ms: 500 },
    ];
    let at = |query| Request::Query(NamespaceQuery { volume: VolumeId(2), at: At::Version(VolumeVersion(4)), query });
    queries.map(at).into()
}

fn changes() -> Vec<Request> {
    let (parent, inode) = (ROOT, InodeNumber(12));
    let create =
        |inode| Change::Create { parent, name: name("a"), inode, mode: 0o644, uid: 1, gid: 2, exclusive: true, umask: 0o22 };
    let (new_parent, new_name) = (InodeNumber(9), name("b"));
    let set =
        AttributeChange { mode: Some(1), uid: Some(2), gid: Some(3), accessed: Some(Timestamp(4)), modified: Some(Timestamp(5)) };
    let changes = [
        create(NewInode::File),
        create(NewInode::Directory),
        create(NewInode::Symlink(b"to".to_vec())),
        create(NewInode::Special(FileKind::BlockDevice, 7)),
        Change::Link { inode, parent, name: name("a") },
        Change::Unlink { parent, name: name("a") },
        Change::RemoveDirectory { parent, name: name("a") },
        Change::Rename { parent, name: name("a"), new_parent, new_name, no_replace: true, exchange: false },
        Change::SetAttributes { inode, set },
        Change::SetXattr { inode, name: b"user.a".to_vec(), value: b"v".to_vec(), mode: XattrMode::Replace },
        Change::RemoveXattr { inode, name: b"user.a".to_vec() },
        Change::Restore { parent, name: name("a"), source: inode, to: VolumeVersion(4) },
        Change::SetTag { name: "first".into(), version: VolumeVersion(4) },
        Change::RemoveTag("first".into()),
        Change::Clone { source: inode, at: At::Version(VolumeVersion(4)), parent, name: name("a") },
        Change::ShareContent {
            source: inode,
            at: At::Head,
            content: (BLOB, BlobVersion(4)),
            inode: InodeNumber(13),
            replaces: (BLOB, BlobVersion(0)),
            modified: Timestamp(6),
        },
        Change::FallBack {
            parent,
            name: name("a"),
            inode,
            lost: (BLOB, BlobVersion(4)),
            source: InodeNumber(13),
            content: (BLOB, BlobVersion(3)),
            abandon: true,
        },
    ];
    changes.map(|change| Request::Change(NamespaceChange { volume: VolumeId(2), key: KEY, author: author(), change })).into()
}

fn blob_requests() -> Vec<Request> {
    let (blob, version) = (BLOB, BlobVersion(4));
    let (volume, inode, modified) = (VolumeId(2), InodeNumber(12), Timestamp(6));
    let ticket = |operation| {
        let request = TicketRequest { volume, inode, key: KEY, author: author(), operation, modified, copies: 2 };
        BlobRequest::Ticket(Box::new(request))
    };
    let requests = [
        ticket(Operation::Write(update())),
        ticket(Operation::Append(update())),
        ticket(Operation::Compact { blob, read_at: version, update: update() }),
        BlobRequest::Commit { blob, version, maker: Some(SessionId(6)) },
        BlobRequest::Commit { blob, version, maker: None },
        BlobRequest::Rebuild { blob, version },
        BlobRequest::Lapsed,
        BlobRequest::Tree { blob, version: Some(version) },
    ];
    requests.map(Request::Blob).into()
}

fn provider_requests() -> Vec<Request> {
    let (provider, cluster) = (Some(ProviderId(1)), Some(ClusterId(0xabc)));
    let (address, zone) = ("d1:9338".to_owned(), "rack".to_owned());
    let incarnation = Incarnation(77);
    let placement = [
        PlacementRequest::Join { role: ProviderRole::Data, provider, cluster, address, zone, space: SPACE, incarnation },
        PlacementRequest::Heartbeat { provider: ProviderId(1), space: SPACE, synced: Timestamp(6) },
        PlacementRequest::Map { known: 4 },
        PlacementRequest::Examined { provider: ProviderId(1), incarnation },
    ];
    let metadata = [
        MetadataRequest::Put { nodes: vec![(NODE, 100)] },
        MetadataRequest::Get { nodes: vec![NODE] },
        MetadataRequest::Delete { nodes: vec![NODE] },
        MetadataRequest::Sync { incarnation },
        MetadataRequest::List { after: vec![1, 2], limit: 3 },
        MetadataRequest::Space,
    ];
    let data = [
        DataRequest::Put { object: OBJECT, digest: Digest(12) },
        DataRequest::Get { object: OBJECT, offset: 1, length: 2 },
        DataRequest::Delete { objects: vec![OBJECT] },
        DataRequest::Sync { incarnation },
        DataRequest::List { after: vec![1, 2], limit: 3 },
        DataRequest::Space,
    ];
    let requests = placement.into_iter().map(Request::Placement).chain(metadata.into_iter().map(Request::Metadata));
    requests.chain(data.into_iter().map(Request::Data)).collect()
}

fn policy() -> Retention {
    Retention { keep_all: Some(Duration::from_secs(60)), hourly: 1, daily: 2, weekly: 3, monthly: 4 }
}

fn swept() -> Swept {
    Swept { objects: 1, nodes: 2, bytes: 3, problem: Some("why".into()) }
}

fn history_requests() -> Vec<Request> {
    let volume = VolumeId(2);
    let range = VersionRange { first: VolumeVersion(3), last: VolumeVersion(4) };
    let requests = [
        HistoryRequest::Policies(volume),
        HistoryRequest::SetPolicy { volume, directory: ROOT, policy: Some(policy()) },
        HistoryRequest::Kept { volume, directory: ROOT, after: VolumeVersion(3), limit: 10 },
        HistoryRequest::Thin { volume, directory: InodeNumber(12), ranges: vec![range] },
        HistoryRequest::Work { volume, after: 9 },
        HistoryRequest::Collected { blob: BLOB, version: BlobVersion(4) },
        HistoryRequest::Garbage(volume),
        HistoryRequest::Volumes,
        HistoryRequest::Sessions,
        HistoryRequest::Blobs { volume, after: (300, BlobVersion(4)), limit: 10 },
        HistoryRequest::Contents { volume, after: vec![1, 2], limit: 10 },
        HistoryRequest::Sweep(SweepExtent::Everything),
        HistoryRequest::SweepState,
        HistoryRequest::Swept { number: 3, swept: swept() },
        HistoryRequest::InFlight,
        HistoryRequest::Readers(volume),
    ];
    requests.map(Request::History).into()
}

fn file_lock() -> FileLock {
    let owner = LockOwner { session: SessionId(6), number: 21 };
    FileLock { owner, kind: LockKind::Exclusive, range: LockRange { first: 22, last: u64::MAX }, pid: 23 }
}

fn lock_requests() -> Vec<Request> {
    let (volume, inode, lock) = (VolumeId(2), InodeNumber(12), file_lock());
    let shared = FileLock { kind: LockKind::Shared, ..lock };
    let wait = Some(LockWait { number: 24, wait_ms: 25 });
    let requests = [
        LockRequest::Take { volume, inode, key: KEY, lock, wait },
        LockRequest::Release { volume, inode, key: KEY, owner: lock.owner, range: lock.range },
        LockRequest::Cancel { volume, inode, owner: lock.owner, number: 24 },
        LockRequest::Test { volume, inode, lock: shared },
    ];
    requests.map(Request::Lock).into()
}

fn lock_replies() -> Vec<Reply> {
    let replies = [
        LockReply::Taken(Some(Box::new(attributes()))),
        LockReply::Released,
        LockReply::InTheWay(file_lock()),
        LockReply::Free,
        LockReply::Deadlock,
        LockReply::Cancelled,
    ];
    replies.map(Reply::Lock).into()
}

fn lease_requests() -> Vec<Request> {
    let (volume, session) = (VolumeId(2), SessionId(6));
    let query = Query::LookUp { parent: ROOT, name: name("shot") };
    let gives_back = vec![(volume, InodeNumber(12))];
    let requests = [
        LeaseRequest::Look { volume, session, query },
        LeaseRequest::Await { session, line: 31, done: 32, gives_back, wait_ms: 33 },
    ];
    requests.map(Request::Lease).into()
}

fn lease_replies() -> Vec<Reply> {
    let moment = Moment { epoch: 34, version: VolumeVersion(35) };
    let grant = Some(Grant { line: 31, directories: vec![ROOT, InodeNumber(12)] });
    let replies = [
        LeaseReply::Seen { answer: Some(NamespaceAnswer::Attributes(attributes())), moment, grant },
        LeaseReply::Seen { answer: None, moment, grant: None },
        LeaseReply::CalledIn { line: 31, number: 32, epoch: 34, directories: vec![(VolumeId(2), ROOT)] },
    ];
    replies.map(Reply::Lease).into()
}

fn history_replies() -> Vec<Reply> {
    let job = CollectionJob { dropped: tree(), older: BlobVersion(3), newer: Some(tree()) };
    let blob = BlobState {
        number: 300,
        inode: InodeNumber(12),
        settled: BlobVersion(4),
        offered: Some(BlobVersion(3)),
        versions: vec![tree()],
        in_flight: Vec::new(),
        is_last_part: true,
    };
    let range = VersionRange { first: VolumeVersion(3), last: VolumeVersion(3) };
    let row = ContentRow {
        inode: InodeNumber(12),
        from: VolumeVersion(3),
        to: Some(VolumeVersion(4)),
        tree: tree(),
        shown_at: Some(VolumeVersion(3)),
        policies: vec![PolicySpan { directory: ROOT, versions: range }],
        problem: Some("why".into()),
    };
    let statistics = GarbageStatistics { thinned_versions: 1, blobs: 2, nameless_files: 3, is_purging: true };
    let session = SessionInfo { session: SessionId(6), host: "desk".into(), purpose: "mount".into(), opened: Timestamp(1) };
    let reader = Reader { session, versions: vec![VolumeVersion(3)], files: 2, everything: true, is_silent: true };
    let replies = [
        HistoryReply::Done,
        HistoryReply::Policies(vec![DirectoryPolicy { directory: ROOT, policy: policy() }]),
        HistoryReply::Kept { versions: vec![(VolumeVersion(3), Timestamp(4))], more: true },
        HistoryReply::Thinned { versions: 5 },
        HistoryReply::Work { jobs: vec![job], more: false, next: Some(4) },
        HistoryReply::Garbage(statistics),
        HistoryReply::Volumes(vec![VolumeId(2)]),
        HistoryReply::Sessions(OpenSessions { open: vec![SessionId(6)], next: SessionId(9) }),
        HistoryReply::Blobs { blobs: vec![blob], more: true },
        HistoryReply::Contents { rows: vec![row], next: Some(vec![1, 2]) },
        HistoryReply::Sweep(SweepState { asked: 2, done: 1, extent: SweepExtent::Everything, last: swept() }),
        HistoryReply::InFlight { versions: vec![(BLOB, BlobVersion(4))], more: true },
        HistoryReply::Readers(vec![reader]),
    ];
    replies.map(Reply::History).into()
}

/// Replies.
pub(super) fn replies() -> Vec<Reply> {
    [manager_replies(), namespace_replies(), provider_replies(), history_replies(), lock_replies(), lease_replies()]
        .into_iter()
        .flatten()
        .collect()
}

fn manager_replies() -> Vec<Reply> {
    let session = SessionInfo { session: SessionId(6), host: "desk".into(), purpose: "mount".into(), opened: Timestamp(1) };
    let entry = LogEntry { version: BlobVersion(5), size: 100, height: 1, update: update() };
    let ticket = Ticket { blob: BLOB, entry: entry.clone(), base: tree(), in_flight: vec![entry], copies: 2 };
    vec![
        Reply::Volume(VolumeReply::Volume(volume())),
        Reply::Volume(VolumeReply::Volumes(vec![volume()])),
        Reply::Volume(VolumeReply::Removed),
        Reply::Session(SessionReply::Opened { session: SessionId(6), lease: Duration::from_secs(60) }),
        Reply::Session(SessionReply::Renewed {
            epoch: 301,
            again_in: Duration::from_secs(2),
            let_go: vec![(VolumeId(2), VolumeVersion(3))],
        }),
        Reply::Session(SessionReply::Done),
        Reply::Session(SessionReply::Sessions(vec![session])),
        Reply::Change(ChangeReply { version: VolumeVersion(4), attributes: Some(attributes()) }),
        Reply::Blob(BlobReply::Granted(Box::new(ticket))),
        Reply::Blob(BlobReply::Published { version: VolumeVersion(4), attributes: None }),
        Reply::Blob(BlobReply::Lapsed(vec![(BLOB, BlobVersion(4))])),
        Reply::Blob(BlobReply::Tree(tree())),
    ]
}

fn namespace_replies() -> Vec<Reply> {
    let record = ChangeRecord {
        version: VolumeVersion(4),
        time: Timestamp(5),
        author: author(),
        kind: ChangeKind::Rename,
        inode: InodeNumber(12),
        place: Some((ROOT, name("b"))),
        old_place: Some((InodeNumber(9), name("a"))),
        content: Some((BLOB, BlobVersion(4), 99)),
    };
    let (from, removed) = (VolumeVersion(4), Some(VolumeVersion(5)));
    let state = HistoryState { from, attributes: attributes(), author: author(), removed };
    let tag = Tag { name: "first".into(), version: VolumeVersion(4), created: Timestamp(5) };
    let answers = [
        NamespaceAnswer::Attributes(attributes()),
        NamespaceAnswer::Entries { entries: vec![DirectoryEntry { name: name("a"), attributes: attributes() }], more: true },
        NamespaceAnswer::Bytes(b"to".to_vec()),
        NamespaceAnswer::Names(vec![b"user.a".to_vec()]),
        NamespaceAnswer::Path(vec![name("a"), name("b")]),
        NamespaceAnswer::Statistics(VolumeStatistics { live_bytes: 1, live_inodes: 2, stored_bytes: 3 }),
        NamespaceAnswer::Version(VolumeVersion(4)),
        NamespaceAnswer::Tags(vec![tag]),
        NamespaceAnswer::Changes { changes: vec![record], more: false },
        NamespaceAnswer::History { states: vec![state], more: true },
    ];
    answers.map(Reply::Query).into()
}

fn provider_replies() -> Vec<Reply> {
    let incarnation = Incarnation(77);
    vec![
        Reply::Placement(PlacementReply::Joined { provider: ProviderId(1), cluster: ClusterId(0xabc) }),
        Reply::Placement(PlacementReply::Epoch(5)),
        Reply::Placement(PlacementReply::Map(Box::new(cluster_map()))),
        Reply::Placement(PlacementReply::Heard { time: Timestamp(6) }),
        Reply::Metadata(MetadataReply::Done),
        Reply::Metadata(MetadataReply::Stored { incarnation }),
        Reply::Metadata(MetadataReply::Nodes { lengths: vec![Some(3), None] }),
        Reply::Data(DataReply::Done),
        Reply::Data(DataReply::Stored { incarnation }),
        Reply::Data(DataReply::Part { object_bytes: 100, start: 1, checksums: vec![2, 3] }),
        Reply::Metadata(MetadataReply::List { nodes: vec![(NODE, 100)], next: Some(vec![1, 2]) }),
        Reply::Metadata(MetadataReply::Space(SPACE)),
        Reply::Data(DataReply::List { objects: vec![(OBJECT, 100)], next: Some(vec![1, 2]) }),
        Reply::Data(DataReply::Space(SPACE)),
    ]
}
