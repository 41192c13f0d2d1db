//! What must hold for every `setup.txt`, not only for those we thought of.

use clawdie_firstboot::setup::{self, Input, Key, Setup, Verdict};
use proptest::prelude::*;

fn check(bytes: &[u8]) -> Verdict {
    setup::check(Input {
        name: "setup.txt",
        setup: bytes,
        authorized_keys: None,
    })
}

/// Everything that people or programs may get to see of a file.
fn outputs(bytes: &[u8], verdict: &Verdict) -> String {
    format!(
        "{}\n{verdict:?}\n{}\n{}\n{}",
        verdict.report(),
        serde_json::to_string(&verdict.problems).expect("problems are plain data"),
        setup::show(bytes),
        verdict
            .setup
            .as_ref()
            .map(Setup::summary)
            .unwrap_or_default(),
    )
}

/// Lines that look like settings more often than arbitrary bytes do.
fn line() -> impl Strategy<Value = String> {
    let key = proptest::sample::select(Key::ALL.to_vec());
    let value = prop_oneof![
        "[ -~]{0,40}",
        "\\PC{0,20}",
        Just("none".to_owned()),
        Just("<paste here>".to_owned()),
        Just("192.168.1.50/24".to_owned()),
        Just("\u{201c}x\u{201d}".to_owned()),
        Just("-----BEGIN OPENSSH PRIVATE KEY-----".to_owned()),
    ];
    prop_oneof![
        8 => (key, value).prop_map(|(key, value)| format!("{}={value}", key.name())),
        1 => "\\PC{0,60}",
        1 => "[A-Z_]{1,20} ?[=:] ?\\PC{0,20}",
    ]
}

/// Good plain values, to be written down in different ways.
fn plain_settings() -> impl Strategy<Value = Vec<(Key, String)>> {
    (
        // The range of accented letters has a multiplication sign in it: no name by itself.
        "N[A-Za-zÀ-ž\u{4e00}-\u{4e20}]{1,20}",
        "[a-z][a-z0-9]{3,20}",
        proptest::sample::select(vec!["UTC", "Europe/Ljubljana", "America/New_York"]),
        proptest::sample::select(vec!["balanced", "economy", "quality"]),
        "sk-or-v1-[0-9a-f]{64}",
    )
        .prop_map(|(name, host, zone, profile, key)| {
            vec![
                (Key::OpenrouterApiKey, key),
                (Key::Telegram, "none".to_owned()),
                (Key::AssistantName, name),
                (Key::Hostname, format!("h-{host}")),
                (Key::Timezone, zone.to_owned()),
                (Key::Profile, profile.to_owned()),
            ]
        })
}

fn utf16(text: &str, mark: [u8; 2], unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    mark.into_iter()
        .chain(text.encode_utf16().flat_map(unit))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let verdict = setup::check(Input {
            name: "setup.txt",
            setup: &bytes,
            authorized_keys: Some(&bytes),
        });
        prop_assert!(verdict.setup.is_some() || verdict.errors().count() > 0);
        outputs(&bytes, &verdict);
    }

    #[test]
    fn arbitrary_lines_never_panic_and_carets_stay_in_their_line(
        lines in proptest::collection::vec(line(), 0..30),
        ending in proptest::sample::select(vec!["\n", "\r\n", "\r"]),
    ) {
        let text = lines.join(ending);
        let verdict = check(text.as_bytes());
        outputs(text.as_bytes(), &verdict);
        for problem in &verdict.problems {
            if let Some(line) = &problem.source_line {
                prop_assert!(problem.caret.end <= line.chars().count() + 1, "{problem}");
                prop_assert!(!line.contains(|c: char| c.is_control()), "{problem:?}");
            }
            prop_assert!(!problem.remedy.is_empty() && !problem.title.is_empty());
        }
    }

    #[test]
    fn one_file_written_in_many_ways_gives_the_same_settings(settings in plain_settings()) {
        let lines = |before: &str, equals: &str, quote: &str| {
            let line = |(key, value): &(Key, String)| {
                format!("{before}{}{equals}{quote}{value}{quote}\n", key.name())
            };
            settings.iter().map(line).collect::<String>()
        };
        let plain = lines("", "=", "");
        let expected = check(plain.as_bytes()).setup;
        prop_assert!(expected.is_some(), "{}", check(plain.as_bytes()).report());
        let crlf = plain.replace('\n', "\r\n");
        let ways = [
            crlf.clone().into_bytes(),
            plain.replace('\n', "\r").into_bytes(),
            plain.trim_end().as_bytes().to_vec(),
            format!("\u{feff}{crlf}").into_bytes(),
            utf16(&crlf, [0xff, 0xfe], u16::to_le_bytes),
            utf16(&crlf, [0xfe, 0xff], u16::to_be_bytes),
            lines("", " = ", "").into_bytes(),
            lines("export ", "=", "'").into_bytes(),
            lines("\t", "\t=\t", "\"").into_bytes(),
            format!("# a remark\n\n{plain}\n# another").into_bytes(),
        ];
        for way in ways {
            let verdict = check(&way);
            prop_assert_eq!(&verdict.setup, &expected, "{}", verdict.report());
        }
    }

    #[test]
    fn a_secret_never_appears_in_any_output(
        secret in "[A-Za-z0-9]{12,40}",
        prefix in proptest::sample::select(vec![
            "", "sk-or-v1-", "sk-ant-", "sk-", "AIza", "123456789:", "\u{201c}", "\"", "a b ", "x\u{a0}",
        ]),
        key in proptest::sample::select(
            Key::ALL.iter().copied().filter(|key| key.is_secret()).collect::<Vec<_>>()
        ),
        plain in proptest::sample::select(
            Key::ALL.iter().copied().filter(|key| !key.is_secret()).collect::<Vec<_>>()
        ),
        shape in 0..9usize,
        around in proptest::collection::vec(line(), 0..5),
    ) {
        let value = format!("{prefix}{secret}");
        let name = key.name();
        let written = match shape {
            0 => format!("{name}={value}"),
            1 => format!("export {name} = \"{value}\""),
            2 => format!("{name}: {value}"),
            3 => format!("{name}={value}\n{name}={value}"),
            4 => format!("{}X={value}", &name[1..]),
            5 => format!("{name}=\n{value}"),
            6 => format!("HOSTNAME=my key is sk-or-v1-{secret}"),
            7 => format!("{}=sk-{secret}", plain.name()),
            _ => format!("{name}={value}{}", "y".repeat(5000)),
        };
        let mut text = around.join("\n");
        text.push_str(&format!("\n{written}\n"));
        let verdict = check(text.as_bytes());
        let seen = outputs(text.as_bytes(), &verdict).to_lowercase();
        prop_assert!(!seen.contains(&secret.to_lowercase()), "{}", seen);
    }
}
