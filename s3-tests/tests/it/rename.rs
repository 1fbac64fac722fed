//! RenameObject: another key, in one step.

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::client::{Client, Request};
use drystone_s3_tests::cluster::Options;

fn rename(s3: &Client, source: &str, target: &str) -> Request {
    let request = s3.put(&format!("/moves/{target}")).query("renameObject", "");
    request.header("x-amz-rename-source", source)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_moves_to_its_new_name_with_all_it_has() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("moves").await;
    let content = Content::new(1, 300_000);
    let put = s3.put("/moves/a b").content(content).header("x-amz-meta-kept", "yes");
    put.header("x-amz-tagging", "t=1").send().await.expect_status(200).await;
    let before = s3.head("/moves/a b").send().await.expect_status(200).await;

    rename(&s3, "a%20b", "dir/c").send().await.expect_status(200).await;
    s3.get("/moves/a b").send().await.expect_error(404, "NoSuchKey").await;
    s3.check_content("/moves/dir/c", content).await.expect("the bytes");
    let after = s3.head("/moves/dir/c").send().await.expect_status(200).await;
    for name in ["etag", "last-modified", "x-amz-meta-kept", "x-amz-tagging-count"] {
        assert_eq!(after.header(name), before.header(name), "{name}");
    }

    // Conditions on both names.
    let etag = after.header("etag").expect("a tag").to_owned();
    s3.put("/moves/there").body("small").send().await.expect_status(200).await;
    let refused = [
        rename(&s3, "dir/c", "there").header("if-none-match", "*"),
        rename(&s3, "dir/c", "there").header("if-match", "\"other\""),
        rename(&s3, "dir/c", "nothing").header("if-match", "\"other\""),
        rename(&s3, "dir/c", "d").header("x-amz-rename-source-if-match", "\"other\""),
        rename(&s3, "dir/c", "d").header("x-amz-rename-source-if-none-match", &etag),
    ];
    for request in refused {
        request.send().await.expect_error(412, "PreconditionFailed").await;
    }
    rename(&s3, "none", "d").send().await.expect_error(404, "NoSuchKey").await;
    rename(&s3, "dir/c", "dir/c").send().await.expect_error(400, "InvalidRequest").await;
    let replace = rename(&s3, "dir/c", "there").header("x-amz-rename-source-if-match", &etag);
    replace.send().await.expect_status(200).await;
    s3.check_content("/moves/there", content).await.expect("the bytes");

    // Sent again under its token it was done; under the same token nothing else can be.
    let token = |request: Request| request.header("x-amz-client-token", "once-1");
    token(rename(&s3, "there", "x")).send().await.expect_status(200).await;
    token(rename(&s3, "there", "x")).send().await.expect_status(200).await;
    let other = token(rename(&s3, "x", "y")).send().await;
    other.expect_error(400, "IdempotencyParameterMismatch").await;
    s3.check_content("/moves/x", content).await.expect("the bytes");

    // Names that cross many times end with both objects there.
    s3.put("/moves/small").body("small").send().await.expect_status(200).await;
    let crossing = (0..10).map(|_| async {
        let there = rename(&s3, "x", "z").send().await.read().await.status;
        let back = rename(&s3, "z", "x").send().await.read().await.status;
        assert!([there, back].iter().all(|status| [200, 404, 503].contains(status)));
    });
    futures::future::join_all(crossing).await;
    let listed = s3.get("/moves").send().await.expect_status(200).await.all("Key");
    assert_eq!(listed.len(), 2, "{listed:?}");

    // It needs the rights to read and to delete, and a bucket without versions.
    rename(&s3, "x", "y").anonymous().send().await.expect_error(403, "AccessDenied").await;
    let versioning = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let enable = s3.put("/moves").query("versioning", "").body(versioning);
    enable.send().await.expect_status(200).await;
    rename(&s3, &listed[0], "y").send().await.expect_error(400, "InvalidRequest").await;
    let _ = cluster.admin(&["fsck"]);
}
