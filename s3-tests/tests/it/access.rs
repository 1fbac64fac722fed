//! Who may do what: accounts and keys, policies, access control lists, ownership, the public access block, temporary keys.

use drystone_s3_tests::client::Client;
use drystone_s3_tests::cluster::{Cluster, Options};
use drystone_s3_tests::xml;
use serde_json::{Value, json};

/// A cluster with two customers beside the operator.
pub(super) struct Two {
    pub(super) cluster: Cluster,
    pub(super) ann: Client,
    pub(super) bob: Client,
}

impl Two {
    pub(super) async fn new() -> Self {
        Self::of(Options::new()).await
    }

    pub(super) async fn of(options: Options) -> Self {
        let cluster = options.up().await;
        let ann = customer(&cluster, "ann");
        let bob = customer(&cluster, "bob");
        Self { cluster, ann, bob }
    }
}

pub(super) fn customer(cluster: &Cluster, id: &str) -> Client {
    let (access, secret) = (format!("{id}-access"), format!("{id}-secret-key"));
    let email = format!("{id}@example.com");
    let _ = cluster.admin(&[
        "account",
        "create",
        "--id",
        id,
        "--name",
        &format!("{id} of example"),
        "--email",
        &email,
        "--access-key",
        &access,
        "--secret-key",
        &secret,
    ]);
    Client::new(cluster.s3(), &access, &secret)
}

pub(super) async fn put_policy(s3: &Client, bucket: &str, statements: Value) {
    let policy = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    let request = s3.put(&format!("/{bucket}")).query("policy", "").body(policy);
    request.send().await.expect_status(204).await;
}

pub(super) async fn status(request: drystone_s3_tests::client::Request) -> u16 {
    request.send().await.read().await.status
}

/// A key of an account that may do no more than these statements say.
pub(super) fn narrowed(cluster: &Cluster, account: &str, statements: Value) -> Client {
    let policy = cluster.dir().join(format!("policy-of-{account}.json"));
    let text = json!({"Version": "2012-10-17", "Statement": statements});
    std::fs::write(&policy, text.to_string()).expect("written");
    let file = policy.to_str().expect("a path");
    let made = cluster.admin_json(&["key", "create", "--account", account, "--policy", file]);
    let text = |field: &str| made[field].as_str().expect("a string");
    Client::new(cluster.s3(), text("access_key"), text("secret_key"))
}

/// A session of a role of the client's account.
pub(super) struct Session {
    pub(super) s3: Client,
    pub(super) secret: String,
    pub(super) token: String,
}

impl Session {
    /// Adds its token to a request of its client's.
    pub(super) fn sign(
        &self,
        request: drystone_s3_tests::client::Request,
    ) -> drystone_s3_tests::client::Request {
        request.header("x-amz-security-token", &self.token)
    }
}

/// AssumeRole.
pub(super) fn assume(
    cluster: &Cluster,
    s3: &Client,
    role: &str,
    session: &str,
) -> drystone_s3_tests::client::Request {
    let fields = format!(
        "Action=AssumeRole&Version=2011-06-15&RoleArn={role}&RoleSessionName={session}&DurationSeconds=900"
    );
    let request = s3.for_service(cluster.s3(), "sts").post("/");
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(fields);
    request.payload(drystone_s3_tests::client::Payload::Signed)
}

