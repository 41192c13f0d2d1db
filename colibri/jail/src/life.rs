//! The whole life of jails, with the power cut at every point of it. The systems are played: what stands for their
//! programs changes files that stand for the kernel's.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use colibri_protocol::TenantLimits;

use crate::command::{Command, Output, Programs};
use crate::crash::with_fuel;
use crate::debian::Debian;
use crate::face::{Jail, Jails, Repaired, Stage};
use crate::freebsd::Freebsd;
use crate::keeper::Keeper;
use crate::{JailError, Places};

/// A host in a folder.
struct World {
    folder: tempfile::TempDir,
    make: fn(&Path) -> Box<dyn Jails>,
}

impl World {
    fn new(make: fn(&Path) -> Box<dyn Jails>) -> Self {
        // In memory where there is such a place: much is synced here, and no disk is what is tested.
        let folder = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        for path in [
            "host/etc/jail.conf.d",
            "host/usr/bin",
            "host/bin",
            "host/proc/sys/net/ipv4",
            "host/sys/class/net/eth0",
            "host/sys/fs/cgroup",
            "host/run/systemd/system.control",
            "host/fake",
            "base/othersmachine",
            "run/tenants/main",
        ] {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        fs::write(
            folder.path().join("host/proc/sys/net/ipv4/ip_forward"),
            "1\n",
        )
        .unwrap();
        let world = Self { folder, make };
        // What the first jail makes once and for all.
        world.jails().create(&jail("first", 9)).unwrap();
        world.jails().start(&"first".parse().unwrap()).unwrap();
        world
    }

    /// A new program that knows nothing but what lies on disk.
    fn jails(&self) -> Box<dyn Jails> {
        (self.make)(self.folder.path())
    }

    /// All files and folders.
    fn paths(&self) -> BTreeSet<PathBuf> {
        let mut paths = BTreeSet::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                }
                paths.insert(entry.path());
            }
        }
        paths
    }
}

fn places(folder: &Path) -> Places {
    Places {
        base: folder.join("base"),
        run: folder.join("run"),
        state: folder.join("state"),
        host: folder.join("host"),
    }
}

fn debian(folder: &Path) -> Box<dyn Jails> {
    let system = Debian {
        places: places(folder),
        programs: PlayedDebian(places(folder)),
        owners: false,
    };
    Box::new(Keeper::new(places(folder), system))
}

fn freebsd(folder: &Path) -> Box<dyn Jails> {
    let system = Freebsd {
        places: places(folder),
        programs: PlayedFreebsd(places(folder)),
        owners: false,
    };
    Box::new(Keeper::new(places(folder), system))
}

fn jail(tenant: &str, number: u16) -> Jail {
    Jail {
        tenant: tenant.parse().unwrap(),
        number: number.try_into().unwrap(),
        limits: TenantLimits::default(),
    }
}

/// systemd, ip and nft.
#[derive(Debug)]
struct PlayedDebian(Places);

impl PlayedDebian {
    fn group(&self, unit: &str) -> PathBuf {
        self.0.host("sys/fs/cgroup/colibri.slice").join(unit)
    }

    fn start(&self, unit: &str, tenant: &str) -> io::Result<()> {
        static PID: AtomicUsize = AtomicUsize::new(4000);
        let group = self.group(unit);
        let settings = fs::read_to_string(self.0.records().join(format!("{tenant}.env")))?;
        let value = |name: &str| {
            let line = settings.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().split(':').next().unwrap().to_owned()
        };
        assert!(Path::new(&value("ROOT=")).join("home/agent").is_dir());
        assert!(Path::new(&value("DOORS=")).is_dir());
        fs::create_dir(self.0.host("sys/class/net").join(value("LINK=")))?;
        fs::write(self.0.base.join(format!(".#{tenant}.lck")), "")?;
        let pid = PID.fetch_add(1, Ordering::Relaxed);
        fs::create_dir_all(self.0.host(&format!("proc/{pid}/net")))?;
        fs::create_dir_all(self.0.host(&format!("proc/{pid}/root/run")))?;
        let doors = self.0.host(&format!("proc/{pid}/root/run/colibri"));
        std::os::unix::fs::symlink(value("DOORS="), doors)?;
        fs::write(
            self.0.host(&format!("proc/{pid}/status")),
            format!("NSpid:\t{pid}\t1\n"),
        )?;
        fs::create_dir_all(group.join("payload"))?;
        fs::write(group.join("cgroup.events"), "populated 1\nfrozen 0\n")?;
        fs::write(group.join("payload/cgroup.procs"), format!("{pid}\n"))
    }

