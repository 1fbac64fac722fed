//! Hours are closed: what all sources counted in one becomes its totals.
//!
//! Closing has two phases. The first moves the guard `open-from` past the hour; every intake has read it, so those under way are
//! run again and count in the next hour. After that nobody writes the hour's rows any more, and they are added up in bounded
//! transactions, each of which says how far it came.
//!
//! Laws:
//! - *A closed hour never changes.*
//! - *The usage of a period is what the bytes held in it add up to*, wherever hours are cut.
//! - *A crash changes nothing*: closing goes on where it stopped.

use std::collections::BTreeMap;
use std::time::Duration;

use kv::{KeyPrefix, Span, Tx, transact};
use serde::{Deserialize, Serialize};
use types::{AccountId, BucketId, NodeId, Timestamp};

use crate::Billing;
use crate::calendar::Hour;
use crate::caps::Scope;
use crate::error::BillingError;
use crate::intake::{Source, add_spending};
use crate::quantity::{CLASSES, OpenUsage, OpenWork, Steps, Usage, Work};
use crate::schema::{
    CLOSING, OPEN_FROM, OPEN_USAGE, OPEN_WORK, USAGE_HOURS, USAGE_LEVELS, WORK_HOURS, WORK_LEVELS,
};

/// Rows of each kind that one transaction of a closing looks at. It writes up to four rows of less than 250 bytes for each.
const PAGE: usize = 800;
/// An hour is closed so long after its end, so that what happened in it has time to arrive; what comes later still counts, in the
/// hour after.
pub const LATE: Duration = Duration::from_secs(300);

/// Bytes held by a node.
pub(crate) type Level = i128;
/// Bytes held in a bucket, by storage class.
type Levels = [i128; CLASSES];

/// How far the closing of an hour has come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Closing {
    /// Which hour.
    pub hour: Hour,
    /// How far.
    pub stage: ClosingStage,
}

/// What is done next.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ClosingStage {
    /// Customers, after this one.
    Usage(Option<(AccountId, BucketId)>),
    /// Nodes, after this one.
    Work(Option<NodeId>),
}

impl Billing {
    /// Closes every hour that ended [`LATE`] before `now`, and finishes one that was begun. Returns the first hour that is open
    /// now; `None` while nothing was ever counted.
    ///
    /// # Errors
    /// [`BillingError::Overflow`]; those of the store. What was done stays, and the next call goes on.
    pub async fn close_hours(&self, now: Timestamp) -> Result<Option<Hour>, BillingError> {
        loop {
            while self.close_some().await? {}
            let snap = self.kv.snapshot().await?;
            let Some(open) = OPEN_FROM.get(&snap, &()).await? else { return Ok(None) };
            if open.end().plus(LATE) > now {
                return Ok(Some(open));
            }
            transact(&*self.kv, |tx: Tx| async move {
                let guard = OPEN_FROM.get_for_update(&tx, &()).await?;
                // Somebody else may have begun.
                if guard == Some(open) && CLOSING.get_for_update(&tx, &()).await?.is_none() {
                    OPEN_FROM.put(&tx, &(), &open.next());
                    let stage = ClosingStage::Usage(None);
                    CLOSING.put(&tx, &(), &Closing { hour: open, stage });
                }
                Ok::<_, BillingError>(())
            })
            .await?;
        }
    }

    /// The next step of the closing under way; whether there was one.
    async fn close_some(&self) -> Result<bool, BillingError> {
        transact(&*self.kv, |tx: Tx| async move {
            let Some(closing) = CLOSING.get_for_update(&tx, &()).await? else { return Ok(false) };
            let hour = closing.hour;
            let stage = match closing.stage {
                ClosingStage::Usage(after) => match close_usage(&tx, hour, after).await? {
                    Some(last) => ClosingStage::Usage(Some(last)),
                    None => ClosingStage::Work(None),
                },
                ClosingStage::Work(after) => match close_work(&tx, hour, after).await? {
                    Some(last) => ClosingStage::Work(Some(last)),
                    None => {
                        CLOSING.delete(&tx, &());
                        return Ok(true);
                    }
                },
            };
            CLOSING.put(&tx, &(), &Closing { hour, stage });
            Ok(true)
        })
        .await
    }
}

