//! Each way in which `bw` ends with 0 and no data, old data or everybody's, and each in which it fails.

use std::time::Duration;

use colibri_vault::{Vault, VaultError, write_env};
use colibri_vault_server::{Collection, Damage, Fault, Item, Server, State};

use crate::home::{Home, LONG};

fn item(name: &str, password: &str) -> Item {
    Item::login(name, password)
}

fn main_with(items: impl IntoIterator<Item = Item>) -> State {
    State {
        collections: vec![Collection::new("main", items)],
        ..State::default()
    }
}

fn secret_of(home: &Home, fresh: bool) -> Result<String, VaultError> {
    let bucket = home.vault().fetch("main", fresh)?;
    write_env(&home.target(), &bucket)?;
    Ok(home.read_env())
}

/// The chain, its two most dangerous answers, and a folder that is cut short: what is played each time.
#[test]
fn real_bw_gives_what_is_there_and_never_less_or_another_s() {
    let Some(mut home) = Home::new(State {
        collections: vec![
            Collection::new("mainly", [item("A", "of mainly")]),
            Collection::new(
                "main",
                [
                    item("KEY", "it's \"$5\" \\ and\n`two` lines"),
                    Item::note("NOTE", "text"),
                ],
            ),
            Collection::new("Main", [item("A", "of Main")]),
        ],
        ..State::default()
    }) else {
        return;
    };
    let written = home.provision().unwrap();
    assert_eq!(written.added, ["KEY", "NOTE"]);
    assert_eq!(
        home.read_env(),
        "KEY=\"it's \\\"\\$5\\\" \\\\ and\n\\`two\\` lines\"\nNOTE='text'\n"
    );
    home.is_locked();
    let logins = |asked: Vec<String>| {
        asked
            .iter()
            .filter(|line| line.ends_with("/connect/token"))
            .count()
    };
    home.server.asked();

    // An item that `bw` cannot decrypt is not in its list, and it ends with 0.
    home.server.change(|state| {
        let lost = item("LOST", "x").damaged(Damage::Key);
        state.collections[1].items.push(lost);
    });
    let error = home.fails("item");
    assert!(error.to_string().contains("cannot decrypt"), "{error}");

    // A member no more: `sync` ends with 0, and there is nothing.
    home.server
        .change(|state| state.faults = vec![Fault::Revoked]);
    home.fails("collection-not-found");

    // Half a file. `bw` would empty it without a word, and talk to its maker's servers.
    let whole = std::fs::read(home.data()).unwrap();
    std::fs::write(home.data(), &whole[..whole.len() / 2]).unwrap();
    home.server.change(|state| {
        state.faults.clear();
        state.collections[1].items.pop();
    });
    home.server.asked();
    assert!(!home.provision().unwrap().changed);
    assert_eq!(logins(home.server.asked()), 1);
    let aside = home.data().with_extension("json.corrupt");
    assert!(
        !aside.exists(),
        "it has the API key in it, and is not needed any more"
    );

    // Another server, with what belongs to the first: nothing of it reaches the second.
    let other = Server::start("127.0.0.1:0", &["127.0.0.1"], State::default()).unwrap();
    let ours = home.bootstrap.server.clone();
    home.bootstrap.server = other.url("127.0.0.1");
    home.fails("server-mismatch");
    assert_eq!(other.asked(), Vec::<String>::new());

    // Logins to another place than `status` shows.
    home.bootstrap.server = ours;
    home.server.asked();
    let data = std::fs::read_to_string(home.data()).unwrap();
    let mut data: serde_json::Value = serde_json::from_str(&data).unwrap();
    data["global_environment_environment"]["urls"]["identity"] = other.url("127.0.0.1").into();
    std::fs::write(home.data(), data.to_string()).unwrap();
    home.fails("server-mismatch");
    assert_eq!(other.asked(), Vec::<String>::new());
    assert_eq!(home.server.asked(), Vec::<String>::new());
}

