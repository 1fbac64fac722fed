//! Requests made to be misread: what is not signed does not count, what is said twice is refused, and no document is a bomb.

use std::time::Duration;

use drystone_s3_tests::client::Client;
use drystone_s3_tests::cluster::Options;
use futures::future::join_all;
use http::HeaderValue;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_or_said_twice_is_refused() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("fool").await;
    s3.put("/fool/secret").body("secret").send().await.expect_status(200).await;
    unsigned(&s3).await;
    twice(&s3).await;
    dates(&s3).await;
    s3.get("/fool/secret").send().await.expect_status(200).await;
    assert_eq!(s3.keys("fool").await, ["secret"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_is_told_to_slow_down_and_nobody_else() {
    const RATE: usize = 5;
    let rate = RATE.to_string();
    let cluster =
        Options::new().flag("--rate-limit", &rate).flag("--max-connections", "64").up().await;
    let s3 = cluster.client();
    let create =
        ["account", "create", "--id", "ann", "--name", "Ann", "--email", "ann@example.com"];
    let keys = ["--access-key", "ann-access", "--secret-key", "ann-secret-key"];
    let _ = cluster.admin(&[&create[..], &keys].concat());
    let ann = Client::new(cluster.s3(), "ann-access", "ann-secret-key");

    // Who only knows the key's name uses nothing of what its owner may.
    let forged = s3.with_secret("not the secret at all");
    for answer in join_all((0..8 * RATE).map(|_| forged.get("/").send())).await {
        answer.expect_error(403, "SignatureDoesNotMatch").await;
    }
    let (mut let_in, mut told) = (0, 0);
    for answer in join_all((0..8 * RATE).map(|_| s3.get("/").send())).await {
        if answer.status == 200 {
            let_in += 1;
            continue;
        }
        assert_eq!(answer.header("retry-after"), Some("1"));
        answer.expect_error(503, "SlowDown").await;
        told += 1;
    }
    // A burst of two seconds' worth, and what a slow machine took meanwhile.
    assert!(let_in >= 2 * RATE && told >= RATE, "{let_in} were let in, {told} were not");
    ann.get("/").send().await.expect_status(200).await;
    s3.get("/none").anonymous().send().await.expect_error(404, "NoSuchBucket").await;
    let strangers = join_all((0..8 * RATE).map(|_| s3.get("/none").anonymous().send())).await;
    let told = strangers.iter().filter(|answer| answer.status == 503).count();
    assert!(told >= RATE, "{told} of {} strangers were told to slow down", strangers.len());
    tokio::time::sleep(Duration::from_secs(1)).await;
    s3.get("/").send().await.expect_status(200).await;
}

/// A header that somebody added on the way would turn an upload into a copy, or open it to all.
async fn unsigned(s3: &Client) {
    for (name, value) in
        [("x-amz-copy-source", "/fool/secret"), ("x-amz-acl", "public-read"), ("x-amz-meta-a", "b")]
    {
        let add = move |request: &mut http::Request<_>| {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        };
        s3.put("/fool/new")
            .body("x")
            .spoilt(add)
            .send()
            .await
            .expect_error(403, "AccessDenied")
            .await;
        let by_url = s3.put("/fool/new").body("x").presigned(60).spoilt(add);
        by_url.send().await.expect_error(403, "AccessDenied").await;
    }
}

async fn twice(s3: &Client) {
    for (name, value) in [
        ("x-amz-storage-class", "STANDARD"),
        ("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="),
        ("content-type", "a/b"),
    ] {
        let twice = s3.put("/fool/new").body("x").header(name, value).header(name, value);
        twice.send().await.expect_error(400, "InvalidRequest").await;
    }
}

async fn dates(s3: &Client) {
    const DAY: u64 = 24 * 3600;
    let url = |seconds| s3.get("/fool/secret").presigned(seconds);
    url(7 * DAY).send().await.expect_status(200).await;
    url(7 * DAY + 1).send().await.expect_error(403, "AuthorizationQueryParametersError").await;
    let old = url(60).earlier(Duration::from_secs(120));
    old.send().await.expect_error(403, "AccessDenied").await;
    let late = s3.get("/fool/secret").earlier(Duration::from_secs(16 * 60));
    late.send().await.expect_error(403, "RequestTimeTooSkewed").await;
    let version_2 =
        s3.get("/fool/secret").anonymous().header("authorization", "AWS AKID:c2lnbmF0dXJl");
    let refused = version_2.send().await.read().await;
    assert!(refused.status == 403 || refused.status == 400, "{} {}", refused.status, refused.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_document_is_a_bomb_and_every_answer_has_an_id() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("xml").await;
    let entity = "<?xml version=\"1.0\"?><!DOCTYPE d [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]><Delete><Object><Key>&b;</Key></Object></Delete>";
    let outside = "<!DOCTYPE d [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><Delete><Object><Key>&x;</Key></Object></Delete>";
    let deep =
        format!("<Delete>{}{}</Delete>", "<Object>".repeat(100_000), "</Object>".repeat(100_000));
    for body in [entity.to_owned(), outside.to_owned(), deep, "<Delete>".to_owned(), String::new()]
    {
        let answer = s3.post("/xml").query("delete", "").body(body).send().await.read().await;
        assert_eq!(answer.status, 400, "{}", answer.text);
        assert!(!answer.text.contains("root:"), "{}", answer.text);
        let id = answer.header("x-amz-request-id").expect("an id").to_owned();
        assert_eq!(answer.xml("RequestId"), Some(id));
    }
    let huge = vec![b' '; 9 << 20];
    let answer = s3.post("/xml").query("delete", "").body(huge).send().await.read().await;
    assert_eq!(answer.status, 400, "{}", answer.text);

    for (path, status) in [("/xml", 200), ("/xml/none", 404), ("/nobody", 404)] {
        let head = s3.head(path).send().await.expect_status(status).await;
        assert!(head.bytes.is_empty(), "{path}");
        assert!(head.header("x-amz-request-id").is_some(), "{path}");
        assert!(head.header("x-amz-id-2").is_some(), "{path}");
    }
}
