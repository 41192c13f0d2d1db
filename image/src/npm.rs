//! Packages of npm: what a lock file pins, laid out as Node looks for it.
//!
//! npm downloads the archives and compares each with the integrity in the lock file. No script of a
//! package is run, so nothing of them happens on the machine that builds. Packages that others may do
//! without stay away: they are native code, and which of them npm takes depends on where it runs. What
//! npm says it has unpacked is held against the lock file, whatever its configuration made of our words.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::Seek as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use clawdie_tree::{Meta, Node, Tree, TreePath};
use fs_err as fs;
use globset::GlobSet;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::archive::{decode, globs};
use crate::base::{Context, Network};
use crate::cache::Key;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::pack::Pack;
use crate::recipe::{Npm, Program, Recipe};
use crate::tool::{self, Tool};

/// Downloads and unpacks.
pub const NPM: Tool = Tool {
    program: "npm",
    package: "npm",
    why: "it downloads the agent of the image",
};

/// What npm is told. With these, the same lock file makes the same files anywhere. Some are its own
/// defaults, said for builders whose configuration has others.
const INSTALL: [&str; 11] = [
    "ci",
    "--ignore-scripts",
    "--include=prod",
    "--omit=dev",
    "--omit=optional",
    "--install-strategy=hoisted",
    "--no-bin-links",
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--loglevel=error",
];

/// What may help when npm gives up.
const HINT: &str = "npm 8 or newer is needed (`npm --version`), and the registry that it is set up for \
                    (`npm config get registry`); what it has downloaded so far stays in the cache";

/// Kind of the cache's entries.
const ENTRIES: &str = "npm";

/// Entries that stay: enough to go back and forth between two of each lock file.
const ENTRIES_KEPT: usize = 6;

/// Folder of the cache with what npm has downloaded.
const DOWNLOADS: &str = "npm-downloads";

/// What pins every package.
const LOCK: &str = "package-lock.json";

/// What says which packages there are: they lie in the recipe's folder.
pub(crate) const INPUTS: [&str; 2] = ["package.json", LOCK];

/// Where npm unpacks.
const MODULES: &str = "node_modules";

/// What npm writes about its own work, as a lock file: it may name where archives came from.
const NOTES: &str = ".package-lock.json";

/// A package as a lock file pins it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its name. One that others need in two versions is there twice.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Hash of the archive that it comes in, as npm writes it.
    pub integrity: String,
}

/// A lock file, as far as we read it: packages by their places.
#[derive(Deserialize)]
struct LockFile {
    packages: BTreeMap<String, Pin>,
}

/// What it says of one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pin {
    version: Option<String>,
    integrity: Option<String>,
    #[serde(default)]
    dev: bool,
    #[serde(default)]
    optional: bool,
    #[serde(default)]
    dev_optional: bool,
}

/// The packages that go into the image; none when the recipe wants none of npm.
///
/// # Errors
/// When the lock file cannot be read, or does not pin one of them.
pub fn packages(recipe: &Recipe, root: &Path) -> Result<Vec<Package>> {
    let mut all = Vec::new();
    for npm in &recipe.npm {
        all.extend(pinned(npm, root)?);
    }
    Ok(all)
}

/// Whether the cache has the packages.
///
/// # Errors
/// When the cache or the lock file cannot be read.
pub fn is_cached(npm: &Npm, context: &Context<'_>) -> Result<bool> {
    let entry = key(npm, context)?;
    Ok(context.cache.folder(ENTRIES)?.join(entry.as_str()).is_dir())
}

/// Fills the cache; nothing when the recipe wants no packages of npm.
///
/// # Errors
/// `BadInput` when the lock file is wrong, `Missing` when npm is not here, `Failed` when it gives up.
pub fn fetch(recipe: &Recipe, context: &Context<'_>) -> Result<()> {
    for npm in &recipe.npm {
        unpacked(npm, context)?;
    }
    Ok(())
}

