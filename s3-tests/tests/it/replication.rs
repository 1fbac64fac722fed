//! Replication: new versions and delete markers appear in the buckets that rules name, and say how far they are.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::client::{Answer, Client};
use drystone_s3_tests::cluster::{ACCESS, Cluster, Options, SECRET};
use tokio::time::{Instant, sleep};

/// How long replication may take.
const PATIENCE: Duration = Duration::from_secs(40);

pub(super) async fn versioned(s3: &Client, bucket: &str) {
    s3.make_bucket(bucket).await;
    let body = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let put = s3.put(&format!("/{bucket}")).query("versioning", "").body(body).send().await;
    put.expect_status(200).await;
}

pub(super) fn rule(id: &str, priority: u32, filter: &str, markers: &str, to: &str) -> String {
    format!(
        "<Rule><ID>{id}</ID><Priority>{priority}</Priority><Status>Enabled</Status><Filter>{filter}</Filter>\
         <DeleteMarkerReplication><Status>{markers}</Status></DeleteMarkerReplication>\
         <Destination><Bucket>arn:aws:s3:::{to}</Bucket></Destination></Rule>"
    )
}

pub(super) fn put_rules(
    s3: &Client,
    bucket: &str,
    rules: &str,
) -> drystone_s3_tests::client::Request {
    let body = format!(
        "<ReplicationConfiguration><Role>arn:aws:iam::1:role/r</Role>{rules}</ReplicationConfiguration>"
    );
    s3.put(&format!("/{bucket}")).query("replication", "").body(body)
}

/// HEAD of a version, once its replication status is this one.
pub(super) async fn until(s3: &Client, path: &str, version: &str, status: &str) -> Answer {
    let end = Instant::now() + PATIENCE;
    loop {
        let head = s3.head(path).query("versionId", version).send().await.read().await;
        if head.header("x-amz-replication-status") == Some(status) {
            return head;
        }
        assert!(Instant::now() < end, "{path}: {:?}", head.headers);
        sleep(Duration::from_millis(100)).await;
    }
}

