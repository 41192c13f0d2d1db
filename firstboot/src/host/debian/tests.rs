//! The Debian host over a folder and recorded programs: which commands it gives, and which files it leaves.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use secrecy::SecretString;

use super::*;
use crate::host::network::Cards as _;
use crate::host::played::Played;
use crate::host::{Fixed, Network, Wifi};

const LSBLK: &str = "lsblk --exclude 1,2,11 --json --bytes --tree --properties-by blkid --output PATH,TYPE,PARTLABEL,LABEL,FSTYPE,SIZE,MOUNTPOINTS";

/// A host in a temporary folder, with the account tables of a fresh image.
struct Bench {
    folder: tempfile::TempDir,
    host: Debian<Played>,
}

impl Bench {
    fn new(transcript: &[(&str, i32, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let bench = Self {
            host: Debian::new(folder.path(), Played::new(transcript)),
            folder,
        };
        bench.put("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\ncolibri:x:820:820::/var/lib/colibri:/usr/sbin/nologin\n");
        bench.put(
            "/etc/shadow",
            "root::20000:0:99999:7:::\ncolibri:!*:20000:0:99999:7:::\n",
        );
        bench.put("/etc/group", "root:x:0:\ncolibri:x:820:\noperator:x:37:\n");
        bench.put("/proc/self/mounts", "");
        bench
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }

    fn put(&self, path: &str, text: &str) {
        let at = self.at(path);
        fs::create_dir_all(at.parent().expect("a folder")).expect("made");
        fs::write(at, text).expect("written");
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn mode(&self, path: &str) -> u32 {
        fs::metadata(self.at(path))
            .expect("there")
            .permissions()
            .mode()
            & 0o7777
    }

    /// Applies a setting that does not hold, after which it holds.
    fn becomes(&self, setting: &Setting) {
        assert!(
            !self.host.holds(setting).expect("checked"),
            "{setting} holds already"
        );
        self.host.apply(setting).expect("applied");
        assert!(
            self.host.holds(setting).expect("checked"),
            "{setting} does not hold"
        );
    }

    fn done(&self) {
        self.host.machine.processes.done();
    }
}

/// The tables as `useradd` leaves them. The account gets our own number, so that tests may own its files.
fn add_ada(bench: &Bench) {
    let uid = fs::metadata(bench.folder.path())
        .expect("there")
        .uid()
        .max(1000);
    let append = |path: &str, line: &str| bench.put(path, &(bench.text(path) + line));
    append(
        "/etc/passwd",
        &format!("ada:x:{uid}:{uid}:Operator:/home/ada:/bin/bash\n"),
    );
    append("/etc/shadow", "ada:!:20000:0:99999:7:::\n");
    append("/etc/group", &format!("ada:x:{uid}:\n"));
}

/// Whether her files can be made: by root, or by an account that has a person's number.
fn ada_can_own(bench: &Bench) -> bool {
    let can = nix::unistd::geteuid().is_root()
        || fs::metadata(bench.folder.path()).expect("there").uid() >= 1000;
    if !can {
        println!("NOT CHECKED: an account of the system can give nobody files");
    }
    can
}

#[test]
fn root_is_locked_whatever_stood_there() {
    for (passwd, shadow) in [
        (
            "root:x:0:0:root:/root:/bin/bash\n",
            "root:$y$j9T$abc$def:1:0:99999:7:::\nada:!:1::::::\n",
        ),
        (
            "root:x:0:0:root:/root:/bin/bash\n",
            "root:*:1:0:99999:7:::\n",
        ),
        (
            "root::0:0:root:/root:/bin/bash\n",
            "root:!*:1:0:99999:7:::\n",
        ),
        ("root:x:0:0:root:/root:/bin/bash\n", "ada:!:1::::::\n"),
    ] {
        let bench = Bench::new(&[]);
        bench.put("/etc/passwd", passwd);
        bench.put("/etc/shadow", shadow);
        fs::set_permissions(bench.at("/etc/shadow"), fs::Permissions::from_mode(0o640))
            .expect("set");
        bench.becomes(&Setting::RootLocked);
        assert!(bench.text("/etc/shadow").contains("root:!*:"));
        assert!(bench.text("/etc/passwd").contains("root:x:0:0:"));
        assert_eq!(
            bench.text("/etc/shadow").contains("ada:"),
            shadow.contains("ada:")
        );
        assert_eq!(bench.mode("/etc/shadow"), 0o640);
    }
}

#[test]
fn the_system_s_own_accounts_are_never_taken() {
    let bench = Bench::new(&[]);
    let error = bench
        .host
        .holds(&Setting::Account {
            login: "colibri".into(),
        })
        .expect_err("refused");
    assert!(
        error.to_string().contains("choose another `OPERATOR_USER`"),
        "{error}"
    );
}

#[test]
fn an_account_is_made_part_by_part() {
    let bench = Bench::new(&[
        ("groupadd ada", 0, ""),
        (
            "useradd --create-home --gid ada --shell /bin/bash --comment Operator ada",
            0,
            "",
        ),
    ]);
    // The played useradd makes nothing, and what is missing then is noticed and not taken for granted.
    let login = "ada".to_owned();
    assert!(
        !bench
            .host
            .holds(&Setting::Account {
                login: login.clone()
            })
            .expect("checked")
    );
    let usermod = "usermod --append --groups colibri ada";
    bench.host.machine.processes.then(usermod, 0, "");
    let error = bench
        .host
        .apply(&Setting::Account { login })
        .expect_err("nothing was made");
    assert_eq!(error.to_string(), "there is no account `ada`");
    bench.done();
}

#[test]
fn an_account_cut_short_gets_what_it_lacks() {
    // A cut after useradd wrote the tables and before it made the home.
    let bench = Bench::new(&[("usermod --append --groups colibri ada", 0, "")]);
    add_ada(&bench);
    if !ada_can_own(&bench) {
        return;
    }
    bench
        .host
        .apply(&Setting::Account {
            login: "ada".into(),
        })
        .expect("applied");
    assert_eq!(bench.mode("/home/ada"), 0o700);
    bench.put(
        "/etc/group",
        &bench
            .text("/etc/group")
            .replace("colibri:x:820:", "colibri:x:820:ada"),
    );
    assert!(
        bench
            .host
            .holds(&Setting::Account {
                login: "ada".into()
            })
            .expect("checked")
    );
    bench.done();
}

#[test]
fn tables_cut_short_get_their_lines_and_stale_locks_go() {
    // A cut in usermod: /etc/group has it all, none of the tables written after it has, and the locks still lie there.
    let bench = Bench::new(&[]);
    add_ada(&bench);
    if !ada_can_own(&bench) {
        return;
    }
    let replace = |path: &str, from: &str, to: &str| {
        bench.put(path, &bench.text(path).replace(from, to));
    };
    replace("/etc/group", "colibri:x:820:", "colibri:x:820:ada");
    bench.put("/etc/gshadow", "root:*::\ncolibri:!::\n");
    bench.put("/etc/subuid", "");
    replace("/etc/shadow", "ada:!:20000:0:99999:7:::\n", "");
    bench.put("/etc/gshadow.lock", "1\0");
    bench.put("/etc/gshadow.306", "306\0");
    bench.becomes(&Setting::Account {
        login: "ada".into(),
    });
    assert_eq!(
        bench.text("/etc/gshadow"),
        "root:*::\ncolibri:!::ada\nada:!::\n"
    );
    assert_eq!(bench.text("/etc/subuid"), "ada:100000:65536\n");
    assert!(bench.text("/etc/shadow").contains("\nada:!:"));
    for gone in ["/etc/gshadow.lock", "/etc/gshadow.306", "/etc/subgid"] {
        assert!(!bench.at(gone).exists(), "{gone}");
    }
    bench.done();
}

#[test]
fn a_password_goes_through_standard_input_only() {
    let bench = Bench::new(&[("chpasswd", 0, "")]);
    add_ada(&bench);
    let password = SecretString::from("pa:ss \"word");
    let setting = Setting::Password {
        login: "ada".into(),
        password,
    };
    assert!(!bench.host.holds(&setting).expect("checked"));
    bench.host.apply(&setting).expect("applied");
    assert_eq!(
        bench.host.machine.processes.inputs(),
        ["ada:pa:ss \"word\n"]
    );
    bench.put("/etc/shadow", "ada:$y$j9T$abc$def:20000:0:99999:7:::\n");
    assert!(bench.host.holds(&setting).expect("checked"));
    assert!(!format!("{setting:?} {setting}").contains("pa:ss"));
    bench.done();
}

#[test]
fn keys_are_added_and_those_of_others_stay() {
    let bench = Bench::new(&[]);
    add_ada(&bench);
    if !ada_can_own(&bench) {
        return;
    }
    bench.put("/home/ada/.ssh/authorized_keys", "ssh-ed25519 AAAAold old");
    let keys = vec!["ssh-ed25519 AAAAnew new".to_owned()];
    bench.becomes(&Setting::AuthorizedKeys {
        login: "ada".into(),
        keys,
    });
    assert_eq!(
        bench.text("/home/ada/.ssh/authorized_keys"),
        "ssh-ed25519 AAAAold old\nssh-ed25519 AAAAnew new\n"
    );
    assert_eq!(
        (
            bench.mode("/home/ada/.ssh"),
            bench.mode("/home/ada/.ssh/authorized_keys")
        ),
        (0o700, 0o600)
    );
}

#[test]
fn a_link_in_the_account_s_hands_is_not_followed() {
    let bench = Bench::new(&[]);
    add_ada(&bench);
    bench.put("/etc/victim/authorized_keys", "precious");
    fs::create_dir_all(bench.at("/home/ada")).expect("made");
    symlink(bench.at("/etc/victim"), bench.at("/home/ada/.ssh")).expect("linked");
    let setting = Setting::AuthorizedKeys {
        login: "ada".into(),
        keys: vec!["ssh-ed25519 AAAA a".into()],
    };
    let error = bench.host.apply(&setting).expect_err("refused");
    assert!(error.to_string().contains("through a link"), "{error}");
    assert_eq!(bench.text("/etc/victim/authorized_keys"), "precious");
}

#[test]
fn a_sudo_rule_counts_only_after_visudo_has_read_it() {
    let rule = |ask_password| Setting::Administrator {
        login: "ada".into(),
        by: BecomeRoot::Sudo { ask_password },
    };
    let bench = Bench::new(&[]);
    fs::create_dir_all(bench.at("/etc/sudoers.d")).expect("made");
    let check = format!(
        "visudo --check --quiet --file {}",
        bench.at("/etc/sudoers.d/.clawdie-operator.new").display()
    );
    let say = |status| bench.host.machine.processes.then(&check, status, "");
    say(1);
    bench.host.apply(&rule(false)).expect_err("visudo refused");
    assert_eq!(
        fs::read_dir(bench.at("/etc/sudoers.d"))
            .expect("listed")
            .count(),
        0
    );
    say(0);
    bench.becomes(&rule(false));
    assert!(
        bench
            .text("/etc/sudoers.d/clawdie-operator")
            .contains("\nada ALL=(ALL:ALL) NOPASSWD: ALL\n")
    );
    assert_eq!(bench.mode("/etc/sudoers.d/clawdie-operator"), 0o440);
    say(0);
    bench.becomes(&rule(true));
    assert!(
        bench
            .text("/etc/sudoers.d/clawdie-operator")
            .contains("\nada ALL=(ALL:ALL) ALL\n")
    );
    bench.done();
}

#[test]
fn the_host_name_reaches_kernel_disk_and_hosts_table() {
    let bench = Bench::new(&[]);
    bench.put("/proc/sys/kernel/hostname", "localhost\n");
    bench.put(
        "/etc/hosts",
        "127.0.0.1\tlocalhost\n127.0.1.1 clawdie # image\n192.0.2.1 nas\n",
    );
    bench.becomes(&Setting::HostName("otter".into()));
    assert_eq!(bench.text("/etc/hostname"), "otter\n");
    assert_eq!(
        bench.text("/etc/hosts"),
        "127.0.0.1\tlocalhost\n127.0.1.1\totter\n192.0.2.1 nas\n"
    );
    assert_eq!(bench.host.host_name().expect("read"), "otter");
    fs::remove_file(bench.at("/etc/hosts")).expect("removed");
    bench.becomes(&Setting::HostName("otter".into()));
    assert!(
        bench
            .text("/etc/hosts")
            .starts_with("127.0.0.1\tlocalhost\n::1")
    );
}

#[test]
fn a_time_zone_must_be_on_the_image() {
    let bench = Bench::new(&[]);
    bench.put("/usr/share/zoneinfo/Europe/Ljubljana", "TZif2...");
    bench.put("/usr/share/zoneinfo/tzdata.zi", "# version");
    bench.put("/etc/timezone", "Etc/UTC\n");
    assert!(
        bench
            .host
            .holds(&Setting::TimeZone("UTC".into()))
            .expect("checked"),
        "without a link it is UTC"
    );
    bench.becomes(&Setting::TimeZone("Europe/Ljubljana".into()));
    assert_eq!(bench.text("/etc/timezone"), "Europe/Ljubljana\n");
    for absent in ["Europe/Nowhere", "tzdata.zi", "../../../etc/timezone"] {
        let error = bench
            .host
            .apply(&Setting::TimeZone(absent.into()))
            .expect_err("refused");
        assert!(matches!(error, HostError::NotOnImage { .. }), "{error}");
    }
    symlink("/usr/share/zoneinfo/Etc/UTC", bench.at("/etc/utc")).expect("linked");
    fs::rename(bench.at("/etc/utc"), bench.at("/etc/localtime")).expect("renamed");
    assert!(
        bench
            .host
            .holds(&Setting::TimeZone("UTC".into()))
            .expect("checked")
    );
}

#[test]
fn a_locale_is_built_in_or_known_or_made_or_refused() {
    let bench = Bench::new(&[
        ("locale -a", 0, "C\nC.utf8\nPOSIX\n"),
        ("locale -a", 0, "C\nC.utf8\nPOSIX\n"),
        ("locale-gen", 0, ""),
        ("locale -a", 0, "C\nC.utf8\nPOSIX\nsl_SI.utf8\n"),
    ]);
    fs::create_dir_all(bench.at("/etc/default")).expect("made");
    bench.becomes(&Setting::Locale("C.UTF-8".into()));
    assert_eq!(
        fs::read_link(bench.at("/etc/default/locale")).expect("a link"),
        Path::new("../locale.conf")
    );

    let error = bench
        .host
        .apply(&Setting::Locale("sl_SI.UTF-8".into()))
        .expect_err("not on the image");
    assert!(error.to_string().contains("`LOCALE=C.UTF-8`"), "{error}");
    bench.put(
        "/usr/share/i18n/SUPPORTED",
        "de_DE.UTF-8 UTF-8\nsl_SI.UTF-8 UTF-8\n",
    );
    bench.becomes(&Setting::Locale("sl_SI.UTF-8".into()));
    assert_eq!(bench.text("/etc/locale.gen"), "sl_SI.UTF-8 UTF-8\n");
    assert_eq!(bench.text("/etc/locale.conf"), "LANG=sl_SI.UTF-8\n");
    bench.done();
}

#[test]
fn a_keyboard_layout_without_its_data_is_told_and_not_ignored() {
    let bench = Bench::new(&[("setupcon --keyboard-only --save --force", 0, "")]);
    fs::create_dir_all(bench.at("/etc/default")).expect("made");
    assert!(
        bench
            .host
            .holds(&Setting::Keymap("us".into()))
            .expect("checked")
    );
    let error = bench
        .host
        .apply(&Setting::Keymap("de".into()))
        .expect_err("no data");
    assert!(error.to_string().contains("`console-setup`"), "{error}");
    bench.put("/usr/bin/setupcon", "");
    bench.put("/usr/share/X11/xkb/symbols/de", "");
    bench.becomes(&Setting::Keymap("de".into()));
    assert!(
        bench
            .text("/etc/default/keyboard")
            .contains("XKBLAYOUT=\"de\"\n")
    );
    bench.done();
}

#[test]
fn damaged_ssh_keys_are_made_anew_and_whole_ones_stay() {
    let bench = Bench::new(&[(
        "ssh-keygen -q -t ecdsa -N  -f /etc/ssh/ssh_host_ecdsa_key",
        0,
        "",
    )]);
    let whole =
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n-----END OPENSSH PRIVATE KEY-----\n";
    for kind in ["ecdsa", "ed25519"] {
        bench.put(&format!("/etc/ssh/ssh_host_{kind}_key"), whole);
        bench.put(
            &format!("/etc/ssh/ssh_host_{kind}_key.pub"),
            "ssh-x AAAA root@build\n",
        );
    }
    assert!(bench.host.holds(&Setting::SshHostKeys).expect("checked"));
    // The cut left a key without its end.
    bench.put("/etc/ssh/ssh_host_ecdsa_key", &whole[..40]);
    assert!(!bench.host.holds(&Setting::SshHostKeys).expect("checked"));
    bench.host.apply(&Setting::SshHostKeys).expect("applied");
    assert!(!bench.at("/etc/ssh/ssh_host_ecdsa_key").exists());
    assert_eq!(bench.text("/etc/ssh/ssh_host_ed25519_key"), whole);
    bench.done();
}

#[test]
fn fingerprints_are_shown_without_the_comment() {
    let bench = Bench::new(&[
        (
            "ssh-keygen -l -f /etc/ssh/ssh_host_rsa_key.pub",
            0,
            "3072 SHA256:rrr root@build host (RSA)\n",
        ),
        (
            "ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub",
            0,
            "256 SHA256:eee no comment (ED25519)\n",
        ),
    ]);
    for kind in ["rsa", "ed25519"] {
        bench.put(&format!("/etc/ssh/ssh_host_{kind}_key.pub"), "ssh-x AAAA\n");
    }
    assert_eq!(
        bench.host.ssh_fingerprints().expect("read"),
        ["SHA256:eee (ED25519)", "SHA256:rrr (RSA)"]
    );
    bench.done();
}

#[test]
fn seeds_are_found_by_every_name_and_the_boot_disk_s_comes_first() {
    let listing = include_str!("transcripts/lsblk-stick-and-second-stick.json");
    let bench = Bench::new(&[(LSBLK, 0, listing)]);
    let found: Vec<(String, bool)> = bench
        .host
        .volumes()
        .expect("listed")
        .into_iter()
        .map(|volume| (volume.device, volume.on_boot_disk))
        .collect();
    assert_eq!(
        found,
        [
            ("/dev/sdb1".into(), true),
            ("/dev/sda1".into(), false),
            ("/dev/sdc".into(), false)
        ]
    );
    bench.done();
}

#[test]
fn the_seed_is_mounted_where_only_root_can_look() {
    let bench = Bench::new(&[
        (
            "mount -t vfat -o ro,nosuid,nodev,noexec,umask=0077 /dev/sdb1 /run/clawdie/seed",
            0,
            "",
        ),
        ("umount /run/clawdie/seed", 0, ""),
        (
            "mount -t vfat -o rw,nosuid,nodev,noexec,umask=0077 /dev/sdb1 /run/clawdie/seed",
            0,
            "",
        ),
    ]);
    let volume = Volume {
        device: "/dev/sdb1".into(),
        label: None,
        gpt_name: None,
        on_boot_disk: true,
    };
    bench
        .host
        .mount_seed(&volume, Access::ReadOnly)
        .expect("mounted");
    assert_eq!(
        (bench.mode("/run/clawdie"), bench.mode("/run/clawdie/seed")),
        (0o700, 0o700)
    );
    // Left mounted by a run that was killed.
    bench.put(
        "/proc/self/mounts",
        "/dev/sdb1 /run/clawdie/seed vfat ro 0 0\n",
    );
    bench
        .host
        .mount_seed(&volume, Access::ReadWrite)
        .expect("mounted");
    bench.put("/proc/self/mounts", "tmpfs /run tmpfs rw 0 0\n");
    bench.host.unmount_seed().expect("nothing to do");
    bench.done();
}

#[test]
fn the_root_s_disk_is_read_from_table_kernel_and_file_system() {
    let header = "Block count:              128256\nBlock size:               4096\n";
    let bench = Bench::new(&[
        (
            LSBLK,
            0,
            include_str!("transcripts/lsblk-stick-and-second-stick.json"),
        ),
        (
            "sfdisk --json /dev/sdb",
            0,
            include_str!("transcripts/sfdisk-fresh.json"),
        ),
        ("dumpe2fs -h /dev/sdb4", 0, header),
    ]);
    let root = bench.host.root_disk().expect("read").expect("a disk");
    assert_eq!(
        root,
        RootDisk {
            disk: "/dev/sdb".into(),
            partition: "/dev/sdb4".into(),
            number: 4,
            last: true,
            disk_bytes: 4 << 30,
            start: 200_704 * 512,
            table_bytes: 1_026_048 * 512,
            kernel_bytes: 525_336_576,
            file_system_bytes: 128_256 * 4096,
            unused_bytes: 16 << 20,
        }
    );
    bench.done();
}

/// Recorded on a real boot between stretching the partition and telling the kernel, as a cut leaves it.
#[test]
fn the_root_s_disk_is_found_while_table_and_kernel_differ() {
    let bench = Bench::new(&[
        (
            LSBLK,
            0,
            include_str!("transcripts/lsblk-table-ahead-of-kernel.json"),
        ),
        (
            "sfdisk --json /dev/sda",
            0,
            include_str!("transcripts/sfdisk-stretched.json"),
        ),
        (
            "dumpe2fs -h /dev/sda4",
            0,
            "Block count:              230400\nBlock size:               4096\n",
        ),
    ]);
    let root = bench.host.root_disk().expect("read").expect("a disk");
    assert_eq!((root.number, root.last), (4, true));
    assert_eq!(root.table_bytes, 8_187_871 * 512);
    assert_eq!(root.kernel_bytes, 943_718_400);
    bench.done();
}

#[test]
fn growing_gives_these_commands() {
    let bench = Bench::new(&[
        (
            "sfdisk --no-reread --no-tell-kernel --relocate gpt-bak-std /dev/sdb",
            0,
            "",
        ),
        ("sfdisk --no-reread --no-tell-kernel -N 4 /dev/sdb", 0, ""),
        ("partx --update --nr 4 /dev/sdb", 0, ""),
        ("resize2fs /dev/sdb4", 0, ""),
    ]);
    let root = RootDisk {
        disk: "/dev/sdb".into(),
        partition: "/dev/sdb4".into(),
        number: 4,
        last: true,
        disk_bytes: 0,
        start: 0,
        table_bytes: 0,
        kernel_bytes: 0,
        file_system_bytes: 0,
        unused_bytes: 0,
    };
    for step in [GrowMove::Partition, GrowMove::Kernel, GrowMove::FileSystem] {
        bench.host.grow(&root, step).expect("grown");
    }
    assert_eq!(bench.host.machine.processes.inputs(), [", +\n"]);
    bench.done();
}

#[test]
fn services_are_ordered_without_waiting_for_them() {
    let bench = Bench::new(&[
        ("systemctl is-enabled --quiet colibri-daemon.service", 1, ""),
        (
            "systemctl enable --quiet --no-reload colibri-daemon.service",
            0,
            "",
        ),
        ("systemctl is-active --quiet colibri-daemon.service", 3, ""),
        ("systemctl --no-block start colibri-daemon.service", 0, ""),
        (
            "systemctl --no-block restart colibri-daemon.service",
            1,
            "Unit is masked.\n",
        ),
    ]);
    let enabled = Setting::ServiceEnabled(Service::ColibriDaemon);
    assert!(!bench.host.holds(&enabled).expect("asked"));
    bench.host.apply(&enabled).expect("enabled");
    assert!(
        !bench
            .host
            .is_running(Service::ColibriDaemon)
            .expect("asked")
    );
    bench
        .host
        .order(Service::ColibriDaemon, Order::Start)
        .expect("ordered");
    let error = bench
        .host
        .order(Service::ColibriDaemon, Order::Restart)
        .expect_err("masked");
    assert!(
        error.to_string().contains("exit 1") && error.to_string().contains("Unit is masked."),
        "{error}"
    );
    bench.done();
}

#[test]
fn a_secret_file_is_private_from_the_start_and_made_private_again() {
    let bench = Bench::new(&[]);
    let setting = Setting::SecretFile {
        path: "/etc/colibri/provider.env",
        content: "K=\"v\"\n".to_owned().into(),
    };
    bench.becomes(&setting);
    assert_eq!(bench.mode("/etc/colibri/provider.env"), 0o600);
    fs::set_permissions(
        bench.at("/etc/colibri/provider.env"),
        fs::Permissions::from_mode(0o644),
    )
    .expect("set");
    bench.becomes(&setting);
    assert_eq!(bench.mode("/etc/colibri/provider.env"), 0o600);
}

#[test]
fn the_agent_s_own_folders_are_private_and_others_keep_their_mode() {
    let bench = Bench::new(&[]);
    let paths = bench.host.paths();
    bench.put("/var/log/x", "");
    bench
        .host
        .append(Path::new(paths.journal), b"line\n", 0o600, true)
        .expect("appended");
    bench
        .host
        .write(Path::new(paths.handover), b"{}", 0o600)
        .expect("written");
    bench
        .host
        .append(Path::new(paths.log), b"line\n", 0o600, false)
        .expect("appended");
    assert_eq!(
        (bench.mode(paths.state), bench.mode(paths.run)),
        (0o700, 0o700)
    );
    assert_eq!(
        (bench.mode(paths.journal), bench.mode(paths.log)),
        (0o600, 0o600)
    );
    assert_eq!(bench.mode("/var/log"), 0o755);
}

#[test]
fn every_active_console_gets_the_text_and_a_missing_one_does_no_harm() {
    let bench = Bench::new(&[]);
    bench.put("/sys/class/tty/console/active", "tty0 ttyS9 ttyS0\n");
    bench.put("/dev/tty0", "");
    bench.put("/dev/ttyS0", "");
    bench.host.console("one\ntwo\n");
    assert_eq!(
        (bench.text("/dev/tty0"), bench.text("/dev/ttyS0")),
        ("one\r\ntwo\r\n".into(), "one\r\ntwo\r\n".into())
    );
    assert!(!bench.at("/dev/ttyS9").exists());
}

#[test]
fn the_kernel_tells_what_the_machine_is() {
    let bench = Bench::new(&[("systemd-detect-virt --vm", 0, "kvm\n")]);
    for (path, text) in [
        (
            "/etc/os-release",
            "NAME=Debian\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n",
        ),
        ("/proc/sys/kernel/osrelease", "6.12.48+deb13-amd64\n"),
        (
            "/proc/cpuinfo",
            "processor\t: 0\nmodel name\t: Intel(R) N100\n\nprocessor\t: 1\nmodel name\t: Intel(R) N100\n",
        ),
        (
            "/proc/meminfo",
            "MemTotal:        7954364 kB\nMemFree:         1 kB\n",
        ),
        (
            "/proc/self/mountinfo",
            "22 1 0:21 / /proc rw - proc proc rw\n24 1 259:3 / / rw,relatime shared:1 - ext4 /dev/root rw\n",
        ),
        ("/sys/class/dmi/id/sys_vendor", "QEMU\n"),
        ("/sys/class/dmi/id/product_name", "Standard PC\n"),
        ("/sys/class/dmi/id/product_uuid", "4c4c4544-0042\n"),
        ("/sys/block/nvme0n1/size", "1000215216\n"),
        ("/sys/block/nvme0n1/wwid", "eui.002538b801400d1c\n"),
        ("/sys/block/nvme0n1/device/model", "Samsung SSD 970\n"),
        ("/sys/block/sda/size", "8388608\n"),
        ("/sys/block/sda/device/model", "Ultra Fit\n"),
        ("/sys/block/sdb/size", "0\n"),
        ("/sys/block/loop0/size", "100\n"),
        ("/sys/class/net/enp1s0/address", "52:54:00:12:34:56\n"),
        ("/sys/class/net/enp1s0/device/vendor", "0x8086\n"),
        ("/sys/class/net/enx1/address", "02:00:00:00:00:01\n"),
        ("/sys/class/net/enx1/device/bInterfaceNumber", "00\n"),
        ("/sys/class/net/wlp2s0/address", "02:00:00:00:00:02\n"),
        ("/sys/class/net/wlp2s0/device/vendor", "0x8086\n"),
        ("/sys/class/net/wlp2s0/phy80211/name", "phy0\n"),
        ("/sys/class/net/lo/address", "00:00:00:00:00:00\n"),
        ("/sys/class/net/virbr0/address", "52:54:00:ff:ff:ff\n"),
        ("/sys/firmware/efi/fw_platform_size", "64\n"),
        ("/sys/dev/block/README", ""),
    ] {
        bench.put(path, text);
    }
    symlink(
        "../../devices/pci0000:00/0000:00:1d.0/nvme/nvme0/nvme0n1/nvme0n1p3",
        bench.at("/sys/dev/block/259:3"),
    )
    .expect("linked");
    for (card, bus) in [("enp1s0", "pci"), ("enx1", "usb"), ("wlp2s0", "pci")] {
        symlink(
            format!("../../../../bus/{bus}"),
            bench.at(&format!("/sys/class/net/{card}/device/subsystem")),
        )
        .expect("linked");
    }
    let survey = bench.host.survey();
    let system = &survey.system;
    assert_eq!(system.release, "Debian GNU/Linux 13 (trixie)");
    assert_eq!(system.kernel, "6.12.48+deb13-amd64");
    assert_eq!(system.machine, "QEMU Standard PC");
    assert_eq!((&*system.cpu, system.cpus), ("Intel(R) N100", 2));
    assert_eq!(system.memory, 7_954_364 * 1024);
    assert_eq!(
        (&*system.firmware, system.virtualisation.as_deref()),
        ("uefi", Some("kvm"))
    );
    let disks: Vec<(&str, u64, &str)> = system
        .disks
        .iter()
        .map(|disk| (&*disk.path, disk.bytes, &*disk.model))
        .collect();
    assert_eq!(
        disks,
        [
            ("/dev/nvme0n1", 512_110_190_592, "Samsung SSD 970"),
            ("/dev/sda", 4 << 30, "Ultra Fit"),
        ]
    );
    let names: Vec<&str> = system.interfaces.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["enp1s0", "enx1", "wlp2s0"]);
    assert_eq!(survey.ids["root disk"], "eui.002538b801400d1c");
    assert_eq!(survey.ids["product_uuid"], "4c4c4544-0042");
    let macs = survey.ids.keys().filter(|id| id.starts_with("mac "));
    assert_eq!(macs.collect::<Vec<_>>(), ["mac 52:54:00:12:34:56"]);
    bench.done();
}

#[test]
fn a_machine_that_tells_nothing_is_described_all_the_same() {
    let bench = Bench::new(&[("systemd-detect-virt --vm", 1, "none\n")]);
    let system = bench.host.survey().system;
    assert_eq!((&*system.flavour, &*system.firmware), ("debian", "bios"));
    assert_eq!(
        (system.virtualisation, system.disks, system.cpus),
        (None, vec![], 0)
    );
}

#[test]
fn a_phase_that_was_mended_is_no_longer_listed_as_failed() {
    let bench = Bench::new(&[(
        "systemctl reset-failed clawdie-firstboot-early.service",
        0,
        "",
    )]);
    bench
        .host
        .forget_failure(crate::journal::Phase::Early)
        .expect("forgotten");
    bench.done();
}

#[test]
fn a_diagnosis_keeps_what_a_failing_program_says() {
    let bench = Bench::new(&[
        (
            "systemctl --no-pager --full status colibri-daemon.service",
            3,
            "inactive (dead)\n",
        ),
        (
            "systemctl --no-pager --failed",
            0,
            "0 loaded units listed.\n",
        ),
        (
            "journalctl --unit=clawdie-firstboot-early --unit=clawdie-firstboot-late --unit=colibri-daemon \
             --output=short-iso --lines=5000 --no-pager --quiet",
            0,
            "a line\n",
        ),
        ("df -h", 0, "/dev/sda4\n"),
        ("lsblk", 0, "sda\n"),
        ("ip address", 0, "192.0.2.7\n"),
        ("ip route", 0, ""),
        ("ip -6 route", 0, ""),
        ("uname -a", 0, "Linux\n"),
        ("uptime", 0, "up\n"),
    ]);
    let found = bench.host.diagnose();
    let names: Vec<&str> = found.iter().map(|one| one.name).collect();
    assert_eq!(names, ["services", "log", "disks", "network", "system"]);
    assert!(
        found[0]
            .text
            .contains("status colibri-daemon.service\ninactive (dead)\n")
    );
    assert!(found[1].text.ends_with("--quiet\na line\n\n"));
    bench.done();
}

/// A card of the machine, as sysfs shows it.
fn card(bench: &Bench, name: &str, is_wifi: bool) {
    bench.put(&format!("/sys/class/net/{name}/type"), "1\n");
    fs::create_dir_all(bench.at(&format!("/sys/class/net/{name}/device"))).expect("made");
    if is_wifi {
        fs::create_dir_all(bench.at(&format!("/sys/class/net/{name}/phy80211"))).expect("made");
    }
}

const TRIGGER: (&str, i32, &str) = ("systemctl start systemd-udev-trigger.service", 0, "");
const SETTLE: (&str, i32, &str) = ("udevadm settle --timeout=20", 0, "");
const NOT_YET: (&str, i32, &str) = (
    "systemctl is-active --quiet systemd-networkd.service",
    3,
    "",
);
const WIRED: &str = "/etc/systemd/network/10-clawdie-wired.network";
const WLAN: &str = "/etc/systemd/network/10-clawdie-wifi.network";
const SUPPLICANT: &str = "/etc/wpa_supplicant/wpa_supplicant-wlp2s0.conf";

fn fixed() -> Fixed {
    Fixed {
        address: [192, 168, 1, 50].into(),
        prefix: 24,
        gateway: [192, 168, 1, 1].into(),
    }
}

fn network(fixed: Option<Fixed>, dns: &[[u8; 4]], wifi: Option<&str>) -> Setting {
    Setting::Network(Network {
        fixed,
        dns: dns.iter().map(|server| (*server).into()).collect(),
        wifi: wifi.map(|ssid| Wifi {
            ssid: ssid.into(),
            password: Some("canary horse".into()),
        }),
    })
}

#[test]
fn a_fixed_address_goes_to_the_wired_card_and_dhcp_comes_back_without_it() {
    let bench = Bench::new(&[TRIGGER, NOT_YET]);
    card(&bench, "enp1s0", false);
    card(&bench, "wlp2s0", true);
    bench.put("/sys/class/net/lo/type", "772\n");
    bench.put("/sys/class/net/ve-main/type", "1\n");
    let usual = network(None, &[], None);
    assert!(
        bench.host.holds(&usual).expect("checked"),
        "as the image comes"
    );
    bench.becomes(&network(Some(fixed()), &[], None));
    assert_eq!(
        bench.text(WIRED),
        format!(
            "{}[Match]\nName=enp1s0\n\n[Network]\nDHCP=no\nAddress=192.168.1.50/24\nDNS=192.168.1.1\n\n\
             [Route]\nGateway=192.168.1.1\n\n[DHCPv4]\nUseDomains=yes\n\n[Link]\nRequiredForOnline=no\n",
            crate::host::own_file::MARK
        )
    );
    assert_eq!(bench.mode(WIRED), 0o644);
    bench.host.machine.processes.then(NOT_YET.0, NOT_YET.1, "");
    bench.becomes(&usual);
    assert!(!bench.at(WIRED).exists());
    bench.done();
}

#[test]
fn of_several_cards_the_one_with_a_cable_is_taken_else_the_first() {
    for (carrier, chosen) in [(Some("enp2s0"), "enp2s0"), (None, "enp1s0")] {
        let bench = Bench::new(&[
            ("ip link set dev enp1s0 up", 0, ""),
            ("ip link set dev enp2s0 up", 0, ""),
        ]);
        for name in ["enp1s0", "enp2s0"] {
            card(&bench, name, false);
            let has = u8::from(carrier == Some(name));
            bench.put(
                &format!("/sys/class/net/{name}/carrier"),
                &format!("{has}\n"),
            );
        }
        let cards = ["enp1s0", "enp2s0"].map(str::to_owned);
        let found = bench.host.choose_wired(&cards, 1).expect("looked");
        assert_eq!(found.as_deref(), Some(chosen));
        bench.done();
    }
}

#[test]
fn wifi_is_joined_by_a_file_that_root_alone_may_read() {
    let unit = "wpa_supplicant@wlp2s0.service";
    let link = format!("/etc/systemd/system/multi-user.target.wants/{unit}");
    let bench = Bench::new(&[TRIGGER]);
    card(&bench, "enp1s0", false);
    card(&bench, "wlp2s0", true);
    let enable = format!("systemctl enable --quiet --no-reload {unit}");
    let put = bench.at(&link);
    let played = &bench.host.machine.processes;
    played.does(&enable, move || {
        fs::create_dir_all(put.parent().expect("a folder")).expect("made");
        symlink("/usr/lib/systemd/system/wpa_supplicant@.service", &put).expect("linked");
    });
    played.then(&format!("systemctl --no-block restart {unit}"), 0, "");
    played.then(NOT_YET.0, NOT_YET.1, "");
    let setting = network(None, &[[9, 9, 9, 9]], Some("Home"));
    bench.becomes(&setting);
    assert_eq!(bench.mode(SUPPLICANT), 0o600);
    let text = bench.text(SUPPLICANT);
    assert!(
        text.contains("ssid=486f6d65\n") && !text.contains("canary"),
        "{text}"
    );
    let text = bench.text(WLAN);
    assert!(
        text.contains("Name=wlp2s0\n") && text.contains("RouteMetric=600\n"),
        "{text}"
    );
    // Name servers are for the wire as well.
    let text = bench.text(WIRED);
    assert!(
        text.contains("Name=en* eth*\n") && text.contains("DNS=9.9.9.9\n"),
        "{text}"
    );
    assert!(
        text.contains("[DHCPv4]\nUseDomains=yes\nUseDNS=no\n"),
        "{text}"
    );
    assert!(!format!("{setting:?} {setting}").contains("canary"));

    // An edit that drops it, with networkd running: by hand, or from the wizard.
    let disable = format!("systemctl disable --quiet --no-reload {unit}");
    let gone = bench.at(&link);
    played.does(&disable, move || fs::remove_file(&gone).expect("removed"));
    played.then(&format!("systemctl --no-block stop {unit}"), 0, "");
    played.then(NOT_YET.0, 0, "");
    played.then("networkctl reload", 0, "");
    bench.becomes(&network(None, &[], None));
    for path in [SUPPLICANT, WLAN, WIRED] {
        assert!(!bench.at(path).exists(), "{path}");
    }
    bench.done();
}

#[test]
fn without_a_card_or_over_another_s_file_the_network_is_left_as_it_is() {
    let bench = Bench::new(&[TRIGGER, SETTLE]);
    card(&bench, "enp1s0", false);
    let setting = network(None, &[], Some("Home"));
    assert!(!bench.host.holds(&setting).expect("checked"));
    let error = bench.host.apply(&setting).expect_err("no card").to_string();
    assert!(
        error.contains("no Wi-Fi card") && error.contains("firmware"),
        "{error}"
    );
    bench.done();

    let bench = Bench::new(&[TRIGGER]);
    card(&bench, "wlp2s0", true);
    bench.put(SUPPLICANT, "# mine\n");
    let error = bench
        .host
        .apply(&setting)
        .expect_err("another's")
        .to_string();
    assert!(
        error.contains(SUPPLICANT) && error.contains("not first boot's"),
        "{error}"
    );
    assert_eq!(bench.text(SUPPLICANT), "# mine\n");
    bench.done();
}

/// Runs the real networkd over the folder `$1`, with a card whose other end lies in the same room, and shows what came.
///
/// With a read-only /sys it does not wait for udev to know the card.
const NETWORKD: &str = r#"
mount -t sysfs -o ro sysfs /sys
mount -t tmpfs tmpfs /etc/systemd/network
cp "$1"/* /etc/systemd/network/
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/netif
chown systemd-network:systemd-network /run/systemd/netif
ip link add enp1s0 type veth peer name far
ip link set far up
timeout 60 /usr/lib/systemd/systemd-networkd &
networkd=$!
tries=0
while [ -z "$(ip route)" ] && [ $((tries += 1)) -lt 100 ]; do sleep 0.25; done
ip -4 -oneline address show dev enp1s0
ip route
kill "$networkd"
"#;

/// Where it can be run: root, and a network of its own.
#[test]
fn networkd_itself_takes_our_file_before_the_image_s() {
    let room = ["--net", "--mount", "--propagation", "private"];
    let unshare = || {
        let mut command = std::process::Command::new("unshare");
        command.args(room);
        command
    };
    let has_room = unshare().args(["ip", "link"]).output();
    if !has_room.is_ok_and(|output| output.status.success())
        || !Path::new("/usr/lib/systemd/systemd-networkd").exists()
    {
        println!("NOT CHECKED: needs root, ip and systemd-networkd");
        return;
    }
    let bench = Bench::new(&[TRIGGER, NOT_YET]);
    card(&bench, "enp1s0", false);
    bench.becomes(&network(Some(fixed()), &[[9, 9, 9, 9]], None));
    bench.put(
        "/etc/systemd/network/80-wired.network",
        include_str!("../../../../overlays/debian/etc/systemd/network/80-wired.network"),
    );
    let output = unshare()
        .args(["sh", "-euc", NETWORKD, "sh"])
        .arg(bench.at("/etc/systemd/network"))
        .output()
        .expect("run");
    let shown = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(shown.contains("inet 192.168.1.50/24"), "{shown}{said}");
    assert!(
        shown.contains("default via 192.168.1.1 dev enp1s0"),
        "{shown}{said}"
    );
    for complaint in ["Unknown", "Failed to parse", "ignoring"] {
        assert!(!said.contains(complaint), "{said}");
    }
}

#[test]
fn the_clock_is_set_by_date_and_only_forward() {
    let later = Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let line = format!("date --set=@{}", later.as_second());
    let bench = Bench::new(&[(&line, 0, "")]);
    let setting = Setting::ClockNotBefore(later);
    assert!(!bench.host.holds(&setting).expect("checked"));
    bench.host.apply(&setting).expect("set");
    let earlier = Setting::ClockNotBefore(later - jiff::SignedDuration::from_hours(2));
    assert!(bench.host.holds(&earlier).expect("checked"));
    bench.done();

    assert_eq!(bench.host.installed_at().expect("asked"), None);
    bench.put("/usr/local/bin/clawdie-firstboot", "");
    let at = bench.host.installed_at().expect("asked").expect("a time");
    assert!((Timestamp::now() - at).get_seconds() < 60);
}
