//! What every store must do, whatever it is made of. `run` takes a maker of empty stores with room for 64 MiB.

use super::{Key, NewObject, ObjectStore, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use weft_common::limits::BODY_BYTES_MAX;

/// The whole suite.
pub(crate) fn run<S: ObjectStore>(make: &dyn Fn() -> S) {
    what_is_put_can_be_read(&make());
    puts_are_write_once(&make());
    parts_are_cut_at_the_end(&make());
    deleted_objects_are_gone_and_can_come_back(&make());
    a_batch_is_taken_in_order(&make());
    too_large_is_refused(&make());
    random_operations_match_a_map(&make());
    threads_do_not_disturb_one_another(&make());
}

fn key(number: u64) -> Key {
    let mut bytes = [0x5a; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Key(bytes)
}

/// Bytes that differ with the number everywhere.
pub(crate) fn bytes(number: u64, length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| (number.wrapping_mul(31).wrapping_add(at * 7 + at / 251) % 256) as u8).collect()
}

fn put(store: &dyn ObjectStore, number: u64, length: usize) {
    store.put(&[NewObject { key: key(number), extra: &bytes(number, 24), body: &bytes(number, length) }]).unwrap();
}

fn what_is_put_can_be_read(store: &dyn ObjectStore) {
    for (number, length) in [0, 1, 7, 4096, 65_535, 65_536, 1_048_576, 3_000_001].into_iter().enumerate() {
        put(store, number as u64, length);
        let object = store.get(&key(number as u64)).unwrap().unwrap();
        assert_eq!(object.body, bytes(number as u64, length));
        assert_eq!(object.body_bytes as usize, length);
        assert_eq!(object.extra, bytes(number as u64, 24));
        assert!(store.contains(&key(number as u64)) && store.verify(&key(number as u64)).unwrap());
    }
    assert!(store.get(&key(99)).unwrap().is_none());
    assert!(!store.contains(&key(99)) && !store.verify(&key(99)).unwrap());
    assert_eq!(store.statistics().unwrap().objects, 8);
    store.sync().unwrap();
    store.sync().unwrap();
}

fn puts_are_write_once(store: &dyn ObjectStore) {
    put(store, 1, 5000);
    put(store, 1, 5000);
    let (extra, body) = (bytes(1, 24), bytes(1, 5000));
    let mut other = body.clone();
    other[4999] ^= 1;
    for (extra, body) in [(&extra[..], &other[..]), (&extra[..23], &body[..]), (&extra[..], &body[..4999])] {
        let error = store.put(&[NewObject { key: key(1), extra, body }]).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }
    assert_eq!(store.get(&key(1)).unwrap().unwrap().body, body);
    assert_eq!(store.statistics().unwrap().objects, 1);
}

fn parts_are_cut_at_the_end(store: &dyn ObjectStore) {
    put(store, 1, 100_000);
    let whole = bytes(1, 100_000);
    for range in [0..0, 0..1, 0..100_000, 32_768..65_536, 98_304..131_072, 99_999..u32::MAX, 100_000..100_001, 200_000..300_000] {
        let part = store.get_part(&key(1), range.clone()).unwrap().unwrap();
        let end = (range.end as usize).min(whole.len());
        assert_eq!(part.body, whole[(range.start as usize).min(end)..end], "{range:?}");
        assert_eq!((part.body_bytes, &part.extra[..]), (100_000, &bytes(1, 24)[..]));
    }
    assert!(store.get_part(&key(2), 0..1).unwrap().is_none());
}

fn deleted_objects_are_gone_and_can_come_back(store: &dyn ObjectStore) {
    for number in 0..10 {
        put(store, number, 40_000);
    }
    let before = store.statistics().unwrap();
    assert_eq!(store.delete(&[key(1), key(3), key(77), key(3)]).unwrap(), 2);
    assert_eq!(store.delete(&[]).unwrap(), 0);
    assert!(store.get(&key(1)).unwrap().is_none() && !store.contains(&key(3)));
    assert!(store.get(&key(2)).unwrap().is_some());
    let after = store.statistics().unwrap();
    assert_eq!(after.objects, 8);
    assert!(after.live_bytes <= before.live_bytes - 80_000);
    store.put(&[NewObject { key: key(1), extra: b"", body: b"something else" }]).unwrap();
    assert_eq!(store.get(&key(1)).unwrap().unwrap().body, &b"something else"[..]);
}

fn a_batch_is_taken_in_order(store: &dyn ObjectStore) {
    let bodies: Vec<Vec<u8>> = (0..100).map(|number| bytes(number, 10 + number as usize * 997)).collect();
    let mut batch: Vec<NewObject<'_>> = Vec::new();
    for (number, body) in bodies.iter().enumerate() {
        batch.push(NewObject { key: key(number as u64), extra: &body[..3], body });
    }
    batch.push(batch[5]);
    store.put(&batch).unwrap();
    store.put(&batch).unwrap();
    store.put(&[]).unwrap();
    for (number, body) in bodies.iter().enumerate() {
        assert_eq!(store.get(&key(number as u64)).unwrap().unwrap().body, body);
    }
    assert_eq!(store.statistics().unwrap().objects, 100);
    let clash = [NewObject { key: key(200), extra: b"", body: b"a" }, NewObject { key: key(200), extra: b"", body: b"b" }];
    assert!(matches!(store.put(&clash), Err(StoreError::Damaged { .. })));
}

fn too_large_is_refused(store: &dyn ObjectStore) {
    let body = vec![0; BODY_BYTES_MAX as usize + 1];
    let error = store.put(&[NewObject { key: key(1), extra: b"", body: &body }]).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
    let error = store.put(&[NewObject { key: key(1), extra: &body[..100_000], body: b"" }]).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
    assert!(!store.contains(&key(1)));
}

fn random_operations_match_a_map(store: &dyn ObjectStore) {
    let mut model: BTreeMap<Key, Vec<u8>> = BTreeMap::new();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..3000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (number, length) = ((random >> 33) % 64, ((random >> 40) % 5000) as usize);
        if random >> 63 == 0 {
            let body = bytes(number, length);
            let outcome = store.put(&[NewObject { key: key(number), extra: b"x", body: &body }]);
            match model.get(&key(number)) {
                Some(there) if *there != body => assert!(matches!(outcome, Err(StoreError::Damaged { .. }))),
                _ => {
                    outcome.unwrap();
                    model.insert(key(number), body);
                }
            }
        } else {
            let there = usize::from(model.remove(&key(number)).is_some());
            assert_eq!(store.delete(&[key(number)]).unwrap(), there);
        }
        if random.is_multiple_of(200) {
            store.sync().unwrap();
        }
    }
    let mut keys = BTreeSet::new();
    store
        .keys(&mut |key| {
            keys.insert(*key);
            true
        })
        .unwrap();
    assert_eq!(keys, model.keys().copied().collect());
    let (mut listed, mut bytes, mut after, mut parts) = (BTreeSet::new(), 0, Vec::new(), 0);
    loop {
        let listing = store.list(&after, 7).unwrap();
        assert!(listing.entries.len() <= 7);
        bytes += listing.entries.iter().map(|(_, bytes)| u64::from(*bytes)).sum::<u64>();
        listed.extend(listing.entries.into_iter().map(|(key, _)| key));
        parts += 1;
        match listing.next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert!(parts > 2, "{parts} parts");
    assert_eq!((&listed, bytes), (&keys, store.statistics().unwrap().live_bytes), "what is listed adds up");
    let mut first = 0;
    store
        .keys(&mut |_| {
            first += 1;
            false
        })
        .unwrap();
    assert_eq!(first, 1);
    for (key, body) in &model {
        assert_eq!(store.get(key).unwrap().unwrap().body, body);
    }
}

fn threads_do_not_disturb_one_another(store: &dyn ObjectStore) {
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            scope.spawn(move || {
                for round in 0..60 {
                    // Every second object is the same for all threads: they race for the right to store it.
                    let number = if round % 2 == 0 { 1_000_000 + round } else { thread * 1000 + round };
                    put(store, number, 20_000 + round as usize * 500);
                    assert!(store.get(&key(number)).unwrap().is_some());
                    if round % 2 == 1 && round % 3 == 0 {
                        assert_eq!(store.delete(&[key(number)]).unwrap(), 1);
                        assert!(store.get(&key(number)).unwrap().is_none());
                    }
                    if round % 16 == 0 {
                        store.sync().unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(store.statistics().unwrap().objects, 30 + 4 * 20);
    for round in (0..60).step_by(2) {
        assert!(store.verify(&key(1_000_000 + round)).unwrap());
    }
}
