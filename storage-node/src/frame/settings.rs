//! `[frame]` in `node.toml`: what the owner allows beside the disk. `docs/FRAME.md` is the list for owners.
//!
//! A field that is missing has the default that its accessor gives; BOINC's defaults where BOINC has the setting.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use types::{ByteSize, MIB, Timestamp};

use crate::error::Error;
use crate::frame::hours::Hours;
use crate::frame::quantity::{BitRate, Percent, Span};

/// The least rate that can be asked for, in bits per second: below it a gateway cannot tell the node from a dead one.
const RATE_MIN: BitRate = BitRate(256_000);
/// The least memory that can be asked for: an idle node, and a few shards on their way.
const MEMORY_MIN: ByteSize = ByteSize(128 * MIB);
/// The least month: less does not even last for keeping in touch.
const MONTH_MIN: ByteSize = ByteSize(1_000_000_000);
/// The last day on which every month can begin.
const MONTH_START_MAX: u8 = 28;

/// The owner's limits, as written.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FrameSettings {
    /// Bits per second sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up: Option<BitRate>,
    /// Bits per second received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down: Option<BitRate>,
    /// Bytes per month, both directions together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month: Option<ByteSize>,
    /// The day on which the month begins, 1 to 28.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month_start: Option<u8>,
    /// When the node may use the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<Hours>,
    /// Whether the node may use the network on battery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_on_battery: Option<bool>,
    /// Share of the processors' time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Percent>,
    /// Processors used at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
    /// Memory of the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// Share of its time that the scrub may keep the disk busy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrub_share: Option<Percent>,
    /// Whether the node may compute at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute: Option<bool>,
    /// When the node may compute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_hours: Option<Hours>,
    /// Whether the node may compute while the machine is in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_in_use: Option<bool>,
    /// Whether the node may compute on battery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute_on_battery: Option<bool>,
    /// How long after the last input the machine counts as idle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_after: Option<Span>,
    /// Processor time of other programs above which the machine counts as in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_load: Option<Percent>,
    /// The owner's pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// Stricter values for while the machine is in use.
    #[serde(skip_serializing_if = "Values::is_empty")]
    pub in_use: Values,
    /// Stricter values for while the machine is idle.
    #[serde(skip_serializing_if = "Values::is_empty")]
    pub idle: Values,
}

/// Values for one state of the machine; they hold beside those for all times, and the stricter one counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Values {
    /// As [`FrameSettings::up`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up: Option<BitRate>,
    /// As [`FrameSettings::down`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down: Option<BitRate>,
    /// As [`FrameSettings::cpu`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Percent>,
    /// As [`FrameSettings::cores`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
    /// As [`FrameSettings::memory`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
}

/// How long the node is paused: `on`, or `until 1795867200` in seconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Pause {
    /// Until the owner says `resume`.
    On,
    /// Until then.
    Until(Timestamp),
}

impl Values {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl FrameSettings {
    /// The day on which the month begins.
    pub(crate) fn month_start(&self) -> u8 {
        self.month_start.unwrap_or(1)
    }

    /// When the network may be used.
    pub(crate) fn hours(&self) -> Hours {
        self.hours.clone().unwrap_or_else(Hours::always)
    }

    /// When the node may compute.
    pub(crate) fn compute_hours(&self) -> Hours {
        self.compute_hours.clone().unwrap_or_else(Hours::always)
    }

    /// Serving costs little, so a laptop on its battery goes on.
    pub(crate) fn network_on_battery(&self) -> bool {
        self.network_on_battery.unwrap_or(true)
    }

    /// Share of its time that the scrub may keep the disk busy.
    pub(crate) fn scrub_share(&self) -> Percent {
        self.scrub_share.unwrap_or(Percent(10))
    }

    /// BOINC: `idle_time_to_run`.
    pub(crate) fn idle_after(&self) -> Duration {
        self.idle_after.map_or(Duration::from_secs(180), |span| span.0)
    }

    /// BOINC: `suspend_cpu_usage`.
    pub(crate) fn other_load(&self) -> Percent {
        self.other_load.unwrap_or(Percent(25))
    }

