//! Checksums: verified before anything becomes visible, kept, and given back.

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::checksum::{Algorithm, base64, content_md5};
use drystone_s3_tests::client::{Client, Payload};
use drystone_s3_tests::cluster::Options;
use types::MIB;

#[tokio::test(flavor = "multi_thread")]
async fn every_checksum_is_verified_before_the_old_object_is_touched_and_given_back() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("sums").await;
    for algorithm in Algorithm::ALL {
        for content in [Content::new(1, 1000), Content::new(2, 300_000)] {
            single(&s3, algorithm, content).await;
        }
    }
    trailers(&s3).await;
    md5(&s3).await;
    composite(&s3).await;
    full_object(&s3).await;
}

async fn single(s3: &Client, algorithm: Algorithm, content: Content) {
    let (name, body) = (algorithm.header(), content.bytes());
    let (right, wrong) = (algorithm.of(&body), algorithm.of(b"another body"));
    let what = format!("{algorithm:?} of {} bytes", content.len);
    let put = s3
        .put("/sums/x")
        .header(name, &right)
        .body(body.clone())
        .send()
        .await
        .expect_status(200)
        .await;
    assert_eq!(put.header(name), Some(right.as_str()), "{what}");

    let other = s3.put("/sums/x").header(name, &wrong).body(body.clone()).send().await;
    other.expect_error(400, "BadDigest").await;
    let nonsense =
        s3.put("/sums/x").header(name, "not base64!").body(body.clone()).send().await.read().await;
    assert_eq!(nonsense.status, 400, "{what}: {}", nonsense.text);
    s3.check_content("/sums/x", content).await.unwrap_or_else(|error| panic!("{what}: {error}"));

    let plain = s3.head("/sums/x").send().await;
    assert_eq!(plain.header(name), None, "{what}: only who asks is told");
    let asked = s3.head("/sums/x").header("x-amz-checksum-mode", "ENABLED").send().await;
    assert_eq!(asked.header(name), Some(right.as_str()), "{what}");
    let got = s3
        .get("/sums/x")
        .header("x-amz-checksum-mode", "ENABLED")
        .send()
        .await
        .expect_status(200)
        .await;
    assert_eq!(got.header(name), Some(right.as_str()), "{what}");
    // A copy has it, too.
    s3.put("/sums/copy")
        .header("x-amz-copy-source", "/sums/x")
        .send()
        .await
        .expect_status(200)
        .await;
    let asked = s3.head("/sums/copy").header("x-amz-checksum-mode", "ENABLED").send().await;
    assert_eq!(asked.header(name), Some(right.as_str()), "{what}");
}

