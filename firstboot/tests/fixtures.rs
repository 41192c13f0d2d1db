//! `tests/setup/good` and `tests/setup/bad`: what an operator may write, and what is said about it.
//!
//! A case is two files: `<case>.txt`, and `<case>.expect` with the exact text. A third,
//! `<case>.authorized_keys`, lies beside `setup.txt` on the seed. `UPDATE_EXPECT=1` writes the
//! expectations anew: read the difference before committing it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clawdie_firstboot::profile::Profiles;
use clawdie_firstboot::setup::rules::Rule;
use clawdie_firstboot::setup::schema::{Class, Key, TABLE};
use clawdie_firstboot::setup::{self, Input, Verdict};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/setup");
const PROFILES: &str =
    include_str!("../../overlays/common/usr/local/share/clawdie-iso/profiles.toml");
const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/setup-reference.md");

/// What every secret of the fixtures has in it, so that a leak of any part can be found.
const CANARIES: [&str; 2] = ["canary", "c0ffee0c0ffee0"];

struct Case {
    path: PathBuf,
    text: Vec<u8>,
    authorized_keys: Option<Vec<u8>>,
}

impl Case {
    fn name(&self) -> String {
        let file = self
            .path
            .file_name()
            .expect("a file")
            .to_string_lossy()
            .into_owned();
        // Most cases have names of their own; one is named as an operator's editor names it.
        if setup::is_setup_name(&file) {
            file
        } else {
            "setup.txt".to_owned()
        }
    }

    fn check(&self) -> Verdict {
        setup::check(Input {
            name: &self.name(),
            setup: &self.text,
            authorized_keys: self.authorized_keys.as_deref(),
        })
    }

    fn expect_path(&self) -> PathBuf {
        self.path.with_extension("expect")
    }
}

fn cases(kind: &str) -> Vec<Case> {
    let mut paths = std::fs::read_dir(Path::new(ROOT).join(kind))
        .expect("the fixtures' folder")
        .map(|entry| entry.expect("an entry").path())
        .collect::<Vec<_>>();
    paths.sort();
    let with = |extension: &str| {
        let wanted = extension.to_owned();
        let has = move |path: &&PathBuf| path.extension().is_some_and(|found| found == &*wanted);
        paths.iter().filter(has).cloned().collect::<Vec<_>>()
    };
    let texts = with("txt");
    for path in with("expect").into_iter().chain(with("authorized_keys")) {
        assert!(
            texts.contains(&path.with_extension("txt")),
            "{} has no .txt",
            path.display()
        );
    }
    texts
        .into_iter()
        .map(|path| Case {
            text: std::fs::read(&path).expect("a fixture"),
            authorized_keys: std::fs::read(path.with_extension("authorized_keys")).ok(),
            path,
        })
        .collect()
}

/// The settings as people may see them, and what the agent's environment gets.
fn resolved(setup: &setup::Setup) -> String {
    let profiles = Profiles::parse(PROFILES).expect("the shipped profiles");
    let mut text = format!("{}\nprovider.env:\n", setup.summary());
    for (name, value) in setup
        .provider_env(&profiles)
        .expect("models for every provider")
    {
        use secrecy::ExposeSecret;
        let secret = Key::from_name(&name).is_none_or(Key::is_secret);
        let shown = if secret {
            "[hidden]"
        } else {
            value.expose_secret()
        };
        text.push_str(&format!("  {name} = {shown}\n"));
    }
    text
}

fn actual(case: &Case) -> String {
    let verdict = case.check();
    let mut text = verdict.report();
    if let Some(setup) = &verdict.setup {
        text.push_str(&format!("\n{}", resolved(setup)));
    }
    text
}

fn updating() -> bool {
    std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1")
}

