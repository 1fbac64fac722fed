//! Logs, lists and replicas go only where the target's owner lets them, and only as long; who configures them must be able to write there.

use std::time::Duration;

use drystone_s3_tests::client::{Client, Request};
use drystone_s3_tests::cluster::Options;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::access::{Two, narrowed, put_policy};
use super::logging::{enabled, lines};
use super::replication::{put_rules, rule, until, version, versioned};

/// How long something that is delivered may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn put_logging(s3: &Client, bucket: &str, target: &str) -> Request {
    s3.put(&format!("/{bucket}")).query("logging", "").body(enabled(target, "log/", ""))
}

fn put_inventory(s3: &Client, bucket: &str, target: &str) -> Request {
    let body = format!(
        "<InventoryConfiguration><Destination><S3BucketDestination><Bucket>arn:aws:s3:::{target}</Bucket><Format>CSV</Format>\
         <Prefix>lists</Prefix></S3BucketDestination></Destination><IsEnabled>true</IsEnabled><Id>all</Id>\
         <IncludedObjectVersions>Current</IncludedObjectVersions><Schedule><Frequency>Daily</Frequency></Schedule></InventoryConfiguration>"
    );
    s3.put(&format!("/{bucket}")).query("inventory", "").query("id", "all").body(body)
}

fn put_replication(s3: &Client, bucket: &str, target: &str, markers: &str) -> Request {
    put_rules(s3, bucket, &rule("one", 1, "<Prefix>in/</Prefix>", markers, target))
}

/// A statement on all objects of a bucket.
fn statement(effect: &str, principal: Value, action: &str, bucket: &str) -> Value {
    json!({"Effect": effect, "Principal": principal, "Action": action, "Resource": format!("arn:aws:s3:::{bucket}/*")})
}