    fn stop(&self, unit: &str, tenant: &str) -> io::Result<()> {
        let group = self.group(unit);
        if let Ok(pid) = fs::read_to_string(group.join("payload/cgroup.procs")) {
            fs::remove_dir_all(self.0.host(&format!("proc/{}", pid.trim())))?;
        }
        // Killed, not ended: its lock stays, and so does its link for a while.
        let _ = tenant;
        fs::remove_dir_all(group)
    }
}

impl Programs for PlayedDebian {
    fn run(&self, command: &Command) -> io::Result<Output> {
        let argv: Vec<&str> = command.argv.iter().map(String::as_str).collect();
        let tenant = |unit: &str| {
            let tenant = unit.strip_prefix("colibri-jail@").unwrap();
            tenant.strip_suffix(".service").unwrap().to_owned()
        };
        let done = match argv[..] {
            ["systemctl", "start", unit] => self.start(unit, &tenant(unit)),
            ["systemctl", "stop", unit] => self.stop(unit, &tenant(unit)),
            ["systemctl", "set-property", "--runtime", unit, ..] => fs::create_dir_all(
                self.0
                    .host("run/systemd/system.control")
                    .join(format!("{unit}.d")),
            ),
            ["nft", "-f", "-"] => Ok(()),
            ["ip", "link", "delete", "dev", link] => {
                fs::remove_dir(self.0.host("sys/class/net").join(link))
            }
            ["ip", "-batch", "-"] => {
                let link = command
                    .input
                    .lines()
                    .last()
                    .unwrap()
                    .split(' ')
                    .nth(3)
                    .unwrap();
                fs::metadata(self.0.host("sys/class/net").join(link)).map(drop)
            }
            ["nsenter", net, "ip", "-batch", "-"] => {
                let leader = net
                    .strip_prefix("--net=/proc/")
                    .unwrap()
                    .strip_suffix("/ns/net")
                    .unwrap();
                let gateway = command
                    .input
                    .lines()
                    .last()
                    .unwrap()
                    .split(' ')
                    .nth(4)
                    .unwrap();
                let gateway: std::net::Ipv4Addr = gateway.parse().unwrap();
                let gateway = u32::from_ne_bytes(gateway.octets());
                let route = format!("host0\t00000000\t{gateway:08X}\t0003\n");
                fs::write(self.0.host(&format!("proc/{leader}/net/route")), route)
            }
            _ => panic!("unexpected: {}", command.line()),
        };
        Ok(Output {
            status: Some(i32::from(done.is_err())),
            ..Output::default()
        })
    }
}

/// jail, mount, ifconfig and the rest: what there is are files in `fake`.
#[derive(Debug)]
struct PlayedFreebsd(Places);

impl PlayedFreebsd {
    fn fake(&self, name: &str) -> PathBuf {
        self.0.host("fake").join(name.replace('/', "%"))
    }

    fn named(&self, kind: &str) -> Vec<String> {
        let names = crate::record::entries(&self.0.host("fake")).unwrap();
        let named = names.iter().filter_map(|name| name.strip_prefix(kind));
        named.map(|name| name.replace('%', "/")).collect()
    }

    fn start(&self, conf: &str, tenant: &str) -> io::Result<()> {
        let conf = fs::read_to_string(conf)?;
        let value = |name: &str| {
            conf.split(&format!("{name} = \""))
                .nth(1)
                .unwrap()
                .split('"')
                .next()
                .unwrap()
        };
        assert!(
            self.fake(&format!(
                "link {}",
                value("vnet.interface").replace('b', "a")
            ))
            .exists()
                || conf.contains("epair")
        );
        for line in fs::read_to_string(value("mount.fstab"))?.lines() {
            let to = line.split(' ').nth(1).unwrap();
            assert!(Path::new(to).is_dir(), "{to}");
            fs::write(self.fake(&format!("mount {to}")), "")?;
        }
        fs::write(self.fake(&format!("jail {tenant}")), "")
    }
}

