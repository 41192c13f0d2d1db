//! How the host gets into the vault.

use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

use crate::{VaultError, env};

const SERVER: &str = "VAULT_SERVER";
const CLIENT_ID: &str = "BW_CLIENTID";
const CLIENT_SECRET: &str = "BW_CLIENTSECRET";
const PASSWORD: &str = "BW_PASSWORD";
const CANARY: &str = "VAULT_CANARY";

/// How the host gets into the vault.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// The server: `https://…`.
    pub server: String,
    /// `user.…`
    pub client_id: String,
    /// The secret of the API key.
    pub client_secret: SecretString,
    /// The account's master password.
    pub password: SecretString,
    /// The name of an item that every collection must have, and that is not handed on: an answer without it is
    /// taken for a failure.
    pub canary: Option<String>,
}

impl Bootstrap {
    /// What `path` says; `None` when there is no such file.
    ///
    /// # Errors
    /// [`VaultError::Bootstrap`] when it is not a file of this account (root, for `colibri-hostd`) with the mode
    /// 0600, or lacks something.
    pub fn read(path: &Path) -> Result<Option<Self>, VaultError> {
        let opened = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags((nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK).bits())
            .open(path);
        let mut file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(VaultError::system("open", path)(error)),
        };
        let bad = |why: String| VaultError::Bootstrap {
            path: path.to_owned(),
            why,
        };
        let meta = file
            .metadata()
            .map_err(VaultError::system("look at", path))?;
        if !meta.is_file() {
            return Err(bad("it is no file".to_owned()));
        }
        let me = nix::unistd::geteuid().as_raw();
        if meta.uid() != me {
            return Err(bad(format!(
                "it belongs to account {}, and must to {me}",
                meta.uid()
            )));
        }
        if meta.mode() & 0o7777 != 0o600 {
            return Err(bad(format!(
                "its mode is {:o}, and must be 600",
                meta.mode() & 0o7777
            )));
        }
        let mut text = Zeroizing::new(String::with_capacity(env::MAX_FILE + 1));
        (&mut file)
            .take(env::MAX_FILE as u64 + 1)
            .read_to_string(&mut text)
            .map_err(VaultError::system("read", path))?;
        Self::parse(&text).map(Some).map_err(bad)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (mut server, mut id, mut secret, mut password, mut canary) =
            (None, None, None, None, None);
        let found = env::assignments(text)
            .map_err(|fault| format!("line {}: {}", fault.line, fault.why))?;
        for (line, name, value) in found {
            let place = match name.as_str() {
                SERVER => &mut server,
                CLIENT_ID => &mut id,
                CLIENT_SECRET => &mut secret,
                PASSWORD => &mut password,
                CANARY => &mut canary,
                other => return Err(format!("line {line}: `{other}` is not known here")),
            };
            *place = Some(value);
        }
        let needed =
            |value: Option<SecretString>, name: &str| value.ok_or(format!("`{name}` is missing"));
        let plain = |value: SecretString| value.expose_secret().to_owned();
        let bootstrap = Self {
            server: plain(needed(server, SERVER)?),
            client_id: plain(needed(id, CLIENT_ID)?),
            client_secret: needed(secret, CLIENT_SECRET)?,
            password: needed(password, PASSWORD)?,
            canary: canary.map(plain),
        };
        bootstrap.check()?;
        Ok(bootstrap)
    }

    fn check(&self) -> Result<(), String> {
        normalised(&self.server)?;
        let account = self.client_id.strip_prefix("user.");
        if !account.is_some_and(is_uuid) {
            return Err(format!(
                "`{CLIENT_ID}` is not `user.` and a UUID: only a member's own API key works, an organisation's does not"
            ));
        }
        Ok(())
    }

    /// The file, as [`Bootstrap::read`] reads it.
    ///
    /// # Errors
    /// [`VaultError::Bootstrap`] when a value cannot stand there: one with a NUL, or a server that is not `https://`.
    pub fn to_env(&self) -> Result<SecretString, VaultError> {
        let plain = |text: &str| SecretString::from(text);
        let mut all = vec![
            (SERVER, plain(&self.server)),
            (CLIENT_ID, plain(&self.client_id)),
            (CLIENT_SECRET, self.client_secret.clone()),
            (PASSWORD, self.password.clone()),
        ];
        all.extend(self.canary.as_deref().map(|name| (CANARY, plain(name))));
        let bad = |why: String| VaultError::Bootstrap {
            path: crate::BOOTSTRAP.into(),
            why,
        };
        for (name, value) in &all {
            env::check_value(value.expose_secret())
                .map_err(|why| bad(format!("`{name}` {why}")))?;
        }
        self.check().map_err(bad)?;
        Ok(env::write(all.iter().map(|(name, value)| (*name, value))))
    }

    /// The account's UUID.
    pub(crate) fn account(&self) -> &str {
        self.client_id.strip_prefix("user.").unwrap_or_default()
    }

    /// Takes the secrets out of a text that is shown.
    pub(crate) fn without_secrets(&self, text: &str) -> String {
        [&self.client_secret, &self.password]
            .iter()
            .fold(text.to_owned(), |text, secret| {
                text.replace(secret.expose_secret(), "(secret)")
            })
    }
}

