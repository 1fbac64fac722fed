//! The status in the text format of Prometheus, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::Write as _;

use protocol::standing::{Rank, Report};

use crate::advice::Severity;
use crate::app::NodeStatus;
use crate::frame::report::{FrameReport, LimitReport};

/// The format's content type.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything that can be measured of a node.
pub(crate) fn text(status: &NodeStatus) -> String {
    let mut page = Exposition::default();
    about(&mut page, status);
    disk(&mut page, status);
    frame(&mut page, &status.frame);
    traffic(&mut page, status);
    if let Some(report) = &status.standing {
        standing(&mut page, report);
    }
    page.0
}

fn about(page: &mut Exposition, status: &NodeStatus) {
    page.family("node_info", "gauge", "The node: always 1.");
    let labels =
        [("id", &*status.id.to_string()), ("name", &status.name), ("software", &status.software)];
    page.sample("node_info", &labels, 1);
    page.gauge("node_uptime_seconds", "Seconds since the node started.", status.uptime_seconds);
    page.family("node_link_up", "gauge", "Whether the link to a gateway stands.");
    for link in &status.links {
        let labels = [("gateway", link.gateway.as_str())];
        page.sample("node_link_up", &labels, u8::from(link.connected));
    }
    if let Some(ahead) = status.clock_ahead_ms {
        let words = "Seconds by which this machine's clock is ahead of the gateway's.";
        page.gauge("node_clock_ahead_seconds", words, seconds(ahead));
    }
    page.family("node_findings", "gauge", "What the owner should see to, by severity.");
    for severity in [Severity::Note, Severity::Warning, Severity::Bad] {
        let count = status.advice.iter().filter(|finding| finding.severity == severity).count();
        page.sample("node_findings", &[("severity", &severity.to_string())], count);
    }
}

fn disk(page: &mut Exposition, status: &NodeStatus) {
    let store = &status.store;
    page.gauge("node_disk_lent_bytes", "Disk space that the owner lends.", store.quota);
    page.gauge("node_disk_used_bytes", "Disk space that the logs take.", store.allocated);
    page.gauge("node_disk_room_bytes", "Lent disk space that is left.", store.room);
    if let Some(disk) = &status.disk {
        page.gauge("node_filesystem_bytes", "Size of the data folder's file system.", disk.total);
        page.gauge("node_filesystem_free_bytes", "Free bytes of it.", disk.free);
    }
    page.gauge("node_shards", "Shards that are served.", store.live_shards);
    page.gauge("node_shard_bytes", "Bytes of shards that are served.", store.live_bytes);
    page.gauge("node_trash_bytes", "Bytes of dropped shards that still rest.", store.trash_bytes);
    page.gauge("node_rotten_shards", "Shards found damaged, not replaced yet.", store.rotten);
    let broken = u8::from(store.broken.is_some());
    page.gauge("node_store_broken", "Whether the store takes no writes since a failure.", broken);
}

fn traffic(page: &mut Exposition, status: &NodeStatus) {
    page.counter("node_stored_bytes_total", "Bytes of shards taken.", status.stored_bytes);
    page.counter("node_fetched_bytes_total", "Bytes of shards given.", status.fetched_bytes);
    page.counter("node_dropped_shards_total", "Shards dropped.", status.dropped_shards);
    let words = "Requests turned away because memory for traffic was used up.";
    page.counter("node_busy_total", words, status.busy);
}

/// The owner's limits, in the unit that each one has.
fn frame(page: &mut Exposition, frame: &FrameReport) {
    let name = |limit: &LimitReport| limit.limit.to_string().replace(' ', "_");
    page.family("node_limit", "gauge", "Each of the owner's limits as it holds now, in its unit.");
    for limit in &frame.limits {
        if let Some(effective) = limit.effective {
            page.sample("node_limit", &[("limit", &name(limit))], effective);
        }
    }
    page.family("node_limit_used", "gauge", "What is used of each limit now, in its unit.");
    for limit in &frame.limits {
        page.sample("node_limit_used", &[("limit", &name(limit))], limit.live);
    }
    let words = "Limits overstepped since the start; anything but 0 is a defect.";
    page.counter("node_limit_violations_total", words, frame.violations);
    let allowed = u8::from(frame.network.allowed);
    page.gauge("node_network_allowed", "Whether the owner's limits let it on the line.", allowed);
}

/// What the network thinks of the node.
fn standing(page: &mut Exposition, report: &Report) {
    let rank = match report.rank {
        Rank::Good => 0,
        Rank::Warned => 1,
        Rank::Suspended => 2,
        Rank::Disqualified => 3,
    };
    let words =
        "What the network trusts the node with: 0 everything, 1 warned, 2 nothing new, 3 nothing.";
    page.gauge("node_rank", words, rank);
    page.counter("node_audits_passed_total", "Audits passed since it joined.", report.audits);
    let vetted = u8::from(report.wanting.is_none());
    page.gauge("node_vetted", "Whether the node gets a full share of new data.", vetted);
}

/// Milliseconds in seconds, exactly.
fn seconds(ms: i64) -> String {
    let (sign, ms) = (if ms < 0 { "-" } else { "" }, ms.unsigned_abs());
    format!("{sign}{}.{:03}", ms / 1000, ms % 1000)
}

/// The text so far. A family's name comes without `drystone_`.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = write!(self.0, "# HELP drystone_{name} {help}\n# TYPE drystone_{name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> =
            labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
        let braces =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "drystone_{name}{braces} {value}");
    }
}

/// A label's value: backslash, quote and line feed are escaped.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use types::Timestamp;

    use super::*;
    use crate::testing;

    fn status() -> NodeStatus {
        testing::status(Timestamp(1_800_000_000_000))
    }

    #[test]
    fn every_sample_follows_the_help_and_type_of_its_family() {
        let text = text(&status());
        let mut family = String::new();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                family = help.split(' ').next().unwrap().to_owned();
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert_eq!(name, family);
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                assert_eq!(series.split('{').next().unwrap(), family, "{line}");
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
        assert!(text.contains("\ndrystone_node_fetched_bytes_total 3000000\n"), "{text}");
        assert!(text.contains("drystone_node_clock_ahead_seconds 0.012\n"), "{text}");
        assert!(text.contains("drystone_node_link_up{gateway=\"gw.example:9100\"} 1\n"), "{text}");
    }

    #[test]
    fn a_name_with_quotes_does_not_break_the_format() {
        let named = NodeStatus { name: "a \"b\\".to_owned(), ..status() };
        assert!(text(&named).contains(r#"name="a \"b\\""#));
    }

    #[test]
    fn milliseconds_are_written_as_seconds() {
        assert_eq!(seconds(-40_005), "-40.005");
        assert_eq!(seconds(7), "0.007");
    }
}
