//! The committer: the one task that makes finished records durable, for everybody at once.
//!
//! Its loop: take all jobs that wait → write their last bytes and trailers → one `fdatasync` per log touched → index → answer. While it
//! syncs, the next jobs gather: under load many shards share one sync, and without load nobody waits for company.
//!
//! Invariants:
//! - an answer is given only after the sync and after the index;
//! - commit n + 1 is written only after commit n is durable, so each record can say which commits were ("durable");
//! - after a failed sync nothing is written any more: what the disk holds is then unknown until recovery has looked.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use codec::hash::ShardHasher;
use protocol::message::Dropped;
use protocol::receipt::{Receipt, ReceiptEntry};
use tokio::sync::{mpsc, oneshot};
use types::{Root, ShardId, Timestamp};

use crate::error::Error;
use crate::store::Inner;
use crate::store::entry::{Change, DropRef, PutRef};
use crate::store::index::Applied;
use crate::store::log::{Log, Purpose, Reservation};
use crate::store::record::{
    Checksum, DROP_LEN, DropEntry, NOTICE_DROPS_MAX, NOTICE_FIXED, Notice, Place, PutHeader,
    Trailer, notice_span,
};

/// Jobs that share one sync at most; the rest waits for the next.
const BATCH_JOBS: usize = 64;
/// Jobs that may wait before senders do.
pub(crate) const QUEUE_JOBS: usize = 256;

/// What the committer is asked to make durable.
pub(crate) enum Job {
    Put(Box<PutJob>),
    Notice(NoticeJob),
    /// Finish what came before, then end.
    Stop(oneshot::Sender<()>),
}

/// A shard of which everything but the end is written.
pub(crate) struct PutJob {
    pub(crate) reservation: Reservation,
    pub(crate) header: PutHeader,
    pub(crate) checksum: Checksum,
    /// What is still to be written, from `rest_at` bytes behind the record's start on.
    pub(crate) rest: Vec<Bytes>,
    pub(crate) rest_at: u64,
    /// How many bytes of `rest` are header and not body.
    pub(crate) rest_head: usize,
    /// Has seen the body up to `rest`.
    pub(crate) hasher: ShardHasher,
    /// For a copy: the original's sequence, time and root.
    pub(crate) original: Option<Original>,
    pub(crate) answer: oneshot::Sender<Result<Stored, Error>>,
}

/// What a copy keeps of its original.
#[derive(Clone, Copy)]
pub(crate) struct Original {
    pub(crate) sequence: u64,
    pub(crate) stored_at: Timestamp,
    pub(crate) root: Root,
}

/// Drops to record.
pub(crate) struct NoticeJob {
    pub(crate) revision: u64,
    pub(crate) drops: Drops,
    pub(crate) answer: oneshot::Sender<Result<Noted, Error>>,
}

/// Which drops a notice holds.
pub(crate) enum Drops {
    /// Those of these shards that are here.
    New(Vec<ShardId>),
    /// Older ones, copied from a log that will be deleted.
    Carried(Vec<DropEntry>),
}

/// A shard that is durable.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The root of the bytes that were written.
    pub root: Root,
    /// How many they are.
    pub len: u64,
    /// Where the record lies.
    pub place: Place,
    /// The node's signature; one for all records that shared the sync.
    pub receipt: Receipt,
}

/// Drops that are durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Noted {
    /// For each shard asked for, in order: whether it is or was here. It is not served any more in either case.
    pub(crate) outcomes: Vec<Dropped>,
    /// Where the record lies.
    pub(crate) place: Place,
}

/// What only the committer may count up.
pub(crate) struct Committer {
    pub(crate) inner: Arc<Inner>,
    pub(crate) applied: Applied,
}

/// A put whose last bytes are written.
struct Written {
    reservation: Reservation,
    answer: oneshot::Sender<Result<Stored, Error>>,
    shard: ShardId,
    put: PutRef,
}