impl Programs for PlayedFreebsd {
    fn run(&self, command: &Command) -> io::Result<Output> {
        let argv: Vec<&str> = command.argv.iter().map(String::as_str).collect();
        let mut stdout = String::new();
        let done = match argv[..] {
            ["jls", "name"] => {
                stdout = self.named("jail ").join("\n");
                Ok(())
            }
            ["mount", "-p"] => {
                for path in self.named("mount ") {
                    stdout += &format!("x\t\t{path}\tnullfs\tro 0 0\n");
                }
                Ok(())
            }
            ["ifconfig", "-l"] => {
                stdout = format!("vtnet0 lo0 {}", self.named("link ").join(" "));
                Ok(())
            }
            ["ifconfig", "bridge", "create", "name", name] => {
                fs::write(self.fake(&format!("link {name}")), "")
            }
            ["ifconfig", epair, "create"] => fs::write(self.fake(&format!("link {epair}a")), ""),
            ["ifconfig", link, "destroy"] => fs::remove_file(self.fake(&format!("link {link}"))),
            ["route", "-n", "get", "default"] => {
                stdout = "  interface: vtnet0\n".into();
                Ok(())
            }
            // Exit codes say nothing.
            ["jail", "-q", "-f", conf, "-c", tenant] => {
                self.start(conf, tenant).unwrap();
                Err(io::Error::other("an exit code"))
            }
            ["jail", "-q", "-f", _, "-r", tenant] => {
                fs::remove_file(self.fake(&format!("jail {tenant}")))
            }
            ["umount", "-f", path] => fs::remove_file(self.fake(&format!("mount {path}"))),
            ["jexec", tenant, "/sbin/route", "-q", "add", ..] => {
                fs::write(self.fake(&format!("route {tenant}")), "")
            }
            ["jexec", tenant, "/sbin/route", "-n", "get", "default"] => {
                if self.named("jail ").iter().any(|name| name == tenant)
                    && self.fake(&format!("route {tenant}")).exists()
                {
                    stdout = "    gateway: 10.213.0.1\n".into();
                }
                Ok(())
            }
            ["pfctl", "-q", "-a", anchor, "-f", "-"] => {
                fs::write(self.fake(&format!("rules {anchor}")), &command.input)
            }
            ["pfctl", "-q", "-a", anchor, "-F", "all"] => {
                let _ = fs::remove_file(
                    self.fake(&format!("route {}", anchor.trim_start_matches("tenants/"))),
                );
                fs::remove_file(self.fake(&format!("rules {anchor}")))
            }
            ["pkill", ..] => Err(io::Error::other("nobody")),
            [
                "ifconfig" | "sysctl" | "arp" | "rctl" | "pwd_mkdb" | "chflags" | "jexec",
                ..,
            ] => Ok(()),
            _ => panic!("unexpected: {}", command.line()),
        };
        Ok(Output {
            status: Some(i32::from(done.is_err())),
            stdout,
            stderr: String::new(),
        })
    }
}

/// Does it with the power cut at each point in turn, and then looks.
fn cut_everywhere(
    make: fn(&Path) -> Box<dyn Jails>,
    before: impl Fn(&World),
    act: impl Fn(&dyn Jails) -> Result<(), JailError>,
    after: impl Fn(&World),
) {
    for points in 0.. {
        let world = World::new(make);
        let untouched = world.paths();
        before(&world);
        let done = match with_fuel(points, || act(&*world.jails())) {
            Ok(()) => true,
            Err(JailError::Cut) => false,
            Err(error) => panic!("{points}: {error}"),
        };
        let repaired = world.jails().repair().unwrap();
        let failed = |it: &Repaired| matches!(it, Repaired::Failed(_));
        assert!(!repaired.iter().any(failed), "{points}: {repaired:?}");
        assert_eq!(
            world.jails().repair().unwrap(),
            [],
            "{points}: {repaired:?}"
        );
        after(&world);
        world.jails().destroy(&"main".parse().unwrap()).unwrap();
        let left: Vec<_> = world
            .paths()
            .symmetric_difference(&untouched)
            .cloned()
            .collect();
        assert!(left.is_empty(), "{points}: {left:?}");
        let first = &world.jails().list().unwrap()[0];
        assert!(first.running && first.stage == Stage::Ready);
        if done {
            assert!(points > 3, "{points}");
            return;
        }
    }
}

