//! The whole way from the lock to a bucket.

use std::path::PathBuf;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use crate::appdata::Appdata;
use crate::bootstrap::{is_uuid, normalised};
use crate::bw::{Bw, shown};
use crate::lock::Lock;
use crate::reply::{self, Collection, Done, Status, Unlocked};
use crate::{Bootstrap, Bucket, VaultError};

/// How long a call of `bw` may take: on a slow host, an unlock of 600,000 rounds alone takes a minute.
const CALL: Duration = Duration::from_secs(300);

/// How long we wait for another who uses the vault: a flow takes 25 seconds where two processors are busy.
const WAIT: Duration = Duration::from_secs(180);

/// When Vaultwarden takes the next login, once ten came in a row. `bw` does not hand on what the server says.
const NEXT_LOGIN: Duration = Duration::from_secs(60);

/// `bw` notes when it began to ask the server, to the millisecond; more than that is another time.
const SLACK: SignedDuration = SignedDuration::from_millis(5);

/// Where things lie.
#[derive(Debug, Clone)]
pub struct Places {
    /// Node.
    pub node: PathBuf,
    /// The script of `bw` that it runs.
    pub script: PathBuf,
    /// `bw`'s own folder, with the encrypted vault and the API key in clear: made 0700, for this account alone.
    pub appdata: PathBuf,
    /// Held while `bw` is used; its folder is made 0700.
    pub lock: PathBuf,
    /// What `bw` trusts besides the usual authorities.
    pub ca: Option<PathBuf>,
}

impl Places {
    /// Those of the image.
    pub fn of_host() -> Self {
        let state = PathBuf::from(if cfg!(target_os = "freebsd") {
            "/var/db/colibri-vault"
        } else {
            "/var/lib/colibri-vault"
        });
        let node = ["/usr/local/bin/node", "/usr/bin/node"].map(PathBuf::from);
        let own_ca = PathBuf::from(crate::CA);
        Self {
            // A package of FreeBSD's or an admin's own, then Debian's.
            node: node
                .iter()
                .find(|node| node.is_file())
                .unwrap_or(&node[1])
                .clone(),
            script: crate::SCRIPT.into(),
            appdata: state.join("bw"),
            lock: state.join("lock"),
            ca: own_ca.is_file().then_some(own_ca),
        }
    }
}

/// The vault. It holds nothing open: each call is a whole run, under the lock, and ends with the vault locked.
#[derive(Debug)]
pub struct Vault {
    places: Places,
    bootstrap: Bootstrap,
    call: Duration,
    wait: Duration,
}

/// What the host's account sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The server, as `bw` has it.
    pub server: String,
    /// The names of all collections, sorted.
    pub collections: Vec<String>,
}

impl Vault {
    /// Nothing is done yet.
    pub fn new(places: Places, bootstrap: Bootstrap) -> Self {
        Self {
            places,
            bootstrap,
            call: CALL,
            wait: WAIT,
        }
    }

    /// The same with other limits: for each call of `bw`, and for how long another one is waited for.
    pub fn with_limits(self, call: Duration, wait: Duration) -> Self {
        Self { call, wait, ..self }
    }

    /// Goes all the way but for the items.
    ///
    /// # Errors
    /// Any but those of items and targets.
    pub fn check(&self) -> Result<Seen, VaultError> {
        let mut flow = self.begin()?;
        flow.open(false)?;
        let mut collections: Vec<String> = flow
            .collections()?
            .into_iter()
            .map(|one| one.name)
            .collect();
        collections.sort();
        Ok(Seen {
            server: flow.server.clone(),
            collections,
        })
    }

    /// The secrets of the collection of exactly that name. A `fresh` one comes from a vault that was got from the server
    /// anew, even if the server says that nothing changed; that costs a download, and no login.
    ///
    /// # Errors
    /// Any but those of targets.
    pub fn fetch(&self, collection: &str, fresh: bool) -> Result<Bucket, VaultError> {
        let mut flow = self.begin()?;
        flow.open(fresh)?;
        let collections = flow.collections()?;
        let seen = collections.len();
        let mut called: Vec<Collection> = collections
            .into_iter()
            .filter(|one| one.name == collection)
            .collect();
        let found = match (called.pop(), called.len()) {
            (Some(found), 0) => found,
            (None, _) => {
                return Err(VaultError::CollectionNotFound {
                    name: collection.to_owned(),
                    seen,
                });
            }
            (_, others) => {
                return Err(VaultError::CollectionAmbiguous {
                    name: collection.to_owned(),
                    count: others + 1,
                });
            }
        };
        flow.items(collection, &found.id)
    }