    /// Puts `text` into the field `key`; an empty text or `default` takes the value away.
    ///
    /// # Errors
    /// [`Error::Config`] for a key that is none, and for a value that its field cannot have.
    pub fn set(&mut self, key: &str, text: &str) -> Result<(), Error> {
        let clear = text.is_empty() || text == "default";
        let values = match key.split_once('.') {
            Some(("in_use", rest)) => Some((&mut self.in_use, rest)),
            Some(("idle", rest)) => Some((&mut self.idle, rest)),
            _ => None,
        };
        let done = match (values, key) {
            (Some((values, "up")), _) => put(&mut values.up, text, clear),
            (Some((values, "down")), _) => put(&mut values.down, text, clear),
            (Some((values, "cpu")), _) => put(&mut values.cpu, text, clear),
            (Some((values, "cores")), _) => put(&mut values.cores, text, clear),
            (Some((values, "memory")), _) => put(&mut values.memory, text, clear),
            (None, "up") => put(&mut self.up, text, clear),
            (None, "down") => put(&mut self.down, text, clear),
            (None, "month") => put(&mut self.month, text, clear),
            (None, "month_start") => put(&mut self.month_start, text, clear),
            (None, "hours") => put(&mut self.hours, text, clear),
            (None, "network_on_battery") => put(&mut self.network_on_battery, text, clear),
            (None, "cpu") => put(&mut self.cpu, text, clear),
            (None, "cores") => put(&mut self.cores, text, clear),
            (None, "memory") => put(&mut self.memory, text, clear),
            (None, "scrub_share") => put(&mut self.scrub_share, text, clear),
            (None, "compute") => put(&mut self.compute, text, clear),
            (None, "compute_hours") => put(&mut self.compute_hours, text, clear),
            (None, "compute_in_use") => put(&mut self.compute_in_use, text, clear),
            (None, "compute_on_battery") => put(&mut self.compute_on_battery, text, clear),
            (None, "idle_after") => put(&mut self.idle_after, text, clear),
            (None, "other_load") => put(&mut self.other_load, text, clear),
            _ => {
                return Err(Error::Config(format!(
                    "the frame has no limit {key:?}; it has: {}",
                    KEYS.join(", ")
                )));
            }
        };
        done.map_err(|why| Error::Config(format!("{key} cannot be {text:?}: {why}")))
    }

    /// Refuses what no node could keep.
    ///
    /// # Errors
    /// [`Error::Config`], with the field and the least or greatest value.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let too = |what: &str, value: &dyn fmt::Display, least: &dyn fmt::Display| {
            Err(Error::Config(format!("frame.{what} = {value} is too little: at least {least}")))
        };
        for (place, values) in [("", self.always()), ("in_use.", self.in_use), ("idle.", self.idle)]
        {
            for (name, rate) in [("up", values.up), ("down", values.down)] {
                if let Some(rate) = rate.filter(|rate| *rate < RATE_MIN) {
                    return too(&format!("{place}{name}"), &rate, &RATE_MIN);
                }
            }
            if let Some(memory) = values.memory.filter(|memory| *memory < MEMORY_MIN) {
                return too(&format!("{place}memory"), &memory, &MEMORY_MIN);
            }
            if values.cores == Some(0) {
                return too(&format!("{place}cores"), &0, &1);
            }
        }
        if let Some(month) = self.month.filter(|month| *month < MONTH_MIN) {
            return too("month", &month, &MONTH_MIN);
        }
        if !(1..=MONTH_START_MAX).contains(&self.month_start()) {
            return Err(Error::Config(format!(
                "frame.month_start = {} is no day that every month has: 1 to {MONTH_START_MAX}",
                self.month_start()
            )));
        }
        Ok(())
    }

    /// The values for all times.
    pub(crate) fn always(&self) -> Values {
        let Self { up, down, cpu, cores, memory, .. } = *self;
        Values { up, down, cpu, cores, memory }
    }

    /// The strictest rate of one direction in any state of the machine: what windows are made for, so that they need not change with it.
    pub(crate) fn lowest(&self, of: impl Fn(&Values) -> Option<BitRate>) -> Option<BitRate> {
        [self.always(), self.in_use, self.idle].iter().filter_map(of).min()
    }
}

/// Every key of [`FrameSettings::set`].
pub(crate) const KEYS: [&str; 26] = [
    "up",
    "down",
    "month",
    "month_start",
    "hours",
    "network_on_battery",
    "cpu",
    "cores",
    "memory",
    "scrub_share",
    "compute",
    "compute_hours",
    "compute_in_use",
    "compute_on_battery",
    "idle_after",
    "other_load",
    "in_use.up",
    "in_use.down",
    "in_use.cpu",
    "in_use.cores",
    "in_use.memory",
    "idle.up",
    "idle.down",
    "idle.cpu",
    "idle.cores",
    "idle.memory",
];

fn put<T: FromStr<Err: fmt::Display>>(
    field: &mut Option<T>,
    text: &str,
    clear: bool,
) -> Result<(), String> {
    *field =
        if clear { None } else { Some(text.parse().map_err(|error: T::Err| error.to_string())?) };
    Ok(())
}

