//! The table on disk does what the table in memory does, across checkpoints and crashes.

use super::RedbKv;
use crate::version::kv::{Kv, MemoryKv, Order};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    Begin,
    Wait,
    Crash,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(0u8..3, 1..4)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (key(), proptest::collection::vec(any::<u8>(), 0..4)).prop_map(|(key, value)| Step::Put(key, value)),
        4 => key().prop_map(Step::Delete),
        2 => Just(Step::Begin),
        1 => Just(Step::Wait),
        1 => Just(Step::Crash),
    ]
}

fn all(kv: &dyn Kv, from: &[u8], to: &[u8], order: Order) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    kv.scan(from, to, order, &mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        true
    })
    .unwrap();
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_equals_the_table_in_memory(steps in proptest::collection::vec(step(), 1..60), from in key(), to in key()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        let (mut kv, applied) = RedbKv::open(&path).unwrap();
        prop_assert_eq!(applied, 0);
        // States by number of steps: after a crash the table is as of the last finished checkpoint.
        let mut states = vec![MemoryKv::default()];
        for step in steps {
            let mut state = states.last().unwrap().clone();
            match step {
                Step::Put(key, value) => {
                    kv.put(&key, &value).unwrap();
                    state.put(&key, &value).unwrap();
                }
                Step::Delete(key) => {
                    kv.delete(&key).unwrap();
                    state.delete(&key).unwrap();
                }
                Step::Begin => {
                    kv.begin_checkpoint(states.len() as u64 - 1).unwrap();
                }
                Step::Wait => kv.wait().unwrap(),
                Step::Crash => {
                    kv.wait().unwrap();
                    drop(kv);
                    let applied;
                    (kv, applied) = RedbKv::open(&path).unwrap();
                    states.truncate(applied as usize + 1);
                    state = states.last().unwrap().clone();
                }
            }
            for order in [Order::Ascending, Order::Descending] {
                prop_assert_eq!(all(&kv, &[], &[9], order), all(&state, &[], &[9], order));
                prop_assert_eq!(all(&kv, &from, &to, order), all(&state, &from, &to, order));
            }
            prop_assert_eq!(kv.get(&from).unwrap(), state.get(&from).unwrap());
            states.push(state);
        }
    }
}

#[test]
fn a_table_is_open_once_and_a_file_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    let (kv, _) = RedbKv::open(&path).unwrap();
    assert!(RedbKv::open(&path).is_err());
    drop(kv);
    assert!(RedbKv::open(&path).is_ok());
    std::fs::write(&path, [7; 10_000]).unwrap();
    assert!(RedbKv::open(&path).unwrap_err().to_string().contains("cannot open"));
}
