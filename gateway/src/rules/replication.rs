//! Replication: which new versions of a bucket are to be in which other buckets too, here or at another endpoint
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-add-config.html>).

use metadata::ConfigKind;
use metadata::records::{Detail, Encryption, ReplicationStatus};
use serde::{Deserialize, Serialize};
use types::BucketName;

use crate::configs::Kept;

/// The rules of a bucket.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Replication {
    /// The role that the client named: kept and shown, because nothing here needs one.
    pub role: String,
    /// The rules, as they were given.
    pub rules: Vec<Rule>,
}

impl Kept for Replication {
    const KIND: ConfigKind = ConfigKind::Replication;
}

/// One rule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rule {
    /// Its name.
    pub id: String,
    /// Whether it counts.
    pub enabled: bool,
    /// Of two rules for one destination that a version meets, the one with the higher priority counts.
    pub priority: Option<i32>,
    /// Only keys that begin with this.
    pub prefix: Option<String>,
    /// Only objects that have all of these tags when they are written.
    pub tags: Vec<(String, String)>,
    /// Whether the prefix stood beside the rule, as in the first version of the schema, and not in a filter.
    pub bare_prefix: bool,
    /// Whether delete markers are replicated; `None` was not said.
    pub markers: Option<bool>,
    /// Where to.
    pub destination: Destination,
}

/// Where a version is to be, too.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Destination {
    /// The bucket.
    pub bucket: BucketName,
    /// The account that the client said owns it.
    pub account: Option<String>,
    /// The storage class there; `None` is the source's.
    pub class: Option<String>,
    /// The endpoint at which the bucket is, by the name that the operator gave it; `None` is this gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Whether replicas belong to the owner of their bucket (`AccessControlTranslation`) and not to that of their source.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub owner_override: bool,
}

impl Destination {
    /// Whether it is the same bucket.
    fn is_where(&self, other: &Self) -> bool {
        (&self.endpoint, &self.bucket) == (&other.endpoint, &other.bucket)
    }
}

impl Replication {
    /// Where a version of `key` with this detail is to be, too: one destination for each bucket. Replicas are not replicated on, and what
    /// is under a customer's key (SSE-C) or a named one (SSE-KMS) is not replicated.
    #[must_use]
    pub fn of_version(&self, key: &str, detail: &Detail) -> Vec<Destination> {
        let plain = matches!(detail.encryption, Encryption::Keyring | Encryption::SseS3);
        if !plain || detail.replication == Some(ReplicationStatus::Replica) {
            return Vec::new();
        }
        self.choose(|rule| rule.meets(key) && rule.tags.iter().all(|tag| detail.tags.contains(tag)))
    }

    /// Where a delete marker of `key` is to be, too. Rules that ask for tags say nothing of delete markers, which have none.
    #[must_use]
    pub fn of_marker(&self, key: &str) -> Vec<Destination> {
        self.choose(|rule| rule.wants_markers() && rule.tags.is_empty() && rule.meets(key))
    }

    fn choose(&self, counts: impl Fn(&Rule) -> bool) -> Vec<Destination> {
        let mut rules: Vec<&Rule> = self.rules.iter().filter(|rule| counts(rule)).collect();
        // Stable: of equal priorities the first counts.
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.priority));
        let mut chosen: Vec<Destination> = Vec::new();
        for Rule { destination, .. } in rules {
            if !chosen.iter().any(|have| have.is_where(destination)) {
                chosen.push(destination.clone());
            }
        }
        // This gateway's own first: they wait for nobody.
        chosen.sort_by_key(|destination| destination.endpoint.is_some());
        chosen
    }
}

impl Rule {
    /// Whether delete markers are replicated. In the first version of the schema, they are unasked.
    #[must_use]
    pub fn wants_markers(&self) -> bool {
        self.markers.unwrap_or(self.bare_prefix)
    }

