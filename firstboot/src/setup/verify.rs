//! What settings mean together.

use super::check::{Checker, Place, Say};
use super::problem::Severity;
use super::provider::Provider;
use super::rules::{RuleError, network};
use super::schema::{Applied, Key, TABLE, Tier};

const VAULT: [Key; 4] = [
    Key::VaultServer,
    Key::BwClientid,
    Key::BwClientsecret,
    Key::BwPassword,
];

/// Runs every check that looks at more than one setting.
pub(super) fn verify(checker: &mut Checker, has_authorized_keys: bool) {
    verify_placeholders(checker);
    verify_provider(checker);
    verify_telegram(checker);
    verify_vault(checker);
    verify_dashboard_operator(checker);
    verify_wifi(checker);
    verify_static_address(checker);
    verify_model_providers(checker);
    verify_login(checker, has_authorized_keys);
    verify_emptied(checker);
    verify_applied(checker);
}

fn is_placeholder(checker: &Checker, key: Key) -> bool {
    checker.placeholders.iter().any(|(held, _)| *held == key)
}

/// Whether the operator really wrote something for a key, be it right or wrong.
fn written(checker: &Checker, key: Key) -> bool {
    checker.filled(key) && !is_placeholder(checker, key)
}

fn provider_keys() -> impl Iterator<Item = Key> {
    Provider::ALL.iter().map(|provider| provider.key())
}

fn missing(key: Key, fault: String, remedy: impl Into<String>) -> Say {
    Say {
        severity: Severity::Error,
        code: "missing",
        key: Some(key),
        title: fault,
        rule: None,
        remedy: remedy.into(),
    }
}

/// A placeholder is an error, unless the setting is not needed because another one does its work.
fn verify_placeholders(checker: &mut Checker) {
    let has_provider = provider_keys()
        .chain(VAULT)
        .any(|key| written(checker, key));
    let telegram_off = checker.setup.telegram_off();
    for (key, place) in checker.placeholders.clone() {
        let spare = match key {
            Key::TelegramBotToken | Key::TelegramAdminId => telegram_off,
            _ => has_provider && provider_keys().any(|provider| provider == key),
        };
        let error = RuleError::new("placeholder", "still holds the text to be replaced");
        let error = match key.row().tier {
            Tier::Required => error.remedy(key.row().help),
            _ => error.remedy("Put your own value in its place, or remove the line."),
        };
        if spare {
            let remedy = "It is not needed, as another setting takes its place; remove the line.";
            checker.warn(key, Some(place), error.remedy(remedy));
        } else {
            checker.fault(key, Some(place), error);
        }
    }
}

fn verify_provider(checker: &mut Checker) {
    if provider_keys().any(|key| checker.filled(key)) {
        return;
    }
    if VAULT.iter().any(|key| checker.filled(*key)) {
        let server = Key::VaultServer;
        if server.row().applied == Applied::NotYet {
            let fault = "is the only source of model keys, and this version does not read it";
            let error = RuleError::new("no-model-key", fault).remedy(
                "The machine is set up, but the assistant cannot answer. Fill in OPENROUTER_API_KEY= as well.",
            );
            let place = checker.place(server);
            checker.warn(server, place, error);
        }
        return;
    }
    let place = provider_keys().find_map(|key| checker.place(key));
    let names = provider_keys()
        .map(|key| format!("`{}`", key.name()))
        .collect::<Vec<_>>();
    let mut say = missing(
        Key::OpenrouterApiKey,
        "the key of a model provider is missing".to_owned(),
        format!(
            "Fill in OPENROUTER_API_KEY=. {}",
            Key::OpenrouterApiKey.row().help
        ),
    );
    say.rule = Some(format!(
        "one of {}, or the four vault settings",
        names.join(", ")
    ));
    checker.say(place, say);
}

