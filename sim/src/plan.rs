//! Plan: what is to be simulated.

use std::time::Duration;

use clap::{Parser, ValueEnum};
use gateway::nodes::audits::PER_DAY;
use serde::Serialize;
use types::{Geometry, GeometryName, MIB};

/// Simulates a network of volunteers' computers under the gateway's real decisions, and reports what is lost, what can be read, and what
/// repair costs. The same arguments give the same history.
#[derive(Clone, Debug, Parser, Serialize)]
#[command(name = "sim")]
pub struct Plan {
    /// Computers at a time; who leaves for ever is followed by another.
    #[arg(long, default_value_t = 2000)]
    pub nodes: usize,
    /// How segments are cut: local, home or wide.
    #[arg(long, default_value = "wide")]
    pub geometry: GeometryName,
    /// Try another k than the geometry's.
    #[arg(long)]
    pub k: Option<usize>,
    /// Try another n than the geometry's, at most 128.
    #[arg(long)]
    pub n: Option<usize>,
    /// Try another write quorum than the geometry's.
    #[arg(long)]
    pub w: Option<usize>,
    /// Try another repair threshold than the geometry's.
    #[arg(long)]
    pub r: Option<usize>,
    /// Days to simulate, after two weeks in which nodes are watched and nothing is stored.
    #[arg(long, default_value_t = 365)]
    pub days: u64,
    /// What all chance comes from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Share of the time that the computers are connected, on average over all that have not left.
    #[arg(long, default_value_t = 0.75)]
    pub availability: f64,
    /// Share of the computers that leave for ever in a week.
    #[arg(long, default_value_t = 0.02)]
    pub leave_per_week: f64,
    /// Share of those leaving who say so and stay until they are drained, 30 days at most.
    #[arg(long, default_value_t = 0.25)]
    pub polite: f64,
    /// Share of the computers that throw away part of what they acknowledge.
    #[arg(long, default_value_t = 0.01)]
    pub liars: f64,
    /// How often a year a disk loses a hundredth of its shards; a quarter as often it loses everything.
    #[arg(long, default_value_t = 0.04)]
    pub rot_per_year: f64,
    /// What happens beside everyday life.
    #[arg(long, value_enum, default_value_t = Scenario::Everyday)]
    pub scenario: Scenario,
    /// The day on which it happens, if it is not everyday life. [default: two weeks after most is written, or halfway]
    #[arg(long)]
    pub on_day: Option<u64>,
    /// Segments to store: three quarters evenly over the first days, the rest until the end.
    #[arg(long, default_value_t = 100_000)]
    pub segments: usize,
    /// Days in which three quarters of the segments are written.
    #[arg(long, default_value_t = 14)]
    pub fill_days: u64,
    /// Bytes of a segment. More makes each simulated segment stand for several.
    #[arg(long, default_value_t = 32 * MIB)]
    pub segment_bytes: u64,
    /// Bytes a second that repair reads and writes.
    #[arg(long, default_value_t = 64 * MIB)]
    pub repair_rate: u64,
    /// Days after which a node that is away counts as lost.
    #[arg(long, default_value_t = 7)]
    pub lost_after_days: u64,
    /// Audits of each node in a day; 0: none.
    #[arg(long, default_value_t = PER_DAY)]
    pub audits_per_day: u32,
    /// Groups that are formed at most. Handing their slots over is what a simulation spends most of its time on.
    #[arg(long, default_value_t = 200)]
    pub groups_max: usize,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
    /// Do not tell how far it is.
    #[arg(long)]
    pub quiet: bool,
}

/// What happens beside everyday life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// Nothing.
    Everyday,
    /// A third of all nodes is destroyed at once.
    Third,
    /// Half of all nodes is destroyed at once.
    Half,
    /// The most popular region is cut off for two days, and comes back.
    Blackout,
}

impl Scenario {
    /// The share of all nodes that is destroyed.
    #[must_use]
    pub fn destroyed(self) -> Option<f64> {
        match self {
            Self::Everyday | Self::Blackout => None,
            Self::Third => Some(1.0 / 3.0),
            Self::Half => Some(0.5),
        }
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self::parse_from(["sim"])
    }
}

impl Plan {
    /// The geometry that is tried.
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        let of = self.geometry.geometry();
        Geometry {
            k: self.k.unwrap_or(of.k),
            n: self.n.unwrap_or(of.n),
            w: self.w.unwrap_or(of.w),
            r: self.r.unwrap_or(of.r),
            ..of
        }
    }

    /// Bytes of one shard.
    #[must_use]
    pub fn shard_bytes(&self) -> u64 {
        self.segment_bytes.div_ceil(self.geometry().k.max(1) as u64)
    }

    /// How long a node may be away.
    #[must_use]
    pub fn lost_after(&self) -> Duration {
        Duration::from_secs(self.lost_after_days * 24 * 3600)
    }

    /// The day on which the scenario's event happens.
    #[must_use]
    pub fn event_day(&self) -> u64 {
        self.on_day.unwrap_or((self.fill_days + 14).min(self.days / 2))
    }

    /// Whether it can be simulated.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn check(&self) -> Result<(), String> {
        let Geometry { k, n, w, r, .. } = self.geometry();
        if !(1 <= k && k < w && w <= r && r <= n && n <= 128) {
            return Err(format!(
                "k = {k}, w = {w}, r = {r}, n = {n}: it takes 1 ≤ k < w ≤ r ≤ n ≤ 128"
            ));
        }
        if self.nodes < w {
            return Err(format!("{} nodes are too few for a write quorum of {w}", self.nodes));
        }
        if !(0.05..=0.99).contains(&self.availability) {
            return Err("--availability is a share between 0.05 and 0.99".to_owned());
        }
        let shares = [self.leave_per_week, self.polite, self.liars];
        if shares.iter().any(|share| !(0.0..=1.0).contains(share)) {
            return Err("shares are between 0 and 1".to_owned());
        }
        if !(0.0..=1000.0).contains(&self.rot_per_year) {
            return Err("--rot-per-year is a number of times between 0 and 1000".to_owned());
        }
        if self.days == 0 || self.fill_days == 0 || self.segments == 0 || self.segment_bytes == 0 {
            return Err("there must be days, segments, and bytes in them".to_owned());
        }
        Ok(())
    }
}
