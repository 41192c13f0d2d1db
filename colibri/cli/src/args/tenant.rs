//! The command line's words about tenants.

use std::path::PathBuf;

use colibri_protocol::{
    Capability, Name, OneTenant, RegisterTenant, Removal, RemoveTenant, ReplyError, RequestTenant,
    Runtime, SpawnAgent, TenantId, TenantLimits, TimeSpan, variable,
};

/// What a tenant is registered with.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct NewTenant {
    /// What it is called: 2 to 15 lower-case letters and digits
    #[arg(value_name = "TENANT")]
    pub(crate) tenant_id: TenantId,

    /// The exact name of its collection in the vault [default: the tenant's own
    /// name, if a vault is configured]
    #[arg(long, value_name = "NAME", conflicts_with = "no_collection")]
    collection: Option<String>,

    /// It gets no secrets from a vault
    #[arg(long)]
    no_collection: bool,

    /// Most memory, in MiB [default: 2048]
    #[arg(long, value_name = "MIB")]
    memory_mib: Option<u32>,

    /// Most processes and threads together [default: 512]
    #[arg(long, value_name = "N")]
    tasks: Option<u32>,

    /// Most processor time, in hundredths of one processor [default: 200]
    #[arg(long, value_name = "PERCENT")]
    cpu_percent: Option<u32>,

    /// How long it lives, such as 90s, 30m, 2h or 7d; then it is removed with
    /// everything that it has [default: for ever]
    #[arg(long, value_name = "SPAN")]
    ttl: Option<TimeSpan>,

    /// After how long without work it is stopped; it starts again when
    /// something is for it [default: never]
    #[arg(long, value_name = "SPAN")]
    idle_after: Option<TimeSpan>,
}

impl NewTenant {
    /// # Errors
    /// What the daemon would refuse.
    pub(crate) fn request(self) -> Result<RegisterTenant, ReplyError> {
        let usual = TenantLimits::default();
        let limits = TenantLimits {
            memory_mib: self.memory_mib.unwrap_or(usual.memory_mib),
            tasks: self.tasks.unwrap_or(usual.tasks),
            cpu_percent: self.cpu_percent.unwrap_or(usual.cpu_percent),
        };
        let new = RegisterTenant {
            tenant_id: self.tenant_id,
            collection: self.collection,
            no_collection: self.no_collection,
            limits: Some(limits).filter(|limits| *limits != usual),
            ttl: self.ttl,
            idle_after: self.idle_after,
        };
        new.check()?;
        Ok(new)
    }
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct WhichTenant {
    /// Its id
    #[arg(value_name = "TENANT")]
    pub(crate) tenant_id: TenantId,
}

impl From<WhichTenant> for OneTenant {
    fn from(WhichTenant { tenant_id }: WhichTenant) -> Self {
        Self { tenant_id }
    }
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OldTenant {
    /// Its id
    #[arg(value_name = "TENANT")]
    tenant_id: TenantId,

    #[command(flatten)]
    removal: HowRemoved,

    /// Only show what would be removed
    #[arg(long)]
    dry_run: bool,
}

/// What becomes of what it has written: one of these.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct HowRemoved {
    /// Put what it has written away, where root alone can read it
    #[arg(long)]
    archive: bool,

    /// Leave nothing of it
    #[arg(long)]
    destroy: bool,
}

impl From<OldTenant> for RemoveTenant {
    fn from(given: OldTenant) -> Self {
        Self {
            tenant_id: given.tenant_id,
            // The command line has one of the two.
            removal: match given.removal.destroy {
                true => Removal::Destroy,
                false => Removal::Archive,
            },
            dry_run: given.dry_run,
        }
    }
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Wish {
    /// What the new tenant is to be called
    #[arg(value_name = "TENANT")]
    tenant_id: TenantId,

    /// How long it is to live, such as 2h [default: the longest allowed]
    #[arg(long, value_name = "SPAN")]
    ttl: Option<TimeSpan>,
}

impl From<Wish> for RequestTenant {
    fn from(given: Wish) -> Self {
        Self {
            tenant_id: given.tenant_id,
            ttl: given.ttl,
        }
    }
}

/// A tenant and its first agent.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Join {
    #[command(flatten)]
    tenant: NewTenant,

    /// What its agent is called [default: as the tenant]
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,

    /// Which dialect the agent speaks, and so which program of the image it is:
    /// pi, zot or local
    #[arg(long, value_name = "RUNTIME", default_value = "pi")]
    runtime: Runtime,

