//! `cargo xtask stage DESTDIR`: our files on a host that somebody else installed.
//!
//! A record of what was laid down last time tells an edited file from an old one: a file that still
//! has the bytes of the record is ours to update, any other belongs to the admin and is kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clawdie_tree::{Kind, Node, TreePath, hex};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::base::archive::globs;
use crate::cache::sync_dir;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::layer::Layer;
use crate::recipe::{Flavour, Recipe, User};
use crate::tool::{self, Tool};

const RECORD_SCHEMA: u32 = 1;

/// What became of one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was not there.
    Created,
    /// It was ours and is newer now.
    Updated,
    /// It is as it should be.
    Unchanged,
    /// The admin has edited it; it stays.
    Kept,
}

/// One path and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// Path below DESTDIR.
    pub path: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What `stage` did, or with a plan, would do.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Every path, in order.
    pub changes: Vec<Change>,
    /// What the admin should know.
    pub notes: Vec<String>,
}

/// What lies below DESTDIR because of us.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    schema: u32,
    /// Path to SHA-256 of the bytes we wrote (of the target, for a link).
    files: BTreeMap<String, String>,
    /// Accounts that must exist; firstboot makes them where we could not.
    users: Vec<User>,
}

/// How `stage` goes about it.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Only say what would be done.
    pub plan: bool,
    /// DESTDIR is the running system: accounts are made with its own tools.
    pub live: bool,
}

/// Lays `layer` into `destdir`.
///
/// # Errors
/// When a path would leave `destdir` through a link, or cannot be written.
pub fn apply(recipe: &Recipe, layer: &Layer, destdir: &Path, options: Options) -> Result<Report> {
    if destdir.exists() && !destdir.is_dir() {
        return Err(Error::new(
            ErrorKind::Usage,
            format!("`{}` is not a folder", destdir.display()),
        )
        .hint("DESTDIR names the folder that stands for `/`"));
    }
    if !options.plan {
        fs::create_dir_all(destdir)?;
    }
    let record_path = TreePath::new(match recipe.flavour {
        Flavour::Debian => "var/lib/clawdie/staged.json",
        Flavour::Freebsd => "var/db/clawdie/staged.json",
    })
    .or_error(ErrorKind::Failed, || "the record's path".into())?;
    let record_file = inside(destdir, &record_path)?;
    let mut record = read_record(&record_file)?;
    let config = globs(&recipe.stage.config)?;
    let mut report = Report::default();
    if options.live {
        accounts(recipe, options, &mut report)?;
    } else if !recipe.users.is_empty() {
        report.notes.push(format!(
            "accounts ({}) are recorded and made when this root is running",
            recipe
                .users
                .iter()
                .map(|user| user.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        ));
    }
    if !nix::unistd::geteuid().is_root() {
        report
            .notes
            .push("not root: every file belongs to you; `chown` is up to you".into());
    }
    for (path, node) in layer.tree.iter().filter(|(path, _)| !path.is_root()) {
        let outcome = match &node.kind {
            Kind::Dir => directory(destdir, path, node, layer, options)?,
            _ => file(destdir, path, node, &config, &mut record, options)?,
        };
        if let Some(outcome) = outcome {
            report.changes.push(Change {
                path: path.to_string(),
                outcome,
            });
        }
    }
    if !options.plan {
        record.schema = RECORD_SCHEMA;
        record.users.clone_from(&recipe.users);
        let text = serde_json::to_string_pretty(&record)
            .or_error(ErrorKind::Failed, || "writing the record".into())?;
        if fs::read_to_string(&record_file).ok().as_deref() != Some(text.as_str()) {
            if let Some(parent) = record_file.parent() {
                fs::create_dir_all(parent)?;
            }
            replace(&record_file, text.as_bytes(), 0o600, None)?;
        }
    }
    Ok(report)
}

fn read_record(path: &Path) -> Result<Record> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Record::default()),
        other => other.or_error(ErrorKind::Failed, || {
            format!("`{}` cannot be read", path.display())
        })?,
    };
    let record: Record = serde_json::from_str(&text).or_error(ErrorKind::BadInput, || {
        format!("`{}` is not a record of ours", path.display())
    })?;
    if record.schema > RECORD_SCHEMA {
        return Err(Error::refused(format!(
            "`{}` was written by a newer version",
            path.display()
        ))
        .hint("stage with that version or a newer one"));
    }
    Ok(record)
}