/// Puts the packages into the base's tree, and links to their programs.
///
/// # Errors
/// As [`fetch`]; without network, `Missing` when the cache lacks them.
pub fn supply(recipe: &Recipe, base: &mut Tree, context: &Context<'_>, epoch: i64) -> Result<()> {
    for npm in &recipe.npm {
        let modules = unpacked(npm, context)?.tree;
        for (path, node) in modules.iter() {
            let mut node = node.clone();
            node.meta.mtime = epoch;
            place(base, inside(&npm.to, path.as_bytes())?, node, epoch)?;
        }
        for program in &npm.programs {
            let script = inside(&npm.to, script(program, &modules)?.as_bytes())?;
            let link = inside(&program.to, program.bin.as_bytes())?;
            place(base, link, Node::symlink(script.to_string(), epoch), epoch)?;
        }
    }
    Ok(())
}

fn place(base: &mut Tree, path: TreePath, node: Node, epoch: i64) -> Result<()> {
    let folders = match path.parent() {
        Some(parent) => base.ensure_dirs(&parent, &Meta::root(0o755, epoch)),
        None => Ok(()),
    };
    folders
        .and_then(|()| base.insert(path, node))
        .map_err(|error| Error::bad_input(format!("a package of npm does not fit: {error}")))
}

/// All packages, by their path in `node_modules`: from the cache, else by npm.
fn unpacked(npm: &Npm, context: &Context<'_>) -> Result<Pack> {
    context.cache.sweep(ENTRIES)?;
    let pack = context
        .cache
        .entry(ENTRIES, &key(npm, context)?, sound, |entry| {
            if context.network == Network::Offline {
                return Err(
                    Error::missing("the packages of npm are not in the cache").hint(
                        "run `cargo xtask fetch` once with network, then build with `--offline` \
                         again",
                    ),
                );
            }
            install(npm, context, entry)
        })?;
    context.cache.prune(ENTRIES, ENTRIES_KEPT)?;
    Ok(pack)
}

fn sound(entry: &Path) -> Result<Option<Pack>> {
    match Pack::open(entry)? {
        Some(pack) if pack.is_sound()? => Ok(Some(pack)),
        _ => Ok(None),
    }
}

/// What the unpacked packages depend on.
fn key(npm: &Npm, context: &Context<'_>) -> Result<Key> {
    let mut parts = vec![b"npm".to_vec(), INSTALL.join(" ").into_bytes()];
    for name in INPUTS {
        parts.push(fs::read(context.root.join(&npm.folder).join(name))?);
    }
    parts.push(npm.drop.join(" ").into_bytes());
    Ok(Key::of(parts.iter().map(Vec::as_slice)))
}

/// The packages of one lock file that go into the image.
///
/// # Errors
/// As [`packages`].
pub fn pinned(npm: &Npm, root: &Path) -> Result<Vec<Package>> {
    listed(&root.join(&npm.folder).join(LOCK), |pin| {
        !(pin.dev || pin.optional || pin.dev_optional)
    })
}

/// The packages of a lock file, in the order of their places.
fn listed(path: &Path, wanted: impl Fn(&Pin) -> bool) -> Result<Vec<Package>> {
    let shown = path.display();
    let lock: LockFile = serde_json::from_slice(&fs::read(path)?)
        .or_error(ErrorKind::BadInput, || {
            format!("`{shown}` is no lock file of npm")
        })?;
    let mut packages = Vec::new();
    for (place, pin) in lock.packages {
        // What has no such place is no package, but what needs them all.
        let Some((_, name)) = place.rsplit_once("node_modules/") else {
            continue;
        };
        if !wanted(&pin) {
            continue;
        }
        let (Some(version), Some(integrity)) = (pin.version, pin.integrity) else {
            return Err(Error::bad_input(format!(
                "`{shown}` does not pin `{place}`: it gives no version or no integrity"
            )));
        };
        packages.push(Package {
            name: name.to_owned(),
            version,
            integrity,
        });
    }
    Ok(packages)
}

