//! Nobody can log in with a password.

use clawdie_tree::TreePath;

use super::{Fault, Subject, fault, rc};
use crate::error::{Error, Result};
use crate::recipe::Flavour;

pub(super) fn locked_passwords(subject: &Subject<'_>) -> Result<Vec<Fault>> {
    let name = match subject.flavour {
        Flavour::Debian => "etc/shadow",
        Flavour::Freebsd => "etc/master.passwd",
    };
    let path = TreePath::new(name).map_err(|error| Error::failed(error.to_string()))?;
    let Some(content) = subject.tree.get(&path).and_then(|node| node.content()) else {
        return Ok(vec![fault(
            &path,
            "is missing, so nobody knows who may log in",
        )]);
    };
    let text = content.read()?;
    let mut faults = Vec::new();
    for line in String::from_utf8_lossy(&text).lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut fields = line.split(':');
        let (Some(login), Some(password)) = (fields.next(), fields.next()) else {
            continue;
        };
        match password {
            // FreeBSD's sets come so, and login reads a database that only FreeBSD can make anew.
            // So the early half of first boot locks root, at a time when nobody can log in yet.
            "" if login == "root" && subject.flavour == Flavour::Freebsd => {
                if let Some(why) = rc::why_root_stays_open(subject.tree)? {
                    faults.push(fault(
                        &path,
                        format!("lets `root` in without a password, as in the base, and {why}"),
                    ));
                }
            }
            "" => faults.push(fault(
                &path,
                format!("lets `{login}` in without a password"),
            )),
            locked if locked.starts_with(['!', '*']) => {}
            _ => faults.push(fault(&path, format!("gives `{login}` a password"))),
        }
    }
    faults.extend(own_database(subject)?);
    Ok(faults)
}

/// The text says who may log in only as long as the database was made from it.
fn own_database(subject: &Subject<'_>) -> Result<Vec<Fault>> {
    let (Flavour::Freebsd, Some(base)) = (subject.flavour, subject.base) else {
        return Ok(Vec::new());
    };
    let mut faults = Vec::new();
    for name in ["etc/master.passwd", "etc/pwd.db", "etc/spwd.db"] {
        let path = TreePath::new(name).map_err(|error| Error::failed(error.to_string()))?;
        let content = |root: &clawdie_tree::Tree| {
            root.get(&path)
                .and_then(|node| node.content())
                .map(|content| *content.sha256())
        };
        if content(subject.tree) != content(base) {
            faults.push(fault(
                &path,
                "is not the base's: text and database of accounts would no longer agree",
            ));
        }
    }
    Ok(faults)
}
