//! The S3 surface: everything between an HTTP request and the catalog, the [`Writer`] and the [`Reader`].
//!
//! ```text
//! http ─▶ front ─┬─▶ library: host, signature ─┬─▶ library: parse ─▶ adapter ─▶ ops/<operation> ─▶ authorize ─▶ put · get · catalog
//!                │                             └─▶ lenient (a Range that means nothing) ─▶ the same, signature vouched for
//!                └─▶ form (POST Object: fields, policy, signature) ─▶ the same, as a PUT
//! ```
//!
//! The S3 library ends in this folder: nothing below it knows its types.

mod acl;
mod adapter;
mod address;
mod archive;
mod auth;
mod authorize;
mod body;
mod checksum;
mod conditions;
mod cors;
mod customer;
mod dates;
mod describe;
mod encryption;
mod error;
mod expiration;
mod follow;
mod form;
mod front;
mod granted;
mod lenient;
mod listing;
mod logged;
mod metered;
mod ops;
pub mod policy;
mod protection;
mod range;
mod rate;
mod replica;
mod sts;
mod tags;
mod xml;

use std::sync::Arc;
use std::time::Duration;

use metadata::Catalog;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::host::{DomainError, SingleDomain};
use s3s::service::{S3Service, S3ServiceBuilder};
use seal::Keyring;
use types::{GeometryName, MIB};

use crate::changes::Changes;
use crate::configs::Configs;
use crate::endpoints::Endpoints;
use crate::get::Reader;
use crate::logbook::LogBook;
use crate::metering::Metering;
use crate::put::{PUT_MAX, Writer};
use crate::standing::Standings;

#[doc(hidden)]
pub use authorize::Probe;
pub(crate) use authorize::{Actor, Deed, is_reserved};
pub use authorize::{Consent, Replicating, Targets};
pub(crate) use encryption::unasked as unasked_encryption;
pub use front::Service;
pub use s3s::Body as ResponseBody;

/// How S3 calls a checksum's algorithm: `CRC64NVME`.
pub(crate) const fn checksum_name(algorithm: metadata::records::ChecksumAlgorithm) -> &'static str {
    checksum::name(algorithm)
}

/// Whether a text can be an access key's policy.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn check_key_policy(text: &str) -> Result<(), String> {
    policy::Policy::read(text, policy::Kind::Key).map(|_| ()).map_err(|error| error.to_string())
}

/// The longest a presigned URL is good for, in seconds: 7 days, as on AWS.
const PRESIGNED_MAX: u32 = 7 * 24 * 3600;
/// How far a client's clock may be off, in seconds, as on AWS.
const CLOCK_SKEW: u32 = 15 * 60;
/// The largest XML body. The largest S3 knows is a Complete of 10,000 parts, each with a checksum of 88 letters: about 3 MiB.
const XML_MAX: usize = 8 * MIB as usize;
/// The largest signed chunk of an `aws-chunked` body: it is held in memory until its signature is known. SDKs send 64 KiB to 1 MiB.
const SIGNED_CHUNK_MAX: usize = 16 * MIB as usize;
/// What the S3 surface is told by configuration.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// The name of the one region.
    pub region: String,
    /// The domain whose subdomains are buckets; without it there is only path style.
    pub domain: Option<String>,
    /// How objects of new buckets are coded in class `STANDARD`.
    pub default_geometry: GeometryName,
    /// Further storage classes by name, and how they are coded.
    pub classes: Vec<(String, GeometryName)>,
    /// The webhooks that events can be sent to, by name.
    pub webhooks: Vec<String>,
    /// Other S3 endpoints into which buckets can be replicated.
    pub endpoints: Endpoints,
    /// Those classes whose objects can be read only while they are restored.
    pub archive_classes: Vec<String>,
    /// How long a day of a restoring is.
    pub day: Duration,
    /// Whether policies of forms may be signed with version 2.
    pub post_signature_v2: bool,
    /// Requests a second for each access key, and for each address of what nobody signed; none: any.
    pub rate_limit: Option<std::num::NonZeroU32>,
}

/// What the S3 surface stands on.
pub struct S3Parts {
    /// Buckets, objects, accounts.
    pub catalog: Catalog,
    /// Bucket configurations.
    pub configs: Configs,
    /// What buckets say of access.
    pub targets: Targets,
    /// What follows changes of objects.
    pub changes: Changes,
    /// Takes lines of access logs.
    pub log: Arc<LogBook>,
    /// Counts what is to be paid for.
    pub metering: Arc<Metering>,
    /// Says whether payers may go on.
    pub standings: Arc<Standings>,
    /// Stores bytes.
    pub writer: Writer,
    /// Reads bytes.
    pub reader: Reader,
    /// Opens access keys' secrets.
    pub keyring: Arc<Keyring>,
    /// What configuration says.
    pub settings: S3Settings,
}

