//! The laws of money over a random life of the network: customers store, read and leave, nodes hold, serve and cheat, money comes and
//! goes, the engine stops anywhere, and everything is asked for more than once.
//!
//! `DRYSTONE_SOAK=1` makes the life a million events long.

use std::collections::BTreeMap;

use billing::account::Adjustment;
use billing::ledger::LedgerAccount;
use billing::payout::Payee;
use billing::{Batch, BillingError, Day, DaySummary, Money, Source};
use kv::KvError;
use types::usage::{RequestClass, UsageEvent, UsageKind, WorkEvent, WorkKind};
use types::{NodeId, Timestamp};

use crate::support::{CLASS, FIRST, Rng, World, at, bucket, id, money, node};

const CUSTOMERS: u64 = 7;
const NODES: u64 = 9;
const SOURCES: u64 = 3;
const EVENTS_OF_A_BATCH: u64 = 25;
const HOURS: u32 = 24;

/// Events of one life.
fn events() -> u64 {
    if std::env::var_os("DRYSTONE_SOAK").is_some() { 1_000_000 } else { 30_000 }
}

fn customer(number: u64) -> String {
    format!("customer{number}")
}

/// A life, told by a seed alone: whether it is interrupted or not, the same things are asked for.
struct Life {
    world: World,
    /// What happens.
    rng: Rng,
    /// Where the engine stops; apart, so that it does not change what happens.
    crashes: Option<Rng>,
    /// Bytes that each customer holds, so that no more is released.
    held: BTreeMap<u64, u64>,
    requests: u64,
}

impl Life {
    async fn begin(world: World, seed: u64, crashes: bool) -> Self {
        let world = world.with_tariff().await;
        let crashes = crashes.then_some(Rng(seed ^ 0xc0ffee));
        let life = Self { world, rng: Rng(seed), crashes, held: BTreeMap::new(), requests: 0 };
        for number in 0..NODES {
            let (node, owner) = (node(number as u8), id(&customer(number % 3)));
            life.world.billing.enrol(node, Some(&owner), FIRST.start()).await.expect("enrolled");
        }
        for number in 0..3 {
            let payee = Payee {
                name: format!("Owner {number}"),
                iban: "GB82WEST12345698765432".parse().expect("an IBAN"),
                bic: None,
            };
            let owner = id(&customer(number));
            life.world.billing.set_payee(&owner, &payee).await.expect("a payee");
            life.world.billing.set_netting(&owner, number == 0).await.expect("netting");
        }
        life
    }

