//! AWS's documented decisions, as a table; and what must hold of every policy, as properties.

use std::collections::HashMap;

use proptest::prelude::{
    Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};

use super::{Asked, Context, Identity, Key, Kind, Policy, PolicyError, Values, Verdict};

const BUCKET: &str = "amzn-s3-demo-bucket";

/// A request in which some keys have values; a value with commas is a list.
#[derive(Clone, Debug, Default)]
struct Request(HashMap<&'static str, &'static str>);

impl Context for Request {
    fn values(&self, key: &Key) -> Values {
        let name = match key.item() {
            Some(item) => format!("{}/{item}", key.name()),
            None => key.name().to_owned(),
        };
        match self.0.get(&*name) {
            None => Values::Absent,
            Some(list) if list.contains(',') => {
                let parts = list.split(',').filter(|part| !part.is_empty());
                Values::Many(parts.map(str::to_owned).collect())
            }
            Some(one) => Values::One((*one).to_owned()),
        }
    }
}

fn read(statements: &str) -> Result<Policy, PolicyError> {
    let text = format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#);
    Policy::read(&text, Kind::Bucket(BUCKET))
}

fn asks<'a>(
    who: Identity<'a>,
    action: &'a str,
    resource: &'a str,
    context: &'a Request,
) -> Asked<'a> {
    Asked { who, action, resource, context }
}

const ANN: Identity<'static> = Identity {
    account: Some("111122223333"),
    arn: Some("arn:aws:iam::111122223333:user/ann"),
    role: None,
    service: None,
};
/// A session of a role of Ann's account.
const NIGHTLY: Identity<'static> = Identity {
    account: Some("111122223333"),
    arn: Some("arn:aws:sts::111122223333:assumed-role/backup/nightly"),
    role: Some("arn:aws:iam::111122223333:role/backup"),
    service: None,
};
const BOB: Identity<'static> =
    Identity { account: Some("444455556666"), arn: None, role: None, service: None };
const NOBODY: Identity<'static> = Identity { account: None, arn: None, role: None, service: None };
const LOGGING: Identity<'static> =
    Identity { account: None, arn: None, role: None, service: Some("logging.s3.amazonaws.com") };

const KEY: &str = "arn:aws:s3:::amzn-s3-demo-bucket/home/ann/notes.txt";
const ITSELF: &str = "arn:aws:s3:::amzn-s3-demo-bucket";

/// One row: statements, who, action, resource, what is known of the request, and AWS's decision.
type Row = (
    &'static str,
    Identity<'static>,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    Verdict,
);

use Verdict::{Allow, Deny, Silent};

const PUBLIC_READ: &str = r#"{"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:GetObjectVersion"],
    "Resource": ["arn:aws:s3:::amzn-s3-demo-bucket/*"]}"#;
const TLS_ONLY: &str = r#"{"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"},
    {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}"#;
const ADDRESSES: &str = r#"{"Effect": "Deny", "Principal": "*", "Action": "s3:*",
    "Resource": ["arn:aws:s3:::amzn-s3-demo-bucket", "arn:aws:s3:::amzn-s3-demo-bucket/*"],
    "Condition": {"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}}"#;
const EXCLUDED_ADDRESS: &str = r#"{"Effect": "Allow", "Principal": "*", "Action": "s3:*",
    "Resource": "arn:aws:s3:::amzn-s3-demo-bucket/*", "Condition": {
    "IpAddress": {"aws:SourceIp": "192.0.2.0/24"}, "NotIpAddress": {"aws:SourceIp": "192.0.2.188/32"}}}"#;
const REFERER: &str = r#"{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::amzn-s3-demo-bucket/*",
    "Condition": {"StringLike": {"aws:Referer": ["http://www.example.com/*", "http://example.com/*"]}}}"#;
const FULL_CONTROL: &str = r#"{"Effect": "Allow", "Principal": {"AWS": "444455556666"}, "Action": "s3:PutObject",
    "Resource": "arn:aws:s3:::amzn-s3-demo-bucket/*",
    "Condition": {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}}"#;
