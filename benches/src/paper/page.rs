//! The report: each figure as a plot beside what is known of the paper's, and as a table.

use super::outcome::{Key, Outcome, Outcomes};
use super::plan::Figure;
use super::published::{CO_DEPLOYMENT_COST, CO_DEPLOYMENT_COST_MAX, reference_for};
use crate::about::About;
use crate::html::{Axis, Cell, Line, Lines, Page, Style, Table};
use std::collections::BTreeMap;
use std::error::Error;

/// What a reader has to know before the first figure.
const PREFACE: &str = "Every server and every client is a process in a network namespace of its own, on a link that is shaped in both directions to a \
    slowed 1 Gbit/s; clients write through weft mount. Shares are of what plain TCP gets on the same links in the same run. Time is scaled and not \
    size: what follows from bytes (headers, metadata, queues, providers that several writers drew at once) does not know of the factor; what takes \
    time (the way of a packet, processors, disks) looks smaller by it. All hosts share this machine's processors; where their load is near \
    100 %, they were the limit and not the wire.";
const SOURCES: &str = "The paper's figures are those that the project's issue quotes; points in between are not known here. Rings: the paper. Dashed: what is \
    asked of WeftFS.";

/// The whole page.
pub(crate) fn page(outcomes: &Outcomes, about: &About) -> Result<String, Box<dyn Error>> {
    let mut page = Page::new("The paper's experiments on WeftFS", about);
    page.section("What was done").text(PREFACE).text(SOURCES);
    for figure in Figure::ALL.into_iter().filter(|figure| outcomes.keys(*figure).next().is_some()) {
        let (lines, table) = (lines(outcomes, figure), table(outcomes, figure));
        let section = page.section(figure.to_string());
        section.chart(&lines)?.table(&table);
        if figure == Figure::CoDeployed {
            let [least, most] = CO_DEPLOYMENT_COST.map(|cost| cost * 100.0);
            let asked = CO_DEPLOYMENT_COST_MAX * 100.0;
            section.text(format!(
                "Clients on the providers' machines cost the paper {least:.0} to {most:.0} %; {asked:.0} % are asked for."
            ));
        }
    }
    Ok(page.to_html())
}

fn percent(share: f64) -> f64 {
    share * 100.0
}

fn lines(outcomes: &Outcomes, figure: Figure) -> Lines {
    let mut measured: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    let mut known: BTreeMap<u64, f64> = BTreeMap::new();
    let mut levels: BTreeMap<String, f64> = BTreeMap::new();
    for key in outcomes.keys(figure) {
        let points = measured.entry(format!("{} KiB, fan-out {}", key.page_kib, key.fan_out)).or_default();
        points.extend(outcomes.share(key).map(|share| (key.x as f64, percent(share))));
        if let Some(reference) = reference_for(figure, key.x, key.page_kib) {
            known.insert(key.x, percent(reference.paper));
            levels.extend(reference.target.map(|target| (format!("target {:.0} %", percent(target)), percent(target))));
        }
    }
    let line = |(name, points)| Line { name, points, style: Style::Measured };
    let paper = Line {
        name: "the paper".to_owned(),
        points: known.into_iter().map(|(x, share)| (x as f64, share)).collect(),
        style: Style::ReferencePoints,
    };
    Lines {
        title: "share of what TCP gets of the wire, in percent".to_owned(),
        x: Axis { label: figure.axis().to_owned(), log: true, ..Axis::default() },
        y: Axis { label: "percent".to_owned(), reach: Some((0.0, 100.0)), ..Axis::default() },
        lines: measured.into_iter().map(line).chain((!paper.points.is_empty()).then_some(paper.clone())).collect(),
        levels: levels.into_iter().collect(),
    }
}

fn table(outcomes: &Outcomes, figure: Figure) -> Table {
    let mut head = vec![figure.axis(), "pages", "fan-out", "of TCP %", "slowest %", "of nominal %", "paper %", "target"];
    head.extend(["processors %", "CPU s/GB", "bytes a byte", "packets", "dropped", "factor", "MTU"]);
    if figure == Figure::CoDeployed {
        head.push("co-deployment costs %");
    }
    let mut table = Table::new(head);
    for key in outcomes.keys(figure) {
        table.row(row(outcomes, key));
    }
    table
}

fn row(outcomes: &Outcomes, key: &Key) -> Vec<Cell> {
    let figure = |what: fn(&Outcome) -> f64, places: usize| {
        Cell::number(outcomes.median(key, what).map_or(String::new(), |value| format!("{value:.places$}")))
    };
    let reference = reference_for(key.figure, key.x, key.page_kib);
    let share = outcomes.share(key).unwrap_or(f64::NAN);
    let verdict = |target: f64| Cell::Verdict {
        is_good: share >= target,
        words: format!("{} {:.0} %", if share >= target { "met:" } else { "missed:" }, percent(target)),
    };
    let mut cells = vec![
        Cell::number(key.x.to_string()),
        Cell::number(format!("{} KiB", key.page_kib)),
        Cell::number(key.fan_out.to_string()),
        figure(|outcome| percent(outcome.share()), 1),
        figure(|outcome| percent(outcome.share_min()), 1),
        figure(|outcome| percent(outcome.share_of_nominal()), 1),
        Cell::number(reference.map_or(String::new(), |reference| format!("{:.0}", percent(reference.paper)))),
        reference.and_then(|reference| reference.target).map_or_else(|| "".into(), verdict),
        figure(|outcome| percent(outcome.machine_load), 0),
        figure(|outcome| outcome.cpu_seconds_per_gb, 2),
        figure(|outcome| outcome.wire_bytes_per_byte, 3),
        figure(|outcome| outcome.packet_bytes, 0),
        figure(|outcome| outcome.dropped as f64, 0),
        figure(|outcome| f64::from(outcome.factor), 0),
        figure(|outcome| f64::from(outcome.mtu), 0),
    ];
    cells.extend(outcomes.co_deployment_cost(key).map(|cost| Cell::number(format!("{:.1}", percent(cost)))));
    cells
}
