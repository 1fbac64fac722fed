//! Buckets as websites. Reading needs no signature where a policy lets anybody in; what does not need that is tested here for itself.

use drystone_s3_tests::cluster::Options;
use drystone_s3_tests::port::Port;

#[tokio::test(flavor = "multi_thread")]
async fn visitors_are_sent_where_the_rules_say_and_see_nothing_that_is_not_public() {
    let port = Port::take();
    let addr = port.address().to_string();
    let cluster = Options::new()
        .flag("--website-addr", &addr)
        .flag("--website-domain", "web.test")
        .up()
        .await;
    let s3 = cluster.client();
    s3.make_bucket("site").await;
    s3.put("/site/index.html").body("home").send().await.expect_status(200).await;
    let site = s3.for_service(port.address(), "s3").with_host("site.web.test");
    let visit = |path: &str| site.get(path).anonymous();
    let none = visit("/").send().await.expect_status(404).await;
    assert!(none.text.contains("NoSuchWebsiteConfiguration"), "{}", none.text);

    let rules = "<WebsiteConfiguration><IndexDocument><Suffix>index.html</Suffix></IndexDocument><RoutingRules><RoutingRule>\
        <Condition><KeyPrefixEquals>old/</KeyPrefixEquals></Condition>\
        <Redirect><ReplaceKeyPrefixWith>new/</ReplaceKeyPrefixWith><HttpRedirectCode>302</HttpRedirectCode></Redirect></RoutingRule>\
        </RoutingRules></WebsiteConfiguration>";
    s3.put("/site").query("website", "").body(rules).send().await.expect_status(200).await;
    let shown = s3.get("/site").query("website", "").send().await.expect_status(200).await;
    assert_eq!(shown.xml("Suffix").as_deref(), Some("index.html"));
    assert_eq!(shown.xml("ReplaceKeyPrefixWith").as_deref(), Some("new/"));

    let moved = visit("/old/page").send().await.expect_status(302).await;
    assert_eq!(moved.header("location"), Some("http://site.web.test/new/page"));
    let private = visit("/").send().await.expect_status(403).await;
    assert!(private.text.contains("AccessDenied") && private.text.contains("<html>"));
    site.put("/a").anonymous().body("x").send().await.expect_status(405).await;

    let elsewhere = "<WebsiteConfiguration><RedirectAllRequestsTo><HostName>example.com</HostName><Protocol>https</Protocol>\
        </RedirectAllRequestsTo></WebsiteConfiguration>";
    s3.put("/site").query("website", "").body(elsewhere).send().await.expect_status(200).await;
    let moved = visit("/a/b").send().await.expect_status(301).await;
    assert_eq!(moved.header("location"), Some("https://example.com/a/b"));

    s3.delete("/site").query("website", "").send().await.expect_status(204).await;
    let gone = s3.get("/site").query("website", "").send().await;
    gone.expect_error(404, "NoSuchWebsiteConfiguration").await;
}
