//! A node that lies, stalls and floods: customers see nothing of it, the gateway stays small, and the node is blamed.

use std::time::{Duration, Instant};

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::client::Client;
use drystone_s3_tests::cluster::{Cluster, Options};
use drystone_s3_tests::hostile::{HostileNode, Mode};
use drystone_s3_tests::process::MemoryMeter;
use drystone_s3_tests::scaled;
use protocol::message::Verb;
use types::{KIB, MIB};

/// No request of these sizes may take longer because of one node.
const PATIENCE: Duration = Duration::from_secs(20);
/// PSS of a gateway without nodes under this small load.
const MEMORY: u64 = 400 * MIB;

const LENGTHS: [u64; 4] = [6 * MIB, MIB, 300 * KIB, 40 * KIB];

async fn rounds(s3: &Client, mode: Mode, old: &[(String, Content)]) {
    for (index, len) in LENGTHS.into_iter().enumerate() {
        let (path, content) = (format!("/bkt/{mode:?}-{index}"), Content::new(index as u64, len));
        let begin = Instant::now();
        s3.put_content(&path, content)
            .await
            .unwrap_or_else(|error| panic!("PUT beside {mode:?}: {error}"));
        s3.check_content(&path, content)
            .await
            .unwrap_or_else(|error| panic!("GET beside {mode:?}: {error}"));
        s3.check_range(&path, content, 10_000..30_000)
            .await
            .unwrap_or_else(|error| panic!("range beside {mode:?}: {error}"));
        assert!(begin.elapsed() < PATIENCE, "{mode:?} cost {:?} for {len} bytes", begin.elapsed());
    }
    for (path, content) in old {
        let begin = Instant::now();
        s3.check_content(path, *content)
            .await
            .unwrap_or_else(|error| panic!("{path} beside {mode:?}: {error}"));
        assert!(begin.elapsed() < PATIENCE, "{mode:?} cost {:?} for {path}", begin.elapsed());
    }
}

async fn suffer(cluster: &Cluster, mode: Mode) {
    let s3 = cluster.client();
    let bucket = s3.put("/bkt").send().await.read().await;
    assert_eq!(bucket.status, 200);
    let hostile = HostileNode::join(&cluster.invite(), &format!("{mode:?}")).await;
    cluster.online(6).await;
    // Honest at first, so that it holds shards that will be asked for.
    let mut old = Vec::new();
    for (index, len) in LENGTHS.into_iter().chain([2 * MIB; 6]).enumerate() {
        let (path, content) =
            (format!("/bkt/before-{mode:?}-{index}"), Content::new(index as u64 + 100, len));
        s3.put_content(&path, content).await.unwrap();
        old.push((path, content));
    }
    let stored =
        || if hostile.shards() >= 8 { Ok(()) } else { Err(format!("{} shards", hostile.shards())) };
    cluster.eventually("the node is trusted with shards", PATIENCE, stored).await;
    let meter = MemoryMeter::start(&cluster.gateway);
    hostile.set(mode);
    rounds(&s3, mode, &old).await;
    let peak = meter.peak();
    assert!(peak < MEMORY, "{mode:?} cost {} MiB", peak / MIB);
    assert!(
        hostile.asked(Verb::Fetch) + hostile.asked(Verb::Store) > 0,
        "{mode:?} was never asked for anything"
    );
    if matches!(mode, Mode::PingFlood | Mode::SettingsFlood) {
        let cut = || if hostile.cut() > 0 { Ok(()) } else { Err("it floods on".to_owned()) };
        // Two keep-alives at most: a line that is full of pongs cannot even be told goodbye.
        cluster.eventually("the flood is cut off", Duration::from_secs(60), cut).await;
    }
    let name = format!("{mode:?}");
    let blamed = || if cluster.blamed(&name) > 0 { Ok(()) } else { Err(cluster.metrics()) };
    if blameworthy(mode) {
        cluster.eventually("the node is blamed", Duration::from_secs(30), blamed).await;
    } else {
        assert!(blamed().is_err(), "{mode:?} might be bad luck, and was blamed");
    }
    for index in 0..cluster.nodes.len() {
        let name = format!("node-{index}");
        assert_eq!(cluster.blamed(&name), 0, "{name} is innocent beside {mode:?}");
    }
}

/// What no honest node can do, however slow or unlucky. Being slow, silent or forgetful is not that.
fn blameworthy(mode: Mode) -> bool {
    !matches!(
        mode,
        Mode::Honest
            | Mode::DripFeed
            | Mode::Silent
            | Mode::Forgetful
            | Mode::PingFlood
            | Mode::SettingsFlood
    )
}

async fn each(modes: &[Mode]) {
    for &mode in modes {
        // A cluster for each: who was caught once is not trusted with the next mode's shards.
        let cluster = Options::new().nodes(5).quick_upkeep().separate().await;
        cluster.client().make_bucket("bkt").await;
        suffer(&cluster, mode).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_serves_wrong_bytes_is_blamed_and_customers_see_the_right_ones() {
    each(&[Mode::WrongBytes, Mode::OtherShard, Mode::Forgetful]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lies_about_what_it_stored_is_blamed_and_writes_go_on() {
    each(&[Mode::ForgedReceipt, Mode::WrongRoot]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_answers_never_end_or_come_too_short_costs_little() {
    each(&[Mode::EndlessBody, Mode::ShortBody, Mode::HugeHeaders, Mode::HugeMessage, Mode::Noise])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_drips_or_stays_silent_delays_nobody_for_long() {
    each(&[Mode::DripFeed, Mode::Silent]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_floods_its_connection_is_cut_off() {
    each(scaled(&[Mode::PingFlood][..], &[Mode::PingFlood, Mode::SettingsFlood])).await;
}
