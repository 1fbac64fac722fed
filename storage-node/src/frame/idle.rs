//! What the machine and its owner are doing: read from files of the kernel, never guessed.
//!
//! - *Load of other programs*: processor time of the whole machine less this process's own (`/proc/stat`).
//! - *Recent input*: the last use of a terminal (`/dev/pts`, `/dev/tty*`), of `/dev/input` where the kernel notes it, and the interrupts of
//!   a built-in keyboard or touch pad. A desktop whose only input is on USB shows itself by its load alone.
//! - *Mains power*: `/sys/class/power_supply`.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use types::{KIB, Timestamp};

use crate::frame::quantity::Percent;
use crate::frame::report::MachineReport;

/// Over how long the load of other programs is averaged.
const LOAD_OVER: Duration = Duration::from_secs(30);
/// The machine stays "in use" for so long after its load fell: a compiler pauses, too.
const LOAD_LINGERS: Duration = Duration::from_secs(60);
/// Interrupts of input devices that are built in.
const INPUT_INTERRUPTS: [&str; 2] = ["i8042", "touchpad"];

/// Where the kernel's files are: `/`, or a folder in tests.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    root: PathBuf,
}

/// Processor time until a moment.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Timestamp,
    /// Of all processors together, spent on anything, in seconds.
    pub(crate) busy: f64,
    /// Of this process, in seconds.
    pub(crate) own: f64,
}

/// What was seen lately, and what follows from it.
#[derive(Debug)]
pub(crate) struct Watch {
    probe: Probe,
    cores: u64,
    memory: u64,
    samples: VecDeque<Sample>,
    interrupts: Option<u64>,
    /// The last input that was seen.
    input: Option<Timestamp>,
    /// When other programs last had more than they may.
    loaded: Option<Timestamp>,
    on_battery: Option<bool>,
}

impl Probe {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }

    /// Processor time of the whole machine so far, in seconds.
    fn busy(&self) -> Option<f64> {
        let text = self.text("proc/stat")?;
        let mut fields = text.lines().next()?.split_whitespace();
        if fields.next() != Some("cpu") {
            return None;
        }
        let ticks: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; guests are in user and nice already (proc(5)).
        let busy: u64 = [0, 1, 2, 5, 6].iter().filter_map(|index| ticks.get(*index)).sum();
        Some(busy as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Bytes of memory of the machine.
    fn memory(&self) -> u64 {
        let text = self.text("proc/meminfo").unwrap_or_default();
        kib_of(&text, "MemTotal:").unwrap_or_default()
    }

    /// Bytes of memory that this process holds.
    pub(crate) fn resident(&self) -> u64 {
        let text = self.text("proc/self/status").unwrap_or_default();
        kib_of(&text, "VmRSS:").unwrap_or_default()
    }

    /// Interrupts of built-in input devices so far.
    fn interrupts(&self) -> Option<u64> {
        let text = self.text("proc/interrupts")?;
        let of_input = text.lines().filter(|line| {
            let lower = line.to_ascii_lowercase();
            INPUT_INTERRUPTS.iter().any(|name| lower.contains(name))
        });
        let counts = of_input.flat_map(|line| {
            let counts = line.split_whitespace().skip(1);
            counts.map_while(|count| count.parse::<u64>().ok())
        });
        Some(counts.sum())
    }

    /// The last use of a terminal or an input device.
    fn last_input(&self) -> Option<Timestamp> {
        let devices = ["dev/pts", "dev/input", "dev"].into_iter().flat_map(|folder| {
            let entries = fs::read_dir(self.root.join(folder)).into_iter().flatten().flatten();
            entries.filter(move |entry| {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                match folder {
                    "dev" => name.strip_prefix("tty").is_some_and(|rest| {
                        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit())
                    }),
                    "dev/pts" => name != "ptmx",
                    _ => true,
                }
            })
        });
        let used = devices.filter_map(|device| {
            let accessed = device.metadata().ok()?.accessed().ok()?;
            Some(Timestamp::from(accessed))
        });
        used.max()
    }

    /// Whether the machine runs on its battery; `None` if it has none or nothing tells.
    fn on_battery(&self) -> Option<bool> {
        let supplies = fs::read_dir(self.root.join("sys/class/power_supply")).ok()?.flatten();
        let (mut mains, mut discharging) = (None, None);
        for supply in supplies {
            let read = |name: &str| fs::read_to_string(supply.path().join(name)).ok();
            let is = |name: &str, value: &str| read(name).is_some_and(|text| text.trim() == value);
            if is("type", "Mains") {
                mains = Some(mains.unwrap_or(false) || is("online", "1"));
            // A mouse has a battery, too.
            } else if is("type", "Battery") && !is("scope", "Device") {
                discharging = Some(discharging.unwrap_or(false) || is("status", "Discharging"));
            }
        }
        match (mains, discharging) {
            (Some(mains), Some(_)) => Some(!mains),
            (None, battery) => battery,
            (Some(_), None) => None,
        }
    }
}