async fn trailers(s3: &Client) {
    for algorithm in Algorithm::ALL {
        for content in [Content::new(3, 500), Content::new(4, 200_000)] {
            let (name, body) = (algorithm.header(), content.bytes());
            let (right, wrong) = (algorithm.of(&body), algorithm.of(b"another body"));
            for make in [
                Payload::UnsignedTrailer as fn(usize, &'static str, String) -> Payload,
                Payload::ChunksTrailer,
            ] {
                let put = |value: &str| {
                    s3.put("/sums/trailer")
                        .payload(make(65_536, name, value.to_owned()))
                        .body(body.clone())
                        .header("x-amz-sdk-checksum-algorithm", &algorithm.name())
                };
                put(&right).send().await.expect_status(200).await;
                put(&wrong).send().await.expect_error(400, "BadDigest").await;
            }
            s3.check_content("/sums/trailer", content).await.unwrap();
            let head =
                s3.head("/sums/trailer").header("x-amz-checksum-mode", "ENABLED").send().await;
            assert_eq!(head.header(name), Some(right.as_str()), "{algorithm:?}");
        }
    }
}

async fn md5(s3: &Client) {
    for content in [Content::new(5, 700), Content::new(6, 100_000)] {
        let body = content.bytes();
        s3.put("/sums/md5")
            .header("content-md5", &content_md5(&body))
            .body(body.clone())
            .send()
            .await
            .expect_status(200)
            .await;
        let other = s3
            .put("/sums/md5")
            .header("content-md5", &content_md5(b"x"))
            .body(Content::new(7, content.len).bytes());
        other.send().await.expect_error(400, "BadDigest").await;
        let nonsense = s3.put("/sums/md5").header("content-md5", "rubbish").body(body).send().await;
        nonsense.expect_error(400, "InvalidDigest").await;
        s3.check_content("/sums/md5", content).await.unwrap();
    }
}

async fn upload(
    s3: &Client,
    algorithm: Algorithm,
    kind: &str,
) -> (String, Vec<(u32, String, String)>, [Content; 3]) {
    let create = s3
        .post("/sums/parts")
        .query("uploads", "")
        .header("x-amz-checksum-algorithm", &algorithm.name());
    let created = create.header("x-amz-checksum-type", kind).send().await.expect_status(200).await;
    assert_eq!(created.header("x-amz-checksum-algorithm"), Some(algorithm.name().as_str()));
    let upload = created.xml("UploadId").unwrap();
    let contents = [Content::new(1, 5 * MIB), Content::new(2, 6 * MIB), Content::new(3, 17)];
    let mut parts = Vec::new();
    for (number, content) in (1..).zip(contents) {
        let sum = algorithm.of(&content.bytes());
        let part = |value: &str| {
            let request = s3
                .put("/sums/parts")
                .query("partNumber", &u32::to_string(&number))
                .query("uploadId", &upload);
            request.content(content).header(algorithm.header(), value)
        };
        part(&algorithm.of(b"?")).send().await.expect_error(400, "BadDigest").await;
        let answer = part(&sum).send().await.expect_status(200).await;
        assert_eq!(answer.header(algorithm.header()), Some(sum.as_str()));
        parts.push((number, answer.header("etag").unwrap().to_owned(), sum));
    }
    (upload, parts, contents)
}

fn complete_body(algorithm: Algorithm, parts: &[(u32, String, String)]) -> String {
    let element = format!("Checksum{}", algorithm.name());
    let parts: String = parts
        .iter()
        .map(|(number, etag, sum)| {
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag><{element}>{sum}</{element}></Part>")
        })
        .collect();
    format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>")
}

async fn composite(s3: &Client) {
    for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Sha1, Algorithm::Sha256] {
        let (upload, parts, contents) = upload(s3, algorithm, "COMPOSITE").await;
        let sums: Vec<u8> =
            contents.iter().flat_map(|content| algorithm.raw(&content.bytes())).collect();
        let expected = format!("{}-3", base64(&algorithm.raw(&sums)));
        let mut wrong = parts.clone();
        wrong[1].2 = algorithm.of(b"?");
        let complete = |parts| {
            s3.post("/sums/parts").query("uploadId", &upload).body(complete_body(algorithm, parts))
        };
        complete(&wrong).send().await.expect_error(400, "InvalidPart").await;
        let done = complete(&parts).send().await.expect_status(200).await;
        assert_eq!(
            done.xml(&format!("Checksum{}", algorithm.name())),
            Some(expected.clone()),
            "{}",
            done.text
        );
        let head = s3.head("/sums/parts").header("x-amz-checksum-mode", "ENABLED").send().await;
        assert_eq!(head.header(algorithm.header()), Some(expected.as_str()), "{algorithm:?}");
        assert_eq!(head.header("x-amz-checksum-type"), Some("COMPOSITE"), "{algorithm:?}");
    }
}

async fn full_object(s3: &Client) {
    for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
        let (upload, parts, contents) = upload(s3, algorithm, "FULL_OBJECT").await;
        let whole: Vec<u8> = contents.iter().flat_map(Content::bytes).collect();
        let expected = algorithm.of(&whole);
        let complete = |value: &str| {
            let request = s3
                .post("/sums/parts")
                .query("uploadId", &upload)
                .header("x-amz-checksum-type", "FULL_OBJECT");
            request.header(algorithm.header(), value).body(complete_body(algorithm, &parts))
        };
        let refused = complete(&algorithm.of(b"?")).send().await.read().await;
        assert_eq!(refused.status, 400, "{algorithm:?}: {}", refused.text);
        complete(&expected).send().await.expect_status(200).await;
        let head = s3.head("/sums/parts").header("x-amz-checksum-mode", "ENABLED").send().await;
        assert_eq!(head.header(algorithm.header()), Some(expected.as_str()), "{algorithm:?}");
        assert_eq!(head.header("x-amz-checksum-type"), Some("FULL_OBJECT"), "{algorithm:?}");
        let attributes = s3
            .get("/sums/parts")
            .query("attributes", "")
            .header("x-amz-object-attributes", "Checksum,ObjectParts,ObjectSize");
        let attributes = attributes.send().await.expect_status(200).await;
        assert_eq!(attributes.xml("ObjectSize"), Some(whole.len().to_string()));
        assert_eq!(
            attributes.xml(&format!("Checksum{}", algorithm.name())),
            Some(expected),
            "{}",
            attributes.text
        );
        assert!(attributes.text.contains("PartsCount>3<"), "{}", attributes.text);
    }
}
