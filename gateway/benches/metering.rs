//! What metering costs a request: the look at where its payer stands, and the counting. Both together must stay below 10 µs.

use std::hint::black_box;
use std::sync::Arc;

use billing::account::Action;
use billing::{Billing, Rules, Usage};
use criterion::{Criterion, criterion_group, criterion_main};
use drystone_gateway::metering::{Metering, Payer, Purpose};
use drystone_gateway::standing::Standings;
use kv::memory::Memory;
use metadata::AccountingClock;
use tokio::runtime::{Builder, Runtime};
use types::usage::RequestClass;
use types::{BucketId, NodeId, SystemClock, UNIT};

/// Payers that are busy at once.
const PAYERS: u8 = 200;
/// Nodes that a small read asks.
const NODES: u8 = 10;

fn runtime() -> Runtime {
    Builder::new_current_thread().build().expect("a runtime")
}

fn payers() -> Vec<Arc<Payer>> {
    let payer = |number: u8| Payer {
        account: format!("customer-{number}").parse().expect("an id"),
        bucket: BucketId([number; 16]),
        key: Some(format!("AKIAIOSFODNN7EXAMPL{number}")),
    };
    (0..PAYERS).map(|number| Arc::new(payer(number))).collect()
}

fn standings(tiers: bool) -> Standings {
    let books = Billing::new(Arc::new(Memory::new()), Rules::default());
    Standings::new(books, Arc::new(SystemClock), AccountingClock::WALL, tiers)
}

fn metering(c: &mut Criterion) {
    let metering = Metering::new(Arc::new(SystemClock));
    let payers = payers();
    let mut next = payers.iter().cycle();
    c.bench_function("metering/count a small read", |b| {
        b.iter(|| {
            // As the gate does it: the payer is written down anew.
            let payer = Arc::new(Payer::clone(next.next().expect("endless")));
            metering.request(&payer, RequestClass::Read);
            metering.egress(&payer, black_box(UNIT));
            for node in 0..NODES {
                metering.served(NodeId([node; 32]), Purpose::Customer, UNIT);
            }
        });
    });
    c.bench_function("metering/take a second of two hundred payers", |b| {
        b.iter(|| {
            for payer in &payers {
                metering.request(payer, RequestClass::Read);
            }
            metering.take()
        });
    });
}

fn standing(c: &mut Criterion) {
    let (runtime, payers) = (runtime(), payers());
    let mut usage = Usage::default();
    usage.requests[RequestClass::Read as usize] = 1;
    for (name, tiers) in [("free", false), ("limited", true)] {
        let standings = standings(tiers);
        let mut next = payers.iter().cycle();
        c.bench_function(&format!("standing/admit a {name} payer"), |b| {
            b.iter(|| {
                let payer = next.next().expect("endless");
                let admitted = standings.admit(payer, Action::Read, black_box(usage), 0);
                // A payer who asks this often meets the limit of the tier: the refusal costs the same.
                black_box(runtime.block_on(admitted).is_ok())
            });
        });
    }
}

criterion_group!(benches, metering, standing);
criterion_main!(benches);
