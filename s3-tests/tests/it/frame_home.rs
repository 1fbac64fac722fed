//! A node at somebody's home: behind a router that lets nothing in, far away, on a slow and lossy line that is cut, half-open and renumbered. Real
//! gateway, real node, real kernel; root only, and loudly absent without it.

use std::process::Command;
use std::time::{Duration, Instant};

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::cluster::{Cluster, Options, binary};
use drystone_s3_tests::netns::{Net, can_run};
use drystone_s3_tests::process::Process;
use drystone_s3_tests::relay::Relay;
use drystone_s3_tests::scaled;
use tokio::time::sleep;
use types::MIB;

/// Half of 80 ms there and back.
const FAR: Duration = Duration::from_millis(40);
/// Without a word from the other end, a link is given up after two keep-alives of 20 s; then it is dialled again.
const SILENCE: Duration = Duration::from_secs(50);

/// A cluster of five nodes on this machine, and one at home.
struct World {
    // The node goes first, its network last.
    home: Process,
    cluster: Cluster,
    relay: Relay,
    net: Net,
}

impl World {
    async fn new() -> Self {
        let cluster = Options::new().nodes(5).quick_upkeep().separate().await;
        let net = Net::behind_router();
        net.slow("20mbit");
        net.lose(5);
        let relay = Relay::start(net.address(), cluster.node_address(), FAR).await;
        let data = cluster.dir().join("home").display().to_string();
        let joined = Command::new(binary("drystone-node"))
            .args(["join", &cluster.invite(), "--data", &data, "--disk", "10GB", "--name", "home"])
            .output()
            .unwrap();
        assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
        let args = ["run", "--data", &data, "--gateways", &net.address().to_string()];
        let args = args.map(str::to_owned).to_vec();
        let logs = cluster.dir().join("logs");
        let mut home = net.process("home", &binary("drystone-node"), args, &logs);
        home.start();
        cluster.online(6).await;
        Self { home, cluster, relay, net }
    }

    /// How often it has linked so far.
    fn links(&self) -> usize {
        self.home.log().matches("linked").count()
    }

    /// Waits for a link beyond the first `links`, and until the gateway has it.
    async fn linked_again(&self, what: &str, links: usize, limit: Duration) {
        let begun = Instant::now();
        self.cluster
            .eventually(what, limit, || {
                if self.links() > links { Ok(()) } else { Err(self.home.log()) }
            })
            .await;
        println!("{what}: linked again after {:?}", begun.elapsed());
        self.cluster.online(6).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_behind_a_router_far_away_on_a_lossy_line_does_its_share() {
    if !can_run("a_node_behind_a_router_far_away_on_a_lossy_line_does_its_share") {
        return;
    }
    let mut world = World::new().await;
    world.cluster.ready().await;
    let s3 = world.cluster.client();
    s3.make_bucket("far").await;
    let len = scaled(8 * MIB, 64 * MIB);
    for index in 0..3 {
        s3.put_content(&format!("/far/{index}"), Content::new(index, len)).await.unwrap();
    }
    world.cluster.whole(Duration::from_secs(scaled(60, 300))).await;
    // A group that was formed before the home was there gets it as its sixth, and repair fills that slot.
    let holds_its_shards = || {
        let status = world.cluster.node_status(&world.cluster.dir().join("home")).unwrap();
        let held = status["store"]["live_bytes"].as_u64().unwrap();
        if held >= 3 * len / 4 { Ok(()) } else { Err(format!("{held} bytes")) }
    };
    let patience = Duration::from_secs(scaled(60, 300));
    world.cluster.eventually("the home holds its shards", patience, holds_its_shards).await;
    for index in 0..3 {
        s3.check_content(&format!("/far/{index}"), Content::new(index, len)).await.unwrap();
    }
    assert_eq!(world.cluster.blamed("home"), 0, "a bad line is nobody's fault");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_address_another_place_and_a_half_open_connection_cost_seconds() {
    if !can_run("another_address_another_place_and_a_half_open_connection_cost_seconds") {
        return;
    }
    let mut world = World::new().await;
    let links = world.links();
    world.net.change_address();
    world.linked_again("the provider gave another address", links, SILENCE).await;
    let links = world.links();
    world.net.move_machine();
    world.linked_again("the machine moved", links, Duration::from_secs(20)).await;
    let links = world.links();
    world.relay.go_quiet();
    world.linked_again("a half-open connection", links, SILENCE).await;
    assert_eq!(world.cluster.blamed("home"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_was_cut_and_a_laptop_that_slept_are_back_in_seconds() {
    if !can_run("a_line_that_was_cut_and_a_laptop_that_slept_are_back_in_seconds") {
        return;
    }
    let world = World::new().await;
    let links = world.links();
    // A process that stands still for this long looks to itself like a machine that slept.
    world.home.freeze();
    sleep(Duration::from_secs(18)).await;
    world.home.thaw();
    world.linked_again("a laptop woke up", links, Duration::from_secs(10)).await;
    let links = world.links();
    world.net.cut();
    sleep(Duration::from_secs(scaled(45, 60))).await;
    world.net.mend();
    // It was at most in the middle of a dial, or of a wait before one.
    world.linked_again("the line was mended", links, Duration::from_secs(30)).await;
    assert_eq!(world.cluster.blamed("home"), 0);
}
