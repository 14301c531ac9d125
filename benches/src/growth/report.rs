//! The figures of growth as one HTML page.

use super::{Arguments, Cost, Crowded, Point, Series};
use crate::about::About;
use crate::html::{Axis, Cell, Line, Lines, Page, Style, Table};
use std::error::Error;
use std::path::Path;

/// A figure of an operation, and what it is called.
type Figure = (&'static str, fn(&Cost) -> f64);

const STORED: Figure = ("nodes stored", |cost| cost.nodes_put);
const FETCHED: Figure = ("nodes fetched", |cost| cost.nodes_got);
const MESSAGES: Figure = ("messages", Cost::messages);
const METADATA: Figure = ("bytes to and from managers and metadata providers", |cost| cost.manager_bytes + cost.node_bytes);
const LOGGED: Figure = ("bytes of the version manager's log", |cost| cost.logged_bytes);
const MICROS: Figure = ("microseconds", |cost| cost.micros);

/// The whole page.
pub(super) fn page(arguments: &Arguments, dir: &Path, points: &[Point], crowded: &[Crowded]) -> Result<String, Box<dyn Error>> {
    let about = About::now(dir).setting("repetitions", arguments.repetitions).setting("shrink", arguments.shrink);
    let mut page = Page::new("WeftFS: what operations cost as everything grows", &about);
    page.section("What is shown")
        .text(
            "Each operation is done by the real client library upon the real version manager and metadata engine, in one process, and every \
             message of it is counted: exact figures, without noise. Times are medians, and say how fast this machine is with tables of that \
             size; syncs of the log are taken off (a machine's disk takes as long for them whatever the size).",
        )
        .text("A write or read is of one page of 64 KiB. What writes and reads cost is a way down the tree: log of the file's size to the base of the fan-out.");
    for series in [Series::Versions, Series::Size, Series::Files, Series::Clients] {
        let of_series: Vec<&Point> = points.iter().filter(|point| point.series == series).collect();
        let figures: &[(&str, Figure)] = match series {
            Series::Versions | Series::Size => &[
                ("write", STORED),
                ("read, nothing cached", FETCHED),
                ("write, nothing cached", MESSAGES),
                ("write, nothing cached", METADATA),
                ("write", LOGGED),
                ("write", MICROS),
                ("read, nothing cached", MICROS),
                ("read of the oldest version", MICROS),
            ],
            Series::Files | Series::Clients => &[
                ("write", MESSAGES),
                ("create", LOGGED),
                ("create", MICROS),
                ("rename", MICROS),
                ("look-up", MICROS),
                ("write", MICROS),
            ],
        };
        let section = page.section(format!("Growing: {}", series.title()));
        for (operation, figure) in figures {
            section.chart(&chart(&of_series, series, operation, *figure))?;
        }
        section.table(&table(&of_series));
    }
    let section = page.section("Writers of one file at the same moment");
    section.text(
        "A ticket carries the log entries that are in flight before it, so its size grows with them (at most 1024 of a file at once); the \
         nodes that are stored and fetched do not.",
    );
    section.table(&crowded_table(crowded));
    Ok(page.to_html())
}

fn chart(points: &[&Point], series: Series, operation: &str, (name, of): Figure) -> Lines {
    let mut fan_outs: Vec<u32> = points.iter().map(|point| point.fan_out).collect();
    fan_outs.sort_unstable();
    fan_outs.dedup();
    let line = |fan_out: &u32| {
        let of_fan_out = points.iter().filter(|point| point.fan_out == *fan_out);
        let cost = |point: &&&Point| point.costs.iter().find(|cost| cost.operation == operation).map(of);
        let points = of_fan_out.filter_map(|point| Some((point.amount as f64, cost(&point)?))).collect();
        Line { name: format!("fan-out {fan_out}"), points, style: Style::Measured }
    };
    Lines {
        title: format!("{operation}: {name}"),
        x: Axis { label: series.title().to_owned(), log: true, ..Axis::default() },
        y: Axis { label: name.to_owned(), reach: Some((0.0, 1.0)), ..Axis::default() },
        lines: fan_outs.iter().map(line).collect(),
        levels: Vec::new(),
    }
}

fn table(points: &[&Point]) -> Table {
    let head =
        ["operation", "fan-out", "amount", "height", "stored", "fetched", "messages", "manager B", "nodes B", "log B", "µs"];
    let mut table = Table::new(head);
    let operations = points.first().map(|point| point.costs.len()).unwrap_or_default();
    for place in 0..operations {
        for point in points {
            let Some(cost) = point.costs.get(place) else { continue };
            let whole = [u64::from(point.fan_out), point.amount, point.height].map(|figure| Cell::number(figure.to_string()));
            let counted = [cost.nodes_put, cost.nodes_got, cost.messages()].map(|figure| Cell::number(format!("{figure:.1}")));
            let bytes = [cost.manager_bytes, cost.node_bytes, cost.logged_bytes, cost.micros];
            let bytes = bytes.map(|figure| Cell::number(format!("{figure:.0}")));
            table.row([Cell::from(cost.operation)].into_iter().chain(whole).chain(counted).chain(bytes));
        }
    }
    table
}

fn crowded_table(crowded: &[Crowded]) -> Table {
    let mut table = Table::new(["fan-out", "in flight", "bytes of the ticket", "nodes stored", "nodes fetched", "µs to weave"]);
    for Crowded { fan_out, in_flight, ticket_bytes, nodes_put, nodes_got, weave_micros } in crowded {
        let counts = [u64::from(*fan_out), *in_flight, *ticket_bytes, *nodes_put, *nodes_got, weave_micros.round() as u64];
        table.row(counts.map(|count| Cell::number(count.to_string())));
    }
    table
}
