//! `drystone-node leave --data DIR [--stay | --ask] [--json]`

use std::path::Path;

use protocol::leave::Wish;

use super::Data;
use crate::config::{NodeConfig, Overrides};
use crate::error::Error;
use crate::leave::{Departure, Spokesman};

#[derive(Debug, clap::Args)]
pub(crate) struct Leave {
    #[command(flatten)]
    data: Data,
    /// Stay after all. What has gone to others stays there.
    #[arg(long, conflicts_with = "ask")]
    stay: bool,
    /// Only ask how far leaving has come.
    #[arg(long)]
    ask: bool,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Leave {
    pub(crate) async fn run(self) -> Result<(), Error> {
        let config = NodeConfig::load(&self.data.dir, Overrides::default())?;
        let wish = match self {
            Self { stay: true, .. } => Wish::Stay,
            Self { ask: true, .. } => Wish::Ask,
            _ => Wish::Leave,
        };
        let departure = Spokesman::new(&config)?.tell(wish).await?;
        if self.json {
            let told = serde_json::json!({
                "leaving": departure.is_some(),
                "groups": departure.map(|departure| departure.groups),
                "left": departure.is_some_and(|departure| departure.groups == 0),
            });
            println!("{told}");
        } else {
            println!("{}", words(departure, &config.dir));
        }
        Ok(())
    }
}

fn words(departure: Option<Departure>, dir: &Path) -> String {
    let dir = dir.display();
    match departure {
        None => "The node is a member of its network and does not leave.".to_owned(),
        Some(Departure { groups: 0, .. }) => format!(
            "The node has left: nothing counts on it any more. Stop it, and remove {dir} when you like."
        ),
        Some(Departure { groups, .. }) => format!(
            "The node is leaving. It gets nothing new, and {groups} placement groups still count on it: keep it running until \
             they have been moved.\nSee how far it is: drystone-node leave --ask --data {dir}\n\
             Stay after all:    drystone-node leave --stay --data {dir}"
        ),
    }
}
