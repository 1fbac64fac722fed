//! Takedowns: what the operator took down is read and listed by nobody, at once, until it is lifted.

use std::fs;
use std::time::Duration;

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::client::{Client, Request};
use drystone_s3_tests::cluster::{Cluster, Options};
use futures::StreamExt as _;
use md5::{Digest as _, Md5};
use serde_json::Value;
use sha2::Sha256;

const GONE: &str = "UnavailableForLegalReasons";

/// Runs `drystone admin takedown …`; how many things it changed.
fn takedown(cluster: &Cluster, args: &[&str]) -> u64 {
    let answer = cluster.admin_json(&[&["takedown"][..], args].concat());
    answer["changed"].as_u64().expect("a number")
}

/// The public log, as a stranger reads it.
async fn log(cluster: &Cluster) -> Vec<Value> {
    let stranger = cluster.client().for_service(cluster.admin_address(), "drystone");
    let answer = stranger.get("/takedowns").anonymous().send().await.expect_status(200).await;
    answer.text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The keys of all versions that are listed.
async fn versions(s3: &Client, bucket: &str) -> Vec<String> {
    let listed = s3.get(bucket).query("versions", "").send().await;
    listed.expect_status(200).await.all("Key")
}

async fn expect_gone(request: Request) {
    request.send().await.expect_error(451, GONE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_down_is_read_and_listed_by_nobody_until_it_is_lifted() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("bkt").await;
    for (seed, path) in ["/bkt/a", "/bkt/ab", "/bkt/dir/x", "/bkt/dir/y"].into_iter().enumerate() {
        s3.put_content(path, Content::new(seed as u64, 100_000)).await.expect("stored");
    }
    let object = ["--object", "s3://bkt/a", "--reason", "order 7"];
    assert_eq!(takedown(&cluster, &[&["add"][..], &object].concat()), 1);
    assert_eq!(takedown(&cluster, &[&["add"][..], &object].concat()), 0);

    expect_gone(s3.get("/bkt/a")).await;
    expect_gone(s3.get("/bkt/a").header("range", "bytes=5-9")).await;
    assert_eq!(s3.head("/bkt/a").send().await.status, 451);
    expect_gone(s3.put("/bkt/copy").header("x-amz-copy-source", "/bkt/a")).await;
    let rename = s3.put("/bkt/moved").query("renameObject", "");
    expect_gone(rename.header("x-amz-rename-source", "a")).await;
    expect_gone(s3.put("/bkt/a").header("x-amz-write-offset-bytes", "100000").body("more")).await;
    // Who may not read it learns nothing.
    s3.get("/bkt/a").anonymous().send().await.expect_error(403, "AccessDenied").await;
    assert_eq!(s3.keys("bkt").await, ["ab", "dir/x", "dir/y"]);
    assert_eq!(versions(&s3, "/bkt").await, ["ab", "dir/x", "dir/y"]);
    s3.check_content("/bkt/ab", Content::new(1, 100_000)).await.expect("another key");

    let prefix = ["--prefix", "s3://bkt/dir/", "--reason", "order 8"];
    assert_eq!(takedown(&cluster, &[&["add"][..], &prefix].concat()), 1);
    expect_gone(s3.get("/bkt/dir/y")).await;
    let rolled = s3.get("/bkt").query("delimiter", "/").send().await.expect_status(200).await;
    assert_eq!(rolled.all("Key"), ["ab"]);
    assert!(!rolled.text.contains("dir/"), "{}", rolled.text);
    let listed = cluster.admin_json(&["takedown", "list"]);
    let listed: Vec<String> = listed
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| format!("{} {} {}", row["kind"], row["what"], row["reason"]))
        .collect();
    let wanted = [r#""object" "a" "order 7""#, r#""prefix" "dir/" "order 8""#];
    assert_eq!(listed, wanted);

    // Deleting goes on, and a new object of the name is down as well.
    s3.delete("/bkt/dir/y").send().await.expect_status(204).await;
    s3.put("/bkt/dir/y").body("new").send().await.expect_status(200).await;
    expect_gone(s3.get("/bkt/dir/y")).await;

    for what in [object, prefix] {
        assert_eq!(takedown(&cluster, &[&["remove"][..], &what].concat()), 1);
    }
    s3.check_content("/bkt/a", Content::new(0, 100_000)).await.expect("as it was");
    s3.check_content("/bkt/dir/x", Content::new(2, 100_000)).await.expect("as it was");
    assert_eq!(s3.keys("bkt").await, ["a", "ab", "dir/x", "dir/y"]);
    let log = log(&cluster).await;
    let actions: Vec<_> = log.iter().map(|row| (&row["action"], &row["reason"])).collect();
    let (down, lift) = (Value::from("take-down"), Value::from("lift"));
    let (seven, eight) = (Value::from("order 7"), Value::from("order 8"));
    assert_eq!(actions, [(&down, &seven), (&down, &eight), (&lift, &seven), (&lift, &eight)]);
    check_chain(&log);
}

/// Computes the log's chain from what is published, as docs/TAKEDOWN.md says.
fn check_chain(log: &[Value]) {
    let mut before = "0".repeat(64);
    for row in log {
        let text = |field: &str| row[field].as_str().expect("text");
        let line = format!(
            "{before} {} {} {} {} {} {}",
            row["number"],
            row["milliseconds"],
            text("action"),
            text("kind"),
            text("digest"),
            text("reason")
        );
        before = hex::encode(Sha256::digest(line));
        assert_eq!(text("chain"), before, "{row}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_content_on_a_list_is_down_in_every_bucket() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    let (listed, other) = (Content::new(1, 200_000), Content::new(2, 200_000));
    s3.make_bucket("one").await;
    s3.make_bucket("two").await;
    s3.put_content("/one/k", listed).await.expect("stored");
    s3.put_content("/one/other", other).await.expect("stored");
    let hash = hex::encode(Sha256::digest(Md5::digest(listed.bytes())));
    let list = cluster.dir().join("list.txt");
    fs::write(&list, format!("# of November\n{hash}\n{}  # nobody's\n", "00".repeat(32)))
        .expect("written");
    let list = list.to_str().expect("a path");
    let change = |verb| [verb, "--hashes", list, "--reason", "list of November"];
    assert_eq!(takedown(&cluster, &change("add")), 2);

    expect_gone(s3.get("/one/k")).await;
    assert_eq!(s3.keys("one").await, ["other"]);
    s3.check_content("/one/other", other).await.expect("another content");
    // Stored again elsewhere, it is down there too.
    s3.put("/two/again").content(listed).send().await.expect_status(200).await;
    expect_gone(s3.get("/two/again")).await;
    assert!(s3.keys("two").await.is_empty());
    assert!(log(&cluster).await.iter().any(|row| row["digest"] == hash.as_str()));
    assert_eq!(takedown(&cluster, &change("remove")), 2);
    s3.check_content("/two/again", listed).await.expect("lifted");

    fs::write(list, "not a hash\n").expect("written");
    let refused = cluster.operate(&[&["admin", "takedown"][..], &change("add")].concat());
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("line 1"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takedown_cuts_the_reads_that_run() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("bkt").await;
    let content = Content::new(3, 128 << 20);
    s3.put_content("/bkt/long", content).await.expect("stored");
    let answer = s3.get("/bkt/long").send().await;
    assert_eq!(answer.status, 200);
    let mut pieces = std::pin::pin!(answer.pieces());
    let mut got = pieces.next().await.expect("a piece").expect("bytes").len();
    takedown(&cluster, &["add", "--object", "s3://bkt/long", "--reason", "order 9"]);
    // Longer than the gateway believes what it looked up.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let cut = loop {
        match pieces.next().await {
            Some(Ok(piece)) => got += piece.len(),
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    assert!(cut && got < 64 << 20, "{got} bytes came, cut: {cut}");
}
