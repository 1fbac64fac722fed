//! The whole interface as tools use it: versions and tags by the AWS CLI, and a bucket's configurations as infrastructure tools apply them.

use std::fs;

use drystone_s3_tests::tools::{Tool, aws, python, script};

use super::cluster;

#[tokio::test(flavor = "multi_thread")]
async fn a_buckets_configurations_are_created_changed_and_deleted() {
    let Some(cluster) = cluster("boto3 on configurations").await else { return };
    let tool = Tool::new(&cluster, "configs");
    print!("{}", tool.run(python(), &[&script("configs_suite.py")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_aws_cli_keeps_versions_and_tags() {
    let Some(cluster) = cluster("the AWS CLI's s3api").await else { return };
    let tool = Tool::new(&cluster, "s3api");
    let aws = |args: &[&str]| tool.run(aws(), args);
    // One value of an answer, as text.
    let api = |args: &[&str], query: &str| {
        let args = [&["s3api"], args, &["--query", query, "--output", "text"]].concat();
        aws(&args).trim().to_owned()
    };
    let k = ["--bucket", "versions", "--key", "k"];
    let on = |verb: &'static str, more: &[&'static str]| [&[verb], &k[..], more].concat();
    for (name, content) in [("one", "one\n"), ("two", "two\n")] {
        fs::write(tool.home().join(name), content).unwrap();
    }
    aws(&["s3", "mb", "s3://versions"]);
    let versioning = ["put-bucket-versioning", "--bucket", "versions"];
    aws(&[&["s3api"], &versioning[..], &["--versioning-configuration", "Status=Enabled"]].concat());
    assert_eq!(api(&["get-bucket-versioning", "--bucket", "versions"], "Status"), "Enabled");

    let tagged = ["--body", "one", "--tagging", "a=1&b=x+y"];
    let first = api(&on("put-object", &tagged), "VersionId");
    let second = api(&on("put-object", &["--body", "two"]), "VersionId");
    let list = ["list-object-versions", "--bucket", "versions"];
    assert_eq!(
        api(&list, "Versions[].[VersionId,IsLatest]"),
        format!("{second}\tTrue\n{first}\tFalse")
    );
    let version = ["--version-id", &first];
    let get = [&["get-object"], &k[..], &version, &["back"]].concat();
    assert_eq!(api(&get, "TagCount"), "2");
    assert_eq!(fs::read_to_string(tool.home().join("back")).unwrap(), "one\n");
    let tags = "TagSet[].[Key,Value]";
    let old = [&["get-object-tagging"], &k[..], &version].concat();
    assert_eq!(api(&old, tags), "a\t1\nb\tx y");
    let set = on("put-object-tagging", &["--tagging", "TagSet=[{Key=c,Value=d}]"]);
    assert_eq!(api(&set, "VersionId"), second);
    assert_eq!(api(&on("get-object-tagging", &[]), tags), "c\td");
    aws(&[&["s3api"], &on("delete-object-tagging", &[])[..]].concat());
    assert_eq!(api(&on("get-object-tagging", &[]), tags), "");

    assert_eq!(api(&on("delete-object", &[]), "DeleteMarker"), "True");
    let gone = tool.output(super::aws(), &[&["s3api"], &on("head-object", &[])[..]].concat());
    assert!(String::from_utf8_lossy(&gone.stderr).contains("(404)"), "{gone:?}");
    let marker = api(&list, "DeleteMarkers[0].VersionId");
    let undo = [&["delete-object"], &k[..], &["--version-id", &marker]].concat();
    assert_eq!(api(&undo, "DeleteMarker"), "True");
    assert_eq!(aws(&["s3", "cp", "s3://versions/k", "-"]), "two\n");

    // Presigned with version 4, which the CLI does not choose by itself for any endpoint but AWS's.
    aws(&["configure", "set", "default.s3.signature_version", "s3v4"]);
    let url = aws(&["s3", "presign", "s3://versions/k", "--expires-in", "60"]);
    let fetch =
        "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode(), end='')";
    assert_eq!(tool.run(python(), &["-c", fetch, url.trim()]), "two\n");
}
