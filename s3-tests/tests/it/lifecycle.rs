//! Lifecycle: rules are checked as AWS checks them, and do what they say. A day has two seconds here.

use std::time::Duration;

use drystone_s3_tests::client::Client;
use drystone_s3_tests::cluster::{Cluster, Options};

/// A day of these tests.
const DAY: &str = "2s";
/// How long what is due may take to happen.
const PATIENCE: Duration = Duration::from_secs(30);

async fn start() -> Cluster {
    Options::new()
        .quick_upkeep()
        .flag("--lifecycle-day", DAY)
        .flag("--storage-class", "COOL=local,COLD=local")
        .up()
        .await
}

async fn put_rules(s3: &Client, bucket: &str, rules: &str) {
    let body = format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>");
    let put = s3.put(&format!("/{bucket}")).query("lifecycle", "").body(body).send().await;
    put.expect_status(200).await;
}

fn rule(prefix: &str, action: &str) -> String {
    format!(
        "<Rule><Filter><Prefix>{prefix}</Prefix></Filter><Status>Enabled</Status>{action}</Rule>"
    )
}

async fn versioned(s3: &Client, bucket: &str) {
    s3.make_bucket(bucket).await;
    let body =
        "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>".to_owned();
    let put = s3.put(&format!("/{bucket}")).query("versioning", "").body(body).send().await;
    put.expect_status(200).await;
}

/// How many versions and delete markers a bucket has.
async fn versions(s3: &Client, bucket: &str) -> (usize, usize) {
    let list = s3.get(&format!("/{bucket}")).query("versions", "").send().await;
    let list = list.expect_status(200).await;
    let count = |name: &str| list.text.matches(&format!("<{name}>")).count();
    (count("Version"), count("DeleteMarker"))
}

