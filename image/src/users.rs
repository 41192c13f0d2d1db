//! Accounts with fixed numbers in the text files of a root that is not running.
//!
//! For systems whose login reads those texts (Debian). FreeBSD's reads a database made from them,
//! which cannot be made elsewhere: there, `pw` makes the account at first boot.

use clawdie_tree::{Content, Kind, Tree, TreePath};

use crate::error::{Error, Result};
use crate::recipe::User;

/// Adds the users and their groups, without a password, to `/etc/passwd` and its companions.
///
/// # Errors
/// When the base lacks one of the files, or already uses a name or a number.
pub fn add(tree: &mut Tree, users: &[User]) -> Result<()> {
    for user in users {
        let User {
            name,
            uid,
            gid,
            home,
            shell,
            comment,
        } = user;
        append(
            tree,
            "etc/group",
            name,
            Some(*gid),
            &format!("{name}:x:{gid}:"),
        )?;
        append(tree, "etc/gshadow", name, None, &format!("{name}:!::"))?;
        let line = format!("{name}:x:{uid}:{gid}:{comment}:{home}:{shell}");
        append(tree, "etc/passwd", name, Some(*uid), &line)?;
        // No password, never changed: the fields that an ageing policy would fill stay empty.
        append(tree, "etc/shadow", name, None, &format!("{name}:!*:::::::"))?;
    }
    Ok(())
}

fn append(tree: &mut Tree, file: &str, name: &str, number: Option<u32>, line: &str) -> Result<()> {
    let fault = |what: String| Error::bad_input(format!("`/{file}` of the base {what}"));
    let path = TreePath::new(file).map_err(|error| Error::bad_input(error.to_string()))?;
    let mut node = tree
        .get(&path)
        .cloned()
        .ok_or_else(|| fault("is missing".into()))?;
    let Kind::File { content, .. } = &mut node.kind else {
        return Err(fault("is not a file".into()));
    };
    let mut text = String::from_utf8(content.read()?).map_err(|_| fault("is not text".into()))?;
    for taken in text.lines() {
        let mut fields = taken.split(':');
        if fields.next() == Some(name) {
            return Err(fault(format!("already has `{name}`")));
        }
        let taken_number = fields.nth(1).and_then(|field| field.parse().ok());
        if number.is_some() && taken_number == number {
            return Err(fault(format!(
                "already uses the number that `{name}` should have: {taken}"
            )));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    text.push('\n');
    *content = Content::bytes(text);
    tree.insert(path, node)
        .map_err(|error| Error::failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clawdie_tree::{Meta, Node};

    fn base() -> Tree {
        let mut tree = Tree::new(Meta::root(0o755, 0));
        let at = |path: &str| TreePath::new(path).unwrap();
        tree.ensure_dirs(&at("etc"), &Meta::root(0o755, 0)).unwrap();
        for (name, text) in [
            (
                "etc/passwd",
                "root:x:0:0:root:/root:/bin/sh\nsys:x:821:3::/:/bin/sh",
            ),
            ("etc/group", "root:x:0:\n"),
            ("etc/shadow", "root:*:1::::::\n"),
            ("etc/gshadow", "root:*::\n"),
        ] {
            tree.insert(
                at(name),
                Node::file(Content::bytes(text), Meta::root(0o640, 0)),
            )
            .unwrap();
        }
        tree
    }

    fn user(name: &str, uid: u32) -> User {
        User {
            name: name.into(),
            uid,
            gid: uid,
            home: TreePath::new("/var/lib/colibri").unwrap(),
            shell: TreePath::new("/usr/sbin/nologin").unwrap(),
            comment: "Colibri".into(),
        }
    }

    #[test]
    fn a_user_is_added_without_a_password() {
        let mut tree = base();
        add(&mut tree, &[user("colibri", 820)]).unwrap();
        let text = |path: &str| {
            let node = tree.get(&TreePath::new(path).unwrap()).unwrap();
            assert_eq!(node.meta.mode, 0o640);
            String::from_utf8(node.content().unwrap().read().unwrap()).unwrap()
        };
        let line = "\ncolibri:x:820:820:Colibri:/var/lib/colibri:/usr/sbin/nologin\n";
        assert!(text("etc/passwd").ends_with(line));
        assert!(text("etc/shadow").ends_with("\ncolibri:!*:::::::\n"));
        assert!(text("etc/group").ends_with("\ncolibri:x:820:\n"));
    }

    #[test]
    fn taken_names_and_numbers_are_refused() {
        let error = add(&mut base(), &[user("root", 820)])
            .unwrap_err()
            .to_string();
        assert_eq!(error, "`/etc/group` of the base already has `root`");
        let error = add(&mut base(), &[user("colibri", 821)])
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("`/etc/passwd` of the base already uses the number"),
            "{error}"
        );
    }
}
