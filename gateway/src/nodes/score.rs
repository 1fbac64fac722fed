//! Score: what a node's answers say of it, and what follows. Pure: a standing, an observation and a moment give the next standing.
//!
//! Two things are measured, and never mixed up. **Integrity**: the share of audited shards that were not there or not right. **Promptness**:
//! the share of answers that came too late. Whether a node is asleep is neither; [`super::availability`] learns that. What a node says of
//! its own rot is written down and repaired, and costs it nothing.
//!
//! Only audits prove that shards are there, since they are drawn evenly from everything a node holds: a customer who reads one object all
//! day must not outvote the rot elsewhere. Faults and late answers count alike, whoever met them: an audit is a read.
//!
//! ```text
//! lost share = failed / (GOODWILL + proven + failed)          Good ─▶ Warned ─▶ Suspended ─▶ Disqualified
//! late share = late / (PATIENCE + answered + late)                 ◀─────────────┘    (only the operator undoes the last)
//! ```

use std::time::Duration;

use metadata::records::{Fault, Finding, Rank, RankChange, Source, Standing};
use types::{ShardId, Timestamp};

/// One observation, in the unit of a standing's counts.
const ONE: u64 = 1_000_000;
/// Audits after which an older one counts half as much or less: about a week of them.
const MEMORY: u64 = 4096;
/// Audits that a newcomer is credited with, so that one mishap is not a quarter of its life.
const GOODWILL: u64 = 400 * ONE;
/// Answers that are remembered for promptness: about a quarter of a day of audits, or less of a busy node.
const ANSWERS: u64 = 128;
/// Answers in time that a newcomer is credited with.
const PATIENCE: u64 = 32 * ONE;
/// A protocol breach weighs as much as so many lost shards: no sound program forges a receipt.
const BREACH_WEIGHT: u64 = 4;
/// Findings kept for a node; the oldest goes first.
pub const FINDINGS_MAX: usize = 32;
/// Changes of rank kept for a node; the oldest goes first.
pub const CHANGES_MAX: usize = 16;
/// Bytes of a finding's words.
pub const WORDS_MAX: usize = 200;

/// When a rank changes. Shares are in millionths.
#[derive(Clone, Debug)]
pub struct ScoreRules {
    /// Lost share at which a node's owner is warned.
    pub warn_at: u64,
    /// Lost share below which the warning ends.
    pub clear_below: u64,
    /// Lost share at which a node gets no new shards.
    pub suspend_at: u64,
    /// Faults it takes at least for that, in observations: two may be one bad sector.
    pub suspend_faults: u64,
    /// Lost share below which a suspension ends by itself.
    pub restore_below: u64,
    /// Lost share at which a node that has been suspended for the notice is disqualified.
    pub disqualify_at: u64,
    /// Faults it takes at least for that, in observations.
    pub disqualify_faults: u64,
    /// How long a node is suspended, and its owner can see why, before it can be disqualified.
    pub notice: Duration,
    /// Late share at which a node gets no new shards. It is never disqualified for that.
    pub late_at: u64,
    /// Late share below which that ends.
    pub late_restore_below: u64,
    /// The same shard counts once in this time: a hundred readers who meet one rotten shard at once are one fault.
    pub same_shard: Duration,
}

impl Default for ScoreRules {
    fn default() -> Self {
        Self {
            warn_at: 2_000,
            clear_below: 1_000,
            suspend_at: 5_000,
            suspend_faults: 3,
            restore_below: 2_500,
            disqualify_at: 40_000,
            disqualify_faults: 10,
            notice: Duration::from_secs(24 * 3600),
            late_at: 300_000,
            late_restore_below: 150_000,
            same_shard: Duration::from_secs(3600),
        }
    }
}

/// What happened when somebody asked a node for something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Observation {
    /// Who asked.
    pub source: Source,
    /// What came of it.
    pub outcome: Outcome,
    /// For which shard.
    pub shard: Option<ShardId>,
}

/// What came of asking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The right bytes, in time.
    Right,
    /// Nothing that says anything: the node is away, was busy or full, or did not have to have it.
    Nothing,
    /// Something is wrong, with the details.
    Wrong(Fault, String),
}

/// Takes an observation into account; the rank, if it changed.
pub fn observe(
    standing: &mut Standing,
    rules: &ScoreRules,
    seen: &Observation,
    now: Timestamp,
) -> Option<Rank> {
    match &seen.outcome {
        Outcome::Nothing => return None,
        Outcome::Right => {
            note_answer(standing, true);
            if seen.source == Source::Audit {
                fade(standing);
                standing.proven += ONE;
                standing.audits += 1;
            }
        }
        Outcome::Wrong(Fault::OwnedUp, words) => {
            own_up(standing, 1, seen.shard, words, now);
            return None;
        }
        Outcome::Wrong(Fault::Late, words) => {
            note_answer(standing, false);
            remember(standing, seen, Fault::Late, words, now);
        }
        Outcome::Wrong(fault, words) => {
            if known(standing, rules, seen, now) {
                return None;
            }
            let weight = if *fault == Fault::Breach { BREACH_WEIGHT } else { 1 };
            fade(standing);
            standing.failed += weight * ONE;
            remember(standing, seen, *fault, words, now);
        }
    }
    review(standing, rules, now)
}

/// Notes shards that a node said itself it has lost. It costs it nothing.
pub fn own_up(
    standing: &mut Standing,
    shards: u64,
    shard: Option<ShardId>,
    words: &str,
    now: Timestamp,
) {
    standing.owned_up += shards;
    let outcome = Outcome::Nothing;
    let seen = Observation { source: Source::Node, outcome, shard };
    remember(standing, &seen, Fault::OwnedUp, words, now);
}

