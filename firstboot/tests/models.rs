//! Every model of `profiles.toml` stands in the catalogue of the agent's npm package, which is pinned by its integrity.
//!
//! Needs npm, tar and the registry (or npm's cache); a machine without says so and checks nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

const PROFILES: &str =
    include_str!("../../overlays/common/usr/local/share/clawdie-iso/profiles.toml");
const PINNED: &str = include_str!("../../pkg-lists/npm.txt");
const PACKAGE: &str = "@earendil-works/pi-ai@";

/// Provider -> its models.
type Catalogue = BTreeMap<String, BTreeSet<String>>;

/// The pinned package's name with version, and its integrity.
fn pinned() -> (&'static str, &'static str) {
    let line = PINNED
        .lines()
        .find(|line| line.starts_with(PACKAGE))
        .expect("the package is in pkg-lists/npm.txt");
    let mut words = line.split_whitespace();
    let mut word = || words.next().expect("name and integrity");
    (word(), word())
}

/// The package's archive in `folder`; `Err` when this machine cannot get it.
fn pack(folder: &Path) -> Result<(), String> {
    let (package, integrity) = pinned();
    let output = Command::new("npm")
        .args([
            "pack",
            "--json",
            "--prefer-offline",
            "--ignore-scripts",
            package,
        ])
        .current_dir(folder)
        .output()
        .map_err(|error| format!("npm does not run here: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let line = said
            .lines()
            .find(|line| line.contains("error"))
            .unwrap_or_default();
        return Err(format!("npm cannot get {package}: {line}"));
    }
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("npm's JSON");
    assert_eq!(
        told[0]["integrity"], integrity,
        "{package} is not the pinned one"
    );
    let file = told[0]["filename"].as_str().expect("a file");
    std::fs::rename(folder.join(file), folder.join("package.tgz")).expect("renamed");
    Ok(())
}

/// Reads `models.generated.js`, one model a block: the provider's name stands four blanks in, the model's eight.
fn catalogue(text: &str) -> Catalogue {
    let name = |line: &str, indent: &str| {
        let rest = line.strip_prefix(indent)?.strip_suffix("\": {")?;
        Some(rest.strip_prefix('"')?.to_owned())
    };
    let (mut models, mut provider) = (Catalogue::new(), String::new());
    for line in text.lines() {
        if let Some(name) = name(line, "    ") {
            provider = name;
        } else if let Some(name) = name(line, "        ") {
            models.entry(provider.clone()).or_default().insert(name);
        }
    }
    models
}

/// What `profiles.toml` names and the catalogue lacks.
fn missing(profiles: &str, catalogue: &Catalogue) -> Vec<String> {
    let profiles: toml::Table = profiles.parse().expect("the profiles");
    let mut missing = Vec::new();
    for (profile, providers) in &profiles {
        for (provider, roles) in providers.as_table().expect("providers") {
            for (role, model) in roles.as_table().expect("roles") {
                let model = model.as_str().expect("a model");
                let is_known = catalogue
                    .get(provider)
                    .is_some_and(|models| models.contains(model));
                if !is_known {
                    missing.push(format!("[{profile}.{provider}] {role} = {model}"));
                }
            }
        }
    }
    missing
}

#[test]
fn every_model_of_the_profiles_is_in_the_pinned_catalogue() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    if let Err(why) = pack(folder.path()) {
        println!("NOT CHECKED: {why}");
        return;
    }
    let output = Command::new("tar")
        .args(["-xzOf", "package.tgz", "package/dist/models.generated.js"])
        .current_dir(folder.path())
        .output()
        .expect("tar runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let catalogue = catalogue(&String::from_utf8_lossy(&output.stdout));
    assert!(
        catalogue["openrouter"].len() > 100,
        "the catalogue's form has changed"
    );
    assert_eq!(missing(PROFILES, &catalogue), Vec::<String>::new());
    // The check finds one that is not there.
    let broken = PROFILES.replacen("gpt-5.1", "gpt-5.1-imagined", 1);
    assert_eq!(missing(&broken, &catalogue).len(), 1);
}

#[test]
fn the_profiles_say_which_version_they_were_looked_up_in() {
    let version = pinned().0.strip_prefix(PACKAGE).expect("a version");
    assert!(
        PROFILES.contains(&format!("version\n# {version}")),
        "not {version}"
    );
}
