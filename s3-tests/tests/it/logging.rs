//! Access logs of buckets: every request on a logged bucket is a line of an object in another one.

use std::time::Duration;

use drystone_s3_tests::client::Client;
use drystone_s3_tests::cluster::{Cluster, Options};

/// How long lines may take to be delivered.
const PATIENCE: Duration = Duration::from_secs(15);

/// A gateway that delivers twice a second.
async fn start() -> Cluster {
    Options::new().flag("--lifecycle-day", "1s").up().await
}

pub(super) fn enabled(target: &str, prefix: &str, format: &str) -> String {
    format!(
        "<BucketLoggingStatus><LoggingEnabled><TargetBucket>{target}</TargetBucket><TargetPrefix>{prefix}</TargetPrefix>{format}\
         </LoggingEnabled></BucketLoggingStatus>"
    )
}

async fn set(s3: &Client, bucket: &str, body: String) {
    let put = s3.put(&format!("/{bucket}")).query("logging", "").body(body).send().await;
    put.expect_status(200).await;
}

/// The lines delivered into a bucket, once one of them holds `last`.
pub(super) async fn lines(s3: &Client, bucket: &str, last: &str) -> Vec<String> {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let mut lines = Vec::new();
        for key in s3.keys(bucket).await {
            let object = s3.get(&format!("/{bucket}/{key}")).send().await.expect_status(200).await;
            lines.extend(object.text.lines().map(str::to_owned));
        }
        if lines.iter().any(|line| line.contains(last)) {
            return lines;
        }
        assert!(tokio::time::Instant::now() < end, "no line with {last}: {lines:#?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_on_a_logged_bucket_is_a_line() {
    let cluster = start().await;
    let s3 = cluster.client();
    s3.make_bucket("logged").await;
    s3.make_bucket("logs").await;
    let none = s3.get("/logged").query("logging", "").send().await.expect_status(200).await;
    assert!(none.text.contains("BucketLoggingStatus") && none.xml("TargetBucket").is_none());
    set(&s3, "logged", enabled("logs", "of-logged/", "")).await;
    let shown = s3.get("/logged").query("logging", "").send().await.expect_status(200).await;
    assert_eq!(shown.xml("TargetPrefix").as_deref(), Some("of-logged/"));

    let agent = s3.put("/logged/a b").header("user-agent", "tester \"1\"").body("hello");
    let put = agent.send().await.expect_status(200).await;
    let id = put.header("x-amz-request-id").expect("an id").to_owned();
    s3.get("/logged/a b").header("range", "bytes=0-1").send().await.expect_status(206).await;
    s3.get("/logged/missing").send().await.expect_error(404, "NoSuchKey").await;
    s3.get("/logged/a b").anonymous().send().await.expect_error(403, "AccessDenied").await;
    s3.get("/logged/a b").presigned(60).send().await.expect_status(200).await;
    s3.delete("/logged/a b").send().await.expect_status(204).await;
    let lines = lines(&s3, "logs", "REST.DELETE.OBJECT").await;

    let line = |what: &str| {
        let found = lines.iter().find(|line| line.contains(what));
        found.unwrap_or_else(|| panic!("no line with {what}: {lines:#?}")).clone()
    };
    let put = line("REST.PUT.OBJECT a%20b");
    assert!(put.contains(" logged [") && put.contains(&format!(" {id} ")), "{put}");
    assert!(put.contains("\"PUT /logged/a%20b HTTP/1.1\" 200 - - 5 "), "{put}");
    assert!(put.contains("\"tester %221%22\"") && put.contains(" SigV4 - AuthHeader "), "{put}");
    let part = line("\" 206 - 2 5 ");
    assert!(part.contains("REST.GET.OBJECT a%20b"), "{part}");
    assert!(line(" 404 NoSuchKey ").contains("REST.GET.OBJECT missing"));
    assert!(line(" 403 AccessDenied ").contains(" 127.0.0.1 - "), "an anonymous caller is nobody");
    let signed = line(" QueryString ");
    assert!(!signed.contains(&drystone_s3_tests::cluster::ACCESS[..12]), "{signed}");
    assert!(lines.iter().all(|line| line.contains(" logged [")), "only of the logged bucket");
    let keys = s3.keys("logs").await;
    assert!(keys.iter().all(|key| key.starts_with("of-logged/20") && key.len() == 46), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_goes_where_it_may_and_ends_when_it_is_turned_off() {
    let cluster = start().await;
    let s3 = cluster.client();
    s3.make_bucket("logged").await;
    s3.make_bucket("logs").await;
    let refused = |body: String| s3.put("/logged").query("logging", "").body(body);
    let missing = refused(enabled("no-such-bucket", "", "")).send().await;
    missing.expect_error(400, "InvalidTargetBucketForLogging").await;

    let (access, secret) = ("ann-access", "ann-secret-key");
    let _ = cluster.admin(&[
        "account",
        "create",
        "--id",
        "ann",
        "--name",
        "ann",
        "--email",
        "ann@example.com",
        "--access-key",
        access,
        "--secret-key",
        secret,
    ]);
    let other = Client::new(cluster.s3(), access, secret);
    other.make_bucket("others").await;
    let foreign = refused(enabled("others", "", "")).send().await;
    foreign.expect_error(400, "InvalidTargetBucketForLogging").await;
    let policy = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"logging.s3.amazonaws.com\"},\
        \"Action\":\"s3:PutObject\",\"Resource\":\"arn:aws:s3:::others/*\"}]}";
    let put = other.put("/others").query("policy", "").body(policy).send().await;
    assert!(put.status < 300, "{}", put.read().await.text);
    set(&s3, "logged", enabled("others", "", "")).await;

    let by_event = "<TargetObjectKeyFormat><PartitionedPrefix><PartitionDateSource>EventTime</PartitionDateSource></PartitionedPrefix>\
        </TargetObjectKeyFormat>";
    set(&s3, "logged", enabled("logs", "p/", by_event)).await;
    let shown = s3.get("/logged").query("logging", "").send().await.expect_status(200).await;
    assert_eq!(shown.xml("PartitionDateSource").as_deref(), Some("EventTime"));
    s3.put("/logged/k").body("x").send().await.expect_status(200).await;
    lines(&s3, "logs", "REST.PUT.OBJECT k").await;
    let keys = s3.keys("logs").await;
    assert!(keys[0].starts_with("p/") && keys[0].contains("/us-east-1/logged/20"), "{keys:?}");
    assert!(keys[0].contains("-00-00-00-"), "{keys:?}");

    set(&s3, "logged", "<BucketLoggingStatus/>".to_owned()).await;
    s3.get("/logged/off").send().await.expect_error(404, "NoSuchKey").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for key in s3.keys("logs").await {
        let object = s3.get(&format!("/logs/{key}")).send().await.expect_status(200).await;
        assert!(!object.text.contains(" off "), "{}", object.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_delivered_when_the_gateway_stops() {
    // A day as long as days are: nothing else delivers within this test.
    let mut cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("logged").await;
    s3.make_bucket("logs").await;
    set(&s3, "logged", enabled("logs", "", "")).await;
    for number in 0..20 {
        let path = format!("/logged/{number}");
        s3.put(&path).body("x").send().await.expect_status(200).await;
    }
    assert!(s3.keys("logs").await.is_empty());
    assert!(cluster.terminate_gateway(PATIENCE).await.success());
    cluster.restart_gateway().await;
    let lines = lines(&cluster.client(), "logs", "REST.PUT.OBJECT 19").await;
    let puts = lines.iter().filter(|line| line.contains("REST.PUT.OBJECT")).count();
    assert_eq!(puts, 20, "{lines:#?}");
}
