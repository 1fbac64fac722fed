//! Money, from a request to the ledger, on real processes whose accounting hour is a second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::client::Client;
use drystone_s3_tests::cluster::{Cluster, Options};
use serde_json::Value;
use tokio::time::sleep;
use types::{KIB, MIB};

/// An accounting hour.
const HOUR: Duration = Duration::from_secs(1);
/// A day has so many; it is settled some seconds after its end.
const SETTLED: Duration = Duration::from_secs(24 + 60);
/// How far settlement stays behind the wall clock.
const LAG: Duration = Duration::from_secs(9);
/// What was read is told within this time.
const TOLD: Duration = Duration::from_millis(2_500);
/// How far the two clocks that look at one moment may be apart.
const SLACK: Duration = Duration::from_millis(100);

/// A customer with an account, a bucket of the same name and money.
async fn customer(cluster: &Cluster, id: &str) -> Client {
    let (access, secret) = (format!("{}KEY00000000", id.to_uppercase()), "s".repeat(40));
    let email = format!("{id}@example.com");
    let create = ["account", "create", "--id", id, "--name", id, "--email", &email];
    let _ =
        cluster.admin(&[&create[..], &["--access-key", &access, "--secret-key", &secret]].concat());
    let deposit = ["account", "deposit", id, "1000", "--reason", "a test", "--request", id];
    assert_eq!(cluster.admin_json(&deposit)["balance"], "1000.000000");
    let s3 = Client::new(cluster.s3(), &access, &secret);
    s3.make_bucket(id).await;
    s3
}

/// Bytes at rest, as the customer saw them come and go.
#[derive(Default)]
struct Held {
    /// Path, size, and between which moments it came.
    there: BTreeMap<String, (u64, Instant, Instant)>,
    /// Byte-milliseconds of what is gone: at least, at most.
    least: u128,
    most: u128,
}

impl Held {
    fn came(&mut self, path: &str, bytes: u64, from: Instant) {
        let before = self.there.insert(path.to_owned(), (bytes, from, Instant::now()));
        if let Some(before) = before {
            self.went(before, from, Instant::now());
        }
    }

    fn gone(&mut self, path: &str, from: Instant) {
        let before = self.there.remove(path).expect("it was there");
        self.went(before, from, Instant::now());
    }

    fn went(&mut self, (bytes, from, to): (u64, Instant, Instant), since: Instant, until: Instant) {
        let millis = |time: Duration| time.as_millis() * u128::from(bytes);
        self.least += millis(since.duration_since(to).saturating_sub(SLACK));
        self.most += millis(until.duration_since(from) + SLACK);
    }

    /// Byte-milliseconds of the accounting clock, of which a wall second has 3600 times as many.
    fn range(&self) -> std::ops::RangeInclusive<u128> {
        let scale = Duration::from_secs(3600).as_millis() / HOUR.as_millis();
        self.least * scale..=self.most * scale
    }
}

async fn put(s3: &Client, held: &mut Held, path: &str, content: Content) {
    let from = Instant::now();
    s3.put_content(path, content).await.expect("stored");
    held.came(path, content.len, from);
}

async fn delete(s3: &Client, held: &mut Held, path: &str) {
    let from = Instant::now();
    s3.delete(path).send().await.expect_status(204).await;
    held.gone(path, from);
}

