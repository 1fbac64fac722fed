//! Browser forms: fields, policies, signatures, what comes after the file, and what is answered.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::checksum;
use drystone_s3_tests::client::{Answer, Client};
use drystone_s3_tests::cluster::{ACCESS, Options, SECRET};
use ring::hmac;
use time::macros::format_description;
use time::{Duration, OffsetDateTime};

const BOUNDARY: &str = "----a-boundary-of-no-file";

/// A form in the making.
struct Form {
    fields: Vec<(String, String)>,
    file: Vec<u8>,
    after: String,
}

impl Form {
    fn new(file: impl Into<Vec<u8>>) -> Self {
        Self { fields: Vec::new(), file: file.into(), after: String::new() }
    }

    fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A policy for this long with these conditions, signed as the present wants it.
    fn signed(self, hours: i64, conditions: &str) -> Self {
        let now = OffsetDateTime::now_utc();
        let stamp = now
            .format(format_description!("[year][month][day]T[hour][minute][second]Z"))
            .expect("a date");
        let credential = format!("{ACCESS}/{}/us-east-1/s3/aws4_request", &stamp[..8]);
        let conditions = format!(
            "{conditions},{{\"x-amz-algorithm\":\"AWS4-HMAC-SHA256\"}},{{\"x-amz-credential\":\"{credential}\"}},\
             {{\"x-amz-date\":\"{stamp}\"}}"
        );
        let policy = policy(hours, &conditions);
        let mut key = format!("AWS4{SECRET}").into_bytes();
        for part in [&stamp[..8], "us-east-1", "s3", "aws4_request"] {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes());
            key = tag.as_ref().to_vec();
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let signature = hex::encode(hmac::sign(&key, policy.as_bytes()));
        self.field("policy", &policy)
            .field("x-amz-algorithm", "AWS4-HMAC-SHA256")
            .field("x-amz-credential", &credential)
            .field("x-amz-date", &stamp)
            .field("X-Amz-Signature", &signature)
    }

    /// The same, signed as the past did.
    fn signed_v2(self, conditions: &str) -> Self {
        let policy = policy(1, conditions);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, SECRET.as_bytes());
        let signature = STANDARD.encode(hmac::sign(&key, policy.as_bytes()));
        self.field("AWSAccessKeyId", ACCESS).field("policy", &policy).field("signature", &signature)
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.iter_mut().find(|(known, _)| known == name).expect("a field").1 =
            value.to_owned();
        self
    }

    async fn post(self, s3: &Client, bucket: &str) -> Answer {
        let mut body = Vec::new();
        for (name, value) in &self.fields {
            // Some clients give each field a file name of its own.
            let head = format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\n\r\n{value}\r\n"
            );
            body.extend_from_slice(head.as_bytes());
        }
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"C:\\dir\\me.txt\"\r\nContent-Type: image/png\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(&self.file);
        body.extend_from_slice(format!("\r\n{}--{BOUNDARY}--\r\n", self.after).as_bytes());
        s3.post(&format!("/{bucket}"))
            .header("content-type", &format!("multipart/form-data; boundary={BOUNDARY}"))
            .body(body)
            .anonymous()
            .send()
            .await
            .read()
            .await
    }
}

fn policy(hours: i64, conditions: &str) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    let until =
        (OffsetDateTime::now_utc() + Duration::hours(hours)).format(format).expect("a date");
    STANDARD.encode(format!("{{\"expiration\":\"{until}\",\"conditions\":[{conditions}]}}"))
}

const ANY_KEY: &str = "{\"bucket\":\"forms\"},[\"starts-with\",\"$key\",\"\"]";

