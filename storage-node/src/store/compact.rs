//! Getting disk space back: a sealed log that is mostly dead is emptied into the active one and deleted.
//!
//! The order makes every crash harmless: copies and carried drops are durable and in the index → the file is deleted, durably → only then
//! does the index forget that dead puts lay in it. Until that last step every drop they need is kept.

use std::io;
use std::sync::Arc;

use futures::StreamExt;
use tokio::sync::oneshot;
use types::{MIB, ShardId};

use crate::error::Error;
use crate::store::Handle;
use crate::store::commit::{Drops, Job, NoticeJob, Original};
use crate::store::entry::{Change, Entry, PutRef};
use crate::store::log::{Log, name_of};
use crate::store::put::{NewShard, Put};
use crate::store::record::{DROP_LEN, DropEntry, Place, PutHeader, Trailer, body_at};
use crate::store::walk::{self, Found};

/// A log is emptied when at most 1 / this of it is needed.
const LIVE_SHARE: u64 = 2;
/// Shards copied at a time: enough to share a sync, few enough to stay in the background.
const COPIES: usize = 4;
/// Bytes read at a time while copying.
const COPY_BATCH: u64 = MIB;
/// Index rows asked for at a time.
const LOOKUP: usize = 512;

/// What a log holds, without the shards' bytes.
#[derive(Default)]
struct Contents {
    puts: Vec<(ShardId, Place)>,
    drops: Vec<DropEntry>,
    has_notice: bool,
}

/// What must not be forgotten when a log goes.
#[derive(Default)]
struct Survey {
    /// Drops that still govern something.
    drops: Vec<DropEntry>,
    /// Shards that lie in the log although no readable record says so.
    lost: Vec<(ShardId, Place)>,
    /// Shards with a dead copy in the log although no readable record says so.
    shadowed: Vec<ShardId>,
}

impl Survey {
    fn note(&mut self, file: u32, shard: ShardId, entry: &Entry) {
        if let Some(drop) = entry.dropped.filter(|drop| drop.file == file && entry.needs_drop()) {
            self.drops.push(DropEntry { shard, sequence: drop.sequence, at: drop.at });
        }
        if let Some(put) = entry.put.filter(|put| put.place.file == file) {
            self.lost.push((shard, put.place));
        }
        if entry.shadows.contains(&file) {
            self.shadowed.push(shard);
        }
    }
}

/// What became of a copy.
enum Copied {
    /// It is in the active log, or was not needed any more.
    Done,
    /// The original's bytes are not what they were.
    Damaged,
    /// The disk does not give the original.
    Unreadable(io::Error),
}

impl Handle {
    /// Empties every sealed log that is mostly dead, the emptiest first. Returns how many were deleted.
    pub(crate) async fn compact(&self) -> Result<usize, Error> {
        let mut deleted = 0;
        while let Some(log) = self.emptiest() {
            self.inner.check_whole()?;
            self.empty(&log).await?;
            deleted += 1;
        }
        Ok(deleted)
    }

    fn emptiest(&self) -> Option<Arc<Log>> {
        let sealed = self.inner.logs.sealed();
        let mostly_dead = sealed.into_iter().filter(|log| log.live() * LIVE_SHARE <= log.tail());
        mostly_dead.min_by_key(|log| log.live())
    }

    async fn empty(&self, log: &Arc<Log>) -> Result<(), Error> {
        let started = std::time::Instant::now();
        let contents = self.contents(log).await?;
        let mut damaged = self.move_puts(log, &contents.puts).await?;
        let survey = self.survey(log, &contents).await?;
        let unseen: Vec<_> =
            survey.lost.into_iter().filter(|(shard, _)| !damaged.contains(shard)).collect();
        damaged.extend(self.move_puts(log, &unseen).await?);
        if contents.has_notice || !survey.drops.is_empty() {
            self.notice(Drops::Carried(survey.drops)).await?;
        }
        if !damaged.is_empty() {
            tracing::warn!(
                log = name_of(log.number),
                shards = damaged.len(),
                "damaged shards are given up"
            );
            self.notice(Drops::New(damaged)).await?;
        }
        self.delete(log).await?;
        let held = contents.puts.iter().chain(&unseen).map(|(shard, _)| shard);
        let forget: Vec<_> = held
            .chain(&survey.shadowed)
            .map(|shard| (*shard, Change::Forget(log.number)))
            .collect();
        let effects = self.inner.index.update(&forget, None).await?;
        self.inner.settle(&effects);
        tracing::debug!(log = name_of(log.number), took = ?started.elapsed(), "a log was emptied");
        Ok(())
    }

    async fn contents(&self, log: &Arc<Log>) -> Result<Contents, Error> {
        let (inner, log) = (Arc::clone(&self.inner), Arc::clone(log));
        let work = move || {
            let mut contents = Contents::default();
            walk::walk(&log, inner.logs.key(), 0, |place, found| {
                match found {
                    Found::Put(header, _) => contents.puts.push((header.shard, place)),
                    Found::Unfinished => {}
                    Found::Notice(notice) => {
                        contents.has_notice = true;
                        contents.drops.extend(notice.drops);
                    }
                }
                Ok(())
            })?;
            Ok(contents)
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Error::Closed)?
    }