/// The path on this machine, after making sure that no link on the way leads out of `destdir`.
fn inside(destdir: &Path, path: &TreePath) -> Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let top = fs::canonicalize(destdir).unwrap_or_else(|_| destdir.to_owned());
    let mut at = top.clone();
    let mut names = path.names().peekable();
    while let Some(name) = names.next() {
        at.push(std::ffi::OsStr::from_bytes(name));
        if names.peek().is_some() && at.is_symlink() {
            let real = fs::canonicalize(&at)?;
            if !real.starts_with(&top) {
                return Err(Error::refused(format!(
                    "`{}` is a link that leads out of `{}`",
                    at.display(),
                    destdir.display()
                ))
                .hint("remove the link, or stage into another DESTDIR"));
            }
            at = real;
        }
    }
    Ok(at)
}

fn directory(
    destdir: &Path,
    path: &TreePath,
    node: &Node,
    layer: &Layer,
    options: Options,
) -> Result<Option<Outcome>> {
    let owned = layer.owned_dirs.contains(path);
    let at = inside(destdir, path)?;
    let before = match fs::metadata(&at) {
        Ok(meta) if meta.is_dir() => Some(meta),
        Ok(_) => {
            return Err(
                Error::bad_input(format!("`{}` is not a directory", at.display()))
                    .hint("move it away: a directory of ours belongs there"),
            );
        }
        Err(_) => None,
    };
    let right = before
        .as_ref()
        .is_some_and(|meta| !owned || has(meta, node));
    if !options.plan && !right {
        if before.is_none() {
            fs::create_dir(&at)?;
        }
        own(&at, node)?;
    }
    Ok(match (before.is_some(), right) {
        (true, true) => owned.then_some(Outcome::Unchanged),
        (true, false) => Some(Outcome::Updated),
        (false, _) => Some(Outcome::Created),
    })
}

fn file(
    destdir: &Path,
    path: &TreePath,
    node: &Node,
    config: &globset::GlobSet,
    record: &mut Record,
    options: Options,
) -> Result<Option<Outcome>> {
    let at = inside(destdir, path)?;
    let name = path.to_string();
    let wanted = digest(node)?;
    let found = found(&at)?;
    let is_config = config.is_match(name.trim_start_matches('/'));
    let outcome = match &found {
        None => Outcome::Created,
        Some(found) if *found == wanted && is_right(&at, node)? => Outcome::Unchanged,
        Some(found) if is_config && *found != wanted && record.files.get(&name) != Some(found) => {
            Outcome::Kept
        }
        Some(_) => Outcome::Updated,
    };
    if !options.plan && matches!(outcome, Outcome::Created | Outcome::Updated) {
        match &node.kind {
            Kind::Symlink(target) => {
                use std::os::unix::ffi::OsStrExt;
                let temporary = at.with_extension("clawdie-new");
                let _ = fs::remove_file(&temporary);
                fs_err::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target), &temporary)?;
                fs::rename(&temporary, &at)?;
            }
            _ => {
                let bytes = node
                    .content()
                    .ok_or_else(|| Error::failed(format!("`{path}` is no file")))?
                    .read()?;
                let owner = (node.meta.uid, node.meta.gid);
                replace(&at, &bytes, node.meta.mode, Some(owner))?;
            }
        }
    }
    if !options.plan && outcome != Outcome::Kept {
        record.files.insert(name, wanted);
    }
    Ok(Some(outcome))
}

/// The digest that stands for a node: of its bytes, or of where a link points.
fn digest(node: &Node) -> Result<String> {
    match &node.kind {
        Kind::File { content, .. } => Ok(hex(content.sha256())),
        Kind::Symlink(target) => Ok(hex(clawdie_tree::Content::bytes(target).sha256())),
        _ => Err(Error::bad_input("only files and links can be staged")),
    }
}

