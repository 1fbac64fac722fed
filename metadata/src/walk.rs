//! Walks: whole tables read page by page, so that memory does not grow with them.

use kv::{KeyCodec, KvError, Snap, Span, Table};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The rows of a span of a table, a page at a time, all from one snapshot.
pub(crate) struct Walk<'a, K, V> {
    table: &'a Table<K, V>,
    snap: &'a Snap,
    /// What is still to be read; `None` at the end.
    rest: Option<Span>,
    /// Rows in a page.
    step: usize,
}

impl<'a, K: KeyCodec, V: Serialize + DeserializeOwned> Walk<'a, K, V> {
    pub(crate) fn new(
        table: &'a Table<K, V>,
        snap: &'a Snap,
        span: impl Into<Span>,
        step: usize,
    ) -> Self {
        Self { table, snap, rest: Some(span.into()), step }
    }

    /// The next page, which is not empty; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<(K, V)>>, KvError> {
        let Some(span) = self.rest.take() else { return Ok(None) };
        let rows = self.table.scan(self.snap, span.clone(), self.step).await?;
        if rows.len() == self.step {
            self.rest = rows.last().map(|(key, _)| span.after_key(key));
        }
        Ok((!rows.is_empty()).then_some(rows))
    }
}
