use metadata::{Catalog, ConfigKind, NewBucket};
use types::{GeometryName, SystemClock};

use super::*;

struct World {
    catalog: Catalog,
    ann: AccountId,
    bob: AccountId,
    source: BucketName,
    target: BucketName,
    row: Bucket,
}

/// A bucket of Ann's with that policy, into which something is to be written for her or for Bob.
async fn world(statement: Option<&str>) -> World {
    let kv = Arc::new(kv::memory::Memory::new());
    let day = std::time::Duration::from_secs(24 * 3600);
    let catalog = Catalog::new(kv, Arc::new(SystemClock), day);
    let id = |text: &str| text.parse::<AccountId>().expect("an id");
    let (ann, bob) = (id("ann"), id("bob"));
    let target: BucketName = "target".parse().expect("a name");
    let plain = NewBucket::plain(GeometryName::Local);
    let row = catalog.create_bucket(&target, &ann, plain).await.expect("made");
    if let Some(statement) = statement {
        let text = format!(r#"{{"Version": "2012-10-17", "Statement": {statement}}}"#);
        let at = (target.clone(), row.id);
        let kept = catalog.put_bucket_config(&at, ConfigKind::Policy, "", text.into_bytes());
        kept.await.expect("kept");
    }
    World { catalog, ann, bob, source: "source".parse().expect("a name"), target, row }
}

impl World {
    async fn says(&self, actor: Actor, account: &AccountId, key: &str) -> Leave {
        let deed = Deed { actor, source: &self.source, account };
        let targets = Targets::new(self.catalog.clone());
        targets.say(&deed, (&self.target, &self.row), key).await.expect("an answer")
    }
}

#[tokio::test]
async fn a_silent_bucket_takes_what_is_of_its_own_account() {
    let world = world(None).await;
    for actor in [Actor::Logging, Actor::Inventory] {
        assert_eq!(world.says(actor, &world.ann, "k").await, Leave::Own);
        assert_eq!(world.says(actor, &world.bob, "k").await, Leave::Refused);
    }
}

#[tokio::test]
async fn a_policy_knows_services_by_whom_they_act_for() {
    let world = world(Some(
        r#"[{"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "s3:PutObject",
            "Resource": "arn:aws:s3:::target/lists/*", "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::sour*"},
            "StringEquals": {"aws:SourceAccount": "bob", "s3:x-amz-acl": "bucket-owner-full-control"}}},
            {"Effect": "Deny", "Principal": {"Service": "logging.s3.amazonaws.com"}, "Action": "s3:*",
            "Resource": "arn:aws:s3:::target/*"}]"#,
    ))
    .await;
    assert_eq!(world.says(Actor::Inventory, &world.bob, "lists/1").await, Leave::Given);
    assert_eq!(world.says(Actor::Inventory, &world.bob, "other/1").await, Leave::Refused);
    assert_eq!(world.says(Actor::Inventory, &world.ann, "lists/1").await, Leave::Own);
    assert_eq!(world.says(Actor::Logging, &world.ann, "lists/1").await, Leave::Refused);
}

#[tokio::test]
async fn a_list_lets_logs_in_and_nothing_else() {
    let world = world(None).await;
    let grant = metadata::records::Grant {
        grantee: Grantee::Group(AclGroup::LogDelivery),
        permission: Permission::Write,
    };
    let acl = metadata::records::Acl { grants: vec![grant], without_owner: false };
    let listed = World { row: Bucket { acl, ..world.row.clone() }, ..world };
    assert_eq!(listed.says(Actor::Logging, &listed.bob, "k").await, Leave::Given);
    assert_eq!(listed.says(Actor::Inventory, &listed.bob, "k").await, Leave::Refused);
    let row = Bucket { ownership: Some(Ownership::BucketOwnerEnforced), ..listed.row.clone() };
    let off = World { row, ..listed };
    assert_eq!(off.says(Actor::Logging, &off.bob, "k").await, Leave::Refused);
}