/// Lets npm unpack beside the entry, and takes over what belongs on an image.
fn install(npm: &Npm, context: &Context<'_>, entry: &Path) -> Result<()> {
    let wanted = pinned(npm, context.root)?;
    let task = context.progress.begin("install packages of npm", None);
    let work = tempfile::Builder::new()
        .prefix(".partial-")
        .tempdir_in(context.cache.folder(ENTRIES)?)?;
    for name in INPUTS {
        let from = context.root.join(&npm.folder).join(name);
        fs::copy(from, work.path().join(name))?;
    }
    let mut command = NPM.command()?;
    command.args(INSTALL).current_dir(work.path());
    command.arg("--cache").arg(context.cache.folder(DOWNLOADS)?);
    // Node keeps what it has compiled where temporary files go.
    command.env("TMPDIR", work.path());
    tool::run_and_quote(&mut command, reason).map_err(|error| error.hint(HINT))?;
    let modules = work.path().join(MODULES);
    if listed(&modules.join(NOTES), |_| true)? != wanted {
        return Err(
            Error::failed("npm has unpacked other packages than the lock file pins").hint(HINT),
        );
    }
    let scratch = tempfile::tempfile_in(work.path())?;
    let tar = archive(&modules, &globs(&npm.drop)?, scratch)?;
    decode(tar, &GlobSet::empty(), entry, &*task)
}

/// Why npm gave up: that comes first, and then where in its own code it was.
fn reason(said: &str) -> String {
    said.lines()
        .filter(|line| !line.contains("    at "))
        .filter(|line| !["", "npm error", "npm ERR!"].contains(&line.trim_end()))
        .take(6)
        .collect::<Vec<_>>()
        .join("\n")
}

/// What npm has unpacked as a tar stream, without its notes and what `drop` matches. Of modes only the
/// executable bit counts: the builder's umask must not show. A folder comes with its first file: where
/// it left out a package, one npm leaves an empty folder behind, and another does not.
fn archive(top: &Path, drop: &GlobSet, to: File) -> Result<File> {
    let mut archive = tar::Builder::new(to);
    let mut folders = HashSet::new();
    for entry in walkdir::WalkDir::new(top).sort_by_file_name() {
        let entry = entry.or_error(ErrorKind::Failed, || {
            "what npm unpacked cannot be read".into()
        })?;
        let inner = entry.path().strip_prefix(top).unwrap_or(entry.path());
        let kind = entry.file_type();
        if kind.is_dir() || inner == Path::new(NOTES) || drop.is_match(inner) {
            continue;
        }
        if !kind.is_file() {
            return Err(Error::bad_input(format!(
                "npm made `{}`, which is neither a file nor a folder",
                inner.display()
            )));
        }
        let above: Vec<_> = inner.ancestors().skip(1).collect();
        // The outermost is the top itself.
        for folder in above.into_iter().rev().skip(1) {
            if folders.insert(folder.to_owned()) {
                let mut header = header(tar::EntryType::Directory, 0o755, 0);
                archive.append_data(&mut header, folder, std::io::empty())?;
            }
        }
        let file = fs::File::open(entry.path())?;
        let meta = file.metadata()?;
        let executable = meta.permissions().mode() & 0o100 != 0;
        let mode = if executable { 0o755 } else { 0o644 };
        let mut header = header(tar::EntryType::Regular, mode, meta.len());
        archive.append_data(&mut header, inner, file)?;
    }
    let mut tar = archive.into_inner()?;
    tar.rewind()?;
    Ok(tar)
}

fn header(kind: tar::EntryType, mode: u32, len: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(len);
    header
}

/// Where a program of a package lies in `node_modules`, as the package says.
fn script(program: &Program, modules: &Tree) -> Result<String> {
    let Program { package, bin, .. } = program;
    let none = || {
        Error::bad_input(format!(
            "the npm package `{package}` has no program `{bin}`"
        ))
    };
    let told = TreePath::new(format!("{package}/package.json"))
        .map_err(|error| Error::bad_input(error.to_string()))?;
    let content = modules.get(&told).and_then(Node::content);
    let manifest = content.ok_or_else(none)?.read()?;
    let manifest: Value = serde_json::from_slice(&manifest)
        .or_error(ErrorKind::BadInput, || format!("`{told}` makes no sense"))?;
    let script = manifest["bin"][bin].as_str().ok_or_else(none)?;
    Ok(format!("{package}/{script}"))
}

