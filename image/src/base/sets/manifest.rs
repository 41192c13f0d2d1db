//! `MANIFEST`: what a release says about its own sets.
//!
//! One line a set, made by `release/scripts/make-manifest.sh`, fields apart by tabs:
//! `file sha256 entries name "description" on|off`. It is not signed, so it is believed only where a
//! person says so.

use clawdie_tree::Sha256;

use crate::recipe::{PinnedSet, digest};

/// More than a release needs by far; a larger file is something else.
pub const MAX_BYTES: u64 = 64 << 10;

/// A line that is not one of a `MANIFEST`.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1; 0 when it is the file as a whole.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => f.write_str(&self.what),
            line => write!(f, "line {line}: {}", self.what),
        }
    }
}

/// Reads a whole `MANIFEST`: its sets in their order.
///
/// # Errors
/// The first line that breaks a rule; a file that names a set twice, or none.
pub fn parse(text: &str) -> Result<Vec<PinnedSet>, Fault> {
    let mut sets: Vec<PinnedSet> = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let set = read(content).map_err(|what| Fault { line, what })?;
        if sets.iter().any(|before| before.file == set.file) {
            let what = format!("`{}` comes twice", set.file);
            return Err(Fault { line, what });
        }
        sets.push(set);
    }
    if sets.is_empty() {
        let what = "it names no set at all".to_owned();
        return Err(Fault { line: 0, what });
    }
    Ok(sets)
}

fn read(line: &str) -> Result<PinnedSet, String> {
    let fields: Vec<_> = line.split('\t').collect();
    let &[file, sha256, files, name, description, default] = fields.as_slice() else {
        return Err(format!(
            "has {} fields between tabs instead of 6",
            fields.len()
        ));
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if file.is_empty() || file.starts_with('.') || !file.bytes().all(legal) {
        return Err(format!("`{file}` is not the name of a set"));
    }
    let sha256: Sha256 = digest(sha256).ok_or_else(|| {
        format!("`{sha256}` is not the SHA-256 of `{file}`, which has 64 hexadecimal digits")
    })?;
    let count = files
        .parse()
        .ok()
        .filter(|count| *count > 0 && files.bytes().all(|byte| byte.is_ascii_digit()));
    let Some(count) = count else {
        return Err(format!(
            "`{files}` is not the number of entries of `{file}`"
        ));
    };
    if name.is_empty() {
        return Err(format!("`{file}` has no name"));
    }
    if description.len() < 2 || !description.starts_with('"') || !description.ends_with('"') {
        return Err(format!("the description of `{file}` has no quotes"));
    }
    if !["on", "off"].contains(&default) {
        return Err(format!("`{default}` of `{file}` is neither `on` nor `off`"));
    }
    Ok(PinnedSet {
        file: file.to_owned(),
        sha256,
        files: Some(count),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HASH: &str = "3768988b151c20f965679062b065c63a977d6bbb9f47fd83695ec2c40790c18f";

    fn line(file: &str, hash: &str, files: &str, rest: &str) -> String {
        format!("{file}\t{hash}\t{files}\t{rest}\n")
    }

    #[test]
    fn a_release_reads() {
        let rest = "base\t\"Base system (MANDATORY)\"\ton";
        let text = line("base.txz", HASH, "30469", rest)
            + &line(
                "kernel-dbg.txz",
                HASH,
                "838",
                "kernel_dbg\t\"Kernel debug info\"\toff",
            );
        let sets = parse(&text).unwrap();
        assert_eq!(sets.len(), 2);
        assert_eq!(
            (sets[0].file.as_str(), sets[0].files),
            ("base.txz", Some(30469))
        );
        assert_eq!(clawdie_tree::hex(sets[1].sha256), HASH);
    }

    #[test]
    fn lines_that_break_a_rule_are_named() {
        let rest = "base\t\"Base\"\ton";
        let good = || line("base.txz", HASH, "1", rest);
        for (text, expected) in [
            (String::new(), "it names no set at all"),
            (
                "base.txz\n".into(),
                "line 1: has 1 fields between tabs instead of 6",
            ),
            (good() + &good(), "line 2: `base.txz` comes twice"),
            (
                good() + "\n",
                "line 2: has 1 fields between tabs instead of 6",
            ),
            (
                line("../base.txz", HASH, "1", rest),
                "line 1: `../base.txz` is not the name of a set",
            ),
            (
                line("/etc/x", HASH, "1", rest),
                "line 1: `/etc/x` is not the name of a set",
            ),
            (
                line("base.txz", "12", "1", rest),
                "line 1: `12` is not the SHA-256 of `base.txz`, which has 64 hexadecimal digits",
            ),
            (
                line("base.txz", HASH, "+1", rest),
                "line 1: `+1` is not the number of entries of `base.txz`",
            ),
            (
                line("base.txz", HASH, "0", rest),
                "line 1: `0` is not the number of entries of `base.txz`",
            ),
            (
                line("base.txz", HASH, "99999999999999999999", rest),
                "line 1: `99999999999999999999` is not the number of entries of `base.txz`",
            ),
            (
                line("base.txz", HASH, "1", "base\tBase\ton"),
                "line 1: the description of `base.txz` has no quotes",
            ),
            (
                line("base.txz", HASH, "1", "base\t\"Base\"\tyes"),
                "line 1: `yes` of `base.txz` is neither `on` nor `off`",
            ),
        ] {
            assert_eq!(parse(&text).unwrap_err().to_string(), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_a_release_writes_is_what_is_read(
            sets in proptest::collection::btree_map(
                "[a-z0-9][a-z0-9._-]{0,20}", (any::<[u8; 32]>(), 1..u64::MAX, ".{0,20}", any::<bool>()), 1..8),
        ) {
            let mut text = String::new();
            let mut expected = Vec::new();
            for (file, (sha256, files, description, on)) in sets {
                let description = description.replace(['\t', '\r', '\n'], " ");
                let default = if on { "on" } else { "off" };
                let hash = clawdie_tree::hex(sha256);
                text += &format!("{file}\t{hash}\t{files}\tname\t\"{description}\"\t{default}\n");
                expected.push(PinnedSet { file, sha256, files: Some(files) });
            }
            prop_assert_eq!(parse(&text), Ok(expected));
        }

        #[test]
        fn no_text_is_read_that_names_a_path(text in "[a-z./\\t\"0-9]{0,300}") {
            if let Ok(sets) = parse(&text) {
                prop_assert!(sets.iter().all(|set| !set.file.contains('/')));
            }
        }

        #[test]
        fn one_changed_byte_never_changes_what_is_said_unnoticed(
            at in 0..100usize, byte in any::<u8>(),
        ) {
            let good = line("base.txz", HASH, "30469", "base\t\"Base\"\ton");
            let mut bytes = good.clone().into_bytes();
            let at = at % (bytes.len() - 1);
            bytes[at] = byte;
            let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
            if let Ok(sets) = parse(&text) {
                let same_hash = clawdie_tree::hex(sets[0].sha256) == HASH;
                // Whatever is accepted is what the line says, field by field.
                prop_assert_eq!(sets[0].file.as_str(), text.split('\t').next().unwrap());
                prop_assert_eq!(same_hash, text.split('\t').nth(1).unwrap().eq_ignore_ascii_case(HASH));
            }
        }
    }
}
