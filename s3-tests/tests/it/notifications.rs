//! Event notifications: what happens to objects is told to the operator's webhooks, in order and in AWS's words.

use std::time::Duration;

use drystone_s3_tests::client::Client;
use drystone_s3_tests::cluster::{Cluster, Options};
use drystone_s3_tests::hook::Hook;
use serde_json::Value;

async fn start(hook: &Hook) -> Cluster {
    Options::new().flag("--webhook", &format!("orders={}", hook.url())).up().await
}

fn queue(id: &str, arn: &str, events: &[&str], filter: &str) -> String {
    let events: String = events.iter().map(|event| format!("<Event>{event}</Event>")).collect();
    format!(
        "<QueueConfiguration><Id>{id}</Id><Queue>{arn}</Queue>{events}{filter}</QueueConfiguration>"
    )
}

fn filter(rules: &[(&str, &str)]) -> String {
    let rules: String = rules
        .iter()
        .map(|(name, value)| {
            format!("<FilterRule><Name>{name}</Name><Value>{value}</Value></FilterRule>")
        })
        .collect();
    format!("<Filter><S3Key>{rules}</S3Key></Filter>")
}

fn put(s3: &Client, bucket: &str, inner: &str) -> drystone_s3_tests::client::Request {
    let body = format!("<NotificationConfiguration>{inner}</NotificationConfiguration>");
    s3.put(&format!("/{bucket}")).query("notification", "").body(body)
}

/// Event name and key of a message.
fn told(message: &Value) -> (String, String) {
    let record = &message["Records"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&record["eventName"]), text(&record["s3"]["object"]["key"]))
}

