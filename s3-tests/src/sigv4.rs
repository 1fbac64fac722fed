//! Signature version 4, written from AWS's pages "Signature Version 4 for API requests" and "Signature calculations for the
//! Authorization header: transferring payload in multiple chunks", so that nothing of the gateway's own code signs its tests.

use std::fmt::Write as _;

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderValue, Method};
use ring::hmac;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::macros::format_description;

/// The hash that says: the body is not covered by the signature.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
/// Signed chunks.
pub const STREAMING: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
/// Signed chunks and a signed trailer.
pub const STREAMING_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
/// Bare chunks and a bare trailer.
pub const STREAMING_UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/// Who signs.
#[derive(Clone, Debug)]
pub struct Signer {
    /// Access key id.
    pub access: String,
    /// Secret key.
    pub secret: String,
    /// Region in the credential scope.
    pub region: String,
    /// Service in the credential scope: `s3`, or `drystone` for the admin API.
    pub service: &'static str,
}

/// What one request's signature covers, apart from its headers.
#[derive(Clone, Copy, Debug)]
pub struct Covered<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path, encoded.
    pub path: &'a str,
    /// The query's names and values, not encoded.
    pub query: &'a [(String, String)],
}

/// The signature of a request's head, with which the signatures of its chunks are chained.
#[derive(Clone, Debug)]
pub struct Seed {
    key: hmac::Key,
    date: String,
    scope: String,
    signature: String,
}

impl Signer {
    /// Signs in the `Authorization` header: adds that and the `x-amz-` headers it needs. All headers present are covered.
    pub fn sign(
        &self,
        covered: Covered<'_>,
        headers: &mut HeaderMap,
        payload: &str,
        now: OffsetDateTime,
    ) -> Seed {
        let date = amz_date(now);
        headers.insert("x-amz-date", header(&date));
        headers.insert("x-amz-content-sha256", header(payload));
        let (names, lines) = canonical_headers(headers);
        let query = canonical_query(covered.query);
        let request =
            format!("{}\n{}\n{query}\n{lines}\n{names}\n{payload}", covered.method, covered.path);
        let seed = self.seed(&date, &request);
        let credential = format!("{}/{}", self.access, seed.scope);
        let value = format!(
            "AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={}",
            seed.signature
        );
        headers.insert(AUTHORIZATION, header(&value));
        seed
    }

    /// Signs in the query, for a URL that works without this secret for so many seconds: the whole query, signature last.
    #[must_use]
    pub fn presign(
        &self,
        covered: Covered<'_>,
        headers: &HeaderMap,
        now: OffsetDateTime,
        seconds: u64,
    ) -> Vec<(String, String)> {
        let date = amz_date(now);
        let (names, lines) = canonical_headers(headers);
        let mut query = covered.query.to_vec();
        let credential = format!("{}/{}", self.access, self.scope(&date));
        for (name, value) in [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", &credential),
            ("X-Amz-Date", &date),
            ("X-Amz-Expires", &seconds.to_string()),
            ("X-Amz-SignedHeaders", &names),
        ] {
            query.push((name.to_owned(), value.to_owned()));
        }
        let canonical = canonical_query(&query);
        let request = format!(
            "{}\n{}\n{canonical}\n{lines}\n{names}\n{UNSIGNED_PAYLOAD}",
            covered.method, covered.path
        );
        query.push(("X-Amz-Signature".to_owned(), self.seed(&date, &request).signature));
        query
    }

    fn scope(&self, date: &str) -> String {
        format!("{}/{}/{}/aws4_request", &date[..8], self.region, self.service)
    }

    fn seed(&self, date: &str, request: &str) -> Seed {
        let scope = self.scope(date);
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for part in scope.split('/') {
            key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes())
                .as_ref()
                .to_vec();
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha256_hex(request.as_bytes()));
        let signature = hex::encode(hmac::sign(&key, text.as_bytes()));
        Seed { key, date: date.to_owned(), scope, signature }
    }
}

