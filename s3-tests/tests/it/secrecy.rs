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
/// Many more places than needles, yet few enough for the processor's cache.
const SIEVE_BITS: u32 = 20;

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
struct Needles {
    by_word: HashMap<u64, Vec<([u8; NEEDLE], &'static str)>>,
    /// Which hashes of first words occur: nearly every offset is passed over by one look.
    sieve: Vec<bool>,
}

impl Default for Needles {
    fn default() -> Self {
        Self { by_word: HashMap::new(), sieve: vec![false; 1 << SIEVE_BITS] }
    }
}

impl Needles {
    fn add(&mut self, bytes: &[u8], what: &'static str) {
        let needle: [u8; NEEDLE] = bytes.try_into().expect("a needle's length");
        let word = first_word(&needle);
        self.sieve[hash(word)] = true;
        self.by_word.entry(word).or_default().push((needle, what));
    }

    fn scan(&self, dir: &Path, found: &mut Vec<String>) {
        for path in files(dir) {
            let bytes = fs::read(&path).unwrap_or_default();
            for (at, window) in bytes.windows(NEEDLE).enumerate() {
                let word = first_word(window);
                // Logs claim room ahead, in zeros.
                if word == 0 || !self.sieve[hash(word)] {
                    continue;
                }
                let needles = self.by_word.get(&word).into_iter().flatten();
                for (_, what) in needles.filter(|(needle, _)| needle == window) {
                    found.push(format!("{what} in {} at {at}", path.display()));
                }
            }
        }
    }
}

fn first_word(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))
}

fn hash(word: u64) -> usize {
    (word.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - SIEVE_BITS)) as usize
}
