//! The counted costs at small sizes. They are exact, so anything that makes an operation dearer fails here.

use super::measure::{Cost, OPERATIONS, measure};
use super::volume::Growing;
use super::{FILE_BYTES, crowd, geometry};
use weft_common::rpc::runtime;

const REPETITIONS: u32 = 4;

fn costs(growing: &mut Growing) -> Vec<Cost> {
    runtime("test").unwrap().block_on(measure(growing, REPETITIONS)).unwrap()
}

/// Of one operation.
fn cost<'a>(costs: &'a [Cost], operation: &str) -> &'a Cost {
    assert!(OPERATIONS.contains(&operation));
    costs.iter().find(|cost| cost.operation == operation).unwrap()
}

/// What of two volumes has to be the same: everything that is a count of things. Bytes differ by the length of numbers.
fn counts(costs: &[Cost]) -> Vec<[f64; 5]> {
    costs.iter().map(|cost| [cost.nodes_put, cost.nodes_got, cost.manager_calls, cost.page_calls, cost.commands]).collect()
}

#[test]
fn a_page_costs_a_way_down_the_tree_whatever_the_size() {
    let folder = tempfile::tempdir().unwrap();
    for (fan_out, bytes, height) in [(32, 1 << 20, 1), (32, 1 << 30, 3), (32, 1 << 40, 5), (2, 1 << 30, 14), (2, 1 << 40, 24)] {
        let mut growing = Growing::new(folder.path(), geometry(fan_out).unwrap(), bytes).unwrap();
        assert_eq!(growing.height(), height);
        let costs = costs(&mut growing);
        let height = height as f64;
        assert_eq!(cost(&costs, "write").nodes_put, height, "{fan_out} {bytes}");
        assert_eq!(cost(&costs, "write, nothing cached").nodes_put, height, "{fan_out} {bytes}");
        let fetched = cost(&costs, "write, nothing cached").nodes_got;
        assert!(fetched <= height && fetched >= height - 1.0, "{fan_out} {bytes}: {fetched}");
        for read in ["read, nothing cached", "read of the oldest version"] {
            assert_eq!(cost(&costs, read).nodes_got, height, "{fan_out} {bytes} {read}");
        }
        // Ticket and commit; root and name; one of the name alone would be enough for a mount that knows its root.
        assert_eq!((cost(&costs, "write").manager_calls, cost(&costs, "write").commands), (2.0, 2.0));
        assert_eq!((cost(&costs, "look-up").manager_calls, cost(&costs, "look-up").commands), (2.0, 0.0));
    }
}

#[test]
fn ten_thousand_versions_files_and_clients_cost_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut growing = Growing::new(folder.path(), geometry(32).unwrap(), FILE_BYTES).unwrap();
    let few = costs(&mut growing);
    growing.overwrite(10_000).unwrap();
    let versions = costs(&mut growing);
    assert_eq!(counts(&versions), counts(&few));
    growing.create_files(10_000).unwrap();
    growing.open_sessions(10_000).unwrap();
    let many = costs(&mut growing);
    assert_eq!(counts(&many), counts(&few));
    for (many, few) in many.iter().zip(&few) {
        let bytes = |cost: &Cost| [cost.manager_bytes, cost.node_bytes, cost.logged_bytes];
        for (many, few) in bytes(many).into_iter().zip(bytes(few)) {
            // Numbers of 10,000 take a byte or two more than those of 100, wherever they stand.
            assert!(many <= few * 1.25 + 16.0, "{many} bytes, and {few} before");
        }
    }
}

#[test]
fn who_writes_behind_others_carries_their_entries_and_stores_no_more_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let all = crowd(folder.path()).unwrap();
    for of_one_fan_out in all.chunks(5) {
        let (alone, crowded) = (&of_one_fan_out[0], &of_one_fan_out[4]);
        assert_eq!(alone.nodes_put, crowded.nodes_put);
        assert!(crowded.nodes_got <= alone.nodes_got, "what is in flight is computed and not fetched");
        let each = (crowded.ticket_bytes - alone.ticket_bytes) / crowded.in_flight;
        assert!((20..100).contains(&each), "{each} bytes for each update in flight");
    }
}
