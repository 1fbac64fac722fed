//! A browser that uploads a file from a page: by a script of the page's, and by a form.

use drystone_s3_tests::tools::{Tool, browser, python, script};

use super::cluster;

const SIZE: u32 = 300_007;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_uploads_a_file_by_script_and_by_form() {
    let Some(cluster) = cluster("a browser").await else { return };
    let tool = Tool::new(&cluster, "browser");
    let page = tool.home().join("page.html").display().to_string();
    let made = [&script("browser_page.py"), "browser-bucket", &SIZE.to_string(), &page];
    tool.run(python(), &made);
    let profile = format!("--user-data-dir={}", tool.home().join("profile").display());
    // The page's clock runs ahead as long as nothing is under way; the sandbox needs rights that a test has not.
    let shown = tool.run(
        browser(),
        &[
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--virtual-time-budget=20000",
            "--timeout=30000",
            &profile,
            "--dump-dom",
            &format!("file://{page}"),
        ],
    );
    let said = shown.split("<pre id=\"said\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    assert_eq!(said, Some("fetch 201 true true\nform sent\n"), "{shown}");
    let expected: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();
    let s3 = cluster.client();
    assert_eq!(s3.keys("browser-bucket").await, ["by form/grüße & more.bin", "by-fetch"]);
    for key in ["by form/grüße & more.bin", "by-fetch"] {
        let got = s3.get(&format!("/browser-bucket/{key}")).send().await.expect_status(200).await;
        assert_eq!(got.bytes, expected, "{key}");
    }
}
