//! The tenant of the assistant: its jail, its secrets, and its agent.

use colibri_host::{ErrorKind, HostError};

use super::*;

const NO_VAULT: &str = "sk-or-v1-CANARY0123456789abcdef0123456789abcdef";
const VAULT_ENV: &str = "file /etc/colibri/vault.env";

/// A host that has everything that an agent needs.
fn with_agent(setup: &str) -> Recording {
    let host = Recording::fresh(Some(setup));
    put_program(&host, colibri_protocol::variable::AGENT);
    put_program(&host, "/usr/bin/node");
    host
}

fn vault() -> String {
    include_str!("../../../tests/setup/good/vault.txt").to_owned()
}

fn with_vault(setup: &str) -> Recording {
    let host = with_agent(setup);
    *host.vault.borrow_mut() = Ok(vec![
        ("DEEPSEEK_API_KEY", "CANARY of the vault"),
        ("OTHER", "x"),
    ]);
    host
}

fn told(host: &Recording) -> String {
    flat(&host.on_seed(report::FILE).expect("a report"))
}

fn env(host: &Recording) -> String {
    host.setting(&Recording::env_of("main")).unwrap_or_default()
}

fn provider_env(host: &Recording) -> String {
    host.setting(PROVIDER_ENV).expect("the file")
}

/// The agent, and in whose jail it runs.
fn agent(host: &Recording) -> Option<(String, Option<String>)> {
    host.agent.borrow().clone()
}

fn in_jail() -> Option<(String, Option<String>)> {
    Some(("pi".into(), Some("main".into())))
}

/// Where each of these effects stands among all of them.
#[track_caller]
fn assert_in_order(host: &Recording, wanted: &[&str]) {
    let effects = host.effects.borrow();
    let mut rest = effects.iter();
    for effect in wanted {
        assert!(
            rest.any(|is| is == effect),
            "no `{effect}` in its place: {effects:#?}"
        );
    }
}

#[test]
fn the_key_that_was_typed_in_reaches_the_agent_in_its_jail_and_lies_nowhere_else() {
    let host = with_agent(&setup());
    assert_eq!(boot(&host), (COMPLETE, COMPLETE));
    assert!(env(&host).contains(&format!("OPENROUTER_API_KEY=\"{NO_VAULT}\"")));
    assert!(
        !provider_env(&host).contains("API_KEY"),
        "one place for each secret"
    );
    assert_eq!(host.setting(VAULT_ENV), None);
    assert_eq!(agent(&host), in_jail());
    assert_in_order(
        &host,
        &[
            "set file /etc/colibri/provider.env",
            "set enabled colibri-hostd",
            "Start colibri-hostd",
            "set enabled colibri-daemon",
            "Restart colibri-daemon",
            "register-tenant main",
            "provision-tenant main",
            "secrets of main",
            "set file /etc/colibri/provider.env",
            "Restart colibri-daemon",
        ],
    );
    for part in [
        "tenant `main`, without a vault",
        "/var/lib/machines/main at 10.213.0.6",
        "/var/lib/machines/main/home/agent/.env has OPENROUTER_API_KEY",
        "`pi` runs; the assistant starts with Colibri, in the jail of `main`",
    ] {
        assert!(told(&host).contains(part), "no {part} in:\n{}", told(&host));
    }
    host.reboot();
    assert_eq!(boot(&host), (Result::NothingToDo, Result::NothingToDo));
    assert_eq!(agent(&host), in_jail());
}

#[test]
fn another_tenant_s_name_is_the_jail_s() {
    let host = with_agent(&(setup() + "TENANT_ID=lab1\n"));
    assert_eq!(boot(&host), (COMPLETE, COMPLETE));
    assert!(
        host.setting(&Recording::env_of("lab1"))
            .is_some_and(|env| env.contains(NO_VAULT))
    );
    assert!(provider_env(&host).contains("COLIBRI_AUTOSPAWN_TENANT=\"lab1\""));
}

