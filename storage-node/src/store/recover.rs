//! The index from the logs.
//!
//! Replay begins where the index says nothing is missing before (or at the beginning, if there is no index) and applies what it finds; the
//! order does not matter ([`Entry`](crate::store::entry::Entry)). Which records can be believed:
//!
//! - a notice: its checksum covers all of it;
//! - a put whose commit is known to have been synced, because a later record, or the index, says so;
//! - any other put only after its body was hashed: after a power cut its trailer may be on the disk and its body not. If the hash differs, the
//!   trailer is erased, so that no later record can vouch for it by mistake.

use std::collections::BTreeSet;
use std::sync::Arc;

use codec::hash::RootHasher;
use types::{MIB, ShardId};

use crate::error::Error;
use crate::store::entry::{Change, DropRef, Entry, PutRef};
use crate::store::index::{Applied, Effects, Index};
use crate::store::log::{Log, Logs, name_of};
use crate::store::record::{Place, body_at};
use crate::store::walk::{self, Found};

/// Bytes hashed at a time.
const HASH_BATCH: u64 = MIB;
/// Rows pruned at a time.
const PRUNE_BATCH: usize = 4096;

/// Where the store stands after recovery.
pub(crate) struct Recovered {
    pub(crate) applied: Applied,
    /// The sums over all entries.
    pub(crate) totals: Effects,
}

/// What one log holds.
#[derive(Default)]
struct Contents {
    end: u64,
    changes: Vec<(ShardId, Change)>,
    /// The highest sequence, commit and revision of any record, and the highest commit any vouches for.
    sequence: u64,
    commit: u64,
    revision: u64,
    durable: u64,
}

/// A row that does not fit the logs: the index cannot be trusted.
struct Misfit;

/// Brings the index up to the logs; rebuilds it if it does not fit them.
pub(crate) async fn recover(logs: &Arc<Logs>, index: &Index) -> Result<Recovered, Error> {
    if let Some(from) = index.applied().await? {
        let applied = replay(logs, index, from).await?;
        match prune(logs, index).await? {
            Ok(totals) => return finish(logs, applied, totals),
            Err(Misfit) => tracing::warn!("the shard index does not fit the logs; rebuilding it"),
        }
    }
    index.clear().await?;
    let applied = replay(logs, index, Applied::default()).await?;
    match prune(logs, index).await? {
        Ok(totals) => finish(logs, applied, totals),
        Err(Misfit) => {
            Err(Error::Damaged("an index fresh from the logs does not fit them".to_owned()))
        }
    }
}

fn finish(logs: &Logs, applied: Applied, totals: Effects) -> Result<Recovered, Error> {
    logs.account(&totals.logs);
    match logs.ensure_active() {
        // An owner may lend less than before: what is here is served, and room comes with the next drops.
        Err(Error::Full { reason, .. }) => tracing::warn!(%reason, "the store takes no new shards"),
        begun => begun?,
    }
    Ok(Recovered { applied, totals })
}

async fn replay(logs: &Arc<Logs>, index: &Index, from: Applied) -> Result<Applied, Error> {
    let mut applied = from;
    let mut durable = from.commit;
    let mut doubtful: Vec<(ShardId, PutRef)> = Vec::new();
    let mut replayed = Vec::new();
    for log in logs.all() {
        if log.number < from.low.file {
            continue;
        }
        let start = if log.number == from.low.file { from.low.offset } else { 0 };
        let contents = read(logs, &log, start).await?;
        logs.set_tail(&log, contents.end.max(start))?;
        applied.sequence = applied.sequence.max(contents.sequence);
        applied.commit = applied.commit.max(contents.commit);
        applied.revision = applied.revision.max(contents.revision);
        durable = durable.max(contents.durable);
        let (certain, doubted): (Vec<_>, Vec<_>) =
            contents.changes.into_iter().partition(|(_, change)| !in_doubt(change, durable));
        doubtful.extend(doubted.into_iter().filter_map(|(shard, change)| match change {
            Change::Put(put) => Some((shard, put)),
            _ => None,
        }));
        index.update(&certain, None).await?;
        replayed.push(log);
    }
    let held = believe(logs, doubtful, durable).await?;
    // What was only in the page cache of a killed process is believed now, so it must be made durable now.
    tokio::task::spawn_blocking(move || replayed.iter().try_for_each(|log| log.file.sync()))
        .await
        .map_err(|_| Error::Closed)?
        .map_err(Error::io("sync a log"))?;
    applied.low = logs.low_water(&BTreeSet::new());
    index.update(&held, Some(applied)).await?;
    Ok(applied)
}