/// A session of the role of that ARN.
pub(super) async fn session(cluster: &Cluster, s3: &Client, role: &str, name: &str) -> Session {
    let answer = assume(cluster, s3, role, name).send().await.expect_status(200).await;
    let field = |name: &str| xml::text(&answer.text, name).expect("a field");
    let (id, secret, token) =
        (field("AccessKeyId"), field("SecretAccessKey"), field("SessionToken"));
    Session { s3: Client::new(cluster.s3(), &id, &secret), secret, token }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_lets_in_whom_it_names_and_a_deny_binds_the_owner() {
    let Two { cluster: _cluster, ann, bob } = Two::new().await;
    ann.make_bucket("shared").await;
    ann.put("/shared/public/a").body("a").send().await.expect_status(200).await;
    ann.put("/shared/private/b").body("b").send().await.expect_status(200).await;
    bob.get("/shared/public/a").send().await.expect_error(403, "AccessDenied").await;
    ann.get("/shared")
        .query("policy", "")
        .send()
        .await
        .expect_error(404, "NoSuchBucketPolicy")
        .await;

    put_policy(&ann, "shared", json!([
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::shared/public/*"},
        {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::bob:root"}, "Action": "s3:ListBucket",
         "Resource": "arn:aws:s3:::shared", "Condition": {"StringLike": {"s3:prefix": "public/*"}}},
        {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::shared/private/*"}
    ])).await;
    assert_eq!(bob.get("/shared/public/a").send().await.expect_status(200).await.text, "a");
    ann.get("/shared/public/a").anonymous().send().await.expect_status(200).await;
    let override_by_nobody =
        ann.get("/shared/public/a").query("response-content-type", "text/html").anonymous();
    override_by_nobody.send().await.expect_error(400, "InvalidRequest").await;
    // A parameter that only looks like the one that the operation reads.
    let decoy = bob.get("/shared").query("Prefix", "public/").query("prefix", "private/");
    decoy.send().await.expect_error(403, "AccessDenied").await;
    bob.get("/shared/private/b").send().await.expect_error(403, "AccessDenied").await;
    bob.put("/shared/public/c").body("c").send().await.expect_error(403, "AccessDenied").await;

    // Who may list learns what is not there; who may not, does not.
    bob.get("/shared/public/none").send().await.expect_error(404, "NoSuchKey").await;
    ann.get("/shared/public/none").anonymous().send().await.expect_error(403, "AccessDenied").await;
    let listed = bob.get("/shared").query("list-type", "2").query("prefix", "public/");
    assert_eq!(listed.send().await.expect_status(200).await.all("Key"), ["public/a"]);
    assert_eq!(status(bob.get("/shared").query("list-type", "2")).await, 403);

    ann.delete("/shared/private/b").send().await.expect_error(403, "AccessDenied").await;
    let body = "<Delete><Object><Key>private/b</Key></Object><Object><Key>public/a</Key></Object></Delete>";
    let each =
        ann.post("/shared").query("delete", "").body(body).send().await.expect_status(200).await;
    assert_eq!(each.all("Code"), ["AccessDenied"], "{}", each.text);
    assert_eq!(xml::texts(&each.text, "Key").len(), 2, "{}", each.text);

    ann.delete("/shared").query("policy", "").send().await.expect_status(204).await;
    ann.delete("/shared/private/b").send().await.expect_status(204).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_none_is_refused_and_an_owner_is_never_locked_out() {
    let Two { cluster: _cluster, ann, bob } = Two::new().await;
    ann.make_bucket("locked").await;
    for bad in ["", "{", r#"{"Statement": []}"#, r#"{"Statement": [{"Effect": "Allow"}]}"#] {
        let request = ann.put("/locked").query("policy", "").body(bad.to_owned());
        let answer = request.send().await.read().await;
        assert_eq!(answer.status, 400, "{bad}: {}", answer.text);
    }
    put_policy(&ann, "locked", json!([
        {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": ["arn:aws:s3:::locked", "arn:aws:s3:::locked/*"]}
    ])).await;
    assert_eq!(status(ann.get("/locked").query("list-type", "2")).await, 403);
    assert_eq!(status(bob.get("/locked").query("policy", "")).await, 403);
    ann.get("/locked").query("policy", "").send().await.expect_status(200).await;
    ann.delete("/locked").query("policy", "").send().await.expect_status(204).await;
    assert_eq!(status(ann.get("/locked").query("list-type", "2")).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_grant_and_objects_are_their_writers() {
    let Two { cluster: _cluster, ann, bob } = Two::new().await;
    ann.put("/open").header("x-amz-acl", "public-read-write").send().await.expect_status(200).await;
    bob.put("/open/from-bob").body("bob's").send().await.expect_status(200).await;
    ann.get("/open/from-bob").send().await.expect_error(403, "AccessDenied").await;
    bob.get("/open/from-bob").send().await.expect_status(200).await;
    let list = bob.get("/open/from-bob").query("acl", "").send().await.expect_status(200).await;
    assert_eq!(list.all("ID"), ["bob", "bob"], "{}", list.text);
    assert_eq!(list.all("Permission"), ["FULL_CONTROL"]);

    bob.put("/open/from-bob")
        .query("acl", "")
        .header("x-amz-grant-read", "emailAddress=\"ann@example.com\"")
        .send()
        .await
        .expect_status(200)
        .await;
    ann.get("/open/from-bob").send().await.expect_status(200).await;
    assert_eq!(status(ann.get("/open/from-bob").query("acl", "")).await, 403);
    for (value, code) in [
        ("id=\"nobody-here\"", "InvalidArgument"),
        ("emailAddress=\"nobody@example.com\"", "UnresolvableGrantByEmailAddress"),
        ("uri=\"http://example.com/group\"", "InvalidArgument"),
    ] {
        let request = bob.put("/open/from-bob").query("acl", "").header("x-amz-grant-read", value);
        request.send().await.expect_error(400, code).await;
    }
    ann.get("/open").query("list-type", "2").anonymous().send().await.expect_status(200).await;
    // Whoever owns the bucket may remove what is in it.
    ann.delete("/open/from-bob").send().await.expect_status(204).await;

    let anonymous =
        ann.put("/open/from-nobody").anonymous().header("x-amz-acl", "public-read").body("x");
    anonymous.send().await.expect_status(200).await;
    ann.get("/open/from-nobody").send().await.expect_status(200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_enforced_owner_lists_are_off() {
    let Two { cluster: _cluster, ann, bob } = Two::new().await;
    let ownership = |word: &str| {
        format!(
            "<OwnershipControls><Rule><ObjectOwnership>{word}</ObjectOwnership></Rule></OwnershipControls>"
        )
    };
    let controls = |s3: &Client| s3.get("/owned").query("ownershipControls", "");
    let set = |s3: &Client, word: &str| {
        s3.put("/owned").query("ownershipControls", "").body(ownership(word))
    };
    ann.put("/owned").header("x-amz-acl", "public-read").send().await.expect_status(200).await;
    controls(&ann).send().await.expect_error(404, "OwnershipControlsNotFoundError").await;
    let refused = set(&ann, "BucketOwnerEnforced").send().await;
    refused.expect_error(400, "InvalidBucketAclWithObjectOwnership").await;
    ann.put("/owned")
        .query("acl", "")
        .header("x-amz-acl", "private")
        .send()
        .await
        .expect_status(200)
        .await;
    set(&ann, "BucketOwnerEnforced").send().await.expect_status(200).await;
    assert_eq!(
        controls(&ann).send().await.expect_status(200).await.all("ObjectOwnership"),
        ["BucketOwnerEnforced"]
    );

    put_policy(&ann, "owned", json!([
        {"Effect": "Allow", "Principal": {"AWS": "bob"}, "Action": "s3:PutObject", "Resource": "arn:aws:s3:::owned/*"}
    ])).await;
    bob.put("/owned/from-bob").body("x").send().await.expect_status(200).await;
    ann.get("/owned/from-bob").send().await.expect_status(200).await;
    assert_eq!(status(bob.get("/owned/from-bob")).await, 403, "it is not theirs");
    let listed = bob.put("/owned/other").header("x-amz-acl", "public-read").body("x").send().await;
    listed.expect_error(400, "AccessControlListNotSupported").await;
    let left = bob.put("/owned/other").header("x-amz-acl", "bucket-owner-full-control").body("x");
    left.send().await.expect_status(200).await;

    ann.delete("/owned").query("ownershipControls", "").send().await.expect_status(204).await;
    controls(&ann).send().await.expect_error(404, "OwnershipControlsNotFoundError").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_access_block_keeps_the_public_out() {
    let Two { cluster: _cluster, ann, bob } = Two::new().await;
    ann.put("/walled").header("x-amz-acl", "public-read").send().await.expect_status(200).await;
    ann.put("/walled/k")
        .header("x-amz-acl", "public-read")
        .body("x")
        .send()
        .await
        .expect_status(200)
        .await;
    bob.get("/walled/k").anonymous().send().await.expect_status(200).await;
    let block = |acls: bool, ignore: bool, policy: bool, restrict: bool| {
        ann.put("/walled").query("publicAccessBlock", "").body(format!(
            "<PublicAccessBlockConfiguration><BlockPublicAcls>{acls}</BlockPublicAcls><IgnorePublicAcls>{ignore}</IgnorePublicAcls>\
             <BlockPublicPolicy>{policy}</BlockPublicPolicy><RestrictPublicBuckets>{restrict}</RestrictPublicBuckets></PublicAccessBlockConfiguration>"
        ))
    };
    let public = || async {
        let answer =
            ann.get("/walled").query("policyStatus", "").send().await.expect_status(200).await;
        answer.all("IsPublic")
    };
    ann.get("/walled")
        .query("publicAccessBlock", "")
        .send()
        .await
        .expect_error(404, "NoSuchPublicAccessBlockConfiguration")
        .await;
    assert_eq!(public().await, ["true"]);

    block(false, true, false, false).send().await.expect_status(200).await;
    assert_eq!(status(bob.get("/walled/k").anonymous()).await, 403);
    assert_eq!(public().await, ["false"]);

    block(true, false, true, false).send().await.expect_status(200).await;
    bob.get("/walled/k").anonymous().send().await.expect_status(200).await;
    assert_eq!(
        status(ann.put("/walled/l").header("x-amz-acl", "public-read").body("x")).await,
        403
    );
    assert_eq!(
        status(ann.put("/walled").query("acl", "").header("x-amz-acl", "authenticated-read")).await,
        403
    );
    let everybody = json!({"Version": "2012-10-17", "Statement":
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::walled/*"}});
    let policy = || ann.put("/walled").query("policy", "").body(everybody.to_string());
    policy().send().await.expect_error(403, "AccessDenied").await;

    block(false, true, false, true).send().await.expect_status(200).await;
    policy().send().await.expect_status(204).await;
    assert_eq!(status(bob.get("/walled/k")).await, 403);
    ann.get("/walled/k").send().await.expect_status(200).await;
    ann.delete("/walled").query("publicAccessBlock", "").send().await.expect_status(204).await;
    bob.get("/walled/k").send().await.expect_status(200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_whose_the_client_expects_and_requesters_agree_to_pay() {
    let Two { cluster: _cluster, ann, bob } = Two::new().await;
    ann.put("/paid").header("x-amz-acl", "public-read").send().await.expect_status(200).await;
    let list = |s3: &Client| s3.get("/paid").query("list-type", "2");
    list(&ann).header("x-amz-expected-bucket-owner", "ann").send().await.expect_status(200).await;
    assert_eq!(status(list(&ann).header("x-amz-expected-bucket-owner", "bob")).await, 403);

    let body =
        "<RequestPaymentConfiguration><Payer>Requester</Payer></RequestPaymentConfiguration>";
    ann.put("/paid").query("requestPayment", "").body(body).send().await.expect_status(200).await;
    let payer = ann.get("/paid").query("requestPayment", "").send().await.expect_status(200).await;
    assert_eq!(payer.all("Payer"), ["Requester"]);
    list(&ann).send().await.expect_status(200).await;
    assert_eq!(status(list(&bob)).await, 403);
    list(&bob).header("x-amz-request-payer", "requester").send().await.expect_status(200).await;
    assert_eq!(
        status(list(&bob).header("x-amz-request-payer", "requester").anonymous()).await,
        403
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_can_be_narrowed_disabled_rotated_and_ended() {
    let Two { cluster, ann, bob: _ } = Two::new().await;
    ann.make_bucket("keys").await;
    ann.put("/keys/k").body("x").send().await.expect_status(200).await;
    let policy = cluster.dir().join("policy.json");
    let text = json!({"Version": "2012-10-17", "Statement":
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::keys/*"}});
    std::fs::write(&policy, text.to_string()).expect("written");
    let file = policy.to_str().expect("a path");
    let made = cluster.admin_json(&[
        "key",
        "create",
        "--account",
        "ann",
        "--name",
        "reader",
        "--policy",
        file,
    ]);
    let of = |pair: &Value| {
        let text = |field: &str| pair[field].as_str().expect("a string").to_owned();
        (text("access_key"), text("secret_key"))
    };
    let (id, secret) = of(&made);
    let reader = Client::new(cluster.s3(), &id, &secret);
    reader.get("/keys/k").send().await.expect_status(200).await;
    for request in [
        reader.put("/keys/l").body("x"),
        reader.delete("/keys/k"),
        reader.put("/others"),
        reader.get("/"),
    ] {
        request.send().await.expect_error(403, "AccessDenied").await;
    }

    let listed = cluster.admin_json(&["key", "list", "--account", "ann"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    let _ = cluster.admin(&["key", "disable", &id]);
    reader.get("/keys/k").send().await.expect_error(403, "InvalidAccessKeyId").await;
    let _ = cluster.admin(&["key", "enable", &id]);
    reader.get("/keys/k").send().await.expect_status(200).await;

    let (next, next_secret) = of(&cluster.admin_json(&["key", "rotate", &id]));
    reader.get("/keys/k").send().await.expect_error(403, "InvalidAccessKeyId").await;
    let next = Client::new(cluster.s3(), &next, &next_secret);
    next.get("/keys/k").send().await.expect_status(200).await;
    next.delete("/keys/k").send().await.expect_error(403, "AccessDenied").await;

    let over = cluster.operate(&[
        "admin",
        "key",
        "create",
        "--account",
        "ann",
        "--expires",
        "2020-01-01T00:00:00Z",
    ]);
    assert!(!over.status.success());
    let soon = cluster.admin_json(&[
        "key",
        "create",
        "--account",
        "ann",
        "--expires",
        "2999-01-01T00:00:00Z",
    ]);
    let (id, secret) = of(&soon);
    Client::new(cluster.s3(), &id, &secret).get("/keys/k").send().await.expect_status(200).await;
    let _ = cluster.admin(&["key", "delete", &id]);
    Client::new(cluster.s3(), &id, &secret)
        .get("/keys/k")
        .send()
        .await
        .expect_error(403, "InvalidAccessKeyId")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_key_needs_its_token_and_may_do_no_more_than_its_parent() {
    let Two { cluster, ann, bob: _ } = Two::new().await;
    ann.make_bucket("lent").await;
    ann.put("/lent/k").body("x").send().await.expect_status(200).await;
    let sts = ann.for_service(cluster.s3(), "sts");
    let ask = |fields: &str| {
        sts.post("/")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(fields.to_owned())
    };
    let policy = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22s3%3AGetObject%22%2C%22Resource%22%3A%22%2A%22%7D%7D";
    let fields = format!(
        "Action=AssumeRole&Version=2011-06-15&RoleArn=arn:aws:iam::ann:role/reader&RoleSessionName=today&DurationSeconds=900&Policy={policy}"
    );
    let answer = ask(&fields)
        .payload(drystone_s3_tests::client::Payload::Signed)
        .send()
        .await
        .expect_status(200)
        .await;
    let field = |name: &str| xml::text(&answer.text, name).expect("a field");
    let (id, secret, token) =
        (field("AccessKeyId"), field("SecretAccessKey"), field("SessionToken"));
    let lent = Client::new(cluster.s3(), &id, &secret);
    lent.get("/lent/k").send().await.expect_error(403, "InvalidAccessKeyId").await;
    lent.get("/lent/k")
        .header("x-amz-security-token", "wrong")
        .send()
        .await
        .expect_error(400, "InvalidToken")
        .await;
    lent.get("/lent/k")
        .header("x-amz-security-token", &token)
        .send()
        .await
        .expect_status(200)
        .await;
    lent.delete("/lent/k")
        .header("x-amz-security-token", &token)
        .send()
        .await
        .expect_error(403, "AccessDenied")
        .await;

    let foreign = fields.replace("::ann:", "::bob:");
    let refused = ask(&foreign).payload(drystone_s3_tests::client::Payload::Signed).send().await;
    refused.expect_error(403, "AccessDenied").await;
    // A signature for one service is none for the other.
    sts.get("/lent/k").send().await.expect_error(403, "SignatureDoesNotMatch").await;
}
