//! Temporary keys, as AWS's Security Token Service gives them: AssumeRole, GetSessionToken, GetCallerIdentity, as a form posted to `/` and signed
//! for the service `sts`.
//!
//! <https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html>. There are no roles to look up: a role of the caller's own account may be assumed
//! under any name, and the temporary key may do what the caller's key may, less what the session's policy does not allow.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use ::http::{Extensions, HeaderMap, HeaderValue, Method, Uri, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::{BodyExt as _, Limited};
use metadata::Catalog;
use metadata::records::AccessKey;
use percent_encoding::percent_decode_str;
use s3s::route::S3Route;
use s3s::{Body, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};
use seal::Keyring;
use types::entropy::random_bytes;
use types::{KIB, Timestamp};

use super::auth::{Signer, narrowed};
use super::authorize::Gate;
use super::lenient::UselessRange;
use super::policy::{Asked, Context, Identity, Key, Kind, Policy, Values, Verdict};
use super::rate::Rates;
use super::{dates, error};
use crate::secrets;

/// The service that such requests are signed for.
pub(super) const SERVICE: &str = "sts";
/// Bytes of the longest form. A session's policy has at most 2,048 characters, which encoding may treble.
const FORM_MAX: usize = 8 * KIB as usize;
/// Seconds for which a temporary key is good: at least, unless said otherwise, at most.
const LIFE_MIN: u64 = 900;
const LIFE: u64 = 3600;
const LIFE_MAX: u64 = 36 * 3600;
/// Characters of the longest name of a session.
const NAME_MAX: usize = 64;
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The ways a request can take beside S3's own.
pub(super) struct Routes {
    /// Temporary keys.
    pub(super) tokens: Tokens,
    /// Ranges that mean nothing.
    pub(super) lenient: UselessRange,
    /// How often a client may ask.
    pub(super) rates: Arc<Rates>,
}

#[async_trait::async_trait]
impl S3Route for Routes {
    fn is_match(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        more: &mut Extensions,
    ) -> bool {
        is_sts(method, uri, headers) || self.lenient.is_match(method, uri, headers, more)
    }

    /// Nobody needs a signature to ask; each way decides.
    async fn check_access(&self, request: &mut S3Request<Body>) -> S3Result<()> {
        let key = request.credentials.as_ref().map(|credentials| credentials.access_key.as_str());
        self.rates.count(key, &request.extensions)
    }

    async fn call(&self, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        if is_sts(&request.method, &request.uri, &request.headers) {
            return self.tokens.answer(request).await;
        }
        self.lenient.call(request).await
    }
}

fn is_sts(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    let form =
        |value: &HeaderValue| value.as_bytes().starts_with(b"application/x-www-form-urlencoded");
    method == Method::POST
        && uri.path() == "/"
        && headers.get(header::CONTENT_TYPE).is_some_and(form)
}

/// Gives temporary keys.
pub(super) struct Tokens {
    gate: Gate,
    catalog: Catalog,
    keyring: Arc<Keyring>,
}

/// A temporary key, told once.
struct Issued {
    id: String,
    secret: zeroize::Zeroizing<String>,
    token: String,
    expires: Timestamp,
}

impl Tokens {
    pub(super) fn new(gate: Gate, catalog: Catalog, keyring: Arc<Keyring>) -> Self {
        Self { gate, catalog, keyring }
    }

    async fn answer(&self, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let mut body = Body::empty();
        let request = request.map_input(|input| body = input);
        let caller = self.gate.caller_of(&request, SERVICE).await?;
        let signer = caller.signer().ok_or_else(|| S3Error::new(S3ErrorCode::AccessDenied))?;
        let form = Form::read(body).await?;
        let xml = match form.get("Action").unwrap_or_default() {
            "GetCallerIdentity" => identity(signer),
            "GetSessionToken" => {
                // A temporary key makes no further ones for itself.
                if signer.temporary {
                    return Err(S3Error::new(S3ErrorCode::AccessDenied));
                }
                let issued = self.issue(signer, signer.name.clone(), &form).await?;
                answer("GetSessionToken", &credentials(&issued))
            }
            "AssumeRole" => {
                let name = role(signer, &form)?;
                self.may_assume(signer, &form)?;
                let issued = self.issue(signer, name.clone(), &form).await?;
                answer("AssumeRole", &assumed(signer, &name, &issued))
            }
            _ => return Err(invalid("The action is not valid for this web service")),
        };
        let mut response = S3Response::new(Body::from(xml));
        response.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
        Ok(response)
    }

    /// Only the account itself takes any role. A key that policies can name must have one that lets it: else it could shed what they deny it.
    fn may_assume(&self, signer: &Signer, form: &Form) -> S3Result<()> {
        struct Nothing;
        impl Context for Nothing {
            fn values(&self, _: &Key) -> Values {
                Values::Absent
            }
        }
        let asked = Asked {
            who: Identity {
                account: Some(signer.account.as_str()),
                arn: signer.arn.as_deref(),
                role: signer.role.as_deref(),
                service: None,
            },
            action: "sts:AssumeRole",
            resource: form.get("RoleArn").unwrap_or_default(),
            context: &Nothing,
        };
        match signer.says(&asked) {
            Some(Verdict::Allow) => Ok(()),
            None if signer.arn.is_none() => Ok(()),
            _ => Err(S3Error::new(S3ErrorCode::AccessDenied)),
        }
    }

