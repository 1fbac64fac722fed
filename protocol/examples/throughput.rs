//! What the conversation costs: one gateway and one node in one process, over loopback TCP and TLS, with hashing and verification
//! as in real life. Prints MiB/s and, for both ends together, processor seconds per GiB.
//!
//! `cargo run --release -p drystone-protocol --example throughput`

extern crate drystone_protocol as protocol;

use std::time::Instant;

use types::Root;
use world::{Mood, fetch_request, linked, noise, pieces, store_request};

#[allow(dead_code)]
#[path = "../tests/it/world.rs"]
mod world;

const SHARD: usize = 8 << 20;
const ROUNDS: u32 = 128;

#[tokio::main]
async fn main() {
    let link = linked(Mood::Honest).await;
    let bytes = noise(1, SHARD);
    let root = Root::of(&bytes);

    let meter = Meter::start();
    for _ in 0..ROUNDS {
        let answer = link
            .client
            .store(&store_request(1, SHARD as u64), pieces(&bytes))
            .await
            .expect("an honest node");
        assert_eq!(answer.root, root);
    }
    meter.report("store");

    for step in [64 << 10, 256 << 10, 1 << 20] {
        let meter = Meter::start();
        for _ in 0..ROUNDS {
            let request = fetch_request(1, 0, SHARD as u64, step);
            let mut slices =
                link.client.fetch(&request, &root, SHARD as u64).await.expect("an honest node");
            while let Some(slice) = slices.next().await {
                slice.expect("an honest node");
            }
        }
        meter.report(&format!("fetch in steps of {} KiB", step >> 10));
    }
}

struct Meter {
    wall: Instant,
    ticks: u64,
}

impl Meter {
    fn start() -> Self {
        Self { wall: Instant::now(), ticks: processor_ticks() }
    }

    fn report(&self, what: &str) {
        let mib = f64::from(ROUNDS) * (SHARD >> 20) as f64;
        let processor = (processor_ticks() - self.ticks) as f64 / 100.0;
        let (rate, cost) = (mib / self.wall.elapsed().as_secs_f64(), processor / (mib / 1024.0));
        println!("{what}: {rate:.0} MiB/s, {cost:.2} processor-s/GiB");
    }
}

/// User and system time of this process in hundredths of a second (proc(5), fields 14 and 15).
fn processor_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux has /proc");
    let fields = stat.rsplit(") ").next().expect("the fields after the name").split(' ');
    fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}
