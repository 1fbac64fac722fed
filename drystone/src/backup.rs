//! `drystone backup` and `drystone restore`.

use std::path::PathBuf;

use ::gateway::admin::backup::restore;
use serde_json::json;

use crate::client::Target;
use crate::error::CliError;
use crate::output::{Output, size, text};

const BACKUP_EXAMPLES: &str = "\
The backup holds the catalog and every key: keep it as safe as the data. It does not hold the shards, which are on the nodes.

Example:
  drystone backup --data ~/drystone --to /mnt/backup/$(date +%F)";

const RESTORE_EXAMPLES: &str = "\
The installation must be stopped, and the data folder new or empty. Nodes of `drystone up` live in its folder `nodes`: bring it along.

Example:
  drystone restore --from /mnt/backup/2026-11-22 --data ~/drystone-new";

/// Asks a running gateway for a backup.
#[derive(Debug, clap::Args)]
#[command(after_help = BACKUP_EXAMPLES)]
pub(crate) struct Backup {
    /// A new or empty folder on the gateway's machine.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    target: Target,
}

impl Backup {
    pub(crate) async fn run(self, output: Output) -> Result<(), CliError> {
        let to = std::path::absolute(&self.to).map_err(CliError::io(&self.to))?;
        let answer =
            self.target.client()?.post("/admin/v1/backup", Some(json!({ "to": to }))).await?;
        output.show(&answer, |written| {
            format!(
                "{}: {} files, {}",
                text(written, "to"),
                text(written, "files"),
                size(written, "bytes")
            )
        });
        Ok(())
    }
}

/// Makes a data folder from a backup.
#[derive(Debug, clap::Args)]
#[command(after_help = RESTORE_EXAMPLES)]
pub(crate) struct Restore {
    /// The backup.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The new data folder.
    #[arg(long, env = "DRYSTONE_DATA", value_name = "DIR")]
    data: PathBuf,
}

impl Restore {
    pub(crate) fn run(self, output: Output) -> Result<(), CliError> {
        let copied = restore(&self.from, &self.data)?;
        let answer = json!({ "data": self.data, "files": copied.files, "bytes": copied.bytes });
        output.show(&answer, |restored| {
            let (files, bytes) = (text(restored, "files"), size(restored, "bytes"));
            format!(
                "{}: {files} files, {bytes}. Start it with: drystone gateway --data {0}",
                self.data.display()
            )
        });
        Ok(())
    }
}
