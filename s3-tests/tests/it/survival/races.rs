//! What happens at the same time and must not meet.

use std::time::Duration;

use bytes::Bytes;
use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::cluster::Options;
use drystone_s3_tests::scaled;
use futures::{StreamExt, stream};
use tokio::time::sleep;
use types::{KIB, MIB};

use super::REPAIR;

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upload_loses_nothing_while_upkeep_collects_around_it() {
    let cluster = Options::new().quick_upkeep().up().await;
    let s3 = cluster.client();
    s3.make_bucket("bkt").await;
    let (content, seconds) = (Content::new(8, 40 * MIB), scaled(20, 180));
    let pieces = content.len / (256 * KIB);
    let pause = Duration::from_secs(seconds) / pieces as u32;
    let slow = content.pieces(256 * KIB).then(move |piece: Bytes| async move {
        sleep(pause).await;
        Ok(piece)
    });
    let slow = tokio::spawn(s3.put("/bkt/slow").stream(content.len, slow).try_send());
    let mut round = 0;
    while !slow.is_finished() {
        let churn = Content::new(round, 2 * MIB);
        s3.put_content("/bkt/churn", churn).await.unwrap();
        s3.check_content("/bkt/churn", churn).await.unwrap();
        s3.delete("/bkt/churn").send().await.expect_status(204).await;
        round += 1;
        sleep(Duration::from_millis(100)).await;
    }
    slow.await.unwrap().unwrap().expect_status(200).await;
    s3.check_content("/bkt/slow", content).await.unwrap();
    assert!(round > 10, "upkeep had {round} rounds of garbage to collect");
    let expected = content.len * 6 / 4;
    cluster
        .eventually("only the slow object is left on the nodes", REPAIR, || {
            let now = cluster.used();
            if now < expected + MIB && now >= expected {
                Ok(())
            } else {
                Err(format!("{now} bytes, {expected} expected"))
            }
        })
        .await;
    s3.check_content("/bkt/slow", content).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_bucket_races_puts_and_no_object_ever_lies_in_a_deleted_bucket() {
    let cluster = Options::new().quick_upkeep().up().await;
    let s3 = cluster.client();
    let (mut deleted, mut refused) = (0, 0);
    for round in 0..scaled(60, 600_u64) {
        s3.make_bucket("race").await;
        // Connections of its own: one on which a PUT was refused before its body was read is closed.
        let writer = cluster.client();
        let puts = stream::iter(0..4).map(|index| {
            let s3 = writer.clone();
            async move {
                sleep(Duration::from_micros(round * 50 % 1500)).await;
                let content = Content::new(index, if index % 2 == 0 { 100 } else { 50_000 });
                s3.put(&format!("/race/{index}")).content(content).send().await.read().await.status
            }
        });
        let delete = async {
            sleep(Duration::from_micros(round * 170 % 4000)).await;
            s3.delete("/race").send().await.read().await
        };
        let (statuses, delete) = tokio::join!(puts.buffer_unordered(4).collect::<Vec<_>>(), delete);
        // 409: OperationAborted, while the bucket's deletion was being decided.
        assert!(statuses.iter().all(|status| [200, 404, 409].contains(status)), "{statuses:?}");
        let stored = statuses.iter().filter(|&&status| status == 200).count();
        match delete.status {
            204 => {
                deleted += 1;
                assert_eq!(stored, 0, "round {round}: acknowledged, and the bucket was deleted");
                s3.get("/race/0").send().await.expect_error(404, "NoSuchBucket").await;
                // A bucket of that name made anew knows nothing of the old one's objects.
                s3.make_bucket("race").await;
                assert!(s3.keys("race").await.is_empty());
            }
            409 => {
                refused += 1;
                assert_eq!(delete.code(), "BucketNotEmpty", "{}", delete.text);
                assert_eq!(s3.keys("race").await.len(), stored);
            }
            other => panic!("DeleteBucket: {other} {}", delete.text),
        }
        for key in s3.keys("race").await {
            s3.delete(&format!("/race/{key}")).send().await.expect_status(204).await;
        }
        s3.delete("/race").send().await.expect_status(204).await;
    }
    assert!(
        deleted > 0 && refused > 0,
        "one side always won ({deleted} deleted, {refused} refused): no race was run"
    );
}
