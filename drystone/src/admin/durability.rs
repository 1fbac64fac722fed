//! `drystone admin durability`, `drystone admin fsck`

use serde_json::Value;

use crate::client::Client;
use crate::error::CliError;
use crate::output::{Output, size, table, text};

const DURABILITY_EXAMPLES: &str = "\
Nines and hours are by the model of docs/PLACEMENT.md.

Examples:
  drystone admin durability --json | jq .healthy
  drystone admin durability --groups 1000
  drystone admin durability --object photos/2026/cat.jpg";
const FSCK_EXAMPLES: &str = "Example:\n  drystone admin fsck && echo fine";

#[derive(Debug, clap::Args)]
#[command(after_help = DURABILITY_EXAMPLES)]
pub(crate) struct Durability {
    /// How many groups to show one by one, the worst first.
    #[arg(long, value_name = "N", default_value_t = 20)]
    groups: usize,
    /// Show one object instead.
    #[arg(long, value_name = "BUCKET/KEY", conflicts_with = "groups")]
    object: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = FSCK_EXAMPLES)]
pub(crate) struct Fsck {}

impl Durability {
    pub(crate) async fn run(self, client: &Client, output: Output) -> Result<(), CliError> {
        let Some(object) = self.object else {
            let path = format!("/admin/v1/durability?groups={}", self.groups);
            output.show(&client.get(&path).await?, state);
            return Ok(());
        };
        let (bucket, key) = object
            .split_once('/')
            .ok_or_else(|| CliError::Usage(format!("{object:?} is not BUCKET/KEY")))?;
        let (bucket, key) = (encoded(bucket), encoded(key));
        let path = format!("/admin/v1/durability/object?bucket={bucket}&key={key}");
        output.show(&client.get(&path).await?, of_object);
        Ok(())
    }
}

impl Fsck {
    pub(crate) async fn run(self, client: &Client, output: Output) -> Result<(), CliError> {
        let answer = client.post("/admin/v1/fsck", None).await?;
        output.show(&answer, findings);
        if answer["clean"] == true {
            Ok(())
        } else {
            Err(CliError::Unclean("the catalog breaks its invariants"))
        }
    }
}

/// A value of a query (RFC 3986).
fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let code = |byte: u8| {
        if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(code).collect()
}

fn state(answer: &Value) -> String {
    let (groups, nodes, garbage) = (&answer["groups"], &answer["nodes"], &answer["garbage"]);
    let repair = &answer["repair"];
    let row = |what: &str, value: String| vec![what.to_owned(), value];
    let rows = [
        row("segments", text(answer, "segments")),
        row("  that miss a shard", text(answer, "degraded")),
        row("groups", text(groups, "total")),
        row("  open / sealed", format!("{} / {}", text(groups, "open"), text(groups, "sealed"))),
        row("  being refilled", text(groups, "filling")),
        row("  in need of repair", text(groups, "below_repair")),
        row("  at risk / lost", format!("{} / {}", text(groups, "at_risk"), text(groups, "lost"))),
        row("  not writable now", text(groups, "unwritable")),
        row("  not readable now", text(groups, "unreadable")),
        row("nodes online", text(nodes, "online")),
        row("  offline / lost", format!("{} / {}", text(nodes, "offline"), text(nodes, "lost"))),
        row("nines a year, worst group", number(&answer["nines"], 1)),
        row("hours until a group needs repair", number(&answer["hours_until_repair"], 0)),
        row(
            "repair: waiting / stuck",
            format!("{} / {}", text(repair, "waiting"), text(repair, "stuck")),
        ),
        row("  shards rebuilt", text(repair, "shards_rebuilt")),
        row("  bytes moved", size(repair, "bytes_moved")),
        row("garbage: releases", text(garbage, "releases")),
        row("  checks", text(garbage, "checks")),
        row("  drops", text(garbage, "drops")),
    ];
    let verdict = if answer["healthy"] == true {
        "healthy: nothing to repair"
    } else {
        "repair has work to do"
    };
    format!("{verdict}\n\n{}\n\n{}", table(&["", ""], &rows, "").trim_start(), worst(answer))
}

