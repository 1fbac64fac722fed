//! Bucket configurations and changes of a bucket's row.

use metadata::records::Versioning;
use metadata::{CatalogError, ConfigKind, NewBucket, configs::CONFIG_MAX};
use types::GeometryName;

use crate::support::{World, account, key, on_every_engine};

on_every_engine! {
    a_configuration_is_kept_until_it_is_replaced_or_deleted,
    configurations_go_with_their_bucket,
    a_bucket_s_row_changes_as_a_whole_or_not_at_all,
    a_bucket_is_not_deleted_for_an_earlier_one_of_its_name,
}

async fn a_configuration_is_kept_until_it_is_replaced_or_deleted(world: World) {
    let (catalog, at) = (&world.catalog, &world.bucket);
    for (kind, name, config) in [
        (ConfigKind::Cors, "", "old"),
        (ConfigKind::Cors, "", "new"),
        (ConfigKind::Metrics, "b", "2"),
        (ConfigKind::Metrics, "a", "1"),
    ] {
        catalog.put_bucket_config(at, kind, name, config.into()).await.expect("kept");
    }
    let cors = catalog.bucket_config(at.1, ConfigKind::Cors, "").await.expect("read");
    assert_eq!(cors.as_deref(), Some(&b"new"[..]));
    let metrics = catalog.bucket_configs(at.1, ConfigKind::Metrics).await.expect("read");
    assert_eq!(metrics, [("a".to_owned(), b"1".to_vec()), ("b".to_owned(), b"2".to_vec())]);
    let with = |kind| async move { catalog.buckets_with(kind).await.expect("read").len() };
    assert_eq!((with(ConfigKind::Cors).await, with(ConfigKind::Policy).await), (1, 0));

    assert!(catalog.delete_bucket_config(at, ConfigKind::Cors, "").await.expect("deleted"));
    assert!(!catalog.delete_bucket_config(at, ConfigKind::Cors, "").await.expect("nothing"));
    assert_eq!(catalog.bucket_config(at.1, ConfigKind::Cors, "").await.expect("read"), None);
    world.fsck().await;

    let large = vec![0; CONFIG_MAX];
    catalog.put_bucket_config(at, ConfigKind::Policy, "", large).await.expect("kept");
    let larger = vec![0; CONFIG_MAX + 1];
    let refused = catalog.put_bucket_config(at, ConfigKind::Policy, "", larger).await;
    assert!(matches!(refused, Err(CatalogError::TooLarge { .. })));
}

async fn configurations_go_with_their_bucket(world: World) {
    let (catalog, at) = (&world.catalog, &world.bucket);
    for number in 0..120 {
        let name = number.to_string();
        let put = catalog.put_bucket_config(at, ConfigKind::Inventory, &name, vec![1]).await;
        put.expect("kept");
    }
    catalog.delete_bucket(at).await.expect("empty");
    assert_eq!(catalog.bucket_configs(at.1, ConfigKind::Inventory).await.expect("read"), []);
    let late = catalog.put_bucket_config(at, ConfigKind::Cors, "", vec![1]).await;
    assert!(matches!(late, Err(CatalogError::NoSuchBucket(_))));
    world.fsck().await;
}

async fn a_bucket_is_not_deleted_for_an_earlier_one_of_its_name(world: World) {
    let (catalog, at) = (&world.catalog, &world.bucket);
    catalog.delete_bucket(at).await.expect("empty");
    let plain = NewBucket::plain(GeometryName::Local);
    let next = catalog.create_bucket(&at.0, &account(), plain).await.expect("made anew");
    let stale = catalog.delete_bucket(at).await;
    assert!(matches!(stale, Err(CatalogError::NoSuchBucket(_))), "{stale:?}");
    assert_eq!(catalog.bucket(&at.0).await.expect("still there").id, next.id);
    catalog.delete_bucket(&(at.0.clone(), next.id)).await.expect("empty");
    world.fsck().await;
}

async fn a_bucket_s_row_changes_as_a_whole_or_not_at_all(world: World) {
    let (catalog, at) = (&world.catalog, &world.bucket);
    let enable = catalog.change_bucket(at, |bucket| {
        bucket.versioning = Versioning::Enabled;
        Ok(())
    });
    assert_eq!(enable.await.expect("changed").versioning, Versioning::Enabled);
    let refused = catalog.change_bucket(at, |bucket| {
        bucket.versioning = Versioning::Suspended;
        Err(CatalogError::PreconditionFailed)
    });
    assert!(matches!(refused.await, Err(CatalogError::PreconditionFailed)));
    let now = catalog.bucket(&at.0).await.expect("there");
    assert_eq!(now.versioning, Versioning::Enabled);
    world.commit(&world.inline(&key("a"))).await.expect("still open");
}
