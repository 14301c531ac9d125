//! A run as text for a terminal.

use super::figure::{Typical, median};
use super::record::{Contender, Kind, Record};
use super::targets::verdicts;
use std::fmt;

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<24}", "medians; MB/s or op/s")?;
        for system in &self.head.systems {
            write!(f, " {:>22}", system.name)?;
        }
        writeln!(f)?;
        for row in &self.rows {
            write!(f, "{row:<24}")?;
            for system in 0..self.head.systems.len() {
                let typical = self.typical(row, system);
                let rate = typical.map_or("-".to_owned(), |typical| format!("{:.0}", typical.rate));
                write!(f, " {rate:>9} {:>12}", typical.map(aside).unwrap_or_default())?;
            }
            writeln!(f)?;
        }
        write!(f, "{:<24}", "peak memory, MiB")?;
        for system in 0..self.head.systems.len() {
            write!(f, " {:>9.0} {:>12}", self.memory_mib(system), "")?;
        }
        writeln!(f)?;
        writeln!(f, "in brackets: CPU seconds for a GB, of all processes; or the latency of an operation, median and 99 of 100")?;
        writeln!(f, "peak memory: of the process that had most, in any row")?;
        if !self.page_calls.is_empty() {
            let rate = |which: usize| median(self.page_calls.iter().map(|rates| rates[which]));
            let (written, read) = (rate(0), rate(1));
            writeln!(f, "page calls of 1 MiB over QUIC without a filesystem: {written:.0} MB/s written, {read:.0} MB/s read")?;
        }
        if self.has_peers() {
            self.write_ratios(f)?;
        }
        self.write_verdicts(f)
    }
}

fn aside(typical: Typical) -> String {
    match (typical.cpu_per_gb, typical.usual_and_rare()) {
        (Some(cpu), _) => format!("({cpu:.2} s/GB)"),
        (None, Some((usual, rare))) => format!("({usual:.0}/{rare:.0} us)"),
        (None, None) => String::new(),
    }
}

impl Record {
    /// Ratios of every shape of WeftFS to the best peer and to the best that encrypts.
    fn write_ratios(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wefts: Vec<usize> =
            (0..self.head.systems.len()).filter(|place| self.head.systems[*place].kind == Kind::Weft).collect();
        if wefts.is_empty() {
            return Ok(());
        }
        for encrypted in [false, true] {
            let is_meant = |system: &Contender| system.kind == Kind::Peer && (system.encrypts || !encrypted);
            if !self.head.systems.iter().any(is_meant) {
                continue;
            }
            let what = if encrypted { "ratio to the best that encrypts" } else { "ratio to the best peer" };
            write!(f, "\n{what:<40}")?;
            wefts.iter().try_for_each(|place| write!(f, "{:>9}", self.head.systems[*place].name))?;
            writeln!(f)?;
            for row in &self.rows {
                let Some((peer, best)) = self.best(row, is_meant) else { continue };
                write!(f, "{row:<24} {:<15}", self.head.systems[peer].name)?;
                for place in &wefts {
                    let ratio = self.typical(row, *place).map(|own| own.rate / best.rate);
                    write!(f, "{:>9}", ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}")))?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }

    fn write_verdicts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdicts = verdicts(self);
        if verdicts.is_empty() {
            return Ok(());
        }
        let met = verdicts.iter().filter(|verdict| verdict.is_met()).count();
        writeln!(f, "\ntargets: {met} of {} met", verdicts.len())?;
        for verdict in verdicts {
            let word = if verdict.is_met() { "met" } else { "NOT met" };
            let (reached, asked) = (verdict.reached(), verdict.asked());
            writeln!(f, "{:<24} {:<8} {:<15} {reached:>10}   {asked:<12} {word}", verdict.row, verdict.system, verdict.against)?;
        }
        Ok(())
    }
}