fn found(at: &Path) -> Result<Option<String>> {
    use std::os::unix::ffi::OsStrExt;
    match fs::symlink_metadata(at) {
        Err(_) => Ok(None),
        Ok(meta) if meta.is_symlink() => {
            let target = fs::read_link(at)?;
            Ok(Some(hex(clawdie_tree::Content::bytes(
                target.as_os_str().as_bytes(),
            )
            .sha256())))
        }
        Ok(meta) if meta.is_file() => Ok(Some(hex(clawdie_tree::Content::file(at)?.sha256()))),
        Ok(_) => Err(
            Error::bad_input(format!("`{}` is neither a file nor a link", at.display()))
                .hint("move it away: a file of ours belongs there"),
        ),
    }
}

fn is_right(at: &Path, node: &Node) -> Result<bool> {
    let meta = fs::symlink_metadata(at)?;
    Ok(meta.is_symlink() == matches!(node.kind, Kind::Symlink(_))
        && (meta.is_symlink() || has(&meta, node)))
}

/// Whether mode and, for root, owner are as wanted.
fn has(meta: &std::fs::Metadata, node: &Node) -> bool {
    use std::os::unix::fs::MetadataExt;
    let mode = (meta.mode() & 0o7777) as u16 == node.meta.mode;
    let root = nix::unistd::geteuid().is_root();
    mode && (!root || (meta.uid(), meta.gid()) == (node.meta.uid, node.meta.gid))
}

fn own(at: &Path, node: &Node) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if nix::unistd::geteuid().is_root() {
        fs_err::os::unix::fs::chown(at, Some(node.meta.uid), Some(node.meta.gid))?;
    }
    Ok(fs::set_permissions(
        at,
        std::fs::Permissions::from_mode(node.meta.mode.into()),
    )?)
}

/// Replaces a file in one step; a reader, and a power cut, finds the old or the new one.
fn replace(at: &Path, bytes: &[u8], mode: u16, owner: Option<(u32, u32)>) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    let folder = at
        .parent()
        .ok_or_else(|| Error::failed("a file without a folder"))?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(bytes)?;
    if let Some((uid, gid)) = owner.filter(|_| nix::unistd::geteuid().is_root()) {
        fs_err::os::unix::fs::chown(new.path(), Some(uid), Some(gid))?;
    }
    fs::set_permissions(new.path(), std::fs::Permissions::from_mode(mode.into()))?;
    new.as_file().sync_all()?;
    new.persist(at).map_err(|error| error.error)?;
    sync_dir(folder)
}

/// Makes the accounts of the recipe on the running system, with its own tool.
fn accounts(recipe: &Recipe, options: Options, report: &mut Report) -> Result<()> {
    for user in &recipe.users {
        let passwd = fs::read_to_string("/etc/passwd")?;
        let group = fs::read_to_string("/etc/group")?;
        let (note, commands) = account(recipe.flavour, user, &passwd, &group, options.plan);
        report.notes.push(note);
        if options.plan {
            continue;
        }
        for (program, arguments) in commands {
            let tool = Tool {
                program,
                package: "passwd",
                why: "it makes the service account",
            };
            tool::run(tool.command()?.args(arguments))?;
        }
    }
    Ok(())
}

/// What to say of an account, and the commands that make what is missing of it: a cut may have left
/// its group alone.
fn account(
    flavour: Flavour,
    user: &User,
    passwd: &str,
    group: &str,
    plan: bool,
) -> (String, Vec<Words>) {
    let name = &user.name;
    let number = |text: &str| -> Option<String> {
        let line = text
            .lines()
            .find(|line| line.split(':').next() == Some(name.as_str()))?;
        Some(line.split(':').nth(2).unwrap_or_default().to_owned())
    };
    match number(passwd) {
        Some(uid) if uid == user.uid.to_string() => {
            (format!("the account `{name}` is there already"), Vec::new())
        }
        Some(uid) => (
            format!(
                "the account `{name}` is there already, with number {uid} and not {}: give it `{}`",
                user.uid, user.home
            ),
            Vec::new(),
        ),
        None => {
            let verb = if plan { "would be made" } else { "was made" };
            let (make_group, make_user) = account_commands(flavour, user);
            let missing = number(group).is_none().then_some(make_group);
            (
                format!(
                    "the account `{name}` {verb} (user {}, group {})",
                    user.uid, user.gid
                ),
                missing.into_iter().chain([make_user]).collect(),
            )
        }
    }
}

