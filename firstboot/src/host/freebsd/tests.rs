//! The FreeBSD host over a folder and played programs: which commands it gives, and which files it leaves.
//!
//! No transcript here was recorded: all are put together from the programs' sources, see `transcripts/README.md`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use secrecy::SecretString;

use super::*;
use crate::host::network::Cards as _;
use crate::host::played::Played;
use crate::host::{Fixed, Network, Wifi};

const GEOM: &str = "sysctl -n kern.geom.confxml";
const STICKS: &str = include_str!("transcripts/geom-stick-and-others.xml");
const MOUNTS: &str = include_str!("transcripts/mount.txt");
const ROOT_ALONE: &str = "/dev/gpt/rootfs\t\t/\t\t\tufs\trw,noatime \t1 1\n";

/// The accounts of a fresh base: root without a password.
const FRESH: &str = "root::0:0::0:0:Charlie &:/root:/bin/sh";
const ROOT_WITHOUT_PASSWORD: &str = "pw usermod -n root -h -";
const LOCKED: &str = "root:*LOCKED*:0:0::0:0:Charlie &:/root:/bin/sh";
const COLIBRI: &str =
    "colibri:*:820:820::0:0:Colibri control plane:/var/db/colibri:/usr/sbin/nologin";

const COLIBRI_USERADD: &str = "pw useradd -n colibri -u 820 -c Colibri control plane -g colibri -d /var/db/colibri -s /usr/sbin/nologin -w no";
const ADA_USERADD: &str =
    "pw useradd -n ada -c Operator -g ada -G colibri -m -M 0700 -s /bin/sh -w no";

/// A host in a temporary folder, with the tables of a fresh base.
struct Bench {
    folder: tempfile::TempDir,
    host: Freebsd<Played>,
}

