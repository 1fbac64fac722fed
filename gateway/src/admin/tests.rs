use axum::body::{Body, to_bytes};
use http::{Method, Request, StatusCode};
use kv::memory::Memory;
use metadata::records::Account;
use protocol::identity::RootKey;
use protocol::invite::Invite;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use types::{AccountId, NodeId, Timestamp};
use zeroize::Zeroizing;

use super::sigv4::{Credentials, sign};
use super::*;
use crate::configs::Configs;
use crate::secrets;

const NOW: Timestamp = Timestamp(1_763_800_000_000);

struct Frozen;

impl types::Clock for Frozen {
    fn now(&self) -> Timestamp {
        NOW
    }
}

struct Words;

impl Invites for Words {
    fn make(&self, token: Token) -> String {
        let gateways = vec!["gateway.example:9100".parse().expect("an address")];
        Invite { gateways, root: RootKey::generate().public(), token }.to_string()
    }
}

/// An admin API over an empty installation with one operator and one customer.
struct Api {
    router: Router,
    parts: AdminParts,
    operator: Credentials,
    customer: Credentials,
    _dir: tempfile::TempDir,
}

impl Api {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let clock: SharedClock = Arc::new(Frozen);
        let engine: Arc<dyn kv::Kv> = Arc::new(Memory::new());
        let catalog = Catalog::new(Arc::clone(&engine), Arc::clone(&clock), Duration::from_secs(1));
        let books = billing::Billing::new(engine, billing::Rules::default());
        let wall = metadata::AccountingClock::WALL;
        let settlement = Settlement::new(catalog.clone(), books.clone(), Arc::clone(&clock), wall);
        settlement.begin().await.expect("a tariff");
        let standings = Arc::new(Standings::new(books, Arc::clone(&clock), wall, true));
        let keyring = Arc::new(Keyring::generate());
        let parts = AdminParts {
            keys: Arc::new(WrappingKeys::new(catalog.clone(), Arc::clone(&keyring))),
            configs: Configs::new(catalog.clone()),
            quotas: Arc::default(),
            settlement,
            standings,
            catalog,
            keyring,
            nodes: Arc::new(Nodes::new(Arc::clone(&clock))),
            progress: Arc::default(),
            pacer: Arc::new(Pacer::new(0)),
            vetting: VettingRules::default(),
            node_lost_after: Duration::from_secs(7 * 24 * 3600),
            invites: Arc::new(Words),
            geometry: GeometryName::Local,
            clock,
            started: Instant::now(),
            data_dir: dir.path().to_owned(),
            forget_key: Arc::new(|_| {}),
            metrics: metrics::install(),
        };
        let operator = user(&parts, "root", true).await;
        let customer = user(&parts, "alice", false).await;
        Self { router: router(parts.clone()), parts, operator, customer, _dir: dir }
    }

    /// Sends a request as the operator.
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        self.call_as(&self.operator, method, path, body).await
    }

    async fn call_as(
        &self,
        who: &Credentials,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:9001");
        let request = if body.is_some() {
            request.header("content-type", "application/json")
        } else {
            request
        };
        let bytes = body.map(|body| body.to_string()).unwrap_or_default();
        let (mut parts, ()) = request.body(()).expect("a request").into_parts();
        sign(&mut parts, bytes.as_bytes(), who, "us-east-1", SERVICE, NOW);
        self.send(Request::from_parts(parts, Body::from(bytes))).await
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }
}

async fn user(parts: &AdminParts, id: &str, operator: bool) -> Credentials {
    let account: AccountId = id.parse().expect("an id");
    let record =
        Account { name: id.to_owned(), email: format!("{id}@example.com"), created: NOW, operator };
    parts.catalog.create_account(&account, &record).await.expect("created");
    let (access_key, secret_key) = secrets::generate();
    let key = secrets::seal(&parts.keyring, &access_key, &secret_key, account, NOW);
    parts.catalog.create_access_key(&access_key, &key).await.expect("created");
    Credentials { access_key, secret_key }
}

fn unsigned(method: &str, path: &str) -> Request<Body> {
    Request::builder().method(method).uri(path).body(Body::empty()).expect("a request")
}

