//! Inventories: lists of a bucket, written into another one.

use std::time::Duration;

use drystone_s3_tests::client::{Answer, Client};
use drystone_s3_tests::cluster::Options;
use tokio::time::{Instant, sleep};

/// How long a list may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

async fn want(s3: &Client, id: &str, encryption: &str) {
    let body = format!(
        "<InventoryConfiguration><Id>{id}</Id><IsEnabled>true</IsEnabled><IncludedObjectVersions>Current</IncludedObjectVersions>\
         <Schedule><Frequency>Daily</Frequency></Schedule><Destination><S3BucketDestination><Format>CSV</Format>\
         <Bucket>arn:aws:s3:::lists</Bucket>{encryption}</S3BucketDestination></Destination></InventoryConfiguration>"
    );
    let put = s3.put("/listed").query("inventory", "").query("id", id).body(body).send().await;
    assert!(put.status < 300, "{}", put.read().await.text);
}

/// HEAD of the first manifest of a list.
async fn manifest(s3: &Client, id: &str) -> Answer {
    let end = Instant::now() + PATIENCE;
    loop {
        let keys = s3.keys("lists").await;
        let mut of_list = keys.iter().filter(|key| key.starts_with(&format!("listed/{id}/")));
        if let Some(key) = of_list.find(|key| key.ends_with("/manifest.json")) {
            return s3.head(&format!("/lists/{key}")).send().await.expect_status(200).await;
        }
        assert!(Instant::now() < end, "no manifest of {id}: {keys:?}");
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_encrypted_as_its_bucket_does_by_default() {
    let cluster = Options::new().flag("--lifecycle-day", "10s").up().await;
    let s3 = cluster.client();
    s3.make_bucket("listed").await;
    s3.make_bucket("lists").await;
    s3.put("/listed/k").body("x").send().await.expect_status(200).await;
    want(&s3, "plain", "").await;
    let told = "x-amz-server-side-encryption";
    assert_eq!(manifest(&s3, "plain").await.header(told), None);
    want(&s3, "asked", "<Encryption><SSE-S3></SSE-S3></Encryption>").await;
    assert_eq!(manifest(&s3, "asked").await.header(told), Some("AES256"));

    let _ = cluster.admin(&["kms", "create", "lists"]);
    let default = "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
        <SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>lists</KMSMasterKeyID>\
        </ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>";
    let put = s3.put("/lists").query("encryption", "").body(default).send().await;
    assert!(put.status < 300, "{}", put.read().await.text);
    want(&s3, "kept", "").await;
    let manifest = manifest(&s3, "kept").await;
    assert_eq!(manifest.header(told), Some("aws:kms"));
}