/// Totals of the next customers' buckets; the last of them, or `None` if that were all.
async fn close_usage(
    tx: &Tx,
    hour: Hour,
    after: Option<(AccountId, BucketId)>,
) -> Result<Option<(AccountId, BucketId)>, BillingError> {
    let open_prefix = KeyPrefix::of(&hour);
    let mut open_span = Span::of(&open_prefix);
    let mut level_span = Span::all();
    if let Some((account, bucket)) = &after {
        let key = KeyPrefix::of(&hour).then(account).then(bucket);
        open_span = open_span.after_prefix(&key);
        level_span = level_span.after_key(&(account.clone(), *bucket));
    }
    let levels = USAGE_LEVELS.scan(tx, level_span, PAGE).await?;
    let open = OPEN_USAGE.scan(tx, open_span, PAGE).await?;
    let open = open
        .into_iter()
        .map(|((_, account, bucket, source), row)| ((account, bucket), (source, row)));
    let (rows, last) = join(levels, open.collect(), PAGE)?;
    let mut spending: BTreeMap<(AccountId, Scope), Usage> = BTreeMap::new();
    for ((account, bucket), Row { level, open }) in rows {
        let level = level.unwrap_or_default();
        let (total, after) =
            total_usage(hour, &level, &open).ok_or(BillingError::Overflow("usage"))?;
        if !total.is_zero() {
            let key = (hour.day(), account.clone(), bucket, hour.of_day());
            USAGE_HOURS.put(tx, &key, &total);
            let stored = Usage { stored: total.stored, ..Usage::default() };
            for scope in [Scope::Account, Scope::Bucket(bucket)] {
                let sum = spending.entry((account.clone(), scope)).or_default();
                *sum = sum.plus(&stored).ok_or(BillingError::Overflow("usage"))?;
            }
        }
        let key = (account, bucket);
        if after == Levels::default() {
            USAGE_LEVELS.delete(tx, &key);
        } else if after != level {
            USAGE_LEVELS.put(tx, &key, &after);
        }
        for (source, _) in open {
            OPEN_USAGE.delete(tx, &(hour, key.0.clone(), key.1, source));
        }
    }
    for ((account, scope), more) in spending {
        add_spending(tx, (account, scope, hour.day(), Source::BOOKS), &more).await?;
    }
    Ok(last)
}

/// Totals of the next nodes; the last of them, or `None` if that were all.
async fn close_work(
    tx: &Tx,
    hour: Hour,
    after: Option<NodeId>,
) -> Result<Option<NodeId>, BillingError> {
    let mut open_span = Span::of(&KeyPrefix::of(&hour));
    let mut level_span = Span::all();
    if let Some(node) = &after {
        open_span = open_span.after_prefix(&KeyPrefix::of(&hour).then(node));
        level_span = level_span.after_key(node);
    }
    let levels = WORK_LEVELS.scan(tx, level_span, PAGE).await?;
    let open = OPEN_WORK.scan(tx, open_span, PAGE).await?;
    let open = open.into_iter().map(|((_, node, source), row)| (node, (source, row)));
    let (rows, last) = join(levels, open.collect(), PAGE)?;
    for (node, Row { level, open }) in rows {
        let level = level.unwrap_or_default();
        let (total, after) =
            total_work(hour, level, &open).ok_or(BillingError::Overflow("work"))?;
        if !total.is_zero() {
            WORK_HOURS.put(tx, &(hour.day(), node, hour.of_day()), &total);
        }
        if after == 0 {
            WORK_LEVELS.delete(tx, &node);
        } else if after != level {
            WORK_LEVELS.put(tx, &node, &after);
        }
        for (source, _) in open {
            OPEN_WORK.delete(tx, &(hour, node, source));
        }
    }
    Ok(last)
}

/// What is known of one key: bytes held before, and what each source counted.
struct Row<L, O> {
    level: Option<L>,
    open: Vec<(Source, O)>,
}

/// One page of two ordered tables by key, and its last key unless both tables end here.
type Joined<K, L, O> = (BTreeMap<K, Row<L, O>>, Option<K>);

