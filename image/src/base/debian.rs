//! A Debian root from the archive: apt resolves and downloads, mmdebstrap installs.
//!
//! Three steps, each cached: the *downloads* (package lists and packages, checked by apt against
//! the archive's signatures), the *lock* (which packages a recipe resolved to, with their hashes),
//! the *base* (the installed root, decoded). Nothing needs root: as a user, mmdebstrap works in a
//! user namespace.

pub(crate) mod apt;

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use clawdie_tree::Sha256;
use fs_err as fs;
use serde::{Deserialize, Serialize};
use sha2::Digest;

use self::apt::Apt;
use super::{Base, Context, Network, Package, archive, split_boot_files};
use crate::cache::Key;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::pack::{Pack, unhex};
use crate::recipe::{Archive, Boot, Recipe, Role};
use crate::tool::{self, Tool};

/// Makes the root.
pub const MMDEBSTRAP: Tool = Tool {
    program: "mmdebstrap",
    package: "mmdebstrap",
    why: "it installs the Debian root of the image",
};

/// Maps user ids for mmdebstrap's user namespace.
pub const NEWUIDMAP: Tool = Tool {
    program: "newuidmap",
    package: "uidmap",
    why: "without root, the Debian root is installed in a user namespace",
};

/// Decoded roots that stay in the cache: enough to go back and forth between two recipes.
pub(super) const BASES_KEPT: usize = 3;

/// What a recipe resolved to: enough to install it again without asking the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    schema: u32,
    /// When the main suite was last published, seconds since 1970.
    pub published: i64,
    /// Packages installed in the root.
    pub packages: Vec<Locked>,
    /// Packages unpacked for their boot files.
    pub boot_packages: Vec<Locked>,
}

/// One package file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// Package name.
    pub name: String,
    /// Package version.
    pub version: String,
    /// File name in the download cache.
    pub file: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Its stanza of the archive's index.
    pub stanza: String,
}

impl Lock {
    const SCHEMA: u32 = 2;

    fn all(&self) -> impl Iterator<Item = &Locked> {
        self.packages.iter().chain(&self.boot_packages)
    }
}

