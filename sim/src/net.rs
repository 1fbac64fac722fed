//! Net: volunteers' lines. At event level a line is how fast it is and how often an answer over it comes too late.

use crate::chance::Chance;

/// A line.
#[derive(Clone, Debug)]
pub struct Link {
    /// Bytes a second from the node.
    pub up: f64,
    /// Bytes a second to the node.
    pub down: f64,
    /// The chance that an answer comes too late.
    pub late: f64,
    /// The chance that a write outruns it, so that its shard is missed.
    pub outrun: f64,
}

/// Bytes a second in a Mbit/s.
const MBIT: f64 = 125_000.0;
/// Before the first byte of an answer, in seconds: two turns across an ocean and a disk.
const FIRST_BYTE: f64 = 0.3;
/// Segments that repair has under way at a time (`upkeep/repair.rs`).
const LANES: f64 = 2.0;
/// What repair takes of a volunteer's line at most: its owner wants to use it, too.
const SHARE: f64 = 0.25;

/// Kinds of lines and how many of a hundred have them: Mbit/s up, down; chance to be late, to be outrun.
const KINDS: [(f64, [f64; 4]); 4] = [
    (40.0, [100.0, 300.0, 0.000_2, 0.001]),
    (35.0, [20.0, 100.0, 0.000_5, 0.005]),
    (20.0, [8.0, 40.0, 0.003, 0.03]),
    // Down in the cellar, behind two walls, or over a phone.
    (5.0, [1.0, 6.0, 0.35, 0.5]),
];

impl Link {
    /// Somebody's.
    pub fn draw(chance: &mut Chance) -> Self {
        let [up, down, late, outrun] =
            chance.pick(&KINDS).copied().unwrap_or([20.0, 100.0, 0.0, 0.0]);
        // No two lines are alike: a factor of two either way is common.
        let factor = (chance.normal() * 0.4).exp();
        Self { up: up * MBIT * factor, down: down * MBIT * factor, late, outrun }
    }

    /// Bytes that repair may bring over it in so many seconds.
    #[must_use]
    pub fn takes(&self, seconds: f64) -> f64 {
        self.down * SHARE * seconds
    }
}

/// Segments that repair can gather in so many seconds, if a shard of `shard` bytes comes over a line that sends `up` bytes a second.
#[must_use]
pub fn gathers(seconds: f64, shard: f64, up: f64) -> f64 {
    LANES * seconds / (FIRST_BYTE + shard / up.max(1.0))
}
