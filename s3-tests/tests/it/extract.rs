//! A PUT of an archive whose files become objects.

use std::fs;
use std::path::Path;
use std::process::Command;

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::checksum::{content_md5, etag};
use drystone_s3_tests::client::{Client, Request};
use drystone_s3_tests::cluster::Options;

/// What `tar` makes of a folder.
fn tar(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let mut tar = Command::new("tar");
    let output = tar.arg("-C").arg(folder).args(["-cf", "-"]).args(arguments).output();
    let output = output.expect("tar runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn put(s3: &Client, path: &str, archive: &[u8]) -> Request {
    let request = s3.put(path).body(archive.to_vec());
    request.header("x-amz-meta-snowball-auto-extract", "true")
}

async fn keys(s3: &Client, prefix: &str) -> Vec<String> {
    let listed = s3.get("/bags").query("prefix", prefix).send().await;
    listed.expect_status(200).await.all("Key")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_an_archive_become_objects() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("bags").await;
    let dir = tempfile::tempdir().expect("a folder");
    let (big, small) = (Content::new(1, 900_000), Content::new(2, 1_000));
    let long = "l".repeat(150);
    fs::create_dir_all(dir.path().join("d").join(&long)).expect("folders");
    for (path, bytes) in [
        ("a b.txt".to_owned(), small.bytes()),
        ("d/big".to_owned(), big.bytes()),
        ("d/empty".to_owned(), Content::new(0, 0).bytes()),
        (format!("d/{long}/x"), small.bytes()),
    ] {
        fs::write(dir.path().join(path), bytes).expect("a file");
    }
    std::os::unix::fs::symlink("a b.txt", dir.path().join("link")).expect("a link");

    // Every form that tar writes.
    let names = ["a b.txt", "d/big", "d/empty"].map(str::to_owned);
    let names = [&names[..], &[format!("d/{long}/x")]].concat();
    for (base, arguments) in [
        ("pax/", &["--format=pax", "."][..]),
        ("gnu/", &["--format=gnu", "a b.txt", "d", "link"]),
        ("gzip/", &["--gzip", "."]),
    ] {
        let archive = tar(dir.path(), arguments);
        let request = put(&s3, &format!("/bags/{base}bag.tar"), &archive)
            .header("content-type", "application/x-tar")
            .header("content-md5", &content_md5(&archive))
            .header("x-amz-tagging", "from=bag")
            .header("x-amz-meta-team", "blue");
        let answer = request.send().await.expect_status(200).await;
        assert_eq!(answer.header("etag"), Some(etag(&archive).as_str()));
        let expected: Vec<String> = names.iter().map(|name| format!("{base}{name}")).collect();
        assert_eq!(keys(&s3, base).await, expected);
        s3.check_content(&format!("/bags/{base}d/big"), big).await.expect("the bytes");
        s3.check_content(&format!("/bags/{base}d/{long}/x"), small).await.expect("the bytes");
    }
    let head = s3.head("/bags/pax/a b.txt").send().await.expect_status(200).await;
    assert_eq!(head.header("content-type"), Some("binary/octet-stream"));
    assert_eq!(head.header("x-amz-meta-team"), Some("blue"));
    assert_eq!(head.header("x-amz-meta-snowball-auto-extract"), None);
    assert_eq!(head.header("x-amz-tagging-count"), Some("1"));

    // Below another prefix, where each file needs to be allowed.
    let archive = tar(dir.path(), &["."]);
    let elsewhere = |prefix: &str| {
        put(&s3, "/bags/pax/bag.tar", &archive).header("x-amz-meta-minio-snowball-prefix", prefix)
    };
    elsewhere("other").send().await.expect_status(200).await;
    assert_eq!(keys(&s3, "other/").await.len(), names.len());
    let policy = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*",
        "Action": "s3:PutObject", "Resource": "arn:aws:s3:::bags/closed/*"}]}"#;
    let closed = s3.put("/bags").query("policy", "").body(policy);
    closed.send().await.expect_status(204).await;
    elsewhere("closed").send().await.expect_error(403, "AccessDenied").await;
    assert_eq!(keys(&s3, "closed/").await, Vec::<String>::new());
    put(&s3, "/bags/x.tar", &archive)
        .anonymous()
        .send()
        .await
        .expect_error(403, "AccessDenied")
        .await;

    // What is no archive, or not all of one, or would go elsewhere.
    let up = tar(dir.path(), &["-P", "--transform=s,^,../,", "a b.txt"]);
    put(&s3, "/bags/bad/x.tar", &up).send().await.expect_error(400, "InvalidArgument").await;
    let cut = &archive[..archive.len() / 2];
    put(&s3, "/bags/bad/x.tar", cut).send().await.expect_error(400, "InvalidArchive").await;
    let text = Content::new(7, 5_000).bytes();
    put(&s3, "/bags/bad/x.tar", &text).send().await.expect_error(400, "InvalidArchive").await;
    let gzip = tar(dir.path(), &["--gzip", "."]);
    let taken = put(&s3, "/bags/bad/x.tar", &gzip).header("x-amz-decompress", "none");
    taken.send().await.expect_error(400, "InvalidArchive").await;
    let sum = put(&s3, "/bags/sum/x.tar", &archive).header("content-md5", &content_md5(b"other"));
    sum.send().await.expect_error(400, "BadDigest").await;
    let _ = cluster.admin(&["fsck"]);
}
