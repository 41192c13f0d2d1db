//! What FreeBSD's rc would make of the root: the knobs of rc.conf, and the order that headers of
//! scripts ask for.

use std::collections::{BTreeMap, BTreeSet};

use clawdie_tree::{Tree, TreePath};

use super::{Fault, Subject, fault};
use crate::error::{Error, Result};
use crate::recipe::Flavour;

/// As rc reads them; what comes later wins.
const RC_CONF: [&str; 2] = ["etc/rc.conf", "etc/rc.conf.local"];

/// What locks root, and its switch.
const SEED: &str = "etc/rc.d/clawdie_seed";
const SEED_SWITCH: &str = "clawdie_seed_enable";

/// What must not be reached with an open root: `LOGIN` stands for everything that lets people in,
/// sshd is what the network reaches. Consoles get their login prompts only when rc has ended.
const LOGINS: [&str; 2] = ["LOGIN", "sshd"];

/// The swap partition that base's `growfs` would make lies behind the root, which then never grows
/// again.
pub(super) fn growfs_without_swap(subject: &Subject<'_>) -> Result<Vec<Fault>> {
    if subject.flavour != Flavour::Freebsd {
        return Ok(Vec::new());
    }
    Ok(match knob(subject.tree, "growfs_swap_size")?.as_deref() {
        Some("0") => Vec::new(),
        found => vec![fault(
            &at(RC_CONF[0])?,
            match found {
                Some(size) => format!("sets `growfs_swap_size` to `{size}`; it must be `0`"),
                None => "does not set `growfs_swap_size` to `0`".into(),
            },
        )],
    })
}

/// Why root would stay open while people can already log in; nothing when it is locked before.
pub(super) fn why_root_stays_open(tree: &Tree) -> Result<Option<String>> {
    let script = at(SEED)?;
    let Some(node) = tree.get(&script).filter(|node| node.content().is_some()) else {
        return Ok(Some(format!("`{script}` is missing")));
    };
    if node.meta.mode & 0o111 == 0 {
        return Ok(Some(format!("`{script}` cannot be executed")));
    }
    let on =
        |value: &String| ["yes", "true", "on", "1"].contains(&value.to_ascii_lowercase().as_str());
    if !knob(tree, SEED_SWITCH)?.as_ref().is_some_and(on) {
        return Ok(Some(format!("`{SEED_SWITCH}` is not YES in rc.conf")));
    }
    let order = Order::of(tree)?;
    if let Some(word) = order
        .keywords
        .iter()
        .find(|word| ["nostart", "firstboot"].contains(&word.as_str()))
    {
        return Ok(Some(format!(
            "`{script}` has the keyword `{word}`, and does not run at each boot"
        )));
    }
    Ok(LOGINS
        .iter()
        .find(|login| !order.comes_before("clawdie_seed", login))
        .map(|login| format!("nothing in the headers puts `{script}` before `{login}`")))
}

/// The value of a knob, without its quotes.
fn knob(tree: &Tree, name: &str) -> Result<Option<String>> {
    let mut value = None;
    for path in RC_CONF {
        let Some(content) = tree.get(&at(path)?).and_then(|node| node.content()) else {
            continue;
        };
        for line in String::from_utf8_lossy(&content.read()?).lines() {
            let Some(set) = line
                .trim_start()
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('='))
            else {
                continue;
            };
            let quoted = |quote| Some(set.strip_prefix(quote)?.split(quote).next()?.to_owned());
            value = quoted('"').or_else(|| quoted('\'')).or_else(|| {
                let word = set.split([' ', '\t', ';', '#']).next()?;
                Some(word.to_owned())
            });
        }
    }
    Ok(value)
}

/// What the headers of `/etc/rc.d` say, as rcorder(8) reads them.
#[derive(Default)]
struct Order {
    /// What must have run before a name.
    after: BTreeMap<String, BTreeSet<String>>,
    /// Keywords of what locks root.
    keywords: BTreeSet<String>,
}

impl Order {
    fn of(tree: &Tree) -> Result<Self> {
        let mut order = Self::default();
        for (path, node) in tree.children(&at("etc/rc.d")?) {
            if let Some(content) = node.content() {
                let text = content.read()?;
                order.add(path, &String::from_utf8_lossy(&text))?;
            }
        }
        Ok(order)
    }

    fn add(&mut self, path: &TreePath, text: &str) -> Result<()> {
        let header = Header::read(text);
        for name in &header.provide {
            let own = self.after.entry(name.clone()).or_default();
            own.extend(header.require.iter().cloned());
            for other in &header.before {
                let other = self.after.entry(other.clone()).or_default();
                other.insert(name.clone());
            }
        }
        if *path == at(SEED)? {
            self.keywords = header.keyword;
        }
        Ok(())
    }

    fn comes_before(&self, first: &str, second: &str) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![second];
        while let Some(name) = open.pop() {
            for earlier in self.after.get(name).into_iter().flatten() {
                if earlier == first {
                    return true;
                }
                if seen.insert(earlier) {
                    open.push(earlier);
                }
            }
        }
        false
    }
}

#[derive(Default)]
struct Header {
    provide: BTreeSet<String>,
    require: BTreeSet<String>,
    before: BTreeSet<String>,
    keyword: BTreeSet<String>,
}

impl Header {
    /// The first run of such lines: rcorder(8) does not look behind it.
    fn read(text: &str) -> Self {
        let mut header = Self::default();
        let mut begun = false;
        for line in text.lines() {
            let Some((field, words)) = line
                .strip_prefix("# ")
                .and_then(|line| line.split_once(':'))
                .and_then(|(field, words)| Some((header.field(field)?, words)))
            else {
                if begun {
                    break;
                }
                continue;
            };
            field.extend(words.split_whitespace().map(str::to_owned));
            begun = true;
        }
        header
    }

    fn field(&mut self, name: &str) -> Option<&mut BTreeSet<String>> {
        Some(match name {
            "PROVIDE" | "PROVIDES" => &mut self.provide,
            "REQUIRE" | "REQUIRES" => &mut self.require,
            "BEFORE" => &mut self.before,
            "KEYWORD" | "KEYWORDS" => &mut self.keyword,
            _ => return None,
        })
    }
}

fn at(path: &str) -> Result<TreePath> {
    TreePath::new(path).map_err(|error| Error::failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_ends_at_the_first_line_that_is_none() {
        let header = Header::read(
            "#!/bin/sh\n# text: here\n# PROVIDE: a b\n# REQUIRE: c\n# BEFORE: d\n\n# KEYWORD: e\n",
        );
        assert_eq!(Vec::from_iter(header.provide), ["a", "b"]);
        assert_eq!(Vec::from_iter(header.require), ["c"]);
        assert_eq!(Vec::from_iter(header.before), ["d"]);
        assert!(header.keyword.is_empty());
    }
}
