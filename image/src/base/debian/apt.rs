//! apt with a state of its own: it knows neither the build host's sources nor its packages.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;

use super::Locked;
use crate::base::Context;
use crate::cache::Key;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::progress::Task;
use crate::recipe::{Archive, Source};
use crate::tool::{self, Tool};

/// Resolves and downloads packages.
pub(crate) const APT: Tool = Tool {
    program: "apt-get",
    package: "apt",
    why: "it resolves, downloads and verifies the packages of the image",
};

/// Prints what the index says of a package.
const APT_CACHE: Tool = Tool {
    program: "apt-cache",
    package: "apt",
    why: "it reads the archive's index",
};

/// Checks the archive's signature for apt.
pub(crate) const GPGV: Tool = Tool {
    program: "gpgv",
    package: "gpgv",
    why: "apt checks the archive's signature with it",
};

/// Reads packages.
pub(crate) const DPKG_DEB: Tool = Tool {
    program: "dpkg-deb",
    package: "dpkg",
    why: "it unpacks packages",
};

/// A private apt.
#[derive(Debug)]
pub(crate) struct Apt {
    root: PathBuf,
}

/// apt's one-line sources, each bound to the keyring.
fn sources_list(keyring: &Path, sources: &[Source]) -> String {
    sources
        .iter()
        .map(|source| {
            format!(
                "deb [signed-by={}] {} {} {}\n",
                keyring.display(),
                source.uri,
                source.suite,
                source.components.join(" ")
            )
        })
        .collect()
}

/// Where mmdebstrap's apt believes that the locked packages come from. Trusted, because each package
/// was compared with the lock, and what stands in the lock apt had verified by signature.
pub(super) const SOURCE_OF_INDEX: &str = "deb [trusted=yes] http://locked.invalid/ lock main\n";

/// What apt calls the index of that source.
pub(super) const INDEX: &str = "locked.invalid_dists_lock_main_binary-amd64_Packages";

/// An index of nothing but these packages: apt reads it in a tenth of the time of the archive's, and
/// cannot choose anything else.
pub(super) fn index(packages: &[Locked]) -> String {
    packages
        .iter()
        .map(|package| format!("{}\n\n", package.stanza))
        .collect()
}

impl Apt {
    /// Sets up the state for the recipe's sources in the cache.
    pub(super) fn of(archive: &Archive, context: &Context<'_>) -> Result<Self> {
        Self::new(&archive.keyring, &archive.sources, context)
    }

    /// Sets up the state for these sources, signed by this keyring, in the cache.
    pub(crate) fn new(keyring: &Path, sources: &[Source], context: &Context<'_>) -> Result<Self> {
        let sources = sources_list(keyring, sources);
        let key = Key::of([b"apt".as_slice(), sources.as_bytes()]);
        let root = context
            .cache
            .folder(&format!("downloads/{}", &key.as_str()[..16]))?;
        for folder in [
            "etc/preferences.d",
            "etc/apt.conf.d",
            "state",
            "lists/partial",
            "archives/partial",
        ] {
            fs::create_dir_all(root.join(folder))?;
        }
        // No package counts as installed.
        fs::write(root.join("status"), "")?;
        fs::write(root.join("sources.list"), sources)?;
        fs::write(root.join("apt.conf"), configuration(&root)?)?;
        Ok(Self { root })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn archives(&self) -> PathBuf {
        self.root.join("archives")
    }

    fn command(&self) -> Result<Command> {
        GPGV.command()?;
        let mut command = APT.command()?;
        command
            .env("APT_CONFIG", self.root.join("apt.conf"))
            .args(["--yes", "-q"]);
        Ok(command)
    }

    /// Names what would be downloaded. apt leaves out what it finds in its archives or in the folder
    /// it stands in, so it is shown an empty one.
    fn resolve(&self) -> Result<Command> {
        let nothing = self.root.join("nothing");
        fs::create_dir_all(nothing.join("partial"))?;
        let mut command = self.command()?;
        command
            .current_dir(&nothing)
            .arg("-o")
            .arg(format!("Dir::Cache::archives={}", nothing.display()))
            .arg("--print-uris");
        Ok(command)
    }

    /// Fetches the package lists and checks their signatures.
    pub(crate) fn update(&self, task: &dyn Task) -> Result<()> {
        task.note("asking the archive what is new");
        let mut command = self.command()?;
        // A list that cannot be had or does not verify is an error, not a warning.
        command.args(["-o", "APT::Update::Error-Mode=any", "update"]);
        tool::run(&mut command).map(drop).map_err(|error| {
            error.hint("is this machine on the network? `--offline` builds from the cache")
        })
    }

    /// The versions of a package that the archive has, best first.
    pub(crate) fn versions(&self, name: &str) -> Result<Vec<String>> {
        let mut command = APT_CACHE.command()?;
        command
            .env("APT_CONFIG", self.root.join("apt.conf"))
            .args(["madison", name]);
        let output = tool::run(&mut command)?;
        Ok(madison_versions(&String::from_utf8_lossy(&output.stdout)))
    }

    /// When the main suite was published, from its signed release file.
    pub(super) fn published(&self, archive: &Archive) -> Result<i64> {
        let suffix = format!("_dists_{}_InRelease", archive.suite);
        for entry in fs::read_dir(self.root.join("lists"))? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().ends_with(&suffix) {
                let text = fs::read_to_string(entry.path())?;
                let date = text.lines().find_map(|line| line.strip_prefix("Date: "));
                if let Some(date) = date.and_then(parse_release_date) {
                    return Ok(date);
                }
            }
        }
        Err(Error::bad_input(format!(
            "the release file of `{}` has no date",
            archive.suite
        )))
    }

