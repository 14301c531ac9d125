//! Where the speed of WeftFS has to land, as ratios within one run; and whether it did.
//!
//! *The clusters* are the peers that, like a WeftFS cluster, send data over a network to several servers: Gluster, MooseFS and CephFS, one copy,
//! not encrypted. JuiceFS writes into a local folder and is what a local volume is compared with. Where a row compares with *all*, that
//! is every peer that keeps one copy.

use super::record::{Contender, Kind, Record};

/// What a figure of WeftFS is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Against {
    /// The fastest of these systems that were measured.
    BestOf(&'static [&'static str]),
    /// The fastest peer that encrypts.
    BestEncrypted,
    /// Nothing: CPU seconds for a GB, of all processes.
    CpuPerGb,
}

/// A ratio that has to be reached, or seconds that must not be passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) row: &'static str,
    pub(crate) system: &'static str,
    pub(crate) against: Against,
    pub(crate) figure: f64,
}

const L: &str = "weft L";
const C: &str = "weft C";
const C2: &str = "weft C2";
const CLUSTERS: Against = Against::BestOf(&["Gluster", "MooseFS", "CephFS"]);
const TWO_COPIES: Against = Against::BestOf(&["Gluster rep2", "MooseFS goal 2"]);
const JUICE: Against = Against::BestOf(&["JuiceFS"]);
const ALL: Against = Against::BestOf(&["JuiceFS", "Gluster", "MooseFS", "CephFS", "sshfs"]);
const PROTOTYPE: Against = Against::BestOf(&["proto"]);
const DISK: Against = Against::BestOf(&["disk"]);
const NULL: Against = Against::BestOf(&["null"]);

const fn target(row: &'static str, system: &'static str, against: Against, figure: f64) -> Target {
    Target { row, system, against, figure }
}

/// All of them, in the order of rows.
pub(crate) const TARGETS: [Target; 38] = [
    target("a.seqwrite_1m", L, JUICE, 1.8),
    target("a.seqwrite_1m", C, CLUSTERS, 1.3),
    target("a.seqwrite_1m", C2, TWO_COPIES, 2.0),
    target("a.seqwrite_1m", C, Against::BestEncrypted, 3.0),
    target("a.seqwrite_1m", C, PROTOTYPE, 0.9),
    target("a.seqwrite_64k", L, JUICE, 2.0),
    target("a.seqwrite_64k", C, CLUSTERS, 2.0),
    target("a.seqwrite_1m_fsync", L, JUICE, 1.3),
    target("a.seqwrite_1m_fsync", C, CLUSTERS, 1.3),
    target("b.seqread_cold", L, JUICE, 2.0),
    target("b.seqread_cold", C, CLUSTERS, 1.3),
    target("b.seqread_cold", C, PROTOTYPE, 0.95),
    target("b.seqread_warm", L, DISK, 0.9),
    target("b.seqread_warm", C, DISK, 0.9),
    target("c.par4_write", C, CLUSTERS, 1.5),
    target("c.par4_write", L, JUICE, 1.3),
    target("d.frames_write_p4", C, CLUSTERS, 1.6),
    target("d.frames_write_p4", L, JUICE, 1.3),
    target("d.frames_read_cold_p4", C, CLUSTERS, 1.3),
    target("d.frames_read_cold_p4", L, JUICE, 1.3),
    target("e.create4k_p1", C, ALL, 1.5),
    target("e.create4k_p4", C, ALL, 2.5),
    target("e.unlink", C, ALL, 1.5),
    target("e.stat_cold", C, ALL, 2.0),
    target("e.stat_warm", L, NULL, 0.9),
    target("e.stat_warm", C, NULL, 0.9),
    target("e.ls-l_cold", C, ALL, 1.0),
    target("f.rndwrite_64k+fsync", C, ALL, 2.0),
    target("f.rndread_64k_cold", C, ALL, 2.0),
    target("f.rndwrite_4k_unal+fsync", C, ALL, 3.0),
    target("g.shared_stripes_p4", C, ALL, 1.5),
    target("h.append_1000B", C, ALL, 1.0),
    target("j.versioned_20x64m", L, JUICE, 3.0),
    target("j.versioned_20x64m", C, ALL, 3.0),
    target("a.seqwrite_1m", C, Against::CpuPerGb, 2.0),
    target("b.seqread_cold", C, Against::CpuPerGb, 1.9),
    target("a.seqwrite_1m", L, Against::CpuPerGb, 1.2),
    target("b.seqread_cold", L, Against::CpuPerGb, 1.0),
];

/// A target and what a run says of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) row: &'static str,
    pub(crate) system: &'static str,
    /// Whom or what it was held against.
    pub(crate) against: String,
    pub(crate) measured: f64,
    pub(crate) target: f64,
    /// Whether more is better.
    pub(crate) is_ratio: bool,
}

