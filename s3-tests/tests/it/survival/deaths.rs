//! Nodes that die or freeze while customers read and write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::client::ClientError;
use drystone_s3_tests::cluster::Options;
use types::{KIB, MIB};

use super::{Load, REPAIR, check_all, put_some, written};

#[tokio::test(flavor = "multi_thread")]
async fn any_two_of_six_nodes_die_while_objects_are_read_and_no_get_fails() {
    let mut cluster = Options::new().separate().await;
    let s3 = cluster.client();
    s3.make_bucket("bkt").await;
    let objects = put_some(&s3, "read", &[64 * MIB, 64 * MIB, 5 * MIB, 300 * KIB, 20 * KIB]).await;
    cluster.whole(REPAIR).await;
    for pair in [(0, 3), (1, 2), (4, 5)] {
        let readers = {
            let (s3, objects) = (s3.clone(), objects.clone());
            Load::start(4, move |task, round| {
                let s3 = s3.clone();
                let (path, content) = objects[(task + round) as usize % objects.len()].clone();
                async move {
                    let result = if round % 2 == 0 {
                        s3.check_content(&path, content).await
                    } else {
                        let start = (round * 7_919_993 + task) % content.len;
                        s3.check_range(&path, content, start..(start + 1_000_000).min(content.len))
                            .await
                    };
                    result.unwrap_or_else(|error| panic!("GET {path}: {error}"));
                }
            })
        };
        readers.rounds(6).await;
        cluster.nodes[pair.0].kill();
        readers.rounds(3).await;
        cluster.nodes[pair.1].kill();
        readers.rounds(20).await;
        readers.finish().await;
        // Also where nothing is under way and the gateway knows that they are gone.
        check_all(&s3, &objects, "with two nodes dead").await;
        for index in [pair.0, pair.1] {
            cluster.nodes[index].start();
        }
        cluster.online(6).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_freeze_and_die_while_objects_are_written_and_no_put_fails() {
    let mut cluster = Options::new().quick_upkeep().separate().await;
    let s3 = cluster.client();
    s3.make_bucket("bkt").await;
    let writers = {
        let s3 = s3.clone();
        Load::start(4, move |task, round| {
            let s3 = s3.clone();
            async move {
                let content = written(task, round);
                let path = format!("/bkt/w-{task}-{round}");
                s3.put_content(&path, content)
                    .await
                    .unwrap_or_else(|error| panic!("PUT {path}: {error}"));
            }
        })
    };
    writers.rounds(12).await;
    // Frozen, it keeps its connection and takes nothing: the hardest straggler.
    cluster.nodes[1].freeze();
    writers.rounds(12).await;
    cluster.nodes[1].thaw();
    writers.rounds(8).await;
    cluster.nodes[4].kill();
    writers.rounds(24).await;
    let rounds: u64 = writers.counts().iter().sum();
    writers.finish().await;
    let keys = s3.keys("bkt").await;
    assert!(keys.len() as u64 >= rounds);
    for key in &keys {
        let mut parts = key.split('-').skip(1).map(|number| number.parse().unwrap());
        let content = written(parts.next().unwrap(), parts.next().unwrap());
        s3.check_content(&format!("/bkt/{key}"), content)
            .await
            .unwrap_or_else(|error| panic!("{key}: {error}"));
    }
    // What the dead node missed is refilled when it returns: then any two others may go.
    cluster.nodes[4].start();
    cluster.online(6).await;
    cluster.whole(REPAIR).await;
    cluster.nodes[0].kill();
    cluster.nodes[2].kill();
    for key in keys.iter().step_by(3) {
        let mut parts = key.split('-').skip(1).map(|number| number.parse().unwrap());
        let content = written(parts.next().unwrap(), parts.next().unwrap());
        s3.check_content(&format!("/bkt/{key}"), content)
            .await
            .unwrap_or_else(|error| panic!("{key} from the rest: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_killed_during_writes_come_back_with_every_acknowledged_shard() {
    let mut cluster = Options::new().quick_upkeep().separate().await;
    let s3 = cluster.client();
    s3.make_bucket("bkt").await;
    let all_down = Arc::new(AtomicBool::new(false));
    let acknowledged: Arc<std::sync::Mutex<Vec<(String, Content)>>> = Arc::default();
    let writers = {
        let (s3, acknowledged) = (s3.clone(), Arc::clone(&acknowledged));
        let all_down = Arc::clone(&all_down);
        Load::start(3, move |task, round| {
            let (s3, acknowledged) = (s3.clone(), Arc::clone(&acknowledged));
            let all_down = Arc::clone(&all_down);
            async move {
                let (path, content) = (format!("/bkt/w-{task}-{round}"), written(task, round));
                match s3.put_content(&path, content).await {
                    Ok(_) => acknowledged.lock().unwrap().push((path, content)),
                    // While all six are down there is nobody to write to. That is said as S3 says it, though a client that is
                    // in the middle of its body may only hear that the line was cut.
                    Err(ClientError::Status { status, .. })
                        if status == 503 && all_down.load(Ordering::Relaxed) => {}
                    Err(ClientError::NoAnswer(_)) if all_down.load(Ordering::Relaxed) => {}
                    Err(error) => panic!("PUT {path}: {error}"),
                }
            }
        })
    };
    for index in [0, 3, 5] {
        writers.rounds(4).await;
        cluster.nodes[index].kill();
        writers.rounds(4).await;
        cluster.nodes[index].start();
        cluster.online(6).await;
        // A write that lacked this node must not meet the next death too: it would have four of six.
        writers.turn().await;
    }
    // All at once, in the middle of it.
    writers.rounds(4).await;
    all_down.store(true, Ordering::Relaxed);
    for node in &mut cluster.nodes {
        node.kill();
    }
    for node in &mut cluster.nodes {
        node.start();
    }
    cluster.online(6).await;
    writers.rounds(6).await;
    all_down.store(false, Ordering::Relaxed);
    writers.rounds(6).await;
    writers.finish().await;
    let objects = acknowledged.lock().unwrap().clone();
    assert!(objects.len() > 20, "only {} PUTs succeeded", objects.len());
    check_all(&s3, &objects, "after every node was killed").await;
    // Nothing was lost: with the missing refilled, any two may be gone.
    cluster.whole(REPAIR).await;
    cluster.nodes[1].kill();
    cluster.nodes[2].kill();
    check_all(&s3, &objects, "with two nodes dead").await;
}
