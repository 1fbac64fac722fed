//! Clients that send rubbish, lie about lengths or go away: each gets an error or is hung up on, and the old object stays.

use std::time::Duration;

use bytes::Bytes;
use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::client::{Client, Payload};
use drystone_s3_tests::cluster::{Cluster, Options};
use futures::{StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const OLD: Content = Content::new(1, 1_000_000);

#[tokio::test(flavor = "multi_thread")]
async fn rubbish_lies_and_broken_uploads_leave_the_old_object_untouched() {
    let mut cluster = Options::new().quick_upkeep().up().await;
    let s3 = cluster.client();
    s3.make_bucket("bkt").await;
    s3.put_content("/bkt/old", OLD).await.unwrap();
    // The same, small enough for the metadata.
    s3.put("/bkt/inline").body("old").send().await.expect_status(200).await;

    garbage(&cluster).await;
    lies(&s3).await;
    disconnects(&cluster, &s3).await;
    malformed_bodies(&s3).await;

    s3.check_content("/bkt/old", OLD).await.unwrap();
    assert_eq!(s3.get("/bkt/inline").send().await.expect_status(200).await.text, "old");
    assert_eq!(s3.keys("bkt").await, ["inline", "old"], "nothing half-done became visible");
    assert!(cluster.gateway.running());
}

/// Sends bytes, and reads what comes until the end or a second of silence.
async fn raw(cluster: &Cluster, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(cluster.s3()).await.expect("the gateway listens");
    let _ = socket.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = timeout(Duration::from_secs(1), socket.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_answer_to_a_client_that_waits_to_be_asked_ends_the_connection() {
    let cluster = Options::new().up().await;
    // The last two as boto3 sends what is small or empty: without waiting, and misreading the next answer if there is one.
    for (length, sent) in [(3, ""), (3, "abc"), (0, "")] {
        let put = format!(
            "PUT /bkt/new HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n{sent}"
        );
        let answer = raw(&cluster, put.as_bytes()).await.to_lowercase();
        assert!(answer.starts_with("http/1.1 4"), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
}

async fn garbage(cluster: &Cluster) {
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(200_000));
    let headers = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "x-a: b\r\n".repeat(20_000));
    for bytes in [
        "\u{16}\u{3}\u{1}\u{2}\u{0}rubbish".as_bytes(),
        b"\r\n\r\n\r\n\r\n",
        b"BREW /pot HTCPCP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /%zz/%00 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"PUT /bkt/old HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
        b"PUT /bkt/old HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
        b"PUT /bkt/old HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"PUT /bkt/old HTTP/1.1\r\nhost: x\r\nauthorization: AWS4-HMAC-SHA256 Credential=\xff\xfe\r\ncontent-length: 1\r\n\r\nx",
        &[0; 70_000],
        long.as_bytes(),
        headers.as_bytes(),
    ] {
        let answer = raw(cluster, bytes).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 5"), "{answer}");
        assert!(!answer.starts_with("HTTP/1.1 500"), "rubbish is the client's fault: {answer}");
    }
}

async fn lies(s3: &Client) {
    // aws-chunked that has fewer or more bytes than it says it decodes to.
    for (said, payload) in [
        (99_999, Payload::Chunks(8192)),
        (100_001, Payload::Chunks(8192)),
        (0, Payload::Chunks(65_536)),
    ] {
        let body = Content::new(2, 100_000).bytes();
        let lie = s3
            .put("/bkt/old")
            .header("x-amz-decoded-content-length", &said.to_string())
            .payload(payload)
            .body(body);
        if let Ok(answer) = lie.try_send().await {
            assert!(
                (400..500).contains(&answer.status),
                "{said} instead of 100000: {}",
                answer.status
            );
        }
    }
    let missing = s3.put("/bkt/old").payload(Payload::UnsignedTrailer(
        8192,
        "x-amz-checksum-crc32",
        "AAAAAA==".into(),
    ));
    missing.body(Content::new(3, 50_000).bytes()).send().await.expect_error(400, "BadDigest").await;
    // A trailer that was announced and does not come.
    let cut = s3.put("/bkt/old").payload(Payload::UnsignedTrailer(
        8192,
        "x-amz-checksum-crc32",
        "AAAAAA==".into(),
    ));
    let cut = cut.body(Content::new(3, 50_000).bytes()).spoilt_bytes(|bytes| {
        let end = bytes.len() - b"x-amz-checksum-crc32:AAAAAA==\r\n\r\n".len();
        bytes.truncate(end);
        bytes.extend_from_slice(b"\r\n");
    });
    let answer = cut.send().await.read().await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    let too_large = s3.put("/bkt/old").stream((5 << 30) + 1, stream::empty());
    if let Ok(answer) = too_large.try_send().await {
        answer.expect_error(400, "EntityTooLarge").await;
    }
    s3.check_content("/bkt/old", OLD).await.unwrap();
}

async fn disconnects(cluster: &Cluster, s3: &Client) {
    let before = cluster.used();
    for (path, len, sent) in [
        ("/bkt/old", 20_000_000, 12_000_000),
        ("/bkt/old", 100_000, 1),
        ("/bkt/inline", 10_000, 5_000),
        ("/bkt/new", 700_000, 699_999),
    ] {
        let content = Content::new(7, len);
        let pieces = content.pieces(100_000).map(Ok);
        // As many bytes as are to be sent, and then an error: the client's connection is closed.
        let mut left = sent;
        let broken = pieces.map(move |piece: std::io::Result<Bytes>| {
            if left == 0 {
                return Err(std::io::Error::other("the client goes away"));
            }
            let mut piece = piece?;
            piece.truncate(left as usize);
            left -= piece.len() as u64;
            Ok(piece)
        });
        let end = stream::iter([Err(std::io::Error::other("the client goes away"))]);
        let answer = s3.put(path).stream(len, broken.chain(end)).try_send().await;
        assert!(answer.is_err(), "a PUT that sent {sent} of {len} bytes was answered");
    }
    s3.check_content("/bkt/old", OLD).await.unwrap();
    cluster
        .eventually("what broken uploads left is collected", Duration::from_secs(30), || {
            let now = cluster.used();
            if now <= before { Ok(()) } else { Err(format!("{now} bytes used, {before} before")) }
        })
        .await;
}

async fn malformed_bodies(s3: &Client) {
    for body in [
        "",
        "<",
        "<Delete>",
        "<Delete><Object/></Delete>",
        "\u{0}",
        "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'a'>]><Delete>&a;</Delete>",
    ] {
        let md5 = drystone_s3_tests::checksum::content_md5(body.as_bytes());
        let answer = s3
            .post("/bkt")
            .query("delete", "")
            .header("content-md5", &md5)
            .body(body)
            .send()
            .await
            .read()
            .await;
        assert_eq!(answer.status, 400, "{body:?}: {}", answer.text);
    }
    let upload = s3.create_upload("/bkt/old").await;
    for body in [
        "",
        "rubbish",
        "<CompleteMultipartUpload>",
        "<CompleteMultipartUpload><Part><PartNumber>x</PartNumber></Part></CompleteMultipartUpload>",
    ] {
        let answer =
            s3.post("/bkt/old").query("uploadId", &upload).body(body).send().await.read().await;
        assert_eq!(answer.status, 400, "{body:?}: {}", answer.text);
    }
    s3.delete("/bkt/old").query("uploadId", &upload).send().await.expect_status(204).await;
    for request in [
        s3.get("/bkt/old").query("partNumber", "x"),
        s3.get("/bkt").query("max-keys", "many"),
        s3.get("/bkt").query("list-type", "2").query("encoding-type", "rot13"),
    ] {
        let answer = request.send().await.read().await;
        assert_eq!(answer.status, 400, "{}", answer.text);
    }
}
