//! Website hosting: which object, or which other place, a visitor's path means
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/WebsiteHosting.html>).

use metadata::ConfigKind;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::configs::Kept;

/// The status of a redirection that names none.
const MOVED: u16 = 301;
/// What a path needs no escape for.
const PLAIN_IN_PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// How a bucket is shown as a website.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Website {
    /// Not at all: everybody is sent elsewhere.
    Elsewhere {
        /// The other host.
        host: String,
        /// `http` or `https`; `None` is the one the visitor came by.
        protocol: Option<String>,
    },
    /// Its objects are the pages.
    Pages {
        /// What stands for a folder: this name in it.
        index: String,
        /// The key of what is shown with an error.
        error: Option<String>,
        /// Redirections; the first that applies counts.
        rules: Vec<RoutingRule>,
    },
}

/// One redirection.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RoutingRule {
    /// Only of keys that begin with this.
    pub prefix: Option<String>,
    /// Only in place of an error of this status.
    pub status: Option<u16>,
    /// Where to.
    pub to: Redirect,
}

/// Where a redirection leads.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Redirect {
    /// Another host.
    pub host: Option<String>,
    /// `http` or `https`.
    pub protocol: Option<String>,
    /// The status of the answer.
    pub code: Option<u16>,
    /// What becomes of the key.
    pub key: Rewrite,
}

/// What becomes of the key in a redirection.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Rewrite {
    /// Nothing.
    #[default]
    Keep,
    /// This takes the place of the prefix that the rule is about.
    Prefix(String),
    /// This takes its place.
    Whole(String),
}

/// Another place, and with which status a visitor is sent there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Elsewhere {
    /// A status of the 300s.
    pub status: u16,
    /// A URL.
    pub location: String,
}

/// From where a visitor came: what a redirection leaves as it was.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// `http` or `https`.
    pub protocol: &'a str,
    /// The host, with its port.
    pub host: &'a str,
    /// The path without its first slash, decoded.
    pub key: &'a str,
}

impl Kept for Website {
    const KIND: ConfigKind = ConfigKind::Website;
}

impl Website {
    /// Where a visitor is sent before anything is looked up.
    #[must_use]
    pub fn before(&self, visit: Visit<'_>) -> Option<Elsewhere> {
        match self {
            Self::Elsewhere { host, protocol } => {
                let to = Redirect {
                    host: Some(host.clone()),
                    protocol: protocol.clone(),
                    ..Redirect::default()
                };
                Some(to.apply(visit, ""))
            }
            Self::Pages { rules, .. } => first(rules, visit, None),
        }
    }

    /// Where a visitor is sent in place of an error.
    #[must_use]
    pub fn instead_of(&self, status: u16, visit: Visit<'_>) -> Option<Elsewhere> {
        match self {
            Self::Elsewhere { .. } => None,
            Self::Pages { rules, .. } => first(rules, visit, Some(status)),
        }
    }

    /// The key that a path means: a folder means its index.
    #[must_use]
    pub fn page(&self, key: &str) -> Option<String> {
        match self {
            Self::Elsewhere { .. } => None,
            Self::Pages { index, .. } if key.is_empty() || key.ends_with('/') => {
                Some(format!("{key}{index}"))
            }
            Self::Pages { .. } => Some(key.to_owned()),
        }
    }

    /// The key of the index that a path would mean if it were a folder's.
    #[must_use]
    pub fn folder(&self, key: &str) -> Option<String> {
        match self {
            Self::Pages { index, .. } if !key.is_empty() && !key.ends_with('/') => {
                Some(format!("{key}/{index}"))
            }
            Self::Pages { .. } | Self::Elsewhere { .. } => None,
        }
    }

    /// The key of what is shown with an error.
    #[must_use]
    pub fn error_page(&self) -> Option<&str> {
        match self {
            Self::Pages { error, .. } => error.as_deref(),
            Self::Elsewhere { .. } => None,
        }
    }
}

fn first(rules: &[RoutingRule], visit: Visit<'_>, status: Option<u16>) -> Option<Elsewhere> {
    let applies = |rule: &&RoutingRule| {
        rule.status == status
            && rule.prefix.as_deref().is_none_or(|prefix| visit.key.starts_with(prefix))
    };
    let rule = rules.iter().find(applies)?;
    Some(rule.to.apply(visit, rule.prefix.as_deref().unwrap_or_default()))
}

impl Redirect {
    fn apply(&self, visit: Visit<'_>, prefix: &str) -> Elsewhere {
        let key = match &self.key {
            Rewrite::Keep => visit.key.to_owned(),
            Rewrite::Prefix(new) => {
                format!("{new}{}", visit.key.strip_prefix(prefix).unwrap_or(visit.key))
            }
            Rewrite::Whole(new) => new.clone(),
        };
        let protocol = self.protocol.as_deref().unwrap_or(visit.protocol);
        let host = self.host.as_deref().unwrap_or(visit.host);
        let path = utf8_percent_encode(&key, PLAIN_IN_PATH);
        Elsewhere {
            status: self.code.unwrap_or(MOVED),
            location: format!("{protocol}://{host}/{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(key: &str) -> Visit<'_> {
        Visit { protocol: "http", host: "site:8080", key }
    }

    fn pages(rules: Vec<RoutingRule>) -> Website {
        Website::Pages { index: "index.html".to_owned(), error: None, rules }
    }

    fn location(found: Option<Elsewhere>) -> Option<(u16, String)> {
        found.map(|to| (to.status, to.location))
    }

    #[test]
    fn a_folder_means_its_index() {
        let site = pages(Vec::new());
        for (key, page) in
            [("", "index.html"), ("a/", "a/index.html"), ("a", "a"), ("a/b.css", "a/b.css")]
        {
            assert_eq!(site.page(key).as_deref(), Some(page));
        }
        assert_eq!(site.folder("a").as_deref(), Some("a/index.html"));
        assert_eq!(site.folder("a/"), None);
    }

    #[test]
    fn everybody_is_sent_elsewhere_with_the_path_they_came_by() {
        let site = Website::Elsewhere {
            host: "example.com".to_owned(),
            protocol: Some("https".to_owned()),
        };
        let to = location(site.before(visit("a b/ü")));
        assert_eq!(to, Some((301, "https://example.com/a%20b/%C3%BC".to_owned())));
    }

    #[test]
    fn a_rule_rewrites_the_prefix_it_is_about() {
        let site = pages(vec![RoutingRule {
            prefix: Some("docs/".to_owned()),
            to: Redirect {
                key: Rewrite::Prefix("documents/".to_owned()),
                code: Some(302),
                ..Redirect::default()
            },
            ..RoutingRule::default()
        }]);
        let to = location(site.before(visit("docs/a")));
        assert_eq!(to, Some((302, "http://site:8080/documents/a".to_owned())));
        assert_eq!(site.before(visit("img/a")), None);
        assert_eq!(site.instead_of(404, visit("docs/a")), None);
    }

    #[test]
    fn a_rule_about_an_error_waits_for_it() {
        let site = pages(vec![RoutingRule {
            status: Some(404),
            to: Redirect {
                host: Some("other".to_owned()),
                key: Rewrite::Whole("gone.html".to_owned()),
                ..Redirect::default()
            },
            ..RoutingRule::default()
        }]);
        assert_eq!(site.before(visit("a")), None);
        assert_eq!(site.instead_of(403, visit("a")), None);
        let to = location(site.instead_of(404, visit("a")));
        assert_eq!(to, Some((301, "http://other/gone.html".to_owned())));
    }
}
