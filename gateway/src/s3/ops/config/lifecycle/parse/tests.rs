use s3s::dto::{
    AbortIncompleteMultipartUpload, LifecycleRuleAndOperator, NoncurrentVersionExpiration,
    TransitionStorageClass,
};

use super::super::show;
use super::*;

fn days(days: i32) -> Option<LifecycleExpiration> {
    Some(LifecycleExpiration { days: Some(days), ..LifecycleExpiration::default() })
}

fn date(text: &str) -> dto::Timestamp {
    dto::Timestamp::parse(dto::TimestampFormat::DateTime, text).expect("a time")
}

fn given(change: impl FnOnce(&mut LifecycleRule)) -> LifecycleRule {
    let mut rule = LifecycleRule {
        abort_incomplete_multipart_upload: None,
        expiration: days(30),
        filter: None,
        id: Some("one".to_owned()),
        noncurrent_version_expiration: None,
        noncurrent_version_transitions: None,
        prefix: Some("p/".to_owned()),
        status: ExpirationStatus::from_static(ExpirationStatus::ENABLED),
        transitions: None,
    };
    change(&mut rule);
    rule
}

fn parsed(change: impl FnOnce(&mut LifecycleRule)) -> S3Result<Vec<Rule>> {
    rules(vec![given(change)], |class| class == "COLD")
}

fn code(change: impl FnOnce(&mut LifecycleRule)) -> S3ErrorCode {
    parsed(change).expect_err("refused").code().clone()
}

fn to(days: i32, class: &str) -> dto::Transition {
    dto::Transition {
        date: None,
        days: Some(days),
        storage_class: Some(TransitionStorageClass::from(class.to_owned())),
    }
}

fn filtered(filter: LifecycleRuleFilter) -> impl FnOnce(&mut LifecycleRule) {
    |rule| {
        rule.prefix = None;
        rule.filter = Some(filter);
    }
}

#[test]
fn a_rule_is_shown_as_it_was_given() {
    let tag = |key: &str| Tag { key: Some(key.to_owned()), value: Some("v".to_owned()) };
    let and = LifecycleRuleAndOperator {
        prefix: Some("p".to_owned()),
        tags: Some(vec![tag("a"), tag("b")]),
        object_size_greater_than: Some(5),
        ..LifecycleRuleAndOperator::default()
    };
    for one in [
        given(|_| ()),
        given(filtered(LifecycleRuleFilter::default())),
        given(filtered(LifecycleRuleFilter {
            tag: Some(tag("a")),
            ..LifecycleRuleFilter::default()
        })),
        given(filtered(LifecycleRuleFilter { and: Some(and), ..LifecycleRuleFilter::default() })),
        given(|rule| rule.transitions = Some(vec![to(0, "COLD")])),
        given(|rule| {
            rule.status = ExpirationStatus::from_static(ExpirationStatus::DISABLED);
            rule.expiration = Some(LifecycleExpiration {
                date: Some(date("2017-09-27T00:00:00Z")),
                ..LifecycleExpiration::default()
            });
        }),
    ] {
        let kept = rules(vec![one.clone()], |class| class == "COLD").expect("rules");
        assert_eq!(show::rule(&kept[0]), one);
    }
}

#[test]
fn a_rule_without_a_name_gets_one() {
    let rule = &parsed(|rule| rule.id = None).expect("rules")[0];
    assert!(!rule.id.is_empty());
}

#[test]
fn names_are_short_and_unique() {
    assert_eq!(code(|rule| rule.id = Some("a".repeat(256))), S3ErrorCode::InvalidArgument);
    let twice = rules(vec![given(|_| ()), given(|_| ())], |_| false);
    assert_eq!(*twice.expect_err("refused").code(), S3ErrorCode::InvalidArgument);
}

#[test]
fn what_the_schema_does_not_allow_is_malformed() {
    let none = rules(Vec::new(), |_| false).expect_err("refused");
    assert_eq!(*none.code(), S3ErrorCode::MalformedXML);
    let malformed = S3ErrorCode::MalformedXML;
    assert_eq!(code(|rule| rule.status = "enabled".to_owned().into()), malformed);
    assert_eq!(code(|rule| rule.prefix = None), malformed);
    assert_eq!(code(|rule| rule.filter = Some(LifecycleRuleFilter::default())), malformed);
    assert_eq!(code(|rule| rule.expiration = Some(LifecycleExpiration::default())), malformed);
}

#[test]
fn days_are_positive_and_dates_midnights() {
    let invalid = S3ErrorCode::InvalidArgument;
    assert_eq!(code(|rule| rule.expiration = days(0)), invalid);
    let noon = LifecycleExpiration {
        date: Some(date("1970-08-22T19:21:41Z")),
        ..LifecycleExpiration::default()
    };
    assert_eq!(code(|rule| rule.expiration = Some(noon)), invalid);
    let abort = AbortIncompleteMultipartUpload { days_after_initiation: Some(-1) };
    assert_eq!(code(|rule| rule.abort_incomplete_multipart_upload = Some(abort)), invalid);
    let older = NoncurrentVersionExpiration {
        newer_noncurrent_versions: Some(101),
        noncurrent_days: Some(1),
    };
    assert_eq!(code(|rule| rule.noncurrent_version_expiration = Some(older)), invalid);
}

#[test]
fn moves_come_before_the_end_and_go_to_a_known_class() {
    let moving = |days, class: &str| {
        let moves = vec![to(days, class)];
        move |rule: &mut LifecycleRule| rule.transitions = Some(moves)
    };
    assert!(parsed(moving(29, "COLD")).is_ok());
    assert_eq!(code(moving(30, "COLD")), S3ErrorCode::InvalidArgument);
    assert_eq!(code(moving(1, "WARM")), S3ErrorCode::InvalidStorageClass);
    let twice = |rule: &mut LifecycleRule| {
        rule.transitions = Some(vec![to(1, "COLD"), to(2, "COLD")]);
    };
    assert_eq!(code(twice), S3ErrorCode::InvalidRequest);
}

#[test]
fn a_rule_does_something_that_its_filter_can_decide() {
    let request = S3ErrorCode::InvalidRequest;
    assert_eq!(code(|rule| rule.expiration = None), request);
    let sized =
        LifecycleRuleFilter { object_size_less_than: Some(10), ..LifecycleRuleFilter::default() };
    let lone = |rule: &mut LifecycleRule| {
        filtered(sized.clone())(rule);
        rule.expiration = Some(LifecycleExpiration {
            expired_object_delete_marker: Some(true),
            ..LifecycleExpiration::default()
        });
    };
    assert_eq!(code(lone), request);
    let none = LifecycleRuleFilter { object_size_greater_than: Some(10), ..sized.clone() };
    assert_eq!(code(filtered(none)), request);
}
