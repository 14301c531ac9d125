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
    /// Every pair of updates, and a choice of triples; the ways of the manager with one update: a minute.
    Small,
    /// Every triple of updates with late writers, and with versions that go; every pair with all faults at once; the ways of
    /// the manager with every update and pair. Ordered so that what is cheap comes first.
    Large,
}

/// The setups of a size. All writers are alike, so only the set of what they do matters.
pub fn setups(size: Size) -> Vec<Setup> {
    let mut setups = Vec::new();
    for fan_out in FAN_OUTS {
        setups.extend(managed(fan_out, size));
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
                        setups.push(Setup { drops: 1, has_helper: true, ..triple.clone() });
                        // What the manager decides does not depend on the fan-out: one of them.
                        let is_even = (first + second + third as usize).is_multiple_of(2);
                        setups.extend((is_even == (fan_out == FAN_OUTS[0])).then_some(Setup { thins: 2, ..triple }));
                    } else if is_chosen {
                        setups.push(triple);
                    }
                }
            }
        }
    }
    setups.sort_by_key(|setup| (setup.writers.len(), setup.thins, setup.readers));
    setups
}

/// From thinned versions to collected ones.
fn managed(fan_out: u32, size: Size) -> Vec<Setup> {
    use Choice::{Append, Compact, Page, Rewrite};
    let of = |writers: &[Choice]| Setup { thins: 1, ..Setup::new(fan_out, writers) };
    let reading = |writers: &[Choice]| Setup { readers: 1, ..of(writers) };
    let cloned = |writers: &[Choice]| Setup { thins: 2, clones: 1, unlinks: 2, ..of(writers) };
    let network = Setup { repeats: 2, restarts: 1, lapses: 1, ..reading(&[]) };
    let is_first = fan_out == FAN_OUTS[0];
    let mut setups = vec![cloned(&[])];
    if size == Size::Small {
        let writer = if is_first { Page } else { Compact };
        setups.push(Setup { repeats: 1, renewals: 3, ..network });
        setups.push(Setup { has_helper: true, lapses: 1, thins: 2, ..of(&[writer]) });
        setups.push(Setup { opens_newest: true, ..reading(&[writer]) });
        setups.push(Setup { unlinks: 1, is_restored: !is_first, thins: 1, ..cloned(&[Rewrite]) });
        setups.push(Setup { has_helper: true, repeats: 1, ..of(&[writer, Append]) });
        return setups;
    }
    if !is_first {
        return setups;
    }
    setups.push(network);
    for (place, one) in Choice::ALL.into_iter().enumerate() {
        let newest = Setup { opens_newest: true, ..reading(&[one]) };
        setups.extend([Setup { thins: 2, opens: 2, ..newest.clone() }, Setup { repeats: 1, renewals: 3, ..newest }]);
        setups.push(Setup { has_helper: true, repeats: 1, lapses: 1, thins: 2, ..of(&[one]) });
        setups.extend([cloned(&[one]), Setup { is_restored: true, ..cloned(&[one]) }]);
        for other in Choice::ALL.into_iter().skip(place) {
            setups.push(Setup { thins: 2, has_helper: true, repeats: 1, ..of(&[one, other]) });
            setups.push(Setup { renewals: 3, ..reading(&[one, other]) });
        }
    }
    setups.push(Setup { readers: 2, renewals: 3, ..of(&[]) });
    setups.push(Setup { readers: 1, renewals: 3, thins: 1, unlinks: 1, ..cloned(&[]) });
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
    vec![Setup { repeats: 2, ..network }, Setup { drops: 3, ..cloned }, Setup { drops: 2, ..late }, all]
}

/// Explores all of them, on so many threads.
///
/// # Errors
/// The first violation that is found.
pub fn explore_all(
    setups: &[Setup],
    threads: usize,
    states_max: u64,
    progress: &(dyn Fn(usize, &Setup, &Explored) + Sync),
) -> Result<Explored, Box<Failure>> {
    let (next, total) = (AtomicUsize::new(0), Mutex::new(Ok(Explored::default())));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(setup) = setups.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let explored = explore(setup, states_max);
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
    let thinned = Setup { fault, thins: 1, ..Setup::new(2, &[]) };
    let reading = Setup { readers: 1, writers: vec![Page], ..thinned.clone() };
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
        Fault::PurgesWhatIsRead
        | Fault::WaitsForOneRenewal
        | Fault::ListsContentsFirst
        | Fault::AsksWithoutHolding
        | Fault::LetsGoFirst
        | Fault::CollectsWhatIsRead => reading,
        Fault::BelievesRepeatedRenewals => Setup { repeats: 1, ..reading },
        Fault::ForgetsOperations => Setup { opens_newest: true, ..reading },
        Fault::LosesMarks | Fault::ThinsItsNeighbour | Fault::ForgetsEarly => thinned,
        Fault::ForgetsPins => Setup { thins: 2, clones: 1, unlinks: 1, ..thinned },
    }
}