/// Waits until everything until now is settled.
async fn settled(cluster: &Cluster) {
    // The time that is told lags behind.
    sleep(LAG).await;
    let status = cluster.admin_json(&["settle", "--status"]);
    let today = status["accounting_time"].as_str().expect("a time")[..10].to_owned();
    cluster
        .eventually("the day is settled", SETTLED, || {
            let status = cluster.admin_json(&["settle", "--status"]);
            let over = status["next_day"].as_str().is_some_and(|next| next > today.as_str());
            if over && status["error"].is_null() { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
}

/// The month of a day and the one before: a test that begins on the last day of a month needs both.
fn months(day: &str) -> [String; 2] {
    let month = &day[..7];
    let (year, number) = month.split_once('-').expect("a month");
    let (year, number): (u32, u32) =
        (year.parse().expect("a year"), number.parse().expect("a month"));
    let before = if number == 1 { (year - 1, 12) } else { (year, number - 1) };
    [month.to_owned(), format!("{:04}-{:02}", before.0, before.1)]
}

/// A number that may be written as text, because it may be long.
fn number(value: &Value) -> u128 {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// What the invoices of an account say was used, by item.
fn invoiced(cluster: &Cluster, account: &str) -> BTreeMap<String, u128> {
    let status = cluster.admin_json(&["settle", "--status"]);
    let day = status["next_day"].as_str().expect("a day").to_owned();
    let mut sums: BTreeMap<String, u128> = BTreeMap::new();
    for month in months(&day) {
        let invoice = cluster.admin_json(&["invoice", "show", account, "--month", &month]);
        for line in invoice["lines"].as_array().expect("lines") {
            let name = line["name"].as_str().expect("a name").to_owned();
            *sums.entry(name).or_default() += number(&line["quantity"]);
        }
    }
    sums
}

/// Micro-units of an amount.
fn micros(amount: &Value) -> i128 {
    let text = amount.as_str().expect("an amount");
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').expect("a point");
    assert_eq!(fraction.len(), 6, "{text}");
    sign * format!("{whole}{fraction}").parse::<i128>().expect("digits")
}

/// Of every division of the ledger: the operator got ⌊5 %⌋ of each pool's revenue, the pools the rest. How much was divided.
fn check_divisions(cluster: &Cluster) -> i128 {
    let entries = cluster.admin_json(&["ledger", "show", "--limit", "1000"]);
    let mut divided = 0;
    for entry in entries.as_array().expect("entries") {
        let mut revenue = Vec::new();
        let (mut operator, mut pools, mut sum) = (0, 0, 0);
        for posting in entry["postings"].as_array().expect("postings") {
            let amount = micros(&posting["amount"]);
            sum += amount;
            match posting["account"].as_str().expect("a name") {
                "operator" => operator += amount,
                name if name.starts_with("revenue:") => revenue.push(-amount),
                name if name.starts_with("pool:") => pools += amount,
                _ => {}
            }
        }
        assert_eq!(sum, 0, "{entry}");
        if entry["cause"].get("division").or_else(|| entry["cause"].get("Division")).is_some() {
            assert_eq!(operator, revenue.iter().map(|amount| amount / 20).sum::<i128>(), "{entry}");
            assert_eq!(operator + pools, revenue.iter().sum::<i128>(), "{entry}");
            divided += operator + pools;
        }
    }
    divided
}

#[tokio::test(flavor = "multi_thread")]
async fn what_customers_use_is_what_they_pay_though_the_gateway_is_killed() {
    let mut cluster = Options::new().quick_upkeep().flag("--accounting-hour", "1s").up().await;
    let (alice, bob) = (customer(&cluster, "alice").await, customer(&cluster, "bob").await);
    let (mut held, mut of_bob) = (Held::default(), Held::default());
    let small = Content::new(1, 9 * KIB);
    let large = Content::new(2, 5 * MIB);
    put(&alice, &mut held, "/alice/small", small).await;
    put(&alice, &mut held, "/alice/large", large).await;
    put(&alice, &mut held, "/alice/large-again", large).await;
    put(&bob, &mut of_bob, "/bob/large", large).await;
    // An overwrite ends one and begins another.
    put(&alice, &mut held, "/alice/small", Content::new(3, 2 * MIB)).await;
    // A copy is paid like what it is a copy of.
    let from = Instant::now();
    let copy = alice.put("/alice/copy").header("x-amz-copy-source", "/alice/large");
    copy.send().await.expect_status(200).await;
    held.came("/alice/copy", large.len, from);
    // A part is paid from when it comes.
    let upload = alice.create_upload("/alice/parts").await;
    let from = Instant::now();
    let etag = alice.upload_part("/alice/parts", &upload, 1, Content::new(4, MIB)).await;
    held.came("/alice/parts", MIB, from);
    sleep(Duration::from_secs(1)).await;
    let done = alice.complete_upload("/alice/parts", &upload, &[(1, etag)]).await;
    assert_eq!(done.status, 200, "{}", done.text);

    let mut egress = 0;
    for _ in 0..3 {
        alice.check_content("/alice/large", large).await.expect("read");
        egress += u128::from(large.len);
    }
    alice.check_range("/alice/large", large, 7..8).await.expect("read");
    egress += 1;
    let denied = bob.get("/alice/large").send().await;
    denied.expect_error(403, "AccessDenied").await;
    sleep(TOLD).await;

    // What is acknowledged in the moment before the gateway dies is there, and is paid.
    put(&alice, &mut held, "/alice/last", Content::new(5, 300 * KIB)).await;
    cluster.gateway.kill();
    cluster.restart_gateway().await;
    let (alice, bob) = (
        Client::new(cluster.s3(), "ALICEKEY00000000", &"s".repeat(40)),
        Client::new(cluster.s3(), "BOBKEY00000000", &"s".repeat(40)),
    );
    let keys = alice.keys("alice").await;
    assert_eq!(keys, ["copy", "large", "large-again", "last", "parts", "small"]);
    for key in keys {
        delete(&alice, &mut held, &format!("/alice/{key}")).await;
    }
    delete(&bob, &mut of_bob, "/bob/large").await;
    sleep(TOLD).await;
    settled(&cluster).await;

    let of_alice = invoiced(&cluster, "alice");
    let stored = of_alice["storage, class local"];
    assert!(held.range().contains(&stored), "{stored} in {:?}", held.range());
    assert_eq!(of_alice["egress"], egress);
    // Five PUTs, a copy and three requests of the upload; the last PUT may have been counted in the second that was lost.
    let writes = of_alice["write requests"];
    assert!((8..=9).contains(&writes), "{of_alice:?}");
    assert_eq!(of_alice["read requests"], 4);
    let bobs = invoiced(&cluster, "bob");
    let stored = bobs["storage, class local"];
    assert!(of_bob.range().contains(&stored), "{stored} in {:?}", of_bob.range());
    assert!(!bobs.contains_key("egress"), "what was denied is nobody's: {bobs:?}");

    let checked = cluster.admin_json(&["ledger", "check"]);
    assert_eq!(
        (&checked["sound"], &checked["problem_count"]),
        (&true.into(), &0.into()),
        "{checked}"
    );
    assert!(check_divisions(&cluster) > 0, "something was divided");
    let totals = &checked["totals"];
    let parts = ["fee", "earned", "unsettled", "carried"].map(|part| micros(&totals[part]));
    assert_eq!(parts.iter().sum::<i128>(), micros(&totals["covered"]), "{totals}");
    let again = cluster.admin_json(&["settle"]);
    assert!(again["days"].as_array().is_some_and(|days| days.len() < 2), "{again}");

    // Nothing is counted twice: another day later the same is on the invoice.
    settled(&cluster).await;
    let later = invoiced(&cluster, "alice");
    assert_eq!(later["storage, class local"], of_alice["storage, class local"]);
    assert_eq!(later["egress"], egress);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_hold_and_serve_are_paid_for_it() {
    let cluster = Options::new().quick_upkeep().flag("--accounting-hour", "1s").up().await;
    let alice = customer(&cluster, "alice").await;
    let content = Content::new(1, 8 * MIB);
    alice.put_content("/alice/large", content).await.expect("stored");
    cluster.whole(Duration::from_secs(60)).await;
    for _ in 0..5 {
        alice.check_content("/alice/large", content).await.expect("read");
    }
    let nodes = cluster.node_states();
    let owner = ["node", "owner", nodes[0].id(), "alice", "--reason", "a test"];
    assert_eq!(cluster.admin_json(&owner)["owner"], "alice");
    sleep(TOLD).await;
    settled(&cluster).await;
    let status = cluster.admin_json(&["settle", "--status"]);
    let day = status["next_day"].as_str().expect("a day").to_owned();
    let (mut earned, mut served) = (0, 0);
    for node in &nodes {
        let statements = months(&day)
            .map(|month| cluster.admin_json(&["node", "statement", node.id(), "--month", &month]));
        let held: u128 = statements.iter().map(|month| number(&month["work"]["held"])).sum();
        assert!(held > 0, "{statements:?}");
        served += statements.iter().map(|month| number(&month["work"]["served"])).sum::<u128>();
        earned += statements.iter().map(|month| micros(&month["total"])).sum::<i128>();
    }
    // Each read takes at least its bytes from the nodes.
    assert!(served >= 5 * u128::from(content.len), "{served}");
    assert!(earned > 0);
    let checked = cluster.admin_json(&["ledger", "check"]);
    assert_eq!(checked["sound"], true, "{checked}");
    assert!(micros(&checked["totals"]["earned"]) >= earned, "{checked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn caps_freezes_and_tiers_answer_before_money_is_spent() {
    let cluster = Options::new().quick_upkeep().switch("--tier-limits").up().await;
    let alice = customer(&cluster, "alice").await;
    let tier =
        |tier: &str| cluster.admin_json(&["account", "tier", "alice", tier, "--reason", "r"]);
    assert_eq!(tier("email")["profile"]["tier"], "email");
    let content = Content::new(1, 200 * KIB);
    alice.put_content("/alice/a", content).await.expect("stored");
    let frozen = ["account", "freeze", "alice", "billing", "--reason", "unpaid since March"];
    let _ = cluster.admin(&frozen);
    let refused = alice.get("/alice/a").send().await.expect_error(403, "AccountProblem").await;
    assert!(refused.text.contains("unpaid since March"), "{}", refused.text);
    let put = alice.put("/alice/b").content(content).send().await;
    put.expect_error(403, "AccountProblem").await;
    assert_eq!(alice.keys("alice").await, ["a"], "listing stays possible");
    let _ = cluster.admin(&["account", "unfreeze", "alice", "billing", "--reason", "paid"]);
    alice.check_content("/alice/a", content).await.expect("read again");

    // A cap of nothing: what costs is refused, what does not is not.
    let _ = cluster.admin(&["account", "cap", "alice", "0", "--reason", "her wish"]);
    let put = alice.put("/alice/b").content(content).send().await;
    put.expect_error(403, "SpendCapExceeded").await;
    alice.get("/alice/a").send().await.expect_error(403, "SpendCapExceeded").await;
    alice.delete("/alice/a").send().await.expect_status(204).await;
    let lifted = cluster.admin_json(&["account", "cap", "alice", "none", "--reason", "her wish"]);
    assert_eq!(lifted["caps"], serde_json::json!([]));
    alice.put_content("/alice/a", content).await.expect("stored");

    // An unverified account may make ten requests a second.
    let _ = tier("unverified");
    let requests = (0..40).map(|_| alice.head("/alice/a").send());
    let answers = futures::future::join_all(requests).await;
    let slowed = answers.iter().filter(|answer| answer.status == 503).count();
    assert!(slowed > 0 && slowed < 40, "{slowed}");
    assert!(!cluster.operate(&["admin", "account", "deposit", "alice", "5"]).status.success());
}
