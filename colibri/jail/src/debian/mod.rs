//! Jails on Debian: containers of systemd-nspawn, each a unit `colibri-jail@TENANT.service`.
//!
//! The host's `/usr` is the jail's, read only; everything else is its own. Its users are numbers that
//! nobody else on the host has. Its network is a link of two ends, with addresses of its own; the firewall is one
//! table for all jails, however many there are.

mod cgroup;
#[cfg(target_os = "linux")]
pub(crate) mod enter;
#[cfg(target_os = "linux")]
mod filter;
mod texts;

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use colibri_protocol::{TenantId, TenantNumber};

use self::cgroup::Unit;
use crate::command::{Command, Programs};
use crate::face::{Exec, Jail, Repaired, Running};
use crate::files::{Piece, gone, read, remove_durably};
use crate::keeper::System;
use crate::record::entries;
use crate::{JailError, Places, crash, numbers};

/// Where the kernel says whether it forwards between networks.
const FORWARDING: &str = "proc/sys/net/ipv4/ip_forward";

/// Debian, with the programs that it is told by.
#[derive(Debug)]
pub(crate) struct Debian<P> {
    pub(crate) places: Places,
    pub(crate) programs: P,
    /// Whether files are given to the jail's users, which only root can.
    pub(crate) owners: bool,
}

impl<P: Programs> Debian<P> {
    fn unit(&self, tenant: &TenantId) -> Unit {
        Unit::new(&self.places, &texts::unit(tenant))
    }

    fn systemctl(&self, verb: &str, tenant: &TenantId) -> Command {
        Command::new(["systemctl", verb, &texts::unit(tenant)])
    }

    /// Gives the links of a jail that runs their addresses, if they do not have them.
    fn connect(&self, jail: &Jail, leader: i32) -> Result<(), JailError> {
        if self.is_connected(jail, leader)? {
            return Ok(());
        }
        self.programs
            .demand(&Command::new(["ip", "-batch", "-"]).with_input(texts::host_network(jail)))?;
        let net = format!("--net=/proc/{leader}/ns/net");
        let inside = Command::new(["nsenter", net.as_str(), "ip", "-batch", "-"]);
        self.programs
            .demand(&inside.with_input(texts::jail_network(jail)))?;
        if self.is_connected(jail, leader)? {
            return Ok(());
        }
        Err(JailError::State {
            tenant: jail.tenant.clone(),
            what: "get its network".into(),
            look: "ip address".into(),
        })
    }

    fn is_connected(&self, jail: &Jail, leader: i32) -> Result<bool, JailError> {
        let route = read(&self.places.host(&format!("proc/{leader}/net/route")))?;
        Ok(route.is_some_and(|route| texts::has_route(&String::from_utf8_lossy(&route), jail)))
    }

    /// Whether the doors that the jail sees are those that are there now.
    fn has_doors(&self, jail: &Jail, leader: i32) -> bool {
        let inside = format!("proc/{leader}/root{}", texts::DOORS);
        let inside = std::fs::metadata(self.places.host(&inside));
        let outside = std::fs::metadata(self.places.doors(&jail.tenant));
        matches!((inside, outside), (Ok(inside), Ok(outside))
            if (inside.dev(), inside.ino()) == (outside.dev(), outside.ino()))
    }

    /// Opens the way out, as far as it is open. At each start, for others may have emptied the firewall.
    fn open_way_out(&self) -> Result<(), JailError> {
        self.programs
            .demand(&Command::new(["nft", "-f", "-"]).with_input(texts::FIREWALL))?;
        let forwarding = self.places.host(FORWARDING);
        if read(&forwarding)?.is_none_or(|now| now.trim_ascii() != b"1") {
            std::fs::write(&forwarding, "1\n")
                .map_err(JailError::files("cannot write", forwarding))?;
        }
        Ok(())
    }

    fn has_link(&self, number: TenantNumber) -> bool {
        let link = format!("sys/class/net/{}", numbers::link(number));
        self.places.host(&link).symlink_metadata().is_ok()
    }

    /// A link goes with its jail, but not always at once.
    fn remove_link(&self, number: TenantNumber) -> Result<(), JailError> {
        if !self.has_link(number) {
            return Ok(());
        }
        let link = numbers::link(number);
        self.programs
            .attempt(&Command::new(["ip", "link", "delete", "dev", &link]))?;
        if !self.has_link(number) {
            return Ok(());
        }
        Err(JailError::Command {
            command: format!("ip link delete dev {link}"),
            status: "the link is still there".into(),
            output: String::new(),
        })
    }

