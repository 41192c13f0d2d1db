//! Nothing in an image looks like a secret: not in our own files, not in the configuration, not in
//! anybody's home. The base's programs are left out, they hold test keys of their own.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::{Fault, Subject, fault};
use crate::error::Result;

/// Shapes of secrets, as whole as they are in life: our own programs name the prefixes.
static SHAPES: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    [
        (r"sk-or-v1-[0-9a-f]{64}", "an OpenRouter key"),
        (r"sk-ant-[a-z0-9]+-[A-Za-z0-9_-]{80,}", "an Anthropic key"),
        (r"sk-(proj-)?[A-Za-z0-9]{32,}", "an OpenAI or DeepSeek key"),
        (r"AIza[0-9A-Za-z_-]{35}", "a Google key"),
        (r"\b[0-9]{8,10}:[A-Za-z0-9_-]{35}\b", "a Telegram bot token"),
        (r"tskey-[a-z]+-[A-Za-z0-9]{10,}", "a Tailscale key"),
        (
            r"-----BEGIN ([A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}",
            "a private key",
        ),
    ]
    .into_iter()
    .filter_map(|(shape, name)| Some((Regex::new(shape).ok()?, name)))
    .collect()
});

pub(super) fn none(subject: &Subject<'_>) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    for (path, node) in subject.tree.iter() {
        let Some(content) = node.content() else {
            continue;
        };
        let ours = subject
            .layer
            .is_some_and(|layer| layer.tree.get(path).is_some());
        let configured = [b"etc/".as_slice(), b"usr/local/etc/", b"root/", b"home/"]
            .iter()
            .any(|top| path.as_bytes().starts_with(top));
        if !ours && !configured {
            continue;
        }
        let bytes = content.read()?;
        for (shape, name) in SHAPES.iter() {
            if shape.is_match(&bytes) {
                faults.push(fault(path, format!("holds what looks like {name}")));
            }
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_compiles() {
        assert_eq!(SHAPES.len(), 7);
    }
}
