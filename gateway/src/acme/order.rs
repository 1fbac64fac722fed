//! One certificate: ordered, proven, fetched.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, Error, Identifier, NewAccount, NewOrder,
    Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use tokio::time::sleep;
use zeroize::Zeroizing;

use super::account::BindingText;
use super::https::Https;
use super::proof::{Placed, Prover, together};
use super::store::Store;
use super::{AcmeError, AcmeSettings};

/// What an authority says to an account that it does not know.
const NO_SUCH_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";
/// What it says of a certificate that has a successor already (RFC 9773, 5).
const ALREADY_REPLACED: &str = "urn:ietf:params:acme:error:alreadyReplaced";
/// How long the authority may take to look at the proofs, and then to issue.
const PATIENCE: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(180));

/// Gets a certificate for all names, each time with a new key; gives both in one text in PEM form. `replaces` is told to an authority that
/// suggested when.
pub(super) async fn fetch(
    settings: &AcmeSettings,
    store: &Store,
    prover: &Prover,
    replaces: Option<CertificateIdentifier<'static>>,
) -> Result<Zeroizing<Vec<u8>>, AcmeError> {
    let account = account(settings, store).await?;
    let names: Vec<_> = settings.domains.iter().cloned().map(Identifier::Dns).collect();
    let plain = NewOrder::new(&names);
    let wanted = match replaces {
        Some(old) => NewOrder::new(&names).replaces(old),
        None => NewOrder::new(&names),
    };
    let mut order = match account.new_order(&wanted).await {
        // By a gateway that shared this folder, or an order whose end was lost.
        Err(Error::Api(problem)) if problem.r#type.as_deref() == Some(ALREADY_REPLACED) => {
            account.new_order(&plain).await?
        }
        // It may have been closed, or the authority been set up anew.
        Err(Error::Api(problem)) if problem.r#type.as_deref() == Some(NO_SUCH_ACCOUNT) => {
            store.forget_account(&settings.directory)?;
            self::account(settings, store).await?.new_order(&plain).await?
        }
        order => order?,
    };
    let mut placed = Vec::new();
    let proven = prove(settings, prover, &mut order, &mut placed).await;
    for proof in &placed {
        // A record that stays behind proves nothing to nobody.
        if let Err(error) = prover.remove(proof).await {
            tracing::warn!(%error, "a proof of control was left in place");
        }
    }
    proven?;
    let mut params = CertificateParams::new(settings.domains.clone())?;
    params.distinguished_name = DistinguishedName::new();
    let key = KeyPair::generate()?;
    order.finalize_csr(params.serialize_request(&key)?.der()).await?;
    let chain = order.poll_certificate(&PATIENCE).await?;
    Ok(together(&key, &chain))
}

async fn account(settings: &AcmeSettings, store: &Store) -> Result<Account, AcmeError> {
    let http = Box::new(Https::new(settings.ca.as_deref())?);
    let builder = Account::builder_with_http(http);
    if let Some(known) = store.account(&settings.directory)? {
        return Ok(builder.from_credentials(known).await?);
    }
    let contact = settings.email.as_ref().map(|email| format!("mailto:{email}"));
    let contact: Vec<&str> = contact.as_deref().into_iter().collect();
    let new = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let binding = settings.binding.as_ref().map(BindingText::key).transpose()?;
    let directory = settings.directory.clone();
    let (account, credentials) = builder.create(&new, directory, binding.as_ref()).await?;
    store.keep_account(&settings.directory, &credentials)?;
    Ok(account)
}

/// Puts every proof in place that is asked for, lets the authority look, and waits until it is content.
async fn prove(
    settings: &AcmeSettings,
    prover: &Prover,
    order: &mut Order,
    placed: &mut Vec<Placed>,
) -> Result<(), AcmeError> {
    let (kind, said) = prover.kind();
    let mut names = order.authorizations();
    while let Some(name) = names.next().await {
        let mut name = name?;
        let host = host(name.identifier().identifier);
        match name.status {
            AuthorizationStatus::Pending => {}
            AuthorizationStatus::Valid => continue,
            _ => return Err(AcmeError::Refused { names: host }),
        }
        let none = || AcmeError::NoSuchProof { name: host.clone(), kind: said };
        let challenge = name.challenge(kind.clone()).ok_or_else(none)?;
        placed.push(prover.place(&host, &challenge.key_authorization()).await?);
    }
    if prover.spreads() && !placed.is_empty() {
        sleep(settings.dns_wait).await;
    }
    let mut names = order.authorizations();
    while let Some(name) = names.next().await {
        let mut name = name?;
        if name.status == AuthorizationStatus::Pending
            && let Some(mut challenge) = name.challenge(kind.clone())
        {
            challenge.set_ready().await?;
        }
    }
    match order.poll_ready(&PATIENCE).await? {
        OrderStatus::Ready => Ok(()),
        _ => Err(AcmeError::Refused { names: settings.domains.join(", ") }),
    }
}

/// The host of a name: without the `*.` of a wildcard, which the authority leaves out itself.
fn host(identifier: &Identifier) -> String {
    match identifier {
        Identifier::Dns(name) => name.to_ascii_lowercase(),
        other => other.authorized(false).to_string(),
    }
}
