//! The house rules that no compiler checks: who may depend on whom.

use std::collections::BTreeMap;
use std::process::Command;

/// Every crate and its floor. An arrow may only go down; the binary alone meets both programs of floor 2.
const FLOORS: [(&str, u8); 12] = [
    ("drystone-types", 0),
    ("drystone-kv", 0),
    ("drystone-codec", 0),
    ("drystone-seal", 0),
    ("drystone-protocol", 0),
    ("drystone-metadata", 1),
    ("drystone-billing", 1),
    ("drystone-storage-node", 2),
    ("drystone-gateway", 2),
    ("drystone", 3),
    ("drystone-s3-tests", 4),
    ("drystone-sim", 4),
];

/// Neighbours on one floor that may know each other: everyone speaks in the nouns, and the protocol verifies slices.
const NEIGHBOURS: [(&str, &str); 5] = [
    ("drystone-kv", "drystone-types"),
    ("drystone-codec", "drystone-types"),
    ("drystone-seal", "drystone-types"),
    ("drystone-protocol", "drystone-types"),
    ("drystone-protocol", "drystone-codec"),
];

/// Ciphers, and the crates that hold keys or know customers. None may reach a volunteer's machine; TLS has its own.
const NOT_ON_A_NODE: [&str; 7] = [
    "chacha20poly1305",
    "chacha20",
    "aes-gcm",
    "aead",
    "drystone-seal",
    "drystone-metadata",
    "drystone-billing",
];

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

#[test]
fn arrows_between_crates_only_go_down() {
    let metadata: serde_json::Value = serde_json::from_str(&cargo(&[
        "metadata",
        "--no-deps",
        "--offline",
        "--format-version",
        "1",
    ]))
    .expect("JSON");
    let floors: BTreeMap<&str, u8> = FLOORS.into();
    let packages = metadata["packages"].as_array().expect("packages");
    assert_eq!(packages.len(), floors.len(), "a new crate needs a floor");
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let on = dependency["name"].as_str().expect("a name");
            let Some(below) = floors.get(on).filter(|_| dependency["kind"].is_null()) else {
                continue;
            };
            let fine = *below < floors[name] || NEIGHBOURS.contains(&(name, on));
            assert!(fine, "{name} may not depend on {on}");
        }
    }
}

#[test]
fn no_cipher_and_no_customer_reaches_a_volunteers_machine() {
    let tree = cargo(&[
        "tree",
        "--offline",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "-p",
        "drystone-storage-node",
    ]);
    let crates: Vec<&str> =
        tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(crates.contains(&"drystone-protocol"), "the tree was read");
    for banned in NOT_ON_A_NODE {
        assert!(!crates.contains(&banned), "drystone-storage-node depends on {banned}");
    }
}
