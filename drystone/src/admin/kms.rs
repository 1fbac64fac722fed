//! `drystone admin kms …`: the named keys that objects may be encrypted under (SSE-KMS).

use clap::Subcommand;
use serde_json::{Value, json};

use crate::client::Client;
use crate::error::CliError;
use crate::output::{Output, text};

const EXAMPLES: &str = "\
Examples:
  drystone admin kms create payroll --data ~/drystone
  drystone admin kms rotate payroll --data ~/drystone
  aws s3 cp salaries.csv s3://hr/ --sse aws:kms --sse-kms-key-id payroll";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Kms {
    /// Make a key. Customers name it when they store objects.
    #[command(after_help = "Example:\n  drystone admin kms create payroll")]
    Create(Name),
    /// List the keys.
    #[command(after_help = "Example:\n  drystone admin kms list")]
    List,
    /// Give a key a new secret for what is stored from now on; what was stored before stays readable.
    #[command(after_help = "Example:\n  drystone admin kms rotate payroll")]
    Rotate(Name),
    /// Let a disabled key be used again.
    #[command(after_help = "Example:\n  drystone admin kms enable payroll")]
    Enable(Name),
    /// Stop the use of a key: what it protects can neither be read nor stored until it is enabled.
    #[command(after_help = "Example:\n  drystone admin kms disable payroll")]
    Disable(Name),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Name {
    /// The key: letters, digits, '-', '_' and '.'.
    name: String,
}

impl Kms {
    pub(crate) async fn run(self, client: &Client, output: Output) -> Result<(), CliError> {
        let (name, change) = match self {
            Self::List => {
                let keys = client.get("/admin/v1/kms").await?;
                output.show(&keys, |keys| {
                    let lines = keys.as_array().into_iter().flatten().map(words);
                    lines.collect::<Vec<_>>().join("\n")
                });
                return Ok(());
            }
            Self::Create(Name { name }) => {
                let key = client.post("/admin/v1/kms", Some(json!({ "name": name }))).await?;
                output.show(&key, words);
                return Ok(());
            }
            Self::Rotate(Name { name }) => (name, "rotate"),
            Self::Enable(Name { name }) => (name, "enable"),
            Self::Disable(Name { name }) => (name, "disable"),
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(CliError::Usage(format!("{name:?} cannot be a key's name")));
        }
        let key = client.post(&format!("/admin/v1/kms/{name}/{change}"), None).await?;
        output.show(&key, words);
        Ok(())
    }
}

/// A key as it is shown to people.
fn words(key: &Value) -> String {
    let state = if key["enabled"] == true { "enabled" } else { "disabled" };
    format!(
        "{}  {state}  secrets {}  rotated {}",
        text(key, "name"),
        key["secrets"],
        text(key, "rotated")
    )
}