fn inside(folder: &TreePath, below: &[u8]) -> Result<TreePath> {
    folder
        .join(below)
        .map_err(|error| Error::bad_input(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Cache;
    use crate::progress::Silent;

    const PACKAGE: &str = r#"{"bin":{"pi":"dist/cli.js"}}"#;
    const EMPTY: &str = r#"{"packages":{}}"#;

    fn recipe(folder: &Path) -> Recipe {
        let text = include_str!("../debian.toml");
        let mut recipe = Recipe::parse(text, Path::new("image/debian.toml")).unwrap();
        for name in INPUTS {
            fs::write(folder.join(name), EMPTY).unwrap();
        }
        recipe.npm.truncate(1);
        recipe.npm[0].folder = folder.to_owned();
        recipe
    }

    /// As npm leaves it.
    fn modules(folder: &Path) {
        let agent = folder.join("@earendil-works/pi-coding-agent");
        fs::create_dir_all(agent.join("dist")).unwrap();
        fs::write(agent.join("package.json"), PACKAGE).unwrap();
        fs::write(agent.join("dist/cli.js"), "#!/usr/bin/env node\n").unwrap();
        fs::write(agent.join("dist/cli.js.map"), "{}").unwrap();
        fs::write(folder.join(NOTES), EMPTY).unwrap();
        fs::create_dir_all(folder.join("left-out/empty")).unwrap();
        fs::create_dir(agent.join("src")).unwrap();
        fs::write(agent.join("src/cli.ts"), "").unwrap();
        let mode = std::fs::Permissions::from_mode(0o700);
        fs::set_permissions(agent.join("dist/cli.js"), mode).unwrap();
    }

    #[test]
    fn packages_come_out_of_the_cache_with_links_to_their_programs_or_not_at_all() {
        let home = tempfile::tempdir().unwrap();
        let recipe = recipe(home.path());
        let npm = &recipe.npm[0];
        let cache = Cache::open(home.path().join("cache")).unwrap();
        let context = Context {
            root: home.path(),
            cache: &cache,
            network: Network::Offline,
            progress: &Silent,
        };
        let mut tree = Tree::new(Meta::root(0o755, 7));
        let error = supply(&recipe, &mut tree, &context, 7).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Missing);
        assert!(!is_cached(npm, &context).unwrap());

        modules(&home.path().join(MODULES));
        let tar = archive(
            &home.path().join(MODULES),
            &globs(&npm.drop).unwrap(),
            tempfile::tempfile_in(home.path()).unwrap(),
        );
        let entry = cache.folder(ENTRIES).unwrap();
        let entry = entry.join(key(npm, &context).unwrap().as_str());
        fs::create_dir(&entry).unwrap();
        decode(tar.unwrap(), &GlobSet::empty(), &entry, &Silent).unwrap();
        assert!(is_cached(npm, &context).unwrap());
        supply(&recipe, &mut tree, &context, 7).unwrap();
        let agent = "/usr/local/lib/node_modules/@earendil-works/pi-coding-agent";
        let folders: Vec<_> = tree
            .iter()
            .filter(|(path, node)| node.is_dir() && path.names().count() > 3)
            .map(|(path, node)| (path.to_string(), node.meta.mode))
            .collect();
        assert_eq!(
            folders,
            [
                ("/usr/local/lib/node_modules".to_owned(), 0o755),
                (
                    "/usr/local/lib/node_modules/@earendil-works".to_owned(),
                    0o755
                ),
                (agent.to_owned(), 0o755),
                (format!("{agent}/dist"), 0o755),
            ]
        );
        let files: Vec<_> = tree
            .iter()
            .filter(|(_, node)| !node.is_dir())
            .map(|(path, node)| (path.to_string(), node.meta.mode, node.meta.mtime))
            .collect();
        assert_eq!(
            files,
            [
                ("/usr/local/bin/pi".to_owned(), 0o777, 7),
                (format!("{agent}/dist/cli.js"), 0o755, 7),
                (format!("{agent}/package.json"), 0o644, 7),
            ]
        );
        let link = tree.get(&TreePath::new("usr/local/bin/pi").unwrap());
        let target = format!("{agent}/dist/cli.js");
        assert_eq!(link, Some(&Node::symlink(target, 7)));
    }

    #[test]
    fn only_what_goes_in_is_listed_and_all_of_it_is_pinned() {
        let home = tempfile::tempdir().unwrap();
        let recipe = recipe(home.path());
        let lock = |text: &str| {
            fs::write(home.path().join(LOCK), text).unwrap();
            packages(&recipe, home.path())
        };
        let listed = lock(
            r#"{"lockfileVersion": 3, "packages": {
                "": {"dependencies": {"a": "1"}},
                "node_modules/@x/a": {"version": "1.0.0", "integrity": "sha512-A", "license": "MIT"},
                "node_modules/@x/a/node_modules/b": {"version": "2.0.0", "integrity": "sha512-B"},
                "node_modules/b": {"version": "1.0.0", "integrity": "sha512-C"},
                "node_modules/c": {"version": "1.0.0", "optional": true},
                "node_modules/d": {"version": "1.0.0", "dev": true},
                "node_modules/e": {"version": "1.0.0", "devOptional": true}
            }}"#,
        );
        let package = |name: &str, version: &str, integrity: &str| Package {
            name: name.to_owned(),
            version: version.to_owned(),
            integrity: integrity.to_owned(),
        };
        assert_eq!(
            listed.unwrap(),
            [
                package("@x/a", "1.0.0", "sha512-A"),
                package("b", "2.0.0", "sha512-B"),
                package("b", "1.0.0", "sha512-C"),
            ]
        );
        let open = lock(r#"{"packages": {"node_modules/a": {"version": "1.0.0"}}}"#);
        let error = open.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput);
        assert!(error.to_string().contains("does not pin `node_modules/a`"));
    }

    #[test]
    fn the_reason_is_what_npm_says_first() {
        let said = "npm error code ECONNREFUSED\n\
            npm error\n\
            npm error FetchError: request to http://127.0.0.1:9/ws failed\n\
            npm error     at ClientRequest.emit (node:events:524:28)\n\
            npm error   port: 9,\n\n";
        assert_eq!(
            reason(said),
            "npm error code ECONNREFUSED\n\
             npm error FetchError: request to http://127.0.0.1:9/ws failed\n\
             npm error   port: 9,"
        );
        let no_node = "env: 'node': No such file or directory\n";
        assert_eq!(reason(no_node), no_node.trim_end());
    }

    /// The programs of the shipped recipes, and nothing else that somebody chose.
    #[test]
    fn the_shipped_lock_files_pin_the_programs_and_are_the_same_for_both_flavours() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let [debian, freebsd] = [
            include_str!("../debian.toml"),
            include_str!("../freebsd.toml"),
        ]
        .map(|text| Recipe::parse(text, Path::new("image/x.toml")).unwrap());
        let packages = packages(&debian, &root).unwrap();
        let chosen = include_str!("../../pkg-lists/npm.txt");
        for program in debian.npm.iter().flat_map(|npm| &npm.programs) {
            let found = packages.iter().find(|one| one.name == program.package);
            let found = found.unwrap();
            let line = format!("{}@{} {}", found.name, found.version, found.integrity);
            assert!(chosen.lines().any(|one| one.starts_with(&line)), "{line}");
        }
        // One entry of the cache each serves both: there is nothing of a system in it.
        let said = |recipe: &Recipe| serde_json::to_value(&recipe.npm).unwrap();
        assert_eq!(said(&freebsd), said(&debian));
    }

    #[test]
    fn a_program_that_a_package_lacks_is_named() {
        let home = tempfile::tempdir().unwrap();
        let mut recipe = recipe(home.path());
        let program = recipe.npm[0].programs.remove(0);
        let error = script(&program, &Tree::new(Meta::root(0o755, 7))).unwrap_err();
        assert!(error.to_string().contains("has no program `pi`"), "{error}");
    }
}
