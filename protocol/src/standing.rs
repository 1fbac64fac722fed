//! How a node's owner learns what the network thinks of the node: one question and one answer under `drystone-standing/1`.
//!
//! As in a [`leave`](crate::leave), TLS has shown both ends whom they speak with, so that each node hears of itself alone. A gateway says what
//! it holds against a node together with the evidence, before anything comes of it.

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use types::{ShardId, Timestamp};

use crate::dial::Io;
use crate::error::LinkError;
use crate::join::{read, within, write};
use crate::limits::{EVIDENCE_MAX, EVIDENCE_WORDS_MAX, WORDS_MAX};
use crate::message::words;
use crate::version::Versions;

/// Which step took too long, in errors.
const STEP: &str = "asking for the node's standing";

/// What a node's owner asks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StandingRequest {
    /// What its program speaks.
    pub versions: Versions,
}

/// What the gateway answers. The order is on the wire.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum StandingAnswer {
    /// What the network thinks of the node.
    Told(Report),
    /// The gateway does not say.
    Refused {
        /// Why, for the owner; at most [`WORDS_MAX`] bytes.
        why: String,
    },
}

/// What a node is trusted with. The order is on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rank {
    /// Everything.
    Good,
    /// Everything; but its owner should look at it.
    Warned,
    /// What it holds. It gets no new shards.
    Suspended,
    /// Nothing: its slots go to others.
    Disqualified,
}

/// What the network thinks of a node. Shares are in millionths.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// What it is trusted with.
    pub rank: Rank,
    /// Since when, if that ever changed.
    pub since: Option<Timestamp>,
    /// Why; at most [`EVIDENCE_WORDS_MAX`] bytes.
    pub reason: String,
    /// Whether the operator decided it.
    pub by_operator: bool,
    /// The share of its audited shards that were lost or wrong.
    pub lost: u32,
    /// The share of its answers that came too late.
    pub late: u32,
    /// The share of the week in which it is connected, as far as that is known.
    pub available: u32,
    /// Audits passed since it joined.
    pub audits: u64,
    /// Rotten shards it reported itself, which is not held against it.
    pub owned_up: u64,
    /// What it still has to show for a full share of new data; nothing, if it has one.
    pub wanting: Option<Wanting>,
    /// The newest of what was found wrong, newest first; at most [`EVIDENCE_MAX`].
    pub evidence: Vec<Exhibit>,
}

/// What a newcomer still has to show.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Wanting {
    /// Audits to pass.
    pub audits: u64,
    /// Hours to wait.
    pub hours: u64,
    /// Bytes to hold.
    pub bytes: u64,
}

/// One thing that was found wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Exhibit {
    /// When.
    pub at: Timestamp,
    /// What. The order is on the wire.
    pub fault: Fault,
    /// In which shard.
    pub shard: Option<ShardId>,
    /// The details; at most [`EVIDENCE_WORDS_MAX`] bytes.
    pub words: String,
}

/// What can be wrong with a node's work. The order is on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A shard that it stored is not there.
    Missing,
    /// Bytes of a shard are not the right ones.
    Corrupt,
    /// It broke a rule of the protocol.
    Breach,
    /// It answered too late.
    Late,
    /// It said itself that a shard is rotten. Not held against it.
    OwnedUp,
}

impl Report {
    fn fits(&self) -> bool {
        let short = |exhibit: &Exhibit| exhibit.words.len() <= EVIDENCE_WORDS_MAX;
        self.reason.len() <= EVIDENCE_WORDS_MAX
            && self.evidence.len() <= EVIDENCE_MAX
            && self.evidence.iter().all(short)
    }
}

/// The node's end: asks, and hears the answer.
///
/// # Errors
/// If the connection fails, takes longer than [`JOIN_TIMEOUT`](crate::limits::JOIN_TIMEOUT), or the answer cannot be read. A refusal is no error but
/// an answer.
pub async fn ask(mut io: impl Io, request: &StandingRequest) -> Result<StandingAnswer, LinkError> {
    within(STEP, async {
        write(&mut io, request).await?;
        let answer = read(&mut io).await?;
        let fine = match &answer {
            StandingAnswer::Told(report) => report.fits(),
            StandingAnswer::Refused { why } => why.len() <= WORDS_MAX,
        };
        if fine { Ok(answer) } else { Err(LinkError::Malformed("a standing out of bounds")) }
    })
    .await
}

/// The gateway's end: reads the question, lets `tell` answer it, and gives the answer back.
///
/// # Errors
/// If the connection fails, takes longer than [`JOIN_TIMEOUT`](crate::limits::JOIN_TIMEOUT), or the question cannot be read.
pub async fn answer<F, Fut>(mut io: impl Io, tell: F) -> Result<StandingAnswer, LinkError>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = StandingAnswer>,
{
    within(STEP, async {
        let request: StandingRequest = read(&mut io).await?;
        let mut answer = match request.versions.agree() {
            Ok(_) => tell().await,
            Err(none) => StandingAnswer::Refused { why: none.to_string() },
        };
        if let StandingAnswer::Refused { why } = &mut answer {
            *why = words(why);
        }
        write(&mut io, &answer).await?;
        io.shutdown().await?;
        Ok(answer)
    })
    .await
}