fn in_doubt(change: &Change, durable: u64) -> bool {
    matches!(change, Change::Put(put) if put.commit > durable)
}

async fn read(logs: &Arc<Logs>, log: &Arc<Log>, from: u64) -> Result<Contents, Error> {
    let (logs, log) = (Arc::clone(logs), Arc::clone(log));
    let work = move || {
        let mut contents = Contents::default();
        contents.end = walk::walk(&log, logs.key(), from, |place, found| {
            contents.note(place, found);
            Ok(())
        })?;
        Ok(contents)
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Closed)?
}

impl Contents {
    fn note(&mut self, place: Place, found: Found) {
        match found {
            Found::Unfinished => {}
            Found::Put(header, trailer) => {
                self.sequence = self.sequence.max(trailer.sequence);
                self.commit = self.commit.max(trailer.commit);
                self.durable = self.durable.max(trailer.durable);
                let put = PutRef {
                    place,
                    len: header.len,
                    label_len: header.label.len() as u16,
                    root: trailer.root,
                    epoch: header.epoch,
                    sequence: trailer.sequence,
                    commit: trailer.commit,
                };
                self.changes.push((header.shard, Change::Put(put)));
            }
            Found::Notice(notice) => {
                self.commit = self.commit.max(notice.commit);
                self.durable = self.durable.max(notice.durable);
                self.revision = self.revision.max(notice.revision);
                for drop in notice.drops {
                    self.sequence = self.sequence.max(drop.sequence);
                    let governs =
                        DropRef { sequence: drop.sequence, at: drop.at, file: place.file };
                    self.changes.push((drop.shard, Change::Drop(governs)));
                }
            }
        }
    }
}

/// Hashes the puts nobody vouches for and returns those that hold.
async fn believe(
    logs: &Arc<Logs>,
    doubtful: Vec<(ShardId, PutRef)>,
    durable: u64,
) -> Result<Vec<(ShardId, Change)>, Error> {
    let logs = Arc::clone(logs);
    let work = move || {
        let mut held = Vec::new();
        for (shard, put) in doubtful {
            let Some(log) = logs.get(put.place.file) else { continue };
            if put.commit <= durable || matches_root(&log, &put) {
                held.push((shard, Change::Put(put)));
            } else {
                tracing::info!(%shard, log = name_of(log.number), "a torn record is put aside");
                let at = put.place.offset + body_at(usize::from(put.label_len)) + put.len;
                log.file.write_at(at, &[&[0; 24]]).map_err(Error::io("erase a torn record"))?;
            }
        }
        Ok(held)
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Closed)?
}

/// Whether the body on disk has the root that its trailer names. Blocks.
pub(crate) fn matches_root(log: &Log, put: &PutRef) -> bool {
    let start = put.place.offset + body_at(usize::from(put.label_len));
    let mut hasher = RootHasher::new();
    let mut done = 0;
    while done < put.len {
        let len = (put.len - done).min(HASH_BATCH);
        match log.file.read_at(start + done, len as usize) {
            Ok(bytes) => hasher.update(&bytes),
            Err(_) => return false,
        }
        done += len;
    }
    hasher.finish() == put.root
}

/// Removes what refers to logs that are gone, and adds up the rest.
async fn prune(logs: &Arc<Logs>, index: &Index) -> Result<Result<Effects, Misfit>, Error> {
    let numbers: BTreeSet<u32> = logs.all().iter().map(|log| log.number).collect();
    let mut totals = Effects::default();
    let mut stale: Vec<(ShardId, Change)> = Vec::new();
    let mut fits = true;
    index
        .each(|shard, mut entry| {
            let gone: Vec<u32> =
                entry.shadows.iter().copied().filter(|file| !numbers.contains(file)).collect();
            for file in gone {
                entry.apply(&Change::Forget(file));
                stale.push((shard, Change::Forget(file)));
            }
            if entry.is_void() {
                stale.push((shard, Change::Forget(0)));
            }
            fits &= refers_within(&entry, &numbers);
            totals.count(&entry, 1);
            if entry.rot {
                totals.rotted.insert(shard);
            }
            Ok(())
        })
        .await?;
    if !fits {
        return Ok(Err(Misfit));
    }
    for batch in stale.chunks(PRUNE_BATCH) {
        index.update(batch, None).await?;
    }
    Ok(Ok(totals))
}

fn refers_within(entry: &Entry, numbers: &BTreeSet<u32>) -> bool {
    let put = entry.put.iter().map(|put| put.place.file);
    let drop = entry.dropped.iter().filter(|_| entry.needs_drop()).map(|drop| drop.file);
    put.chain(drop).all(|file| numbers.contains(&file))
}