/// Package names of a list file: one a line, `#` begins a comment.
///
/// # Errors
/// When a line holds anything that is not a package name.
pub fn package_list(text: &str, path: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let name = line.split('#').next().unwrap_or_default().trim();
        if name.is_empty() {
            continue;
        }
        let legal =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
        if name.len() < 2 || !name.bytes().all(legal) {
            return Err(Error::bad_input(format!(
                "`{}` line {number}: `{name}` is not a package name",
                path.display()
            )));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// Asks the archive anew and downloads what the recipe resolves to.
///
/// # Errors
/// When the archive cannot be reached, a signature or hash is wrong, or a package does not exist.
pub fn fetch(archive: &Archive, context: &Context<'_>) -> Result<Lock> {
    let id = lock_key(archive, context)?;
    let apt = Apt::of(archive, context)?;
    let _lock = context.cache.lock("downloads", || {
        tracing::info!("another build is downloading; waiting for it");
    })?;
    let lock = {
        let task = context.progress.begin("download packages", None);
        apt.update(&*task)?;
        let names = read_package_list(archive, context)?;
        Lock {
            schema: Lock::SCHEMA,
            published: apt.published(archive)?,
            packages: apt.install(&names, &*task)?,
            boot_packages: apt.download(&archive.boot_packages, &*task)?,
        }
    };
    verify_downloads(&lock, &apt)?;
    let folder = context.cache.folder("lock")?;
    let mut file = tempfile::NamedTempFile::new_in(&folder)?;
    serde_json::to_writer_pretty(&mut file, &lock)
        .or_error(ErrorKind::Failed, || "writing the lock".into())?;
    file.as_file().sync_all()?;
    file.persist(folder.join(format!("{}.json", id.as_str())))
        .map_err(|error| error.error)?;
    Ok(lock)
}

/// The packages the recipe resolved to last time, if their files are all still there and sound.
///
/// # Errors
/// When the cache cannot be read.
pub fn cached(archive: &Archive, context: &Context<'_>) -> Result<Option<Lock>> {
    let id = lock_key(archive, context)?;
    let path = context
        .cache
        .folder("lock")?
        .join(format!("{}.json", id.as_str()));
    let Ok(text) = std::fs::read_to_string(&path) else {
        return Ok(None);
    };
    Ok(serde_json::from_str::<Lock>(&text)
        .ok()
        .filter(|lock| lock.schema == Lock::SCHEMA))
}

/// Obtains the base: from the cache, else from cached downloads, else from the archive.
///
/// # Errors
/// When something is missing and the network may not be used, or a step fails.
pub fn obtain(recipe: &Recipe, archive: &Archive, context: &Context<'_>) -> Result<Base> {
    let lock =
        match cached(archive, context)? {
            Some(lock) => lock,
            None if context.network == Network::Offline => {
                return Err(Error::missing("the packages of this recipe are not in the cache").hint(
                "run `cargo xtask fetch` once with network, then build with `--offline` again",
            ));
            }
            None => fetch(archive, context)?,
        };
    let lock = match context.network {
        Network::Allowed => replace_damaged(recipe, archive, lock, context)?,
        Network::Offline => lock,
    };
    let key = base_key(recipe, archive, &lock, context)?;
    context.cache.sweep("base")?;
    let check = |folder: &Path| Pack::open(folder);
    let make = |folder: &Path| {
        let apt = Apt::of(archive, context)?;
        verify_downloads(&lock, &apt)?;
        install(recipe, archive, &lock, &apt, context, folder)
    };
    let mut pack = context.cache.entry("base", &key, check, make)?;
    context.cache.prune("base", BASES_KEPT)?;
    let boot = split_boot_files(&mut pack.tree)?;
    Ok(Base {
        tree: pack.tree.clone(),
        boot,
        packages: lock
            .all()
            .map(|package| Package {
                name: package.name.clone(),
                version: package.version.clone(),
                sha256: package.sha256.clone(),
            })
            .collect(),
        published: lock.published,
        key: key.as_str().to_owned(),
        pack,
    })
}

/// A damaged download is only had again by asking the archive, which may have moved on: then its new
/// packages are what the base is made of. A base that is there already needs no downloads.
fn replace_damaged(
    recipe: &Recipe,
    archive: &Archive,
    lock: Lock,
    context: &Context<'_>,
) -> Result<Lock> {
    let key = base_key(recipe, archive, &lock, context)?;
    if context.cache.folder("base")?.join(key.as_str()).exists() {
        return Ok(lock);
    }
    match verify_downloads(&lock, &Apt::of(archive, context)?) {
        Ok(()) => Ok(lock),
        Err(error) => {
            tracing::warn!("{error}; downloading it again");
            fetch(archive, context)
        }
    }
}

fn read_package_list(archive: &Archive, context: &Context<'_>) -> Result<Vec<String>> {
    let path = context.root.join(&archive.packages);
    package_list(&fs::read_to_string(&path)?, &path)
}

/// What the resolution depends on: change it and the archive is asked again.
fn lock_key(archive: &Archive, context: &Context<'_>) -> Result<Key> {
    let names = read_package_list(archive, context)?.join(" ");
    let sources = json(&archive.sources)?;
    let boot = archive.boot_packages.join(" ");
    Ok(Key::of([
        b"debian-lock".as_slice(),
        &sources,
        names.as_bytes(),
        boot.as_bytes(),
    ]))
}

/// What the installed root depends on.
fn base_key(recipe: &Recipe, archive: &Archive, lock: &Lock, context: &Context<'_>) -> Result<Key> {
    let mut parts: Vec<Vec<u8>> = vec![b"debian-base".to_vec()];
    parts.push(json(lock)?);
    parts.push(json(archive)?);
    parts.push(json(&recipe.boot)?);
    parts.extend(HOOKS.map(|(_, text)| text.into()));
    parts.push(DEPMOD.into());
    let before = context.root.join(&archive.before_packages);
    for entry in walkdir::WalkDir::new(&before).sort_by_file_name() {
        let entry = entry.or_error(ErrorKind::Failed, || {
            "reading the settings for packages".into()
        })?;
        if entry.file_type().is_file() {
            // The path inside the folder, not on this machine: checkouts share entries.
            let inner = entry.path().strip_prefix(&before).unwrap_or(entry.path());
            parts.push(inner.to_string_lossy().into_owned().into_bytes());
            parts.push(fs::read(entry.path())?);
        }
    }
    Ok(Key::of(parts.iter().map(Vec::as_slice)))
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).or_error(ErrorKind::Failed, || "hashing the recipe".into())
}

/// Scripts that run while the root is made, and the name mmdebstrap has for their moment.
const HOOKS: [(&str, &str); 3] = [
    ("setup", include_str!("../../debian-hooks/setup.sh")),
    ("essential", include_str!("../../debian-hooks/essential.sh")),
    ("customize", include_str!("../../debian-hooks/customize.sh")),
];

/// What the essential hook puts in depmod's place for a while.
const DEPMOD: &str = include_str!("../../debian-hooks/depmod.sh");

/// Compares every file with the hash it had when apt accepted it.
fn verify_downloads(lock: &Lock, apt: &Apt) -> Result<()> {
    for package in lock.all() {
        let path = apt.archives().join(&package.file);
        let damaged = || {
            Error::missing(format!(
                "`{}` in the download cache is missing or damaged",
                package.file
            ))
            .hint("run `cargo xtask fetch` to download it again")
        };
        let bytes = std::fs::read(&path).map_err(|_| damaged())?;
        let sha256: Sha256 = sha2::Sha256::digest(&bytes).into();
        if unhex(&package.sha256) != Some(sha256) {
            // Taken out of the way, so that the next download does not take it for good.
            match fs::remove_file(&path) {
                // Another build has noticed it too.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                other => other?,
            }
            return Err(damaged());
        }
    }
    Ok(())
}

/// Runs mmdebstrap and decodes its tar stream into `folder` while it is being written.
fn install(
    recipe: &Recipe,
    archive: &Archive,
    lock: &Lock,
    apt: &Apt,
    context: &Context<'_>,
    folder: &Path,
) -> Result<()> {
    let task = context.progress.begin("install the base system", None);
    let work = tempfile::Builder::new()
        .prefix("clawdie-base-")
        .tempdir_in(roomiest_temp())?;
    // As root, mmdebstrap drops to another user for downloads; as a user it maps ids: both must get in.
    open_to_all(work.path())?;
    let list = |packages: &[Locked]| {
        packages
            .iter()
            .map(|package| format!("{}\n", package.file))
            .collect::<String>()
    };
    fs::write(work.path().join("debs"), list(&lock.packages))?;
    fs::write(work.path().join("boot-debs"), list(&lock.boot_packages))?;
    fs::write(work.path().join("Packages"), apt::index(&lock.packages))?;
    fs::write(work.path().join("sources.list"), apt::SOURCE_OF_INDEX)?;
    fs::write(work.path().join("depmod.sh"), DEPMOD)?;
    for (moment, text) in HOOKS {
        let path = hook_path(work.path(), moment);
        fs::write(&path, text)?;
        open_to_all(&path)?;
    }

    let mut command = mmdebstrap(archive, work.path(), context)?;
    command
        .env("SOURCE_DATE_EPOCH", lock.published.to_string())
        // Debian's hook for kernels leaves the initramfs to us: see the customize hook.
        .env("INITRD", "No")
        .env("CLAWDIE_INDEX", apt::INDEX)
        .env("CLAWDIE_DOWNLOADS", apt.root())
        .env("CLAWDIE_WORK", work.path())
        .env(
            "CLAWDIE_BEFORE_PACKAGES",
            context.root.join(&archive.before_packages),
        );
    let Boot::Grub {
        esp, bios_modules, ..
    } = &recipe.boot
    else {
        return Err(Error::bad_input("a Debian root is started by GRUB")
            .hint("the recipe's `boot` says another `loader`"));
    };
    let root_number = recipe
        .partitions
        .iter()
        .position(|partition| partition.role == Role::Root)
        .map_or(0, |index| index + 1);
    let files: Vec<_> = esp
        .iter()
        .map(|file| file.from.to_string().trim_start_matches('/').to_owned())
        .collect();
    command
        .env("CLAWDIE_ROOT_PARTITION", root_number.to_string())
        .env("CLAWDIE_GRUB_MODULES", bios_modules.join(" "))
        .env("CLAWDIE_BOOT_FILES", files.join(" "));

    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .or_error(ErrorKind::Failed, || "mmdebstrap cannot be started".into())?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
        return Err(Error::failed("mmdebstrap has no output"));
    };
    let drop = archive::globs(&archive.drop)?;
    let (decoded, said) = thread::scope(|scope| {
        let listener = scope.spawn(|| listen(stderr, &*task));
        let decoded = archive::decode(stdout, &drop, folder, &*task);
        if decoded.is_err() {
            // Nobody reads its output any more: it would wait for us for ever.
            let _ = child.kill();
        }
        (decoded, listener.join().unwrap_or_default())
    });
    let status = child.wait()?;
    // A full disk on our side also breaks the pipe for mmdebstrap: the cause is ours, not its.
    let decoded = match decoded {
        Err(error) if error.kind() != ErrorKind::BadInput => return Err(error),
        other => other,
    };
    if !status.success() {
        let error = Error::failed(format!("mmdebstrap failed ({status})"));
        let error = match status.code() {
            Some(_) => error.caused_by(tool::tail(&said)),
            None => match decoded {
                Err(decode) => return Err(decode),
                Ok(()) => error,
            },
        };
        return Err(error.hint("`--verbose` shows all it said"));
    }
    decoded
}

