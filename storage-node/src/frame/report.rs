//! The whole frame at one moment, as `drystone-node frame show`, `status`, `status.sock` and the local page show it: each limit as it is
//! set and as it holds now, the rule that made it so, and the live use beside it.

use std::fmt;

use serde::{Deserialize, Serialize};
use types::{ByteSize, Timestamp};

/// The frame and its use.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FrameReport {
    /// When this was true.
    pub at: Timestamp,
    /// Every limit, always in the order of [`Limit::ALL`].
    pub limits: Vec<LimitReport>,
    /// Whether the node takes requests from the network now.
    pub network: Permission,
    /// Whether the node may compute now.
    pub compute: Permission,
    /// The weekly hours of the network.
    pub network_hours: HoursReport,
    /// The weekly hours of computing.
    pub compute_hours: HoursReport,
    /// The month's traffic.
    pub month: MonthReport,
    /// The owner's pause, if there is one.
    pub pause: Option<PauseReport>,
    /// What the node sees of the machine.
    pub machine: MachineReport,
    /// Requests answered with "busy" since the start, for any limit of the frame.
    pub turned_away: u64,
    /// How often a limit was overstepped since the start, by the node's own measure. Anything but 0 is a defect.
    pub violations: u64,
    /// Why the last change of `node.toml` was not taken, if it was not: the frame before it still holds.
    pub trouble: Option<String>,
}

/// One limit: as it is set, as it holds, and what is used of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LimitReport {
    /// Which.
    pub limit: Limit,
    /// What its numbers count.
    pub unit: Unit,
    /// What `node.toml` or a flag says for all times; `None`: nothing.
    pub configured: Option<u64>,
    /// What holds now: the strictest of all rules that apply; `None`: no limit.
    pub effective: Option<u64>,
    /// The rule that made it so.
    pub why: Why,
    /// What is used now: of rates, the average of the last five seconds.
    pub live: u64,
    /// How often it was overstepped since the start.
    pub violations: u64,
}

/// A limit of the frame that is a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// Disk space lent: the whole data folder.
    Disk,
    /// What must stay free on the file system. Live: what is free.
    MinFree,
    /// Sending, with every header down to the Ethernet frame's.
    Up,
    /// Receiving, likewise.
    Down,
    /// Both directions together since the month began.
    Month,
    /// The share of the month that today may take.
    Today,
    /// Memory of the process.
    Memory,
    /// Processor time of the process, as a share of [`Limit::Cores`].
    Cpu,
    /// Processors used at a time.
    Cores,
    /// Reading for the scrub.
    Scrub,
}

/// What a number counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Bits per second on the wire.
    BitsPerSecond,
    /// Bytes per second.
    BytesPerSecond,
    /// Hundredths.
    Percent,
    /// Pieces.
    Count,
}

/// Which rule made a limit what it is: the strictest of those that apply.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Nobody set it.
    Default,
    /// `node.toml`, or a flag or variable in its place.
    Set,
    /// The value for while the machine is in use.
    InUse,
    /// The value for while the machine is idle.
    Idle,
    /// The machine has no more.
    Machine,
    /// The month's bytes, spread over its days.
    Month,
    /// Outside the weekly hours.
    Hours,
    /// The owner paused the node.
    Pause,
    /// The machine runs on its battery.
    Battery,
    /// The owner turned it off.
    Off,
}

/// Whether something may happen now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Permission {
    /// Whether it may.
    pub allowed: bool,
    /// The rule that forbids it, or [`Why::Default`].
    pub why: Why,
    /// When it will be allowed again, as far as that is known.
    pub until: Option<Timestamp>,
}

/// Weekly hours.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HoursReport {
    /// As they are written in `node.toml`, such as `mon-fri 18:00-09:00`.
    pub hours: String,
    /// Whether now is one of them.
    pub open: bool,
    /// When that changes; `None`: never.
    pub changes: Option<Timestamp>,
}

/// The month's traffic.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MonthReport {
    /// Bytes allowed; `None`: no limit.
    pub limit: Option<u64>,
    /// Bytes moved since the month began, both directions, headers included. Never less than the truth, even after a crash.
    pub used: u64,
    /// Bytes that today may take in all; `None`: no limit.
    pub today_limit: Option<u64>,
    /// Bytes moved today.
    pub today_used: u64,
    /// When the month began.
    pub began: Timestamp,
    /// When the next one begins.
    pub ends: Timestamp,
}

/// The owner's pause.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PauseReport {
    /// When it ends by itself; `None`: when the owner says `resume`.
    pub until: Option<Timestamp>,
}

