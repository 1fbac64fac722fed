//! Typed tables over a family.

use std::marker::PhantomData;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::KvError;
use crate::key::{KeyCodec, Span};
use crate::scan::{Family, Scan, successor};
use crate::tx::Tx;
use crate::{Kv, Reads};

/// Divides a table's name from the key, so that no name is a prefix of another table's keys.
const NAME_END: u8 = 0x00;

/// Rows of one type. A row's key is the table's name, a zero byte and the encoded `K`; its value is `V` in postcard.
///
/// The name carries the format number of key and value, as in `"version/1"`: another layout is another table, and a migration
/// moves the rows.
pub struct Table<K, V> {
    family: Family,
    name: &'static str,
    row: PhantomData<fn(K) -> V>,
}

impl<K, V> Table<K, V> {
    /// The table `name` in `family`.
    ///
    /// # Panics
    /// At compile time (in a `const`), if the name does not end in `/` and digits, or holds a zero byte.
    #[must_use]
    pub const fn new(family: Family, name: &'static str) -> Self {
        assert!(ends_in_format_number(name.as_bytes()), "a table is named \"name/format number\"");
        Self { family, name, row: PhantomData }
    }

    /// The name, format number included.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The family its rows are in.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }
}

impl<K: KeyCodec, V: Serialize + DeserializeOwned> Table<K, V> {
    /// The row of `key`, if there is one.
    ///
    /// # Errors
    /// As [`Reads::get`]; [`KvError::MalformedValue`].
    pub async fn get<R: Reads + ?Sized>(&self, reads: &R, key: &K) -> Result<Option<V>, KvError> {
        let value = reads.get(self.family, &self.key(key)).await?;
        value.map(|bytes| self.value(&bytes)).transpose()
    }

    /// The row of `key` as of now, for a reader who looks at nothing else.
    ///
    /// # Errors
    /// As [`Kv::latest`]; [`KvError::MalformedValue`].
    pub async fn latest(&self, kv: &dyn Kv, key: &K) -> Result<Option<V>, KvError> {
        let value = kv.latest(self.family, &self.key(key)).await?;
        value.map(|bytes| self.value(&bytes)).transpose()
    }

    /// The rows of `keys`, in their order.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn get_many<R: Reads + ?Sized>(
        &self,
        reads: &R,
        keys: &[K],
    ) -> Result<Vec<Option<V>>, KvError> {
        let keys: Vec<Bytes> = keys.iter().map(|key| self.key(key).into()).collect();
        let values = reads.get_many(self.family, &keys).await?;
        values.into_iter().map(|value| value.map(|bytes| self.value(&bytes)).transpose()).collect()
    }

    /// As [`Tx::get_shared`].
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn get_shared(&self, tx: &Tx, key: &K) -> Result<Option<V>, KvError> {
        let value = tx.get_shared(self.family, &self.key(key)).await?;
        value.map(|bytes| self.value(&bytes)).transpose()
    }

    /// As [`Tx::get_for_update`].
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn get_for_update(&self, tx: &Tx, key: &K) -> Result<Option<V>, KvError> {
        let value = tx.get_for_update(self.family, &self.key(key)).await?;
        value.map(|bytes| self.value(&bytes)).transpose()
    }

    /// Writes the row at commit. A value that cannot be encoded or breaks a limit dooms the transaction.
    pub fn put(&self, tx: &Tx, key: &K, value: &V) {
        match postcard::to_stdvec(value) {
            Ok(bytes) => tx.put(self.family, self.key(key), bytes),
            Err(source) => tx.doom(KvError::Encode { table: self.name, source }),
        }
    }

    /// Deletes the row at commit, whether or not it is there.
    pub fn delete(&self, tx: &Tx, key: &K) {
        tx.delete(self.family, self.key(key));
    }

    /// The first `limit` rows of `span`, in order of keys. A `span` is a [`Span`] or a [`KeyPrefix`](crate::KeyPrefix).
    ///
    /// # Errors
    /// As [`Reads::scan`]; [`KvError::MalformedKey`], [`KvError::MalformedValue`].
    pub async fn scan<R: Reads + ?Sized>(
        &self,
        reads: &R,
        span: impl Into<Span>,
        limit: usize,
    ) -> Result<Vec<(K, V)>, KvError> {
        self.rows(reads.scan(self.range(&span.into()).limit(limit)).await?)
    }

    /// The last `limit` rows of `span`, the last one first.
    ///
    /// # Errors
    /// As [`Self::scan`].
    pub async fn scan_back<R: Reads + ?Sized>(
        &self,
        reads: &R,
        span: impl Into<Span>,
        limit: usize,
    ) -> Result<Vec<(K, V)>, KvError> {
        self.rows(reads.scan(self.range(&span.into()).limit(limit).reverse()).await?)
    }

    fn range(&self, span: &Span) -> Scan {
        let begin = self.start(0);
        let end =
            if span.to.is_empty() { successor(&begin) } else { [&begin[..], &span.to].concat() };
        let from = [&begin[..], &span.from].concat();
        Scan::range(self.family, from.into(), end.into())
    }

    fn rows(&self, rows: Vec<(Bytes, Bytes)>) -> Result<Vec<(K, V)>, KvError> {
        let start = self.name.len() + 1;
        rows.iter()
            .map(|(key, value)| {
                let key =
                    key.get(start..).ok_or(KvError::MalformedKey { expected: "table name" })?;
                Ok((K::decode(key)?, self.value(value)?))
            })
            .collect()
    }

    fn key(&self, key: &K) -> Vec<u8> {
        let mut bytes = self.start(64);
        key.encode_to(&mut bytes);
        bytes
    }

    /// What every key of the table begins with, with room for `more` bytes.
    fn start(&self, more: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.name.len() + 1 + more);
        bytes.extend_from_slice(self.name.as_bytes());
        bytes.push(NAME_END);
        bytes
    }

    fn value(&self, bytes: &[u8]) -> Result<V, KvError> {
        let malformed = |source| KvError::MalformedValue { table: self.name, source };
        let (value, rest) = postcard::take_from_bytes(bytes).map_err(malformed)?;
        if rest.is_empty() {
            Ok(value)
        } else {
            Err(malformed(postcard::Error::DeserializeBadEncoding))
        }
    }
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Table<K, V> {}

impl<K, V> std::fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table({}:{})", self.family.0, self.name)
    }
}

/// `name/123`, without a zero byte.
const fn ends_in_format_number(name: &[u8]) -> bool {
    let mut digits = name.len();
    while digits > 0 && name[digits - 1].is_ascii_digit() {
        digits -= 1;
    }
    if digits == name.len() || digits < 2 || name[digits - 1] != b'/' {
        return false;
    }
    let mut i = 0;
    while i < digits {
        if name[i] == NAME_END {
            return false;
        }
        i += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_name_ends_in_its_format_number() {
        for good in ["version/1", "a/b/22"] {
            assert!(ends_in_format_number(good.as_bytes()), "{good}");
        }
        for bad in ["", "version", "version/", "/1", "1", "a\0b/1", "version1"] {
            assert!(!ends_in_format_number(bad.as_bytes()), "{bad}");
        }
    }
}