/// The groups that are worst off, one to a line.
fn worst(answer: &Value) -> String {
    let rows: Vec<Vec<String>> = answer["worst"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|group| {
            let [members, online, survivors] =
                ["members", "online", "survivors"].map(|field| text(group, field));
            vec![
                text(group, "group"),
                text(group, "geometry"),
                text(group, "condition"),
                text(group, "segments"),
                format!("{online} of {members}"),
                format!("{survivors} ({} needed)", text(group, "needed")),
                format!(
                    "{} / {} / {}",
                    text(group, "owners"),
                    text(group, "subnets"),
                    text(group, "regions")
                ),
                group["unreadable"]
                    .as_f64()
                    .map_or(String::new(), |chance| format!("{chance:.1e}")),
                number(&group["nines"], 1),
                number(&group["hours_until_repair"], 0),
            ]
        })
        .collect();
    let heading = [
        "GROUP",
        "GEOMETRY",
        "CONDITION",
        "SEGMENTS",
        "ONLINE",
        "SHARDS LEFT",
        "OWNERS/NETS/REGIONS",
        "WORST HOUR",
        "NINES",
        "HOURS",
    ];
    table(&heading, &rows, "no group has been formed yet")
}

/// A number with so many digits behind the point; empty if there is none.
fn number(value: &Value, digits: usize) -> String {
    value.as_f64().map_or(String::new(), |value| format!("{value:.digits$}"))
}

fn of_object(answer: &Value) -> String {
    if answer["segments"] == 0 {
        return "small enough to be kept in the catalog itself".to_owned();
    }
    let row = |what: &str, value: String| vec![what.to_owned(), value];
    let rows = [
        row("segments", text(answer, "segments")),
        row("  that wait for repair", text(answer, "waiting_for_repair")),
        row("shards of the weakest one", text(answer, "shards")),
        row("  alive", text(answer, "alive")),
        row("  online now", text(answer, "online")),
        row("  needed to read it", text(answer, "needed")),
        row("  repair begins below", text(answer, "repair_below")),
        row("owners", text(answer, "owners")),
        row("subnets", text(answer, "subnets")),
        row("regions", text(answer, "regions")),
        row("nines a year", number(&answer["nines"], 1)),
        row("hours until repair", number(&answer["hours_until_repair"], 0)),
    ];
    table(&["", ""], &rows, "").trim_start().to_owned()
}

fn findings(answer: &Value) -> String {
    let [objects, streams, segments, degraded] =
        ["objects", "streams", "segments", "degraded"].map(|field| text(answer, field));
    let mut words = format!(
        "{objects} objects, {streams} streams, {segments} segments ({degraded} miss a shard)"
    );
    for broken in answer["broken"].as_array().into_iter().flatten() {
        words.push_str(&format!(
            "\ninvariant {}: {}",
            text(broken, "invariant"),
            text(broken, "what")
        ));
    }
    let total = answer["broken_total"].as_u64().unwrap_or(0);
    words.push_str(&if total == 0 { "\nclean".to_owned() } else { format!("\n{total} findings") });
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn any_key_can_be_asked_for() {
        assert_eq!(encoded("a b/ß&c=+.txt"), "a%20b%2F%C3%9F%26c%3D%2B.txt");
    }

    #[test]
    fn a_group_is_one_line() {
        let group = json!({
            "group": "7", "geometry": "home", "condition": "at_risk", "segments": 12, "members": 24, "online": 20,
            "survivors": 19, "needed": 10, "owners": 24, "subnets": 23, "regions": 3, "unreadable": 0.0039,
            "nines": 11.26, "hours_until_repair": 0.0
        });
        let shown = worst(&json!({ "worst": [group] }));
        let line = shown.lines().nth(1).expect("a line");
        for words in ["at_risk", "20 of 24", "19 (10 needed)", "24 / 23 / 3", "3.9e-3", "11.3"] {
            assert!(line.contains(words), "{words}: {line}");
        }
    }
}
