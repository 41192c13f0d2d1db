//! Nobody can log in with a password.

use clawdie_tree::TreePath;

use super::{Fault, Subject, fault};
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
    Ok(String::from_utf8_lossy(&text)
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| {
            let mut fields = line.split(':');
            let (login, password) = (fields.next()?, fields.next()?);
            match password {
                "" => Some(fault(
                    &path,
                    format!("lets `{login}` in without a password"),
                )),
                locked if locked.starts_with(['!', '*']) => None,
                _ => Some(fault(&path, format!("gives `{login}` a password"))),
            }
        })
        .collect())
}
