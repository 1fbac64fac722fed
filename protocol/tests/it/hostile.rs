//! Nodes that do what no honest one does, and gateways that do not talk like ours. The hostile end is a bare HTTP/2 server or
//! client over a pipe, so that it can break every rule.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use h2::SendStream;
use h2::server::SendResponse;
use http::{HeaderValue, Request, Response};
use protocol::blame::Offence;
use protocol::identity::PublicKey;
use protocol::limits::{HEADER_LIST_MAX, LinkSettings};
use protocol::message::{FetchAnswer, HelloAnswer, NodeFacts, Refusal, StatusRequest, Verb};
use protocol::{LinkError, Loss, NodeClient, NodeError, serve};
use serde::Serialize;
use tokio::io::{DuplexStream, duplex};
use types::Root;

use crate::world::{
    Memory, Mood, fetch_request, hello, linked, node, noise, pieces, store_request, trust,
};

fn key() -> PublicKey {
    node().key().public()
}

fn settings() -> LinkSettings {
    LinkSettings {
        answer_grace: Duration::from_millis(200),
        answer_rate_min: 1 << 20,
        ..LinkSettings::default()
    }
}

fn framed<T: Serialize>(message: &T) -> Bytes {
    let bytes = postcard::to_stdvec(message).unwrap();
    let mut out = BytesMut::new();
    out.put_u32(bytes.len() as u32);
    out.put_slice(&bytes);
    out.freeze()
}

fn fetch_head(shard_len: u64) -> Bytes {
    framed(&Ok::<_, Refusal>(FetchAnswer { shard_len }))
}

/// A client of a node that says hello properly and answers everything else by `behave`.
async fn facing<F, Fut>(behave: F) -> NodeClient
where
    F: Fn(SendResponse<Bytes>) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (io, node_io) = duplex(1 << 20);
    tokio::spawn(async move {
        let mut connection = h2::server::handshake(node_io).await.unwrap();
        while let Some(Ok((request, respond))) = connection.accept().await {
            if request.uri().path() == Verb::Hello.path() {
                tokio::spawn(say_hello(respond));
            } else {
                // The request's body is kept, so that nothing is reset on its account.
                let answering = behave(respond);
                tokio::spawn(async move {
                    let _request = request;
                    answering.await;
                });
            }
        }
    });
    NodeClient::open(io, key(), &hello(), &settings()).await.unwrap()
}

async fn say_hello(respond: SendResponse<Bytes>) {
    let facts =
        NodeFacts { name: "liar".parse().unwrap(), software: "bad 1".to_owned(), capacity: 1 };
    let answer = framed(&Ok::<_, Refusal>(HelloAnswer { version: 1, facts }));
    send(respond, answer.len() as u64, vec![answer]).await;
}

/// Declares one length, sends these parts, whatever their length, and ends.
async fn send(respond: SendResponse<Bytes>, declared: u64, parts: Vec<Bytes>) {
    let mut stream = send_openly(respond, declared, parts);
    let _ = stream.send_data(Bytes::new(), true);
    std::future::poll_fn(|cx| stream.poll_reset(cx)).await.ok();
}

/// The same, but waits for more to say.
async fn send_and_wait(respond: SendResponse<Bytes>, declared: u64, parts: Vec<Bytes>) {
    let mut stream = send_openly(respond, declared, parts);
    std::future::poll_fn(|cx| stream.poll_reset(cx)).await.ok();
}

fn send_openly(
    mut respond: SendResponse<Bytes>,
    declared: u64,
    parts: Vec<Bytes>,
) -> SendStream<Bytes> {
    let response = Response::builder().header("content-length", declared).body(()).unwrap();
    let mut stream = respond.send_response(response, false).unwrap();
    for part in parts {
        let _ = stream.send_data(part, false);
    }
    stream
}

fn offence(error: NodeError) -> Offence {
    match error {
        NodeError::Misbehaved(evidence) => {
            assert_eq!(evidence.node, node().id());
            evidence.offence
        }
        other => panic!("{other:?}"),
    }
}

