//! Takedowns: what the operator must not let anybody read. A takedown names an object, every key under a prefix, or a content by its double
//! hash; what it names can neither be read nor is it listed, and everything else about it (deletes, locks, repair) goes on.
//!
//! Every takedown and every lift is a row of a public log that only grows. Each row's chain covers all rows before it, so that a log that was
//! shown once cannot be told otherwise later. The log names no keys, which may be private: it has their hash, by which whoever knows a name
//! finds its row.

use kv::{KeyPrefix, Reads, Snap, Span, Tx};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use types::{BucketId, BucketName, ObjectKey, Timestamp};

use crate::records::{ChecksumAlgorithm, ChecksumKind, Entry};
use crate::schema::{
    DETAILS, TAKEDOWN_HEAD, TAKEDOWN_LOG, TAKEN_CONTENTS, TAKEN_OBJECTS, TAKEN_PREFIXES,
};
use crate::{Catalog, CatalogError, Located};

/// Bytes of the longest reason.
pub const REASON_MAX: usize = 1000;
/// Prefixes taken down in one bucket at most: every read in it compares them all.
pub const PREFIXES_MAX: usize = 1000;
/// Takedowns made or lifted in one transaction.
const STEP: usize = 100;

/// What a takedown names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// Every version of a key, also those that are yet to come.
    Object {
        /// The bucket.
        bucket: (BucketName, BucketId),
        /// The key.
        key: ObjectKey,
    },
    /// Every key that begins so; all of the bucket if that is nothing.
    Prefix {
        /// The bucket.
        bucket: (BucketName, BucketId),
        /// How the keys begin.
        prefix: String,
    },
    /// Whatever has this content, anywhere: the SHA-256 of the content's MD5 or SHA-256, as [`double_hash`] makes it.
    Content([u8; 32]),
}

/// A takedown that holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Takedown {
    /// Since when.
    pub created: Timestamp,
    /// The bucket's name, of an object or a prefix.
    pub bucket: Option<BucketName>,
    /// Why, in the operator's words, which are public.
    pub reason: String,
}

/// What a row of the public log is about. Discriminants are stored: append only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Kind {
    /// An object.
    Object,
    /// A prefix.
    Prefix,
    /// A content.
    Content,
}

/// A row of the public log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Logged {
    /// When.
    pub at: Timestamp,
    /// Whether it was taken down; else a takedown was lifted.
    pub taken_down: bool,
    /// What kind of thing.
    pub kind: Kind,
    /// Of a content its double hash; of an object or a prefix the SHA-256 of `BUCKET/KEY` or `BUCKET/PREFIX`.
    pub digest: [u8; 32],
    /// Why, in the operator's words.
    pub reason: String,
    /// [`Logged::chain_after`] the row before it.
    pub chain: [u8; 32],
}

/// Where the public log ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LogHead {
    /// Rows of the log. They are numbered from 1.
    pub rows: u64,
    /// The last row's chain; zeros before the first.
    pub chain: [u8; 32],
}

/// Whether something is to be taken down or a takedown lifted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Change {
    TakeDown,
    Lift,
}

/// The name by which lists know a content: the SHA-256 of its digest's bytes. A list of such names tells nobody which digests it holds.
#[must_use]
pub fn double_hash(digest: &[u8]) -> [u8; 32] {
    Sha256::digest(digest).into()
}

impl Catalog {
    /// Takes these down, each with a row in the log; how many were not down before. In small transactions: after a failure, asked again.
    ///
    /// # Errors
    /// [`CatalogError::TooLarge`] for a reason of more than [`REASON_MAX`] bytes, or more than [`PREFIXES_MAX`] prefixes of a bucket.
    pub async fn take_down(&self, targets: &[Target], reason: &str) -> Result<usize, CatalogError> {
        self.change_takedowns(Change::TakeDown, targets, reason).await
    }

    /// Lifts the takedowns of these, each with a row in the log; how many were down.
    ///
    /// # Errors
    /// [`CatalogError::TooLarge`] for a reason of more than [`REASON_MAX`] bytes.
    pub async fn lift_takedowns(
        &self,
        targets: &[Target],
        reason: &str,
    ) -> Result<usize, CatalogError> {
        self.change_takedowns(Change::Lift, targets, reason).await
    }

