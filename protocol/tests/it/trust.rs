//! Who lets whom in.

use std::sync::Arc;

use protocol::LinkError;
use protocol::dial::{Address, Dial, TcpDial};
use protocol::identity::{Grant, GrantedKey, Role, RootKey, SecretKey, Trust, TrustError};
use protocol::tls::{GatewayTls, NodeTls, Purpose};
use tokio::net::TcpListener;

use crate::world::{Fixed, NOW, grant, granted, node, root, tcp, trust};

/// What the node thinks of a gateway with this key and grant.
async fn verdict(gateway: &GrantedKey, trust: Arc<Trust>) -> Result<(), LinkError> {
    let (node_io, gateway_io) = tcp().await;
    let tls = GatewayTls::new(gateway).unwrap();
    let accepting = tokio::spawn(async move { tls.accept(gateway_io).await.map(drop) });
    let verdict =
        NodeTls::new(&node(), trust).unwrap().connect(node_io, Purpose::Link).await.map(drop);
    let _ = accepting.await.unwrap();
    verdict
}

async fn distrust(gateway: &GrantedKey, trust: Arc<Trust>) -> TrustError {
    match verdict(gateway, trust).await {
        Err(LinkError::Untrusted(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_gateway_with_a_grant_of_the_pinned_root_is_trusted() {
    verdict(&granted(Role::Link), trust()).await.unwrap();
}

#[tokio::test]
async fn a_gateway_of_another_root_is_refused() {
    let other = RootKey::from(SecretKey::from_seed(&[77; 32]));
    let trust = Arc::new(Trust::new(other.public(), 0, Arc::new(Fixed)));
    assert_eq!(distrust(&granted(Role::Link), trust).await, TrustError::OtherRoot);
}

#[tokio::test]
async fn a_grant_that_expired_or_was_revoked_opens_no_link() {
    let key = SecretKey::from_seed(&[2; 32]);
    let expired = root().grant(Grant { not_after: NOW, ..grant(Role::Link, &key) });
    assert_eq!(distrust(&GrantedKey { key, grant: expired }, trust()).await, TrustError::Expired);
    let strict = trust();
    strict.raise_floor(&root().floor(8)).unwrap();
    assert_eq!(
        distrust(&granted(Role::Link), strict).await,
        TrustError::Revoked { serial: 7, floor: 8 }
    );
}

#[tokio::test]
async fn a_revision_key_is_no_gateway() {
    assert_eq!(
        distrust(&granted(Role::Revision), trust()).await,
        TrustError::OtherRole(Role::Revision)
    );
}

#[tokio::test]
async fn a_stolen_grant_is_worth_nothing_without_its_key() {
    let thief =
        GrantedKey { key: SecretKey::from_seed(&[66; 32]), grant: granted(Role::Link).grant };
    assert_eq!(distrust(&thief, trust()).await, TrustError::OtherKey);
}

#[tokio::test]
async fn a_peer_that_names_no_protocol_of_ours_is_turned_away() {
    let (node_io, gateway_io) = tcp().await;
    let tls = GatewayTls::new(&granted(Role::Link)).unwrap();
    let accepting = tokio::spawn(async move { tls.accept(gateway_io).await.map(drop) });
    drop(node_io);
    assert!(matches!(accepting.await.unwrap(), Err(LinkError::Io(_))));
}

#[tokio::test]
async fn the_gateway_learns_the_nodes_key_and_purpose_over_a_dialled_stream() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::from(listener.local_addr().unwrap());
    let dialling = tokio::spawn(async move {
        let io = TcpDial.dial(&address).await.unwrap();
        NodeTls::new(&node(), trust()).unwrap().connect(io, Purpose::Join).await.map(drop)
    });
    let io = listener.accept().await.unwrap().0;
    let arrival = GatewayTls::new(&granted(Role::Link)).unwrap().accept(io).await.unwrap();
    assert_eq!(arrival.key, node().key().public());
    assert_eq!((arrival.node, arrival.purpose), (node().id(), Purpose::Join));
    dialling.await.unwrap().unwrap();
}