#[tokio::test]
async fn every_described_path_exists_and_only_health_is_unsigned() {
    let api = Api::new().await;
    let document: Value = serde_json::from_str(health::OPENAPI).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    assert_eq!(paths.len(), 46);
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().expect("operations") {
            let path = path.replace("{id}", &NodeId([1; 32]).to_string());
            let (status, body) = api.send(unsigned(&method.to_uppercase(), &path)).await;
            if operation.get("security").is_some() {
                assert_ne!(status, StatusCode::FORBIDDEN, "{method} {path}");
            } else {
                assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path}");
                assert_eq!(body["code"], "MissingAuthenticationToken", "{method} {path}");
                let method = method.to_uppercase().parse().expect("a method");
                let (status, body) = api.call(method, &path, None).await;
                assert!(
                    !matches!(body["code"].as_str(), Some("NoSuchPath" | "MethodNotAllowed")),
                    "{path}: {status}"
                );
            }
        }
    }
}

#[tokio::test]
async fn only_operators_are_obeyed() {
    let api = Api::new().await;
    let (status, body) = api.call_as(&api.customer, Method::GET, "/admin/v1/accounts", None).await;
    assert_eq!((status, &body["code"]), (StatusCode::FORBIDDEN, &json!("AccessDenied")));
    let stranger = Credentials { access_key: "AKNOBODY".to_owned(), ..api.operator.clone() };
    let (status, body) = api.call_as(&stranger, Method::GET, "/admin/v1/accounts", None).await;
    assert_eq!((status, &body["code"]), (StatusCode::FORBIDDEN, &json!("InvalidAccessKeyId")));
    let liar =
        Credentials { secret_key: Zeroizing::new("guessed".to_owned()), ..api.operator.clone() };
    let (status, body) = api.call_as(&liar, Method::GET, "/admin/v1/accounts", None).await;
    assert_eq!((status, &body["code"]), (StatusCode::FORBIDDEN, &json!("SignatureDoesNotMatch")));
}

#[tokio::test]
async fn a_handler_without_the_check_in_front_obeys_nobody() {
    let api = Api::new().await;
    let bare =
        Router::new().route("/", get(accounts::list)).with_state(Arc::new(api.parts.clone()));
    let response = bare.oneshot(unsigned("GET", "/")).await.expect("infallible");
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn an_account_is_created_with_the_key_it_brings_and_listed_without() {
    let api = Api::new().await;
    let new = json!({"id": "bob", "name": "Bob", "email": "b@example.com", "access_key": "BOBKEY", "secret_key": "bobs-secret"});
    let (status, body) = api.call(Method::POST, "/admin/v1/accounts", Some(new.clone())).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    assert_eq!(
        (&body["access_key"], &body["secret_key"]),
        (&json!("BOBKEY"), &json!("bobs-secret"))
    );
    let key = api.parts.catalog.access_key("BOBKEY").await.expect("read").expect("there");
    assert_eq!(*secrets::open(&api.parts.keyring, "BOBKEY", &key).expect("opens"), "bobs-secret");
    let (_, list) = api.call(Method::GET, "/admin/v1/accounts", None).await;
    let ids: Vec<_> =
        list.as_array().expect("a list").iter().map(|account| account["id"].clone()).collect();
    assert_eq!(ids, ["alice", "bob", "root"]);
    assert!(!list.to_string().contains("secret"), "{list}");
    let (status, body) = api.call(Method::POST, "/admin/v1/accounts", Some(new)).await;
    assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("AlreadyExists")));
}

#[tokio::test]
async fn a_taken_key_creates_no_account() {
    let api = Api::new().await;
    let access = &api.customer.access_key;
    let new = json!({"id": "eve", "name": "Eve", "email": "e@example.com", "access_key": access, "secret_key": "eves-secret"});
    let (status, _) = api.call(Method::POST, "/admin/v1/accounts", Some(new)).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(
        api.parts.catalog.account(&"eve".parse().expect("an id")).await.expect("read"),
        None
    );
}

