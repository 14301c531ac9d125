//! What is explored, at which size.

use super::faults::Fault;
use super::menu::Choice;
use super::search::{Explored, Failure, explore};
use super::world::Setup;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const FAN_OUTS: [u32; 2] = [2, 4];

/// How much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Every pair of updates, and a choice of triples: a minute on two cores.
    Small,
    /// Every triple of updates without faults and every pair with all of them: some hours.
    Large,
}

/// The setups of a size. All writers are alike, so only the set of what they do matters.
pub fn setups(size: Size) -> Vec<Setup> {
    let mut setups = Vec::new();
    for fan_out in FAN_OUTS {
        for (first, one) in Choice::ALL.into_iter().enumerate() {
            for (second, other) in Choice::ALL.into_iter().enumerate().skip(first) {
                let pair = Setup::new(fan_out, &[one, other]);
                setups.extend(pairs(&pair, size));
                for third in Choice::ALL.into_iter().skip(second) {
                    let triple = Setup::new(fan_out, &[one, other, third]);
                    // A quarter of the triples for each fan-out, other ones for either.
                    let is_chosen = (first + second + third as usize + fan_out as usize / 2).is_multiple_of(4);
                    if size == Size::Large {
                        setups.push(Setup { parts: 2, has_helper: true, ..triple.clone() });
                        setups.push(Setup { drops: 2, has_helper: true, ..triple });
                    } else if is_chosen {
                        setups.push(triple);
                    }
                }
            }
        }
    }
    setups
}

fn pairs(pair: &Setup, size: Size) -> Vec<Setup> {
    let late = Setup { parts: 2, has_helper: true, ..pair.clone() };
    let network = Setup { has_helper: true, repeats: 1, lapses: 1, ..pair.clone() };
    let collected = Setup { drops: 2, has_helper: true, ..pair.clone() };
    let cloned = Setup { drops: 2, is_restored: true, ..pair.clone() };
    if size == Size::Small {
        return vec![late, network, collected, cloned];
    }
    let all = Setup { parts: 2, has_helper: true, repeats: 1, lapses: 1, drops: 2, is_restored: true, ..pair.clone() };
    vec![Setup { repeats: 2, ..network }, Setup { drops: 3, ..cloned }, all]
}

/// Explores all of them, on so many threads.
///
/// # Errors
/// The first violation that is found.
pub fn explore_all(
    setups: &[Setup],
    threads: usize,
    progress: &(dyn Fn(usize, &Setup, &Explored) + Sync),
) -> Result<Explored, Box<Failure>> {
    let (next, total) = (AtomicUsize::new(0), Mutex::new(Ok(Explored::default())));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(setup) = setups.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let explored = explore(setup);
                    let mut total = total.lock().unwrap();
                    match (&mut *total, explored) {
                        (Ok(total), Ok(explored)) => {
                            total.add(&explored);
                            progress(next.load(Ordering::Relaxed), setup, &explored);
                        }
                        (total @ Ok(_), Err(failure)) => *total = Err(failure),
                        (Err(_), _) => return,
                    }
                }
            });
        }
    });
    total.into_inner().unwrap()
}

/// The smallest setup in which a planted bug shows.
pub fn setup_for(fault: Fault) -> Setup {
    use Choice::{Append, Compact, Cut, Extents, Page, Punch};
    let pair = |one, other| Setup { fault, ..Setup::new(2, &[one, other]) };
    let collected = Setup { drops: 2, ..pair(Page, Append) };
    match fault {
        Fault::None | Fault::PublishesOutOfOrder => pair(Page, Cut),
        Fault::AppendsToThePublished => pair(Append, Append),
        Fault::CompactsAnyway => pair(Compact, Extents),
        Fault::CompactsAnotherBlob => Setup { fault, is_restored: true, ..Setup::new(2, &[Compact, Page, Page]) },
        Fault::ForgetsRequests => Setup { repeats: 1, ..pair(Page, Punch) },
        Fault::KeepsObjectsOfALapsedSession | Fault::FreesOrphansEarly | Fault::FreesWhatTheLogNames => {
            Setup { lapses: 1, ..pair(Page, Extents) }
        }
        Fault::CommitsEarly => Setup { parts: 2, ..pair(Page, Extents) },
        Fault::HelperForgetsWhatIsInFlight => Setup { has_helper: true, ..pair(Page, Extents) },
        Fault::IgnoresPins => Setup { is_restored: true, ..collected },
        Fault::IgnoresLateWriters => Setup { has_helper: true, ..collected },
        Fault::DropsTheHead | Fault::IgnoresNewer | Fault::IgnoresOlder => collected,
    }
}
