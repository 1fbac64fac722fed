//! What operators and node owners do with the binaries: start twice, back up, restore, look.

use std::process::Command;
use std::time::{Duration, Instant};

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::cluster::{Cluster, Options, binary, keys};
use serde_json::Value;
use types::{KIB, MIB};

fn run(program: &str, args: &[&str]) -> (bool, String) {
    let output =
        Command::new(binary(program)).args(args).envs(keys()).output().expect("the binary starts");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.success(), text)
}

#[test]
fn every_command_explains_itself() {
    for program in ["drystone", "drystone-node"] {
        let (ok, text) = run(program, &["--version"]);
        assert!(ok && text.starts_with(&format!("{program} ")) && text.contains('.'), "{text}");
    }
    for (program, commands) in [
        (
            "drystone",
            &[
                &["up"][..],
                &["gateway"],
                &["admin"],
                &["admin", "invite"],
                &["admin", "nodes"],
                &["backup"],
                &["restore"],
                &["admin", "fsck"],
            ][..],
        ),
        (
            "drystone-node",
            &[
                &["join"][..],
                &["run"],
                &["status"],
                &["doctor"],
                &["leave"],
                &["standing"],
                &["install-service"],
            ][..],
        ),
    ] {
        for command in commands {
            let (ok, text) = run(program, &[command, &["--help"][..]].concat());
            assert!(ok && text.contains("Usage"), "{program} {command:?}: {text}");
        }
    }
    let (ok, text) = run("drystone", &["up", "--no-such-flag"]);
    assert!(!ok && text.contains("--no-such-flag"), "{text}");
    let (ok, text) =
        run("drystone-node", &["join", "not-an-invite", "--data", "/tmp/drystone-nowhere"]);
    assert!(!ok && text.contains("invite"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn up_starts_in_three_seconds_prints_the_way_in_and_starts_again_on_the_same_folder() {
    let begin = Instant::now();
    let mut cluster = Options::new().up().await;
    let took = begin.elapsed();
    println!("up was ready after {took:?}");
    // The limit of three seconds is for an idle machine; tests run beside each other.
    assert!(took < Duration::from_secs(6), "{took:?}");
    let s3 = cluster.client();
    s3.make_bucket("kept").await;
    let objects = [Content::new(1, 100), Content::new(2, 3 * MIB)];
    for content in objects {
        s3.put_content(&format!("/kept/{}", content.len), content).await.unwrap();
    }
    let printed = cluster.gateway.log();
    for word in [cluster.endpoint(), drystone_s3_tests::cluster::ACCESS.to_owned()] {
        assert!(printed.contains(&word), "{word} is not printed:\n{printed}");
    }

    second_process(&cluster);
    taken_port(&cluster);

    cluster.gateway.interrupt();
    let status = cluster.gateway.ended(Duration::from_secs(10)).await;
    assert!(status.success(), "Ctrl-C: {status}");
    cluster.gateway.start();
    cluster.ready().await;
    for content in objects {
        cluster.client().check_content(&format!("/kept/{}", content.len), content).await.unwrap();
    }
    cluster.gateway.kill();
    cluster.gateway.start();
    cluster.ready().await;
    for content in objects {
        cluster.client().check_content(&format!("/kept/{}", content.len), content).await.unwrap();
    }
}

/// A second process on the same folder is turned away in words.
fn second_process(cluster: &Cluster) {
    let data = cluster.gateway_dir().display().to_string();
    let args = [
        "up",
        "--data",
        &data,
        "--s3-addr",
        "127.0.0.1:0",
        "--admin-addr",
        "127.0.0.1:0",
        "--node-addr",
        "127.0.0.1:0",
    ];
    let (ok, text) = run("drystone", &args);
    assert!(!ok && text.contains(&data), "{text}");
    assert!(
        ["in use", "using", "lock", "runs already", "another"]
            .iter()
            .any(|word| text.contains(word)),
        "{text}"
    );
}

/// A taken port is named.
fn taken_port(cluster: &Cluster) {
    let other = tempfile::tempdir().unwrap();
    let (data, taken) = (other.path().display().to_string(), cluster.s3().to_string());
    let args = [
        "up",
        "--data",
        &data,
        "--s3-addr",
        &taken,
        "--admin-addr",
        "127.0.0.1:0",
        "--node-addr",
        "127.0.0.1:0",
    ];
    let (ok, text) = run("drystone", &args);
    let port = cluster.s3().port().to_string();
    assert!(!ok && text.contains(&port) && text.contains("--s3-addr"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_given_keys_the_first_start_makes_some_and_keeps_them() {
    let dir = tempfile::tempdir().unwrap();
    let ports: Vec<_> = (0..3).map(|_| drystone_s3_tests::port::Port::take()).collect();
    let args = ["up", "--data", &dir.path().join("data").display().to_string()]
        .map(str::to_owned)
        .into_iter();
    let flags = ["--s3-addr", "--admin-addr", "--node-addr"].into_iter().zip(&ports);
    let args: Vec<_> = args
        .chain(flags.flat_map(|(flag, port)| [flag.to_owned(), port.address().to_string()]))
        .collect();
    let mut process = drystone_s3_tests::process::Process::new(
        "keyless",
        &binary("drystone"),
        args,
        Vec::new(),
        dir.path(),
    );
    let mut shown = Vec::new();
    for _ in 0..2 {
        process.start();
        let begin = Instant::now();
        let secret = loop {
            let log = process.log();
            let last = log.rsplit("--- ").next().unwrap_or_default().to_owned();
            let word = |name: &str| {
                let line = last.lines().find(|line| line.to_lowercase().contains(name))?;
                line.split_whitespace().last().map(str::to_owned)
            };
            if let (Some(access), Some(secret)) = (word("access key"), word("secret key")) {
                let s3 =
                    drystone_s3_tests::client::Client::new(ports[0].address(), &access, &secret);
                if s3.get("/").try_send().await.is_ok_and(|answer| answer.status == 200) {
                    break (access, secret);
                }
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "no keys that work:\n{log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        shown.push(secret);
        process.terminate();
        assert!(process.ended(Duration::from_secs(10)).await.success());
    }
    assert_eq!(shown[0], shown[1]);
    assert!(shown[0].1.len() >= 32, "a secret that can be guessed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_sees_nodes_invites_once_and_restores_a_backup() {
    let mut cluster = Options::new().quick_upkeep().separate().await;
    let s3 = cluster.client();
    s3.make_bucket("bkt").await;
    let content = Content::new(1, 2 * MIB);
    s3.put_content("/bkt/x", content).await.unwrap();
    s3.put("/bkt/small").body("inline").send().await.expect_status(200).await;
    cluster.whole(Duration::from_secs(30)).await;

    let states = cluster.node_states();
    assert_eq!(states.len(), 6);
    let used = cluster.used();
    assert!(
        (content.len * 6 / 4..content.len * 6 / 4 + 512 * KIB).contains(&used),
        "{used} bytes used"
    );
    assert!(cluster.admin(&["nodes"]).contains("node-3"));

    // An invite is good for one node.
    let invite = cluster.invite();
    let (one, two) = (
        cluster.dir().join("one").display().to_string(),
        cluster.dir().join("two").display().to_string(),
    );
    let (ok, text) = run("drystone-node", &["join", &invite, "--data", &one, "--disk", "1GB"]);
    assert!(ok, "{text}");
    let (ok, text) = run("drystone-node", &["join", &invite, "--data", &two, "--disk", "1GB"]);
    assert!(!ok && text.contains("invite"), "{text}");
    // Nobody without the operator's keys is told anything.
    let endpoint = format!("http://{}", cluster.admin_address());
    let mut stranger = Command::new(binary("drystone"));
    stranger.args(["admin", "nodes", "--endpoint", &endpoint]);
    let output = stranger
        .env("DRYSTONE_ROOT_ACCESS_KEY", "x")
        .env("DRYSTONE_ROOT_SECRET_KEY", "y")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let node = cluster.node_dir(0).display().to_string();
    let (ok, text) = run("drystone-node", &["status", "--data", &node, "--json"]);
    assert!(ok && serde_json::from_str::<Value>(&text).is_ok(), "{text}");

    backup(&mut cluster, content).await;
}

async fn backup(cluster: &mut Cluster, content: Content) {
    let data = cluster.gateway_dir().display().to_string();
    let to = cluster.dir().join("backup").display().to_string();
    assert_eq!(cluster.admin_json(&["fsck"])["clean"], true);
    let output = cluster.operate(&["backup", "--to", &to]);
    assert!(output.status.success(), "{output:?}");
    // Never over what is there.
    assert!(!cluster.operate(&["backup", "--to", &to]).status.success());
    assert!(cluster.terminate_gateway(Duration::from_secs(20)).await.success());
    let (ok, text) = run("drystone", &["restore", "--from", &to, "--data", &data]);
    assert!(!ok, "a restore over a full folder: {text}");
    std::fs::rename(cluster.gateway_dir(), cluster.dir().join("lost")).unwrap();
    let (ok, text) = run("drystone", &["restore", "--from", &to, "--data", &data]);
    assert!(ok, "{text}");
    cluster.restart_gateway().await;
    let s3 = cluster.client();
    s3.check_content("/bkt/x", content).await.unwrap();
    assert_eq!(s3.get("/bkt/small").send().await.expect_status(200).await.text, "inline");
    s3.put_content("/bkt/after", Content::new(5, MIB)).await.unwrap();
    s3.check_content("/bkt/after", Content::new(5, MIB)).await.unwrap();
    assert_eq!(cluster.admin_json(&["fsck"])["clean"], true);
}
