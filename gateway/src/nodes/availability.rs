//! Availability: when each node is awake, learned from its connections, and what that means for a group of nodes. Pure.
//!
//! The week has 168 hours, counted in UTC from Monday 00:00. For each hour a node's row has the seconds that were watched and the seconds
//! in which it was connected; both fade by [`FADE`] as the hour comes round again, so that a habit of last year does not outlive a
//! change of job. While nothing is known of an hour, the node's average over the week stands in for it, and while nothing is known of the node,
//! [`PRIOR`]. A gateway that was down has watched nothing, and its absence counts against nobody.
//!
//! ```text
//! average = (Σ online + 12 h · PRIOR) / (Σ watched + 12 h)         p(hour) = (online + 1 h · average) / (watched + 1 h)
//! ```

use metadata::records::{HourRow, WeekHours};
use types::Timestamp;

/// Hours of a week.
pub const HOURS: usize = 168;
/// Milliseconds of an hour.
const HOUR: u64 = 3_600_000;
/// 1970 began on a Thursday: so many hours after Monday 00:00.
const EPOCH_HOUR: u64 = 3 * 24;
/// What is left of an hour's past when it comes round again, in sixteenths: the half-life is about four weeks.
const FADE: u32 = 13;
/// How available a node is taken to be before anything is known: what volunteers' computers are on average (DESIGN §5, `wide`).
pub const PRIOR: f64 = 0.75;
/// What the prior weighs against what was watched, in seconds: half a day.
const PRIOR_WEIGHT: f64 = 12.0 * 3600.0;
/// What the average weighs in one hour, in seconds.
const AVERAGE_WEIGHT: f64 = 3600.0;

/// The chance that a node is connected, by hour of the week.
#[derive(Clone, PartialEq, Debug)]
pub struct Chances(Box<[f64; HOURS]>);

/// The hour of the week at a moment, 0 for the one that begins Monday 00:00 UTC.
#[must_use]
pub fn hour_of_week(at: Timestamp) -> usize {
    ((at.0 / HOUR + EPOCH_HOUR) % HOURS as u64) as usize
}

/// Notes that a node was or was not connected from the moment the row knows until `now`.
pub fn watch(row: &mut WeekHours, online: bool, now: Timestamp) {
    if row.hours.len() != HOURS {
        row.hours = vec![HourRow::default(); HOURS];
    }
    // More than a week at once teaches no more than a week.
    let mut at = row.until.0.max(now.0.saturating_sub(HOUR * HOURS as u64));
    while at < now.0 {
        let end = (at / HOUR + 1) * HOUR;
        let hour = &mut row.hours[hour_of_week(Timestamp(at))];
        if at.is_multiple_of(HOUR) || at != row.until.0 {
            (hour.watched, hour.online) = (faded(hour.watched), faded(hour.online));
        }
        let seconds = u32::try_from((end.min(now.0) - at).div_ceil(1000)).unwrap_or(u32::MAX);
        hour.watched = hour.watched.saturating_add(seconds);
        hour.online = hour.online.saturating_add(if online { seconds } else { 0 });
        at = end.min(now.0);
    }
    row.until = row.until.max(now);
}

/// Begins to watch, without a word about the time before.
pub fn resume(row: &mut WeekHours, now: Timestamp) {
    row.until = row.until.max(now);
}

fn faded(seconds: u32) -> u32 {
    seconds / 16 * FADE + seconds % 16 * FADE / 16
}

impl Chances {
    /// What a row says.
    #[must_use]
    pub fn of(row: &WeekHours) -> Self {
        let sum = |part: fn(&HourRow) -> u32| {
            row.hours.iter().map(|hour| f64::from(part(hour))).sum::<f64>()
        };
        let online = sum(|hour| hour.online) + PRIOR_WEIGHT * PRIOR;
        let average = online / (sum(|hour| hour.watched) + PRIOR_WEIGHT);
        let mut chances = Self::always(average);
        for (chance, hour) in chances.0.iter_mut().zip(&row.hours) {
            let online = f64::from(hour.online) + AVERAGE_WEIGHT * average;
            *chance = (online / (f64::from(hour.watched) + AVERAGE_WEIGHT)).clamp(0.0, 1.0);
        }
        chances
    }

    /// The same chance in every hour.
    #[must_use]
    pub fn always(chance: f64) -> Self {
        Self(Box::new([chance; HOURS]))
    }

    /// By hour.
    #[must_use]
    pub fn by_hour(chance: impl FnMut(usize) -> f64) -> Self {
        Self(Box::new(std::array::from_fn(chance)))
    }

    /// In one hour of the week.
    #[must_use]
    pub fn at(&self, hour: usize) -> f64 {
        self.0[hour % HOURS]
    }

    /// Over the week.
    #[must_use]
    pub fn average(&self) -> f64 {
        self.0.iter().sum::<f64>() / HOURS as f64
    }
}

impl Default for Chances {
    fn default() -> Self {
        Self::always(PRIOR)
    }
}

/// The chance that fewer than `k` of some independent events happen, exactly: the lower tail of the Poisson binomial distribution, by
/// adding one event after the other to the chances of having seen 0, 1 … k − 1 of them. It costs k steps for each event; whatever
/// reaches k is forgotten, and nothing is subtracted, so that even a tail of 10⁻³⁰ is right in its leading digits.
#[must_use]
pub fn fewer_than(k: usize, chances: impl IntoIterator<Item = f64>) -> f64 {
    let mut seen = vec![0.0; k];
    if let Some(none) = seen.first_mut() {
        *none = 1.0;
    }
    for chance in chances {
        let miss = 1.0 - chance;
        for count in (1..k).rev() {
            seen[count] = seen[count] * miss + seen[count - 1] * chance;
        }
        if let Some(none) = seen.first_mut() {
            *none *= miss;
        }
    }
    seen.iter().sum()
}

/// The chance that fewer than `k` of `r` members are connected in one hour, if those that are lost meanwhile are the best ones.
#[must_use]
pub fn unreadable_at(members: &[&Chances], k: usize, r: usize, hour: usize) -> f64 {
    let mut chances: Vec<f64> = members.iter().map(|member| member.at(hour)).collect();
    if r < chances.len() {
        chances.select_nth_unstable_by(r, f64::total_cmp);
        chances.truncate(r);
    }
    fewer_than(k, chances)
}

/// The worst hour of the week for a group, and [`unreadable_at`] in it.
#[must_use]
pub fn worst_hour(members: &[&Chances], k: usize, r: usize) -> (usize, f64) {
    let hours = (0..HOURS).map(|hour| (hour, unreadable_at(members, k, r, hour)));
    hours.max_by(|(_, one), (_, other)| one.total_cmp(other)).unwrap_or((0, 1.0))
}

#[cfg(test)]
mod tests;
