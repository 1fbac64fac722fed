//! Usage comes in, hours are closed.

use billing::tally::Answer;
use billing::{Batch, BillingError, Counted, Day, Source, Usage, Work};
use types::usage::{UsageEvent, WorkKind};

use crate::support::{
    CLASS, FIRST, Rng, World, at, egress, id, node, released, served, stored, work,
};

const GB: u64 = billing::quantity::GB;
const HOUR_MILLIS: i128 = billing::calendar::HOUR_MILLIS as i128;

fn batch(number: u64, usage: Vec<UsageEvent>) -> Batch {
    Batch { source: Source(7), number, usage, work: Vec::new() }
}

/// What `account` used on the first day and the one after, by hour.
async fn used(world: &World, account: &str) -> Vec<(u32, Usage)> {
    let month = FIRST.month();
    let hours = world.billing.hours_of_use(&id(account), month).await.expect("hours");
    hours.into_iter().map(|row| (row.hour.0 - FIRST.hour(0).0, row.usage)).collect()
}

async fn a_batch_counts_once(world: World) {
    let first = batch(0, vec![egress(at(0, 1), "alice", 2)]);
    assert_eq!(world.billing.count(&first).await.expect("counted"), Counted::Now);
    for _ in 0..3 {
        assert_eq!(world.billing.count(&first).await.expect("counted"), Counted::Before);
    }
    let second = batch(1, vec![egress(at(0, 2), "alice", 3)]);
    assert_eq!(world.billing.count(&second).await.expect("counted"), Counted::Now);
    assert_eq!(world.billing.count(&first).await.expect("counted"), Counted::Before);
    world.billing.close_hours(at(1, 6)).await.expect("closed");
    assert_eq!(used(&world, "alice").await, [(0, Usage { egress: 5 * GB, ..Usage::default() })]);
}

async fn a_batch_that_is_missing_or_has_changed_is_noticed(world: World) {
    world.billing.count(&batch(0, vec![egress(at(0, 1), "alice", 2)])).await.expect("counted");
    let changed = world.billing.count(&batch(0, vec![egress(at(0, 1), "alice", 3)])).await;
    assert!(matches!(changed, Err(BillingError::BatchChanged { number: 0, .. })), "{changed:?}");
    let gap = world.billing.count(&batch(2, Vec::new())).await;
    assert!(matches!(gap, Err(BillingError::Gap { expected: 1, got: 2, .. })), "{gap:?}");
}

async fn sources_do_not_disturb_each_other(world: World) {
    // The first batch of all opens the books; from then on nobody is in anybody's way.
    world.count(9, vec![egress(at(0, 0), "alice", 0)], Vec::new()).await;
    world.engine.allow(80);
    let billing = &world.billing;
    let send = |source: u64| async move {
        for number in 0..20 {
            let usage = vec![egress(at(0, number), "alice", 1)];
            let work = vec![served(at(0, number), 1, 1)];
            let batch = Batch { source: Source(source), number, usage, work };
            billing.count(&batch).await.expect("counted");
        }
    };
    // Eighty batches in eighty transactions: none met a conflict and was run again.
    tokio::join!(send(1), send(2), send(3), send(4));
    world.engine.allow(u64::MAX);
    billing.close_hours(at(1, 6)).await.expect("closed");
    assert_eq!(used(&world, "alice").await, [(0, Usage { egress: 80 * GB, ..Usage::default() })]);
    let tallies = billing.tallies(node(1), FIRST).await.expect("tallies");
    assert_eq!(tallies[0].work, Work { served: 80 * GB, ..Work::default() });
}

async fn an_hour_is_closed_only_when_what_is_late_has_had_its_time(world: World) {
    world.count(1, vec![egress(at(0, 1), "alice", 1)], Vec::new()).await;
    let open = world.billing.close_hours(at(1, 4)).await.expect("not closed");
    assert_eq!(open, Some(FIRST.hour(0)));
    let open = world.billing.close_hours(at(1, 5)).await.expect("closed");
    assert_eq!(open, Some(FIRST.hour(1)));
}

async fn a_closed_hour_never_changes(world: World) {
    world.count(1, vec![stored(at(0, 0), "alice", 100)], Vec::new()).await;
    world.billing.close_hours(at(1, 5)).await.expect("closed");
    let before = used(&world, "alice").await;
    // Half an hour of the first hour, told in the second: its worth until then is counted in the second.
    world.count(1, vec![stored(at(0, 30), "alice", 10)], Vec::new()).await;
    world.billing.close_hours(at(2, 5)).await.expect("closed");
    let after = used(&world, "alice").await;
    assert_eq!(after[0], before[0]);
    let class = CLASS as usize;
    assert_eq!(after[1].1.stored[class], 110 * HOUR_MILLIS + 10 * HOUR_MILLIS / 2);
}

