//! What FreeBSD's tools are told: jail.conf, fstab, pf's rules, and what a jail's root holds.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::face::Jail;
use crate::files::{Piece, read};
use crate::names::{hosts, resolv_conf};
use crate::numbers::{self, AGENT};
use crate::{JailError, Places};

/// The bridge of all jails.
pub(super) const BRIDGE: &str = "clawdie0";

/// What of the host a jail sees, read only. Root in a jail reads everything in a mount, whatever its permissions:
/// so no folder with configuration, data or keys.
const SHARED: [&str; 13] = [
    "bin",
    "lib",
    "libexec",
    "sbin",
    "usr/bin",
    "usr/lib",
    "usr/libexec",
    "usr/sbin",
    "usr/share",
    "usr/local/bin",
    "usr/local/lib",
    "usr/local/libexec",
    "usr/local/share",
];

/// Units of epair(4) that are tenants'; below are other people's.
const FIRST_EPAIR: u16 = 20_000;

/// The two ends of a jail's link: the host's and the jail's.
pub(super) fn link(jail: &Jail) -> (String, String) {
    let unit = epair(jail);
    (format!("{unit}a"), format!("{unit}b"))
}

/// What `ifconfig … create` takes.
pub(super) fn epair(jail: &Jail) -> String {
    format!("epair{}", FIRST_EPAIR + jail.number.get())
}

/// Whether a link's name is of a tenant's epair.
pub(super) fn is_link(name: &str) -> bool {
    let unit = name
        .strip_prefix("epair")
        .and_then(|unit| unit.strip_suffix('a'));
    unit.and_then(|unit| unit.parse::<u16>().ok())
        .is_some_and(|unit| unit > FIRST_EPAIR)
}

/// The hardware address of the jail's end.
pub(super) fn hardware(jail: &Jail) -> String {
    let [high, low] = jail.number.get().to_be_bytes();
    format!("02:c1:ad:1e:{high:02x}:{low:02x}")
}

/// The jail's anchor; pf.conf evaluates all that are below `tenants`.
pub(super) fn anchor(jail: &Jail) -> String {
    format!("tenants/{}", jail.tenant)
}

/// `/etc/jail.conf.d/TENANT.conf`.
pub(super) fn jail_conf(jail: &Jail, root: &Path, fstab: &Path) -> String {
    format!(
        "# Written by colibri-hostd, anew at each start of this jail.\n\
         {name} {{\n\
         \x20   path = \"{root}\";\n\
         \x20   host.hostname = \"{name}\";\n\
         \x20   persist;\n\
         \x20   vnet;\n\
         \x20   vnet.interface = \"{inside}\";\n\
         \x20   mount.fstab = \"{fstab}\";\n\
         \x20   mount.devfs;\n\
         \x20   devfs_ruleset = 4;\n\
         \x20   enforce_statfs = 2;\n\
         \x20   securelevel = 2;\n\
         \x20   children.max = 0;\n\
         \x20   allow.noset_hostname;\n\
         \x20   allow.noraw_sockets;\n\
         \x20   exec.clean;\n\
         }}\n",
        name = jail.tenant,
        root = root.display(),
        fstab = fstab.display(),
        inside = link(jail).1,
    )
}

/// The jail's fstab: what of [`SHARED`] this host has, and its doors.
pub(super) fn fstab(places: &Places, jail: &Jail, root: &Path) -> String {
    let mut text = String::new();
    for path in SHARED {
        let from = places.host(path);
        if from.is_dir() {
            let _ = writeln!(
                text,
                "{} {} nullfs ro 0 0",
                from.display(),
                root.join(path).display()
            );
        }
    }
    let doors = places.doors(&jail.tenant);
    let _ = writeln!(
        text,
        "{} {} nullfs ro 0 0",
        doors.display(),
        root.join("var/run/colibri").display()
    );
    text
}