const ENCRYPTED: &str = r#"{"Effect": "Allow", "Principal": "*", "Action": "s3:PutObject", "Resource": "*"},
    {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "*",
     "Condition": {"Null": {"s3:x-amz-server-side-encryption": "true"}}},
    {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "*",
     "Condition": {"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}}}"#;
const PREFIX: &str = r#"{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:user/ann"}, "Action": "s3:ListBucket",
    "Resource": "arn:aws:s3:::amzn-s3-demo-bucket", "Condition": {"StringEquals": {"s3:prefix": "projects"}}},
    {"Effect": "Deny", "Principal": {"AWS": "arn:aws:iam::111122223333:user/ann"}, "Action": "s3:ListBucket",
    "Resource": "arn:aws:s3:::amzn-s3-demo-bucket", "Condition": {"StringNotEquals": {"s3:prefix": "projects"}}}"#;
const MAX_KEYS: &str = r#"{"Effect": "Allow", "Principal": {"AWS": "444455556666"}, "Action": "s3:ListBucket",
    "Resource": "arn:aws:s3:::amzn-s3-demo-bucket", "Condition": {"NumericLessThanEquals": {"s3:max-keys": "10"}}}"#;
const TAGGED: &str = r#"{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*",
    "Condition": {"StringEquals": {"s3:ExistingObjectTag/environment": "production"}}}"#;
const TAG_KEYS: &str = r#"{"Effect": "Allow", "Principal": "*", "Action": "s3:PutObjectTagging", "Resource": "*",
    "Condition": {"ForAllValues:StringLike": {"s3:RequestObjectTagKeys": ["Owner", "CreationDate"]}}}"#;
const TAG_KEYS_ANY: &str = r#"{"Effect": "Deny", "Principal": "*", "Action": "s3:PutObjectTagging", "Resource": "*",
    "Condition": {"ForAnyValue:StringNotEquals": {"s3:RequestObjectTagKeys": ["Owner"]}}}"#;
const HOMES: &str = r#"{"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "s3:*Object",
    "Resource": "arn:aws:s3:::amzn-s3-demo-bucket/home/${aws:username}/*"}"#;
const ALL_BUT_ANN: &str = r#"{"Effect": "Deny", "NotPrincipal": {"AWS": ["arn:aws:iam::111122223333:user/ann"]}, "Action": "s3:*",
    "Resource": "*"}"#;
const NOT_ACTION: &str =
    r#"{"Effect": "Deny", "Principal": "*", "NotAction": "s3:Get*", "Resource": "*"}"#;
const NOT_RESOURCE: &str = r#"{"Effect": "Deny", "Principal": "*", "Action": "s3:*",
    "NotResource": "arn:aws:s3:::amzn-s3-demo-bucket/home/*"}"#;
const DATES: &str = r#"{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*", "Condition": {
    "DateGreaterThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}, "DateLessThan": {"aws:CurrentTime": "2026-07-01T00:00:00Z"}}}"#;
const REFERER_IF_ANY: &str = r#"{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*",
    "Condition": {"StringLikeIfExists": {"aws:Referer": "http://www.example.com/*"}}}"#;
const LOG_DELIVERY: &str = r#"{"Effect": "Allow", "Principal": {"Service": "logging.s3.amazonaws.com"}, "Action": "s3:PutObject",
    "Resource": "arn:aws:s3:::amzn-s3-demo-bucket/logs/*", "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::source-*"},
    "StringEquals": {"aws:SourceAccount": "111122223333"}}}"#;
const ROLE: &str = r#"{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/backup"}, "Action": "s3:PutObject",
    "Resource": "arn:aws:s3:::amzn-s3-demo-bucket/*"}"#;
const SESSION: &str = r#"{"Effect": "Allow", "Principal": {"AWS": "arn:aws:sts::111122223333:assumed-role/backup/nightly"},
    "Action": "s3:PutObject", "Resource": "arn:aws:s3:::amzn-s3-demo-bucket/*"}"#;
