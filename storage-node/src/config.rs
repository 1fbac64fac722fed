//! `node.toml`: what the owner and the invite have settled. Every field can be overridden by a flag or a `DRYSTONE_*` variable.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use protocol::dial::Address;
use protocol::identity::{ClusterId, NodeIdentity, PublicKey};
use protocol::message::NodeName;
use protocol::receipt::ReceiptSigner;
use serde::{Deserialize, Serialize};
use types::{ByteSize, MIB, SystemClock};

use crate::crashsafe;
use crate::error::Error;
use crate::frame::Frame;
use crate::store::StoreOptions;

/// The configuration's name in the data folder.
const FILE: &str = "node.toml";
/// The format this program writes and reads.
const FORMAT: u32 = 1;

/// Everything a node needs to run.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The data folder: `node.toml`, `identity.key`, `store/`, `status.sock`.
    pub dir: PathBuf,
    /// The contents of `node.toml`, overrides applied.
    pub settings: Settings,
}

/// The contents of `node.toml`. Unknown fields are refused: a mistyped limit must not silently be none.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The file's format.
    pub format: u32,
    /// What the owner calls the node.
    pub name: NodeName,
    /// The operator's root key, pinned by the invite: 64 hexadecimal digits.
    #[serde(with = "text")]
    pub root: PublicKey,
    /// The installation the node belongs to: 32 hexadecimal digits.
    #[serde(with = "text")]
    pub cluster: ClusterId,
    /// The gateways to dial.
    pub gateways: Vec<Address>,
    /// Disk space lent.
    pub disk: ByteSize,
    /// What must stay free on the file system; missing: 1 GiB or 1 % of it, whichever is less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_free: Option<ByteSize>,
    /// Seconds that dropped shards rest before their space is used again.
    #[serde(default = "defaults::trash_seconds")]
    pub trash_seconds: u64,
    /// Bytes per second the scrubber reads; 0 turns it off.
    #[serde(default = "defaults::scrub_rate")]
    pub scrub_rate: ByteSize,
    /// Bytes of memory for shards on their way in, and again for those on their way out; beyond it the node answers that it is busy.
    #[serde(default = "defaults::traffic_memory")]
    pub traffic_memory: ByteSize,
}

mod defaults {
    use types::ByteSize;

    pub(super) fn trash_seconds() -> u64 {
        24 * 3600
    }

    pub(super) fn scrub_rate() -> ByteSize {
        ByteSize(4 * super::MIB)
    }

    pub(super) fn traffic_memory() -> ByteSize {
        ByteSize(128 * super::MIB)
    }
}

/// Values from flags and environment variables; each replaces the field of the same name.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Overrides {
    /// What to call the node.
    #[arg(long, env = "DRYSTONE_NAME")]
    pub name: Option<NodeName>,
    /// The operator's root key, in hexadecimal.
    #[arg(long, env = "DRYSTONE_ROOT")]
    pub root: Option<PublicKey>,
    /// The installation's id, in hexadecimal.
    #[arg(long, env = "DRYSTONE_CLUSTER")]
    pub cluster: Option<ClusterId>,
    /// Gateways to dial, separated by commas.
    #[arg(long, env = "DRYSTONE_GATEWAYS", value_delimiter = ',')]
    pub gateways: Vec<Address>,
    /// Disk space to lend, such as 50GB.
    #[arg(long, env = "DRYSTONE_DISK")]
    pub disk: Option<ByteSize>,
    /// What must stay free on the disk, such as 10GB.
    #[arg(long, env = "DRYSTONE_MIN_FREE")]
    pub min_free: Option<ByteSize>,
    /// Seconds that dropped shards rest.
    #[arg(long, env = "DRYSTONE_TRASH_SECONDS")]
    pub trash_seconds: Option<u64>,
    /// Bytes per second the scrubber reads; 0 turns it off.
    #[arg(long, env = "DRYSTONE_SCRUB_RATE")]
    pub scrub_rate: Option<ByteSize>,
    /// Memory for shards on their way, in each direction.
    #[arg(long, env = "DRYSTONE_TRAFFIC_MEMORY")]
    pub traffic_memory: Option<ByteSize>,
}

impl Settings {
    /// Settings with every default.
    #[must_use]
    pub fn new(
        name: NodeName,
        root: PublicKey,
        cluster: ClusterId,
        gateways: Vec<Address>,
        disk: ByteSize,
    ) -> Self {
        Self {
            format: FORMAT,
            name,
            root,
            cluster,
            gateways,
            disk,
            min_free: None,
            trash_seconds: defaults::trash_seconds(),
            scrub_rate: defaults::scrub_rate(),
            traffic_memory: defaults::traffic_memory(),
        }
    }

