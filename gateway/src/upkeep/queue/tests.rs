use std::time::Duration;

use proptest::prelude::{Just, any, prop_assert, prop_oneof, proptest};
use proptest::{collection, prop_assert_eq};
use types::GeometryName::{Home, Local, Wide};
use types::{SessionId, StreamId};

use super::*;

fn segment(index: u32) -> SegmentId {
    SegmentId { stream: StreamId { session: SessionId(1), serial: 1 }, index }
}

fn risks() -> Risks {
    Risks::new(Model::measured(2, 50_000.0, Duration::from_secs(7 * 24 * 3600)))
}

fn work(risks: &mut Risks, geometry: &Geometry, survivors: usize, index: u32) -> Work {
    let risk = risks.of(geometry, survivors);
    Work { risk, survivors, task: Task::Segment(GroupId(1), segment(index)) }
}

#[test]
fn who_can_lose_one_more_shard_goes_before_who_can_lose_twenty() {
    let (mut risks, wide, home) = (risks(), Wide.geometry(), Home.geometry());
    let mut queue = Queue::new(10);
    for (index, survivors) in [(0, 79), (1, 60), (2, 33), (3, 80), (4, 45)] {
        queue.push(work(&mut risks, &wide, survivors, index));
    }
    // Of another geometry: eleven of ten needed is as bad as 33 of 32, or nearly.
    queue.push(work(&mut risks, &home, 11, 5));
    let order: Vec<usize> = queue.into_sorted().iter().map(|work| work.survivors).collect();
    assert_eq!(order[2..], [45, 60, 79, 80]);
    assert!(order[..2].contains(&33) && order[..2].contains(&11), "{order:?}");
}

#[test]
fn urgent_is_less_than_half_the_way_from_k_to_r() {
    let cases = [(Local, 4, true), (Local, 5, false), (Home, 14, true), (Home, 15, false)];
    for (name, survivors, urgent) in cases.into_iter().chain([(Wide, 55, true), (Wide, 56, false)])
    {
        assert_eq!(is_urgent(&name.geometry(), survivors), urgent, "{name} {survivors}");
    }
}

proptest! {
    #[test]
    fn a_bounded_queue_keeps_the_most_urgent_in_order(
        all in collection::vec((any::<u32>(), 20_usize..=88, prop_oneof![Just(Wide), Just(Home)]), 0..200),
        max in 1_usize..30,
    ) {
        let (mut risks, mut queue, mut every) = (risks(), Queue::new(max), Vec::new());
        for (index, survivors, name) in all {
            let work = work(&mut risks, &name.geometry(), survivors, index);
            queue.push(work.clone());
            every.push(work);
        }
        every.sort_by(Work::cmp_urgency);
        let kept = queue.into_sorted();
        prop_assert_eq!(kept.len(), every.len().min(max));
        for (kept, best) in kept.iter().zip(&every) {
            prop_assert_eq!(kept.risk.to_bits(), best.risk.to_bits());
        }
        prop_assert!(kept.is_sorted_by(|one, next| one.risk >= next.risk));
    }

    #[test]
    fn fewer_survivors_are_never_less_urgent(survivors in 1_usize..88) {
        let mut risks = risks();
        let wide = Wide.geometry();
        prop_assert!(risks.of(&wide, survivors) >= risks.of(&wide, survivors + 1));
    }
}