    async fn change_takedowns(
        &self,
        change: Change,
        targets: &[Target],
        reason: &str,
    ) -> Result<usize, CatalogError> {
        if reason.len() > REASON_MAX {
            return Err(CatalogError::TooLarge { what: "reason", max: REASON_MAX });
        }
        let (now, mut changed) = (self.now(), 0);
        for step in targets.chunks(STEP) {
            changed += kv::transact(&*self.kv, |tx| async move {
                let before = TAKEDOWN_HEAD.get_for_update(&tx, &()).await?.unwrap_or_default();
                let mut head = before;
                for target in step {
                    if target.change(&tx, change, now, reason).await? {
                        head = target.log(&tx, head, change, now, reason);
                    }
                }
                if head.rows > before.rows {
                    TAKEDOWN_HEAD.put(&tx, &(), &head);
                }
                Ok::<_, CatalogError>((head.rows - before.rows) as usize)
            })
            .await?;
        }
        Ok(changed)
    }

    /// The objects and prefixes that are taken down, in order of buckets' ids and names.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn taken_names(&self) -> Result<Vec<(Target, Takedown)>, CatalogError> {
        let mut found = Vec::new();
        for ((id, key), row) in self.all(&TAKEN_OBJECTS).await? {
            let bucket = (named(&row)?, id);
            found.push((Target::Object { bucket, key }, row));
        }
        for ((id, prefix), row) in self.all(&TAKEN_PREFIXES).await? {
            let bucket = (named(&row)?, id);
            found.push((Target::Prefix { bucket, prefix }, row));
        }
        Ok(found)
    }

    /// Up to `limit` contents that are taken down, in order of their double hashes, those after `after`.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn taken_contents(
        &self,
        after: Option<[u8; 32]>,
        limit: usize,
    ) -> Result<Vec<([u8; 32], Takedown)>, CatalogError> {
        let span = after.map_or(Span::all(), |after| Span::all().after_key(&after));
        Ok(TAKEN_CONTENTS.scan(&self.kv.snapshot().await?, span, limit).await?)
    }

    /// Up to `limit` rows of the public log, in order of their numbers, those after `after`.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn takedown_log(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Logged)>, CatalogError> {
        let span = Span::all().after_key(&after);
        Ok(TAKEDOWN_LOG.scan(&self.kv.snapshot().await?, span, limit).await?)
    }

    /// Follows the takedowns for a read of `located` that goes on.
    #[must_use]
    pub fn watch(&self, located: &Located) -> Watch {
        Watch {
            catalog: self.clone(),
            bucket: located.bucket,
            key: located.key.clone(),
            entry: located.entry.clone(),
            seen: 0,
        }
    }
}

impl Target {
    /// Makes or lifts the takedown; whether that changed anything.
    async fn change(
        &self,
        tx: &Tx,
        change: Change,
        now: Timestamp,
        reason: &str,
    ) -> Result<bool, CatalogError> {
        let row = |bucket: Option<&BucketName>| Takedown {
            created: now,
            bucket: bucket.cloned(),
            reason: reason.to_owned(),
        };
        // The log's head was read for update: no two changes run at the same time.
        let down = match self {
            Self::Object { bucket: (name, id), key } => {
                let at = (*id, key.clone());
                let down = TAKEN_OBJECTS.get_for_update(tx, &at).await?.is_some();
                match change {
                    Change::TakeDown if !down => TAKEN_OBJECTS.put(tx, &at, &row(Some(name))),
                    Change::Lift if down => TAKEN_OBJECTS.delete(tx, &at),
                    _ => {}
                }
                down
            }
            Self::Prefix { bucket: (name, id), prefix } => {
                let at = (*id, prefix.clone());
                let down = TAKEN_PREFIXES.get_for_update(tx, &at).await?.is_some();
                match change {
                    Change::TakeDown if !down => {
                        let of_bucket = KeyPrefix::of(id);
                        if TAKEN_PREFIXES.scan(tx, of_bucket, PREFIXES_MAX).await?.len()
                            == PREFIXES_MAX
                        {
                            let what = "list of a bucket's prefixes";
                            return Err(CatalogError::TooLarge { what, max: PREFIXES_MAX });
                        }
                        TAKEN_PREFIXES.put(tx, &at, &row(Some(name)));
                    }
                    Change::Lift if down => TAKEN_PREFIXES.delete(tx, &at),
                    _ => {}
                }
                down
            }
            Self::Content(hash) => {
                let down = TAKEN_CONTENTS.get_for_update(tx, hash).await?.is_some();
                match change {
                    Change::TakeDown if !down => TAKEN_CONTENTS.put(tx, hash, &row(None)),
                    Change::Lift if down => TAKEN_CONTENTS.delete(tx, hash),
                    _ => {}
                }
                down
            }
        };
        Ok(down == (change == Change::Lift))
    }

