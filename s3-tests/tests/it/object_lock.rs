//! Object lock: what is protected cannot be deleted or overwritten before its time, and only governance can be bypassed.

use std::time::Duration;

use drystone_s3_tests::client::{Client, Request};
use drystone_s3_tests::cluster::Options;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A time so many seconds from now, as S3 writes it.
pub(super) fn in_seconds(seconds: i64) -> String {
    let at = OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
    at.replace_nanosecond(0).expect("a time").format(&Rfc3339).expect("formats")
}

pub(super) async fn locked_bucket(s3: &Client, name: &str) {
    let request = s3.put(&format!("/{name}")).header("x-amz-bucket-object-lock-enabled", "true");
    request.send().await.expect_status(200).await;
}

pub(super) async fn put(s3: &Client, path: &str) -> String {
    let answer = s3.put(path).body("kept").send().await.expect_status(200).await;
    answer.header("x-amz-version-id").expect("an id").to_owned()
}

pub(super) fn retention(s3: &Client, path: &str, mode: &str, until: &str) -> Request {
    let body = format!(
        "<Retention><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>"
    );
    s3.put(path).query("retention", "").body(body)
}

pub(super) fn hold(s3: &Client, path: &str, status: &str) -> Request {
    let body = format!("<LegalHold><Status>{status}</Status></LegalHold>");
    s3.put(path).query("legal-hold", "").body(body)
}

pub(super) fn remove(s3: &Client, path: &str, version: &str) -> Request {
    s3.delete(path).query("versionId", version)
}

fn configuration(s3: &Client, bucket: &str, rule: &str) -> Request {
    let body = format!(
        "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>{rule}</ObjectLockConfiguration>"
    );
    s3.put(bucket).query("object-lock", "").body(body)
}

pub(super) const BYPASS: (&str, &str) = ("x-amz-bypass-governance-retention", "true");

