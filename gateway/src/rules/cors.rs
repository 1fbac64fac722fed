//! Cross-origin resource sharing: which browser page may do what
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/ManageCorsUsing.html>).

use metadata::ConfigKind;
use serde::{Deserialize, Serialize};

use crate::configs::Kept;

/// What stands for anything in an origin or header; at most once in each.
const WILDCARD: char = '*';

/// The rules of a bucket; the first that matches counts.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Cors {
    /// In the order given.
    pub rules: Vec<CorsRule>,
}

/// One rule.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CorsRule {
    /// What the client calls it.
    pub id: Option<String>,
    /// Origins, each with at most one wildcard.
    pub origins: Vec<String>,
    /// Methods, in capitals.
    pub methods: Vec<String>,
    /// Request headers a page may send, each with at most one wildcard.
    pub headers: Vec<String>,
    /// Response headers a page may see.
    pub exposed: Vec<String>,
    /// How long, in seconds, a browser may remember a preflight.
    pub max_age: Option<u32>,
}

/// What a page asks.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// `Origin`.
    pub origin: &'a str,
    /// The method it means to use.
    pub method: &'a str,
    /// The headers it means to send.
    pub headers: &'a [&'a str],
}

/// What a page may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allowed<'a> {
    /// The rule that says so.
    pub rule: &'a CorsRule,
    /// Whether the rule lets every origin in: the answer then names none.
    pub anybody: bool,
}

impl Kept for Cors {
    const KIND: ConfigKind = ConfigKind::Cors;
}

impl Cors {
    /// The first rule that lets the page do what it asks.
    #[must_use]
    pub fn allow(&self, question: Question<'_>) -> Option<Allowed<'_>> {
        self.rules.iter().find_map(|rule| rule.allow(question))
    }
}

impl CorsRule {
    fn allow(&self, question: Question<'_>) -> Option<Allowed<'_>> {
        let origin = self.origins.iter().find(|origin| matches(origin, question.origin))?;
        let method = self.methods.iter().any(|method| method == question.method);
        let may_send = |header: &&str| {
            let header = header.to_ascii_lowercase();
            self.headers.iter().any(|allowed| matches(&allowed.to_ascii_lowercase(), &header))
        };
        (method && question.headers.iter().all(may_send))
            .then(|| Allowed { rule: self, anybody: origin.chars().eq([WILDCARD]) })
    }
}

/// Whether `text` is what `pattern` says, which has at most one wildcard.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once(WILDCARD) {
        None => pattern == text,
        // What stands before and after the wildcard must not overlap.
        Some((start, end)) => {
            text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(origins: &[&str], methods: &[&str], headers: &[&str]) -> CorsRule {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        CorsRule {
            origins: owned(origins),
            methods: owned(methods),
            headers: owned(headers),
            ..CorsRule::default()
        }
    }

    fn question<'a>(origin: &'a str, method: &'a str, headers: &'a [&'a str]) -> Question<'a> {
        Question { origin, method, headers }
    }

    #[test]
    fn a_wildcard_stands_for_anything_but_does_not_overlap() {
        for (pattern, text, is) in [
            ("*suffix", "foo.suffix", true),
            ("*suffix", "foo.suffix.get", false),
            ("start*end", "startend", true),
            ("start*end", "start12end", true),
            ("start*end", "0start12end", false),
            ("prefix*", "prefix.suffix", true),
            ("prefix*", "bla.prefix", false),
            ("aba*aba", "aba", false),
            ("*", "", true),
            ("http://a", "http://a", true),
            ("http://a", "http://A", false),
        ] {
            assert_eq!(matches(pattern, text), is, "{pattern} {text}");
        }
    }

    #[test]
    fn the_first_rule_that_allows_origin_method_and_headers_counts() {
        let cors = Cors {
            rules: vec![
                rule(&["http://a"], &["GET"], &[]),
                rule(&["http://a"], &["PUT"], &["X-Amz-*"]),
                rule(&["*"], &["GET"], &[]),
            ],
        };
        let which = |origin, method, headers: &[&str]| {
            let allowed = cors.allow(question(origin, method, headers))?;
            let at = cors.rules.iter().position(|rule| rule == allowed.rule);
            at.map(|at| (at, allowed.anybody))
        };
        assert_eq!(which("http://a", "GET", &[]), Some((0, false)));
        assert_eq!(which("http://b", "GET", &[]), Some((2, true)));
        assert_eq!(which("http://a", "PUT", &["x-amz-acl"]), Some((1, false)));
        assert_eq!(which("http://a", "PUT", &["x-amz-acl", "range"]), None);
        assert_eq!(which("http://b", "PUT", &[]), None);
        assert_eq!(which("http://a", "DELETE", &[]), None);
    }
}
