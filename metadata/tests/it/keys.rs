//! Access keys that end by themselves.

use std::time::Duration;

use metadata::records::{AccessKey, Account};
use types::Clock as _;

use crate::support::{World, account, on_every_engine};

on_every_engine! {
    temporary_keys_whose_time_is_over_leave_no_rows,
}

async fn temporary_keys_whose_time_is_over_leave_no_rows(world: World) {
    let hour = Duration::from_secs(3600);
    let owner = Account {
        name: "Alice".to_owned(),
        email: "alice@example.com".to_owned(),
        created: world.clock.now(),
        operator: false,
    };
    world.catalog.create_account(&account(), &owner).await.expect("made");
    let lasting = AccessKey {
        account: account(),
        sealed_secret: vec![1],
        created: world.clock.now(),
        name: String::new(),
        policy: None,
        expires: None,
        enabled: true,
        session: None,
    };
    let until = |hours| Some(world.clock.now().plus(hour * hours));
    let temporary =
        |hours| AccessKey { expires: until(hours), session: Some([7; 32]), ..lasting.clone() };
    // Its owner made it, so its owner takes it away.
    let ended = AccessKey { expires: until(1), ..lasting.clone() };
    let keys = [("a", temporary(1)), ("b", temporary(3)), ("c", ended), ("d", lasting.clone())];
    for (id, key) in keys {
        world.catalog.create_access_key(id, &key).await.expect("made");
    }
    assert_eq!(world.catalog.forget_expired_keys().await.expect("looked"), 0);
    world.clock.advance(hour * 2);
    assert_eq!(world.catalog.forget_expired_keys().await.expect("looked"), 1);
    let left = world.catalog.access_keys_of(&account()).await.expect("listed");
    let ids: Vec<&str> = left.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["b", "c", "d"]);
}
