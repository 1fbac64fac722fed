//! Errors name the guilty: the line, the node's state, our own misuse, or the node itself.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use types::{Epoch, NodeId};

use crate::blame::{Evidence, Offence};
use crate::identity::TrustError;
use crate::message::{Refusal, Verb};

/// Why a node did not do what the gateway asked of it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NodeError {
    /// The line or the machine failed; nobody is to blame. Try another node.
    #[error("the node cannot be reached")]
    Unreachable(#[source] Loss),
    /// The node has too much to do; ask again after this time.
    #[error("the node is busy; ask again in {retry_after:?}")]
    Busy {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The gateway's idea of the group is old; the node knows this epoch.
    #[error("the node knows the newer epoch {epoch}")]
    Stale {
        /// The newer epoch.
        epoch: Epoch,
    },
    /// The node does not hold the shard.
    #[error("the node does not hold the shard")]
    NotFound,
    /// The node's quota or disk has no room.
    #[error("the node is full")]
    Full,
    /// Another shard lies under this id and the request did not ask to replace it.
    #[error("the node holds another shard of this id")]
    Exists,
    /// The two ends do not speak the same language.
    #[error("incompatible: {words}")]
    Incompatible {
        /// Why, for the operator.
        words: String,
    },
    /// The node refuses the request as unauthorised or nonsensical.
    #[error("denied: {words}")]
    Denied {
        /// Why, for the operator.
        words: String,
    },
    /// The node reports a failure of its own, such as a disk error or rot it found itself.
    #[error("the node failed: {words}")]
    Failed {
        /// What failed, for the operator.
        words: String,
    },
    /// The sender's stream ended before the announced length: the store was given up from our side.
    #[error("the sender gave up")]
    Aborted,
    /// The gateway asked for something that cannot be asked. A defect of the caller.
    #[error("invalid request: {0}")]
    Invalid(&'static str),
    /// The node broke the rules.
    #[error("{0}")]
    Misbehaved(Evidence),
}

/// How a node was lost.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Loss {
    /// The connection had ended before the request.
    #[error("the connection is closed")]
    Closed,
    /// The node ended this request, but not the connection.
    #[error("the node reset the request")]
    Reset(#[source] Arc<hyper::Error>),
    /// The connection broke meanwhile.
    #[error("the connection broke")]
    Broken(#[source] Arc<hyper::Error>),
    /// The node moved fewer bytes per second than [`crate::limits::ANSWER_RATE_MIN`] after the grace.
    #[error("too slow: {bytes} bytes while it was waited for {waited:?}")]
    TooSlow {
        /// Bytes that came through.
        bytes: u64,
        /// Time spent waiting for the node.
        waited: Duration,
    },
}

impl NodeError {
    /// The refusal as the gateway's caller sees it.
    pub(crate) fn refused(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Busy { retry_after_ms } => {
                Self::Busy { retry_after: Duration::from_millis(u64::from(retry_after_ms)) }
            }
            Refusal::Stale { epoch } => Self::Stale { epoch },
            Refusal::NotFound => Self::NotFound,
            Refusal::Full => Self::Full,
            Refusal::Exists => Self::Exists,
            Refusal::Incompatible { words } => Self::Incompatible { words },
            Refusal::Denied { words } => Self::Denied { words },
            Refusal::Failed { words } => Self::Failed { words },
        }
    }

    pub(crate) fn misbehaved(node: NodeId, verb: Verb, offence: Offence) -> Self {
        Self::Misbehaved(Evidence { node, verb, offence })
    }

    /// Sorts an HTTP/2 failure: what the h2 library found wrong with the peer's bytes is the peer's fault, all else is loss.
    pub(crate) fn from_hyper(node: NodeId, verb: Verb, error: hyper::Error) -> Self {
        match h2_cause(&error) {
            Some(h2) if h2.is_library() => {
                let breach = h2
                    .reason()
                    .map_or_else(|| h2.to_string(), |reason| reason.description().to_owned());
                Self::misbehaved(node, verb, Offence::Http2(breach))
            }
            Some(h2) if h2.is_reset() && h2.is_remote() => {
                Self::Unreachable(Loss::Reset(Arc::new(error)))
            }
            _ if error.is_canceled() || error.is_closed() => Self::Unreachable(Loss::Closed),
            _ => Self::Unreachable(Loss::Broken(Arc::new(error))),
        }
    }
}

/// Whether the h2 library reset one stream because of its peer's bytes; in a body that is a wrong length.
pub(crate) fn is_stream_breach(error: &hyper::Error) -> bool {
    h2_cause(error).is_some_and(|h2| h2.is_library() && h2.is_reset())
}

fn h2_cause(error: &hyper::Error) -> Option<&h2::Error> {
    let mut cause = std::error::Error::source(error);
    while let Some(at) = cause {
        if let Some(found) = at.downcast_ref() {
            return Some(found);
        }
        cause = at.source();
    }
    None
}

/// Why a connection could not be made, or ended otherwise than by a goodbye.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Reading or writing failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The peer did not finish in time.
    #[error("{what} took longer than {after:?}")]
    Timeout {
        /// Which step.
        what: &'static str,
        /// The limit.
        after: Duration,
    },
    /// The peer is not who it must be.
    #[error("the peer is not trusted")]
    Untrusted(#[source] TrustError),
    /// The TLS handshake failed for another reason.
    #[error("the TLS handshake failed")]
    Tls(#[source] rustls::Error),
    /// Our own certificate could not be made.
    #[error("the certificate cannot be made")]
    Certificate(#[source] rcgen::Error),
    /// The peer did not name a protocol of ours.
    #[error(
        "the peer speaks neither drystone/1 nor drystone-join/1, drystone-leave/1 or drystone-standing/1"
    )]
    UnknownProtocol,
    /// HTTP/2 failed.
    #[error("the HTTP/2 connection failed")]
    Http(#[source] hyper::Error),
    /// A message of a join is larger than allowed.
    #[error("a message of {len} bytes where at most {max} are allowed")]
    Oversized {
        /// Bytes by its prefix.
        len: u64,
        /// Bytes allowed.
        max: u64,
    },
    /// A message of a join cannot be read.
    #[error("a malformed message: {0}")]
    Malformed(&'static str),
}

impl LinkError {
    /// Unwraps what rustls reports through an I/O error, so that a distrusted peer is told from a broken line.
    pub(crate) fn from_handshake(error: io::Error) -> Self {
        let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
        else {
            return Self::Io(error);
        };
        if let rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) = tls
            && let Some(distrust) = other.0.downcast_ref::<TrustError>()
        {
            return Self::Untrusted(distrust.clone());
        }
        Self::Tls(tls.clone())
    }
}

/// Why the rest of a shard does not come.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The gateway gave up, or was lost.
    #[error("the gateway gave up")]
    Interrupted(#[source] hyper::Error),
    /// The gateway sent more or fewer bytes than it announced.
    #[error("the body is not as long as announced")]
    WrongLength,
}
