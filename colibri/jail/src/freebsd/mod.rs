//! Jails on FreeBSD, made with the base's own tools.
//!
//! A jail's root lies where Bastille would have it, and borrows the host's programs by read-only nullfs mounts. Its
//! network is its own (VNET), with one link to a bridge whose members cannot reach each other. Exit codes are not
//! trusted: jls(8), mount(8) and route(8) are asked what came of it.

mod below;
#[cfg(target_os = "freebsd")]
pub(crate) mod enter;
mod texts;

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use colibri_protocol::{TenantId, TenantNumber};

use crate::command::{Command, Programs};
use crate::face::{Exec, Jail, Repaired, Running};
use crate::files::Piece;
use crate::keeper::System;
use crate::{JailError, Places, numbers};

/// FreeBSD, with the programs that it is told by.
#[derive(Debug)]
pub(crate) struct Freebsd<P> {
    pub(crate) places: Places,
    pub(crate) programs: P,
    /// Whether files are given to the jail's users, which only root can.
    pub(crate) owners: bool,
}

impl<P: Programs> Freebsd<P> {
    fn folder(&self, tenant: &TenantId) -> PathBuf {
        self.places.base.join(tenant.as_str())
    }

    fn conf(&self, tenant: &TenantId) -> PathBuf {
        self.places.host(&format!("etc/jail.conf.d/{tenant}.conf"))
    }

    /// Runs a line of words without spaces.
    fn demand(&self, line: &str) -> Result<String, JailError> {
        let output = self.programs.demand(&Command::new(line.split(' ')))?;
        Ok(output.stdout)
    }

    fn attempt(&self, line: &str) -> Result<(), JailError> {
        self.programs.attempt(&Command::new(line.split(' ')))
    }

    /// What is mounted in a jail, the last first.
    fn mounts(&self, tenant: &TenantId) -> Result<Vec<PathBuf>, JailError> {
        Ok(texts::mounts(
            &self.demand("mount -p")?,
            &self.folder(tenant),
        ))
    }

    fn links(&self) -> Result<Vec<String>, JailError> {
        let said = self.demand("ifconfig -l")?;
        Ok(said.split_whitespace().map(str::to_owned).collect())
    }

    fn did_not(&self, jail: &Jail, what: &str) -> JailError {
        JailError::State {
            tenant: jail.tenant.clone(),
            what: what.into(),
            look: self.look(&jail.tenant),
        }
    }

