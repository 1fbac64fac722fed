//! `drystone admin takedown …`: what nobody may read any more (`docs/TAKEDOWN.md`).

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::client::Client;
use crate::error::CliError;
use crate::output::{Output, table, text};

/// Contents sent in one request.
const STEP: usize = 500;
/// Rows in a full page of the gateway's list.
const PAGE: usize = 1000;
/// Hexadecimal digits of a double hash.
const HASH_DIGITS: usize = 64;

const EXAMPLES: &str = "\
Examples:
  drystone admin takedown add --object s3://photos/summer/7.jpg --reason 'court order 12 O 3/26'
  drystone admin takedown add --prefix s3://mirror/leaked/ --reason 'notice 4711'
  drystone admin takedown add --hashes blocklist.txt --reason 'list of 2026-11'
  drystone admin takedown remove --object s3://photos/summer/7.jpg --reason 'order lifted'
  drystone admin takedown list --json";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Takedown {
    /// Take something down: reading it answers 451, listings leave it out, running reads end.
    ///
    /// Nothing is deleted, and what object lock keeps stays. Every takedown is a row of the public log at /takedowns of the admin door.
    #[command(after_help = EXAMPLES)]
    Add(Change),
    /// Lift a takedown: it can be read and listed again.
    #[command(after_help = EXAMPLES)]
    Remove(Change),
    /// List what is taken down.
    #[command(after_help = "Example:\n  drystone admin takedown list")]
    List,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Change {
    #[command(flatten)]
    what: What,
    /// Why: one line that everybody may read.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct What {
    /// Every version of a key, as s3://BUCKET/KEY.
    #[arg(long, value_name = "URI")]
    object: Option<String>,
    /// Every key that begins so, as s3://BUCKET/PREFIX; s3://BUCKET/ is all of it.
    #[arg(long, value_name = "URI")]
    prefix: Option<String>,
    /// Whatever has this content, in every bucket: the SHA-256 of its MD5 or SHA-256, in hexadecimal.
    #[arg(long, value_name = "HEX")]
    hash: Option<String>,
    /// A file of such hashes, one a line; empty lines and what follows a # do not count.
    #[arg(long, value_name = "FILE")]
    hashes: Option<PathBuf>,
}

impl Takedown {
    pub(crate) async fn run(self, client: &Client, output: Output) -> Result<(), CliError> {
        let (Change { what, reason }, add) = match self {
            Self::Add(change) => (change, true),
            Self::Remove(change) => (change, false),
            Self::List => return list(client, output).await,
        };
        let (mut changed, mut named) = (0, 0);
        for mut body in what.bodies()? {
            body["reason"] = json!(reason);
            let answer = if add {
                client.post("/admin/v1/takedowns", Some(body)).await?
            } else {
                client.delete("/admin/v1/takedowns", Some(body)).await?
            };
            changed += answer["changed"].as_u64().unwrap_or(0);
            named += answer["named"].as_u64().unwrap_or(0);
        }
        output.show(&json!({ "changed": changed, "named": named }), |_| {
            let done = if add { "taken down" } else { "lifted" };
            format!("{done}: {changed} of {named}; the others were so before")
        });
        Ok(())
    }
}

impl What {
    /// The requests that say it, without their reason.
    fn bodies(self) -> Result<Vec<Value>, CliError> {
        let Self { object, prefix, hash, hashes } = self;
        if let Some(uri) = object {
            return Ok(vec![json!({ "object": in_bucket(&uri)? })]);
        }
        if let Some(uri) = prefix {
            return Ok(vec![json!({ "prefix": in_bucket(&uri)? })]);
        }
        if let Some(path) = hashes {
            let text = std::fs::read_to_string(&path).map_err(CliError::io(&path))?;
            let hashes = read_hashes(&text)?;
            return Ok(hashes.chunks(STEP).map(|step| json!({ "contents": step })).collect());
        }
        let hash = hash.unwrap_or_default();
        let hashes = read_hashes(&hash)?;
        Ok(vec![json!({ "contents": hashes })])
    }
}

/// `s3://BUCKET/KEY`
fn in_bucket(uri: &str) -> Result<Value, CliError> {
    let parts = uri.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
    let (bucket, key) =
        parts.ok_or_else(|| CliError::Usage(format!("{uri:?}: write s3://BUCKET/KEY")))?;
    Ok(json!({ "bucket": bucket, "key": key }))
}

/// The hashes of a list, each checked: half a list would say that the other half was taken down.
fn read_hashes(text: &str) -> Result<Vec<&str>, CliError> {
    let mut hashes = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let hash = line.split('#').next().unwrap_or_default().trim();
        let whole = hash.len() == HASH_DIGITS && hash.bytes().all(|b| b.is_ascii_hexdigit());
        if whole {
            hashes.push(hash);
        } else if !hash.is_empty() {
            return Err(CliError::Usage(format!(
                "line {}: {hash:?} is no double hash: {HASH_DIGITS} hexadecimal digits",
                at + 1
            )));
        }
    }
    if hashes.is_empty() {
        return Err(CliError::Usage("there is no hash in it".to_owned()));
    }
    Ok(hashes)
}

async fn list(client: &Client, output: Output) -> Result<(), CliError> {
    let mut all: Vec<Value> = Vec::new();
    let mut path = "/admin/v1/takedowns".to_owned();
    loop {
        let page = client.get(&path).await?;
        let page = page.as_array().cloned().unwrap_or_default();
        let contents = page.iter().filter(|row| row["kind"] == "content").count();
        let last = page.last().map(|row| text(row, "what"));
        all.extend(page);
        match last {
            Some(last) if contents == PAGE => {
                path = format!("/admin/v1/takedowns?after={last}");
            }
            _ => break,
        }
    }
    output.show(&Value::Array(all), |all| {
        let rows: Vec<Vec<String>> = all.as_array().into_iter().flatten().map(row).collect();
        table(&["KIND", "WHAT", "SINCE", "REASON"], &rows, "nothing is taken down")
    });
    Ok(())
}

/// A takedown as it is shown to people.
fn row(takedown: &Value) -> Vec<String> {
    let what = text(takedown, "what");
    let what = match takedown["bucket"].as_str() {
        Some(bucket) => format!("s3://{bucket}/{what}"),
        None => what.to_string(),
    };
    let column = |field| text(takedown, field).to_string();
    vec![column("kind"), what, column("created"), column("reason")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_hashes_has_comments_and_no_doubtful_lines() {
        let (a, b) = ("ab".repeat(32), "CD".repeat(32));
        let list = format!("# november\n{a}\n\n  {b}  # two\n");
        assert_eq!(read_hashes(&list).expect("a list"), [a.as_str(), b.as_str()]);
        for bad in ["", "# none", "abcd", &a[1..], &format!("{a} {b}"), &"g".repeat(64)] {
            assert!(read_hashes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_object_is_named_as_a_uri() {
        let named = in_bucket("s3://b/k/l").expect("named");
        assert_eq!(named, json!({ "bucket": "b", "key": "k/l" }));
        for bad in ["b/k", "s3://b", "https://b/k"] {
            assert!(in_bucket(bad).is_err(), "{bad}");
        }
    }
}
