//! A form as the PUT it stands for.

use ::http::{HeaderName, HeaderValue, Method, Request, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::{Body, S3Result};
use types::BucketName;

use super::fields::Form;
use super::file::Opened;
use super::invalid;

/// What stays as it is in a path.
const IN_PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
/// What stays as it is in a query.
pub(super) const IN_QUERY: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Fields that are a header of the same name.
const SAME: [&str; 11] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-md5",
    "content-type",
    "expires",
    "x-amz-acl",
    "x-amz-security-token",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
];
/// And those that begin so. Anything else named `x-amz-` could make the PUT another request, such as a copy.
const SAME_BEGIN: [&str; 6] = [
    "x-amz-meta-",
    "x-amz-checksum-",
    "x-amz-grant-",
    "x-amz-object-lock-",
    "x-amz-server-side-encryption",
    "x-amz-sdk-checksum-algorithm",
];

/// The PUT that stores `file` as the form says.
///
/// # Errors
/// `InvalidArgument` for a value that no header could carry.
pub(super) fn put(form: &Form, bucket: &BucketName, file: Opened) -> S3Result<Request<Body>> {
    let key = form.need("key")?;
    let target = format!("/{bucket}/{}", utf8_percent_encode(key, IN_PATH));
    let mut put = Request::new(Body::from(file.body));
    *put.method_mut() = Method::PUT;
    *put.uri_mut() = target.parse().map_err(|_| invalid("The key is no path."))?;
    for (name, value) in form.iter() {
        let carried = match name {
            "acl" => Some("x-amz-acl"),
            "tagging" => Some("x-amz-tagging"),
            _ => (SAME.contains(&name) || SAME_BEGIN.iter().any(|begin| name.starts_with(begin)))
                .then_some(name),
        };
        let Some(carried) = carried else { continue };
        let value = if name == "tagging" { tags(value)? } else { value.to_owned() };
        let wrong = |_| invalid(format!("The field '{name}' cannot be kept."));
        let header = HeaderName::from_bytes(carried.as_bytes()).map_err(|_| wrong(()))?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| wrong(()))?;
        put.headers_mut().append(header, value);
    }
    put.headers_mut().insert(header::CONTENT_LENGTH, file.len.into());
    put.extensions_mut().insert(file.slack);
    Ok(put)
}

/// `<Tagging><TagSet><Tag><Key>…` as the query string that the header carries.
fn tags(xml: &str) -> S3Result<String> {
    let refused = || invalid("The tagging field is not well-formed.");
    let mut read = s3s::xml::Deserializer::new(xml.as_bytes());
    let tagging: s3s::dto::Tagging =
        s3s::xml::Deserialize::deserialize(&mut read).map_err(|_| refused())?;
    let encode = |text: &str| utf8_percent_encode(text, IN_QUERY).to_string();
    let one = |tag: &s3s::dto::Tag| {
        Some(format!("{}={}", encode(tag.key.as_deref()?), encode(tag.value.as_deref()?)))
    };
    let all: Option<Vec<_>> = tagging.tag_set.iter().map(one).collect();
    Ok(all.ok_or_else(refused)?.join("&"))
}

#[cfg(test)]
mod tests {
    use super::super::file::Slack;
    use super::*;

    fn translate(fields: &[(&str, &str)]) -> S3Result<Request<Body>> {
        let mut form = Form::default();
        for (name, value) in fields {
            form.add((*name).to_owned(), (*value).to_owned()).expect("once");
        }
        let body = s3s::dto::StreamingBlob::wrap(futures::stream::empty::<
            Result<bytes::Bytes, std::io::Error>,
        >());
        put(&form, &"bkt".parse().expect("a name"), Opened { body, len: 7, slack: Slack(0) })
    }

    #[test]
    fn a_form_says_what_a_put_may_say_and_no_more() {
        let put = translate(&[
            ("key", "a b/ü?c"),
            ("acl", "public-read"),
            ("content-type", "text/plain"),
            ("x-amz-meta-colour", "grün"),
            ("x-amz-copy-source", "/other/secret"),
            ("x-amz-write-offset-bytes", "0"),
            ("success_action_status", "201"),
        ])
        .expect("a PUT");
        assert_eq!(put.uri(), "/bkt/a%20b/%C3%BC%3Fc");
        let headers = put.headers();
        assert_eq!(headers["x-amz-acl"], "public-read");
        assert_eq!(headers["x-amz-meta-colour"].as_bytes(), "grün".as_bytes());
        assert_eq!(headers["content-length"], "7");
        assert_eq!(headers.len(), 4, "{headers:?}");
        assert!(translate(&[("key", "k"), ("content-type", "a\r\nx: y")]).is_err());
        assert!(translate(&[]).is_err(), "no key");
    }

    #[test]
    fn tags_travel_as_a_query() {
        let xml = "<Tagging><TagSet><Tag><Key>a b</Key><Value>1&amp;2</Value></Tag><Tag><Key>c</Key><Value></Value></Tag></TagSet></Tagging>";
        assert_eq!(tags(xml).expect("tags"), "a%20b=1%262&c=");
        assert!(tags("<Tagging>").is_err());
    }
}