#[test]
fn secrets_of_the_vault_go_into_the_jail_and_the_way_to_them_stays_outside() {
    let host = with_vault(&vault());
    assert_eq!(boot(&host), (COMPLETE, COMPLETE));
    let bootstrap = host.setting(VAULT_ENV).expect("the file");
    for name in [
        "VAULT_SERVER",
        "BW_CLIENTID",
        "BW_CLIENTSECRET",
        "BW_PASSWORD",
    ] {
        assert!(bootstrap.contains(name), "{bootstrap}");
        assert!(!provider_env(&host).contains(name) && !env(&host).contains(name));
    }
    assert!(env(&host).contains("DEEPSEEK_API_KEY=\"CANARY of the vault\""));
    // Whose models are used follows from whose key is there.
    assert!(provider_env(&host).contains("PI_PROVIDER=\"deepseek\""));
    assert_eq!(agent(&host), in_jail());
    let result = told(&host);
    for part in [
        "tenant `main`, with the vault's collection `main`",
        "from the vault: DEEPSEEK_API_KEY, OTHER",
        "Tenant's secrets not asked for they come from the vault",
    ] {
        assert!(result.contains(part), "no {part} in:\n{result}");
    }
    assert!(!result.contains(CANARY) && !host.printed.borrow().contains(CANARY));
    let journal = host.journal();
    assert!(!String::from_utf8_lossy(&journal).contains(CANARY));
}

#[test]
fn a_key_beside_a_vault_is_told_to_be_unused() {
    let host = with_vault(&(vault() + "OPENROUTER_API_KEY=" + NO_VAULT + "\n"));
    boot(&host);
    assert!(!env(&host).contains(NO_VAULT) && !provider_env(&host).contains(NO_VAULT));
    assert!(
        told(&host).contains("`OPENROUTER_API_KEY` is not used"),
        "{}",
        told(&host)
    );
}

#[test]
fn a_collection_without_a_provider_s_key_is_told_and_nothing_else_fails() {
    let host = with_vault(&vault());
    *host.vault.borrow_mut() = Ok(vec![("OTHER", "x")]);
    assert_eq!(boot(&host), (COMPLETE, COMPLETE));
    assert_eq!(agent(&host), None);
    let why = "`main` has no key of a model provider among its secrets";
    assert!(told(&host).contains(why), "{}", told(&host));
}

fn refused(kind: ErrorKind) -> HostError {
    HostError {
        kind,
        message: "the password of `vault.env` does not open the vault".into(),
        remedy: Some("put the master password into vault.env".into()),
    }
}

#[test]
fn a_wrong_password_is_told_with_its_remedy_and_not_tried_again() {
    let host = with_vault(&vault());
    let good = host.vault.replace(Err(refused(ErrorKind::Vault)));
    assert_eq!(boot(&host).1, Result::Ended(Ending::Incomplete));
    assert_eq!(host.slept.get(), Duration::ZERO);
    let asked = |host: &Recording| {
        let effects = host.effects.borrow();
        effects
            .iter()
            .filter(|effect| *effect == "provision-tenant main")
            .count()
    };
    assert_eq!(asked(&host), 1);
    let result = told(&host);
    assert!(
        result.contains("does not open the vault; put the master password into vault.env"),
        "{result}"
    );
    assert!(result.contains("needs `provision`"), "{result}");
    assert!(host.running.get(), "Colibri runs all the same");
    assert_eq!((agent(&host), env(&host)), (None, String::new()));

    // With the right one, the next boot goes on.
    host.reboot();
    *host.vault.borrow_mut() = good;
    assert_eq!(boot(&host).1, COMPLETE);
    assert_eq!(agent(&host), in_jail());
}

#[test]
fn a_vault_that_cannot_be_reached_is_asked_again_with_growing_pauses() {
    let host = with_vault(&vault());
    host.vault_outages.set(3);
    assert_eq!(boot(&host), (COMPLETE, COMPLETE));
    assert!(
        host.slept.get() >= Duration::from_secs(2 + 4 + 8),
        "{:?}",
        host.slept
    );
    assert_eq!(agent(&host), in_jail());

    let host = with_vault(&vault());
    host.vault_outages.set(u32::MAX);
    assert_eq!(boot(&host).1, Result::Ended(Ending::Incomplete));
    assert!(
        host.slept.get() < Duration::from_secs(120),
        "{:?}",
        host.slept
    );
    let result = told(&host);
    assert!(
        result.contains("cannot be reached; look after the network"),
        "{result}"
    );
    assert!(host.running.get() && agent(&host).is_none());
    host.reboot();
    host.vault_outages.set(0);
    assert_eq!(boot(&host).1, COMPLETE);
    assert_eq!(agent(&host), in_jail());
}

