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
use crate::frame::{Assignment, FrameSettings, Lent};
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
    /// Whether the process is the node's alone, so that memory and processors can be limited.
    pub own_process: bool,
    /// What the overrides were: they hold for a `node.toml` that changes, too.
    pub overrides: Overrides,
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
    /// The owner's frame beside the disk. A table, so it stands last.
    #[serde(default, skip_serializing_if = "is_default")]
    pub frame: FrameSettings,
}

fn is_default(frame: &FrameSettings) -> bool {
    *frame == FrameSettings::default()
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
    /// A limit of the frame, such as up=20Mbit (docs/FRAME.md has them all); several: once each, in the variable with semicolons.
    #[arg(long, env = "DRYSTONE_FRAME", value_name = "KEY=VALUE", value_delimiter = ';')]
    pub frame: Vec<Assignment>,
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
            frame: FrameSettings::default(),
        }
    }

    /// Replaces what the overrides name.
    ///
    /// # Errors
    /// [`Error::Config`] for a limit of the frame that there is not, or not with this value.
    pub fn apply(&mut self, overrides: Overrides) -> Result<(), Error> {
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
        for Assignment { key, value } in &overrides.frame {
            self.set(key, value)?;
        }
        Ok(())
    }

    /// Sets one limit of the frame: `disk`, `min_free`, `scrub_rate`, or one of [`FrameSettings::set`].
    ///
    /// # Errors
    /// [`Error::Config`] for a limit that there is not, or not with this value.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let size = || {
            value
                .parse::<ByteSize>()
                .map_err(|error| Error::Config(format!("{key} cannot be {value:?}: {error}")))
        };
        match key {
            "disk" => self.disk = size()?,
            "scrub_rate" if value == "default" => self.scrub_rate = defaults::scrub_rate(),
            "scrub_rate" => self.scrub_rate = size()?,
            "min_free" if value.is_empty() || value == "default" => self.min_free = None,
            "min_free" => self.min_free = Some(size()?),
            _ => self.frame.set(key, value)?,
        }
        Ok(())
    }

    /// All that the frame is about.
    pub(crate) fn lent(&self) -> Lent {
        Lent {
            frame: self.frame.clone(),
            disk: self.disk,
            min_free: self.min_free,
            scrub_rate: self.scrub_rate,
        }
    }

    /// How the store shall behave.
    pub(crate) fn store_options(&self, identity: &NodeIdentity) -> StoreOptions {
        StoreOptions {
            min_free: self.min_free.map(|size| size.0),
            trash_grace: Duration::from_secs(self.trash_seconds),
            scrub_rate: Some(self.scrub_rate.0).filter(|rate| *rate > 0),
            clock: Arc::new(SystemClock),
            ..StoreOptions::new(self.disk.0, ReceiptSigner::new(identity.key().clone()))
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
        self.frame.check()
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
        let mut settings = Settings::parse(&read(dir)?)?;
        settings.apply(overrides.clone())?;
        settings.check()?;
        Ok(Self { dir: dir.to_owned(), settings, own_process: false, overrides })
    }

    /// The settings as they are in the file now, with the same overrides.
    pub(crate) fn reload(&self) -> Result<Settings, Error> {
        Self::load(&self.dir, self.overrides.clone()).map(|config| config.settings)
    }

    /// Where the settings lie.
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    /// Changes the file alone, and what a running node takes over from it: the frame. What the owner wrote beside it, comments included, stays.
    ///
    /// # Errors
    /// As [`Self::load`] and [`Self::save`], and those of `change`; then the file is as it was.
    pub(crate) fn edit(
        dir: &Path,
        change: impl FnOnce(&mut Settings) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let text = read(dir)?;
        let mut settings = Settings::parse(&text)?;
        change(&mut settings)?;
        settings.check()?;
        let config = Self {
            dir: dir.to_owned(),
            settings,
            own_process: false,
            overrides: Overrides::default(),
        };
        match rewritten(&text, &config.settings) {
            Some(text) => crashsafe::replace(&config.file(), text.as_bytes())
                .map_err(Error::io(format!("write {FILE}")))?,
            None => config.save()?,
        }
        Ok(config)
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

fn read(dir: &Path) -> Result<String, Error> {
    let path = dir.join(FILE);
    std::fs::read_to_string(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::Config(format!(
            "there is no node in {}: join one with `drystone-node join INVITE --data {}`",
            dir.display(),
            dir.display()
        )),
        _ => Error::io(format!("read {}", path.display()))(error),
    })
}

/// `text` with the frame of `settings` in it: the tables at its end are written anew, and the lines of what was settled before there were tables.
/// `None` if that would not say the same as `settings`.
fn rewritten(text: &str, settings: &Settings) -> Option<String> {
    let head: Vec<&str> = text.lines().take_while(|line| !line.starts_with('[')).collect();
    let names = ["disk", "min_free", "scrub_rate"];
    let is_size = |line: &str| {
        let name = line.split('=').next().unwrap_or_default().trim();
        names.contains(&name)
    };
    let mut out: String =
        head.iter().filter(|line| !is_size(line)).flat_map(|line| [*line, "\n"]).collect();
    let whole = toml::to_string(settings).ok()?;
    for line in whole.lines().take_while(|line| !line.starts_with('[')).filter(|line| is_size(line))
    {
        out.push_str(line);
        out.push('\n');
    }
    if let Some(tables) = whole.find("\n[") {
        out.push_str(whole.get(tables..)?);
    }
    let same = Settings::parse(&out).is_ok_and(|read| read == *settings);
    same.then_some(out)
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
        let applied = settings.apply(Overrides {
            name: Some("cellar".parse().unwrap()),
            root: Some(PublicKey([1; 32])),
            cluster: Some(ClusterId([2; 16])),
            gateways: vec!["other:1".parse().unwrap()],
            disk: Some(ByteSize(1 << 30)),
            min_free: Some(ByteSize(5)),
            trash_seconds: Some(6),
            scrub_rate: Some(ByteSize(7)),
            traffic_memory: Some(ByteSize(8)),
            frame: vec!["up=1Mbit".parse().unwrap(), "idle.cores=1".parse().unwrap()],
        });
        applied.unwrap();
        let mut frame = FrameSettings::default();
        frame.set("up", "1Mbit").unwrap();
        frame.set("idle.cores", "1").unwrap();
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
            frame,
        };
        assert_eq!(settings, expected);
        let unknown = Overrides { frame: vec!["u=1Mbit".parse().unwrap()], ..Overrides::default() };
        assert!(settings.apply(unknown).is_err());
    }

    #[test]
    fn changing_the_frame_leaves_the_rest_of_the_file_as_its_owner_wrote_it() {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("# my attic\n{GOLDEN}# the end\n\n[frame]\nup = \"9Mbit\"\n# old\n");
        let file = dir.path().join(FILE);
        std::fs::write(&file, text).unwrap();
        NodeConfig::edit(dir.path(), |settings| {
            settings.set("up", "default")?;
            settings.set("in_use.down", "2Mbit")?;
            settings.set("min_free", "5GB")?;
            settings.set("disk", "60GB")
        })
        .unwrap();
        let written = std::fs::read_to_string(&file).unwrap();
        assert!(written.starts_with("# my attic\nformat = 1\n"), "{written}");
        assert!(written.contains("# the end") && !written.contains("9Mbit"), "{written}");
        let read = NodeConfig::load(dir.path(), Overrides::default()).unwrap().settings;
        assert_eq!(
            (read.disk, read.min_free),
            (ByteSize(60_000_000_000), Some(ByteSize(5_000_000_000)))
        );
        assert_eq!(read.frame.in_use.down.map(|rate| rate.0), Some(2_000_000));
        assert_eq!(read.frame.up, None);
        let before = std::fs::read(&file).unwrap();
        let refused = NodeConfig::edit(dir.path(), |settings| settings.set("up", "1bit"));
        assert!(refused.is_err());
        assert_eq!(std::fs::read(&file).unwrap(), before);
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