/// For pfctl(8): out by way of `egress`, if there is a way out now; neither to this host nor to other tenants,
/// and in no other name. On the bridge its members are kept from each other too, but that is not pf's.
pub(super) fn rules(jail: &Jail, egress: Option<&str>) -> String {
    let address = numbers::address(jail.number);
    let outside = link(jail).0;
    let mut text = String::new();
    if let Some(egress) = egress {
        let _ = writeln!(
            text,
            "nat on {egress} inet from {address} to any -> ({egress})"
        );
    }
    let _ = write!(
        text,
        "block drop in quick on {outside} inet from ! {address} to any\n\
         block drop in quick on {outside} inet6 all\n\
         block drop in quick inet from {address} to (self)\n\
         block drop in quick inet from {address} to {}\n\
         pass in quick inet from {address} to any keep state\n",
        numbers::NETWORK
    );
    text
}

/// For rctl(8).
pub(super) fn limits(jail: &Jail) -> [String; 3] {
    let (name, limits) = (&jail.tenant, jail.limits);
    [
        format!("jail:{name}:memoryuse:deny={}M", limits.memory_mib),
        format!("jail:{name}:maxproc:deny={}", limits.tasks),
        format!("jail:{name}:pcpu:deny={}", limits.cpu_percent),
    ]
}

/// The interface in what `route -n get default` says.
pub(super) fn egress(said: &str) -> Option<&str> {
    let name = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("interface:"))?
        .trim();
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"._".contains(&byte));
    (plain && !name.is_empty() && name.len() < 16).then_some(name)
}

/// What is mounted in or below a folder, in what `mount -p` says; the last that was mounted first.
pub(super) fn mounts(said: &str, below: &Path) -> Vec<PathBuf> {
    said.lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .map(PathBuf::from)
        .filter(|path| path.starts_with(below))
        .rev()
        .collect()
}

