//! Nodes whose owners want them to leave.

use protocol::identity::Role;
use protocol::leave::{self, LeaveAnswer, LeaveRequest, Wish};
use protocol::tls::{GatewayTls, NodeTls, Purpose};
use protocol::version::Versions;
use tokio::io::duplex;

use crate::world::{granted, node, tcp, trust};

async fn decide(wish: Wish) -> LeaveAnswer {
    match wish {
        Wish::Leave => LeaveAnswer::Left,
        Wish::Stay => LeaveAnswer::Member,
        Wish::Ask => LeaveAnswer::Refused { why: "x".repeat(10_000) },
    }
}

#[tokio::test]
async fn a_wish_is_heard_from_the_very_node_that_it_is_about() {
    let (node_io, gateway_io) = tcp().await;
    let asking = tokio::spawn(async move {
        let io = NodeTls::new(&node(), trust()).unwrap().connect(node_io, Purpose::Leave).await?;
        leave::ask(io, &LeaveRequest { versions: Versions::ours(), wish: Wish::Leave }).await
    });
    let arrival = GatewayTls::new(&granted(Role::Link)).unwrap().accept(gateway_io).await.unwrap();
    assert_eq!((arrival.purpose, arrival.node), (Purpose::Leave, node().id()));
    let (asked, answered) = leave::answer(arrival.io, decide).await.unwrap();
    assert_eq!((asked.wish, &answered), (Wish::Leave, &LeaveAnswer::Left));
    assert_eq!(asking.await.unwrap().unwrap(), answered);
}

#[tokio::test]
async fn too_many_words_are_cut_and_a_program_of_the_future_is_refused_in_some() {
    for (versions, words) in [(Versions::ours(), 512), (Versions(vec![42]), 0)] {
        let (left, right) = duplex(1 << 16);
        let request = LeaveRequest { versions, wish: Wish::Ask };
        let (heard, _) = tokio::join!(leave::ask(left, &request), leave::answer(right, decide));
        let LeaveAnswer::Refused { why } = heard.unwrap() else { panic!("not refused") };
        assert!(if words > 0 { why.len() == words } else { why.contains("42") }, "{why}");
    }
}
