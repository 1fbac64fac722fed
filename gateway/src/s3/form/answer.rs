//! What the browser is answered: nothing, a page elsewhere, or a little XML.

use ::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header};
use percent_encoding::utf8_percent_encode;
use s3s::{Body, S3Result};
use types::BucketName;

use super::fields::Form;
use super::invalid;
use super::translate::IN_QUERY;

/// What the form asks to be answered.
pub(super) struct Wanted {
    bucket: String,
    key: String,
    location: String,
    redirect: Option<String>,
    status: StatusCode,
}

impl Wanted {
    /// Reads the form. A redirect that is no address, and a status that S3 does not offer, are as if not there.
    pub(super) fn of(form: &Form, headers: &HeaderMap, bucket: &BucketName) -> S3Result<Self> {
        let key = form.need("key")?.to_owned();
        let host =
            headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let redirect = form.get("success_action_redirect").or_else(|| form.get("redirect"));
        let status = match form.get("success_action_status") {
            Some("200") => StatusCode::OK,
            Some("201") => StatusCode::CREATED,
            _ => StatusCode::NO_CONTENT,
        };
        Ok(Self {
            location: format!("http://{host}/{bucket}/{}", utf8_percent_encode(&key, IN_QUERY)),
            bucket: bucket.to_string(),
            key,
            redirect: redirect.filter(|to| is_address(to)).map(str::to_owned),
            status,
        })
    }

    /// The answer to a form whose PUT was answered with `stored`.
    pub(super) fn answer(self, stored: Response<Body>) -> S3Result<Response<Body>> {
        let (mut parts, _) = stored.into_parts();
        let etag = parts.headers.get(header::ETAG).and_then(|etag| etag.to_str().ok());
        let etag = etag.unwrap_or_default().to_owned();
        parts.headers.remove(header::CONTENT_LENGTH);
        let encode = |text: &str| utf8_percent_encode(text, IN_QUERY).to_string();
        let (status, location, body) = match &self.redirect {
            Some(to) => {
                let mark = if to.contains('?') { '&' } else { '?' };
                let location = format!(
                    "{to}{mark}bucket={}&key={}&etag={}",
                    encode(&self.bucket),
                    encode(&self.key),
                    encode(&etag)
                );
                (StatusCode::SEE_OTHER, location, Body::empty())
            }
            None if self.status == StatusCode::CREATED => {
                let kind = HeaderValue::from_static("application/xml");
                parts.headers.insert(header::CONTENT_TYPE, kind);
                (self.status, self.location.clone(), Body::from(self.xml(&etag)))
            }
            None => (self.status, self.location.clone(), Body::empty()),
        };
        let location =
            HeaderValue::try_from(location).map_err(|_| invalid("The redirect is no address."))?;
        parts.headers.insert(header::LOCATION, location);
        parts.status = status;
        Ok(Response::from_parts(parts, body))
    }

    fn xml(&self, etag: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PostResponse><Location>{}</Location><Bucket>{}</Bucket><Key>{}</Key>\
             <ETag>{}</ETag></PostResponse>",
            escape(&self.location),
            escape(&self.bucket),
            escape(&self.key),
            escape(etag)
        )
    }
}

fn is_address(text: &str) -> bool {
    let web =
        |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
    text.parse().as_ref().is_ok_and(web)
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML 1.0 cannot carry these at all, not even escaped.
            control if control.is_control() && !matches!(control, '\t' | '\n' | '\r') => {
                out.push('\u{FFFD}');
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(fields: &[(&str, &str)]) -> Response<Body> {
        let mut form = Form::default();
        for (name, value) in [&[("key", "a/b c")], fields].concat() {
            form.add(name.to_owned(), value.to_owned()).expect("once");
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("here:9000"));
        let wanted = Wanted::of(&form, &headers, &"bkt".parse().expect("a name")).expect("a wish");
        let mut stored = Response::new(Body::empty());
        stored.headers_mut().insert(header::ETAG, HeaderValue::from_static("\"12\""));
        wanted.answer(stored).expect("an answer")
    }

    #[test]
    fn the_form_chooses_among_three_answers() {
        let plain = answer(&[]);
        assert_eq!(plain.status(), 204);
        assert_eq!(plain.headers()[header::LOCATION], "http://here:9000/bkt/a%2Fb%20c");
        assert_eq!(answer(&[("success_action_status", "404")]).status(), 204);
        assert_eq!(answer(&[("success_action_status", "200")]).status(), 200);
        let created = answer(&[("success_action_status", "201")]);
        assert_eq!(created.status(), 201);
        let xml = created.body().bytes().expect("a body");
        let xml = std::str::from_utf8(&xml).expect("UTF-8");
        assert!(xml.contains("<Key>a/b c</Key><ETag>&quot;12&quot;</ETag>"), "{xml}");
    }

    #[test]
    fn a_redirect_tells_what_was_stored_and_must_be_an_address() {
        for (to, location) in [
            (
                "https://example.com/done",
                "https://example.com/done?bucket=bkt&key=a%2Fb%20c&etag=%2212%22",
            ),
            (
                "http://example.com/?a=1",
                "http://example.com/?a=1&bucket=bkt&key=a%2Fb%20c&etag=%2212%22",
            ),
        ] {
            let answer =
                answer(&[("success_action_redirect", to), ("success_action_status", "201")]);
            assert_eq!(answer.status(), 303);
            assert_eq!(answer.headers()[header::LOCATION], location);
        }
        for to in ["javascript:alert(1)", "/relative", "not an address"] {
            assert_eq!(answer(&[("success_action_redirect", to)]).status(), 204, "{to}");
        }
    }
}
