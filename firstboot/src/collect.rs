//! `clawdie-firstboot collect-logs`: everything that somebody who helps needs to see, and no secret.
//!
//! A `.tar.gz` in memory. Every member goes through [`hide`](crate::setup::hide): the values of secret and personal
//! settings as the seed and the environment files hold them are searched for, and whatever has the shape of a secret.
//! Environment files, the seed and the operator's record are never members.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use secrecy::{ExposeSecret as _, SecretString};

use crate::environment;
use crate::host::{Access, Host};
use crate::intake::Intake;
use crate::report;
use crate::seed;
use crate::setup::{self, Key};
use crate::status::Status;

/// A bundle, ready to be written.
pub struct Bundle {
    /// A name for it, with the host and the time.
    pub name: String,
    /// The `.tar.gz`.
    pub bytes: Vec<u8>,
    /// What is in it, by name and size.
    pub members: Vec<(String, usize)>,
    /// What could not be gathered, and why.
    pub missing: Vec<String>,
}

/// Gathers a bundle. What cannot be read is named in it and no reason to stop.
///
/// # Errors
/// The archive cannot be made.
pub fn bundle(host: &dyn Host, agent: &str) -> io::Result<Bundle> {
    let mut missing = Vec::new();
    let intake = Intake::take_in(host, agent, Duration::ZERO);
    let secrets = secrets(host, &intake, &mut missing);
    let mut texts: Vec<(String, String)> = Vec::new();

    match Status::read(host).map(|status| serde_json::to_string_pretty(&status)) {
        Ok(Ok(text)) => texts.push(("status.json".into(), text + "\n")),
        Ok(Err(error)) => missing.push(format!("status.json: {error}")),
        Err(error) => missing.push(format!("status.json: {error}")),
    }
    let paths = host.paths();
    for (name, path) in [
        ("journal.jsonl", PathBuf::from(paths.journal)),
        ("facts.json", PathBuf::from(paths.facts)),
        ("motd.txt", PathBuf::from(paths.motd)),
        ("clawdie-firstboot.log", PathBuf::from(paths.log)),
        (
            "clawdie-firstboot.log.old",
            Path::new(paths.log).with_extension("log.old"),
        ),
    ] {
        match host.read(&path) {
            Ok(Some(bytes)) => {
                texts.push((name.into(), String::from_utf8_lossy(&bytes).into_owned()));
            }
            Ok(None) => missing.push(format!("{name}: there is no {}", path.display())),
            Err(error) => missing.push(format!("{name}: {error}")),
        }
    }
    match result_on_seed(host, &intake) {
        Ok(text) => texts.push((report::FILE.into(), text)),
        Err(why) => missing.push(format!("{}: {why}", report::FILE)),
    }
    for diagnosis in host.diagnose() {
        texts.push((format!("{}.txt", diagnosis.name), diagnosis.text));
    }
    if !missing.is_empty() {
        texts.push(("missing.txt".into(), missing.join("\n") + "\n"));
    }
    for (_, text) in &mut texts {
        *text = setup::hide(text, &secrets);
    }
    missing = missing
        .iter()
        .map(|line| setup::hide(line, &secrets))
        .collect();

    let time = host.now();
    let name = format!(
        "clawdie-logs-{}-{}",
        setup::hide(&host.host_name().unwrap_or_default(), &secrets),
        time.strftime("%Y%m%dT%H%M%SZ")
    );
    let bytes = archive(&name, time.as_second(), &texts)?;
    Ok(Bundle {
        name: format!("{name}.tar.gz"),
        bytes,
        members: texts
            .into_iter()
            .map(|(name, text)| (name, text.len()))
            .collect(),
        missing,
    })
}

fn archive(folder: &str, time: i64, texts: &[(String, String)]) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, text) in texts {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(time.try_into().unwrap_or_default());
        tar.append_data(&mut header, format!("{folder}/{name}"), text.as_bytes())?;
    }
    tar.into_inner()?.finish()
}