/// What comes of fetching a shard of one hash group (so without hashes on the wire).
async fn fetch_one(client: &NodeClient) -> NodeError {
    let bytes = noise(1, 16_384);
    match client.fetch(&fetch_request(1, 0, 16_384, 16_384), &Root::of(&bytes), 16_384).await {
        Err(error) => error,
        Ok(mut slices) => match slices.next().await {
            Some(Err(error)) => {
                assert!(slices.next().await.is_none(), "nothing comes after an error");
                error
            }
            Some(Ok(_)) => slices.next().await.expect("an error is expected").unwrap_err(),
            None => panic!("an empty answer"),
        },
    }
}

#[tokio::test]
async fn a_flipped_bit_is_blamed_on_the_node_and_on_the_step() {
    let link = linked(Mood::FlipsABit).await;
    let bytes = noise(1, 1 << 20);
    link.client.store(&store_request(1, 1 << 20), pieces(&bytes)).await.unwrap();
    let request = fetch_request(1, 0, 1 << 20, 64 << 10);
    let mut slices = link.client.fetch(&request, &Root::of(&bytes), 1 << 20).await.unwrap();
    assert_eq!(slices.next().await.unwrap().unwrap().bytes(), &bytes[..64 << 10]);
    let wrong = offence(slices.next().await.unwrap().unwrap_err());
    assert_eq!(
        wrong,
        Offence::WrongBytes { shard: request.shard, offset: 64 << 10, len: 64 << 10 }
    );
    assert!(slices.next().await.is_none());
}

#[tokio::test]
async fn a_forged_receipt_is_blamed() {
    for mood in [Mood::ForgesReceipts, Mood::ReceiptForAnotherPlace] {
        let link = linked(mood).await;
        let forged =
            link.client.store(&store_request(1, 64), pieces(&noise(1, 64))).await.unwrap_err();
        assert!(matches!(offence(forged), Offence::ForgedReceipt(_)), "{mood:?}");
    }
}

#[tokio::test]
async fn an_answer_declared_with_the_wrong_length_is_blamed_before_it_is_read() {
    for declared in [16_383, 16_385, 1 << 60] {
        let client = facing(move |respond| {
            let head = fetch_head(16_384);
            send_and_wait(respond, head.len() as u64 + declared, vec![head])
        })
        .await;
        let wrong = offence(fetch_one(&client).await);
        assert_eq!(wrong, Offence::WrongLength { declared: 16_384, got: declared });
    }
}

#[tokio::test]
async fn a_body_that_ends_early_or_goes_on_is_blamed() {
    for sent in [16_383_usize, 16_385] {
        let client = facing(move |respond| {
            let (head, body) = (fetch_head(16_384), noise(1, sent));
            send(respond, head.len() as u64 + 16_384, vec![head, body])
        })
        .await;
        let wrong = offence(fetch_one(&client).await);
        assert!(matches!(wrong, Offence::WrongLength { .. }), "{sent}: {wrong}");
    }
}

#[tokio::test]
async fn a_shard_of_another_length_is_blamed() {
    let client = facing(|respond| {
        let head = fetch_head(999);
        send(respond, head.len() as u64, vec![head])
    })
    .await;
    let wrong = offence(fetch_one(&client).await);
    assert!(
        matches!(wrong, Offence::WrongShardLength { expected: 16_384, claimed: 999, .. }),
        "{wrong}"
    );
}

#[tokio::test]
async fn a_huge_message_is_refused_before_memory_is_taken_for_it() {
    let client =
        facing(|respond| send_and_wait(respond, 1 << 40, vec![Bytes::from_static(&[0xff; 8])]))
            .await;
    let wrong = offence(client.status(&StatusRequest::default()).await.unwrap_err());
    assert!(matches!(wrong, Offence::Oversized { len: 0xffff_ffff, .. }), "{wrong}");
}

#[tokio::test]
async fn noise_instead_of_a_message_is_blamed() {
    let client =
        facing(|respond| send(respond, 9, vec![Bytes::from_static(b"\0\0\0\x05noise")])).await;
    let wrong = offence(client.status(&StatusRequest::default()).await.unwrap_err());
    assert!(matches!(wrong, Offence::Malformed(_)), "{wrong}");
}

