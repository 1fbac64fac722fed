//! The configuration: `drystone.toml`, then `DRYSTONE_*` variables, then flags; the later wins.

use std::io;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};

use ::gateway::acme::{BindingText, TsigText};
use ::gateway::admin::backup::ROOT_KEYS;
use ::gateway::admin::sigv4::Credentials;
use ::gateway::config::{Config, Period, StorageClassName};
use ::gateway::webhooks::{WebhookName, WebhookUrl};
use serde::Deserialize;
use types::GeometryName;
use types::size::ByteSize;
use zeroize::Zeroizing;

use crate::error::CliError;

/// The configuration in the data folder.
const FILE: &str = "drystone.toml";
/// The log in the data folder.
const LOG: &str = "drystone.log";

/// Where the data is, and what replaces fields of `drystone.toml`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Settings {
    /// The data folder: catalog, keys, log. Made if it is not there.
    #[arg(long, env = "DRYSTONE_DATA", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The configuration [default: drystone.toml in the data folder, if there is one]
    #[arg(long, env = "DRYSTONE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where S3 clients connect [default: 127.0.0.1:9000]
    #[arg(long, env = "DRYSTONE_S3_ADDR", value_name = "ADDR")]
    s3_addr: Option<SocketAddr>,
    /// Where the admin API listens [default: 127.0.0.1:9001]
    #[arg(long, env = "DRYSTONE_ADMIN_ADDR", value_name = "ADDR")]
    admin_addr: Option<SocketAddr>,
    /// Where nodes connect [default: 127.0.0.1:9100]
    #[arg(long, env = "DRYSTONE_NODE_ADDR", value_name = "ADDR")]
    node_addr: Option<SocketAddr>,
    /// The addresses (host:port) that invites name, separated by commas [default: --node-addr]
    #[arg(long, env = "DRYSTONE_NODE_PUBLIC", value_name = "HOST:PORT", value_delimiter = ',')]
    node_public: Vec<String>,
    /// The region that S3 clients name.
    #[arg(long, env = "DRYSTONE_REGION", value_name = "NAME")]
    region: Option<String>,
    /// Serve buckets also as BUCKET.DOMAIN (virtual-host style).
    #[arg(long, env = "DRYSTONE_DOMAIN", value_name = "DOMAIN")]
    domain: Option<String>,
    /// Accept browser forms whose policy is signed with the old signature version 2.
    #[arg(long, env = "DRYSTONE_POST_SIGNATURE_V2")]
    post_signature_v2: bool,
    /// Serve S3 over TLS with this certificate chain (PEM); a new file is taken up while running.
    #[arg(long, env = "DRYSTONE_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The private key (PEM) of --tls-cert.
    #[arg(long, env = "DRYSTONE_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Obtain and renew a certificate for this name by ACME; repeatable. You agree to the authority's terms of service. *.NAME needs
    /// --acme-dns-exec or --acme-dns-server; other names are proven on the S3 port, which the authority must reach as port 443.
    #[arg(
        long,
        env = "DRYSTONE_ACME_DOMAINS",
        value_name = "NAME",
        value_delimiter = ',',
        conflicts_with = "tls_cert"
    )]
    acme_domain: Vec<String>,
    /// The ACME directory of the certificate authority [default: Let's Encrypt's]
    #[arg(long, env = "DRYSTONE_ACME_DIRECTORY", value_name = "URL")]
    acme_directory: Option<String>,
    /// Where the certificate authority writes to when something is wrong.
    #[arg(long, env = "DRYSTONE_ACME_EMAIL", value_name = "EMAIL")]
    acme_email: Option<String>,
    /// The external account that some authorities ask for (RFC 8555); better given as the variable, which others do not see.
    #[arg(
        long,
        env = "DRYSTONE_ACME_EAB",
        value_name = "KEY_ID:BASE64URL",
        hide_env_values = true
    )]
    acme_eab: Option<BindingText>,
    /// The roots (PEM) by which a private certificate authority is trusted [default: the system's]
    #[arg(long, env = "DRYSTONE_ACME_CA", value_name = "FILE")]
    acme_ca: Option<PathBuf>,
    /// Prove names by DNS records that this program sets and removes; called as PROGRAM present|cleanup FQDN VALUE.
    #[arg(
        long,
        env = "DRYSTONE_ACME_DNS_EXEC",
        value_name = "PROGRAM",
        conflicts_with = "acme_dns_server"
    )]
    acme_dns_exec: Option<PathBuf>,
    /// Prove names by DNS records that this name server takes as updates (RFC 2136), such as 192.0.2.53:53.
    #[arg(long, env = "DRYSTONE_ACME_DNS_SERVER", value_name = "ADDR")]
    acme_dns_server: Option<SocketAddr>,
    /// The key (hmac-sha256) that signs updates to --acme-dns-server; better given as the variable, which others do not see.
    #[arg(long, env = "DRYSTONE_ACME_TSIG", value_name = "NAME:BASE64", hide_env_values = true)]
    acme_tsig: Option<TsigText>,
    /// How long after a DNS record was set all name servers have it [default: 15s]
    #[arg(long, env = "DRYSTONE_ACME_DNS_WAIT", value_name = "TIME")]
    acme_dns_wait: Option<Period>,
    /// Connections to S3 at once; more wait for their turn [default: 4096]
    #[arg(long, env = "DRYSTONE_MAX_CONNECTIONS", value_name = "N")]
    max_connections: Option<NonZeroUsize>,
    /// S3 requests a second for each access key, and for each address of unsigned ones; twice as many at once, more are answered 503
    /// SlowDown [default: any number]
    #[arg(long, env = "DRYSTONE_RATE_LIMIT", value_name = "N")]
    rate_limit: Option<NonZeroU32>,
    /// How new objects are coded: local, home or wide.
    #[arg(long, env = "DRYSTONE_GEOMETRY", value_name = "NAME")]
    geometry: Option<GeometryName>,
    /// A further storage class and how it codes its objects, such as STANDARD_IA=home; repeatable.
    #[arg(long, env = "DRYSTONE_STORAGE_CLASSES", value_name = "NAME=GEOMETRY", value_delimiter = ',', value_parser = storage_class)]
    storage_class: Vec<(StorageClassName, GeometryName)>,
    /// One of --storage-class whose objects must be restored before they can be read; repeatable.
    #[arg(long, env = "DRYSTONE_ARCHIVE_CLASSES", value_name = "NAME", value_delimiter = ',')]
    archive_class: Vec<StorageClassName>,
    /// How long a download may run on after its object was deleted, such as 6h.
    #[arg(long, env = "DRYSTONE_READ_GRACE", value_name = "TIME")]
    read_grace: Option<Period>,
    /// How long a node may be away before its shards are rebuilt on others, such as 24h.
    #[arg(long, env = "DRYSTONE_NODE_LOST_AFTER", value_name = "TIME")]
    node_lost_after: Option<Period>,
    /// How often to look for work to repair and collect, such as 10s.
    #[arg(long, env = "DRYSTONE_UPKEEP_INTERVAL", value_name = "TIME")]
    upkeep_interval: Option<Period>,
    /// How often to compare each node's inventory with the catalog, such as 6h.
    #[arg(long, env = "DRYSTONE_RECONCILE_INTERVAL", value_name = "TIME")]
    reconcile_interval: Option<Period>,
    /// How often a day to look whether each node still has what it stored [default: 576; see docs/AUDITS.md]
    #[arg(long, env = "DRYSTONE_AUDITS_PER_DAY", value_name = "N")]
    audits_per_day: Option<u32>,
    /// How long after it joined a node may get a full share of new data [default: 7d; see docs/PLACEMENT.md]
    #[arg(long, env = "DRYSTONE_VETTING_TIME", value_name = "TIME")]
    vetting_time: Option<Period>,
    /// Bytes a second that repair may read and write, such as 64MiB; 0: any number. What may be lost soon is repaired at once.
    #[arg(long, env = "DRYSTONE_REPAIR_RATE", value_name = "BYTES")]
    repair_rate: Option<ByteSize>,
    /// Where buckets that are websites are served [default: nowhere]
    #[arg(long, env = "DRYSTONE_WEBSITE_ADDR", value_name = "ADDR")]
    website_addr: Option<SocketAddr>,
    /// Websites are named BUCKET.DOMAIN; any other host is a bucket's name itself.
    #[arg(long, env = "DRYSTONE_WEBSITE_DOMAIN", value_name = "DOMAIN")]
    website_domain: Option<String>,
    /// How long lifecycle rules and restoring take a day to be [default: 24h]; shorter ones, such as 10s, are for tests.
    #[arg(long, env = "DRYSTONE_LIFECYCLE_DAY", value_name = "TIME")]
    lifecycle_day: Option<Period>,
    /// How long an hour of metering, settlement and tariffs is [default: 1h]; shorter ones, such as 1s, are for tests.
    #[arg(long, env = "DRYSTONE_ACCOUNTING_HOUR", value_name = "TIME")]
    accounting_hour: Option<Period>,
    /// Hold accounts to their tiers' limits on stored bytes, egress a day and requests a second (freezes and spend caps count anyway).
    #[arg(long, env = "DRYSTONE_TIER_LIMITS")]
    tier_limits: bool,
    /// Where events of buckets can be sent, such as orders=https://hooks.example.com/events; repeatable.
    #[arg(long, env = "DRYSTONE_WEBHOOKS", value_name = "NAME=URL", value_delimiter = ',', value_parser = webhook)]
    webhook: Vec<(WebhookName, WebhookUrl)>,
    /// The roots (PEM) by which webhooks over https are trusted [default: the system's]
    #[arg(long, env = "DRYSTONE_WEBHOOK_CA", value_name = "FILE")]
    webhook_ca: Option<PathBuf>,
    /// The file (TOML, readable by its owner alone) that names other S3 endpoints into which buckets can be replicated, each with url,
    /// access_key and secret_key [default: none]
    #[arg(long, env = "DRYSTONE_REPLICA_ENDPOINTS", value_name = "FILE")]
    replica_endpoints: Option<PathBuf>,
    /// The roots (PEM) by which those endpoints are trusted [default: the system's]
    #[arg(long, env = "DRYSTONE_REPLICA_CA", value_name = "FILE")]
    replica_ca: Option<PathBuf>,
    /// The log file [default: drystone.log in the data folder]
    #[arg(long, env = "DRYSTONE_LOG_FILE", value_name = "FILE")]
    log: Option<PathBuf>,
}

