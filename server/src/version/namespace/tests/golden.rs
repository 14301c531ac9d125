//! The bytes of keys and rows: volumes of today must be readable for ever. A test that fails here asks for a new format
//! version and a reader for the old one, not for new bytes.

use super::*;
use crate::version::namespace::policies::PolicyRecord;
use crate::version::namespace::ranges::Thinned;
use crate::version::namespace::records::{Place, TagRecord, from_dated_row, from_row, to_dated_row, to_row};
use std::time::Duration;
use weft_common::id::{BlobId, BlobVersion};
use weft_common::retention::Retention;
use weft_common::weave::NodeRef;
use weft_common::wire::{ChangeKind, FileKind};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn record(body: Body) -> InodeRecord {
    InodeRecord {
        mode: 0o644,
        uid: 1000,
        gid: 100,
        links: 1,
        accessed: Timestamp(1),
        modified: Timestamp(2),
        changed: Timestamp(3),
        born: Timestamp(-4),
        place: Some(Place { directory: InodeNumber(1), name: name("f") }),
        xattr_bytes: 9,
        body,
    }
}

fn tree() -> Tree {
    let geometry = settings().geometry;
    let blob = BlobId { volume: VOLUME, number: 3 };
    let root = Some(NodeRef { blob: 3, version: BlobVersion(2), level: 1 });
    Tree { blob, version: BlobVersion(2), size: 300, geometry, root }
}

#[test]
fn rows() {
    let bodies = [
        Body::File { tree: tree(), since: VolumeVersion(5) },
        Body::Directory { entries: 300 },
        Body::Symlink(b"to".to_vec()),
        Body::Special { kind: FileKind::Fifo, rdev: 0 },
    ];
    let mut rows = Vec::new();
    for body in bodies {
        let record = record(body);
        let row = to_dated_row(VolumeVersion(6), &record).unwrap();
        assert_eq!(from_dated_row::<InodeRecord>(&row).unwrap().value, record);
        rows.push(hex(&row));
    }
    let change = ChangeRecord {
        version: VolumeVersion(6),
        time: Timestamp(7),
        author: author(),
        kind: ChangeKind::Rename,
        inode: InodeNumber(8),
        place: Some((InodeNumber(1), name("a"))),
        old_place: Some((InodeNumber(2), name("b"))),
        content: Some((tree().blob, BlobVersion(2), 300)),
    };
    rows.push(hex(&to_row(&change).unwrap()));
    assert_eq!(from_row::<ChangeRecord>(&to_row(&change).unwrap()).unwrap(), change);
    rows.push(hex(&to_row(&TagRecord { version: VolumeVersion(6), created: Timestamp(7) }).unwrap()));
    let counters = Counters {
        latest: VolumeVersion(1),
        created: Timestamp(2),
        changed: Timestamp(3),
        next_inode: 4,
        next_blob: 5,
        live_bytes: 6,
        live_inodes: 7,
        stored_bytes: 8,
        tags: 9,
    };
    rows.push(hex(&to_row(&counters).unwrap()));
    rows.push(hex(&to_dated_row(VolumeVersion(6), &InodeNumber(300)).unwrap()));
    rows.push(hex(&to_dated_row(VolumeVersion(6), &b"value".to_vec()).unwrap()));
    assert_eq!(rows, ROWS);
}

const ROWS: [&str; 9] = [
    "010000000000000006a403e807640102040607010101660900070302ac02808040200103020105",
    "010000000000000006a403e807640102040607010101660901ac02",
    "010000000000000006a403e80764010204060701010166090202746f",
    "010000000000000006a403e8076401020406070101016609030300",
    "01060ee807046465736b04746573740408010101610102016201070302ac02",
    "01060e",
    "01010406040506070809",
    "010000000000000006ac02",
    "0100000000000000060576616c7565",
];

#[test]
fn rows_of_policies() {
    let policy = Retention { keep_all: Some(Duration::from_secs(60)), hourly: 1, daily: 2, weekly: 3, monthly: 4 };
    let first = VolumeVersion(5);
    let rows = [
        to_row(&PolicyRecord { policy, ended: Some(VolumeVersion(300)) }),
        to_row(&PolicyRecord::default()),
        to_row(&Thinned { first, since: Some(300) }),
        to_row(&Thinned { first, since: None }),
    ];
    let rows = rows.map(|row| hex(&row.unwrap()));
    assert_eq!(rows, ["01013c000102030401ac02", "01000000000000", "010501ac02", "010500"]);
    let key = Key::new(keys::THINNED, VOLUME).inode(InodeNumber(1)).version(VolumeVersion(2));
    assert_eq!(hex(&key), "330000000700000000000000010000000000000002");
}

#[test]
fn rows_of_another_format_are_refused() {
    let mut row = to_row(&TagRecord { version: VolumeVersion(6), created: Timestamp(7) }).unwrap();
    row[0] = 2;
    assert!(from_row::<TagRecord>(&row).unwrap_err().to_string().contains("format 2"));
    assert!(from_row::<TagRecord>(&[]).is_err());
    assert!(from_dated_row::<InodeNumber>(&[1, 0, 0]).is_err());
}

#[test]
fn keys_are_in_the_order_of_what_they_name() {
    let key = Key::new(keys::ENTRIES_PAST, VOLUME).inode(InodeNumber(1)).name(b"a").version(VolumeVersion(2));
    assert_eq!(hex(&key), "11000000070000000000000001610000000000000000".to_owned() + "02");
    let entry = |name: &[u8], n| {
        Key::new(keys::ENTRIES_PAST, VOLUME).bytes(&keys::of_name(InodeNumber(1), name)).version(VolumeVersion(n))
    };
    let order = [entry(b"a", 1), entry(b"a", 2), entry(b"a", 300), entry(b"a\x01", 1), entry(b"ab", 1), entry(b"b", 0)];
    assert!(order.windows(2).all(|pair| *pair[0] < *pair[1]));
    assert!(keys::TABLES.iter().all(|table| *table < 0x80), "tables from 0x80 on are the rest of the version manager's");
    assert_eq!(*Key::new(1, VolumeId(u32::MAX)).end(), [2]);
}
