//! Buckets: made, found, listed, removed.

use drystone_s3_tests::cluster::Options;
use drystone_s3_tests::xml;

#[tokio::test(flavor = "multi_thread")]
async fn buckets_are_made_found_listed_and_removed() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();

    assert_eq!(s3.get("/").send().await.expect_status(200).await.all("Name"), Vec::<String>::new());
    let made = s3.put("/first-bucket").send().await.expect_status(200).await;
    assert_eq!(made.header("location"), Some("/first-bucket"));
    s3.make_bucket("a.second.bucket").await;
    let list = s3.get("/").send().await.expect_status(200).await;
    assert_eq!(
        list.all("Name"),
        ["a.second.bucket", "first-bucket"],
        "in the order of their names"
    );
    assert_eq!(list.all("CreationDate").len(), 2);

    // In us-east-1 AWS takes making one's own bucket again for a success.
    s3.put("/first-bucket").send().await.expect_status(200).await;
    s3.head("/first-bucket").send().await.expect_status(200).await;
    s3.head("/no-such-bucket").send().await.expect_status(404).await;
    let location =
        s3.get("/first-bucket").query("location", "").send().await.expect_status(200).await;
    assert!(location.text.contains("LocationConstraint"), "{}", location.text);

    for bad in ["Upper", "ab", "under_score", "-dash", "dot..dot", "192.168.1.1", &"x".repeat(64)] {
        s3.put(&format!("/{bad}")).send().await.expect_error(400, "InvalidBucketName").await;
    }
    s3.get("/no-such-bucket")
        .query("list-type", "2")
        .send()
        .await
        .expect_error(404, "NoSuchBucket")
        .await;
    s3.get("/no-such-bucket/key").send().await.expect_error(404, "NoSuchBucket").await;
    s3.put("/no-such-bucket/key").body("x").send().await.expect_error(404, "NoSuchBucket").await;
    s3.delete("/no-such-bucket").send().await.expect_error(404, "NoSuchBucket").await;

    s3.put("/first-bucket/key").body("x").send().await.expect_status(200).await;
    s3.delete("/first-bucket").send().await.expect_error(409, "BucketNotEmpty").await;
    s3.delete("/first-bucket/key").send().await.expect_status(204).await;
    s3.delete("/first-bucket").send().await.expect_status(204).await;
    s3.head("/first-bucket").send().await.expect_status(404).await;
    let list = s3.get("/").send().await.expect_status(200).await;
    assert_eq!(xml::texts(&list.text, "Name"), ["a.second.bucket"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_can_be_the_host_name_and_what_is_not_built_yet_says_so() {
    let cluster = Options::new().flag("--domain", "s3.drystone.test").up().await;
    let s3 = cluster.client();
    s3.make_bucket("virtual").await;
    s3.put("/virtual/a key").body("by path").send().await.expect_status(200).await;

    let hosted = s3.with_host("virtual.s3.drystone.test");
    assert_eq!(hosted.get("/a key").send().await.expect_status(200).await.text, "by path");
    hosted.put("/another").body("by host").send().await.expect_status(200).await;
    assert_eq!(s3.get("/virtual/another").send().await.expect_status(200).await.text, "by host");
    assert_eq!(
        hosted.get("/").query("list-type", "2").send().await.expect_status(200).await.all("Key"),
        ["a key", "another"]
    );

    for later in ["abac", "metadataTable", "metadataConfiguration"] {
        let answer = s3.get("/virtual").query(later, "").send().await.read().await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (501, "NotImplemented"),
            "{later}: {}",
            answer.text
        );
    }
    s3.get("/virtual")
        .query("list-type", "2")
        .anonymous()
        .send()
        .await
        .expect_error(403, "AccessDenied")
        .await;
}
