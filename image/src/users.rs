//! Accounts with fixed numbers in the text files of a root that is not running.
//!
//! For systems whose login reads those texts (Debian). FreeBSD's reads a database made from them,
//! which cannot be made elsewhere: there, `pw` makes the account at first boot, and here we only see
//! to it that its name and number will be free then.

use clawdie_tree::{Content, Kind, Tree, TreePath};

use crate::error::{Error, Result};
use crate::recipe::{Flavour, Recipe, User};

/// Adds the recipe's users and their groups, without a password, to `/etc/passwd` and its companions,
/// where that makes accounts; and locks root there, so that no first boot can fail to.
///
/// # Errors
/// When the base lacks one of the files, or already uses a name or a number.
pub fn add(tree: &mut Tree, recipe: &Recipe) -> Result<()> {
    match recipe.flavour {
        Flavour::Debian => write(tree, &recipe.users),
        Flavour::Freebsd => are_free(tree, &recipe.users),
    }
}

/// A name or number that the base uses would make `pw` fail at the first boot of every machine.
fn are_free(tree: &Tree, users: &[User]) -> Result<()> {
    for user in users {
        for (file, number) in [("etc/master.passwd", user.uid), ("etc/group", user.gid)] {
            // A base without accounts is the linter's to complain about.
            if tree.get(&path_of(file)?).is_some() {
                free(file, &text_of(tree, file)?, &user.name, Some(number))?;
            }
        }
    }
    Ok(())
}

fn write(tree: &mut Tree, users: &[User]) -> Result<()> {
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
    let shadow = text_of(tree, "etc/shadow")?;
    put(tree, "etc/shadow", lock_root(&shadow)?)
}

fn lock_root(shadow: &str) -> Result<String> {
    let (mut text, mut found) = (String::with_capacity(shadow.len()), false);
    for line in shadow.lines() {
        let root = line
            .strip_prefix("root:")
            .and_then(|rest| rest.split_once(':'));
        match root {
            Some((_, rest)) => {
                found = true;
                text.push_str("root:!*:");
                text.push_str(rest);
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    if found {
        Ok(text)
    } else {
        Err(fault("etc/shadow", "has no line for root"))
    }
}

fn fault(file: &str, what: impl std::fmt::Display) -> Error {
    Error::bad_input(format!("`/{file}` of the base {what}"))
}

fn path_of(file: &str) -> Result<TreePath> {
    TreePath::new(file).map_err(|error| Error::bad_input(error.to_string()))
}

fn text_of(tree: &Tree, file: &str) -> Result<String> {
    let node = tree
        .get(&path_of(file)?)
        .ok_or_else(|| fault(file, "is missing"))?;
    let content = node.content().ok_or_else(|| fault(file, "is not a file"))?;
    String::from_utf8(content.read()?).map_err(|_| fault(file, "is not text"))
}

/// Whether no line of `text` has the name or the number.
fn free(file: &str, text: &str, name: &str, number: Option<u32>) -> Result<()> {
    for taken in text.lines() {
        let mut fields = taken.split(':');
        if fields.next() == Some(name) {
            return Err(fault(file, format!("already has `{name}`")));
        }
        let taken_number = fields.nth(1).and_then(|field| field.parse().ok());
        if number.is_some() && taken_number == number {
            return Err(fault(
                file,
                format!("already uses the number that `{name}` should have: {taken}"),
            ));
        }
    }
    Ok(())
}

fn append(tree: &mut Tree, file: &str, name: &str, number: Option<u32>, line: &str) -> Result<()> {
    let mut text = text_of(tree, file)?;
    free(file, &text, name, number)?;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    text.push('\n');
    put(tree, file, text)
}

fn put(tree: &mut Tree, file: &str, text: String) -> Result<()> {
    let path = path_of(file)?;
    let mut node = tree
        .get(&path)
        .cloned()
        .ok_or_else(|| fault(file, "is missing"))?;
    node.kind = Kind::File {
        content: Content::bytes(text),
        link: None,
    };
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
    fn a_user_is_added_without_a_password_and_root_is_locked() {
        let mut tree = base();
        write(&mut tree, &[user("colibri", 820)]).unwrap();
        let text = |path: &str| {
            let node = tree.get(&TreePath::new(path).unwrap()).unwrap();
            assert_eq!(node.meta.mode, 0o640);
            String::from_utf8(node.content().unwrap().read().unwrap()).unwrap()
        };
        let line = "\ncolibri:x:820:820:Colibri:/var/lib/colibri:/usr/sbin/nologin\n";
        assert!(text("etc/passwd").ends_with(line));
        assert_eq!(text("etc/shadow"), "root:!*:1::::::\ncolibri:!*:::::::\n");
        assert!(text("etc/group").ends_with("\ncolibri:x:820:\n"));
    }

    #[test]
    fn taken_names_and_numbers_are_refused() {
        let error = write(&mut base(), &[user("root", 820)])
            .unwrap_err()
            .to_string();
        assert_eq!(error, "`/etc/group` of the base already has `root`");
        let error = write(&mut base(), &[user("colibri", 821)])
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("`/etc/passwd` of the base already uses the number"),
            "{error}"
        );
    }

    #[test]
    fn freebsds_files_are_looked_at_and_left_alone() {
        let mut tree = base();
        let path = TreePath::new("etc/master.passwd").unwrap();
        let text = "# comment\nroot::0:0::0:0:Charlie &:/root:/bin/sh\nwww:*:80:80::0:0::/:/x\n";
        tree.insert(
            path.clone(),
            Node::file(Content::bytes(text), Meta::root(0o600, 0)),
        )
        .unwrap();
        let before = tree.clone();
        are_free(&tree, &[user("colibri", 820)]).unwrap();
        assert_eq!(tree, before);
        let error = are_free(&tree, &[user("www", 820)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`/etc/master.passwd` of the base already has `www`"
        );
        let error = are_free(&tree, &[user("colibri", 80)]).unwrap_err();
        assert!(
            error.to_string().contains("already uses the number"),
            "{error}"
        );
        tree.remove(&path);
        tree.remove(&TreePath::new("etc/group").unwrap());
        are_free(&tree, &[user("colibri", 820)]).unwrap();
    }
}
