//! Worker: runs upkeep in rounds, and at once when nodes come or go.

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt;
use protocol::message::StatusRequest;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::{NodeId, Timestamp};

use super::{Upkeep, UpkeepError};
use crate::session;

/// How often each node is asked how it is: as often as upkeep runs, within these bounds.
const STATUS_EVERY: std::ops::Range<Duration> = Duration::from_secs(1)..Duration::from_secs(15);
/// Temporary keys are looked through once in so many rounds: all keys are read for it.
const TIDY_ROUNDS: u32 = 60;
/// Nodes asked at a time.
const STATUS_AT_ONCE: usize = 32;
/// After nodes came or went, upkeep waits this long for more of them before it starts a round.
const SETTLE: Duration = Duration::from_millis(300);

impl Upkeep {
    /// Starts every loop; each ends with `stop`. If the lease is lost, `stop` is cancelled: without it nothing can be stored.
    pub fn start(&self, tasks: &TaskTracker, stop: &CancellationToken) {
        let loops = [
            Self::lease as fn(Self, CancellationToken) -> _,
            Self::rounds,
            Self::statuses,
            Self::reconciles,
            Self::census,
            Self::audits,
            Self::keep_book,
            Self::tidies,
        ];
        for run in loops {
            let (this, stop) = (self.clone(), stop.clone());
            tasks.spawn(run(this, stop));
        }
    }

    fn lease(self, stop: CancellationToken) -> futures::future::BoxFuture<'static, ()> {
        Box::pin(async move {
            while sleep(session::RENEWAL, &stop).await {
                match self.session.renew(&self.catalog).await {
                    Ok(()) => {}
                    Err(metadata::CatalogError::SessionEnded) => {
                        tracing::error!(
                            "this gateway's lease ran out; it stops, because nothing more can be stored"
                        );
                        return stop.cancel();
                    }
                    Err(error) => tracing::warn!(%error, "the lease could not be renewed"),
                }
            }
        })
    }

    fn rounds(self, stop: CancellationToken) -> futures::future::BoxFuture<'static, ()> {
        Box::pin(async move {
            let mut changes = self.nodes.changes();
            loop {
                self.round(&stop).await;
                let hurried = tokio::select! {
                    more = sleep(self.settings.interval, &stop) => if more { false } else { return },
                    changed = changes.changed() => changed.is_ok(),
                };
                if hurried && !sleep(SETTLE, &stop).await {
                    return;
                }
                changes.mark_unchanged();
            }
        })
    }

    /// Takes temporary access keys away whose time is over: they sign nothing any more, and each was a row.
    fn tidies(self, stop: CancellationToken) -> futures::future::BoxFuture<'static, ()> {
        Box::pin(async move {
            while sleep(self.settings.interval.saturating_mul(TIDY_ROUNDS), &stop).await {
                match self.catalog.forget_expired_keys().await {
                    Ok(0) => {}
                    Ok(keys) => tracing::debug!(keys, "temporary access keys have ended"),
                    Err(error) => note("keys", Err(error.into())),
                }
            }
        })
    }

    /// One round of everything but reconcile.
    async fn round(&self, stop: &CancellationToken) {
        let steps = async {
            note("collect", self.collect().await);
            note("drops", self.send_drops().await);
            note("members", self.hand_over().await);
            note("repair", self.repair().await);
        };
        tokio::select! {
            () = steps => {}
            () = stop.cancelled() => {}
        }
    }

    fn statuses(self, stop: CancellationToken) -> futures::future::BoxFuture<'static, ()> {
        Box::pin(async move {
            let mut changes = self.nodes.changes();
            let mut ticks =
                interval(self.settings.interval.clamp(STATUS_EVERY.start, STATUS_EVERY.end));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    changed = changes.changed() => if changed.is_err() { return },
                    () = stop.cancelled() => return,
                }
                changes.mark_unchanged();
                let this = &self;
                futures::stream::iter(this.nodes.members())
                    .for_each_concurrent(STATUS_AT_ONCE, |member| async move {
                        if let Err(error) = ask_status(this, &member).await {
                            tracing::debug!(node = %member.id(), %error, "a node did not say how it is");
                        }
                    })
                    .await;
            }
        })
    }

    fn reconciles(self, stop: CancellationToken) -> futures::future::BoxFuture<'static, ()> {
        Box::pin(async move {
            let mut done: HashMap<NodeId, (Timestamp, Timestamp)> = HashMap::new();
            let mut changes = self.nodes.changes();
            loop {
                for member in self.nodes.members() {
                    let now = self.clock.now();
                    let due = done.get(&member.id()).is_none_or(|(since, at)| {
                        *since != member.since() || now.since(*at) >= self.settings.reconcile_every
                    });
                    if !due {
                        continue;
                    }
                    tokio::select! {
                        result = self.reconcile(&member) => note("reconcile", result),
                        () = stop.cancelled() => return,
                    }
                    member.set_compared();
                    done.insert(member.id(), (member.since(), now));
                }
                tokio::select! {
                    more = sleep(self.settings.interval, &stop) => if !more { return },
                    changed = changes.changed() => if changed.is_err() { return },
                }
            }
        })
    }
}

/// Asks one node how it is; what it found rotten itself is left to repair, not held against it.
async fn ask_status(upkeep: &Upkeep, member: &crate::nodes::Member) -> Result<(), UpkeepError> {
    let heard = member.rot_heard();
    let status = member.client().status(&StatusRequest { rot_heard: heard }).await?;
    for shard in &status.rot {
        upkeep.nodes.owned_up(member.id(), *shard);
        upkeep.catalog.mark_missed(shard.segment, &[shard.slot]).await?;
    }
    let capacity = status.capacity;
    member.set_status(status);
    upkeep.catalog.node_seen(member.id(), capacity).await?;
    Ok(())
}

pub(super) fn note(step: &str, result: Result<(), UpkeepError>) {
    if let Err(error) = result {
        tracing::warn!(
            step,
            error = &error as &dyn std::error::Error,
            "a step of upkeep failed; the next round tries again"
        );
    }
}

/// Sleeps; `false` if stopped meanwhile.
pub(super) async fn sleep(time: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = tokio::time::sleep(time) => true,
        () = stop.cancelled() => false,
    }
}