fn compare(kind: &str) {
    let mut failures = Vec::new();
    for case in cases(kind) {
        let actual = actual(&case);
        if updating() {
            std::fs::write(case.expect_path(), &actual).expect("the expectation is written");
            continue;
        }
        match std::fs::read_to_string(case.expect_path()) {
            Err(_) => failures.push(format!(
                "{}: there is no .expect beside it. UPDATE_EXPECT=1 writes it.",
                case.path.display()
            )),
            Ok(expected) if expected != actual => failures.push(format!(
                "{}:\n--- expected\n{expected}\n--- actual\n{actual}",
                case.path.display()
            )),
            Ok(_) => {}
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn good_files_give_what_is_expected() {
    compare("good");
}

#[test]
fn bad_files_give_exactly_the_expected_problems() {
    compare("bad");
}

#[test]
fn every_good_file_is_good_and_every_bad_file_is_bad() {
    let (good, bad) = (cases("good"), cases("bad"));
    assert!(good.len() + bad.len() >= 45, "fixtures are missing");
    for case in good {
        assert!(case.check().setup.is_some(), "{}", case.path.display());
    }
    for case in bad {
        let verdict = case.check();
        assert!(verdict.setup.is_none(), "{}", case.path.display());
        assert!(verdict.errors().count() > 0, "{}", case.path.display());
    }
}

#[test]
fn every_rule_is_broken_by_some_bad_file() {
    let mut broken = BTreeMap::new();
    for case in cases("bad") {
        for problem in case.check().errors() {
            if let (Some(key), Some(_)) = (problem.key, &problem.rule) {
                broken.insert(format!("{:?}", key.row().rule), problem.code);
            }
        }
    }
    for row in TABLE.iter().filter(|row| row.rule != Rule::AnySecret) {
        let rule = format!("{:?}", row.rule);
        assert!(
            broken.contains_key(&rule),
            "no bad fixture breaks {rule} (`{}`)",
            row.name
        );
    }
}

#[test]
fn no_secret_of_any_fixture_appears_in_any_output() {
    for case in cases("good").into_iter().chain(cases("bad")) {
        let verdict = case.check();
        let outputs = [
            ("report", verdict.report()),
            ("debug", format!("{verdict:?} {verdict:#?}")),
            (
                "json",
                serde_json::to_string(&verdict.problems).expect("problems are plain data"),
            ),
            ("show", setup::show(&case.text)),
            (
                "resolved",
                verdict.setup.as_ref().map(resolved).unwrap_or_default(),
            ),
        ];
        let text = String::from_utf8_lossy(&case.text);
        let secrets =
            text.lines()
                .filter_map(|line| line.split_once('='))
                .filter(|(name, value)| {
                    let name = name.trim().trim_start_matches("export").trim();
                    let key = Key::from_name(name);
                    key.is_some_and(|key| key.class() == Class::Secret) && !value.contains("...")
                });
        let secrets = secrets.map(|(_, value)| value.trim()).filter(|value| {
            // Texts that the template puts there are no secrets, and digits alone are an id.
            value.len() >= 6
                && !value.starts_with('<')
                && *value != "changeme"
                && !value.bytes().all(|byte| byte.is_ascii_digit())
        });
        for secret in secrets.chain(CANARIES) {
            // In any case: a suggestion may have been written in small letters.
            let secret = secret.to_lowercase();
            for (what, output) in &outputs {
                assert!(
                    !output.to_lowercase().contains(&secret),
                    "{}: {secret} appears in its {what}:\n{output}",
                    case.path.display()
                );
            }
        }
    }
}

/// Emptied of secrets, and with those as the host keeps them, every file means what it meant before.
#[test]
fn an_emptied_file_means_the_same_to_its_host_and_holds_no_secret() {
    for case in cases("good") {
        let name = case.path.display().to_string();
        let before = case.check().setup.expect("good");
        let emptied = setup::blank(&case.text).expect("a text");
        let kept: setup::Kept = emptied
            .keys
            .iter()
            .map(|key| (*key, before.secret(*key).cloned()))
            .collect();
        let again = Case {
            text: emptied.clean,
            ..case
        };
        let input = Input {
            name: "setup.txt",
            setup: &again.text,
            authorized_keys: again.authorized_keys.as_deref(),
        };
        let after = setup::check_emptied(input, &kept).setup;
        assert!(after.is_some_and(|after| after == before), "{name}");
        // Decoded, as a file in UTF-16 hides its letters from a plain search; what must stay is named by its line.
        let (text, _, _) = match again.text.as_slice() {
            [0xfe, 0xff, ..] => encoding_rs::UTF_16BE.decode(&again.text),
            [0xff, 0xfe, ..] => encoding_rs::UTF_16LE.decode(&again.text),
            _ => encoding_rs::UTF_8.decode(&again.text),
        };
        for (index, line) in text.lines().enumerate() {
            let clean = !line.to_lowercase().contains(CANARIES[0]) && !line.contains(CANARIES[1]);
            assert!(
                clean || emptied.left.contains(&(index + 1)),
                "{name}: {line}"
            );
        }
    }
}

#[test]
fn one_file_in_every_encoding_gives_the_same_settings() {
    let good = cases("good");
    let setup_of = |name: &str| {
        let wanted = format!("{name}.txt");
        let case = good
            .iter()
            .find(|case| case.path.ends_with(&wanted))
            .expect(name);
        case.check().setup.expect(name)
    };
    for name in [
        "crlf",
        "cr",
        "bom",
        "utf16le",
        "utf16be",
        "no-final-newline",
    ] {
        assert_eq!(setup_of(name), setup_of("typical"), "{name}");
    }
}

#[test]
fn the_reference_page_is_fresh() {
    let text = setup::reference();
    if updating() {
        std::fs::write(REFERENCE, &text).expect("the reference is written");
    }
    let there = std::fs::read_to_string(REFERENCE).expect("docs/setup-reference.md");
    assert!(
        there == text,
        "docs/setup-reference.md is out of date: UPDATE_EXPECT=1 writes it anew"
    );
}

#[test]
fn the_shipped_profiles_cover_every_profile_and_provider() {
    let profiles = Profiles::parse(PROFILES).expect("the shipped profiles");
    let Rule::OneOf(names) = Key::Profile.row().rule else {
        panic!("PROFILE is a choice")
    };
    for name in names {
        for provider in setup::Provider::ALL {
            let found = profiles
                .iter()
                .any(|(profile, at, _)| profile == *name && at == *provider);
            assert!(found, "profiles.toml has no [{name}.{}]", provider.id());
        }
    }
    assert_eq!(
        profiles.iter().count(),
        names.len() * setup::Provider::ALL.len()
    );
}
