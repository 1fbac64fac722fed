//! Lifecycle: what becomes of objects in time, decided from a version's own facts
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html>).
//!
//! Where rules disagree, deleting wins over moving, and of two moves the one that was due last.

use std::time::Duration;

use metadata::ConfigKind;
use serde::{Deserialize, Serialize};
use types::Timestamp;

use crate::configs::Kept;

/// A day of the calendar.
pub const CALENDAR_DAY: Duration = Duration::from_secs(24 * 3600);
/// Objects below this many bytes stay where they are, if the configuration asks for that ([`Lifecycle::small_stay`]).
pub const SMALL: u64 = 128 * 1024;

/// The rules of a bucket.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Lifecycle {
    /// In the order given.
    pub rules: Vec<Rule>,
    /// Whether objects below [`SMALL`] are never moved (`all_storage_classes_128K`).
    pub small_stay: bool,
}

/// One rule.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Rule {
    /// Its name, unique in the bucket.
    pub id: String,
    /// Whether it counts.
    pub enabled: bool,
    /// Which objects it is about.
    pub filter: Filter,
    /// Whether the client wrote the prefix outside a filter, as older clients do; it is shown as it was written.
    pub bare_prefix: bool,
    /// When the current version goes.
    pub expiration: Option<Expiration>,
    /// When older versions go.
    pub noncurrent_expiration: Option<Noncurrent>,
    /// After how many days an upload that was never completed is aborted.
    pub abort_uploads_after: Option<u32>,
    /// When the current version moves to another class.
    pub transitions: Vec<Transition>,
    /// When older versions move to another class.
    pub noncurrent_transitions: Vec<NoncurrentTransition>,
}

/// Which objects a rule is about: all that meet every condition.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Filter {
    /// The key begins with this.
    pub prefix: Option<String>,
    /// It has each of these tags.
    pub tags: Vec<(String, String)>,
    /// It has more bytes.
    pub larger_than: Option<u64>,
    /// It has fewer bytes.
    pub smaller_than: Option<u64>,
}

/// A moment in an object's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum When {
    /// So many days after it was written.
    Days(u32),
    /// On this day, whenever it was written.
    Date(Timestamp),
}

/// When the current version goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Expiration {
    /// Then.
    At(When),
    /// Never; but a delete marker that is the last version of its key does, if this says so.
    LoneMarkers(bool),
}

/// When an older version goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Noncurrent {
    /// So many days after a newer one took its place.
    pub days: u32,
    /// Only if so many newer ones that are not current are kept.
    pub keep: Option<u32>,
}

/// When a version moves, and where to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Transition {
    /// When.
    pub when: When,
    /// The storage class.
    pub class: String,
}

/// When an older version moves, and where to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NoncurrentTransition {
    /// When.
    pub when: Noncurrent,
    /// The storage class.
    pub class: String,
}

/// How long a day is. With days of the calendar, what is due in days is due at the midnight (UTC) after, as on AWS; with shorter ones,
/// which are for tests, at the very moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Days(pub Duration);

/// What rules look at in an object.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its bytes.
    pub size: u64,
    /// Its tags.
    pub tags: &'a [(String, String)],
}

/// What is to become of a version now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate<'a> {
    /// Nothing.
    Stays,
    /// It moves to this class, if it is not there already.
    Moves(&'a str),
    /// It goes.
    Goes,
}

impl Kept for Lifecycle {
    const KIND: ConfigKind = ConfigKind::Lifecycle;
}

impl Days {
    /// When something is due that comes so many days after `from`.
    #[must_use]
    pub fn after(self, from: Timestamp, days: u32) -> Timestamp {
        let due = from.plus(self.0.saturating_mul(days));
        if self.0 != CALENDAR_DAY {
            return due;
        }
        let day = CALENDAR_DAY.as_secs() * 1000;
        Timestamp(due.0.div_ceil(day).saturating_mul(day))
    }

    fn due(self, from: Timestamp, when: When) -> Timestamp {
        match when {
            When::Days(days) => self.after(from, days),
            When::Date(date) => date,
        }
    }
}

impl Filter {
    fn meets(&self, subject: Subject<'_>) -> bool {
        self.meets_key(subject.key)
            && self.tags.iter().all(|tag| subject.tags.contains(tag))
            && self.larger_than.is_none_or(|size| subject.size > size)
            && self.smaller_than.is_none_or(|size| subject.size < size)
    }

    fn meets_key(&self, key: &str) -> bool {
        self.prefix.as_deref().is_none_or(|prefix| key.starts_with(prefix))
    }

    /// Whether only the key matters: delete markers and uploads have nothing else.
    #[must_use]
    pub fn by_key_alone(&self) -> bool {
        self.tags.is_empty() && self.larger_than.is_none() && self.smaller_than.is_none()
    }
}