/// Why there can be no S3 surface.
#[derive(Debug, thiserror::Error)]
pub enum S3SetupError {
    /// `settings.domain` is no domain.
    #[error("{0:?} is not a domain")]
    Domain(String, #[source] DomainError),
}

/// Builds the service: what a request passes, in order.
///
/// # Errors
/// [`S3SetupError::Domain`].
pub fn service(parts: S3Parts) -> Result<Service, S3SetupError> {
    let S3Parts { catalog, configs, changes, log, writer, reader, keyring, settings, .. } = parts;
    let (targets, metering, standings) = (parts.targets, parts.metering, parts.standings);
    let domain = settings.domain.clone();
    let post_v2 = settings.post_signature_v2;
    let rates = Arc::new(rate::Rates::new(settings.rate_limit));
    let config = Arc::new(StaticConfigProvider::new(Arc::new(config())));

    // Innermost: what is allowed, and the operations themselves.
    let clock = Arc::clone(&writer.clock);
    let keys =
        Arc::new(auth::AccessKeys::new(catalog.clone(), Arc::clone(&keyring), Arc::clone(&clock)));
    let pages = cors::CrossOrigin::new(catalog.clone(), configs.clone(), domain.as_deref());
    let logger = logged::Logger::new(
        catalog.clone(),
        configs.clone(),
        log,
        Arc::clone(&clock),
        domain.as_deref(),
    );
    let counter = metered::Counter::new(metering, domain.as_deref());
    let gate = authorize::Gate::new(
        catalog.clone(),
        Arc::clone(&keys),
        &targets,
        standings,
        Arc::clone(&clock),
        &settings.region,
    );
    let adapter = adapter::Adapter::new(
        gate.clone(),
        (catalog.clone(), configs, changes),
        (writer, reader),
        settings,
    );

    // Parses and answers requests whose signature was checked already; reachable only through `lenient`.
    let trusting = library(adapter.clone(), &config, domain.as_deref())?.build();

    // Checks host, and of a signature, if there is one, that it is right, fresh and near our clock; then parses.
    let mut library = library(adapter, &config, domain.as_deref())?;
    library.set_auth(auth::Signers(Arc::clone(&keys)));
    // After the signature: nobody uses up what another may.
    library.set_access(rate::AtItsRate(Arc::clone(&rates)));
    // After the signature, which covers the Range header, and before parsing, which would refuse it.
    library.set_route(sts::Routes {
        tokens: sts::Tokens::new(gate.clone(), catalog.clone(), Arc::clone(&keyring)),
        lenient: lenient::UselessRange::new(trusting.clone()),
        rates: Arc::clone(&rates),
    });

    // Forms check their own signatures, then are PUTs.
    let host = domain.as_deref().map(host).transpose()?;
    let forms = form::Forms::new(form::FormsParts {
        trusting,
        keys: Arc::clone(&keys),
        rates: Arc::clone(&rates),
        clock,
        domain: host,
        v2: post_v2,
    });

    // Outermost: what the library cannot do because it sees too little of the message.
    Ok(Service::new(library.build(), forms, keys, pages, (logger, counter), rates))
}

fn library(
    adapter: adapter::Adapter,
    config: &Arc<StaticConfigProvider>,
    domain: Option<&str>,
) -> Result<S3ServiceBuilder, S3SetupError> {
    let mut builder = S3ServiceBuilder::new(adapter);
    builder.set_config(Arc::clone(config) as _);
    if let Some(domain) = domain {
        builder.set_host(host(domain)?);
    }
    Ok(builder)
}

/// A host that is not below the domain is path style, not a bucket named like the host.
fn host(domain: &str) -> Result<SingleDomain, S3SetupError> {
    let host = SingleDomain::new(domain)
        .map_err(|error| S3SetupError::Domain(domain.to_owned(), error))?;
    Ok(host.with_cname_fallback(false))
}

fn config() -> S3Config {
    let mut config = S3Config::default();
    config.xml_max_body_size = XML_MAX;
    config.put_object_max_size = Some(PUT_MAX);
    config.aws_chunked_stream_max_chunk_size = SIGNED_CHUNK_MAX;
    config.presigned_url_max_skew_time_secs = CLOCK_SKEW;
    config.presigned_url_max_expires_secs = PRESIGNED_MAX;
    config.sig_v4_allowed_services = vec!["s3".to_owned(), sts::SERVICE.to_owned()];
    config.enable_sig_v2 = false;
    config
}

/// The service as the library makes it.
type Library = S3Service;
