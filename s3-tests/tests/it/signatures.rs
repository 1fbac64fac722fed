//! Signature version 4 in all its forms, and what is refused.

use std::time::Duration;

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::client::{Client, Payload};
use drystone_s3_tests::cluster::Options;

#[tokio::test(flavor = "multi_thread")]
async fn only_whoever_knows_the_secret_gets_in_whatever_the_form_of_the_signature() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("signed").await;
    payloads(&s3).await;
    presigned(&s3).await;
    refused(&s3).await;
}

async fn payloads(s3: &Client) {
    for content in [
        Content::new(1, 0),
        Content::new(2, 100),
        Content::new(3, 200_001),
        Content::new(4, 2_000_000),
    ] {
        for payload in [
            Payload::Unsigned,
            Payload::Signed,
            Payload::Chunks(8192),
            Payload::Chunks(65_536),
            Payload::Chunks(1 << 20),
        ] {
            let put = s3
                .put("/signed/x")
                .header("content-type", "a/b")
                .payload(payload.clone())
                .body(content.bytes());
            put.send().await.expect_status(200).await;
            let got = s3.get("/signed/x").send().await;
            assert_eq!(got.header("content-type"), Some("a/b"));
            assert_eq!(
                got.header("content-encoding"),
                None,
                "aws-chunked is a framing, not the object's encoding"
            );
            got.check(content, 0..content.len)
                .await
                .unwrap_or_else(|error| panic!("{payload:?}: {error}"));
        }
    }
    // The body is changed after it was signed: nothing of it may stay.
    let old = Content::new(4, 2_000_000);
    for payload in [Payload::Signed, Payload::Chunks(65_536)] {
        // One byte within the data; the framing stays as it was.
        let forged =
            s3.put("/signed/x").payload(payload.clone()).body(Content::new(9, 300_000).bytes());
        let answer = forged.spoilt_bytes(|bytes| bytes[150_000] ^= 1).send().await.read().await;
        let code = answer.code();
        assert!(
            (answer.status == 403 && code == "SignatureDoesNotMatch")
                || (answer.status == 400 && code == "XAmzContentSHA256Mismatch"),
            "{payload:?}: {} {}",
            answer.status,
            answer.text
        );
        s3.check_content("/signed/x", old).await.unwrap();
    }
}

async fn presigned(s3: &Client) {
    let content = Content::new(5, 400_000);
    s3.put("/signed/a b+ü").presigned(60).content(content).send().await.expect_status(200).await;
    let got =
        s3.get("/signed/a b+ü").query("response-content-type", "x/y").presigned(60).send().await;
    assert_eq!((got.status, got.header("content-type")), (200, Some("x/y")));
    got.check(content, 0..content.len).await.unwrap();
    let ranged = s3.get("/signed/a b+ü").presigned(60).spoilt(|request| {
        request.headers_mut().insert("range", "bytes=5-9".parse().expect("a header's value"));
    });
    ranged.send().await.check(content, 5..10).await.unwrap();

    let expired =
        s3.get("/signed/a b+ü").presigned(60).earlier(Duration::from_secs(120)).send().await;
    expired.expect_error(403, "AccessDenied").await;
    let too_long = s3.get("/signed/a b+ü").presigned(8 * 86_400).send().await.read().await;
    assert!([400, 403].contains(&too_long.status), "no longer than a week: {}", too_long.text);
    for (what, tamper) in
        [("another key", ("/signed/", "/signed/x")), ("longer", ("Expires=60", "Expires=61"))]
    {
        let request = s3.get("/signed/a b+ü").presigned(60).spoilt(move |request| {
            let uri = request.uri().to_string().replace(tamper.0, tamper.1);
            *request.uri_mut() = uri.parse().expect("a URI");
        });
        let answer = request.send().await.read().await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (403, "SignatureDoesNotMatch"),
            "{what}"
        );
    }
    let other = s3
        .put("/signed/a b+ü")
        .presigned(60)
        .content(content)
        .spoilt(|request| *request.method_mut() = http::Method::DELETE);
    other.send().await.expect_error(403, "SignatureDoesNotMatch").await;
}

async fn refused(s3: &Client) {
    let secret = s3.with_secret("not the secret");
    secret.get("/signed/x").send().await.expect_error(403, "SignatureDoesNotMatch").await;
    secret
        .get("/signed/x")
        .presigned(60)
        .send()
        .await
        .expect_error(403, "SignatureDoesNotMatch")
        .await;
    secret
        .put("/signed/x")
        .content(Content::new(6, 100_000))
        .send()
        .await
        .expect_error(403, "SignatureDoesNotMatch")
        .await;
    s3.with_access("AKIDNOBODY0000000000")
        .get("/signed/x")
        .send()
        .await
        .expect_error(403, "InvalidAccessKeyId")
        .await;
    s3.get("/signed/x").anonymous().send().await.expect_error(403, "AccessDenied").await;
    s3.put("/signed/x").anonymous().body("x").send().await.expect_error(403, "AccessDenied").await;
    for by in [Duration::from_secs(16 * 60), Duration::from_secs(86_400)] {
        s3.get("/signed/x")
            .earlier(by)
            .send()
            .await
            .expect_error(403, "RequestTimeTooSkewed")
            .await;
    }
    let header = s3.get("/signed/x").header("x-amz-meta-a", "1").spoilt(|request| {
        request.headers_mut().insert("x-amz-meta-a", "2".parse().expect("a header's value"));
    });
    header.send().await.expect_error(403, "SignatureDoesNotMatch").await;
    let removed = s3.get("/signed/x").spoilt(|request| {
        request
            .headers_mut()
            .insert("authorization", "AWS4-HMAC-SHA256 rubbish".parse().expect("a header's value"));
    });
    let removed = removed.send().await.read().await;
    assert!([400, 403].contains(&removed.status), "{}", removed.text);
    s3.check_content("/signed/x", Content::new(4, 2_000_000)).await.unwrap();
}
