//! A lifecycle configuration as a client sends it, checked as AWS checks it
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html>).
//!
//! One thing more is accepted: conditions beside each other in a filter mean the same as within `And`.

use std::collections::HashSet;

use s3s::dto::{
    self, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter, Tag,
};
use s3s::{S3Error, S3ErrorCode, S3Result};
use types::Timestamp;

use crate::rules::lifecycle::{
    CALENDAR_DAY, Expiration, Filter, Noncurrent, NoncurrentTransition, Rule, Transition, When,
};
use crate::s3::error;
use crate::s3::ops::config::ID_MAX;

/// The most rules of a bucket.
const RULES_MAX: usize = 1_000;
/// The longest prefix, in bytes: that of a key.
const PREFIX_MAX: usize = 1_024;
/// The most older versions a rule can keep.
const KEEP_MAX: u32 = 100;
/// The longest tag, in characters.
const TAG_KEY_MAX: usize = 128;
const TAG_VALUE_MAX: usize = 256;

/// Checks and converts; `known` says whether a storage class is configured.
pub(super) fn rules(
    given: Vec<LifecycleRule>,
    known: impl Fn(&str) -> bool,
) -> S3Result<Vec<Rule>> {
    if given.is_empty() {
        return Err(error::malformed_xml());
    }
    if given.len() > RULES_MAX {
        return Err(request(
            "The number of lifecycle rules must not exceed the allowed limit of 1000 rules",
        ));
    }
    let rules: Vec<Rule> =
        given.into_iter().map(|given| rule(given, &known)).collect::<S3Result<_>>()?;
    let mut ids = HashSet::new();
    if !rules.iter().all(|rule| ids.insert(rule.id.as_str())) {
        return Err(argument("Rule ID must be unique. Found same ID for more than one rule"));
    }
    Ok(rules)
}

fn rule(given: LifecycleRule, known: &impl Fn(&str) -> bool) -> S3Result<Rule> {
    let id = given.id.filter(|id| !id.is_empty()).unwrap_or_else(new_id);
    if id.chars().count() > ID_MAX {
        return Err(argument("ID length should not exceed allowed limit of 255"));
    }
    let enabled = match given.status.as_str() {
        ExpirationStatus::ENABLED => true,
        ExpirationStatus::DISABLED => false,
        _ => return Err(error::malformed_xml()),
    };
    let bare_prefix = given.filter.is_none();
    let filter = match (given.filter, given.prefix) {
        (Some(filter), None) => conditions(filter)?,
        (None, Some(prefix)) => Filter { prefix: Some(prefix), ..Filter::default() },
        (None, None) | (Some(_), Some(_)) => return Err(error::malformed_xml()),
    };
    check_filter(&filter)?;
    let transitions = given.transitions.unwrap_or_default().into_iter();
    let older = given.noncurrent_version_transitions.unwrap_or_default().into_iter();
    let rule = Rule {
        id,
        enabled,
        filter,
        bare_prefix,
        expiration: given.expiration.map(expiration).transpose()?,
        noncurrent_expiration: given
            .noncurrent_version_expiration
            .map(|when| {
                let days = positive(when.noncurrent_days, "'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer")?;
                Ok::<_, S3Error>(Noncurrent { days, keep: keep(when.newer_noncurrent_versions)? })
            })
            .transpose()?,
        abort_uploads_after: given
            .abort_incomplete_multipart_upload
            .map(|abort| positive(abort.days_after_initiation, "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer"))
            .transpose()?,
        transitions: transitions.map(|to| transition(to, known)).collect::<S3Result<_>>()?,
        noncurrent_transitions: older.map(|to| older_transition(to, known)).collect::<S3Result<_>>()?,
    };
    check_actions(&rule)?;
    Ok(rule)
}

/// A name for a rule that was given none.
fn new_id() -> String {
    hex::encode(types::entropy::random_bytes::<24>())
}