    /// Where nspawn notes that somebody uses a root.
    fn lock(&self, tenant: &str) -> PathBuf {
        self.places.base.join(format!(".#{tenant}.lck"))
    }
}

impl<P: Programs> System for Debian<P> {
    fn root(&self, tenant: &TenantId) -> PathBuf {
        self.places.base.join(tenant.as_str())
    }

    fn first_id(&self, number: TenantNumber) -> Option<u32> {
        self.owners.then(|| numbers::first_id(number))
    }

    fn pieces(&self, jail: &Jail) -> Result<Vec<Piece>, JailError> {
        texts::pieces(&self.places, jail)
    }

    fn finish_root(&self, _: &Jail) -> Result<(), JailError> {
        Ok(())
    }

    fn settings(&self, jail: &Jail) -> Result<Vec<(PathBuf, String)>, JailError> {
        let path = self.places.records().join(format!("{}.env", jail.tenant));
        let text = texts::environment(&self.places, jail, &self.root(&jail.tenant));
        Ok(vec![(path, text)])
    }

    fn running(&self) -> Result<BTreeSet<String>, JailError> {
        let mut running = BTreeSet::new();
        for tenant in cgroup::tenants(&self.places)? {
            if self.runs(&tenant)? {
                running.insert(tenant.to_string());
            }
        }
        Ok(running)
    }

    fn runs(&self, tenant: &TenantId) -> Result<bool, JailError> {
        Ok(self.unit(tenant).leader()?.is_some())
    }

    fn start(&self, jail: &Jail) -> Result<(), JailError> {
        self.open_way_out()?;
        let unit = self.unit(&jail.tenant);
        let usable = unit
            .leader()?
            .is_some_and(|leader| self.has_doors(jail, leader));
        if !usable {
            // What is half there, processes without a leader or a link, is in the way. So is a jail whose
            // doors lead nowhere since the run directory was made anew.
            if unit.is_there() || self.has_link(jail.number) {
                self.stop(jail)?;
            }
            self.programs
                .demand(&self.systemctl("start", &jail.tenant))?;
        }
        let Some(leader) = unit.leader()? else {
            return Err(JailError::State {
                tenant: jail.tenant.clone(),
                what: "start".into(),
                look: self.look(&jail.tenant),
            });
        };
        // Before anything of an agent's runs in it; and after the start, so that it is this very unit that has them.
        self.limit(jail)?;
        self.connect(jail, leader)
    }

    fn limit(&self, jail: &Jail) -> Result<(), JailError> {
        let unit = self.unit(&jail.tenant);
        if unit.has_limits(&jail.limits)? && unit.has_time(&jail.limits)? {
            return Ok(());
        }
        // Not lasting: the record is what lasts, and is read at each start.
        let mut argv = ["systemctl", "set-property", "--runtime"]
            .map(String::from)
            .to_vec();
        argv.push(texts::unit(&jail.tenant));
        argv.extend(texts::limits(jail));
        self.programs.demand(&Command::new(argv))?;
        if unit.has_limits(&jail.limits)? {
            return Ok(());
        }
        Err(JailError::State {
            tenant: jail.tenant.clone(),
            what: "get its limits".into(),
            look: format!("systemctl show {}", texts::unit(&jail.tenant)),
        })
    }

    #[cfg(target_os = "linux")]
    fn exec(&self, jail: &Jail, exec: &Exec, stdio: [OwnedFd; 3]) -> Result<Running, JailError> {
        let unit = self.unit(&jail.tenant);
        let Some(leader) = unit.leader()? else {
            return Err(JailError::NotRunning(jail.tenant.clone()));
        };
        enter::start(&unit, leader, exec, stdio)
    }

    #[cfg(not(target_os = "linux"))]
    fn exec(&self, jail: &Jail, _: &Exec, _: [OwnedFd; 3]) -> Result<Running, JailError> {
        Err(JailError::NotRunning(jail.tenant.clone()))
    }

