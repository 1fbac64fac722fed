//! How safe the data is, as operators and customers see it; nodes that leave, and the order of repair.

use std::time::Duration;

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::cluster::{Cluster, Options};
use serde_json::Value;
use types::{KIB, MIB};

/// How long repair may take in these small clusters.
const REPAIR: Duration = Duration::from_secs(60);

/// A node's `leaving`, as the operator sees it.
fn leaving(cluster: &Cluster, id: &str) -> Value {
    cluster.admin_json(&["node", "show", id])["leaving"].clone()
}

async fn waits_for_a_spare(cluster: &Cluster, id: &str) {
    let waits = || {
        let leaving = leaving(cluster, id);
        let waits = leaving["done"] == false && leaving["slots_waiting"] == 1;
        if waits { Ok(()) } else { Err(leaving.to_string()) }
    };
    cluster.eventually("it waits for a spare node", REPAIR, waits).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaving_node_is_drained_while_it_serves_and_then_may_go() {
    let mut cluster = Options::new().quick_upkeep().separate().await;
    let s3 = cluster.client();
    s3.make_bucket("bkt").await;
    let mut objects = Vec::new();
    for (index, len) in [9 * MIB, 2 * MIB, 300 * KIB, 40 * KIB].into_iter().enumerate() {
        let (path, content) = (format!("/bkt/{index}"), Content::new(index as u64, len));
        s3.put_content(&path, content).await.unwrap();
        objects.push((path, content));
    }
    cluster.whole(REPAIR).await;
    let id = cluster.node_state("node-4").id().to_owned();
    let said = cluster.admin(&["node", "leave", &id]);
    assert!(said.contains("leaves"), "{said}");
    // With six nodes there is nobody to take over: it goes on serving, and says so, also after a restart.
    waits_for_a_spare(&cluster, &id).await;
    cluster.gateway.kill();
    cluster.restart_gateway().await;
    waits_for_a_spare(&cluster, &id).await;
    let held = cluster.used_by(4);
    s3.put_content("/bkt/new", Content::new(50, MIB)).await.unwrap();
    assert_eq!(cluster.used_by(4), held, "it gets no new shards");
    objects.push(("/bkt/new".to_owned(), Content::new(50, MIB)));

    let spare = cluster.add_node();
    let done = || {
        let leaving = leaving(&cluster, &id);
        if leaving["done"] == true { Ok(()) } else { Err(leaving.to_string()) }
    };
    cluster.eventually("nothing is left on it", REPAIR, done).await;
    assert!(cluster.used_by(spare) > 0);
    assert!(cluster.admin(&["nodes"]).contains("may go"));
    cluster.whole(REPAIR).await;
    cluster.nodes[4].kill();
    // The node that left is not missed: two more may die.
    cluster.nodes[0].kill();
    cluster.nodes[1].kill();
    for (path, content) in &objects {
        s3.check_content(path, *content).await.unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stays_after_all_gets_shards_again() {
    let cluster = Options::new().quick_upkeep().separate().await;
    let s3 = cluster.client();
    s3.make_bucket("bkt").await;
    let id = cluster.node_state("node-1").id().to_owned();
    let said = cluster.admin(&["node", "leave", &id]);
    assert!(said.contains("leaves"), "{said}");
    s3.put_content("/bkt/without", Content::new(1, MIB)).await.unwrap();
    assert_eq!(cluster.used_by(1), 0);
    let said = cluster.admin(&["node", "stay", &id]);
    assert!(said.contains("stays"), "{said}");
    assert_eq!(leaving(&cluster, &id), Value::Null);
    s3.put_content("/bkt/with", Content::new(2, MIB)).await.unwrap();
    let refilled = || {
        let used = cluster.used_by(1);
        if used > 0 { Ok(()) } else { Err("still nothing".to_owned()) }
    };
    cluster.eventually("it gets shards", REPAIR, refilled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_durability_report_tells_groups_nines_and_what_repair_does() {
    let mut cluster = Options::new().quick_upkeep().separate().await;
    let s3 = cluster.client();
    let empty = cluster.admin_json(&["durability"]);
    assert_eq!((&empty["healthy"], &empty["nines"]), (&Value::Bool(true), &Value::Null), "{empty}");
    s3.make_bucket("bkt").await;
    s3.put_content("/bkt/dir/large", Content::new(1, 40 * MIB)).await.unwrap();
    s3.put("/bkt/small").body("small").send().await.expect_status(200).await;
    cluster.whole(REPAIR).await;
    let report = cluster.admin_json(&["durability"]);
    let group = &report["worst"][0];
    for (field, expected) in [
        ("geometry", Value::from("local")),
        ("condition", "healthy".into()),
        ("state", "open".into()),
        ("members", 6.into()),
        ("online", 6.into()),
        ("survivors", 6.into()),
        ("needed", 4.into()),
        ("degraded", 0.into()),
    ] {
        assert_eq!(group[field], expected, "{field}: {report}");
    }
    assert!(
        group["nines"].as_f64().unwrap() > 1.0 && report["nines"] == group["nines"],
        "{report}"
    );
    assert!(group["unreadable"].as_f64().unwrap() < 1.0, "{report}");
    assert_eq!(
        cluster.admin_json(&["durability", "--groups", "0"])["worst"],
        Value::Array(Vec::new())
    );

    // One object, by both ways.
    let facts = cluster.admin_json(&["durability", "--object", "bkt/dir/large"]);
    for (field, expected) in [
        ("segments", 2),
        ("looked_at", 2),
        ("shards", 6),
        ("alive", 6),
        ("needed", 4),
        ("repair_below", 6),
    ] {
        assert_eq!(facts[field], expected, "{field}: {facts}");
    }
    let small = cluster.admin_json(&["durability", "--object", "bkt/small"]);
    assert_eq!((&small["segments"], &small["nines"]), (&0.into(), &Value::Null), "{small}");
    assert!(!cluster.operate(&["admin", "durability", "--object", "bkt/none"]).status.success());
    let head = s3.head("/bkt/dir/large").header("x-drystone-durability", "show").send().await;
    let told = head.header("x-drystone-durability").expect("it was asked for").to_owned();
    assert!(told.contains("alive=6; online=6; needed=4"), "{told}");
    let head = s3.head("/bkt/dir/large").send().await;
    assert_eq!(head.header("x-drystone-durability"), None, "nobody asked");

    // With a node gone for good, and nobody to take its place, the group is at risk.
    cluster.nodes[5].kill();
    let id = cluster.node_state("node-5").id().to_owned();
    let said = cluster.admin(&["node", "lost", &id]);
    assert!(said.contains("is lost"), "{said}");
    let at_risk = || {
        let report = cluster.admin_json(&["durability"]);
        let group = &report["worst"][0];
        let shown = group["condition"] == "at_risk"
            && group["survivors"] == 5
            && report["groups"]["at_risk"] == 1
            && report["hours_until_repair"] == 0.0;
        if shown { Ok(()) } else { Err(report.to_string()) }
    };
    cluster.eventually("the group is at risk", REPAIR, at_risk).await;
    let facts = cluster.admin_json(&["durability", "--object", "bkt/dir/large"]);
    assert_eq!((&facts["alive"], &facts["online"]), (&5.into(), &5.into()), "{facts}");
    cluster.add_node();
    cluster.whole(REPAIR).await;
    let report = cluster.admin_json(&["durability"]);
    assert!(report["repair"]["shards_rebuilt"].as_u64().unwrap() >= 2, "{report}");
    assert!(report["repair"]["bytes_moved"].as_u64().unwrap() > 40 * MIB, "{report}");
    let shown = cluster.admin(&["durability"]);
    for words in ["healthy", "nines a year", "OWNERS/NETS/REGIONS", "shards rebuilt"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_home_needs_eighteen_nodes_and_each_owner_has_one_slot() {
    let cluster = Options::new().nodes(18).flag("--geometry", "home").quick_upkeep().up().await;
    let s3 = cluster.client();
    s3.make_bucket("bkt").await;
    let content = Content::new(3, 3 * MIB);
    s3.put_content("/bkt/object", content).await.unwrap();
    s3.check_content("/bkt/object", content).await.unwrap();
    let facts = cluster.admin_json(&["durability", "--object", "bkt/object"]);
    for (field, expected) in [("shards", 24), ("alive", 18), ("needed", 10), ("owners", 18)] {
        assert_eq!(facts[field], expected, "{field}: {facts}");
    }
    let report = cluster.admin_json(&["durability"]);
    let group = &report["worst"][0];
    // Eighteen are fewer than the r = 20 below which repair has work: more nodes are wanted, and that is said.
    assert_eq!(
        (&group["condition"], &group["members"]),
        (&"at_risk".into(), &18.into()),
        "{report}"
    );
    assert_eq!(report["healthy"], false, "{report}");
}
