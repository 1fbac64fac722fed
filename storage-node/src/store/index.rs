//! Where every shard lies: tables on an ordered store, all of them rebuildable from the logs.
//!
//! The index is written *after* the logs are durable and need not be durable itself: with every update goes the place in the logs from
//! which a replay would find everything that is not in it yet ([`Applied`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};

use kv::{Family, KeyPrefix, Kv, KvError, Span, Table};
use protocol::message::{GroupFingerprint, InventoryEntry};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use types::{Epoch, GroupId, ShardId, Timestamp};

use crate::error::Error;
use crate::store::entry::{Change, Entry};
use crate::store::recent::Recent;
use crate::store::record::Place;

const SHARDS: Table<ShardId, Entry> = Table::new(Family::MAIN, "shards/1");
/// The trash in the order in which its grace ends.
const TRASH: Table<(Timestamp, ShardId), u64> = Table::new(Family::MAIN, "trash/1");
const GROUPS: Table<GroupId, Group> = Table::new(Family::MAIN, "groups/1");
const APPLIED: Table<u8, Applied> = Table::new(Family::MAIN, "applied/1");
/// The only key of [`APPLIED`].
const ONLY: u8 = 0;

/// Groups whose epochs are kept in memory, at about 50 bytes each.
const EPOCHS_MAX: usize = 4096;
/// Changes per transaction: far below what one may hold.
const CHANGES_MAX: usize = 512;
/// Rows read at a time when all are walked.
const PAGE: usize = 4096;

/// Up to where the index follows the logs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Applied {
    /// No record that the index lacks begins before this place.
    pub(crate) low: Place,
    /// The highest sequence given out.
    pub(crate) sequence: u64,
    /// The highest commit number given out; all of them are durable.
    pub(crate) commit: u64,
    /// The highest revision seen.
    pub(crate) revision: u64,
}

/// What a placement group has here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    /// The newest epoch any put carried. Survives a rebuild only as far as records of it do: it guards against old gateways, not liars.
    pub(crate) epoch: Epoch,
    pub(crate) count: u64,
    pub(crate) digest: [u8; 32],
}

impl Group {
    fn fingerprint(&self, group: GroupId) -> GroupFingerprint {
        GroupFingerprint { group, count: self.count, digest: self.digest }
    }
}

/// How the sums over all entries change.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Effects {
    /// Live bytes by log.
    pub(crate) logs: BTreeMap<u32, i64>,
    pub(crate) live_shards: i64,
    pub(crate) live_bytes: i64,
    pub(crate) trash_bytes: i64,
    /// Shards that became rotten.
    pub(crate) rotted: BTreeSet<ShardId>,
    /// Shards that are not rotten any more.
    pub(crate) healed: BTreeSet<ShardId>,
}

impl Effects {
    /// Adds (`sign` 1) or takes away (−1) what an entry contributes.
    pub(crate) fn count(&mut self, entry: &Entry, sign: i64) {
        for (file, bytes) in entry.holds() {
            *self.logs.entry(file).or_default() += sign * bytes;
        }
        if let Some(put) = entry.live() {
            self.live_shards += sign;
            self.live_bytes += sign * put.len as i64;
        } else if let Some((put, _)) = entry.trash() {
            self.trash_bytes += sign * put.len as i64;
        }
    }

    fn rot(&mut self, shard: ShardId, before: &Entry, after: &Entry) {
        if after.rot && !before.rot {
            self.healed.remove(&shard);
            self.rotted.insert(shard);
        } else if before.rot && !after.rot {
            self.rotted.remove(&shard);
            self.healed.insert(shard);
        }
    }
}

/// The index of a store. One writer at a time; readers never wait.
pub(crate) struct Index {
    kv: Arc<dyn Kv>,
    writer: Mutex<()>,
    epochs: Epochs,
}

/// The epochs of the groups asked for last: every request asks for one, and few groups are busy at a time.
///
/// Invariant: once a write of epochs has returned, nothing in here is older than it. A writer notes what it committed before it returns; a reader
/// that looked into the index meanwhile does not note what it saw, for it may have looked before the commit.
struct Epochs(std::sync::Mutex<KnownEpochs>);

