//! The only file that knows everything: opens, wires, drains.

use std::fs::{self, File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use billing::Billing;
use kv::rocks::{Rocks, RocksOptions, RocksShared};
use kv::{Kv, KvError};
use metadata::records::{Account, SessionState};
use metadata::{Catalog, CatalogError, schema};
use protocol::dial::Address;
use protocol::identity::ClusterId;
use protocol::invite::{Invite, Token};
use protocol::tls::GatewayTls;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::clock::SharedClock;
use types::{AccountId, Clock, MIB, SystemClock};
use zeroize::Zeroizing;

use crate::acme::{AcmeError, AcmeWorker};
use crate::admin::{self, AdminParts, Invites};
use crate::changes::Changes;
use crate::config::Config;
use crate::configs::Configs;
use crate::endpoints::{Endpoints, EndpointsError};
use crate::get::Reader;
use crate::get::stream::ReadAhead;
use crate::http::{self, BindError, Certificate, CertificateError, CertificateFiles, Limits};
use crate::keys::WrappingKeys;
use crate::logbook::LogBook;
use crate::metering::Metering;
use crate::nodes::Nodes;
use crate::nodes::gate::Gate;
use crate::nodes::vetting::VettingRules;
use crate::operator::{self, Operator, OperatorError};
use crate::outbound::{Connector, RootsError};
use crate::put::Writer;
use crate::put::place::Placer;
use crate::put::recode::Recoder;
use crate::put::scatter::Pending;
use crate::quota::Quotas;
use crate::s3::{self, Consent, S3Parts, S3Settings, S3SetupError, Targets};
use crate::secrets;
use crate::session::Session;
use crate::standing::Standings;
use crate::upkeep::audit::SharedCensus;
use crate::upkeep::deliver::Delivery;
use crate::upkeep::inventory::InventoryWorker;
use crate::upkeep::lifecycle::LifecycleWorker;
use crate::upkeep::logging::LogWorker;
use crate::upkeep::notify::Notifier;
use crate::upkeep::pace::Pacer;
use crate::upkeep::queue::Progress;
use crate::upkeep::replicate::ReplicationWorker;
use crate::upkeep::settle::{SettleError, Settlement};
use crate::upkeep::usage::UsageWorker;
use crate::upkeep::{Upkeep, UpkeepSettings};
use crate::webhooks::WebhookUrl;
use crate::website::Site;

/// Read-ahead of all GETs together, beyond what each starts with.
const READ_AHEAD: u64 = 96 * MIB;
/// How long invites are good for.
const INVITE_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a stopping gateway waits for the stragglers of acknowledged writes.
const STRAGGLER_WAIT: Duration = Duration::from_secs(5);
/// The root account.
const ROOT_ACCOUNT: &str = "root";
/// The file that two gateways on one data folder fight for.
const LOCK: &str = "drystone.lock";
/// The root account's access key.
const ROOT_KEYS: &str = "root.toml";

/// Why a gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Another process uses the data folder.
    #[error("{0} is in use by another drystone process")]
    InUse(PathBuf),
    /// A file.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The root keys' file cannot be read, or the keys in the environment will not do.
    #[error("the root keys: {0}")]
    RootKeys(String),
    /// The operator's keys.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// The engine.
    #[error("the catalog: {0}")]
    Engine(#[from] KvError),
    /// The catalog.
    #[error("the catalog: {0}")]
    Catalog(#[from] CatalogError),
    /// The books.
    #[error("the books: {0}")]
    Books(#[from] SettleError),
    /// A port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// TLS towards the nodes.
    #[error("the node door: {0}")]
    Link(#[from] protocol::LinkError),
    /// An address that nodes are told to dial.
    #[error("{0:?} is not host:port")]
    Address(String),
    /// Invites would tell nodes to dial no address in particular.
    #[error(
        "--node-addr {0} listens on every address; say under which one nodes find this gateway: --node-public HOST:PORT"
    )]
    NodePublic(SocketAddr),
    /// The certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The certificate by ACME.
    #[error(transparent)]
    Acme(#[from] AcmeError),
    /// A certificate from files and one by ACME.
    #[error("--tls-cert and --acme-domain exclude each other")]
    TwoCertificates,
    /// One of the two files of a certificate.
    #[error("--tls-cert and --tls-key stand together: a certificate and its key")]
    HalfCertificate,
    /// The roots of webhooks.
    #[error("--webhook-ca {0}")]
    WebhookCa(RootsError),
    /// The roots of other endpoints.
    #[error("--replica-ca {0}")]
    ReplicaCa(RootsError),
    /// Other endpoints.
    #[error(transparent)]
    Endpoints(#[from] EndpointsError),
    /// The S3 surface.
    #[error(transparent)]
    S3(#[from] S3SetupError),
    /// Placement could not read its groups.
    #[error("placement: {0}")]
    Placement(#[from] crate::put::PutError),
}

/// A running gateway.
pub struct App {
    s3_addr: SocketAddr,
    secure: bool,
    admin_addr: SocketAddr,
    node_addr: SocketAddr,
    root: RootKeys,
    catalog: Catalog,
    engine: Arc<dyn Kv>,
    nodes: Arc<Nodes>,
    session: Arc<Session>,
    pending: Arc<Pending>,
    inviter: Arc<Inviter>,
    /// Ends the S3 and admin doors; requests in flight are finished.
    doors: CancellationToken,
    /// Ends everything else.
    stop: CancellationToken,
    serving: TaskTracker,
    tasks: TaskTracker,
    _lock: File,
}

impl App {
    /// Opens the data folder and starts serving.
    ///
    /// # Errors
    /// [`AppError`], in words that say what to do.
    pub async fn start(
        config: Config,
        data: PathBuf,
        shared: &RocksShared,
    ) -> Result<Self, AppError> {
        let lock = lock(&data)?;
        let clock: SharedClock = Arc::new(SystemClock);
        let certificate = certificate(&config, &data, &clock)?;
        let endpoints = Endpoints::open(config.replica_endpoints.as_deref())?;
        let webhooks = config.webhooks.values().map(WebhookUrl::uri);
        let to_webhooks =
            Connector::new(config.webhook_ca.as_deref(), webhooks).map_err(AppError::WebhookCa)?;
        let to_endpoints = Connector::new(config.replica_ca.as_deref(), endpoints.urls())
            .map_err(AppError::ReplicaCa)?;
        let operator = Operator::open(&data, clock.now())?;
        let keyring = Arc::new(operator.keyring);
        let s3_listener = http::bind(config.s3_addr, "--s3-addr")?;
        let admin_listener = http::bind(config.admin_addr, "--admin-addr")?;
        let node_listener = http::bind(config.node_addr, "--node-addr")?;
        let website_listener = config.website_addr.map(|addr| http::bind(addr, "--website-addr"));
        let website_listener = website_listener.transpose()?;
        let addr = |listener: &tokio::net::TcpListener| {
            listener.local_addr().map_err(|source| AppError::Io { path: data.clone(), source })
        };
        let (s3_addr, admin_addr, node_addr) =
            (addr(&s3_listener)?, addr(&admin_listener)?, addr(&node_listener)?);

        let families = [schema::families(), billing::schema::families()].concat();
        let options = RocksOptions::metadata(shared).with_families(families);
        let engine: Arc<dyn Kv> =
            Arc::new(Rocks::open(data.join(admin::backup::CATALOG), options).await?);
        let catalog = Catalog::new(Arc::clone(&engine), Arc::clone(&clock), config.read_grace.0);
        catalog.migrate().await?;
        let cluster = ClusterId(catalog.cluster_id().await?);
        end_old_sessions(&catalog).await?;
        catalog.unmark_buckets().await?;
        let root = root_account(&catalog, &keyring, &data, &*clock).await?;
        let session = Arc::new(Session::begin(&catalog, &format!("{}", std::process::id())).await?);

        let nodes = Arc::new(Nodes::new(Arc::clone(&clock)));
        nodes.load(catalog.standings().await?, catalog.week_hours().await?);
        let vetting = VettingRules { time: config.vetting_time.0, ..VettingRules::default() };
        let placer = Arc::new(Placer::new(
            catalog.clone(),
            Arc::clone(&nodes),
            Arc::clone(&clock),
            vetting.clone(),
        ));
        placer.refresh().await?;
        let pending = Arc::new(Pending::default());
        let keys = Arc::new(WrappingKeys::new(catalog.clone(), Arc::clone(&keyring)));
        let quotas = Arc::new(Quotas::default());
        let writer = Writer {
            catalog: catalog.clone(),
            keyring: Arc::clone(&keyring),
            keys: Arc::clone(&keys),
            nodes: Arc::clone(&nodes),
            placer: Arc::clone(&placer),
            session: Arc::clone(&session),
            clock: Arc::clone(&clock),
            pending: Arc::clone(&pending),
            quotas: Arc::clone(&quotas),
        };
        let budget = Arc::new(ReadAhead::new(READ_AHEAD));
        let accounting = catalog.accounting_clock(config.accounting_hour.0).await?;
        let books = Billing::new(Arc::clone(&engine), config.billing.clone());
        let settlement =
            Settlement::new(catalog.clone(), books.clone(), Arc::clone(&clock), accounting);
        settlement.begin().await?;
        let standings = Standings::new(books, Arc::clone(&clock), accounting, config.tier_limits);
        let standings = Arc::new(standings);
        let metering = Arc::new(Metering::new(Arc::clone(&clock)));
        let reader = Reader::new(
            catalog.clone(),
            Arc::clone(&keys),
            Arc::clone(&nodes),
            budget,
            Arc::clone(&metering),
        );
        let configs = Configs::new(catalog.clone());
        let targets = Targets::new(catalog.clone());
        let classes: Vec<_> = config
            .storage_classes
            .iter()
            .map(|(name, geometry)| (name.as_str().to_owned(), *geometry))
            .collect();
        let recoder = Recoder {
            catalog: catalog.clone(),
            reader: reader.for_upkeep(),
            writer: writer.clone(),
            classes: classes.clone().into(),
        };
        let changes = Changes::new(configs.clone(), Arc::clone(&clock), &config.region);
        let log = Arc::<LogBook>::default();
        let service = s3::service(S3Parts {
            catalog: catalog.clone(),
            configs: configs.clone(),
            targets: targets.clone(),
            changes: changes.clone(),
            log: Arc::clone(&log),
            metering: Arc::clone(&metering),
            standings: Arc::clone(&standings),
            writer,
            reader,
            keyring: Arc::clone(&keyring),
            settings: S3Settings {
                region: config.region.clone(),
                domain: config.domain.clone(),
                default_geometry: config.geometry,
                classes: classes.clone(),
                endpoints: endpoints.clone(),
                webhooks: config.webhooks.keys().map(ToString::to_string).collect(),
                archive_classes: config
                    .archive_classes
                    .iter()
                    .map(|name| name.as_str().to_owned())
                    .collect(),
                day: config.lifecycle_day.0,
                post_signature_v2: config.post_signature_v2,
                rate_limit: config.rate_limit,
            },
        })?;

        let forgetful = service.clone();
        let forget_key = Arc::new(move |id: &str| forgetful.forget_key(id));
        let gateways = gateways(&config, node_addr)?;
        let inviter =
            Arc::new(Inviter { gateways: gateways.clone(), root: operator.root.public() });
        let (doors, stop) = (CancellationToken::new(), CancellationToken::new());
        let (serving, tasks) = (TaskTracker::new(), TaskTracker::new());
        let gate = Gate {
            catalog: catalog.clone(),
            nodes: Arc::clone(&nodes),
            tls: GatewayTls::new(&operator.link)?,
            cluster,
            gateways,
            vetting: vetting.clone(),
            clock: Arc::clone(&clock),
        };
        tasks.spawn(Arc::new(gate).run(node_listener, stop.clone()));
        let domain = config.website_domain.as_deref();
        let site = Site::new(service.clone(), catalog.clone(), configs.clone(), domain);
        let secure = certificate.is_some();
        let tls = match certificate {
            Some((certificate, Renewal::Files(files))) => {
                let tls = certificate.acceptor()?;
                tasks.spawn(certificate.follow(files, stop.clone()));
                Some(tls)
            }
            Some((certificate, Renewal::Acme(worker))) => {
                tasks.spawn(worker.run(stop.clone()));
                Some(certificate.acceptor()?)
            }
            None => None,
        };
        let limits = match config.max_connections {
            Some(connections) => Limits::s3().with_connections(connections),
            None => Limits::s3(),
        };
        if let Some(listener) = website_listener {
            let limits = Limits { door: "website", ..limits.clone() };
            serving.spawn(http::serve(listener, tls.clone(), site, limits, doors.clone()));
        }
        serving.spawn(http::serve(s3_listener, tls, service, limits, doors.clone()));
        let progress = Arc::<Progress>::default();
        let pacer = Arc::new(Pacer::new(config.repair_rate.0));
        let parts = AdminParts {
            catalog: catalog.clone(),
            configs: configs.clone(),
            quotas: Arc::clone(&quotas),
            settlement: settlement.clone(),
            standings,
            keyring: Arc::clone(&keyring),
            keys,
            nodes: Arc::clone(&nodes),
            progress: Arc::clone(&progress),
            pacer: Arc::clone(&pacer),
            vetting: vetting.clone(),
            node_lost_after: config.node_lost_after.0,
            invites: Arc::clone(&inviter) as Arc<dyn Invites>,
            geometry: config.geometry,
            clock: Arc::clone(&clock),
            started: Instant::now(),
            data_dir: data.clone(),
            forget_key,
            metrics: admin::metrics::install(),
        };
        serving.spawn(admin::serve(admin_listener, parts, doors.clone()));
        tasks.spawn(Arc::clone(&metering).run(catalog.clone(), stop.clone()));
        tasks.spawn(settlement.run(stop.clone()));
        let delivery = Delivery { writer: recoder.writer.clone(), changes: changes.clone() };
        let inventory = InventoryWorker {
            catalog: catalog.clone(),
            delivery: delivery.clone(),
            targets: targets.clone(),
            clock: Arc::clone(&clock),
            day: config.lifecycle_day.0,
        };
        tasks.spawn(inventory.run(stop.clone()));
        let logs = LogWorker {
            catalog: catalog.clone(),
            configs: configs.clone(),
            book: log,
            delivery,
            targets: targets.clone(),
            clock: Arc::clone(&clock),
            region: config.region.clone(),
            day: config.lifecycle_day.0,
        };
        tasks.spawn(logs.run(stop.clone()));
        let notifier = Notifier::new(
            catalog.clone(),
            config.webhooks.clone(),
            Arc::clone(&clock),
            to_webhooks,
        );
        tasks.spawn(notifier.run(stop.clone()));
        let replication = ReplicationWorker {
            catalog: catalog.clone(),
            configs: configs.clone(),
            changes: changes.clone(),
            recoder: recoder.clone(),
            consent: Consent::new(&targets),
            endpoints,
            connector: to_endpoints,
            clock: Arc::clone(&clock),
        };
        tasks.spawn(replication.run(stop.clone()));
        let usage = UsageWorker {
            catalog: catalog.clone(),
            configs: configs.clone(),
            quotas,
            interval: config.upkeep_interval.0,
        };
        tasks.spawn(usage.run(stop.clone()));
        let lifecycle = LifecycleWorker {
            catalog: catalog.clone(),
            configs: configs.clone(),
            clock: Arc::clone(&clock),
            day: config.lifecycle_day.0,
            changes,
            recoder,
        };
        tasks.spawn(lifecycle.run(stop.clone()));
        let upkeep = Upkeep {
            catalog: catalog.clone(),
            nodes: Arc::clone(&nodes),
            placer,
            session: Arc::clone(&session),
            keyring,
            metering,
            revision: Arc::new(operator.revision),
            started: clock.now(),
            clock,
            census: SharedCensus::default(),
            progress,
            pacer,
            settings: UpkeepSettings {
                interval: config.upkeep_interval.0,
                node_lost_after: config.node_lost_after.0,
                reconcile_every: config.reconcile_interval.0,
                audits_per_day: config.audits_per_day,
                vetting,
            },
        };
        upkeep.start(&tasks, &stop);
        tracing::info!(%s3_addr, %admin_addr, %node_addr, session = session.id().0, "gateway started");
        Ok(Self {
            s3_addr,
            secure,
            admin_addr,
            node_addr,
            root,
            catalog,
            engine,
            nodes,
            session,
            pending,
            inviter,
            doors,
            stop,
            serving,
            tasks,
            _lock: lock,
        })
    }

    /// Where S3 is served.
    #[must_use]
    pub fn s3_addr(&self) -> SocketAddr {
        self.s3_addr
    }

    /// How S3 is addressed: `http` or `https`.
    #[must_use]
    pub fn s3_scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// Where the admin API is served.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// Where nodes dial in.
    #[must_use]
    pub fn node_addr(&self) -> SocketAddr {
        self.node_addr
    }

    /// The root account's access key and secret.
    #[must_use]
    pub fn root_keys(&self) -> (&str, &Zeroizing<String>) {
        (&self.root.access_key, &self.root.secret_key)
    }

    /// A new invite, as one word.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn invite(&self) -> Result<String, CatalogError> {
        let token = Token::random();
        self.catalog.create_invite(token.digest(), INVITE_LIFE).await?;
        Ok(self.inviter.make(token))
    }

    /// Resolves when the gateway stops by itself, because it lost its lease.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Finishes requests in flight, then stops everything and ends the session.
    pub async fn stop(self) {
        self.doors.cancel();
        self.serving.close();
        self.serving.wait().await;
        if tokio::time::timeout(STRAGGLER_WAIT, self.pending.idle()).await.is_err() {
            tracing::info!("some stragglers were left behind; repair will see to them");
        }
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        for member in self.nodes.members() {
            member.client().close();
        }
        if let Err(error) = self.session.end(&self.catalog).await {
            tracing::warn!(%error, "the session could not be ended; the next start will");
        }
        self.engine.close().await;
        tracing::info!("gateway stopped");
    }
}

/// Words invites for this installation.
struct Inviter {
    gateways: Vec<Address>,
    root: protocol::identity::PublicKey,
}

impl Invites for Inviter {
    fn make(&self, token: Token) -> String {
        Invite { gateways: self.gateways.clone(), root: self.root, token }.to_string()
    }
}

/// The root account's key, as it lies in the data folder.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RootKeys {
    access_key: String,
    secret_key: Zeroizing<String>,
}

/// Where a certificate's successor comes from.
enum Renewal {
    Files(CertificateFiles),
    Acme(Box<AcmeWorker>),
}

/// The certificate of the S3 door, if it is to have one.
fn certificate(
    config: &Config,
    data: &Path,
    clock: &SharedClock,
) -> Result<Option<(Certificate, Renewal)>, AppError> {
    match (&config.tls_cert, &config.tls_key) {
        (None, None) => {
            let Some(settings) = config.acme() else { return Ok(None) };
            let (worker, certificate) = AcmeWorker::open(settings, data, Arc::clone(clock))?;
            Ok(Some((certificate, Renewal::Acme(Box::new(worker)))))
        }
        (Some(_), Some(_)) if !config.acme_domains.is_empty() => Err(AppError::TwoCertificates),
        (Some(cert), Some(key)) => {
            let files = CertificateFiles { cert: cert.clone(), key: key.clone() };
            Ok(Some((Certificate::new(&files)?, Renewal::Files(files))))
        }
        (Some(_), None) | (None, Some(_)) => Err(AppError::HalfCertificate),
    }
}

fn lock(data: &Path) -> Result<File, AppError> {
    let path = data.join(LOCK);
    let io = |source| AppError::Io { path: path.clone(), source };
    fs::create_dir_all(data).map_err(io)?;
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(AppError::InUse(data.to_owned())),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

/// This process has the data folder alone, so whoever held a session before is gone: what they did not finish is garbage.
async fn end_old_sessions(catalog: &Catalog) -> Result<(), CatalogError> {
    for (id, session) in catalog.sessions().await? {
        if !matches!(session.state, SessionState::Ended { .. }) {
            catalog.end_session(id).await?;
            tracing::info!(session = id.0, "an earlier session was ended");
        }
    }
    Ok(())
}

/// The root account and its key: from the environment, else from the data folder, else made now.
async fn root_account(
    catalog: &Catalog,
    keyring: &seal::Keyring,
    data: &Path,
    clock: &dyn Clock,
) -> Result<RootKeys, AppError> {
    let keys = root_keys(&data.join(ROOT_KEYS))?;
    secrets::check(&keys.access_key, &keys.secret_key)
        .map_err(|why| AppError::RootKeys(why.to_owned()))?;
    let id: AccountId =
        ROOT_ACCOUNT.parse().map_err(|error| AppError::RootKeys(format!("{error}")))?;
    let now = clock.now();
    if catalog.account(&id).await?.is_none() {
        let account = Account {
            name: "root".to_owned(),
            email: "root@localhost".to_owned(),
            created: now,
            operator: true,
        };
        catalog.create_account(&id, &account).await?;
    }
    let same = match catalog.access_key(&keys.access_key).await? {
        // The root key does whatever the account may, for ever: whatever was made of it since.
        Some(found) => {
            let whole = found.enabled && found.policy.is_none() && found.expires.is_none();
            let secret = secrets::open(keyring, &keys.access_key, &found);
            whole && secret.is_ok_and(|secret| *secret == *keys.secret_key)
        }
        None => false,
    };
    if !same {
        catalog.delete_access_key(&keys.access_key).await?;
        let key = secrets::seal(keyring, &keys.access_key, &keys.secret_key, id, now);
        catalog.create_access_key(&keys.access_key, &key).await?;
    }
    Ok(keys)
}

fn root_keys(path: &Path) -> Result<RootKeys, AppError> {
    let given = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    match (given("DRYSTONE_ROOT_ACCESS_KEY"), given("DRYSTONE_ROOT_SECRET_KEY")) {
        (Some(access_key), Some(secret_key)) => {
            return Ok(RootKeys { access_key, secret_key: Zeroizing::new(secret_key) });
        }
        (None, None) => {}
        _ => {
            let words =
                "set both DRYSTONE_ROOT_ACCESS_KEY and DRYSTONE_ROOT_SECRET_KEY, or neither";
            return Err(AppError::RootKeys(words.to_owned()));
        }
    }
    if let Some(bytes) = operator::read_secret(path)? {
        let text = Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
        // The parser's message would quote the secret.
        return toml::from_str(&text)
            .map_err(|_| AppError::RootKeys(format!("{} cannot be read", path.display())));
    }
    let (access_key, secret_key) = secrets::generate();
    let text = Zeroizing::new(format!(
        "access_key = \"{access_key}\"\nsecret_key = \"{}\"\n",
        &*secret_key
    ));
    operator::write_secret(path, text.as_bytes())?;
    Ok(RootKeys { access_key, secret_key })
}

fn gateways(config: &Config, node_addr: SocketAddr) -> Result<Vec<Address>, AppError> {
    if config.node_public.is_empty() {
        return if node_addr.ip().is_unspecified() {
            Err(AppError::NodePublic(node_addr))
        } else {
            Ok(vec![node_addr.into()])
        };
    }
    config
        .node_public
        .iter()
        .map(|text| text.parse().map_err(|_| AppError::Address(text.clone())))
        .collect()
}
