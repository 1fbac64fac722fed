//! `drystone-node status --data DIR [--json]`

use types::ByteSize;

use super::Data;
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
    let mut rows = vec![
        ("node".to_owned(), status.name.clone(), status.id.to_string()),
        ("running".to_owned(), status.software.clone(), format!("for {} s", status.uptime_seconds)),
        (
            "room".to_owned(),
            mega(store.room),
            format!("can still be taken, {} is taken", mega(store.allocated)),
        ),
        (
            "shards".to_owned(),
            store.live_shards.to_string(),
            format!("{} live, {} in the trash", mega(store.live_bytes), mega(store.trash_bytes)),
        ),
        (
            "since the start".to_owned(),
            format!("{} stored", mega(status.stored_bytes)),
            format!(
                "{} fetched, {} shards dropped",
                mega(status.fetched_bytes),
                status.dropped_shards
            ),
        ),
    ];
    rows.extend(frame.limits.iter().filter_map(|limit| {
        let effective = limit.unit.show(limit.effective?);
        let live = format!("{} now; {}", limit.unit.show(limit.live), limit.why);
        Some((limit.limit.to_string(), effective, live))
    }));
    if store.rotten > 0 {
        rows.push(("damaged".to_owned(), store.rotten.to_string(), "await repair".to_owned()));
    }
    if let Some(why) = &store.broken {
        rows.push(("out of order".to_owned(), "restart the node".to_owned(), why.clone()));
    }
    for link in &status.links {
        let state = if link.connected { "linked" } else { "not linked" };
        let trouble = link.trouble.clone().unwrap_or_default();
        rows.push((format!("gateway {}", link.gateway), state.to_owned(), trouble));
    }
    let widest = |column: fn(&(String, String, String)) -> &String| {
        rows.iter().map(|row| column(row).chars().count()).max().unwrap_or(0)
    };
    let (first, second) = (widest(|row| &row.0), widest(|row| &row.1));
    rows.iter()
        .map(|(a, b, c)| format!("{a:first$}  {b:second$}  {c}").trim_end().to_owned() + "\n")
        .collect()
}

/// A size for people: whole megabytes above one, else exact.
fn mega(bytes: u64) -> String {
    if bytes < 1_000_000 { ByteSize(bytes).to_string() } else { format!("{}MB", bytes / 1_000_000) }
}