impl Bench {
    fn new(transcript: &[(&str, i32, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let bench = Self {
            host: Freebsd::new(folder.path(), Played::new(transcript)),
            folder,
        };
        bench.put("/etc/master.passwd", &format!("{FRESH}\n"));
        bench.put("/etc/group", "wheel:*:0:root\noperator:*:5:root\n");
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

    /// What a program does: puts a text into a file of this bench.
    fn puts(&self, path: &str, text: &str) -> impl Fn() + use<> {
        let (at, text) = (self.at(path), text.to_owned());
        move || fs::write(&at, &text).expect("written")
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn mode(&self, path: &str) -> u32 {
        let meta = fs::metadata(self.at(path)).expect("there");
        meta.permissions().mode() & 0o7777
    }

    fn played(&self) -> &Played {
        &self.host.machine.processes
    }

    #[track_caller]
    fn holds(&self, setting: &Setting) -> bool {
        self.host.holds(setting).expect("checked")
    }

    #[track_caller]
    fn done(&self) {
        self.played().done();
    }

    /// Ada's line as `pw useradd` leaves it, with our own number, so that tests may own her files.
    fn ada(&self) -> String {
        let uid = fs::metadata(self.folder.path())
            .expect("there")
            .uid()
            .max(1001);
        format!("ada:*:{uid}:{uid}::0:0:Operator:/home/ada:/bin/sh")
    }

    /// The machine after first boot has made Ada.
    fn with_ada(transcript: &[(&str, i32, &str)]) -> Self {
        let bench = Self::new(transcript);
        bench.put(
            "/etc/master.passwd",
            &format!("{LOCKED}\n{COLIBRI}\n{}\n", bench.ada()),
        );
        bench.put(
            "/etc/group",
            "wheel:*:0:root,ada\ncolibri:*:820:ada\nada:*:1001:\n",
        );
        bench
    }
}

fn account(login: &str) -> Setting {
    Setting::Account {
        login: login.into(),
    }
}

#[test]
fn root_is_locked_by_pw_and_only_then_counts_as_locked() {
    let show = "pw usershow -n root";
    let bench = Bench::new(&[(show, 0, FRESH)]);
    assert!(!bench.holds(&Setting::RootLocked), "the text says so");
    // Without this, `pw unlock root` would open root to everybody one day.
    bench.played().then(ROOT_WITHOUT_PASSWORD, 0, "");
    bench.played().does(
        "pw lock root",
        bench.puts("/etc/master.passwd", &format!("{LOCKED}\n")),
    );
    bench.host.apply(&Setting::RootLocked).expect("locked");
    // What login reads is asked as well.
    bench.played().then(show, 0, FRESH);
    assert!(!bench.holds(&Setting::RootLocked));
    bench.played().then(show, 0, LOCKED);
    assert!(bench.holds(&Setting::RootLocked));
    bench.done();
}

#[test]
fn text_and_database_that_a_cut_left_apart_are_made_one_first() {
    let show = "pw usershow -n root";
    // pwd_mkdb puts the databases in place before the text: root is open in the text and locked for login.
    let bench = Bench::new(&[
        (show, 0, LOCKED),
        ("pwd_mkdb -p /etc/master.passwd", 0, ""),
        (show, 0, FRESH),
        (ROOT_WITHOUT_PASSWORD, 0, ""),
        ("pw lock root", 0, ""),
    ]);
    bench.host.apply(&Setting::RootLocked).expect("locked");
    bench.done();

    // Where there is a password, the admin of an older host may want it back.
    let hash = FRESH.replace("root::", "root:$6$salt$hash:");
    let bench = Bench::new(&[(show, 0, &hash), ("pw lock root", 0, "")]);
    bench.put("/etc/master.passwd", &format!("{hash}\n"));
    bench.host.apply(&Setting::RootLocked).expect("locked");
    bench.done();

    // A torn database knows nobody. pw would call it an error to lock what is locked already.
    let bench = Bench::new(&[
        (show, 67, ""),
        ("pwd_mkdb -p /etc/master.passwd", 0, ""),
        (show, 0, LOCKED),
    ]);
    bench.put("/etc/master.passwd", &format!("{LOCKED}\n"));
    bench.host.apply(&Setting::RootLocked).expect("made good");
    bench.done();
}

#[test]
fn another_exit_than_no_such_user_is_an_error_and_not_an_absence() {
    let bench = Bench::new(&[("pw usershow -n ada", 74, "")]);
    let error = bench.host.holds(&account("ada")).expect_err("an error");
    assert!(error.to_string().contains("exit 74"), "{error}");
    bench.done();
}

#[test]
fn the_system_s_own_accounts_are_never_taken() {
    for line in [
        "operator:*:2:5::0:0:System &:/:/usr/sbin/nologin",
        "nobody:*:65534:65534::0:0:Unprivileged user:/nonexistent:/usr/sbin/nologin",
    ] {
        let login = line.split(':').next().expect("a name");
        let bench = Bench::new(&[(&format!("pw usershow -n {login}"), 0, line)]);
        let error = bench.host.holds(&account(login)).expect_err("refused");
        assert!(
            error.to_string().contains("choose another `OPERATOR_USER`"),
            "{error}"
        );
    }
}

/// Files of the image belong to the recipe's number before anybody has it.
#[test]
fn colibri_s_account_is_the_recipe_s() {
    let recipe: toml::Table = include_str!("../../../../image/freebsd.toml")
        .parse()
        .expect("the recipe");
    let user = &recipe["users"][0];
    let word = |key: &str| user[key].as_str().expect("a word").to_owned();
    let name = word("name");
    assert_eq!(user["uid"], user["gid"]);
    assert_eq!(
        COLIBRI_USERADD,
        format!(
            "pw useradd -n {name} -u {} -c {} -g {name} -d {} -s {} -w no",
            user["uid"],
            word("comment"),
            word("home"),
            word("shell")
        )
    );
}

#[test]
fn a_fresh_image_gets_colibri_s_account_and_the_operator_s() {
    let bench = Bench::new(&[("pw usershow -n ada", 67, "")]);
    let ada = bench.ada();
    assert!(!bench.holds(&account("ada")));
    let played = bench.played();
    let group = "wheel:*:0:root\ncolibri:*:820:\n";
    played.does(
        "pw groupadd -n colibri -g 820",
        bench.puts("/etc/group", group),
    );
    played.then("pw usershow -n colibri", 67, "");
    played.then(COLIBRI_USERADD, 0, "");
    played.then("pw usershow -n ada", 67, "");
    let group = "wheel:*:0:root\ncolibri:*:820:\nada:*:1001:\n";
    played.does("pw groupadd -n ada", bench.puts("/etc/group", group));
    let tables = [
        bench.puts(
            "/etc/group",
            &group.replace("colibri:*:820:", "colibri:*:820:ada"),
        ),
        bench.puts(
            "/etc/master.passwd",
            &format!("{LOCKED}\n{COLIBRI}\n{ada}\n"),
        ),
    ];
    played.does(ADA_USERADD, move || tables.iter().for_each(|put| put()));
    played.then("pw usershow -n ada", 0, &ada);
    bench.host.apply(&account("ada")).expect("made");
    assert_eq!(bench.mode("/home/ada"), 0o700);
    played.then("pw usershow -n ada", 0, &ada);
    played.then("pw usershow -n colibri", 0, COLIBRI);
    assert!(bench.holds(&account("ada")));
    bench.done();
}

#[test]
fn an_account_cut_short_gets_what_it_lacks() {
    // A cut after the tables were written and before the home was made; the group's file did not get that far either.
    let bench = Bench::with_ada(&[("pw usershow -n colibri", 0, COLIBRI)]);
    let ada = bench.ada();
    bench.put(
        "/etc/group",
        "wheel:*:0:root\ncolibri:*:820:\nada:*:1001:\n",
    );
    // And login does not know her yet.
    bench.played().then("pw usershow -n ada", 67, "");
    bench.played().then("pwd_mkdb -p /etc/master.passwd", 0, "");
    bench.played().then("pw usershow -n ada", 0, &ada);
    bench.played().then("pw groupmod -n colibri -m ada", 0, "");
    bench.played().then("pw usershow -n ada", 0, &ada);
    bench.host.apply(&account("ada")).expect("made good");
    assert_eq!(bench.mode("/home/ada"), 0o700);
    bench.done();
}

#[test]
fn the_service_account_has_the_number_that_the_image_s_files_have() {
    let recipe = concat!(env!("CARGO_MANIFEST_DIR"), "/../image/debian.toml");
    let recipe = fs::read_to_string(recipe).expect("read");
    assert!(recipe.contains("name = \"colibri\"\nuid = 820\ngid = 820\n"));
    assert!(COLIBRI_USERADD.contains(" -u 820 "));
}

#[test]
fn a_password_goes_through_standard_input_only() {
    let bench = Bench::with_ada(&[]);
    let ada = bench.ada();
    let show = "pw usershow -n ada";
    let setting = Setting::Password {
        login: "ada".into(),
        password: SecretString::from("pa:ss \"word"),
    };
    for (line, has_one) in [
        (ada.clone(), false),
        (ada.replace(":*:", ":*LOCKED*$6$abc:"), false),
        (ada.replace(":*:", ":$6$abc$def:"), true),
    ] {
        bench.played().then(show, 0, &line);
        assert_eq!(bench.holds(&setting), has_one, "{line}");
    }
    bench.played().then(show, 0, &ada);
    bench.played().then("pw usermod -n ada -h 0", 0, "");
    bench.host.apply(&setting).expect("set");
    assert_eq!(bench.played().inputs(), ["pa:ss \"word\n"]);
    assert!(!format!("{setting:?} {setting}").contains("pa:ss"));
    bench.done();
}

#[test]
fn keys_are_added_and_those_of_others_stay() {
    let show = "pw usershow -n ada";
    let bench = Bench::with_ada(&[]);
    if bench.at("/").metadata().expect("there").uid() < 1001 && !nix::unistd::geteuid().is_root() {
        return;
    }
    bench.put("/home/ada/.ssh/authorized_keys", "ssh-ed25519 AAAAold old");
    let setting = Setting::AuthorizedKeys {
        login: "ada".into(),
        keys: vec!["ssh-ed25519 AAAAnew new".into()],
    };
    for _ in 0..3 {
        bench.played().then(show, 0, &bench.ada());
    }
    assert!(!bench.holds(&setting));
    bench.host.apply(&setting).expect("installed");
    assert!(bench.holds(&setting));
    assert_eq!(
        bench.text("/home/ada/.ssh/authorized_keys"),
        "ssh-ed25519 AAAAold old\nssh-ed25519 AAAAnew new\n"
    );
    assert_eq!(bench.mode("/home/ada/.ssh/authorized_keys"), 0o600);
    bench.done();
}

/// The image's own lines, which the kernel is asked about and which the operator is told to put back.
const SYSCTL_CONF: &str = include_str!("../../../../overlays/freebsd/etc/sysctl.conf");
const LOADER_CONF: &str = include_str!("../../../../overlays/freebsd/boot/loader.conf");

#[test]
fn the_operator_becomes_root_as_a_member_of_wheel() {
    let rule_line = SYSCTL_CONF
        .lines()
        .find(|line| line.starts_with("security.mac.do.rules="))
        .expect("the image's rule");
    let module_line = LOADER_CONF
        .lines()
        .find(|line| line.starts_with("mac_do_load="))
        .expect("the image's module");
    let rules = "sysctl -n security.mac.do.rules";
    let bench = Bench::with_ada(&[]);
    bench.put("/etc/group", "wheel:*:0:root\nada:*:1001:\n");
    let setting = Setting::Administrator {
        login: "ada".into(),
        by: bench.host.become_root(true),
    };
    assert_eq!(setting.to_string(), "mdo for `ada`, without a password");
    assert!(!bench.holds(&setting));
    let group = "wheel:*:0:root,ada\nada:*:1001:\n";
    bench.played().does(
        "pw groupmod -n wheel -m ada",
        bench.puts("/etc/group", group),
    );
    let (_, rule) = rule_line.split_once('=').expect("a value");
    bench.played().then(rules, 0, rule);
    bench.host.apply(&setting).expect("a member");
    bench.played().then(rules, 0, rule);
    assert!(bench.holds(&setting));

    // A kernel without the module, or an admin who took the rule away: told, with what to write where.
    bench.played().then(rules, 1, "");
    assert!(!bench.holds(&setting));
    bench.played().then(rules, 0, "uid=1001>uid=1002\n");
    let error = bench.host.apply(&setting).expect_err("no rule");
    for line in [rule_line, module_line] {
        assert!(error.to_string().contains(line), "{error}");
    }
    bench.done();
}

#[test]
fn the_host_name_reaches_kernel_rc_conf_and_hosts_table() {
    let bench = Bench::new(&[]);
    bench.put(
        "/etc/rc.conf",
        "hostname=\"clawdie\"\nsshd_enable=\"YES\"\n",
    );
    bench.put(
        "/etc/hosts",
        "::1\tlocalhost\n127.0.0.1\tlocalhost\n192.0.2.1 nas\n",
    );
    let setting = Setting::HostName("otter".into());
    let played = bench.played();
    assert!(!bench.holds(&setting), "the hosts table lacks it");
    played.then("sysrc -i -n hostname", 0, "clawdie\n");
    let copy = bench.at("/etc/.rc.conf.new");
    let edited = "hostname=\"otter\"\nsshd_enable=\"YES\"\n";
    played.does(
        &format!("sysrc -f {} hostname=otter", copy.display()),
        bench.puts("/etc/.rc.conf.new", edited),
    );
    played.then("sysrc -i -n hostname", 0, "otter\n");
    played.then("/bin/hostname otter", 0, "");
    bench.host.apply(&setting).expect("named");
    assert_eq!(bench.text("/etc/rc.conf"), edited);
    assert!(!copy.exists(), "the copy took the file's place");
    assert_eq!(
        bench.text("/etc/hosts"),
        "::1\tlocalhost\n127.0.0.1\tlocalhost\n192.0.2.1 nas\n127.0.0.1\t\totter # this machine\n"
    );
    played.then("sysrc -i -n hostname", 0, "otter\n");
    played.then("/bin/hostname", 0, "otter\n");
    assert!(bench.holds(&setting));

    // Another name later: our line is exchanged, and rc.conf is not written when it says so already.
    played.then("sysrc -i -n hostname", 0, "beaver\n");
    played.then("/bin/hostname beaver", 0, "");
    bench
        .host
        .apply(&Setting::HostName("beaver".into()))
        .expect("named");
    assert_eq!(
        bench.text("/etc/hosts").matches("# this machine").count(),
        1
    );
    bench.done();
}

#[test]
fn rc_conf_is_whole_when_sysrc_fails_and_when_another_file_wins() {
    let bench = Bench::new(&[]);
    bench.put("/etc/rc.conf", "sshd_enable=\"YES\"\n");
    bench.put("/usr/share/vt/keymaps/de.kbd", "");
    let setting = Setting::Keymap("de".into());
    let edit = format!(
        "sysrc -f {} keymap=de",
        bench.at("/etc/.rc.conf.new").display()
    );
    bench.played().then(&edit, 1, "");
    let error = bench.host.apply(&setting).expect_err("failed");
    assert!(error.to_string().contains("exit 1"), "{error}");
    assert_eq!(bench.text("/etc/rc.conf"), "sshd_enable=\"YES\"\n");
    assert!(!bench.at("/etc/.rc.conf.new").exists());

    bench.played().then(&edit, 0, "keymap: NO -> de\n");
    bench.played().then("sysrc -i -n keymap", 0, "us\n");
    let error = bench.host.apply(&setting).expect_err("overruled");
    assert!(error.to_string().contains("/etc/rc.conf.local"), "{error}");
    bench.done();
}

#[test]
fn a_keyboard_layout_must_be_on_the_image() {
    let bench = Bench::new(&[
        ("sysrc -i -n keymap", 0, "NO\n"),
        ("sysrc -i -n keymap", 1, ""),
        ("sysrc -i -n keymap", 0, "de\n"),
    ]);
    assert!(bench.holds(&Setting::Keymap("us".into())));
    assert!(!bench.holds(&Setting::Keymap("de".into())));
    assert!(bench.holds(&Setting::Keymap("de".into())));
    for absent in ["gb", "../../../etc/master"] {
        let error = bench
            .host
            .apply(&Setting::Keymap(absent.into()))
            .expect_err("no data");
        assert!(
            error.to_string().contains("/usr/share/vt/keymaps"),
            "{error}"
        );
    }
    bench.done();
}

#[test]
fn a_time_zone_is_linked_by_tzsetup() {
    let bench = Bench::new(&[]);
    bench.put("/usr/share/zoneinfo/Europe/Ljubljana", "TZif2...");
    assert!(bench.holds(&Setting::TimeZone("UTC".into())));
    let setting = Setting::TimeZone("Europe/Ljubljana".into());
    assert!(!bench.holds(&setting));
    let link = bench.at("/etc/localtime");
    bench.played().does("tzsetup -s Europe/Ljubljana", move || {
        symlink("/usr/share/zoneinfo/Europe/Ljubljana", &link).expect("linked");
    });
    bench.host.apply(&setting).expect("set");
    assert!(bench.holds(&setting));
    let error = bench
        .host
        .apply(&Setting::TimeZone("Europe/Nowhere".into()))
        .expect_err("refused");
    assert!(error.to_string().contains("`tzsetup`"), "{error}");
    bench.done();
}

#[test]
fn a_locale_is_set_for_all_logins_without_a_database_that_a_cut_could_tear() {
    let bench = Bench::new(&[]);
    bench.put(
        "/etc/login.conf",
        "default:\\\n\t:umask=022:\\\n\t:lang=C.UTF-8:\n",
    );
    bench.put("/etc/login.conf.db", "made from the text");
    assert!(bench.holds(&Setting::Locale("C.UTF-8".into())));
    assert!(bench.at("/etc/login.conf.db").exists(), "nothing to change");
    let setting = Setting::Locale("sl_SI.UTF-8".into());
    for absent in ["sl_SI.UTF-8", "../../etc"] {
        let error = bench
            .host
            .apply(&Setting::Locale(absent.into()))
            .expect_err("not on the image");
        assert!(error.to_string().contains("`LOCALE=C.UTF-8`"), "{error}");
    }
    bench.put("/usr/share/locale/sl_SI.UTF-8/LC_CTYPE", "");
    bench.host.apply(&setting).expect("set");
    assert!(bench.holds(&setting));
    assert!(!bench.at("/etc/login.conf.db").exists());
    bench.done();
}

#[test]
fn seeds_are_found_by_every_name_and_the_boot_disk_s_comes_first() {
    let bench = Bench::new(&[("mount -p", 0, MOUNTS), (GEOM, 0, STICKS)]);
    let found: Vec<(String, bool)> = bench
        .host
        .volumes()
        .expect("listed")
        .into_iter()
        .map(|volume| (volume.device, volume.on_boot_disk))
        .collect();
    // The second stick has the first one's GPT name, for which /dev/gpt has no place any more.
    assert_eq!(
        found,
        [
            ("/dev/da0p1".into(), true),
            ("/dev/da1p1".into(), false),
            ("/dev/da2".into(), false)
        ]
    );
    bench.done();
}

#[test]
fn the_seed_is_mounted_where_only_root_can_look() {
    let bench = Bench::new(&[
        ("mount -p", 0, ROOT_ALONE),
        (
            "mount_msdosfs -o ro -o nosuid -o noexec -u 0 -g 0 -m 700 -M 700 /dev/da0p1 /var/run/clawdie/seed",
            0,
            "",
        ),
        // Left mounted by a run that was killed.
        ("mount -p", 0, MOUNTS),
        ("umount /var/run/clawdie/seed", 0, ""),
        (
            "mount_msdosfs -o rw -o nosuid -o noexec -u 0 -g 0 -m 700 -M 700 /dev/da0p1 /var/run/clawdie/seed",
            0,
            "",
        ),
        ("mount -p", 0, ROOT_ALONE),
    ]);
    let volume = Volume {
        device: "/dev/da0p1".into(),
        label: None,
        gpt_name: None,
        on_boot_disk: true,
    };
    bench
        .host
        .mount_seed(&volume, Access::ReadOnly)
        .expect("mounted");
    assert_eq!(
        (
            bench.mode("/var/run/clawdie"),
            bench.mode("/var/run/clawdie/seed")
        ),
        (0o700, 0o700)
    );
    bench
        .host
        .mount_seed(&volume, Access::ReadWrite)
        .expect("mounted");
    bench.host.unmount_seed().expect("nothing to do");
    bench.done();
}

fn fresh_root() -> RootDisk {
    RootDisk {
        disk: "/dev/da0".into(),
        partition: "/dev/da0p4".into(),
        number: 4,
        last: true,
        disk_bytes: 4 << 30,
        start: 100 << 20,
        table_bytes: 600 << 20,
        kernel_bytes: 600 << 20,
        file_system_bytes: 600 << 20,
        unused_bytes: 5065 * 4096,
    }
}

#[test]
fn the_root_s_disk_is_read_from_geom_and_superblock() {
    let dumpfs = include_str!("transcripts/dumpfs-fresh.txt");
    let stretched = include_str!("transcripts/geom-stretched.xml");
    let bench = Bench::new(&[
        ("mount -p", 0, ROOT_ALONE),
        (GEOM, 0, STICKS),
        ("dumpfs -s /dev/gpt/rootfs", 0, dumpfs),
        ("mount -p", 0, ROOT_ALONE),
        (GEOM, 0, stretched),
        ("dumpfs -s /dev/gpt/rootfs", 0, dumpfs),
    ]);
    let root = bench.host.root_disk().expect("read").expect("a disk");
    assert_eq!(root, fresh_root());
    // After a cut between gpart and growfs: the kernel reads the table at each boot.
    let root = bench.host.root_disk().expect("read").expect("a disk");
    assert_eq!(root.table_bytes, 4_190_089_216);
    assert_eq!(root.kernel_bytes, root.table_bytes);
    assert_eq!(root.file_system_bytes, 600 << 20);
    bench.done();
}

#[test]
fn a_root_on_something_else_than_a_gpt_partition_is_left_alone() {
    let bench = Bench::new(&[
        ("mount -p", 0, "zroot/ROOT/default\t/\tzfs\trw\t0 0\n"),
        ("mount -p", 0, "/dev/mirror/gm0p2\t/\tufs\trw\t1 1\n"),
        (GEOM, 0, STICKS),
        ("mount -p", 0, ROOT_ALONE),
        (GEOM, 0, &STICKS.replace("<scheme>GPT", "<scheme>MBR")),
    ]);
    for _ in 0..3 {
        assert_eq!(bench.host.root_disk().expect("read"), None);
    }
    bench.done();
}

#[test]
fn growing_gives_these_commands() {
    let bench = Bench::new(&[
        ("gpart recover da0", 0, "da0 recovered\n"),
        ("gpart resize -i 4 da0", 0, "da0p4 resized\n"),
        ("sync", 0, ""),
        ("sleep 2", 0, ""),
        ("sync", 0, ""),
        ("sleep 2", 0, ""),
        (
            "growfs -y /",
            0,
            "super-block backups (for fsck_ffs -b #) at:\n",
        ),
    ]);
    let root = fresh_root();
    for step in [GrowMove::Partition, GrowMove::FileSystem] {
        bench.host.grow(&root, step).expect("grown");
    }
    let error = bench
        .host
        .grow(&root, GrowMove::Kernel)
        .expect_err("refused");
    assert!(error.to_string().contains("the next start"), "{error}");
    bench.done();
}

#[test]
fn services_are_turned_on_in_rc_conf_and_started_once() {
    let knob = "sysrc -i -n colibri_daemon_enable";
    let bench = Bench::new(&[(knob, 0, "NO\n"), (knob, 1, ""), (knob, 0, "on\n")]);
    bench.put("/etc/rc.conf", "colibri_daemon_enable=\"NO\"\n");
    let setting = Setting::ServiceEnabled(Service::ColibriDaemon);
    assert!(!bench.holds(&setting));
    assert!(!bench.holds(&setting));
    assert!(bench.holds(&setting));
    let edit = format!(
        "sysrc -f {} colibri_daemon_enable=YES",
        bench.at("/etc/.rc.conf.new").display()
    );
    let edited = "colibri_daemon_enable=\"YES\"\n";
    bench
        .played()
        .does(&edit, bench.puts("/etc/.rc.conf.new", edited));
    bench.played().then(knob, 0, "YES\n");
    bench.host.apply(&setting).expect("enabled");
    assert_eq!(bench.text("/etc/rc.conf"), edited);

    let order = |order| bench.host.order(Service::ColibriDaemon, order);
    bench
        .played()
        .then("service colibri_daemon onestatus", 1, "");
    bench.played().then("service colibri_daemon start", 0, "");
    order(Order::Start).expect("ordered");
    bench
        .played()
        .then("service colibri_daemon onestatus", 0, "");
    order(Order::Start).expect("it runs already");
    bench
        .played()
        .then("service colibri_daemon restart", 1, "no");
    let error = order(Order::Restart).expect_err("failed");
    assert!(error.to_string().contains("exit 1"), "{error}");
    bench.done();
}

#[test]
fn every_active_console_gets_the_text() {
    let bench = Bench::new(&[
        (
            "sysctl -n kern.console",
            0,
            "ttyv0,ttyu9,ttyu0,/ttyu0,gdb,ttyv0,\n",
        ),
        ("sysctl -n kern.console", 1, ""),
    ]);
    for console in ["ttyv0", "ttyu0", "gdb", "console"] {
        bench.put(&format!("/dev/{console}"), "");
    }
    bench.host.console("one\ntwo\n");
    assert_eq!(bench.text("/dev/ttyv0"), "one\r\ntwo\r\n");
    assert_eq!(bench.text("/dev/ttyu0"), "one\r\ntwo\r\n");
    assert_eq!(bench.text("/dev/gdb"), "");
    assert!(!bench.at("/dev/ttyu9").exists());
    bench.host.console("three\n");
    assert_eq!(bench.text("/dev/console"), "three\r\n");
    bench.done();
}

#[test]
fn a_boot_is_named_by_the_kernel_s_own_number() {
    let command = "sysctl -nx kern.boot_id";
    let bench = Bench::new(&[
        (
            command,
            0,
            "Format: Length:16 Dump:0x8f3c0a51d2b94e7794c1e0aa03fe6d12\n",
        ),
        (command, 0, "\n"),
    ]);
    assert_eq!(
        bench.host.boot_id().expect("read"),
        "0x8f3c0a51d2b94e7794c1e0aa03fe6d12"
    );
    bench.host.boot_id().expect_err("no number");
    bench.done();
}

#[test]
fn settling_needs_no_folder_to_be_there_and_survives_odd_files() {
    let bench = Bench::new(&[]);
    bench.put("/etc/ssh/ssh_host_rsa_key", "x");
    symlink("/nowhere", bench.at("/etc/localtime")).expect("linked");
    bench.host.settle().expect("settled");
}

#[test]
fn what_is_debian_s_is_refused() {
    let bench = Bench::new(&[]);
    let setting = Setting::Administrator {
        login: "ada".into(),
        by: BecomeRoot::Sudo { ask_password: true },
    };
    assert!(bench.host.holds(&setting).is_err() && bench.host.apply(&setting).is_err());
    assert_eq!(bench.host.paths(), Paths::FREEBSD);
    assert_eq!(bench.host.habits(), Habits::FREEBSD);
}

const BOOTSTRAP: &str =
    "env REPOS_DIR=/usr/local/share/clawdie-iso/packages/repos /usr/sbin/pkg bootstrap -f -y";
const INSTALL: &str =
    "env REPOS_DIR=/usr/local/share/clawdie-iso/packages/repos pkg install -y -r clawdie";

fn packages(names: &[&str]) -> Setting {
    Setting::Packages {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    }
}

#[test]
fn packages_come_from_the_image_and_pkg_comes_first() {
    let setting = packages(&["pkg", "tool"]);
    assert_eq!(setting.to_string(), "packages pkg, tool");
    // A fresh image: the base's bootstrap says no, and is not asked for more than that.
    let bench = Bench::new(&[("pkg -N", 1, "")]);
    assert!(!bench.holds(&setting));
    let install = format!("{INSTALL} tool");
    for (command, status) in [
        ("pkg -N", 1),
        (BOOTSTRAP, 0),
        ("pkg info -e pkg", 0),
        ("pkg info -e tool", 1),
        (&install, 0),
    ] {
        bench.played().then(command, status, "");
    }
    bench.put("/usr/local/bin/tool", "a program");
    bench.played().then(
        "pkg query -a %Fp",
        0,
        "/usr/local/bin/tool\n/usr/local/gone\n",
    );
    bench.host.apply(&setting).expect("installed");
    for command in ["pkg -N", "pkg info -e pkg", "pkg info -e tool"] {
        bench.played().then(command, 0, "");
    }
    assert!(bench.holds(&setting));
    bench.done();
}

#[test]
fn packages_cut_short_are_finished() {
    // pkg is there, and one of two packages.
    let bench = Bench::new(&[
        ("pkg -N", 0, ""),
        ("pkg info -e one", 0, ""),
        ("pkg info -e two", 1, ""),
    ]);
    let setting = packages(&["one", "two"]);
    assert!(!bench.holds(&setting));
    let install = format!("{INSTALL} two");
    for (command, status) in [
        ("pkg -N", 0),
        ("pkg info -e one", 0),
        ("pkg info -e two", 1),
        (&install, 0),
        ("pkg query -a %Fp", 0),
    ] {
        bench.played().then(command, status, "");
    }
    bench.host.apply(&setting).expect("finished");
    bench.done();
}

#[test]
fn a_repository_that_pkg_does_not_believe_is_told() {
    let said = "No trusted public keys found\n";
    let bench = Bench::new(&[("pkg -N", 1, ""), (BOOTSTRAP, 1, said)]);
    let error = bench.host.apply(&packages(&["tool"])).expect_err("refused");
    assert!(
        error.to_string().contains("No trusted public keys"),
        "{error}"
    );
    bench.done();

    let install = format!("{INSTALL} tool");
    let bench = Bench::new(&[
        ("pkg -N", 0, ""),
        ("pkg info -e tool", 1, ""),
        (&install, 1, "the catalogue has been tampered with\n"),
    ]);
    let error = bench.host.apply(&packages(&["tool"])).expect_err("refused");
    assert!(error.to_string().contains("tampered"), "{error}");
    bench.done();
}

#[test]
fn the_kernel_and_the_loader_tell_what_the_machine_is() {
    let bench = Bench::new(&[
        (
            "sysctl -ie kern.osrelease hw.machine_arch hw.model hw.ncpu hw.physmem machdep.bootmethod kern.vm_guest",
            0,
            "kern.osrelease=15.0-RELEASE-p1\nhw.machine_arch=amd64\nhw.model=Intel(R) N100\nhw.ncpu=4\n\
             hw.physmem=8290942976\nmachdep.bootmethod=UEFI\nkern.vm_guest=none\n",
        ),
        (
            "kenv",
            0,
            "boot_serial=\"NO\"\nsmbios.planar.serial=\"PF0X\"\nsmbios.system.maker=\"LENOVO\"\n\
             smbios.system.product=\"M70q\"\nsmbios.system.serial=\"AB12\"\nsmbios.system.uuid=\"4c4c4544-0042\"\n",
        ),
        ("freebsd-version -u", 0, "15.0-RELEASE-p2\n"),
        ("mount -p", 0, MOUNTS),
        (GEOM, 0, STICKS),
        ("ifconfig -a", 0, include_str!("transcripts/ifconfig.txt")),
    ]);
    let survey = bench.host.survey();
    let system = &survey.system;
    assert_eq!(system.release, "FreeBSD 15.0-RELEASE-p2");
    assert_eq!(system.kernel, "15.0-RELEASE-p1");
    assert_eq!(
        (&*system.machine, &*system.architecture),
        ("LENOVO M70q", "amd64")
    );
    assert_eq!(
        (&*system.cpu, system.cpus, system.memory),
        ("Intel(R) N100", 4, 8_290_942_976)
    );
    assert_eq!((&*system.firmware, &system.virtualisation), ("uefi", &None));
    let nda = system.disks.iter().find(|disk| disk.path == "/dev/nda0");
    let nda = nda.expect("the disk inside");
    assert_eq!(
        (nda.bytes, &*nda.model),
        (512_110_190_592, "Samsung SSD 970")
    );
    assert_eq!(system.disks.len(), 4);
    assert_eq!(survey.ids["smbios.system.serial"], "AB12");
    assert!(
        survey.ids.contains_key("root disk"),
        "{:?}",
        survey.ids.keys()
    );
    assert!(survey.ids.contains_key("mac a8:b8:e0:01:02:03"));
    assert!(
        !survey.ids.contains_key("mac 0c:7a:15:aa:bb:cc"),
        "Wi-Fi is made by rc"
    );
    bench.done();
}

#[test]
fn a_diagnosis_holds_our_lines_of_the_system_log_alone() {
    let bench = Bench::new(&[
        (
            "service colibri_daemon onestatus",
            1,
            "colibri_daemon is not running.\n",
        ),
        ("tail -n 2000 /var/log/colibri-daemon.log", 0, "said\n"),
        ("df -h", 0, ""),
        ("gpart show", 0, ""),
        ("ifconfig -a", 0, ""),
        ("netstat -rn", 0, ""),
        ("uname -a", 0, ""),
        ("uptime", 0, ""),
    ]);
    bench.put(
        "/var/log/messages",
        "Nov 26 10:00:00 zoe clawdie-firstboot[99]: early\nNov 26 10:00:01 zoe su: ada to root\n",
    );
    let found = bench.host.diagnose();
    assert!(found[0].text.contains("is not running"));
    assert_eq!(
        (found[1].name, &*found[1].text),
        ("log", "Nov 26 10:00:00 zoe clawdie-firstboot[99]: early\n")
    );
    bench.done();
}

/// What sysrc does to the copy that it is given; the name is that of the copy in this bench.
fn sysrc_copy(bench: &Bench) -> String {
    format!("sysrc -f {}", bench.at("/etc/.rc.conf.new").display())
}

/// A knob is looked up, found otherwise, set and looked up again.
fn sets(bench: &Bench, name: &str, value: &str) {
    let ask = format!("sysrc -i -n {name}");
    bench.played().then(&ask, 1, "");
    bench
        .played()
        .then(&format!("{} {name}={value}", sysrc_copy(bench)), 0, "");
    bench.played().then(&ask, 0, value);
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

const OWN_KNOBS: &str = "/var/db/clawdie/network-knobs";

#[test]
fn a_fixed_address_is_a_few_lines_of_rc_conf_and_goes_without_a_trace() {
    let bench = Bench::new(&[]);
    bench.put("/etc/rc.conf", "hostname=\"x\"\n");
    let usual = network(None, &[], None);
    assert!(bench.holds(&usual), "as the image comes");
    let fixed = Fixed {
        address: [192, 168, 1, 50].into(),
        prefix: 24,
        gateway: [192, 168, 1, 1].into(),
    };
    let setting = network(Some(fixed), &[], None);
    let ask = |name: &str, value: &str| {
        bench
            .played()
            .then(&format!("sysrc -i -n {name}"), 0, value);
    };
    bench.played().then("ifconfig -l ether", 0, "em0 bridge0\n");
    assert!(!bench.holds(&setting));
    bench.played().then("ifconfig -l ether", 0, "em0 bridge0\n");
    sets(&bench, "ifconfig_em0", "inet 192.168.1.50/24");
    sets(&bench, "ifconfig_em0_ipv6", "inet6 accept_rtadv");
    sets(&bench, "defaultrouter", "192.168.1.1");
    bench.played().then("resolvconf -u", 0, "");
    bench.host.apply(&setting).expect("applied");
    bench.done();
    assert_eq!(
        bench.text(OWN_KNOBS),
        "ifconfig_em0\nifconfig_em0_ipv6\ndefaultrouter\n"
    );
    assert!(
        bench
            .text("/etc/resolvconf.conf")
            .ends_with("\nname_servers=\"192.168.1.1\"\n")
    );

    bench.played().then("ifconfig -l ether", 0, "em0\n");
    ask("ifconfig_em0", "inet 192.168.1.50/24");
    ask("ifconfig_em0_ipv6", "inet6 accept_rtadv");
    ask("defaultrouter", "192.168.1.1");
    assert!(bench.holds(&setting));
    bench.done();

    for name in ["ifconfig_em0", "ifconfig_em0_ipv6", "defaultrouter"] {
        bench
            .played()
            .then(&format!("{} -i -x {name}", sysrc_copy(&bench)), 0, "");
    }
    bench.played().then("resolvconf -u", 0, "");
    assert!(!bench.holds(&usual));
    bench.host.apply(&usual).expect("applied");
    assert!(bench.holds(&usual));
    assert_eq!(bench.text(OWN_KNOBS), "");
    assert!(!bench.at("/etc/resolvconf.conf").exists());
    bench.done();
}

#[test]
fn wifi_is_a_card_of_its_own_and_a_link_local_router_needs_it_named() {
    let bench = Bench::new(&[]);
    bench.put("/etc/rc.conf", "");
    let fixed = Fixed {
        address: "2001:db8::5".parse().expect("an address"),
        prefix: 64,
        gateway: "fe80::1".parse().expect("an address"),
    };
    bench
        .played()
        .then("sysctl -in net.wlan.devices", 0, "iwlwifi0\n");
    sets(&bench, "wlans_iwlwifi0", "wlan0");
    sets(&bench, "ifconfig_wlan0", "WPA SYNCDHCP");
    sets(
        &bench,
        "ifconfig_wlan0_ipv6",
        "inet6 2001:db8::5 prefixlen 64",
    );
    sets(&bench, "ipv6_defaultrouter", "fe80::1%wlan0");
    bench.played().then("resolvconf -u", 0, "");
    let setting = network(Some(fixed), &[], Some("Home"));
    bench.host.apply(&setting).expect("applied");
    assert_eq!(bench.mode("/etc/wpa_supplicant.conf"), 0o600);
    let text = bench.text("/etc/wpa_supplicant.conf");
    // The base's wpa_supplicant knows no WPA3 and refuses a file that names it.
    assert!(
        text.contains("key_mgmt=WPA-PSK\n") && !text.contains("sae"),
        "{text}"
    );
    assert!(!text.contains("canary"), "{text}");
    assert!(bench.text("/etc/resolvconf.conf").contains("fe80::1%wlan0"));
    bench.done();

    let bench = Bench::new(&[("sysctl -in net.wlan.devices", 0, "")]);
    let error = bench.host.apply(&setting).expect_err("no card").to_string();
    assert!(
        error.contains("no Wi-Fi card") && error.contains("fwget"),
        "{error}"
    );
    bench.done();
}

#[test]
fn of_several_cards_the_one_with_a_cable_is_taken() {
    let bench = Bench::new(&[
        ("ifconfig em0 up", 0, ""),
        ("ifconfig em1 up", 0, ""),
        ("ifconfig em0", 0, "\tstatus: no carrier\n"),
        ("ifconfig em1", 0, "\tstatus: active\n"),
        ("ifconfig em0", 0, "\tstatus: no carrier\n"),
        ("ifconfig em1", 0, "\tstatus: active\n"),
    ]);
    let cards = ["em0", "em1"].map(str::to_owned);
    let found = bench.host.choose_wired(&cards, 1).expect("looked");
    assert_eq!(found.as_deref(), Some("em1"));
    bench.done();
}

#[test]
fn the_clock_is_set_by_date() {
    let later = Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let bench = Bench::new(&[(&format!("date -f %s {}", later.as_second()), 0, "")]);
    let setting = Setting::ClockNotBefore(later);
    assert!(!bench.holds(&setting));
    bench.host.apply(&setting).expect("set");
    bench.done();
}

#[test]
fn before_the_host_has_its_name_the_configured_one_counts() {
    let bench = Bench::new(&[
        ("/bin/hostname", 0, "\n"),
        ("sysrc -i -n hostname", 0, "hive.example.org\n"),
        ("/bin/hostname", 0, "hive\n"),
    ]);
    assert_eq!(bench.host.host_name().expect("asked"), "hive.example.org");
    assert_eq!(bench.host.host_name().expect("asked"), "hive");
    bench.done();
}