fn hook_path(work: &Path, moment: &str) -> PathBuf {
    work.join(format!("{moment}.sh"))
}

fn mmdebstrap(archive: &Archive, work: &Path, context: &Context<'_>) -> Result<Command> {
    let mut command = MMDEBSTRAP.command()?;
    let as_root = nix::unistd::geteuid().is_root();
    if !as_root {
        NEWUIDMAP.command()?;
    }
    let mode = if as_root { "root" } else { "unshare" };
    let names = read_package_list(archive, context)?.join(",");
    command
        .env("TMPDIR", roomiest_temp())
        .env_remove("APT_CONFIG")
        .arg(format!("--mode={mode}"))
        .args([
            "--variant=apt",
            "--format=tar",
            "--skip=update",
            "--architectures=amd64",
        ])
        .arg(format!("--include={names}"));
    for (moment, _) in HOOKS {
        let path = hook_path(work, moment);
        command.arg(format!("--{moment}-hook={}", path.display()));
    }
    command
        .arg(&archive.suite)
        .arg("-")
        .arg(work.join("sources.list"));
    Ok(command)
}

/// Follows what mmdebstrap says, keeps it for an error, and shows its own lines as notes.
fn listen(stderr: impl std::io::Read, task: &dyn crate::progress::Task) -> String {
    let mut said = String::new();
    for line in std::io::BufReader::new(stderr)
        .split(b'\n')
        .map_while(Result::ok)
    {
        let line = String::from_utf8_lossy(&line);
        tracing::debug!(target: "mmdebstrap", "{line}");
        if let Some(note) = line.strip_prefix("I: ") {
            task.note(note);
        }
        said.push_str(&line);
        said.push('\n');
    }
    said
}

