//! What makes a host itself is made at its first boot.

use super::{Fault, Subject, fault};
use crate::error::Result;

pub(super) fn none(subject: &Subject<'_>) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    for (path, node) in subject.tree.iter() {
        let name = path.as_bytes();
        if name.starts_with(b"etc/ssh/ssh_host_") {
            faults.push(fault(path, "is a host key"));
        }
        let is_id = matches!(
            name,
            b"etc/machine-id" | b"var/lib/dbus/machine-id" | b"etc/hostid"
        );
        if is_id && node.content().is_some_and(|content| !content.is_empty()) {
            faults.push(fault(path, "is not empty"));
        }
    }
    Ok(faults)
}
