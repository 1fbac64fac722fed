//! Ordered keys, values and transactions: the floor that all state stands on.
//!
//! [`Kv`] is an engine: [`memory::Memory`] for tests and simulation, [`rocks::Rocks`] for real. [`transact`] runs a
//! closure as a transaction and repeats it on conflict; [`Table`] gives keys and values their types; [`Snap`] reads
//! long and without conflicts.
//!
//! # What isolation is promised
//!
//! - A transaction reads one **snapshot**, taken at its first read: everything acknowledged before it, nothing after.
//!   It also sees its own writes, in point reads and in scans.
//! - It commits whole or not at all, and an acknowledged commit is in every snapshot taken later.
//! - It is refused with [`KvError::Conflict`] if another transaction committed, after its snapshot, a write of
//!   - a key it read by [`Tx::get_shared`] or [`Tx::get_for_update`], or
//!   - a key it both read in any way (a scan reads its whole range) and wrote: no update is ever lost.
//! - [`Tx::get_for_update`] counts as a write of that key for the others: two holders exclude each other, as
//!   `SELECT … FOR UPDATE` does. [`Tx::get_shared`] does not: readers share, as `FOR SHARE`.
//! - A **blind put** (of a key never read) never conflicts; the later commit wins.
//! - A transaction that writes nothing always commits: what it read was true together, at its snapshot.
//!
//! So plain [`Reads::get`] is snapshot isolation, where *write skew* is possible: read what a decision rests on by
//! `get_shared`. Scans see no *phantoms* come: an invariant over a range needs a guard key and two phases. The rare side
//! marks the guard and commits, scans in a fresh transaction, then finishes or unmarks; the common side only
//! `get_shared`s the guard.
//!
//! # Limits
//!
//! Engines that outgrow one machine have limits, so every engine has: [`KEY_MAX`], [`VALUE_MAX`], [`TRANSACTION_MAX`],
//! [`TRANSACTION_TIME`]. A put has no result: what breaks a limit dooms its transaction, and `commit` says why.
//!
//! # Cancelling
//!
//! Every future here may be dropped. A dropped `commit` has either not been handed to the engine, then nothing is
//! written, or it has, then the engine finishes it as if somebody still waited.

mod engine;
mod error;
pub mod key;
pub mod memory;
mod migrate;
mod resolver;
pub mod rocks;
mod scan;
mod table;
mod transact;
mod tx;

use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;

pub use error::KvError;
pub use key::{Inverted, KeyCodec, KeyPrefix, Rest, Span};
pub use migrate::FORMAT;
pub use scan::{Family, FamilyOptions, Scan};
pub use table::Table;
pub use transact::transact;
pub use tx::{KEY_MAX, Snap, TRANSACTION_MAX, TRANSACTION_TIME, Tx, VALUE_MAX};

/// An engine. Used as `Arc<dyn Kv>`; the rules every engine keeps are told on the [crate's page](crate).
#[async_trait]
pub trait Kv: Send + Sync + 'static {
    /// A new transaction. Prefer [`transact`], which repeats on conflict.
    ///
    /// # Errors
    /// [`KvError::Closed`] after [`Self::close`].
    async fn begin(&self) -> Result<Tx, KvError>;

    /// The state as of now, for reads that may take long and decide nothing.
    ///
    /// # Errors
    /// [`KvError::Closed`] after [`Self::close`].
    async fn snapshot(&self) -> Result<Snap, KvError>;

    /// The value of one key as of now, for a reader who looks at nothing else: a snapshot of one read, without its price.
    ///
    /// # Errors
    /// As [`Reads::get`]; [`KvError::Closed`] after [`Self::close`].
    async fn latest(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        self.snapshot().await?.get(family, key).await
    }

    /// Writes a consistent copy of everything committed into the folder `dir`, which must not exist yet while its parent must.
    /// The copy opens as an engine of the same kind.
    ///
    /// # Errors
    /// [`KvError::Engine`] if it cannot be written; [`KvError::Unsupported`] on an engine that keeps nothing on disk.
    async fn checkpoint(&self, dir: &Path) -> Result<(), KvError>;

    /// Finishes the commits under way, writes everything down and stops the engine's threads. Later calls get
    /// [`KvError::Closed`]; handles that are still around can read, and hold the folder until they are dropped.
    async fn close(&self);
}

/// Reading, from a transaction or a snapshot.
#[async_trait]
pub trait Reads: Send + Sync {
    /// The value of `key`, if there is one. A point read runs on the calling thread: it is answered from memory as a
    /// rule and costs one block read at worst.
    ///
    /// # Errors
    /// [`KvError::TooOld`] from an overdue transaction; [`KvError::UnknownFamily`]; [`KvError::Engine`].
    async fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, KvError>;

    /// The values of `keys`, in their order.
    ///
    /// # Errors
    /// As [`Self::get`].
    async fn get_many(&self, family: Family, keys: &[Bytes])
    -> Result<Vec<Option<Bytes>>, KvError>;

    /// Keys and values of a range, in the scan's direction.
    ///
    /// # Errors
    /// As [`Self::get`].
    async fn scan(&self, scan: Scan) -> Result<Vec<(Bytes, Bytes)>, KvError>;
}
