//! The bytes of every message, and what hostile bytes do.

mod samples;

use super::{ErrorKind, Reply, Request, ServiceError, decode, encode};
use proptest::prelude::*;
use serde::Serialize;
use std::fmt::Write;

/// A line for each sample: what it is, and its bytes. A change of these needs another [`super::PROTOCOL`].
const GOLDEN: &str = include_str!("golden.txt");

fn encoded() -> Vec<(String, Vec<u8>)> {
    fn line<T: Serialize + std::fmt::Debug>(message: &T) -> (String, Vec<u8>) {
        let text = format!("{message:?}");
        let words = text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty());
        (words.take(3).collect::<Vec<_>>().join(" "), encode(message).unwrap())
    }
    let refusal = ServiceError { server: "data@d1".into(), retry: true, ..ServiceError::new(ErrorKind::NoSpace, "full") };
    let requests = samples::requests().iter().map(line).collect::<Vec<_>>();
    let replies = samples::replies().iter().map(line).collect::<Vec<_>>();
    requests.into_iter().chain(replies).chain([line(&refusal)]).collect()
}

#[test]
fn messages_keep_their_bytes() {
    let mut actual = String::new();
    for (what, bytes) in encoded() {
        write!(actual, "{what}:").unwrap();
        bytes.iter().for_each(|byte| write!(actual, " {byte:02x}").unwrap());
        actual.push('\n');
    }
    let differing = actual.lines().zip(GOLDEN.lines()).find(|(actual, golden)| actual != golden);
    assert_eq!(differing, None, "a message has other bytes than golden.txt says; all of them now:\n{actual}");
    assert_eq!(actual.lines().count(), GOLDEN.lines().count(), "golden.txt has another number of messages:\n{actual}");
}

/// Adding a variant without a sample fails here: variants are counted by the index that postcard would give the next one.
#[test]
fn every_variant_has_a_sample() {
    let requests: std::collections::BTreeSet<_> = samples::requests().iter().map(|request| encode(request).unwrap()[0]).collect();
    assert_eq!(requests.len(), 11, "roles");
    let mut next = vec![requests.len() as u8];
    next.extend([0; 64]);
    assert!(decode::<Request>(&next).is_err(), "a role without a sample");
    for message in samples::requests() {
        assert_eq!(decode::<Request>(&encode(&message).unwrap()).unwrap(), message);
    }
    for message in samples::replies() {
        assert_eq!(decode::<Reply>(&encode(&message).unwrap()).unwrap(), message);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn hostile_bytes_are_refused_or_understood(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        // Whatever it is, it must neither panic nor take memory that the bytes do not account for.
        let _ = decode::<Request>(&bytes);
        let _ = decode::<Reply>(&bytes);
        let _ = decode::<ServiceError>(&bytes);
    }

    #[test]
    fn damaged_messages_are_refused_or_understood(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte: u8, cut: bool) {
        let messages = encoded();
        let (_, mut bytes) = messages[which.index(messages.len())].clone();
        let place = at.index(bytes.len());
        if cut { bytes.truncate(place) } else { bytes[place] = byte }
        if let Ok(request) = decode::<Request>(&bytes) {
            prop_assert_eq!(decode::<Request>(&encode(&request).unwrap()).unwrap(), request);
        }
        let _ = decode::<Reply>(&bytes);
    }
}
