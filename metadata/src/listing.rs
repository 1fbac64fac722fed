//! Listings. A page is read from one snapshot; between pages the bucket may change, as with every S3.

use kv::{KeyPrefix, Span};
use types::{BucketId, ManifestId, ObjectKey};

use crate::records::{Entry, Upload};
use crate::schema::{OBJECTS, UPLOADS};
use crate::{Catalog, CatalogError};

/// What a listing asks for.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Only keys that begin with this.
    pub prefix: String,
    /// Keys that share what lies between the prefix and the first of this are rolled up into one.
    pub delimiter: Option<String>,
    /// Only keys (and rolled-up prefixes) after this one.
    pub after: Option<String>,
    /// At most this many keys and prefixes together.
    pub limit: usize,
}

/// One page.
#[derive(Clone, Debug)]
pub struct ListPage<T> {
    /// Keys, in order.
    pub items: Vec<T>,
    /// Rolled-up prefixes, in order.
    pub prefixes: Vec<String>,
    /// Where the next page begins: after this key or prefix. `None` if nothing is left.
    pub next: Option<String>,
}

/// Rows read from the engine at a time.
const BATCH: usize = 1000;

impl Catalog {
    /// A page of the current objects of a bucket.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn list_objects(
        &self,
        bucket: BucketId,
        query: &ListQuery,
    ) -> Result<ListPage<(ObjectKey, Entry)>, CatalogError> {
        let snap = self.kv.snapshot().await?;
        let here = KeyPrefix::of(&bucket);
        let all = Span::of(&here.clone().starting_with(&query.prefix));
        let mut page = Roller::new(query);
        let mut from = page.start();
        'batches: while page.wants_more() {
            let span = match &from {
                From::Start => all.clone(),
                From::AfterKey(key) => all.clone().after_key(&(bucket, key.clone())),
                From::AfterPrefix(prefix) => all.clone().after_prefix(&here.clone().starting_with(prefix)),
            };
            let want = BATCH.min(page.room() + 1);
            let rows = OBJECTS.scan(&snap, span, want).await?;
            let more = rows.len() == want;
            for ((_, key), entry) in rows {
                match page.take(key.as_str()) {
                    Taken::Item => {
                        from = From::AfterKey(key.as_str().to_owned());
                        page.push((key, entry));
                    }
                    Taken::Prefix(prefix) => {
                        from = From::AfterPrefix(prefix);
                        continue 'batches;
                    }
                    Taken::Seen => from = From::AfterKey(key.as_str().to_owned()),
                    Taken::Full => break 'batches,
                }
            }
            if !more {
                break;
            }
        }
        Ok(page.finish())
    }

    /// A page of the uploads under way in a bucket, in order of (key, upload id). With `after_upload`, uploads of the key `query.after` itself
    /// follow if their id is greater.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn list_uploads(
        &self,
        bucket: BucketId,
        query: &ListQuery,
        after_upload: Option<ManifestId>,
    ) -> Result<(ListPage<(ObjectKey, ManifestId, Upload)>, Option<ManifestId>), CatalogError> {
        let snap = self.kv.snapshot().await?;
        let mut page = Roller::new(query);
        let mut last_upload = None;
        let span = KeyPrefix::of(&bucket).starting_with(&query.prefix);
        let rows = UPLOADS.scan(&snap, span, usize::MAX).await?;
        for ((_, key, id), upload) in rows {
            let after = query.after.as_deref().is_none_or(|after| {
                key.as_str() > after || (key.as_str() == after && after_upload.is_some_and(|upload| id > upload))
            });
            if !after {
                continue;
            }
            match page.take_after(key.as_str(), true) {
                Taken::Item => {
                    last_upload = Some(id);
                    page.push((key, id, upload));
                }
                Taken::Seen => {}
                Taken::Prefix(_) => last_upload = None,
                Taken::Full => break,
            }
        }
        Ok((page.finish(), last_upload))
    }
}

/// Rolls keys up into prefixes and counts them against the limit.
struct Roller<'a, T> {
    query: &'a ListQuery,
    page: ListPage<T>,
    last: Option<String>,
    full: bool,
}

/// Where a scan goes on.
enum From {
    /// At the first key.
    Start,
    /// Behind this key.
    AfterKey(String),
    /// Behind every key that begins so.
    AfterPrefix(String),
}

/// What became of a key.
enum Taken {
    /// It is an item of the page.
    Item,
    /// Its prefix was counted before, or lies before the page.
    Seen,
    /// It was rolled up into a new prefix; the scan may go on behind all keys of that prefix.
    Prefix(String),
    /// The page has no room for it.
    Full,
}

impl<'a, T> Roller<'a, T> {
    fn new(query: &'a ListQuery) -> Self {
        let page = ListPage { items: Vec::new(), prefixes: Vec::new(), next: None };
        Self { query, page, last: None, full: false }
    }

    /// Where the scan begins. If the page begins after a rolled-up prefix, that is behind all keys of the prefix.
    fn start(&self) -> From {
        match &self.query.after {
            None => From::Start,
            Some(after) if self.prefix_of(after).as_ref() == Some(after) => From::AfterPrefix(after.clone()),
            Some(after) => From::AfterKey(after.clone()),
        }
    }

    fn room(&self) -> usize {
        self.query.limit - self.page.items.len() - self.page.prefixes.len()
    }

    fn wants_more(&self) -> bool {
        !self.full && self.query.limit > 0
    }

    fn take(&mut self, key: &str) -> Taken {
        self.take_after(key, false)
    }

    fn take_after(&mut self, key: &str, repeated: bool) -> Taken {
        let name = self.prefix_of(key);
        if let Some(prefix) = &name {
            let before = self.query.after.as_ref().is_some_and(|after| !repeated && prefix <= after);
            if before || self.page.prefixes.last() == Some(prefix) {
                return Taken::Seen;
            }
        }
        if self.room() == 0 {
            self.full = true;
            self.page.next.clone_from(&self.last);
            return Taken::Full;
        }
        self.last = Some(name.clone().unwrap_or_else(|| key.to_owned()));
        match name {
            Some(prefix) => {
                self.page.prefixes.push(prefix.clone());
                Taken::Prefix(prefix)
            }
            None => Taken::Item,
        }
    }

    fn push(&mut self, item: T) {
        self.page.items.push(item);
    }

    fn finish(self) -> ListPage<T> {
        self.page
    }

    /// What `key` is rolled up into: the prefix up to and including the first delimiter behind the query's prefix.
    fn prefix_of(&self, key: &str) -> Option<String> {
        let delimiter = self.query.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty())?;
        let rest = key.strip_prefix(&self.query.prefix)?;
        let end = rest.find(delimiter)? + delimiter.len();
        Some(key[..self.query.prefix.len() + end].to_owned())
    }
}
