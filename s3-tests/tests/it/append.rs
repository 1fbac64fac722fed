//! Appending: a PUT whose bytes become the end of an object.

use std::sync::Arc;

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::checksum::{Algorithm, base64, content_md5, etag};
use drystone_s3_tests::client::{Client, Request};
use drystone_s3_tests::cluster::Options;

fn append(s3: &Client, path: &str, offset: usize, bytes: &[u8]) -> Request {
    let request = s3.put(path).header("x-amz-write-offset-bytes", &offset.to_string());
    request.body(bytes.to_vec())
}

/// The object is these bytes, whole and in ranges across its seams, and its checksum is theirs.
async fn check(s3: &Client, path: &str, bytes: &[u8], seams: &[usize]) {
    let read = s3.get(path).header("x-amz-checksum-mode", "ENABLED").send().await;
    let read = read.expect_status(200).await;
    assert!(read.bytes == bytes, "{path}: {} of {} bytes", read.bytes.len(), bytes.len());
    let sum = base64(&Algorithm::Crc64Nvme.raw(bytes));
    assert_eq!(read.header("x-amz-checksum-crc64nvme"), Some(sum.as_str()));
    assert_eq!(read.header("x-amz-checksum-type"), Some("FULL_OBJECT"));
    for seam in seams {
        let (from, to) = (seam - 3, seam + 3);
        let range = format!("bytes={from}-{}", to - 1);
        let part = s3.get(path).header("range", &range).send().await.expect_status(206).await;
        assert!(part.bytes == bytes[from..to], "{path}: {range}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_grows_by_what_is_appended() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("grows").await;
    append(&s3, "/grows/log", 1, b"x").send().await.expect_error(400, "InvalidWriteOffset").await;

    // None, inline, inline still, too large for that, on nodes.
    let pieces = [10, 100, 40_000, 200_000, 7, 300_000];
    let (mut whole, mut seams) = (Vec::new(), Vec::new());
    for (number, len) in (1..).zip(pieces) {
        let piece = Content::new(number, len).bytes();
        let first = append(&s3, "/grows/log", whole.len(), &piece)
            .header("content-type", "text/plain")
            .header("content-md5", &content_md5(&piece));
        let answer = first.send().await.expect_status(200).await;
        seams.extend((!whole.is_empty()).then_some(whole.len()));
        whole.extend_from_slice(&piece);
        assert_eq!(answer.header("x-amz-object-size"), Some(whole.len().to_string().as_str()));
        if number == 2 {
            assert_eq!(answer.header("etag"), Some(etag(&whole).as_str()), "inline is put whole");
        }
    }
    check(&s3, "/grows/log", &whole, &seams).await;
    let head = s3.head("/grows/log").send().await.expect_status(200).await;
    assert_eq!(head.header("content-length"), Some(whole.len().to_string().as_str()));
    assert_eq!(head.header("content-type"), Some("text/plain"));
    assert!(head.header("etag").is_some_and(|tag| tag.ends_with("-5\"")), "{:?}", head.headers);
    let last = s3.get("/grows/log").query("partNumber", "5").send().await;
    let last = last.expect_status(206).await;
    assert!(last.bytes == whole[whole.len() - 300_000..], "the last append is the last part");

    // What is refused changes nothing.
    let size = whole.len();
    for offset in [0, size - 1, size + 1] {
        let refused = append(&s3, "/grows/log", offset, b"x").send().await;
        refused.expect_error(400, "InvalidWriteOffset").await;
    }
    let spoilt = append(&s3, "/grows/log", size, b"x").header("content-md5", &content_md5(b"y"));
    spoilt.send().await.expect_error(400, "BadDigest").await;
    let other = append(&s3, "/grows/log", size, b"x").header("if-match", "\"other\"");
    other.send().await.expect_error(412, "PreconditionFailed").await;
    check(&s3, "/grows/log", &whole, &seams).await;

    // A multipart object and a copy can be appended to as well; the copy's source stays what it is.
    let upload = s3.create_upload("/grows/mp").await;
    let base = Content::new(9, 100_000);
    let tag = s3.upload_part("/grows/mp", &upload, 3, base).await;
    assert_eq!(s3.complete_upload("/grows/mp", &upload, &[(3, tag)]).await.status, 200);
    append(&s3, "/grows/mp", 100_000, &whole).send().await.expect_status(200).await;
    let both = [&base.bytes()[..], &whole].concat();
    check(&s3, "/grows/mp", &both, &[100_000]).await;
    let copy = s3.put("/grows/copy").header("x-amz-copy-source", "/grows/log");
    copy.send().await.expect_status(200).await;
    append(&s3, "/grows/copy", size, b"and more").send().await.expect_status(200).await;
    check(&s3, "/grows/copy", &[&whole, &b"and more"[..]].concat(), &[size]).await;
    check(&s3, "/grows/log", &whole, &seams).await;

    let versioning = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    s3.make_bucket("keeps").await;
    let enable = s3.put("/keeps").query("versioning", "").body(versioning);
    enable.send().await.expect_status(200).await;
    append(&s3, "/keeps/k", 0, b"x").send().await.expect_error(400, "InvalidRequest").await;
    let _ = cluster.admin(&["fsck"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_appends_at_once_each_is_whole_and_none_is_lost() {
    const WRITERS: usize = 6;
    const EACH: usize = 4;
    const LEN: usize = 20_000;
    let cluster = Options::new().up().await;
    let s3 = Arc::new(cluster.client());
    s3.make_bucket("race").await;
    let first = Content::new(0, LEN as u64).bytes();
    append(&s3, "/race/log", 0, &first).send().await.expect_status(200).await;
    let writers = (1..=WRITERS).map(|writer| {
        let s3 = Arc::clone(&s3);
        tokio::spawn(async move {
            let piece = vec![u8::try_from(writer).expect("small"); LEN];
            for _ in 0..EACH {
                loop {
                    let head = s3.head("/race/log").send().await.expect_status(200).await;
                    let size = head.header("content-length").and_then(|len| len.parse().ok());
                    let tried = append(&s3, "/race/log", size.expect("a size"), &piece);
                    match tried.send().await.read().await.status {
                        200 => break,
                        400 | 409 | 503 => {}
                        other => panic!("status {other}"),
                    }
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("a writer goes to its end");
    }
    let read = s3.get("/race/log").send().await.expect_status(200).await;
    assert_eq!(read.bytes.len(), LEN * (1 + WRITERS * EACH));
    let mut counts = [0; WRITERS + 1];
    for piece in read.bytes[LEN..].chunks(LEN) {
        assert!(piece.iter().all(|byte| *byte == piece[0]), "an append was torn");
        counts[usize::from(piece[0])] += 1;
    }
    assert_eq!(counts[1..], [EACH; WRITERS]);
    let _ = cluster.admin(&["fsck"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_that_are_set_while_a_small_object_grows_are_kept() {
    const ROUNDS: usize = 60;
    let cluster = Options::new().up().await;
    let s3 = Arc::new(cluster.client());
    s3.make_bucket("race").await;
    append(&s3, "/race/log", 0, b"x").send().await.expect_status(200).await;
    let grows = {
        let s3 = Arc::clone(&s3);
        tokio::spawn(async move {
            // The last of them make it too large to stay inline.
            let mut size = 1;
            let mut grown = 0;
            while grown < ROUNDS {
                let piece = vec![b'y'; if grown < ROUNDS - 3 { 100 } else { 8_000 }];
                match append(&s3, "/race/log", size, &piece).send().await.read().await.status {
                    200 => {
                        size += piece.len();
                        grown += 1;
                    }
                    409 | 503 => {}
                    other => panic!("status {other}"),
                }
            }
            size
        })
    };
    for number in 0..ROUNDS {
        let tags = format!(
            "<Tagging><TagSet><Tag><Key>n</Key><Value>{number}</Value></Tag></TagSet></Tagging>"
        );
        loop {
            let put = s3.put("/race/log").query("tagging", "").body(tags.clone()).send().await;
            match put.read().await.status {
                200 => break,
                409 | 503 => {}
                other => panic!("status {other}"),
            }
        }
        let seen = s3.get("/race/log").query("tagging", "").send().await.expect_status(200).await;
        assert_eq!(seen.xml("Value"), Some(number.to_string()), "a tag was undone");
    }
    let size = grows.await.expect("it grows to its end");
    let seen = s3.get("/race/log").query("tagging", "").send().await.expect_status(200).await;
    assert_eq!(seen.xml("Value"), Some((ROUNDS - 1).to_string()));
    let read = s3.get("/race/log").send().await.expect_status(200).await;
    assert_eq!(read.bytes.len(), size);
    let _ = cluster.admin(&["fsck"]);
}
