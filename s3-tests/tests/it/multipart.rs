//! Multipart uploads: parts in any order, over each other, copied, listed, completed, aborted.

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::checksum::content_md5;
use drystone_s3_tests::client::Client;
use drystone_s3_tests::cluster::Options;
use drystone_s3_tests::xml;
use md5::{Digest, Md5};
use types::MIB;

#[tokio::test(flavor = "multi_thread")]
async fn a_multipart_upload_becomes_one_object_with_the_parts_bytes_in_order() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("parts").await;
    complete(&s3).await;
    copied_parts(&s3).await;
    refused(&s3).await;
    listed_and_aborted(&s3).await;
    conditional(&s3).await;
}

async fn complete(s3: &Client) {
    let request = s3
        .post("/parts/big")
        .query("uploads", "")
        .header("x-amz-meta-kind", "multipart")
        .header("content-type", "a/b");
    let upload = request.send().await.expect_status(200).await.xml("UploadId").unwrap();
    // A part may be sent again; the last one counts. Parts may come in any order and with gaps.
    s3.upload_part("/parts/big", &upload, 2, Content::new(99, 6 * MIB)).await;
    let contents = [
        (2, Content::new(2, 5 * MIB)),
        (7, Content::new(7, 5 * MIB + 1)),
        (9, Content::new(9, 33 * MIB)),
        (10_000, Content::new(10, 1)),
    ];
    let mut parts = Vec::new();
    for &(number, content) in contents.iter().rev() {
        parts.push((number, s3.upload_part("/parts/big", &upload, number, content).await));
    }
    parts.reverse();
    s3.head("/parts/big").send().await.expect_status(404).await;
    let listed = s3
        .get("/parts/big")
        .query("uploadId", &upload)
        .query("max-parts", "2")
        .send()
        .await
        .expect_status(200)
        .await;
    assert_eq!(listed.all("PartNumber"), ["2", "7"]);
    assert_eq!(
        (listed.xml("IsTruncated").as_deref(), listed.xml("NextPartNumberMarker").as_deref()),
        (Some("true"), Some("7"))
    );
    let rest = s3
        .get("/parts/big")
        .query("uploadId", &upload)
        .query("part-number-marker", "7")
        .send()
        .await
        .expect_status(200)
        .await;
    assert_eq!(rest.all("PartNumber"), ["9", "10000"]);
    assert_eq!(rest.all("Size"), [(33 * MIB).to_string(), "1".to_owned()]);

    let done = s3.complete_upload("/parts/big", &upload, &parts).await;
    assert_eq!(done.status, 200, "{}", done.text);
    let md5s: Vec<u8> =
        contents.iter().flat_map(|(_, content)| Md5::digest(content.bytes())).collect();
    let etag = format!("\"{}-4\"", hex::encode(Md5::digest(md5s)));
    assert_eq!(done.xml("ETag").as_deref(), Some(etag.as_str()));
    // A repeated Complete is answered like the first.
    let again = s3.complete_upload("/parts/big", &upload, &parts).await;
    assert_eq!((again.status, again.xml("ETag")), (200, Some(etag.clone())), "{}", again.text);

    let whole: Vec<u8> = contents.iter().flat_map(|(_, content)| content.bytes()).collect();
    let got = s3.get("/parts/big").send().await.expect_status(200).await;
    assert!(got.bytes == whole, "the object is not its parts in order");
    assert_eq!(
        (got.header("etag"), got.header("x-amz-meta-kind"), got.header("content-type")),
        (Some(etag.as_str()), Some("multipart"), Some("a/b"))
    );
    for range in [
        5 * MIB - 3..5 * MIB + 3,
        10 * MIB - 1..10 * MIB + 2,
        0..43 * MIB + 2,
        43 * MIB..43 * MIB + 2,
        20 * MIB..40 * MIB,
    ] {
        let header = format!("bytes={}-{}", range.start, range.end - 1);
        let got =
            s3.get("/parts/big").header("range", &header).send().await.expect_status(206).await;
        assert!(got.bytes == whole[range.start as usize..range.end as usize], "{header}");
    }
    let mut offset = 0;
    for (number, content) in &contents {
        let part = s3.get("/parts/big").query("partNumber", &number.to_string()).send().await;
        assert_eq!((part.status, part.header("x-amz-mp-parts-count")), (206, Some("4")));
        let range = format!("bytes {offset}-{}/{}", offset + content.len - 1, whole.len());
        assert_eq!(part.header("content-range"), Some(range.as_str()));
        part.check(*content, 0..content.len).await.unwrap();
        offset += content.len;
    }
    let none = s3.get("/parts/big").query("partNumber", "5").send().await.read().await;
    assert!([400, 416].contains(&none.status), "there is no part 5: {}", none.text);
    // A copy of it shares its bytes and has an MD5 of its own, as on AWS, or keeps the ETag; what counts is the content.
    s3.put("/parts/copy")
        .header("x-amz-copy-source", "/parts/big")
        .send()
        .await
        .expect_status(200)
        .await;
    s3.delete("/parts/big").send().await.expect_status(204).await;
    assert!(s3.get("/parts/copy").send().await.expect_status(200).await.bytes == whole);
}

