//! What kind of cluster and what kinds of trouble a seed gives.

use super::world::World;
use std::time::Duration;

/// See the module.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Copies of everything.
    pub copies: u8,
    /// Fan-out of trees.
    pub fan_out: u32,
    /// Data providers at the beginning.
    pub data: u64,
    /// Metadata providers at the beginning.
    pub metadata: u64,
    /// Client processes at a time.
    pub clients: u64,
    /// Programs on each.
    pub programs: u64,
    /// How long there is trouble.
    pub trouble: Duration,
    /// Most loss, in millionths of messages.
    pub loss_max: u64,
    /// Most duplication, likewise.
    pub duplication_max: u64,
    /// Most lateness, likewise.
    pub lateness_max: u64,
    /// Whether there are partitions.
    pub partitions: bool,
    /// Whether servers crash.
    pub crashes: bool,
    /// Whether clients crash.
    pub client_crashes: bool,
    /// Whether power fails.
    pub power_losses: bool,
    /// Whether disks fail.
    pub disk_faults: bool,
    /// Whether clocks are wrong.
    pub clock_skew: bool,
    /// Whether providers join on the way.
    pub newcomers: bool,
    /// Whether providers leave and stay away for long.
    pub absences: bool,
    /// Whether all machines lose power at once.
    pub blackouts: bool,
    /// Whether clients copy and restore, so that contents are shared.
    pub sharing: bool,
    /// For how long the volume keeps every version; `None` for ever.
    pub keep_all: Option<Duration>,
}

impl Plan {
    /// The plan of a world's seed.
    #[must_use]
    pub fn draw(world: &World) -> Self {
        let often = || world.chance(600_000);
        let copies = world.between(1, 3);
        // Now and then so calm and for so long that the past is collected beside the work.
        let calm = world.chance(220_000);
        let often = || often() && !calm;
        Self {
            copies: copies as u8,
            fan_out: world.pick(&[2, 4, 32]).copied().unwrap_or(4),
            data: world.between(3, 5),
            metadata: world.between(3, 4),
            clients: world.between(2, 4),
            programs: world.between(1, 2),
            trouble: Duration::from_secs(if calm { 120 } else { world.between(10, 45) }),
            loss_max: world.pick(&[0, 10_000, 50_000, 300_000]).copied().unwrap_or(0),
            duplication_max: world.pick(&[0, 50_000, 300_000]).copied().unwrap_or(0),
            lateness_max: world.pick(&[0, 50_000, 300_000]).copied().unwrap_or(0),
            partitions: often(),
            crashes: often(),
            client_crashes: often(),
            power_losses: often(),
            disk_faults: often(),
            clock_skew: often(),
            newcomers: often(),
            absences: often(),
            blackouts: world.chance(350_000),
            sharing: world.chance(750_000),
            keep_all: world.chance(600_000).then(|| Duration::from_secs(world.between(2, 60))),
        }
    }
}
