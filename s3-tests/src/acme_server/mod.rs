//! A small certificate authority that speaks ACME (RFC 8555) as strictly as a real one: nonces are good once, every request is signed with
//! ES256, and a name's control is proven by tls-alpn-01 (RFC 8737) or dns-01 before anything is issued. [`NameServer`] is the name server
//! of its little world, which takes signed updates (RFC 2136, RFC 8945).

pub(crate) mod authority;
mod check;
mod jws;
mod name_server;
mod orders;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use types::{Clock as _, SystemClock};

pub use name_server::NameServer;

use self::authority::Authority;
use self::check::Checks;
use self::jws::{Jws, Keys, random};
use self::orders::Orders;

/// What is wrong with a request: status, the end of the problem's type, words.
type Problem = (u16, &'static str, String);

/// A running authority. It ends when this is dropped.
#[derive(Debug)]
pub struct AcmeServer {
    address: SocketAddr,
    roots: PathBuf,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    base: String,
    authority: Authority,
    checks: Checks,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The external account that new ones must be bound to.
    external: Option<(String, Vec<u8>)>,
    /// The window in which renewals are suggested, in seconds from now on.
    window: Option<(i64, i64)>,
    keys: Keys,
    orders: Orders,
    requests: u64,
}

impl AcmeServer {
    /// Issues certificates that live so long. Its root is written into `dir`.
    pub async fn start(dir: &Path, names: &NameServer, life: Duration) -> Self {
        let authority = Authority::new(life);
        let roots = dir.join("acme-root.pem");
        std::fs::write(&roots, authority.root_pem()).expect("written");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let tls = authority.acceptor("localhost");
        let state = Arc::new(State {
            base: format!("https://localhost:{}", address.port()),
            authority,
            checks: Checks::new(names.address()),
            inner: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, state) = (tls.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let answer = service_fn(move |request| {
                        let state = Arc::clone(&state);
                        async move { Ok::<_, std::convert::Infallible>(state.answer(request).await) }
                    });
                    let served =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
                    // A client that goes away is no failure.
                    let _ = served.await;
                });
            }
        });
        Self { address, roots, state, serving }
    }

    /// The URL that clients begin with.
    #[must_use]
    pub fn directory(&self) -> String {
        format!("https://localhost:{}/directory", self.address.port())
    }

    /// The file with the root by which the server itself and all it issues are trusted.
    #[must_use]
    pub fn roots(&self) -> &Path {
        &self.roots
    }

    /// Every name's port 443 is there: proofs by TLS are looked at from now on.
    pub fn look_at(&self, address: SocketAddr) {
        self.state.checks.look_at(address);
    }

    /// From now on accounts must be bound to this external one.
    pub fn bind(&self, id: &str, secret: &[u8]) {
        self.state.lock().external = Some((id.to_owned(), secret.to_vec()));
    }

    /// From now on renewals are suggested between so many seconds from now (RFC 9773).
    pub fn suggest(&self, window: (i64, i64)) {
        self.state.lock().window = Some(window);
    }

    /// What the certificates that were issued took the place of, as their orders said.
    #[must_use]
    pub fn replaced(&self) -> Vec<String> {
        self.state.lock().orders.replaced()
    }

    /// How many certificates were issued.
    #[must_use]
    pub fn issued(&self) -> usize {
        self.state.lock().orders.issued()
    }
}

