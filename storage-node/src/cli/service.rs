//! `drystone-node install-service [--data DIR] [--user] [--print]`: a unit for systemd that starts the node with the machine.
//!
//! The unit is the one of the Debian package (`packaging/drystone-node.service`): systemd makes a user for the node alone, and the
//! node can change nothing but its data folder, `/var/lib/drystone-node`. With another folder the unit runs as that folder's owner, because
//! systemd hands only its own folders to such users.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::NodeConfig;
use crate::error::Error;

/// The unit, as the Debian package installs it.
const UNIT: &str = include_str!("../../../packaging/drystone-node.service");
/// The unit of a service of one user, who needs no rights to install it.
const USER_UNIT: &str = include_str!("../../../packaging/drystone-node.user.service");
/// The unit's name.
const NAME: &str = "drystone-node.service";
/// Where the machine's own units are.
const SYSTEM_UNITS: &str = "/etc/systemd/system";
/// What the packaged unit runs, and on which folder.
const PACKAGED_PROGRAM: &str = "/usr/bin/drystone-node";
const PACKAGED_DATA: &str = "/var/lib/drystone-node";
/// Lines of the unit that make a user and a folder for the service.
const OWN_USER: &str = "DynamicUser=yes\nStateDirectory=drystone-node\nStateDirectoryMode=0700\n";
/// Folders that a hardened service cannot look into.
const HOMES: [&str; 3] = ["/home/", "/root/", "/run/user/"];

#[derive(Debug, clap::Args)]
pub(crate) struct InstallService {
    /// The node's data folder [default: /var/lib/drystone-node; with --user there is none].
    #[arg(long = "data", env = "DRYSTONE_DATA", value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Install it for this user alone: no root needed, and it runs while this user may have services.
    #[arg(long)]
    user: bool,
    /// Print the unit instead of installing it.
    #[arg(long)]
    print: bool,
}

impl InstallService {
    pub(crate) fn run(self) -> Result<(), Error> {
        let program = std::env::current_exe().map_err(Error::io("find this program's file"))?;
        let unit = self.unit(&program)?;
        if self.print {
            print!("{unit}");
            return Ok(());
        }
        let path = self.place()?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, unit))
            .map_err(Error::io(format!("write {} (are you root?)", path.display())))?;
        println!("Wrote {}.", path.display());
        print!("{}", self.next_steps());
        Ok(())
    }

    fn unit(&self, program: &Path) -> Result<String, Error> {
        let program = plain(program)?;
        if self.user {
            let dir = self.dir.as_deref().ok_or_else(|| {
                Error::Service("--user needs --data DIR: the folder of your node".to_owned())
            })?;
            let dir = plain(&absolute(dir)?)?;
            return Ok(USER_UNIT.replace(PACKAGED_PROGRAM, &program).replace("@DATA@", &dir));
        }
        if HOMES.iter().any(|home| program.starts_with(home)) {
            return Err(Error::Service(format!(
                "a service may not look into {program}; put the program where everybody can run it, and run it from there: \
                 sudo install -m 755 {program} /usr/local/bin/"
            )));
        }
        let unit = UNIT.replace(PACKAGED_PROGRAM, &program);
        match &self.dir {
            None => Ok(unit),
            Some(dir) if dir == Path::new(PACKAGED_DATA) => Ok(unit),
            Some(dir) => elsewhere(&unit, &absolute(dir)?),
        }
    }

    /// Where the unit belongs.
    fn place(&self) -> Result<PathBuf, Error> {
        if !self.user {
            return Ok(Path::new(SYSTEM_UNITS).join(NAME));
        }
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let config = set("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| set("HOME").map(|home| Path::new(&home).join(".config")));
        let config = config.ok_or_else(|| Error::Service("HOME is not set".to_owned()))?;
        Ok(config.join("systemd/user").join(NAME))
    }

    fn next_steps(&self) -> String {
        let dir = self.dir.as_deref().unwrap_or(Path::new(PACKAGED_DATA));
        let (systemctl, join) =
            if self.user { ("systemctl --user", "") } else { ("sudo systemctl", "sudo ") };
        let mut steps = String::new();
        if !NodeConfig::exists(dir) {
            let dir = dir.display();
            steps.push_str(&format!("Join first: {join}drystone-node join INVITE --data {dir}\n"));
        }
        steps.push_str(&format!("Start it now and with the machine: {systemctl} daemon-reload && {systemctl} enable --now drystone-node\n"));
        if self.user {
            steps.push_str(
                "So that it runs while you are logged out: sudo loginctl enable-linger $USER\n",
            );
        }
        steps
    }
}