async fn copied_parts(s3: &Client) {
    let source = Content::new(50, 12 * MIB);
    s3.put_content("/parts/source", source).await.unwrap();
    let upload = s3.create_upload("/parts/copied").await;
    let mut parts = Vec::new();
    for (number, range) in
        [(1, None), (2, Some(1..6 * MIB + 1)), (3, Some(12 * MIB - 10..12 * MIB))]
    {
        let mut request = s3
            .put("/parts/copied")
            .query("partNumber", &number.to_string())
            .query("uploadId", &upload);
        request = request.header("x-amz-copy-source", "parts/source");
        if let Some(range) = range {
            request = request.header(
                "x-amz-copy-source-range",
                &format!("bytes={}-{}", range.start, range.end - 1),
            );
        }
        parts.push((number, request.send().await.expect_status(200).await.xml("ETag").unwrap()));
    }
    let beyond = s3
        .put("/parts/copied")
        .query("partNumber", "4")
        .query("uploadId", &upload)
        .header("x-amz-copy-source", "parts/source");
    let beyond = beyond
        .header("x-amz-copy-source-range", &format!("bytes=0-{}", 12 * MIB))
        .send()
        .await
        .read()
        .await;
    assert!([400, 416].contains(&beyond.status), "{}", beyond.text);
    let done = s3.complete_upload("/parts/copied", &upload, &parts).await;
    assert_eq!(done.status, 200, "{}", done.text);
    let expected =
        [source.bytes(), source.range(1..6 * MIB + 1), source.range(12 * MIB - 10..12 * MIB)]
            .concat();
    s3.delete("/parts/source").send().await.expect_status(204).await;
    assert!(s3.get("/parts/copied").send().await.expect_status(200).await.bytes == expected);
}

async fn refused(s3: &Client) {
    let upload = s3.create_upload("/parts/refused").await;
    let small = s3.upload_part("/parts/refused", &upload, 1, Content::new(1, 100)).await;
    let last = s3.upload_part("/parts/refused", &upload, 2, Content::new(2, 100)).await;
    let code = |answer: drystone_s3_tests::client::Answer| (answer.status, answer.code());
    let too_small = s3
        .complete_upload("/parts/refused", &upload, &[(1, small.clone()), (2, last.clone())])
        .await;
    assert_eq!(code(too_small), (400, "EntityTooSmall".into()));
    let order = s3
        .complete_upload("/parts/refused", &upload, &[(2, last.clone()), (1, small.clone())])
        .await;
    assert_eq!(code(order), (400, "InvalidPartOrder".into()));
    let wrong = s3
        .complete_upload(
            "/parts/refused",
            &upload,
            &[(1, "\"00000000000000000000000000000000\"".into())],
        )
        .await;
    assert_eq!(code(wrong), (400, "InvalidPart".into()));
    let missing = s3
        .complete_upload("/parts/refused", &upload, &[(1, small.clone()), (3, small.clone())])
        .await;
    assert_eq!(code(missing), (400, "InvalidPart".into()));
    let nothing = s3.complete_upload("/parts/refused", &upload, &[]).await;
    assert_eq!(code(nothing), (400, "MalformedXML".into()));
    let unknown =
        s3.complete_upload("/parts/refused", "no-such-upload", &[(1, small.clone())]).await;
    assert_eq!(code(unknown), (404, "NoSuchUpload".into()));
    for number in ["0", "10001", "x"] {
        let part = s3
            .put("/parts/refused")
            .query("partNumber", number)
            .query("uploadId", &upload)
            .body("x")
            .send()
            .await;
        part.expect_error(400, "InvalidArgument").await;
    }
    let md5 = content_md5(b"other");
    let part = s3
        .put("/parts/refused")
        .query("partNumber", "1")
        .query("uploadId", &upload)
        .header("content-md5", &md5)
        .body("x");
    part.send().await.expect_error(400, "BadDigest").await;
    let listed =
        s3.get("/parts/refused").query("uploadId", &upload).send().await.expect_status(200).await;
    assert_eq!(listed.all("ETag").first(), Some(&small), "a refused part leaves the old one");
    // After all this a single small part still makes an object.
    let done = s3.complete_upload("/parts/refused", &upload, &[(1, small)]).await;
    assert_eq!(done.status, 200, "{}", done.text);
    s3.check_content("/parts/refused", Content::new(1, 100)).await.unwrap();
}

