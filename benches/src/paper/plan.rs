//! Which clusters are built, and what is measured on each.

use serde::Serialize;
use std::fmt;

/// A figure of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Figure {
    /// 3a: one writer, by the number of data providers.
    IsolatedWrite,
    /// 3b: one reader of the same.
    IsolatedRead,
    /// 4a: many writers, by the number of metadata providers; everybody has a machine of their own.
    Apart,
    /// 4b: the same with each writer on a data provider's machine.
    CoDeployed,
    /// 5: by the number of writers.
    Writers,
}

impl Figure {
    pub(crate) const ALL: [Self; 5] = [Self::IsolatedWrite, Self::IsolatedRead, Self::Apart, Self::CoDeployed, Self::Writers];

    /// Its number in the paper.
    pub(crate) fn number(self) -> &'static str {
        match self {
            Self::IsolatedWrite => "3a",
            Self::IsolatedRead => "3b",
            Self::Apart => "4a",
            Self::CoDeployed => "4b",
            Self::Writers => "5",
        }
    }

    /// What is measured.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::IsolatedWrite => "one writer, nobody else",
            Self::IsolatedRead => "one reader, nobody else",
            Self::Apart => "many writers of one file, central and spread metadata, machines of their own",
            Self::CoDeployed => "the same, each writer on a data provider's machine",
            Self::Writers => "up to 360 writers of one file",
        }
    }

    /// What is varied.
    pub(crate) fn axis(self) -> &'static str {
        match self {
            Self::IsolatedWrite | Self::IsolatedRead => "data providers",
            Self::Apart | Self::CoDeployed => "metadata providers",
            Self::Writers => "writers",
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "figure {}: {}", self.number(), self.title())
    }
}

/// How large an experiment is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// How many data providers figure 3 is measured with.
    data: &'static [usize],
    /// How many metadata providers figure 4 is measured with.
    metadata: &'static [usize],
    /// How many writers figure 5 is measured with.
    writers: &'static [usize],
    /// How many data providers, and writers in figure 4, there are where their number is not varied.
    many: usize,
    /// How much slower than 1 Gbit/s the wire is, and bytes of its IP packets: for one client, and for many.
    wires: [(u32, u32); 2],
    /// How long a client would take if it had the wire for itself, or many their share of it; the former, and the latter.
    seconds: [f64; 2],
}

impl Size {
    /// The paper's. Two processors carry one client on a wire of half the speed, and of 60 links a 128th, in packets of 9000 bytes: a sixth of
    /// the work.
    pub(crate) const FULL: Self = Self {
        data: &[1, 4, 15, 60],
        metadata: &[1, 15, 60],
        writers: &[1, 15, 30, 60, 120, 240, 360],
        many: 60,
        wires: [(2, 1500), (128, 9000)],
        seconds: [6.0, 20.0],
    };
    /// The same code in half a minute.
    pub(crate) const SMALL: Self =
        Self { data: &[4], metadata: &[1, 4], writers: &[1, 4, 8], many: 4, wires: [(4, 1500), (16, 9000)], seconds: [1.0, 1.0] };
}

/// One cluster, and the hosts that it is spread over.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) data: usize,
    pub(crate) metadata: usize,
    /// Hosts that write and read.
    pub(crate) clients: usize,
    /// The clients have no hosts of their own but sit on the data providers'.
    pub(crate) co_deployed: bool,
    /// How much slower than 1 Gbit/s every wire is.
    pub(crate) factor: u32,
    /// Bytes of the largest IP packet.
    pub(crate) mtu: u32,
    /// How long a client would take that gets all that it can.
    pub(crate) seconds: f64,
    pub(crate) trials: Vec<Trial>,
}

/// What is measured on one volume.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) page_kib: u32,
    pub(crate) fan_out: u32,
    /// Writes, one after the other; writers are the first so many clients.
    pub(crate) writes: Vec<Point>,
    /// The last write is read again, by a mount that has not seen it.
    pub(crate) read: Option<Point>,
}

/// A place in a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) figure: Figure,
    pub(crate) x: u64,
    pub(crate) clients: usize,
}

const FAN_OUTS: [u32; 2] = [2, 32];
const PAGES_KIB: [u32; 2] = [64, 1024];