impl Seed {
    /// The body in signed chunks, with a signed trailer if there is one.
    #[must_use]
    pub fn chunked(mut self, body: &[u8], chunk: usize, trailer: Option<(&str, &str)>) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in body.chunks(chunk).chain([&[][..]]) {
            let signature = self.next_chunk(piece);
            out.extend_from_slice(
                format!("{:x};chunk-signature={signature}\r\n", piece.len()).as_bytes(),
            );
            out.extend_from_slice(piece);
            if !piece.is_empty() {
                out.extend_from_slice(b"\r\n");
            }
        }
        if let Some((name, value)) = trailer {
            let line = format!("{name}:{value}\n");
            let signature = self.next("AWS4-HMAC-SHA256-TRAILER", &sha256_hex(line.as_bytes()));
            out.extend_from_slice(
                format!("{name}:{value}\r\nx-amz-trailer-signature:{signature}\r\n").as_bytes(),
            );
        }
        out.extend_from_slice(b"\r\n");
        out
    }

    fn next_chunk(&mut self, chunk: &[u8]) -> String {
        let hashes = format!("{}\n{}", sha256_hex(b""), sha256_hex(chunk));
        self.next("AWS4-HMAC-SHA256-PAYLOAD", &hashes)
    }

    fn next(&mut self, what: &str, hashes: &str) -> String {
        let text = format!("{what}\n{}\n{}\n{}\n{hashes}", self.date, self.scope, self.signature);
        self.signature = hex::encode(hmac::sign(&self.key, text.as_bytes()));
        self.signature.clone()
    }
}

/// The body in bare chunks with a bare trailer.
#[must_use]
pub fn unsigned_chunks(body: &[u8], chunk: usize, trailer: (&str, &str)) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in body.chunks(chunk) {
        out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("0\r\n{}:{}\r\n\r\n", trailer.0, trailer.1).as_bytes());
    out
}

/// SHA-256 in lower-case hexadecimal.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Percent-encoded as SigV4 wants it: everything but the unreserved characters, and `/` only in a path.
#[must_use]
pub fn encode(text: &str, keep_slash: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte))
            }
            b'/' if keep_slash => out.push('/'),
            _ => write!(out, "%{byte:02X}").expect("writing to a string does not fail"),
        }
    }
    out
}

/// The query as it is signed and sent: encoded and sorted.
#[must_use]
pub fn canonical_query(query: &[(String, String)]) -> String {
    let mut pairs: Vec<_> =
        query.iter().map(|(name, value)| (encode(name, false), encode(value, false))).collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn canonical_headers(headers: &HeaderMap) -> (String, String) {
    assert!(headers.contains_key(HOST), "a signature must cover the host");
    let mut names: Vec<_> = headers.keys().map(|name| name.as_str().to_owned()).collect();
    names.sort();
    let mut lines = String::new();
    for name in &names {
        let values: Vec<_> = headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
            .collect();
        writeln!(lines, "{name}:{}", values.join(",")).expect("writing to a string does not fail");
    }
    (names.join(";"), lines)
}

fn amz_date(now: OffsetDateTime) -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    now.to_offset(time::UtcOffset::UTC)
        .format(format)
        .expect("the format has no part that a date lacks")
}

fn header(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).expect("what is signed is printable")
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn signer() -> Signer {
        Signer {
            access: "AKIAIOSFODNN7EXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            region: "us-east-1".into(),
            service: "s3",
        }
    }

    /// The example of AWS's page "Authenticating requests: using query parameters".
    #[test]
    fn the_published_example_of_a_presigned_url_comes_out() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, header("examplebucket.s3.amazonaws.com"));
        let covered = Covered { method: &Method::GET, path: "/test.txt", query: &[] };
        let query = signer().presign(covered, &headers, datetime!(2013-05-24 00:00 UTC), 86_400);
        assert_eq!(
            query.last().unwrap().1,
            "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
    }

    /// The example of AWS's page "Transferring payload in multiple chunks".
    #[test]
    fn the_published_example_of_signed_chunks_comes_out() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "s3.amazonaws.com"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ("content-encoding", "aws-chunked"),
            ("x-amz-decoded-content-length", "66560"),
            ("content-length", "66824"),
        ] {
            headers.insert(http::HeaderName::from_static(name), header(value));
        }
        let covered =
            Covered { method: &Method::PUT, path: "/examplebucket/chunkObject.txt", query: &[] };
        let seed = signer().sign(covered, &mut headers, STREAMING, datetime!(2013-05-24 00:00 UTC));
        assert_eq!(
            seed.signature,
            "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
        );
        let body = seed.chunked(&[b'a'; 66_560], 65_536, None);
        assert_eq!(body.len(), 66_824);
        let last = "0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n";
        assert!(body.ends_with(last.as_bytes()));
    }
}
