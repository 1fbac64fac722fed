//! How a stranger becomes a node: one question and one answer under `drystone-join/1`.
//!
//! Each is four big-endian bytes of length and a postcard message of at most [`MESSAGE_MAX`] bytes. The node has already checked
//! the gateway against the root of its invite, and the gateway knows the node's key: both by TLS.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::dial::{Address, Io};
use crate::error::LinkError;
use crate::identity::ClusterId;
use crate::invite::Token;
use crate::limits::{GATEWAYS_MAX, JOIN_TIMEOUT, MESSAGE_MAX, WORDS_MAX};
use crate::message::{self, NodeName, PREFIX, words};
use crate::version::Versions;

/// Which step took too long, in errors.
const STEP: &str = "joining";

/// What a stranger asks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JoinRequest {
    /// What its program speaks.
    pub versions: Versions,
    /// The invite's secret.
    pub token: Token,
    /// What its owner calls it.
    pub name: NodeName,
    /// Bytes it offers.
    pub capacity: u64,
}

/// What the gateway answers. The order is on the wire.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum JoinAnswer {
    /// The key of this connection is a node now.
    Welcome {
        /// The installation it belongs to.
        cluster: ClusterId,
        /// Every gateway it should dial from now on; 1 to [`GATEWAYS_MAX`].
        gateways: Vec<Address>,
    },
    /// It is not.
    Refused {
        /// Why, for the owner; at most [`WORDS_MAX`] bytes.
        why: String,
    },
}

/// The stranger's end: asks, and hears the answer.
///
/// # Errors
/// If the connection fails, takes longer than [`JOIN_TIMEOUT`], or the answer cannot be read. A refusal is no error but an answer.
pub async fn ask(mut io: impl Io, request: &JoinRequest) -> Result<JoinAnswer, LinkError> {
    within(STEP, async {
        write(&mut io, request).await?;
        let answer = read(&mut io).await?;
        let fine = match &answer {
            JoinAnswer::Welcome { gateways, .. } => (1..=GATEWAYS_MAX).contains(&gateways.len()),
            JoinAnswer::Refused { why } => why.len() <= WORDS_MAX,
        };
        if fine { Ok(answer) } else { Err(LinkError::Malformed("a join's answer out of bounds")) }
    })
    .await
}

/// The gateway's end: reads the question, lets `decide` answer it, and gives back both.
///
/// A stranger that speaks no common version is refused in words without being shown to `decide`.
///
/// # Errors
/// If the connection fails, takes longer than [`JOIN_TIMEOUT`], or the question cannot be read. If `decide` has
/// welcomed the node and only then the answer is lost, the node asks again with the same token and key: `decide` should say yes again.
pub async fn answer<F, Fut>(
    mut io: impl Io,
    decide: F,
) -> Result<(JoinRequest, JoinAnswer), LinkError>
where
    F: FnOnce(JoinRequest) -> Fut,
    Fut: Future<Output = JoinAnswer>,
{
    within(STEP, async {
        let request: JoinRequest = read(&mut io).await?;
        let mut answer = match request.versions.agree() {
            Ok(_) => decide(request.clone()).await,
            Err(none) => JoinAnswer::Refused { why: none.to_string() },
        };
        if let JoinAnswer::Refused { why } = &mut answer {
            *why = words(why);
        }
        write(&mut io, &answer).await?;
        io.shutdown().await?;
        Ok((request, answer))
    })
    .await
}

pub(crate) async fn within<T>(
    what: &'static str,
    conversation: impl Future<Output = Result<T, LinkError>>,
) -> Result<T, LinkError> {
    let late = LinkError::Timeout { what, after: JOIN_TIMEOUT };
    timeout(JOIN_TIMEOUT, conversation).await.unwrap_or(Err(late))
}

pub(crate) async fn write<T: Serialize>(io: &mut impl Io, message: &T) -> Result<(), LinkError> {
    let bytes = message::encode(message);
    check_len(bytes.len() - PREFIX)?;
    io.write_all(&bytes).await?;
    io.flush().await?;
    Ok(())
}

pub(crate) async fn read<T: DeserializeOwned>(io: &mut impl Io) -> Result<T, LinkError> {
    let len = io.read_u32().await? as usize;
    check_len(len)?;
    let mut bytes = vec![0; len];
    io.read_exact(&mut bytes).await?;
    message::decode_exactly(&bytes)
        .ok_or(LinkError::Malformed("not a message of this conversation"))
}

fn check_len(len: usize) -> Result<(), LinkError> {
    if len <= MESSAGE_MAX {
        Ok(())
    } else {
        Err(LinkError::Oversized { len: len as u64, max: MESSAGE_MAX as u64 })
    }
}