impl Written {
    fn entry(&self) -> ReceiptEntry {
        let PutRef { root, len, place, .. } = self.put;
        ReceiptEntry::Stored { shard: self.shard, root, len, position: place.into() }
    }
}

/// A notice with its place.
struct Placed {
    reservations: Vec<Reservation>,
    changes: Vec<(ShardId, Change)>,
    noted: Noted,
    answer: oneshot::Sender<Result<Noted, Error>>,
}

impl Committer {
    /// Runs until [`Job::Stop`] or until nobody can send any more.
    pub(crate) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut waiting = Vec::with_capacity(BATCH_JOBS);
        while jobs.recv_many(&mut waiting, BATCH_JOBS).await > 0 {
            let (mut puts, mut notices) = (Vec::new(), Vec::new());
            let mut stop = None;
            for job in waiting.drain(..) {
                // Jobs of one kind share a sync; the order between kinds is kept.
                match job {
                    Job::Put(put) => {
                        self.commit_notices(std::mem::take(&mut notices)).await;
                        puts.push(*put);
                    }
                    Job::Notice(notice) => {
                        self.commit_puts(std::mem::take(&mut puts)).await;
                        notices.push(notice);
                    }
                    Job::Stop(done) => stop = Some(done),
                }
            }
            self.commit_puts(puts).await;
            self.commit_notices(notices).await;
            if let Some(done) = stop {
                jobs.close();
                let _ = done.send(());
                return;
            }
        }
    }

    async fn commit_puts(&mut self, jobs: Vec<PutJob>) {
        if jobs.is_empty() {
            return;
        }
        if let Err(error) = self.inner.check_whole() {
            let why = error.to_string();
            jobs.into_iter().for_each(|job| drop(job.answer.send(Err(Error::Broken(why.clone())))));
            return;
        }
        let places: BTreeSet<Place> = jobs.iter().map(|job| job.reservation.place).collect();
        let (durable, commit) = (self.applied.commit, self.applied.commit + 1);
        let (first, now) = (self.applied.sequence + 1, self.inner.clock.now());
        self.applied.sequence += jobs.iter().filter(|job| job.original.is_none()).count() as u64;
        let inner = Arc::clone(&self.inner);
        let work = move || write_puts(&inner, jobs, [first, commit, durable], now);
        let Ok((written, receipts)) = tokio::task::spawn_blocking(work).await else {
            return self.inner.break_with("a write was interrupted");
        };
        let changes: Vec<(ShardId, Change)> =
            written.iter().map(|done| (done.shard, Change::Put(done.put))).collect();
        let outcome = match receipts {
            Ok(receipts) => self.publish(commit, &changes, &places).await.map(|()| receipts),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(receipts) => {
                for (done, receipt) in written.into_iter().zip(receipts) {
                    let Written { reservation, answer, put, .. } = done;
                    drop(reservation);
                    let PutRef { root, len, place, .. } = put;
                    let stored = Stored { root, len, place, receipt };
                    // Nobody may be waiting any more; the shard is here all the same, and inventory shows it.
                    let _ = answer.send(Ok(stored));
                }
            }
            Err(error) => {
                let why = error.to_string();
                self.inner.break_with(&why);
                for done in written {
                    let _ = done.answer.send(Err(Error::Broken(why.clone())));
                }
            }
        }
    }

    async fn commit_notices(&mut self, jobs: Vec<NoticeJob>) {
        if jobs.is_empty() {
            return;
        }
        let mut batch = Vec::new();
        let mut payloads = Vec::new();
        let (durable, commit) = (self.applied.commit, self.applied.commit + 1);
        let mut dropped_now = HashSet::new();
        for job in jobs {
            match self.place(job.revision, job.drops, [commit, durable], &dropped_now).await {
                Ok((reservations, changes, noted, notices)) => {
                    dropped_now.extend(changes.iter().map(|(shard, _)| *shard));
                    payloads.extend(notices);
                    batch.push(Placed { reservations, changes, noted, answer: job.answer });
                }
                Err(error) => drop(job.answer.send(Err(error))),
            }
        }
        if batch.is_empty() {
            return;
        }
        let written = tokio::task::spawn_blocking(move || write_notices(&payloads)).await;
        let changes: Vec<_> = batch.iter().flat_map(|placed| placed.changes.clone()).collect();
        let places =
            batch.iter().flat_map(|placed| &placed.reservations).map(|r| r.place).collect();
        let outcome = match written {
            Ok(Ok(())) => self.publish(commit, &changes, &places).await,
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::Broken("a write was interrupted".to_owned())),
        };
        if let Err(error) = &outcome {
            self.inner.break_with(&error.to_string());
        }
        for placed in batch {
            drop(placed.reservations);
            let answer = match &outcome {
                Ok(()) => Ok(placed.noted),
                Err(error) => Err(Error::Broken(error.to_string())),
            };
            let _ = placed.answer.send(answer);
        }
    }

    /// Brings durable records into the index.
    async fn publish(
        &mut self,
        commit: u64,
        changes: &[(ShardId, Change)],
        finished: &BTreeSet<Place>,
    ) -> Result<(), Error> {
        self.applied.commit = commit;
        self.applied.low = self.inner.logs.low_water(finished);
        let effects = self.inner.index.update(changes, Some(self.applied)).await?;
        self.inner.settle(&effects);
        Ok(())
    }

    /// Decides what a notice says and where it goes.
    async fn place(
        &mut self,
        revision: u64,
        drops: Drops,
        [commit, durable]: [u64; 2],
        dropped_now: &HashSet<ShardId>,
    ) -> Result<
        (Vec<Reservation>, Vec<(ShardId, Change)>, Noted, Vec<(Arc<Log>, Place, Vec<u8>)>),
        Error,
    > {
        self.inner.check_whole()?;
        self.applied.revision = self.applied.revision.max(revision);
        let (drops, outcomes) = match drops {
            Drops::Carried(drops) => (drops, Vec::new()),
            Drops::New(shards) => self.new_drops(&shards, dropped_now).await?,
        };
        let per_notice = ((self.inner.logs.limits().record_max() as usize - NOTICE_FIXED)
            / DROP_LEN)
            .min(NOTICE_DROPS_MAX);
        let mut groups: Vec<Vec<DropEntry>> =
            drops.chunks(per_notice).map(<[DropEntry]>::to_vec).collect();
        if groups.is_empty() {
            groups.push(Vec::new());
        }
        let (mut reservations, mut changes, mut payloads) = (Vec::new(), Vec::new(), Vec::new());
        for drops in groups {
            let reservation = self.inner.reserve(notice_span(drops.len()), Purpose::Upkeep).await?;
            let place = reservation.place;
            changes.extend(drops.iter().map(|drop| {
                let governs = DropRef { sequence: drop.sequence, at: drop.at, file: place.file };
                (drop.shard, Change::Drop(governs))
            }));
            let notice = Notice { commit, durable, revision: self.applied.revision, drops };
            let bytes = notice.encode(self.inner.logs.key(), place);
            payloads.push((Arc::clone(&reservation.log), place, bytes));
            reservations.push(reservation);
        }
        let place = reservations[0].place;
        Ok((reservations, changes, Noted { outcomes, place }, payloads))
    }

    /// Gives a sequence to the drop of every shard that is here.
    async fn new_drops(
        &mut self,
        shards: &[ShardId],
        dropped_now: &HashSet<ShardId>,
    ) -> Result<(Vec<DropEntry>, Vec<Dropped>), Error> {
        let now = self.inner.clock.now();
        let entries = self.inner.index.get_many(shards).await?;
        let (mut drops, mut seen) = (Vec::new(), HashSet::new());
        for (shard, entry) in shards.iter().zip(&entries) {
            let is_here = entry.as_ref().is_some_and(|e| e.put.is_some() && e.dropped.is_none());
            if is_here && !dropped_now.contains(shard) && seen.insert(*shard) {
                self.applied.sequence += 1;
                drops.push(DropEntry { shard: *shard, sequence: self.applied.sequence, at: now });
            }
        }
        let outcome = |entry: &Option<_>| match entry {
            Some(_) => Dropped::Dropped,
            None => Dropped::Unknown,
        };
        Ok((drops, entries.iter().map(outcome).collect()))
    }
}