/// Waits until a bucket has more objects than so many.
async fn more_than(s3: &Client, bucket: &str, count: usize) {
    let end = Instant::now() + PATIENCE;
    while s3.keys(bucket).await.len() <= count {
        assert!(Instant::now() < end, "{bucket} still has {count} objects");
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_configure_one_bucket_cannot_have_another_filled() {
    let Two { cluster, ann, bob: _bob } = Two::new().await;
    versioned(&ann, "source").await;
    versioned(&ann, "target").await;
    let configure = json!({"Effect": "Allow", "Resource": "arn:aws:s3:::source",
        "Action": ["s3:PutBucketLogging", "s3:PutInventoryConfiguration", "s3:PutReplicationConfiguration"]});
    let write = |action: &str, keys: &str| json!({"Effect": "Allow", "Action": action, "Resource": format!("arn:aws:s3:::target/{keys}")});
    let asks = |s3: &Client| {
        [
            put_logging(s3, "source", "target"),
            put_inventory(s3, "source", "target"),
            put_replication(s3, "source", "target", "Disabled"),
        ]
    };
    let bare = narrowed(&cluster, "ann", json!([configure]));
    let elsewhere = narrowed(&cluster, "ann", json!([configure, write("s3:PutObject", "other/*")]));
    for request in asks(&bare).into_iter().chain(asks(&elsewhere)) {
        request.send().await.expect_error(403, "AccessDenied").await;
    }
    let able = narrowed(
        &cluster,
        "ann",
        json!([
            configure,
            write("s3:PutObject", "log/*"),
            write("s3:PutObject", "lists/*"),
            write("s3:PutObject", "in/*")
        ]),
    );
    for request in asks(&able) {
        let answer = request.send().await.read().await;
        assert!(answer.status < 300, "{} {}", answer.status, answer.text);
    }
    // Who has delete markers replicated deletes.
    let markers = |s3: &Client| put_replication(s3, "source", "target", "Enabled");
    markers(&able).send().await.expect_error(403, "AccessDenied").await;
    let deletes = narrowed(
        &cluster,
        "ann",
        json!([configure, write("s3:PutObject", "in/*"), write("s3:DeleteObject", "in/*")]),
    );
    markers(&deletes).send().await.expect_status(200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_go_only_where_they_may_still_go() {
    let Two { cluster: _cluster, ann, bob } =
        Two::of(Options::new().flag("--lifecycle-day", "1s")).await;
    ann.make_bucket("logged").await;
    bob.make_bucket("logs").await;
    let refused = put_logging(&ann, "logged", "logs").send().await;
    refused.expect_error(400, "InvalidTargetBucketForLogging").await;
    let service = || json!({"Service": "logging.s3.amazonaws.com"});
    let mut of_another = statement("Allow", service(), "s3:PutObject", "logs");
    of_another["Condition"] = json!({"StringEquals": {"aws:SourceAccount": "carol"}});
    put_policy(&bob, "logs", json!([of_another])).await;
    let refused = put_logging(&ann, "logged", "logs").send().await;
    refused.expect_error(400, "InvalidTargetBucketForLogging").await;

    let mut allow = statement("Allow", service(), "s3:PutObject", "logs");
    allow["Condition"] = json!({"StringEquals": {"aws:SourceAccount": "ann"},
        "ArnLike": {"aws:SourceArn": "arn:aws:s3:::logged"}});
    put_policy(&bob, "logs", json!([allow])).await;
    put_logging(&ann, "logged", "logs").send().await.expect_status(200).await;
    ann.get("/logged/first").send().await.expect_error(404, "NoSuchKey").await;
    lines(&bob, "logs", "REST.GET.OBJECT first").await;

    // Withdrawn: lines of that time are gone for good.
    bob.delete("/logs").query("policy", "").send().await.expect_status(204).await;
    ann.get("/logged/second").send().await.expect_error(404, "NoSuchKey").await;
    sleep(Duration::from_secs(3)).await;
    put_policy(&bob, "logs", json!([allow])).await;
    ann.get("/logged/third").send().await.expect_error(404, "NoSuchKey").await;
    let told = lines(&bob, "logs", "REST.GET.OBJECT third").await;
    assert!(told.iter().all(|line| !line.contains("OBJECT second")), "{told:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_go_only_where_they_may_still_go() {
    let Two { cluster: _cluster, ann, bob } =
        Two::of(Options::new().flag("--lifecycle-day", "3s")).await;
    ann.make_bucket("listed").await;
    bob.make_bucket("lists").await;
    ann.put("/listed/k").body("x").send().await.expect_status(200).await;
    for target in ["lists", "no-such-bucket"] {
        let refused = put_inventory(&ann, "listed", target).send().await;
        refused.expect_error(400, "InvalidS3DestinationBucket").await;
    }
    let mut allow =
        statement("Allow", json!({"Service": "s3.amazonaws.com"}), "s3:PutObject", "lists");
    allow["Condition"] = json!({"ArnLike": {"aws:SourceArn": "arn:aws:s3:::listed"},
        "StringEquals": {"aws:SourceAccount": "ann", "s3:x-amz-acl": "bucket-owner-full-control"}});
    put_policy(&bob, "lists", json!([allow])).await;
    let put = put_inventory(&ann, "listed", "lists").send().await.read().await;
    assert!(put.status < 300, "{} {}", put.status, put.text);
    more_than(&bob, "lists", 2).await;
    let keys = bob.keys("lists").await;
    assert!(keys.iter().all(|key| key.starts_with("lists/listed/all/")), "{keys:?}");

    bob.delete("/lists").query("policy", "").send().await.expect_status(204).await;
    // A list that was being made is made.
    sleep(Duration::from_secs(2)).await;
    let before = bob.keys("lists").await;
    sleep(Duration::from_secs(7)).await;
    assert_eq!(bob.keys("lists").await, before, "more than two days, and no list");
    put_policy(&bob, "lists", json!([allow])).await;
    more_than(&bob, "lists", before.len()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_go_only_where_they_may_still_go() {
    let Two { cluster: _cluster, ann, bob: _bob } = Two::new().await;
    versioned(&ann, "source").await;
    versioned(&ann, "target").await;
    // Policies know replication by the role that the rules name.
    let role = "arn:aws:iam::ann:role/copier";
    let rules = |markers: &str| {
        let rules = rule("one", 1, "<Prefix>in/</Prefix>", markers, "target");
        let body = format!(
            "<ReplicationConfiguration><Role>{role}</Role>{rules}</ReplicationConfiguration>"
        );
        ann.put("/source").query("replication", "").body(body)
    };
    let deny = |action: &str| json!([statement("Deny", json!({"AWS": role}), action, "target")]);
    rules("Enabled").send().await.expect_status(200).await;
    let replicate = || async {
        let put = ann.put("/source/in/k").body("x").send().await.expect_status(200).await;
        version(&put)
    };
    let first = replicate().await;
    until(&ann, "/source/in/k", &first, "COMPLETED").await;

    put_policy(&ann, "target", deny("s3:ReplicateObject")).await;
    let second = replicate().await;
    until(&ann, "/source/in/k", &second, "FAILED").await;
    let missing = ann.get("/target/in/k").query("versionId", &second).send().await;
    missing.expect_error(404, "NoSuchVersion").await;

    ann.delete("/target").query("policy", "").send().await.expect_status(204).await;
    let third = replicate().await;
    until(&ann, "/source/in/k", &third, "COMPLETED").await;

    // Delete markers are asked for by themselves.
    put_policy(&ann, "target", deny("s3:ReplicateDelete")).await;
    ann.delete("/source/in/k").send().await.expect_status(204).await;
    let fourth = replicate().await;
    until(&ann, "/source/in/k", &fourth, "COMPLETED").await;
    let listed = ann.get("/target").query("versions", "").send().await.expect_status(200).await;
    assert!(listed.all("DeleteMarker").is_empty(), "{}", listed.text);
}