fn conditions(filter: LifecycleRuleFilter) -> S3Result<Filter> {
    let and = filter.and.unwrap_or_default();
    let tags = filter.tag.into_iter().chain(and.tags.unwrap_or_default());
    // Given both ways, both must hold; of two prefixes the longer one, if it begins with the other.
    let prefix = match (filter.prefix, and.prefix) {
        (Some(one), Some(two)) if two.starts_with(&one) => Some(two),
        (Some(one), Some(two)) if one.starts_with(&two) => Some(one),
        (Some(_), Some(_)) => return Err(error::malformed_xml()),
        (one, two) => one.or(two),
    };
    let larger = [filter.object_size_greater_than, and.object_size_greater_than];
    let smaller = [filter.object_size_less_than, and.object_size_less_than];
    Ok(Filter {
        prefix,
        tags: tags.map(tag).collect::<S3Result<_>>()?,
        larger_than: larger
            .into_iter()
            .flatten()
            .map(size)
            .collect::<S3Result<Vec<_>>>()?
            .into_iter()
            .max(),
        smaller_than: smaller
            .into_iter()
            .flatten()
            .map(size)
            .collect::<S3Result<Vec<_>>>()?
            .into_iter()
            .min(),
    })
}

fn tag(tag: Tag) -> S3Result<(String, String)> {
    let key = tag.key.filter(|key| !key.is_empty()).ok_or_else(error::malformed_xml)?;
    let value = tag.value.unwrap_or_default();
    if key.chars().count() > TAG_KEY_MAX {
        return Err(S3Error::with_message(
            S3ErrorCode::InvalidTag,
            "The TagKey you have provided is too long",
        ));
    }
    if value.chars().count() > TAG_VALUE_MAX {
        return Err(S3Error::with_message(
            S3ErrorCode::InvalidTag,
            "The TagValue you have provided is too long",
        ));
    }
    Ok((key, value))
}

fn size(bytes: i64) -> S3Result<u64> {
    u64::try_from(bytes).map_err(|_| argument("An object size in a filter must not be negative"))
}

fn check_filter(filter: &Filter) -> S3Result<()> {
    if filter.prefix.as_ref().is_some_and(|prefix| prefix.len() > PREFIX_MAX) {
        return Err(request("The maximum size of a prefix is 1024."));
    }
    let mut keys = HashSet::new();
    if !filter.tags.iter().all(|(key, _)| keys.insert(key)) {
        return Err(request("Duplicate Tag Keys are not allowed."));
    }
    match (filter.larger_than, filter.smaller_than) {
        (Some(larger), Some(smaller)) if smaller <= larger => Err(request(
            "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'.",
        )),
        _ => Ok(()),
    }
}

fn expiration(given: LifecycleExpiration) -> S3Result<Expiration> {
    match (given.days, given.date, given.expired_object_delete_marker) {
        (days @ Some(_), None, None) => {
            let days = positive(days, "'Days' for Expiration action must be a positive integer")?;
            Ok(Expiration::At(When::Days(days)))
        }
        (None, Some(date), None) => Ok(Expiration::At(When::Date(midnight(date)?))),
        (None, None, Some(ends)) => Ok(Expiration::LoneMarkers(ends)),
        _ => Err(error::malformed_xml()),
    }
}

fn transition(given: dto::Transition, known: &impl Fn(&str) -> bool) -> S3Result<Transition> {
    let when = match (given.days, given.date) {
        (Some(days), None) => When::Days(
            u32::try_from(days)
                .map_err(|_| argument("'Days' in Transition action must be nonnegative"))?,
        ),
        (None, Some(date)) => When::Date(midnight(date)?),
        _ => return Err(error::malformed_xml()),
    };
    let class = given.storage_class.ok_or_else(error::malformed_xml)?;
    Ok(Transition { when, class: class_name(class.as_str(), known)? })
}

fn older_transition(
    given: dto::NoncurrentVersionTransition,
    known: &impl Fn(&str) -> bool,
) -> S3Result<NoncurrentTransition> {
    let days = u32::try_from(given.noncurrent_days.ok_or_else(error::malformed_xml)?);
    let days = days.map_err(|_| {
        argument("'NoncurrentDays' in NoncurrentVersionTransition action must be nonnegative")
    })?;
    let class = given.storage_class.ok_or_else(error::malformed_xml)?;
    let when = Noncurrent { days, keep: keep(given.newer_noncurrent_versions)? };
    Ok(NoncurrentTransition { when, class: class_name(class.as_str(), known)? })
}