/// A server's address as `bw` keeps it.
///
/// # Errors
/// The rule that it breaks.
pub(crate) fn normalised(server: &str) -> Result<String, String> {
    let rule =
        || format!("`{SERVER}` must be `https://` and a host, and perhaps a port and a folder");
    let (scheme, rest) = server.split_once("://").unwrap_or(("https", server));
    let (host, folder) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let is_plain = |c: char| c.is_ascii_graphic() && !"@?#\\\"'<>`".contains(c);
    if !scheme.eq_ignore_ascii_case("https") || host.is_empty() || !rest.chars().all(is_plain) {
        return Err(rule());
    }
    let host = host.to_ascii_lowercase();
    Ok(format!("https://{host}{}", folder.trim_end_matches('/')))
}

/// 8-4-4-4-12 hexadecimal digits: with anything else as a collection's id, `bw` gives nothing, or everything.
pub(crate) fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts
            .iter()
            .all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const ID: &str = "user.9af21132-9b2f-482e-8efe-906062c73008";

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.env");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    fn text() -> String {
        format!(
            "VAULT_SERVER=https://vault.example.org/\nBW_CLIENTID={ID}\nBW_CLIENTSECRET='s'\nBW_PASSWORD='it is $'\n"
        )
    }

    #[test]
    fn what_is_written_is_read_and_nothing_of_it_shown() {
        let (_folder, path) = file(&text(), 0o600);
        let read = Bootstrap::read(&path).unwrap().unwrap();
        assert_eq!(read.server, "https://vault.example.org/");
        assert!(!format!("{read:?}").contains("it is"), "{read:?}");
        let written = read.to_env().unwrap();
        let (_folder, again) = file(written.expose_secret(), 0o600);
        let again = Bootstrap::read(&again).unwrap().unwrap();
        assert_eq!(again.password.expose_secret(), "it is $");
        assert!(
            Bootstrap::read(Path::new("/no/such/vault.env"))
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn others_files_and_halves_are_refused() {
        let (_folder, path) = file(&text(), 0o640);
        let error = Bootstrap::read(&path).unwrap_err().to_string();
        assert!(
            error.ends_with("its mode is 640, and must be 600"),
            "{error}"
        );
        for (from, to, rule) in [
            (
                "BW_PASSWORD",
                "BW_PASSWROD",
                "`BW_PASSWROD` is not known here",
            ),
            ("BW_PASSWORD='it is $'\n", "", "`BW_PASSWORD` is missing"),
            ("https", "http", "must be `https://`"),
            ("user.9", "organization.9", "an organisation's does not"),
            ("'s'", "''", "has an empty value"),
        ] {
            let (_folder, path) = file(&text().replace(from, to), 0o600);
            let error = Bootstrap::read(&path).unwrap_err();
            assert_eq!(error.kind(), "bootstrap");
            assert!(error.to_string().contains(rule), "{error}");
        }
        let (folder, path) = file(&text(), 0o600);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(Bootstrap::read(&link).is_err());
    }

    #[test]
    fn servers_are_compared_as_bw_keeps_them() {
        for server in ["https://h/", "HTTPS://H", "h", "https://h//"] {
            assert_eq!(normalised(server).unwrap(), "https://h", "{server}");
        }
        assert_eq!(
            normalised("https://h:8443/vault/").unwrap(),
            "https://h:8443/vault"
        );
        for wrong in [
            "http://h",
            "https://",
            "https://a b",
            "https://me@h",
            "ftp://h",
            "",
        ] {
            assert!(normalised(wrong).is_err(), "{wrong}");
        }
    }
}
