//! Service scripts are read by a shell before a machine's first boot reads them.

use std::io::Write;
use std::process::{Command, Stdio};

use super::{Fault, Subject, fault};
use crate::error::{ErrorKind, Result, ResultExt};

pub(super) fn parse(subject: &Subject<'_>) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    for (path, node) in subject.tree.iter() {
        let name = path.as_bytes();
        // The base's own scripts are the base's business.
        let ours = name.starts_with(b"usr/local/etc/rc.d/")
            || name.starts_with(b"etc/rc.d/clawdie")
            || name.starts_with(b"usr/local/libexec/clawdie");
        let Some(content) = node.content().filter(|_| ours) else {
            continue;
        };
        let text = content.read()?;
        let service = path
            .parent()
            .is_some_and(|folder| folder.as_bytes().ends_with(b"etc/rc.d"));
        if service && node.meta.mode & 0o111 == 0 {
            faults.push(fault(path, "cannot be executed, so rc passes it over"));
        }
        if !text.starts_with(b"#!/bin/sh") {
            if service {
                faults.push(fault(
                    path,
                    "is not a script of `/bin/sh`, which rc reads it with",
                ));
            }
            continue;
        }
        let mut shell = Command::new("sh")
            .arg("-n")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .or_error(ErrorKind::Missing, || "`sh` cannot be started".into())?;
        if let Some(mut stdin) = shell.stdin.take() {
            // A shell that gives up early closes its end; its exit code tells.
            let _ = stdin.write_all(&text);
        }
        let output = shell.wait_with_output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            faults.push(fault(
                path,
                format!("is not a shell script: {}", said.trim()),
            ));
        }
    }
    Ok(faults)
}
