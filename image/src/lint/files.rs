//! Permissions that let one account change what another runs.

use clawdie_tree::{Kind, Node};

use super::{Fault, Subject, fault};
use crate::error::Result;

const STICKY: u16 = 0o1000;
const SETUID_SETGID: u16 = 0o6000;

pub(super) fn world_writable(subject: &Subject<'_>) -> Result<Vec<Fault>> {
    let open = |node: &Node| match node.kind {
        Kind::Symlink(_) | Kind::CharDevice { .. } => false,
        Kind::Dir => node.meta.mode & 0o002 != 0 && node.meta.mode & STICKY == 0,
        _ => node.meta.mode & 0o002 != 0,
    };
    Ok(subject
        .tree
        .iter()
        .filter(|(_, node)| open(node))
        .map(|(path, node)| {
            fault(
                path,
                format!("can be changed by anybody (mode {:04o})", node.meta.mode),
            )
        })
        .collect())
}

pub(super) fn new_setuid(subject: &Subject<'_>) -> Result<Vec<Fault>> {
    let Some(base) = subject.base else {
        return Ok(Vec::new());
    };
    let privileged = |node: &Node| node.content().is_some() && node.meta.mode & SETUID_SETGID != 0;
    Ok(subject
        .tree
        .iter()
        .filter(|(_, node)| privileged(node))
        .filter(|(path, node)| {
            base.get(path)
                .is_none_or(|before| !privileged(before) || before.content() != node.content())
        })
        .map(|(path, node)| {
            let mode = node.meta.mode;
            fault(
                path,
                format!("is setuid or setgid (mode {mode:04o}), and the base has no such file"),
            )
        })
        .collect())
}
