//! A host's secrets in one encrypted file, so that a host that is lost takes none with it.
//!
//! What was generated or typed once, and is nowhere else: a tar archive, encrypted by the program `age` for public keys.
//! The private key is not on the host, so who takes the file from there cannot read it. `age` is run and not linked: its
//! library would bring fifty crates, and who reads a backup back needs the program anyway.
//!
//! ```text
//! age --decrypt --identity key.txt FILE | tar --extract
//! ```

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use secrecy::zeroize::Zeroizing;

use crate::{Target, VaultError, env, target};

/// Where `age` may be: FreeBSD's packages and an admin's own, then Debian's.
const AGE: [&str; 2] = ["/usr/local/bin/age", "/usr/bin/age"];

/// Largest file that is taken.
const MAX_FILE: u64 = 16 << 20;

/// A public key of age: `age1` and 58 letters and digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient(String);

impl std::str::FromStr for Recipient {
    type Err = VaultError;

    fn from_str(text: &str) -> Result<Self, VaultError> {
        let bad = |why: &str| VaultError::Recipient {
            given: text.chars().take(80).collect(),
            why: why.to_owned(),
        };
        if text.starts_with("AGE-SECRET-KEY-") {
            // Whoever has this line needs no key.
            return Err(VaultError::Recipient {
                given: "AGE-SECRET-KEY-…".to_owned(),
                why: "it is a private key: keep it away from this host".to_owned(),
            });
        }
        let rest = text
            .strip_prefix("age1")
            .ok_or_else(|| bad("it does not begin with `age1`"))?;
        let is_bech32 = |c: char| "qpzry9x8gf2tvdw0s3jn54khce6mua7l".contains(c);
        if rest.len() != 58 || !rest.chars().all(is_bech32) {
            return Err(bad("it is not `age1` and 58 letters and digits"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// What a backup has in it.
#[derive(Debug, Default)]
pub struct Contents {
    files: Vec<(String, Zeroizing<Vec<u8>>)>,
}

impl Contents {
    /// What there is of the host's own files, and the `.env` of every jail below `base`.
    ///
    /// # Errors
    /// [`VaultError::System`] when something is there and cannot be read whole, and those of a jail's `.env`.
    pub fn of_host(config: &Path, base: &Path) -> Result<Self, VaultError> {
        let mut contents = Self::default();
        for name in ["vault.env", "vault-ca.pem", "provider.env", "operator.json"] {
            contents.add_file(&format!("host/{name}"), &config.join(name))?;
        }
        let mut jails: Vec<PathBuf> = match std::fs::read_dir(base) {
            Ok(entries) => entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<io::Result<_>>()
                .map_err(VaultError::system("list", base))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(VaultError::system("list", base)(error)),
        };
        jails.sort();
        for jail in jails {
            let root = root_of(&jail);
            let home = Target::HOME.into();
            let name = jail
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let target = Target {
                base: base.to_owned(),
                root,
                uid: 0,
                gid: 0,
                home,
            };
            match target::raw(&target) {
                Ok(Some(bytes)) => contents.files.push((format!("tenants/{name}.env"), bytes)),
                // No tenant's jail: an image of machinectl's, a file.
                Ok(None) | Err(VaultError::NoRoot { .. }) => {}
                Err(VaultError::TargetEscapesRoot { .. }) if !target.root.is_dir() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(contents)
    }

    /// The names in it.
    pub fn names(&self) -> Vec<&str> {
        self.files.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn add_file(&mut self, name: &str, path: &Path) -> Result<(), VaultError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(VaultError::system("open", path)(error)),
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(env::MAX_FILE));
        // One more, to tell too much from just enough.
        file.take(MAX_FILE + 1)
            .read_to_end(&mut bytes)
            .map_err(VaultError::system("read", path))?;
        if bytes.len() as u64 > MAX_FILE {
            let why = format!("it has more than {MAX_FILE} bytes");
            let error = io::Error::new(io::ErrorKind::FileTooLarge, why);
            return Err(VaultError::system("take all of", path)(error));
        }
        self.files.push((name.to_owned(), bytes));
        Ok(())
    }

    fn to_tar(&self) -> io::Result<Zeroizing<Vec<u8>>> {
        // As large as it gets, so that no copy of half of it is left in memory.
        let len: usize = self.files.iter().map(|(_, bytes)| bytes.len() + 1024).sum();
        let mut archive = tar::Builder::new(Vec::with_capacity(len + 1024));
        for (name, bytes) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o600);
            header.set_size(bytes.len() as u64);
            archive.append_data(&mut header, name, bytes.as_slice())?;
        }
        archive.into_inner().map(Zeroizing::new)
    }

    /// Encrypts it into a file, 0600, which is replaced when it is there.
    ///
    /// # Errors
    /// [`VaultError::Age`] when `age` is not here or refuses, and [`VaultError::System`]; the old file is then as before.
    pub fn write(&self, to: &Path, recipients: &[Recipient]) -> Result<(), VaultError> {
        let age = AGE.iter().map(Path::new).find(|path| path.is_file());
        let age = age.ok_or_else(|| VaultError::Age {
            why: format!("it is neither {} nor {}", AGE[0], AGE[1]),
        })?;
        let mut new = to.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        let _ = std::fs::remove_file(&new);
        let file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)
            .map_err(VaultError::system("make", &new))?;
        let written = self.encrypt(age, &file, recipients).and_then(|()| {
            file.sync_all()
                .and_then(|()| std::fs::rename(&new, to))
                .map_err(VaultError::system("write", to))
        });
        if written.is_err() {
            let _ = std::fs::remove_file(&new);
            return written;
        }
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(VaultError::system("sync", folder))
    }

    fn encrypt(&self, age: &Path, file: &File, recipients: &[Recipient]) -> Result<(), VaultError> {
        let archive = self.to_tar().map_err(VaultError::system("pack for", age))?;
        let mut command = Command::new(age);
        command.arg("--encrypt");
        for recipient in recipients {
            command.args(["--recipient", &recipient.0]);
        }
        let out = file.try_clone().map_err(VaultError::system("start", age))?;
        let mut child = command
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(Stdio::piped())
            .spawn()
            .map_err(VaultError::system("start", age))?;
        // One that ends early says why by its status.
        let fed = child
            .stdin
            .take()
            .map_or(Ok(()), |mut pipe| pipe.write_all(&archive));
        let output = child
            .wait_with_output()
            .map_err(VaultError::system("wait for", age))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(VaultError::Age {
                why: format!("{}: {}", output.status, crate::reply::clipped(&said)),
            });
        }
        fed.map_err(VaultError::system("feed", age))
    }
}

/// The root within a jail's folder below the base.
pub fn root_of(jail: &Path) -> PathBuf {
    if cfg!(target_os = "freebsd") {
        jail.join("root")
    } else {
        jail.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    /// A key pair of nobody.
    const PUBLIC: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    fn host() -> (tempfile::TempDir, Contents) {
        let dir = tempfile::tempdir().unwrap();
        let (config, base) = (dir.path().join("etc"), dir.path().join("jails"));
        std::fs::create_dir(&config).unwrap();
        std::fs::write(config.join("provider.env"), "OPENAI_API_KEY='hunter2'\n").unwrap();
        for name in ["anna", "main"] {
            let home = root_of(&base.join(name)).join(Target::HOME);
            std::fs::create_dir_all(&home).unwrap();
            std::fs::write(home.join(".env"), format!("KEY='of {name}'\n")).unwrap();
        }
        std::fs::create_dir_all(base.join("empty")).unwrap();
        std::fs::write(base.join("image.raw"), "").unwrap();
        let contents = Contents::of_host(&config, &base).unwrap();
        (dir, contents)
    }

    #[test]
    fn recipients_are_public_keys_and_nothing_that_looks_like_a_flag() {
        assert!(PUBLIC.parse::<Recipient>().is_ok());
        for wrong in [
            "",
            "--help",
            "age1",
            "ssh-ed25519 AAAA",
            &PUBLIC.to_uppercase(),
            &PUBLIC[..61],
        ] {
            assert!(wrong.parse::<Recipient>().is_err(), "{wrong}");
        }
        let private = "AGE-SECRET-KEY-1HUNTER2".parse::<Recipient>().unwrap_err();
        assert!(!private.to_string().contains("HUNTER2"), "{private}");
    }

    #[test]
    fn what_there_is_of_a_host_is_packed_and_links_are_not() {
        let (dir, contents) = host();
        assert_eq!(
            contents.names(),
            ["host/provider.env", "tenants/anna.env", "tenants/main.env"]
        );
        let packed = contents.to_tar().unwrap();
        let mut archive = tar::Archive::new(packed.as_slice());
        let texts: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut text = String::new();
                entry.unwrap().read_to_string(&mut text).unwrap();
                text
            })
            .collect();
        assert_eq!(texts[1], "KEY='of anna'\n");

        let env = root_of(&dir.path().join("jails/main"))
            .join(Target::HOME)
            .join(".env");
        std::fs::remove_file(&env).unwrap();
        std::os::unix::fs::symlink(dir.path().join("etc/provider.env"), &env).unwrap();
        let error =
            Contents::of_host(&dir.path().join("etc"), &dir.path().join("jails")).unwrap_err();
        assert_eq!(error.kind(), "target-in-the-way");
    }

    #[test]
    fn what_cannot_be_taken_whole_is_an_error_and_any_bytes_are_taken_as_they_are() {
        let (dir, _) = host();
        let (config, base) = (dir.path().join("etc"), dir.path().join("jails"));
        let packed = || Contents::of_host(&config, &base);
        let env = root_of(&base.join("main")).join(Target::HOME).join(".env");
        let no_text = b"KEY='\xff\xfe'\n";
        std::fs::write(&env, no_text).unwrap();
        assert_eq!(packed().unwrap().files[2].1.as_slice(), no_text);

        for (len, is_taken) in [(env::MAX_FILE, true), (env::MAX_FILE + 1, false)] {
            std::fs::write(&env, "#".repeat(len)).unwrap();
            match packed() {
                Ok(contents) => assert!(is_taken && contents.files[2].1.len() == len),
                Err(error) => assert!(!is_taken && error.kind() == "env-file", "{error}"),
            }
        }
        std::fs::write(&env, "").unwrap();

        let own = File::create(config.join("operator.json")).unwrap();
        own.set_len(MAX_FILE).unwrap();
        assert_eq!(packed().unwrap().files[1].1.len() as u64, MAX_FILE);
        own.set_len(MAX_FILE + 1).unwrap();
        let error = packed().unwrap_err();
        assert_eq!(error.kind(), "system");
        assert!(error.to_string().contains("operator.json"), "{error}");
    }

    /// By the real program, with a key that it makes.
    #[test]
    fn itself_takes_a_backup_back() {
        let keygen = ["/usr/local/bin/age-keygen", "/usr/bin/age-keygen"];
        let Some(keygen) = keygen.iter().find(|path| Path::new(path).is_file()) else {
            println!("NOT CHECKED: this machine has no age");
            return;
        };
        let (dir, contents) = host();
        let (key, file) = (dir.path().join("key.txt"), dir.path().join("backup.age"));
        let made = Command::new(keygen).arg("-o").arg(&key).output().unwrap();
        assert!(made.status.success());
        let public = Command::new(keygen).arg("-y").arg(&key).output().unwrap();
        let public = String::from_utf8(public.stdout).unwrap();
        std::fs::write(&file, "old").unwrap();
        contents
            .write(&file, &[public.trim().parse().unwrap()])
            .unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        let sealed = std::fs::read(&file).unwrap();
        assert!(!sealed.windows(7).any(|bytes| bytes == b"hunter2"));
        let age = keygen.strip_suffix("-keygen").unwrap();
        let opened = Command::new(age)
            .args(["--decrypt", "--identity"])
            .args([&key, &file])
            .output()
            .unwrap();
        assert_eq!(opened.stdout, *contents.to_tar().unwrap());

        // A key that is none: the old file stays.
        let wrong = Recipient(PUBLIC.replace("age1q", "age1p"));
        let error = contents.write(&file, &[wrong]).unwrap_err();
        assert_eq!(error.kind(), "age");
        assert_eq!(std::fs::read(&file).unwrap(), sealed);
        assert!(!dir.path().join("backup.age.new").exists());
    }
}
