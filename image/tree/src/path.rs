//! Paths that cannot leave the root.

use std::fmt;

/// A path below the root of a tree: `/`-separated names, each neither empty, `.` nor `..`.
///
/// The order is by component, so a directory is followed at once by everything below it
/// (`etc`, `etc/ssh`, then `etc-old`), which plain byte order does not give.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct TreePath(Vec<u8>);

/// Why bytes are not a path in a tree.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{path}` {fault}")]
pub struct PathError {
    path: String,
    fault: &'static str,
}

impl TreePath {
    /// The root itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads a path; one leading `/` or `./` and one trailing `/` are allowed, as in tar archives.
    ///
    /// # Errors
    /// When a name is `..`, longer than 255 bytes or holds a NUL, or the path is longer than 4095 bytes.
    pub fn new(path: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let whole = path.as_ref();
        let fail = |fault| PathError {
            path: String::from_utf8_lossy(whole).into_owned(),
            fault,
        };
        let mut clean = Vec::with_capacity(whole.len());
        for name in whole.split(|&byte| byte == b'/') {
            match name {
                b"" | b"." => continue,
                b".." => return Err(fail("would leave the root")),
                name if name.contains(&0) => return Err(fail("holds a NUL byte")),
                name if name.len() > 255 => return Err(fail("has a name longer than 255 bytes")),
                name => {
                    if !clean.is_empty() {
                        clean.push(b'/');
                    }
                    clean.extend_from_slice(name);
                }
            }
        }
        if clean.len() > 4095 {
            return Err(fail("is longer than 4095 bytes"));
        }
        Ok(Self(clean))
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory that holds it; none for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        Some(Self(self.0[..end].to_vec()))
    }

    /// The last name; empty for the root.
    pub fn name(&self) -> &[u8] {
        let start = self
            .0
            .iter()
            .rposition(|&byte| byte == b'/')
            .map_or(0, |slash| slash + 1);
        &self.0[start..]
    }

    /// This path and one or more names below it.
    ///
    /// # Errors
    /// As [`TreePath::new`].
    pub fn join(&self, below: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let mut whole = self.0.clone();
        whole.push(b'/');
        whole.extend_from_slice(below.as_ref());
        Self::new(whole)
    }

    /// Whether this is `above` or lies below it.
    pub fn starts_with(&self, above: &Self) -> bool {
        above.is_root()
            || self
                .0
                .strip_prefix(above.0.as_slice())
                .is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/'))
    }

    /// The names from the root down.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0
            .split(|&byte| byte == b'/')
            .filter(|name| !name.is_empty())
    }

    /// The bytes, without a leading `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.names().cmp(other.names())
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_archives_meet() {
        for spelling in [
            "./bin/sh", "/bin/sh", "bin/sh", "bin//sh", "bin/./sh", "bin/sh/",
        ] {
            assert_eq!(
                TreePath::new(spelling).unwrap().as_bytes(),
                b"bin/sh",
                "{spelling}"
            );
        }
        assert!(TreePath::new("./").unwrap().is_root());
    }

    #[test]
    fn nothing_leaves_the_root() {
        for escape in ["..", "../etc", "a/../../etc", "/..", "a/.."] {
            assert!(TreePath::new(escape).is_err(), "{escape}");
        }
        assert!(TreePath::new("a/b\0c").is_err());
        assert!(TreePath::new("n".repeat(256)).is_err());
        assert!(TreePath::new("n/".repeat(2100)).is_err());
        assert_eq!(
            TreePath::new("a/../b").unwrap_err().to_string(),
            "`a/../b` would leave the root"
        );
    }

    proptest! {
        #[test]
        fn a_path_lies_below_each_of_its_parents(path in "[a-c.-]{1,3}(/[a-c.-]{1,3}){0,5}") {
            let Ok(path) = TreePath::new(&path) else { return Ok(()) };
            let mut above = Some(path.clone());
            while let Some(dir) = above {
                prop_assert!(path.starts_with(&dir));
                prop_assert!(dir <= path);
                above = dir.parent();
            }
        }
    }
}
