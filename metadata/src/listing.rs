//! Listings. A page is read from one snapshot; between pages the bucket may change, as with every S3.

use kv::{KeyCodec, KeyPrefix, Snap, Span, Table};
use serde::Serialize;
use serde::de::DeserializeOwned;
use types::{BucketId, ManifestId, ObjectKey};

use crate::records::{Entry, Upload};
use crate::schema::{OBJECTS, UPLOADS};
use crate::takedowns::Hidden;
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
    /// Leaves out what the operator took down, as listings for customers do.
    pub without_taken_down: bool,
}

impl ListQuery {
    /// What of the bucket it leaves out.
    pub(crate) async fn hidden(
        &self,
        snap: &Snap,
        bucket: BucketId,
    ) -> Result<Option<Hidden>, CatalogError> {
        if self.without_taken_down { Hidden::of(snap, bucket).await } else { Ok(None) }
    }
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

/// Rows read from the engine at a time at most: the largest page, and the row behind it that shows that there is more.
const BATCH_MAX: usize = 1001;
/// Rows read from the engine at a time at least.
const BATCH_MIN: usize = 8;

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
        let span = match (rolled_up_after(query), &query.after) {
            (Some(prefix), _) => all.after_prefix(&here.starting_with(prefix)),
            (None, Some(after)) => all.after_key(&(bucket, after.clone())),
            (None, None) => all,
        };
        let hides = Objects(query.hidden(&snap, bucket).await?);
        let rows = Rows { table: &OBJECTS, bucket, name: |(_, key)| key.as_str(), hides };
        let page = read_page(&snap, rows, query, span).await?;
        Ok(page.map(|((_, key), entry)| (key, entry)))
    }

    /// A page of the uploads under way in a bucket, in order of (key, upload id). With `after_upload`, uploads of the key `query.after` itself
    /// follow if their id is greater. If the page ends with an upload, its id comes along: the next page's `after_upload`.
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
        let here = KeyPrefix::of(&bucket);
        let all = Span::of(&here.clone().starting_with(&query.prefix));
        let span = match (rolled_up_after(query), &query.after, after_upload) {
            (Some(prefix), ..) => all.after_prefix(&here.starting_with(prefix)),
            (None, Some(after), Some(id)) => all.after_key(&(bucket, after.clone(), id)),
            (None, Some(after), None) => all.after_prefix(&here.then(after)),
            (None, None, _) => all,
        };
        let rows =
            Rows { table: &UPLOADS, bucket, name: |(_, key, _)| key.as_str(), hides: Uploads };
        let page = read_page(&snap, rows, query, span).await?;
        let page = page.map(|((_, key, id), upload)| (key, id, upload));
        let last = page
            .items
            .last()
            .filter(|(key, ..)| page.prefixes.last().is_none_or(|prefix| **prefix < *key.as_str()))
            .map(|(_, id, _)| *id);
        Ok((page, last))
    }
}

/// What a listing goes through: the rows of a table that are all in one bucket.
struct Rows<'a, K, V, H> {
    table: &'a Table<K, V>,
    bucket: BucketId,
    /// The object key of a row.
    name: fn(&K) -> &str,
    /// Which rows are passed over.
    hides: H,
}

/// Which rows of a table a listing passes over.
trait Hides<K, V> {
    async fn hides(&self, snap: &Snap, key: &K, value: &V) -> Result<bool, CatalogError>;
}

/// Of objects, delete markers and what the operator took down.
struct Objects(Option<Hidden>);

impl Hides<(BucketId, ObjectKey), Entry> for Objects {
    async fn hides(
        &self,
        snap: &Snap,
        (_, key): &(BucketId, ObjectKey),
        entry: &Entry,
    ) -> Result<bool, CatalogError> {
        match &self.0 {
            _ if entry.is_delete_marker() => Ok(true),
            Some(hidden) => hidden.hides(snap, key, entry).await,
            None => Ok(false),
        }
    }
}

/// Of uploads, none.
struct Uploads;

impl<K, V> Hides<K, V> for Uploads {
    async fn hides(&self, _: &Snap, _: &K, _: &V) -> Result<bool, CatalogError> {
        Ok(false)
    }
}