impl Watch {
    pub(crate) fn new(probe: Probe) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        let memory = probe.memory();
        Self {
            probe,
            cores,
            memory,
            samples: VecDeque::new(),
            interrupts: None,
            input: None,
            loaded: None,
            on_battery: None,
        }
    }

    /// Looks again; `own` is this process's time on processors so far. Costs some reads of kernel files.
    pub(crate) fn look(&mut self, now: Timestamp, own: Duration, other_load: Percent) {
        if let Some(busy) = self.probe.busy() {
            self.take(Sample { at: now, busy, own: own.as_secs_f64() });
        }
        if self.other_load() > u64::from(other_load.0) {
            self.loaded = Some(now);
        }
        let interrupts = self.probe.interrupts();
        if self.interrupts.is_some() && interrupts > self.interrupts {
            self.input = Some(now);
        }
        self.interrupts = interrupts;
        // A device that was used in the future was not.
        self.input = self.input.max(self.probe.last_input().filter(|input| *input <= now));
        self.on_battery = self.probe.on_battery();
    }

    fn take(&mut self, sample: Sample) {
        // The clock was set back: what was seen before cannot be compared.
        if self.samples.back().is_some_and(|last| last.at > sample.at) {
            self.samples.clear();
        }
        self.samples.push_back(sample);
        while self.samples.len() > 2
            && self.samples.get(1).is_some_and(|second| sample.at.since(second.at) >= LOAD_OVER)
        {
            self.samples.pop_front();
        }
    }

    /// Processor time of other programs lately, in hundredths of the machine.
    fn other_load(&self) -> u64 {
        let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) else {
            return 0;
        };
        let seconds = last.at.since(first.at).as_secs_f64() * self.cores as f64;
        let others = (last.busy - first.busy) - (last.own - first.own);
        if seconds <= 0.0 {
            0
        } else {
            (others.max(0.0) / seconds * 100.0).min(100.0).round() as u64
        }
    }

    /// How the machine is.
    pub(crate) fn report(&self, now: Timestamp, idle_after: Duration) -> MachineReport {
        let typed = self.input.is_some_and(|input| now.since(input) < idle_after);
        let loaded = self.loaded.is_some_and(|loaded| now.since(loaded) < LOAD_LINGERS);
        MachineReport {
            in_use: typed || loaded,
            input_seconds_ago: self.input.map(|input| now.since(input).as_secs()),
            other_load_percent: self.other_load(),
            on_battery: self.on_battery,
            memory: self.memory,
            cores: self.cores,
        }
    }

    pub(crate) fn resident(&self) -> u64 {
        self.probe.resident()
    }
}

/// The bytes of a line `name: 123 kB`.
fn kib_of(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(KIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn watch(root: &Path) -> Watch {
        Watch { cores: 2, ..Watch::new(Probe::new(root)) }
    }

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn stat(root: &Path, ticks: u64) {
        file(root, "proc/stat", &format!("cpu  {ticks} 0 0 999999 5 0 0 0 0 0\ncpu0 1 2 3\n"));
    }

    #[test]
    fn the_load_of_others_is_what_the_machine_does_beside_us() {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = watch(dir.path());
        let ticks = rustix::param::clock_ticks_per_second();
        stat(dir.path(), 0);
        watch.look(NOW, Duration::ZERO, Percent(25));
        // Ten seconds of two processors: eight were used, three of them by us.
        stat(dir.path(), 8 * ticks);
        let later = NOW.plus(Duration::from_secs(10));
        watch.look(later, Duration::from_secs(3), Percent(25));
        let report = watch.report(later, Duration::from_secs(180));
        assert_eq!((report.other_load_percent, report.in_use), (25, false));
        stat(dir.path(), 19 * ticks);
        let later = later.plus(Duration::from_secs(10));
        watch.look(later, Duration::from_secs(4), Percent(25));
        assert!(watch.report(later, Duration::ZERO).in_use);
        assert!(!watch.report(later.plus(LOAD_LINGERS), Duration::ZERO).in_use);
    }

    #[test]
    fn a_machine_is_idle_some_time_after_its_last_input() {
        let dir = tempfile::tempdir().unwrap();
        file(dir.path(), "dev/pts/0", "");
        file(dir.path(), "dev/ttyS0", "");
        file(dir.path(), "proc/interrupts", "  1:  5  7  IO-APIC 1-edge  i8042\n 9: 99 acpi\n");
        let used = fs::metadata(dir.path().join("dev/pts/0")).unwrap().accessed().unwrap();
        let used = Timestamp::from(used);
        let mut watch = watch(dir.path());
        let now = used.plus(Duration::from_secs(100));
        watch.look(now, Duration::ZERO, Percent(25));
        let report = |watch: &Watch, now| watch.report(now, Duration::from_secs(180));
        assert!(report(&watch, now).in_use);
        assert_eq!(report(&watch, now).input_seconds_ago, Some(100));
        let later = used.plus(Duration::from_secs(200));
        watch.look(later, Duration::ZERO, Percent(25));
        assert!(!report(&watch, later).in_use);
        file(dir.path(), "proc/interrupts", "  1:  6  7  IO-APIC 1-edge  i8042\n 9: 99 acpi\n");
        watch.look(later, Duration::ZERO, Percent(25));
        assert_eq!(report(&watch, later).input_seconds_ago, Some(0));
    }

    #[test]
    fn a_laptop_is_on_battery_when_its_cable_is_out_and_a_mouse_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let probe = Probe::new(dir.path());
        assert_eq!(probe.on_battery(), None);
        let supply = |name: &str, text: &str| {
            file(dir.path(), &format!("sys/class/power_supply/{name}"), text);
        };
        supply("mouse/type", "Battery\n");
        supply("mouse/scope", "Device\n");
        supply("mouse/status", "Discharging\n");
        assert_eq!(probe.on_battery(), None);
        supply("BAT0/type", "Battery\n");
        supply("BAT0/status", "Discharging\n");
        assert_eq!(probe.on_battery(), Some(true));
        supply("AC/type", "Mains\n");
        supply("AC/online", "1\n");
        assert_eq!(probe.on_battery(), Some(false));
        supply("AC/online", "0\n");
        assert_eq!(probe.on_battery(), Some(true));
    }

    #[test]
    fn this_machine_tells_its_memory_and_ours() {
        let probe = Probe::new(Path::new("/"));
        assert!(probe.memory() > probe.resident() && probe.resident() > 1 << 20);
        assert!(probe.busy().unwrap() > 0.0);
    }
}