/// What a jail's root holds besides its mounts.
pub(super) fn pieces(places: &Places, jail: &Jail) -> Result<Vec<Piece>, JailError> {
    let mut pieces: Vec<Piece> = [
        ".",
        "dev",
        "etc",
        "etc/ssl",
        "home",
        "media",
        "mnt",
        "usr",
        "usr/local",
        "var",
        "var/db",
        "var/log",
        "var/run",
        "var/run/colibri",
    ]
    .iter()
    .chain(&SHARED)
    .map(|path| Piece::folder(path, 0o755))
    .collect();
    pieces.extend([
        Piece::folder("root", 0o700),
        Piece::folder("tmp", 0o1777),
        Piece::folder("var/tmp", 0o1777),
        Piece::folder("home/agent", 0o700).of(AGENT),
        Piece::file(
            "etc/master.passwd",
            format!(
                "root:*:0:0::0:0:root:/root:/usr/sbin/nologin\n\
             agent:*:{AGENT}:{AGENT}::0:0:Agent of {}:/home/agent:/bin/sh\n\
             nobody:*:65534:65534::0:0:nobody:/nonexistent:/usr/sbin/nologin\n",
                jail.tenant
            ),
        )
        .with_mode(0o600),
        Piece::file(
            "etc/group",
            format!("wheel:*:0:\ntty:*:4:\nagent:*:{AGENT}:\nnobody:*:65534:\n"),
        ),
        Piece::file("etc/hosts", hosts(jail)),
        Piece::file(
            "etc/nsswitch.conf",
            "group: files\nhosts: files dns\nnetworks: files\npasswd: files\n",
        ),
        Piece::file("etc/resolv.conf", resolv_conf(places)?),
    ]);
    // The hints say where the libraries of packages are.
    for path in [
        "etc/ssl/cert.pem",
        "etc/ssl/openssl.cnf",
        "etc/login.conf",
        "etc/localtime",
        "var/run/ld-elf.so.hints",
    ] {
        if let Some(bytes) = read(&places.host(path))? {
            pieces.push(Piece::file(path, bytes));
        }
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jail() -> Jail {
        Jail {
            tenant: "main".parse().unwrap(),
            number: 65.try_into().unwrap(),
            limits: Default::default(),
        }
    }

    fn places(host: &Path) -> Places {
        Places {
            base: "/usr/local/bastille/jails".into(),
            run: "/var/run/colibri-hostd".into(),
            state: "/var/db/colibri-hostd".into(),
            host: host.into(),
        }
    }

    #[test]
    fn a_jail_is_closed_in_every_way_that_jail_conf_knows() {
        let text = jail_conf(
            &jail(),
            Path::new("/j/main/root"),
            Path::new("/j/main/fstab"),
        );
        for line in [
            "main {",
            "path = \"/j/main/root\";",
            "mount.fstab = \"/j/main/fstab\";",
            "vnet.interface = \"epair20065b\";",
            "devfs_ruleset = 4;",
            "enforce_statfs = 2;",
            "securelevel = 2;",
            "children.max = 0;",
            "exec.clean;",
            "persist;",
            "}",
        ] {
            assert!(
                text.lines().any(|there| there.trim() == line),
                "{line}\n{text}"
            );
        }
        assert!(!text.contains("exec.start") && !text.contains("allow.mount"));
    }

    #[test]
    fn no_mount_of_the_host_holds_a_secret_or_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        for path in [
            "bin",
            "etc",
            "root",
            "home",
            "usr/local/etc",
            "usr/local/bin",
            "var/db",
        ] {
            std::fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        let root = Path::new("/j/main/root");
        let text = fstab(&places(folder.path()), &jail(), root);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
        assert_eq!(lines.len(), 3, "{text}");
        let pieces = pieces(&places(folder.path()), &jail()).unwrap();
        for line in &lines {
            assert_eq!(line[2..], ["nullfs", "ro", "0", "0"]);
            let below = Path::new(line[1])
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap();
            assert!(pieces.iter().any(|piece| piece.path == below), "{below}");
        }
        assert_eq!(
            lines[2][..2],
            [
                "/var/run/colibri-hostd/tenants/main",
                "/j/main/root/var/run/colibri"
            ]
        );
        for shared in SHARED {
            let forbidden = [
                "etc",
                "usr/local/etc",
                "var",
                "root",
                "home",
                "usr",
                "usr/local",
            ];
            assert!(!forbidden.contains(&shared));
        }
    }

    #[test]
    fn rules_name_one_jail_and_let_it_out_only() {
        let text = rules(&jail(), Some("vtnet0"));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "nat on vtnet0 inet from 10.213.1.6 to any -> (vtnet0)",
                "block drop in quick on epair20065a inet from ! 10.213.1.6 to any",
                "block drop in quick on epair20065a inet6 all",
                "block drop in quick inet from 10.213.1.6 to (self)",
                "block drop in quick inet from 10.213.1.6 to 10.213.0.0/16",
                "pass in quick inet from 10.213.1.6 to any keep state",
            ]
        );
        assert_eq!(rules(&jail(), None).lines().count(), 5);
        let own = include_str!("../../../../overlays/freebsd/etc/pf.conf");
        for anchor in ["nat-anchor \"tenants/*\"", "anchor \"tenants/*\""] {
            assert!(own.lines().any(|line| line == anchor));
        }
        assert_eq!(anchor(&jail()), "tenants/main");
    }

    #[test]
    fn numbers_give_links_and_limits() {
        assert_eq!(link(&jail()), ("epair20065a".into(), "epair20065b".into()));
        assert!(is_link("epair20065a"));
        for other in ["epair20065b", "epair0a", "epair20000a", "vtnet0", "epair"] {
            assert!(!is_link(other), "{other}");
        }
        assert_eq!(hardware(&jail()), "02:c1:ad:1e:00:41");
        assert_eq!(limits(&jail())[0], "jail:main:memoryuse:deny=2048M");
    }

    #[test]
    fn tools_are_understood() {
        let said = "   route to: default\ndestination: default\n       mask: default\n    gateway: 10.0.2.2\n        fib: 0\n  interface: vtnet0\n";
        assert_eq!(egress(said), Some("vtnet0"));
        assert_eq!(egress("route: route has not been found\n"), None);
        assert_eq!(egress("  interface: x; pass all\n"), None);
        let said = "/dev/gpt/rootfs\t\t/\t\t\tufs\trw 1 1\n\
            /bin\t\t\t/j/main/root/bin\tnullfs\tro 0 0\n\
            /lib\t\t\t/j/main2/root/lib\tnullfs\tro 0 0\n\
            devfs\t\t\t/j/main/root/dev\tdevfs\trw 0 0\n";
        let found = mounts(said, Path::new("/j/main"));
        assert_eq!(
            found,
            [
                PathBuf::from("/j/main/root/dev"),
                PathBuf::from("/j/main/root/bin")
            ]
        );
    }
}
