//! What policies say under conditions, and whom they name: what a request's body asks for, what comes along with a write or a new bucket, the
//! tags an object has, the role a session is of.

use drystone_s3_tests::client::{Client, Payload, Request};
use serde_json::json;

use super::access::{Two, assume, narrowed, put_policy, session, status};
use super::object_lock::{BYPASS, hold, in_seconds, locked_bucket, put, remove, retention};
use super::tagging::{tagging, tags_of};

/// Seconds of a day.
const DAY: i64 = 86_400;

fn copy(s3: &Client, from: &str, to: &str) -> Request {
    s3.put(to).header("x-amz-copy-source", from)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tags_in_a_body_decide_who_may_set_them() {
    let Two { cluster: _cluster, ann, bob } = Two::new().await;
    ann.make_bucket("tagged").await;
    ann.put("/tagged/k").body("x").send().await.expect_status(200).await;
    put_policy(&ann, "tagged", json!([
        {"Effect": "Allow", "Principal": {"AWS": "bob"}, "Action": "s3:PutObjectTagging", "Resource": "arn:aws:s3:::tagged/*",
         "Condition": {"StringEquals": {"s3:RequestObjectTag/team": "red"},
                       "ForAllValues:StringEquals": {"s3:RequestObjectTagKeys": ["team", "stage"]}}},
        {"Effect": "Allow", "Principal": {"AWS": "bob"}, "Action": "s3:PutBucketTagging", "Resource": "arn:aws:s3:::tagged",
         "Condition": {"StringEquals": {"aws:RequestTag/cost": "shared"}}}
    ])).await;
    let tag = |tags: &[(&str, &str)]| tagging(&bob, "/tagged/k", tags);
    tag(&[("team", "red"), ("stage", "test")]).send().await.expect_status(200).await;
    for refused in
        [&[("team", "blue")][..], &[("team", "red"), ("owner", "bob")], &[("stage", "test")], &[]]
    {
        tag(refused).send().await.expect_error(403, "AccessDenied").await;
    }
    // A header that the operation does not read decides nothing.
    let decoy = tag(&[("team", "blue")]).header("x-amz-tagging", "team=red");
    decoy.send().await.expect_error(403, "AccessDenied").await;
    assert_eq!(tags_of(&ann, "/tagged/k").await.len(), 2);

    let bucket = |tags: &[(&str, &str)]| tagging(&bob, "/tagged", tags);
    bucket(&[("cost", "own")]).send().await.expect_error(403, "AccessDenied").await;
    bucket(&[("cost", "shared")]).send().await.expect_status(200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_in_a_body_decides_who_may_set_it() {
    let Two { cluster: _cluster, ann, bob } = Two::new().await;
    locked_bucket(&ann, "locks").await;
    let version = put(&ann, "/locks/k").await;
    put_policy(&ann, "locks", json!([
        {"Effect": "Allow", "Principal": {"AWS": "bob"}, "Action": "s3:PutObjectRetention", "Resource": "arn:aws:s3:::locks/*",
         "Condition": {"StringEquals": {"s3:object-lock-mode": "GOVERNANCE"},
                       "NumericLessThanEquals": {"s3:object-lock-remaining-retention-days": "10"},
                       "DateGreaterThan": {"s3:object-lock-retain-until-date": in_seconds(DAY)}}},
        {"Effect": "Allow", "Principal": {"AWS": "bob"}, "Action": "s3:PutObjectLegalHold", "Resource": "arn:aws:s3:::locks/*",
         "Condition": {"StringEquals": {"s3:object-lock-legal-hold": "ON"}}}
    ])).await;
    let days = |days: i64| in_seconds(days * DAY);
    let ask = |mode: &str, until: &str| retention(&bob, "/locks/k", mode, until);
    for (mode, until) in
        [("COMPLIANCE", days(5)), ("GOVERNANCE", days(20)), ("GOVERNANCE", in_seconds(60))]
    {
        ask(mode, &until).send().await.expect_error(403, "AccessDenied").await;
    }
    let decoy = ask("COMPLIANCE", &days(5)).header("x-amz-object-lock-mode", "GOVERNANCE");
    decoy.send().await.expect_error(403, "AccessDenied").await;
    ask("GOVERNANCE", &days(5)).send().await.expect_status(200).await;
    let lifted = bob.put("/locks/k").query("retention", "").body("<Retention/>");
    let lifted = lifted.header("x-amz-object-lock-mode", "GOVERNANCE").header(BYPASS.0, BYPASS.1);
    lifted.send().await.expect_error(403, "AccessDenied").await;

    let held = |status: &str| hold(&bob, "/locks/k", status);
    held("ON").send().await.expect_status(200).await;
    held("OFF").send().await.expect_error(403, "AccessDenied").await;
    hold(&ann, "/locks/k", "OFF").send().await.expect_status(200).await;

    // Who may bypass governance can depend on the tags of what is bypassed.
    put_policy(&ann, "locks", json!([
        {"Effect": "Allow", "Principal": {"AWS": "bob"}, "Action": "s3:DeleteObjectVersion", "Resource": "arn:aws:s3:::locks/*"},
        {"Effect": "Allow", "Principal": {"AWS": "bob"}, "Action": "s3:BypassGovernanceRetention", "Resource": "arn:aws:s3:::locks/*",
         "Condition": {"StringEquals": {"s3:ExistingObjectTag/release": "yes"}}}
    ])).await;
    let bypass = || remove(&bob, "/locks/k", &version).header(BYPASS.0, BYPASS.1);
    bypass().send().await.expect_error(403, "AccessDenied").await;
    tagging(&ann, "/locks/k", &[("release", "yes")]).send().await.expect_status(200).await;
    let unasked = remove(&bob, "/locks/k", &version).send().await;
    unasked.expect_error(403, "AccessDenied").await;
    bypass().send().await.expect_status(204).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_takes_tags_along_where_both_sides_let_it() {
    let Two { cluster: _cluster, ann, bob } = Two::new().await;
    ann.make_bucket("from").await;
    ann.make_bucket("into").await;
    ann.put("/from/plain").body("x").send().await.expect_status(200).await;
    let tagged = ann.put("/from/tagged").body("x").header("x-amz-tagging", "team=blue");
    tagged.send().await.expect_status(200).await;
    let source = |actions: &[&str]| json!([{"Effect": "Allow", "Principal": {"AWS": "bob"}, "Action": actions, "Resource": "arn:aws:s3:::from/*"}]);
    let target = |actions: &[&str]| json!([{"Effect": "Allow", "Principal": {"AWS": "bob"}, "Action": actions, "Resource": "arn:aws:s3:::into/*"}]);
    put_policy(&ann, "from", source(&["s3:GetObject"])).await;
    put_policy(&ann, "into", target(&["s3:PutObject"])).await;
    let replace =
        |from: &str| copy(&bob, from, "/into/k").header("x-amz-tagging-directive", "REPLACE");
    let take = || copy(&bob, "/from/tagged", "/into/k");
    copy(&bob, "/from/plain", "/into/k").send().await.expect_status(200).await;
    replace("/from/tagged").send().await.expect_status(200).await;
    take().send().await.expect_error(403, "AccessDenied").await;
    let new = || replace("/from/tagged").header("x-amz-tagging", "team=red");
    new().send().await.expect_error(403, "AccessDenied").await;

    put_policy(&ann, "into", target(&["s3:PutObject", "s3:PutObjectTagging"])).await;
    new().send().await.expect_status(200).await;
    take().send().await.expect_error(403, "AccessDenied").await;
    put_policy(&ann, "from", source(&["s3:GetObject", "s3:GetObjectTagging"])).await;
    take().send().await.expect_status(200).await;
    put_policy(&ann, "into", target(&["s3:PutObject"])).await;
    take().send().await.expect_error(403, "AccessDenied").await;

    // What is decided about are the tags that the copy gets, not those that a header only mentions.
    put_policy(&ann, "into", json!([
        {"Effect": "Allow", "Principal": {"AWS": "bob"}, "Action": ["s3:PutObject", "s3:PutObjectTagging"],
         "Resource": "arn:aws:s3:::into/*", "Condition": {"StringEquals": {"s3:RequestObjectTag/team": "red"}}}
    ])).await;
    take().header("x-amz-tagging", "team=red").send().await.expect_error(403, "AccessDenied").await;
    new().send().await.expect_status(200).await;
    assert_eq!(tags_of(&ann, "/into/k").await, [("team".to_owned(), "red".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_with_a_write_needs_its_own_right() {
    let Two { cluster, ann, bob: _bob } = Two::new().await;
    locked_bucket(&ann, "written").await;
    let keys = |actions: &[&str]| {
        let all =
            json!([{"Effect": "Allow", "Action": actions, "Resource": "arn:aws:s3:::written/*"}]);
        narrowed(&cluster, "ann", all)
    };
    let until = in_seconds(DAY);
    let bare = keys(&["s3:PutObject"]);
    bare.put("/written/k").body("x").send().await.expect_status(200).await;
    for (action, headers) in [
        ("s3:PutObjectTagging", &[("x-amz-tagging", "a=b")][..]),
        ("s3:PutObjectAcl", &[("x-amz-acl", "public-read")]),
        ("s3:PutObjectAcl", &[("x-amz-grant-read", "id=bob")]),
        ("s3:PutObjectLegalHold", &[("x-amz-object-lock-legal-hold", "ON")]),
        (
            "s3:PutObjectRetention",
            &[
                ("x-amz-object-lock-mode", "GOVERNANCE"),
                ("x-amz-object-lock-retain-until-date", until.as_str()),
            ],
        ),
    ] {
        let both = keys(&["s3:PutObject", action]);
        for (s3, expected) in [(&bare, 403), (&both, 200)] {
            let with = |request: Request| {
                headers.iter().fold(request, |request, (name, value)| request.header(name, value))
            };
            let put = with(s3.put("/written/k").body("x"));
            assert_eq!(status(put).await, expected, "PUT with {action}");
            let upload = with(s3.post("/written/k").query("uploads", ""));
            assert_eq!(status(upload).await, expected, "an upload with {action}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_with_a_new_bucket_needs_its_own_right() {
    let Two { cluster, ann: _ann, bob: _bob } = Two::new().await;
    let keys = |actions: &[&str]| {
        narrowed(&cluster, "ann", json!([{"Effect": "Allow", "Action": actions, "Resource": "*"}]))
    };
    let bare = keys(&["s3:CreateBucket"]);
    bare.put("/plain-bucket").send().await.expect_status(200).await;
    let locks = &["s3:PutBucketObjectLockConfiguration", "s3:PutBucketVersioning"];
    for (number, (actions, header, value)) in [
        (&["s3:PutBucketAcl"][..], "x-amz-acl", "public-read"),
        (&["s3:PutBucketAcl"], "x-amz-grant-read", "id=bob"),
        (&["s3:PutBucketOwnershipControls"], "x-amz-object-ownership", "BucketOwnerEnforced"),
        (locks, "x-amz-bucket-object-lock-enabled", "true"),
    ]
    .into_iter()
    .enumerate()
    {
        let make = |s3: &Client| s3.put(&format!("/bucket-{number}")).header(header, value);
        make(&bare).send().await.expect_error(403, "AccessDenied").await;
        for lacking in 0..actions.len() {
            let mut some = actions.to_vec();
            some[lacking] = "s3:CreateBucket";
            if some.len() > 1 {
                make(&keys(&some)).send().await.expect_error(403, "AccessDenied").await;
            }
        }
        let all = [&["s3:CreateBucket"], actions].concat();
        make(&keys(&all)).send().await.expect_status(200).await;
    }

    // Where the bucket is to be stands in the body.
    let here = narrowed(
        &cluster,
        "ann",
        json!([
            {"Effect": "Allow", "Action": "s3:CreateBucket", "Resource": "*",
             "Condition": {"StringEquals": {"s3:LocationConstraint": "us-east-1"}}}
        ]),
    );
    here.put("/nowhere").send().await.expect_error(403, "AccessDenied").await;
    let body = "<CreateBucketConfiguration><LocationConstraint>us-east-1</LocationConstraint></CreateBucketConfiguration>";
    here.put("/somewhere").body(body).send().await.expect_status(200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tags_an_object_has_decide_who_may_describe_and_copy_it() {
    let Two { cluster: _cluster, ann, bob } = Two::new().await;
    ann.make_bucket("shown").await;
    bob.make_bucket("copies").await;
    for (key, tags) in [("open", "public=yes"), ("shut", "public=no")] {
        let put = ann.put(&format!("/shown/{key}")).body("x").header("x-amz-tagging", tags);
        put.send().await.expect_status(200).await;
    }
    put_policy(&ann, "shown", json!([
        {"Effect": "Allow", "Principal": {"AWS": "bob"}, "Resource": "arn:aws:s3:::shown/*",
         "Action": ["s3:GetObject", "s3:GetObjectAttributes", "s3:GetObjectTagging", "s3:GetObjectAcl"],
         "Condition": {"StringEquals": {"s3:ExistingObjectTag/public": "yes"}}}
    ])).await;
    for (key, expected) in [("open", 200), ("shut", 403)] {
        let path = format!("/shown/{key}");
        let attributes = bob.get(&path).query("attributes", "");
        let attributes = attributes.header("x-amz-object-attributes", "ObjectSize");
        assert_eq!(status(attributes).await, expected, "attributes of {key}");
        assert_eq!(status(copy(&bob, &path, "/copies/k")).await, expected, "a copy of {key}");
        assert_eq!(status(bob.get(&path).query("tagging", "")).await, expected, "tags of {key}");
        assert_eq!(status(bob.get(&path).query("acl", "")).await, expected, "the list of {key}");
    }
    // Taken away, the tag takes the right along.
    tagging(&ann, "/shown/open", &[("public", "no")]).send().await.expect_status(200).await;
    copy(&bob, "/shown/open", "/copies/k").send().await.expect_error(403, "AccessDenied").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_names_a_role_means_all_its_sessions() {
    let Two { cluster, ann, bob } = Two::new().await;
    ann.make_bucket("roles").await;
    ann.put("/roles/k").body("x").send().await.expect_status(200).await;
    let role = |name: &str| format!("arn:aws:iam::bob:role/{name}");
    let reader = session(&cluster, &bob, &role("reader"), "today").await;
    let other = session(&cluster, &bob, &role("readers"), "today").await;
    let read = |of: &super::access::Session| of.sign(of.s3.get("/roles/k"));

    let allow = |principal: serde_json::Value| json!([{"Effect": "Allow", "Principal": principal, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::roles/*"}]);
    put_policy(&ann, "roles", allow(json!({"AWS": role("reader")}))).await;
    read(&reader).send().await.expect_status(200).await;
    read(&other).send().await.expect_error(403, "AccessDenied").await;
    bob.get("/roles/k").send().await.expect_error(403, "AccessDenied").await;

    let one = json!({"AWS": "arn:aws:sts::bob:assumed-role/readers/today"});
    put_policy(&ann, "roles", allow(one)).await;
    read(&other).send().await.expect_status(200).await;
    read(&reader).send().await.expect_error(403, "AccessDenied").await;

    // Its canonical id means an account with all that is its; a role can still be shut out.
    put_policy(&ann, "roles", json!([
        {"Effect": "Allow", "Principal": {"CanonicalUser": "bob"}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::roles/*"},
        {"Effect": "Deny", "Principal": {"AWS": role("readers")}, "Action": "s3:*", "Resource": "arn:aws:s3:::roles/*"}
    ])).await;
    bob.get("/roles/k").send().await.expect_status(200).await;
    read(&reader).send().await.expect_status(200).await;
    read(&other).send().await.expect_error(403, "AccessDenied").await;

    // A condition sees the role, as on AWS.
    put_policy(&ann, "roles", json!([
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::roles/*",
         "Condition": {"ArnEquals": {"aws:PrincipalArn": role("reader")}}}
    ])).await;
    read(&reader).send().await.expect_status(200).await;
    read(&other).send().await.expect_error(403, "AccessDenied").await;

    // Or who it is exactly: as AssumeRole and GetCallerIdentity tell.
    let sts = reader.s3.for_service(cluster.s3(), "sts").post("/");
    let sts = sts.header("content-type", "application/x-www-form-urlencoded");
    let sts = sts.body("Action=GetCallerIdentity&Version=2011-06-15").payload(Payload::Signed);
    let me = reader.sign(sts).send().await.expect_status(200).await;
    let id = me.xml("UserId").expect("an id");
    assert!(id.ends_with(":today") && id.len() > ":today".len(), "{id}");
    put_policy(&ann, "roles", json!([
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::roles/*",
         "Condition": {"StringEquals": {"aws:userid": id}}}
    ])).await;
    read(&reader).send().await.expect_status(200).await;
    read(&other).send().await.expect_error(403, "AccessDenied").await;

    let pathed = assume(&cluster, &bob, &role("team/reader"), "today");
    pathed.send().await.expect_error(400, "InvalidArgument").await;
}
