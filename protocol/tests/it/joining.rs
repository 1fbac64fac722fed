//! Strangers.

use protocol::LinkError;
use protocol::identity::{ClusterId, Role};
use protocol::invite::Token;
use protocol::join::{self, JoinAnswer, JoinRequest};
use protocol::limits::MESSAGE_MAX;
use protocol::tls::{GatewayTls, NodeTls, Purpose};
use protocol::version::Versions;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::world::{granted, node, tcp, trust};

fn request(token: Token) -> JoinRequest {
    JoinRequest {
        versions: Versions::ours(),
        token,
        name: "attic".parse().unwrap(),
        capacity: 1 << 40,
    }
}

fn welcome() -> JoinAnswer {
    JoinAnswer::Welcome { cluster: ClusterId([4; 16]), gateways: vec!["gw:9100".parse().unwrap()] }
}

/// A gateway that knows one token.
async fn decide(request: JoinRequest) -> JoinAnswer {
    let known = Token([9; 16]).digest();
    if request.token.digest() == known {
        welcome()
    } else {
        JoinAnswer::Refused { why: "this invite was used or revoked; ask for a new one".to_owned() }
    }
}

#[tokio::test]
async fn a_good_token_is_welcomed_and_a_bad_one_refused_in_words() {
    for (token, good) in [(Token([9; 16]), true), (Token([8; 16]), false)] {
        let (node_io, gateway_io) = tcp().await;
        let asking = tokio::spawn(async move {
            let io =
                NodeTls::new(&node(), trust()).unwrap().connect(node_io, Purpose::Join).await?;
            join::ask(io, &request(token)).await
        });
        let arrival =
            GatewayTls::new(&granted(Role::Link)).unwrap().accept(gateway_io).await.unwrap();
        assert_eq!(arrival.purpose, Purpose::Join);
        let (asked, answered) = join::answer(arrival.io, decide).await.unwrap();
        assert_eq!(asked.name.as_str(), "attic");
        let heard = asking.await.unwrap().unwrap();
        assert_eq!(heard, answered);
        assert_eq!(heard == welcome(), good);
    }
}

#[tokio::test]
async fn a_stranger_of_the_future_is_refused_without_a_look_at_its_token() {
    let (left, right) = duplex(1 << 16);
    let request = JoinRequest { versions: Versions(vec![42]), ..request(Token([9; 16])) };
    let never = |_| async { panic!("nobody should be asked") };
    let (heard, answered) = tokio::join!(join::ask(left, &request), join::answer(right, never));
    answered.unwrap();
    assert!(matches!(heard.unwrap(), JoinAnswer::Refused { why } if why.contains("[42]")));
}

#[tokio::test]
async fn a_large_message_is_refused_before_it_is_read() {
    let (mut stranger, gateway) = duplex(1 << 16);
    stranger.write_u32(u32::MAX).await.unwrap();
    let refused = join::answer(gateway, decide).await.unwrap_err();
    assert!(
        matches!(refused, LinkError::Oversized { len: 0xffff_ffff, max } if max == MESSAGE_MAX as u64)
    );
    assert_eq!(stranger.read(&mut [0; 16]).await.unwrap(), 0);
}

#[tokio::test]
async fn noise_is_no_request() {
    let (mut stranger, gateway) = duplex(1 << 16);
    stranger.write_all(&[0, 0, 0, 3, 0xff, 0xff, 0xff]).await.unwrap();
    assert!(matches!(join::answer(gateway, decide).await, Err(LinkError::Malformed(_))));
}

#[tokio::test(start_paused = true)]
async fn a_stranger_that_says_nothing_is_shown_the_door() {
    let (_stranger, gateway) = duplex(1 << 16);
    assert!(matches!(join::answer(gateway, decide).await, Err(LinkError::Timeout { .. })));
}