#[test]
fn a_host_that_cannot_make_jails_says_why_and_starts_no_agent_outside_of_one() {
    for text in [setup(), vault()] {
        let host = with_vault(&text);
        *host.no_jails.borrow_mut() = Some("systemd-nspawn is not installed".into());
        assert_eq!(boot(&host).1, Result::Ended(Ending::Incomplete));
        let result = told(&host);
        for part in [
            "this host cannot make jails: systemd-nspawn is not installed",
            "apt install systemd-container",
            "needs `tenant`",
        ] {
            assert!(result.contains(part), "no {part} in:\n{result}");
        }
        assert!(host.running.get() && agent(&host).is_none());
        assert!(!provider_env(&host).contains("AUTOSPAWN"));
        host.reboot();
        *host.no_jails.borrow_mut() = None;
        assert_eq!(boot(&host).1, COMPLETE);
        assert_eq!(agent(&host), in_jail());
    }
}

#[test]
fn new_credentials_for_the_vault_are_taken_over_and_used_at_once() {
    let host = with_vault(&vault());
    boot(&host);
    let before = host.setting(VAULT_ENV);
    host.reboot();
    *host.vault.borrow_mut() = Ok(vec![("OPENAI_API_KEY", "CANARY of another")]);
    host.edit_seed(&vault().replace("abcdefghij", "klmnopqrst"));
    assert_eq!(boot(&host), (COMPLETE, COMPLETE));
    assert_ne!(host.setting(VAULT_ENV), before);
    assert!(env(&host).contains("OPENAI_API_KEY"));
    assert_in_order(
        &host,
        &["set file /etc/colibri/vault.env", "rotate-tenant main"],
    );
    // Wrong ones are so at each boot until they are right, and what ran goes on.
    host.reboot();
    let good = host.vault.replace(Err(refused(ErrorKind::Vault)));
    host.edit_seed(&vault().replace("abcdefghij", "0123456789"));
    for _ in 0..2 {
        assert_eq!(boot(&host).1, Result::Ended(Ending::Incomplete));
        assert_eq!(agent(&host), in_jail());
        host.reboot();
    }
    *host.vault.borrow_mut() = good;
    assert_eq!(boot(&host).1, COMPLETE);
    // And without a change nothing is asked of the vault.
    host.reboot();
    host.edit_seed(&(vault().replace("abcdefghij", "0123456789") + "KEYMAP=de\n"));
    boot(&host);
    assert!(
        !host
            .effects
            .borrow()
            .iter()
            .any(|effect| effect.contains("-tenant"))
    );
}

#[test]
fn a_vault_that_comes_later_takes_the_place_of_the_key() {
    let host = with_vault(&setup());
    boot(&host);
    assert!(env(&host).contains(NO_VAULT));
    host.reboot();
    let lines: String = vault()
        .lines()
        .filter(|line| line.starts_with(['V', 'B']))
        .map(|line| format!("{line}\n"))
        .collect();
    host.edit_seed(&(setup().replace("OPENROUTER_API_KEY", "#OPENROUTER_API_KEY") + &lines));
    assert_eq!(boot(&host), (COMPLETE, COMPLETE));
    assert!(!env(&host).contains(NO_VAULT) && env(&host).contains("DEEPSEEK_API_KEY"));
    assert_eq!(agent(&host), in_jail());
}

#[test]
fn an_emptied_seed_keeps_the_way_into_the_vault() {
    let host = with_vault(&(vault() + "SEED_SECRETS=blank\n"));
    assert_eq!(boot(&host), (COMPLETE, COMPLETE));
    let seed = host.on_seed("SETUP.TXT").expect("the file");
    assert!(
        seed.contains("BW_PASSWORD=\n") && !seed.contains(CANARY),
        "{seed}"
    );
    let before = host.setting(VAULT_ENV);
    host.reboot();
    host.edit_seed(&(seed + "KEYMAP=de\n"));
    assert_eq!(boot(&host), (COMPLETE, COMPLETE));
    assert_eq!(host.setting(VAULT_ENV), before);
    // Without the file an empty line is a fault again.
    host.reboot();
    host.disk.borrow_mut().settings.remove(VAULT_ENV);
    let seed = host.on_seed("SETUP.TXT").expect("the file");
    host.edit_seed(&(seed + "TIMEZONE=UTC\n"));
    assert_eq!(boot(&host).0, Result::Ended(Ending::Refused));
}

