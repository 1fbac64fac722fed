//! Server-side encryption as clients ask for it: SSE-S3, named keys, bucket defaults, and copies from each to each.

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::checksum::{base64, content_md5};
use drystone_s3_tests::client::{Answer, Client, Request};
use drystone_s3_tests::cluster::{Cluster, Options};

const SSE: &str = "x-amz-server-side-encryption";
const KMS_KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";
const OWN: &str = "x-amz-server-side-encryption-customer";
const SOURCE: &str = "x-amz-copy-source-server-side-encryption-customer";

/// The ways to encrypt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Plain,
    S3,
    Kms(&'static str),
    Customer(u8),
}

const MODES: [Mode; 4] = [Mode::Plain, Mode::S3, Mode::Kms("one"), Mode::Customer(7)];
const TARGETS: [Mode; 4] = [Mode::Plain, Mode::S3, Mode::Kms("two"), Mode::Customer(8)];

impl Mode {
    /// Asks for it.
    fn ask(self, request: Request) -> Request {
        match self {
            Self::Plain => request,
            Self::S3 => request.header(SSE, "AES256"),
            Self::Kms(name) => request.header(SSE, "aws:kms").header(KMS_KEY, name),
            Self::Customer(_) => self.key(request, OWN),
        }
    }

    /// Brings the customer's key, if it is theirs.
    fn key(self, request: Request, prefix: &str) -> Request {
        let Self::Customer(byte) = self else { return request };
        let key = [byte; 32];
        request
            .header(&format!("{prefix}-algorithm"), "AES256")
            .header(&format!("{prefix}-key"), &base64(&key))
            .header(&format!("{prefix}-key-md5"), &content_md5(&key))
    }

    /// An answer tells this encryption and no other.
    fn told(self, answer: &Answer) {
        let own = format!("{OWN}-algorithm");
        let told = (answer.header(SSE), answer.header(KMS_KEY), answer.header(&own));
        let expected = match self {
            Self::Plain => (None, None, None),
            Self::S3 => (Some("AES256"), None, None),
            Self::Kms(name) => (Some("aws:kms"), Some(name), None),
            Self::Customer(_) => (None, None, Some("AES256")),
        };
        assert_eq!(told, expected, "{self:?}");
    }

    async fn check(self, s3: &Client, path: &str, content: Content) {
        let got = self.key(s3.get(path), OWN).send().await.expect_status(200).await;
        self.told(&got);
        assert_eq!(got.bytes, content.bytes(), "{path} {self:?}");
        self.told(&self.key(s3.head(path), OWN).send().await.expect_status(200).await);
    }
}

