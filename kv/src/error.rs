//! What can go wrong, whose fault it is, and whether to try again.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::tx::{KEY_MAX, TRANSACTION_MAX, VALUE_MAX};

/// Every error of this crate. Clones share their source: one failed write fails many transactions.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KvError {
    /// Another transaction committed first. Run the transaction again; [`transact`](crate::transact) does.
    #[error("another transaction changed the same keys first")]
    Conflict,
    /// Every repetition met a conflict.
    #[error("gave up after {attempts} attempts, each of which met a conflict")]
    Contended {
        /// How often the transaction was run.
        attempts: u32,
    },
    /// The transaction ran longer than [`TRANSACTION_TIME`](crate::TRANSACTION_TIME).
    #[error("the transaction is {age:?} old, which is longer than transactions may run")]
    TooOld {
        /// How long it had run.
        age: Duration,
    },
    /// A key was empty or longer than [`KEY_MAX`].
    #[error("a key of {0} bytes; keys have 1 to {KEY_MAX}")]
    KeySize(usize),
    /// A value was longer than [`VALUE_MAX`].
    #[error("a value of {0} bytes; at most {VALUE_MAX} are allowed")]
    ValueTooLarge(usize),
    /// The writes of one transaction were larger than [`TRANSACTION_MAX`] together.
    #[error("the transaction writes more than {TRANSACTION_MAX} bytes")]
    TransactionTooLarge,
    /// The transaction was used after its commit.
    #[error("the transaction has already been committed")]
    Finished,
    /// The engine was closed.
    #[error("the store has been closed")]
    Closed,
    /// A family that the engine was not opened with.
    #[error("the store was opened without the family {0:?}")]
    UnknownFamily(&'static str),
    /// The engine cannot do this.
    #[error("this engine cannot {0}")]
    Unsupported(&'static str),
    /// The folder is open in this or another process.
    #[error("the store {} is already open, here or in another process", .0.display())]
    Locked(PathBuf),
    /// A newer program has written the folder.
    #[error(
        "the store {} has format {found}, which a newer version of this program wrote; this version reads up to format {supported}: please upgrade",
        .path.display()
    )]
    NewerFormat {
        /// The folder.
        path: PathBuf,
        /// The folder's format number.
        found: u32,
        /// The newest format number this program knows.
        supported: u32,
    },
    /// The folder holds a store, but its format record is missing or unreadable.
    #[error("the store {} carries no readable format record; it is not ours, or damaged", .0.display())]
    UnknownFormat(PathBuf),
    /// A write failed earlier. What it wrote may or may not be there after a restart, so nothing is written any more until then.
    #[error("the store takes no more writes since one failed; restart after looking at the disk")]
    Poisoned(#[source] Arc<dyn Error + Send + Sync>),
    /// The engine or the operating system failed.
    #[error("the store failed to {action}")]
    Engine {
        /// What was being done.
        action: &'static str,
        /// What the engine said.
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },
    /// A stored key is not what its table says.
    #[error("a stored key is malformed: no {expected} where one should be")]
    MalformedKey {
        /// What should have been there.
        expected: &'static str,
    },
    /// A stored value is not what its table says.
    #[error("a stored value of table {table:?} cannot be read")]
    MalformedValue {
        /// The table.
        table: &'static str,
        /// What the decoder said.
        #[source]
        source: postcard::Error,
    },
    /// A value cannot be put into its stored form.
    #[error("a value of table {table:?} cannot be encoded")]
    Encode {
        /// The table.
        table: &'static str,
        /// What the encoder said.
        #[source]
        source: postcard::Error,
    },
}

impl KvError {
    /// Whether the same transaction, run again, may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Conflict | Self::TooOld { .. })
    }

    pub(crate) fn engine(action: &'static str, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Engine { action, source: Arc::new(source) }
    }
}