/// Writes the ends of all `jobs`, syncs, and signs for those that are then durable; answers those that fail alone.
fn write_puts(
    inner: &Inner,
    jobs: Vec<PutJob>,
    [first, commit, durable]: [u64; 3],
    now: Timestamp,
) -> (Vec<Written>, Result<Vec<Receipt>, Error>) {
    let mut written = Vec::with_capacity(jobs.len());
    let mut touched: BTreeMap<u32, Arc<Log>> = BTreeMap::new();
    let mut next = first;
    for job in jobs {
        let (sequence, stored_at) = match &job.original {
            Some(original) => (original.sequence, original.stored_at),
            None => {
                next += 1;
                (next - 1, now)
            }
        };
        touched.insert(job.reservation.place.file, Arc::clone(&job.reservation.log));
        let version = Trailer {
            sequence,
            commit,
            durable,
            stored_at,
            root: Root([0; 32]),
            outboard: Vec::new(),
        };
        match write_end(inner, job, version) {
            Ok(done) => written.push(done),
            Err(Some(error)) => return (written, Err(error)),
            Err(None) => {}
        }
    }
    let synced = touched.values().try_for_each(|log| log.file.sync());
    let entries: Vec<ReceiptEntry> = written.iter().map(Written::entry).collect();
    (written, synced.map_err(Error::io("sync a log")).map(|()| inner.signer.sign(&entries)))
}

