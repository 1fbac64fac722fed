//! Two honest ends over TCP and TLS.

use bytes::Bytes;
use protocol::identity::Role;
use protocol::limits::HASH_GROUP;
use protocol::message::{
    Dropped, HelloRequest, InventoryAnswer, InventoryRequest, StatusRequest, StoreRequest,
};
use protocol::revision::{Action, Revision};
use protocol::version::{Version, Versions};
use protocol::{NodeClient, NodeError};
use tokio::sync::mpsc;
use types::{Epoch, GroupId, Root};

use crate::world::{
    Linked, Mood, NOW, fetch_request, granted, hello, linked, linked_with, noise, pieces, root,
    shard, store_request,
};

/// One group, a group and a bit, some, and shards of the default geometry.
const LENGTHS: [usize; 7] = [1, 64, 16_384, 16_448, 65_536, 1_000_000, 8 << 20];

async fn store(client: &NodeClient, index: u32, bytes: &Bytes) -> Result<Root, NodeError> {
    let answer = client.store(&store_request(index, bytes.len() as u64), pieces(bytes)).await?;
    assert_eq!(answer.root, Root::of(bytes));
    Ok(answer.root)
}

async fn fetch_all(
    client: &NodeClient,
    index: u32,
    bytes: &Bytes,
    step: u32,
) -> Result<Vec<u8>, NodeError> {
    let len = bytes.len() as u64;
    let mut slices =
        client.fetch(&fetch_request(index, 0, len, step), &Root::of(bytes), len).await?;
    let mut all = Vec::new();
    while let Some(slice) = slices.next().await {
        let slice = slice?;
        assert_eq!(slice.offset(), all.len() as u64);
        all.extend_from_slice(slice.bytes());
    }
    Ok(all)
}

#[tokio::test]
async fn what_was_stored_is_fetched_again_whatever_its_length() {
    let link = linked(Mood::Honest).await;
    assert_eq!(link.client.version(), Version::V1);
    assert_eq!(link.client.hello().facts.name.as_str(), "attic");
    for (index, len) in LENGTHS.into_iter().enumerate() {
        let (index, bytes) = (index as u32, noise(len as u32, len));
        store(&link.client, index, &bytes).await.unwrap();
        for step in [16 << 10, 256 << 10, 1 << 20] {
            let fetched = fetch_all(&link.client, index, &bytes, step).await.unwrap();
            assert!(fetched == bytes, "{len} bytes in steps of {step}");
        }
    }
}

#[tokio::test]
async fn a_range_from_the_middle_and_the_end_verifies_alone() {
    let link = linked(Mood::Honest).await;
    let bytes = noise(1, 1_000_000);
    let root = store(&link.client, 1, &bytes).await.unwrap();
    for (offset, len) in
        [(5 * HASH_GROUP, HASH_GROUP), (61 * HASH_GROUP, 1_000_000 - 61 * HASH_GROUP)]
    {
        let request = fetch_request(1, offset, len, 64 << 10);
        let mut slices = link.client.fetch(&request, &root, 1_000_000).await.unwrap();
        let slice = slices.next().await.unwrap().unwrap();
        assert_eq!(slice.bytes(), &bytes[offset as usize..(offset + len) as usize]);
        assert!(slices.next().await.is_none());
        assert!(slices.next().await.is_none());
    }
}

#[tokio::test]
async fn sixteen_requests_run_side_by_side() {
    let link = linked(Mood::Honest).await;
    let work = (0..16).map(|index| {
        let client = link.client.clone();
        async move {
            let bytes = noise(index, 2 << 20);
            store(&client, index, &bytes).await.unwrap();
            assert!(fetch_all(&client, index, &bytes, 256 << 10).await.unwrap() == bytes);
        }
    });
    futures::future::join_all(work).await;
}

#[tokio::test]
async fn refusals_carry_what_the_gateway_must_know() {
    let link = linked(Mood::Honest).await;
    let old = StoreRequest { epoch: Epoch(1), ..store_request(1, 64) };
    let refused = link.client.store(&old, pieces(&noise(1, 64))).await.unwrap_err();
    assert!(matches!(refused, NodeError::Stale { epoch: Epoch(5) }), "{refused}");
    let missing =
        link.client.fetch(&fetch_request(1, 0, 64, 16_384), &Root([0; 32]), 64).await.unwrap_err();
    assert!(matches!(missing, NodeError::NotFound), "{missing}");
}