    fn meets(&self, key: &str) -> bool {
        self.enabled && self.prefix.as_ref().is_none_or(|prefix| key.starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(id: &str, priority: i32, prefix: &str, bucket: &str) -> Rule {
        Rule {
            id: id.to_owned(),
            enabled: true,
            priority: Some(priority),
            prefix: Some(prefix.to_owned()),
            tags: Vec::new(),
            bare_prefix: false,
            markers: None,
            destination: Destination {
                bucket: bucket.parse().expect("a name"),
                account: None,
                class: Some(id.to_owned()),
                endpoint: None,
                owner_override: false,
            },
        }
    }

    fn chosen(rules: Vec<Rule>, key: &str, detail: &Detail) -> Vec<String> {
        let rules = Replication { role: String::new(), rules };
        let class = |to: Destination| to.class.expect("a class");
        rules.of_version(key, detail).into_iter().map(class).collect()
    }

    #[test]
    fn one_rule_counts_for_each_destination() {
        let rules = || {
            vec![
                rule("low", 1, "", "aaa"),
                rule("high", 2, "in/", "aaa"),
                rule("other", 0, "", "bbb"),
            ]
        };
        let plain = Detail::default();
        assert_eq!(chosen(rules(), "in/k", &plain), ["high", "other"]);
        assert_eq!(chosen(rules(), "out/k", &plain), ["low", "other"]);
        let off = rules().into_iter().map(|rule| Rule { enabled: false, ..rule }).collect();
        assert!(chosen(off, "in/k", &plain).is_empty());
    }

    #[test]
    fn a_bucket_elsewhere_is_another_one_and_comes_last() {
        let mut far = rule("far", 3, "", "aaa");
        far.destination.endpoint = Some("far".to_owned());
        let rules = vec![far.clone(), rule("near", 1, "", "aaa"), rule("low", 0, "", "aaa")];
        assert_eq!(chosen(rules, "k", &Detail::default()), ["near", "far"]);
        // As it was kept before there were endpoints.
        let old = r#"{"bucket":"aaa","account":null,"class":"near"}"#;
        let near = rule("near", 1, "", "aaa").destination;
        assert_eq!(serde_json::from_str::<Destination>(old).expect("read"), near);
        assert_eq!(serde_json::to_string(&near).expect("written"), old);
    }

    #[test]
    fn tags_must_all_be_there_and_some_versions_never_travel() {
        let tag = |value: &str| ("team".to_owned(), value.to_owned());
        let rules = || vec![Rule { tags: vec![tag("a")], ..rule("one", 1, "", "aaa") }];
        let tagged = |value| Detail { tags: vec![tag(value)], ..Detail::default() };
        assert_eq!(chosen(rules(), "k", &tagged("a")), ["one"]);
        assert!(chosen(rules(), "k", &tagged("b")).is_empty());
        let replica = Detail { replication: Some(ReplicationStatus::Replica), ..tagged("a") };
        assert!(chosen(rules(), "k", &replica).is_empty());
        let sealed = Encryption::Customer { key_md5: [0; 16] };
        assert!(chosen(rules(), "k", &Detail { encryption: sealed, ..tagged("a") }).is_empty());
    }

    #[test]
    fn delete_markers_travel_where_a_rule_says_so() {
        let of = |rule: Rule| {
            Replication { role: String::new(), rules: vec![rule] }.of_marker("k").len()
        };
        let plain = || rule("one", 1, "", "aaa");
        assert_eq!(of(plain()), 0);
        assert_eq!(of(Rule { markers: Some(true), ..plain() }), 1);
        assert_eq!(of(Rule { bare_prefix: true, ..plain() }), 1);
        assert_eq!(of(Rule { bare_prefix: true, markers: Some(false), ..plain() }), 0);
        let tags = vec![("a".to_owned(), "b".to_owned())];
        assert_eq!(of(Rule { markers: Some(true), tags, ..plain() }), 0);
    }
}
