//! What was measured: lines of JSON as it happens, and a table for each figure at the end.

use super::plan::Figure;
use super::published::{CO_DEPLOYMENT_COST, CO_DEPLOYMENT_COST_MAX, reference_for};
use crate::report::median;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// One measurement.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) figure: &'static str,
    #[serde(skip)]
    pub(crate) of: Figure,
    pub(crate) round: usize,
    /// The place on the figure's axis.
    pub(crate) x: u64,
    pub(crate) page_kib: u32,
    pub(crate) fan_out: u32,
    pub(crate) clients: usize,
    pub(crate) data_providers: usize,
    pub(crate) metadata_providers: usize,
    pub(crate) co_deployed: bool,
    /// How much slower than 1 Gbit/s the wire was.
    pub(crate) factor: u32,
    /// Bytes of its largest IP packets.
    pub(crate) mtu: u32,
    /// Bytes of each client.
    pub(crate) bytes: u64,
    /// From a client's first step to the end of its `close`: the mean of all, and the longest.
    pub(crate) seconds: f64,
    pub(crate) seconds_max: f64,
    /// What TCP got of the same wire in the same run, in MB/s.
    pub(crate) tcp_mb_per_second: f64,
    /// What a client could get if TCP carried it: the wire, or its share of the providers' wires if they are fewer.
    pub(crate) fair_mb_per_second: f64,
    /// Nominal speed of the wire, or the client's share of it.
    pub(crate) nominal_mb_per_second: f64,
    /// Of all processors, with whatever else ran: 1 is all of them, all the time.
    pub(crate) machine_load: f64,
    /// Of the servers, the mounts and this program, for a GB.
    pub(crate) cpu_seconds_per_gb: f64,
    /// Bytes that went over wires for each byte that a client wrote or read.
    pub(crate) wire_bytes_per_byte: f64,
    /// Mean size of a packet in bytes, of all that passed the switch in either direction.
    pub(crate) packet_bytes: f64,
    /// Packets that found a queue full.
    pub(crate) dropped: u64,
}

impl Outcome {
    /// Of a client: in the mean time that clients took; but where they share the wires of fewer providers, in the time until all
    /// were done, as who is done early leaves more to the others.
    pub(crate) fn mb_per_second(&self) -> f64 {
        let share_wires = self.clients > self.data_providers;
        self.bytes as f64 / 1e6 / if share_wires { self.seconds_max } else { self.seconds }
    }

    /// Share of what TCP gets.
    pub(crate) fn share(&self) -> f64 {
        self.mb_per_second() / self.fair_mb_per_second
    }

    /// Share of what the wire is called.
    pub(crate) fn share_of_nominal(&self) -> f64 {
        self.mb_per_second() / self.nominal_mb_per_second
    }

    /// Share of what TCP gets, of the client that took longest.
    pub(crate) fn share_min(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.seconds_max / self.fair_mb_per_second
    }
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    outcome: &'a Outcome,
    mb_per_second: f64,
    share_of_tcp: f64,
    share_of_nominal: f64,
}

/// Which measurements are the same but for the round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) figure: Figure,
    pub(crate) page_kib: u32,
    pub(crate) fan_out: u32,
    pub(crate) x: u64,
}

/// All of a run.
#[derive(Debug)]
pub(crate) struct Outcomes {
    found: BTreeMap<Key, Vec<Outcome>>,
    lines: Option<fs::File>,
}

impl Outcomes {
    /// Each one is also written to the file `lines`, as a JSON object on a line of its own.
    pub(crate) fn new(lines: Option<&Path>) -> Result<Self, String> {
        let create = |path: &Path| fs::File::create(path).map_err(|error| format!("{}: {error}", path.display()));
        Ok(Self { found: BTreeMap::new(), lines: lines.map(create).transpose()? })
    }

