//! A lifecycle rule as the client gave it.

use s3s::dto::{
    AbortIncompleteMultipartUpload, ExpirationStatus, LifecycleExpiration, LifecycleRule,
    LifecycleRuleAndOperator, LifecycleRuleFilter, NoncurrentVersionExpiration,
    NoncurrentVersionTransition, Tag, Transition as TransitionXml,
};

use crate::rules::lifecycle::{Expiration, Filter, Rule, When};
use crate::s3::describe::stamp;

pub(super) fn rule(rule: &Rule) -> LifecycleRule {
    let status = if rule.enabled { ExpirationStatus::ENABLED } else { ExpirationStatus::DISABLED };
    LifecycleRule {
        abort_incomplete_multipart_upload: rule.abort_uploads_after.map(|days| {
            AbortIncompleteMultipartUpload { days_after_initiation: Some(number(days)) }
        }),
        expiration: rule.expiration.map(expiration),
        filter: (!rule.bare_prefix).then(|| filter(&rule.filter)),
        id: Some(rule.id.clone()),
        noncurrent_version_expiration: rule.noncurrent_expiration.map(|when| {
            NoncurrentVersionExpiration {
                newer_noncurrent_versions: when.keep.map(number),
                noncurrent_days: Some(number(when.days)),
            }
        }),
        noncurrent_version_transitions: some(&rule.noncurrent_transitions, |to| {
            NoncurrentVersionTransition {
                newer_noncurrent_versions: to.when.keep.map(number),
                noncurrent_days: Some(number(to.when.days)),
                storage_class: Some(to.class.clone().into()),
            }
        }),
        prefix: rule.filter.prefix.clone().filter(|_| rule.bare_prefix),
        status: ExpirationStatus::from_static(status),
        transitions: some(&rule.transitions, |to| {
            let (days, date) = moment(to.when);
            TransitionXml { date, days, storage_class: Some(to.class.clone().into()) }
        }),
    }
}

fn expiration(expiration: Expiration) -> LifecycleExpiration {
    match expiration {
        Expiration::At(when) => {
            let (days, date) = moment(when);
            LifecycleExpiration { date, days, expired_object_delete_marker: None }
        }
        Expiration::LoneMarkers(ends) => LifecycleExpiration {
            expired_object_delete_marker: Some(ends),
            ..LifecycleExpiration::default()
        },
    }
}

fn moment(when: When) -> (Option<i32>, Option<s3s::dto::Timestamp>) {
    match when {
        When::Days(days) => (Some(number(days)), None),
        When::Date(date) => (None, Some(stamp(date))),
    }
}

fn filter(filter: &Filter) -> LifecycleRuleFilter {
    let mut tags = filter
        .tags
        .iter()
        .map(|(key, value)| Tag { key: Some(key.clone()), value: Some(value.clone()) });
    let larger = filter.larger_than.map(bytes);
    let smaller = filter.smaller_than.map(bytes);
    let conditions = usize::from(filter.prefix.is_some())
        + filter.tags.len()
        + usize::from(larger.is_some())
        + usize::from(smaller.is_some());
    if conditions > 1 {
        let and = LifecycleRuleAndOperator {
            object_size_greater_than: larger,
            object_size_less_than: smaller,
            prefix: filter.prefix.clone(),
            tags: (!filter.tags.is_empty()).then(|| tags.collect()),
        };
        return LifecycleRuleFilter { and: Some(and), ..LifecycleRuleFilter::default() };
    }
    LifecycleRuleFilter {
        and: None,
        object_size_greater_than: larger,
        object_size_less_than: smaller,
        prefix: filter.prefix.clone(),
        tag: tags.next(),
    }
}

fn some<T, U>(list: &[T], show: impl Fn(&T) -> U) -> Option<Vec<U>> {
    (!list.is_empty()).then(|| list.iter().map(show).collect())
}

/// Days and counts were parsed from this type, so they fit.
fn number(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn bytes(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
