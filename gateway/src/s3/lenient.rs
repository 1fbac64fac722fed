//! A `Range` header that is no single range (`bytes=0-1,4-5`, `bytes=x`) is ignored, as on AWS and as RFC 9110 §14.2 wants it; the library would
//! answer 400. The header cannot be taken away before the signature is checked, since clients sign it. So such requests take a side
//! door: the signature is checked as ever, then the request, without the header and without its signature, goes to a second service that
//! checks none, with a note of who signed.

use ::http::{Extensions, HeaderMap, HeaderValue, Method, Request, Uri, header, uri::PathAndQuery};
use percent_encoding::percent_decode_str;
use s3s::route::S3Route;
use s3s::{Body, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, dto};

use super::Library;
use super::authorize::{Signed, TOKEN, Vouched};

/// The side door.
pub(super) struct UselessRange {
    trusting: Library,
}

impl UselessRange {
    /// `trusting` checks no signatures.
    pub(super) fn new(trusting: Library) -> Self {
        Self { trusting }
    }
}

#[async_trait::async_trait]
impl S3Route for UselessRange {
    fn is_match(&self, method: &Method, _: &Uri, headers: &HeaderMap, _: &mut Extensions) -> bool {
        (method == Method::GET || method == Method::HEAD)
            && headers.get(header::RANGE).is_some_and(is_useless)
    }

    /// Nobody needs a signature to ask; the operation's gate decides.
    async fn check_access(&self, _: &mut S3Request<Body>) -> S3Result<()> {
        Ok(())
    }

    async fn call(&self, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        // A signature for another service is none for this one.
        if request.service.as_deref().is_some_and(|service| service != "s3") {
            return Err(S3Error::new(S3ErrorCode::SignatureDoesNotMatch));
        }
        let token = token(&request);
        let date = parameter(&request.uri, "X-Amz-Date");
        let signed = Some(Signed { presigned: date.is_some(), date });
        let signer = request.credentials.map(|credentials| credentials.access_key);
        let mut plain = Request::new(Body::empty());
        *plain.method_mut() = request.method;
        *plain.uri_mut() =
            unsigned(&request.uri).ok_or_else(|| S3Error::new(S3ErrorCode::InvalidURI))?;
        *plain.headers_mut() = request.headers;
        plain.headers_mut().remove(header::RANGE);
        plain.headers_mut().remove(header::AUTHORIZATION);
        *plain.extensions_mut() = request.extensions;
        if let Some(key) = signer {
            plain.extensions_mut().insert(Vouched { key, token, signed });
        }
        let answer = self.trusting.call(plain).await.map_err(S3Error::internal_error)?;
        let (parts, body) = answer.into_parts();
        Ok(S3Response {
            output: body,
            status: Some(parts.status),
            headers: parts.headers,
            extensions: parts.extensions,
        })
    }
}

/// The session token of a temporary key, wherever it came: what goes to the second service has lost its query's `x-amz-` parameters.
fn token(request: &S3Request<Body>) -> Option<String> {
    let header = request.headers.get(TOKEN).and_then(|value| value.to_str().ok());
    header.map(str::to_owned).or_else(|| parameter(&request.uri, "X-Amz-Security-Token"))
}

fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let mut pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

fn is_useless(range: &HeaderValue) -> bool {
    !range.is_empty()
        && range.to_str().ok().and_then(|range| dto::Range::parse(range).ok()).is_none()
}

/// The URI without a presigned URL's signature, which the second service could not check.
fn unsigned(uri: &Uri) -> Option<Uri> {
    let Some(query) = uri.query() else { return Some(uri.clone()) };
    let signature =
        |pair: &&str| pair.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-amz-"));
    let kept: Vec<&str> = query.split('&').filter(|pair| !signature(pair)).collect();
    let text = if kept.is_empty() {
        uri.path().to_owned()
    } else {
        format!("{}?{}", uri.path(), kept.join("&"))
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(text.parse::<PathAndQuery>().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_single_range_is_useful() {
        for useful in ["bytes=0-1", "bytes=5-", "bytes=-5", ""] {
            assert!(!is_useless(&HeaderValue::from_static(useful)), "{useful}");
        }
        for useless in ["bytes=0-1,4-5", "bytes=x", "bytes=5-1", "lines=1-2", "0-1"] {
            assert!(is_useless(&HeaderValue::from_static(useless)), "{useless}");
        }
    }

    #[test]
    fn a_presigned_url_loses_its_signature_and_nothing_else() {
        for (signed, plain) in [
            ("/b/k?X-Amz-Signature=00&versionId=null&X-Amz-Date=1", "/b/k?versionId=null"),
            ("/b/k?X-Amz-Signature=00", "/b/k"),
            ("/b/k?partNumber=1&response-expires=x", "/b/k?partNumber=1&response-expires=x"),
            ("/b/k", "/b/k"),
        ] {
            assert_eq!(
                unsigned(&signed.parse().expect("a URI")).expect("a URI"),
                plain,
                "{signed}"
            );
        }
    }
}
