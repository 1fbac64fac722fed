//! What an operator can set: `drystone.toml`, each field overridable by a flag and a `DRYSTONE_*` variable.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use billing::Rules;
use serde::{Deserialize, Serialize};
use types::GeometryName;
use types::size::ByteSize;

use crate::acme::{AcmeSettings, BindingText, TsigText};
use crate::nodes::vetting::VettingRules;
use crate::webhooks::{WebhookName, WebhookUrl};

/// The directory of Let's Encrypt.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// The gateway's configuration. Unknown fields are refused, so that a typing error is not taken for a default.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where S3 is served.
    pub s3_addr: SocketAddr,
    /// Where the admin API, health and metrics are served.
    pub admin_addr: SocketAddr,
    /// Where nodes dial in.
    pub node_addr: SocketAddr,
    /// The addresses (host:port) that nodes are told to dial; empty: `node_addr`.
    pub node_public: Vec<String>,
    /// The name of the one region.
    pub region: String,
    /// The domain whose subdomains are buckets; none: path style only.
    pub domain: Option<String>,
    /// Whether browser forms may carry policies signed with signature version 2; nothing else may.
    pub post_signature_v2: bool,
    /// The certificate chain (PEM) that S3 clients are shown; without it S3 is served unencrypted.
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM).
    pub tls_key: Option<PathBuf>,
    /// The names for which a certificate is obtained by ACME; none: by nobody.
    pub acme_domains: Vec<String>,
    /// The directory of the certificate authority.
    pub acme_directory: String,
    /// Where the authority writes to when something is wrong.
    pub acme_email: Option<String>,
    /// The account elsewhere to which the one with the authority is bound. It is never shown.
    #[serde(skip_serializing)]
    pub acme_eab: Option<BindingText>,
    /// The roots (PEM) by which the authority itself is trusted; none: the system's.
    pub acme_ca: Option<PathBuf>,
    /// The program that sets and removes DNS records: `PROGRAM present|cleanup FQDN VALUE`.
    pub acme_dns_exec: Option<PathBuf>,
    /// The name server that takes updates (RFC 2136) of the domains' records.
    pub acme_dns_server: Option<SocketAddr>,
    /// The key that signs updates. It is never shown.
    #[serde(skip_serializing)]
    pub acme_tsig: Option<TsigText>,
    /// How long after a record was set all name servers have it.
    pub acme_dns_wait: Period,
    /// Connections to the S3 door, and to the website door, at once; more wait.
    pub max_connections: Option<NonZeroUsize>,
    /// S3 requests a second for each access key, and for each address of what nobody signed; more are told to slow down. None: any.
    pub rate_limit: Option<NonZeroU32>,
    /// How new buckets code their objects.
    pub geometry: GeometryName,
    /// Further storage classes by name, and how each codes its objects. `STANDARD` is there anyway and codes as the bucket does.
    pub storage_classes: BTreeMap<StorageClassName, GeometryName>,
    /// Those among them whose objects must be restored before they can be read.
    pub archive_classes: BTreeSet<StorageClassName>,
    /// How long a GET may run on after a delete; shards are freed after that.
    pub read_grace: Period,
    /// A node that is offline this long is declared lost.
    pub node_lost_after: Period,
    /// Between two rounds of upkeep.
    pub upkeep_interval: Period,
    /// Between two comparisons of a node's inventory with the catalog.
    pub reconcile_interval: Period,
    /// Audits of each node in a day; 0: none. Fewer than the default may find a loss of one hundredth too late.
    pub audits_per_day: u32,
    /// How long after it joined a node may get a full share, if it has shown enough by then.
    pub vetting_time: Period,
    /// Bytes a second that repair may read and write; 0: any number. What may be lost soon is repaired at once.
    pub repair_rate: ByteSize,
    /// Where buckets that are websites are served; none: nowhere.
    pub website_addr: Option<SocketAddr>,
    /// The domain whose subdomains are websites; any other host is a bucket's name itself.
    pub website_domain: Option<String>,
    /// How long lifecycle rules, inventories and restoring take a day to be; shorter ones are for tests.
    pub lifecycle_day: Period,
    /// How long the hour of metering, settlement and tariffs is; a shorter one is for tests.
    pub accounting_hour: Period,
    /// Whether accounts are held to the limits of their tiers; freezes and spend caps count anyway.
    pub tier_limits: bool,
    /// What the operator decided about money: currency, who issues invoices, what is held back.
    pub billing: Rules,
    /// Where events of buckets can be sent, by the names that their configurations use.
    pub webhooks: BTreeMap<WebhookName, WebhookUrl>,
    /// The roots (PEM) by which webhooks over `https` are trusted; none: the system's.
    pub webhook_ca: Option<PathBuf>,
    /// The file that names other S3 endpoints into which buckets can be replicated, with the keys to them.
    pub replica_endpoints: Option<PathBuf>,
    /// The roots (PEM) by which those endpoints are trusted; none: the system's.
    pub replica_ca: Option<PathBuf>,
    /// The log file; none: `drystone.log` in the data folder.
    pub log: Option<PathBuf>,
}

