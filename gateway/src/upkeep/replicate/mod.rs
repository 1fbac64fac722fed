//! Replicates versions into other buckets, as commits have queued it.
//!
//! ```text
//! queue ─▶ worker ─┬─▶ local    a bucket of this gateway: the replica shares the source's streams
//!                  └─▶ remote   a bucket of another endpoint: the bytes are sent there (client)
//! ```
//!
//! A replica has the id, time, entity tag and everything else of its source, and takes its place among the versions of its key by its time; so the
//! order in which versions are replicated does not matter, and doing it twice does no harm. Another Drystone takes replicas the same way: the
//! query of the request says `drystone-replica=VERSION`, and its signer needs `s3:ReplicateObject` or `s3:ReplicateDelete` there. An endpoint
//! that is none knows nothing of that; it gets the newest version of each key, and of older ones nothing.
//!
//! What fails for a reason that may pass is queued anew, after ever longer pauses and for a day. Each endpoint has a queue and a loop of its own,
//! so that one that does not answer keeps none of the others waiting: a version goes through the queues one after the other, the local one
//! first.

mod client;
mod local;
mod remote;
mod worker;

pub use worker::ReplicationWorker;

use metadata::CatalogError;

use self::client::ClientError;
use crate::get::GetError;
use crate::put::PutError;
use crate::put::recode::RecodeError;

/// Why a version could not be replicated.
#[derive(Debug, thiserror::Error)]
enum ReplicationError {
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The replica could not be stored.
    #[error(transparent)]
    Store(#[from] PutError),
    /// The replica could not be moved to its class.
    #[error(transparent)]
    Move(#[from] RecodeError),
    /// The source cannot be read.
    #[error("the version cannot be read")]
    Read(#[from] GetError),
    /// The other endpoint.
    #[error(transparent)]
    Remote(#[from] ClientError),
    /// Whether the destination takes it cannot be found out.
    #[error("the policy of the destination cannot be read")]
    Policy,
    /// The operator names no such endpoint at the moment, or not for this account.
    #[error("no endpoint {0:?} is configured for this account")]
    Away(String),
    /// The destination takes none.
    #[error("{0}")]
    Refused(&'static str),
}

impl ReplicationError {
    /// Whether another try may succeed.
    fn may_pass(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Move(RecodeError::Class(_)) => false,
            Self::Remote(error) => error.may_pass(),
            Self::Catalog(error) | Self::Store(PutError::Catalog(error)) => !matches!(
                error,
                CatalogError::NoSuchBucket(_)
                    | CatalogError::TakenDown
                    | CatalogError::PreconditionFailed
                    | CatalogError::NotLockable
            ),
            Self::Store(_) | Self::Move(_) | Self::Read(_) | Self::Policy | Self::Away(_) => true,
        }
    }

    /// Whether the place of the replica was taken.
    fn is_taken(&self) -> bool {
        matches!(
            self,
            Self::Catalog(CatalogError::PreconditionFailed)
                | Self::Store(PutError::Catalog(CatalogError::PreconditionFailed))
        )
    }
}
