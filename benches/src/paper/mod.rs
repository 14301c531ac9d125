//! The paper's experiments: real processes, a network namespace each, on links that are as fast as one says.
//!
//! **Time is scaled, not size.** Two processors cannot carry what 60 machines of the paper wrote to 60 others, so the wire is slowed by a factor
//! that is printed with every figure, and everything else is as it was: the pages, the files' shape, the number of machines.
//! What is compared is a *share of the wire*: bytes of the client in its time, by what plain TCP gets of the same link in the same run. The share that
//! is lost to headers, acknowledgements, metadata, waiting for full queues and providers that several writers drew at once follows from bytes
//! and does not know of the factor.
//!
//! With many clients packets are of 9000 bytes where the paper's were of 1500: what two processors do for a packet is most of their work. TCP is
//! measured with the same packets.
//!
//! What a slowed wire hides: what takes *time* and not bytes looks smaller by the factor: the way of a packet (0.05 ms here, whatever the factor;
//! 0.1 ms on a real rack, which would be 13 ms on a wire 128 times slower), the work of processors and disks. What it overstates: all hosts share
//! this machine's processors, so that each of 181 hosts has `factor · processors / 181` of one in the wire's own time. Hence the load of the processors
//! stands beside each figure: if it is near 100 %, that was the limit and not the wire; and seconds for a GB say what a real machine would need.
//! Time-outs, keep-alives, heartbeats and renewals come in real time, so on a wire that is 128 times slower they weigh 128 times as much.
//! Figures 3a and 3b run with a factor of 2 and packets of 1500 bytes: hardly anything is scaled there.
//!
//! Not as in the paper: the machines have this machine's one disk together (figures are of what is closed, not of what is synced); connections are
//! encrypted; a switch drops what it has no room for (512 KiB a port); and before each measurement the clients have greeted the providers.

mod ceiling;
mod keeper;
mod load;
mod outcome;
mod page;
mod plan;
mod published;
mod testbed;

use crate::about::About;
use crate::machine::Meter;
use keeper::Names;
use load::{Data, Stint};
use outcome::{Outcome, Outcomes};
use plan::{Point, Setting, Size, Trial};
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;
use testbed::{Testbed, nominal_mb_per_second};
use weft_mount_tests::mount::Mount;
use weft_mount_tests::network::check_privilege;

/// Which figures, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// 3a, 3b, 4a, 4b, 5 or all.
    #[arg(long, default_value = "all")]
    figure: String,
    /// An existing folder for what the servers store, up to 4 GB at a time; everything made in it is removed again.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Rounds; medians are printed.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// The same code with few hosts, a second each.
    #[arg(long)]
    small: bool,
    /// Most writers of figure 5. The paper had 360; each of them keeps a hundred connections alive, and two processors do that for about 120.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u16).range(1..=360))]
    writers_max: u16,
    /// Writes every figure of every round to this file, a JSON object on a line.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Writes a page with plots to this file: HTML that needs nothing else.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Takes away what runs that were killed have left behind, and measures nothing.
    #[arg(long)]
    clean: bool,
    /// This is the child of the process with that id, which cleans up behind it.
    #[arg(long, hide = true)]
    kept_by: Option<u32>,
}

/// As long as it takes until plain TCP says what the wire is good for.
const TCP_SECONDS_MAX: f64 = 4.0;

type Outcoming<T> = Result<T, Box<dyn Error>>;

pub(crate) fn run(arguments: &Arguments) -> Outcoming<()> {
    if arguments.clean {
        println!("taken away: what {} killed runs had left", keeper::clean(&arguments.dir)?);
        return Ok(());
    }
    if let Some(keeper) = arguments.kept_by {
        keeper::end_with_keeper()?;
        return experiment(arguments, &Names::of(keeper, &arguments.dir));
    }
    plan::figures(&arguments.figure)?;
    check_privilege(&["ip", "tc", "nsenter"])
        .map_err(|why| format!("{why}; the paper's experiments need iproute2, util-linux and root"))?;
    keeper::check_nothing_left(&arguments.dir)?;
    let id = std::process::id();
    let mut again: Vec<_> = std::env::args_os().skip(1).collect();
    again.extend(["--kept-by".into(), id.to_string().into()]);
    keeper::run_and_clean(&again, &Names::of(id, &arguments.dir))
}

