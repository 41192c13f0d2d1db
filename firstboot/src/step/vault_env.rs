//! How the host gets into the vault, for the root helper alone: nobody else may read it, and it never goes into a jail.

use std::path::Path;

use colibri_vault::Bootstrap;
use secrecy::ExposeSecret as _;

use super::{Context, Step, StepError, Wanted};
use crate::environment;
use crate::host::Setting;
use crate::setup::Key;

/// An admin may have named an item that every collection must have; no line of `setup.txt` does.
const CANARY: &str = "VAULT_CANARY";

pub(super) struct VaultEnv;

impl Step for VaultEnv {
    fn name(&self) -> &'static str {
        "vault-env"
    }

    fn title(&self) -> &'static str {
        "Vault credentials"
    }

    fn wanted(&self, cx: &Context) -> Result<Wanted, StepError> {
        let setup = cx.setup()?;
        let path = cx.host.paths().vault_env;
        let (Some(server), Some(client_id), Some(client_secret), Some(password)) = (
            setup.get(Key::VaultServer),
            setup.get(Key::BwClientid),
            setup.secret(Key::BwClientsecret),
            setup.secret(Key::BwPassword),
        ) else {
            return Ok(Wanted::Nothing("no `VAULT_SERVER`".into()));
        };
        let here = cx.host.read(Path::new(path))?.unwrap_or_default();
        let canary = environment::read(&String::from_utf8_lossy(&here))
            .into_iter()
            .find(|(name, _)| name == CANARY);
        let bootstrap = Bootstrap {
            server: server.to_owned(),
            client_id: client_id.to_owned(),
            client_secret: client_secret.clone(),
            password: password.clone(),
            canary: canary.map(|(_, item)| item.expose_secret().to_owned()),
        };
        Ok(Wanted::Settings(vec![Setting::SecretFile {
            path,
            content: bootstrap.to_env()?,
        }]))
    }

    fn act(&self, cx: &Context, wanted: &Wanted) -> Result<(), StepError> {
        for setting in wanted.settings() {
            cx.host.apply(setting)?;
        }
        cx.is_to_be_provisioned.set(true);
        Ok(())
    }
}
