//! Objects under the customer's own key (SSE-C): nobody reads them without it.

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::checksum::{base64, content_md5};
use drystone_s3_tests::client::{Client, Request};
use drystone_s3_tests::cluster::Options;
use types::MIB;

/// Adds the three headers of a customer's key.
fn keyed(request: Request, prefix: &str, key: [u8; 32]) -> Request {
    request
        .header(&format!("{prefix}-algorithm"), "AES256")
        .header(&format!("{prefix}-key"), &base64(&key))
        .header(&format!("{prefix}-key-md5"), &content_md5(&key))
}

const OWN: &str = "x-amz-server-side-encryption-customer";
const SOURCE: &str = "x-amz-copy-source-server-side-encryption-customer";

#[tokio::test(flavor = "multi_thread")]
async fn an_object_under_a_customers_key_is_read_with_that_key_and_no_other() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("own").await;
    for content in [Content::new(1, 900), Content::new(2, 1_000_000)] {
        single(&s3, content).await;
    }
    multipart(&s3).await;
}

async fn single(s3: &Client, content: Content) {
    let (key, other) = ([3; 32], [4; 32]);
    let put =
        keyed(s3.put("/own/x").content(content), OWN, key).send().await.expect_status(200).await;
    assert_eq!(put.header(&format!("{OWN}-algorithm")), Some("AES256"));
    assert_eq!(put.header(&format!("{OWN}-key-md5")), Some(content_md5(&key).as_str()));
    let got = keyed(s3.get("/own/x"), OWN, key).send().await;
    assert_eq!(got.status, 200);
    got.check(content, 0..content.len).await.unwrap();
    let ranged = keyed(s3.get("/own/x").header("range", "bytes=100-199"), OWN, key).send().await;
    ranged.check(content, 100..200).await.unwrap();
    keyed(s3.head("/own/x"), OWN, key).send().await.expect_status(200).await;

    s3.get("/own/x").send().await.expect_error(400, "InvalidRequest").await;
    s3.head("/own/x").send().await.expect_status(400).await;
    let wrong = keyed(s3.get("/own/x"), OWN, other).send().await.read().await;
    assert!(wrong.status == 403 || wrong.status == 400, "{} {}", wrong.status, wrong.text);
    let lying = s3
        .get("/own/x")
        .header(&format!("{OWN}-algorithm"), "AES256")
        .header(&format!("{OWN}-key"), &base64(&key));
    lying
        .header(&format!("{OWN}-key-md5"), &content_md5(&other))
        .send()
        .await
        .expect_status(400)
        .await;
    let algorithm = s3
        .put("/own/y")
        .header(&format!("{OWN}-algorithm"), "ROT13")
        .header(&format!("{OWN}-key"), &base64(&key));
    algorithm
        .header(&format!("{OWN}-key-md5"), &content_md5(&key))
        .body("x")
        .send()
        .await
        .expect_status(400)
        .await;
    let short = s3
        .put("/own/y")
        .header(&format!("{OWN}-algorithm"), "AES256")
        .header(&format!("{OWN}-key"), &base64(&key[..31]));
    short
        .header(&format!("{OWN}-key-md5"), &content_md5(&key[..31]))
        .body("x")
        .send()
        .await
        .expect_status(400)
        .await;

    // From one key to another, to none, and from none to a key.
    let rekey = keyed(
        keyed(s3.put("/own/rekeyed").header("x-amz-copy-source", "/own/x"), SOURCE, key),
        OWN,
        other,
    );
    rekey.send().await.expect_status(200).await;
    keyed(s3.get("/own/rekeyed"), OWN, other)
        .send()
        .await
        .check(content, 0..content.len)
        .await
        .unwrap();
    let bare = keyed(s3.put("/own/bare").header("x-amz-copy-source", "/own/x"), SOURCE, key);
    bare.send().await.expect_status(200).await;
    s3.check_content("/own/bare", content).await.unwrap();
    let back = keyed(s3.put("/own/back").header("x-amz-copy-source", "/own/bare"), OWN, other);
    back.send().await.expect_status(200).await;
    keyed(s3.get("/own/back"), OWN, other)
        .send()
        .await
        .check(content, 0..content.len)
        .await
        .unwrap();
    let keyless =
        s3.put("/own/none").header("x-amz-copy-source", "/own/x").send().await.read().await;
    assert_eq!(keyless.status, 400, "{}", keyless.text);
    // A key for an object that has none is refused, too.
    keyed(s3.get("/own/bare"), OWN, key).send().await.expect_status(400).await;
}

async fn multipart(s3: &Client) {
    let (key, contents) = ([9; 32], [Content::new(1, 5 * MIB), Content::new(2, 70_000)]);
    let created = keyed(s3.post("/own/mp").query("uploads", ""), OWN, key)
        .send()
        .await
        .expect_status(200)
        .await;
    let upload = created.xml("UploadId").unwrap();
    let part = |number: u32, content| {
        s3.put("/own/mp")
            .query("partNumber", &number.to_string())
            .query("uploadId", &upload)
            .content(content)
    };
    let small = Content::new(1, 100);
    part(1, small).send().await.expect_status(400).await;
    keyed(part(1, small), OWN, [8; 32]).send().await.expect_status(400).await;
    let mut parts = Vec::new();
    for (number, content) in (1..).zip(contents) {
        let answer = keyed(part(number, content), OWN, key).send().await.expect_status(200).await;
        parts.push((number, answer.header("etag").unwrap().to_owned()));
    }
    // The object will carry a checksum, and then S3 asks for the key at Complete too.
    let complete = || s3.complete_request("/own/mp", &upload, &parts);
    complete().send().await.expect_error(400, "InvalidRequest").await;
    keyed(complete(), OWN, [8; 32]).send().await.expect_error(400, "InvalidRequest").await;
    let done = keyed(complete(), OWN, key).send().await.expect_status(200).await;
    assert_eq!(done.header(&format!("{OWN}-key-md5")), Some(content_md5(&key).as_str()));
    let got = keyed(s3.get("/own/mp"), OWN, key).send().await.expect_status(200).await;
    assert!(got.bytes == [contents[0].bytes(), contents[1].bytes()].concat());
    s3.get("/own/mp").send().await.expect_status(400).await;
}