    /// Adds a row to the public log, whose head is then the one returned.
    fn log(&self, tx: &Tx, head: LogHead, change: Change, at: Timestamp, reason: &str) -> LogHead {
        let (kind, digest) = self.told();
        let taken_down = change == Change::TakeDown;
        let mut row =
            Logged { at, taken_down, kind, digest, reason: reason.to_owned(), chain: [0; 32] };
        let number = head.rows + 1;
        row.chain = row.chain_after(&head.chain, number);
        TAKEDOWN_LOG.put(tx, &number, &row);
        LogHead { rows: number, chain: row.chain }
    }

    /// What the public log says of it.
    fn told(&self) -> (Kind, [u8; 32]) {
        let name = |bucket: &BucketName, rest: &str| {
            Sha256::digest(format!("{bucket}/{rest}").as_bytes()).into()
        };
        match self {
            Self::Object { bucket, key } => (Kind::Object, name(&bucket.0, key.as_str())),
            Self::Prefix { bucket, prefix } => (Kind::Prefix, name(&bucket.0, prefix)),
            Self::Content(hash) => (Kind::Content, *hash),
        }
    }
}

impl Kind {
    /// Its name in the log and the admin API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Prefix => "prefix",
            Self::Content => "content",
        }
    }
}

impl Logged {
    /// What was done, in the log's word for it.
    #[must_use]
    pub fn action(&self) -> &'static str {
        if self.taken_down { "take-down" } else { "lift" }
    }

    /// The chain of this row, which has this number, behind a row with the chain `before`: the SHA-256 of the text
    /// `BEFORE NUMBER MILLISECONDS ACTION KIND DIGEST REASON`, hashes in hexadecimal, one space between. Anybody can compute it from what is
    /// published.
    #[must_use]
    pub fn chain_after(&self, before: &[u8; 32], number: u64) -> [u8; 32] {
        let Self { at, kind, digest, reason, .. } = self;
        let (before, digest) = (hex::encode(before), hex::encode(digest));
        let (at, action, kind) = (at.0, self.action(), kind.name());
        Sha256::digest(format!("{before} {number} {at} {action} {kind} {digest} {reason}")).into()
    }
}

impl Located {
    /// That the version may be read, as far as the operator is concerned.
    ///
    /// # Errors
    /// [`CatalogError::TakenDown`].
    pub async fn check_not_taken_down(&self) -> Result<(), CatalogError> {
        refuse_taken_down(&self.snap, self.bucket, &self.key, &self.entry).await
    }
}

/// Follows the takedowns for a read that has begun.
pub struct Watch {
    catalog: Catalog,
    bucket: BucketId,
    key: ObjectKey,
    entry: Entry,
    /// Rows of the log when it was looked last.
    seen: u64,
}

impl Watch {
    /// That the read may go on. Costs one row as long as nothing is taken down or lifted.
    ///
    /// # Errors
    /// [`CatalogError::TakenDown`].
    pub async fn check(&mut self) -> Result<(), CatalogError> {
        let snap = self.catalog.kv.snapshot().await?;
        let rows = TAKEDOWN_HEAD.get(&snap, &()).await?.unwrap_or_default().rows;
        if rows > self.seen {
            refuse_taken_down(&snap, self.bucket, &self.key, &self.entry).await?;
            self.seen = rows;
        }
        Ok(())
    }
}