fn live(make: fn(&Path) -> Box<dyn Jails>) {
    let main = &jail("main", 1);
    let create = |world: &World| drop(world.jails().create(main).unwrap());
    let start = |world: &World| {
        let state = world.jails().start(&main.tenant).unwrap();
        assert!(state.running && world.jails().list().unwrap().contains(&state));
    };
    cut_everywhere(
        make,
        |_| (),
        |jails| jails.create(main).map(drop),
        |world| {
            for state in world.jails().list().unwrap() {
                assert_eq!(state.stage, Stage::Ready);
            }
            create(world);
            start(world);
        },
    );
    cut_everywhere(
        make,
        create,
        |jails| jails.start(&main.tenant).map(drop),
        start,
    );
    let stop = |jails: &dyn Jails| jails.stop(&main.tenant).map(drop);
    cut_everywhere(
        make,
        |world| {
            create(world);
            start(world);
        },
        stop,
        start,
    );
    let gone = |world: &World| {
        let left = world.jails().list().unwrap();
        if left.len() > 1 {
            // Cut before the record said so: all is as it was.
            assert_eq!(left[1].stage, Stage::Ready);
            start(world);
        }
    };
    let destroy = |jails: &dyn Jails| jails.destroy(&main.tenant);
    cut_everywhere(
        make,
        |world| {
            create(world);
            start(world);
        },
        destroy,
        gone,
    );
}

#[test]
fn a_cut_at_any_point_of_a_debian_jails_life_leaves_nothing() {
    live(debian);
}

#[test]
fn a_cut_at_any_point_of_a_freebsd_jails_life_leaves_nothing() {
    live(freebsd);
}

#[test]
fn asking_twice_changes_nothing() {
    for make in [debian, freebsd] {
        let world = World::new(make);
        let main = jail("main", 1);
        let first = world.jails().create(&main).unwrap();
        assert!(!first.running && first.address.to_string() == "10.213.0.6");
        assert_eq!(world.jails().create(&main).unwrap(), first);
        let started = world.jails().start(&main.tenant).unwrap();
        let kept = started.root.join("home/agent/kept");
        fs::write(&kept, "x").unwrap();
        let paths = world.paths();
        assert_eq!(world.jails().start(&main.tenant).unwrap(), started);
        let limits = TenantLimits {
            tasks: 99,
            ..TenantLimits::default()
        };
        let state = world
            .jails()
            .create(&Jail {
                limits,
                ..main.clone()
            })
            .unwrap();
        assert!(state.running && state.limits.tasks == 99);
        assert_eq!(world.paths(), paths);
        assert!(!world.jails().stop(&main.tenant).unwrap().running);
        assert!(!world.jails().stop(&main.tenant).unwrap().running);
        assert!(kept.exists());
        let target = world.jails().target(&main.tenant).unwrap();
        assert_eq!(target.root, state.root);
        world.jails().destroy(&main.tenant).unwrap();
        world.jails().destroy(&main.tenant).unwrap();
        assert!(matches!(
            world.jails().target(&main.tenant),
            Err(JailError::NotFound(_))
        ));
    }
}

#[test]
fn jails_are_not_mixed_up() {
    let world = World::new(debian);
    let jails = world.jails();
    let error = jails.create(&jail("main", 9)).unwrap_err();
    assert!(matches!(error, JailError::NumberTaken { .. }), "{error}");
    assert_eq!(jails.list().unwrap().len(), 1);
    let error = jails.create(&jail("first", 10)).unwrap_err();
    assert!(matches!(error, JailError::OtherNumber { .. }), "{error}");
    let main = jail("main", 1);
    assert!(matches!(
        jails.start(&main.tenant),
        Err(JailError::NotFound(_))
    ));
    assert!(matches!(
        jails.archive(&main.tenant),
        Err(JailError::NotFound(_))
    ));
    // A machine of the operator's, which has no record, is nobody's business here.
    jails.destroy(&"othersmachine".parse().unwrap()).unwrap();
    assert!(world.folder.path().join("base/othersmachine").is_dir());
    let few = TenantLimits {
        tasks: 1,
        ..main.limits
    };
    let error = jails
        .create(&Jail {
            limits: few,
            ..main
        })
        .unwrap_err();
    assert!(matches!(error, JailError::Invalid(_)), "{error}");
}

