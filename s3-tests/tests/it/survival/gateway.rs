//! A gateway that is killed, or asked to stop.

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::cluster::{Cluster, Options};
use futures::{StreamExt, stream};
use tokio::time::sleep;
use types::{KIB, MIB};

use super::{REPAIR, check_all, put_some};

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_killed_in_mid_upload_keeps_what_it_acknowledged_and_nothing_of_the_rest() {
    let mut cluster = Options::new().quick_upkeep().separate().await;
    let s3 = cluster.client();
    s3.make_bucket("bkt").await;
    let objects = put_some(&s3, "kept", &[100, 30 * KIB, 3 * MIB, 40 * MIB]).await;
    let upload = s3.create_upload("/bkt/parts").await;
    let part = Content::new(77, 6 * MIB);
    let etag = s3.upload_part("/bkt/parts", &upload, 1, part).await;
    cluster.whole(REPAIR).await;
    let used = cluster.used();
    for round in 0..2 {
        let s3 = cluster.client();
        let half = |path: String, sent: u64| {
            let content = Content::new(5, 64 * MIB);
            // Sends some, and then holds the line without another byte.
            let body = content.pieces(64 * KIB).take((sent / (64 * KIB)) as usize).map(Ok);
            s3.put(&path).stream(content.len, body.chain(stream::pending())).try_send()
        };
        let mut halves = stream::FuturesUnordered::new();
        for (index, sent) in [MIB, 20 * MIB, 63 * MIB].into_iter().enumerate() {
            halves.push(half(format!("/bkt/half-{round}-{index}"), sent));
        }
        halves.push(half("/bkt/kept-3".into(), 30 * MIB));
        // Until most of it lies on the nodes: a frozen moment in the middle of four uploads.
        let arrive = cluster.eventually("the halves arrive", REPAIR, || {
            let now = disk_bytes(&cluster);
            if now > used + 60 * MIB {
                Ok(())
            } else {
                Err(format!("{now} bytes on the nodes' disks"))
            }
        });
        tokio::select! {
            () = arrive => {}
            Some(answer) = halves.next() => panic!("an upload that never ended was answered: {answer:?}"),
        }
        cluster.gateway.kill();
        while let Some(answer) = halves.next().await {
            assert!(answer.is_err(), "a killed gateway does not answer");
        }
        cluster.restart_gateway().await;
        let s3 = cluster.client();
        check_all(&s3, &objects, "after the gateway's death").await;
        assert_eq!(s3.keys("bkt").await, ["kept-0", "kept-1", "kept-2", "kept-3"]);
        // An unfinished multipart upload is not garbage.
        let listed =
            s3.get("/bkt/parts").query("uploadId", &upload).send().await.expect_status(200).await;
        assert_eq!(listed.all("ETag"), std::slice::from_ref(&etag));
    }
    cluster
        .eventually("orphaned shards are collected", REPAIR, || {
            let now = cluster.used();
            if now <= used { Ok(()) } else { Err(format!("{now} bytes used, {used} before")) }
        })
        .await;
    let s3 = cluster.client();
    let done = s3.complete_upload("/bkt/parts", &upload, &[(1, etag)]).await;
    assert_eq!(done.status, 200, "{}", done.text);
    s3.check_content("/bkt/parts", part).await.unwrap();
    check_all(&s3, &objects, "after collection").await;
}

/// Bytes that the nodes' log files occupy.
fn disk_bytes(cluster: &Cluster) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let logs = (0..cluster.nodes.len()).flat_map(|index| cluster.node_logs(index));
    logs.filter_map(|path| fs::metadata(path).ok()).map(|meta| meta.blocks() * 512).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_what_is_under_way_and_takes_nothing_new() {
    for separate in [false, true] {
        let options = Options::new();
        let mut cluster = if separate { options.separate().await } else { options.up().await };
        let s3 = cluster.client();
        s3.make_bucket("bkt").await;
        let (old, new) = (Content::new(1, 24 * MIB), Content::new(2, 8 * MIB));
        s3.put_content("/bkt/old", old).await.unwrap();
        let slow = new.pieces(256 * KIB).then(|piece: Bytes| async move {
            sleep(Duration::from_millis(50)).await;
            Ok(piece)
        });
        let put = tokio::spawn(s3.put("/bkt/new").stream(new.len, slow).try_send());
        let answer = s3.get("/bkt/old").send().await;
        let mut pieces = Box::pin(answer.pieces());
        let mut checker = old.checker(0..old.len);
        checker.feed(&pieces.next().await.unwrap().unwrap()).unwrap();
        sleep(Duration::from_millis(200)).await;
        cluster.gateway.terminate();
        sleep(Duration::from_millis(300)).await;
        // A fresh connection is refused, or answered that the door is closing.
        if let Ok(late) = cluster.client().put("/bkt/late").body("x").try_send().await {
            assert_eq!(late.status, 503);
        }
        while let Some(piece) = pieces.next().await {
            checker.feed(&piece.expect("the GET goes on")).unwrap();
        }
        checker.finish().unwrap();
        put.await.unwrap().expect("the PUT goes on").expect_status(200).await;
        let status = cluster.gateway.ended(Duration::from_secs(20)).await;
        assert!(status.success(), "{status}");
        cluster.restart_gateway().await;
        let s3 = cluster.client();
        s3.check_content("/bkt/old", old).await.unwrap();
        s3.check_content("/bkt/new", new).await.unwrap();
        for node in &mut cluster.nodes {
            node.terminate();
            let status = node.ended(Duration::from_secs(10)).await;
            assert!(status.success(), "a node's end: {status}");
        }
    }
}