#[tokio::test]
async fn bad_requests_are_refused_in_words() {
    let api = Api::new().await;
    for (path, body) in [
        ("/admin/v1/accounts", json!({"id": "a b", "name": "A", "email": "e"})),
        ("/admin/v1/accounts", json!({"id": "a", "name": "", "email": "e"})),
        ("/admin/v1/accounts", json!({"id": "a", "name": "A", "email": "e", "extra": 1})),
        ("/admin/v1/accounts", json!({"id": "a", "name": "A", "email": "e", "access_key": "ABC"})),
        (
            "/admin/v1/keys",
            json!({"account": "alice", "access_key": "a/b", "secret_key": "long-enough"}),
        ),
        ("/admin/v1/invites", json!({"hours": 0})),
        ("/admin/v1/backup", json!({"to": "relative"})),
        ("/admin/v1/nodes/xyz/lost", json!({})),
    ] {
        let (status, answer) = api.call(Method::POST, path, Some(body.clone())).await;
        assert_eq!(
            (status, &answer["code"]),
            (StatusCode::BAD_REQUEST, &json!("InvalidRequest")),
            "{body}: {answer}"
        );
    }
    let long = json!({"account": "x".repeat(100_000)});
    let (status, _) = api.call(Method::POST, "/admin/v1/keys", Some(long)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let (status, answer) =
        api.call(Method::POST, "/admin/v1/keys", Some(json!({"account": "nobody"}))).await;
    assert_eq!((status, &answer["code"]), (StatusCode::NOT_FOUND, &json!("NotFound")));
}

#[tokio::test]
async fn an_invite_lets_one_node_in_unless_it_is_taken_back() {
    let api = Api::new().await;
    let (status, body) = api.call(Method::POST, "/admin/v1/invites", None).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let word = body["invite"].as_str().expect("a word").to_owned();
    let invite: Invite = word.parse().expect("an invite");
    let node = NodeId([9; 32]);
    api.parts.catalog.admit_node(invite.token.digest(), node, "attic", 5).await.expect("admitted");
    let (_, nodes) = api.call(Method::GET, "/admin/v1/nodes", None).await;
    assert_eq!((&nodes[0]["name"], &nodes[0]["state"]), (&json!("attic"), &json!("offline")));
    let (status, _) =
        api.call(Method::DELETE, "/admin/v1/invites", Some(json!({"invite": word}))).await;
    assert_eq!(status, StatusCode::CONFLICT, "it is used");

    let (_, body) = api.call(Method::POST, "/admin/v1/invites", Some(json!({"hours": 1}))).await;
    let (status, _) = api
        .call(Method::DELETE, "/admin/v1/invites", Some(json!({"invite": body["invite"]})))
        .await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let revoked: Invite = body["invite"].as_str().expect("a word").parse().expect("an invite");
    let digest = revoked.token.digest();
    assert!(api.parts.catalog.admit_node(digest, NodeId([8; 32]), "shed", 5).await.is_err());
}

#[tokio::test]
async fn a_lost_node_shows_in_its_list_and_in_the_durability() {
    let api = Api::new().await;
    let (_, body) = api.call(Method::POST, "/admin/v1/invites", None).await;
    let invite: Invite = body["invite"].as_str().expect("a word").parse().expect("an invite");
    let node = NodeId([9; 32]);
    api.parts.catalog.admit_node(invite.token.digest(), node, "attic", 5).await.expect("admitted");
    let members = [Some(node), None, None, None, None, None];
    api.parts.catalog.create_group(GeometryName::Local, 1, &members).await.expect("created");
    let (status, body) =
        api.call(Method::POST, &format!("/admin/v1/nodes/{node}/lost"), None).await;
    assert_eq!(
        (status, &body["state"], &body["groups"]),
        (StatusCode::OK, &json!("lost"), &json!(1))
    );
    let (_, body) = api.call(Method::GET, "/admin/v1/durability", None).await;
    assert_eq!(body["nodes"], json!({"online": 0, "offline": 0, "lost": 1}));
    assert_eq!((&body["healthy"], &body["groups"]["below_repair"]), (&json!(false), &json!(1)));
    let (status, body) = api.call(Method::POST, "/admin/v1/fsck", None).await;
    assert_eq!((status, &body["clean"]), (StatusCode::OK, &json!(true)));
    let unknown = NodeId([7; 32]);
    let (status, _) =
        api.call(Method::POST, &format!("/admin/v1/nodes/{unknown}/lost"), None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn readiness_waits_for_the_write_quorum() {
    let api = Api::new().await;
    let (status, body) = api.send(unsigned("GET", "/readyz")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        body,
        json!({"ready": false, "catalog": true, "nodes_online": 0, "nodes_needed": 5})
    );
    let (status, _) = api.send(unsigned("GET", "/livez")).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn metrics_show_the_nodes() {
    let api = Api::new().await;
    let response =
        api.router.clone().oneshot(unsigned("GET", "/metrics")).await.expect("infallible");
    let body = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
    let text = String::from_utf8(body.to_vec()).expect("text");
    assert!(text.contains("drystone_nodes_needed 5"), "{text}");
}

/// Lets a node in by an invite that the API made from `new`.
async fn join(api: &Api, node: NodeId, new: Value) {
    let (status, body) = api.call(Method::POST, "/admin/v1/invites", Some(new)).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let invite: Invite = body["invite"].as_str().expect("a word").parse().expect("an invite");
    api.parts.catalog.admit_node(invite.token.digest(), node, "attic", 5).await.expect("admitted");
}

#[tokio::test]
async fn a_node_is_suspended_for_a_reason_and_reinstated_for_another() {
    let api = Api::new().await;
    let node = NodeId([9; 32]);
    join(&api, node, json!({})).await;
    let path = |change: &str| format!("/admin/v1/nodes/{node}/{change}");
    for change in ["suspend", "disqualify", "reinstate"] {
        for reason in [json!({}), json!({"reason": " "}), json!({"reason": "x".repeat(201)})] {
            let (status, _) = api.call(Method::POST, &path(change), Some(reason)).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{change}");
        }
    }
    let why = json!({"reason": "a complaint"});
    let (status, body) = api.call(Method::POST, &path("suspend"), Some(why)).await;
    assert_eq!(
        (status, &body["rank"], &body["held"], &body["reason"]),
        (StatusCode::OK, &json!("suspended"), &json!(true), &json!("a complaint"))
    );
    let kept = api.parts.catalog.standings().await.expect("read");
    assert_eq!((kept[0].0, kept[0].1.rank), (node, metadata::records::Rank::Suspended));
    let why = json!({"reason": "settled"});
    let (_, body) = api.call(Method::POST, &path("reinstate"), Some(why)).await;
    assert_eq!((&body["rank"], &body["held"]), (&json!("good"), &json!(false)));
    let changes = body["changes"].as_array().expect("a list");
    let told: Vec<_> = changes.iter().map(|change| (&change["rank"], &change["by"])).collect();
    assert_eq!(
        told,
        [(&json!("good"), &json!("operator")), (&json!("suspended"), &json!("operator"))]
    );
    assert_eq!(body["wanting"]["audits"], 459);
    let (_, body) = api.call(Method::POST, &path("vouch"), None).await;
    assert_eq!((body["vetted"].is_string(), &body["wanting"]), (true, &Value::Null));
    let (status, body) = api.call(Method::POST, &path("praise"), None).await;
    assert_eq!((status, &body["code"]), (StatusCode::NOT_FOUND, &json!("NoSuchPath")));
}

#[tokio::test]
async fn a_node_that_fills_no_slot_may_leave_at_once() {
    let api = Api::new().await;
    let (node, other) = (NodeId([9; 32]), NodeId([8; 32]));
    join(&api, node, json!({})).await;
    join(&api, other, json!({})).await;
    let members = [Some(other), None, None, None, None, None];
    api.parts.catalog.create_group(GeometryName::Local, 1, &members).await.expect("created");
    let leave = |node: NodeId| format!("/admin/v1/nodes/{node}/leave");
    let (_, body) = api.call(Method::POST, &leave(node), None).await;
    assert_eq!((&body["leaving"]["done"], &body["state"]), (&json!(true), &json!("offline")));
    let (_, body) = api.call(Method::POST, &leave(other), None).await;
    assert_eq!(
        (&body["leaving"]["done"], &body["leaving"]["slots_waiting"]),
        (&json!(false), &json!(1))
    );
    let (_, body) = api.call(Method::POST, &format!("/admin/v1/nodes/{other}/stay"), None).await;
    assert_eq!(body["leaving"], Value::Null);
}

#[tokio::test]
async fn an_invite_says_whose_the_node_will_be_and_where() {
    let api = Api::new().await;
    let node = NodeId([9; 32]);
    join(&api, node, json!({"owner": "alice", "region": "eu-north"})).await;
    let (status, body) = api.call(Method::GET, &format!("/admin/v1/nodes/{node}"), None).await;
    assert_eq!(
        (status, &body["owner"], &body["region"]),
        (StatusCode::OK, &json!("alice"), &json!("eu-north"))
    );
    assert_eq!(body["hours"].as_array().map(Vec::len), Some(168));
    for (new, refusal) in [
        (json!({"owner": "nobody"}), StatusCode::NOT_FOUND),
        (json!({"region": ""}), StatusCode::BAD_REQUEST),
        (json!({"region": "x".repeat(65)}), StatusCode::BAD_REQUEST),
    ] {
        let (status, body) = api.call(Method::POST, "/admin/v1/invites", Some(new)).await;
        assert_eq!(status, refusal, "{body}");
    }
}

#[tokio::test]
async fn a_node_changes_hands_in_the_catalog_and_in_the_books() {
    let api = Api::new().await;
    let node = NodeId([9; 32]);
    join(&api, node, json!({"owner": "alice"})).await;
    let path = format!("/admin/v1/nodes/{node}");
    let (owner, vouch) = (format!("{path}/owner"), format!("{path}/vouch"));
    let books = api.parts.settlement.billing();
    let alice: AccountId = "alice".parse().expect("an id");
    let profile = api.parts.settlement.enrol(node).await.expect("told");
    assert_eq!((profile.owner, profile.vetted), (Some(alice.clone()), None));
    assert_eq!(books.nodes_of(&alice).await.expect("read"), [node]);
    let (status, _) = api.call(Method::POST, &vouch, None).await;
    assert_eq!(status, StatusCode::OK);
    for (to, mine) in [(Value::Null, vec![]), (json!("alice"), vec![node])] {
        let change = json!({ "account": to, "reason": "sold" });
        let (status, told) = api.call(Method::POST, &owner, Some(change)).await;
        assert_eq!((status, &told["owner"]), (StatusCode::OK, &to), "{told}");
        assert_ne!(told["vetted"], Value::Null, "nothing more is held back: {told}");
        assert_eq!(api.call(Method::GET, &path, None).await.1["owner"], to);
        assert_eq!(books.nodes_of(&alice).await.expect("read"), mine);
    }
    let nobody = json!({ "account": "nobody", "reason": "sold" });
    assert_eq!(api.call(Method::POST, &owner, Some(nobody)).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_is_not_there_has_no_durability() {
    let api = Api::new().await;
    for (query, status) in [
        ("bucket=none&key=k", StatusCode::NOT_FOUND),
        ("bucket=A&key=k", StatusCode::BAD_REQUEST),
        ("bucket=none&key=k&version=x", StatusCode::BAD_REQUEST),
        ("bucket=none", StatusCode::BAD_REQUEST),
    ] {
        let path = format!("/admin/v1/durability/object?{query}");
        assert_eq!(api.call(Method::GET, &path, None).await.0, status, "{query}");
    }
    let (status, body) = api.call(Method::GET, "/admin/v1/durability?groups=0", None).await;
    assert_eq!((status, &body["worst"]), (StatusCode::OK, &json!([])));
}

#[tokio::test]
async fn the_operator_moves_money_with_a_reason_and_once() {
    let api = Api::new().await;
    let path = "/admin/v1/accounts/alice/money";
    let deposit = |amount: &str, reason: &str| json!({ "change": "money", "kind": "deposit", "amount": amount, "reason": reason, "request": "r1" });
    let (status, body) = api.call(Method::POST, path, Some(deposit("25.5", ""))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    for _ in 0..2 {
        let (status, body) = api.call(Method::POST, path, Some(deposit("25.5", "transfer"))).await;
        assert_eq!((status, &body["balance"]), (StatusCode::OK, &json!("25.500000")), "{body}");
    }
    let (status, body) = api.call(Method::POST, path, Some(deposit("1", "another"))).await;
    assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("AlreadyExists")));
    let (status, _) = api.call(Method::GET, "/admin/v1/accounts/nobody/money", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (_, checked) = api.call(Method::GET, "/admin/v1/ledger/check", None).await;
    assert_eq!(
        (&checked["sound"], &checked["totals"]["bank"]),
        (&json!(true), &json!("25.500000"))
    );
    let (_, entries) = api.call(Method::GET, "/admin/v1/ledger?limit=9", None).await;
    assert_eq!(entries.as_array().map(Vec::len), Some(1), "{entries}");
}

#[tokio::test]
async fn tiers_freezes_and_caps_are_shown_as_they_were_set() {
    let api = Api::new().await;
    let path = "/admin/v1/accounts/alice/money";
    for change in [
        json!({ "change": "tier", "tier": "email", "reason": "r" }),
        json!({ "change": "freeze", "kind": "billing", "reason": "unpaid" }),
        json!({ "change": "cap", "amount": "5", "reason": "r" }),
        json!({ "change": "cap", "key": "AK", "amount": "1", "reason": "r" }),
    ] {
        let (status, body) = api.call(Method::POST, path, Some(change)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
    }
    let (_, shown) = api.call(Method::GET, path, None).await;
    assert_eq!(shown["profile"]["tier"], "email");
    assert_eq!(shown["profile"]["freezes"][0]["reason"], "unpaid");
    assert_eq!(shown["caps"].as_array().map(Vec::len), Some(2), "{shown}");
    let both =
        json!({ "change": "cap", "bucket": "b1b", "key": "AK", "amount": "1", "reason": "r" });
    assert_eq!(api.call(Method::POST, path, Some(both)).await.0, StatusCode::BAD_REQUEST);
    let unfreeze = json!({ "change": "unfreeze", "kind": "billing", "reason": "paid" });
    let (_, shown) = api.call(Method::POST, path, Some(unfreeze)).await;
    assert_eq!(shown["profile"]["freezes"], json!([]));
}

#[tokio::test]
async fn a_tariff_is_for_the_future_and_reads_cost_what_they_take() {
    let api = Api::new().await;
    let (_, all) = api.call(Method::GET, "/admin/v1/tariffs", None).await;
    let mut next = all[0].clone();
    next["from"] = json!("2100-01-01");
    next["tariff"]["note"] = json!("a test");
    let (status, body) = api.call(Method::POST, "/admin/v1/tariffs", Some(next.clone())).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let mut cheap = next.clone();
    cheap["tariff"]["prices"]["requests"][1] = json!("0.000001");
    let (status, body) = api.call(Method::POST, "/admin/v1/tariffs", Some(cheap)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body["message"].as_str().is_some_and(|words| words.contains("64 KiB")), "{body}");
    let mut past = next.clone();
    past["from"] = json!("2000-01-01");
    let (status, body) = api.call(Method::POST, "/admin/v1/tariffs", Some(past)).await;
    assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("PastIsFixed")));
    let gone = api.call(Method::DELETE, "/admin/v1/tariffs/2100-01-01", None).await;
    assert_eq!(gone.0, StatusCode::NO_CONTENT);
    let (status, body) =
        api.call(Method::POST, "/admin/v1/settlement", Some(json!({ "dry_run": true }))).await;
    assert_eq!((status, &body["preview"]), (StatusCode::OK, &Value::Null), "{body}");
}

#[tokio::test]
async fn a_takedown_names_one_thing_and_why_and_anybody_may_read_the_log() {
    let api = Api::new().await;
    let path = "/admin/v1/takedowns";
    let hash = "ab".repeat(32);
    let good = json!({"contents": [hash], "reason": "list 1"});
    for bad in [
        json!({"reason": "nothing is named"}),
        json!({"contents": [], "reason": "nothing is named"}),
        json!({"contents": ["ab"], "reason": "no hash"}),
        json!({"contents": [hash], "reason": " "}),
        json!({"contents": [hash], "reason": "two\nlines"}),
        json!({"contents": [hash], "prefix": {"bucket": "b", "key": ""}, "reason": "two things"}),
    ] {
        let (status, body) = api.call(Method::POST, path, Some(bad)).await;
        assert_eq!((status, &body["code"]), (StatusCode::BAD_REQUEST, &json!("InvalidRequest")));
    }
    let nowhere = json!({"object": {"bucket": "nowhere", "key": "k"}, "reason": "r"});
    let (status, _) = api.call(Method::POST, path, Some(nowhere)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = api.call_as(&api.customer, Method::POST, path, Some(good.clone())).await;
    assert_eq!(status, StatusCode::FORBIDDEN);

    for changed in [1, 0] {
        let (status, body) = api.call(Method::POST, path, Some(good.clone())).await;
        assert_eq!((status, body), (StatusCode::OK, json!({"changed": changed, "named": 1})));
    }
    let (_, list) = api.call(Method::GET, path, None).await;
    assert_eq!((&list[0]["kind"], &list[0]["what"]), (&json!("content"), &json!(hash)));
    let (status, row) = api.send(unsigned("GET", "/takedowns")).await;
    assert_eq!((status, &row["number"]), (StatusCode::OK, &json!(1)));
    assert_eq!((&row["action"], &row["reason"]), (&json!("take-down"), &json!("list 1")));
    let (status, _) = api.send(unsigned("GET", "/takedowns?after=x")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (_, body) = api.call(Method::DELETE, path, Some(good)).await;
    assert_eq!(body, json!({"changed": 1, "named": 1}));
    let (_, list) = api.call(Method::GET, path, None).await;
    assert_eq!(list, json!([]));
}
