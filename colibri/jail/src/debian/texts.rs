//! What Debian's tools are told: settings of the unit, addresses, and what a jail's root holds.

use std::path::Path;

use colibri_protocol::TenantId;

use crate::face::Jail;
use crate::files::{Piece, read};
use crate::names::{hosts, resolv_conf};
use crate::numbers::{self, AGENT};
use crate::{JailError, Places};

/// Where a jail sees its doors.
pub(super) const DOORS: &str = "/run/colibri";

/// The firewall of all jails; the image loads it at boot too.
pub(super) const FIREWALL: &str =
    include_str!("../../../../overlays/debian/etc/nftables.d/clawdie-tenants.nft");

/// The unit of a tenant's jail.
pub(super) fn unit(tenant: &TenantId) -> String {
    format!("colibri-jail@{tenant}.service")
}

/// What `colibri-jail@.service` reads. No value needs quotes: the base is checked, and the rest are names and numbers.
pub(super) fn environment(places: &Places, jail: &Jail, root: &Path) -> String {
    // Configuration of the host is no business of a jail, wherever it lies.
    let hidden = if places.host("usr/local/etc").is_dir() {
        "--tmpfs=/usr/local/etc:mode=0555,size=4k,ro"
    } else {
        ""
    };
    format!(
        "# Written by colibri-hostd, anew at each start of this jail.\n\
         ROOT={}\n\
         IDS={}:{}\n\
         LINK={}:host0\n\
         DOORS={}:{}\n\
         HIDDEN={hidden}\n",
        root.display(),
        numbers::first_id(jail.number),
        numbers::IDS,
        numbers::link(jail.number),
        places.doors(&jail.tenant).display(),
        DOORS,
    )
}

/// For systemctl(1).
pub(super) fn limits(jail: &Jail) -> [String; 4] {
    let limits = jail.limits;
    [
        format!("MemoryMax={}M", limits.memory_mib),
        "MemorySwapMax=0".into(),
        format!("TasksMax={}", limits.tasks),
        format!("CPUQuota={}%", limits.cpu_percent),
    ]
}

/// For `ip -batch` on the host.
pub(super) fn host_network(jail: &Jail) -> String {
    let (link, gateway) = (numbers::link(jail.number), numbers::gateway(jail.number));
    format!(
        "link set dev {link} addrgenmode none\n\
         address replace {gateway}/30 dev {link}\n\
         link set dev {link} up\n"
    )
}

/// For `ip -batch` in the jail's network. The route comes last: it tells that all is done.
pub(super) fn jail_network(jail: &Jail) -> String {
    let (address, gateway) = (numbers::address(jail.number), numbers::gateway(jail.number));
    format!(
        "link set dev lo up\n\
         link set dev host0 addrgenmode none\n\
         address replace {address}/30 dev host0\n\
         link set dev host0 up\n\
         route replace default via {gateway} dev host0\n"
    )
}

/// Whether `/proc/PID/net/route` has the jail's default route.
pub(super) fn has_route(route: &str, jail: &Jail) -> bool {
    // The kernel prints the four bytes as one number of its own byte order.
    let gateway = u32::from_ne_bytes(numbers::gateway(jail.number).octets());
    let gateway = format!("{gateway:08X}");
    route.lines().any(|line| {
        let mut fields = line.split_whitespace();
        (fields.next(), fields.next(), fields.next())
            == (Some("host0"), Some("00000000"), Some(gateway.as_str()))
    })
}

