//! What customers store is on no disk in the clear, what it is called on no node's, and what signs or seals on none.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::checksum::{base64, content_md5};
use drystone_s3_tests::client::Client;
use drystone_s3_tests::cluster::{Cluster, Options, SECRET, files};
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

/// Names and descriptions that a customer gives: each begins with letters that occur nowhere else.
const BUCKET: &str = "bucket-4c7be1f9a0d35e62";
const INLINE: &str = "inline-1f0c9d27be6a4853.txt";
const LARGE: &str = "folder-e94b07d2c1a85f36/large-7a3e5c90b1d8f264.bin";
const OWN: &str = "own-key-58d2f6b1c09e7a34";
const DESCRIBED: &str = "meta-c3a96e05d7f1b248";
const TAGGED: &str = "tag-0b8e4f2d6a97c153";
const TYPE: &str = "kind-d1f7a2c85e3b9064/plain";
/// And the secret of a customer's access key.
const ANNS_SECRET: &str = "ann-secret-6f1d8b3e9c52a074";

/// Fills a bucket. Every secret that is known outside beside the operator's: of a customer's key, of a session's, its token, and a key of SSE-C.
async fn fill(cluster: &Cluster, s3: &Client) -> Vec<(Vec<u8>, &'static str)> {
    let of_customer = *b"a customer's key of SSE-C, again";
    s3.make_bucket(BUCKET).await;
    for (key, len) in [(INLINE, 300), (LARGE, 3 * MIB), (OWN, 200 * KIB)] {
        let put = s3.put(&format!("/{BUCKET}/{key}")).content(Content::new(len, len));
        let mut put = put.header("content-type", TYPE).header("x-amz-meta-about", DESCRIBED);
        put = put.header("x-amz-tagging", &format!("about={TAGGED}"));
        if key == OWN {
            let own = "x-amz-server-side-encryption-customer";
            put = put
                .header(&format!("{own}-algorithm"), "AES256")
                .header(&format!("{own}-key"), &base64(&of_customer))
                .header(&format!("{own}-key-md5"), &content_md5(&of_customer));
        }
        put.send().await.expect_status(200).await;
    }
    let _ = cluster.admin(&[
        "account",
        "create",
        "--id",
        "ann",
        "--name",
        "ann",
        "--email",
        "ann@example.com",
        "--access-key",
        "ann-access",
        "--secret-key",
        ANNS_SECRET,
    ]);
    let ann = Client::new(cluster.s3(), "ann-access", ANNS_SECRET);
    let role = "arn:aws:iam::ann:role/reader";
    let lent = super::access::session(cluster, &ann, role, "today").await;
    lent.sign(lent.s3.get("/")).send().await.expect_status(200).await;
    vec![
        (ANNS_SECRET.into(), "a customer's secret key"),
        (lent.secret.into(), "a session's secret key"),
        (lent.token.into(), "a session's token"),
        (of_customer.to_vec(), "a customer's key"),
        (base64(&of_customer).into(), "a customer's key"),
    ]
}

/// What the operator's own files keep secret: the keyring's keys and the seeds of the signing keys.
fn of_operator(dir: &Path) -> Vec<(Vec<u8>, &'static str)> {
    // Of an Ed25519 key in PKCS #8, the seed lies behind sixteen bytes that every such key begins with (RFC 8410).
    const SEED: std::ops::Range<usize> = 16..48;
    let (mut secrets, mut keyrings) = (Vec::new(), 0);
    for path in files(dir) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let bytes = fs::read(&path).expect("read");
        match name {
            "keyring.toml" => {
                keyrings += 1;
                let text = String::from_utf8(bytes).expect("text");
                let quoted = text.split('"').skip(1).step_by(2);
                for word in quoted.filter(|word| word.len() >= 2 * NEEDLE) {
                    let raw = hex::decode(word).expect("digits");
                    secrets.push((word.as_bytes().to_vec(), "a key of the keyring"));
                    secrets.push((raw, "a key of the keyring"));
                }
            }
            "root.key" | "link.key" | "revision.key" => {
                secrets.push((bytes[SEED].to_vec(), "a key of the operator"));
            }
            _ => {}
        }
    }
    assert!(keyrings == 1 && secrets.len() >= 5, "{} secrets of the operator", secrets.len());
    secrets
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_knows_no_name_and_no_disk_a_secret() {
    let mut cluster = Options::new().separate().await;
    let s3 = cluster.client();
    let secrets = fill(&cluster, &s3).await;
    // Stopped, so that everything is on the disk: the nodes once they have said so.
    assert!(cluster.terminate_gateway(std::time::Duration::from_secs(20)).await.success());
    for node in &mut cluster.nodes {
        node.terminate();
        let _ = node.ended(std::time::Duration::from_secs(20)).await;
    }

    let gateway = cluster.gateway_dir();
    // What the gateway prints: the operator's own terminal, which is shown the operator's secret.
    let terminal = cluster.dir().join("logs").join("gateway.log");
    let mut nowhere = Needles::default();
    for (secret, what) in &secrets {
        nowhere.add_text(secret, what);
    }
    let mut on_no_disk = Needles::default();
    on_no_disk.add_text(SECRET.as_bytes(), "the operator's secret key");
    let mut found = Vec::new();
    for path in files(cluster.dir()) {
        nowhere.scan_file(&path, &mut found);
        if path != terminal {
            on_no_disk.scan_file(&path, &mut found);
        }
    }
    assert!(found.is_empty(), "in the clear: {found:?}");
    on_no_disk.scan_file(&terminal, &mut found);
    assert!(!found.is_empty(), "the search does not find what must be there");

    let mut on_no_node = Needles::default();
    for name in [BUCKET, INLINE, LARGE, OWN, DESCRIBED, TAGGED, TYPE] {
        on_no_node.add_text(name.as_bytes(), "what a customer calls something");
    }
    for (secret, what) in of_operator(&cluster.gateway_dir()) {
        on_no_node.add_text(&secret, what);
    }
    let (mut found, mut looked) = (Vec::new(), 0);
    for path in files(cluster.dir()) {
        if !path.starts_with(&gateway) && path != terminal {
            looked += 1;
            on_no_node.scan_file(&path, &mut found);
        }
    }
    assert!(found.is_empty(), "a node knows: {found:?}");
    assert!(
        looked > 3 * cluster.nodes.len(),
        "logs, index, configuration: {looked} files of nodes"
    );

    // The search itself works: the gateway knows them all, and is allowed to.
    let mut found = Vec::new();
    on_no_node.scan(&gateway, &mut found);
    for what in ["what a customer calls something", "a key of the keyring", "a key of the operator"]
    {
        assert!(found.iter().any(|place| place.starts_with(what)), "{what} is not found");
    }
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

    /// Every piece of a text, side by side, and its end.
    fn add_text(&mut self, text: &[u8], what: &'static str) {
        for piece in text.chunks_exact(NEEDLE) {
            self.add(piece, what);
        }
        self.add(&text[text.len() - NEEDLE..], what);
    }

    fn scan(&self, dir: &Path, found: &mut Vec<String>) {
        for path in files(dir) {
            self.scan_file(&path, found);
        }
    }

    fn scan_file(&self, path: &Path, found: &mut Vec<String>) {
        let bytes = fs::read(path).unwrap_or_default();
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

fn first_word(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))
}

fn hash(word: u64) -> usize {
    (word.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - SIEVE_BITS)) as usize
}