    /// Resolves `names` together with the essential packages and downloads them all.
    pub(super) fn install(&self, names: &[String], task: &dyn Task) -> Result<Vec<Locked>> {
        let mut wanted = vec!["?essential".to_owned(), "apt".to_owned()];
        wanted.extend_from_slice(names);
        let mut command = self.resolve()?;
        command.arg("install").args(&wanted);
        let output = tool::run(&mut command).map_err(|error| {
            error.hint("a package of the list may not exist in this release: see the line above")
        })?;
        let packages = parse_uris(&String::from_utf8_lossy(&output.stdout))?;
        let mut command = self.command()?;
        command.args(["--download-only", "install"]).args(&wanted);
        self.watch(command, task)?;
        self.with_stanzas(packages)
    }

    /// Downloads the named packages alone, without what they depend on.
    pub(crate) fn download(&self, names: &[String], task: &dyn Task) -> Result<Vec<Locked>> {
        let output = tool::run(self.resolve()?.arg("download").args(names))?;
        let mut command = self.command()?;
        command
            .arg("download")
            .args(names)
            .current_dir(self.archives());
        self.watch(command, task)?;
        self.with_stanzas(parse_uris(&String::from_utf8_lossy(&output.stdout))?)
    }

    /// Looks up what the index says of each package.
    fn with_stanzas(&self, packages: Vec<Resolved>) -> Result<Vec<Locked>> {
        let mut command = APT_CACHE.command()?;
        command
            .env("APT_CONFIG", self.root.join("apt.conf"))
            .args(["show", "--no-all-versions"])
            .args(packages.iter().map(Resolved::spec));
        let output = tool::run(&mut command)?;
        lock(packages, &String::from_utf8_lossy(&output.stdout))
    }

    /// Runs a download and turns apt's status lines into notes.
    fn watch(&self, mut command: Command, task: &dyn Task) -> Result<()> {
        command.args(["-o", "APT::Status-Fd=1"]);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .or_error(ErrorKind::Failed, || "apt cannot be started".into())?;
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // dlstatus:<number>:<percent>:<text>
                if let Some(status) = line.strip_prefix("dlstatus:")
                    && let Some((percent, what)) = status
                        .split_once(':')
                        .and_then(|(_, rest)| rest.split_once(':'))
                {
                    task.note(&format!(
                        "{what} ({} %)",
                        percent.split('.').next().unwrap_or(percent)
                    ));
                }
            }
        }
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::failed("apt could not download everything")
            .caused_by(tool::tail(&String::from_utf8_lossy(&output.stderr)))
            .hint("run `cargo xtask fetch` again: what is already there is kept"))
    }
}

/// apt's configuration: every path below `root`, so that the host's own state is neither read nor
/// changed, and no root is needed.
fn configuration(root: &Path) -> Result<String> {
    let root = root
        .to_str()
        .filter(|path| !path.contains(['"', '\n']))
        .ok_or_else(|| {
            Error::bad_input(format!(
                "the cache path `{}` cannot be written down for apt",
                root.display()
            ))
            .hint("choose another with `CLAWDIE_CACHE`")
        })?;
    Ok(format!(
        r#"Dir "{root}";
Dir::Etc "{root}/etc";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "{root}/etc/apt.conf.d";
Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::trusted "/dev/null";
Dir::Etc::trustedparts "/dev/null";
Dir::Etc::preferencesparts "{root}/etc/preferences.d";
Dir::State "{root}/state";
Dir::State::lists "{root}/lists";
Dir::State::status "{root}/status";
Dir::Cache "{root}";
Dir::Cache::archives "{root}/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
Acquire::PDiffs "false";
Acquire::ForceHash "sha256";
Acquire::Retries "3";
Debug::NoLocking "true";
"#
    ))
}

/// A package that apt chose.
#[derive(Debug)]
struct Resolved {
    name: String,
    version: String,
    file: String,
    sha256: String,
}

impl Resolved {
    /// What names it on apt's command lines.
    fn spec(&self) -> String {
        format!("{}={}", self.name, self.version)
    }
}