/// The last report on the stick.
fn result_on_seed(host: &dyn Host, intake: &Intake) -> Result<String, String> {
    let volume = intake.volume.as_ref().ok_or("there is no seed")?;
    let read = seed::with_volume(host, volume, Access::ReadOnly, |folder| {
        host.read(&folder.join(report::FILE))
    });
    match read {
        Ok(Some(bytes)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Ok(None) => Err(format!("there is none on {volume}")),
        Err(error) => Err(error.to_string()),
    }
}

/// Every value that must not be in the bundle.
fn secrets(host: &dyn Host, intake: &Intake, missing: &mut Vec<String>) -> Vec<SecretString> {
    let mut secrets = Vec::new();
    if let Some(files) = intake.files() {
        secrets.extend(setup::hidden_values(files.setup.expose_secret()));
    }
    let folder = host.paths().colibri_config;
    for path in [
        PathBuf::from(host.paths().provider_env),
        Path::new(folder).join("vault.env"),
    ] {
        match host.read(&path) {
            Ok(Some(bytes)) => {
                let variables = environment::read(&String::from_utf8_lossy(&bytes));
                // Models and names may be seen; what we do not know may not.
                let is_open = |name: &str| {
                    Key::from_name(name).is_some_and(|key| key.class() == setup::Class::Plain)
                };
                secrets.extend(
                    variables
                        .into_iter()
                        .filter(|(name, _)| !is_open(name))
                        .map(|(_, value)| value),
                );
            }
            Ok(None) => {}
            // A secret that is not known cannot be searched for; its shape still gives most of them away.
            Err(error) => missing.push(format!(
                "the secrets of {} are hidden by their shape alone: {error}",
                path.display()
            )),
        }
    }
    secrets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::recording::Recording;
    use crate::journal::Phase;
    use crate::run::run;
    use std::collections::BTreeMap;
    use std::io::Read as _;

    fn unpacked(bundle: &Bundle) -> BTreeMap<String, String> {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&*bundle.bytes));
        let mut members = BTreeMap::new();
        for entry in archive.entries().expect("a tar") {
            let mut entry = entry.expect("an entry");
            assert_eq!(entry.header().mode().expect("a mode"), 0o600);
            let path = entry.path().expect("a path").into_owned();
            let name = path.file_name().expect("a name").to_string_lossy().into();
            let mut text = String::new();
            entry.read_to_string(&mut text).expect("text");
            members.insert(name, text);
        }
        members
    }

    /// Canaries planted into every source, in every spelling in which they can get there.
    #[test]
    fn no_secret_is_in_a_bundle_whatever_its_sources_hold() {
        let password = "CANARY \"horse\" \\ $battery";
        let seed = include_str!("../tests/setup/good/typical.txt").to_owned()
            + &format!(
                "\nCLAWDIE_USER_PASSWORD={password}\nOPERATOR_EMAIL=canary@example.org\n\
                 OPERATOR_PASSWORD=CANARY phrase\n#WIFI_PASSWORD=CANARY wifi\n"
            );
        let host = Recording::fresh(Some(&seed));
        run(&host, Phase::Early, "0.1.0");
        run(&host, Phase::Late, "0.1.0");
        let secrets = [
            password,
            "canary@example.org",
            "CANARY phrase",
            "CANARY wifi",
            "sk-or-v1-CANARY0123456789abcdef0123456789abcdef",
            "7712345678:AACANARYx9Y8z7W6v5x9Y8z7W6v5abcdefg",
            "sk-proj-CANARYofanearlierseed0123456789",
            "$argon2id$v=19$m=19456,t=2,p=1$CANARY$CANARY",
            "CANARY vault",
        ];
        let mut planted = String::from("said:");
        for secret in secrets {
            let json = serde_json::to_string(secret).expect("serialised");
            let shell = secret
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('$', "\\$");
            planted += &format!(" {secret}\n{json}\nKEY=\"{shell}\"\n");
        }
        planted += "-----BEGIN OPENSSH PRIVATE KEY-----\nCANARYb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----\nlast line\n";
        let paths = host.paths();
        let put = |path: &str| {
            let mut disk = host.disk.borrow_mut();
            let file = disk
                .files
                .entry(path.into())
                .or_insert_with(|| (0o600, Vec::new()));
            file.1.extend_from_slice(planted.as_bytes());
        };
        for path in [
            paths.journal,
            paths.facts,
            paths.motd,
            paths.log,
            "/var/log/clawdie-firstboot.log.old",
        ] {
            put(path);
        }
        host.write(
            Path::new("/etc/colibri/vault.env"),
            b"BW_SESSION=\"CANARY vault\"\n",
            0o600,
        )
        .expect("written");
        {
            let mut disk = host.disk.borrow_mut();
            let stick = disk.sticks.get_mut("/dev/sda1").expect("the stick");
            stick.insert(report::FILE.into(), planted.clone().into_bytes());
        }
        *host.said.borrow_mut() = planted.clone();

        let bundle = bundle(&host, "0.1.0").expect("a bundle");
        assert!(bundle.missing.is_empty(), "{:?}", bundle.missing);
        let members = unpacked(&bundle);
        let names: Vec<&str> = members.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "RESULT.txt",
                "clawdie-firstboot.log",
                "clawdie-firstboot.log.old",
                "facts.json",
                "journal.jsonl",
                "motd.txt",
                "services.txt",
                "status.json"
            ]
        );
        for (name, text) in &members {
            assert!(!text.to_lowercase().contains("canary"), "{name}: {text}");
            assert!(!text.contains("sha256:"), "a mark is in {name}: {text}");
            if name != "status.json" {
                assert!(text.contains("last line"), "{name}: {text}");
            }
        }
        assert!(members["journal.jsonl"].contains("\"step\":\"host-name\""));
        assert!(members["status.json"].contains("\"state\": \"ready\""));
        let name = &bundle.name;
        assert!(
            name.starts_with("clawdie-logs-zoe-20") && name.ends_with("Z.tar.gz"),
            "{name}"
        );
    }

    #[test]
    fn a_host_that_was_never_set_up_gives_a_bundle_that_says_so() {
        let mut host = Recording::fresh(None);
        host.volumes.clear();
        let bundle = bundle(&host, "0.1.0").expect("a bundle");
        let members = unpacked(&bundle);
        assert!(members["status.json"].contains("never-run"));
        let missing = &members["missing.txt"];
        assert!(
            missing.contains("RESULT.txt: there is no seed"),
            "{missing}"
        );
        assert!(
            missing.contains("journal.jsonl: there is no /var/lib/clawdie/journal"),
            "{missing}"
        );
    }
}
