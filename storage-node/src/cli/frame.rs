//! `drystone-node frame [show|set] --data DIR [--json]`, `pause` and `resume`.

use std::path::PathBuf;

use types::{Clock, SystemClock, Timestamp};

use super::Data;
use crate::config::NodeConfig;
use crate::error::Error;
use crate::frame::report::{FrameReport, LimitReport, Permission};
use crate::frame::{Assignment, Pause as Paused, Span};
use crate::local;

/// How long a gateway waits for a node before its shards are laid elsewhere: a longer pause is worth a word.
const LOST_AFTER_DAYS: u64 = 7;

#[derive(Debug, clap::Args)]
pub(crate) struct Frame {
    /// The node's data folder.
    #[arg(long = "data", env = "DRYSTONE_DATA", value_name = "DIR", global = true)]
    dir: Option<PathBuf>,
    /// Print everything as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show every limit as it holds now, the rule that made it so, and what is used of it (this is what `frame` alone does, too).
    Show,
    /// Set limits: KEY=VALUE …, such as up=5Mbit in_use.up=1Mbit hours="mon-fri 18:00-09:00, sat, sun"; KEY= takes one away. docs/FRAME.md has every
    /// key. A node that runs takes them over within five seconds.
    Set {
        #[arg(value_name = "KEY=VALUE", required = true)]
        assignments: Vec<Assignment>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Pause {
    #[command(flatten)]
    data: Data,
    /// How long, such as 30min, 2h or 1d [default: until `resume`].
    #[arg(long = "for", value_name = "TIME")]
    span: Option<Span>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    data: Data,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Frame {
    pub(crate) fn run(self) -> Result<(), Error> {
        let dir = self.dir.ok_or_else(|| {
            Error::Config("--data DIR is missing: it says which node is meant".to_owned())
        })?;
        match self.action {
            None | Some(Action::Show) => show(&local::ask(&dir)?.frame, self.json),
            Some(Action::Set { assignments }) => {
                let config = NodeConfig::edit(&dir, |settings| {
                    assignments
                        .iter()
                        .try_for_each(|Assignment { key, value }| settings.set(key, value))
                })?;
                if self.json {
                    return json(&config.settings.frame);
                }
                println!("Written to {}.", config.file().display());
                taken_over(&config);
                Ok(())
            }
        }
    }
}

impl Pause {
    pub(crate) fn run(self) -> Result<(), Error> {
        let until = self.span.map(|span| SystemClock.now().plus(span.0));
        // Whole seconds are written down.
        let until = until.map(|until| Timestamp(until.seconds() * 1000));
        let pause = until.map_or(Paused::On, Paused::Until);
        let config = set_pause(&self.data, Some(pause))?;
        if self.json {
            return json(&config.settings.frame);
        }
        match self.span {
            Some(span) => println!("Paused for {span}."),
            None => println!("Paused until `drystone-node resume`."),
        }
        if self.span.is_none_or(|span| span.0.as_secs() > LOST_AFTER_DAYS * 86_400) {
            println!(
                "A node that is away for {LOST_AFTER_DAYS} days is given up, and its shards are laid elsewhere."
            );
        }
        taken_over(&config);
        Ok(())
    }
}

impl Resume {
    pub(crate) fn run(self) -> Result<(), Error> {
        let config = set_pause(&self.data, None)?;
        if self.json {
            return json(&config.settings.frame);
        }
        println!("Resumed.");
        taken_over(&config);
        Ok(())
    }
}

fn set_pause(data: &Data, pause: Option<Paused>) -> Result<NodeConfig, Error> {
    NodeConfig::edit(&data.dir, |settings| {
        settings.frame.pause = pause;
        Ok(())
    })
}

fn taken_over(config: &NodeConfig) {
    if local::ask(&config.dir).is_ok() {
        println!("The node takes it over within five seconds.");
    } else {
        println!("No node is running; it will hold from the next start.");
    }
}

fn json(value: &impl serde::Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::Damaged(format!("the answer cannot be written: {error}")))?;
    println!("{text}");
    Ok(())
}

fn show(report: &FrameReport, as_json: bool) -> Result<(), Error> {
    if as_json {
        return json(report);
    }
    print!("{}", table(report));
    Ok(())
}

/// Each limit as it holds beside its live use.
fn table(report: &FrameReport) -> String {
    let mut rows = vec![row("limit", "holds now", "used now", "because", "overstepped")];
    rows.extend(report.limits.iter().map(limit_row));
    let mut out = aligned(&rows);
    let at = report.at;
    let line = |name: &str, text: String| format!("{name:16}{text}\n");
    out.push('\n');
    out += &line("network", permission(&report.network, at));
    out += &line("compute", permission(&report.compute, at));
    for (name, hours) in
        [("network hours", &report.network_hours), ("compute hours", &report.compute_hours)]
    {
        let state = if hours.open { "open" } else { "shut" };
        let change = hours
            .changes
            .map_or(String::new(), |at_change| format!(", changes in {}", span(at_change, at)));
        out += &line(name, format!("{} (now {state}{change})", hours.hours));
    }
    if let Some(pause) = report.pause {
        let left = pause.until.map_or("until `resume`".to_owned(), |until| {
            format!("for another {}", span(until, at))
        });
        out += &line("paused", left);
    }
    let machine = &report.machine;
    let input = machine.input_seconds_ago.map_or("no input seen".to_owned(), |seconds| {
        format!("last input {} ago", Span(std::time::Duration::from_secs(seconds)))
    });
    let power = match machine.on_battery {
        Some(true) => ", on battery",
        Some(false) => ", on mains power",
        None => "",
    };
    let state = if machine.in_use { "in use" } else { "idle" };
    let load = machine.other_load_percent;
    out += &line("machine", format!("{state}: other programs {load} %, {input}{power}"));
    out += &line("turned away", format!("{} requests since the start", report.turned_away));
    out += &line("violations", report.violations.to_string());
    if let Some(trouble) = &report.trouble {
        out += &line("not taken over", trouble.clone());
    }
    out
}

type Row = [String; 5];

fn row(a: &str, b: &str, c: &str, d: &str, e: &str) -> Row {
    [a, b, c, d, e].map(str::to_owned)
}

fn limit_row(limit: &LimitReport) -> Row {
    let unit = limit.unit;
    [
        limit.limit.to_string(),
        limit.effective.map_or("-".to_owned(), |value| unit.show(value)),
        unit.show(limit.live),
        limit.why.to_string(),
        limit.violations.to_string(),
    ]
}

fn aligned(rows: &[Row]) -> String {
    let widths: [usize; 5] = std::array::from_fn(|column| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    });
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        out += cells.join("  ").trim_end();
        out.push('\n');
    }
    out
}

fn permission(permission: &Permission, at: Timestamp) -> String {
    if permission.allowed {
        return "allowed".to_owned();
    }
    let until =
        permission.until.map_or(String::new(), |until| format!(", for {}", span(until, at)));
    format!("not now: {}{until}", permission.why)
}

/// The time from `now` to `then` for people: the two largest units.
fn span(then: Timestamp, now: Timestamp) -> String {
    let seconds = then.since(now).as_secs();
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_are_told_in_two_units() {
        let told = |seconds: u64| span(Timestamp(seconds * 1000 + 5), Timestamp(5));
        assert_eq!(told(59), "59 s");
        assert_eq!(told(125), "2 min");
        assert_eq!(told(3_660), "1 h 1 min");
        assert_eq!(told(90_000), "1 d 1 h");
    }
}