const ARN: &str = "arn:drystone:webhook:us-east-1::orders";

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_told_in_order_to_whom_it_concerns() {
    let hook = Hook::listen().await;
    let cluster = start(&hook).await;
    let s3 = cluster.client();
    s3.make_bucket("watched").await;
    let versioning = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let on = s3.put("/watched").query("versioning", "").body(versioning).send().await;
    on.expect_status(200).await;
    let all =
        ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*", "s3:ObjectAcl:Put"];
    let wish = queue("one", ARN, &all, &filter(&[("prefix", "in/"), ("suffix", ".txt")]));
    put(&s3, "watched", &wish).send().await.expect_status(200).await;
    let shown = s3.get("/watched").query("notification", "").send().await.expect_status(200).await;
    assert_eq!(shown.xml("Queue").as_deref(), Some(ARN));
    assert_eq!(shown.all("Event"), all);
    assert_eq!(shown.all("Value"), ["in/", ".txt"]);
    let test = hook.wait_for(1).await;
    assert_eq!(test[0]["Event"], "s3:TestEvent");
    assert_eq!(test[0]["Bucket"], "watched");

    s3.put("/watched/out/a.txt").body("x").send().await.expect_status(200).await;
    s3.put("/watched/in/a.png").body("x").send().await.expect_status(200).await;
    let written = s3.put("/watched/in/a b.txt").body("hello").send().await.expect_status(200).await;
    let version = written.header("x-amz-version-id").expect("a version").to_owned();
    let copy = s3.put("/watched/in/c.txt").header("x-amz-copy-source", "/watched/out/a.txt");
    copy.send().await.expect_status(200).await;
    let upload = s3.create_upload("/watched/in/m.txt").await;
    let part = s3.put("/watched/in/m.txt").query("partNumber", "1").query("uploadId", &upload);
    let part = part.body("part").send().await.expect_status(200).await;
    let etag = part.header("etag").expect("an etag").to_owned();
    let done = s3.complete_upload("/watched/in/m.txt", &upload, &[(1, etag)]).await;
    assert_eq!(done.status, 200);
    let tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
    let tagged = s3.put("/watched/in/a b.txt").query("tagging", "").body(tags).send().await;
    tagged.expect_status(200).await;
    s3.delete("/watched/in/c.txt").send().await.expect_status(204).await;
    let gone = s3.delete("/watched/in/a b.txt").query("versionId", &version);
    gone.send().await.expect_status(204).await;
    s3.get("/watched/in/missing.txt").send().await.expect_error(404, "NoSuchKey").await;

    let messages = hook.wait_for(7).await;
    let names: Vec<_> = messages[1..].iter().map(told).collect();
    let expected = [
        ("ObjectCreated:Put", "in/a+b.txt"),
        ("ObjectCreated:Copy", "in/c.txt"),
        ("ObjectCreated:CompleteMultipartUpload", "in/m.txt"),
        ("ObjectTagging:Put", "in/a+b.txt"),
        ("ObjectRemoved:DeleteMarkerCreated", "in/c.txt"),
        ("ObjectRemoved:Delete", "in/a+b.txt"),
    ];
    assert_eq!(names, expected.map(|(name, key)| (name.to_owned(), key.to_owned())));
    let record = &messages[1]["Records"][0];
    assert_eq!(record["eventVersion"], "2.1");
    assert_eq!(record["s3"]["configurationId"], "one");
    assert_eq!(record["s3"]["bucket"]["arn"], "arn:aws:s3:::watched");
    assert_eq!(record["s3"]["object"]["size"], 5);
    assert_eq!(record["s3"]["object"]["eTag"], "5d41402abc4b2a76b9719d911017c592");
    assert_eq!(record["s3"]["object"]["versionId"], version.as_str());
    assert_eq!(record["requestParameters"]["sourceIPAddress"], "127.0.0.1");
    let request = written.header("x-amz-request-id").expect("an id");
    assert_eq!(record["responseElements"]["x-amz-request-id"], request);
    let order: Vec<_> = messages[1..]
        .iter()
        .map(|message| message["Records"][0]["s3"]["object"]["sequencer"].to_string())
        .collect();
    assert!(order.is_sorted(), "{order:?}");

    put(&s3, "watched", "").send().await.expect_status(200).await;
    s3.put("/watched/in/off.txt").body("x").send().await.expect_status(200).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(hook.taken().len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_for_a_destination_and_survive_a_restart() {
    let hook = Hook::listen().await;
    hook.refuse(true);
    let mut cluster = start(&hook).await;
    let s3 = cluster.client();
    s3.make_bucket("watched").await;
    let wish = queue("one", ARN, &["s3:ObjectCreated:*", "s3:ObjectRemoved:*"], "");
    put(&s3, "watched", &wish).send().await.expect_status(200).await;
    for number in 0..20 {
        let request = s3.put(&format!("/watched/{number:02}")).body("x");
        request.send().await.expect_status(200).await;
    }
    s3.delete("/watched/00").send().await.expect_status(204).await;
    assert!(hook.taken().is_empty());
    cluster.gateway.kill();
    hook.refuse(false);
    cluster.restart_gateway().await;
    let messages = hook.wait_for(22).await;
    let keys: Vec<_> = messages[1..].iter().map(|message| told(message).1).collect();
    let expected: Vec<_> = (0..20).chain([0]).map(|number| format!("{number:02}")).collect();
    assert_eq!(keys, expected);
    assert_eq!(told(&messages[21]).0, "ObjectRemoved:Delete");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_is_refused() {
    let hook = Hook::listen().await;
    let cluster = start(&hook).await;
    let s3 = cluster.client();
    s3.make_bucket("watched").await;
    let created = ["s3:ObjectCreated:*"];
    for inner in [
        queue("one", "arn:aws:sqs:us-east-1:1:unknown", &created, ""),
        queue("one", ARN, &["s3:ObjectRead:*"], ""),
        queue("one", ARN, &created, &filter(&[("infix", "a")])),
        queue("one", ARN, &created, "") + &queue("two", ARN, &["s3:ObjectCreated:Put"], ""),
    ] {
        put(&s3, "watched", &inner).send().await.expect_error(400, "InvalidArgument").await;
    }
    let none = s3.get("/watched").query("notification", "").send().await.expect_status(200).await;
    assert!(none.all("Queue").is_empty());
    assert!(hook.taken().is_empty(), "nothing was configured");
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_and_renames_are_told() {
    let hook = Hook::listen().await;
    let cluster = start(&hook).await;
    let s3 = cluster.client();
    s3.make_bucket("watched").await;
    let wish = queue("one", ARN, &["s3:ObjectCreated:*", "s3:ObjectRemoved:*"], "");
    put(&s3, "watched", &wish).send().await.expect_status(200).await;
    let append = |offset: u64, bytes: Vec<u8>| {
        let request = s3.put("/watched/log").body(bytes);
        request.header("x-amz-write-offset-bytes", &offset.to_string()).send()
    };
    // New, inline still, on nodes from now on, and one stream more.
    let mut size = 0;
    for len in [10, 20, 30_000, 40_000] {
        append(size, vec![b'x'; len]).await.expect_status(200).await;
        size += len as u64;
    }
    append(3, vec![b'x']).await.expect_error(400, "InvalidWriteOffset").await;
    let rename = s3.put("/watched/new name").query("renameObject", "");
    let rename = rename.header("x-amz-rename-source", "log").header("x-amz-client-token", "t");
    rename.send().await.expect_status(200).await;
    let again = s3.put("/watched/new name").query("renameObject", "");
    let again = again.header("x-amz-rename-source", "log").header("x-amz-client-token", "t");
    again.send().await.expect_status(200).await;

    let messages = hook.wait_for(7).await;
    let told: Vec<_> = messages[1..].iter().map(told).collect();
    let put = ("ObjectCreated:Put".to_owned(), "log".to_owned());
    assert_eq!(told[..4], [put.clone(), put.clone(), put.clone(), put]);
    assert_eq!(told[4], ("ObjectCreated:Copy".to_owned(), "new+name".to_owned()));
    assert_eq!(told[5], ("ObjectRemoved:Delete".to_owned(), "log".to_owned()));
    let size_of = |message: &Value| message["Records"][0]["s3"]["object"]["size"].as_u64();
    let sizes: Vec<_> = messages[1..6].iter().filter_map(size_of).collect();
    assert_eq!(sizes, [10, 30, 30_030, 70_030, 70_030]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(hook.taken().len(), 7, "what was refused or done before is not told");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_over_https_to_whom_the_certificate_proves() {
    let dir = tempfile::tempdir().expect("a folder");
    let (root, other) = (dir.path().join("root.pem"), dir.path().join("other.pem"));
    let hook = Hook::listen_secure(&root).await;
    let _stranger = Hook::listen_secure(&other).await;
    let webhook = format!("orders={}", hook.url());
    let flags = |ca: &std::path::Path| {
        let ca = ca.display().to_string();
        Options::new().flag("--webhook", &webhook).flag("--webhook-ca", &ca)
    };
    let wish = queue("one", ARN, &["s3:ObjectCreated:*"], "");
    let cluster = flags(&root).up().await;
    let s3 = cluster.client();
    s3.make_bucket("watched").await;
    put(&s3, "watched", &wish).send().await.expect_status(200).await;
    s3.put("/watched/k").body("x").send().await.expect_status(200).await;
    let messages = hook.wait_for(2).await;
    assert_eq!(told(&messages[1]), ("ObjectCreated:Put".to_owned(), "k".to_owned()));

    // Of another authority: nothing is sent, and the log says why.
    let cluster = flags(&other).up().await;
    let s3 = cluster.client();
    s3.make_bucket("watched").await;
    put(&s3, "watched", &wish).send().await.expect_status(200).await;
    let log = cluster.gateway_dir().join("drystone.log");
    let said = || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        let line = log.lines().find(|line| line.contains("events wait for their webhook"));
        line.map(str::to_owned).ok_or(log)
    };
    let line = cluster.eventually("a word in the log", Duration::from_secs(15), said).await;
    assert!(line.contains("certificate"), "{line}");
    assert_eq!(hook.taken().len(), 2);
}
