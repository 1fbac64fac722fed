//! Byte sizes with their unit in the name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// 2¹⁰ bytes.
pub const KIB: u64 = 1 << 10;
/// 2²⁰ bytes.
pub const MIB: u64 = 1 << 20;
/// 2³⁰ bytes.
pub const GIB: u64 = 1 << 30;

/// Bytes of one unit of a shard in every row but a segment's last.
pub const UNIT: u64 = 64 * KIB;
/// The most ciphertext bytes one segment holds.
pub const SEGMENT_MAX: u64 = 32 * MIB;

const _: () = assert!(SEGMENT_MAX.is_multiple_of(UNIT));

/// A number of bytes as people write it: `50GB` is 50 · 10⁹, `50GiB` is 50 · 2³⁰, `512` is bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize(pub u64);

/// Why a text is not a byte size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a size; write a whole number and a unit, such as 500GB, 64MiB or 4096")]
pub struct ByteSizeError(String);

/// Suffix and factor, longest suffix first so that `GiB` is not read as `B`.
const SUFFIXES: [(&str, u64); 13] = [
    ("TIB", 1 << 40),
    ("GIB", GIB),
    ("MIB", MIB),
    ("KIB", KIB),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("T", 1_000_000_000_000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("K", 1_000),
    ("B", 1),
];

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || ByteSizeError(text.to_owned());
        let upper = text.trim().to_ascii_uppercase();
        let (digits, factor) = SUFFIXES
            .iter()
            .find_map(|(suffix, factor)| Some((upper.strip_suffix(suffix)?, *factor)))
            .unwrap_or((&upper, 1));
        let number: u64 = digits.trim_end().parse().map_err(|_| fail())?;
        number.checked_mul(factor).map(ByteSize).ok_or_else(fail)
    }
}

impl TryFrom<String> for ByteSize {
    type Error = ByteSizeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> Self {
        size.to_string()
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (suffix, factor) in [
            ("TiB", 1 << 40),
            ("GiB", GIB),
            ("TB", 1_000_000_000_000),
            ("GB", 1_000_000_000),
            ("MiB", MIB),
            ("MB", 1_000_000),
            ("KiB", KIB),
        ] {
            if self.0 >= factor && self.0.is_multiple_of(factor) {
                return write!(f, "{}{suffix}", self.0 / factor);
            }
        }
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_sizes_in_many_ways() {
        for (text, bytes) in [
            ("4096", 4096),
            ("50GB", 50_000_000_000),
            ("50 gb", 50_000_000_000),
            ("64MiB", 64 * MIB),
            ("1T", 1_000_000_000_000),
            ("7B", 7),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "GB", "-1", "1.5GB", "99999999999TiB", "12 parsecs"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_displayed_size_reads_back_as_itself() {
        for bytes in [0, 1, 1000, 1024, 1536, MIB, 5 * GIB, 50_000_000_000, u64::MAX] {
            let size = ByteSize(bytes);
            assert_eq!(size.to_string().parse(), Ok(size));
        }
    }
}