/// Joins pages of two ordered tables as far as both are known. A page of `limit` rows may go on: beyond its last level nothing is
/// known, and of the last open key maybe not all sources.
///
/// # Errors
/// [`BillingError::Overflow`] if one key has as many sources as a page has rows.
fn join<K: Ord + Clone, L, O>(
    levels: Vec<(K, L)>,
    open: Vec<(K, (Source, O))>,
    limit: usize,
) -> Result<Joined<K, L, O>, BillingError> {
    let level_end = (levels.len() == limit).then(|| levels.last().map(|(key, _)| key.clone()));
    let open_end = (open.len() == limit).then(|| open.last().map(|(key, _)| key.clone()));
    let mut rows: BTreeMap<K, Row<L, O>> = BTreeMap::new();
    for (key, level) in levels {
        rows.insert(key, Row { level: Some(level), open: Vec::new() });
    }
    for (key, counted) in open {
        let row = rows.entry(key).or_insert_with(|| Row { level: None, open: Vec::new() });
        row.open.push(counted);
    }
    let (level_end, open_end) = (level_end.flatten(), open_end.flatten());
    if level_end.is_none() && open_end.is_none() {
        return Ok((rows, None));
    }
    rows.retain(|key, _| {
        level_end.as_ref().is_none_or(|end| key <= end)
            && open_end.as_ref().is_none_or(|end| key < end)
    });
    match rows.keys().next_back().cloned() {
        Some(last) => Ok((rows, Some(last))),
        None => Err(BillingError::Overflow("number of sources in one hour")),
    }
}

fn total_usage(
    hour: Hour,
    level: &Levels,
    open: &[(Source, OpenUsage)],
) -> Option<(Usage, Levels)> {
    let mut total = Usage::default();
    let mut steps = [Steps::default(); CLASSES];
    for (_, row) in open {
        total = total.plus(&row.flat)?;
        for (sum, more) in steps.iter_mut().zip(row.steps) {
            *sum = sum.plus(more)?;
        }
    }
    let mut after = *level;
    for class in 0..CLASSES {
        total.stored[class] = steps[class].held_in(hour, level[class])?;
        after[class] = level[class].checked_add(steps[class].bytes)?;
    }
    Some((total, after))
}

fn total_work(hour: Hour, level: Level, open: &[(Source, OpenWork)]) -> Option<(Work, Level)> {
    let mut total = Work::default();
    let mut steps = Steps::default();
    for (_, row) in open {
        total = total.plus(&row.flat)?;
        steps = steps.plus(row.steps)?;
    }
    total.held = steps.held_in(hour, level)?;
    Some((total, level.checked_add(steps.bytes)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However the pages fall, every row is seen once and whole.
        #[test]
        fn pages_of_two_tables_join_as_the_tables_do(
            levels in prop::collection::btree_set(0..60_u32, 0..40),
            open in prop::collection::btree_set((0..60_u32, 0..3_u64), 0..60),
            limit in 4..20_usize
        ) {
            let mut seen: Vec<(u32, bool, usize)> = Vec::new();
            let mut after = None;
            loop {
                let beyond = |key: u32| after.is_none_or(|after| key > after);
                let page = levels.iter().filter(|key| beyond(**key)).take(limit);
                let levels = page.map(|key| (*key, ())).collect();
                let page = open.iter().filter(|(key, _)| beyond(*key)).take(limit);
                let counted = page.map(|(key, source)| (*key, (Source(*source), ()))).collect();
                let (rows, last) = join(levels, counted, limit).unwrap();
                seen.extend(rows.iter().map(|(key, row)| (*key, row.level.is_some(), row.open.len())));
                match last {
                    Some(last) => after = Some(last),
                    None => break,
                }
            }
            let keys: std::collections::BTreeSet<u32> =
                levels.iter().copied().chain(open.iter().map(|(key, _)| *key)).collect();
            let whole: Vec<_> = keys.iter().map(|key| {
                let sources = open.iter().filter(|(other, _)| other == key).count();
                (*key, levels.contains(key), sources)
            }).collect();
            prop_assert_eq!(seen, whole);
        }
    }
}