impl Config {
    /// A class that is said to be archived and is none of the storage classes.
    #[must_use]
    pub fn unknown_archive_class(&self) -> Option<&StorageClassName> {
        self.archive_classes.iter().find(|name| !self.storage_classes.contains_key(*name))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            s3_addr: SocketAddr::from(([127, 0, 0, 1], 9000)),
            admin_addr: SocketAddr::from(([127, 0, 0, 1], 9001)),
            node_addr: SocketAddr::from(([127, 0, 0, 1], 9100)),
            node_public: Vec::new(),
            region: "us-east-1".to_owned(),
            domain: None,
            post_signature_v2: false,
            tls_cert: None,
            tls_key: None,
            acme_domains: Vec::new(),
            acme_directory: LETS_ENCRYPT.to_owned(),
            acme_email: None,
            acme_eab: None,
            acme_ca: None,
            acme_dns_exec: None,
            acme_dns_server: None,
            acme_tsig: None,
            acme_dns_wait: Period(Duration::from_secs(15)),
            max_connections: None,
            rate_limit: None,
            geometry: GeometryName::Local,
            storage_classes: BTreeMap::new(),
            archive_classes: BTreeSet::new(),
            read_grace: Period(Duration::from_secs(6 * 3600)),
            node_lost_after: Period(Duration::from_secs(7 * 24 * 3600)),
            upkeep_interval: Period(Duration::from_secs(10)),
            reconcile_interval: Period(Duration::from_secs(6 * 3600)),
            audits_per_day: crate::nodes::audits::PER_DAY,
            vetting_time: Period(VettingRules::default().time),
            repair_rate: ByteSize(64 * types::MIB),
            website_addr: None,
            website_domain: None,
            lifecycle_day: Period(Duration::from_secs(24 * 3600)),
            accounting_hour: Period(metadata::accounting::HOUR),
            tier_limits: false,
            billing: Rules::default(),
            webhooks: BTreeMap::new(),
            webhook_ca: None,
            replica_endpoints: None,
            replica_ca: None,
            log: None,
        }
    }
}

impl Config {
    /// What is said of certificates by ACME, if some are wanted.
    pub(crate) fn acme(&self) -> Option<AcmeSettings> {
        (!self.acme_domains.is_empty()).then(|| AcmeSettings {
            domains: self.acme_domains.clone(),
            directory: self.acme_directory.clone(),
            email: self.acme_email.clone(),
            binding: self.acme_eab.clone(),
            ca: self.acme_ca.clone(),
            dns_exec: self.acme_dns_exec.clone(),
            dns_server: self.acme_dns_server,
            tsig: self.acme_tsig.clone(),
            dns_wait: self.acme_dns_wait.0,
        })
    }
}

/// The name of a storage class beside `STANDARD`: 1 to 32 capital letters, digits and underscores.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StorageClassName(String);

/// A text that names no storage class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot name a storage class: write 1 to 32 capital letters, digits or '_', and not STANDARD"
)]
pub struct StorageClassNameError(String);

impl StorageClassName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StorageClassName {
    type Err = StorageClassNameError;

    fn from_str(text: &str) -> Result<Self, StorageClassNameError> {
        let fine = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        let good = (1..=32).contains(&text.len()) && text.bytes().all(fine) && text != "STANDARD";
        if good { Ok(Self(text.to_owned())) } else { Err(StorageClassNameError(text.to_owned())) }
    }
}

