//! What a node's owner sees and does: the page, its metrics and its guard, the doctor, the service manager, a moved folder, a lost key, an
//! upgrade.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::cluster::{Cluster, Options, binary};
use drystone_s3_tests::port::Port;
use drystone_s3_tests::process::Process;
use drystone_s3_tests::tools::{Tool, browser};
use serde_json::Value;
use types::MIB;

/// How long anything may take that takes a moment.
const SOON: Duration = Duration::from_secs(20);

/// Runs `drystone-node`.
fn node(args: &[&str]) -> Output {
    Command::new(binary("drystone-node")).args(args).output().expect("the binary starts")
}

/// What it printed, and what it complained of.
fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// The status of the node on `dir`, once it runs and is linked.
async fn running(cluster: &Cluster, dir: &Path) -> Value {
    cluster
        .eventually("a running node", SOON, || {
            let status = cluster.node_status(dir).ok_or("it does not run")?;
            let linked = status["links"][0]["connected"] == true;
            if linked { Ok(status) } else { Err(status.to_string()) }
        })
        .await
}

/// Where the page of a running node is.
fn page_in(status: &Value) -> SocketAddr {
    let page = status["page"].as_str().unwrap_or_else(|| panic!("there is no page: {status}"));
    page.parse().expect("an address")
}

/// Where the page of one of the cluster's nodes is.
fn page_of(cluster: &Cluster, index: usize) -> SocketAddr {
    page_in(&cluster.node_status(&cluster.node_dir(index)).expect("the node runs"))
}

/// A whole request as it is, and the whole answer.
fn exchange(page: SocketAddr, request: &str) -> String {
    let mut socket = TcpStream::connect(page).expect("the page is open");
    socket.write_all(request.as_bytes()).expect("a request can be sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer comes");
    answer
}

/// The answer to a GET as the owner's browser sends it, which must be good: head and body.
fn get(page: SocketAddr, path: &str) -> (String, String) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {page}\r\nconnection: close\r\n\r\n");
    let answer = exchange(page, &request);
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
    (head.to_lowercase(), body.to_owned())
}

fn get_json(page: SocketAddr, path: &str) -> Value {
    let (_, body) = get(page, path);
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
}

/// Six nodes with an object on them that was read.
async fn cluster_at_work() -> (Cluster, Content) {
    let cluster = Options::new().quick_upkeep().separate().await;
    let content = Content::new(1, 8 * MIB);
    let s3 = cluster.client();
    s3.make_bucket("bkt").await;
    s3.put_content("/bkt/x", content).await.unwrap();
    s3.check_content("/bkt/x", content).await.unwrap();
    cluster.whole(Duration::from_secs(30)).await;
    (cluster, content)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_the_node_in_a_real_browser_and_its_numbers_to_programs() {
    let (mut cluster, _) = cluster_at_work().await;
    let page = page_of(&cluster, 0);
    let printed = cluster.nodes[0].log();
    assert!(printed.contains(&format!("page http://{page}/")), "{printed}");
    counted(&cluster, page).await;
    seen_in_a_browser(&cluster, page);
    guarded(page);
    each_its_own_port(&cluster);
    paused_and_resumed(&cluster, page).await;
    remembered(&mut cluster).await;
}

/// The script runs under the page's own policy, asks the node and draws.
fn seen_in_a_browser(cluster: &Cluster, page: SocketAddr) {
    let tool = Tool::new(cluster, "owner");
    let profile = format!("--user-data-dir={}", tool.home().join("profile").display());
    let url = format!("http://{page}/");
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=8000",
        "--timeout=30000",
        &profile,
        "--dump-dom",
        &url,
    ];
    let shown = tool.run(browser(), &arguments);
    for part in [
        "<h1 id=\"name\">node-0</h1>",
        "What to do next",
        "<meter",
        "class=\"kept\"",
        "class=\"taken\"",
        "Disk space</th>",
        "in good standing",
        "a newcomer gets a smaller share",
        "Pause for an hour",
        "linked</strong>",
        &cluster.node_address().to_string(),
    ] {
        assert!(shown.contains(part), "{part} is not shown:\n{shown}");
    }
    let health = shown.split("id=\"health\"").nth(1).and_then(|rest| rest.split('<').next());
    assert!(
        health.is_some_and(|badge| !badge.ends_with("…")),
        "the script did not run: {health:?}"
    );
}

