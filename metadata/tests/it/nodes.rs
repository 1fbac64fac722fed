//! Nodes: joining, leaving, being lost, and what is remembered of them.

use std::time::Duration;

use metadata::Guest;
use metadata::records::{NodeState, Rank, Standing, Subnet, WeekHours};

use crate::support::{World, account, node};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Lets node `number` in by an invite for `guest`.
async fn join(world: &World, number: u8, guest: Guest) {
    let token = [number; 32];
    world.catalog.create_invite_for(token, DAY, guest).await.expect("invited");
    world.catalog.admit_node(token, node(number), "attic", 5).await.expect("admitted");
}

#[tokio::test]
async fn a_node_is_whose_its_invite_says_and_where() {
    let world = World::memory().await;
    let guest = Guest { owner: Some(account()), region: Some("eu-north".to_owned()) };
    join(&world, 1, guest.clone()).await;
    let subnet = Some(Subnet::V4([203, 0, 113]));
    let row = world.catalog.node_at(node(1), subnet).await.expect("noted");
    assert_eq!((row.owner, row.region, row.subnet), (guest.owner, guest.region, subnet));
    // The same node with the same invite, whose first answer was lost, and another node with it.
    world.catalog.admit_node([1; 32], node(1), "attic", 5).await.expect("again");
    assert!(world.catalog.admit_node([1; 32], node(2), "thief", 5).await.is_err());
    let row = world.catalog.node(node(1)).await.expect("read").expect("there");
    assert_eq!((row.owner, row.subnet), (Some(account()), subnet));
}

#[tokio::test]
async fn a_leaving_node_leaves_until_it_stays_or_is_lost() {
    let world = World::memory().await;
    let catalog = &world.catalog;
    join(&world, 1, Guest::default()).await;
    let since = world.catalog.node(node(1)).await.expect("read").expect("there").joined;
    let leaving = NodeState::Leaving { since };
    assert_eq!(catalog.node_leaves(node(1)).await.expect("leaves").state, leaving);
    world.clock.advance(DAY);
    assert_eq!(catalog.node_leaves(node(1)).await.expect("leaves").state, leaving, "since then");
    assert_eq!(catalog.node_seen(node(1), 7).await.expect("seen").state, leaving);
    assert_eq!(catalog.node_stays(node(1)).await.expect("stays").state, NodeState::Active);
    catalog.node_leaves(node(1)).await.expect("leaves");
    let lost = catalog.node_lost(node(1)).await.expect("lost").state;
    assert!(matches!(lost, NodeState::Lost { .. }), "{lost:?}");
    assert_eq!(catalog.node_stays(node(1)).await.expect("stays").state, lost);
    assert_eq!(catalog.node_seen(node(1), 7).await.expect("seen").state, NodeState::Active);
    assert!(catalog.node_leaves(node(9)).await.is_err(), "it never joined");
}

#[tokio::test]
async fn what_is_learned_of_any_number_of_nodes_is_remembered() {
    let world = World::memory().await;
    let standing = |number: u8| {
        let rank = if number.is_multiple_of(2) { Rank::Good } else { Rank::Suspended };
        (node(number), Standing { rank, audits: number.into(), ..Standing::default() })
    };
    let rows: Vec<_> = (0..=u8::MAX).map(standing).collect();
    world.catalog.put_standings(&rows).await.expect("written");
    assert_eq!(world.catalog.standings().await.expect("read"), rows);
    let again = [(node(3), Standing::default())];
    world.catalog.put_standings(&again).await.expect("written");
    assert_eq!(world.catalog.standings().await.expect("read")[3], again[0]);
    let hours: Vec<_> = (0..=u8::MAX).map(|number| (node(number), WeekHours::default())).collect();
    world.catalog.put_week_hours(&hours).await.expect("written");
    assert_eq!(world.catalog.week_hours().await.expect("read"), hours);
}
