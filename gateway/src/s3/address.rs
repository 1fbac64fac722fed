//! Which bucket a request means, for the layers that see it before or after the library does.

use ::http::{Request, header};
use percent_encoding::percent_decode_str;
use types::BucketName;

/// The bucket that a request names in its host, which may be below `domain`, or else in its path.
pub(super) fn bucket_of<B>(request: &Request<B>, domain: Option<&str>) -> Option<BucketName> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    let in_host = domain.zip(host).and_then(|(domain, host)| below(host, domain));
    match in_host {
        Some(bucket) => bucket.parse().ok(),
        None => {
            let first = request.uri().path().split('/').nth(1)?;
            percent_decode_str(first).decode_utf8().ok()?.parse().ok()
        }
    }
}

/// What stands before `.domain` in a host; case does not count, and neither does the port unless the domain has one.
pub(super) fn below(host: &str, domain: &str) -> Option<String> {
    let (host, domain) = (host.to_ascii_lowercase(), domain.to_ascii_lowercase());
    let name = |host: &str| Some(host.strip_suffix(&*domain)?.strip_suffix('.')?.to_owned());
    let without_port = host.rsplit_once(':').map(|(host, _)| host);
    name(&host).or_else(|| name(without_port?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(host: &str, uri: &str) -> Option<String> {
        let request = Request::builder().uri(uri).header("host", host).body(()).expect("a request");
        bucket_of(&request, Some("s3.example.com")).map(|bucket| bucket.as_str().to_owned())
    }

    #[test]
    fn a_bucket_is_named_by_the_host_or_else_by_the_path() {
        for (host, uri, bucket) in [
            ("photos.s3.example.com", "/key", Some("photos")),
            ("a.b.S3.example.com:9000", "/key", Some("a.b")),
            ("s3.example.com", "/photos/key", Some("photos")),
            ("127.0.0.1:9000", "/photos?acl", Some("photos")),
            ("127.0.0.1:9000", "/ph%6ftos/key", Some("photos")),
            ("127.0.0.1:9000", "/", None),
            ("127.0.0.1:9000", "/No/key", None),
        ] {
            assert_eq!(of(host, uri).as_deref(), bucket, "{host}{uri}");
        }
    }
}
