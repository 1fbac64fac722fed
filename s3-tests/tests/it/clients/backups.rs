//! Backups: duplicity, whole and by difference, verified and restored from the bucket alone.

use std::fs;

use drystone_s3_tests::tools::{Tool, assert_same_trees};

use super::cluster;

const TO: &str = "boto3+s3://duplicity-bucket/backups";

#[tokio::test(flavor = "multi_thread")]
async fn duplicity_backs_up_changes_verifies_and_restores() {
    let Some(cluster) = cluster("duplicity").await else { return };
    let tool = Tool::new(&cluster, "duplicity");
    let endpoint = cluster.endpoint();
    let tree = tool.make_tree("tree", 300);
    cluster.client().make_bucket("duplicity-bucket").await;
    let duplicity = |args: &[&str], memory: &str| {
        // Its own encryption would leave an agent running; and what it knows of the backup is in `memory`.
        let common = ["--no-encryption", "--s3-endpoint-url", &endpoint, "--volsize", "1"];
        tool.run("duplicity", &[args, &common, &["--archive-dir", memory]].concat())
    };
    duplicity(&["full", "tree", TO], "memory");
    fs::write(tree.join("new"), "new").unwrap();
    fs::remove_dir_all(tree.join("folder 3")).unwrap();
    duplicity(&["incremental", "tree", TO], "memory");
    let verified = duplicity(&["verify", "--compare-data", TO, "tree"], "no memory");
    assert!(verified.contains(" 0 differences found"), "{verified}");
    duplicity(&["restore", TO, "back"], "no memory either");
    assert_same_trees(&tree, &tool.home().join("back"));
    duplicity(&["full", "tree", TO], "memory");
    duplicity(&["remove-all-but-n-full", "1", "--force", TO], "memory");
    let status = duplicity(&["collection-status", TO], "memory");
    assert!(status.contains("Number of contained backup sets: 1"), "{status}");
}