/// A host that an earlier version set up: the key lies in `provider.env`, and the agent runs outside of any jail.
fn before_tenants() -> Recording {
    let host = with_agent(&setup());
    boot(&host);
    {
        let mut disk = host.disk.borrow_mut();
        disk.tenants.clear();
        disk.helper_enabled = false;
        disk.settings.remove(&Recording::env_of("main"));
        let text: String = disk.settings[PROVIDER_ENV]
            .lines()
            .filter(|line| !line.contains("TENANT"))
            .map(|line| format!("{line}\n"))
            .collect();
        let text = format!("{text}OPENROUTER_API_KEY=\"{NO_VAULT}\"\n# mine\nexport X=1\n");
        disk.settings.insert(PROVIDER_ENV.into(), text);
    }
    host.reboot();
    assert_eq!(agent(&host), Some(("pi".into(), None)));
    host
}

#[test]
fn the_agent_of_a_host_set_up_before_moves_into_its_jail_with_its_key() {
    let host = before_tenants();
    host.edit_seed(&(setup() + "# another\n"));
    assert_eq!(boot(&host), (COMPLETE, COMPLETE));
    // The key is in the jail before it leaves the host, and the old agent has ended by then.
    assert_in_order(
        &host,
        &[
            "provision-tenant main",
            "secrets of main",
            "stop-agent pi",
            "set file /etc/colibri/provider.env",
            "Restart colibri-daemon",
        ],
    );
    let environment = provider_env(&host);
    assert!(!environment.contains("API_KEY"), "{environment}");
    assert!(
        environment.contains("# mine\nexport X=1\n"),
        "{environment}"
    );
    assert!(
        environment.contains("COLIBRI_AUTOSPAWN_TENANT=\"main\""),
        "{environment}"
    );
    assert!(env(&host).contains(NO_VAULT));
    assert_eq!(agent(&host), in_jail());
}

#[test]
fn an_agent_that_cannot_move_goes_on_as_it_is() {
    let host = before_tenants();
    *host.no_jails.borrow_mut() = Some("no nspawn".into());
    let before = provider_env(&host);
    host.edit_seed(&(setup() + "# another\n"));
    assert_eq!(boot(&host).1, Result::Ended(Ending::Incomplete));
    assert_eq!(
        (provider_env(&host), agent(&host)),
        (before, Some(("pi".into(), None)))
    );

    // So does a program that no jail starts, with its key.
    let host = before_tenants();
    let own = provider_env(&host).replace("/usr/local/bin/pi", "/opt/mine");
    host.disk
        .borrow_mut()
        .settings
        .insert(PROVIDER_ENV.into(), own.clone());
    host.edit_seed(&(setup() + "# another\n"));
    assert_eq!(boot(&host).1, COMPLETE);
    assert_eq!(provider_env(&host), own);
    assert!(!host.effects.borrow().contains(&"stop-agent pi".to_owned()));
    assert!(
        told(&host).contains("runs outside of the jail"),
        "{}",
        told(&host)
    );
}

#[test]
fn a_cut_while_the_agent_moves_loses_neither_it_nor_its_key() {
    let moving = |fuel: Option<usize>| {
        let host = before_tenants();
        host.edit_seed(&(setup() + "# another\n"));
        host.fuel.set(fuel);
        boot(&host);
        host
    };
    let whole = moving(None);
    for fuel in 0..whole.effects.borrow().len() {
        let host = moving(Some(fuel));
        let holds = |text: String| text.contains(NO_VAULT);
        assert!(
            holds(env(&host)) || holds(provider_env(&host)),
            "after a cut behind effect {fuel}"
        );
        host.reboot();
        boot(&host);
        assert_eq!(
            state(&host),
            state(&whole),
            "after a cut behind effect {fuel}"
        );
        assert_eq!(agent(&host), in_jail(), "after a cut behind effect {fuel}");
    }
}

#[test]
fn a_cut_while_secrets_are_fetched_is_mended() {
    let whole = with_vault(&vault());
    boot(&whole);
    for fuel in 0..whole.effects.borrow().len() {
        let host = with_vault(&vault());
        host.fuel.set(Some(fuel));
        boot(&host);
        host.reboot();
        boot(&host);
        assert_eq!(
            state(&host),
            state(&whole),
            "after a cut behind effect {fuel}"
        );
    }
}