#[test]
fn what_belongs_to_nobody_goes_and_what_may_be_somebodys_stays() {
    let world = World::new(debian);
    let at = |path: &str| world.folder.path().join(path);
    for path in [
        "host/sys/class/net/ct77",
        "host/sys/class/net/docker0",
        "base/.removing-ghost/3/deep",
        "host/sys/fs/cgroup/colibri.slice/colibri-jail@ghost.service/payload",
        "host/sys/fs/cgroup/colibri.slice/colibri-jail@first.service/exec-1-1",
        "base/.#othersmachine.lck",
    ] {
        fs::create_dir_all(at(path)).unwrap();
    }
    fs::write(at("state/jails/.first.json.new"), "{").unwrap();
    let repaired = world.jails().repair().unwrap();
    assert_eq!(repaired.len(), 5, "{repaired:?}");
    assert!(
        repaired.iter().all(|it| matches!(it, Repaired::Stray(_))),
        "{repaired:?}"
    );
    for gone in [
        "host/sys/class/net/ct77",
        "base/.removing-ghost",
        "state/jails/.first.json.new",
    ] {
        assert!(!at(gone).exists(), "{gone}");
    }
    for kept in [
        "host/sys/class/net/ct9",
        "host/sys/class/net/docker0",
        "base/.#othersmachine.lck",
        "base/othersmachine",
    ] {
        assert!(at(kept).exists(), "{kept}");
    }
    assert!(world.jails().list().unwrap()[0].running);
    // A record that cannot be read keeps everything that may be its own.
    fs::write(at("state/jails/main.json"), "{").unwrap();
    fs::create_dir(at("host/sys/class/net/ct1")).unwrap();
    let repaired = world.jails().repair().unwrap();
    assert!(
        matches!(&repaired[..], [Repaired::Failed(_)]),
        "{repaired:?}"
    );
    assert!(at("host/sys/class/net/ct1").exists());
}

#[test]
fn a_jail_whose_doors_were_made_anew_is_started_anew() {
    let world = World::new(debian);
    let first = "first".parse().unwrap();
    let leader = world
        .folder
        .path()
        .join("host/sys/fs/cgroup/colibri.slice/colibri-jail@first.service/payload/cgroup.procs");
    let before = fs::read_to_string(&leader).unwrap();
    world.jails().start(&first).unwrap();
    assert_eq!(fs::read_to_string(&leader).unwrap(), before);
    let run = world.folder.path().join("run");
    fs::rename(run.join("tenants"), run.join("old")).unwrap();
    // What is bound stays what it was, wherever it is moved.
    let bound = world
        .folder
        .path()
        .join(format!("host/proc/{}/root/run/colibri", before.trim()));
    fs::remove_file(&bound).unwrap();
    std::os::unix::fs::symlink(run.join("old/first"), bound).unwrap();
    assert!(world.jails().start(&first).unwrap().running);
    assert_ne!(fs::read_to_string(&leader).unwrap(), before);
}

#[test]
fn an_archive_is_all_that_is_left() {
    let world = World::new(debian);
    let main = jail("main", 1);
    let root = world.jails().create(&main).unwrap().root;
    world.jails().start(&main.tenant).unwrap();
    fs::write(root.join("home/agent/notes"), "remember").unwrap();
    let path = world.jails().archive(&main.tenant).unwrap();
    assert!(path.starts_with(world.folder.path().join("state/archives")) && !root.exists());
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(
        name.starts_with("main-2") && name.ends_with("Z.tar.gz"),
        "{name}"
    );
    assert_eq!(world.jails().list().unwrap().len(), 1);
}

#[test]
fn a_hundredth_jail_costs_as_much_as_the_first() {
    let world = World::new(debian);
    let size = |path: &Path| fs::read_dir(path).unwrap().count();
    for number in 100..200 {
        let made = world
            .jails()
            .create(&jail(&format!("tenant{number}"), number))
            .unwrap();
        assert!(!made.running);
    }
    assert_eq!(world.jails().list().unwrap().len(), 101);
    assert_eq!(size(&world.folder.path().join("state/jails/numbers")), 101);
}
