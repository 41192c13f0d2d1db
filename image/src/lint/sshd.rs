//! sshd takes keys only. It uses the first value it meets: drop-ins in order, then the main file.

use clawdie_tree::{Content, TreePath};

use super::{Fault, Subject, fault};
use crate::error::{Error, Result};

const RULES: [&str; 3] = [
    "PasswordAuthentication",
    "KbdInteractiveAuthentication",
    "PermitRootLogin",
];

pub(super) fn keys_only(subject: &Subject<'_>) -> Result<Vec<Fault>> {
    let at = |path: &str| TreePath::new(path).map_err(|error| Error::failed(error.to_string()));
    let main = at("etc/ssh/sshd_config")?;
    let folder = at("etc/ssh/sshd_config.d")?;
    let mut texts: Vec<(&TreePath, &Content)> = subject
        .tree
        .children(&folder)
        .filter(|(path, _)| path.name().ends_with(b".conf"))
        .filter_map(|(path, node)| Some((path, node.content()?)))
        .collect();
    texts.extend(
        subject
            .tree
            .get(&main)
            .and_then(|node| node.content())
            .map(|text| (&main, text)),
    );
    let mut settings = Vec::new();
    for (path, content) in texts {
        let text = content.read()?;
        for line in String::from_utf8_lossy(&text).lines() {
            // What follows holds for some logins only, and never comes first.
            if line.trim_start().to_ascii_lowercase().starts_with("match") {
                break;
            }
            if let Some((key, value)) = line
                .trim()
                .split_once(|c: char| c.is_whitespace() || c == '=')
            {
                settings.push((path.clone(), key.to_owned(), value.trim().to_owned()));
            }
        }
    }
    Ok(RULES
        .iter()
        .filter_map(|rule| {
            match settings
                .iter()
                .find(|(_, key, _)| key.eq_ignore_ascii_case(rule))
            {
                None => Some(fault(
                    &main,
                    format!("and its drop-ins: `{rule}` is nowhere set to `no`"),
                )),
                Some((_, _, value)) if value == "no" => None,
                Some((path, _, value)) => Some(fault(
                    path,
                    format!("sets `{rule} {value}`; it must be `no`"),
                )),
            }
        })
        .collect())
}
