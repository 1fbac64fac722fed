//! `drystone-node doctor --data DIR [--json]`: tries everything that a node needs, and says what to fix. It takes a few seconds,
//! changes nothing, and may run beside the node.

mod disk;
mod link;
mod machine;

use std::sync::Arc;

use serde::Serialize;

use self::disk::Speed;
use super::Data;
use crate::advice::{Finding, Severity};
use crate::config::{NodeConfig, Overrides};
use crate::error::Error;
use crate::identity;
use crate::join::with_causes;
use crate::local;

#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    overrides: Overrides,
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Serialize)]
struct Report {
    /// Whether nothing is bad.
    ok: bool,
    /// In the order in which it was looked at.
    findings: Vec<Finding>,
    /// The disk, if it could be measured.
    disk: Option<Speed>,
    /// By how many milliseconds this machine's clock is ahead of a gateway's, if one told its time.
    clock_ahead_ms: Option<i64>,
}

impl Doctor {
    pub(crate) async fn run(self) -> Result<(), Error> {
        let config = Arc::new(NodeConfig::load(&self.data.dir, self.overrides)?);
        let report = examine(config).await;
        if self.json {
            let json = serde_json::to_string_pretty(&report).map_err(|error| {
                Error::Damaged(format!("the report cannot be written: {error}"))
            })?;
            println!("{json}");
        } else {
            print!("{}", list(&report.findings));
        }
        let bad = |finding: &&Finding| finding.severity == Severity::Bad;
        match report.findings.iter().filter(bad).count() {
            0 => Ok(()),
            count => Err(Error::Unwell(count)),
        }
    }
}

async fn examine(config: Arc<NodeConfig>) -> Report {
    let mut findings = Vec::new();
    let identity = identity::load(&config.dir);
    findings.push(match &identity {
        Ok(identity) => Finding::good("identity", format!("node {}", identity.id())),
        Err(Error::IdentityLost(path)) => {
            let words = format!("The node's key {} is missing.", path.display());
            Finding::bad("identity", words, identity::FIX)
        }
        Err(error) => Finding::bad("identity", format!("{}.", with_causes(error)), identity::FIX),
    });
    findings.extend(machine::key_is_private(&config.dir));
    findings.push(machine::open_files());

    // The disk is measured before the line: at once, each would disturb the other.
    let here = Arc::clone(&config);
    let (of_disk, speed) = tokio::task::spawn_blocking(move || disk::examine(&here))
        .await
        .unwrap_or_else(|error| (vec![disk::unknown(&error)], None));
    findings.extend(of_disk);

    let mut clock_ahead_ms = None;
    if let Ok(identity) = &identity {
        let (of_links, ahead) = link::examine(&config, identity).await;
        findings.extend(of_links);
        clock_ahead_ms = ahead;
    }
    findings.push(link::clock(clock_ahead_ms));
    findings.extend(running(&config));
    let ok = findings.iter().all(|finding| finding.severity < Severity::Bad);
    Report { ok, findings, disk: speed, clock_ahead_ms }
}

/// What the running node says of itself, as far as it was not just tried.
fn running(config: &NodeConfig) -> Vec<Finding> {
    const TRIED: [&str; 4] = ["health", "clock", "link", "disk"];
    match local::ask(&config.dir) {
        Ok(status) => {
            let running = format!("The node runs ({}).", status.software);
            let more = status.advice.into_iter();
            let more = more.filter(|finding| !TRIED.contains(&finding.about.as_str()));
            std::iter::once(Finding::good("running", running)).chain(more).collect()
        }
        Err(error) => vec![
            Finding::note("running", format!("{error}."))
                .or_else(format!("drystone-node run --data {}", config.dir.display())),
        ],
    }
}

fn list(findings: &[Finding]) -> String {
    let widest = findings.iter().map(|finding| finding.about.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for Finding { severity, about, words, fix } in findings {
        text.push_str(&format!("{severity:<7}  {about:<widest$}  {words}\n"));
        if let Some(fix) = fix {
            text.push_str(&format!("{:7}  {:widest$}  → {fix}\n", "", ""));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_and_its_fix_another_below_it() {
        let shown = list(&[
            Finding::good("clock", "right"),
            Finding::bad("open files", "too few", "allow more"),
        ]);
        assert_eq!(
            shown,
            "good     clock       right\n\
             bad      open files  too few\n                     → allow more\n"
        );
    }
}