    /// Copies every put that the index still needs; returns the damaged ones.
    async fn move_puts(
        &self,
        log: &Arc<Log>,
        puts: &[(ShardId, Place)],
    ) -> Result<Vec<ShardId>, Error> {
        let mut damaged = Vec::new();
        for batch in puts.chunks(LOOKUP) {
            let shards: Vec<ShardId> = batch.iter().map(|(shard, _)| *shard).collect();
            let entries = self.inner.index.get_many(&shards).await?;
            let mut copies = Vec::new();
            for ((shard, place), entry) in batch.iter().zip(entries) {
                let Some(entry) = entry else { continue };
                if let Some(put) = entry.put.filter(|put| put.place == *place) {
                    copies.push(self.save(log, *shard, put, entry.rot));
                }
            }
            let mut copies = futures::stream::iter(copies).buffer_unordered(COPIES);
            while let Some(given_up) = copies.next().await {
                damaged.extend(given_up?);
            }
        }
        Ok(damaged)
    }

    /// Copies a shard, or returns it if it is beyond saving: its bytes are proven wrong, or cannot be read for the second time. The first time
    /// they cannot be read, the log is left alone: a disk that fails for a while must not cost a single shard.
    async fn save(
        &self,
        log: &Arc<Log>,
        shard: ShardId,
        put: PutRef,
        rot: bool,
    ) -> Result<Option<ShardId>, Error> {
        let copied = self.copy(log, shard, put).await?;
        if matches!(copied, Copied::Done) {
            return Ok(None);
        }
        let change = [(shard, Change::Rot(put.place))];
        self.inner.settle(&self.inner.index.update(&change, None).await?);
        match copied {
            Copied::Unreadable(error) if !rot => {
                Err(Error::io(format!("read shard {shard}"))(error))
            }
            _ => Ok(Some(shard)),
        }
    }

    async fn copy(&self, log: &Arc<Log>, shard: ShardId, old: PutRef) -> Result<Copied, Error> {
        let (header, trailer) = match self.read_ends(log, old).await? {
            Ok(Some(ends)) => ends,
            Ok(None) => return Ok(Copied::Damaged),
            Err(error) => return Ok(Copied::Unreadable(error)),
        };
        let original =
            Original { sequence: trailer.sequence, stored_at: trailer.stored_at, root: old.root };
        let PutHeader { epoch, len, label, .. } = header;
        let new = NewShard { shard, epoch, len, label };
        let mut put =
            Put::begin(Arc::clone(&self.inner), self.jobs.clone(), new, Some(original)).await?;
        let start = old.place.offset + body_at(usize::from(old.label_len));
        let mut done = 0;
        while done < len {
            let (log, step) = (Arc::clone(log), (len - done).min(COPY_BATCH));
            let read =
                tokio::task::spawn_blocking(move || log.file.read_at(start + done, step as usize));
            match read.await.map_err(|_| Error::Closed)? {
                Ok(bytes) => put.write(bytes.into()).await?,
                Err(error) => return Ok(Copied::Unreadable(error)),
            }
            done += step;
        }
        match put.finish().await {
            Ok(_) => Ok(Copied::Done),
            Err(Error::Rot(_)) => Ok(Copied::Damaged),
            Err(error) => Err(error),
        }
    }

    async fn read_ends(
        &self,
        log: &Arc<Log>,
        put: PutRef,
    ) -> Result<io::Result<Option<(PutHeader, Trailer)>>, Error> {
        let (inner, log) = (Arc::clone(&self.inner), Arc::clone(log));
        let work =
            move || walk::read_put(&log, inner.logs.key(), put.place, usize::from(put.label_len));
        tokio::task::spawn_blocking(work).await.map_err(|_| Error::Closed)
    }

    /// What of `log` must live on besides the puts that were copied.
    async fn survey(&self, log: &Arc<Log>, contents: &Contents) -> Result<Survey, Error> {
        let mut found = Survey::default();
        for batch in contents.drops.chunks(LOOKUP) {
            let shards: Vec<ShardId> = batch.iter().map(|drop| drop.shard).collect();
            let entries = self.inner.index.get_many(&shards).await?;
            found.drops.extend(batch.iter().zip(entries).filter_map(|(drop, entry)| {
                let entry = entry.filter(Entry::needs_drop)?;
                let governs =
                    entry.dropped?.sequence == drop.sequence && entry.dropped?.file == log.number;
                governs.then_some(*drop)
            }));
        }
        found.drops.sort_unstable_by_key(|drop| drop.sequence);
        found.drops.dedup();
        if log.live() == (found.drops.len() * DROP_LEN) as u64 {
            return Ok(found);
        }
        // Some record of this log is damaged: only a look at every row tells what was in it.
        let mut found = Survey::default();
        let number = log.number;
        self.inner
            .index
            .each(|shard, entry| {
                found.note(number, shard, &entry);
                Ok(())
            })
            .await?;
        Ok(found)
    }

    pub(crate) async fn notice(&self, drops: Drops) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        let job = NoticeJob { revision: 0, drops, answer };
        self.jobs.send(Job::Notice(job)).await.map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?.map(drop)
    }

    async fn delete(&self, log: &Arc<Log>) -> Result<(), Error> {
        let (inner, number) = (Arc::clone(&self.inner), log.number);
        tokio::task::spawn_blocking(move || inner.logs.delete(number))
            .await
            .map_err(|_| Error::Closed)?
    }
}