impl Lifecycle {
    /// Whether deciding about `key` takes its tags, which are not in the list row.
    #[must_use]
    pub fn needs_tags(&self, key: &str) -> bool {
        let asks = |rule: &Rule| !rule.filter.tags.is_empty() && rule.filter.meets_key(key);
        self.enabled().any(asks)
    }

    /// Whether any rule aborts uploads.
    #[must_use]
    pub fn aborts_uploads(&self) -> bool {
        self.enabled().any(|rule| rule.abort_uploads_after.is_some())
    }

    /// What is to become of the current version, written at `modified`.
    #[must_use]
    pub fn of_current(
        &self,
        subject: Subject<'_>,
        modified: Timestamp,
        now: Timestamp,
        days: Days,
    ) -> Fate<'_> {
        if self.expiry(subject, modified, days).is_some_and(|(due, _)| due <= now) {
            return Fate::Goes;
        }
        let moves = self.about(subject).flat_map(|rule| &rule.transitions);
        let due = moves.map(|to| (days.due(modified, to.when), to.class.as_str()));
        self.latest_move(subject, due, now)
    }

    /// What is to become of an older version, which was replaced at `since` and after which `newer` others were.
    #[must_use]
    pub fn of_noncurrent(
        &self,
        subject: Subject<'_>,
        since: Timestamp,
        newer: u32,
        now: Timestamp,
        days: Days,
    ) -> Fate<'_> {
        let due = |when: &Noncurrent| {
            when.keep.is_none_or(|keep| newer >= keep).then(|| days.after(since, when.days))
        };
        let goes = |rule: &Rule| {
            rule.noncurrent_expiration.as_ref().and_then(due).is_some_and(|due| due <= now)
        };
        if self.about(subject).any(goes) {
            return Fate::Goes;
        }
        let moves = self.about(subject).flat_map(|rule| &rule.noncurrent_transitions);
        let due = moves.filter_map(|to| Some((due(&to.when)?, to.class.as_str())));
        self.latest_move(subject, due, now)
    }

    /// Whether a delete marker goes that is the last version of its key, written at `modified`.
    #[must_use]
    pub fn ends_lone_marker(
        &self,
        key: &str,
        modified: Timestamp,
        now: Timestamp,
        days: Days,
    ) -> bool {
        self.about_key(key).any(|rule| match rule.expiration {
            Some(Expiration::LoneMarkers(ends)) => ends,
            Some(Expiration::At(when)) => days.due(modified, when) <= now,
            None => false,
        })
    }

    /// When an upload begun at `initiated` will be aborted, and by which rule.
    #[must_use]
    pub fn abort(&self, key: &str, initiated: Timestamp, days: Days) -> Option<(Timestamp, &str)> {
        let due = |rule: &Rule| Some(days.after(initiated, rule.abort_uploads_after?));
        self.about_key(key)
            .filter_map(|rule| Some((due(rule)?, rule.id.as_str())))
            .min_by_key(|(due, _)| *due)
    }

    /// When the current version, written at `modified`, will go, and by which rule.
    #[must_use]
    pub fn expiry(
        &self,
        subject: Subject<'_>,
        modified: Timestamp,
        days: Days,
    ) -> Option<(Timestamp, &str)> {
        let due = |rule: &Rule| match rule.expiration? {
            Expiration::At(when) => Some(days.due(modified, when)),
            Expiration::LoneMarkers(_) => None,
        };
        self.about(subject)
            .filter_map(|rule| Some((due(rule)?, rule.id.as_str())))
            .min_by_key(|(due, _)| *due)
    }

    fn latest_move<'a>(
        &self,
        subject: Subject<'_>,
        moves: impl Iterator<Item = (Timestamp, &'a str)>,
        now: Timestamp,
    ) -> Fate<'a> {
        if self.small_stay && subject.size < SMALL {
            return Fate::Stays;
        }
        let last = moves.filter(|(due, _)| *due <= now).max_by_key(|(due, _)| *due);
        last.map_or(Fate::Stays, |(_, class)| Fate::Moves(class))
    }

    fn enabled(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| rule.enabled)
    }

    fn about(&self, subject: Subject<'_>) -> impl Iterator<Item = &Rule> {
        self.enabled().filter(move |rule| rule.filter.meets(subject))
    }

    /// Rules about things that have a key and nothing else.
    fn about_key(&self, key: &str) -> impl Iterator<Item = &Rule> {
        self.enabled().filter(move |rule| rule.filter.by_key_alone() && rule.filter.meets_key(key))
    }
}

#[cfg(test)]
mod tests;