    /// Takes one in, and says it.
    pub(crate) fn add(&mut self, outcome: Outcome) -> io::Result<()> {
        eprintln!(
            "round {} {} {:>3} {}, pages of {:>4} KiB, fan-out {:>2}: {:5.1} % of the wire (slowest {:5.1}), processors {:3.0} % busy, \
             {:.2} s/GB, {:.3} bytes a byte, packets of {:.0}, {} dropped",
            outcome.round,
            outcome.figure,
            outcome.x,
            outcome.of.axis(),
            outcome.page_kib,
            outcome.fan_out,
            outcome.share() * 100.0,
            outcome.share_min() * 100.0,
            outcome.machine_load * 100.0,
            outcome.cpu_seconds_per_gb,
            outcome.wire_bytes_per_byte,
            outcome.packet_bytes,
            outcome.dropped
        );
        if let Some(lines) = &mut self.lines {
            let line = Line {
                outcome: &outcome,
                mb_per_second: outcome.mb_per_second(),
                share_of_tcp: outcome.share(),
                share_of_nominal: outcome.share_of_nominal(),
            };
            writeln!(lines, "{}", serde_json::to_string(&line)?)?;
        }
        let key = Key { figure: outcome.of, page_kib: outcome.page_kib, fan_out: outcome.fan_out, x: outcome.x };
        self.found.entry(key).or_default().push(outcome);
        Ok(())
    }

    /// Median of something over the rounds.
    pub(crate) fn median(&self, key: &Key, what: impl Fn(&Outcome) -> f64) -> Option<f64> {
        self.found.get(key).map(|rounds| median(rounds.iter().map(what)))
    }

    /// Median share of what TCP gets.
    pub(crate) fn share(&self, key: &Key) -> Option<f64> {
        self.median(key, Outcome::share)
    }

    /// Everything that was measured for a figure, in order.
    pub(crate) fn keys(&self, figure: Figure) -> impl Iterator<Item = &Key> {
        self.found.keys().filter(move |key| key.figure == figure)
    }

    /// What clients on the providers' machines cost: the share of the throughput without that they lose; for 4b alone.
    pub(crate) fn co_deployment_cost(&self, key: &Key) -> Option<f64> {
        let apart = self.share(&Key { figure: Figure::Apart, ..*key }).filter(|_| key.figure == Figure::CoDeployed)?;
        Some(1.0 - self.share(key)? / apart)
    }

