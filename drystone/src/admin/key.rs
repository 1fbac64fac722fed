//! `drystone admin key create`

use clap::Subcommand;
use serde_json::{Value, json};

use crate::client::Client;
use crate::error::CliError;
use crate::output::{Output, text};

const EXAMPLES: &str = "Example:\n  drystone admin key create --account alice";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Key {
    /// Create an access key. Its secret is shown now and never again.
    Create(Create),
}

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Create {
    /// Whose it will be.
    #[arg(long)]
    account: String,
    #[command(flatten)]
    pair: Pair,
}

/// A key that was made elsewhere.
#[derive(Clone, clap::Args)]
pub(crate) struct Pair {
    /// Use this access key instead of a random one.
    #[arg(long, requires = "secret_key")]
    access_key: Option<String>,
    /// And this secret. It shows in the process list: prefer a random one.
    #[arg(long, requires = "access_key")]
    secret_key: Option<String>,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

impl Pair {
    /// Puts it into a request's body.
    pub(crate) fn add_to(self, mut body: Value) -> Value {
        if let (Some(access), Some(secret)) = (self.access_key, self.secret_key) {
            body["access_key"] = access.into();
            body["secret_key"] = secret.into();
        }
        body
    }
}

impl Key {
    pub(crate) async fn run(self, client: &Client, output: Output) -> Result<(), CliError> {
        let Self::Create(Create { account, pair }) = self;
        let answer =
            client.post("/admin/v1/keys", Some(pair.add_to(json!({ "account": account })))).await?;
        output.show(&answer, words);
        Ok(())
    }
}

/// A key as it is shown to people.
pub(crate) fn words(key: &Value) -> String {
    format!("access key  {}\nsecret key  {}", text(key, "access_key"), text(key, "secret_key"))
}