pub(super) fn version(answer: &Answer) -> String {
    answer.header("x-amz-version-id").expect("a version").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_appear_elsewhere_as_what_they_are() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    versioned(&s3, "source").await;
    versioned(&s3, "first").await;
    versioned(&s3, "second").await;
    s3.put("/source/before").body("old").send().await.expect_status(200).await;
    let team = "<And><Prefix>in/</Prefix><Tag><Key>team</Key><Value>a</Value></Tag></And>";
    let rules = rule("all", 1, "<Prefix>in/</Prefix>", "Enabled", "first")
        + &rule("tagged", 2, team, "Disabled", "second");
    put_rules(&s3, "source", &rules).send().await.expect_status(200).await;
    let shown = s3.get("/source").query("replication", "").send().await.expect_status(200).await;
    assert_eq!(shown.all("ID"), ["all", "tagged"]);
    assert_eq!(shown.all("Bucket"), ["arn:aws:s3:::first", "arn:aws:s3:::second"]);

    let small = s3.put("/source/in/small").header("x-amz-meta-a", "b").body("one").send().await;
    let one = version(&small.expect_status(200).await);
    let two = s3.put("/source/in/small").body("two").send().await.expect_status(200).await;
    let two = version(&two);
    let content = Content { seed: 7, len: 3 * 1024 * 1024 + 17 };
    let big = s3.put("/source/in/big").header("x-amz-tagging", "team=a").content(content);
    let big = version(&big.send().await.expect_status(200).await);
    let other = s3.put("/source/out/k").body("x").send().await.expect_status(200).await;
    let other = s3.head("/source/out/k").query("versionId", &version(&other)).send().await;
    assert_eq!(other.header("x-amz-replication-status"), None);

    for id in [&one, &two] {
        let source = until(&s3, "/source/in/small", id, "COMPLETED").await;
        let replica = until(&s3, "/first/in/small", id, "REPLICA").await;
        for same in ["etag", "x-amz-meta-a", "last-modified", "content-type"] {
            assert_eq!(source.header(same), replica.header(same), "{same}");
        }
    }
    assert_eq!(s3.get("/first/in/small").send().await.expect_status(200).await.text, "two");
    let tags = "<Tagging><TagSet><Tag><Key>late</Key><Value>yes</Value></Tag></TagSet></Tagging>";
    let tagged = s3.put("/source/in/small").query("tagging", "").body(tags).send().await;
    tagged.expect_status(200).await;
    let end = Instant::now() + PATIENCE;
    loop {
        let seen = s3.get("/first/in/small").query("tagging", "").send().await;
        if seen.expect_status(200).await.xml("Value").as_deref() == Some("yes") {
            break;
        }
        assert!(Instant::now() < end, "the tag never came");
        sleep(Duration::from_millis(100)).await;
    }
    until(&s3, "/source/in/big", &big, "COMPLETED").await;
    for bucket in ["first", "second"] {
        let path = format!("/{bucket}/in/big");
        until(&s3, &path, &big, "REPLICA").await;
        s3.check_content(&path, content).await.expect("the same bytes");
    }
    assert_eq!(s3.keys("second").await, ["in/big"]);
    assert_eq!(s3.keys("first").await, ["in/big", "in/small"]);

    // A replica lives on without its source; a delete marker follows where its rule says so, a deleted version nowhere.
    let gone = s3.delete("/source/in/big").query("versionId", &big).send().await;
    gone.expect_status(204).await;
    s3.check_content("/first/in/big", content).await.expect("the same bytes");
    let marker = s3.delete("/source/in/small").send().await.expect_status(204).await;
    let end = Instant::now() + PATIENCE;
    while s3.keys("first").await != ["in/big"] {
        assert!(Instant::now() < end, "the delete marker never came");
        sleep(Duration::from_millis(100)).await;
    }
    let list = s3.get("/first").query("versions", "").send().await.expect_status(200).await;
    assert!(list.all("VersionId").contains(&version(&marker)), "{}", list.text);
    assert_eq!(list.all("DeleteMarker").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_checked_and_a_lost_destination_is_told() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    versioned(&s3, "source").await;
    versioned(&s3, "target").await;
    s3.make_bucket("plain").await;
    let to = |bucket: &str| rule("one", 1, "<Prefix></Prefix>", "Disabled", bucket);
    let none = s3.get("/source").query("replication", "").send().await;
    none.expect_error(404, "ReplicationConfigurationNotFoundError").await;
    for (source, target) in
        [("plain", "target"), ("source", "plain"), ("source", "missing"), ("source", "source")]
    {
        let refused = put_rules(&s3, source, &to(target)).send().await;
        refused.expect_error(400, "InvalidRequest").await;
    }
    let twice = to("target") + &to("target").replace("one", "two");
    put_rules(&s3, "source", &twice).send().await.expect_error(400, "InvalidRequest").await;
    put_rules(&s3, "source", &to("target")).send().await.expect_status(200).await;
    let suspend =
        "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>".to_owned();
    let refused = s3.put("/source").query("versioning", "").body(suspend).send().await;
    refused.expect_error(409, "InvalidBucketState").await;

    s3.delete("/target").send().await.expect_status(204).await;
    let put = s3.put("/source/k").body("x").send().await.expect_status(200).await;
    until(&s3, "/source/k", &version(&put), "FAILED").await;
    s3.delete("/source").query("replication", "").send().await.expect_status(204).await;
    let put = s3.put("/source/k").body("x").send().await.expect_status(200).await;
    let head = s3.head("/source/k").query("versionId", &version(&put)).send().await;
    assert_eq!(head.header("x-amz-replication-status"), None);
}

/// Names the cluster twice: as the Drystone that it is, and as an endpoint of which nothing is known.
fn endpoints(dir: &Path, far: &Cluster) -> String {
    let path = dir.join("endpoints.toml");
    let endpoint = far.endpoint();
    let entry = |name: &str, drystone: bool| {
        format!(
            "[{name}]\nurl = \"{endpoint}\"\naccess_key = \"{ACCESS}\"\nsecret_key = \"{SECRET}\"\ndrystone = {drystone}\n"
        )
    };
    fs::write(&path, entry("far", true) + &entry("plain", false)).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
    path.display().to_string()
}

fn elsewhere(id: &str, priority: u32, endpoint: &str, bucket: &str) -> String {
    let here = format!("arn:aws:s3:::{bucket}");
    let there = format!("arn:drystone:s3:{endpoint}::{bucket}");
    rule(id, priority, "<Prefix></Prefix>", "Enabled", bucket).replace(&here, &there)
}

/// Waits until a request is answered so.
async fn answered(s3: &Client, path: &str, status: u16) {
    let end = Instant::now() + PATIENCE;
    loop {
        let seen = s3.head(path).send().await.status;
        if seen == status {
            return;
        }
        assert!(Instant::now() < end, "{path}: {seen}");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_go_to_another_endpoint_and_survive_its_death() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut far = Options::new().up().await;
    let there = far.client();
    let near = Options::new().flag("--replica-endpoints", &endpoints(dir.path(), &far)).up().await;
    let s3 = near.client();
    versioned(&s3, "source").await;
    versioned(&s3, "beside").await;
    versioned(&there, "mirror").await;
    there.make_bucket("copies").await;
    let rules = elsewhere("far", 3, "far", "mirror")
        + &elsewhere("plain", 2, "plain", "copies")
        + &rule("near", 1, "<Prefix></Prefix>", "Enabled", "beside");
    put_rules(&s3, "source", &rules).send().await.expect_status(200).await;
    let shown = s3.get("/source").query("replication", "").send().await.expect_status(200).await;
    assert_eq!(shown.all("Bucket")[0], "arn:drystone:s3:far::mirror");
    let unknown = put_rules(&s3, "source", &elsewhere("no", 1, "nowhere", "mirror")).send().await;
    unknown.expect_error(400, "InvalidRequest").await;

    let one = s3.put("/source/dir/a b").header("x-amz-meta-a", "b").header("x-amz-meta-u", "ü");
    let one = one.header("x-amz-tagging", "team=a%20b").header("cache-control", "no-store");
    let one = version(&one.body("one").send().await.expect_status(200).await);
    let two = s3.put("/source/dir/a b").body("two").send().await.expect_status(200).await;
    let two = version(&two);
    let upload = s3.create_upload("/source/parts").await;
    let part = Content { seed: 1, len: 5 * 1024 * 1024 };
    let mut parts = Vec::new();
    for number in [1, 2, 4] {
        parts.push((number, s3.upload_part("/source/parts", &upload, number, part).await));
    }
    let done = s3.complete_upload("/source/parts", &upload, &parts).await;
    assert_eq!(done.status, 200, "{}", done.text);
    let many = version(&done);
    let empty = version(&s3.put("/source/empty").send().await.expect_status(200).await);
    for (path, id) in [("dir/a b", &one), ("dir/a b", &two), ("parts", &many), ("empty", &empty)] {
        let source = until(&s3, &format!("/source/{path}"), id, "COMPLETED").await;
        let replica = until(&there, &format!("/mirror/{path}"), id, "REPLICA").await;
        let described = [
            "etag",
            "content-length",
            "content-type",
            "cache-control",
            "last-modified",
            "x-amz-meta-a",
            "x-amz-meta-u",
            "x-amz-tagging-count",
        ];
        for name in described {
            assert_eq!(source.header(name), replica.header(name), "{path}: {name}");
        }
    }
    assert_eq!(there.get("/mirror/dir/a b").send().await.expect_status(200).await.text, "two");
    assert_eq!(there.get("/copies/dir/a b").send().await.expect_status(200).await.text, "two");

    // The other end dies while something large is on its way, and more is written and deleted while it is away.
    let content = Content { seed: 9, len: 48 * 1024 * 1024 + 5 };
    let big =
        version(&s3.put("/source/big").content(content).send().await.expect_status(200).await);
    far.gateway.kill();
    let late = version(&s3.put("/source/late").body("late").send().await.expect_status(200).await);
    let marker = version(&s3.delete("/source/dir/a b").send().await.expect_status(204).await);
    let tags = "<Tagging><TagSet><Tag><Key>late</Key><Value>yes</Value></Tag></TagSet></Tagging>";
    let tagged = s3.put("/source/parts").query("tagging", "").body(tags).send().await;
    tagged.expect_status(200).await;
    sleep(Duration::from_secs(2)).await;
    until(&s3, "/source/late", &late, "PENDING").await;
    assert!(
        s3.keys("beside").await.contains(&"late".to_owned()),
        "its own bucket waits for nobody"
    );
    far.restart_gateway().await;
    let there = far.client();
    for (path, id) in [("big", &big), ("late", &late)] {
        until(&s3, &format!("/source/{path}"), id, "COMPLETED").await;
        until(&there, &format!("/mirror/{path}"), id, "REPLICA").await;
    }
    for bucket in ["mirror", "copies"] {
        there.check_content(&format!("/{bucket}/big"), content).await.expect("the same bytes");
        answered(&there, &format!("/{bucket}/dir/a b"), 404).await;
    }
    let end = Instant::now() + PATIENCE;
    loop {
        let seen = there.get("/mirror/parts").query("tagging", "").send().await;
        if seen.expect_status(200).await.xml("Value").as_deref() == Some("yes") {
            break;
        }
        assert!(Instant::now() < end, "the tag never came");
        sleep(Duration::from_millis(100)).await;
    }
    let list = there.get("/mirror").query("versions", "").send().await.expect_status(200).await;
    let mut ids = list.all("VersionId");
    ids.sort();
    let mut expected = [one, two, many, empty, big, late, marker];
    expected.sort();
    assert_eq!(ids, expected, "each version once, by its own id");
    let log = fs::read_to_string(near.gateway_dir().join("drystone.log")).expect("a log");
    assert!(!log.contains(SECRET), "a secret was logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_taken_from_whoever_may_replicate() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    versioned(&s3, "mirror").await;
    let ann = account(&cluster, "ann");
    let id = "0000018bcfe5687b0102030405060708";
    let policy = |actions: &str| {
        format!(
            "{{\"Version\":\"2012-10-17\",\"Statement\":[{{\"Effect\":\"Allow\",\"Principal\":{{\"AWS\":\"ann\"}},\
             \"Action\":[{actions}],\"Resource\":\"arn:aws:s3:::mirror/*\"}}]}}"
        )
    };
    let put = |id: &str| ann.put("/mirror/k").query("drystone-replica", id).body("x").send();
    for (actions, status) in
        [("\"s3:PutObject\"", 403), ("\"s3:PutObject\",\"s3:ReplicateObject\"", 200)]
    {
        let set = s3.put("/mirror").query("policy", "").body(policy(actions)).send().await;
        assert!(set.status < 300, "{}", set.read().await.text);
        let answer = put(id).await.expect_status(status).await;
        if status == 200 {
            assert_eq!(version(&answer), id);
        }
    }
    put(id).await.expect_error(412, "PreconditionFailed").await;
    put("null").await.expect_error(400, "InvalidArgument").await;
    let newest = version(&s3.put("/mirror/k").body("new").send().await.expect_status(200).await);
    let older = "0000018bcfe5687a0102030405060708";
    put(older).await.expect_status(200).await;
    let list = s3.get("/mirror").query("versions", "").send().await.expect_status(200).await;
    assert_eq!(list.all("VersionId"), [newest.as_str(), id, older], "in their places in time");
    // What was signed for something else does not become a replica.
    let url = ann.put("/mirror/other").presigned(60).body("x").spoilt(|request| {
        let uri = format!("{}&drystone-replica=0000018bcfe5687b0102030405060708", request.uri());
        *request.uri_mut() = uri.parse().expect("a URI");
    });
    url.send().await.expect_error(403, "SignatureDoesNotMatch").await;
}

/// Another account's client.
fn account(cluster: &Cluster, id: &str) -> Client {
    let (access, secret) = (format!("{id}-access"), format!("{id}-secret-key"));
    let email = format!("{id}@example.com");
    let (name, keys) =
        (["--id", id, "--name", id], ["--access-key", &access, "--secret-key", &secret]);
    let all = [&["account", "create"][..], &name, &["--email", &email], &keys].concat();
    let _ = cluster.admin(&all);
    Client::new(cluster.s3(), &access, &secret)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_account_gets_replicas_as_its_policy_says() {
    let dir = tempfile::tempdir().expect("a folder");
    let cluster = Options::new().up().await;
    let path = endpoints(dir.path(), &cluster);
    let cluster = Options::new().flag("--replica-endpoints", &path).up().await;
    let s3 = cluster.client();
    let ann = account(&cluster, "ann");
    versioned(&s3, "source").await;
    versioned(&ann, "theirs").await;
    let to = |account: &str| {
        let whose = format!(
            "<Destination><Account>{account}</Account>\
             <AccessControlTranslation><Owner>Destination</Owner></AccessControlTranslation>"
        );
        rule("one", 1, "<Prefix></Prefix>", "Enabled", "theirs").replace("<Destination>", &whose)
    };
    put_rules(&s3, "source", &to("bob")).send().await.expect_error(400, "InvalidRequest").await;
    put_rules(&s3, "source", &to("ann")).send().await.expect_status(200).await;
    let shown = s3.get("/source").query("replication", "").send().await.expect_status(200).await;
    assert_eq!(shown.xml("Owner").as_deref(), Some("Destination"));
    // Who may use an endpoint, the operator says.
    let refused = put_rules(&ann, "theirs", &elsewhere("far", 1, "far", "mirror")).send().await;
    refused.expect_error(400, "InvalidRequest").await;

    let put = s3.put("/source/k").body("x").send().await.expect_status(200).await;
    until(&s3, "/source/k", &version(&put), "FAILED").await;
    let policy = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\
        \"Principal\":{\"AWS\":\"arn:aws:iam::root:root\"},\"Action\":[\"s3:ReplicateObject\",\"s3:ReplicateDelete\",\
        \"s3:ObjectOwnerOverrideToBucketOwner\"],\"Resource\":\"arn:aws:s3:::theirs/*\"}]}";
    let set = ann.put("/theirs").query("policy", "").body(policy).send().await;
    assert!(set.status < 300, "{}", set.read().await.text);
    // What was looked up of a bucket is believed for two seconds.
    sleep(Duration::from_secs(3)).await;
    let put = s3.put("/source/k").body("y").send().await.expect_status(200).await;
    until(&s3, "/source/k", &version(&put), "COMPLETED").await;
    assert_eq!(ann.get("/theirs/k").send().await.expect_status(200).await.text, "y");
    let acl = ann.get("/theirs/k").query("acl", "").send().await.expect_status(200).await;
    assert!(acl.all("ID").iter().all(|id| id == "ann"), "{}", acl.text);
    // Tags are not allowed.
    let tagged = s3.put("/source/tagged").header("x-amz-tagging", "a=b").body("x").send().await;
    until(&s3, "/source/tagged", &version(&tagged.expect_status(200).await), "FAILED").await;
    s3.delete("/source/k").send().await.expect_status(204).await;
    answered(&ann, "/theirs/k", 404).await;
}