impl Drop for AcmeServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no request panicked")
    }

    async fn answer(self: &Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let posted = parts.method == Method::POST;
        let typed = parts.headers.get(header::CONTENT_TYPE);
        let answered = match body.collect().await {
            _ if path == "/directory" => Ok(self.directory()),
            _ if path == "/nonce" => Ok(Reply::json(200, &json!({}))),
            _ if path.starts_with("/renewal/") => self.renewal(),
            Ok(_) if !posted || typed.is_none_or(|kind| kind != "application/jose+json") => {
                Err((415, "malformed", "POST application/jose+json".to_owned()))
            }
            Ok(body) => self.post(&path, &body.to_bytes()),
            Err(error) => Err((400, "malformed", error.to_string())),
        };
        let reply = answered.unwrap_or_else(|(status, kind, detail)| {
            let kind = format!("urn:ietf:params:acme:error:{kind}");
            let body = json!({"type": kind, "detail": detail, "status": status});
            Reply { kind: "application/problem+json", ..Reply::json(status, &body) }
        });
        let nonce = self.lock().keys.nonce();
        reply.into_response(&nonce)
    }

    fn directory(&self) -> Reply {
        let url = |path: &str| format!("{}/{path}", self.base);
        let all = json!({
            "newNonce": url("nonce"), "newAccount": url("account"), "newOrder": url("order"),
            "revokeCert": url("revoke"), "keyChange": url("key"), "renewalInfo": url("renewal"),
            "meta": {"termsOfService": "https://example.com/terms"},
        });
        Reply::json(200, &all)
    }

    fn renewal(&self) -> Result<Reply, Problem> {
        let none = || (404, "malformed", "nothing is suggested".to_owned());
        let (start, end) = self.lock().window.ok_or_else(none)?;
        let now = time::OffsetDateTime::from(std::time::SystemTime::from(SystemClock.now()));
        let moment = |seconds: i64| {
            let moment = now + time::Duration::seconds(seconds);
            let (date, (hour, minute, second)) = (moment.date(), moment.to_hms());
            format!("{date}T{hour:02}:{minute:02}:{second:02}Z")
        };
        let body = json!({"suggestedWindow": {"start": moment(start), "end": moment(end)}});
        Ok(Reply::json(200, &body))
    }

    fn post(self: &Arc<Self>, path: &str, body: &[u8]) -> Result<Reply, Problem> {
        let mut locked = self.lock();
        let inner = &mut *locked;
        inner.requests += 1;
        // A server may refuse any nonce; clients have to try again with the one that comes along.
        if inner.requests % 5 == 3 {
            return Err((400, "badNonce", "try the new one".to_owned()));
        }
        let jws = inner.keys.verify(body, &format!("{}{path}", self.base))?;
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let number = |text: &str| {
            text.parse::<usize>().map_err(|_| (404, "malformed", "no such thing".to_owned()))
        };
        match parts[..] {
            ["account"] => self.new_account(inner, &jws),
            ["order"] => {
                let id = inner.orders.create(jws.account()?, &jws.payload)?;
                let body = inner.orders.show(id, jws.account()?, &self.base)?;
                let location = format!("{}/order/{id}", self.base);
                Ok(Reply { location: Some(location), ..Reply::json(201, &body) })
            }
            ["order", id] => {
                Ok(Reply::json(200, &inner.orders.show(number(id)?, jws.account()?, &self.base)?))
            }
            ["order", id, "finalize"] => {
                let id = number(id)?;
                inner.orders.finalize(id, jws.account()?, &jws.payload, &self.authority)?;
                Ok(Reply::json(200, &inner.orders.show(id, jws.account()?, &self.base)?))
            }
            ["authorization", id] => {
                let body = inner.orders.authorization(number(id)?, jws.account()?, &self.base)?;
                Ok(Reply::json(200, &body))
            }
            ["challenge", id, kind] => {
                let id = number(id)?;
                let body = inner.orders.challenge(id, jws.account()?, kind, &self.base)?;
                let asked = inner.orders.begin(id, kind, &inner.keys)?;
                let state = Arc::clone(self);
                tokio::spawn(async move {
                    let proven = state.checks.check(&asked).await;
                    state.lock().orders.settle(id, proven);
                });
                Ok(Reply::json(200, &body))
            }
            ["certificate", id] => {
                let chain = inner.orders.certificate(number(id)?, jws.account()?)?;
                let kind = "application/pem-certificate-chain";
                Ok(Reply { status: 200, kind, location: None, body: chain })
            }
            _ => Err((404, "malformed", "no such resource".to_owned())),
        }
    }

    fn new_account(&self, inner: &mut Inner, jws: &Jws) -> Result<Reply, Problem> {
        if jws.payload["termsOfServiceAgreed"] != json!(true) {
            return Err((403, "userActionRequired", "agree to the terms".to_owned()));
        }
        if let Some((id, secret)) = &inner.external {
            Keys::check_binding(
                jws,
                (id.as_str(), secret.as_slice()),
                &format!("{}/account", self.base),
            )?;
        }
        let location = format!("{}/account/{}", self.base, random());
        inner.keys.keep(&location, jws)?;
        let body = json!({"status": "valid", "contact": jws.payload["contact"]});
        Ok(Reply { location: Some(location), ..Reply::json(201, &body) })
    }
}

/// An answer before it is one of HTTP.
struct Reply {
    status: u16,
    kind: &'static str,
    location: Option<String>,
    body: String,
}

impl Reply {
    fn json(status: u16, body: &Value) -> Self {
        Self { status, kind: "application/json", location: None, body: body.to_string() }
    }

    fn into_response(self, nonce: &str) -> Response<Full<Bytes>> {
        let mut response = Response::builder()
            .status(self.status)
            .header(header::CONTENT_TYPE, self.kind)
            .header(header::CACHE_CONTROL, "no-store")
            .header("replay-nonce", nonce);
        if let Some(location) = &self.location {
            let location = HeaderValue::from_str(location).expect("a URL is a header's value");
            response = response.header(header::LOCATION, location);
        }
        response.body(Full::from(self.body)).expect("a response")
    }
}