#[tokio::test]
async fn bytes_after_a_message_are_blamed() {
    let client = facing(|respond| {
        let head = framed(&Err::<(), _>(Refusal::Full));
        let declared = head.len() as u64 + 5;
        send(respond, declared, vec![head, Bytes::from_static(b"extra")])
    })
    .await;
    let wrong = offence(client.status(&StatusRequest::default()).await.unwrap_err());
    assert!(matches!(wrong, Offence::WrongLength { .. }), "{wrong}");
}

#[tokio::test]
async fn an_answer_without_a_length_is_blamed() {
    let client = facing(|mut respond| async move {
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        let _ = stream.send_data(fetch_head(16_384), true);
    })
    .await;
    assert!(matches!(offence(fetch_one(&client).await), Offence::Malformed(_)));
}

#[tokio::test]
async fn an_oversized_header_is_blamed() {
    let client = facing(|mut respond| async move {
        let long = HeaderValue::from_str(&"x".repeat(HEADER_LIST_MAX as usize)).unwrap();
        let response = Response::builder()
            .header("content-length", 1)
            .header("x-long", long)
            .body(())
            .unwrap();
        let mut stream = respond.send_response(response, false).unwrap();
        std::future::poll_fn(|cx| stream.poll_reset(cx)).await.ok();
    })
    .await;
    let wrong = offence(fetch_one(&client).await);
    assert!(matches!(wrong, Offence::Http2(_)), "{wrong}");
}

#[tokio::test]
async fn a_flood_of_empty_frames_is_blamed() {
    let client = facing(|respond| {
        let head = fetch_head(16_384);
        let declared = head.len() as u64 + 16_384;
        let parts = std::iter::once(head).chain(std::iter::repeat_n(Bytes::new(), 1000));
        send(respond, declared, parts.chain([Bytes::from_static(b"end")]).collect())
    })
    .await;
    let wrong = offence(fetch_one(&client).await);
    assert!(matches!(wrong, Offence::Http2(_)), "{wrong}");
}