    fn write_figure(&self, f: &mut fmt::Formatter<'_>, figure: Figure) -> fmt::Result {
        let Some(first) = self.found.iter().find_map(|(key, rounds)| (key.figure == figure).then(|| rounds.first())?) else {
            return Ok(());
        };
        let all = self.found.iter().filter(|(key, _)| key.figure == figure).flat_map(|(_, rounds)| rounds);
        let tcp = median(all.map(|outcome| outcome.tcp_mb_per_second));
        let Outcome { factor, mtu, .. } = first;
        writeln!(f, "\n{figure}")?;
        writeln!(f, "wires {factor} times slower than 1 Gbit/s, packets of {mtu} bytes; TCP gets {tcp:.2} MB/s")?;
        writeln!(
            f,
            "{:>19} {:>8} {:>7} {:>9} {:>7} {:>8} {:>10} {:>6} {:>6} {:>6} {:>8} {:>8}",
            figure.axis(),
            "page KiB",
            "fan-out",
            "of TCP %",
            "slowest",
            "of 1Gb %",
            "MB/s x fac",
            "paper",
            "target",
            "CPU %",
            "CPU s/GB",
            "dropped"
        )?;
        for key in self.keys(figure) {
            let percent = |what: fn(&Outcome) -> f64| self.median(key, what).unwrap_or(f64::NAN) * 100.0;
            let plain = |what: fn(&Outcome) -> f64| self.median(key, what).unwrap_or(f64::NAN);
            let reference = reference_for(figure, key.x, key.page_kib);
            let shown = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{:.0}", share * 100.0));
            write!(
                f,
                "{:>19} {:>8} {:>7} {:>9.1} {:>7.1} {:>8.1} {:>10.1} {:>6} {:>6} {:>6.0} {:>8.2} {:>8.0}",
                key.x,
                key.page_kib,
                key.fan_out,
                percent(Outcome::share),
                percent(Outcome::share_min),
                percent(Outcome::share_of_nominal),
                plain(|outcome| outcome.mb_per_second() * f64::from(outcome.factor)),
                shown(reference.map(|reference| reference.paper)),
                shown(reference.and_then(|reference| reference.target)),
                percent(|outcome| outcome.machine_load),
                plain(|outcome| outcome.cpu_seconds_per_gb),
                plain(|outcome| outcome.dropped as f64),
            )?;
            match self.co_deployment_cost(key) {
                Some(cost) => writeln!(f, "   co-deployment costs {:.1} %", cost * 100.0)?,
                None => writeln!(f)?,
            }
        }
        if figure == Figure::CoDeployed {
            let [least, most] = CO_DEPLOYMENT_COST.map(|cost| cost * 100.0);
            writeln!(
                f,
                "co-deployment: the paper lost {least:.0} to {most:.0} %, at most {:.0} % are asked for",
                CO_DEPLOYMENT_COST_MAX * 100.0
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Figure::ALL.into_iter().try_for_each(|figure| self.write_figure(f, figure))?;
        writeln!(
            f,
            "\nof TCP: bytes of a client in the mean time that clients took, as share of what plain TCP gets on the same links; where there are\n\
             more clients than providers, in the time until all were done, of their share of the providers' links. slowest: of the client that took longest. MB/s x fac: as it\n\
             would be on 1 Gbit/s if processors were faster by the factor as well. paper, target: shares as the project's issue gives them.\n\
             CPU %: of all processors of this machine, whoever used them."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(of: Figure, x: u64, seconds: f64) -> Outcome {
        Outcome {
            figure: of.number(),
            of,
            round: 0,
            x,
            page_kib: 64,
            fan_out: 2,
            clients: 2,
            data_providers: 2,
            metadata_providers: 1,
            co_deployed: of == Figure::CoDeployed,
            factor: 10,
            mtu: 1500,
            bytes: 10_000_000,
            seconds,
            seconds_max: seconds * 2.0,
            tcp_mb_per_second: 12.0,
            fair_mb_per_second: 12.0,
            nominal_mb_per_second: 12.5,
            machine_load: 0.5,
            cpu_seconds_per_gb: 4.0,
            wire_bytes_per_byte: 1.05,
            packet_bytes: 1000.0,
            dropped: 0,
        }
    }

    #[test]
    fn shares_are_of_what_tcp_gets_and_medians_over_rounds() {
        let mut outcomes = Outcomes::new(None).expect("no file");
        for seconds in [1.0, 2.0, 5.0] {
            outcomes.add(outcome(Figure::Apart, 1, seconds)).expect("it is taken");
        }
        outcomes.add(outcome(Figure::CoDeployed, 1, 2.5)).expect("it is taken");
        let key = Key { figure: Figure::Apart, page_kib: 64, fan_out: 2, x: 1 };
        let close = |left: Option<f64>, right: f64| left.is_some_and(|left| (left - right).abs() < 1e-9);
        assert!(close(outcomes.share(&key), 5.0 / 12.0));
        assert!(close(outcomes.co_deployment_cost(&Key { figure: Figure::CoDeployed, ..key }), 0.2));
        assert!(outcomes.co_deployment_cost(&key).is_none());
        let table = outcomes.to_string();
        assert!(table.contains("co-deployment costs 20.0 %") && table.contains("    53 "), "{table}");
    }

    #[test]
    fn every_line_of_json_says_the_share() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut outcomes = Outcomes::new(Some(file.path())).expect("the file");
        outcomes.add(outcome(Figure::Writers, 60, 1.0)).expect("it is taken");
        let text = fs::read_to_string(file.path()).expect("the file");
        let line: serde_json::Value = serde_json::from_str(text.trim()).expect("JSON");
        assert_eq!((line["figure"].as_str(), line["share_of_nominal"].as_f64()), (Some("5"), Some(0.8)));
    }
}
