//! How a node leaves: one question and one answer under `drystone-leave/1`, as often as its owner likes.
//!
//! A link's requests all come from the gateway; this is the one thing that the node's owner has to say. As in a [`join`](crate::join), each
//! message is four big-endian bytes of length and at most [`MESSAGE_MAX`](crate::limits::MESSAGE_MAX) bytes of postcard, and TLS has shown both
//! ends whom they speak with: nobody can make another's node leave.

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use types::Timestamp;

use crate::dial::Io;
use crate::error::LinkError;
use crate::join::{read, within, write};
use crate::limits::WORDS_MAX;
use crate::message::words;
use crate::version::Versions;

/// Which step took too long, in errors.
const STEP: &str = "leaving";

/// What a node's owner asks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeaveRequest {
    /// What its program speaks.
    pub versions: Versions,
    /// What the owner wants.
    pub wish: Wish,
}

/// What an owner wants. The order is on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Wish {
    /// The node shall get no new shards, and what it holds shall go to others.
    Leave,
    /// It shall stay after all. What has gone to others stays there.
    Stay,
    /// Nothing: how far it has come.
    Ask,
}

/// What the gateway answers. The order is on the wire.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum LeaveAnswer {
    /// The node is a member and does not leave.
    Member,
    /// It is leaving, and is still needed.
    Leaving {
        /// Placement groups that still count on it.
        groups: u64,
        /// Since when it is leaving.
        since: Timestamp,
    },
    /// Nothing counts on it any more.
    Left,
    /// The gateway does not do as asked.
    Refused {
        /// Why, for the owner; at most [`WORDS_MAX`] bytes.
        why: String,
    },
}

/// The node's end: asks, and hears the answer.
///
/// # Errors
/// If the connection fails, takes longer than [`JOIN_TIMEOUT`](crate::limits::JOIN_TIMEOUT), or the answer cannot be read. A refusal is no error but
/// an answer.
pub async fn ask(mut io: impl Io, request: &LeaveRequest) -> Result<LeaveAnswer, LinkError> {
    within(STEP, async {
        write(&mut io, request).await?;
        match read(&mut io).await? {
            LeaveAnswer::Refused { why } if why.len() > WORDS_MAX => {
                Err(LinkError::Malformed("a leave's answer out of bounds"))
            }
            answer => Ok(answer),
        }
    })
    .await
}

/// The gateway's end: reads the question, lets `decide` answer it, and gives back both.
///
/// # Errors
/// If the connection fails, takes longer than [`JOIN_TIMEOUT`](crate::limits::JOIN_TIMEOUT), or the question cannot be read.
pub async fn answer<F, Fut>(
    mut io: impl Io,
    decide: F,
) -> Result<(LeaveRequest, LeaveAnswer), LinkError>
where
    F: FnOnce(Wish) -> Fut,
    Fut: Future<Output = LeaveAnswer>,
{
    within(STEP, async {
        let request: LeaveRequest = read(&mut io).await?;
        let mut answer = match request.versions.agree() {
            Ok(_) => decide(request.wish).await,
            Err(none) => LeaveAnswer::Refused { why: none.to_string() },
        };
        if let LeaveAnswer::Refused { why } = &mut answer {
            *why = words(why);
        }
        write(&mut io, &answer).await?;
        io.shutdown().await?;
        Ok((request, answer))
    })
    .await
}
