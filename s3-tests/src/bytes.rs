//! Content that anybody can make again from a seed, at any offset, so that tests check gigabytes without holding them.

use std::ops::Range;

use bytes::Bytes;
use futures::Stream;
use futures::stream;

/// `len` pseudo-random bytes of a seed: no two seeds alike, incompressible, never a run of zeros that a lost write could fake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Content {
    /// Which bytes.
    pub seed: u64,
    /// How many.
    pub len: u64,
}

/// The first byte that is not as it should be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Mismatch {
    /// A wrong byte.
    #[error("wrong byte at offset {offset} of {content:?}: {got:#04x} instead of {expected:#04x}")]
    Byte {
        /// Of what.
        content: Content,
        /// Where.
        offset: u64,
        /// What should be there.
        expected: u8,
        /// What is there.
        got: u8,
    },
    /// More bytes than there should be.
    #[error("more than the {expected} bytes expected of {content:?}")]
    TooLong {
        /// Of what.
        content: Content,
        /// How many there should be.
        expected: u64,
    },
    /// Fewer bytes than there should be.
    #[error("{got} bytes instead of {expected} of {content:?}")]
    TooShort {
        /// Of what.
        content: Content,
        /// How many there should be.
        expected: u64,
        /// How many there are.
        got: u64,
    },
}

impl Content {
    /// `len` bytes of `seed`.
    #[must_use]
    pub const fn new(seed: u64, len: u64) -> Self {
        Self { seed, len }
    }

    /// Writes the bytes from `offset` on into all of `buf`, as if the content had no end.
    pub fn fill(&self, offset: u64, buf: &mut [u8]) {
        let skip = (offset % 8) as usize;
        let mut index = offset / 8;
        let mut rest = buf;
        if skip > 0 {
            let word = self.word(index).to_le_bytes();
            let take = rest.len().min(8 - skip);
            rest[..take].copy_from_slice(&word[skip..skip + take]);
            rest = &mut rest[take..];
            index += 1;
        }
        let (words, tail) = rest.as_chunks_mut::<8>();
        for word in words {
            *word = self.word(index).to_le_bytes();
            index += 1;
        }
        let last = self.word(index).to_le_bytes();
        tail.copy_from_slice(&last[..tail.len()]);
    }

    /// The bytes of a range.
    #[must_use]
    pub fn range(&self, range: Range<u64>) -> Bytes {
        assert!(range.end <= self.len, "{range:?} is not within {self:?}");
        let mut buf = vec![
            0;
            usize::try_from(range.end - range.start)
                .expect("a test's range fits into memory")
        ];
        self.fill(range.start, &mut buf);
        buf.into()
    }

    /// All bytes.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.range(0..self.len)
    }

    /// All bytes in pieces of `piece` (the last may be shorter), each made when it is asked for.
    pub fn pieces(self, piece: u64) -> impl Stream<Item = Bytes> + Send + 'static {
        stream::iter(
            (0..self.len)
                .step_by(piece as usize)
                .map(move |at| self.range(at..self.len.min(at + piece))),
        )
    }

    /// Checks bytes as they come, from `range.start` on.
    #[must_use]
    pub const fn checker(self, range: Range<u64>) -> Checker {
        Checker { content: self, at: range.start, range }
    }

    /// Checks that `bytes` are all of the content.
    ///
    /// # Errors
    /// Says what the first difference is.
    pub fn check(&self, bytes: &[u8]) -> Result<(), Mismatch> {
        let mut checker = self.checker(0..self.len);
        checker.feed(bytes)?;
        checker.finish()
    }

    /// SplitMix64 over the index, which makes every offset cheap.
    fn word(&self, index: u64) -> u64 {
        let mut z = self
            .seed
            .wrapping_mul(0xD1B5_4A32_D192_ED03)
            .wrapping_add((index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// Compares a stream of bytes with a range of a content, without holding either.
#[derive(Debug)]
pub struct Checker {
    content: Content,
    range: Range<u64>,
    at: u64,
}

impl Checker {
    /// The next bytes.
    ///
    /// # Errors
    /// At the first wrong byte, or one byte too many.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Mismatch> {
        if bytes.len() as u64 > self.range.end - self.at {
            return Err(Mismatch::TooLong {
                content: self.content,
                expected: self.range.end - self.range.start,
            });
        }
        let mut expected = [0; 16 << 10];
        for piece in bytes.chunks(expected.len()) {
            let expected = &mut expected[..piece.len()];
            self.content.fill(self.at, expected);
            if piece != expected {
                let wrong = piece
                    .iter()
                    .zip(&*expected)
                    .position(|(a, b)| a != b)
                    .expect("the pieces differ");
                let offset = self.at + wrong as u64;
                return Err(Mismatch::Byte {
                    content: self.content,
                    offset,
                    expected: expected[wrong],
                    got: piece[wrong],
                });
            }
            self.at += piece.len() as u64;
        }
        Ok(())
    }

    /// How many bytes were right so far.
    #[must_use]
    pub const fn seen(&self) -> u64 {
        self.at - self.range.start
    }

    /// No more bytes will come.
    ///
    /// # Errors
    /// If some are missing.
    pub const fn finish(&self) -> Result<(), Mismatch> {
        if self.at == self.range.end {
            return Ok(());
        }
        let expected = self.range.end - self.range.start;
        Err(Mismatch::TooShort { content: self.content, expected, got: self.seen() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_range_of_a_content_is_the_same_bytes_as_in_the_whole() {
        let content = Content::new(7, 1000);
        let whole = content.bytes();
        for (start, end) in
            [(0, 0), (0, 1), (1, 2), (3, 8), (7, 9), (5, 21), (8, 16), (999, 1000), (13, 1000)]
        {
            assert_eq!(
                content.range(start..end),
                whole[start as usize..end as usize],
                "{start}..{end}"
            );
        }
        assert_ne!(whole, Content::new(8, 1000).bytes());
    }

    #[test]
    fn the_checker_finds_every_kind_of_difference() {
        let content = Content::new(1, 50_000);
        let mut bytes = content.bytes().to_vec();
        assert_eq!(content.check(&bytes), Ok(()));
        assert!(matches!(
            content.check(&bytes[..49_999]),
            Err(Mismatch::TooShort { got: 49_999, .. })
        ));
        bytes.push(0);
        assert!(matches!(content.check(&bytes), Err(Mismatch::TooLong { .. })));
        bytes.pop();
        bytes[40_001] ^= 1;
        assert!(matches!(content.check(&bytes), Err(Mismatch::Byte { offset: 40_001, .. })));
    }
}