fn expect(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_is_stored_as_its_policy_says() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("forms").await;

    // Everything that a form can say of its file, and a button after it.
    let conditions = format!(
        "{ANY_KEY},[\"starts-with\",\"$Content-Type\",\"text/\"],{{\"x-amz-meta-colour\":\"blue\"}},\
         {{\"success_action_status\":\"201\"}},[\"content-length-range\",1,20]"
    );
    let mut form = Form::new("hello form")
        .field("key", "up/${filename}")
        .field("Content-Type", "text/plain")
        .field("x-amz-meta-colour", "blue")
        .field("success_action_status", "201")
        .field("x-ignore-this", "yes")
        .signed(1, &conditions);
    form.after = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"submit\"\r\n\r\nUpload\r\n"
    );
    let answer = form.post(&s3, "forms").await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert_eq!(answer.xml("Key").as_deref(), Some("up/me.txt"));
    assert_eq!(answer.header("etag"), Some(checksum::etag(b"hello form").as_str()));
    let got = s3.get("/forms/up/me.txt").send().await.expect_status(200).await;
    assert_eq!(got.text, "hello form");
    assert_eq!(got.header("content-type"), Some("text/plain"));
    assert_eq!(got.header("x-amz-meta-colour"), Some("blue"));

    let redirect = format!("{ANY_KEY},[\"starts-with\",\"$success_action_redirect\",\"\"]");
    let answer = Form::new("x")
        .field("key", "r")
        .field("success_action_redirect", "https://example.com/done")
        .signed(1, &redirect)
        .post(&s3, "forms")
        .await;
    assert_eq!(answer.status, 303);
    let location = answer.header("location").expect("a location");
    assert!(
        location.starts_with("https://example.com/done?bucket=forms&key=r&etag=%22"),
        "{location}"
    );

    // Sizes around what is kept inline, held, and streamed; a button or none after the file.
    for len in [0, 1, 16_384, 16_385, 131_072, 131_073, 5_000_000, 70_000_000] {
        for button in [false, true] {
            let content = Content::new(len, len);
            let bytes = content.bytes();
            let mut form = Form::new(bytes).field("key", "sized").signed(1, ANY_KEY);
            if button {
                form.after = format!(
                    "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"submit\"\r\n\r\n{}\r\n",
                    "Go".repeat(1000)
                );
            }
            let answer = form.post(&s3, "forms").await;
            assert_eq!(answer.status, 204, "{len}: {}", answer.text);
            s3.check_content("/forms/sized", content)
                .await
                .unwrap_or_else(|error| panic!("{len}: {error}"));
            let head = s3.head("/forms/sized").send().await.expect_status(200).await;
            assert_eq!(head.header("content-length"), Some(len.to_string().as_str()));
            assert_eq!(head.header("etag"), answer.header("etag"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_its_policy_does_not_cover_stores_nothing() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("forms").await;
    s3.make_bucket("other").await;
    let form = || Form::new("x").field("key", "k");
    let range = |range: &str| format!("{ANY_KEY},[\"content-length-range\",{range}]");

    expect(&form().signed(-1, ANY_KEY).post(&s3, "forms").await, 403, "AccessDenied");
    expect(&form().signed(1, ANY_KEY).post(&s3, "other").await, 403, "AccessDenied");
    expect(
        &form().field("acl", "private").signed(1, ANY_KEY).post(&s3, "forms").await,
        403,
        "AccessDenied",
    );
    let prefix = "{\"bucket\":\"forms\"},[\"starts-with\",\"$key\",\"mine/\"]";
    expect(&form().signed(1, prefix).post(&s3, "forms").await, 403, "AccessDenied");
    expect(&form().signed(1, &range("2,9")).post(&s3, "forms").await, 400, "EntityTooSmall");
    expect(&form().signed(1, &range("0,0")).post(&s3, "forms").await, 400, "EntityTooLarge");
    expect(
        &form().signed(1, &range("-1,0")).post(&s3, "forms").await,
        400,
        "InvalidPolicyDocument",
    );
    // Longer than what is held in memory: the fault shows on the way.
    let long = Form::new(vec![7; 3_000_000]).field("key", "k");
    expect(&long.signed(1, &range("0,2999999")).post(&s3, "forms").await, 400, "EntityTooLarge");

    let wrong = form().signed(1, ANY_KEY).with("X-Amz-Signature", &"0".repeat(64));
    expect(&wrong.post(&s3, "forms").await, 403, "SignatureDoesNotMatch");
    let stranger = format!("NOBODY/{}/us-east-1/s3/aws4_request", "20200101");
    let wrong = form().signed(1, ANY_KEY).with("x-amz-credential", &stranger);
    expect(&wrong.post(&s3, "forms").await, 403, "InvalidAccessKeyId");
    expect(&Form::new("x").signed(1, ANY_KEY).post(&s3, "forms").await, 400, "InvalidArgument");
    expect(
        &form().field("KEY", "l").signed(1, ANY_KEY).post(&s3, "forms").await,
        400,
        "InvalidArgument",
    );
    expect(&form().field("policy", "e30=").post(&s3, "forms").await, 400, "InvalidRequest");
    expect(&form().signed_v2(ANY_KEY).post(&s3, "forms").await, 400, "InvalidRequest");
    // Whether strangers may write is the bucket's to say; this one's owner did not.
    expect(&form().post(&s3, "forms").await, 403, "AccessDenied");
    // A file that something as long as a file follows is not the last field.
    let mut long = Form::new(vec![7; 300_000]).field("key", "k").signed(1, ANY_KEY);
    long.after = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n{}\r\n",
        "y".repeat(200_000)
    );
    expect(&long.post(&s3, "forms").await, 400, "MalformedPOSTRequest");
    assert!(s3.keys("forms").await.is_empty());
    assert!(s3.keys("other").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn old_signatures_of_forms_count_where_the_operator_says_so() {
    let cluster = Options::new().switch("--post-signature-v2").up().await;
    let s3 = cluster.client();
    s3.make_bucket("forms").await;
    let answer = Form::new("old").field("key", "k").signed_v2(ANY_KEY).post(&s3, "forms").await;
    assert_eq!(answer.status, 204, "{}", answer.text);
    assert_eq!(s3.get("/forms/k").send().await.expect_status(200).await.text, "old");
    let wrong = Form::new("x").field("key", "k").signed_v2(ANY_KEY).with("signature", "AAAA");
    expect(&wrong.post(&s3, "forms").await, 403, "SignatureDoesNotMatch");
    let half = Form::new("x").field("key", "k").field("policy", "e30=");
    expect(&half.post(&s3, "forms").await, 400, "InvalidArgument");
}
