//! Listings and deletes of many.

use std::collections::BTreeSet;

use drystone_s3_tests::checksum::content_md5;
use drystone_s3_tests::client::Client;
use drystone_s3_tests::cluster::Options;
use drystone_s3_tests::xml;
use futures::StreamExt;
use futures::stream;

#[tokio::test(flavor = "multi_thread")]
async fn listings_page_group_and_never_lose_a_key() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("list").await;
    let keys: BTreeSet<String> = (0..1_234)
        .map(|index| format!("d{}/k {:04}", index % 3, index))
        .chain(["top & <1>".to_owned()])
        .collect();
    stream::iter(&keys)
        .for_each_concurrent(32, |key| {
            let s3 = s3.clone();
            async move {
                s3.put(&format!("/list/{key}")).body("x").send().await.expect_status(200).await;
            }
        })
        .await;
    assert_eq!(
        s3.keys("list").await,
        keys.iter().cloned().collect::<Vec<_>>(),
        "version 2, default pages"
    );

    let first = s3.get("/list").query("list-type", "2").send().await.expect_status(200).await;
    assert_eq!((first.all("Key").len(), first.xml("IsTruncated").as_deref()), (1000, Some("true")));
    assert_eq!(
        (first.xml("KeyCount").as_deref(), first.xml("MaxKeys").as_deref()),
        (Some("1000"), Some("1000"))
    );

    // Folders, two entries at a time, must each come once.
    for version in [1, 2] {
        assert_eq!(
            folders(&s3, version).await,
            ["d0/", "d1/", "d2/", "top & <1>"],
            "version {version}, delimiter /, pages of 2"
        );
    }
    let within = s3
        .get("/list")
        .query("list-type", "2")
        .query("prefix", "d1/")
        .query("delimiter", "/")
        .query("max-keys", "7");
    let within = within.send().await.expect_status(200).await;
    assert_eq!(
        within.all("Key"),
        keys.iter().filter(|key| key.starts_with("d1/")).take(7).cloned().collect::<Vec<_>>()
    );
    let after = s3
        .get("/list")
        .query("list-type", "2")
        .query("start-after", "d2/k 1232")
        .send()
        .await
        .expect_status(200)
        .await;
    assert_eq!(after.all("Key"), ["top & <1>"]);
    let url = s3
        .get("/list")
        .query("list-type", "2")
        .query("prefix", "top")
        .query("encoding-type", "url");
    assert_eq!(url.send().await.expect_status(200).await.all("Key"), ["top%20%26%20%3C1%3E"]);
    let none = s3
        .get("/list")
        .query("list-type", "2")
        .query("max-keys", "0")
        .send()
        .await
        .expect_status(200)
        .await;
    assert_eq!((none.all("Key").len(), none.xml("IsTruncated").as_deref()), (0, Some("false")));
    let refused = s3.get("/list").query("list-type", "2").query("max-keys", "-1").send().await;
    refused.expect_error(400, "InvalidArgument").await;
    let refused =
        s3.get("/list").query("list-type", "2").query("continuation-token", "rubbish").send().await;
    refused.expect_error(400, "InvalidArgument").await;

    delete_many(&s3, &keys).await;
}

async fn folders(s3: &Client, version: u8) -> Vec<String> {
    let mut found = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let mut request = s3.get("/list").query("delimiter", "/").query("max-keys", "2");
        if version == 2 {
            request = request.query("list-type", "2");
        }
        if let Some(next) = &next {
            request =
                request.query(if version == 2 { "continuation-token" } else { "marker" }, next);
        }
        let page = request.send().await.expect_status(200).await;
        let prefixes: Vec<_> = xml::elements(&page.text, "CommonPrefixes")
            .filter_map(|inner| xml::text(inner, "Prefix"))
            .collect();
        let names = prefixes.len() + page.all("Key").len();
        assert!(names <= 2, "{}", page.text);
        found.extend(prefixes);
        found.extend(page.all("Key"));
        if page.xml("IsTruncated").as_deref() != Some("true") {
            return found;
        }
        next = page.xml(if version == 2 { "NextContinuationToken" } else { "NextMarker" });
        assert!(next.is_some(), "{}", page.text);
    }
}

async fn delete_many(s3: &Client, keys: &BTreeSet<String>) {
    let all: Vec<_> = keys.iter().cloned().chain(["was never there".to_owned()]).collect();
    for batch in all.chunks(1000) {
        let objects: String = batch
            .iter()
            .map(|key| format!("<Object><Key>{}</Key></Object>", xml::escape(key)))
            .collect();
        let body = format!("<Delete>{objects}</Delete>");
        let md5 = content_md5(body.as_bytes());
        let request = s3.post("/list").query("delete", "").header("content-md5", &md5).body(body);
        let answer = request.send().await.expect_status(200).await;
        assert_eq!(xml::elements(&answer.text, "Deleted").count(), batch.len(), "{}", answer.text);
        assert_eq!(xml::elements(&answer.text, "Error").count(), 0, "{}", answer.text);
    }
    assert!(s3.keys("list").await.is_empty());
    let quiet = "<Delete><Quiet>true</Quiet><Object><Key>x</Key></Object></Delete>";
    let md5 = content_md5(quiet.as_bytes());
    let answer = s3
        .post("/list")
        .query("delete", "")
        .header("content-md5", &md5)
        .body(quiet)
        .send()
        .await
        .expect_status(200)
        .await;
    assert_eq!(xml::elements(&answer.text, "Deleted").count(), 0);
    s3.post("/list")
        .query("delete", "")
        .header("content-md5", &md5)
        .body("<Delete/>")
        .send()
        .await
        .expect_status(400)
        .await;
    s3.delete("/list").send().await.expect_status(204).await;
}