fn experiment(arguments: &Arguments, names: &Names) -> Outcoming<()> {
    let size = if arguments.small { Size::SMALL } else { Size::FULL };
    let settings = plan::settings(&plan::figures(&arguments.figure)?, &size, arguments.writers_max.into());
    let about = About::now(&arguments.dir)
        .setting("rounds", arguments.rounds)
        .setting("most writers", arguments.writers_max)
        .setting("size", if arguments.small { "small" } else { "full" });
    let mut outcomes = Outcomes::new(arguments.json.as_deref())?;
    let data = Data::new();
    for round in 0..arguments.rounds {
        for (number, setting) in settings.iter().enumerate() {
            let prefix = format!("{}-{round}-{number}", names.prefix);
            let Setting { data: data_providers, metadata, clients, .. } = setting;
            eprintln!(
                "round {round}: {data_providers} data and {metadata} metadata providers, {clients} clients are being started"
            );
            let mut bed = Testbed::build(setting, &prefix, &names.folder)?;
            let mut stage = Stage { setting, round, tcp_mb_per_second: 0.0, data: &data };
            stage.tcp_mb_per_second = tcp(&bed, setting.seconds.min(TCP_SECONDS_MAX))?;
            for (number, trial) in setting.trials.iter().enumerate() {
                stage.perform(trial, &format!("trial{number}"), &mut bed, &mut outcomes)?;
            }
        }
    }
    print!("{outcomes}");
    if let Some(path) = &arguments.report {
        let page = page::page(&outcomes, &about)?;
        std::fs::write(path, page).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn tcp(bed: &Testbed, seconds: f64) -> Outcoming<f64> {
    let (from, to) = bed.pair();
    let rate = ceiling::tcp_mb_per_second(&from, &to, Duration::from_secs_f64(seconds));
    Ok(rate.map_err(|error| format!("plain TCP over the wire: {error}"))?)
}

/// What all measurements on one cluster have in common.
struct Stage<'a> {
    setting: &'a Setting,
    round: usize,
    tcp_mb_per_second: f64,
    data: &'a Data,
}

impl Stage<'_> {
    fn perform(&self, trial: &Trial, volume: &str, bed: &mut Testbed, outcomes: &mut Outcomes) -> Outcoming<()> {
        let mut mounts = bed.mount(volume, trial)?;
        let processes: Vec<u32> = mounts.iter_mut().map(|mount| mount.process().id()).collect();
        let paths: Vec<PathBuf> = mounts.iter().map(|mount| mount.path().to_owned()).collect();
        let providers = self.setting.data.max(self.setting.metadata);
        load::greet(&paths, providers, u64::from(trial.page_kib) << 10)?;
        bed.settle(Duration::from_secs_f64(self.setting.seconds))?;
        let mut file = PathBuf::new();
        for (number, point) in trial.writes.iter().enumerate() {
            let name = format!("file{number}");
            let bytes = self.bytes(point, trial);
            let measured =
                self.measure(bed, point, &processes, || load::write(&paths[..point.clients], &name, bytes, self.data))?;
            outcomes.add(self.outcome(point, trial, bytes, &measured))?;
            file = name.into();
        }
        if let (Some(read), Some(written)) = (&trial.read, trial.writes.last()) {
            let bytes = self.bytes(written, trial) * written.clients as u64;
            let reader = paths.last().ok_or("no reader")?;
            let name = file.to_string_lossy();
            let measured = self.measure(bed, read, &processes, || load::read(reader, &name, bytes, self.data))?;
            outcomes.add(self.outcome(read, trial, bytes, &measured))?;
        }
        mounts.into_iter().for_each(Mount::unmount);
        Ok(())
    }

    /// What a client can get of the wire if nothing but headers is lost, in MB/s, where the wire gives `rate`.
    fn fair(&self, rate: f64, clients: usize) -> f64 {
        rate * (self.setting.data as f64 / clients as f64).min(1.0)
    }

    /// What each client writes: whole pages, and whole calls.
    fn bytes(&self, point: &Point, trial: &Trial) -> u64 {
        let wanted = self.setting.seconds * self.fair(self.tcp_mb_per_second, point.clients) * 1e6;
        (wanted as u64).next_multiple_of((u64::from(trial.page_kib) << 10).max(load::CALL_BYTES))
    }

    fn measure(
        &self,
        bed: &Testbed,
        point: &Point,
        mounts: &[u32],
        work: impl FnOnce() -> std::io::Result<Vec<Stint>>,
    ) -> Outcoming<Measured> {
        let processes = [&bed.servers(), mounts, &[std::process::id()]].concat();
        let (before, meter) = (bed.traffic(point.clients)?, Meter::start(&processes));
        let stints = work()?;
        let usage = meter.stop();
        let after = bed.traffic(point.clients)?;
        let from = stints.iter().map(|stint| stint.began).fold(f64::MAX, f64::min);
        let lasted = stints.iter().map(|stint| stint.ended).fold(0.0, f64::max) - from;
        let processors = std::thread::available_parallelism()?.get() as f64;
        Ok(Measured {
            seconds: stints.iter().map(Stint::seconds).sum::<f64>() / stints.len() as f64,
            seconds_max: stints.iter().map(Stint::seconds).fold(0.0, f64::max),
            machine_load: usage.machine_seconds / lasted / processors,
            cpu_seconds: usage.cpu_seconds,
            wire_bytes: after.bytes - before.bytes,
            packets: after.packets - before.packets,
            dropped: after.dropped - before.dropped,
        })
    }

    fn outcome(&self, point: &Point, trial: &Trial, bytes: u64, measured: &Measured) -> Outcome {
        let all_bytes = (bytes * point.clients as u64) as f64;
        let Setting { factor, mtu, .. } = *self.setting;
        Outcome {
            figure: point.figure.number(),
            of: point.figure,
            round: self.round,
            x: point.x,
            page_kib: trial.page_kib,
            fan_out: trial.fan_out,
            clients: point.clients,
            data_providers: self.setting.data,
            metadata_providers: self.setting.metadata,
            co_deployed: self.setting.co_deployed,
            factor,
            mtu,
            bytes,
            seconds: measured.seconds,
            seconds_max: measured.seconds_max,
            tcp_mb_per_second: self.tcp_mb_per_second,
            fair_mb_per_second: self.fair(self.tcp_mb_per_second, point.clients),
            nominal_mb_per_second: self.fair(nominal_mb_per_second(factor), point.clients),
            machine_load: measured.machine_load,
            cpu_seconds_per_gb: measured.cpu_seconds / (all_bytes / 1e9),
            wire_bytes_per_byte: measured.wire_bytes as f64 / all_bytes,
            packet_bytes: measured.wire_bytes as f64 / measured.packets as f64,
            dropped: measured.dropped,
        }
    }
}

/// What was seen while clients worked.
struct Measured {
    seconds: f64,
    seconds_max: f64,
    machine_load: f64,
    cpu_seconds: f64,
    wire_bytes: u64,
    packets: u64,
    dropped: u64,
}