/// `KEY=VALUE`, as on the command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assignment {
    /// One of the frame's keys, `disk` or `min_free`.
    pub key: String,
    /// Its new value; nothing or `default`: take it away.
    pub value: String,
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| format!("{text:?} is not KEY=VALUE, such as up=20Mbit"))?;
        Ok(Self { key: key.trim().to_owned(), value: value.trim().to_owned() })
    }
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On => f.write_str("on"),
            Self::Until(at) => write!(f, "until {}", at.seconds()),
        }
    }
}

impl TryFrom<String> for Pause {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "on" {
            return Ok(Self::On);
        }
        let seconds = text.strip_prefix("until ").and_then(|seconds| seconds.parse::<u64>().ok());
        seconds
            .and_then(|seconds| seconds.checked_mul(1000))
            .map(|milliseconds| Self::Until(Timestamp(milliseconds)))
            .ok_or_else(|| {
                format!("{text:?} is no pause; write `on` or `until <seconds since 1970>`")
            })
    }
}

impl From<Pause> for String {
    fn from(pause: Pause) -> Self {
        pause.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = r#"up = "5Mbit"
down = "20Mbit"
month = "300GB"
month_start = 15
hours = "mon-fri 18:00-09:00, sat, sun"
network_on_battery = false
cpu = "50%"
cores = 2
memory = "512MiB"
scrub_share = "5%"
compute = true
compute_hours = "sat"
compute_in_use = true
compute_on_battery = true
idle_after = "10min"
other_load = "30%"
pause = "until 1795867200"

[in_use]
up = "1Mbit"
down = "2Mbit"
cpu = "10%"
cores = 1
memory = "256MiB"

[idle]
up = "4Mbit"
"#;

    #[test]
    fn every_key_can_be_set_written_and_read_as_ever() {
        let mut frame = FrameSettings::default();
        let table: toml::Table = GOLDEN.parse().unwrap();
        for key in KEYS {
            let value = match key.split_once('.') {
                Some((part, name)) => table[part].get(name),
                None => table.get(key),
            };
            let Some(value) = value else { continue };
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            frame.set(key, &text).unwrap();
        }
        frame.pause = Some(Pause::Until(Timestamp(1_795_867_200_000)));
        assert_eq!(toml::to_string(&frame).unwrap(), GOLDEN);
        assert_eq!(toml::from_str::<FrameSettings>(GOLDEN).unwrap(), frame);
        frame.check().unwrap();
        for key in KEYS {
            frame.set(key, "default").unwrap();
        }
        frame.pause = None;
        assert_eq!(frame, FrameSettings::default());
        assert_eq!(toml::to_string(&frame).unwrap(), "");
    }

    #[test]
    fn what_is_no_limit_or_no_value_is_refused_in_words() {
        let mut frame = FrameSettings::default();
        let unknown = frame.set("upload", "1Mbit").unwrap_err().to_string();
        assert!(unknown.contains("upload") && unknown.contains("in_use.up"), "{unknown}");
        let bad = frame.set("up", "fast").unwrap_err().to_string();
        assert!(bad.contains("20Mbit"), "{bad}");
        assert!(toml::from_str::<FrameSettings>("upp = \"1Mbit\"").is_err());
        assert!(toml::from_str::<FrameSettings>("[idle]\nhours = \"never\"").is_err());
        assert!("up".parse::<Assignment>().is_err());
    }

    #[test]
    fn limits_that_no_node_could_keep_are_refused() {
        for (key, text) in [
            ("up", "100kbit"),
            ("in_use.down", "1bit"),
            ("memory", "64MiB"),
            ("idle.cores", "0"),
            ("month", "1MB"),
            ("month_start", "29"),
            ("month_start", "0"),
        ] {
            let mut frame = FrameSettings::default();
            frame.set(key, text).unwrap();
            let refused = frame.check().expect_err(key).to_string();
            assert!(refused.contains(&format!("frame.{key}")), "{refused}");
        }
    }

    #[test]
    fn windows_are_made_for_the_strictest_rate_of_all_states() {
        let mut frame = FrameSettings::default();
        assert_eq!(frame.lowest(|values| values.up), None);
        frame.set("up", "9Mbit").unwrap();
        frame.set("in_use.up", "1Mbit").unwrap();
        assert_eq!(frame.lowest(|values| values.up), Some(BitRate(1_000_000)));
        assert_eq!(frame.lowest(|values| values.down), None);
    }
}