impl Verdict {
    pub(crate) fn is_met(&self) -> bool {
        if self.is_ratio { self.measured >= self.target } else { self.measured <= self.target }
    }

    /// What was to be reached, in words.
    pub(crate) fn asked(&self) -> String {
        if self.is_ratio { format!("≥ {:.2}x", self.target) } else { format!("≤ {:.2} s/GB", self.target) }
    }

    /// What was reached, in the same words.
    pub(crate) fn reached(&self) -> String {
        if self.is_ratio { format!("{:.2}x", self.measured) } else { format!("{:.2} s/GB", self.measured) }
    }
}

/// What a run says of all targets that it has both sides of.
pub(crate) fn verdicts(record: &Record) -> Vec<Verdict> {
    TARGETS.iter().filter_map(|target| verdict(record, target)).collect()
}

fn verdict(record: &Record, target: &Target) -> Option<Verdict> {
    let own = record.typical(target.row, record.place_of(target.system)?)?;
    let best = |is_meant: &dyn Fn(&Contender) -> bool| {
        let (place, other) = record.best(target.row, is_meant)?;
        Some((record.head.systems[place].name.clone(), own.rate / other.rate))
    };
    let (against, measured) = match target.against {
        Against::BestOf(names) => best(&|system| names.contains(&system.name.as_str()))?,
        Against::BestEncrypted => best(&|system| system.kind == Kind::Peer && system.encrypts)?,
        Against::CpuPerGb => ("CPU".to_owned(), own.cpu_per_gb?),
    };
    let is_ratio = target.against != Against::CpuPerGb;
    Some(Verdict { row: target.row, system: target.system, against, measured, target: target.figure, is_ratio })
}

/// Peers that any target names.
#[cfg(test)]
pub(crate) fn peers_of_targets() -> impl Iterator<Item = &'static str> {
    let names = TARGETS.iter().flat_map(|target| match target.against {
        Against::BestOf(names) => names,
        Against::BestEncrypted | Against::CpuPerGb => &[],
    });
    names.copied().filter(|name| !["disk", "null", "proto"].contains(name))
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::{contender, figure, record};
    use super::*;

    fn run(rates: &[(&str, Kind, bool, f64)]) -> Vec<Verdict> {
        let mut record = record(rates.iter().map(|(name, kind, encrypts, _)| contender(name, *kind, *encrypts)).collect());
        for (place, (.., rate)) in rates.iter().enumerate() {
            record.add("a.seqwrite_1m", place, 0, figure(*rate)).expect("no file");
        }
        verdicts(&record)
    }

    fn said(verdicts: &[Verdict]) -> Vec<(&str, &str, String, bool)> {
        verdicts.iter().map(|v| (v.system, v.against.as_str(), v.reached(), v.is_met())).collect()
    }

    #[test]
    fn a_ratio_is_to_the_best_of_those_that_are_meant() {
        let (peer, weft) = (Kind::Peer, Kind::Weft);
        let verdicts = run(&[
            ("JuiceFS", peer, false, 760.0),
            ("Gluster", peer, false, 600.0),
            ("CephFS", peer, false, 500.0),
            ("Gluster rep2", peer, false, 300.0),
            ("sshfs", peer, true, 250.0),
            ("weft C", weft, true, 780.0),
            ("weft C2", weft, true, 570.0),
        ]);
        let expected = [
            ("weft C", "Gluster", "1.30x", true),
            ("weft C2", "Gluster rep2", "1.90x", false),
            ("weft C", "sshfs", "3.12x", true),
            ("weft C", "CPU", "1.50 s/GB", true),
        ];
        let said = said(&verdicts);
        assert_eq!(said.len(), expected.len(), "{said:?}");
        for (one, (system, against, reached, met)) in said.iter().zip(expected) {
            assert_eq!((one.0, one.1, one.2.as_str(), one.3), (system, against, reached, met));
        }
    }

    #[test]
    fn more_seconds_are_worse() {
        let verdicts = run(&[("weft L", Kind::Weft, true, 780.0), ("disk", Kind::Baseline, false, 780.0)]);
        assert_eq!(said(&verdicts), [("weft L", "CPU", "1.50 s/GB".to_owned(), false)]);
        assert_eq!(verdicts[0].asked(), "≤ 1.20 s/GB");
    }

    #[test]
    fn targets_are_about_rows_that_exist() {
        for target in TARGETS {
            assert!(crate::work::ROWS.iter().any(|row| row.name == target.row), "{target:?}");
            assert!(target.figure > 0.0, "{target:?}");
        }
    }
}
