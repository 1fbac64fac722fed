//! Owners who ask what the network thinks of their node.

use protocol::identity::Role;
use protocol::limits::{EVIDENCE_MAX, EVIDENCE_WORDS_MAX, WORDS_MAX};
use protocol::standing::{
    self, Exhibit, Fault, Rank, Report, StandingAnswer, StandingRequest, Wanting,
};
use protocol::tls::{GatewayTls, NodeTls, Purpose};
use protocol::version::Versions;
use tokio::io::duplex;
use types::{GroupId, SegmentId, SessionId, ShardId, Slot, StreamId, Timestamp};

use crate::world::{granted, node, tcp, trust};

/// As long as a report can be.
fn longest() -> Report {
    let words = || "x".repeat(EVIDENCE_WORDS_MAX);
    let stream = StreamId { session: SessionId(u64::MAX), serial: u64::MAX };
    let segment = SegmentId { stream, index: u32::MAX };
    let shard = ShardId { group: GroupId(u64::MAX), segment, slot: Slot(u8::MAX) };
    let at = Timestamp(u64::MAX);
    let exhibit = Exhibit { at, fault: Fault::Corrupt, shard: Some(shard), words: words() };
    Report {
        rank: Rank::Suspended,
        since: Some(at),
        reason: words(),
        by_operator: true,
        lost: u32::MAX,
        late: u32::MAX,
        available: u32::MAX,
        audits: u64::MAX,
        owned_up: u64::MAX,
        wanting: Some(Wanting { audits: u64::MAX, hours: u64::MAX, bytes: u64::MAX }),
        evidence: vec![exhibit; EVIDENCE_MAX],
    }
}

#[tokio::test]
async fn the_longest_report_reaches_the_very_node_that_it_is_about() {
    let (node_io, gateway_io) = tcp().await;
    let asking = tokio::spawn(async move {
        let tls = NodeTls::new(&node(), trust()).unwrap();
        let io = tls.connect(node_io, Purpose::Standing).await?;
        standing::ask(io, &StandingRequest { versions: Versions::ours() }).await
    });
    let arrival = GatewayTls::new(&granted(Role::Link)).unwrap().accept(gateway_io).await.unwrap();
    assert_eq!((arrival.purpose, arrival.node), (Purpose::Standing, node().id()));
    let tell = || async { StandingAnswer::Told(longest()) };
    let told = standing::answer(arrival.io, tell).await.unwrap();
    assert_eq!(asking.await.unwrap().unwrap(), told);
}

#[tokio::test]
async fn a_report_out_of_bounds_is_not_believed_and_too_many_words_are_cut() {
    for report in [
        Report { reason: "x".repeat(EVIDENCE_WORDS_MAX + 1), ..longest() },
        Report { evidence: vec![short(); EVIDENCE_MAX + 1], ..longest() },
    ] {
        let (left, right) = duplex(1 << 16);
        let request = StandingRequest { versions: Versions::ours() };
        let tell = || async { StandingAnswer::Told(report) };
        let (heard, _) = tokio::join!(standing::ask(left, &request), standing::answer(right, tell));
        assert!(heard.is_err(), "{heard:?}");
    }
    let (left, right) = duplex(1 << 16);
    let request = StandingRequest { versions: Versions(vec![42]) };
    let tell = || async { StandingAnswer::Refused { why: "x".repeat(10_000) } };
    let (heard, _) = tokio::join!(standing::ask(left, &request), standing::answer(right, tell));
    let StandingAnswer::Refused { why } = heard.unwrap() else { panic!("not refused") };
    assert!(why.contains("42") && why.len() <= WORDS_MAX, "{why}");
}

fn short() -> Exhibit {
    Exhibit { at: Timestamp(1), fault: Fault::Late, shard: None, words: String::new() }
}