/// What a jail's root holds. Programs and libraries come with the host's `/usr`, which is bound over `usr`.
pub(super) fn pieces(places: &Places, jail: &Jail) -> Result<Vec<Piece>, JailError> {
    let mut pieces: Vec<Piece> = [
        (".", 0o755),
        ("dev", 0o755),
        ("etc", 0o755),
        ("etc/alternatives", 0o755),
        ("etc/ssl", 0o755),
        ("etc/ssl/certs", 0o755),
        ("home", 0o755),
        ("mnt", 0o755),
        ("opt", 0o755),
        ("proc", 0o755),
        ("root", 0o700),
        ("run", 0o755),
        ("srv", 0o755),
        ("sys", 0o755),
        ("tmp", 0o1777),
        ("usr", 0o755),
        ("var", 0o755),
        ("var/cache", 0o755),
        ("var/lib", 0o755),
        ("var/log", 0o755),
        ("var/tmp", 0o1777),
    ]
    .iter()
    .map(|(path, mode)| Piece::folder(path, *mode))
    .collect();
    pieces.push(Piece::folder("home/agent", 0o700).of(AGENT));
    for name in ["bin", "lib", "lib32", "lib64", "libx32", "sbin"] {
        if let Some(target) = link_target(&places.host(name)) {
            pieces.push(Piece::link(name, &target));
        }
    }
    pieces.extend([
        Piece::link("var/run", "/run"),
        Piece::link("etc/os-release", "../usr/lib/os-release"),
        Piece::link("etc/mtab", "../proc/self/mounts"),
        Piece::file(
            "etc/passwd",
            format!(
                "root:*:0:0:root:/root:/usr/sbin/nologin\n\
             agent:*:{AGENT}:{AGENT}:Agent of {0}:/home/agent:/bin/bash\n\
             nobody:*:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
                jail.tenant
            ),
        ),
        Piece::file(
            "etc/group",
            format!("root:*:0:\ntty:*:5:\nagent:*:{AGENT}:\nnogroup:*:65534:\n"),
        ),
        Piece::file("etc/hostname", format!("{}\n", jail.tenant)),
        Piece::file("etc/hosts", hosts(jail)),
        Piece::file(
            "etc/nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files dns\nnetworks: files\n",
        ),
        Piece::file("etc/resolv.conf", resolv_conf(places)?),
    ]);
    for path in [
        "etc/ssl/certs/ca-certificates.crt",
        "etc/ssl/openssl.cnf",
        "etc/ld.so.cache",
    ] {
        if let Some(bytes) = read(&places.host(path))? {
            pieces.push(Piece::file(path, bytes));
        }
    }
    match link_target(&places.host("etc/localtime")) {
        Some(target) => pieces.push(Piece::link("etc/localtime", &target)),
        None => pieces.extend(
            read(&places.host("etc/localtime"))?.map(|zone| Piece::file("etc/localtime", zone)),
        ),
    }
    // awk, editor and others are called through these.
    let alternatives = places.host("etc/alternatives");
    let mut names = crate::record::entries(&alternatives)?;
    names.sort();
    for name in names {
        if let Some(target) = link_target(&alternatives.join(&name))
            && target.starts_with("/usr/")
            && !target.contains("/man/")
        {
            pieces.push(Piece::link(&format!("etc/alternatives/{name}"), &target));
        }
    }
    Ok(pieces)
}

