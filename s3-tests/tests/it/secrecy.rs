//! What customers store is on no disk in the clear.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::checksum::{base64, content_md5};
use drystone_s3_tests::cluster::{Options, files};
use types::{KIB, MIB};

/// Length of the pieces looked for.
const NEEDLE: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_of_an_object_lies_on_any_disk_in_the_clear() {
    let mut cluster = Options::new().separate().await;
    let s3 = cluster.client();
    s3.make_bucket("secret").await;
    let mut contents = Vec::new();
    for len in [200, 10 * KIB, 16 * KIB, 17 * KIB, 64 * KIB, 300 * KIB, 5 * MIB] {
        let content = Content::new(len, len);
        s3.put_content(&format!("/secret/{len}"), content).await.unwrap();
        s3.check_content(&format!("/secret/{len}"), content).await.unwrap();
        contents.push(content);
    }
    let (key, keyed) = (*b"a customer's own key of 32 bytes", Content::new(31, 50 * KIB));
    let request = s3
        .put("/secret/own")
        .content(keyed)
        .header("x-amz-server-side-encryption-customer-algorithm", "AES256");
    let request = request.header("x-amz-server-side-encryption-customer-key", &base64(&key));
    request
        .header("x-amz-server-side-encryption-customer-key-md5", &content_md5(&key))
        .send()
        .await
        .expect_status(200)
        .await;
    contents.push(keyed);
    let upload = s3.create_upload("/secret/parts").await;
    let part = Content::new(32, 5 * MIB);
    let etag = s3.upload_part("/secret/parts", &upload, 1, part).await;
    assert_eq!(s3.complete_upload("/secret/parts", &upload, &[(1, etag)]).await.status, 200);
    contents.push(part);
    s3.put("/secret/name-d41d8cd98f00b204").body("x").send().await.expect_status(200).await;
    // Stopped cleanly, so that everything is on the disk.
    assert!(cluster.terminate_gateway(std::time::Duration::from_secs(20)).await.success());

    let mut needles = Needles::default();
    for content in &contents {
        for at in (0..content.len - NEEDLE as u64).step_by(997) {
            needles.add(&content.range(at..at + NEEDLE as u64), "an object's bytes");
        }
    }
    needles.add(&key[..NEEDLE], "a customer's key");
    let mut found = Vec::new();
    needles.scan(cluster.dir(), &mut found);
    assert!(found.is_empty(), "in the clear: {found:?}");

    // The search itself works: names are allowed to be there, and are.
    let mut names = Needles::default();
    names.add(&b"name-d41d8cd98f00b204"[..NEEDLE], "a key's name");
    let mut found = Vec::new();
    names.scan(&cluster.gateway_dir(), &mut found);
    assert!(!found.is_empty(), "the search does not find what must be there");
}

/// Pieces to look for at every offset, by their first eight bytes.
#[derive(Default)]
struct Needles(HashMap<u64, Vec<([u8; NEEDLE], &'static str)>>);

impl Needles {
    fn add(&mut self, bytes: &[u8], what: &'static str) {
        let needle: [u8; NEEDLE] = bytes.try_into().expect("a needle's length");
        self.0.entry(first_word(&needle)).or_default().push((needle, what));
    }

    fn scan(&self, dir: &Path, found: &mut Vec<String>) {
        for path in files(dir) {
            let bytes = fs::read(&path).unwrap_or_default();
            for (at, window) in bytes.windows(NEEDLE).enumerate() {
                let Some(needles) = self.0.get(&first_word(window)) else { continue };
                if let Some((_, what)) = needles.iter().find(|(needle, _)| needle == window) {
                    found.push(format!("{what} in {} at {at}", path.display()));
                }
            }
        }
    }
}

fn first_word(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))
}