/// Reads a page of the rows of `span`.
async fn read_page<K, V, H>(
    snap: &Snap,
    rows: Rows<'_, K, V, H>,
    query: &ListQuery,
    mut span: Span,
) -> Result<ListPage<(K, V)>, CatalogError>
where
    K: KeyCodec,
    V: Serialize + DeserializeOwned,
    H: Hides<K, V>,
{
    let Rows { table, bucket, name, hides } = rows;
    let mut roller = Roller::new(query);
    if query.limit == 0 {
        return Ok(roller.page);
    }
    let mut want = query.limit.saturating_add(1).clamp(BATCH_MIN, BATCH_MAX);
    loop {
        let batch = table.scan(snap, span.clone(), want).await?;
        let (read, before) = (batch.len(), roller.used());
        let mut next = None;
        for (key, value) in batch {
            if hides.hides(snap, &key, &value).await? {
                next = Some(span.clone().after_key(&key));
                continue;
            }
            let taken = roller.take(name(&key));
            next = Some(match &taken {
                Taken::Full => return Ok(roller.page),
                // The rest of this prefix need not be read.
                Taken::RolledUp(prefix) => {
                    span.clone().after_prefix(&KeyPrefix::of(&bucket).starting_with(prefix))
                }
                Taken::Item => span.clone().after_key(&key),
            });
            if matches!(taken, Taken::Item) {
                roller.page.items.push((key, value));
            }
        }
        match next {
            Some(rest) if read == want => span = rest,
            _ => return Ok(roller.page),
        }
        // Small batches where prefixes roll up many keys, large ones where every row counts.
        let wasteful = (roller.used() - before) * 2 < read;
        want = if wasteful { want / 8 } else { want * 4 }.clamp(BATCH_MIN, BATCH_MAX);
    }
}

/// The prefix into which `query.after` is rolled up, if it is: every key of it is then before the page.
pub(crate) fn rolled_up_after(query: &ListQuery) -> Option<String> {
    prefix_of(query, query.after.as_deref()?).map(str::to_owned)
}

/// What `key` is rolled up into: the prefix up to and including the first delimiter behind the query's prefix.
fn prefix_of<'a>(query: &ListQuery, key: &'a str) -> Option<&'a str> {
    let delimiter = query.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty())?;
    let rest = key.strip_prefix(&query.prefix)?;
    let end = rest.find(delimiter)? + delimiter.len();
    Some(&key[..query.prefix.len() + end])
}

/// Rolls keys up into prefixes and counts them against the limit.
pub(crate) struct Roller<'a, T> {
    query: &'a ListQuery,
    pub(crate) page: ListPage<T>,
    /// The key or prefix that was taken last.
    last: Option<String>,
}

/// What became of a key.
pub(crate) enum Taken {
    /// It is an item of the page.
    Item,
    /// It is rolled up into this prefix, the page's last.
    RolledUp(String),
    /// The page has no room for it.
    Full,
}

impl<'a, T> Roller<'a, T> {
    pub(crate) fn new(query: &'a ListQuery) -> Self {
        let page = ListPage { items: Vec::new(), prefixes: Vec::new(), next: None };
        Self { query, page, last: None }
    }

    fn used(&self) -> usize {
        self.page.items.len() + self.page.prefixes.len()
    }

    pub(crate) fn take(&mut self, key: &str) -> Taken {
        let prefix = prefix_of(self.query, key);
        if let Some(prefix) = prefix
            && self.page.prefixes.last().is_some_and(|last| last == prefix)
        {
            return Taken::RolledUp(prefix.to_owned());
        }
        if self.used() == self.query.limit {
            self.page.next.clone_from(&self.last);
            return Taken::Full;
        }
        self.last = Some(prefix.unwrap_or(key).to_owned());
        match prefix {
            Some(prefix) => {
                self.page.prefixes.push(prefix.to_owned());
                Taken::RolledUp(prefix.to_owned())
            }
            None => Taken::Item,
        }
    }
}

impl<T> ListPage<T> {
    fn map<U>(self, change: impl Fn(T) -> U) -> ListPage<U> {
        let items = self.items.into_iter().map(change).collect();
        ListPage { items, prefixes: self.prefixes, next: self.next }
    }
}
