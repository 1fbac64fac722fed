//! Objects: every nasty length there and back, ranges, conditions, metadata, copies, deletes.

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::checksum;
use drystone_s3_tests::client::Client;
use drystone_s3_tests::cluster::Options;
use drystone_s3_tests::sizes::{
    CHUNK_PLAIN, NASTY_LARGE_SIZES, NASTY_SIZES, ROW_PLAIN, SEGMENT_PLAIN,
};
use futures::StreamExt;
use futures::stream;

#[tokio::test(flavor = "multi_thread")]
async fn every_nasty_length_goes_in_and_comes_out_identical() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("sizes").await;
    for (index, (len, why)) in NASTY_SIZES.iter().chain(NASTY_LARGE_SIZES).enumerate() {
        let (path, content) = (format!("/sizes/{len}"), Content::new(index as u64, *len));
        let etag = s3
            .put_content(&path, content)
            .await
            .unwrap_or_else(|error| panic!("PUT {len} ({why}): {error}"));
        assert_eq!(etag, checksum::etag(&content.bytes()), "{why}");
        s3.check_content(&path, content)
            .await
            .unwrap_or_else(|error| panic!("GET {len} ({why}): {error}"));
        let head = s3.head(&path).send().await.expect_status(200).await;
        assert_eq!(head.header("content-length"), Some(len.to_string().as_str()), "{why}");
        assert_eq!(head.header("etag"), Some(etag.as_str()), "{why}");
        // Every edge of the layout that lies within, read across.
        for edge in [1, CHUNK_PLAIN, 2 * CHUNK_PLAIN, ROW_PLAIN, SEGMENT_PLAIN, len / 2, *len] {
            let range = edge.saturating_sub(2)..(edge + 2).min(*len);
            if range.start < range.end {
                s3.check_range(&path, content, range.clone())
                    .await
                    .unwrap_or_else(|error| panic!("{range:?} of {len} ({why}): {error}"));
            }
        }
    }
    // Overwritten, an object is the new one and nothing of the old.
    for (len, why) in [
        (5_000, "inline over nodes"),
        (300_000, "nodes over nodes"),
        (70_000, "shorter over longer"),
    ] {
        let content = Content::new(len, len);
        s3.put_content("/sizes/1048576", content).await.unwrap();
        s3.check_content("/sizes/1048576", content)
            .await
            .unwrap_or_else(|error| panic!("{why}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_and_conditions_are_answered_as_http_says() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("bkt").await;
    for len in [1_000, 700_000] {
        ranges(&s3, Content::new(len, len)).await;
    }
    read_conditions(&s3).await;
    write_conditions(&s3).await;
}

async fn ranges(s3: &Client, content: Content) {
    let len = content.len;
    s3.put_content("/bkt/ranged", content).await.unwrap();
    for (header, range) in [
        ("bytes=0-0".to_owned(), 0..1),
        ("bytes=10-19".to_owned(), 10..20),
        (format!("bytes=0-{}", len * 2), 0..len),
        (format!("bytes={}-", len - 1), len - 1..len),
        ("bytes=7-".to_owned(), 7..len),
        ("bytes=-5".to_owned(), len - 5..len),
        (format!("bytes=-{}", len * 3), 0..len),
    ] {
        let answer = s3.get("/bkt/ranged").header("range", &header).send().await;
        assert_eq!(answer.status, 206, "{header}");
        let expected = format!("bytes {}-{}/{len}", range.start, range.end - 1);
        assert_eq!(answer.header("content-range"), Some(expected.as_str()), "{header}");
        assert_eq!(answer.header("accept-ranges"), Some("bytes"));
        answer.check(content, range).await.unwrap_or_else(|error| panic!("{header}: {error}"));
    }
    for header in [format!("bytes={len}-"), "bytes=-0".to_owned()] {
        s3.get("/bkt/ranged")
            .header("range", &header)
            .send()
            .await
            .expect_error(416, "InvalidRange")
            .await;
    }
    let head =
        s3.head("/bkt/ranged").header("range", "bytes=1-2").send().await.expect_status(206).await;
    assert_eq!(head.header("content-length"), Some("2"));
}

async fn read_conditions(s3: &Client) {
    let etag = s3.put_content("/bkt/read", Content::new(1, 100)).await.unwrap();
    let head = s3.head("/bkt/read").send().await.expect_status(200).await;
    let modified = head.header("last-modified").unwrap().to_owned();
    let (past, future) = ("Sat, 01 Jan 2000 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT");
    for (name, value, status) in [
        ("if-match", etag.as_str(), 200),
        ("if-match", "*", 200),
        ("if-match", "\"other\"", 412),
        ("if-none-match", "\"other\"", 200),
        ("if-none-match", etag.as_str(), 304),
        ("if-none-match", "*", 304),
        ("if-modified-since", past, 200),
        ("if-modified-since", modified.as_str(), 304),
        ("if-unmodified-since", modified.as_str(), 200),
        ("if-unmodified-since", future, 200),
        ("if-unmodified-since", past, 412),
    ] {
        let answer = s3.get("/bkt/read").header(name, value).send().await.read().await;
        assert_eq!(answer.status, status, "GET {name}: {value}: {}", answer.text);
        let answer = s3.head("/bkt/read").header(name, value).send().await.read().await;
        assert_eq!(answer.status, status, "HEAD {name}: {value}");
    }
    // RFC 9110 §13.2.2: the ETag's condition makes that of the date void.
    let both = s3.get("/bkt/read").header("if-match", &etag).header("if-unmodified-since", past);
    both.send().await.expect_status(200).await;
    let both = s3
        .get("/bkt/read")
        .header("if-none-match", "\"other\"")
        .header("if-modified-since", &modified);
    both.send().await.expect_status(200).await;
}

async fn write_conditions(s3: &Client) {
    s3.put("/bkt/write")
        .header("if-none-match", "*")
        .body("one")
        .send()
        .await
        .expect_status(200)
        .await;
    s3.put("/bkt/write")
        .header("if-none-match", "*")
        .body("two")
        .send()
        .await
        .expect_error(412, "PreconditionFailed")
        .await;
    s3.put("/bkt/write")
        .header("if-match", "\"other\"")
        .body("two")
        .send()
        .await
        .expect_error(412, "PreconditionFailed")
        .await;
    s3.put("/bkt/missing")
        .header("if-match", "\"other\"")
        .body("two")
        .send()
        .await
        .expect_error(404, "NoSuchKey")
        .await;
    let got = s3.get("/bkt/write").send().await.expect_status(200).await;
    assert_eq!(got.text, "one", "a refused write changes nothing");
    let etag = got.header("etag").unwrap().to_owned();
    s3.put("/bkt/write")
        .header("if-match", &etag)
        .body("two")
        .send()
        .await
        .expect_status(200)
        .await;
    s3.delete("/bkt/write")
        .header("if-match", &etag)
        .send()
        .await
        .expect_error(412, "PreconditionFailed")
        .await;
    let etag = s3
        .head("/bkt/write")
        .send()
        .await
        .expect_status(200)
        .await
        .header("etag")
        .unwrap()
        .to_owned();
    s3.delete("/bkt/write").header("if-match", &etag).send().await.expect_status(204).await;

    // Of many that want to be first, one is.
    let writers = stream::iter(0..16).map(|index| {
        s3.put("/bkt/race")
            .header("if-none-match", "*")
            .content(Content::new(index, 100_000 * (index % 2) + 10))
            .send()
    });
    let statuses: Vec<_> = writers.buffer_unordered(16).map(|answer| answer.status).collect().await;
    assert_eq!(statuses.iter().filter(|&&status| status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 409, 412].contains(status)), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_and_headers_come_back_and_copies_take_or_replace_them() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("bkt").await;
    s3.make_bucket("other").await;
    let headers = [
        ("content-type", "text/plain; charset=utf-8"),
        ("cache-control", "max-age=7"),
        ("content-disposition", "attachment; filename=\"x.txt\""),
        ("content-encoding", "gzip"),
        ("content-language", "de, en"),
        ("expires", "Fri, 01 Jan 2100 00:00:00 GMT"),
        ("x-amz-meta-colour", "dry stone grey"),
        ("x-amz-meta-empty", ""),
    ];
    for (path, content) in
        [("/bkt/small", Content::new(1, 100)), ("/bkt/large", Content::new(2, 1_500_000))]
    {
        let mut put = s3.put(path).content(content);
        for (name, value) in headers {
            put = put.header(name, value);
        }
        put.send().await.expect_status(200).await;
        for answer in [s3.get(path).send().await, s3.head(path).send().await] {
            for (name, value) in headers {
                assert_eq!(answer.header(name), Some(value), "{path} {name}");
            }
        }
        let overridden = s3
            .get(path)
            .query("response-content-type", "a/b")
            .query("response-cache-control", "no-store")
            .send()
            .await;
        assert_eq!(
            (overridden.header("content-type"), overridden.header("cache-control")),
            (Some("a/b"), Some("no-store"))
        );

        // COPY takes everything along, REPLACE takes the request's.
        let source = path.to_owned();
        let copy = s3
            .put("/other/copy with space")
            .header("x-amz-copy-source", &source)
            .send()
            .await
            .expect_status(200)
            .await;
        assert!(copy.xml("ETag").is_some(), "{}", copy.text);
        s3.check_content("/other/copy with space", content).await.unwrap();
        let head = s3.head("/other/copy with space").send().await;
        assert_eq!(head.header("x-amz-meta-colour"), Some("dry stone grey"));
        let replace =
            s3.put("/bkt/replaced").header("x-amz-copy-source", "/other/copy%20with%20space");
        let replace = replace
            .header("x-amz-metadata-directive", "REPLACE")
            .header("x-amz-meta-new", "1")
            .header("content-type", "c/d");
        replace.send().await.expect_status(200).await;
        let head = s3.head("/bkt/replaced").send().await;
        assert_eq!(
            (head.header("x-amz-meta-new"), head.header("x-amz-meta-colour")),
            (Some("1"), None)
        );
        assert_eq!(head.header("content-type"), Some("c/d"));
        // The source may go; its bytes stay for the copies.
        s3.delete(path).send().await.expect_status(204).await;
        s3.check_content("/bkt/replaced", content).await.unwrap();
        // Onto itself only with a change.
        let itself =
            s3.put("/bkt/replaced").header("x-amz-copy-source", "/bkt/replaced").send().await;
        itself.expect_error(400, "InvalidRequest").await;
        let itself = s3
            .put("/bkt/replaced")
            .header("x-amz-copy-source", "/bkt/replaced")
            .header("x-amz-metadata-directive", "REPLACE");
        itself.send().await.expect_status(200).await;
        s3.check_content("/bkt/replaced", content).await.unwrap();
    }
    let etag = s3.head("/bkt/replaced").send().await.header("etag").unwrap().to_owned();
    for (name, value, status) in [
        ("x-amz-copy-source-if-match", etag.as_str(), 200),
        ("x-amz-copy-source-if-match", "\"other\"", 412),
        ("x-amz-copy-source-if-none-match", etag.as_str(), 412),
        ("x-amz-copy-source-if-none-match", "\"other\"", 200),
        ("x-amz-copy-source-if-unmodified-since", "Sat, 01 Jan 2000 00:00:00 GMT", 412),
        ("x-amz-copy-source-if-modified-since", "Sat, 01 Jan 2000 00:00:00 GMT", 200),
    ] {
        let copy = s3
            .put("/bkt/conditional")
            .header("x-amz-copy-source", "/bkt/replaced")
            .header(name, value)
            .send()
            .await;
        copy.expect_status(status).await;
    }
    s3.put("/bkt/x")
        .header("x-amz-copy-source", "/bkt/missing")
        .send()
        .await
        .expect_error(404, "NoSuchKey")
        .await;

    let attributes = s3
        .get("/bkt/replaced")
        .query("attributes", "")
        .header("x-amz-object-attributes", "ETag,ObjectSize,StorageClass");
    let attributes = attributes.send().await.expect_status(200).await;
    assert_eq!(attributes.xml("ObjectSize").as_deref(), Some("1500000"));
    assert_eq!(attributes.xml("ETag"), Some(etag.trim_matches('"').to_owned()));
    assert_eq!(attributes.xml("StorageClass").as_deref(), Some("STANDARD"));
    limits(&s3).await;
}

async fn limits(s3: &Client) {
    let longest = format!("/bkt/{}", "k".repeat(1024));
    s3.put(&longest).body("x").send().await.expect_status(200).await;
    s3.put(&format!("{longest}k"))
        .body("x")
        .send()
        .await
        .expect_error(400, "KeyTooLongError")
        .await;
    let fits = s3.put("/bkt/meta").header("x-amz-meta-a", &"v".repeat(2047)).body("x");
    fits.send().await.expect_status(200).await;
    let too_much = s3.put("/bkt/meta").header("x-amz-meta-a", &"v".repeat(2048)).body("x");
    too_much.send().await.expect_error(400, "MetadataTooLarge").await;
    s3.put("/bkt/x")
        .header("x-amz-storage-class", "NO_SUCH_CLASS")
        .body("x")
        .send()
        .await
        .expect_error(400, "InvalidStorageClass")
        .await;
    for key in
        ["a//b", "ü/ö ä", "+&=?#%", "a/../b", "tab\tnewline\n", "\u{1F9F1}", ".", "trailing/"]
    {
        let path = format!("/bkt/{key}");
        s3.put(&path).body(key.to_owned()).send().await.expect_status(200).await;
        assert_eq!(s3.get(&path).send().await.expect_status(200).await.text, key);
    }
}
