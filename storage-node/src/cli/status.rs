//! `drystone-node status --data DIR [--json]`

use std::time::Duration;

use super::Data;
use crate::advice::{Finding, lasting, size};
use crate::app::NodeStatus;
use crate::error::Error;
use crate::local;

#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    #[command(flatten)]
    data: Data,
    /// Print everything as JSON.
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(crate) fn run(self) -> Result<(), Error> {
        let status = local::ask(&self.data.dir)?;
        if self.json {
            let json = serde_json::to_string_pretty(&status).map_err(|error| {
                Error::Damaged(format!("the status cannot be written: {error}"))
            })?;
            println!("{json}");
        } else {
            print!("{}", table(&status));
        }
        Ok(())
    }
}

/// The effective frame and the live use side by side.
fn table(status: &NodeStatus) -> String {
    let NodeStatus { store, frame, .. } = status;
    let running = lasting(Duration::from_secs(status.uptime_seconds));
    let mut rows = vec![
        ("node".to_owned(), status.name.clone(), status.id.to_string()),
        ("running".to_owned(), status.software.clone(), format!("for {running}")),
        (
            "room".to_owned(),
            size(store.room),
            format!("can still be taken, {} is taken", size(store.allocated)),
        ),
        (
            "shards".to_owned(),
            store.live_shards.to_string(),
            format!("{} live, {} in the trash", size(store.live_bytes), size(store.trash_bytes)),
        ),
        (
            "since the start".to_owned(),
            format!("{} stored", size(status.stored_bytes)),
            format!(
                "{} fetched, {} shards dropped",
                size(status.fetched_bytes),
                status.dropped_shards
            ),
        ),
    ];
    rows.extend(frame.limits.iter().filter_map(|limit| {
        let effective = limit.unit.show(limit.effective?);
        let live = format!("{} now; {}", limit.unit.show(limit.live), limit.why);
        Some((limit.limit.to_string(), effective, live))
    }));
    for link in &status.links {
        let state = if link.connected { "linked" } else { "not linked" };
        let trouble = link.trouble.clone().unwrap_or_default();
        rows.push((format!("gateway {}", link.gateway), state.to_owned(), trouble));
    }
    if let Some(page) = status.page {
        rows.push(("page".to_owned(), format!("http://{page}/"), String::new()));
    }
    for Finding { severity, words, fix, .. } in &status.advice {
        let fix = fix.as_ref().map_or_else(String::new, |fix| format!("→ {fix}"));
        let said = format!("{words} {fix}");
        rows.push(("to do".to_owned(), severity.to_string(), said.trim_end().to_owned()));
    }
    let widest = |column: fn(&(String, String, String)) -> &String| {
        rows.iter().map(|row| column(row).chars().count()).max().unwrap_or(0)
    };
    let (first, second) = (widest(|row| &row.0), widest(|row| &row.1));
    rows.iter()
        .map(|(a, b, c)| format!("{a:first$}  {b:second$}  {c}").trim_end().to_owned() + "\n")
        .collect()
}