/// Waits until a bucket has so many versions and delete markers.
async fn until(s3: &Client, bucket: &str, wanted: (usize, usize)) {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let found = versions(s3, bucket).await;
        if found == wanted {
            return;
        }
        assert!(tokio::time::Instant::now() < end, "{bucket}: {found:?}, not {wanted:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_kept_checked_and_announced() {
    let cluster = start().await;
    let s3 = cluster.client();
    s3.make_bucket("ruled").await;
    let none = s3.get("/ruled").query("lifecycle", "").send().await;
    none.expect_error(404, "NoSuchLifecycleConfiguration").await;
    let ends = |days: &str| format!("<Expiration><Days>{days}</Days></Expiration>");
    put_rules(&s3, "ruled", &rule("days/", &ends("31"))).await;
    let shown = s3.get("/ruled").query("lifecycle", "").send().await.expect_status(200).await;
    assert_eq!(shown.all("Days"), ["31"]);
    assert_eq!(shown.all("ID").len(), 1, "a rule without a name gets one");

    let put = s3.put("/ruled/days/a").body("x").send().await.expect_status(200).await;
    let said = put.header("x-amz-expiration").expect("a date").to_owned();
    assert!(said.contains("expiry-date=\"") && said.contains("rule-id=\""), "{said}");
    let head = s3.head("/ruled/days/a").send().await.expect_status(200).await;
    assert_eq!(head.header("x-amz-expiration"), Some(said.as_str()));
    let other = s3.put("/ruled/other").body("x").send().await.expect_status(200).await;
    assert_eq!(other.header("x-amz-expiration"), None);

    for (rules, code) in [
        (rule("", &ends("0")), "InvalidArgument"),
        (rule("", ""), "InvalidRequest"),
        (rule("", &ends("1")).replace("Enabled", "enabled"), "MalformedXML"),
        (rule("", "<Expiration><Date>2020-01-01T12:00:00Z</Date></Expiration>"), "InvalidArgument"),
        (
            rule("", "<Transition><Days>1</Days><StorageClass>WARM</StorageClass></Transition>"),
            "InvalidStorageClass",
        ),
    ] {
        let body = format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>");
        let refused = s3.put("/ruled").query("lifecycle", "").body(body).send().await;
        refused.expect_error(400, code).await;
    }
    s3.delete("/ruled").query("lifecycle", "").send().await.expect_status(204).await;
    let none = s3.get("/ruled").query("lifecycle", "").send().await;
    none.expect_error(404, "NoSuchLifecycleConfiguration").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_goes_and_what_is_not_stays() {
    let cluster = start().await;
    let s3 = cluster.client();
    s3.make_bucket("plain").await;
    for key in ["soon/a", "soon/b", "keep/a"] {
        s3.put(&format!("/plain/{key}")).body("x").send().await.expect_status(200).await;
    }
    let upload = s3.create_upload("/plain/soon/upload").await;
    let kept = s3.create_upload("/plain/keep/upload").await;
    let actions = "<Expiration><Days>1</Days></Expiration>\
        <AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>";
    put_rules(&s3, "plain", &rule("soon/", actions)).await;

    versioned(&s3, "versions").await;
    for content in ["1", "2", "3"] {
        s3.put("/versions/old/a").body(content).send().await.expect_status(200).await;
        s3.put("/versions/keep/a").body(content).send().await.expect_status(200).await;
    }
    s3.put("/versions/gone/a").body("x").send().await.expect_status(200).await;
    s3.delete("/versions/gone/a").send().await.expect_status(204).await;
    s3.put("/versions/now/a").body("x").send().await.expect_status(200).await;
    assert_eq!(versions(&s3, "versions").await, (8, 1));
    let older = |days: &str, more: &str| {
        format!(
            "<NoncurrentVersionExpiration><NoncurrentDays>{days}</NoncurrentDays>{more}</NoncurrentVersionExpiration>"
        )
    };
    let markers =
        "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>";
    let keep_one = "<NewerNoncurrentVersions>1</NewerNoncurrentVersions>";
    let rules = [
        rule("old/", &older("1", keep_one)),
        rule("gone/", &format!("{markers}{}", older("1", ""))),
        rule("now/", "<Expiration><Days>1</Days></Expiration>"),
    ];
    put_rules(&s3, "versions", &rules.concat()).await;

    // old/: one of the two older ones is kept. gone/: the version, then its lone delete marker. now/: a delete marker before it.
    until(&s3, "versions", (6, 1)).await;
    let end = tokio::time::Instant::now() + PATIENCE;
    while s3.keys("plain").await != ["keep/a"] {
        assert!(tokio::time::Instant::now() < end, "{:?}", s3.keys("plain").await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let uploads = s3.get("/plain").query("uploads", "").send().await.expect_status(200).await;
    let ids = uploads.all("UploadId");
    assert!(ids.contains(&kept) && !ids.contains(&upload), "{ids:?}");
    assert_eq!(s3.keys("versions").await, ["keep/a", "old/a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_move_to_another_class_and_stay_what_they_were() {
    let cluster = start().await;
    let s3 = cluster.client();
    s3.make_bucket("moving").await;
    let put = s3.put("/moving/a").header("x-amz-meta-a", "b").body("x").send().await;
    let etag = put.expect_status(200).await.header("etag").expect("an etag").to_owned();
    let step = |days: &str, class: &str| {
        format!("<Transition><Days>{days}</Days><StorageClass>{class}</StorageClass></Transition>")
    };
    put_rules(&s3, "moving", &rule("", &format!("{}{}", step("1", "COOL"), step("3", "COLD"))))
        .await;
    for class in ["COOL", "COLD"] {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let head = s3.head("/moving/a").send().await.expect_status(200).await;
            if head.header("x-amz-storage-class") == Some(class) {
                assert_eq!(head.header("etag"), Some(etag.as_str()));
                assert_eq!(head.header("x-amz-meta-a"), Some("b"));
                break;
            }
            assert!(tokio::time::Instant::now() < end, "{:?}", head.headers);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(s3.get("/moving/a").send().await.expect_status(200).await.text, "x");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lost_its_tag_or_grew_meanwhile_stays_longer() {
    let cluster = start().await;
    let s3 = cluster.client();
    s3.make_bucket("tagged").await;
    let rule = "<Rule><Filter><Tag><Key>keep</Key><Value>no</Value></Tag></Filter><Status>Enabled</Status>\
        <Expiration><Days>1</Days></Expiration></Rule>";
    put_rules(&s3, "tagged", rule).await;
    for key in ["goes", "stays", "grows"] {
        let put = s3.put(&format!("/tagged/{key}")).header("x-amz-tagging", "keep=no").body("x");
        put.send().await.expect_status(200).await;
    }
    let tags = "<Tagging><TagSet><Tag><Key>keep</Key><Value>yes</Value></Tag></TagSet></Tagging>";
    let retag = s3.put("/tagged/stays").query("tagging", "").body(tags).send().await;
    retag.expect_status(200).await;
    let end = tokio::time::Instant::now() + PATIENCE;
    let mut size = 1;
    while s3.head("/tagged/goes").send().await.status != 404 {
        // What is appended to again and again is never a day old.
        let append = s3.put("/tagged/grows").header("x-amz-write-offset-bytes", &size.to_string());
        append.body("y").send().await.expect_status(200).await;
        size += 1;
        assert!(tokio::time::Instant::now() < end, "the first never went");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(s3.keys("tagged").await, ["grows", "stays"]);
    // It kept its tag all the while, and goes by it.
    while s3.keys("tagged").await != ["stays"] {
        assert!(tokio::time::Instant::now() < end, "{:?}", s3.keys("tagged").await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
