use std::collections::BTreeSet;

use http::Request;

use super::*;

/// 2015-08-30T12:36:00Z, the moment of AWS's test suite.
const SUITE_NOW: Timestamp = Timestamp(1_440_938_160_000);
const SUITE_STAMP: &str = "20150830T123600Z";
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn suite_credentials() -> Credentials {
    Credentials {
        access_key: "AKIDEXAMPLE".to_owned(),
        secret_key: Zeroizing::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
    }
}

fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

/// Signs as the suite does: with the headers given and no others.
fn suite(method: &str, uri: &str, headers: &[(&str, &str)]) -> String {
    let with_date =
        [headers, &[("host", "example.amazonaws.com"), ("x-amz-date", SUITE_STAMP)]].concat();
    let parts = parts(method, uri, &with_date);
    let text = authorize(&parts, EMPTY, &suite_credentials(), "us-east-1", "service", SUITE_STAMP);
    text.rsplit('=').next().expect("a signature").to_owned()
}

#[test]
fn signatures_are_those_of_the_aws_test_suite() {
    let vanilla = suite("GET", "/", &[]);
    assert_eq!(vanilla, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    let ordered = suite("GET", "/?Param2=value2&Param1=value1", &[]);
    assert_eq!(ordered, "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
    let post = suite("POST", "/", &[]);
    assert_eq!(post, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
}

#[test]
fn the_example_of_the_iam_user_guide_comes_out_step_by_step() {
    let parts = parts(
        "GET",
        "/?Action=ListUsers&Version=2010-05-08",
        &[
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("host", "iam.amazonaws.com"),
            ("x-amz-date", SUITE_STAMP),
        ],
    );
    let request = canonical_request(&parts, "iam", &["content-type", "host", "x-amz-date"], EMPTY);
    assert_eq!(
        hex::encode(Sha256::digest(request)),
        "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59"
    );
    let text = authorize(&parts, EMPTY, &suite_credentials(), "us-east-1", "iam", SUITE_STAMP);
    assert_eq!(
        text,
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, \
         Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    );
}

#[test]
fn a_path_of_s3_is_signed_as_it_is_sent() {
    let parts = parts("PUT", "/test%24file.text", &[("host", "examplebucket.s3.amazonaws.com")]);
    let path = |service| {
        let request = canonical_request(&parts, service, &["host"], EMPTY);
        request.lines().nth(1).map(str::to_owned)
    };
    assert_eq!(path("s3").as_deref(), Some("/test%24file.text"));
    assert_eq!(path("iam").as_deref(), Some("/test%2524file.text"));
}

#[test]
fn the_put_example_of_the_s3_reference_comes_out() {
    let credentials = Credentials {
        access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        secret_key: Zeroizing::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned()),
    };
    let payload = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    let headers = [
        ("date", "Fri, 24 May 2013 00:00:00 GMT"),
        ("host", "examplebucket.s3.amazonaws.com"),
        ("x-amz-content-sha256", payload),
        ("x-amz-date", "20130524T000000Z"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
    ];
    let parts = parts("PUT", "/test%24file.text", &headers);
    let text = authorize(&parts, payload, &credentials, "us-east-1", "s3", "20130524T000000Z");
    let signature = text.rsplit('=').next().expect("a signature");
    assert_eq!(signature, "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

#[test]
fn the_get_example_of_the_s3_reference_comes_out() {
    let credentials = Credentials {
        access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        secret_key: Zeroizing::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned()),
    };
    let headers = [
        ("host", "examplebucket.s3.amazonaws.com"),
        ("range", "bytes=0-9"),
        ("x-amz-content-sha256", EMPTY),
        ("x-amz-date", "20130524T000000Z"),
    ];
    let text = authorize(
        &parts("GET", "/test.txt", &headers),
        EMPTY,
        &credentials,
        "us-east-1",
        "s3",
        "20130524T000000Z",
    );
    assert!(
        text.ends_with("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
        "{text}"
    );
}

#[test]
fn values_are_trimmed_and_their_inner_spaces_made_one() {
    let parts = parts("GET", "/", &[("my-header", "  a   b  c "), ("my-header", "second")]);
    assert_eq!(canonical_value(&parts.headers, "my-header"), "a b c,second");
}

#[test]
fn a_query_is_encoded_strictly_and_sorted() {
    assert_eq!(canonical_query("b=2&a=x%2fy&a=B&c&d=~%20+"), "a=B&a=x%2Fy&b=2&c=&d=~%20%2B");
    assert_eq!(canonical_query(""), "");
}

/// A signed request, and its body.
fn signed() -> (Parts, &'static [u8]) {
    let body = b"{\"id\":\"alice\"}";
    let mut parts = parts(
        "POST",
        "/admin/v1/accounts?dry=1",
        &[("host", "127.0.0.1:9001"), ("content-type", "application/json")],
    );
    sign(&mut parts, body, &suite_credentials(), "us-east-1", "drystone", SUITE_NOW);
    (parts, body)
}

fn check(parts: &Parts, body: &[u8], now: Timestamp) -> Result<(), SignatureError> {
    let claim = Claim::read(parts, "drystone", now)?;
    assert_eq!(claim.access_key(), "AKIDEXAMPLE");
    claim.verify(&suite_credentials().secret_key, parts, body)
}

#[test]
fn what_was_signed_is_accepted_for_a_quarter_of_an_hour() {
    let (parts, body) = signed();
    assert_eq!(check(&parts, body, SUITE_NOW), Ok(()));
    let edge = SUITE_NOW.plus(SKEW_MAX);
    assert_eq!(check(&parts, body, edge), Ok(()));
    let skewed = SignatureError::Skewed { signed: SUITE_STAMP.to_owned() };
    assert_eq!(check(&parts, body, edge.plus(Duration::from_secs(1))), Err(skewed.clone()));
    assert_eq!(check(&parts, body, Timestamp(SUITE_NOW.0 - 901_000)), Err(skewed));
}

#[test]
fn whatever_is_changed_breaks_the_signature() {
    let (parts, body) = signed();
    let changed = |change: fn(&mut Parts)| {
        let mut parts = parts.clone();
        change(&mut parts);
        check(&parts, body, SUITE_NOW)
    };
    assert_eq!(changed(|parts| parts.method = http::Method::DELETE), Err(SignatureError::Mismatch));
    assert_eq!(
        changed(|parts| parts.uri = "/admin/v1/accounts?dry=0".parse().unwrap()),
        Err(SignatureError::Mismatch)
    );
    assert_eq!(
        changed(|parts| parts.uri = "/admin/v1/keys?dry=1".parse().unwrap()),
        Err(SignatureError::Mismatch)
    );
    let host =
        changed(|parts| drop(parts.headers.insert("host", HeaderValue::from_static("other"))));
    assert_eq!(host, Err(SignatureError::Mismatch));
    assert_eq!(check(&parts, b"{}", SUITE_NOW), Err(SignatureError::OtherPayload));
    let unsigned =
        changed(|parts| drop(parts.headers.insert("x-amz-extra", HeaderValue::from_static("1"))));
    assert_eq!(unsigned, Err(SignatureError::Unsigned("x-amz-extra".to_owned())));
    let absent = changed(|parts| drop(parts.headers.remove("content-type")));
    assert_eq!(absent, Err(SignatureError::Unsigned("content-type".to_owned())));
}

#[test]
fn another_secret_or_service_is_refused() {
    let (parts, body) = signed();
    let claim = Claim::read(&parts, "drystone", SUITE_NOW).expect("well formed");
    assert_eq!(claim.verify("another", &parts, body), Err(SignatureError::Mismatch));
    let other = Claim::read(&parts, "s3", SUITE_NOW).expect_err("another service");
    assert_eq!(other, SignatureError::OtherService { found: "drystone".to_owned(), wanted: "s3" });
}

#[test]
fn malformed_signatures_are_refused_in_words() {
    let (good, body) = signed();
    let mut words = BTreeSet::new();
    let text = good.headers[AUTHORIZATION].to_str().expect("text").to_owned();
    for bad in [
        "Bearer x".to_owned(),
        "AWS4-HMAC-SHA256".to_owned(),
        text.replace("/aws4_request", ""),
        text.replace("SignedHeaders=", "Headers="),
        text.replace("Signature=", "Signature=xy"),
        text.replace("/20150830/", "/20150831/"),
    ] {
        let mut parts = good.clone();
        parts.headers.insert(AUTHORIZATION, HeaderValue::from_str(&bad).expect("ASCII"));
        let error = check(&parts, body, SUITE_NOW).expect_err("malformed");
        assert!(matches!(error, SignatureError::Malformed(_)), "{bad}: {error}");
        words.insert(error.to_string());
    }
    assert_eq!(words.len(), 6, "{words:?}");
    let mut parts = good.clone();
    parts.headers.append(AUTHORIZATION, HeaderValue::from_static("second"));
    assert_eq!(
        check(&parts, body, SUITE_NOW),
        Err(SignatureError::Malformed("a header is there twice"))
    );
    parts.headers.remove(AUTHORIZATION);
    assert_eq!(check(&parts, body, SUITE_NOW), Err(SignatureError::Missing));
}

#[test]
fn an_unsigned_payload_is_not_accepted() {
    let mut parts = parts(
        "GET",
        "/admin/v1/nodes",
        &[("host", "x"), ("x-amz-date", SUITE_STAMP), ("x-amz-content-sha256", "UNSIGNED-PAYLOAD")],
    );
    let text = authorize(
        &parts,
        "UNSIGNED-PAYLOAD",
        &suite_credentials(),
        "us-east-1",
        "drystone",
        SUITE_STAMP,
    );
    parts.headers.insert(AUTHORIZATION, HeaderValue::from_str(&text).expect("ASCII"));
    assert_eq!(check(&parts, b"", SUITE_NOW), Err(SignatureError::OtherPayload));
}

#[test]
fn credentials_do_not_show_their_secret() {
    assert!(!format!("{:?}", suite_credentials()).contains("wJalr"));
}
