use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::service_fn;

use super::{BindError, BodyFault, Limits, RequestBody, RequestId, bind, serve};

/// A door with a service that does what the path says.
struct Door {
    addr: SocketAddr,
    shutdown: CancellationToken,
    /// Told when `/wait` is at work.
    working: Arc<Notify>,
    /// Lets `/wait` go on.
    go_on: Arc<Notify>,
    served: JoinHandle<()>,
}

fn door(limits: Limits) -> Door {
    let listener =
        bind("127.0.0.1:0".parse().expect("an address"), "--test-addr").expect("a free port");
    let addr = listener.local_addr().expect("an address");
    let (working, go_on) = (Arc::<Notify>::default(), Arc::<Notify>::default());
    let (tell, wait) = (Arc::clone(&working), Arc::clone(&go_on));
    let service = service_fn(move |request| answer(request, Arc::clone(&tell), Arc::clone(&wait)));
    let shutdown = CancellationToken::new();
    let served = tokio::spawn(serve(listener, None, service, limits, shutdown.clone()));
    Door { addr, shutdown, working, go_on, served }
}

async fn answer(
    request: Request<RequestBody>,
    working: Arc<Notify>,
    go_on: Arc<Notify>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let id = request.extensions().get::<RequestId>().expect("the door gives an id").to_string();
    let text = match request.uri().path() {
        "/panic" => panic!("as asked"),
        "/wait" => {
            working.notify_one();
            go_on.notified().await;
            "waited".to_owned()
        }
        "/body" => match request.into_body().collect().await {
            Ok(body) => format!("{} bytes", body.to_bytes().len()),
            Err(BodyFault::Slow(_)) => "slow".to_owned(),
            Err(BodyFault::Broken(_)) => "broken".to_owned(),
        },
        _ => id,
    };
    Ok(Response::new(Full::from(text)))
}

/// Sends bytes and gives back all that comes until the other end closes.
async fn exchange(addr: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.expect("connected");
    stream.write_all(bytes.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    // A reset after the answer is fine: the door need not read what it refused.
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

async fn get(addr: SocketAddr, path: &str) -> String {
    exchange(addr, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await
}

fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or("")
}

#[tokio::test]
async fn every_answer_carries_the_id_that_the_service_saw() {
    let door = door(Limits::s3());
    let answer = get(door.addr, "/").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let id = header(&answer, "x-amz-request-id");
    assert_eq!(id.len(), 16);
    assert!(answer.ends_with(&format!("\r\n\r\n{id}")), "{answer}");
    assert!(!header(&answer, "x-amz-id-2").is_empty());
}

#[tokio::test]
async fn an_answer_to_head_has_the_length_and_no_body() {
    let door = door(Limits::s3());
    let answer =
        exchange(door.addr, "HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert_eq!(header(&answer, "content-length"), "16", "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_panicking_handler_is_an_internal_error_and_no_more() {
    let door = door(Limits::s3());
    let answer = get(door.addr, "/panic").await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    assert!(answer.contains("<Code>InternalError</Code>"), "{answer}");
    assert!(
        answer.contains(&format!("<RequestId>{}<", header(&answer, "x-amz-request-id"))),
        "{answer}"
    );
    assert!(get(door.addr, "/").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn one_request_too_many_is_asked_to_slow_down() {
    for (limits, words) in [
        (Limits { requests: 1, ..Limits::s3() }, "<Code>SlowDown</Code>"),
        (Limits { requests: 1, ..Limits::admin() }, "{\"code\":\"SlowDown\""),
    ] {
        let door = door(limits);
        let first = tokio::spawn(async move { get(door.addr, "/wait").await });
        door.working.notified().await;
        let answer = get(door.addr, "/").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains(words) && header(&answer, "retry-after") == "1", "{answer}");
        door.go_on.notify_one();
        assert!(first.await.expect("no panic").ends_with("waited"));
        assert!(get(door.addr, "/").await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn a_connection_too_many_waits_for_its_turn() {
    let door = door(Limits { connections: 1, ..Limits::s3() });
    let addr = door.addr;
    let first = tokio::spawn(async move { get(addr, "/wait").await });
    door.working.notified().await;
    let second = tokio::spawn(async move { get(addr, "/").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!second.is_finished(), "there is no place for it yet");
    door.go_on.notify_one();
    assert!(first.await.expect("no panic").ends_with("waited"));
    assert!(second.await.expect("no panic").starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_refused() {
    let door = door(Limits::s3());
    let long = "x".repeat(Limits::s3().head);
    let answer = get(door.addr, &format!("/?{long}")).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let door = door(Limits { head_wait: Duration::from_millis(20), ..Limits::s3() });
    assert_eq!(exchange(door.addr, "").await, "");
    assert_eq!(exchange(door.addr, "GET / HT").await, "");
    let answer = exchange(door.addr, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "closed only after the answer: {answer}");
}

#[tokio::test]
async fn a_silent_body_is_given_up() {
    let door = door(Limits { body_silence: Duration::from_millis(20), ..Limits::s3() });
    let whole =
        "PUT /body HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc";
    assert!(exchange(door.addr, whole).await.ends_with("3 bytes"));
    assert!(exchange(door.addr, &whole[..whole.len() - 1]).await.ends_with("slow"));
}

#[tokio::test]
async fn a_closing_door_lets_the_request_in_flight_finish() {
    let door = door(Limits::s3());
    let mut idle = TcpStream::connect(door.addr).await.expect("connected");
    let first = tokio::spawn(async move { get(door.addr, "/wait").await });
    door.working.notified().await;
    door.shutdown.cancel();
    let mut nothing = Vec::new();
    idle.read_to_end(&mut nothing).await.expect("idle connections are closed at once");
    assert!(!door.served.is_finished());
    door.go_on.notify_one();
    assert!(first.await.expect("no panic").ends_with("waited"));
    door.served.await.expect("no panic");
    assert!(TcpStream::connect(door.addr).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_closing_door_cuts_who_does_not_finish_in_time() {
    let door = door(Limits { drain: Duration::from_millis(20), ..Limits::s3() });
    let first = tokio::spawn(async move { get(door.addr, "/wait").await });
    door.working.notified().await;
    door.shutdown.cancel();
    door.served.await.expect("no panic");
    assert_eq!(first.await.expect("no panic"), "");
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_way_out() {
    let first = bind("127.0.0.1:0".parse().expect("an address"), "--s3-addr").expect("a free port");
    let addr = first.local_addr().expect("an address");
    let error = bind(addr, "--s3-addr").expect_err("taken");
    assert!(matches!(error, BindError::Taken { .. }));
    let words =
        format!("port {} is taken by another program; choose another with --s3-addr", addr.port());
    assert_eq!(error.to_string(), words);
}

#[tokio::test]
async fn a_foreign_address_is_no_riddle() {
    let error =
        bind("192.0.2.1:9000".parse().expect("an address"), "--s3-addr").expect_err("not ours");
    assert!(matches!(error, BindError::NoSuchAddress { .. }), "{error}");
}