/// The unit for a folder that systemd does not manage: run as the folder's owner.
fn elsewhere(unit: &str, dir: &Path) -> Result<String, Error> {
    let found = fs::metadata(dir).map_err(Error::io(format!("look at {}", dir.display())))?;
    let (dir, owner, group) = (plain(dir)?, found.uid(), found.gid());
    if owner == 0 {
        return Err(Error::Service(format!(
            "{dir} belongs to root, and a node does not run as root; give the folder to a user of its own: \
             sudo useradd --system drystone-node; sudo chown -R drystone-node: {dir}"
        )));
    }
    let own_user = format!("User={owner}\nGroup={group}\nReadWritePaths={dir}\n");
    let unit = unit.replace(PACKAGED_DATA, &dir).replace(OWN_USER, &own_user);
    let home = HOMES.iter().any(|home| dir.starts_with(home));
    // Everything else in the homes can still be read by nobody but its owner, who this user may be.
    Ok(if home { unit.replace("ProtectHome=yes", "ProtectHome=read-only") } else { unit })
}

fn absolute(dir: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(dir).map_err(Error::io(format!("find {}", dir.display())))
}

/// A path that needs no quoting in a unit (systemd.syntax(7)), and expands to nothing else.
fn plain(path: &Path) -> Result<String, Error> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
    match path.to_str() {
        Some(text) if text.chars().all(fine) => Ok(text.to_owned()),
        _ => Err(Error::Service(format!(
            "{} cannot stand in a unit: only letters, digits and /._-+@ are safe there",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(dir: Option<&Path>, user: bool) -> InstallService {
        InstallService { dir: dir.map(Path::to_owned), user, print: true }
    }

    #[test]
    fn the_packaged_unit_holds_what_is_replaced_in_it() {
        assert!(UNIT.contains(OWN_USER) && UNIT.contains("ProtectHome=yes"));
        assert!(
            UNIT.contains(&format!("ExecStart={PACKAGED_PROGRAM} run --data {PACKAGED_DATA}\n"))
        );
        assert!(USER_UNIT.contains(PACKAGED_PROGRAM) && USER_UNIT.contains("@DATA@"));
        for hardened in
            ["NoNewPrivileges=yes", "ProtectSystem=strict", "Type=notify", "WatchdogSec="]
        {
            assert!(UNIT.contains(hardened), "{hardened}");
        }
    }

    #[test]
    fn the_program_that_installs_is_the_one_that_runs() {
        let program = Path::new("/usr/local/bin/drystone-node");
        let unit = install(None, false).unit(program).unwrap();
        assert!(unit.contains(
            "ExecStart=/usr/local/bin/drystone-node run --data /var/lib/drystone-node\n"
        ));
        assert!(unit.contains(OWN_USER));
        let hidden = install(None, false).unit(Path::new("/home/ann/drystone-node"));
        assert!(hidden.unwrap_err().to_string().contains("/usr/local/bin"));
    }

    #[test]
    fn another_folder_is_run_by_its_owner_who_is_not_root() {
        let dir = tempfile::tempdir().unwrap();
        let program = Path::new("/usr/bin/drystone-node");
        let owner = fs::metadata(dir.path()).unwrap().uid();
        let unit = install(Some(dir.path()), false).unit(program);
        if owner == 0 {
            assert!(unit.unwrap_err().to_string().contains("belongs to root"));
        } else {
            let unit = unit.unwrap();
            assert!(unit.contains(&format!("User={owner}\n")) && !unit.contains("DynamicUser"));
            assert!(unit.contains(&format!("ReadWritePaths={}\n", dir.path().display())));
            assert!(!unit.contains(PACKAGED_DATA));
        }
    }

    #[test]
    fn a_user_installs_for_a_folder_of_theirs() {
        let program = Path::new("/home/ann/bin/drystone-node");
        let unit = install(Some(Path::new("/home/ann/node")), true).unit(program).unwrap();
        assert!(unit.contains("ExecStart=/home/ann/bin/drystone-node run --data /home/ann/node\n"));
        assert!(install(None, true).unit(program).is_err());
    }

    #[test]
    fn a_path_with_a_meaning_of_its_own_is_refused() {
        for odd in ["/mnt/a b", "/mnt/%n", "/mnt/$HOME", "/mnt/a\"b", "/mnt/a\nExecStart=/bin/sh"] {
            assert!(plain(Path::new(odd)).is_err(), "{odd}");
        }
    }
}
