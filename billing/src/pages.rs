//! Long tables are read in pages, so that memory does not grow with them.

use std::vec;

use kv::{KeyCodec, KeyPrefix, Snap, Span, Table};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::BillingError;

/// Rows of one page.
const PAGE: usize = 4_000;

/// The rows of a table that begin with a prefix, in order, from a snapshot.
pub(crate) struct Pages<K, V> {
    snap: Snap,
    table: Table<K, V>,
    /// What has not been read.
    span: Span,
    page: vec::IntoIter<(K, V)>,
    /// Whether the table may go on behind the page.
    more: bool,
}

impl<K: KeyCodec, V: Serialize + DeserializeOwned> Pages<K, V> {
    /// All rows that begin with `prefix`, but those up to the ones that begin with `after`.
    pub(crate) fn new(
        snap: Snap,
        table: Table<K, V>,
        prefix: &KeyPrefix,
        after: Option<&KeyPrefix>,
    ) -> Self {
        let span = Span::of(prefix);
        let span = match after {
            Some(after) => span.after_prefix(after),
            None => span,
        };
        Self { snap, table, span, page: Vec::new().into_iter(), more: true }
    }

    /// The next row.
    pub(crate) async fn next(&mut self) -> Result<Option<(K, V)>, BillingError> {
        if let Some(row) = self.page.next() {
            return Ok(Some(row));
        }
        if !self.more {
            return Ok(None);
        }
        let page = self.table.scan(&self.snap, self.span.clone(), PAGE).await?;
        self.more = page.len() == PAGE;
        if let Some((last, _)) = page.last() {
            self.span = self.span.clone().after_key(last);
        }
        self.page = page.into_iter();
        Ok(self.page.next())
    }
}
