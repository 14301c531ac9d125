//! A run as a page.

use super::figure::{SHARES, Typical, median};
use super::record::{Kind, Record};
use super::targets::{TARGETS, verdicts};
use crate::html::{Bars, Cell, Lines, Page, Series, Table, short};
use std::error::Error;

pub(super) fn page_of(record: &Record) -> Result<Page, Box<dyn Error>> {
    let mut about = record.head.about.clone();
    about.versions = record.head.systems.iter().map(|system| (system.name.clone(), system.version.clone())).collect();
    let mut page = Page::new(record.head.title.clone(), &about);
    let reference = Reference::of(record);
    let section = page.section("Medians");
    section.text(format!(
        "MB/s where work is about bytes, operations a second otherwise; behind each figure its ratio to {}. Figures of one line may be \
         compared; those of two runs may not.",
        reference.name(record)
    ));
    section.table(&medians(record, reference));
    if !record.page_calls.is_empty() {
        let rate = |which: usize| short(median(record.page_calls.iter().map(|rates| rates[which])));
        let (written, read) = (rate(0), rate(1));
        section.text(format!("Page calls of 1 MiB over QUIC, without a filesystem: {written} MB/s written, {read} MB/s read."));
    }
    if record.has_peers() {
        ratios(record, &mut page);
    }
    targets(record, &mut page);
    rates(record, &mut page)?;
    cost(record, &mut page)?;
    latencies(record, &mut page)?;
    Ok(page)
}

/// What ratios in the table of medians are to.
#[derive(Clone, Copy, Debug)]
enum Reference {
    System(usize),
    BestPeer,
}

impl Reference {
    /// The best peer if there are any, or the first system.
    fn of(record: &Record) -> Self {
        if record.has_peers() { Self::BestPeer } else { Self::System(0) }
    }

    fn name(self, record: &Record) -> String {
        match self {
            Self::System(place) => record.head.systems[place].name.clone(),
            Self::BestPeer => "the best peer".to_owned(),
        }
    }

    fn rate(self, record: &Record, row: &str) -> Option<f64> {
        match self {
            Self::System(place) => record.typical(row, place).map(|typical| typical.rate),
            Self::BestPeer => record.best(row, |system| system.kind == Kind::Peer).map(|(_, typical)| typical.rate),
        }
    }
}

fn names(record: &Record) -> impl Iterator<Item = String> {
    record.head.systems.iter().map(|system| system.name.clone())
}

/// A table with a row of work on each line and a system in each column, of those rows for which `cell` gives something.
fn table_of(record: &Record, first: &str, cell: impl Fn(&str, Typical) -> Option<Cell>) -> Table {
    let mut table = Table::new([first.to_owned()].into_iter().chain(names(record)));
    for row in &record.rows {
        let cells: Vec<Option<Cell>> =
            (0..record.head.systems.len()).map(|place| cell(row, record.typical(row, place)?)).collect();
        if cells.iter().any(Option::is_some) {
            let cells = cells.into_iter().map(|cell| cell.unwrap_or(Cell::number("")));
            table.row([Cell::from(row.as_str())].into_iter().chain(cells));
        }
    }
    table
}

fn medians(record: &Record, reference: Reference) -> Table {
    table_of(record, "work", |row, typical| {
        let ratio = reference.rate(record, row).map(|rate| format!("{:.2}x", typical.rate / rate));
        Some(Cell::Number { figure: short(typical.rate), aside: ratio.unwrap_or_default() })
    })
}

fn ratios(record: &Record, page: &mut Page) {
    let section = page.section("Against peers");
    section.text(
        "WeftFS against the fastest peer in each row, and against the fastest of those that encrypt, as WeftFS always does.",
    );
    let systems = &record.head.systems;
    let wefts: Vec<usize> = (0..systems.len()).filter(|place| systems[*place].kind == Kind::Weft).collect();
    for encrypted in [false, true] {
        if encrypted && !systems.iter().any(|system| system.kind == Kind::Peer && system.encrypts) {
            continue;
        }
        let best = if encrypted { "best that encrypts" } else { "best peer" };
        let own = wefts.iter().map(|place| systems[*place].name.as_str());
        let mut table = Table::new(["work", best, "rate"].into_iter().chain(own));
        for row in &record.rows {
            let Some((peer, typical)) = record.best(row, |system| system.kind == Kind::Peer && (system.encrypts || !encrypted))
            else {
                continue;
            };
            let rate = Cell::Number { figure: short(typical.rate), aside: typical.unit.to_owned() };
            let ratio = |place: &usize| {
                record.typical(row, *place).map_or(String::new(), |own| format!("{:.2}x", own.rate / typical.rate))
            };
            let own = wefts.iter().map(|place| Cell::number(ratio(place)));
            table.row([row.as_str().into(), systems[peer].name.as_str().into(), rate].into_iter().chain(own));
        }
        section.table(&table);
    }
}