/// Puts the stanzas of `index` to the packages they describe.
fn lock(packages: Vec<Resolved>, index: &str) -> Result<Vec<Locked>> {
    let stanzas: HashMap<&str, &str> = index
        .split("\n\n")
        .map(str::trim)
        .filter_map(|stanza| {
            let hash = stanza
                .lines()
                .find_map(|line| line.strip_prefix("SHA256: "))?;
            Some((hash.trim(), stanza))
        })
        .collect();
    packages
        .into_iter()
        .map(|package| {
            let stanza = stanzas.get(package.sha256.as_str()).ok_or_else(|| {
                Error::failed(format!(
                    "the archive's index has no stanza for `{}`",
                    package.spec()
                ))
            })?;
            Ok(Locked {
                stanza: (*stanza).to_owned(),
                name: package.name,
                version: package.version,
                file: package.file,
                sha256: package.sha256,
            })
        })
        .collect()
}

/// Reads `--print-uris`: `'uri' file size SHA256:hash` a line.
fn parse_uris(text: &str) -> Result<Vec<Resolved>> {
    let mut packages = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('\'')) {
        let fault = || Error::failed(format!("apt printed a line that is not understood: {line}"));
        let mut words = line.split_whitespace().skip(1);
        let file = words.next().ok_or_else(fault)?;
        let sha256 = words
            .nth(1)
            .and_then(|hash| hash.strip_prefix("SHA256:"))
            .ok_or_else(fault)?;
        let stem = file.strip_suffix(".deb").ok_or_else(fault)?;
        let mut parts = stem.split('_');
        let (Some(name), Some(version)) = (parts.next(), parts.next()) else {
            return Err(fault());
        };
        packages.push(Resolved {
            name: name.to_owned(),
            version: version.replace("%3a", ":"),
            file: file.to_owned(),
            sha256: sha256.to_owned(),
        });
    }
    if packages.is_empty() {
        return Err(Error::failed("apt resolved the packages to nothing"));
    }
    packages.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(packages)
}

/// Reads `apt-cache madison`: `name | version | where` a line.
fn madison_versions(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.split('|').nth(1))
        .map(|version| version.trim().to_owned())
        .collect()
}

/// `Sat, 06 Sep 2025 09:05:04 UTC`, as seconds since 1970.
fn parse_release_date(text: &str) -> Option<i64> {
    // RFC 2822 knows no zone called UTC.
    let text = text.replace("UTC", "+0000");
    jiff::fmt::rfc2822::parse(&text)
        .ok()
        .map(|date| date.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_dates_read() {
        assert_eq!(parse_release_date("Thu, 01 Jan 1970 00:00:00 UTC"), Some(0));
        assert_eq!(
            parse_release_date("Tue, 29 Feb 2000 12:34:56 UTC"),
            Some(951_827_696)
        );
        assert_eq!(
            parse_release_date("Sat, 06 Sep 2025 09:05:04 UTC"),
            Some(1_757_149_504)
        );
        assert_eq!(parse_release_date("yesterday"), None);
    }

    #[test]
    fn a_package_gets_the_stanza_with_its_hash() {
        let uris = "'http://x/dash_1_amd64.deb' dash_1_amd64.deb 97 SHA256:00ff\n";
        let index = "Package: sed\nSHA256: 11\n\nPackage: dash\nSHA256: 00ff\n\n";
        let locked = lock(parse_uris(uris).unwrap(), index).unwrap();
        assert_eq!(locked[0].stanza, "Package: dash\nSHA256: 00ff");
        assert_eq!(super::index(&locked), "Package: dash\nSHA256: 00ff\n\n");
        let error = lock(parse_uris(uris).unwrap(), "Package: dash\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the archive's index has no stanza for `dash=1`"
        );
    }

    #[test]
    fn the_versions_of_a_package_are_read() {
        let text = " rust-src | 1.96.1+dfsg1-2~bpo13+1 | http://x trixie-backports/main amd64 Packages\n \
            rust-src | 1.95.0+dfsg1-2~bpo13+1 | http://x trixie-backports/main amd64 Packages\n";
        assert_eq!(
            madison_versions(text),
            ["1.96.1+dfsg1-2~bpo13+1", "1.95.0+dfsg1-2~bpo13+1"]
        );
        assert!(madison_versions("").is_empty());
    }

    #[test]
    fn apts_lines_are_read() {
        let text = "Reading package lists...\n\
            'http://x/p/dash_0.5%3a1_amd64.deb' dash_0.5%3a1_amd64.deb 97 SHA256:00ff\n";
        let packages = parse_uris(text).unwrap();
        assert_eq!(packages[0].name, "dash");
        assert_eq!(packages[0].version, "0.5:1");
        assert_eq!(packages[0].sha256, "00ff");
        assert!(parse_uris("'http://x' broken\n").is_err());
        assert!(parse_uris("nothing to do\n").is_err());
    }
}