impl Settings {
    /// The configuration with every override applied.
    pub(crate) fn load(&self) -> Result<Config, CliError> {
        let text = self.text()?;
        let mut config: Config = toml::from_str(&text)
            .map_err(|error| CliError::Usage(format!("{}: {error}", self.path().display())))?;
        set(&mut config.s3_addr, self.s3_addr);
        set(&mut config.admin_addr, self.admin_addr);
        set(&mut config.node_addr, self.node_addr);
        set(&mut config.region, self.region.clone());
        set(&mut config.geometry, self.geometry);
        set(&mut config.read_grace, self.read_grace);
        set(&mut config.node_lost_after, self.node_lost_after);
        set(&mut config.upkeep_interval, self.upkeep_interval);
        set(&mut config.reconcile_interval, self.reconcile_interval);
        set(&mut config.audits_per_day, self.audits_per_day);
        set(&mut config.vetting_time, self.vetting_time);
        set(&mut config.repair_rate, self.repair_rate);
        set(&mut config.lifecycle_day, self.lifecycle_day);
        set(&mut config.accounting_hour, self.accounting_hour);
        config.tier_limits |= self.tier_limits;
        if !self.storage_class.is_empty() {
            config.storage_classes = self.storage_class.iter().cloned().collect();
        }
        if !self.webhook.is_empty() {
            config.webhooks = self.webhook.iter().cloned().collect();
        }
        if !self.archive_class.is_empty() {
            config.archive_classes = self.archive_class.iter().cloned().collect();
        }
        if let Some(name) = config.unknown_archive_class() {
            let name = name.as_str();
            return Err(CliError::Usage(format!(
                "{name} is to be archived and is no storage class: add --storage-class {name}=GEOMETRY"
            )));
        }
        if !self.node_public.is_empty() {
            config.node_public.clone_from(&self.node_public);
        }
        config.post_signature_v2 |= self.post_signature_v2;
        config.tls_cert = self.tls_cert.clone().or(config.tls_cert);
        config.tls_key = self.tls_key.clone().or(config.tls_key);
        self.set_acme(&mut config);
        config.max_connections = self.max_connections.or(config.max_connections);
        config.rate_limit = self.rate_limit.or(config.rate_limit);
        config.website_addr = self.website_addr.or(config.website_addr);
        config.website_domain = self.website_domain.clone().or(config.website_domain);
        config.domain = self.domain.clone().or(config.domain);
        config.webhook_ca = self.webhook_ca.clone().or(config.webhook_ca);
        config.replica_endpoints = self.replica_endpoints.clone().or(config.replica_endpoints);
        config.replica_ca = self.replica_ca.clone().or(config.replica_ca);
        config.log = self.log.clone().or(config.log);
        Ok(config)
    }

