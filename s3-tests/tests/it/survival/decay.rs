//! Disks that rot, fill up or go away.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::client::ClientError;
use drystone_s3_tests::cluster::{Cluster, Options};
use tokio::time::sleep;
use types::{KIB, MIB};

use super::{REPAIR, check_all, put_some};

#[tokio::test(flavor = "multi_thread")]
async fn flipped_bits_and_truncated_logs_are_never_served_but_blamed_and_repaired() {
    let mut cluster = Options::new().quick_upkeep().separate().await;
    let s3 = cluster.client();
    s3.make_bucket("bkt").await;
    let objects =
        put_some(&s3, "rot", &[8 * MIB, 3 * MIB, 700 * KIB, 300 * KIB, 100 * KIB, 17 * KIB]).await;
    cluster.whole(REPAIR).await;

    // Every node's turn to rot would hide nothing; two are enough: one by flipped bits as it runs, one by a cut file.
    for path in cluster.node_logs(0) {
        flip_bits(&path);
    }
    for _ in 0..3 {
        check_all(&s3, &objects, "with flipped bits on one node").await;
    }
    // Either the gateway caught it, or it noticed and owned up first.
    let blamed = |cluster: &Cluster, index: usize| {
        let log = cluster.nodes[index].log();
        let owned = log.contains("damaged on disk") || log.contains("cannot be read");
        let caught = cluster.blamed(&format!("node-{index}")) > 0;
        if owned || caught {
            Ok(())
        } else {
            Err("neither noticed by itself nor caught".to_owned())
        }
    };
    cluster.eventually("the rot is seen and laid to node-0", REPAIR, || blamed(&cluster, 0)).await;
    for other in 1..6 {
        assert!(blamed(&cluster, other).is_err(), "node-{other} is innocent");
    }
    proves_repaired(&mut cluster, &objects, [1, 2]).await;

    cluster.nodes[5].kill();
    for path in cluster.node_logs(5) {
        let len = used_len(&path);
        File::options().write(true).open(&path).unwrap().set_len(len / 2).unwrap();
    }
    cluster.nodes[5].start();
    cluster.online(6).await;
    check_all(&s3, &objects, "with truncated logs on one node").await;
    proves_repaired(&mut cluster, &objects, [3, 4]).await;
}

/// One bit in every 4 KiB, beginning behind the file's own head.
fn flip_bits(path: &Path) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let len = used_len(path);
    for offset in (8 * KIB + 1000..len).step_by(4 * KIB as usize) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[byte[0] ^ 0x20], offset).unwrap();
    }
}

/// Where the zeros that were claimed ahead begin.
fn used_len(path: &Path) -> u64 {
    let bytes = fs::read(path).unwrap();
    bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last as u64 + 1)
}

