//! sshd takes keys only. It uses the first value it meets.

use std::collections::VecDeque;

use clawdie_tree::TreePath;
use globset::GlobBuilder;

use super::{Fault, Subject, fault};
use crate::error::{Error, ErrorKind, Result, ResultExt};

const RULES: [&str; 3] = [
    "PasswordAuthentication",
    "KbdInteractiveAuthentication",
    "PermitRootLogin",
];

/// Off unless somebody turns it on.
const OFF_BY_ITSELF: &str = "PermitEmptyPasswords";

const MAIN: &str = "etc/ssh/sshd_config";

pub(super) fn keys_only(subject: &Subject<'_>) -> Result<Vec<Fault>> {
    let main = TreePath::new(MAIN).map_err(|error| Error::failed(error.to_string()))?;
    let settings = settings(subject, &main)?;
    let first = |rule: &str| {
        settings
            .iter()
            .find(|(_, key, _)| key.eq_ignore_ascii_case(rule))
    };
    let mut faults = Vec::new();
    for rule in RULES.into_iter().chain([OFF_BY_ITSELF]) {
        match first(rule) {
            None if rule == OFF_BY_ITSELF => {}
            None => faults.push(fault(
                &main,
                format!("and what it includes: `{rule}` is nowhere set to `no`"),
            )),
            Some((_, _, value)) if value == "no" => {}
            Some((path, _, value)) => faults.push(fault(
                path,
                format!("sets `{rule} {value}`; it must be `no`"),
            )),
        }
    }
    Ok(faults)
}

/// Every setting in the order in which sshd meets it: a drop-in counts where, and only if, the main
/// file includes it.
fn settings(subject: &Subject<'_>, main: &TreePath) -> Result<Vec<(TreePath, String, String)>> {
    let mut settings = Vec::new();
    let mut lines: VecDeque<_> = lines(subject, main)?.into();
    // An included file may include others; none that is sane has so many lines.
    let mut left = 10_000;
    while let Some((path, line)) = lines.pop_front() {
        left -= 1;
        if left == 0 {
            return Err(Error::bad_input(format!("`{main}` includes itself")));
        }
        let words = line.split_once(|c: char| c.is_whitespace() || c == '=');
        let Some((key, value)) = words.map(|(key, value)| (key, value.trim())) else {
            continue;
        };
        match key.to_ascii_lowercase().as_str() {
            // What follows, to the end of its file, holds for some logins only.
            "match" => lines.retain(|(of, _)| *of != path),
            "include" => {
                for included in included(subject, value)?.into_iter().rev() {
                    for line in self::lines(subject, &included)?.into_iter().rev() {
                        lines.push_front(line);
                    }
                }
            }
            _ => settings.push((path, key.to_owned(), value.to_owned())),
        }
    }
    Ok(settings)
}

fn lines(subject: &Subject<'_>, path: &TreePath) -> Result<Vec<(TreePath, String)>> {
    let Some(content) = subject.tree.get(path).and_then(|node| node.content()) else {
        return Ok(Vec::new());
    };
    let text = content.read()?;
    Ok(String::from_utf8_lossy(&text)
        .lines()
        .map(|line| (path.clone(), line.trim().to_owned()))
        .filter(|(_, line)| !line.starts_with('#'))
        .collect())
}

/// The files that the patterns of an `Include` match, sorted as sshd sorts them.
fn included(subject: &Subject<'_>, patterns: &str) -> Result<Vec<TreePath>> {
    let mut found = Vec::new();
    for pattern in patterns.split_whitespace() {
        let pattern = match pattern.strip_prefix('/') {
            Some(pattern) => pattern.to_owned(),
            None => format!("etc/ssh/{pattern}"),
        };
        let glob = GlobBuilder::new(&pattern)
            .literal_separator(true)
            .build()
            .or_error(ErrorKind::BadInput, || {
                format!("`/{MAIN}` includes `{pattern}`")
            })?
            .compile_matcher();
        found.extend(
            subject
                .tree
                .iter()
                .map(|(path, _)| path)
                .filter(|path| glob.is_match(String::from_utf8_lossy(path.as_bytes()).as_ref()))
                .cloned(),
        );
    }
    Ok(found)
}
