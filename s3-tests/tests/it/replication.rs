//! Replication: new versions and delete markers appear in the buckets that rules name, and say how far they are.

use std::time::Duration;

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::client::{Answer, Client};
use drystone_s3_tests::cluster::Options;
use tokio::time::{Instant, sleep};

/// How long replication may take.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) async fn versioned(s3: &Client, bucket: &str) {
    s3.make_bucket(bucket).await;
    let body = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let put = s3.put(&format!("/{bucket}")).query("versioning", "").body(body).send().await;
    put.expect_status(200).await;
}

pub(super) fn rule(id: &str, priority: u32, filter: &str, markers: &str, to: &str) -> String {
    format!(
        "<Rule><ID>{id}</ID><Priority>{priority}</Priority><Status>Enabled</Status><Filter>{filter}</Filter>\
         <DeleteMarkerReplication><Status>{markers}</Status></DeleteMarkerReplication>\
         <Destination><Bucket>arn:aws:s3:::{to}</Bucket></Destination></Rule>"
    )
}

pub(super) fn put_rules(
    s3: &Client,
    bucket: &str,
    rules: &str,
) -> drystone_s3_tests::client::Request {
    let body = format!(
        "<ReplicationConfiguration><Role>arn:aws:iam::1:role/r</Role>{rules}</ReplicationConfiguration>"
    );
    s3.put(&format!("/{bucket}")).query("replication", "").body(body)
}

/// HEAD of a version, once its replication status is this one.
pub(super) async fn until(s3: &Client, path: &str, version: &str, status: &str) -> Answer {
    let end = Instant::now() + PATIENCE;
    loop {
        let head = s3.head(path).query("versionId", version).send().await.read().await;
        if head.header("x-amz-replication-status") == Some(status) {
            return head;
        }
        assert!(Instant::now() < end, "{path}: {:?}", head.headers);
        sleep(Duration::from_millis(100)).await;
    }
}

pub(super) fn version(answer: &Answer) -> String {
    answer.header("x-amz-version-id").expect("a version").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_appear_elsewhere_as_what_they_are() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    versioned(&s3, "source").await;
    versioned(&s3, "first").await;
    versioned(&s3, "second").await;
    s3.put("/source/before").body("old").send().await.expect_status(200).await;
    let team = "<And><Prefix>in/</Prefix><Tag><Key>team</Key><Value>a</Value></Tag></And>";
    let rules = rule("all", 1, "<Prefix>in/</Prefix>", "Enabled", "first")
        + &rule("tagged", 2, team, "Disabled", "second");
    put_rules(&s3, "source", &rules).send().await.expect_status(200).await;
    let shown = s3.get("/source").query("replication", "").send().await.expect_status(200).await;
    assert_eq!(shown.all("ID"), ["all", "tagged"]);
    assert_eq!(shown.all("Bucket"), ["arn:aws:s3:::first", "arn:aws:s3:::second"]);

    let small = s3.put("/source/in/small").header("x-amz-meta-a", "b").body("one").send().await;
    let one = version(&small.expect_status(200).await);
    let two = s3.put("/source/in/small").body("two").send().await.expect_status(200).await;
    let two = version(&two);
    let content = Content { seed: 7, len: 3 * 1024 * 1024 + 17 };
    let big = s3.put("/source/in/big").header("x-amz-tagging", "team=a").content(content);
    let big = version(&big.send().await.expect_status(200).await);
    let other = s3.put("/source/out/k").body("x").send().await.expect_status(200).await;
    let other = s3.head("/source/out/k").query("versionId", &version(&other)).send().await;
    assert_eq!(other.header("x-amz-replication-status"), None);

    for id in [&one, &two] {
        let source = until(&s3, "/source/in/small", id, "COMPLETED").await;
        let replica = until(&s3, "/first/in/small", id, "REPLICA").await;
        for same in ["etag", "x-amz-meta-a", "last-modified", "content-type"] {
            assert_eq!(source.header(same), replica.header(same), "{same}");
        }
    }
    assert_eq!(s3.get("/first/in/small").send().await.expect_status(200).await.text, "two");
    let tags = "<Tagging><TagSet><Tag><Key>late</Key><Value>yes</Value></Tag></TagSet></Tagging>";
    let tagged = s3.put("/source/in/small").query("tagging", "").body(tags).send().await;
    tagged.expect_status(200).await;
    let end = Instant::now() + PATIENCE;
    loop {
        let seen = s3.get("/first/in/small").query("tagging", "").send().await;
        if seen.expect_status(200).await.xml("Value").as_deref() == Some("yes") {
            break;
        }
        assert!(Instant::now() < end, "the tag never came");
        sleep(Duration::from_millis(100)).await;
    }
    until(&s3, "/source/in/big", &big, "COMPLETED").await;
    for bucket in ["first", "second"] {
        let path = format!("/{bucket}/in/big");
        until(&s3, &path, &big, "REPLICA").await;
        s3.check_content(&path, content).await.expect("the same bytes");
    }
    assert_eq!(s3.keys("second").await, ["in/big"]);
    assert_eq!(s3.keys("first").await, ["in/big", "in/small"]);

    // A replica lives on without its source; a delete marker follows where its rule says so, a deleted version nowhere.
    let gone = s3.delete("/source/in/big").query("versionId", &big).send().await;
    gone.expect_status(204).await;
    s3.check_content("/first/in/big", content).await.expect("the same bytes");
    let marker = s3.delete("/source/in/small").send().await.expect_status(204).await;
    let end = Instant::now() + PATIENCE;
    while s3.keys("first").await != ["in/big"] {
        assert!(Instant::now() < end, "the delete marker never came");
        sleep(Duration::from_millis(100)).await;
    }
    let list = s3.get("/first").query("versions", "").send().await.expect_status(200).await;
    assert!(list.all("VersionId").contains(&version(&marker)), "{}", list.text);
    assert_eq!(list.all("DeleteMarker").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_checked_and_a_lost_destination_is_told() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    versioned(&s3, "source").await;
    versioned(&s3, "target").await;
    s3.make_bucket("plain").await;
    let to = |bucket: &str| rule("one", 1, "<Prefix></Prefix>", "Disabled", bucket);
    let none = s3.get("/source").query("replication", "").send().await;
    none.expect_error(404, "ReplicationConfigurationNotFoundError").await;
    for (source, target) in
        [("plain", "target"), ("source", "plain"), ("source", "missing"), ("source", "source")]
    {
        let refused = put_rules(&s3, source, &to(target)).send().await;
        refused.expect_error(400, "InvalidRequest").await;
    }
    let twice = to("target") + &to("target").replace("one", "two");
    put_rules(&s3, "source", &twice).send().await.expect_error(400, "InvalidRequest").await;
    put_rules(&s3, "source", &to("target")).send().await.expect_status(200).await;
    let suspend =
        "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>".to_owned();
    let refused = s3.put("/source").query("versioning", "").body(suspend).send().await;
    refused.expect_error(409, "InvalidBucketState").await;

    s3.delete("/target").send().await.expect_status(204).await;
    let put = s3.put("/source/k").body("x").send().await.expect_status(200).await;
    until(&s3, "/source/k", &version(&put), "FAILED").await;
    s3.delete("/source").query("replication", "").send().await.expect_status(204).await;
    let put = s3.put("/source/k").body("x").send().await.expect_status(200).await;
    let head = s3.head("/source/k").query("versionId", &version(&put)).send().await;
    assert_eq!(head.header("x-amz-replication-status"), None);
}
