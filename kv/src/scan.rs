//! Where keys live, and ranges of them.

use std::time::Duration;

use bytes::Bytes;

/// A key space with a storage policy of its own. Keys of different families never meet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Family(pub &'static str);

impl Family {
    /// The family every engine has.
    pub const MAIN: Self = Self("default");
}

/// A family and how its storage behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FamilyOptions {
    /// The family.
    pub family: Family,
    /// What was deleted is gone from the engine's files within this time, not only hidden. `None`: whenever compaction
    /// comes by.
    pub rewrite_after: Option<Duration>,
}

impl From<Family> for FamilyOptions {
    fn from(family: Family) -> Self {
        Self { family, rewrite_after: None }
    }
}

/// A range of keys to read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scan {
    /// Where.
    pub family: Family,
    /// The first key (inclusive); empty is the beginning.
    pub from: Bytes,
    /// Where to stop (exclusive); empty is the end.
    pub to: Bytes,
    /// At most this many rows.
    pub limit: usize,
    /// From the last key to the first.
    pub reverse: bool,
}

impl Scan {
    /// Every key that begins with `prefix`, without a limit.
    #[must_use]
    pub fn prefix(family: Family, prefix: &[u8]) -> Self {
        Self::range(family, Bytes::copy_from_slice(prefix), successor(prefix).into())
    }

    /// Every key in `from..to`, without a limit; an empty `to` is the end.
    #[must_use]
    pub fn range(family: Family, from: Bytes, to: Bytes) -> Self {
        Self { family, from, to, limit: usize::MAX, reverse: false }
    }

    /// At most `limit` rows.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// From the last key to the first.
    #[must_use]
    pub fn reverse(mut self) -> Self {
        self.reverse = true;
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.limit == 0 || (!self.to.is_empty() && self.from >= self.to)
    }

    pub(crate) fn contains(&self, family: Family, key: &[u8]) -> bool {
        self.family == family && *key >= *self.from && (self.to.is_empty() || *key < *self.to)
    }
}

/// The smallest byte string above every string that begins with `prefix`; empty if there is none.
pub(crate) fn successor(prefix: &[u8]) -> Vec<u8> {
    let kept = prefix.iter().rposition(|byte| *byte != u8::MAX).map_or(0, |last| last + 1);
    let mut above = prefix[..kept].to_vec();
    if let Some(last) = above.last_mut() {
        *last += 1;
    }
    above
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_just_above_its_last_key() {
        for (prefix, above) in [
            (&b"a"[..], &b"b"[..]),
            (b"a\xff", b"b"),
            (b"a\xff\xff", b"b"),
            (b"\xff", b""),
            (b"", b""),
            (b"a\x00", b"a\x01"),
        ] {
            assert_eq!(successor(prefix), above, "{prefix:?}");
        }
    }
}