#[tokio::test(flavor = "multi_thread")]
async fn a_retained_version_stays_and_only_governance_is_bypassed() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    locked_bucket(&s3, "worm").await;
    let version = put(&s3, "/worm/k").await;
    let (near, far) = (in_seconds(3_600), in_seconds(7_200));
    retention(&s3, "/worm/k", "GOVERNANCE", &far).send().await.expect_status(200).await;
    let head = s3.head("/worm/k").send().await.expect_status(200).await;
    assert_eq!(head.header("x-amz-object-lock-mode"), Some("GOVERNANCE"));
    assert!(
        head.header("x-amz-object-lock-retain-until-date")
            .is_some_and(|date| date.starts_with(&far[..19]))
    );

    // Overwriting and deleting without an id only add versions.
    put(&s3, "/worm/k").await;
    s3.delete("/worm/k").send().await.expect_status(204).await;
    remove(&s3, "/worm/k", &version).send().await.expect_error(403, "AccessDenied").await;
    let of_version = |request: Request| request.query("versionId", &version);
    of_version(retention(&s3, "/worm/k", "GOVERNANCE", &near))
        .send()
        .await
        .expect_error(403, "AccessDenied")
        .await;
    of_version(retention(&s3, "/worm/k", "COMPLIANCE", &far))
        .send()
        .await
        .expect_error(403, "AccessDenied")
        .await;
    let many =
        format!("<Delete><Object><Key>k</Key><VersionId>{version}</VersionId></Object></Delete>");
    let md5 = drystone_s3_tests::checksum::content_md5(many.as_bytes());
    let many = s3.post("/worm").query("delete", "").header("content-md5", &md5).body(many);
    assert_eq!(many.send().await.expect_status(200).await.all("Code"), ["AccessDenied"]);

    // With the bypass governance becomes compliance, and that is final.
    let strict =
        of_version(retention(&s3, "/worm/k", "COMPLIANCE", &far)).header(BYPASS.0, BYPASS.1);
    strict.send().await.expect_status(200).await;
    let denied = remove(&s3, "/worm/k", &version).header(BYPASS.0, BYPASS.1).send().await;
    denied.expect_error(403, "AccessDenied").await;
    let shorter =
        of_version(retention(&s3, "/worm/k", "COMPLIANCE", &near)).header(BYPASS.0, BYPASS.1);
    shorter.send().await.expect_error(403, "AccessDenied").await;
    let longer = in_seconds(9_000);
    of_version(retention(&s3, "/worm/k", "COMPLIANCE", &longer))
        .send()
        .await
        .expect_status(200)
        .await;
    let read = s3.get("/worm/k").query("retention", "").query("versionId", &version);
    let read = read.send().await.expect_status(200).await;
    assert_eq!(read.xml("Mode").as_deref(), Some("COMPLIANCE"));

    // A retention that is over protects nothing.
    let mut short = s3.put("/worm/short").body("x").header("x-amz-object-lock-mode", "COMPLIANCE");
    short = short.header("x-amz-object-lock-retain-until-date", &in_seconds(3));
    let short = short.send().await.expect_status(200).await;
    let short = short.header("x-amz-version-id").expect("an id").to_owned();
    remove(&s3, "/worm/short", &short).send().await.expect_error(403, "AccessDenied").await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    remove(&s3, "/worm/short", &short).send().await.expect_status(204).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legal_hold_holds_until_it_is_lifted() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    locked_bucket(&s3, "worm").await;
    let version = put(&s3, "/worm/k").await;
    let none = s3.get("/worm/k").query("legal-hold", "").send().await;
    none.expect_error(404, "NoSuchObjectLockConfiguration").await;
    hold(&s3, "/worm/k", "ON").send().await.expect_status(200).await;
    let denied = remove(&s3, "/worm/k", &version).header(BYPASS.0, BYPASS.1).send().await;
    denied.expect_error(403, "AccessDenied").await;
    let told = s3.get("/worm/k").query("legal-hold", "").send().await.expect_status(200).await;
    assert_eq!(told.xml("Status").as_deref(), Some("ON"));
    hold(&s3, "/worm/k", "maybe").send().await.expect_error(400, "MalformedXML").await;
    hold(&s3, "/worm/k", "OFF").send().await.expect_status(200).await;
    let head = s3.head("/worm/k").send().await.expect_status(200).await;
    assert_eq!(head.header("x-amz-object-lock-legal-hold"), Some("OFF"));
    remove(&s3, "/worm/k", &version).send().await.expect_status(204).await;

    // An upload carries its lock to the object it becomes.
    let begun =
        s3.post("/worm/mp").query("uploads", "").header("x-amz-object-lock-legal-hold", "ON");
    let upload = begun.send().await.expect_status(200).await.xml("UploadId").expect("an id");
    let content = drystone_s3_tests::bytes::Content::new(1, 100_000);
    let part = s3.upload_part("/worm/mp", &upload, 1, content).await;
    let done = s3.complete_upload("/worm/mp", &upload, &[(1, part)]).await;
    let version = done.header("x-amz-version-id").expect("an id");
    remove(&s3, "/worm/mp", version).send().await.expect_error(403, "AccessDenied").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_s_lock_gives_a_default_and_is_never_turned_off() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("plain").await;
    let days = |days: &str| {
        format!(
            "<Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>{days}</Days></DefaultRetention></Rule>"
        )
    };
    // Object lock needs versions.
    configuration(&s3, "/plain", &days("1"))
        .send()
        .await
        .expect_error(409, "InvalidBucketState")
        .await;
    s3.get("/plain")
        .query("object-lock", "")
        .send()
        .await
        .expect_error(404, "ObjectLockConfigurationNotFoundError")
        .await;
    s3.put("/plain/k").body("x").send().await.expect_status(200).await;
    let until = in_seconds(3_600);
    retention(&s3, "/plain/k", "GOVERNANCE", &until)
        .send()
        .await
        .expect_error(400, "InvalidRequest")
        .await;
    hold(&s3, "/plain/k", "ON").send().await.expect_error(400, "InvalidRequest").await;
    let held = s3.put("/plain/h").body("x").header("x-amz-object-lock-legal-hold", "ON");
    held.send().await.expect_error(400, "InvalidRequest").await;

    super::versioning::set_versioning(&s3, "plain", "Enabled").await;
    for (rule, code) in [
        (days("0"), "InvalidRetentionPeriod"),
        (days("1").replace("GOVERNANCE", "governance"), "MalformedXML"),
        (days("1").replace("</Days>", "</Days><Years>1</Years>"), "MalformedXML"),
    ] {
        configuration(&s3, "/plain", &rule).send().await.expect_error(400, code).await;
    }
    configuration(&s3, "/plain", &days("1")).send().await.expect_status(200).await;
    let told = s3.get("/plain").query("object-lock", "").send().await.expect_status(200).await;
    assert_eq!(
        (told.xml("Mode").as_deref(), told.xml("Days").as_deref()),
        (Some("GOVERNANCE"), Some("1"))
    );
    let body = "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>";
    let suspend = s3.put("/plain").query("versioning", "").body(body).send().await;
    suspend.expect_error(409, "InvalidBucketState").await;

    // From now on every new version has the default, those before have none.
    let version = put(&s3, "/plain/d").await;
    remove(&s3, "/plain/d", &version).send().await.expect_error(403, "AccessDenied").await;
    remove(&s3, "/plain/d", &version)
        .header(BYPASS.0, BYPASS.1)
        .send()
        .await
        .expect_status(204)
        .await;
    remove(&s3, "/plain/k", "null").send().await.expect_status(204).await;
}