fn targets(record: &Record, page: &mut Page) {
    let verdicts = verdicts(record);
    if verdicts.is_empty() {
        return;
    }
    let section = page.section("Targets");
    let met = verdicts.iter().filter(|verdict| verdict.is_met()).count();
    section.text(format!(
        "{met} of {} are met. Of the other {} of {} this run lacks a side.",
        verdicts.len(),
        TARGETS.len() - verdicts.len(),
        TARGETS.len()
    ));
    let mut table = Table::new(["work", "system", "against", "measured", "target", "met"]);
    for verdict in verdicts {
        let words = if verdict.is_met() { "yes" } else { "no" }.to_owned();
        let outcome = Cell::Verdict { is_good: verdict.is_met(), words };
        let (measured, target) = (Cell::number(verdict.reached()), Cell::number(verdict.asked()));
        table.row([verdict.row.into(), verdict.system.into(), verdict.against.into(), measured, target, outcome]);
    }
    section.table(&table);
}

/// Bars of some rows, of those systems that did any of them.
fn bars(record: &Record, title: &str, rows: &[&String], log: bool, value: impl Fn(Typical) -> Option<f64>) -> Option<Bars> {
    let values = |place: usize| rows.iter().map(|row| value(record.typical(row, place)?)).collect::<Vec<_>>();
    let series = names(record).enumerate().map(|(place, name)| Series { name, values: values(place) });
    let series: Vec<Series> = series.filter(|series| series.values.iter().any(Option::is_some)).collect();
    let groups = rows.iter().map(|row| (*row).clone()).collect();
    (!series.is_empty()).then(|| Bars { title: title.to_owned(), groups, series, references: Vec::new(), log })
}

fn rates(record: &Record, page: &mut Page) -> Result<(), Box<dyn Error>> {
    let section = page.section("Rates");
    let unit = |row: &str| (0..record.head.systems.len()).find_map(|place| Some(record.typical(row, place)?.unit));
    for (wanted, title, log) in
        [("MB/s", "Bytes: MB/s", false), ("op/s", "Single operations: operations a second, logarithmic", true)]
    {
        let rows: Vec<&String> = record.rows.iter().filter(|row| unit(row) == Some(wanted)).collect();
        if let Some(bars) = bars(record, title, &rows, log, |typical| Some(typical.rate)) {
            section.chart(&bars)?;
        }
    }
    Ok(())
}

fn cost(record: &Record, page: &mut Page) -> Result<(), Box<dyn Error>> {
    let section = page.section("Cost");
    section.text("CPU seconds for a GB: user and system time of all processes of the system and of those who do the work.");
    section.table(&table_of(record, "CPU s/GB", |_, typical| Some(Cell::number(format!("{:.2}", typical.cpu_per_gb?)))));
    let costs =
        |row: &str| (0..record.head.systems.len()).any(|place| record.typical(row, place).and_then(|it| it.cpu_per_gb).is_some());
    let rows: Vec<&String> = record.rows.iter().filter(|row| costs(row)).collect();
    if let Some(bars) = bars(record, "CPU seconds for a GB", &rows, false, |typical| typical.cpu_per_gb) {
        section.chart(&bars)?;
    }
    section.text("Peak memory in MiB: of the process of the system that had most, in the row where it had most.");
    let mut table = Table::new(["system", "MiB"]);
    for (place, name) in names(record).enumerate() {
        table.row([name.into(), Cell::number(short(record.memory_mib(place)))]);
    }
    section.table(&table);
    Ok(())
}

fn latencies(record: &Record, page: &mut Page) -> Result<(), Box<dyn Error>> {
    let systems = &record.head.systems;
    let of_row = |row: &str| -> Vec<(String, [f64; SHARES.len()])> {
        let measured =
            (0..systems.len()).filter_map(|place| Some((systems[place].name.clone(), record.typical(row, place)?.latency_us?)));
        measured.collect()
    };
    if record.rows.iter().all(|row| of_row(row).is_empty()) {
        return Ok(());
    }
    let section = page.section("Latencies");
    section.text("How long single operations take, in microseconds: medians over the rounds of each round's percentile.");
    let head = SHARES.iter().map(|share| if *share < 1.0 { format!("{} %", share * 100.0) } else { "longest".to_owned() });
    let mut table = Table::new(["work".to_owned(), "system".to_owned()].into_iter().chain(head));
    for row in &record.rows {
        for (name, latency) in of_row(row) {
            let figures = latency.iter().map(|us| Cell::number(short(*us)));
            table.row([row.as_str().into(), name.into()].into_iter().chain(figures));
        }
    }
    section.table(&table);
    for row in &record.rows {
        let series = of_row(row).into_iter().map(|(name, latency)| (name, SHARES.into_iter().zip(latency).collect()));
        let series: Vec<(String, Vec<(f64, f64)>)> = series.collect();
        if !series.is_empty() {
            section.chart(&Lines::percentiles(format!("Latency of {row}"), "µs", series))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::{contender, figure, record};
    use super::*;

    #[test]
    fn a_run_becomes_a_page_with_its_ratios_targets_and_charts() {
        let systems = [("Gluster", Kind::Peer, false), ("sshfs", Kind::Peer, true), ("weft C", Kind::Weft, true)];
        let mut record = record(systems.map(|(name, kind, encrypts)| contender(name, kind, encrypts)).to_vec());
        for (place, rate) in [500.0, 250.0, 777.0].into_iter().enumerate() {
            record.add("a.seqwrite_1m", place, 0, figure(rate)).expect("no file");
        }
        let html = page_of(&record).expect("a page").to_html();
        for expected in ["1.55x", "3.11x", "3 of 3 are met", "≥ 1.30x", "<svg", "Latency of a.seqwrite_1m", "1.50"] {
            assert!(html.contains(expected), "no {expected:?}");
        }
    }
}