    /// What the agent can do; may be given several times [default: shell, code
    /// and the system's name]
    #[arg(long = "capability", value_name = "NAME")]
    capabilities: Vec<Capability>,

    /// What it is asked first, at most 64 KiB
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,

    /// Its arguments [default: those with which it listens for prompts]
    #[arg(value_name = "ARGS", last = true)]
    args: Vec<String>,
}

impl Join {
    /// What is asked, in this order, with what is provisioned between.
    ///
    /// # Errors
    /// What the daemon would refuse.
    pub(crate) fn requests(self) -> Result<(RegisterTenant, SpawnAgent), ReplyError> {
        let new = self.tenant.request()?;
        let id = new.tenant_id.clone();
        let spawn = SpawnAgent {
            name: self.name.unwrap_or_else(|| id.clone().into()),
            runtime: self.runtime,
            program: PathBuf::from(match self.runtime {
                Runtime::Pi => variable::AGENT,
                Runtime::Zot => "/usr/local/bin/zot",
                Runtime::Local => "/usr/local/bin/colibri-test-agent",
            }),
            args: Some(self.args).filter(|args| !args.is_empty()),
            cwd: None,
            prompt: self.prompt,
            capabilities: match self.capabilities.is_empty() {
                true => Capability::usual().collect(),
                false => self.capabilities.into_iter().collect(),
            },
            restart: true,
            tenant: Some(id),
        };
        spawn.check()?;
        Ok((new, spawn))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use colibri_protocol::Command;

    use super::super::{Args, Verb};
    use super::*;

    fn read(words: &str) -> Result<Verb, clap::Error> {
        let words = ["colibri"].into_iter().chain(words.split_whitespace());
        Args::try_parse_from(words).map(|args| args.verb)
    }

    fn command(words: &str) -> Command {
        read(words).unwrap().command().unwrap().unwrap()
    }

    #[test]
    fn a_tenant_is_registered_with_what_is_not_usual() {
        let Command::RegisterTenant(new) = command("register-tenant main") else {
            panic!("another command");
        };
        assert_eq!(new, RegisterTenant::named("main".parse().unwrap()));
        let words = "register-tenant main --collection K --tasks 64 --ttl 120m --idle-after 30m";
        let Command::RegisterTenant(new) = command(words) else {
            panic!("another command");
        };
        assert_eq!(
            (new.collection.as_deref(), new.limits.unwrap().tasks),
            (Some("K"), 64)
        );
        assert_eq!(new.ttl.unwrap().to_string(), "2h");
        for (words, says) in [
            ("register-tenant Main", "no tenant"),
            ("register-tenant main --ttl 2", "no span of time"),
            (
                "register-tenant main --collection K --no-collection",
                "cannot be used with",
            ),
        ] {
            let error = read(words).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let few = read("register-tenant main --tasks 1")
            .unwrap()
            .command()
            .unwrap_err();
        assert!(few.message.contains("`tasks` is 1"), "{few}");
    }

    #[test]
    fn nothing_is_removed_without_a_word_on_what_becomes_of_it() {
        let error = read("remove-tenant main").unwrap_err().to_string();
        assert!(
            error.contains("--archive") && error.contains("--destroy"),
            "{error}"
        );
        assert!(read("remove-tenant main --archive --destroy").is_err());
        assert!(read("remove-tenant main --dry-run").is_err());
        let Command::RemoveTenant(remove) = command("remove-tenant main --archive --dry-run")
        else {
            panic!("another command");
        };
        assert_eq!((remove.removal, remove.dry_run), (Removal::Archive, true));
        let Command::RemoveTenant(remove) = command("remove-tenant main --destroy") else {
            panic!("another command");
        };
        assert_eq!((remove.removal, remove.dry_run), (Removal::Destroy, false));
        assert_eq!(command("rotate main"), command("rotate-tenant main"));
    }

    #[test]
    fn joining_is_a_tenant_and_an_agent_of_its_name() {
        let Verb::Join(join) = read("join main --no-collection -- --model m").unwrap() else {
            panic!("another verb");
        };
        let (new, spawn) = join.requests().unwrap();
        assert!(new.no_collection);
        assert_eq!(spawn.name.as_str(), "main");
        assert_eq!(spawn.program.to_str(), Some("/usr/local/bin/pi"));
        assert_eq!(spawn.tenant, "main".parse().ok());
        assert_eq!(spawn.args.unwrap(), ["--model", "m"]);
        assert!(spawn.restart && spawn.capabilities.len() == 3);
    }
}