/// With k = 4 of n = 6 and two others dead, everything can only be read if the four that are left hold every shard right. Repair
/// may need a while to get there; wrong bytes are wrong at any time.
async fn proves_repaired(cluster: &mut Cluster, objects: &[(String, Content)], dead: [usize; 2]) {
    let begin = Instant::now();
    loop {
        cluster.whole(REPAIR).await;
        for index in dead {
            cluster.nodes[index].kill();
        }
        let unread = unread(cluster, objects).await;
        for index in dead {
            cluster.nodes[index].start();
        }
        cluster.online(6).await;
        match unread {
            None => return,
            Some(why) => assert!(begin.elapsed() < REPAIR, "with nodes {dead:?} dead: {why}"),
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// The first object that cannot be read now, if there is one.
async fn unread(cluster: &Cluster, objects: &[(String, Content)]) -> Option<String> {
    let s3 = cluster.client();
    for (path, content) in objects {
        match s3.check_content(path, *content).await {
            Ok(()) => {}
            Err(ClientError::Mismatch(wrong)) => panic!("{path}: {wrong}"),
            Err(error) => return Some(format!("{path}: {error}")),
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disks_fail_cleanly_and_leave_nothing_half_committed() {
    let mut cluster = Options::new()
        .quick_upkeep()
        .nodes(5)
        .disk("256MiB")
        .node_flag("--trash-seconds", "1")
        .separate()
        .await;
    // The sixth has hardly any room: it fills first, and writes go on without it.
    cluster.add_node_with("64MiB");
    cluster.online(6).await;
    let s3 = cluster.client();
    s3.make_bucket("bkt").await;
    let mut objects = Vec::new();
    let refused = loop {
        let content = Content::new(objects.len() as u64, 16 * MIB);
        let path = format!("/bkt/fill-{:03}", objects.len());
        match s3.put_content(&path, content).await {
            Ok(_) => objects.push((path, content)),
            Err(ClientError::Status { status, body }) => {
                assert_eq!(status, 503, "{body}");
                assert!(body.contains("SlowDown") || body.contains("ServiceUnavailable"), "{body}");
                break path;
            }
            Err(error) => panic!("{path}: {error}"),
        }
        assert!(objects.len() < 100, "nodes of 256 MiB took {} objects of 16 MiB", objects.len());
    };
    // 64 MiB on the small node are at most 16 of these; five nodes with four times as much go far beyond.
    assert!(
        objects.len() >= 24,
        "writes stopped after {} objects, when only one disk was full",
        objects.len()
    );
    s3.get(&refused).send().await.expect_error(404, "NoSuchKey").await;
    let replaced = s3.put_content("/bkt/fill-000", Content::new(999, 16 * MIB)).await;
    assert!(
        matches!(replaced, Err(ClientError::Status { status, .. }) if status == 503),
        "{replaced:?}"
    );
    check_all(&s3, &objects, "with full disks").await;
    s3.put("/bkt/inline").body("small objects need no node").send().await.expect_status(200).await;

    // Room again after deletes.
    for (path, _) in objects.drain(..objects.len() / 2) {
        s3.delete(&path).send().await.expect_status(204).await;
    }
    let content = Content::new(1234, 16 * MIB);
    let mut tries = 0;
    while let Err(error) = s3.put_content("/bkt/again", content).await {
        tries += 1;
        assert!(tries < 120, "no room came back: {error}");
        sleep(Duration::from_millis(500)).await;
    }
    s3.check_content("/bkt/again", content).await.unwrap();
    check_all(&s3, &objects, "after deletes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_reach_a_node_that_was_away() {
    let mut cluster = Options::new().quick_upkeep().separate().await;
    let s3 = cluster.client();
    s3.make_bucket("bkt").await;
    let objects = put_some(&s3, "gone", &[5 * MIB, MIB, 100 * KIB]).await;
    cluster.whole(REPAIR).await;
    assert!(cluster.used_by(2) > 0);
    cluster.nodes[2].kill();
    for (path, _) in &objects {
        s3.delete(path).send().await.expect_status(204).await;
    }
    cluster
        .eventually("the others have let go", REPAIR, || {
            let rest = cluster.used();
            if rest == 0 { Ok(()) } else { Err(format!("{rest} bytes left")) }
        })
        .await;
    cluster.nodes[2].start();
    cluster.online(6).await;
    cluster
        .eventually("the one that was away lets go, too", REPAIR, || {
            let used = cluster.used_by(2);
            if used == 0 { Ok(()) } else { Err(format!("{used} bytes left")) }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_nodes_slots_are_rebuilt_on_a_spare_one() {
    let options = Options::new().quick_upkeep().flag("--node-lost-after", "4s");
    let mut cluster = options.separate().await;
    let s3 = cluster.client();
    s3.make_bucket("bkt").await;
    let objects = put_some(&s3, "lost", &[12 * MIB, 3 * MIB, 200 * KIB, 17 * KIB]).await;
    cluster.whole(REPAIR).await;
    cluster.nodes[0].kill();
    cluster
        .eventually("the loss is shown, with nobody to take its place", REPAIR, || {
            let state = cluster.admin_json(&["durability"]);
            let shown = state["healthy"] == false && state["nodes"]["lost"] == 1;
            if shown { Ok(()) } else { Err(state.to_string()) }
        })
        .await;
    check_all(&s3, &objects, "degraded").await;
    let spare = cluster.add_node();
    cluster.whole(REPAIR).await;
    assert!(cluster.used_by(spare) > 0);
    cluster.nodes[1].kill();
    cluster.nodes[2].kill();
    check_all(&s3, &objects, "with two more nodes dead").await;
}
