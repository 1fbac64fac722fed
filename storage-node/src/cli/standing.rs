//! `drystone-node standing --data DIR [--json]`

use protocol::standing::{Exhibit, Fault, Rank, Report};
use types::{Clock as _, SystemClock, Timestamp};

use super::Data;
use crate::config::{NodeConfig, Overrides};
use crate::error::Error;
use crate::leave::Spokesman;

#[derive(Debug, clap::Args)]
pub(crate) struct Standing {
    #[command(flatten)]
    data: Data,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Standing {
    pub(crate) async fn run(self) -> Result<(), Error> {
        let config = NodeConfig::load(&self.data.dir, Overrides::default())?;
        let report = Spokesman::new(&config)?.standing().await?;
        if self.json {
            println!("{}", json(&report));
        } else {
            println!("{}", words(&report, SystemClock.now()));
        }
        Ok(())
    }
}

fn json(report: &Report) -> serde_json::Value {
    let share = |millionths: u32| f64::from(millionths) / 1e6;
    let evidence = report.evidence.iter().map(|exhibit| {
        serde_json::json!({
            "at": exhibit.at.0,
            "fault": exhibit.fault,
            "shard": exhibit.shard.map(|shard| shard.to_string()),
            "words": exhibit.words,
        })
    });
    serde_json::json!({
        "rank": report.rank,
        "since": report.since.map(|since| since.0),
        "reason": report.reason,
        "by_operator": report.by_operator,
        "lost": share(report.lost),
        "late": share(report.late),
        "available": share(report.available),
        "audits": report.audits,
        "owned_up": report.owned_up,
        "wanting": report.wanting,
        "evidence": evidence.collect::<Vec<_>>(),
    })
}

/// The report as its owner reads it: what it means first, then the numbers, then the evidence.
fn words(report: &Report, now: Timestamp) -> String {
    let meaning = match report.rank {
        Rank::Good => "In good standing.",
        Rank::Warned => "Warned: look at this machine's disk before it gets worse.",
        Rank::Suspended => {
            "Suspended: the node gets no new shards until it has proven itself again."
        }
        Rank::Disqualified => {
            "Disqualified: what the node holds goes to others. Only the network's operator can undo that."
        }
    };
    let mut lines = vec![meaning.to_owned()];
    if !report.reason.is_empty() {
        let who = if report.by_operator { "The operator says" } else { "Why" };
        lines.push(format!("{who}: {}", report.reason));
    }
    let percent = |millionths: u32| format!("{:.2} %", f64::from(millionths) / 1e4);
    lines.push(format!(
        "Audits passed: {}. Lost or wrong: {}. Too late: {}. Connected: {} of the week.",
        report.audits,
        percent(report.lost),
        percent(report.late),
        percent(report.available)
    ));
    if let Some(left) = report.wanting {
        lines.push(format!(
            "A newcomer has a small share of new data; to a full one are left: {} audits, {} hours, {} bytes to hold.",
            left.audits, left.hours, left.bytes
        ));
    }
    lines.extend(report.evidence.iter().map(|exhibit| line(exhibit, now)));
    lines.join("\n")
}

fn line(exhibit: &Exhibit, now: Timestamp) -> String {
    let what = match exhibit.fault {
        Fault::Missing => "a shard was missing",
        Fault::Corrupt => "a shard was wrong",
        Fault::Breach => "the protocol was broken",
        Fault::Late => "an answer was late",
        Fault::OwnedUp => "the node reported rot itself, which costs it nothing",
    };
    let minutes = now.since(exhibit.at).as_secs() / 60;
    let shard = exhibit.shard.map(|shard| format!(" {shard}")).unwrap_or_default();
    format!("  {minutes} min ago: {what}{shard}: {}", exhibit.words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_reads_what_it_means_why_and_from_what() {
        let exhibit = Exhibit {
            at: Timestamp(0),
            fault: Fault::Corrupt,
            shard: None,
            words: "bytes do not hash".to_owned(),
        };
        let report = Report {
            rank: Rank::Suspended,
            since: Some(Timestamp(0)),
            reason: "0.74 % of its audited shards were lost or wrong".to_owned(),
            by_operator: false,
            lost: 7_400,
            late: 0,
            available: 750_000,
            audits: 100,
            owned_up: 0,
            wanting: None,
            evidence: vec![exhibit],
        };
        let shown = words(&report, Timestamp(600_000));
        for part in
            ["no new shards", "Why: 0.74 %", "Connected: 75.00 %", "10 min ago: a shard was wrong"]
        {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert_eq!(json(&report)["rank"], "suspended");
        assert_eq!(json(&report)["evidence"][0]["fault"], "corrupt");
    }
}
