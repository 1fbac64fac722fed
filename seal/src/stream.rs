//! The stream cipher: any range of a stream opens alone, and no chunk can be changed, moved, added or left out.
//!
//! This is the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, "Online Authenticated-Encryption and its
//! Nonce-Reuse Misuse-Resistance" (CRYPTO 2015, §7), over ChaCha20-Poly1305. The plaintext is cut into chunks of
//! [`CHUNK_PLAIN`] bytes; only the last may be shorter, and it is empty only in an empty stream. Each becomes its
//! ciphertext followed by a tag of [`TAG`] bytes, under the nonce
//!
//! ```text
//! 00 00 00 00 00 00 00 │ chunk index, u32 big-endian │ 00, or 01 for the last chunk
//!       7 bytes                   4 bytes                        1 byte
//! ```
//!
//! The prefix may be constant because a data key is random, seals one stream, and seals it once: no (key, nonce) pair ever
//! meets two plaintexts. The index in the nonce finds moved chunks; the flag finds a stream that was cut short or
//! lengthened at a chunk's edge. There is no associated data: what the stream *is* stands in the wrap of its key.

use std::ops::Range;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};

use crate::error::SealError;
use crate::key::{CipherId, DataKey};

/// Bytes of a full chunk's ciphertext, tag included.
pub const CHUNK: usize = 65_536;
/// Bytes of a tag.
pub const TAG: usize = 16;
/// Bytes of a full chunk's plaintext.
pub const CHUNK_PLAIN: usize = CHUNK - TAG;
/// The most chunks of a stream: the index has 32 bits, and so has the end of a range of indices.
pub const CHUNKS_MAX: u64 = u32::MAX as u64;
/// The most plaintext bytes of a stream: about 256 TiB, far above the largest S3 object.
pub const STREAM_MAX: u64 = CHUNKS_MAX * CHUNK_PLAIN as u64;

/// How many chunks `plain` bytes have; an empty stream has one.
#[must_use]
pub fn chunks(plain: u64) -> u64 {
    plain.div_ceil(CHUNK_PLAIN as u64).max(1)
}

/// Bytes of ciphertext that `plain` bytes become. Meant for at most [`STREAM_MAX`]; saturates far beyond it.
#[must_use]
pub fn ciphertext_len(plain: u64) -> u64 {
    plain.saturating_add(chunks(plain) * TAG as u64)
}

/// Bytes of plaintext in a whole stream of `cipher` bytes: the reverse of [`ciphertext_len`].
///
/// # Errors
/// [`SealError::StreamLength`] if no stream has that length.
pub fn plaintext_len(cipher: u64) -> Result<u64, SealError> {
    let chunks = cipher.div_ceil(CHUNK as u64);
    let plain = cipher.checked_sub(chunks * TAG as u64);
    plain
        .filter(|plain| *plain <= STREAM_MAX && ciphertext_len(*plain) == cipher)
        .ok_or(SealError::StreamLength(cipher))
}

/// What must be fetched and opened in order to read a range of a stream's plaintext.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    /// The chunks.
    pub chunks: Range<u32>,
    /// Their bytes in the stream's ciphertext.
    pub cipher: Range<u64>,
    /// Plaintext bytes of the first chunk that lie before the range.
    pub skip: usize,
    /// Whether the last of them is the stream's last.
    pub ends_stream: bool,
}

impl Span {
    /// The span of `range` in a stream of `plain` bytes. An empty stream has the span of its one empty chunk.
    ///
    /// # Panics
    /// Unless `range` is inside the stream, the stream within [`STREAM_MAX`], and the range empty only if the stream is.
    #[must_use]
    pub fn of(plain: u64, range: &Range<u64>) -> Self {
        let fits = range.end <= plain && plain <= STREAM_MAX;
        assert!(fits && (range.start < range.end || plain == 0), "{range:?} of {plain} bytes");
        let full = CHUNK_PLAIN as u64;
        let first = range.start / full;
        let end = range.end.div_ceil(full).max(1);
        let last = end == chunks(plain);
        let cipher_end = if last { ciphertext_len(plain) } else { end * CHUNK as u64 };
        Self {
            chunks: first as u32..end as u32,
            cipher: first * CHUNK as u64..cipher_end,
            skip: (range.start - first * full) as usize,
            ends_stream: last,
        }
    }
}

/// Seals and opens the chunks of one stream, in any order, in place.
///
/// The bulk of all work with data is here, so it is `ring`'s ChaCha20-Poly1305, which makes one pass over a chunk where the crate
/// `chacha20poly1305`, which wraps the keys, makes two (docs/decisions/0008). The bytes are the same.
pub struct StreamCipher(LessSafeKey);

impl StreamCipher {
    /// The cipher of `key`'s stream.
    ///
    /// # Panics
    /// Never: a data key has as many bytes as the cipher's.
    #[must_use]
    pub fn new(key: &DataKey) -> Self {
        // A data key of another cipher cannot be made: generate and unwrap know only this one.
        debug_assert_eq!(key.cipher(), CipherId::CHACHA20_POLY1305);
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.secret());
        Self(LessSafeKey::new(key.expect("both have 32 bytes")))
    }

    /// Seals chunk `index` where it lies: `buf` is the plaintext followed by [`TAG`] spare bytes, and becomes ciphertext
    /// and tag. Each index must be sealed at most once under a key.
    ///
    /// # Errors
    /// [`SealError::ChunkLength`] if no such chunk has this length: all but the last have exactly [`CHUNK`] bytes, and the
    /// last has plaintext unless it is the only one.
    pub fn seal_chunk(&self, index: u32, last: bool, buf: &mut [u8]) -> Result<(), SealError> {
        let (text, tag) = split_tag(index, last, buf)?;
        let sealed = self
            .0
            .seal_in_place_separate_tag(nonce(index, last), Aad::empty(), text)
            .map_err(|_| SealError::ChunkLength { len: CHUNK, last })?;
        tag.copy_from_slice(sealed.as_ref());
        Ok(())
    }

    /// Opens chunk `index` where it lies and gives its plaintext. What `buf` holds after an error is worthless.
    ///
    /// # Errors
    /// [`SealError::ChunkLength`] as in [`Self::seal_chunk`], [`SealError::Tampered`] unless these are the bytes that were
    /// sealed at this place.
    pub fn open_chunk<'a>(
        &self,
        index: u32,
        last: bool,
        buf: &'a mut [u8],
    ) -> Result<&'a mut [u8], SealError> {
        let (text, tag) = split_tag(index, last, buf)?;
        let tag = Tag::from(*tag);
        self.0
            .open_in_place_separate_tag(nonce(index, last), Aad::empty(), tag, text, 0..)
            .map_err(|_| SealError::Tampered("chunk"))
    }
}

impl std::fmt::Debug for StreamCipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StreamCipher")
    }
}

fn split_tag(
    index: u32,
    last: bool,
    buf: &mut [u8],
) -> Result<(&mut [u8], &mut [u8; TAG]), SealError> {
    let len = buf.len();
    let shortest = if index == 0 { TAG } else { TAG + 1 };
    let fits = if last { (shortest..=CHUNK).contains(&len) } else { len == CHUNK };
    buf.split_last_chunk_mut().filter(|_| fits).ok_or(SealError::ChunkLength { len, last })
}

fn nonce(index: u32, last: bool) -> Nonce {
    let mut nonce = [0; 12];
    nonce[7..11].copy_from_slice(&index.to_be_bytes());
    nonce[11] = u8::from(last);
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
mod tests;
