//! What can go wrong in the catalog, by whose fault.

use kv::KvError;
use types::{BucketName, StreamId, Timestamp, VersionId};

/// A refusal or failure of the catalog. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// No bucket of that name.
    #[error("no bucket named {0}")]
    NoSuchBucket(BucketName),
    /// The bucket is another one now, or is being deleted this moment.
    #[error("bucket {0} is being deleted")]
    BucketBusy(BucketName),
    /// The name is taken by another account.
    #[error("bucket {0} belongs to another account")]
    BucketTaken(BucketName),
    /// The account has this bucket already.
    #[error("bucket {0} exists already")]
    BucketExists(BucketName),
    /// DeleteBucket found an object.
    #[error("bucket {0} is not empty")]
    BucketNotEmpty(BucketName),
    /// No such object.
    #[error("no such key")]
    NoSuchKey,
    /// The key is there, but not this version of it.
    #[error("no such version")]
    NoSuchVersion,
    /// The version only says that the key was deleted.
    #[error("the version is a delete marker")]
    DeleteMarker {
        /// Its id.
        version: VersionId,
        /// When it was made.
        modified: Timestamp,
        /// Whether it was asked for by its id, and not as what the key is now.
        named: bool,
    },
    /// The operator took it down: nobody may read it.
    #[error("the operator took the object down")]
    TakenDown,
    /// Object lock keeps the version, or the lock itself, as it is.
    #[error("object lock protects the version")]
    Locked,
    /// A lock was asked for in a bucket that has no object lock.
    #[error("the bucket has no object lock")]
    NotLockable,
    /// The bucket keeps versions, or did, and this cannot be done there.
    #[error("the bucket keeps versions")]
    Versioned,
    /// An append does not begin where the object ends.
    #[error("the object has {size} bytes, and the append begins elsewhere")]
    WriteOffset {
        /// Bytes of the object.
        size: u64,
    },
    /// The object has as many parts as it can have.
    #[error("the object has too many parts to append to")]
    TooManyParts,
    /// The token of a request was used for another one before.
    #[error("the token stands for another request")]
    OtherRequest,
    /// No such multipart upload.
    #[error("no such upload")]
    NoSuchUpload,
    /// A part named by Complete is not there, or has another entity tag.
    #[error("part {0} is not there or has another entity tag")]
    InvalidPart(u32),
    /// A condition of the request does not hold.
    #[error("precondition failed")]
    PreconditionFailed,
    /// The stream is being collected: copy it anew.
    #[error("stream {0} is being collected")]
    StreamDying(StreamId),
    /// This gateway's session ended or its lease ran out.
    #[error("the session ended; this gateway may not commit")]
    SessionEnded,
    /// Something of that name exists.
    #[error("{0} exists already")]
    Exists(&'static str),
    /// Something is not there.
    #[error("no such {0}")]
    Missing(&'static str),
    /// The invite is unknown, used, expired or revoked.
    #[error("the invite is {0}")]
    Invite(&'static str),
    /// Something is larger than a row may be.
    #[error("the {what} is larger than {max} bytes")]
    TooLarge {
        /// What.
        what: &'static str,
        /// What it may have.
        max: usize,
    },
    /// Rows contradict each other.
    #[error("the catalog contradicts itself: {0}")]
    Corrupt(String),
    /// The engine failed.
    #[error(transparent)]
    Kv(#[from] KvError),
}