    async fn issue(&self, signer: &Signer, name: String, form: &Form) -> S3Result<Issued> {
        let seconds = match form.get("DurationSeconds") {
            None => LIFE,
            Some(text) => text
                .parse()
                .ok()
                .filter(|life| (LIFE_MIN..=LIFE_MAX).contains(life))
                .ok_or_else(|| invalid("DurationSeconds must be between 900 and 129600"))?,
        };
        let policy = form.get("Policy").map(str::to_owned);
        if let Some(text) = &policy {
            Policy::read(text, Kind::Key)
                .map_err(|wrong| error::refuse(S3ErrorCode::MalformedPolicy, wrong.to_string()))?;
        }
        let now = self.gate.now();
        // No child outlives its parent.
        let expires = now.plus(Duration::from_secs(seconds));
        let expires = signer.expires.map_or(expires, |end| end.min(expires));
        let (id, secret) = secrets::generate();
        let token = URL_SAFE_NO_PAD.encode(random_bytes::<48>());
        let plain = secrets::seal(&self.keyring, &id, &secret, signer.account.clone(), now);
        let key = AccessKey {
            name,
            policy: narrowed(signer.policy.as_deref(), policy),
            expires: Some(expires),
            session: Some(*blake3::hash(token.as_bytes()).as_bytes()),
            ..plain
        };
        self.catalog.create_access_key(&id, &key).await.map_err(error::catalog)?;
        tracing::info!(
            target: "audit",
            account = %signer.account, key = signer.id, issued = id, session = key.name, "a temporary key was issued"
        );
        Ok(Issued { id, secret, token, expires })
    }
}

/// The name of the session, `ROLE/SESSION`, if the role is of the caller's account. Roles have no paths: on AWS a name is given once in an account,
/// whatever its path, and here, where any name can be assumed, `dev/admin` would have the sessions of `admin`.
fn role(signer: &Signer, form: &Form) -> S3Result<String> {
    let arn = form.get("RoleArn").ok_or_else(|| invalid("RoleArn is missing"))?;
    let session =
        form.get("RoleSessionName").ok_or_else(|| invalid("RoleSessionName is missing"))?;
    let plain = |text: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
        (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(fits)
    };
    let own = format!("arn:aws:iam::{}:role/", signer.account);
    let name = arn.strip_prefix(&own).ok_or_else(|| S3Error::new(S3ErrorCode::AccessDenied))?;
    if !plain(name) || !plain(session) {
        return Err(invalid(
            "RoleArn must be arn:aws:iam::ACCOUNT:role/NAME, and RoleSessionName a name",
        ));
    }
    Ok(format!("{name}/{session}"))
}

fn answer(action: &str, result: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{result}</{action}Result></{action}Response>"
    )
}

fn credentials(issued: &Issued) -> String {
    let expires = dates::iso8601(issued.expires);
    format!(
        "<Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken>\
         <Expiration>{expires}</Expiration></Credentials>",
        issued.id, *issued.secret, issued.token
    )
}

fn assumed(signer: &Signer, name: &str, issued: &Issued) -> String {
    let mut xml = credentials(issued);
    // Names and ids are plain: nothing to escape.
    let arn = format!("arn:aws:sts::{}:assumed-role/{name}", signer.account);
    let session = name.rsplit('/').next().unwrap_or_default();
    let _ = write!(
        xml,
        "<AssumedRoleUser><AssumedRoleId>{}:{session}</AssumedRoleId><Arn>{arn}</Arn></AssumedRoleUser>",
        issued.id
    );
    xml
}

fn identity(signer: &Signer) -> String {
    let root = format!("arn:aws:iam::{}:root", signer.account);
    let arn = signer.arn.as_deref().unwrap_or(&root);
    let user = signer.user_id();
    let account = &signer.account;
    answer(
        "GetCallerIdentity",
        &format!("<Arn>{arn}</Arn><UserId>{user}</UserId><Account>{account}</Account>"),
    )
}

/// A form's fields.
struct Form(Vec<(String, String)>);

impl Form {
    async fn read(body: Body) -> S3Result<Self> {
        let too_long = |_| S3Error::new(S3ErrorCode::MaxMessageLengthExceeded);
        let bytes = Limited::new(body, FORM_MAX).collect().await.map_err(too_long)?.to_bytes();
        let text = std::str::from_utf8(&bytes).map_err(|_| invalid("The form is not UTF-8"))?;
        Ok(Self::parse(text))
    }

    fn parse(text: &str) -> Self {
        let decode = |text: &str| {
            let text = text.replace('+', " ");
            percent_decode_str(&text).decode_utf8_lossy().into_owned()
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(pairs.map(|(name, value)| (decode(name), decode(value))).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(field, _)| field == name)?;
        Some(value)
    }
}

fn invalid(message: &'static str) -> S3Error {
    error::refuse(S3ErrorCode::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_decoded() {
        let form = Form::parse("Action=AssumeRole&Policy=%7B%22a%22%3A+1%7D&Empty=&Bare");
        assert_eq!(form.get("Action"), Some("AssumeRole"));
        assert_eq!(form.get("Policy"), Some("{\"a\": 1}"));
        assert_eq!(
            (form.get("Empty"), form.get("Bare"), form.get("None")),
            (Some(""), Some(""), None)
        );
    }

    #[test]
    fn only_a_form_to_the_root_is_meant() {
        let form = HeaderMap::from_iter([(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8"),
        )]);
        let uri = |text: &str| text.parse::<Uri>().expect("a URI");
        assert!(is_sts(&Method::POST, &uri("/"), &form));
        assert!(!is_sts(&Method::POST, &uri("/b"), &form));
        assert!(!is_sts(&Method::PUT, &uri("/"), &form));
        assert!(!is_sts(&Method::POST, &uri("/"), &HeaderMap::new()));
    }
}