#[test]
#[ignore = "ten runs of bw; `cargo xtask test --all` plays them"]
fn real_bw_s_items_are_all_there_or_none_is_used() {
    let Some(home) = Home::new(main_with([item("KEY", "first")])) else {
        return;
    };
    home.provision().unwrap();
    let key = item("KEY", "second");
    let long = "x".repeat(colibri_vault::env::MAX_VALUE + 1);
    for (bad, rule) in [
        (item("LOST", "x").damaged(Damage::Name), "without a name"),
        (
            item("LOST", "x").damaged(Damage::Value),
            "gives no value for `LOST`",
        ),
        (
            Item::note("LOST", "x").damaged(Damage::Value),
            "gives no value for `LOST`",
        ),
        (item("EMPTY", ""), "an empty value"),
        (item("LD_PRELOAD", "/tmp/x.so"), "programs act on"),
        (item("lower", "x"), "none of a variable"),
        (item("LONG", &long), "are the most"),
    ] {
        home.server
            .change(|state| *state = main_with([key.clone(), bad.clone()]));
        let error = home.fails("item");
        assert!(error.to_string().contains(rule), "{rule}: {error}");
    }
    home.server
        .change(|state| *state = main_with([key.clone(), key.clone()]));
    home.fails("duplicate-name");
    home.server.change(|state| {
        *state = main_with([key.clone()]);
        state.collections[0].hide_passwords = true;
    });
    let error = home.fails("item");
    assert!(error.to_string().contains("hide passwords"), "{error}");

    // Another tenant's bad item is not this one's.
    home.server.change(|state| {
        *state = main_with([key.clone()]);
        let lost = item("LOST", "x").damaged(Damage::Key);
        state.collections.push(Collection::new("other", [lost]));
    });
    assert_eq!(home.provision().unwrap().renewed, ["KEY"]);
}

#[test]
#[ignore = "six runs of bw; `cargo xtask test --all` plays them"]
fn real_bw_s_collections_are_found_by_exact_name_and_never_empty_an_env() {
    let Some(home) = Home::new(main_with([item("KEY", "first")])) else {
        return;
    };
    home.provision().unwrap();
    home.server.change(|state| {
        let twin = state.collections[0].clone();
        state.collections.push(twin);
    });
    home.fails("collection-ambiguous");
    home.server.change(|state| {
        state.collections = ["Main", "mai", "main ", "other/main"]
            .iter()
            .map(|name| Collection::new(name, [item("KEY", name)]))
            .collect();
    });
    home.fails("collection-not-found");
    home.server.change(|state| *state = main_with([]));
    home.fails("collection-empty");
    home.server.change(|state| {
        *state = main_with([item("KEY", "first")]);
        state.faults = vec![Fault::EmptyVault];
    });
    home.fails("collection-empty");
    home.server
        .change(|state| state.faults = vec![Fault::CutShort]);
    assert!(home.provision().is_err());
    home.server.change(|state| state.faults.clear());
    assert!(!home.provision().unwrap().changed);
}

#[test]
#[ignore = "seven runs of bw; `cargo xtask test --all` plays them"]
fn real_bw_with_a_server_that_is_away_or_says_no_serves_nothing_old() {
    let Some(home) = Home::new(main_with([item("KEY", "first")])) else {
        return;
    };
    home.provision().unwrap();
    home.server.change(|state| {
        state.collections[0].items[0].password = Some("second".to_owned());
        state.faults = vec![Fault::Down];
    });
    let error = home.fails("unreachable");
    assert!(error.is_worth_retrying());
    home.server
        .change(|state| state.faults = vec![Fault::Unauthorized]);
    home.fails("session-ended");
    home.server.change(|state| state.faults.clear());
    assert_eq!(home.provision().unwrap().renewed, ["KEY"]);

    // A new login, and the server has had enough of them.
    std::fs::remove_file(home.data()).unwrap();
    home.server
        .change(|state| state.faults = vec![Fault::RateLimited]);
    let error = home.fails("rate-limited");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(60)));

    let mut places = home.places();
    places.ca = None;
    let strict = Vault::new(places, home.bootstrap.clone()).with_limits(LONG, LONG);
    assert_eq!(strict.fetch("main", false).unwrap_err().kind(), "untrusted");

    home.server.stop();
    let error = home.fails("unreachable");
    assert!(error.to_string().contains("ECONNREFUSED"), "{error}");
}

