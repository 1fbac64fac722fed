//! The lengths at which storage systems break, each with a word on why. Every test that takes a size takes all of these.

use types::{KIB, MIB};

/// Plaintext bytes of one encrypted chunk: 64 KiB less the 16 bytes of its tag.
pub const CHUNK_PLAIN: u64 = 64 * KIB - 16;
/// Plaintext bytes of one full row of the geometry `local`: four data units of one chunk each.
pub const ROW_PLAIN: u64 = 4 * CHUNK_PLAIN;
/// Plaintext bytes of one full segment: 512 chunks.
pub const SEGMENT_PLAIN: u64 = 512 * CHUNK_PLAIN;
/// Objects up to this length lie in the metadata.
pub const INLINE_MAX: u64 = 16 * KIB;

/// A length and what is nasty about it.
pub type Nasty = (u64, &'static str);

/// Lengths that cost little: up to 5 MiB.
pub const NASTY_SIZES: &[Nasty] = &[
    (0, "nothing at all"),
    (1, "one byte"),
    (63, "one below the padding of a row's last unit"),
    (64, "exactly the padding of a row's last unit"),
    (65, "one above the padding of a row's last unit"),
    (INLINE_MAX - 1, "one below the edge of inline objects"),
    (INLINE_MAX, "the largest inline object"),
    (INLINE_MAX + 1, "the smallest object on nodes"),
    (CHUNK_PLAIN - 1, "one below a chunk"),
    (CHUNK_PLAIN, "exactly a chunk: the last chunk is full"),
    (CHUNK_PLAIN + 1, "a chunk and one byte"),
    (64 * KIB, "a unit's length in plaintext, which is more than a chunk"),
    (2 * CHUNK_PLAIN, "two full chunks"),
    (ROW_PLAIN - 1, "one below a row"),
    (ROW_PLAIN, "exactly a row"),
    (ROW_PLAIN + 1, "a row and a row of one byte"),
    (256 * KIB, "a row's length in ciphertext"),
    (MIB - 1, "one below a mebibyte"),
    (MIB, "a mebibyte"),
    (MIB + 1, "a mebibyte and one byte"),
    (3 * MIB + 12_345, "nothing round about it"),
    (5 * MIB, "the smallest part of a multipart upload"),
];

/// Lengths at the edges of a segment and beyond.
pub const NASTY_LARGE_SIZES: &[Nasty] = &[
    (SEGMENT_PLAIN - 1, "one below a segment"),
    (SEGMENT_PLAIN, "exactly a segment: its last chunk closes the stream"),
    (SEGMENT_PLAIN + 1, "a segment and a segment of one byte"),
    (64 * MIB, "two segments and a little, the size of a benchmark"),
];

const _: () = assert!(SEGMENT_PLAIN == 33_546_240 && ROW_PLAIN == 262_080);
