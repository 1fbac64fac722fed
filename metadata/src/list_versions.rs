//! ListObjectVersions: keys in order, and of each key the current version, then the others from new to old. Two tables hold them
//! (`docs/decisions/0002`), so two scans are merged.

use std::collections::VecDeque;

use kv::{Inverted, KeyCodec, KeyPrefix, Snap, Span, Table};
use types::{BucketId, ObjectKey, Timestamp, VersionId};

use crate::listing::{Roller, Taken, rolled_up_after};
use crate::records::Entry;
use crate::schema::{OBJECTS, VERSIONS};
use crate::versions::pick;
use crate::{Catalog, CatalogError, ListPage, ListQuery};

/// A version as a listing shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedVersion {
    /// Its key.
    pub key: ObjectKey,
    /// Its row.
    pub entry: Entry,
    /// Whether it is the current one.
    pub latest: bool,
}

/// Rows read from a table at a time at most.
const BATCH_MAX: usize = 1000;
/// Rows read at first, and again after a prefix was rolled up.
const BATCH_MIN: usize = 32;

impl Catalog {
    /// A page of all versions in a bucket. With `after_version`, those of the key `query.after` itself follow that are older than it. If the
    /// page ends with a version, its id comes along: the next page's `after_version`.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn list_versions(
        &self,
        bucket: BucketId,
        query: &ListQuery,
        after_version: Option<VersionId>,
    ) -> Result<(ListPage<ListedVersion>, Option<VersionId>), CatalogError> {
        let snap = self.kv.snapshot().await?;
        if query.limit == 0 {
            return Ok((Roller::<ListedVersion>::new(query).page, None));
        }
        let begin = Begin::find(&snap, bucket, query, after_version).await?;
        let mut merge = Merge::new(&snap, bucket, query, &begin);
        let mut roller = Roller::new(query);
        let hidden = query.hidden(&snap, bucket).await?;
        while let Some(version) = merge.next().await? {
            if begin.is_before(&version) {
                continue;
            }
            if let Some(hidden) = &hidden
                && hidden.hides(&snap, &version.key, &version.entry).await?
            {
                continue;
            }
            match roller.take(version.key.as_str()) {
                Taken::Full => break,
                Taken::RolledUp(prefix) => merge.pass(&prefix),
                Taken::Item => roller.page.items.push(version),
            }
        }
        let page = roller.page;
        let last = page
            .items
            .last()
            .filter(|item| page.next.as_deref() == Some(item.key.as_str()))
            .map(|item| item.entry.version);
        Ok((page, last))
    }
}

/// Where a page begins.
enum Begin {
    /// With the first key.
    First,
    /// Behind this rolled-up prefix.
    Prefix(String),
    /// Behind this key.
    Key(String),
    /// With the versions of this key that are older than this time.
    Version(String, Timestamp),
}

impl Begin {
    async fn find(
        snap: &Snap,
        bucket: BucketId,
        query: &ListQuery,
        after_version: Option<VersionId>,
    ) -> Result<Self, CatalogError> {
        let Some(after) = query.after.clone() else { return Ok(Self::First) };
        if let Some(prefix) = rolled_up_after(query) {
            return Ok(Self::Prefix(prefix));
        }
        let Some(version) = after_version else { return Ok(Self::Key(after)) };
        let time = match version.time() {
            Some(time) => time,
            None => time_of_null(snap, bucket, &after).await?,
        };
        Ok(Self::Version(after, time))
    }

    /// Whether a version of the key with which the page begins was on an earlier page.
    fn is_before(&self, version: &ListedVersion) -> bool {
        matches!(self, Self::Version(key, time)
            if version.key.as_str() == key && version.entry.modified >= *time)
    }
}

/// Where the version `null` of a key is. One that is gone meanwhile was nowhere: all of the key's versions are listed once more.
async fn time_of_null(snap: &Snap, bucket: BucketId, key: &str) -> Result<Timestamp, CatalogError> {
    let end = Timestamp(u64::MAX);
    let Ok(key) = key.parse() else { return Ok(end) };
    let at = (bucket, key);
    let present = OBJECTS.get(snap, &at).await?;
    let picked = pick(snap, &at, VersionId::NULL, present).await?;
    Ok(picked.map_or(end, |picked| picked.entry.modified))
}

