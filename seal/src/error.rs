//! What can be wrong with a key, a chunk or a label. No error holds a secret.

use crate::key::CipherId;

/// Every way in which sealing and opening can fail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The bytes are not those that were sealed, or not in this place: changed, moved, cut short or lengthened.
    #[error("the {0} is not what was sealed")]
    Tampered(&'static str),
    /// The key that the customer sent is not the one that wrapped this data key.
    #[error("the customer's key is not the one the object was encrypted with")]
    WrongCustomerKey,
    /// The object is encrypted with a customer's key, and none was given.
    #[error("the object is encrypted with a key that only the customer has")]
    CustomerKeyNeeded,
    /// The data key is wrapped by another key than the one at hand.
    #[error("the data key is wrapped by another key")]
    OtherWrappingKey,
    /// The data key is wrapped by a named key, whose secret the keyring does not hold.
    #[error("the data key is wrapped by the named key {0:?}, which must be looked up")]
    NamedKeyNeeded(String),
    /// A key was unwrapped, but it is not the one committed to.
    #[error("the unwrapped data key is not the one that was committed to")]
    NotCommitted,
    /// A cipher that this version does not know.
    #[error("cipher {} is not known to this version", .0.0)]
    UnknownCipher(CipherId),
    /// A buffer that no chunk of a stream can have.
    #[error("a {} chunk cannot take {len} bytes", if *last { "last" } else { "full" })]
    ChunkLength {
        /// Bytes of the buffer, tag included.
        len: usize,
        /// Whether it was to be the stream's last.
        last: bool,
    },
    /// No stream has this many bytes of ciphertext.
    #[error("no stream has {0} bytes of ciphertext")]
    StreamLength(u64),
    /// A keyring or sealed record written by a newer version.
    #[error(
        "the {what} has format {found}, and this version knows up to {known}: run a newer version"
    )]
    NewerFormat {
        /// What it is.
        what: &'static str,
        /// Its format number.
        found: u64,
        /// The newest known one.
        known: u64,
    },
    /// The keyring holds no key of this number.
    #[error("the keyring has no key {0}")]
    UnknownKeyringKey(u32),
    /// The keyring's text breaks a rule, told without quoting it.
    #[error("the keyring cannot be read: {0}")]
    Keyring(String),
    /// The name of a named key is not 1 to 64 letters, digits, `-`, `_`, `.` or `/`.
    #[error("a key's name is 1 to 64 letters, digits, '-', '_', '.' or '/'")]
    KeyName,
    /// A sealed record's inner encoding is wrong although its tag is right.
    #[error("the {0} cannot be decoded")]
    Encoding(&'static str),
}
