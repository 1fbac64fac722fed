//! Cross-origin requests: rules, preflights, and the headers of every other answer.

use drystone_s3_tests::cluster::Options;
use http::Method;

const RULES: &str = "<CORSConfiguration>\
    <CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>http://*.example.com</AllowedOrigin><AllowedHeader>x-amz-*</AllowedHeader>\
    <ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>3000</MaxAgeSeconds></CORSRule>\
    <CORSRule><AllowedMethod>PUT</AllowedMethod><AllowedMethod>DELETE</AllowedMethod><AllowedOrigin>*</AllowedOrigin></CORSRule>\
    </CORSConfiguration>";

#[tokio::test(flavor = "multi_thread")]
async fn a_page_may_do_what_the_buckets_rules_say() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("shared").await;
    let none = s3.get("/shared").query("cors", "").send().await;
    none.expect_error(404, "NoSuchCORSConfiguration").await;
    let preflight = |origin: &str, method: &str| {
        s3.request(Method::OPTIONS, "/shared/key")
            .anonymous()
            .header("origin", origin)
            .header("access-control-request-method", method)
    };
    preflight("http://a.example.com", "GET")
        .send()
        .await
        .expect_error(403, "AccessForbidden")
        .await;

    s3.put("/shared").query("cors", "").body(RULES).send().await.expect_status(200).await;
    let shown = s3.get("/shared").query("cors", "").send().await.expect_status(200).await;
    assert_eq!(shown.all("AllowedMethod"), ["GET", "PUT", "DELETE"]);
    assert_eq!(shown.xml("MaxAgeSeconds").as_deref(), Some("3000"));

    let bare = s3.request(Method::OPTIONS, "/shared/key").anonymous();
    bare.send().await.expect_error(400, "BadRequest").await;
    let bare = s3.request(Method::OPTIONS, "/shared/key").anonymous();
    let bare = bare.header("origin", "http://a.example.com");
    bare.send().await.expect_error(400, "BadRequest").await;

    let let_in = preflight("http://a.example.com", "GET")
        .header("access-control-request-headers", "X-Amz-Date, x-amz-acl");
    let let_in = let_in.send().await.expect_status(200).await;
    for (name, value) in [
        ("access-control-allow-origin", "http://a.example.com"),
        ("access-control-allow-methods", "GET"),
        ("access-control-allow-headers", "x-amz-date, x-amz-acl"),
        ("access-control-expose-headers", "ETag"),
        ("access-control-max-age", "3000"),
        ("access-control-allow-credentials", "true"),
    ] {
        assert_eq!(let_in.header(name), Some(value), "{name}");
    }
    assert!(let_in.header("vary").is_some_and(|vary| vary.contains("Origin")));
    let anybody = preflight("http://elsewhere", "PUT").send().await.expect_status(200).await;
    assert_eq!(anybody.header("access-control-allow-origin"), Some("*"));
    assert_eq!(anybody.header("access-control-allow-methods"), Some("PUT, DELETE"));
    for refused in [
        preflight("http://elsewhere", "GET"),
        preflight("http://a.example.com", "GET").header("access-control-request-headers", "range"),
    ] {
        let refused = refused.send().await.expect_error(403, "AccessForbidden").await;
        assert_eq!(refused.header("access-control-allow-origin"), None);
    }

    s3.put("/shared/key").body("x").send().await.expect_status(200).await;
    let seen = s3.get("/shared/key").header("origin", "http://a.example.com").send().await;
    let seen = seen.expect_status(200).await;
    assert_eq!(seen.header("access-control-allow-origin"), Some("http://a.example.com"));
    let missing = s3.get("/shared/no").header("origin", "http://a.example.com").send().await;
    let missing = missing.expect_error(404, "NoSuchKey").await;
    assert_eq!(missing.header("access-control-allow-methods"), Some("GET"));
    let hidden = s3.get("/shared/key").header("origin", "http://elsewhere").send().await;
    assert_eq!(hidden.expect_status(200).await.header("access-control-allow-origin"), None);
    let plain = s3.get("/shared/key").send().await.expect_status(200).await;
    assert_eq!(plain.header("vary"), None);

    s3.delete("/shared").query("cors", "").send().await.expect_status(204).await;
    s3.delete("/shared").query("cors", "").send().await.expect_status(204).await;
    preflight("http://a.example.com", "GET")
        .send()
        .await
        .expect_error(403, "AccessForbidden")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_say_nothing_clear_are_refused() {
    let cluster = Options::new().up().await;
    let s3 = cluster.client();
    s3.make_bucket("shared").await;
    for (rule, code) in [
        ("", "MalformedXML"),
        ("<CORSRule><AllowedMethod>GET</AllowedMethod></CORSRule>", "MalformedXML"),
        (
            "<CORSRule><AllowedMethod>OPTIONS</AllowedMethod><AllowedOrigin>*</AllowedOrigin></CORSRule>",
            "InvalidRequest",
        ),
        (
            "<CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>*.*</AllowedOrigin></CORSRule>",
            "InvalidRequest",
        ),
    ] {
        let body = format!("<CORSConfiguration>{rule}</CORSConfiguration>");
        let refused = s3.put("/shared").query("cors", "").body(body).send().await;
        refused.expect_error(400, code).await;
    }
}