    /// Everything that is checked before `bw` runs.
    fn begin(&self) -> Result<Flow<'_>, VaultError> {
        Bw::is_tested(&self.places)?;
        let server = normalised(&self.bootstrap.server).map_err(|why| VaultError::Bootstrap {
            path: crate::BOOTSTRAP.into(),
            why,
        })?;
        let lock = Lock::take(&self.places.lock, self.wait)?;
        let appdata = Appdata::open(&self.places.appdata)?;
        Ok(Flow {
            bootstrap: &self.bootstrap,
            server,
            appdata,
            bw: Bw {
                places: &self.places,
                lock,
                limit: self.call,
            },
            session: None,
            is_open: false,
            user: String::new(),
        })
    }
}

/// Reads what a call says, by the call's name: what it gives, or `bw`'s own message.
type Read<D> = fn(&str, &[u8]) -> Result<Result<D, String>, VaultError>;

/// One run. The vault is locked when it goes.
struct Flow<'a> {
    bootstrap: &'a Bootstrap,
    server: String,
    appdata: Appdata<'a>,
    bw: Bw<'a>,
    session: Option<SecretString>,
    /// Whether the vault may be open.
    is_open: bool,
    /// The account's id, as `bw` has it.
    user: String,
}

impl Flow<'_> {
    /// Logged in, unlocked, and in step with the server.
    fn open(&mut self, fresh: bool) -> Result<(), VaultError> {
        let mut status = self.status()?;
        let mut logged_in = false;
        let is_other = |status: &Status| {
            let user = status.user_id.as_deref();
            user.is_some_and(|user| !user.eq_ignore_ascii_case(self.bootstrap.account()))
        };
        if status.status != "unauthenticated" && is_other(&status) {
            tracing::warn!("bw is logged in as another account than vault.env says: it logs out");
            self.log_out()?;
            status = self.status()?;
        }
        if status.status == "unauthenticated" {
            self.log_in(&status)?;
            logged_in = true;
        }
        let opened = self.unlock_and_sync(fresh);
        let Err(error) = opened else {
            return Ok(());
        };
        // The stored session may be of an older API key or password, or was ended by the server. A new login tells.
        let may_be_old = matches!(
            error,
            VaultError::LoginRefused { .. }
                | VaultError::PasswordRefused
                | VaultError::SessionEnded
        );
        if logged_in || !may_be_old {
            return Err(error);
        }
        tracing::warn!(%error, "bw logs in anew");
        self.session = None;
        self.log_out()?;
        self.is_open = false;
        let status = self.status()?;
        self.log_in(&status)?;
        self.unlock_and_sync(fresh)
    }

    /// What `bw` thinks, and only if it thinks of our server or of none.
    fn status(&mut self) -> Result<Status, VaultError> {
        let status = reply::status(&self.bw.call(&["status"], &[])?)?;
        let is_fresh = status.status == "unauthenticated" && status.server_url.is_none();
        match &status.server_url {
            Some(found) if *found != self.server => {
                return Err(VaultError::ServerMismatch {
                    configured: self.server.clone(),
                    found: found.clone(),
                });
            }
            _ if is_fresh => {}
            _ => self.is_ours()?,
        }
        self.user = status.user_id.clone().unwrap_or_default();
        Ok(status)
    }

    /// Sets the server where none is set, and logs in. After each step it is looked up in `bw`'s own file whether it
    /// leads to our server alone: that is where `status` has it from, and takes no second.
    fn log_in(&mut self, status: &Status) -> Result<(), VaultError> {
        if status.server_url.is_none() {
            let server = self.server.clone();
            self.done(&["config", "server", &server], &[])?;
        }
        self.is_ours()?;
        let id = SecretString::from(self.bootstrap.client_id.as_str());
        let bootstrap = self.bootstrap;
        // What it says has a session's key in it.
        self.done(
            &["login", "--apikey"],
            &[
                ("BW_CLIENTID", &id),
                ("BW_CLIENTSECRET", &bootstrap.client_secret),
            ],
        )?;
        self.is_ours()?;
        self.user = self.appdata.account()?.ok_or_else(|| VaultError::Reply {
            call: "login".to_owned(),
            why: "says that it succeeded, and is not logged in".to_owned(),
        })?;
        Ok(())
    }

    fn is_ours(&self) -> Result<(), VaultError> {
        if self.appdata.leads_only_to(&self.server)? {
            return Ok(());
        }
        Err(VaultError::ServerMismatch {
            configured: self.server.clone(),
            found: "another server, or several".to_owned(),
        })
    }

    fn log_out(&mut self) -> Result<(), VaultError> {
        match self.done(&["logout"], &[]) {
            // The server's refusal may have logged it out already.
            Err(VaultError::SessionEnded) => Ok(()),
            other => other,
        }
    }

    fn unlock_and_sync(&mut self, fresh: bool) -> Result<(), VaultError> {
        let bootstrap = self.bootstrap;
        // Also when it was ended in the middle, or says what nobody understands.
        self.is_open = true;
        let said = self.bw.call(
            &["unlock", "--passwordenv", "BW_PASSWORD"],
            &[("BW_PASSWORD", &bootstrap.password)],
        )?;
        let unlocked = reply::data::<Unlocked>("unlock", &said)?.map_err(|message| {
            self.is_open = false;
            self.refusal("unlock", &message)
        })?;
        self.session = Some(unlocked.raw);
        let before = Timestamp::now();
        let sync: &[&str] = if fresh {
            &["sync", "--force"]
        } else {
            &["sync"]
        };
        self.ask_with_session(sync, reply::data::<Done>)?;
        // By this host's own clock.
        let synced = self.appdata.last_sync(&self.user)?;
        if synced.is_none_or(|at| at < before - SLACK) {
            return Err(VaultError::SyncFailed {
                why: "bw says that it succeeded, and has not asked the server".to_owned(),
            });
        }
        Ok(())
    }

    fn collections(&mut self) -> Result<Vec<Collection>, VaultError> {
        self.ask_with_session(&["list", "collections"], reply::list)
    }

    fn items(&mut self, name: &str, id: &str) -> Result<Bucket, VaultError> {
        if !is_uuid(id) {
            return Err(VaultError::Reply {
                call: "list collections".to_owned(),
                why: format!("gives `{name}` an id that is no UUID"),
            });
        }
        let items: Vec<reply::Item> =
            self.ask_with_session(&["list", "items", "--collectionid", id], reply::list)?;
        let mut missing = self.appdata.items(&self.user, id)?;
        for item in &items {
            missing.remove(&item.id);
        }
        if let Some(lost) = missing.first() {
            return Err(VaultError::Item {
                item: lost.clone(),
                why: format!(
                    "is in `{name}`, and bw cannot decrypt it: {} are missing",
                    missing.len()
                ),
            });
        }
        let bucket = Bucket::of_items(name, id, items, self.bootstrap.canary.as_deref())?;
        self.appdata.tidy();
        Ok(bucket)
    }

    /// A call of which only the success counts.
    fn done(&mut self, args: &[&str], secrets: &[(&str, &SecretString)]) -> Result<(), VaultError> {
        self.ask(args, secrets, reply::data::<Done>).map(drop)
    }

    /// A call of the unlocked vault.
    fn ask_with_session<D>(&mut self, args: &[&str], read: Read<D>) -> Result<D, VaultError> {
        let session = self.session.clone();
        let secrets = session.as_ref().map(|key| ("BW_SESSION", key));
        self.ask(args, secrets.as_slice(), read)
    }

    /// A call, and what it says as `read` has it.
    fn ask<D>(
        &mut self,
        args: &[&str],
        secrets: &[(&str, &SecretString)],
        read: Read<D>,
    ) -> Result<D, VaultError> {
        let said = self.bw.call(args, secrets)?;
        let call = shown(args);
        read(&call, &said)?.map_err(|message| self.refusal(&call, &message))
    }

    /// What a message of `bw` means.
    fn refusal(&self, call: &str, message: &str) -> VaultError {
        let message = self.bootstrap.without_secrets(message);
        let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
        let server = self.server.clone();
        if has(&["Rate limit exceeded"]) {
            return VaultError::RateLimited {
                server,
                wait: NEXT_LOGIN,
            };
        }
        if has(&[
            "client_secret",
            "client_id",
            "Invalid API Key",
            "invalid_client",
        ]) {
            return VaultError::LoginRefused {
                server,
                why: message,
            };
        }
        if call == "unlock"
            && has(&[
                "Cryptography error",
                "decryption",
                "Invalid master password",
            ])
        {
            return VaultError::PasswordRefused;
        }
        if has(&[
            "You are not logged in",
            "401",
            "unauthorized",
            "Unauthorized",
            "Stamp has changed",
        ]) {
            return VaultError::SessionEnded;
        }
        if has(&[
            "certificate",
            "self-signed",
            "self signed",
            "CERT_",
            "ERR_TLS",
        ]) {
            return VaultError::Untrusted {
                server,
                why: message,
            };
        }
        if has(&[
            "FetchError",
            "ECONN",
            "ENOTFOUND",
            "EAI_AGAIN",
            "ETIMEDOUT",
            "EHOSTUNREACH",
            "ENETUNREACH",
            "socket hang up",
        ]) {
            return VaultError::Unreachable {
                server,
                why: message,
            };
        }
        if call == "sync" {
            return VaultError::SyncFailed { why: message };
        }
        VaultError::Client {
            call: call.to_owned(),
            message,
        }
    }
}

impl Drop for Flow<'_> {
    fn drop(&mut self) {
        if self.is_open
            && let Err(error) = self.done(&["lock"], &[])
        {
            tracing::warn!(%error, "bw's vault could not be locked; its session's key is gone all the same");
        }
    }
}
