//! What reading and asking a bucket's policy costs: the part of an authorisation that grows with what customers write.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use drystone_gateway::s3::policy::{Asked, Context, Identity, Key, Kind, Policy, Values};

const STATEMENTS: &str = r#"{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bench/public/*"},
    {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::bench/*",
     "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
    {"Effect": "Deny", "Principal": "*", "Action": ["s3:PutObject", "s3:DeleteObject*"], "Resource": "arn:aws:s3:::bench/*",
     "Condition": {"NotIpAddress": {"aws:SourceIp": ["192.0.2.0/24", "2001:db8::/32"]}}},
    {"Effect": "Allow", "Principal": {"AWS": ["ann", "arn:aws:iam::bob:user/backup"]}, "Action": ["s3:Get*", "s3:PutObject"],
     "Resource": "arn:aws:s3:::bench/home/${aws:username}/*", "Condition": {"StringLike": {"aws:Referer": "https://*.example.com/*"}}}
]}"#;

/// A request from a customer's network.
struct Request;

impl Context for Request {
    fn values(&self, key: &Key) -> Values {
        Values::One(match key.name() {
            "aws:securetransport" => "true".to_owned(),
            "aws:sourceip" => "192.0.2.77".to_owned(),
            "aws:username" => "backup".to_owned(),
            "aws:referer" => "https://app.example.com/page".to_owned(),
            _ => return Values::Absent,
        })
    }
}

fn policy(c: &mut Criterion) {
    c.bench_function("policy/read", |b| {
        b.iter(|| Policy::read(black_box(STATEMENTS), Kind::Bucket("bench")).expect("a policy"));
    });
    let policy = Policy::read(STATEMENTS, Kind::Bucket("bench")).expect("a policy");
    let who = Identity {
        account: Some("bob"),
        arn: Some("arn:aws:iam::bob:user/backup"),
        ..Identity::default()
    };
    let resource = "arn:aws:s3:::bench/home/backup/2026/01/01/archive.tar";
    c.bench_function("policy/evaluate", |b| {
        b.iter(|| {
            let asked = Asked { who, action: "s3:PutObject", resource, context: &Request };
            policy.evaluate(black_box(&asked))
        });
    });
}

criterion_group!(benches, policy);
criterion_main!(benches);