    fn is_connected(&self, jail: &Jail) -> Result<bool, JailError> {
        let route = [
            "jexec",
            jail.tenant.as_str(),
            "/sbin/route",
            "-n",
            "get",
            "default",
        ];
        let gateway = format!("gateway: {}", numbers::BRIDGE);
        match self.programs.demand(&Command::new(route)) {
            Ok(output) => Ok(output.stdout.lines().any(|line| line.trim() == gateway)),
            // It has no route, says its exit code.
            Err(JailError::Command { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The bridge, and the way out of it as far as it is open.
    fn prepare_host(&self, jail: &Jail) -> Result<(), JailError> {
        let bridge = texts::BRIDGE;
        if !self.links()?.iter().any(|link| link == bridge) {
            self.demand(&format!("ifconfig bridge create name {bridge}"))?;
        }
        // Jails' hardware addresses are known, so nobody need be asked for them, nor believed.
        let address = numbers::BRIDGE;
        self.demand(&format!("ifconfig {bridge} inet {address}/16 staticarp up"))?;
        self.demand("sysctl net.inet.ip.forwarding=1 net.link.bridge.pfil_member=1")?;
        let route = self
            .programs
            .run(&Command::new(["route", "-n", "get", "default"]));
        let said = route.map(|output| output.stdout).unwrap_or_default();
        let rules = texts::rules(jail, texts::egress(&said));
        let load = Command::new(["pfctl", "-q", "-a", &texts::anchor(jail), "-f", "-"]);
        self.programs.demand(&load.with_input(rules)).map(drop)
    }

    fn make_link(&self, jail: &Jail) -> Result<(), JailError> {
        let (outside, inside) = texts::link(jail);
        let (bridge, hardware) = (texts::BRIDGE, texts::hardware(jail));
        let address = numbers::address(jail.number);
        for line in [
            format!("ifconfig {} create", texts::epair(jail)),
            format!("ifconfig {inside} ether {hardware}"),
            format!(
                "ifconfig {bridge} addm {outside} private {outside} -learn {outside} -discover {outside} static {outside} {hardware}"
            ),
            format!("ifconfig {outside} up"),
            format!("arp -S {address} {hardware}"),
        ] {
            self.demand(&line)?;
        }
        Ok(())
    }

    fn connect(&self, jail: &Jail) -> Result<(), JailError> {
        if self.is_connected(jail)? {
            return Ok(());
        }
        let (tenant, inside) = (&jail.tenant, texts::link(jail).1);
        let address = numbers::address(jail.number);
        let gateway = numbers::BRIDGE;
        for line in [
            format!("jexec {tenant} /sbin/ifconfig lo0 inet 127.0.0.1/8 up"),
            format!("jexec {tenant} /sbin/ifconfig {inside} inet {address}/16 up"),
            format!("jexec {tenant} /sbin/route -q add default {gateway}"),
        ] {
            self.attempt(&line)?;
        }
        if self.is_connected(jail)? {
            return Ok(());
        }
        Err(self.did_not(jail, "get its network"))
    }
}

impl<P: Programs> System for Freebsd<P> {
    fn root(&self, tenant: &TenantId) -> PathBuf {
        self.folder(tenant).join("root")
    }

    fn first_id(&self, _: TenantNumber) -> Option<u32> {
        // Jails number users as the host does; what keeps them apart is the jail.
        self.owners.then_some(0)
    }

    fn pieces(&self, jail: &Jail) -> Result<Vec<Piece>, JailError> {
        texts::pieces(&self.places, jail)
    }

    fn finish_root(&self, jail: &Jail) -> Result<(), JailError> {
        // Accounts are looked up in databases that are made of the text.
        let etc = self.root(&jail.tenant).join("etc");
        let etc = etc.display();
        self.demand(&format!("pwd_mkdb -p -d {etc} {etc}/master.passwd"))
            .map(drop)
    }

    fn settings(&self, jail: &Jail) -> Result<Vec<(PathBuf, String)>, JailError> {
        let root = self.root(&jail.tenant);
        let fstab = self.folder(&jail.tenant).join("fstab");
        Ok(vec![
            (
                self.conf(&jail.tenant),
                texts::jail_conf(jail, &root, &fstab),
            ),
            (fstab, texts::fstab(&self.places, jail, &root)),
        ])
    }

    fn running(&self) -> Result<BTreeSet<String>, JailError> {
        let said = self.demand("jls name")?;
        Ok(said.lines().map(|line| line.trim().to_owned()).collect())
    }

    fn runs(&self, tenant: &TenantId) -> Result<bool, JailError> {
        Ok(self.running()?.contains(tenant.as_str()))
    }

    fn start(&self, jail: &Jail) -> Result<(), JailError> {
        let runs = self.runs(&jail.tenant)?;
        if !runs {
            // Mounts or a link of a start that was cut are in the way.
            self.stop(jail)?;
        }
        self.prepare_host(jail)?;
        if !runs {
            self.make_link(jail)?;
            self.limit(jail)?;
            let conf = self.conf(&jail.tenant);
            let line = format!("jail -q -f {} -c {}", conf.display(), jail.tenant);
            self.attempt(&line)?;
            if !self.runs(&jail.tenant)? {
                return Err(self.did_not(jail, "start"));
            }
        }
        self.connect(jail)
    }

    fn limit(&self, jail: &Jail) -> Result<(), JailError> {
        self.attempt(&format!("rctl -r jail:{}", jail.tenant))?;
        for rule in texts::limits(jail) {
            self.demand(&format!("rctl -a {rule}"))?;
        }
        Ok(())
    }

    #[cfg(target_os = "freebsd")]
    fn exec(&self, jail: &Jail, exec: &Exec, stdio: [OwnedFd; 3]) -> Result<Running, JailError> {
        if !self.runs(&jail.tenant)? {
            return Err(JailError::NotRunning(jail.tenant.clone()));
        }
        enter::start(&jail.tenant, exec, stdio)
    }

    #[cfg(not(target_os = "freebsd"))]
    fn exec(&self, jail: &Jail, _: &Exec, _: [OwnedFd; 3]) -> Result<Running, JailError> {
        Err(JailError::NotRunning(jail.tenant.clone()))
    }

    fn stop(&self, jail: &Jail) -> Result<(), JailError> {
        let tenant = &jail.tenant;
        if self.runs(tenant)? {
            let conf = self.conf(tenant);
            self.attempt(&format!("jail -q -f {} -r {tenant}", conf.display()))?;
            if self.runs(tenant)? {
                // Its configuration may be gone; the name is enough.
                self.attempt(&format!("jail -R {tenant}"))?;
            }
            if self.runs(tenant)? {
                return Err(self.did_not(jail, "stop"));
            }
        }
        for path in self.mounts(tenant)? {
            self.attempt(&format!("umount -f {}", path.display()))?;
        }
        if let Some(path) = self.mounts(tenant)?.into_iter().next() {
            return Err(JailError::Mounted { path });
        }
        let outside = texts::link(jail).0;
        if self.links()?.contains(&outside) {
            self.demand(&format!("ifconfig {outside} destroy"))?;
        }
        self.attempt(&format!("arp -d {}", numbers::address(jail.number)))?;
        self.attempt(&format!("pfctl -q -a {} -F all", texts::anchor(jail)))?;
        self.attempt(&format!("rctl -r jail:{tenant}"))
    }

    fn unlock(&self, jail: &Jail) -> Result<(), JailError> {
        // No links are followed, and no other file system is entered: all is unmounted.
        let folder = self.folder(&jail.tenant);
        if folder.is_dir() {
            self.attempt(&format!("chflags -R -P 0 {}", folder.display()))?;
        }
        Ok(())
    }

    fn forget(&self, _: &Jail) -> Result<(), JailError> {
        Ok(())
    }

    fn strays(&self, jails: &[Jail]) -> Vec<Repaired> {
        let mut repaired = Vec::new();
        let running = match self.running() {
            Ok(running) => running,
            Err(error) => return vec![Repaired::Failed(error.to_string())],
        };
        let (up, down): (Vec<&Jail>, Vec<&Jail>) = jails
            .iter()
            .partition(|jail| running.contains(jail.tenant.as_str()));
        for jail in &up {
            // A jail has no processes but those of `exec`. The exit code says that there were any.
            let kill = Command::new(["pkill", "-KILL", "-j", jail.tenant.as_str()]);
            let killed = self.programs.run(&kill);
            if killed.is_ok_and(|output| output.status == Some(0)) {
                repaired.push(Repaired::Stray(format!("programs in `{}`", jail.tenant)));
            }
        }
        let links = self.links().unwrap_or_default();
        for jail in down {
            let link = texts::link(jail).0;
            if links.contains(&link)
                || self
                    .mounts(&jail.tenant)
                    .is_ok_and(|found| !found.is_empty())
            {
                repaired.push(match self.stop(jail) {
                    Ok(()) => Repaired::Stray(format!("mounts and links of `{}`", jail.tenant)),
                    Err(error) => Repaired::Failed(error.to_string()),
                });
            }
        }
        for link in links.iter().filter(|link| texts::is_link(link)) {
            if !jails.iter().any(|jail| texts::link(jail).0 == *link) {
                repaired.push(match self.demand(&format!("ifconfig {link} destroy")) {
                    Ok(_) => Repaired::Stray(format!("the link {link}")),
                    Err(error) => Repaired::Failed(error.to_string()),
                });
            }
        }
        repaired
    }

    fn can(&self) -> Result<(), String> {
        let racct = self.demand("sysctl -n kern.racct.enable");
        if racct.is_ok_and(|said| said.trim() != "1") {
            return Err(
                "jails need limits: set kern.racct.enable=1 in /boot/loader.conf and restart"
                    .into(),
            );
        }
        let pf = self.demand("pfctl -s info");
        if !pf.is_ok_and(|said| said.contains("Status: Enabled")) {
            return Err("jails need a firewall: set pf_enable=YES in /etc/rc.conf and run `service pf start`".into());
        }
        if rustix::process::geteuid().is_root() {
            Ok(())
        } else {
            Err("only root can make jails".into())
        }
    }

    fn look(&self, tenant: &TenantId) -> String {
        format!("jail -v -f {} -c {tenant}", self.conf(tenant).display())
    }
}