    /// Does `act` until it is done, over as many crashes as it takes; then once more.
    async fn surely<T, F>(&mut self, act: impl Fn(billing::Billing) -> F)
    where
        F: Future<Output = Result<T, BillingError>>,
    {
        if let Some(crashes) = &mut self.crashes {
            while crashes.chance(60) {
                self.world.engine.allow(crashes.below(6));
                match act(self.world.billing.clone()).await {
                    Ok(_) | Err(BillingError::Store(KvError::Closed)) => {}
                    Err(BillingError::Overdrawn { .. }) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            self.world.engine.allow(u64::MAX);
        }
        for _ in 0..2 {
            match act(self.world.billing.clone()).await {
                // What is not there cannot be moved: refused, and nothing has changed.
                Ok(_) | Err(BillingError::Overdrawn { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn usage_event(&mut self, at: Timestamp) -> UsageEvent {
        let number = self.rng.below(CUSTOMERS);
        let held = self.held.entry(number).or_default();
        let kind = match self.rng.below(6) {
            0 | 1 => {
                let bytes = self.rng.below(50_000_000_000);
                *held += bytes;
                UsageKind::Stored { bytes, geometry: CLASS }
            }
            2 => {
                let bytes = self.rng.below(*held + 1);
                *held -= bytes;
                UsageKind::Released { bytes, geometry: CLASS }
            }
            3 => UsageKind::Egress { bytes: self.rng.below(2_000_000_000) },
            4 => UsageKind::Requests {
                class: RequestClass::ALL[self.rng.below(3) as usize],
                count: self.rng.below(20),
            },
            _ => UsageKind::Fuel { units: self.rng.below(3_000_000_000) },
        };
        let bucket = bucket(number as u8);
        UsageEvent { at, account: id(&customer(number)), bucket, key: None, kind }
    }

    fn work_event(&mut self, at: Timestamp) -> WorkEvent {
        let bytes = self.rng.below(5_000_000_000);
        let kind = match self.rng.below(8) {
            0..=2 => WorkKind::Held { bytes },
            3 => WorkKind::Unproven { byte_millis: bytes * 1_000 },
            4 => WorkKind::Served { bytes },
            5 => WorkKind::Repair { bytes },
            6 => WorkKind::Audit { bytes },
            _ => WorkKind::Fuel { units: bytes },
        };
        WorkEvent { at, node: node(self.rng.below(NODES) as u8), kind }
    }

    /// An hour of events from every source, some of them late, all of them sent again and again.
    async fn hour(&mut self, hour: u32) {
        for source in 0..SOURCES {
            let number = self.world.billing.next_batch(Source(source)).await.expect("a number");
            let mut batch =
                Batch { source: Source(source), number, usage: Vec::new(), work: Vec::new() };
            for _ in 0..EVENTS_OF_A_BATCH {
                let late = if self.rng.chance(5) { self.rng.below(3) as u32 } else { 0 };
                let at = at(hour.saturating_sub(late), self.rng.below(60));
                if self.rng.chance(50) {
                    batch.usage.push(self.usage_event(at));
                } else {
                    batch.work.push(self.work_event(at));
                }
            }
            let batch = &batch;
            self.surely(|billing| async move { billing.count(batch).await }).await;
        }
        let now = at(hour + 1, 10);
        self.surely(|billing| async move { billing.close_hours(now).await }).await;
        self.money(now).await;
    }

    /// Now and then somebody moves money.
    async fn money(&mut self, now: Timestamp) {
        if !self.rng.chance(30) {
            return;
        }
        self.requests += 1;
        let account = id(&customer(self.rng.below(CUSTOMERS)));
        let amount = Money::from_micros(1 + i128::from(self.rng.below(3_000_000)));
        let request = format!("request {}", self.requests);
        let adjustment = match self.rng.below(6) {
            0..=2 => Adjustment::Deposit,
            3 => Adjustment::Refund,
            4 => Adjustment::Credit,
            _ => Adjustment::Correction,
        };
        let (account, request) = (&account, request.as_str());
        self.surely(|billing| async move {
            billing.adjust(account, adjustment, amount, "because", request, now).await
        })
        .await;
    }

    /// The end of a day.
    async fn settle(&mut self, day: u32) {
        let now = at((day + 1) * HOURS, 10);
        self.surely(|billing| async move { billing.settle(now).await }).await;
        if day % 5 == 4 {
            let vetted = node(self.rng.below(NODES) as u8);
            self.surely(|billing| async move { billing.vet(vetted, Some(at(0, 0))).await }).await;
            self.surely(|billing| async move { billing.release_held(now).await }).await;
        }
        if day % 7 == 6 {
            self.pay_out(&format!("batch-{day}"), now).await;
        }
        self.check(Day(FIRST.0 + day)).await;
    }

    /// A batch that is paid, returned or cancelled.
    async fn pay_out(&mut self, name: &str, now: Timestamp) {
        self.surely(|billing| async move { billing.prepare_payouts(name, None, now).await }).await;
        if self.rng.chance(20) {
            self.surely(|billing| async move { billing.cancel_payouts(name, now).await }).await;
            return;
        }
        self.surely(|billing| async move { billing.mark_sent(name).await }).await;
        let payouts = self.world.billing.payouts(name).await.expect("payouts");
        for (account, _) in &payouts {
            let returned = self.rng.chance(30);
            if !returned || self.rng.chance(50) {
                self.surely(|billing| async move { billing.mark_paid(name, account, now).await })
                    .await;
            }
            if returned {
                self.surely(|billing| async move {
                    billing.mark_returned(name, account, "account closed", now).await
                })
                .await;
            }
        }
    }

    /// The laws, from the first entry to the last.
    async fn check(&self, day: Day) {
        let totals = self.world.check().await;
        let summary = self.world.billing.day(day).await.expect("readable").expect("settled");
        for (revenue, fee) in summary.division.revenue.iter().zip(summary.division.fee) {
            assert_eq!(fee.micros(), revenue.micros() * 5 / 100);
        }
        for (pot, paid) in summary.division.pots.iter().zip(summary.paid) {
            assert!(paid <= *pot);
        }
        // All that anybody may still get is in the bank.
        let claims = [
            totals.customers,
            totals.unsettled,
            totals.carried,
            totals.nodes,
            totals.transit,
            totals.tax,
            totals.operator,
        ];
        assert_eq!(Money::total(claims), Ok(totals.bank));
    }
}

/// Lives it from the first day on.
async fn live(world: World, seed: u64, crashes: bool, events: u64) -> Life {
    let mut life = Life::begin(world, seed, crashes).await;
    let days = events / (EVENTS_OF_A_BATCH * SOURCES * u64::from(HOURS));
    for day in 0..u32::try_from(days.max(2)).expect("days") {
        for hour in 0..HOURS {
            life.hour(day * HOURS + hour).await;
        }
        life.settle(day).await;
    }
    life
}

async fn all_balances(world: &World) -> Vec<(LedgerAccount, Money)> {
    world.billing.balances(None, usize::MAX).await.expect("balances")
}

async fn all_days(world: &World) -> Vec<DaySummary> {
    let end = world.billing.next_day().await.expect("readable").expect("a day");
    let mut days = Vec::new();
    for day in (FIRST.0..end.0).map(Day) {
        days.push(world.billing.day(day).await.expect("readable").expect("settled"));
    }
    days
}

async fn money_is_conserved_and_payouts_never_exceed_money_received(world: World) {
    let life = live(world, 1, true, events()).await;
    let totals = life.world.check().await;
    assert!(totals.covered > Money::ZERO && totals.earned > Money::ZERO, "{totals:?}");
}

crate::on_every_engine!(money_is_conserved_and_payouts_never_exceed_money_received);

#[tokio::test]
async fn a_crash_changes_nothing() {
    let few = 30_000;
    let calm = live(World::in_memory(), 2, false, few).await.world;
    let wild = live(World::in_memory(), 2, true, few).await.world;
    assert_eq!(all_balances(&calm).await, all_balances(&wild).await);
    assert_eq!(all_days(&calm).await, all_days(&wild).await);
}

#[tokio::test]
async fn running_a_settlement_again_changes_nothing() {
    let world = live(World::in_memory(), 3, false, 20_000).await.world;
    let (head, balances) =
        (world.billing.head().await.expect("a head"), all_balances(&world).await);
    let day = world.billing.next_day().await.expect("readable").expect("a day");
    let now = day.hour(1).start();
    for _ in 0..3 {
        world.billing.close_hours(now).await.expect("closed");
        assert!(world.billing.settle(now).await.expect("settled").is_empty());
    }
    assert_eq!(world.billing.head().await.expect("a head"), head);
    assert_eq!(all_balances(&world).await, balances);
}

#[tokio::test]
async fn of_what_was_covered_the_operator_got_five_percent() {
    let world = live(World::in_memory(), 7, false, events()).await.world;
    let days = all_days(&world).await;
    let sum = |part: fn(&DaySummary) -> billing::settle::ByPool| {
        Money::total(days.iter().flat_map(part)).expect("small").micros()
    };
    let (revenue, fee) = (sum(|day| day.division.revenue), sum(|day| day.division.fee));
    assert!(fee * 20 <= revenue, "never more");
    let cuts = i128::try_from(days.len() * 3).expect("few");
    assert!(revenue < (fee + cuts) * 20, "and less only by what is below a micro-unit");
    // The ledger, read from its first entry, says the same.
    let totals = world.check().await;
    assert_eq!(totals.fee.micros(), fee);
    assert_eq!(totals.covered.micros(), revenue + totals.unsettled.micros());
}

#[tokio::test]
async fn two_who_settle_at_once_settle_once() {
    let world = World::in_memory().with_tariff().await;
    let mut life = Life::begin_with(world);
    for hour in 0..HOURS {
        life.hour(hour).await;
    }
    let now = at(HOURS, 10);
    let (one, two) = (life.world.billing.clone(), life.world.billing.clone());
    let (one, two) = tokio::join!(one.settle(now), two.settle(now));
    one.and(two).expect("settled");
    life.check(FIRST).await;
}

#[tokio::test]
async fn what_was_written_stays() {
    let world = live(World::in_memory(), 4, false, 10_000).await.world;
    let entries = world.billing.entries(0, usize::MAX).await.expect("entries");
    let (next, chain) = world.billing.head().await.expect("a head");
    assert_eq!(entries.len() as u64, next);
    assert_eq!(entries.last().expect("entries").1.chain, chain.0);
}

#[tokio::test]
async fn an_id_is_posted_once() {
    let world = live(World::in_memory(), 6, true, 10_000).await.world;
    let entries = world.billing.entries(0, usize::MAX).await.expect("entries");
    let ids: std::collections::BTreeSet<_> = entries.iter().map(|(_, entry)| entry.id).collect();
    assert_eq!(ids.len(), entries.len());
}

#[tokio::test]
async fn held_back_money_is_the_nodes_or_goes_to_the_others() {
    let world = live(World::in_memory(), 5, false, 20_000).await.world;
    let before = world.check().await;
    let taken: NodeId = node(1);
    let held = world.balance(LedgerAccount::Held(taken)).await;
    assert!(held > Money::ZERO);
    let now = at(10 * HOURS, 0);
    for _ in 0..2 {
        world.billing.forfeit(taken, "left without notice", "f1", now).await.expect("forfeited");
    }
    let after = world.check().await;
    assert_eq!(after.carried, before.carried.plus(held).expect("small"));
    assert_eq!(after.operator, before.operator);
    assert_eq!(world.balance(LedgerAccount::Held(taken)).await, money("0"));
}

impl Life {
    fn begin_with(world: World) -> Self {
        Self { world, rng: Rng(9), crashes: None, held: BTreeMap::new(), requests: 0 }
    }
}