async fn listed_and_aborted(s3: &Client) {
    let mut uploads = Vec::new();
    for key in ["up/a", "up/b", "up/b", "up/c/d"] {
        uploads.push((key, s3.create_upload(&format!("/parts/{key}")).await));
    }
    let listed = s3
        .get("/parts")
        .query("uploads", "")
        .query("prefix", "up/")
        .query("delimiter", "/")
        .send()
        .await
        .expect_status(200)
        .await;
    assert_eq!(listed.all("Key"), ["up/a", "up/b", "up/b"]);
    let prefixes: Vec<_> = xml::elements(&listed.text, "CommonPrefixes")
        .filter_map(|inner| xml::text(inner, "Prefix"))
        .collect();
    assert_eq!(prefixes, ["up/c/"]);
    let page = s3
        .get("/parts")
        .query("uploads", "")
        .query("max-uploads", "2")
        .send()
        .await
        .expect_status(200)
        .await;
    assert_eq!(page.xml("IsTruncated").as_deref(), Some("true"));
    let (key, id) = (page.xml("NextKeyMarker").unwrap(), page.xml("NextUploadIdMarker").unwrap());
    let rest = s3
        .get("/parts")
        .query("uploads", "")
        .query("key-marker", &key)
        .query("upload-id-marker", &id)
        .send()
        .await
        .expect_status(200)
        .await;
    assert_eq!([page.all("UploadId"), rest.all("UploadId")].concat().len(), 4, "every upload once");

    s3.upload_part("/parts/up/a", &uploads[0].1, 1, Content::new(1, 300_000)).await;
    for (key, upload) in &uploads {
        s3.delete(&format!("/parts/{key}"))
            .query("uploadId", upload)
            .send()
            .await
            .expect_status(204)
            .await;
        s3.delete(&format!("/parts/{key}"))
            .query("uploadId", upload)
            .send()
            .await
            .expect_error(404, "NoSuchUpload")
            .await;
    }
    let part = s3
        .put("/parts/up/a")
        .query("partNumber", "1")
        .query("uploadId", &uploads[0].1)
        .body("x")
        .send()
        .await;
    part.expect_error(404, "NoSuchUpload").await;
    assert!(
        s3.get("/parts")
            .query("uploads", "")
            .send()
            .await
            .expect_status(200)
            .await
            .all("UploadId")
            .is_empty()
    );
}

async fn conditional(s3: &Client) {
    s3.put("/parts/cond").body("old").send().await.expect_status(200).await;
    let upload = s3.create_upload("/parts/cond").await;
    let part = (1, s3.upload_part("/parts/cond", &upload, 1, Content::new(3, 1000)).await);
    let request = s3
        .complete_request("/parts/cond", &upload, std::slice::from_ref(&part))
        .header("if-none-match", "*");
    request.send().await.expect_error(412, "PreconditionFailed").await;
    assert_eq!(s3.get("/parts/cond").send().await.expect_status(200).await.text, "old");
    let etag = s3.head("/parts/cond").send().await.header("etag").unwrap().to_owned();
    let request = s3.complete_request("/parts/cond", &upload, &[part]).header("if-match", &etag);
    request.send().await.expect_status(200).await;
    s3.check_content("/parts/cond", Content::new(3, 1000)).await.unwrap();
}
