//! Bounded memory, measured as PSS from outside. Scaled down for `make test`; `make soak` runs the full figures.

use std::time::Duration;

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::cluster::Options;
use drystone_s3_tests::process::MemoryMeter;
use drystone_s3_tests::scaled;
use futures::{StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::{Instant, sleep};
use types::{GIB, MIB};

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_put_and_a_huge_get_at_a_time_stay_within_400_mib() {
    let cluster = Options::new().quick_upkeep().up().await;
    let s3 = cluster.client();
    s3.make_bucket("mem").await;
    let len = scaled(256 * MIB, 5 * GIB);
    let (first, second) = (Content::new(1, len), Content::new(2, len));
    s3.put_content("/mem/first", first).await.unwrap();
    let meter = MemoryMeter::start(&cluster.gateway);
    let (put, get) =
        tokio::join!(s3.put_content("/mem/second", second), s3.check_content("/mem/first", first));
    put.unwrap();
    get.unwrap();
    let peak = meter.peak();
    println!("PUT and GET of {} MiB at a time: {} MiB", len / MIB, peak / MIB);
    assert!(peak <= 400 * MIB, "{} MiB", peak / MIB);
    s3.check_content("/mem/second", second).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_puts_at_a_time_stay_within_a_gib_and_a_half() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("mem").await;
    let len = scaled(6 * MIB, 64 * MIB);
    let meter = MemoryMeter::start(&cluster.gateway);
    let puts = stream::iter(0..64).map(|index| {
        let s3 = s3.clone();
        async move { s3.put_content(&format!("/mem/{index}"), Content::new(index, len)).await }
    });
    let results: Vec<_> = puts.buffer_unordered(64).collect().await;
    for result in results {
        result.unwrap();
    }
    let peak = meter.peak();
    println!("64 PUTs of {} MiB at a time: {} MiB", len / MIB, peak / MIB);
    assert!(peak <= 1536 * MIB, "{} MiB", peak / MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_read_a_kibibyte_a_second_hold_little() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("mem").await;
    let content = Content::new(1, 64 * MIB);
    s3.put_content("/mem/slow", content).await.unwrap();
    let meter = MemoryMeter::start(&cluster.gateway);
    let until = Instant::now() + Duration::from_secs(scaled(8, 120));
    let mut readers = Vec::new();
    for _ in 0..64 {
        // A socket with a small buffer, so that the kernel does not read ahead for the client.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 << 10).unwrap();
        let mut stream = socket.connect(cluster.s3()).await.unwrap();
        let request = s3.get("/mem/slow").presigned(600).into_raw();
        stream.write_all(request.as_bytes()).await.unwrap();
        readers.push(tokio::spawn(async move {
            let mut buf = [0; 1024];
            let mut got = 0;
            while Instant::now() < until {
                got += stream.read(&mut buf).await.expect("the line holds");
                sleep(Duration::from_secs(1)).await;
            }
            got
        }));
    }
    for reader in readers {
        assert!(reader.await.unwrap() > 2048, "a slow reader gets its bytes");
    }
    let peak = meter.peak();
    println!("64 GETs at 1 KiB/s: {} MiB", peak / MIB);
    assert!(peak <= 600 * MIB, "{} MiB", peak / MIB);
    // And others are not kept waiting by them.
    s3.check_content("/mem/slow", content).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_node_stays_within_64_mib() {
    let cluster = Options::new().separate().await;
    let s3 = cluster.client();
    s3.make_bucket("mem").await;
    s3.put_content("/mem/x", Content::new(1, 20 * MIB)).await.unwrap();
    let limit = Duration::from_secs(20);
    for (index, node) in cluster.nodes.iter().enumerate() {
        // The allocator gives back what the PUT took a little later.
        let check = || {
            let pss = node.pss();
            if pss <= 64 * MIB { Ok(pss) } else { Err(format!("{} MiB", pss / MIB)) }
        };
        let pss = cluster.eventually("a node at rest is small", limit, check).await;
        println!("node {index} at rest: {} MiB", pss / MIB);
    }
}