#[tokio::test]
async fn an_early_refusal_reaches_a_gateway_that_is_still_sending() {
    let link = linked(Mood::FullBeforeReading).await;
    let bytes = noise(1, 32 << 20);
    let refused = link.client.store(&store_request(1, 32 << 20), pieces(&bytes)).await.unwrap_err();
    assert!(matches!(refused, NodeError::Full), "{refused:?}");
    assert!(link.client.status(&StatusRequest::default()).await.is_ok());
}

#[tokio::test]
async fn a_store_given_up_early_is_no_shard_and_does_not_hurt_the_link() {
    let link = linked(Mood::Honest).await;
    let (sender, receiver) = mpsc::channel(4);
    sender.send(noise(1, 1000)).await.unwrap();
    let request = store_request(1, 64_000);
    let store = link.client.store_from(&request, receiver);
    let give_up = async {
        link.node.started.notified().await;
        drop(sender);
    };
    let given_up = tokio::join!(store, give_up).0.unwrap_err();
    assert!(matches!(given_up, NodeError::Aborted), "{given_up:?}");
    link.node.interrupted.notified().await;
    assert_eq!(link.client.status(&StatusRequest::default()).await.unwrap().used, 0);
}

#[tokio::test]
async fn dropping_the_future_of_a_store_gives_it_up() {
    let link = linked(Mood::Honest).await;
    let (sender, receiver) = mpsc::channel(4);
    sender.send(noise(1, 1000)).await.unwrap();
    let request = store_request(1, 64_000);
    tokio::select! {
        _ = link.client.store_from(&request, receiver) => panic!("the shard is not whole"),
        () = link.node.started.notified() => {}
    }
    sender.closed().await;
    link.node.interrupted.notified().await;
    assert!(link.client.status(&StatusRequest::default()).await.is_ok());
}

#[tokio::test]
async fn dropping_a_fetch_half_way_frees_the_link_for_others() {
    let link = linked(Mood::Honest).await;
    let bytes = noise(1, 8 << 20);
    let root = store(&link.client, 1, &bytes).await.unwrap();
    for _ in 0..20 {
        let request = fetch_request(1, 0, 8 << 20, 16 << 10);
        let mut slices = link.client.fetch(&request, &root, 8 << 20).await.unwrap();
        slices.next().await.unwrap().unwrap();
    }
    assert!(fetch_all(&link.client, 1, &bytes, 1 << 20).await.unwrap() == bytes);
}

#[tokio::test]
async fn a_disk_that_fails_half_way_is_no_crime() {
    let link = linked(Mood::DiskFailsHalfWay).await;
    let bytes = noise(1, 1 << 20);
    store(&link.client, 1, &bytes).await.unwrap();
    let lost = fetch_all(&link.client, 1, &bytes, 16 << 10).await.unwrap_err();
    assert!(matches!(lost, NodeError::Unreachable(_)), "{lost:?}");
}

#[tokio::test]
async fn a_signed_revision_drops_shards_and_says_which_were_there() {
    let link = linked(Mood::Honest).await;
    store(&link.client, 1, &noise(1, 64)).await.unwrap();
    let action = Action::Drop(vec![shard(1), shard(2)]);
    let revision = Revision { number: 1, created: NOW, action };
    let answer =
        link.client.drop_shards(&revision.sign(&granted(Role::Revision)).unwrap()).await.unwrap();
    assert_eq!(answer.outcomes, [Dropped::Dropped, Dropped::Unknown]);
    let unsigned =
        link.client.drop_shards(&revision.sign(&granted(Role::Link)).unwrap()).await.unwrap_err();
    assert!(
        matches!(&unsigned, NodeError::Denied { words } if words.contains("Link")),
        "{unsigned}"
    );
}