fn link_target(path: &Path) -> Option<String> {
    std::fs::read_link(path)
        .ok()?
        .into_os_string()
        .into_string()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::What;
    use proptest::prelude::*;
    use std::os::unix::fs::symlink;

    fn jail(tenant: &str, number: u16) -> Jail {
        Jail {
            tenant: tenant.parse().unwrap(),
            number: number.try_into().unwrap(),
            limits: Default::default(),
        }
    }

    fn places(folder: &Path) -> Places {
        Places {
            base: "/var/lib/machines".into(),
            run: "/run/colibri-hostd".into(),
            state: "/var/lib/colibri-hostd".into(),
            host: folder.into(),
        }
    }

    #[test]
    fn the_unit_is_told_all_that_it_asks_for() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(folder.path());
        let root = Path::new("/var/lib/machines/main");
        let text = environment(&places, &jail("main", 65), root);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "ROOT=/var/lib/machines/main",
                "IDS=4718592:65536",
                "LINK=ct65:host0",
                "DOORS=/run/colibri-hostd/tenants/main:/run/colibri",
                "HIDDEN=",
            ]
        );
        std::fs::create_dir_all(folder.path().join("usr/local/etc")).unwrap();
        assert!(
            environment(&places, &jail("main", 65), root)
                .ends_with("HIDDEN=--tmpfs=/usr/local/etc:mode=0555,size=4k,ro\n")
        );
        let unit =
            include_str!("../../../../overlays/debian/etc/systemd/system/colibri-jail@.service");
        for line in lines {
            let name = line.split('=').next().unwrap();
            assert!(
                unit.contains(&format!("${{{name}}}")) || unit.contains(&format!(" ${name} ")),
                "{name}"
            );
        }
        let file = places.records().join("%i.env");
        assert!(unit.contains(&format!("EnvironmentFile={}\n", file.display())));
    }

    proptest! {
        #[test]
        fn no_text_holds_more_lines_than_it_should(name in "[b-z][a-z0-9]{5,14}", number in 1_u16..=4000) {
            prop_assume!(name.parse::<TenantId>().is_ok());
            let folder = tempfile::tempdir().unwrap();
            let jail = jail(&name, number);
            let text = environment(&places(folder.path()), &jail, Path::new("/var/lib/machines/x"));
            prop_assert_eq!(text.lines().count(), 6);
            prop_assert!(!text.contains(['"', '\'', '$', '\\', ';']));
            prop_assert_eq!(host_network(&jail).lines().count(), 3);
            prop_assert_eq!(jail_network(&jail).lines().count(), 5);
            let link = numbers::link(jail.number);
            prop_assert!(host_network(&jail).lines().all(|line| line.contains(&link)));
            // The unit's name means one control group, and no other path.
            prop_assert!(!unit(&jail.tenant).contains(['/', '\\']));
        }
    }

    #[test]
    fn the_route_is_found_as_the_kernel_prints_it() {
        // From a jail with number 1, on a little-endian machine.
        let route = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            host0\t00000000\t0500D50A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            host0\t0400D50A\t00000000\t0001\t0\t0\t0\tFCFFFFFF\t0\t0\t0\n";
        let little = cfg!(target_endian = "little");
        assert_eq!(has_route(route, &jail("main", 1)), little);
        assert!(!has_route(route, &jail("main", 2)));
        assert!(!has_route("Iface\tDestination\n", &jail("main", 1)));
    }

    #[test]
    fn limits_are_said_in_systemds_words() {
        assert_eq!(
            limits(&jail("main", 1)),
            [
                "MemoryMax=2048M",
                "MemorySwapMax=0",
                "TasksMax=512",
                "CPUQuota=200%"
            ]
        );
    }

    #[test]
    fn the_skeleton_is_small_complete_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let host = |path: &str| folder.path().join(path);
        for path in [
            "etc/alternatives",
            "etc/ssl/certs",
            "usr/bin",
            "var/lib",
            "run/systemd/resolve",
        ] {
            std::fs::create_dir_all(host(path)).unwrap();
        }
        for secret in ["etc/shadow", "etc/machine-id", "etc/passwd", "var/lib/x"] {
            std::fs::write(host(secret), "canary-1").unwrap();
        }
        std::fs::write(host("etc/ssl/certs/ca-certificates.crt"), "-----BEGIN").unwrap();
        std::fs::write(
            host("run/systemd/resolve/resolv.conf"),
            "nameserver 10.0.2.3\n",
        )
        .unwrap();
        symlink("usr/bin", host("bin")).unwrap();
        symlink(
            "/usr/share/zoneinfo/Europe/Ljubljana",
            host("etc/localtime"),
        )
        .unwrap();
        symlink("/usr/bin/mawk", host("etc/alternatives/awk")).unwrap();
        symlink(
            "/usr/share/man/man1/mawk.1.gz",
            host("etc/alternatives/awk.1.gz"),
        )
        .unwrap();
        symlink("/root/own", host("etc/alternatives/own")).unwrap();
        let pieces = pieces(&places(folder.path()), &jail("main", 1)).unwrap();
        let find = |path: &str| pieces.iter().find(|piece| piece.path == path);
        let link = |path: &str| match &find(path)?.what {
            What::Link(target) => Some(target.clone()),
            _ => None,
        };
        let file = |path: &str| match &find(path)?.what {
            What::File(bytes) => Some(String::from_utf8(bytes.clone()).unwrap()),
            _ => None,
        };
        assert_eq!(link("bin").unwrap(), "usr/bin");
        assert_eq!(link("lib32"), None);
        assert_eq!(link("etc/alternatives/awk").unwrap(), "/usr/bin/mawk");
        assert!(
            find("etc/alternatives/awk.1.gz").is_none() && find("etc/alternatives/own").is_none()
        );
        assert!(link("etc/localtime").unwrap().ends_with("Ljubljana"));
        assert_eq!(
            file("etc/ssl/certs/ca-certificates.crt").unwrap(),
            "-----BEGIN"
        );
        assert!(
            file("etc/resolv.conf")
                .unwrap()
                .ends_with("nameserver 10.0.2.3\n")
        );
        assert!(
            file("etc/passwd")
                .unwrap()
                .contains("agent:*:1000:1000:Agent of main:/home/agent:/bin/bash\n")
        );
        assert_eq!(
            file("etc/hosts").unwrap(),
            "127.0.0.1 localhost\n10.213.0.6 main\n"
        );
        let home = find("home/agent").unwrap();
        assert_eq!((home.owner, home.mode), (1000, 0o700));
        assert!(
            pieces
                .iter()
                .all(|piece| piece.owner == 0 || piece.path == "home/agent")
        );
        assert!(!format!("{pieces:?}").contains("canary"));
        assert!(find("etc/shadow").is_none() && find("etc/machine-id").is_none());
        // A folder before what is in it, and nothing by way of a link.
        for (at, piece) in pieces.iter().enumerate() {
            if let Some((parent, _)) = piece.path.rsplit_once('/') {
                let parent = pieces[..at].iter().find(|above| above.path == parent);
                assert!(
                    parent.is_some_and(|above| above.what == What::Folder),
                    "{}",
                    piece.path
                );
            }
        }
    }

    /// What the host's rules must say for ours to mean something.
    #[test]
    fn the_firewall_names_the_links_and_the_network() {
        assert!(FIREWALL.contains(&format!(
            "ip saddr {} oifname != \"ct*\" masquerade",
            numbers::NETWORK
        )));
        let own = include_str!("../../../../overlays/debian/etc/nftables.conf");
        assert!(own.contains("include \"/etc/nftables.d/*.nft\""));
        assert!(own.contains("iifname \"ct*\" oifname != \"ct*\" accept"));
        assert!(numbers::link(1.try_into().unwrap()).starts_with("ct"));
    }
}