fn verify_telegram(checker: &mut Checker) {
    let pair = [Key::TelegramBotToken, Key::TelegramAdminId];
    if checker.setup.telegram_off() {
        for key in pair
            .into_iter()
            .filter(|key| written(checker, *key))
            .collect::<Vec<_>>()
        {
            let error = RuleError::new(
                "conflict",
                "is filled in, but TELEGRAM=none switches Telegram off",
            )
            .rule("either TELEGRAM=none or the two Telegram settings")
            .remedy("Remove one of the two lines.");
            let place = checker.place(key);
            checker.fault(key, place, error);
        }
        return;
    }
    // A wrong TELEGRAM line is an error of its own; what it would have meant is not known.
    if checker.filled(Key::Telegram) {
        return;
    }
    for key in pair
        .into_iter()
        .filter(|key| !checker.filled(*key))
        .collect::<Vec<_>>()
    {
        let remedy = format!(
            "{} To do without Telegram, write TELEGRAM=none.",
            key.row().help
        );
        let place = checker.place(key);
        let mut say = missing(key, format!("`{}` is missing", key.name()), remedy);
        say.rule = Some(key.row().rule.text().into_owned());
        checker.say(place, say);
    }
    let bot = checker.setup.secret(Key::TelegramBotToken).map(|token| {
        use secrecy::ExposeSecret;
        token
            .expose_secret()
            .split(':')
            .next()
            .unwrap_or_default()
            .to_owned()
    });
    if bot
        .as_deref()
        .is_some_and(|bot| Some(bot) == checker.setup.get(Key::TelegramAdminId))
    {
        let error = RuleError::new("own-id", "is the bot's own id, the number at the start of its token")
            .rule("your own id, not the bot\'s")
            .remedy("Your own id is needed. Write to @userinfobot in Telegram; it answers with your number.");
        let place = checker.place(Key::TelegramAdminId);
        checker.fault(Key::TelegramAdminId, place, error);
    }
}

/// Names every member of a group that is missing while others are there.
fn all_or_none(checker: &mut Checker, group: &[Key], why: &str) {
    let there = group
        .iter()
        .copied()
        .filter(|key| checker.filled(*key))
        .collect::<Vec<_>>();
    if there.is_empty() {
        return;
    }
    for key in group.iter().copied().filter(|key| !there.contains(key)) {
        let title = format!("`{}` is missing", key.name());
        let others = there
            .iter()
            .map(|key| format!("`{}`", key.name()))
            .collect::<Vec<_>>();
        let remedy = format!(
            "{why} You gave {}: add this one, or remove them.",
            others.join(", ")
        );
        let place = checker.place(key).or_else(|| checker.place(there[0]));
        let mut say = missing(key, title, remedy);
        say.rule = Some(key.row().rule.text().into_owned());
        checker.say(place, say);
    }
}

fn verify_vault(checker: &mut Checker) {
    all_or_none(checker, &VAULT, "The four vault settings belong together.");
}

fn verify_dashboard_operator(checker: &mut Checker) {
    let pair = [Key::OperatorEmail, Key::OperatorPassword];
    all_or_none(
        checker,
        &pair,
        "The two settings of the dashboard belong together.",
    );
}

fn verify_wifi(checker: &mut Checker) {
    let (ssid, password) = (
        checker.filled(Key::WifiSsid),
        checker.filled(Key::WifiPassword),
    );
    if password && !ssid {
        all_or_none(
            checker,
            &[Key::WifiSsid, Key::WifiPassword],
            "A Wi-Fi password needs the network's name.",
        );
    }
    if ssid && !password {
        let error = RuleError::new(
            "open-wifi",
            "has no WIFI_PASSWORD: the network is taken to be open",
        )
        .remedy("If it has a password, add the line WIFI_PASSWORD=.");
        let place = checker.place(Key::WifiSsid);
        checker.warn(Key::WifiSsid, place, error);
    }
}