#[tokio::test]
async fn a_node_that_drips_is_cut_but_not_blamed() {
    let client = facing(|mut respond| async move {
        let head = fetch_head(16_384);
        let response =
            Response::builder().header("content-length", head.len() + 16_384).body(()).unwrap();
        let mut stream = respond.send_response(response, false).unwrap();
        stream.send_data(head, false).unwrap();
        while stream.send_data(Bytes::from_static(b"."), false).is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let cut = fetch_one(&client).await;
    assert!(matches!(cut, NodeError::Unreachable(Loss::TooSlow { .. })), "{cut:?}");
}

#[tokio::test]
async fn a_node_that_never_answers_is_cut() {
    let client = facing(|respond| async move {
        let _respond = respond;
        std::future::pending::<()>().await;
    })
    .await;
    let silent = client.status(&StatusRequest::default()).await.unwrap_err();
    assert!(matches!(silent, NodeError::Unreachable(Loss::TooSlow { .. })), "{silent:?}");
    // More than its windows hold, so that the node would have to read.
    let bytes = noise(1, 4 << 20);
    let store = client.store(&store_request(1, 4 << 20), pieces(&bytes)).await.unwrap_err();
    let bounded =
        Duration::from_secs_f64(0.3 + (4 << 20) as f64 / settings().answer_rate_min as f64);
    assert!(
        matches!(store, NodeError::Unreachable(Loss::TooSlow { waited, .. }) if waited <= bounded),
        "{store:?}"
    );
}

#[tokio::test]
async fn a_reset_by_the_node_is_a_loss_and_no_crime() {
    let client =
        facing(|mut respond| async move { respond.send_reset(h2::Reason::INTERNAL_ERROR) }).await;
    let reset = client.status(&StatusRequest::default()).await.unwrap_err();
    assert!(matches!(reset, NodeError::Unreachable(Loss::Reset(_))), "{reset:?}");
}

#[tokio::test]
async fn bytes_that_are_no_http2_are_blamed() {
    use tokio::io::AsyncWriteExt;
    let (io, mut node_io) = duplex(1 << 16);
    node_io.write_all(&[0xff; 64]).await.unwrap();
    let wrong = NodeClient::open(io, key(), &hello(), &settings()).await.unwrap_err();
    assert!(matches!(offence(wrong), Offence::Http2(_)));
}

/// A bare HTTP/2 client of an honest node.
async fn bare_client()
-> (h2::client::SendRequest<Bytes>, tokio::task::JoinHandle<Result<(), LinkError>>) {
    let (io, node_io): (DuplexStream, _) = duplex(1 << 20);
    let settings =
        LinkSettings { handshake_timeout: Duration::from_millis(300), ..LinkSettings::default() };
    let serving = tokio::spawn(async move {
        serve(node_io, Memory::new(Mood::Honest), trust(), &settings, std::future::pending()).await
    });
    let (client, connection) = h2::client::handshake(io).await.unwrap();
    tokio::spawn(connection);
    (client.ready().await.unwrap(), serving)
}

async fn ask(
    client: &mut h2::client::SendRequest<Bytes>,
    path: &str,
    body: Bytes,
) -> (u16, Vec<u8>) {
    let request = Request::post(format!("https://node{path}"))
        .header("content-length", body.len())
        .body(())
        .unwrap();
    let (response, mut stream) = client.send_request(request, false).unwrap();
    stream.send_data(body, true).unwrap();
    let mut response = response.await.unwrap();
    let mut answer = Vec::new();
    while let Some(Ok(chunk)) = response.body_mut().data().await {
        answer.extend_from_slice(&chunk);
    }
    (response.status().as_u16(), answer)
}

fn refusal(answer: &[u8]) -> Refusal {
    postcard::from_bytes::<Result<(), Refusal>>(&answer[4..]).unwrap().unwrap_err()
}

#[tokio::test]
async fn a_node_answers_nothing_before_hello() {
    let (mut client, _serving) = bare_client().await;
    let (status, answer) =
        ask(&mut client, Verb::Status.path(), framed(&StatusRequest::default())).await;
    assert_eq!(status, 501);
    assert!(
        matches!(refusal(&answer), Refusal::Incompatible { words } if words == "hello comes first")
    );
}

#[tokio::test]
async fn a_node_refuses_what_it_does_not_know_in_words() {
    let (mut client, _serving) = bare_client().await;
    ask(&mut client, Verb::Hello.path(), framed(&hello())).await;
    let (_, answer) = ask(&mut client, "/v1/tally", Bytes::new()).await;
    assert!(
        matches!(refusal(&answer), Refusal::Incompatible { words } if words.contains("/v1/tally"))
    );
}

#[tokio::test]
async fn a_node_refuses_messages_that_are_too_large_or_too_long() {
    let (mut client, _serving) = bare_client().await;
    ask(&mut client, Verb::Hello.path(), framed(&hello())).await;
    let (_, answer) = ask(&mut client, Verb::Status.path(), Bytes::from(vec![0xff; 8])).await;
    assert!(
        matches!(refusal(&answer), Refusal::Denied { words } if words.contains("at most 4096"))
    );
    let longer = [&framed(&StatusRequest::default())[..], b"more"].concat();
    let (_, answer) = ask(&mut client, Verb::Status.path(), longer.into()).await;
    assert!(matches!(refusal(&answer), Refusal::Denied { .. }));
    let store = [&framed(&store_request(1, 64))[..], &[0; 63]].concat();
    let (_, answer) = ask(&mut client, Verb::Store.path(), store.into()).await;
    assert!(matches!(refusal(&answer), Refusal::Denied { .. }));
}

#[tokio::test]
async fn a_node_refuses_an_oversized_header() {
    let (mut client, _serving) = bare_client().await;
    let long = "x".repeat(HEADER_LIST_MAX as usize);
    let request = Request::post("https://node/v1/hello").header("x-long", long).body(()).unwrap();
    let (response, _stream) = client.send_request(request, true).unwrap();
    match response.await {
        Ok(response) => assert_eq!(response.status(), 431),
        Err(error) => assert!(error.is_remote(), "{error}"),
    }
}

#[tokio::test]
async fn a_gateway_that_does_not_say_hello_is_left() {
    let (_client, serving) = bare_client().await;
    assert!(matches!(serving.await.unwrap(), Err(LinkError::Timeout { what: "hello", .. })));
}
