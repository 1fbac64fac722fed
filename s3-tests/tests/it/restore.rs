//! RestoreObject: classes whose objects can be read only while they are restored.

use std::time::Duration;

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::client::{Client, Request};
use drystone_s3_tests::cluster::Options;

const LIMIT: Duration = Duration::from_secs(15);

fn restore(s3: &Client, path: &str, days: &str) -> Request {
    let body = format!(
        "<RestoreRequest><Days>{days}</Days><GlacierJobParameters><Tier>Standard</Tier></GlacierJobParameters></RestoreRequest>"
    );
    s3.post(path).query("restore", "").body(body)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_object_is_read_while_it_is_restored() {
    let cluster = Options::new()
        .flag("--storage-class", "GLACIER=local")
        .flag("--storage-class", "STANDARD_IA=local")
        .flag("--archive-class", "GLACIER")
        .flag("--lifecycle-day", "3s")
        .up()
        .await;
    let s3 = cluster.client();
    s3.make_bucket("cold").await;
    let content = Content::new(1, 100_000);
    for (key, class) in [("frozen", "GLACIER"), ("cool", "STANDARD_IA")] {
        let put = s3.put(&format!("/cold/{key}")).content(content);
        put.header("x-amz-storage-class", class).send().await.expect_status(200).await;
    }
    s3.check_content("/cold/cool", content).await.expect("readable at once");
    let refused = restore(&s3, "/cold/cool", "1").send().await;
    refused.expect_error(403, "InvalidObjectState").await;

    s3.get("/cold/frozen").send().await.expect_error(403, "InvalidObjectState").await;
    let copy = s3.put("/cold/copy").header("x-amz-copy-source", "/cold/frozen");
    copy.send().await.expect_error(403, "InvalidObjectState").await;
    let head = s3.head("/cold/frozen").send().await.expect_status(200).await;
    assert_eq!(head.header("x-amz-storage-class"), Some("GLACIER"));
    assert_eq!(head.header("x-amz-restore"), None);
    let stranger = restore(&s3, "/cold/frozen", "1").anonymous().send().await;
    stranger.expect_error(403, "AccessDenied").await;
    restore(&s3, "/cold/frozen", "0").send().await.expect_error(400, "InvalidArgument").await;
    restore(&s3, "/cold/none", "1").send().await.expect_error(404, "NoSuchKey").await;

    restore(&s3, "/cold/frozen", "1").send().await.expect_status(202).await;
    s3.check_content("/cold/frozen", content).await.expect("readable");
    let head = s3.head("/cold/frozen").send().await.expect_status(200).await;
    let told = head.header("x-amz-restore").expect("told").to_owned();
    assert!(told.starts_with("ongoing-request=\"false\", expiry-date=\""), "{told}");
    restore(&s3, "/cold/frozen", "2").send().await.expect_status(200).await;
    for version in ["1", "2"] {
        let list = || s3.get("/cold").query("list-type", version);
        let plain = list().send().await.expect_status(200).await;
        assert_eq!(plain.xml("RestoreStatus"), None, "nobody asked");
        let asked = list().header("x-amz-optional-object-attributes", "RestoreStatus");
        let asked = asked.send().await.expect_status(200).await;
        assert_eq!(asked.all("IsRestoreInProgress"), ["false"], "{}", asked.text);
        assert_eq!(asked.all("RestoreExpiryDate").len(), 1, "of the archived one alone");
    }

    // Its days pass.
    let until = tokio::time::Instant::now() + LIMIT;
    loop {
        let read = s3.get("/cold/frozen").send().await.read().await;
        if read.status == 403 {
            assert_eq!(read.code(), "InvalidObjectState");
            break;
        }
        assert!(tokio::time::Instant::now() < until, "still restored: {}", read.status);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    restore(&s3, "/cold/frozen", "1").send().await.expect_status(202).await;
}
