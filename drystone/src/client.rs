//! The admin API from outside: requests signed with the operator's key.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ::gateway::admin::SERVICE;
use ::gateway::admin::sigv4::{Credentials, sign};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use types::{Clock as _, SystemClock};
use zeroize::Zeroizing;

use crate::error::CliError;

/// The region of the signature; the gateway takes any.
const REGION: &str = "us-east-1";
/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes of the longest answer: a list of a hundred thousand nodes.
const ANSWER_MAX: usize = 64 << 20;
/// The root account's keys in the environment.
const ACCESS_VARIABLE: &str = "DRYSTONE_ROOT_ACCESS_KEY";
const SECRET_VARIABLE: &str = "DRYSTONE_ROOT_SECRET_KEY";

/// Which gateway to ask, and as whom.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Target {
    /// The gateway's admin API.
    #[arg(
        long,
        env = "DRYSTONE_ENDPOINT",
        value_name = "URL",
        default_value = "http://127.0.0.1:9001",
        global = true
    )]
    endpoint: Endpoint,
    /// The gateway's data folder, for the root keys in it. Not needed where DRYSTONE_ROOT_ACCESS_KEY and
    /// DRYSTONE_ROOT_SECRET_KEY are set.
    #[arg(long, env = "DRYSTONE_DATA", value_name = "DIR", global = true)]
    data: Option<PathBuf>,
}

/// `http://HOST[:PORT]`
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    authority: String,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
        match (uri.scheme_str(), uri.authority(), uri.path()) {
            (Some("http"), Some(authority), "/") => Ok(Self { authority: authority.to_string() }),
            (Some("https"), ..) => {
                Err("the admin API speaks plain HTTP; reach a remote one through a tunnel"
                    .to_owned())
            }
            _ => Err("write http://HOST:PORT".to_owned()),
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

/// Talks to one gateway.
pub(crate) struct Client {
    http: Http<HttpConnector, Full<Bytes>>,
    endpoint: Endpoint,
    credentials: Credentials,
}

impl Target {
    /// A client of that gateway. Connects at the first request.
    pub(crate) fn client(self) -> Result<Client, CliError> {
        let credentials = self.credentials()?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        let http = Http::builder(TokioExecutor::new()).build(connector);
        Ok(Client { http, endpoint: self.endpoint, credentials })
    }

    /// Whether keys are at hand: a data folder is named, or they are in the environment.
    pub(crate) fn is_named(&self) -> bool {
        let given = |name| std::env::var(name).is_ok_and(|value| !value.is_empty());
        self.data.is_some() || given(ACCESS_VARIABLE) || given(SECRET_VARIABLE)
    }

    fn credentials(&self) -> Result<Credentials, CliError> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        match (variable(ACCESS_VARIABLE), variable(SECRET_VARIABLE), &self.data) {
            (Some(access_key), Some(secret), _) => {
                Ok(Credentials { access_key, secret_key: Zeroizing::new(secret) })
            }
            (None, None, Some(data)) => crate::settings::stored_root_keys(data),
            (None, None, None) => Err(CliError::Usage(format!(
                "admin requests are signed: give --data DIR (the gateway's data folder), or set {ACCESS_VARIABLE} and {SECRET_VARIABLE}"
            ))),
            _ => Err(CliError::Usage(format!(
                "set both {ACCESS_VARIABLE} and {SECRET_VARIABLE}, or neither"
            ))),
        }
    }
}

impl Client {
    pub(crate) async fn get(&self, path: &str) -> Result<Value, CliError> {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Option<Value>) -> Result<Value, CliError> {
        self.call(Method::POST, path, body).await
    }

    pub(crate) async fn delete(&self, path: &str, body: Option<Value>) -> Result<Value, CliError> {
        self.call(Method::DELETE, path, body).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, CliError> {
        let request = self.request(method, path, body.as_ref())?;
        let unreachable = |source: Box<dyn std::error::Error + Send + Sync>| {
            CliError::Unreachable { endpoint: self.endpoint.to_string(), source }
        };
        let response =
            self.http.request(request).await.map_err(|error| unreachable(error.into()))?;
        let status = response.status();
        let bytes = Limited::new(response.into_body(), ANSWER_MAX)
            .collect()
            .await
            .map_err(unreachable)?
            .to_bytes();
        let strange =
            |what: String| CliError::Strange { endpoint: self.endpoint.to_string(), what };
        if status.is_success() && bytes.is_empty() {
            return Ok(Value::Null);
        }
        let answer: Value = serde_json::from_slice(&bytes)
            .map_err(|_| strange(format!("{status}, and no JSON")))?;
        if status.is_success() {
            return Ok(answer);
        }
        match (answer["code"].as_str(), answer["message"].as_str()) {
            (Some(code), Some(message)) => {
                Err(CliError::Refused { code: code.to_owned(), message: message.to_owned() })
            }
            _ => Err(strange(status.to_string())),
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Request<Full<Bytes>>, CliError> {
        let bytes = body.map(ToString::to_string).unwrap_or_default();
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.endpoint))
            .header("host", &self.endpoint.authority);
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(()).map_err(|error| CliError::Usage(error.to_string()))?;
        let (mut parts, ()) = request.into_parts();
        sign(&mut parts, bytes.as_bytes(), &self.credentials, REGION, SERVICE, SystemClock.now());
        Ok(Request::from_parts(parts, Full::from(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_plain_http_origin() {
        let parse = |text: &str| text.parse::<Endpoint>().map(|endpoint| endpoint.to_string());
        assert_eq!(parse("http://127.0.0.1:9001"), Ok("http://127.0.0.1:9001".to_owned()));
        assert_eq!(parse("http://[::1]:9001/"), Ok("http://[::1]:9001".to_owned()));
        assert!(parse("https://h").expect_err("refused").contains("tunnel"));
        for bad in ["127.0.0.1:9001", "http://h/path", "ftp://h", ""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