/// What the node sees of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MachineReport {
    /// Whether somebody uses it, or other programs do.
    pub in_use: bool,
    /// Seconds since the last input that could be seen; `None`: nothing tells.
    pub input_seconds_ago: Option<u64>,
    /// Processor time of other programs in the last half minute, in hundredths of the machine.
    pub other_load_percent: u64,
    /// Whether it runs on its battery; `None`: it has none, or nothing tells.
    pub on_battery: Option<bool>,
    /// The machine's memory in bytes.
    pub memory: u64,
    /// Its processors.
    pub cores: u64,
}

impl FrameReport {
    /// What it says of one limit.
    #[must_use]
    pub fn limit(&self, limit: Limit) -> Option<&LimitReport> {
        self.limits.iter().find(|report| report.limit == limit)
    }
}

impl Limit {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 10] = [
        Self::Disk,
        Self::MinFree,
        Self::Up,
        Self::Down,
        Self::Month,
        Self::Today,
        Self::Memory,
        Self::Cpu,
        Self::Cores,
        Self::Scrub,
    ];

    /// What its numbers count.
    #[must_use]
    pub const fn unit(self) -> Unit {
        match self {
            Self::Disk | Self::MinFree | Self::Month | Self::Today | Self::Memory => Unit::Bytes,
            Self::Up | Self::Down => Unit::BitsPerSecond,
            Self::Scrub => Unit::BytesPerSecond,
            Self::Cpu => Unit::Percent,
            Self::Cores => Unit::Count,
        }
    }
}

impl Unit {
    /// A number of this unit for people, rounded to three digits.
    #[must_use]
    pub fn show(self, number: u64) -> String {
        match self {
            Self::Bytes => size(number),
            Self::BytesPerSecond => format!("{}/s", size(number)),
            Self::BitsPerSecond => format!("{}bit/s", rounded(number)),
            Self::Percent => format!("{number} %"),
            Self::Count => number.to_string(),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disk => "disk",
            Self::MinFree => "disk kept free",
            Self::Up => "up",
            Self::Down => "down",
            Self::Month => "this month",
            Self::Today => "today",
            Self::Memory => "memory",
            Self::Cpu => "processor share",
            Self::Cores => "processors",
            Self::Scrub => "scrub",
        })
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "not limited",
            Self::Set => "set by the owner",
            Self::InUse => "the machine is in use",
            Self::Idle => "the machine is idle",
            Self::Machine => "the machine has no more",
            Self::Month => "the month's bytes are spread over its days",
            Self::Hours => "outside the weekly hours",
            Self::Pause => "paused by the owner",
            Self::Battery => "on battery",
            Self::Off => "turned off by the owner",
        })
    }
}

/// Exact if it is short to write, else three digits.
fn size(bytes: u64) -> String {
    let exact = ByteSize(bytes).to_string();
    if exact.len() <= 7 { exact } else { format!("{}B", rounded(bytes)) }
}

/// Three digits and a decimal prefix.
fn rounded(number: u64) -> String {
    let steps = [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    let Some((step, prefix)) = steps.into_iter().find(|(step, _)| number >= *step) else {
        return number.to_string();
    };
    let value = number as f64 / step as f64;
    match value {
        100.0.. => format!("{value:.0}{prefix}"),
        10.0.. => format!("{value:.1}{prefix}"),
        _ => format!("{value:.2}{prefix}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_in_their_unit_and_short() {
        assert_eq!(Unit::Bytes.show(50_000_000_000), "50GB");
        assert_eq!(Unit::Bytes.show(64 << 20), "64MiB");
        assert_eq!(Unit::Bytes.show(123_456_789), "123MB");
        assert_eq!(Unit::BitsPerSecond.show(20_000_000), "20.0Mbit/s");
        assert_eq!(Unit::BitsPerSecond.show(999), "999bit/s");
        assert_eq!(Unit::BytesPerSecond.show(4 << 20), "4MiB/s");
        assert_eq!(Unit::Percent.show(50), "50 %");
    }

    #[test]
    fn names_in_json_are_stable_because_scripts_and_the_page_read_them() {
        let names: Vec<_> =
            Limit::ALL.iter().map(|limit| serde_json::to_string(limit).unwrap()).collect();
        assert_eq!(
            names.join(" "),
            r#""disk" "min-free" "up" "down" "month" "today" "memory" "cpu" "cores" "scrub""#
        );
        assert_eq!(serde_json::to_string(&Why::InUse).unwrap(), r#""in-use""#);
        assert_eq!(serde_json::to_string(&Unit::BitsPerSecond).unwrap(), r#""bits-per-second""#);
    }
}
