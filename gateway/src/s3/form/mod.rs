//! POST Object: a browser's form becomes a PUT.
//!
//! ```text
//! form ─▶ fields ─▶ signature ─▶ policy ─▶ translate ─▶ the library, as a PUT vouched for ─▶ answer
//!            └────▶ file (streamed, never held) ──────────────┘
//! ```
//!
//! The library's own POST Object insists that nothing follows the file and dates signatures to the minute; a form on a web page is older
//! than that and ends with a button. Everything a PUT can do, a form can do: its fields become the headers of a PUT, and no more.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html>

mod answer;
mod fields;
mod file;
mod policy;
mod signature;
mod translate;

use std::sync::Arc;

use ::http::{Method, Request, Response, header};
use s3s::host::{S3Host as _, SingleDomain};
use s3s::{Body, S3Error, S3ErrorCode, S3Result};
use types::BucketName;
use types::clock::SharedClock;

use self::answer::Wanted;
use self::fields::Form;
use self::policy::Policy;
use self::signature::Signed;
use super::auth::AccessKeys;
use super::authorize::{TOKEN, Vouched};
use super::rate::Rates;
use super::{Library, error};
use crate::put::PUT_MAX;

pub(super) use self::file::{FormFault, Slack};

/// Answers forms.
#[derive(Clone)]
pub(super) struct Forms {
    trusting: Library,
    keys: Arc<AccessKeys>,
    rates: Arc<Rates>,
    clock: SharedClock,
    domain: Option<Arc<SingleDomain>>,
    v2: bool,
}

/// What the door to forms stands on.
pub(super) struct FormsParts {
    /// Checks no signatures.
    pub(super) trusting: Library,
    /// Who signs.
    pub(super) keys: Arc<AccessKeys>,
    /// How often a client may ask.
    pub(super) rates: Arc<Rates>,
    /// The time.
    pub(super) clock: SharedClock,
    /// Whose subdomains are buckets.
    pub(super) domain: Option<SingleDomain>,
    /// Whether policies signed the old way are believed.
    pub(super) v2: bool,
}

impl Forms {
    pub(super) fn new(parts: FormsParts) -> Self {
        let FormsParts { trusting, keys, rates, clock, domain, v2 } = parts;
        Self { trusting, keys, rates, clock, domain: domain.map(Arc::new), v2 }
    }

    /// The bucket a request posts a form to, or nothing if it is no such request.
    pub(super) fn bucket_of<B>(&self, request: &Request<B>) -> Option<String> {
        let form = request.method() == Method::POST
            && request
                .headers()
                .get(header::CONTENT_TYPE)
                .and_then(|kind| kind.to_str().ok())
                .is_some_and(|kind| fields::boundary(kind).is_some());
        if !form {
            return None;
        }
        let path = request.uri().path().trim_matches('/');
        let path = percent_encoding::percent_decode_str(path).decode_utf8().ok()?;
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let by_host = self.domain.as_ref().zip(host).and_then(|(domain, host)| {
            domain.parse_host_header(host).ok()?.bucket().map(str::to_owned)
        });
        match by_host {
            Some(bucket) => path.is_empty().then_some(bucket),
            None => (!path.is_empty() && !path.contains('/')).then(|| path.into_owned()),
        }
    }

    /// Stores the form's file.
    ///
    /// # Errors
    /// As S3 answers forms; nothing is stored then.
    pub(super) async fn answer(
        &self,
        bucket: String,
        request: Request<Body>,
    ) -> S3Result<Response<Body>> {
        let bucket: BucketName = bucket.parse().map_err(error::name)?;
        let (parts, body) = request.into_parts();
        let (mut form, file) = Form::read(&parts.headers, body).await?;
        form.name_key(&file.name)?;

        let now = self.clock.now();
        let signed = Signed::of(&form, self.v2)?;
        let vouched = match &signed {
            Some(signed) => {
                let token = form.get(TOKEN);
                let signer = self.keys.signer(signed.access_key(), token).await?;
                signed.verify(signer.secret().expose().as_bytes(), now)?;
                let (key, token) = (signed.access_key().to_owned(), token.map(str::to_owned));
                Some(Vouched { key, token, signed: None })
            }
            None => None,
        };
        self.rates
            .count(vouched.as_ref().map(|vouched| vouched.key.as_str()), &parts.extensions)?;
        let mut range = 0..=PUT_MAX;
        if let Some(signed) = &signed {
            let policy = Policy::parse(signed.policy())?;
            policy.check(&form, bucket.as_str(), now)?;
            range = policy.length(PUT_MAX);
        }
        let wanted = Wanted::of(&form, &parts.headers, &bucket)?;

        let mut put = translate::put(&form, &bucket, file.open(range).await?)?;
        // What other layers noted of the connection and the request holds for the PUT too.
        let inner = std::mem::take(put.extensions_mut());
        *put.extensions_mut() = parts.extensions;
        put.extensions_mut().extend(inner);
        if let Some(vouched) = vouched {
            put.extensions_mut().insert(vouched);
        }
        let stored = self.trusting.call(put).await.map_err(S3Error::internal_error)?;
        if !stored.status().is_success() {
            return Ok(stored);
        }
        wanted.answer(stored)
    }
}

/// A field that is wrong in itself.
fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> S3Error {
    error::refuse(S3ErrorCode::InvalidArgument, message)
}