async fn cluster() -> (Cluster, Client) {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    for name in ["one", "two"] {
        drop(cluster.admin(&["kms", "create", name]));
    }
    s3.make_bucket("sse").await;
    (cluster, s3)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_encryption_is_copied_to_every_other() {
    let (_cluster, s3) = cluster().await;
    for len in [1, 20_000, 6_000_000] {
        for from in MODES {
            let content = Content::new(len, len);
            let put = from.ask(s3.put("/sse/from").body(content.bytes())).send().await;
            from.told(&put.expect_status(200).await);
            from.check(&s3, "/sse/from", content).await;
            for to in TARGETS {
                let copy = s3.put("/sse/to").header("x-amz-copy-source", "/sse/from");
                let copied = from.key(to.ask(copy), SOURCE).send().await.expect_status(200).await;
                to.told(&copied);
                to.check(&s3, "/sse/to", content).await;
                if len > 5_000_000 {
                    parts(&s3, from, to, content).await;
                }
            }
        }
    }
}

/// The object copied as a part, another part behind it.
async fn parts(s3: &Client, from: Mode, to: Mode, content: Content) {
    let path = "/sse/parts";
    let create = to.ask(s3.post(path).query("uploads", "")).send().await.expect_status(200).await;
    to.told(&create);
    let upload = create.xml("UploadId").expect("an upload");
    let part = |number: &str| s3.put(path).query("partNumber", number).query("uploadId", &upload);
    let copy = part("1").header("x-amz-copy-source", "/sse/from");
    if let Mode::Customer(_) = to {
        let keyless = from.key(part("1").header("x-amz-copy-source", "/sse/from"), SOURCE);
        keyless.send().await.expect_status(400).await;
    }
    let copied = from.key(to.key(copy, OWN), SOURCE).send().await.expect_status(200).await;
    to.told(&copied);
    let first = copied.xml("ETag").expect("an entity tag");
    let tail = Content::new(3, 3_000);
    let put = to.key(part("2").body(tail.bytes()), OWN).send().await.expect_status(200).await;
    to.told(&put);
    let second = put.header("etag").expect("an entity tag").to_owned();
    let all = [(1, first), (2, second)];
    if let Mode::Customer(_) = to {
        s3.complete_request(path, &upload, &all).send().await.expect_status(400).await;
    }
    let done = to.key(s3.complete_request(path, &upload, &all), OWN).send().await;
    to.told(&done.expect_status(200).await);
    let got = to.key(s3.get(path), OWN).send().await.expect_status(200).await;
    to.told(&got);
    assert_eq!(got.bytes, [content.bytes(), tail.bytes()].concat(), "{from:?} to {to:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_encrypts_by_default_what_asks_for_nothing() {
    let (_cluster, s3) = cluster().await;
    let content = Content::new(5, 30_000);
    let put = || s3.put("/sse/x").body(content.bytes());
    let get = || s3.get("/sse").query("encryption", "").send();
    get().await.expect_error(404, "ServerSideEncryptionConfigurationNotFoundError").await;
    let rule = |inner: &str| {
        let xml = format!(
            "<ServerSideEncryptionConfiguration><Rule>{inner}</Rule></ServerSideEncryptionConfiguration>"
        );
        s3.put("/sse").query("encryption", "").body(xml).send()
    };
    let by_default = |algorithm: &str, key: &str| {
        rule(&format!(
            "<ApplyServerSideEncryptionByDefault><SSEAlgorithm>{algorithm}</SSEAlgorithm>{key}</ApplyServerSideEncryptionByDefault>"
        ))
    };

    by_default("AES256", "").await.expect_status(200).await;
    assert_eq!(get().await.expect_status(200).await.xml("SSEAlgorithm").as_deref(), Some("AES256"));
    Mode::S3.told(&put().send().await.expect_status(200).await);
    Mode::S3.check(&s3, "/sse/x", content).await;

    let key = "<KMSMasterKeyID>one</KMSMasterKeyID>";
    by_default("aws:kms", key).await.expect_status(200).await;
    let shown = get().await.expect_status(200).await;
    assert_eq!(shown.xml("KMSMasterKeyID").as_deref(), Some("one"));
    Mode::Kms("one").told(&put().send().await.expect_status(200).await);
    Mode::Kms("one").check(&s3, "/sse/x", content).await;
    // What asks for itself gets what it asks for.
    Mode::S3.told(&Mode::S3.ask(put()).send().await.expect_status(200).await);
    Mode::Customer(3).told(&Mode::Customer(3).ask(put()).send().await.expect_status(200).await);

    let nobody = "<KMSMasterKeyID>nobody</KMSMasterKeyID>";
    by_default("aws:kms", nobody).await.expect_error(400, "KMS.NotFoundException").await;
    by_default("AES256", key).await.expect_error(400, "InvalidArgument").await;
    by_default("ROT13", "").await.expect_error(400, "MalformedXML").await;
    rule("").await.expect_error(400, "MalformedXML").await;

    s3.delete("/sse").query("encryption", "").send().await.expect_status(204).await;
    s3.delete("/sse").query("encryption", "").send().await.expect_status(204).await;
    get().await.expect_error(404, "ServerSideEncryptionConfigurationNotFoundError").await;
    Mode::Plain.told(&put().send().await.expect_status(200).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_key_is_rotated_and_disabled_and_nobody_guesses_one() {
    let (cluster, s3) = cluster().await;
    let content = Content::new(9, 100_000);
    let one = Mode::Kms("one");
    let put = |path: &str| one.ask(s3.put(path).body(content.bytes()));
    put("/sse/old").send().await.expect_status(200).await;
    drop(cluster.admin(&["kms", "rotate", "one"]));
    put("/sse/new").send().await.expect_status(200).await;
    for path in ["/sse/old", "/sse/new"] {
        one.check(&s3, path, content).await;
    }
    drop(cluster.admin(&["kms", "disable", "one"]));
    s3.get("/sse/old").send().await.expect_error(400, "KMS.DisabledException").await;
    put("/sse/more").send().await.expect_error(400, "KMS.DisabledException").await;
    let listed = cluster.admin_json(&["kms", "list"]);
    assert_eq!(listed[0]["name"], "one");
    assert_eq!(listed[0]["enabled"], false);
    assert_eq!(listed[0]["secrets"], 2);
    drop(cluster.admin(&["kms", "enable", "one"]));
    one.check(&s3, "/sse/old", content).await;
    assert!(!cluster.operate(&["admin", "kms", "create", "one"]).status.success());

    let refused = |request: Request, code: &'static str| async move {
        request.send().await.expect_error(400, code).await;
    };
    let bare = || s3.put("/sse/bad").body("x");
    refused(Mode::Kms("nobody").ask(bare()), "KMS.NotFoundException").await;
    refused(bare().header(SSE, "aws:kms"), "InvalidArgument").await;
    refused(bare().header(KMS_KEY, "one"), "InvalidArgument").await;
    refused(bare().header(SSE, "AES256").header(KMS_KEY, "one"), "InvalidArgument").await;
    refused(bare().header(SSE, "aes:kms"), "InvalidArgument").await;
    refused(Mode::Customer(1).ask(bare()).header(SSE, "AES256"), "InvalidArgument").await;
    // Reading asks for no encryption.
    refused(s3.get("/sse/new").header(SSE, "aws:kms"), "InvalidArgument").await;
    s3.head("/sse/new").header(SSE, "AES256").send().await.expect_status(400).await;
}