fn verify_static_address(checker: &mut Checker) {
    all_or_none(
        checker,
        &[Key::StaticIp, Key::Gateway],
        "A fixed address and its router belong together.",
    );
    let address = checker
        .setup
        .get(Key::StaticIp)
        .map(network::address_with_prefix);
    let gateway = checker.setup.get(Key::Gateway).map(network::address);
    if let (Some(Ok((address, prefix))), Some(Ok(gateway))) = (address, gateway) {
        let fault = if address == gateway {
            "is the same address as STATIC_IP"
        } else if !network::same_network(address, prefix, gateway) {
            "does not lie in the network of STATIC_IP"
        } else {
            ""
        };
        if !fault.is_empty() {
            let error = RuleError::new("gateway", fault)
                .rule("another address of the same network")
                .remedy("The router\'s address is often the machine's with 1 as its last number. Look it up in the settings of another device in the same network.");
            let place = checker.place(Key::Gateway);
            checker.fault(Key::Gateway, place, error);
        }
    }
    if checker.filled(Key::StaticIp) && !checker.filled(Key::Dns) {
        let error = RuleError::new("no-dns", "has no DNS: the router will be asked for names")
            .remedy("That works in most homes. If not, add for example DNS=9.9.9.9.");
        let place = checker.place(Key::StaticIp);
        checker.warn(Key::StaticIp, place, error);
    }
}

/// A provider chosen for its models needs a key (which a vault may hold).
fn verify_model_providers(checker: &mut Checker) {
    if VAULT.iter().any(|key| checker.filled(*key)) {
        return;
    }
    for key in [
        Key::PiProvider,
        Key::LlmFallbackProvider,
        Key::AgentCompactionProvider,
    ] {
        let Some(provider) = checker.setup.get(key).and_then(Provider::from_id) else {
            continue;
        };
        if checker.filled(provider.key()) && !is_placeholder(checker, provider.key()) {
            continue;
        }
        let name = provider.key().name();
        let error = RuleError::new(
            "no-provider-key",
            format!(
                "chooses {}, but `{name}` is not filled in",
                provider.title()
            ),
        )
        .rule(format!("`{name}` is filled in"))
        .remedy(format!("Fill in {name}=, or remove this line."));
        let place = checker.place(key);
        checker.fault(key, place, error);
    }
}

fn verify_login(checker: &mut Checker, has_authorized_keys: bool) {
    let password = Key::ClawdieUserPassword;
    // A password that is refused anyway needs no second remark.
    if checker.setup.has(password) {
        let error = RuleError::new("plain-password", "stands in this file as plain text")
            .remedy("It is stored on the machine as a strong hash only, but everyone with the stick can read it here. An SSH key in SSH_AUTHORIZED_KEY is safer.");
        let place = checker.place(password);
        checker.warn(password, place, error);
    }
    if !has_authorized_keys
        && ![Key::SshAuthorizedKey, password]
            .iter()
            .any(|key| checker.filled(*key))
    {
        let key = Key::SshAuthorizedKey;
        let say = Say {
            severity: Severity::Warning,
            code: "no-login",
            key: Some(key),
            title: "nobody will be able to log in to the machine".to_owned(),
            rule: None,
            remedy: "The assistant works without. To log in yourself, fill in SSH_AUTHORIZED_KEY= with your public key.".to_owned(),
        };
        let place: Option<Place> = checker.place(key);
        checker.say(place, say);
    }
}

/// A machine that emptied the file needs nothing that is missing here; any other one does.
fn verify_emptied(checker: &mut Checker) {
    let is_missing = checker
        .problems
        .iter()
        .any(|problem| problem.code == "missing" && problem.key.is_some_and(Key::is_secret));
    let key = Key::SeedSecrets;
    if is_missing && checker.setup.get(key) == Some("blank") {
        let error = RuleError::new("emptied", "empties the secret lines of this file")
            .remedy("The machine that was set up from it keeps what it has, and for it nothing is missing. For a new machine fill the lines in again.");
        let place = checker.place(key);
        checker.warn(key, place, error);
    }
}

/// No setting is ever silently ignored.
fn verify_applied(checker: &mut Checker) {
    for row in TABLE.iter().filter(|row| row.applied == Applied::NotYet) {
        let as_usual = checker
            .setup
            .get(row.key)
            .is_some_and(|value| row.rule.is_usual(value));
        // One problem a line is enough: first it has to be right.
        let wrong = checker
            .problems
            .iter()
            .any(|p| p.is_error() && p.key == Some(row.key));
        if as_usual || wrong || !checker.setup.has(row.key) {
            continue;
        }
        let error = RuleError::new("not-applied", "is understood but not applied by this version")
            .remedy("Nothing to do: the rest of the set-up goes on without it. A later release will use it.");
        let place = checker.place(row.key);
        checker.warn(row.key, place, error);
    }
}
