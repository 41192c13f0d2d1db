//! A server, a host that is set up for it, and a jail.

use std::path::{Path, PathBuf};
use std::time::Duration;

use colibri_vault::{Bootstrap, Places, Target, Vault, VaultError, Written, write_env};
use colibri_vault_server::bw::Bw;
use colibri_vault_server::{Server, State};

/// Longest that anything may take: the machine may be busy with others.
pub(crate) const LONG: Duration = Duration::from_secs(240);

/// All that one test needs.
pub(crate) struct Home {
    dir: tempfile::TempDir,
    pub(crate) server: Server,
    pub(crate) bw: Bw,
    pub(crate) bootstrap: Bootstrap,
}

impl Home {
    /// `None` where the real `bw` cannot be had, which is said.
    pub(crate) fn new(state: State) -> Option<Self> {
        let bw = match Bw::install(Path::new(env!("CARGO_TARGET_TMPDIR"))) {
            Ok(bw) => bw,
            Err(why) => {
                println!("NOT CHECKED: {why}");
                return None;
            }
        };
        let dir = tempfile::Builder::new()
            .prefix("colibri-vault-")
            .tempdir()
            .unwrap();
        let server = Server::start("127.0.0.1:0", &["127.0.0.1"], state.clone()).unwrap();
        std::fs::write(dir.path().join("ca.pem"), server.ca()).unwrap();
        let bootstrap = Bootstrap {
            server: format!("{}/", server.url("127.0.0.1")),
            client_id: state.client_id,
            client_secret: state.client_secret.into(),
            password: state.password.into(),
            canary: None,
        };
        let home = Self {
            dir,
            server,
            bw,
            bootstrap,
        };
        std::fs::create_dir_all(home.agent_home()).unwrap();
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(home.agent_home(), Some(1000), Some(1000)).unwrap();
        }
        Some(home)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The root of the jail `main`, wherever that is on this system.
    pub(crate) fn root(&self) -> PathBuf {
        colibri_vault::backup::root_of(&self.path("jails/main"))
    }

    fn agent_home(&self) -> PathBuf {
        self.root().join(Target::HOME)
    }

    pub(crate) fn env(&self) -> PathBuf {
        self.agent_home().join(".env")
    }

    pub(crate) fn read_env(&self) -> String {
        std::fs::read_to_string(self.env()).unwrap()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("state/bw/data.json")
    }

    pub(crate) fn places(&self) -> Places {
        Places {
            node: self.bw.node.clone(),
            script: self.bw.script.clone(),
            appdata: self.path("state/bw"),
            lock: self.path("state/lock"),
            ca: Some(self.path("ca.pem")),
        }
    }

    pub(crate) fn vault(&self) -> Vault {
        Vault::new(self.places(), self.bootstrap.clone()).with_limits(LONG, LONG)
    }

    pub(crate) fn target(&self) -> Target {
        Target::find(&self.path("jails"), &self.root()).unwrap()
    }

    /// Fetches and writes.
    pub(crate) fn provision(&self) -> Result<Written, VaultError> {
        let bucket = self.vault().fetch("main", false)?;
        write_env(&self.target(), &bucket)
    }

    /// It fails that way, and the `.env` is as before.
    pub(crate) fn fails(&self, kind: &str) -> VaultError {
        let before = std::fs::read(self.env()).ok();
        let error = self.provision().unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(std::fs::read(self.env()).ok(), before, "{kind}");
        self.is_locked();
        error
    }

    /// No session is left: what opens the vault is not in `bw`'s folder.
    pub(crate) fn is_locked(&self) {
        let Ok(data) = std::fs::read_to_string(self.data()) else {
            return;
        };
        assert!(!data.contains("_user_auto"), "the vault was left open");
    }
}
