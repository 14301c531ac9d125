//! What the machine says: processor time, memory, and what others are doing.

use std::fs;
use std::io;
use std::process::Command;
use std::time::{Duration, Instant};

/// Clock ticks of the kernel's accounts in a second: `sysconf(_SC_CLK_TCK)`, which is this on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system seconds of a process, its threads, and the children that it has waited for; 0 once it is gone.
pub(crate) fn cpu_seconds(process: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name stands in brackets and may hold anything.
    let fields = text.rsplit_once(')').map(|(_, fields)| fields.split_whitespace().skip(11).take(4));
    fields.into_iter().flatten().filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND
}

/// Every process of the machine with its parent.
pub(crate) fn parents() -> Vec<(u32, u32)> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let with_parent = ids.filter_map(|id| {
        let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let (_, fields) = text.rsplit_once(')')?;
        Some((id, fields.split_whitespace().nth(1)?.parse().ok()?))
    });
    with_parent.collect()
}

/// Busy seconds of all processors since the machine started.
fn busy_seconds() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<f64> =
        text.lines().next().into_iter().flat_map(str::split_whitespace).skip(1).filter_map(|f| f.parse().ok()).collect();
    // user, nice, system, then idle and iowait, then irq and softirq.
    [0, 1, 2, 5, 6].iter().filter_map(|place| fields.get(*place)).sum::<f64>() / TICKS_PER_SECOND
}

/// Begins to count a process's peak memory anew.
pub(crate) fn forget_peak(process: u32) {
    // Without the right to do so the peak is that of the process's life.
    let _ = fs::write(format!("/proc/{process}/clear_refs"), "5");
}

/// Most memory that a process has had since, in MiB.
pub(crate) fn peak_mib(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// Writes everything to the disk, and drops what the kernel has cached of it.
pub(crate) fn drop_caches() -> io::Result<()> {
    Command::new("sync").status()?;
    fs::write("/proc/sys/vm/drop_caches", "3").map_err(|error| {
        io::Error::new(error.kind(), format!("the kernel's caches cannot be dropped (as root they can): {error}"))
    })
}

/// Has the disk finish what was written, and waits until others leave the processors alone, for so long at most.
pub(crate) fn settle(patience: Duration) -> io::Result<()> {
    Command::new("sync").status()?;
    let until = Instant::now() + patience;
    loop {
        let (before, began) = (busy_seconds(), Instant::now());
        std::thread::sleep(Duration::from_millis(200));
        let busy = (busy_seconds() - before) / began.elapsed().as_secs_f64();
        if busy < 0.2 || Instant::now() >= until {
            return Ok(());
        }
    }
}

/// What was used between two moments.
#[derive(Debug)]
pub(crate) struct Meter {
    processes: Vec<(u32, f64)>,
    busy: f64,
}

/// See [`Meter`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Of the processes that were named.
    pub(crate) cpu_seconds: f64,
    /// Of the whole machine: with the kernel's own threads, and with what others did.
    pub(crate) machine_seconds: f64,
}

impl Meter {
    pub(crate) fn start(processes: &[u32]) -> Self {
        let processes = processes.iter().map(|process| (*process, cpu_seconds(*process))).collect();
        Self { processes, busy: busy_seconds() }
    }

    pub(crate) fn stop(self) -> Usage {
        let machine_seconds = busy_seconds() - self.busy;
        let used = self.processes.iter().map(|(process, before)| (cpu_seconds(*process) - before).max(0.0));
        Usage { cpu_seconds: used.sum(), machine_seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_burns_is_seen() {
        let meter = Meter::start(&[std::process::id()]);
        let (mut sum, before) = (0u64, cpu_seconds(std::process::id()));
        while cpu_seconds(std::process::id()) < before + 0.05 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let usage = meter.stop();
        assert!(usage.cpu_seconds > 0.0 && usage.machine_seconds > 0.0, "{usage:?}");
        assert!(peak_mib(std::process::id()) > 1.0);
    }
}
