//! A bucket behind another server: `rclone serve`, which reads ranges and lists as its visitors do.

use std::process::{Child, Stdio};
use std::time::Duration;

use drystone_s3_tests::client::Client;
use drystone_s3_tests::port::Port;
use drystone_s3_tests::tools::{Tool, assert_same_trees};
use tokio::time::sleep;

use super::cluster;

/// A server that ends with the test.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_served_by_rclone_and_written_through_it() {
    let Some(cluster) = cluster("rclone serve").await else { return };
    let tool = Tool::new(&cluster, "served");
    let tree = tool.make_tree("tree", 200);
    tool.run("rclone", &["mkdir", "d:served-bucket"]);
    let port = Port::take();
    let address = port.address().to_string();
    let _serving = Serving(
        tool.command("rclone")
            .args(["serve", "webdav", "d:served-bucket", "--addr", &address])
            .args(["--vfs-cache-mode", "writes", "--vfs-write-back", "500ms"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("rclone starts"),
    );
    let visitor = Client::new(port.address(), "", "");
    for _ in 0..100 {
        if visitor.get("/").anonymous().try_send().await.is_ok() {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let url = format!("http://{address}");
    let dav = ["--webdav-url", &url, "--webdav-vendor", "other"];
    let rclone = |args: &[&str]| tool.run("rclone", &[args, &dav].concat());
    // In through one door, out through the other.
    rclone(&["copy", "tree", ":webdav:tree"]);
    cluster
        .eventually("what was written back", Duration::from_secs(30), || {
            let checked = tool.output("rclone", &["check", "tree", "d:served-bucket/tree"]);
            let said = String::from_utf8_lossy(&checked.stderr).into_owned();
            if checked.status.success() { Ok(()) } else { Err(said) }
        })
        .await;
    rclone(&["sync", ":webdav:tree", "back"]);
    assert_same_trees(&tree, &tool.home().join("back"));
}