    /// Replaces what the overrides name.
    pub fn apply(&mut self, overrides: Overrides) {
        fn set<T>(field: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *field = value;
            }
        }
        set(&mut self.name, overrides.name);
        set(&mut self.root, overrides.root);
        set(&mut self.cluster, overrides.cluster);
        set(&mut self.disk, overrides.disk);
        set(&mut self.trash_seconds, overrides.trash_seconds);
        set(&mut self.scrub_rate, overrides.scrub_rate);
        set(&mut self.traffic_memory, overrides.traffic_memory);
        self.min_free = overrides.min_free.or(self.min_free);
        if !overrides.gateways.is_empty() {
            self.gateways = overrides.gateways;
        }
    }

    /// The owner's frame.
    #[must_use]
    pub fn frame(&self) -> Frame {
        Frame { disk: self.disk, min_free: self.min_free }
    }

    /// How the store shall behave.
    pub(crate) fn store_options(&self, identity: &NodeIdentity) -> StoreOptions {
        let frame = self.frame();
        StoreOptions {
            min_free: frame.min_free.map(|size| size.0),
            trash_grace: Duration::from_secs(self.trash_seconds),
            scrub_rate: Some(self.scrub_rate.0).filter(|rate| *rate > 0),
            clock: Arc::new(SystemClock),
            ..StoreOptions::new(frame.disk.0, ReceiptSigner::new(identity.key().clone()))
        }
    }

    fn parse(text: &str) -> Result<Self, Error> {
        let bad = |error: toml::de::Error| Error::Config(format!("{FILE} cannot be used: {error}"));
        let table: toml::Table = toml::from_str(text).map_err(bad)?;
        let format = table.get("format").and_then(toml::Value::as_integer);
        match format.and_then(|format| u32::try_from(format).ok()) {
            Some(found) if found > FORMAT => {
                Err(Error::Newer { what: FILE.to_owned(), found, known: FORMAT })
            }
            _ => toml::from_str(text).map_err(bad),
        }
    }

    fn check(&self) -> Result<(), Error> {
        if self.gateways.is_empty() {
            return Err(Error::Config("gateways is empty: there is nobody to dial".to_owned()));
        }
        if self.disk.0 < DISK_MIN {
            return Err(Error::Config(format!(
                "disk = {} is too little: a node lends at least {}",
                self.disk,
                ByteSize(DISK_MIN)
            )));
        }
        Ok(())
    }
}

/// The least space a node can lend: a few of the smallest logs.
const DISK_MIN: u64 = 64 * MIB;

impl NodeConfig {
    /// Whether a node was set up in `dir`.
    #[must_use]
    pub fn exists(dir: &Path) -> bool {
        dir.join(FILE).exists()
    }

    /// Reads `dir/node.toml` and applies the overrides.
    ///
    /// # Errors
    /// [`Error::Config`] if it is missing, has unknown or bad fields; [`Error::Newer`].
    pub fn load(dir: &Path, overrides: Overrides) -> Result<Self, Error> {
        let path = dir.join(FILE);
        let text = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::Config(format!(
                "there is no node in {}: join one with `drystone-node join INVITE --data {}`",
                dir.display(),
                dir.display()
            )),
            _ => Error::io(format!("read {}", path.display()))(error),
        })?;
        let mut settings = Settings::parse(&text)?;
        settings.apply(overrides);
        settings.check()?;
        Ok(Self { dir: dir.to_owned(), settings })
    }

    /// Writes `node.toml`, readable by the owner alone.
    ///
    /// # Errors
    /// [`Error::Config`] for settings nobody could run with, [`Error::Io`].
    pub fn save(&self) -> Result<(), Error> {
        self.settings.check()?;
        let text = toml::to_string(&self.settings)
            .map_err(|error| Error::Config(format!("cannot write {FILE}: {error}")))?;
        crashsafe::make_private_dir(&self.dir)
            .map_err(Error::io(format!("make {}", self.dir.display())))?;
        crashsafe::replace(&self.dir.join(FILE), text.as_bytes())
            .map_err(Error::io(format!("write {FILE}")))
    }
}

/// A type as the text that it displays and parses.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<T: Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = r#"format = 1
name = "attic"
root = "0707070707070707070707070707070707070707070707070707070707070707"
cluster = "09090909090909090909090909090909"
gateways = ["gw.example:9100"]
disk = "50GB"
trash_seconds = 86400
scrub_rate = "4MiB"
traffic_memory = "128MiB"
"#;

    fn settings() -> Settings {
        Settings::new(
            "attic".parse().unwrap(),
            PublicKey([7; 32]),
            ClusterId([9; 16]),
            vec!["gw.example:9100".parse().unwrap()],
            ByteSize(50_000_000_000),
        )
    }

    #[test]
    fn the_file_is_written_and_read_as_ever() {
        assert_eq!(toml::to_string(&settings()).unwrap(), GOLDEN);
        assert_eq!(Settings::parse(GOLDEN).unwrap(), settings());
    }

    #[test]
    fn unknown_fields_and_newer_formats_are_refused_in_words() {
        let typo = GOLDEN.replace("scrub_rate", "scrubrate");
        let refused = Settings::parse(&typo).unwrap_err().to_string();
        assert!(refused.contains("scrubrate"), "{refused}");
        let newer = GOLDEN.replace("format = 1", "format = 2");
        assert!(matches!(Settings::parse(&newer), Err(Error::Newer { found: 2, .. })));
    }

    #[test]
    fn every_field_can_be_overridden() {
        let mut settings = settings();
        settings.apply(Overrides {
            name: Some("cellar".parse().unwrap()),
            root: Some(PublicKey([1; 32])),
            cluster: Some(ClusterId([2; 16])),
            gateways: vec!["other:1".parse().unwrap()],
            disk: Some(ByteSize(1 << 30)),
            min_free: Some(ByteSize(5)),
            trash_seconds: Some(6),
            scrub_rate: Some(ByteSize(7)),
            traffic_memory: Some(ByteSize(8)),
        });
        let expected = Settings {
            format: 1,
            name: "cellar".parse().unwrap(),
            root: PublicKey([1; 32]),
            cluster: ClusterId([2; 16]),
            gateways: vec!["other:1".parse().unwrap()],
            disk: ByteSize(1 << 30),
            min_free: Some(ByteSize(5)),
            trash_seconds: 6,
            scrub_rate: ByteSize(7),
            traffic_memory: ByteSize(8),
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn a_node_that_lends_nothing_or_dials_nobody_is_refused() {
        let nobody = Settings { gateways: Vec::new(), ..settings() };
        assert!(nobody.check().is_err());
        let nothing = Settings { disk: ByteSize(1000), ..settings() };
        assert!(nothing.check().is_err());
        assert!(settings().check().is_ok());
    }
}
