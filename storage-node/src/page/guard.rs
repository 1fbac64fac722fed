//! Who may ask: the owner's own browser, on this very page.
//!
//! A page listens on 127.0.0.1, which every web site can make the owner's browser call. Two things stop them. A site whose name was made
//! to point at 127.0.0.1 (DNS rebinding) sends its own name as `Host`, and is refused. A site that calls 127.0.0.1 by its address
//! may not read the answer, because nothing is allowed across origins; so that it cannot *do* anything either, a POST must come from
//! this page's origin and carry the token that only a reader of the page knows.

use hyper::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::{Method, StatusCode};

/// Names by which the owner's browser may call the page, with or without a port.
const NAMES: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];
/// The header that carries the page's token.
pub(crate) const TOKEN: HeaderName = HeaderName::from_static("x-drystone-token");
/// Set by every current browser: how the page that asks relates to this one.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a request is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// It calls the page by a name that is not this machine's own.
    ForeignHost,
    /// It would change something, and does not come from the page.
    ForeignOrigin,
}

impl Refused {
    /// The status to answer with, and words.
    pub(crate) const fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::ForeignHost => (
                StatusCode::MISDIRECTED_REQUEST,
                "This page answers to 127.0.0.1 and localhost only. From another machine, use a tunnel: ssh -L 9180:127.0.0.1:9180 HOST\n",
            ),
            Self::ForeignOrigin => {
                (StatusCode::FORBIDDEN, "Only the node's own page may do this.\n")
            }
        }
    }
}

/// The secret of one run of the node, which its page carries.
pub(crate) struct Token(String);

impl Token {
    /// A new one that nobody can guess.
    pub(crate) fn random() -> Self {
        Self(hex::encode(types::entropy::random_bytes::<16>()))
    }

    /// For the page.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Compares hashes, which tells nothing by the time it takes.
    fn is(&self, shown: &[u8]) -> bool {
        blake3::hash(self.0.as_bytes()) == blake3::hash(shown)
    }
}

/// Lets a request through, or not.
pub(crate) fn check(method: &Method, headers: &HeaderMap, token: &Token) -> Result<(), Refused> {
    let host = only(headers, &HOST).filter(|host| is_ours(host)).ok_or(Refused::ForeignHost)?;
    if method == Method::GET || method == Method::HEAD {
        return Ok(());
    }
    let own_origin = only(headers, &ORIGIN)
        .and_then(|origin| origin.strip_prefix("http://"))
        .is_some_and(|origin| origin.eq_ignore_ascii_case(host));
    let same_site = headers.get(FETCH_SITE).is_none_or(|site| site.as_bytes() == b"same-origin");
    let knows = headers.get(TOKEN).is_some_and(|shown| token.is(shown.as_bytes()));
    if own_origin && same_site && knows { Ok(()) } else { Err(Refused::ForeignOrigin) }
}

/// A header's value, if it is there once and is text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Whether `host` is one of this machine's own names. The port does not matter: a tunnel may have another.
fn is_ours(host: &str) -> bool {
    NAMES.iter().any(|name| {
        let rest = host.get(..name.len()).filter(|start| start.eq_ignore_ascii_case(name));
        rest.is_some() && {
            let port = &host[name.len()..];
            port.is_empty()
                || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn token() -> Token {
        Token("00ff".to_owned())
    }

    #[test]
    fn only_this_machines_own_names_are_answered() {
        for host in ["127.0.0.1:9180", "localhost", "LocalHost:80", "[::1]:9180"] {
            let asked = check(&Method::GET, &headers(&[("host", host)]), &token());
            assert_eq!(asked, Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:9180",
            "127.0.0.1:9180@evil.example",
            "127.0.0.1:",
            "",
            "0.0.0.0:9180",
        ] {
            let asked = check(&Method::GET, &headers(&[("host", host)]), &token());
            assert_eq!(asked, Err(Refused::ForeignHost), "{host:?}");
        }
        assert_eq!(check(&Method::GET, &headers(&[]), &token()), Err(Refused::ForeignHost));
        let mut two = headers(&[("host", "localhost")]);
        two.append(HOST, "evil.example".parse().unwrap());
        assert_eq!(check(&Method::GET, &two, &token()), Err(Refused::ForeignHost));
    }

    #[test]
    fn a_change_needs_this_pages_origin_and_token() {
        let host = ("host", "localhost:9180");
        let origin = ("origin", "http://localhost:9180");
        let secret = ("x-drystone-token", "00ff");
        let post = |pairs: &[(&'static str, &str)]| check(&Method::POST, &headers(pairs), &token());
        assert_eq!(post(&[host, origin, secret]), Ok(()));
        assert_eq!(post(&[host, origin, secret, ("sec-fetch-site", "same-origin")]), Ok(()));
        for refused in [
            &[host, secret][..],
            &[host, origin],
            &[host, ("origin", "http://evil.example"), secret],
            &[host, ("origin", "null"), secret],
            &[host, ("origin", "http://127.0.0.1:9180"), secret],
            &[host, origin, ("x-drystone-token", "00fe")],
            &[host, origin, secret, ("sec-fetch-site", "cross-site")],
        ] {
            assert_eq!(post(refused), Err(Refused::ForeignOrigin), "{refused:?}");
        }
    }
}