/// Looks whether the rank should be another one by now.
pub fn review(standing: &mut Standing, rules: &ScoreRules, now: Timestamp) -> Option<Rank> {
    if standing.held || standing.rank == Rank::Disqualified {
        return None;
    }
    let (lost, late) = (lost_share(standing), late_share(standing));
    let many = |faults: u64| standing.failed >= faults * ONE - ONE / 2;
    let suspended = standing.rank == Rank::Suspended;
    let served = now.since(standing.since) >= rules.notice;
    let rotten = lost >= rules.suspend_at && many(rules.suspend_faults);
    let rotten = rotten || (suspended && lost >= rules.restore_below);
    let tardy = late >= rules.late_at || (suspended && late >= rules.late_restore_below);
    let condemned = suspended && served && lost >= rules.disqualify_at;
    let (rank, reason) = if condemned && many(rules.disqualify_faults) {
        let words = "of its audited shards were lost or wrong, and that did not change in the notice it was given";
        (Rank::Disqualified, format!("{} {words}", percent(lost)))
    } else if rotten {
        (Rank::Suspended, format!("{} of its audited shards were lost or wrong", percent(lost)))
    } else if tardy {
        (Rank::Suspended, format!("{} of its answers came too late", percent(late)))
    } else if lost >= rules.warn_at || (standing.rank > Rank::Good && lost >= rules.clear_below) {
        let words = "of its audited shards were lost or wrong; look at its disk";
        (Rank::Warned, format!("{} {words}", percent(lost)))
    } else {
        (Rank::Good, String::new())
    };
    if rank == standing.rank {
        return None;
    }
    let reason = if rank == Rank::Good { "it has proven itself again".to_owned() } else { reason };
    change(standing, rank, reason, false, now);
    Some(rank)
}

/// The operator's word: the rank stays until the operator says otherwise.
pub fn hold(standing: &mut Standing, rank: Rank, reason: &str, now: Timestamp) {
    change(standing, rank, cut(reason), true, now);
    standing.held = true;
}

/// The operator's undo: the node begins anew, with a newcomer's goodwill. The evidence stays to be seen.
pub fn reinstate(standing: &mut Standing, reason: &str, now: Timestamp) {
    change(standing, Rank::Good, cut(reason), true, now);
    standing.held = false;
    (standing.proven, standing.failed) = (0, 0);
    (standing.answered, standing.late) = (0, 0);
}

/// The share of audited shards that were lost or wrong, in millionths.
#[must_use]
pub fn lost_share(standing: &Standing) -> u64 {
    share(standing.failed, GOODWILL + standing.proven + standing.failed)
}

/// The share of answers that came too late, in millionths.
#[must_use]
pub fn late_share(standing: &Standing) -> u64 {
    share(standing.late, PATIENCE + standing.answered + standing.late)
}

/// A share in millionths as people read it.
#[must_use]
pub fn percent(share: u64) -> String {
    format!("{}.{:02} %", share / 10_000, share % 10_000 / 100)
}

fn share(part: u64, whole: u64) -> u64 {
    let share = u128::from(part) * 1_000_000 / u128::from(whole.max(1));
    u64::try_from(share).unwrap_or(1_000_000)
}

fn fade(standing: &mut Standing) {
    standing.proven -= standing.proven / MEMORY;
    standing.failed -= standing.failed / MEMORY;
}

fn note_answer(standing: &mut Standing, in_time: bool) {
    standing.answered -= standing.answered / ANSWERS;
    standing.late -= standing.late / ANSWERS;
    if in_time { standing.answered += ONE } else { standing.late += ONE }
}

/// Whether this very fault was counted a moment ago.
fn known(standing: &Standing, rules: &ScoreRules, seen: &Observation, now: Timestamp) -> bool {
    seen.shard.is_some()
        && standing.findings.iter().any(|finding| {
            finding.shard == seen.shard
                && matches!(finding.fault, Fault::Missing | Fault::Corrupt)
                && now.since(finding.at) < rules.same_shard
        })
}

fn remember(
    standing: &mut Standing,
    seen: &Observation,
    fault: Fault,
    words: &str,
    now: Timestamp,
) {
    // Of what costs nothing, or comes by the dozen, the last one is enough: it must not crowd out the proofs.
    if matches!(fault, Fault::Late | Fault::OwnedUp) {
        standing.findings.retain(|finding| finding.fault != fault);
    }
    if standing.findings.len() >= FINDINGS_MAX {
        standing.findings.remove(0);
    }
    let (source, shard) = (seen.source, seen.shard);
    standing.findings.push(Finding { at: now, fault, source, shard, words: cut(words) });
}

fn change(standing: &mut Standing, rank: Rank, reason: String, operator: bool, now: Timestamp) {
    if standing.changes.len() >= CHANGES_MAX {
        standing.changes.remove(0);
    }
    standing.changes.push(RankChange { at: now, rank, operator, reason: reason.clone() });
    (standing.rank, standing.since, standing.reason) = (rank, now, reason);
}

/// The beginning of a text that fits.
fn cut(words: &str) -> String {
    let end = (0..=WORDS_MAX.min(words.len())).rev().find(|end| words.is_char_boundary(*end));
    words[..end.unwrap_or(0)].to_owned()
}

#[cfg(test)]
mod tests;