async fn refuse_taken_down(
    snap: &Snap,
    bucket: BucketId,
    key: &ObjectKey,
    entry: &Entry,
) -> Result<(), CatalogError> {
    match Hidden::of(snap, bucket).await? {
        Some(hidden) if hidden.hides(snap, key, entry).await? => Err(CatalogError::TakenDown),
        _ => Ok(()),
    }
}

/// What a snapshot knows of the takedowns in a bucket: enough to pass over most keys without asking again.
pub(crate) struct Hidden {
    bucket: BucketId,
    prefixes: Vec<String>,
    /// Whether any object of the bucket is.
    objects: bool,
    /// Whether any content is.
    contents: bool,
}

impl Hidden {
    /// `None` where nothing is taken down, which costs one row to learn as long as nothing ever was.
    pub(crate) async fn of(snap: &Snap, bucket: BucketId) -> Result<Option<Self>, CatalogError> {
        if TAKEDOWN_HEAD.get(snap, &()).await?.is_none() {
            return Ok(None);
        }
        let here = KeyPrefix::of(&bucket);
        let prefixes = TAKEN_PREFIXES.scan(snap, here.clone(), PREFIXES_MAX).await?;
        let prefixes: Vec<String> = prefixes.into_iter().map(|((_, prefix), _)| prefix).collect();
        let objects = !TAKEN_OBJECTS.scan(snap, here, 1).await?.is_empty();
        let contents = !TAKEN_CONTENTS.scan(snap, Span::all(), 1).await?.is_empty();
        let any = objects || contents || !prefixes.is_empty();
        Ok(any.then_some(Self { bucket, prefixes, objects, contents }))
    }

    /// Whether a version is taken down, by its key or by its content.
    pub(crate) async fn hides<R: Reads + ?Sized>(
        &self,
        reads: &R,
        key: &ObjectKey,
        entry: &Entry,
    ) -> Result<bool, CatalogError> {
        if self.prefixes.iter().any(|prefix| key.as_str().starts_with(prefix)) {
            return Ok(true);
        }
        if self.objects && TAKEN_OBJECTS.get(reads, &(self.bucket, key.clone())).await?.is_some() {
            return Ok(true);
        }
        if !self.contents || entry.is_delete_marker() {
            return Ok(false);
        }
        let names = contents_of(reads, entry).await?;
        Ok(TAKEN_CONTENTS.get_many(reads, &names).await?.iter().any(Option::is_some))
    }
}

/// The names under which lists may know a version's content: of the digest in its entity tag, and of its SHA-256 where it carries one over all
/// its bytes.
async fn contents_of<R: Reads + ?Sized>(
    reads: &R,
    entry: &Entry,
) -> Result<Vec<[u8; 32]>, CatalogError> {
    let mut names = vec![double_hash(&entry.etag.md5)];
    if entry.checksum == Some((ChecksumAlgorithm::Sha256, ChecksumKind::FullObject)) {
        let detail = DETAILS.get(reads, &entry.manifest).await?;
        let detail = detail.ok_or_else(|| entry.without_detail())?;
        let of_all =
            detail.checksums.iter().filter(|sum| sum.algorithm == ChecksumAlgorithm::Sha256);
        names.extend(of_all.map(|sum| double_hash(&sum.value)));
    }
    Ok(names)
}

/// The bucket's name, which the takedown of an object or a prefix has.
fn named(row: &Takedown) -> Result<BucketName, CatalogError> {
    let nameless = || CatalogError::Corrupt("a takedown in a bucket has no bucket".to_owned());
    row.bucket.clone().ok_or_else(nameless)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_of_the_log_can_be_computed_by_hand() {
        let row = Logged {
            at: Timestamp(1_700_000_000_000),
            taken_down: true,
            kind: Kind::Content,
            digest: [0xab; 32],
            reason: "court order 7".to_owned(),
            chain: [0; 32],
        };
        let text = format!(
            "{} 1 1700000000000 take-down content {} court order 7",
            "0".repeat(64),
            "ab".repeat(32)
        );
        assert_eq!(row.chain_after(&[0; 32], 1), double_hash(text.as_bytes()));
        let other = Logged { reason: "court order 8".to_owned(), ..row.clone() };
        assert_ne!(other.chain_after(&[0; 32], 1), row.chain_after(&[0; 32], 1));
    }
}
