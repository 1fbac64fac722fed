//! PUT: ingest → seal → place → scatter → commit.
//!
//! ```text
//! body ─ ingest ─▶ digests                      (compared before anything becomes visible)
//!           └────▶ seal ─▶ rows ─▶ scatter ─▶ n nodes ─▶ w receipts = Durable ─▶ commit
//! ```
//!
//! Each verb is a file. [`commit`] is the only point of no return: whatever fails before leaves the old object untouched, and what
//! nodes already hold is garbage that [`abandon`] or, after a crash, reconcile takes away.

pub mod abandon;
pub mod append;
pub mod commit;
pub mod ingest;
pub mod place;
pub mod recode;
pub mod scatter;
pub mod seal;
pub mod share;
pub mod store;

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use metadata::records::{ChecksumAlgorithm, Detail};
use metadata::{Catalog, CatalogError, Entry, Preconditions, Sequel};
use types::clock::SharedClock;
use types::{AccountId, BucketId, BucketName, GeometryName, ObjectKey, VersionId};
use zeroize::Zeroizing;

use crate::keys::{KeyError, WrappingKeys};
use crate::nodes::Nodes;
use crate::quota::{QuotaExceeded, Quotas};
use crate::session::Session;

pub(crate) use self::seal::SEGMENT_PLAIN;

/// Objects up to this many plaintext bytes are kept, encrypted, in the metadata.
pub const INLINE_MAX: u64 = 16 * types::KIB;
/// The most bytes of one PUT or part, as on AWS.
pub const PUT_MAX: u64 = 5 * types::GIB;

/// A request's body: plain bytes, in order.
pub type Body = BoxStream<'static, Result<Bytes, BodyError>>;

/// Gives the checksums of a body's trailer, once the body has ended.
pub type Trailer = Box<dyn FnOnce() -> Result<Vec<(ChecksumAlgorithm, Vec<u8>)>, BodyError> + Send>;

/// Why a request's body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The client went away, or its framing is broken.
    #[error("the request's body broke off: {0}")]
    Broken(String),
    /// A signature or hash that covers the body does not match it.
    #[error("the request's body does not match its signature: {0}")]
    Forged(String),
    /// The client sent too slowly.
    #[error("the request's body came too slowly")]
    Slow,
}

/// The bytes of a PUT or part, and what the client says of them.
pub struct Incoming {
    /// How many bytes will come: exactly, but for [`Self::slack`].
    pub len: u64,
    /// How many bytes fewer may come, without that being a fault. Only above [`INLINE_MAX`].
    pub slack: u64,
    /// The bytes.
    pub body: Body,
    /// `Content-MD5`.
    pub content_md5: Option<[u8; 16]>,
    /// Checksums to compute and keep; a value known beforehand (a header) must match.
    pub checksums: Vec<(ChecksumAlgorithm, Option<Vec<u8>>)>,
    /// Asked once the body has ended: checksums that came in its trailer, which must match.
    pub trailer: Option<Trailer>,
}

/// A customer's own key (SSE-C). Never stored, never logged.
#[derive(Clone)]
pub struct CustomerKey {
    /// The key.
    pub key: Zeroizing<[u8; 32]>,
    /// Its MD5, which S3 echoes.
    pub md5: [u8; 16],
}

/// Where a new object goes and how it is kept.
#[derive(Clone)]
pub struct Target {
    /// The bucket by name, and the identity it had when the request began.
    pub bucket: (BucketName, BucketId),
    /// The key.
    pub key: ObjectKey,
    /// How its bytes are coded.
    pub geometry: GeometryName,
    /// Storage class by name; `None` is `STANDARD`.
    pub class: Option<String>,
    /// The writer, if not the bucket's owner.
    pub owner: Option<AccountId>,
    /// Headers and metadata; the checksums are filled in here.
    pub detail: Detail,
    /// The customer's key, if they bring one.
    pub customer: Option<CustomerKey>,
    /// What must hold of the present object.
    pub preconditions: Preconditions,
    /// The version that this one replicates, if it does; `None` makes a new version.
    pub replica: Option<VersionId>,
    /// What the commit leaves to do.
    pub sequel: Sequel<Entry>,
}

/// Why a PUT failed. The object that was there before is untouched.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The body.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Fewer or more bytes than announced.
    #[error("the body has {got} bytes; {announced} were announced")]
    Length {
        /// What came.
        got: u64,
        /// What was announced.
        announced: u64,
    },
    /// Content-MD5 differs.
    #[error("the body's MD5 is not the Content-MD5 given")]
    ContentMd5,
    /// A checksum differs.
    #[error("the body's {0:?} is not the one given")]
    Checksum(ChecksumAlgorithm),
    /// Too few nodes are online, or too few took the shards.
    #[error("only {stored} of {needed} shards could be stored")]
    TooFewNodes {
        /// How many were stored.
        stored: usize,
        /// How many a write needs.
        needed: usize,
    },
    /// The catalog refused or failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A customer's key is missing, superfluous or wrong.
    #[error(transparent)]
    Seal(#[from] ::seal::SealError),
    /// The key that is to wrap the data key, or does wrap the source's.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The erasure code refused: a defect.
    #[error(transparent)]
    Codec(#[from] codec::CodecError),
    /// The bucket is full.
    #[error(transparent)]
    Quota(#[from] QuotaExceeded),
    /// The gateway is shutting down.
    #[error("the gateway is shutting down")]
    ShuttingDown,
}

/// Stores what customers send. Cheap to clone.
///
/// Loop: one task reads the body and feeds two workers (digests; seal, encode, hash) a batch of rows at a time; the rows go to one
/// sender per slot. Memory per request: two batches being worked on, and at most [`scatter::LAG_ROWS`] rows per slot, under one budget for
/// all requests' stragglers.
#[derive(Clone)]
pub struct Writer {
    pub(crate) catalog: Catalog,
    /// Seals labels.
    pub(crate) keyring: Arc<::seal::Keyring>,
    /// Wraps data keys.
    pub(crate) keys: Arc<WrappingKeys>,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) placer: Arc<place::Placer>,
    pub(crate) session: Arc<Session>,
    pub(crate) clock: SharedClock,
    /// Stragglers of acknowledged writes.
    pub(crate) pending: Arc<scatter::Pending>,
    /// What buckets may hold.
    pub(crate) quotas: Arc<Quotas>,
}
