//! Versions: what is written stays, what is deleted is marked, and each has a name by which it is read, copied and removed.

use drystone_s3_tests::client::{Answer, Client};
use drystone_s3_tests::cluster::Options;

/// Sets the versioning of a bucket.
pub(crate) async fn set_versioning(s3: &Client, bucket: &str, status: &str) {
    let body =
        format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>");
    let request = s3.put(&format!("/{bucket}")).query("versioning", "").body(body);
    request.send().await.expect_status(200).await;
}

/// Puts a text and gives its version id.
async fn put(s3: &Client, path: &str, text: &'static str) -> Option<String> {
    let answer = s3.put(path).body(text).send().await.expect_status(200).await;
    answer.header("x-amz-version-id").map(str::to_owned)
}

async fn text_of(s3: &Client, path: &str, version: &str) -> String {
    let request = s3.get(path).query("versionId", version);
    let answer = request.send().await.expect_status(200).await;
    assert_eq!(answer.header("x-amz-version-id"), Some(version));
    answer.text
}

async fn remove(s3: &Client, path: &str, version: &str) -> Answer {
    s3.delete(path).query("versionId", version).send().await.expect_status(204).await
}

/// Every line of a bucket's list of versions: kind aside, key and id in order.
async fn listed(s3: &Client, bucket: &str) -> Vec<(String, String)> {
    let request = s3.get(&format!("/{bucket}")).query("versions", "");
    let page = request.send().await.expect_status(200).await;
    page.all("Key").into_iter().zip(page.all("VersionId")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enabled_bucket_keeps_every_version_and_marks_deletions() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("ver").await;
    let none = s3.get("/ver").query("versioning", "").send().await.expect_status(200).await;
    assert_eq!(none.xml("Status"), None);
    assert_eq!(put(&s3, "/ver/k", "before").await, None);
    set_versioning(&s3, "ver", "Enabled").await;
    let now = s3.get("/ver").query("versioning", "").send().await.expect_status(200).await;
    assert_eq!(now.xml("Status").as_deref(), Some("Enabled"));

    let one = put(&s3, "/ver/k", "one").await.expect("an id");
    let two = put(&s3, "/ver/k", "two").await.expect("an id");
    assert_eq!(s3.get("/ver/k").send().await.expect_status(200).await.text, "two");
    assert_eq!(text_of(&s3, "/ver/k", &one).await, "one");
    assert_eq!(text_of(&s3, "/ver/k", "null").await, "before");

    // A deletion without an id takes nothing away.
    let deleted = s3.delete("/ver/k").send().await.expect_status(204).await;
    assert_eq!(deleted.header("x-amz-delete-marker"), Some("true"));
    let marker = deleted.header("x-amz-version-id").expect("an id").to_owned();
    let gone = s3.get("/ver/k").send().await.expect_error(404, "NoSuchKey").await;
    assert_eq!(gone.header("x-amz-delete-marker"), Some("true"));
    assert_eq!(gone.header("x-amz-version-id"), Some(marker.as_str()));
    let named = s3.get("/ver/k").query("versionId", &marker).send().await;
    let named = named.expect_error(405, "MethodNotAllowed").await;
    assert_eq!(named.header("allow"), Some("DELETE"));
    assert_eq!(s3.head("/ver/k").send().await.expect_status(404).await.text, "");
    assert!(s3.keys("ver").await.is_empty());
    assert_eq!(text_of(&s3, "/ver/k", &two).await, "two");

    // Removing the marker brings the object back; removing the newest version brings the one before.
    let unmarked = remove(&s3, "/ver/k", &marker).await;
    assert_eq!(unmarked.header("x-amz-delete-marker"), Some("true"));
    assert_eq!(s3.get("/ver/k").send().await.expect_status(200).await.text, "two");
    assert_eq!(remove(&s3, "/ver/k", &two).await.header("x-amz-delete-marker"), None);
    assert_eq!(s3.get("/ver/k").send().await.expect_status(200).await.text, "one");
    s3.get("/ver/k").query("versionId", &two).send().await.expect_error(404, "NoSuchVersion").await;
    s3.get("/ver/k")
        .query("versionId", "x")
        .send()
        .await
        .expect_error(400, "InvalidArgument")
        .await;
    remove(&s3, "/ver/k", &two).await;

    // An older version is copied over the key, which makes it the newest.
    let source = "/ver/k?versionId=null";
    let copied = s3.put("/ver/k").header("x-amz-copy-source", source).send().await;
    let copied = copied.expect_status(200).await;
    assert_eq!(copied.header("x-amz-copy-source-version-id"), Some("null"));
    assert_eq!(s3.get("/ver/k").send().await.expect_status(200).await.text, "before");

    // A bucket with versions is not empty, even if no object can be seen.
    s3.delete("/ver/k").send().await.expect_status(204).await;
    s3.delete("/ver").send().await.expect_error(409, "BucketNotEmpty").await;
    for (key, version) in listed(&s3, "ver").await {
        remove(&s3, &format!("/ver/{key}"), &version).await;
    }
    s3.delete("/ver").send().await.expect_status(204).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_bucket_replaces_only_the_version_null() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("ver").await;
    set_versioning(&s3, "ver", "Enabled").await;
    let one = put(&s3, "/ver/k", "one").await.expect("an id");
    set_versioning(&s3, "ver", "Suspended").await;
    assert_eq!(put(&s3, "/ver/k", "null one").await, None);
    assert_eq!(put(&s3, "/ver/k", "null two").await, None);
    assert_eq!(text_of(&s3, "/ver/k", "null").await, "null two");
    assert_eq!(text_of(&s3, "/ver/k", &one).await, "one");
    assert_eq!(listed(&s3, "ver").await.len(), 2);

    let deleted = s3.delete("/ver/k").send().await.expect_status(204).await;
    assert_eq!(deleted.header("x-amz-version-id"), Some("null"));
    assert_eq!(listed(&s3, "ver").await.len(), 2);
    s3.get("/ver/k")
        .query("versionId", "null")
        .send()
        .await
        .expect_error(405, "MethodNotAllowed")
        .await;
    // The marker itself is the version null: the next write takes its place, though another came between.
    set_versioning(&s3, "ver", "Enabled").await;
    put(&s3, "/ver/k", "two").await.expect("an id");
    set_versioning(&s3, "ver", "Suspended").await;
    put(&s3, "/ver/k", "null three").await;
    assert_eq!(text_of(&s3, "/ver/k", "null").await, "null three");
    assert_eq!(listed(&s3, "ver").await.len(), 3);
    remove(&s3, "/ver/k", "null").await;
    assert_eq!(s3.get("/ver/k").send().await.expect_status(200).await.text, "two");

    // What cannot be kept is refused.
    for (status, mfa, code) in [("Off", "Disabled", 400), ("Enabled", "Enabled", 501)] {
        let body = format!(
            "<VersioningConfiguration><Status>{status}</Status><MfaDelete>{mfa}</MfaDelete></VersioningConfiguration>"
        );
        s3.put("/ver").query("versioning", "").body(body).send().await.expect_status(code).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_listed_by_key_and_from_new_to_old_however_they_are_paged() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("ver").await;
    put(&s3, "/ver/a", "null").await;
    set_versioning(&s3, "ver", "Enabled").await;
    let mut expected = Vec::new();
    for key in ["a", "a b", "c/1", "c/2", "d"] {
        let mut ids = vec![];
        for text in ["1", "2", "3"] {
            ids.push(put(&s3, &format!("/ver/{key}"), text).await.expect("an id"));
        }
        if key == "d" {
            let deleted = s3.delete("/ver/d").send().await.expect_status(204).await;
            ids.push(deleted.header("x-amz-version-id").expect("an id").to_owned());
        }
        expected.extend(ids.into_iter().rev().map(|id| (key.to_owned(), id)));
        if key == "a" {
            expected.push((key.to_owned(), "null".to_owned()));
        }
    }
    for size in ["1", "2", "3", "1000"] {
        let mut seen: Vec<(String, String)> = Vec::new();
        let mut markers: Option<(String, String)> = None;
        loop {
            let mut request = s3.get("/ver").query("versions", "").query("max-keys", size);
            if let Some((key, version)) = &markers {
                request = request.query("key-marker", key).query("version-id-marker", version);
            }
            let page = request.send().await.expect_status(200).await;
            // Delete markers stand apart from versions, each list in its order.
            let mut lines: Vec<_> =
                page.all("Key").into_iter().zip(page.all("VersionId")).collect();
            lines.sort_by_key(|line| expected.iter().position(|expected| expected == line));
            seen.extend(lines);
            match (page.xml("NextKeyMarker"), page.xml("NextVersionIdMarker")) {
                (Some(key), Some(version)) => markers = Some((key, version)),
                _ => break,
            }
        }
        assert_eq!(seen, expected, "pages of {size}");
    }

    let rolled = s3.get("/ver").query("versions", "").query("delimiter", "/");
    let rolled = rolled.query("encoding-type", "url").send().await.expect_status(200).await;
    assert_eq!(rolled.all("Prefix").into_iter().filter(|prefix| !prefix.is_empty()).count(), 1);
    assert!(rolled.all("Key").contains(&"a%20b".to_owned()));
    assert!(!rolled.text.contains("c/1"));
    let below = s3.get("/ver").query("versions", "").query("prefix", "c/");
    let below = below.send().await.expect_status(200).await;
    assert_eq!(below.all("VersionId").len(), 6);
    let latest = below.all("IsLatest").iter().filter(|latest| *latest == "true").count();
    assert_eq!(latest, 2);
    let alone = s3.get("/ver").query("versions", "").query("version-id-marker", "null");
    alone.send().await.expect_error(400, "InvalidArgument").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_versions_are_deleted_at_once_and_conditions_hold_for_each() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("ver").await;
    set_versioning(&s3, "ver", "Enabled").await;
    let one = put(&s3, "/ver/k", "one").await.expect("an id");
    put(&s3, "/ver/k", "longer").await.expect("an id");
    let delete = async |objects: &str| {
        let body = format!("<Delete>{objects}</Delete>");
        let md5 = drystone_s3_tests::checksum::content_md5(body.as_bytes());
        let request = s3.post("/ver").query("delete", "").header("content-md5", &md5).body(body);
        request.send().await.expect_status(200).await
    };
    let objects = format!(
        "<Object><Key>k</Key><VersionId>{one}</VersionId><Size>9</Size></Object><Object><Key>k</Key><ETag>x</ETag></Object>"
    );
    let refused = delete(&objects);
    assert_eq!(refused.await.all("Code"), ["PreconditionFailed", "PreconditionFailed"]);
    let done = delete(&format!(
        "<Object><Key>k</Key><VersionId>{one}</VersionId><Size>3</Size></Object><Object><Key>k</Key></Object><Object><Key>none</Key><ETag>x</ETag></Object>"
    ))
    .await;
    assert_eq!(done.all("Code"), Vec::<String>::new());
    assert_eq!(done.all("DeleteMarkerVersionId").len(), 1);
    assert_eq!(listed(&s3, "ver").await.len(), 2);

    let one = s3.delete("/ver/k").header("if-match", "\"x\"").send().await;
    one.expect_error(412, "PreconditionFailed").await;
    s3.delete("/ver/k").header("if-match", "*").send().await.expect_status(204).await;
    s3.delete("/ver/none").header("if-match", "\"x\"").send().await.expect_status(204).await;
    assert_eq!(listed(&s3, "ver").await.len(), 3);
}