/// Thousands of small files are written, renamed and synced: in memory that takes a quarter of the
/// time. `/dev/shm` is used when it has room for a whole root, unless `TMPDIR` says otherwise.
fn roomiest_temp() -> PathBuf {
    const ROOM: u64 = 3 << 30;
    let shm = Path::new("/dev/shm");
    let free = nix::sys::statvfs::statvfs(shm)
        .map_or(0, |stat| stat.blocks_available() * stat.fragment_size());
    if std::env::var_os("TMPDIR").is_none() && free >= ROOM {
        return shm.to_owned();
    }
    std::env::temp_dir()
}

/// Readable and executable for every user, as folders and scripts must be.
fn open_to_all(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(
        path,
        std::fs::Permissions::from_mode(0o755),
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_lists_hold_names_and_comments() {
        let path = Path::new("list.txt");
        let list = package_list("# head\nsystemd # init\n\nlibstdc++6\n", path).unwrap();
        assert_eq!(list, ["systemd", "libstdc++6"]);
        let error = package_list("ok\nno way\n", path).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`list.txt` line 2: `no way` is not a package name"
        );
    }

    #[test]
    fn the_shipped_package_list_reads() {
        let text = include_str!("../../../pkg-lists/debian-host.txt");
        assert!(
            package_list(text, Path::new("x"))
                .unwrap()
                .contains(&"systemd".to_owned())
        );
    }
}