fn trials(pages: &[u32], writes: &[Point], read: Option<Point>) -> Vec<Trial> {
    let shapes = pages.iter().flat_map(|page_kib| FAN_OUTS.map(|fan_out| (*page_kib, fan_out)));
    shapes.map(|(page_kib, fan_out)| Trial { page_kib, fan_out, writes: writes.to_vec(), read }).collect()
}

fn setting(
    [data, metadata, clients]: [usize; 3],
    co_deployed: bool,
    (factor, mtu, seconds): (u32, u32, f64),
    trials: Vec<Trial>,
) -> Setting {
    Setting { data, metadata, clients, co_deployed, factor, mtu, seconds, trials }
}

/// Everything that these figures need.
///
/// Figure 5 is measured with `writers_max` writers at most.
pub(crate) fn settings(figures: &[Figure], size: &Size, writers_max: usize) -> Vec<Setting> {
    let [alone, crowded] = [0, 1].map(|kind| (size.wires[kind].0, size.wires[kind].1, size.seconds[kind]));
    let is_asked = |figure| figures.contains(&figure);
    let mut settings = Vec::new();
    if is_asked(Figure::IsolatedWrite) || is_asked(Figure::IsolatedRead) {
        for &data in size.data {
            let point = |figure| Point { figure, x: data as u64, clients: 1 };
            let read = is_asked(Figure::IsolatedRead).then(|| point(Figure::IsolatedRead));
            let trials = trials(&PAGES_KIB, &[point(Figure::IsolatedWrite)], read);
            // One more client, for the reader must not have seen what it reads.
            settings.push(setting([data, data, 2], false, alone, trials));
        }
    }
    for figure in [Figure::Apart, Figure::CoDeployed].into_iter().filter(|figure| is_asked(*figure)) {
        for &metadata in size.metadata {
            let trials = trials(&PAGES_KIB[..1], &[Point { figure, x: metadata as u64, clients: size.many }], None);
            settings.push(setting([size.many, metadata, size.many], figure == Figure::CoDeployed, crowded, trials));
        }
    }
    if is_asked(Figure::Writers) {
        let point = |&clients: &usize| Point { figure: Figure::Writers, x: clients as u64, clients };
        let writes: Vec<Point> = size.writers.iter().filter(|writers| **writers <= writers_max).map(point).collect();
        let clients = writes.iter().map(|write| write.clients).max().unwrap_or(1);
        let trials = trials(&PAGES_KIB, &writes, None);
        settings.push(setting([size.many, size.many, clients], false, crowded, trials));
    }
    settings
}

/// The figures that a word on the command line means.
pub(crate) fn figures(word: &str) -> Result<Vec<Figure>, String> {
    if word == "all" {
        return Ok(Figure::ALL.to_vec());
    }
    let figure = Figure::ALL.into_iter().find(|figure| figure.number() == word);
    figure.map(|figure| vec![figure]).ok_or_else(|| format!("there is no figure {word:?}; there are 3a, 3b, 4a, 4b, 5 and all"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_that_is_asked_for_is_measured_and_no_other() {
        for figure in Figure::ALL {
            let chosen = figures(figure.number()).expect("a figure");
            let settings = settings(&chosen, &Size::FULL, 360);
            let trials = settings.iter().flat_map(|setting| &setting.trials);
            let points: Vec<Figure> = trials
                .flat_map(|trial| trial.writes.iter().chain(&trial.read))
                .map(|point| point.figure)
                // What is read has to be written first.
                .filter(|measured| (figure, *measured) != (Figure::IsolatedRead, Figure::IsolatedWrite))
                .collect();
            assert!(!points.is_empty() && points.iter().all(|measured| *measured == figure), "{figure}: {points:?}");
        }
        assert!(figures("6").is_err_and(|why| why.contains("\"6\"")));
    }

    #[test]
    fn nobody_writes_who_has_no_host() {
        for setting in settings(&Figure::ALL, &Size::FULL, 360) {
            for point in setting.trials.iter().flat_map(|trial| trial.writes.iter().chain(&trial.read)) {
                assert!(point.clients <= setting.clients, "{point:?}");
                assert!(!setting.co_deployed || setting.clients <= setting.data);
            }
        }
    }

    #[test]
    fn no_more_writers_than_were_allowed() {
        let settings = settings(&[Figure::Writers], &Size::FULL, 100);
        let writers: Vec<usize> = settings[0].trials[0].writes.iter().map(|point| point.clients).collect();
        assert_eq!((writers, settings[0].clients), (vec![1, 15, 30, 60], 60));
    }
}