/// Foreign names and foreign pages are refused, and nothing may be loaded from elsewhere.
fn guarded(page: SocketAddr) {
    let ask = |method: &str, path: &str, host: &str, more: &str| {
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{more}connection: close\r\n\r\n");
        exchange(page, &request)
    };
    for host in ["evil.example", "127.0.0.1.evil.example", "evil.example:9180"] {
        for path in ["/", "/api/status", "/metrics"] {
            let answer = ask("GET", path, host, "");
            assert!(answer.starts_with("HTTP/1.1 421 "), "{host}{path}: {answer}");
            assert!(!answer.contains("node-0"), "{host}{path}: {answer}");
        }
    }
    let port = page.port();
    assert!(ask("GET", "/", &format!("localhost:{port}"), "").starts_with("HTTP/1.1 200 "));
    let own = page.to_string();
    let evil = "origin: http://evil.example\r\n";
    for path in ["/", "/api/status", "/api/pause"] {
        let answer = ask("POST", path, &own, evil);
        assert!(answer.starts_with("HTTP/1.1 403 "), "{path}: {answer}");
    }
    let (head, html) = get(page, "/");
    for header in [
        "content-security-policy: default-src 'none'",
        "x-content-type-options: nosniff",
        "cross-origin-resource-policy: same-origin",
        "cache-control: no-store",
    ] {
        assert!(head.contains(header), "{header}: {head}");
    }
    assert!(!head.contains("access-control-allow"), "{head}");
    for link in html.split("href=\"").skip(1).chain(html.split("src=\"").skip(1)) {
        assert!(link.starts_with('/') && !link.starts_with("//"), "a link to elsewhere: {link}");
    }
    assert!(ask("GET", "/nothing", &own, "").starts_with("HTTP/1.1 404 "));
    assert!(ask("GET", "/api/history?span=year", &own, "").starts_with("HTTP/1.1 400 "));
}

/// The page's button pauses the node and lets it go on.
async fn paused_and_resumed(cluster: &Cluster, page: SocketAddr) {
    let (_, html) = get(page, "/");
    let token = html.split("name=\"drystone-token\" content=\"").nth(1);
    let token = token.and_then(|rest| rest.split('"').next()).expect("the page has a token");
    let post = |path: &str, token: &str| {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {page}\r\norigin: http://{page}\r\nx-drystone-token: {token}\r\n\
             content-length: 0\r\nconnection: close\r\n\r\n"
        );
        exchange(page, &request)
    };
    let guessed = post("/api/pause", &"0".repeat(token.len()));
    assert!(guessed.starts_with("HTTP/1.1 403 "), "{guessed}");
    for (path, expected) in [("/api/pause", true), ("/api/resume", false)] {
        let answer = post(path, token);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        cluster
            .eventually(path, SOON, || {
                let status = get_json(page, "/api/status");
                let paused = status["frame"]["pause"].is_object();
                let advised = status["advice"].to_string().contains("drystone-node resume");
                let as_it_should = paused == expected && advised == expected;
                if as_it_should { Ok(()) } else { Err(status.to_string()) }
            })
            .await;
    }
    cluster.online(6).await;
}

