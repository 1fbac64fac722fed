//! A thousand homes whose gateway was away for a moment.

use std::time::{Duration, Instant};

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::client::Payload;
use drystone_s3_tests::cluster::Options;
use drystone_s3_tests::hostile::HostileNode;
use drystone_s3_tests::process::MemoryMeter;
use drystone_s3_tests::scaled;
use futures::{StreamExt, stream};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::Value;
use types::MIB;

/// Files and sockets of this process, and of the gateway that inherits the limit.
const FILES: u64 = 8192;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_nodes_that_come_back_at_once_do_not_hurt_the_gateway() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(limit.maximum.map_or(FILES, |maximum| maximum.min(FILES)));
    setrlimit(Resource::Nofile, limit).unwrap();
    let count: usize = scaled(200, 1000);
    // Honest here, and worse than real ones: they dial five times a second, all in step, without backoff or jitter.
    let mut cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("storm").await;
    let content = Content::new(1, 4 * MIB);
    s3.put_content("/storm/before", content).await.unwrap();
    let admin = s3.for_service(cluster.admin_address(), "drystone");
    let nodes: Vec<_> = stream::iter(0..count)
        .map(|index| {
            let admin = admin.clone();
            async move {
                let answer =
                    admin.post("/admin/v1/invites").header("content-type", "application/json");
                // The admin API takes no body that its signature does not cover.
                let answer = answer.body("{}").payload(Payload::Signed).send().await;
                let answer = answer.expect_status(201).await;
                let told: Value = serde_json::from_str(&answer.text).unwrap();
                HostileNode::join(told["invite"].as_str().unwrap(), &format!("home-{index}")).await
            }
        })
        .buffered(16)
        .collect()
        .await;
    cluster.online(6 + count).await;
    cluster.gateway.kill();
    let begun = Instant::now();
    cluster.gateway.start();
    let meter = MemoryMeter::start(&cluster.gateway);
    cluster.ready().await;
    let served = begun.elapsed();
    // In the middle of the storm.
    let asked = Instant::now();
    s3.check_content("/storm/before", content).await.unwrap();
    let read = asked.elapsed();
    cluster.online(6 + count).await;
    let back = begun.elapsed();
    let peak = meter.peak();
    println!(
        "{count} nodes: S3 after {served:?}, a read of 4 MiB took {read:?}, all back after {back:?}, {} MiB at most",
        peak / MIB
    );
    assert!(back < Duration::from_secs(30), "{back:?}");
    assert!(read < Duration::from_secs(5), "{read:?}");
    assert!(peak <= 768 * MIB, "{} MiB", peak / MIB);
    drop(nodes);
}