    fn set_acme(&self, config: &mut Config) {
        if !self.acme_domain.is_empty() {
            config.acme_domains.clone_from(&self.acme_domain);
        }
        set(&mut config.acme_directory, self.acme_directory.clone());
        set(&mut config.acme_dns_wait, self.acme_dns_wait);
        config.acme_email = self.acme_email.clone().or(config.acme_email.take());
        config.acme_eab = self.acme_eab.clone().or(config.acme_eab.take());
        config.acme_ca = self.acme_ca.clone().or(config.acme_ca.take());
        config.acme_dns_exec = self.acme_dns_exec.clone().or(config.acme_dns_exec.take());
        config.acme_dns_server = self.acme_dns_server.or(config.acme_dns_server);
        config.acme_tsig = self.acme_tsig.clone().or(config.acme_tsig.take());
    }

    /// Where the log goes.
    pub(crate) fn log_file(&self, config: &Config) -> PathBuf {
        config.log.clone().unwrap_or_else(|| self.data.join(LOG))
    }

    fn path(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| self.data.join(FILE))
    }

    fn text(&self) -> Result<String, CliError> {
        let path = self.path();
        match std::fs::read_to_string(&path) {
            // Only a file that was asked for by name must be there.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.config.is_none() => {
                Ok(String::new())
            }
            text => text.map_err(CliError::io(path)),
        }
    }
}