    fn stop(&self, jail: &Jail) -> Result<(), JailError> {
        // Also when there is nothing to be seen of it: its start may wait for its turn.
        self.programs
            .attempt(&self.systemctl("stop", &jail.tenant))?;
        if !self.unit(&jail.tenant).is_empty()? {
            return Err(JailError::State {
                tenant: jail.tenant.clone(),
                what: "stop".into(),
                look: self.look(&jail.tenant),
            });
        }
        self.remove_link(jail.number)?;
        crash::point()?;
        let lock = self.lock(jail.tenant.as_str());
        gone(std::fs::remove_file(&lock)).map_err(JailError::files("cannot remove", lock))
    }

    fn unlock(&self, _: &Jail) -> Result<(), JailError> {
        Ok(())
    }

    fn forget(&self, jail: &Jail) -> Result<(), JailError> {
        crash::point()?;
        // What `set-property --runtime` wrote.
        let properties = self.places.host(&format!(
            "run/systemd/system.control/{}.d",
            texts::unit(&jail.tenant)
        ));
        gone(std::fs::remove_dir_all(&properties))
            .map_err(JailError::files("cannot remove", properties))
    }

    fn strays(&self, jails: &[Jail]) -> Vec<Repaired> {
        let mut repaired = Vec::new();
        let mut note = |what: String, done: Result<(), JailError>| {
            repaired.push(match done {
                Ok(()) => Repaired::Stray(what),
                Err(error) => Repaired::Failed(format!("{what}: {error}")),
            });
        };
        let units = cgroup::tenants(&self.places).unwrap_or_default();
        for tenant in &units {
            if jails.iter().any(|jail| jail.tenant == *tenant) {
                for group in self.unit(tenant).programs() {
                    note(format!("a program in `{tenant}`"), group.remove());
                }
            } else {
                let stopped = self.programs.demand(&self.systemctl("stop", tenant));
                note(format!("a unit of `{tenant}`"), stopped.map(drop));
            }
        }
        let running = self.running().unwrap_or_default();
        let runs = |jail: &&Jail| running.contains(jail.tenant.as_str());
        let links: BTreeSet<String> = jails
            .iter()
            .filter(runs)
            .map(|jail| numbers::link(jail.number))
            .collect();
        for name in entries(&self.places.host("sys/class/net")).unwrap_or_default() {
            if numbers::is_link(&name) && !links.contains(&name) {
                let delete = Command::new(["ip", "link", "delete", "dev", &name]);
                let deleted = self.programs.demand(&delete).map(drop);
                note(format!("the link {name}"), deleted);
            }
        }
        for name in entries(&self.places.base).unwrap_or_default() {
            let tenant = name
                .strip_prefix(".#")
                .and_then(|name| name.strip_suffix(".lck"));
            // Others' machines may be here too, with locks of their own.
            if let Some(tenant) = tenant
                && jails.iter().any(|jail| jail.tenant.as_str() == tenant)
                && !running.contains(tenant)
            {
                note(
                    format!("the lock {name}"),
                    remove_durably(&self.lock(tenant)),
                );
            }
        }
        repaired
    }

    fn can(&self) -> Result<(), String> {
        let needed = [
            ("usr/bin/systemd-nspawn", "install `systemd-container`"),
            ("usr/sbin/nft", "install `nftables`"),
            (
                "sys/fs/cgroup/cgroup.controllers",
                "this system has no unified control groups",
            ),
            ("run/systemd/system", "systemd does not run here"),
        ];
        for (path, remedy) in needed {
            if !self.places.host(path).exists() {
                return Err(format!("jails need /{path}: {remedy}"));
            }
        }
        let unit = "systemd/system/colibri-jail@.service";
        if !["etc", "usr/lib", "usr/local/lib"]
            .iter()
            .any(|folder| self.places.host(folder).join(unit).exists())
        {
            return Err(
                "jails need the unit colibri-jail@.service: `cargo xtask stage` puts it there"
                    .into(),
            );
        }
        if rustix::process::geteuid().is_root() {
            Ok(())
        } else {
            Err("only root can make jails".into())
        }
    }

    fn look(&self, tenant: &TenantId) -> String {
        format!("journalctl -u {}", texts::unit(tenant))
    }
}

/// Where a unit's control group is, in the slice of all jails.
fn group_of(places: &Places, unit: &str) -> PathBuf {
    places.host("sys/fs/cgroup/colibri.slice").join(unit)
}