impl TryFrom<String> for StorageClassName {
    type Error = StorageClassNameError;

    fn try_from(text: String) -> Result<Self, StorageClassNameError> {
        text.parse()
    }
}

impl From<StorageClassName> for String {
    fn from(name: StorageClassName) -> Self {
        name.0
    }
}

/// A length of time as people write it: `200ms`, `90s`, `15m`, `6h`, `7d`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period(pub Duration);

/// A text that is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a length of time; write a whole number and a unit, such as 200ms, 90s, 15m, 6h or 7d"
)]
pub struct PeriodError(String);

/// Unit and milliseconds, longest unit first so that `ms` is not read as `s`.
const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 24 * 3_600_000)];

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let parse = || {
            let (digits, unit) = UNITS
                .iter()
                .find_map(|(suffix, millis)| Some((text.trim().strip_suffix(suffix)?, millis)))?;
            digits.trim_end().parse::<u64>().ok()?.checked_mul(*unit)
        };
        parse()
            .map(|millis| Self(Duration::from_millis(millis)))
            .ok_or_else(|| PeriodError(text.to_owned()))
    }
}

impl TryFrom<String> for Period {
    type Error = PeriodError;

    fn try_from(text: String) -> Result<Self, PeriodError> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let unit = UNITS
            .iter()
            .rev()
            .find(|(_, unit)| millis > 0 && millis.is_multiple_of(u128::from(*unit)));
        let (name, unit) = unit.unwrap_or(&UNITS[0]);
        write!(f, "{}{name}", millis / u128::from(*unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_lengths_of_time() {
        for (text, millis) in
            [("200ms", 200), ("90s", 90_000), ("15m", 900_000), ("6h", 21_600_000), ("0s", 0)]
        {
            let period: Period = text.parse().expect(text);
            assert_eq!(period.0.as_millis(), millis);
            assert_eq!(period.to_string().parse(), Ok(period));
        }
        for bad in ["", "6", "h", "-1s", "1.5h", "6 weeks"] {
            assert!(bad.parse::<Period>().is_err(), "{bad}");
        }
    }

    #[test]
    fn storage_classes_are_named_as_s3_names_them() {
        let config: Config =
            toml::from_str("[storage_classes]\nSTANDARD_IA = \"local\"\nGLACIER = \"wide\"")
                .expect("two classes");
        let named: Vec<&str> =
            config.storage_classes.keys().map(StorageClassName::as_str).collect();
        assert_eq!(named, ["GLACIER", "STANDARD_IA"]);
        for bad in ["", "STANDARD", "glacier", "DEEP ARCHIVE", &"X".repeat(33)] {
            assert!(bad.parse::<StorageClassName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn webhooks_have_a_name_and_a_place() {
        let config: Config =
            toml::from_str("[webhooks]\norders = \"http://127.0.0.1:8000/in\"").expect("a webhook");
        let named: Vec<_> =
            config.webhooks.iter().map(|(name, url)| format!("{name} {url}")).collect();
        assert_eq!(named, ["orders http://127.0.0.1:8000/in"]);
        assert!(toml::from_str::<Config>("[webhooks]\norders = \"127.0.0.1\"").is_err());
    }

    #[test]
    fn what_the_operator_decides_about_money_is_in_the_file() {
        let text = "[billing]\ncurrency = { code = \"JPY\", exponent = 0 }\npayout_minimum = \"10\"\n[billing.seller]\nname = \"S\"";
        let config: Config = toml::from_str(text).expect("settings");
        assert_eq!(config.billing.currency.code(), "JPY");
        assert_eq!(config.billing.hold_days, Rules::default().hold_days);
        assert_eq!(config.billing.seller.name, "S");
        assert!(
            toml::from_str::<Config>("[billing]\nfee = 5").is_err(),
            "the operator's part is fixed"
        );
    }

    #[test]
    fn a_field_nobody_knows_is_refused() {
        assert!(toml::from_str::<Config>("read_grace = \"1s\"").is_ok());
        let error = toml::from_str::<Config>("read_grase = \"1s\"").expect_err("a typing error");
        assert!(error.to_string().contains("read_grase"));
    }
}
