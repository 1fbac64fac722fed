//! Tags of objects and buckets.

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::client::{Client, Request};
use drystone_s3_tests::cluster::Options;

pub(super) fn tagging(s3: &Client, path: &str, tags: &[(&str, &str)]) -> Request {
    let tags: String = tags
        .iter()
        .map(|(key, value)| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>"))
        .collect();
    let body = format!("<Tagging><TagSet>{tags}</TagSet></Tagging>");
    s3.put(path).query("tagging", "").body(body)
}

pub(super) async fn tags_of(s3: &Client, path: &str) -> Vec<(String, String)> {
    let read = s3.get(path).query("tagging", "").send().await.expect_status(200).await;
    read.all("Key").into_iter().zip(read.all("Value")).collect()
}

fn owned(tags: &[(&str, &str)]) -> Vec<(String, String)> {
    tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_come_with_an_object_change_and_go() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("tags").await;
    s3.put("/tags/k")
        .body("x")
        .header("x-amz-tagging", "foo=bar&bar")
        .send()
        .await
        .expect_status(200)
        .await;
    assert_eq!(tags_of(&s3, "/tags/k").await, owned(&[("bar", ""), ("foo", "bar")]));
    let head = s3.head("/tags/k").send().await.expect_status(200).await;
    assert_eq!(head.header("x-amz-tagging-count"), Some("2"));

    // A copy takes tags over or gets its own.
    s3.put("/tags/copy")
        .header("x-amz-copy-source", "/tags/k")
        .send()
        .await
        .expect_status(200)
        .await;
    assert_eq!(tags_of(&s3, "/tags/copy").await.len(), 2);
    let own = s3.put("/tags/own").header("x-amz-copy-source", "/tags/k");
    let own = own.header("x-amz-tagging-directive", "REPLACE").header("x-amz-tagging", "a=b");
    own.send().await.expect_status(200).await;
    assert_eq!(tags_of(&s3, "/tags/own").await, owned(&[("a", "b")]));
    let begun = s3.post("/tags/mp").query("uploads", "").header("x-amz-tagging", "m=p");
    let upload = begun.send().await.expect_status(200).await.xml("UploadId").expect("an id");
    let part = s3.upload_part("/tags/mp", &upload, 1, Content::new(1, 100_000)).await;
    assert_eq!(s3.complete_upload("/tags/mp", &upload, &[(1, part)]).await.status, 200);
    assert_eq!(tags_of(&s3, "/tags/mp").await, owned(&[("m", "p")]));

    tagging(&s3, "/tags/k", &[("new", "one")]).send().await.expect_status(200).await;
    assert_eq!(tags_of(&s3, "/tags/k").await, owned(&[("new", "one")]));
    let many: Vec<String> = (0..11).map(|number| number.to_string()).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|key| (key.as_str(), "")).collect();
    tagging(&s3, "/tags/k", &many).send().await.expect_error(400, "InvalidTag").await;
    tagging(&s3, "/tags/k", &[("a", "1"), ("a", "2")])
        .send()
        .await
        .expect_error(400, "InvalidTag")
        .await;
    assert_eq!(tags_of(&s3, "/tags/k").await, owned(&[("new", "one")]));
    s3.delete("/tags/k").query("tagging", "").send().await.expect_status(204).await;
    assert_eq!(tags_of(&s3, "/tags/k").await, []);
    s3.get("/tags/none").query("tagging", "").send().await.expect_error(404, "NoSuchKey").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_version_has_its_own_tags_and_a_bucket_has_its() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("tags").await;
    super::versioning::set_versioning(&s3, "tags", "Enabled").await;
    let one = s3.put("/tags/k").body("1").header("x-amz-tagging", "v=1").send().await;
    let one = one.expect_status(200).await.header("x-amz-version-id").expect("an id").to_owned();
    s3.put("/tags/k")
        .body("2")
        .header("x-amz-tagging", "v=2")
        .send()
        .await
        .expect_status(200)
        .await;
    let changed = tagging(&s3, "/tags/k", &[("v", "one")]).query("versionId", &one);
    let changed = changed.send().await.expect_status(200).await;
    assert_eq!(changed.header("x-amz-version-id"), Some(one.as_str()));
    assert_eq!(tags_of(&s3, "/tags/k").await, owned(&[("v", "2")]));
    let read = s3.get("/tags/k").query("tagging", "").query("versionId", &one);
    assert_eq!(read.send().await.expect_status(200).await.xml("Value").as_deref(), Some("one"));

    s3.get("/tags").query("tagging", "").send().await.expect_error(404, "NoSuchTagSet").await;
    tagging(&s3, "/tags", &[("Hello", "World")]).send().await.expect_status(200).await;
    assert_eq!(tags_of(&s3, "/tags").await, owned(&[("Hello", "World")]));
    s3.delete("/tags").query("tagging", "").send().await.expect_status(204).await;
    s3.get("/tags").query("tagging", "").send().await.expect_error(404, "NoSuchTagSet").await;
}