const OTHER_ROLE: &str = r#"{"Effect": "Deny", "NotPrincipal": {"AWS": "arn:aws:iam::111122223333:role/backups"}, "Action": "s3:*",
    "Resource": "*"}"#;
const CANONICAL: &str = r#"{"Effect": "Allow", "Principal": {"CanonicalUser": "444455556666"}, "Action": "s3:GetObject",
    "Resource": "arn:aws:s3:::amzn-s3-demo-bucket/*"}"#;
const ANY_CASE: &str = r#"{"Effect": "Allow", "Principal": "*", "Action": "S3:getobject", "Resource": "*",
    "Condition": {"StringEqualsIgnoreCase": {"AWS:useragent": "Tool"}}}"#;

/// From the user guides: examples of bucket policies, condition keys, condition operators, evaluation logic.
const TABLE: &[Row] = &[
    (PUBLIC_READ, NOBODY, "s3:GetObject", KEY, &[], Allow),
    (PUBLIC_READ, BOB, "s3:GetObjectVersion", KEY, &[], Allow),
    (PUBLIC_READ, NOBODY, "s3:PutObject", KEY, &[], Silent),
    (PUBLIC_READ, NOBODY, "s3:GetObject", ITSELF, &[], Silent),
    (TLS_ONLY, BOB, "s3:GetObject", KEY, &[("aws:securetransport", "true")], Allow),
    (TLS_ONLY, BOB, "s3:GetObject", KEY, &[("aws:securetransport", "false")], Deny),
    (ADDRESSES, ANN, "s3:GetObject", KEY, &[("aws:sourceip", "192.0.2.7")], Silent),
    (ADDRESSES, ANN, "s3:GetObject", KEY, &[("aws:sourceip", "198.51.100.7")], Deny),
    (ADDRESSES, ANN, "s3:GetObject", KEY, &[], Deny),
    (EXCLUDED_ADDRESS, NOBODY, "s3:GetObject", KEY, &[("aws:sourceip", "192.0.2.7")], Allow),
    (EXCLUDED_ADDRESS, NOBODY, "s3:GetObject", KEY, &[("aws:sourceip", "192.0.2.188")], Silent),
    (REFERER, NOBODY, "s3:GetObject", KEY, &[("aws:referer", "http://example.com/a")], Allow),
    (REFERER, NOBODY, "s3:GetObject", KEY, &[("aws:referer", "http://evil.example/a")], Silent),
    (REFERER, NOBODY, "s3:GetObject", KEY, &[], Silent),
    (
        FULL_CONTROL,
        BOB,
        "s3:PutObject",
        KEY,
        &[("s3:x-amz-acl", "bucket-owner-full-control")],
        Allow,
    ),
    (FULL_CONTROL, BOB, "s3:PutObject", KEY, &[("s3:x-amz-acl", "private")], Silent),
    (FULL_CONTROL, BOB, "s3:PutObject", KEY, &[], Silent),
    (
        FULL_CONTROL,
        ANN,
        "s3:PutObject",
        KEY,
        &[("s3:x-amz-acl", "bucket-owner-full-control")],
        Silent,
    ),
    (ENCRYPTED, BOB, "s3:PutObject", KEY, &[], Deny),
    (ENCRYPTED, BOB, "s3:PutObject", KEY, &[("s3:x-amz-server-side-encryption", "AES256")], Deny),
    (ENCRYPTED, BOB, "s3:PutObject", KEY, &[("s3:x-amz-server-side-encryption", "aws:kms")], Allow),
    (PREFIX, ANN, "s3:ListBucket", ITSELF, &[("s3:prefix", "projects")], Allow),
    (PREFIX, ANN, "s3:ListBucket", ITSELF, &[("s3:prefix", "secrets")], Deny),
    (PREFIX, ANN, "s3:ListBucket", ITSELF, &[], Deny),
    (PREFIX, BOB, "s3:ListBucket", ITSELF, &[], Silent),
    (MAX_KEYS, BOB, "s3:ListBucket", ITSELF, &[("s3:max-keys", "10")], Allow),
    (MAX_KEYS, BOB, "s3:ListBucket", ITSELF, &[("s3:max-keys", "11")], Silent),
    (MAX_KEYS, BOB, "s3:ListBucket", ITSELF, &[("s3:max-keys", "many")], Silent),
    (
        TAGGED,
        NOBODY,
        "s3:GetObject",
        KEY,
        &[("s3:existingobjecttag/environment", "production")],
        Allow,
    ),
    (TAGGED, NOBODY, "s3:GetObject", KEY, &[("s3:existingobjecttag/environment", "test")], Silent),
    (
        TAGGED,
        NOBODY,
        "s3:GetObject",
        KEY,
        &[("s3:existingobjecttag/Environment", "production")],
        Silent,
    ),
    (
        TAG_KEYS,
        BOB,
        "s3:PutObjectTagging",
        KEY,
        &[("s3:requestobjecttagkeys", "Owner,CreationDate")],
        Allow,
    ),
    (
        TAG_KEYS,
        BOB,
        "s3:PutObjectTagging",
        KEY,
        &[("s3:requestobjecttagkeys", "Owner,Other")],
        Silent,
    ),
    (TAG_KEYS, BOB, "s3:PutObjectTagging", KEY, &[("s3:requestobjecttagkeys", ",")], Allow),
    (TAG_KEYS, BOB, "s3:PutObjectTagging", KEY, &[], Allow),
    (
        TAG_KEYS_ANY,
        BOB,
        "s3:PutObjectTagging",
        KEY,
        &[("s3:requestobjecttagkeys", "Owner,Other")],
        Deny,
    ),
    (
        TAG_KEYS_ANY,
        BOB,
        "s3:PutObjectTagging",
        KEY,
        &[("s3:requestobjecttagkeys", "Owner")],
        Silent,
    ),
    (TAG_KEYS_ANY, BOB, "s3:PutObjectTagging", KEY, &[], Silent),
    (HOMES, ANN, "s3:GetObject", KEY, &[("aws:username", "ann")], Allow),
    (HOMES, ANN, "s3:PutObject", KEY, &[("aws:username", "ann")], Allow),
    (HOMES, ANN, "s3:GetObjectAcl", KEY, &[("aws:username", "ann")], Silent),
    (HOMES, ANN, "s3:GetObject", KEY, &[("aws:username", "*")], Silent),
    (HOMES, ANN, "s3:GetObject", KEY, &[], Silent),
    (ALL_BUT_ANN, ANN, "s3:GetObject", KEY, &[], Silent),
    (ALL_BUT_ANN, BOB, "s3:GetObject", KEY, &[], Deny),
    (ALL_BUT_ANN, NOBODY, "s3:GetObject", KEY, &[], Deny),
    (NOT_ACTION, ANN, "s3:GetObject", KEY, &[], Silent),
    (NOT_ACTION, ANN, "s3:PutObject", KEY, &[], Deny),
    (NOT_RESOURCE, ANN, "s3:GetObject", KEY, &[], Silent),
    (NOT_RESOURCE, ANN, "s3:ListBucket", ITSELF, &[], Deny),
    (DATES, NOBODY, "s3:GetObject", KEY, &[("aws:currenttime", "2026-03-01T12:00:00Z")], Allow),
    (DATES, NOBODY, "s3:GetObject", KEY, &[("aws:currenttime", "2026-08-01T12:00:00Z")], Silent),
    (REFERER_IF_ANY, NOBODY, "s3:GetObject", KEY, &[], Allow),
    (
        REFERER_IF_ANY,
        NOBODY,
        "s3:GetObject",
        KEY,
        &[("aws:referer", "http://www.example.com/a")],
        Allow,
    ),
    (REFERER_IF_ANY, NOBODY, "s3:GetObject", KEY, &[("aws:referer", "http://example.com")], Silent),
    (
        LOG_DELIVERY,
        LOGGING,
        "s3:PutObject",
        "arn:aws:s3:::amzn-s3-demo-bucket/logs/1",
        &[("aws:sourcearn", "arn:aws:s3:::source-1"), ("aws:sourceaccount", "111122223333")],
        Allow,
    ),
    (
        LOG_DELIVERY,
        LOGGING,
        "s3:PutObject",
        "arn:aws:s3:::amzn-s3-demo-bucket/logs/1",
        &[("aws:sourcearn", "arn:aws:s3:::other"), ("aws:sourceaccount", "111122223333")],
        Silent,
    ),
    (
        LOG_DELIVERY,
        BOB,
        "s3:PutObject",
        "arn:aws:s3:::amzn-s3-demo-bucket/logs/1",
        &[("aws:sourcearn", "arn:aws:s3:::source-1"), ("aws:sourceaccount", "111122223333")],
        Silent,
    ),
    (ROLE, NIGHTLY, "s3:PutObject", KEY, &[], Allow),
    (ROLE, ANN, "s3:PutObject", KEY, &[], Silent),
    (SESSION, NIGHTLY, "s3:PutObject", KEY, &[], Allow),
    (SESSION, ANN, "s3:PutObject", KEY, &[], Silent),
    (OTHER_ROLE, NIGHTLY, "s3:PutObject", KEY, &[], Deny),
    (CANONICAL, BOB, "s3:GetObject", KEY, &[], Allow),
    (CANONICAL, NOBODY, "s3:GetObject", KEY, &[], Silent),
    (ANY_CASE, NOBODY, "s3:GetObject", KEY, &[("aws:useragent", "tOOL")], Allow),
];

