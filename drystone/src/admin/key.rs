//! `drystone admin key create|list|show|enable|disable|rotate|delete`

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::client::Client;
use crate::error::CliError;
use crate::output::{Output, table, text};

const EXAMPLES: &str = "\
Examples:
  drystone admin key create --account alice
  drystone admin key create --account alice --name backup --policy backup.json --expires 2030-01-01T00:00:00Z
  drystone admin key list --account alice
  drystone admin key rotate DSEXAMPLE --overlap-hours 24";

const CREATE_EXAMPLES: &str = "\
A policy narrows what the key may do of what its account may:
  {\"Version\": \"2012-10-17\", \"Statement\": {\"Effect\": \"Allow\", \"Action\": \"s3:GetObject\", \"Resource\": \"arn:aws:s3:::photos/*\"}}

Examples:
  drystone admin key create --account alice
  drystone admin key create --account alice --name backup --policy backup.json --expires 2030-01-01T00:00:00Z";

const ONE_EXAMPLES: &str = "Example:\n  drystone admin key disable DSEXAMPLE";

const ROTATE_EXAMPLES: &str = "\
The new key has the old one's account, name, policy and end. Without an overlap the old one ends at once.

Example:
  drystone admin key rotate DSEXAMPLE --overlap-hours 24";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Key {
    /// Create an access key. Its secret is shown now and never again.
    Create(Create),
    /// List an account's keys.
    List(List),
    /// Show one key and its policy.
    Show(One),
    /// Let a disabled key sign again.
    Enable(One),
    /// Let a key sign no more, until it is enabled.
    Disable(One),
    /// Replace a key by a new one.
    Rotate(Rotate),
    /// Delete a key.
    Delete(One),
}

#[derive(Debug, clap::Args)]
#[command(after_help = CREATE_EXAMPLES)]
pub(crate) struct Create {
    /// Whose it will be.
    #[arg(long)]
    account: String,
    /// What to call it; policies name it arn:aws:iam::ACCOUNT:user/NAME.
    #[arg(long)]
    name: Option<String>,
    /// A file with a policy (JSON) that narrows what it may do.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// When it ends, like 2030-12-31T23:59:59Z.
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    #[command(flatten)]
    pair: Pair,
}

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct List {
    /// Whose keys.
    #[arg(long)]
    account: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = ONE_EXAMPLES)]
pub(crate) struct One {
    /// The access key's id.
    id: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = ROTATE_EXAMPLES)]
pub(crate) struct Rotate {
    /// The access key's id.
    id: String,
    /// For how many hours the old key goes on beside the new one.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=720))]
    overlap_hours: u32,
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
        match self {
            Self::Create(create) => create.run(client, output).await,
            Self::List(List { account }) => {
                check(&account)?;
                let answer = client.get(&format!("/admin/v1/keys?account={account}")).await?;
                output.show(&answer, listed);
                Ok(())
            }
            Self::Show(One { id }) => {
                let answer = client.get(&path(&id)?).await?;
                output.show(&answer, described);
                Ok(())
            }
            Self::Enable(One { id }) => switch(client, output, &id, "enable").await,
            Self::Disable(One { id }) => switch(client, output, &id, "disable").await,
            Self::Rotate(Rotate { id, overlap_hours }) => {
                let body = json!({ "overlap_seconds": u64::from(overlap_hours) * 3600 });
                let answer = client.post(&format!("{}/rotate", path(&id)?), Some(body)).await?;
                output.show(&answer, words);
                Ok(())
            }
            Self::Delete(One { id }) => {
                client.delete(&path(&id)?, None).await?;
                output.show(&json!({ "deleted": id }), |_| format!("key {id} is deleted"));
                Ok(())
            }
        }
    }
}

impl Create {
    async fn run(self, client: &Client, output: Output) -> Result<(), CliError> {
        let mut body = json!({ "account": self.account });
        if let Some(name) = self.name {
            body["name"] = name.into();
        }
        if let Some(file) = self.policy {
            let text = std::fs::read_to_string(&file)
                .map_err(|error| CliError::Usage(format!("{}: {error}", file.display())))?;
            body["policy"] = text.into();
        }
        if let Some(expires) = self.expires {
            body["expires"] = expires.into();
        }
        let answer = client.post("/admin/v1/keys", Some(self.pair.add_to(body))).await?;
        output.show(&answer, words);
        Ok(())
    }
}

async fn switch(client: &Client, output: Output, id: &str, word: &str) -> Result<(), CliError> {
    let answer = client.post(&format!("{}/{word}", path(id)?), None).await?;
    output.show(&answer, |_| format!("key {id} is {word}d"));
    Ok(())
}

/// Where a key is in the API.
fn path(id: &str) -> Result<String, CliError> {
    check(id)?;
    Ok(format!("/admin/v1/keys/{id}"))
}

/// Ids are plain, so that they need no quoting in paths.
fn check(id: &str) -> Result<(), CliError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !id.is_empty() && id.bytes().all(plain) {
        return Ok(());
    }
    Err(CliError::Usage(format!("{id:?} is no id: letters, digits, '-', '_' and '.'")))
}

/// A new key as it is shown to people.
pub(crate) fn words(key: &Value) -> String {
    format!("access key  {}\nsecret key  {}", text(key, "access_key"), text(key, "secret_key"))
}

fn state(key: &Value) -> &'static str {
    if key["enabled"] == true { "enabled" } else { "disabled" }
}

fn listed(keys: &Value) -> String {
    let rows: Vec<Vec<String>> = keys
        .as_array()
        .into_iter()
        .flatten()
        .map(|key| {
            let scoped = if key.get("policy").is_some() { "policy" } else { "" };
            let [id, name, created, expires] =
                ["access_key", "name", "created", "expires"].map(|field| text(key, field));
            vec![id, name, state(key).to_owned(), created, expires, scoped.to_owned()]
        })
        .collect();
    table(&["ACCESS KEY", "NAME", "STATE", "CREATED", "EXPIRES", ""], &rows, "no keys")
}

fn described(key: &Value) -> String {
    let [id, account, name, created, expires] =
        ["access_key", "account", "name", "created", "expires"].map(|field| text(key, field));
    let mut words = format!(
        "access key  {id}\naccount     {account}\nname        {name}\nstate       {}\ncreated     {created}",
        state(key)
    );
    if !expires.is_empty() {
        words.push_str(&format!("\nexpires     {expires}"));
    }
    if let Some(policy) = key.get("policy") {
        words.push_str(&format!("\npolicy      {policy}"));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_line() {
        let keys = json!([{
            "access_key": "DS1", "account": "ann", "name": "backup", "created": "2026-01-01T00:00:00Z",
            "enabled": false, "temporary": false, "policy": {}
        }]);
        let shown = listed(&keys);
        let line: Vec<&str> = shown.lines().nth(1).expect("a line").split_whitespace().collect();
        assert_eq!(line, ["DS1", "backup", "disabled", "2026-01-01T00:00:00Z", "policy"]);
    }

    #[test]
    fn an_id_that_would_lead_elsewhere_is_refused() {
        for bad in ["", "a/b", "a?b", "ä"] {
            assert!(path(bad).is_err(), "{bad}");
        }
    }
}