#[test]
#[ignore = "eight runs of bw; `cargo xtask test --all` plays them"]
fn real_bw_with_another_key_or_password_logs_in_anew_once() {
    let Some(mut home) = Home::new(main_with([item("KEY", "first")])) else {
        return;
    };
    home.provision().unwrap();
    // The key was rotated, and `vault.env` does not know.
    home.server
        .change(|state| state.faults = vec![Fault::RotatedKey]);
    let error = secret_of(&home, true).unwrap_err();
    assert_eq!(error.kind(), "login-refused");
    // Now it does.
    home.server.change(|state| {
        state.faults.clear();
        state.client_secret = "another".to_owned();
    });
    home.bootstrap.client_secret = "another".into();
    secret_of(&home, true).unwrap();

    // The master password was changed: what `bw` has stored is for the old one.
    home.server
        .change(|state| state.password = "new password".to_owned());
    home.bootstrap.password = "new password".into();
    secret_of(&home, false).unwrap();
    home.bootstrap.password = "wrong".into();
    home.fails("password-refused");

    // Another account of the same server.
    home.bootstrap.password = "new password".into();
    home.bootstrap.client_id = "user.00000000-0000-4000-8000-000000000001".to_owned();
    home.fails("login-refused");
}

/// The server's clock is behind: it says that nothing has changed since the last sync, and `bw` believes it.
#[test]
#[ignore = "three runs of bw; `cargo xtask test --all` plays them"]
fn real_bw_asks_anew_when_it_is_told_to_rotate() {
    let Some(home) = Home::new(main_with([item("KEY", "first")])) else {
        return;
    };
    assert_eq!(secret_of(&home, false).unwrap(), "KEY='first'\n");
    home.server.change(|state| {
        *state = main_with([item("KEY", "second")]);
        state.faults = vec![Fault::OldRevision];
    });
    assert_eq!(secret_of(&home, false).unwrap(), "KEY='first'\n");
    assert_eq!(secret_of(&home, true).unwrap(), "KEY='second'\n");
}

#[test]
#[ignore = "waits for a slow server; `cargo xtask test --all` plays it"]
fn real_bw_that_does_not_end_is_ended() {
    let Some(home) = Home::new(main_with([item("KEY", "first")])) else {
        return;
    };
    home.server.change(|state| state.pause_ms = 45_000);
    let vault = Vault::new(home.places(), home.bootstrap.clone())
        .with_limits(Duration::from_secs(30), LONG);
    let error = vault.fetch("main", false).unwrap_err();
    assert_eq!(error.kind(), "timed-out");
    home.server.change(|state| state.pause_ms = 0);
    home.provision().unwrap();
}

/// Without the lock, three of four said `Vault is locked.`
#[test]
#[ignore = "four runs of bw; `cargo xtask test --all` plays them"]
fn real_bw_is_used_by_one_at_a_time() {
    let Some(home) = Home::new(main_with([item("KEY", "first")])) else {
        return;
    };
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| home.vault().fetch("main", false)))
            .collect();
        for run in runs {
            assert_eq!(run.join().unwrap().unwrap().names(), ["KEY"]);
        }
    });
    let asked = home.server.asked();
    let logins = asked.iter().filter(|line| line.ends_with("/connect/token"));
    assert!(logins.count() <= 2, "one login serves all: {asked:?}");
    home.is_locked();
}
