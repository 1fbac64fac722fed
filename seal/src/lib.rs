//! Encryption: what is sealed here can be read by nobody without the keyring, a named key, or the customer's own key.
//! Pure and synchronous; no I/O.
//!
//! ```text
//! keyring ──derives──▶ bucket key ─┐
//! named key's secret ──────────────┼─wraps──▶ data key ──seals──▶ the chunks of one stream
//! customer's key + salt ───────────┘
//! keyring ──derives──▶ label key, secret-sealing key
//! ```
//!
//! - [`stream`]: a stream's chunks, sealed and opened in place;
//! - [`key`]: data keys;
//! - [`mod@wrap`]: data keys under wrapping keys, with their commitment;
//! - [`keyring`]: the operator's keys and what is derived from them;
//! - [`label`]: what nodes keep about a shard without being able to read it;
//! - [`envelope`]: the form of sealed labels and secrets.

pub mod envelope;
pub mod error;
pub mod key;
pub mod keyring;
pub mod label;
pub mod stream;
pub mod wrap;

pub use error::SealError;
pub use key::{CipherId, DataKey};
pub use keyring::Keyring;
pub use label::{LABEL_MAX, Label};
pub use stream::{CHUNK, CHUNK_PLAIN, Span, StreamCipher, TAG, ciphertext_len, plaintext_len};
pub use wrap::{KeyName, WrapKey, WrappedKey, WrappingKeyId, unwrap, wrap};