/// The rows of one table that are still to come, a batch at a time.
struct Cursor<'a, K> {
    snap: &'a Snap,
    table: &'a Table<K, Entry>,
    rows: VecDeque<(K, Entry)>,
    /// What is not read yet; `None` at the end.
    rest: Option<Span>,
    step: usize,
}

impl<'a, K: KeyCodec> Cursor<'a, K> {
    fn new(snap: &'a Snap, table: &'a Table<K, Entry>, span: Span) -> Self {
        Self { snap, table, rows: VecDeque::new(), rest: Some(span), step: BATCH_MIN }
    }

    /// Reads on if there is nothing in hand.
    async fn fill(&mut self) -> Result<(), CatalogError> {
        if !self.rows.is_empty() {
            return Ok(());
        }
        let Some(span) = self.rest.take() else { return Ok(()) };
        let rows = self.table.scan(self.snap, span.clone(), self.step).await?;
        if rows.len() == self.step {
            self.rest = rows.last().map(|(key, _)| span.after_key(key));
        }
        self.rows = rows.into();
        self.step = (self.step * 4).min(BATCH_MAX);
        Ok(())
    }

    /// Passes over every key in `bucket` that begins with `prefix`.
    fn pass(&mut self, bucket: BucketId, prefix: &str, name: impl Fn(&K) -> &str) {
        while self.rows.front().is_some_and(|(key, _)| name(key).starts_with(prefix)) {
            self.rows.pop_front();
        }
        if self.rows.is_empty() {
            let passed = KeyPrefix::of(&bucket).starting_with(prefix);
            self.rest = self.rest.take().map(|span| span.after_prefix(&passed));
            self.step = BATCH_MIN;
        }
    }
}

/// Current and older versions in one order.
struct Merge<'a> {
    bucket: BucketId,
    current: Cursor<'a, (BucketId, ObjectKey)>,
    older: Cursor<'a, (BucketId, ObjectKey, Inverted)>,
}

impl<'a> Merge<'a> {
    fn new(snap: &'a Snap, bucket: BucketId, query: &ListQuery, begin: &Begin) -> Self {
        let here = KeyPrefix::of(&bucket);
        let all = Span::of(&here.clone().starting_with(&query.prefix));
        let (current, older) = match begin {
            Begin::First => (all.clone(), all),
            Begin::Prefix(prefix) => {
                let behind = all.after_prefix(&here.starting_with(prefix));
                (behind.clone(), behind)
            }
            Begin::Key(key) => {
                let behind = all.after_prefix(&here.then(key));
                (behind.clone(), behind)
            }
            Begin::Version(key, time) => (
                all.clone().from_key(&(bucket, key.clone())),
                all.after_key(&(bucket, key.clone(), Inverted(time.0))),
            ),
        };
        Self {
            bucket,
            current: Cursor::new(snap, &OBJECTS, current),
            older: Cursor::new(snap, &VERSIONS, older),
        }
    }

    async fn next(&mut self) -> Result<Option<ListedVersion>, CatalogError> {
        self.current.fill().await?;
        self.older.fill().await?;
        let current = self.current.rows.front().map(|((_, key), _)| key);
        let older = self.older.rows.front().map(|((_, key, _), _)| key);
        let latest = match (current, older) {
            (Some(current), Some(older)) => current <= older,
            (current, _) => current.is_some(),
        };
        Ok(if latest {
            let row = self.current.rows.pop_front();
            row.map(|((_, key), entry)| ListedVersion { key, entry, latest })
        } else {
            let row = self.older.rows.pop_front();
            row.map(|((_, key, _), entry)| ListedVersion { key, entry, latest })
        })
    }

    fn pass(&mut self, prefix: &str) {
        self.current.pass(self.bucket, prefix, |(_, key)| key.as_str());
        self.older.pass(self.bucket, prefix, |(_, key, _)| key.as_str());
    }
}