fn class_name(class: &str, known: &impl Fn(&str) -> bool) -> S3Result<String> {
    if known(class) {
        Ok(class.to_owned())
    } else {
        Err(S3Error::new(S3ErrorCode::InvalidStorageClass))
    }
}

fn positive(given: Option<i32>, message: &'static str) -> S3Result<u32> {
    let given = given.ok_or_else(error::malformed_xml)?;
    u32::try_from(given).ok().filter(|days| *days > 0).ok_or_else(|| argument(message))
}

fn keep(given: Option<i32>) -> S3Result<Option<u32>> {
    let within = |keep: i32| {
        u32::try_from(keep).ok().filter(|keep| (1..=KEEP_MAX).contains(keep)).ok_or_else(|| {
            argument("'NewerNoncurrentVersions' must be a positive integer no greater than 100")
        })
    };
    given.map(within).transpose()
}

fn midnight(date: dto::Timestamp) -> S3Result<Timestamp> {
    let nanos = time::OffsetDateTime::from(date).unix_timestamp_nanos();
    let day = i128::from(CALENDAR_DAY.as_secs()) * 1_000_000_000;
    let millis = u64::try_from(nanos / 1_000_000).ok();
    millis
        .filter(|_| nanos % day == 0)
        .map(Timestamp)
        .ok_or_else(|| argument("'Date' must be at midnight GMT"))
}

/// What actions must be to each other and to the filter.
fn check_actions(rule: &Rule) -> S3Result<()> {
    let nothing = rule.expiration.is_none()
        && rule.noncurrent_expiration.is_none()
        && rule.abort_uploads_after.is_none()
        && rule.transitions.is_empty()
        && rule.noncurrent_transitions.is_empty();
    if nothing {
        return Err(request("At least one action needs to be specified in a rule."));
    }
    if !rule.filter.by_key_alone() {
        if matches!(rule.expiration, Some(Expiration::LoneMarkers(_))) {
            return Err(request(
                "ExpiredObjectDeleteMarker cannot be specified with Tags or object sizes.",
            ));
        }
        if rule.abort_uploads_after.is_some() {
            return Err(request(
                "AbortIncompleteMultipartUpload cannot be specified with Tags or object sizes.",
            ));
        }
    }
    let mut classes = HashSet::new();
    if !rule.transitions.iter().all(|to| classes.insert(&to.class)) {
        return Err(request(
            "'StorageClass' must be different for 'Transition' actions in same 'Rule'",
        ));
    }
    let mut classes = HashSet::new();
    if !rule.noncurrent_transitions.iter().all(|to| classes.insert(&to.class)) {
        return Err(request(
            "'StorageClass' must be different for 'NoncurrentVersionTransition' actions in same 'Rule'",
        ));
    }
    let ends = match rule.expiration {
        Some(Expiration::At(when)) => Some(when),
        _ => None,
    };
    let moments = rule.transitions.iter().map(|to| to.when);
    let dated = |when: When| matches!(when, When::Date(_));
    let (dates, days): (Vec<When>, Vec<When>) =
        moments.clone().chain(ends).partition(|when| dated(*when));
    if !dates.is_empty() && !days.is_empty() {
        return Err(request(
            "Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle rule",
        ));
    }
    let after = |end: When, when: When| match (end, when) {
        (When::Days(end), When::Days(when)) => end > when,
        (When::Date(end), When::Date(when)) => end > when,
        _ => true,
    };
    if let Some(end) = ends
        && !moments.clone().all(|when| after(end, when))
    {
        return Err(argument(
            "'Days' in the Expiration action must be greater than 'Days' in the Transition action",
        ));
    }
    let end = rule.noncurrent_expiration.map_or(u32::MAX, |when| when.days);
    if rule.noncurrent_transitions.iter().any(|to| to.when.days >= end) {
        return Err(argument(
            "'NoncurrentDays' in the NoncurrentVersionExpiration action must be greater than in the NoncurrentVersionTransition action",
        ));
    }
    Ok(())
}

fn argument(message: &'static str) -> S3Error {
    error::refuse(S3ErrorCode::InvalidArgument, message)
}

fn request(message: &'static str) -> S3Error {
    error::refuse(S3ErrorCode::InvalidRequest, message)
}

#[cfg(test)]
mod tests;