/// Status, history and metrics agree with each other and with the command line.
async fn counted(cluster: &Cluster, page: SocketAddr) {
    let status = cluster
        .eventually("what the network thinks of the node", SOON, || {
            let status = get_json(page, "/api/status");
            let told = status["standing"]["rank"] == "good";
            if told { Ok(status) } else { Err(status.to_string()) }
        })
        .await;
    assert!(status["standing"]["wanting"]["hours"].as_u64() > Some(0), "{status}");
    let told = cluster.node_status(&cluster.node_dir(0)).expect("the node runs");
    let keys = |value: &Value| -> Vec<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    assert_eq!(keys(&status), keys(&told));
    assert_eq!(status["id"], told["id"]);
    let stored = status["stored_bytes"].as_u64().expect("a number");
    assert!(stored >= 2 * MIB, "{status}");
    assert!(status["clock_ahead_ms"].as_i64().is_some_and(|ahead| ahead.abs() < 5000), "{status}");
    let advice = status["advice"].as_array().expect("a list");
    assert!(!advice.is_empty(), "{status}");

    let day = cluster
        .eventually("what was stored, in the history", SOON, || {
            let day = get_json(page, "/api/history?span=day");
            if summed(&day) >= stored { Ok(day) } else { Err(summed(&day).to_string()) }
        })
        .await;
    let steps = day["steps"].as_array().expect("steps");
    assert_eq!((steps.len(), day["step_seconds"].as_u64()), (288, Some(300)));
    let last = steps.last().expect("a last step");
    assert!(last["live"].as_u64().is_some_and(|live| live > 0), "{last}");

    let (head, text) = get(page, "/metrics");
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    let mut families = 0;
    for line in text.lines() {
        match line.strip_prefix("# ") {
            Some(comment) => {
                families += usize::from(comment.starts_with("TYPE drystone_node_"));
                assert!(comment.starts_with("HELP ") || comment.starts_with("TYPE "), "{line}");
            }
            None => {
                let (series, value) = line.rsplit_once(' ').expect("a series and a value");
                assert!(series.starts_with("drystone_node_"), "{line}");
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
    }
    assert!(families >= 15, "{text}");
    assert!(text.contains(&format!("drystone_node_stored_bytes_total {stored}\n")), "{text}");
    let up = format!("drystone_node_link_up{{gateway=\"{}\"}} 1\n", cluster.node_address());
    assert!(text.contains(&up), "{text}");
}

/// Bytes stored, by a history.
fn summed(history: &Value) -> u64 {
    let steps = history["steps"].as_array().expect("steps");
    steps.iter().filter_map(|step| step["stored"].as_u64()).sum()
}

/// All six asked for the same port.
fn each_its_own_port(cluster: &Cluster) {
    let mut ports: Vec<u16> = (0..6).map(|index| page_of(cluster, index).port()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 6, "a port that was taken was not left alone");
    assert!(ports.iter().all(|port| (9180..9280).contains(port)), "{ports:?}");
}

/// The history is there again after a restart.
async fn remembered(cluster: &mut Cluster) {
    let before = summed(&get_json(page_of(cluster, 0), "/api/history?span=week"));
    cluster.nodes[0].terminate();
    assert!(cluster.nodes[0].ended(SOON).await.success());
    cluster.nodes[0].start();
    let status = running(cluster, &cluster.node_dir(0)).await;
    let after = summed(&get_json(page_in(&status), "/api/history?span=week"));
    assert!(before > 0 && after >= before, "{before} bytes before the restart, {after} after it");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_inside_up_serve_no_page() {
    let cluster = Options::new().up().await;
    for number in 1..=6 {
        let dir = cluster.gateway_dir().join(format!("nodes/{number}"));
        let status = cluster.node_status(&dir).expect("the node runs");
        assert!(status["page"].is_null(), "{status}");
    }
}

/// A node's data folder that has joined the cluster, and its path as an argument.
fn joined(cluster: &Cluster, name: &str) -> String {
    let dir = cluster.dir().join(name).display().to_string();
    let output = node(&["join", &cluster.invite(), "--data", &dir, "--disk", "1GB"]);
    assert!(output.status.success(), "{}", said(&output));
    dir
}

/// A node that was joined, as a process of its own.
fn process(cluster: &Cluster, name: &str, dir: &str, env: &[(&str, String)]) -> Process {
    let args = ["run", "--data", dir].map(str::to_owned).to_vec();
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Process::new(name, &binary("drystone-node"), args, env, &cluster.dir().join("logs"))
}

/// The doctor's report, and whether it found nothing bad.
fn doctor(dir: &str, more: &[&str]) -> (bool, Value) {
    let output = node(&[&["doctor", "--data", dir, "--json"], more].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    let report: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {}", said(&output)));
    assert_eq!(report["ok"], output.status.success(), "{}", said(&output));
    (output.status.success(), report)
}

/// What a report says about something, worst first: severities and words.
fn about(report: &Value, what: &str) -> Vec<(String, String)> {
    let findings = report["findings"].as_array().expect("findings");
    let text =
        |finding: &Value, field: &str| finding[field].as_str().unwrap_or_default().to_owned();
    let mut found: Vec<_> = findings
        .iter()
        .filter(|finding| finding["about"] == what)
        .map(|finding| (text(finding, "severity"), text(finding, "words")))
        .collect();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_tries_everything_and_finds_a_full_disk_a_dead_link_and_a_lost_key() {
    let mut cluster = Options::new().separate().await;
    let dir = cluster.node_dir(0).display().to_string();
    let (_, report) = doctor(&dir, &[]);
    for what in ["link", "clock", "identity", "running"] {
        let found = about(&report, what);
        assert!(found.iter().all(|(severity, _)| severity == "good"), "{what}: {report:#}");
        assert!(!found.is_empty(), "{what}: {report:#}");
    }
    assert!(report["clock_ahead_ms"].as_i64().is_some_and(|ahead| ahead.abs() < 5000));
    for speed in ["write_rate", "read_rate"] {
        assert!(report["disk"][speed].as_u64().is_some_and(|rate| rate > 0), "{report:#}");
    }
    // The doctor's visit did not cost the node its link.
    assert!(cluster.node_state("node-0").online());

    let (ok, report) = doctor(&dir, &["--min-free", "900TB"]);
    let disk = about(&report, "disk");
    assert!(!ok && disk[0].0 == "bad" && disk[0].1.contains("full"), "{report:#}");
    let (_, report) = doctor(&dir, &["--disk", "900TB"]);
    assert_eq!(about(&report, "disk")[0].0, "warning", "{report:#}");

    assert!(cluster.terminate_gateway(SOON).await.success());
    let (ok, report) = doctor(&dir, &[]);
    let link = about(&report, "link");
    assert!(!ok && link[0].0 == "bad" && link[0].1.contains("not listening"), "{report:#}");
    assert_eq!(about(&report, "clock")[0].0, "note", "{report:#}");
    let output = node(&["doctor", "--data", &dir]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("bad      link"), "{}", said(&output));

    fs::remove_file(Path::new(&dir).join("identity.key")).unwrap();
    let (ok, report) = doctor(&dir, &[]);
    assert!(!ok && about(&report, "identity")[0].0 == "bad", "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_to_the_gateway_is_told_so_by_the_doctor() {
    let (one, two) = (Options::new().separate().await, Options::new().up().await);
    // A member of one network, sent to the gateway of another.
    let gateway = two.node_address().to_string();
    let dir = one.node_dir(0).display().to_string();
    let (ok, report) = doctor(&dir, &["--gateways", &gateway]);
    let link = about(&report, "link");
    assert!(!ok && link[0].1.contains("not a gateway of this network"), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_hears_that_the_node_is_ready_lives_and_stops() {
    let cluster = Options::new().separate().await;
    let dir = joined(&cluster, "served");
    let path = cluster.dir().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(SOON)).unwrap();
    let env =
        [("NOTIFY_SOCKET", path.display().to_string()), ("WATCHDOG_USEC", "900000".to_owned())];
    let mut served = process(&cluster, "served", &dir, &env);
    served.start();
    let hear = || {
        let mut bytes = [0; 4096];
        let len = manager.recv(&mut bytes).expect("the manager is told something");
        String::from_utf8_lossy(&bytes[..len]).into_owned()
    };
    let first = hear();
    assert!(first.starts_with("READY=1\nSTATUS="), "{first}");
    for _ in 0..3 {
        let alive = hear();
        assert!(alive.starts_with("WATCHDOG=1\nSTATUS=linked to "), "{alive}");
    }
    // A frozen node gives no sign of life: that is what the watchdog is for.
    served.freeze();
    manager.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    let mut late = [0; 4096];
    let mut after_freezing = 0;
    while manager.recv(&mut late).is_ok() {
        after_freezing += 1;
    }
    assert!(after_freezing <= 1, "{after_freezing} signs of life of a frozen node");
    served.thaw();
    manager.set_read_timeout(Some(SOON)).unwrap();
    served.terminate();
    let stopping = (0..100).map(|_| hear()).find(|told| told.starts_with("STOPPING=1"));
    assert!(stopping.is_some(), "the manager was not told of the stop");
    assert!(served.ended(SOON).await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_that_was_moved_runs_on_as_the_same_node_with_the_same_shards() {
    let (mut cluster, content) = cluster_at_work().await;
    let (from, to) = (cluster.node_dir(0), cluster.dir().join("another disk/node"));
    let before = cluster.node_status(&from).expect("the node runs");
    cluster.nodes[0].terminate();
    assert!(cluster.nodes[0].ended(SOON).await.success());
    fs::create_dir(to.parent().unwrap()).unwrap();
    fs::rename(&from, &to).unwrap();
    let mut moved = process(&cluster, "moved", &to.display().to_string(), &[]);
    moved.start();
    let after = running(&cluster, &to).await;
    cluster.online(6).await;
    assert_eq!(after["id"], before["id"]);
    assert_eq!(after["store"]["live_bytes"], before["store"]["live_bytes"]);
    // With two others away, its shards are needed.
    for index in [1, 2] {
        cluster.nodes[index].kill();
    }
    cluster.client().check_content("/bkt/x", content).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_key_is_told_in_words_and_its_folder_takes_no_other_node() {
    let (mut cluster, _) = cluster_at_work().await;
    let dir = cluster.node_dir(0);
    cluster.nodes[0].terminate();
    assert!(cluster.nodes[0].ended(SOON).await.success());
    fs::remove_file(dir.join("identity.key")).unwrap();
    let data = dir.display().to_string();
    let output = node(&["run", "--data", &data]);
    let words = said(&output);
    assert!(!output.status.success(), "{words}");
    for word in ["identity.key is missing", "copy", "new invite"] {
        assert!(words.contains(word), "{word}: {words}");
    }
    let join = |dir: &str| node(&["join", &cluster.invite(), "--data", dir, "--disk", "1GB"]);
    assert!(said(&join(&data)).contains("there is a node"), "{}", said(&join(&data)));
    fs::remove_file(dir.join("node.toml")).unwrap();
    let refused = join(&data);
    assert!(!refused.status.success());
    assert!(said(&refused).contains("the shards of another node"), "{}", said(&refused));
    assert!(!dir.join("identity.key").exists(), "a second name for the same shards");
    let fresh = cluster.dir().join("fresh").display().to_string();
    assert!(join(&fresh).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_that_was_taken_back_lets_nobody_in() {
    let cluster = Options::new().separate().await;
    let invite = cluster.invite();
    let _ = cluster.admin(&["invite", "--revoke", &invite]);
    let dir = cluster.dir().join("late").display().to_string();
    let output = node(&["join", &invite, "--data", &dir, "--disk", "1GB"]);
    assert!(!output.status.success());
    assert!(said(&output).contains("revoked"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_upgraded_one_by_one_while_objects_are_read_and_written() {
    let (mut cluster, content) = cluster_at_work().await;
    for index in 0..6 {
        let s3 = cluster.client();
        let path = format!("/bkt/during-{index}");
        // What a package does: stop, put the new program in the old one's place, start.
        cluster.nodes[index].terminate();
        s3.check_content("/bkt/x", content).await.unwrap();
        s3.put_content(&path, content).await.unwrap();
        assert!(cluster.nodes[index].ended(SOON).await.success());
        s3.check_content(&path, content).await.unwrap();
        cluster.nodes[index].start();
        let _ = running(&cluster, &cluster.node_dir(index)).await;
        cluster.online(6).await;
        s3.check_content(&path, content).await.unwrap();
    }
    cluster.whole(Duration::from_secs(60)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_leaves_in_good_order_once_somebody_else_can_take_its_place() {
    let (mut cluster, content) = cluster_at_work().await;
    let dir = cluster.node_dir(0);
    let data = dir.display().to_string();
    let leave = |more: &[&str]| -> Value {
        let output = node(&[&["leave", "--data", &data, "--json"], more].concat());
        assert!(output.status.success(), "{more:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    assert_eq!(leave(&["--ask"])["leaving"], false);
    // Without anybody to take its place the network goes on counting on it.
    let told = leave(&[]);
    assert!(told["left"] == false && told["groups"].as_u64() > Some(0), "{told}");
    cluster
        .eventually("a status that says so", SOON, || {
            let status = cluster.node_status(&dir).ok_or("it does not run")?;
            let leaving = status["leaving"]["groups"].as_u64() > Some(0);
            if leaving { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
    assert_eq!(leave(&["--stay"])["leaving"], false);
    assert_eq!(leave(&["--ask"])["leaving"], false);

    let spare = cluster.add_node();
    cluster.online(7).await;
    let _ = leave(&[]);
    cluster
        .eventually("a node that has left", Duration::from_secs(60), || {
            let told = leave(&["--ask"]);
            if told["left"] == true { Ok(()) } else { Err(told.to_string()) }
        })
        .await;
    assert!(cluster.used_by(spare) > 0, "nothing was moved");
    cluster.nodes[0].terminate();
    assert!(cluster.nodes[0].ended(SOON).await.success());
    // It is not missed, and neither are two more.
    cluster.whole(Duration::from_secs(60)).await;
    for index in [1, 2] {
        cluster.nodes[index].kill();
    }
    cluster.client().check_content("/bkt/x", content).await.unwrap();
}

#[test]
fn the_unit_that_is_installed_passes_systemds_own_check() {
    let dir = tempfile::tempdir().unwrap();
    // A service may not look into homes, where the program under test may be.
    let program = dir.path().join("drystone-node");
    fs::copy(binary("drystone-node"), &program).unwrap();
    let print = |args: &[&str]| {
        let args = [&["install-service", "--print"], args].concat();
        let output = Command::new(&program).args(&args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let system = print(&[]);
    let start = format!("ExecStart={} run --data /var/lib/drystone-node\n", program.display());
    assert!(system.contains(&start), "{system}");
    for hardened in ["DynamicUser=yes", "NoNewPrivileges=yes", "StateDirectory=", "WatchdogSec="] {
        assert!(system.contains(hardened), "{hardened}");
    }
    let user = print(&["--user", "--data", &dir.path().join("data").display().to_string()]);
    for (name, unit, more) in [("system", system, &[][..]), ("user", user, &["--user"])] {
        let path = dir.path().join(format!("drystone-node-{name}.service"));
        fs::write(&path, unit).unwrap();
        let checked = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .args(more)
            .arg(&path)
            .env("XDG_RUNTIME_DIR", dir.path())
            .output();
        match checked {
            Ok(checked) => assert!(checked.status.success(), "{name}: {}", said(&checked)),
            Err(error) => println!("systemd is not here, so {name} is not checked: {error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_can_be_turned_off_and_given_another_port() {
    let cluster = Options::new().node_flag("--page-port", "0").separate().await;
    assert!(!(9180..9280).contains(&page_of(&cluster, 0).port()));
    let dir = joined(&cluster, "quiet");
    let port = Port::take();
    let wanted = port.address().port().to_string();
    let mut chosen = process(&cluster, "chosen", &dir, &[("DRYSTONE_PAGE_PORT", wanted.clone())]);
    chosen.start();
    let status = running(&cluster, Path::new(&dir)).await;
    assert_eq!(status["page"], format!("127.0.0.1:{wanted}"));
    chosen.terminate();
    assert!(chosen.ended(SOON).await.success());
    let mut quiet = process(&cluster, "quiet", &dir, &[("DRYSTONE_NO_PAGE", "true".to_owned())]);
    quiet.start();
    let status = running(&cluster, Path::new(&dir)).await;
    assert!(status["page"].is_null(), "{status}");
}
