//! `drystone admin durability`, `drystone admin fsck`

use serde_json::Value;

use crate::client::Client;
use crate::error::CliError;
use crate::output::{Output, table, text};

const DURABILITY_EXAMPLES: &str = "Example:\n  drystone admin durability --json | jq .healthy";
const FSCK_EXAMPLES: &str = "Example:\n  drystone admin fsck && echo fine";

#[derive(Debug, clap::Args)]
#[command(after_help = DURABILITY_EXAMPLES)]
pub(crate) struct Durability {}

#[derive(Debug, clap::Args)]
#[command(after_help = FSCK_EXAMPLES)]
pub(crate) struct Fsck {}

impl Durability {
    pub(crate) async fn run(self, client: &Client, output: Output) -> Result<(), CliError> {
        let answer = client.get("/admin/v1/durability").await?;
        output.show(&answer, state);
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

fn state(answer: &Value) -> String {
    let (groups, nodes, garbage) = (&answer["groups"], &answer["nodes"], &answer["garbage"]);
    let row = |what: &str, value: String| vec![what.to_owned(), value];
    let rows = [
        row("segments", text(answer, "segments")),
        row("  that miss a shard", text(answer, "degraded")),
        row("groups", text(groups, "total")),
        row("  open / sealed", format!("{} / {}", text(groups, "open"), text(groups, "sealed"))),
        row("  being refilled", text(groups, "filling")),
        row("  in need of repair", text(groups, "below_repair")),
        row("  not writable now", text(groups, "unwritable")),
        row("  not readable now", text(groups, "unreadable")),
        row("nodes online", text(nodes, "online")),
        row("  offline / lost", format!("{} / {}", text(nodes, "offline"), text(nodes, "lost"))),
        row("garbage: releases", text(garbage, "releases")),
        row("  checks", text(garbage, "checks")),
        row("  drops", text(garbage, "drops")),
    ];
    let verdict = if answer["healthy"] == true {
        "healthy: nothing to repair"
    } else {
        "repair has work to do"
    };
    format!("{verdict}\n\n{}", table(&["", ""], &rows, "").trim_start())
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