/// A program and its arguments.
type Words = (&'static str, Vec<String>);

/// The commands that make a group and its user; a template of words, filled from the recipe.
fn account_commands(flavour: Flavour, user: &User) -> (Words, Words) {
    let fill = |template: &str| {
        template
            .split(' ')
            .map(|word| match word {
                "NAME" => user.name.clone(),
                "UID" => user.uid.to_string(),
                "GID" => user.gid.to_string(),
                "HOME" => user.home.to_string(),
                "SHELL" => user.shell.to_string(),
                "COMMENT" => user.comment.clone(),
                word => word.to_owned(),
            })
            .collect()
    };
    match flavour {
        Flavour::Debian => (
            ("groupadd", fill("--gid GID NAME")),
            (
                "useradd",
                fill(
                    "--uid UID --gid GID --no-create-home --home-dir HOME --shell SHELL --comment COMMENT NAME",
                ),
            ),
        ),
        Flavour::Freebsd => (
            ("pw", fill("groupadd -n NAME -g GID")),
            (
                "pw",
                fill("useradd -n NAME -u UID -g GID -d HOME -s SHELL -c COMMENT -w no"),
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{self, Scope};
    use crate::programs::Programs;
    use clawdie_tree::{Content, Meta, Tree};
    use std::collections::BTreeSet;

    fn recipe() -> Recipe {
        let text = include_str!("../debian.toml");
        Recipe::parse(text, Path::new("image/debian.toml")).unwrap()
    }

    fn layer(config: &str) -> Layer {
        let dir = Meta::root(0o755, 0);
        let mut layer = Layer {
            tree: Tree::new(dir.clone()),
            owned_dirs: BTreeSet::new(),
        };
        let at = |path: &str| TreePath::new(path).unwrap();
        let file = |text: &str, mode| Node::file(Content::bytes(text), Meta::root(mode, 0));
        layer
            .place(at("usr/local/bin/colibri"), file("program", 0o755), &dir)
            .unwrap();
        layer
            .place(at("etc/clawdie/a.conf"), file(config, 0o644), &dir)
            .unwrap();
        layer
            .place(at("etc/link"), Node::symlink("clawdie/a.conf", 0), &dir)
            .unwrap();
        layer
    }

    fn stage(destdir: &Path, config: &str, plan: bool) -> Result<Vec<(String, Outcome)>> {
        let options = Options { plan, live: false };
        let report = apply(&recipe(), &layer(config), destdir, options)?;
        Ok(report
            .changes
            .into_iter()
            .map(|change| (change.path, change.outcome))
            .collect())
    }

    fn outcome(changes: &[(String, Outcome)], path: &str) -> Outcome {
        changes.iter().find(|(at, _)| at == path).unwrap().1
    }

    #[test]
    fn the_second_time_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let planned = stage(dir.path(), "1", true).unwrap();
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            0,
            "a plan writes nothing"
        );
        let first = stage(dir.path(), "1", false).unwrap();
        assert_eq!(planned, first);
        assert!(
            first
                .iter()
                .all(|(_, outcome)| *outcome == Outcome::Created),
            "{first:?}"
        );
        let second = stage(dir.path(), "1", false).unwrap();
        assert!(
            second
                .iter()
                .all(|(_, outcome)| *outcome == Outcome::Unchanged),
            "{second:?}"
        );
    }

    #[test]
    fn an_edited_file_is_kept_and_an_untouched_one_updated() {
        let dir = tempfile::tempdir().unwrap();
        let config = "/etc/clawdie/a.conf";
        let on_disk = dir.path().join("etc/clawdie/a.conf");
        stage(dir.path(), "1", false).unwrap();
        assert_eq!(
            outcome(&stage(dir.path(), "2", false).unwrap(), config),
            Outcome::Updated
        );
        fs::write(&on_disk, "mine").unwrap();
        assert_eq!(
            outcome(&stage(dir.path(), "2", false).unwrap(), config),
            Outcome::Kept
        );
        assert_eq!(
            outcome(&stage(dir.path(), "3", false).unwrap(), config),
            Outcome::Kept
        );
        assert_eq!(fs::read_to_string(&on_disk).unwrap(), "mine");
        // A program is ours whatever happened to it.
        fs::write(dir.path().join("usr/local/bin/colibri"), "broken").unwrap();
        let again = stage(dir.path(), "3", false).unwrap();
        assert_eq!(outcome(&again, "/usr/local/bin/colibri"), Outcome::Updated);
    }

    #[test]
    fn no_link_leads_out_of_destdir() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("etc")).unwrap();
        let error = stage(dir.path(), "1", false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_link_inside_destdir_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("etc")).unwrap();
        stage(dir.path(), "1", false).unwrap();
        assert!(dir.path().join("real/clawdie/a.conf").exists());
    }

    #[test]
    fn a_record_from_the_future_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        stage(dir.path(), "1", false).unwrap();
        let record = dir.path().join("var/lib/clawdie/staged.json");
        let text = fs::read_to_string(&record)
            .unwrap()
            .replace("\"schema\": 1", "\"schema\": 2");
        fs::write(&record, text).unwrap();
        assert_eq!(
            stage(dir.path(), "1", false).unwrap_err().kind(),
            ErrorKind::Refused
        );
    }

    /// What the shipped recipe of FreeBSD lays on somebody else's host, with stand-ins for programs.
    fn freebsd(scope: Scope, programs: &Path) -> (Recipe, Layer) {
        let text = include_str!("../freebsd.toml");
        let recipe = Recipe::parse(text, Path::new("image/freebsd.toml")).unwrap();
        let mut built = Programs::new();
        for program in &recipe.programs {
            let path = programs.join(&program.bin);
            fs::write(&path, &program.bin).unwrap();
            built.insert(program.bin.clone(), path);
        }
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let layer = layer::collect(&recipe, checkout, &built, scope, 7).unwrap();
        (recipe, layer)
    }

    fn files(layer: &Layer) -> Vec<(String, u16)> {
        let files = layer.tree.iter().filter(|(_, node)| !node.is_dir());
        files
            .map(|(path, node)| (path.to_string(), node.meta.mode))
            .collect()
    }

    #[test]
    fn a_freebsd_host_of_somebody_else_gets_colibri_and_nothing_that_takes_it_over() {
        let built = tempfile::tempdir().unwrap();
        let (_, layer) = freebsd(Scope::ExistingHost, built.path());
        let is_page = |(path, _): &(String, u16)| {
            ["man", "bash-completion", "fish", "zsh"]
                .iter()
                .any(|folder| path.starts_with(&format!("/usr/local/share/{folder}/")))
        };
        let (pages, others): (Vec<_>, Vec<_>) = files(&layer).into_iter().partition(is_page);
        for page in [
            "bash-completion/completions/colibri",
            "fish/vendor_completions.d/colibri-mcp.fish",
            "man/man1/colibri-create-task.1",
            "man/man1/colibri-tui.1",
            "man/man8/colibri-daemon.8",
            "man/man8/colibri-hostd.8",
            "zsh/site-functions/_colibri-daemon",
        ] {
            let page = (format!("/usr/local/share/{page}"), 0o644);
            assert!(pages.contains(&page), "{page:?}");
        }
        assert_eq!(
            others,
            [
                ("/usr/local/bin/clawdie-firstboot".to_owned(), 0o755),
                ("/usr/local/bin/colibri".to_owned(), 0o755),
                ("/usr/local/bin/colibri-daemon".to_owned(), 0o755),
                ("/usr/local/bin/colibri-hostd".to_owned(), 0o755),
                ("/usr/local/bin/colibri-mcp".to_owned(), 0o755),
                ("/usr/local/bin/colibri-test-agent".to_owned(), 0o755),
                ("/usr/local/bin/colibri-tui".to_owned(), 0o755),
                ("/usr/local/bin/colibri-vault".to_owned(), 0o755),
                (
                    "/usr/local/etc/newsyslog.conf.d/clawdie.conf".to_owned(),
                    0o644
                ),
                ("/usr/local/etc/rc.d/colibri_daemon".to_owned(), 0o555),
                ("/usr/local/etc/rc.d/colibri_hostd".to_owned(), 0o555),
                (
                    "/usr/local/share/clawdie-iso/pkg-lists/freebsd-host.txt".to_owned(),
                    0o644
                ),
                (
                    "/usr/local/share/clawdie-iso/profiles.toml".to_owned(),
                    0o644
                ),
                (
                    "/usr/local/share/clawdie-iso/skills/mother/SKILL.md".to_owned(),
                    0o644
                ),
            ]
        );
        let (_, layer) = freebsd(Scope::Image, built.path());
        let image = files(&layer);
        for (path, mode) in [
            ("/boot/loader.conf", 0o644),
            ("/etc/pf.conf", 0o644),
            ("/etc/rc.conf", 0o644),
            ("/etc/rc.d/clawdie_seed", 0o555),
            ("/etc/ssh/sshd_config", 0o644),
            ("/usr/local/etc/rc.d/clawdie_firstboot", 0o555),
        ] {
            assert!(image.contains(&(path.to_owned(), mode)), "{path}");
        }
    }

    #[test]
    fn staging_freebsd_twice_changes_nothing_and_only_configuration_counts_as_edited() {
        let built = tempfile::tempdir().unwrap();
        let destdir = tempfile::tempdir().unwrap();
        let (recipe, layer) = freebsd(Scope::ExistingHost, built.path());
        let stage = || {
            let options = Options {
                plan: false,
                live: false,
            };
            let report = apply(&recipe, &layer, destdir.path(), options).unwrap();
            let changes = report.changes.into_iter();
            changes
                .map(|change| (change.path, change.outcome))
                .collect::<Vec<_>>()
        };
        let is = |changes: &[(String, Outcome)], wanted| {
            changes.iter().all(|(_, outcome)| *outcome == wanted)
        };
        assert!(is(&stage(), Outcome::Created));
        assert!(is(&stage(), Outcome::Unchanged));

        let logs = "/usr/local/etc/newsyslog.conf.d/clawdie.conf";
        let script = "/usr/local/etc/rc.d/colibri_daemon";
        for path in [logs, script] {
            let at = destdir.path().join(&path[1..]);
            fs::remove_file(&at).unwrap();
            fs::write(&at, "mine").unwrap();
        }
        let third = stage();
        assert_eq!(outcome(&third, logs), Outcome::Kept);
        assert_eq!(outcome(&third, script), Outcome::Updated);

        // First boot and the admin find there what must exist.
        let record = destdir.path().join("var/db/clawdie/staged.json");
        let record: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(record).unwrap()).unwrap();
        assert_eq!(record["users"][0]["name"], "colibri");
        assert_eq!(record["users"][0]["uid"], 820);
    }

    #[test]
    fn an_account_is_made_by_the_systems_own_tool_as_far_as_it_is_missing() {
        let built = tempfile::tempdir().unwrap();
        let (recipe, _) = freebsd(Scope::ExistingHost, built.path());
        let user = &recipe.users[0];
        let asked = |passwd: &str, group: &str, plan| {
            let (note, commands) = account(Flavour::Freebsd, user, passwd, group, plan);
            let lines: Vec<_> = commands
                .iter()
                .map(|(program, words)| format!("{program} {}", words.join("|")))
                .collect();
            (note, lines)
        };
        let add_group = "pw groupadd|-n|colibri|-g|820";
        let add_user = "pw useradd|-n|colibri|-u|820|-g|820|-d|/var/db/colibri|-s|/usr/sbin/nologin|-c|\
                        Colibri control plane|-w|no";
        let others = "root:*:0:0::/root:/bin/sh\ncolibrist:*:1001:1001::/:/x\n";
        let (note, lines) = asked(others, "wheel:*:0:root\n", true);
        assert!(
            note.contains("would be made (user 820, group 820)"),
            "{note}"
        );
        assert_eq!(lines, [add_group, add_user]);
        let (note, lines) = asked(others, "wheel:*:0:\ncolibri:*:820:\n", false);
        assert!(note.contains("was made"), "{note}");
        assert_eq!(lines, [add_user]);
        let (note, lines) = asked("colibri:*:820:820::/:/x\n", "", false);
        assert!(note.ends_with("is there already"), "{note}");
        assert_eq!(lines, [""; 0]);
        let (note, lines) = asked("colibri:*:821:821::/:/x\n", "", false);
        assert!(note.contains("with number 821 and not 820"), "{note}");
        assert_eq!(lines, [""; 0]);
    }
}
