//! `drystone admin bucket …`: what the operator says of a customer's bucket.

use clap::Subcommand;
use serde_json::{Value, json};
use types::ByteSize;

use crate::client::Client;
use crate::error::CliError;
use crate::output::{Output, size, text};

const EXAMPLES: &str = "\
Examples:
  drystone admin bucket quota photos --bytes 500GB
  drystone admin bucket quota photos
  drystone admin bucket quota photos --bytes none";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Bucket {
    /// Show, set or take away how many bytes a bucket may hold.
    ///
    /// Usage is added up now and then, so the quota holds approximately; a write that would exceed it is refused with QuotaExceeded.
    #[command(after_help = EXAMPLES)]
    Quota(Quota),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Quota {
    /// The bucket.
    bucket: String,
    /// What it may hold, such as 500GB; `none` takes the quota away [default: only show it]
    #[arg(long, value_name = "SIZE|none", value_parser = limit)]
    bytes: Option<Limit>,
}

#[derive(Clone, Copy, Debug)]
enum Limit {
    None,
    Bytes(u64),
}

fn limit(text: &str) -> Result<Limit, String> {
    if text == "none" {
        return Ok(Limit::None);
    }
    let size: ByteSize = text.parse().map_err(|error| format!("{error}, or none"))?;
    Ok(Limit::Bytes(size.0))
}

impl Bucket {
    pub(crate) async fn run(self, client: &Client, output: Output) -> Result<(), CliError> {
        let Self::Quota(Quota { bucket, bytes }) = self;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        if bucket.is_empty() || !bucket.bytes().all(plain) {
            return Err(CliError::Usage(format!("{bucket:?} cannot be a bucket's name")));
        }
        let path = format!("/admin/v1/buckets/{bucket}/quota");
        let answer = match bytes {
            None => client.get(&path).await?,
            Some(Limit::None) => client.delete(&path, None).await?,
            Some(Limit::Bytes(bytes)) => {
                client.post(&path, Some(json!({ "bytes": bytes }))).await?
            }
        };
        output.show(&answer, words);
        Ok(())
    }
}

/// A quota as it is shown to people.
fn words(quota: &Value) -> String {
    let or = |field: &str, nothing: &str| {
        if quota[field].is_null() { nothing.to_owned() } else { size(quota, field) }
    };
    format!(
        "{}  quota {}  used {}",
        text(quota, "bucket"),
        or("bytes", "none"),
        or("used", "not added up")
    )
}
