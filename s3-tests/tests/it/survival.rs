//! What must survive: dead nodes, dead gateways, rotten disks, full disks, races. Each on real processes.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::client::{Client, ClientError};
use drystone_s3_tests::cluster::{Cluster, Options};
use drystone_s3_tests::scaled;
use futures::{StreamExt, stream};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use types::{KIB, MIB};

/// How long repair and collection may take in these small clusters.
const REPAIR: Duration = Duration::from_secs(60);

/// Objects of several lengths under `/b/<prefix>-<index>`.
async fn put_some(s3: &Client, prefix: &str, lens: &[u64]) -> Vec<(String, Content)> {
    let mut objects = Vec::new();
    for (index, &len) in lens.iter().enumerate() {
        let content = Content::new(index as u64 * 1_000_003 + len, len);
        let path = format!("/b/{prefix}-{index}");
        s3.put_content(&path, content).await.unwrap_or_else(|error| panic!("{path}: {error}"));
        objects.push((path, content));
    }
    objects
}

async fn check_all(s3: &Client, objects: &[(String, Content)], when: &str) {
    for (path, content) in objects {
        s3.check_content(path, *content)
            .await
            .unwrap_or_else(|error| panic!("{path} {when}: {error}"));
    }
}

/// Tasks that do the same over and over until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    fn start<F, Fut>(tasks: u64, work: F) -> Self
    where
        F: Fn(u64, u64) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send,
    {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let spawn = |task| {
            let (stop, done, work) = (Arc::clone(&stop), Arc::clone(&done), work.clone());
            tokio::spawn(async move {
                let mut round = 0;
                while !stop.load(Ordering::Relaxed) {
                    work(task, round).await;
                    done.fetch_add(1, Ordering::Relaxed);
                    round += 1;
                }
            })
        };
        Self {
            tasks: (0..tasks).map(spawn).collect(),
            stop: Arc::clone(&stop),
            done: Arc::clone(&done),
        }
    }

    /// Waits until so many more rounds are done.
    async fn rounds(&self, more: u64) {
        let target = self.done.load(Ordering::Relaxed) + more;
        while self.done.load(Ordering::Relaxed) < target {
            assert!(
                !self.tasks.iter().any(JoinHandle::is_finished),
                "a reader or writer failed; see above"
            );
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a reader or writer failed");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_two_of_six_nodes_die_while_objects_are_read_and_no_get_fails() {
    let mut cluster = Options::new().separate().await;
    let s3 = cluster.client();
    s3.make_bucket("b").await;
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
    s3.make_bucket("b").await;
    let writers = {
        let s3 = s3.clone();
        Load::start(4, move |task, round| {
            let s3 = s3.clone();
            async move {
                let content = written(task, round);
                let path = format!("/b/w-{task}-{round}");
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
    let rounds = writers.done.load(Ordering::Relaxed);
    writers.finish().await;
    let keys = s3.keys("b").await;
    assert!(keys.len() as u64 >= rounds);
    for key in &keys {
        let mut parts = key.split('-').skip(1).map(|number| number.parse().unwrap());
        let content = written(parts.next().unwrap(), parts.next().unwrap());
        s3.check_content(&format!("/b/{key}"), content)
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
        s3.check_content(&format!("/b/{key}"), content)
            .await
            .unwrap_or_else(|error| panic!("{key} from the rest: {error}"));
    }
}

fn written(task: u64, round: u64) -> Content {
    let len = [4 * KIB, 256 * KIB, MIB + 7, 8 * MIB][(task + round) as usize % 4];
    Content::new(task * 1_000_000 + round, len)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_killed_in_mid_upload_keeps_what_it_acknowledged_and_nothing_of_the_rest() {
    let mut cluster = Options::new().quick_upkeep().separate().await;
    let s3 = cluster.client();
    s3.make_bucket("b").await;
    let objects = put_some(&s3, "kept", &[100, 30 * KIB, 3 * MIB, 40 * MIB]).await;
    let upload = s3.create_upload("/b/parts").await;
    let part = Content::new(77, 6 * MIB);
    let etag = s3.upload_part("/b/parts", &upload, 1, part).await;
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
            halves.push(half(format!("/b/half-{round}-{index}"), sent));
        }
        halves.push(half("/b/kept-3".into(), 30 * MIB));
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
        assert_eq!(s3.keys("b").await, ["kept-0", "kept-1", "kept-2", "kept-3"]);
        // An unfinished multipart upload is not garbage.
        let listed =
            s3.get("/b/parts").query("uploadId", &upload).send().await.expect_status(200).await;
        assert_eq!(listed.all("ETag"), [etag.clone()]);
    }
    cluster
        .eventually("orphaned shards are collected", REPAIR, || {
            let now = cluster.used();
            if now <= used { Ok(()) } else { Err(format!("{now} bytes used, {used} before")) }
        })
        .await;
    let s3 = cluster.client();
    let done = s3.complete_upload("/b/parts", &upload, &[(1, etag)]).await;
    assert_eq!(done.status, 200, "{}", done.text);
    s3.check_content("/b/parts", part).await.unwrap();
    check_all(&s3, &objects, "after collection").await;
}

/// Bytes that the nodes' log files occupy.
fn disk_bytes(cluster: &Cluster) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let logs = (0..cluster.nodes.len()).flat_map(|index| cluster.node_logs(index));
    logs.filter_map(|path| fs::metadata(path).ok()).map(|meta| meta.blocks() * 512).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_killed_during_writes_come_back_with_every_acknowledged_shard() {
    let mut cluster = Options::new().quick_upkeep().separate().await;
    let s3 = cluster.client();
    s3.make_bucket("b").await;
    let acknowledged: Arc<std::sync::Mutex<Vec<(String, Content)>>> = Arc::default();
    let writers = {
        let (s3, acknowledged) = (s3.clone(), Arc::clone(&acknowledged));
        Load::start(3, move |task, round| {
            let (s3, acknowledged) = (s3.clone(), Arc::clone(&acknowledged));
            async move {
                let (path, content) = (format!("/b/w-{task}-{round}"), written(task, round));
                match s3.put_content(&path, content).await {
                    Ok(_) => acknowledged.lock().unwrap().push((path, content)),
                    // While all six are down there is nobody to write to, and that is said as S3 says it.
                    Err(ClientError::Status { status, .. }) if status == 503 => {
                        sleep(Duration::from_millis(20)).await
                    }
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
    }
    // All at once, in the middle of it.
    writers.rounds(4).await;
    for node in &mut cluster.nodes {
        node.kill();
    }
    for node in &mut cluster.nodes {
        node.start();
    }
    cluster.online(6).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn flipped_bits_and_truncated_logs_are_never_served_but_blamed_and_repaired() {
    let mut cluster = Options::new().quick_upkeep().separate().await;
    let s3 = cluster.client();
    s3.make_bucket("b").await;
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
    let blamed = |cluster: &Cluster, name: &str| {
        let state = cluster.node_state(name);
        if state.misbehaved() > 0 || state.rotten() > 0 {
            Ok(())
        } else {
            Err(format!("{state:?}"))
        }
    };
    cluster
        .eventually("the rot is seen and laid to node-0", REPAIR, || blamed(&cluster, "node-0"))
        .await;
    for other in 1..6 {
        assert!(blamed(&cluster, &format!("node-{other}")).is_err(), "node-{other} is innocent");
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

/// With k = 4 of n = 6 and two others dead, everything can only be read if the four that are left hold every shard right.
async fn proves_repaired(cluster: &mut Cluster, objects: &[(String, Content)], dead: [usize; 2]) {
    cluster.whole(REPAIR).await;
    for index in dead {
        cluster.nodes[index].kill();
    }
    check_all(&cluster.client(), objects, &format!("after repair, with nodes {dead:?} dead")).await;
    for index in dead {
        cluster.nodes[index].start();
    }
    cluster.online(6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disks_fail_cleanly_and_leave_nothing_half_committed() {
    let mut cluster = Options::new().quick_upkeep().nodes(5).disk("256MiB").separate().await;
    // The sixth has hardly any room: it fills first, and writes go on without it.
    cluster.add_node_with("64MiB");
    cluster.online(6).await;
    let s3 = cluster.client();
    s3.make_bucket("b").await;
    let mut objects = Vec::new();
    let refused = loop {
        let content = Content::new(objects.len() as u64, 16 * MIB);
        let path = format!("/b/fill-{:03}", objects.len());
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
    let replaced = s3.put_content("/b/fill-000", Content::new(999, 16 * MIB)).await;
    assert!(
        matches!(replaced, Err(ClientError::Status { status, .. }) if status == 503),
        "{replaced:?}"
    );
    check_all(&s3, &objects, "with full disks").await;
    s3.put("/b/inline").body("small objects need no node").send().await.expect_status(200).await;

    // Room again after deletes.
    for (path, _) in objects.drain(..objects.len() / 2) {
        s3.delete(&path).send().await.expect_status(204).await;
    }
    let content = Content::new(1234, 16 * MIB);
    let mut tries = 0;
    while let Err(error) = s3.put_content("/b/again", content).await {
        tries += 1;
        assert!(tries < 120, "no room came back: {error}");
        sleep(Duration::from_millis(500)).await;
    }
    s3.check_content("/b/again", content).await.unwrap();
    check_all(&s3, &objects, "after deletes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upload_loses_nothing_while_upkeep_collects_around_it() {
    let cluster = Options::new().quick_upkeep().up().await;
    let s3 = cluster.client();
    s3.make_bucket("b").await;
    let (content, seconds) = (Content::new(8, 40 * MIB), scaled(20, 180));
    let pieces = content.len / (256 * KIB);
    let pause = Duration::from_secs(seconds) / pieces as u32;
    let slow = content.pieces(256 * KIB).then(move |piece: Bytes| async move {
        sleep(pause).await;
        Ok(piece)
    });
    let slow = tokio::spawn(s3.put("/b/slow").stream(content.len, slow).try_send());
    let mut round = 0;
    while !slow.is_finished() {
        let churn = Content::new(round, 2 * MIB);
        s3.put_content("/b/churn", churn).await.unwrap();
        s3.check_content("/b/churn", churn).await.unwrap();
        s3.delete("/b/churn").send().await.expect_status(204).await;
        round += 1;
        sleep(Duration::from_millis(100)).await;
    }
    slow.await.unwrap().unwrap().expect_status(200).await;
    s3.check_content("/b/slow", content).await.unwrap();
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
    s3.check_content("/b/slow", content).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_bucket_races_puts_and_no_object_ever_lies_in_a_deleted_bucket() {
    let cluster = Options::new().quick_upkeep().up().await;
    let s3 = cluster.client();
    let (mut deleted, mut refused) = (0, 0);
    for round in 0..scaled(60, 600_u64) {
        s3.make_bucket("race").await;
        let puts = stream::iter(0..4).map(|index| {
            let s3 = s3.clone();
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
        assert!(statuses.iter().all(|status| [200, 404].contains(status)), "{statuses:?}");
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

#[tokio::test(flavor = "multi_thread")]
async fn deletes_reach_a_node_that_was_away() {
    let mut cluster = Options::new().quick_upkeep().separate().await;
    let s3 = cluster.client();
    s3.make_bucket("b").await;
    let objects = put_some(&s3, "gone", &[5 * MIB, MIB, 100 * KIB]).await;
    cluster.whole(REPAIR).await;
    assert!(cluster.node_state("node-2").used() > 0);
    cluster.nodes[2].kill();
    for (path, _) in &objects {
        s3.delete(path).send().await.expect_status(204).await;
    }
    cluster
        .eventually("the others have let go", REPAIR, || {
            let states = cluster.node_states();
            let rest: u64 = states
                .iter()
                .filter(|state| state.name() != "node-2")
                .map(|state| state.used())
                .sum();
            if rest == 0 { Ok(()) } else { Err(format!("{rest} bytes left")) }
        })
        .await;
    cluster.nodes[2].start();
    cluster.online(6).await;
    cluster
        .eventually("the one that was away lets go, too", REPAIR, || {
            let used = cluster.node_state("node-2").used();
            if used == 0 { Ok(()) } else { Err(format!("{used} bytes left")) }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_nodes_slots_are_rebuilt_on_a_spare_one() {
    let options = Options::new().quick_upkeep().flag("--node-lost-after", "4s");
    let mut cluster = options.separate().await;
    let s3 = cluster.client();
    s3.make_bucket("b").await;
    let objects = put_some(&s3, "lost", &[12 * MIB, 3 * MIB, 200 * KIB, 17 * KIB]).await;
    cluster.whole(REPAIR).await;
    cluster.nodes[0].kill();
    cluster
        .eventually("the loss is shown, with nobody to take its place", REPAIR, || {
            let missing = cluster.metric("drystone_slots_missing");
            if missing > 0.0 { Ok(()) } else { Err("no slot is said to be missing".into()) }
        })
        .await;
    check_all(&s3, &objects, "degraded").await;
    let spare = cluster.add_node();
    cluster.whole(REPAIR).await;
    assert!(cluster.node_state(&format!("node-{spare}")).used() > 0);
    cluster.nodes[1].kill();
    cluster.nodes[2].kill();
    check_all(&s3, &objects, "with two more nodes dead").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_what_is_under_way_and_takes_nothing_new() {
    for separate in [false, true] {
        let options = Options::new();
        let mut cluster = if separate { options.separate().await } else { options.up().await };
        let s3 = cluster.client();
        s3.make_bucket("b").await;
        let (old, new) = (Content::new(1, 24 * MIB), Content::new(2, 8 * MIB));
        s3.put_content("/b/old", old).await.unwrap();
        let slow = new.pieces(256 * KIB).then(|piece: Bytes| async move {
            sleep(Duration::from_millis(50)).await;
            Ok(piece)
        });
        let put = tokio::spawn(s3.put("/b/new").stream(new.len, slow).try_send());
        let answer = s3.get("/b/old").send().await;
        let mut pieces = Box::pin(answer.pieces());
        let mut checker = old.checker(0..old.len);
        checker.feed(&pieces.next().await.unwrap().unwrap()).unwrap();
        sleep(Duration::from_millis(200)).await;
        cluster.gateway.terminate();
        sleep(Duration::from_millis(300)).await;
        // A fresh connection is refused, or answered that the door is closing.
        if let Ok(late) = cluster.client().put("/b/late").body("x").try_send().await {
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
        s3.check_content("/b/old", old).await.unwrap();
        s3.check_content("/b/new", new).await.unwrap();
        for node in &mut cluster.nodes {
            node.terminate();
            let status = node.ended(Duration::from_secs(10)).await;
            assert!(status.success(), "a node's end: {status}");
        }
    }
}