/// Customers that store and release at random, by three sources, in whatever order: the sum of the hours is what a look at each object's
/// life says.
async fn the_usage_of_a_period_is_what_the_bytes_held_in_it_add_up_to(world: World) {
    let mut rng = Rng(11);
    let end = 30_u32;
    let mut batches: Vec<Vec<UsageEvent>> = vec![Vec::new(); end as usize];
    let mut expected = [0_i128; 3];
    for _ in 0..600 {
        let account = rng.below(3);
        let name = format!("a{account}");
        let (from, until) = (rng.below(u64::from(end) - 2), rng.below(u64::from(end) - 2));
        let (from, until) = (from.min(until) as u32, from.max(until) as u32);
        let bytes = rng.below(1 << 40);
        let begin = at(from, rng.below(60));
        batches[from as usize].push(stored(begin, &name, bytes));
        let stop = at(until + 1, rng.below(60));
        // Some are told an hour late.
        let told = until + 1 + u32::from(rng.chance(20));
        batches[told as usize].push(released(stop, &name, bytes));
        expected[account as usize] += i128::from(bytes) * i128::from(stop.0 - begin.0);
    }
    for (hour, events) in (0..).zip(batches) {
        for (source, some) in (1..).zip(events.chunks(events.len() / 3 + 1)) {
            world.count(source, some.to_vec(), Vec::new()).await;
        }
        world.billing.close_hours(at(hour + 1, 5)).await.expect("closed");
    }
    for (account, expected) in (0..).zip(expected) {
        let hours = used(&world, &format!("a{account}")).await;
        let sum: i128 = hours.iter().map(|(_, usage)| usage.stored[CLASS as usize]).sum();
        assert_eq!(sum, expected);
        // Everything was released in the end.
        let name = id(&format!("a{account}"));
        let standing = world.billing.standing(&name, None, None, at(end, 0)).await;
        assert_eq!(standing.expect("read").stored_bytes, 0);
    }
}

/// More rows than one transaction of a closing takes, and a stop after each of them.
async fn a_closing_that_is_interrupted_goes_on(world: World) {
    for part in 0..4_u64 {
        let accounts = (0..500).map(|number| format!("p{part}n{number}"));
        let events = accounts.map(|account| stored(at(0, 0), &account, 5)).collect();
        world.count(1, events, Vec::new()).await;
    }
    let mut stops = 0;
    loop {
        world.engine.allow(2);
        let closed = world.billing.close_hours(at(2, 5)).await;
        world.engine.allow(u64::MAX);
        if closed.is_ok() {
            break;
        }
        stops += 1;
    }
    assert!(stops >= 3, "{stops}");
    for account in ["p0n0", "p2n77", "p3n499"] {
        let hours = used(&world, account).await;
        let one = 5 * HOUR_MILLIS;
        let stored: Vec<_> = hours.iter().map(|(_, usage)| usage.stored[CLASS as usize]).collect();
        assert_eq!(stored, [one, one]);
    }
}

async fn an_hour_that_a_node_disputes_is_seen_by_both_until_it_is_ruled_on(world: World) {
    world.count(1, Vec::new(), vec![served(at(0, 1), 1, 3), served(at(0, 1), 2, 3)]).await;
    let hour = FIRST.hour(0);
    let agreed = Answer::Agreed { at: at(1, 6), signature: vec![1; 64] };
    let early = world.billing.answer_tally(node(1), hour, &agreed).await;
    assert!(matches!(early, Err(BillingError::NoTally { .. })), "{early:?}");
    world.billing.close_hours(at(1, 5)).await.expect("closed");

    world.billing.answer_tally(node(2), hour, &agreed).await.expect("agreed");
    let own = Work { served: 4 * GB, ..Work::default() };
    let disputed = Answer::Disputed { at: at(1, 7), own, ruling: None };
    world.billing.answer_tally(node(1), hour, &disputed).await.expect("disputed");
    let disputes = world.billing.disputes(10).await.expect("disputes");
    assert_eq!(disputes.len(), 1);
    assert_eq!(disputes, world.billing.tallies(node(1), FIRST).await.expect("tallies"));
    assert!(disputes[0].differences()[0].contains("1000000000 less than counted"));

    world.billing.rule(node(1), hour, "the fourth read failed its check").await.expect("ruled");
    assert!(world.billing.disputes(10).await.expect("disputes").is_empty());
    let tally = world.billing.tallies(node(1), FIRST).await.expect("tallies").remove(0);
    assert!(matches!(tally.answer, Some(Answer::Disputed { ruling: Some(_), .. })));
}

async fn a_dispute_with_the_same_counters_is_none(world: World) {
    world.count(1, Vec::new(), vec![work(at(0, 1), 1, WorkKind::Audit { bytes: 9 })]).await;
    world.billing.close_hours(at(1, 5)).await.expect("closed");
    let own = Work { audit: 9, ..Work::default() };
    let answer = Answer::Disputed { at: at(1, 7), own, ruling: None };
    world.billing.answer_tally(node(1), FIRST.hour(0), &answer).await.expect("taken");
    assert!(world.billing.disputes(10).await.expect("disputes").is_empty());
}

async fn nothing_is_open_before_the_first_event(world: World) {
    assert_eq!(world.billing.close_hours(at(5, 0)).await.expect("nothing"), None);
    assert_eq!(world.billing.next_day().await.expect("nothing"), None::<Day>);
    assert!(world.billing.settle(at(5, 0)).await.expect("nothing").is_empty());
}

crate::on_every_engine!(
    a_batch_counts_once,
    a_batch_that_is_missing_or_has_changed_is_noticed,
    sources_do_not_disturb_each_other,
    an_hour_is_closed_only_when_what_is_late_has_had_its_time,
    a_closed_hour_never_changes,
    the_usage_of_a_period_is_what_the_bytes_held_in_it_add_up_to,
    a_closing_that_is_interrupted_goes_on,
    an_hour_that_a_node_disputes_is_seen_by_both_until_it_is_ruled_on,
    a_dispute_with_the_same_counters_is_none,
    nothing_is_open_before_the_first_event,
);
