//! Quotas of buckets.

use std::time::Duration;

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::cluster::{Cluster, Options};

const LIMIT: Duration = Duration::from_secs(15);
const KB: u64 = 1000;

/// Waits until the bucket is known to hold so much.
async fn holds(cluster: &Cluster, bytes: u64) {
    cluster
        .eventually("the sum of the bucket", LIMIT, || {
            let state = cluster.admin_json(&["bucket", "quota", "full"]);
            if state["used"] == bytes { Ok(()) } else { Err(state.to_string()) }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_bucket_takes_nothing_more_until_there_is_room() {
    let cluster = Options::new().quick_upkeep().up().await;
    let s3 = cluster.client();
    s3.make_bucket("full").await;
    s3.make_bucket("other").await;
    s3.put_content("/full/a", Content::new(1, 60 * KB)).await.expect("stored");
    let shown = cluster.admin_json(&["bucket", "quota", "full", "--bytes", "100kB"]);
    assert_eq!(shown["bytes"], 100 * KB);
    holds(&cluster, 60 * KB).await;

    let put = |path: &'static str, len| s3.put(path).content(Content::new(2, len));
    put("/full/b", 60 * KB).send().await.expect_error(403, "QuotaExceeded").await;
    put("/other/b", 60 * KB).send().await.expect_status(200).await;
    let copy = s3.put("/full/b").header("x-amz-copy-source", "/full/a");
    copy.send().await.expect_error(403, "QuotaExceeded").await;
    let append = put("/full/a", 60 * KB).header("x-amz-write-offset-bytes", "60000");
    append.send().await.expect_error(403, "QuotaExceeded").await;
    let upload = s3.create_upload("/full/mp").await;
    let part = s3.upload_part("/full/mp", &upload, 1, Content::new(3, 30 * KB)).await;
    put("/full/c", 30 * KB).send().await.expect_status(200).await;
    // Its part was taken in while there was room; there is none for the object.
    let complete = s3.complete_upload("/full/mp", &upload, &[(1, part.clone())]).await;
    assert_eq!((complete.status, complete.code().as_str()), (403, "QuotaExceeded"));
    s3.check_content("/full/a", Content::new(1, 60 * KB)).await.expect("as it was");

    s3.delete("/full/a").send().await.expect_status(204).await;
    holds(&cluster, 30 * KB).await;
    assert_eq!(s3.complete_upload("/full/mp", &upload, &[(1, part)]).await.status, 200);
    holds(&cluster, 60 * KB).await;
    put("/full/b", 60 * KB).send().await.expect_error(403, "QuotaExceeded").await;
    let shown = cluster.admin_json(&["bucket", "quota", "full", "--bytes", "none"]);
    assert!(shown["bytes"].is_null(), "{shown}");
    put("/full/b", 60 * KB).send().await.expect_status(200).await;
    assert!(!cluster.operate(&["admin", "bucket", "quota", "nothing"]).status.success());
}