/// Writes what is left of a record. `Err(None)`: only this one failed and was answered. `Err(Some)`: the disk is in doubt.
fn write_end(inner: &Inner, job: PutJob, mut trailer: Trailer) -> Result<Written, Option<Error>> {
    let PutJob { reservation, header, checksum, rest, rest_at, rest_head, mut hasher, .. } = job;
    let mut skip = rest_head;
    for piece in &rest {
        let head = skip.min(piece.len());
        hasher.update(&piece[head..]);
        skip -= head;
    }
    let (root, outboard) = hasher.finish();
    if job.original.is_some_and(|original| original.root != root) {
        let _ = job.answer.send(Err(Error::Rot(header.shard)));
        return Err(None);
    }
    trailer.root = root;
    trailer.outboard = outboard.to_bytes();
    let end = trailer.encode(inner.logs.key(), &checksum);
    let place = reservation.place;
    let mut buffers: Vec<&[u8]> = rest.iter().map(|piece| &piece[..]).collect();
    buffers.push(&end);
    let file = &reservation.log.file;
    if let Err(error) = file.write_at(place.offset + rest_at, &buffers) {
        // Part of the trailer may be there. Only when it surely is not may the store go on.
        let erased = file.write_at(place.offset + header.trailer_at(), &[&[0; 24]]);
        let error = Error::io("write a shard")(error);
        if erased.is_err() {
            let why = error.to_string();
            let _ = job.answer.send(Err(error));
            return Err(Some(Error::Broken(why)));
        }
        let _ = job.answer.send(Err(error));
        return Err(None);
    }
    let put = PutRef {
        place,
        len: header.len,
        label_len: header.label.len() as u16,
        root,
        epoch: header.epoch,
        sequence: trailer.sequence,
        commit: trailer.commit,
    };
    Ok(Written { reservation, answer: job.answer, shard: header.shard, put })
}

fn write_notices(payloads: &[(Arc<Log>, Place, Vec<u8>)]) -> Result<(), Error> {
    let mut touched = BTreeMap::new();
    for (log, place, bytes) in payloads {
        log.file.write_at(place.offset, &[bytes]).map_err(Error::io("write a notice"))?;
        touched.insert(log.number, log);
    }
    touched.values().try_for_each(|log| log.file.sync()).map_err(Error::io("sync a log"))
}