#[tokio::test]
async fn an_inventory_is_paged_and_fingerprinted() {
    let link = linked(Mood::Honest).await;
    for index in [1, 2, 3, 101] {
        store(&link.client, index, &noise(index, 64)).await.unwrap();
    }
    let (group, mut after, mut seen) = (Some(GroupId(3)), None, Vec::new());
    loop {
        let request = InventoryRequest::List { group, after, limit: 2 };
        let InventoryAnswer::List { entries, more } =
            link.client.inventory(&request).await.unwrap()
        else {
            panic!("the client checks the kind");
        };
        after = entries.last().map(|entry| entry.shard);
        seen.extend(entries.iter().map(|entry| entry.shard));
        if !more {
            break;
        }
    }
    assert_eq!(seen, [shard(1), shard(2), shard(3)]);
    let request = InventoryRequest::Fingerprint { from: GroupId(0), to: None, limit: 100 };
    let InventoryAnswer::Fingerprint { groups, more: false } =
        link.client.inventory(&request).await.unwrap()
    else {
        panic!("the client checks the kind");
    };
    assert_eq!(
        groups.iter().map(|print| (print.group.0, print.count)).collect::<Vec<_>>(),
        [(3, 3), (4, 1)]
    );
    let nonsense = InventoryRequest::List { group: None, after: None, limit: 0 };
    assert!(matches!(link.client.inventory(&nonsense).await, Err(NodeError::Invalid(_))));
}

#[tokio::test]
async fn a_status_tells_of_rot_that_the_node_found_itself() {
    let link = linked(Mood::Honest).await;
    let status = link.client.status(&StatusRequest::default()).await.unwrap();
    assert_eq!((status.rot.as_slice(), status.rot_seen), ([shard(9)].as_slice(), 1));
}

#[tokio::test]
async fn hello_brings_a_floor_that_the_node_keeps() {
    let link =
        linked_with(Mood::Honest, &HelloRequest { floor: Some(root().floor(6)), ..hello() }).await;
    assert_eq!(link.trust.floor(), 6);
}

#[tokio::test]
async fn a_version_of_the_future_is_refused_in_words() {
    let (node_io, gateway_io) = crate::world::tcp().await;
    let settings = protocol::limits::LinkSettings::default();
    tokio::spawn({
        let settings = settings.clone();
        async move {
            let node = crate::world::Memory::new(Mood::Honest);
            protocol::serve(node_io, node, crate::world::trust(), &settings, std::future::pending())
                .await
        }
    });
    let hello = HelloRequest { versions: Versions(vec![8, 9]), ..hello() };
    let key = crate::world::node().key().public();
    let refused = NodeClient::open(gateway_io, key, &hello, &settings).await.unwrap_err();
    let NodeError::Incompatible { words } = &refused else { panic!("{refused:?}") };
    assert!(words.contains("[8, 9]") && words.contains("update"), "{words}");
}

#[tokio::test]
async fn dropping_the_last_client_says_goodbye() {
    let Linked { client, serving, .. } = linked(Mood::Honest).await;
    let closed = client.closed();
    let clone = client.clone();
    drop(client);
    assert!(clone.status(&StatusRequest::default()).await.is_ok());
    drop(clone);
    closed.await;
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_lost_node_is_noticed_and_what_was_under_way_fails() {
    let Linked { client, serving, .. } = linked(Mood::Honest).await;
    let (_sender, receiver) = mpsc::channel(1);
    let request = store_request(1, 64);
    let store = client.store_from(&request, receiver);
    serving.abort();
    let lost = store.await.unwrap_err();
    assert!(matches!(lost, NodeError::Unreachable(_)), "{lost:?}");
    client.closed().await;
    assert!(client.is_closed());
    let after = client.status(&StatusRequest::default()).await.unwrap_err();
    assert!(matches!(after, NodeError::Unreachable(_)), "{after:?}");
}

#[tokio::test]
async fn closing_ends_the_link_at_once() {
    let Linked { client, serving, .. } = linked(Mood::Honest).await;
    client.close();
    client.closed().await;
    let _ = serving.await.unwrap();
    assert!(matches!(
        client.status(&StatusRequest::default()).await,
        Err(NodeError::Unreachable(_))
    ));
}

#[tokio::test]
async fn misaligned_ranges_are_the_callers_defect() {
    let link = linked(Mood::Honest).await;
    for request in [
        fetch_request(1, 5, 64, 16_384),
        fetch_request(1, 0, 64, 5),
        fetch_request(1, 0, 65, 16_384),
    ] {
        assert!(matches!(
            link.client.fetch(&request, &Root([0; 32]), 64).await,
            Err(NodeError::Invalid(_))
        ));
    }
}
