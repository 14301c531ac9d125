//! The bytes of commands in the log and of records in the table. A change here needs a new format number and a reader of the old one.

use super::{Cluster, author};
use crate::version::command::{Action, Command};
use crate::version::kv::{Kv, Order};
use weft_common::checksum::crc64;
use weft_common::id::{BlobId, BlobVersion, InodeNumber, SessionId, VolumeId};
use weft_common::time::Timestamp;
use weft_common::weave::{Operation, Update};
use weft_common::wire::{RequestKey, SessionRequest, TicketRequest, VolumeRequest, encode};

fn bytes(action: Action) -> String {
    encode(&Command { time: Timestamp(-1), action }).unwrap().escape_ascii().to_string()
}

#[test]
fn commands_keep_their_bytes() {
    let blob = BlobId { volume: VolumeId(2), number: 3 };
    let commit = Action::Commit { blob, version: BlobVersion(300) };
    assert_eq!(bytes(commit), "\\x01\\x04\\x02\\x03\\xac\\x02");
    assert_eq!(bytes(Action::Session(SessionRequest::Close(SessionId(5)))), "\\x01\\x01\\x02\\x05");
    assert_eq!(bytes(Action::Volume(VolumeRequest::Remove("a".into()))), "\\x01\\x00\\x04\\x01a");
    let key = RequestKey { session: SessionId(5), sequence: 6, answered_below: 4 };
    let operation = Operation::Append(Update { grow_to: Some(9), ..Update::default() });
    let (volume, inode, modified) = (VolumeId(2), InodeNumber(7), Timestamp(8));
    let ticket = TicketRequest { volume, inode, key, author: author(), operation, modified, copies: 2 };
    assert_eq!(
        bytes(Action::Ticket(Box::new(ticket))),
        "\\x01\\x03\\x02\\x07\\x05\\x06\\x04\\xe8\\x07\\x04desk\\x04test\\x01\\x00\\x00\\x00\\x00\\x01\\t\\x10\\x02"
    );
}

#[test]
fn records_keep_their_bytes() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let blob = cluster.write(inode, 0, 10).blob;
    cluster.write(inode, 3, 10);
    cluster.commit(blob, 1).unwrap();
    let mut found = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        found.push(format!("{:02x} {} {:016x}", key[0], value.len(), crc64(&[key, value].concat())));
        true
    };
    cluster.machine.kv().scan(&[0x80], &[0xc0], Order::Ascending, &mut visit).unwrap();
    assert_eq!(
        found,
        [
            "80 9 64a2709c2cba5c46",
            "81 18 54af31f3b07b19bd",
            "82 2 8e2aab9bc50009aa",
            "83 18 3792e24260768881",
            "84 5 a364b8ce662e8f54",
            "85 27 4b315c8ad853ea5b",
            "86 18 f006ac0fc2da9290",
            "86 18 2c0dcffad46425d1",
            "87 28 2a6f6b1b8c304b40",
            "88 4 a9a6f984707f2cc4",
            "8c 2 fa236307baefaefd"
        ]
    );
}
