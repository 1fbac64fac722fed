//! Real S3 clients as programs: found, given their configuration by the environment and temporary files alone, and run.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::bytes::Content;
use crate::cluster::{ACCESS, Cluster, SECRET};

/// A folder for one client: its home, its configuration and its files.
#[derive(Debug)]
pub struct Tool {
    endpoint: String,
    host: String,
    home: PathBuf,
}

impl Tool {
    /// For this cluster; nothing of the person who runs the tests is read or changed.
    #[must_use]
    pub fn new(cluster: &Cluster, name: &str) -> Self {
        let home = cluster.dir().join(format!("home-{name}"));
        fs::create_dir_all(&home).expect("a home for a client");
        Self { endpoint: cluster.endpoint(), host: cluster.s3().to_string(), home }
    }

    /// Its folder.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The program with the keys and the endpoint in the forms that the SDKs, rclone and restic know.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let theirs = |prefix: &&str| name.as_encoded_bytes().starts_with(prefix.as_bytes());
            if ["AWS_", "RCLONE_", "RESTIC_", "S3CMD_"].iter().any(theirs) {
                command.env_remove(&name);
            }
        }
        command
            .current_dir(&self.home)
            .env("HOME", &self.home)
            .env("AWS_ACCESS_KEY_ID", ACCESS)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", self.home.join("no-config"))
            .env("AWS_SHARED_CREDENTIALS_FILE", self.home.join("no-credentials"))
            .env("DRYSTONE_ENDPOINT", &self.endpoint)
            .env("RCLONE_CONFIG", self.home.join("no-rclone.conf"))
            .env("RCLONE_CONFIG_D_TYPE", "s3")
            .env("RCLONE_CONFIG_D_PROVIDER", "Other")
            .env("RCLONE_CONFIG_D_ENDPOINT", &self.endpoint)
            .env("RCLONE_CONFIG_D_ACCESS_KEY_ID", ACCESS)
            .env("RCLONE_CONFIG_D_SECRET_ACCESS_KEY", SECRET)
            .env("RCLONE_CONFIG_D_REGION", "us-east-1")
            .env("RESTIC_PASSWORD", "a long and secret password")
            .env("RESTIC_CACHE_DIR", self.home.join("restic-cache"));
        command
    }

    /// Runs a program that must succeed, and gives what it printed.
    ///
    /// # Panics
    /// If it does not.
    pub fn run(&self, program: impl AsRef<OsStr>, args: &[&str]) -> String {
        let program = program.as_ref();
        let output = self.output(program, args);
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(
            output.status.success(),
            "{} {args:?}: {}\n{out}\n{err}",
            program.display(),
            output.status
        );
        out.into_owned()
    }

    /// Runs a program.
    ///
    /// # Panics
    /// If it is not installed.
    pub fn output(&self, program: impl AsRef<OsStr>, args: &[&str]) -> Output {
        let program = program.as_ref();
        self.command(program).args(args).output().unwrap_or_else(|error| {
            panic!(
                "{} does not start ({error}); scripts/setup.sh test installs it",
                program.display()
            )
        })
    }

    /// s3cmd's configuration, which it takes from a file only.
    #[must_use]
    pub fn s3cmd_config(&self) -> String {
        let path = self.home.join("s3cfg");
        let host = &self.host;
        let text = format!(
            "[default]\naccess_key = {ACCESS}\nsecret_key = {SECRET}\nhost_base = {host}\nhost_bucket = {host}\n\
             use_https = False\nbucket_location = us-east-1\n"
        );
        fs::write(&path, text).expect("a configuration can be written");
        path.display().to_string()
    }

    /// Makes a tree of `count` files of many sizes below `home/name`, some folders deep, with some difficult names.
    #[must_use]
    pub fn make_tree(&self, name: &str, count: u64) -> PathBuf {
        let root = self.home.join(name);
        for index in 0..count {
            let folder =
                root.join(format!("folder {}", index % 7)).join(format!("ü{}", index % 13));
            fs::create_dir_all(&folder).expect("a folder of the tree");
            // Most small, every fiftieth large enough to lie on nodes.
            let len = if index % 50 == 0 { 20_000 + index * 37 } else { (index * 131) % 5000 };
            let content = Content::new(index, len);
            fs::write(folder.join(format!("file+{index} & co.bin")), content.bytes())
                .expect("a file of the tree");
        }
        root
    }
}

/// The interpreter that has boto3.
#[must_use]
pub fn python() -> PathBuf {
    std::env::var_os("DRYSTONE_PYTHON").map_or_else(|| python_dir().join("python3"), PathBuf::from)
}

/// A script beside the tests, as an argument.
#[must_use]
pub fn script(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name).display().to_string()
}

/// The browser, in whichever form it is installed.
#[must_use]
pub fn browser() -> &'static str {
    const NAMES: [&str; 2] = ["chromium-headless-shell", "chromium"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |name: &&&str| std::env::split_paths(&path).any(|dir| dir.join(name).exists());
    NAMES.iter().find(there).unwrap_or(&NAMES[0])
}

/// The AWS CLI, beside the interpreter if it is there.
#[must_use]
pub fn aws() -> PathBuf {
    let beside = python().with_file_name("aws");
    if beside.exists() { beside } else { PathBuf::from("aws") }
}

fn python_dir() -> PathBuf {
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
    home.join(".cache/drystone/python/bin")
}

/// Checks that two trees hold the same files with the same bytes.
///
/// # Panics
/// If they do not.
pub fn assert_same_trees(left: &Path, right: &Path) {
    let output =
        Command::new("diff").arg("-rq").args([left, right]).output().expect("diff is everywhere");
    assert!(
        output.status.success(),
        "the trees differ:\n{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