/// The root account's keys in a data folder.
pub(crate) fn stored_root_keys(data: &Path) -> Result<Credentials, CliError> {
    #[derive(Deserialize)]
    struct RootKeys {
        access_key: String,
        secret_key: String,
    }
    let path = data.join(ROOT_KEYS);
    let text = std::fs::read_to_string(&path).map(Zeroizing::new).map_err(CliError::io(&path))?;
    // The parser's message would quote the secret.
    let keys: RootKeys = toml::from_str(&text)
        .map_err(|_| CliError::Usage(format!("{} holds no keys", path.display())))?;
    Ok(Credentials { access_key: keys.access_key, secret_key: Zeroizing::new(keys.secret_key) })
}

/// `NAME=GEOMETRY`
fn storage_class(text: &str) -> Result<(StorageClassName, GeometryName), String> {
    let (name, geometry) = text.split_once('=').ok_or("write NAME=GEOMETRY")?;
    let name = name.parse().map_err(|error| format!("{error}"))?;
    let geometry = geometry.parse().map_err(|error| format!("{error}"))?;
    Ok((name, geometry))
}

/// `NAME=URL`
fn webhook(text: &str) -> Result<(WebhookName, WebhookUrl), String> {
    let (name, url) = text.split_once('=').ok_or("write NAME=URL")?;
    let name = name.parse().map_err(|error| format!("{error}"))?;
    let url = url.parse().map_err(|error| format!("{error}"))?;
    Ok((name, url))
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(data: &Path) -> Settings {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            settings: Settings,
        }
        let data = data.to_str().expect("text");
        let line =
            ["drystone", "--data", data, "--s3-addr", "127.0.0.1:1234", "--read-grace", "1s"];
        <Line as clap::Parser>::parse_from(line).settings
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = "s3_addr = \"127.0.0.1:1\"\nadmin_addr = \"127.0.0.1:2\"\nread_grace = \"5h\"\n";
        std::fs::write(dir.path().join(FILE), file).expect("written");
        let config = settings(dir.path()).load().expect("a configuration");
        assert_eq!(config.s3_addr.port(), 1234);
        assert_eq!(config.read_grace, "1s".parse().expect("a period"));
        assert_eq!(config.admin_addr.port(), 2);
        assert_eq!(config.node_addr, Config::default().node_addr);
    }

    #[test]
    fn a_file_is_needed_only_if_it_was_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut settings = settings(dir.path());
        assert!(settings.load().is_ok());
        settings.config = Some(dir.path().join("other.toml"));
        assert!(matches!(settings.load(), Err(CliError::Io { .. })));
    }

    #[test]
    fn a_typing_error_in_the_file_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join(FILE), "s3_adr = \"127.0.0.1:1\"\n").expect("written");
        let error = settings(dir.path()).load().expect_err("a typing error");
        assert!(error.to_string().contains("s3_adr"), "{error}");
        assert_eq!(error.exit_status(), 2);
    }

    #[test]
    fn stored_root_keys_are_found_and_a_damaged_file_is_not_quoted() {
        let dir = tempfile::tempdir().expect("a folder");
        let none = stored_root_keys(dir.path()).expect_err("no keys");
        assert!(matches!(none, CliError::Io { .. }));
        let file = dir.path().join(ROOT_KEYS);
        std::fs::write(&file, "access_key = \"DSABC\"\nsecret_key = \"hush-hush\"\n")
            .expect("written");
        let keys = stored_root_keys(dir.path()).expect("keys");
        assert_eq!((keys.access_key.as_str(), keys.secret_key.as_str()), ("DSABC", "hush-hush"));
        std::fs::write(&file, "secret_key = hush-hush").expect("written");
        let error = stored_root_keys(dir.path()).expect_err("damaged").with_causes();
        assert!(!error.contains("hush"), "{error}");
    }
}