#[test]
fn every_documented_decision_is_made() {
    for (number, (statements, who, action, resource, known, expected)) in TABLE.iter().enumerate() {
        let policy = read(statements).unwrap_or_else(|error| panic!("row {number}: {error}"));
        let request = Request(known.iter().copied().collect());
        let verdict = policy.evaluate(&asks(*who, action, resource, &request));
        assert_eq!(verdict, *expected, "row {number}: {statements} {who:?} {action} {known:?}");
    }
}

#[test]
fn a_key_s_policy_names_no_principal_and_may_speak_of_other_services() {
    let own = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": ["s3:Get*", "sts:AssumeRole"], "Resource": "*"}}"#;
    let policy = Policy::read(own, Kind::Key).expect("a policy");
    let request = Request::default();
    assert_eq!(policy.evaluate(&asks(ANN, "s3:GetObject", KEY, &request)), Allow);
    assert_eq!(policy.evaluate(&asks(ANN, "s3:PutObject", KEY, &request)), Silent);
    let named = own.replace(r#""Action""#, r#""Principal": "*", "Action""#);
    assert_eq!(Policy::read(&named, Kind::Key), Err(PolicyError::KeyPrincipal));
}

#[test]
fn a_policy_says_whether_it_needs_the_tags_of_what_is_there() {
    let asks = |text: &str| read(text).expect("a policy").asks_for_object_tags();
    let of = |resource: &str, condition: &str| {
        asks(&format!(
            r#"{{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::{BUCKET}/{resource}"{condition}}}"#
        ))
    };
    let other =
        r#", "Condition": {"StringEquals": {"aws:username": "${s3:ExistingObjectTag/owner}"}}"#;
    assert!(asks(TAGGED) && of("${s3:ExistingObjectTag/team}/*", "") && of("*", other));
    assert!(!asks(TAG_KEYS) && !asks(HOMES) && !of("*", ""));
}

#[test]
fn without_the_newer_version_a_variable_is_text() {
    let text = r#"{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::amzn-s3-demo-bucket/${aws:username}"}}"#;
    let policy = Policy::read(text, Kind::Bucket(BUCKET)).expect("a policy");
    let request = Request([("aws:username", "ann")].into());
    let verdict = |resource| policy.evaluate(&asks(ANN, "s3:GetObject", resource, &request));
    assert_eq!(verdict("arn:aws:s3:::amzn-s3-demo-bucket/ann"), Silent);
    assert_eq!(verdict("arn:aws:s3:::amzn-s3-demo-bucket/${aws:username}"), Allow);
}

#[test]
fn what_is_wrong_with_a_policy_is_said() {
    let statement = |text: &str| read(text).expect_err(text);
    let with = |extra: &str| {
        statement(&format!(
            r#"{{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*", {extra}}}"#
        ))
    };
    for text in ["", "{", "[]", "null", "{\"Version\": 1}", "{\"Statements\": []}"] {
        let error = Policy::read(text, Kind::Bucket(BUCKET)).expect_err(text);
        assert!(matches!(error, PolicyError::Json(_)), "{text}: {error}");
    }
    assert_eq!(Policy::read("{}", Kind::Bucket(BUCKET)), Err(PolicyError::NoStatement));
    let long = " ".repeat(super::POLICY_MAX + 1);
    assert_eq!(Policy::read(&long, Kind::Bucket(BUCKET)), Err(PolicyError::TooLong));
    let old = r#"{"Version": "2020-01-01", "Statement": []}"#;
    assert!(matches!(Policy::read(old, Kind::Bucket(BUCKET)), Err(PolicyError::Version(_))));
    assert!(matches!(with(r#""Effect": "Deny""#), PolicyError::Json(_)), "twice");
    assert!(matches!(with(r#""Effekt": "Deny""#), PolicyError::Json(_)), "unknown");
    assert_eq!(with(r#""NotAction": "s3:PutObject""#), PolicyError::Both("Action"));
    assert_eq!(with(r#""NotResource": "*""#), PolicyError::Both("Resource"));
    assert_eq!(with(r#""NotPrincipal": "*""#), PolicyError::Both("Principal"));
    for (condition, expected) in [
        (r#"{"StringEqual": {"aws:Referer": "x"}}"#, "operator"),
        (r#"{"ForSomeValues:StringEquals": {"aws:Referer": "x"}}"#, "operator"),
        (r#"{"NullIfExists": {"aws:Referer": "true"}}"#, "operator"),
        (r#"{"StringEquals": {"Referer": "x"}}"#, "key"),
        (r#"{"StringEquals": {"ec2:Region": "x"}}"#, "key"),
        (r#"{"IpAddress": {"aws:SourceIp": "300.0.0.1"}}"#, "value"),
        (r#"{"NumericEquals": {"s3:max-keys": "ten"}}"#, "value"),
        (r#"{"DateLessThan": {"aws:CurrentTime": "soon"}}"#, "value"),
        (r#"{"Bool": {"aws:SecureTransport": "yes"}}"#, "value"),
    ] {
        let error = with(&format!(r#""Condition": {condition}"#));
        assert!(error.to_string().contains(expected), "{condition}: {error}");
    }
    let plain =
        r#"{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}"#;
    for (from, to, expected) in [
        (r#""s3:GetObject""#, r#""s3:GetObjekt""#, "invalid action"),
        (r#""s3:GetObject""#, r#""ec2:RunInstances""#, "invalid action"),
        (r#""s3:GetObject""#, r#""GetObject""#, "invalid action"),
        (r#""Resource": "*""#, r#""Resource": "arn:aws:s3:::other/*""#, "invalid resource"),
        (r#""Resource": "*""#, r#""Resource": "amzn-s3-demo-bucket/*""#, "invalid resource"),
        (r#""Resource": "*""#, r#""Resource": []"#, "must have"),
        (r#", "Resource": "*""#, "", "must have"),
        (r#""Principal": "*""#, r#""Principal": {"AWS": "arn:aws:iam::1*:root"}"#, "principal"),
        (r#""Principal": "*""#, r#""Principal": {"Human": "ann"}"#, "principal"),
        (r#""Principal": "*""#, r#""Principal": "ann""#, "principal"),
        (r#""Principal": "*""#, r#""NotPrincipal": "*""#, "NotPrincipal"),
        (r#""Principal": "*", "#, "", "must have"),
        (r#""Effect": "Allow", "#, "", "must have"),
        (r#""Allow""#, r#""allow""#, "variant"),
    ] {
        let error = statement(&plain.replace(from, to)).to_string();
        assert!(error.contains(expected), "{to}: {error}");
    }
}

#[test]
fn a_policy_is_public_unless_everybody_is_somebody_in_particular() {
    let allow = |principal: &str, condition: &str| {
        let text = format!(
            r#"{{"Effect": "Allow", "Principal": {principal}, "Action": "s3:GetObject", "Resource": "*", "Condition": {{{condition}}}}}"#
        );
        read(&text).expect("a policy").is_public()
    };
    assert!(allow(r#""*""#, ""));
    assert!(allow(r#"{"AWS": "*"}"#, ""));
    assert!(allow(r#"{"AWS": ["111122223333", "*"]}"#, ""));
    assert!(!allow(r#"{"AWS": "111122223333"}"#, ""));
    assert!(!allow(r#"{"Service": "logging.s3.amazonaws.com"}"#, ""));
    for (condition, public) in [
        (r#""IpAddress": {"aws:SourceIp": "10.0.0.0/32"}"#, false),
        (r#""IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "2001:db8::/32"]}"#, false),
        (r#""IpAddress": {"aws:SourceIp": "0.0.0.0/1"}"#, true),
        (r#""IpAddress": {"aws:SourceIp": "10.0.0.0/0"}"#, true),
        (r#""ForAllValues:StringEquals": {"aws:PrincipalAccount": "111122223333"}"#, true),
        (r#""IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "0.0.0.0/0"]}"#, true),
        (r#""NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}"#, true),
        (r#""IpAddressIfExists": {"aws:SourceIp": "203.0.113.0/24"}"#, true),
        (r#""StringEquals": {"aws:SourceVpc": "vpc-91237329"}"#, false),
        (r#""StringLike": {"aws:SourceVpc": "vpc-*"}"#, true),
        (r#""StringNotEquals": {"aws:SourceVpc": "vpc-91237329"}"#, true),
        (r#""StringEquals": {"aws:PrincipalOrgID": "o-1234567890"}"#, false),
        (r#""StringLike": {"aws:userid": "AROLEID:*"}"#, true),
        (r#""StringEquals": {"aws:SourceVpc": "${aws:username}"}"#, true),
        (r#""StringLike": {"aws:Referer": "http://www.example.com/*"}"#, true),
        (r#""Bool": {"aws:SecureTransport": "true"}"#, true),
    ] {
        assert_eq!(allow(r#""*""#, condition), public, "{condition}");
    }
    let deny = r#"{"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}"#;
    assert!(!read(deny).expect("a policy").is_public());
}

/// Statements from a small world, so that they often meet.
fn statement() -> impl Strategy<Value = String> {
    let effect = prop_oneof![Just("Allow"), Just("Deny")];
    let principal = prop_oneof![
        Just(r#""*""#),
        Just(r#"{"AWS": "111122223333"}"#),
        Just(r#"{"AWS": "arn:aws:iam::111122223333:user/ann"}"#),
        Just(r#"{"CanonicalUser": "444455556666"}"#),
    ];
    let action = prop_oneof![
        Just(r#""Action": "s3:GetObject""#),
        Just(r#""Action": ["s3:Put*", "s3:DeleteObject"]"#),
        Just(r#""Action": "*""#),
        Just(r#""NotAction": "s3:Get*""#),
    ];
    let resource = prop_oneof![
        Just(r#""Resource": "*""#),
        Just(r#""Resource": "arn:aws:s3:::amzn-s3-demo-bucket/home/*""#),
        Just(r#""Resource": "arn:aws:s3:::amzn-s3-demo-bucket/home/${aws:username}/*""#),
        Just(r#""NotResource": "arn:aws:s3:::amzn-s3-demo-bucket/home/*""#),
    ];
    let condition = prop_oneof![
        Just(r#"{}"#),
        Just(r#"{"StringEquals": {"aws:username": "ann"}}"#),
        Just(r#"{"StringNotLike": {"aws:username": "a*"}}"#),
        Just(r#"{"Null": {"aws:username": true}}"#),
        Just(r#"{"IpAddressIfExists": {"aws:SourceIp": "192.0.2.0/24"}}"#),
    ];
    (effect, principal, action, resource, condition).prop_map(
        |(effect, principal, action, resource, condition)| {
            format!(r#"{{"Effect": "{effect}", "Principal": {principal}, {action}, {resource}, "Condition": {condition}}}"#)
        },
    )
}

fn request() -> impl Strategy<Value = (Identity<'static>, &'static str, &'static str, Request)> {
    let who = prop_oneof![Just(ANN), Just(BOB), Just(NOBODY)];
    let action = prop_oneof![Just("s3:GetObject"), Just("s3:PutObject"), Just("s3:DeleteObject")];
    let resource = prop_oneof![Just(KEY), Just("arn:aws:s3:::amzn-s3-demo-bucket/x"), Just(ITSELF)];
    let known = prop_oneof![
        Just(vec![]),
        Just(vec![("aws:username", "ann")]),
        Just(vec![("aws:username", "bob"), ("aws:sourceip", "192.0.2.9")]),
        Just(vec![("aws:sourceip", "198.51.100.9")]),
    ];
    (who, action, resource, known).prop_map(|(who, action, resource, known)| {
        (who, action, resource, Request(known.into_iter().collect()))
    })
}

/// What a policy says must follow from what its statements say one by one.
fn combined(statements: &[String], asked: &Asked<'_>) -> Verdict {
    let each: Vec<Verdict> = statements
        .iter()
        .map(|statement| read(statement).expect("a policy").evaluate(asked))
        .collect();
    if each.contains(&Deny) {
        Deny
    } else if each.contains(&Allow) {
        Allow
    } else {
        Silent
    }
}

proptest! {
    #[test]
    fn a_policy_says_what_its_statements_say_together_and_deny_wins(
        statements in prop::collection::vec(statement(), 1..6),
        (who, action, resource, known) in request(),
    ) {
        let policy = read(&statements.join(",")).expect("a policy");
        let asked = asks(who, action, resource, &known);
        prop_assert_eq!(policy.evaluate(&asked), combined(&statements, &asked));
    }

    #[test]
    fn the_order_of_statements_means_nothing(
        statements in prop::collection::vec(statement(), 1..6),
        (who, action, resource, known) in request(),
    ) {
        let forwards = read(&statements.join(",")).expect("a policy");
        let turned: Vec<String> = statements.into_iter().rev().collect();
        let backwards = read(&turned.join(",")).expect("a policy");
        let asked = asks(who, action, resource, &known);
        prop_assert_eq!(forwards.evaluate(&asked), backwards.evaluate(&asked));
    }

    #[test]
    fn what_a_policy_that_is_not_public_allows_it_allows_to_somebody(
        statements in prop::collection::vec(statement(), 1..6),
        (_, action, resource, _) in request(),
    ) {
        let policy = read(&statements.join(",")).expect("a policy");
        // From an address of no network that the statements name, with no name: a stranger.
        let stranger = Request([("aws:sourceip", "8.8.8.8")].into());
        if policy.evaluate(&asks(NOBODY, action, resource, &stranger)) == Allow {
            prop_assert!(policy.is_public());
        }
    }

    #[test]
    fn no_text_makes_reading_panic(text in any::<String>()) {
        let _ = Policy::read(&text, Kind::Bucket(BUCKET));
        let _ = Policy::read(&text, Kind::Key);
    }
}