struct KnownEpochs {
    /// `None`: the group has no shards here.
    of: Recent<GroupId, Option<Epoch>>,
    /// Writes so far.
    writes: u64,
}

impl Epochs {
    fn new() -> Self {
        Self(std::sync::Mutex::new(KnownEpochs { of: Recent::new(EPOCHS_MAX), writes: 0 }))
    }

    /// The epoch of a group, or, if it must be looked up, how many writes there have been.
    fn get(&self, group: GroupId) -> Result<Option<Epoch>, u64> {
        let mut known = self.known();
        known.of.get(group).ok_or(known.writes)
    }

    /// Notes what a reader found, unless something was written since it asked.
    fn found(&self, group: GroupId, epoch: Option<Epoch>, writes: u64) {
        let mut known = self.known();
        if known.writes == writes {
            known.of.keep(group, epoch, 1);
        }
    }

    /// Notes what a writer has committed.
    fn written(&self, epochs: impl IntoIterator<Item = (GroupId, Epoch)>) {
        let mut known = self.known();
        known.writes += 1;
        for (group, epoch) in epochs {
            known.of.keep(group, Some(epoch), 1);
        }
    }

    fn cleared(&self) {
        let mut known = self.known();
        known.writes += 1;
        known.of.clear();
    }

    fn known(&self) -> MutexGuard<'_, KnownEpochs> {
        // Between any two statements under this lock, what is kept is true.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    pub(crate) fn new(kv: Arc<dyn Kv>) -> Self {
        Self { kv, writer: Mutex::new(()), epochs: Epochs::new() }
    }

    /// What is known of a shard.
    pub(crate) async fn get(&self, shard: ShardId) -> Result<Option<Entry>, Error> {
        Ok(SHARDS.latest(&*self.kv, &shard).await?)
    }

    /// What is known of several, in their order.
    pub(crate) async fn get_many(&self, shards: &[ShardId]) -> Result<Vec<Option<Entry>>, Error> {
        let snap = self.kv.snapshot().await?;
        Ok(SHARDS.get_many(&snap, shards).await?)
    }

    /// The newest epoch known of a group.
    pub(crate) async fn epoch(&self, group: GroupId) -> Result<Option<Epoch>, Error> {
        let writes = match self.epochs.get(group) {
            Ok(known) => return Ok(known),
            Err(writes) => writes,
        };
        let epoch = GROUPS.latest(&*self.kv, &group).await?.map(|group| group.epoch);
        self.epochs.found(group, epoch, writes);
        Ok(epoch)
    }

    /// Notes newer epochs of groups that have shards here.
    pub(crate) async fn raise_epochs(&self, epochs: &[(GroupId, Epoch)]) -> Result<(), Error> {
        let _writer = self.writer.lock().await;
        for step in epochs.chunks(CHANGES_MAX) {
            let tx = self.kv.begin().await?;
            let mut raised = Vec::new();
            for (id, epoch) in step {
                if let Some(mut group) = GROUPS.get(&tx, id).await?
                    && group.epoch < *epoch
                {
                    group.epoch = *epoch;
                    GROUPS.put(&tx, id, &group);
                    raised.push((*id, *epoch));
                }
            }
            tx.commit().await?;
            self.epochs.written(raised);
        }
        Ok(())
    }

    /// Up to where the index follows the logs; `None` for an index that never did.
    pub(crate) async fn applied(&self) -> Result<Option<Applied>, Error> {
        Ok(APPLIED.latest(&*self.kv, &ONLY).await?)
    }

    /// Applies `changes` in order, then notes `applied`. A crash in between leaves a state from which replay goes on.
    pub(crate) async fn update(
        &self,
        changes: &[(ShardId, Change)],
        applied: Option<Applied>,
    ) -> Result<Effects, Error> {
        let _writer = self.writer.lock().await;
        let mut effects = Effects::default();
        let mut rest = changes;
        loop {
            let (now, later) = rest.split_at(rest.len().min(CHANGES_MAX));
            rest = later;
            let tx = self.kv.begin().await?;
            let mut groups = BTreeMap::new();
            for (shard, change) in now {
                change_row(&tx, *shard, change, &mut effects, &mut groups).await?;
            }
            for (id, group) in &groups {
                GROUPS.put(&tx, id, group);
            }
            if let (true, Some(applied)) = (rest.is_empty(), &applied) {
                APPLIED.put(&tx, &ONLY, applied);
            }
            tx.commit().await?;
            self.epochs.written(groups.iter().map(|(id, group)| (*id, group.epoch)));
            if rest.is_empty() {
                return Ok(effects);
            }
        }
    }

    /// The shards in the trash that were dropped before `before`, oldest first, with the sequence of their drop.
    pub(crate) async fn trash(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<(ShardId, u64)>, Error> {
        let snap = self.kv.snapshot().await?;
        let zero = ShardId::from_bytes([0; 29]);
        let span = Span::all().before_key(&(before, zero));
        let rows = TRASH.scan(&snap, span, limit).await?;
        Ok(rows.into_iter().map(|((_, shard), sequence)| (shard, sequence)).collect())
    }

    /// Rows in the order of their ids, from after `after` on.
    pub(crate) async fn page(
        &self,
        after: Option<ShardId>,
        limit: usize,
    ) -> Result<Vec<(ShardId, Entry)>, Error> {
        let snap = self.kv.snapshot().await?;
        let span = after.map_or_else(Span::all, |after| Span::all().after_key(&after));
        Ok(SHARDS.scan(&snap, span, limit).await?)
    }

    /// Rows of one group, or of all, from after `after` on.
    pub(crate) async fn list(
        &self,
        group: Option<GroupId>,
        after: Option<ShardId>,
        limit: usize,
    ) -> Result<Vec<(ShardId, Entry)>, Error> {
        let Some(group) = group else { return self.page(after, limit).await };
        let snap = self.kv.snapshot().await?;
        let mut span = Span::of(&KeyPrefix::of(&group));
        if let Some(after) = after {
            span = span.after_key(&after);
        }
        Ok(SHARDS.scan(&snap, span, limit).await?)
    }

    /// Calls `visit` for every row.
    pub(crate) async fn each(
        &self,
        mut visit: impl FnMut(ShardId, Entry) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut after = None;
        loop {
            let rows = self.page(after, PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            after = Some(*last);
            for (shard, entry) in rows {
                visit(shard, entry)?;
            }
        }
    }

    /// Groups that have shards here, in order.
    pub(crate) async fn groups(
        &self,
        from: GroupId,
        to: Option<GroupId>,
        limit: usize,
    ) -> Result<Vec<GroupFingerprint>, Error> {
        let snap = self.kv.snapshot().await?;
        let mut span = Span::all().from_key(&from);
        if let Some(to) = to {
            span = span.before_key(&to);
        }
        let rows = GROUPS.scan(&snap, span, limit).await?;
        Ok(rows.iter().map(|(id, group)| group.fingerprint(*id)).collect())
    }

    /// Deletes everything, so that the logs can be replayed from their beginning.
    pub(crate) async fn clear(&self) -> Result<(), Error> {
        let _writer = self.writer.lock().await;
        let tx = self.kv.begin().await?;
        APPLIED.delete(&tx, &ONLY);
        tx.commit().await?;
        clear_table(self.kv.as_ref(), &SHARDS).await?;
        clear_table(self.kv.as_ref(), &TRASH).await?;
        clear_table(self.kv.as_ref(), &GROUPS).await?;
        self.epochs.cleared();
        Ok(())
    }

    /// Writes everything down and stops the engine.
    pub(crate) async fn close(&self) {
        let _writer = self.writer.lock().await;
        self.kv.close().await;
    }
}

async fn change_row(
    tx: &kv::Tx,
    shard: ShardId,
    change: &Change,
    effects: &mut Effects,
    groups: &mut BTreeMap<GroupId, Group>,
) -> Result<(), KvError> {
    let before = SHARDS.get(tx, &shard).await?.unwrap_or_default();
    let mut after = before.clone();
    after.apply(change);
    // A drop without its put stays until recovery has seen all records: the put may come later in the replay.
    if after.is_void() && !matches!(change, Change::Drop(_)) {
        SHARDS.delete(tx, &shard);
    } else if after != before {
        SHARDS.put(tx, &shard, &after);
    }
    if after != before {
        effects.count(&before, -1);
        effects.count(&after, 1);
        effects.rot(shard, &before, &after);
        requeue(tx, shard, &before, &after);
    }
    regroup(tx, shard, change, &before, &after, groups).await
}

/// Keeps the trash's order in step with the entry.
fn requeue(tx: &kv::Tx, shard: ShardId, before: &Entry, after: &Entry) {
    let key = |entry: &Entry| entry.trash().map(|(_, drop)| (drop.at, drop.sequence));
    let (old, new) = (key(before), key(after));
    if old != new {
        if let Some((at, _)) = old {
            TRASH.delete(tx, &(at, shard));
        }
        if let Some((at, sequence)) = new {
            TRASH.put(tx, &(at, shard), &sequence);
        }
    }
}

/// Keeps the group's fingerprint and epoch in step with the entry.
async fn regroup(
    tx: &kv::Tx,
    shard: ShardId,
    change: &Change,
    before: &Entry,
    after: &Entry,
    groups: &mut BTreeMap<GroupId, Group>,
) -> Result<(), KvError> {
    let (old, new) = (inventory_entry(shard, before), inventory_entry(shard, after));
    let epoch = if let Change::Put(put) = change { Some(put.epoch) } else { None };
    if old == new && epoch.is_none() {
        return Ok(());
    }
    let id = shard.group;
    let known = match groups.get(&id) {
        Some(group) => Some(*group),
        None => GROUPS.get(tx, &id).await?,
    };
    let mut group = known.unwrap_or(Group { epoch: Epoch(0), count: 0, digest: [0; 32] });
    let mut print = group.fingerprint(id);
    if old != new {
        if let Some(old) = &old {
            print.remove(old);
        }
        if let Some(new) = &new {
            print.add(new);
        }
    }
    group = Group {
        epoch: group.epoch.max(epoch.unwrap_or_default()),
        count: print.count,
        digest: print.digest,
    };
    groups.insert(id, group);
    Ok(())
}

/// What the inventory says of a shard.
pub(crate) fn inventory_entry(shard: ShardId, entry: &Entry) -> Option<InventoryEntry> {
    entry.live().map(|put| InventoryEntry { shard, len: put.len, root: put.root })
}

async fn clear_table<K, V>(kv: &dyn Kv, table: &Table<K, V>) -> Result<(), KvError>
where
    K: kv::KeyCodec,
    V: Serialize + serde::de::DeserializeOwned,
{
    loop {
        let tx = kv.begin().await?;
        let rows = table.scan(&tx, Span::all(), CHANGES_MAX).await?;
        if rows.is_empty() {
            return Ok(());
        }
        for (key, _) in &rows {
            table.delete(&tx, key);
        }
        tx.commit().await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_looked_before_a_write_does_not_bring_the_old_epoch_back() {
        let (epochs, group) = (Epochs::new(), GroupId(1));
        let writes = epochs.get(group).expect_err("nobody asked before");
        epochs.written([(group, Epoch(5))]);
        epochs.found(group, Some(Epoch(4)), writes);
        assert_eq!(epochs.get(group), Ok(Some(Epoch(5))));
        epochs.cleared();
        let writes = epochs.get(group).expect_err("forgotten");
        epochs.written([(GroupId(2), Epoch(1))]);
        epochs.found(group, Some(Epoch(4)), writes);
        let writes = epochs.get(group).expect_err("it may be older than that write");
        epochs.found(group, None, writes);
        assert_eq!(epochs.get(group), Ok(None), "known to have no shards here");
    }
}
