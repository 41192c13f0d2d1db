//! The list of packages: a name and why it is there, one a line.

use std::path::Path;

use crate::error::{Error, Result};

/// Names of a list; `#` begins a comment, and the one behind a name says why.
///
/// # Errors
/// When a line holds anything else, gives no reason, or names a package again.
pub(super) fn parse(text: &str, path: &Path) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let (name, why) = line.split_once('#').unwrap_or((line, ""));
        let name = name.trim();
        if name.is_empty() {
            continue;
        }
        let fault = |what: String| {
            Err(Error::bad_input(format!(
                "`{}` line {number}: {what}",
                path.display()
            )))
        };
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte);
        if !name.bytes().all(legal) || name.starts_with(['-', '.']) {
            return fault(format!("`{name}` is not the name of a package"));
        }
        if why.trim().is_empty() {
            return fault(format!("why is `{name}` there? say so behind a `#`"));
        }
        if names.iter().any(|known| known == name) {
            return fault(format!("`{name}` stands on the list already"));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        parse(text, Path::new("list.txt")).unwrap_err().to_string()
    }

    #[test]
    fn a_list_is_names_with_reasons() {
        let text = "# all\n\n  p5-DBI # a\nca_root_nss  # b # c\n";
        assert_eq!(
            parse(text, Path::new("list.txt")).unwrap(),
            ["p5-DBI", "ca_root_nss"]
        );
        assert_eq!(
            told("pkg # a\nno way # b\n"),
            "`list.txt` line 2: `no way` is not the name of a package"
        );
        assert!(told("-y # option\n").contains("`-y` is not the name"));
        assert!(told("pkg\n").contains("why is `pkg` there?"));
        assert!(told("pkg # a\npkg # b\n").contains("line 2: `pkg` stands"));
    }

    #[test]
    fn the_shipped_list_reads() {
        let text = include_str!("../../../pkg-lists/freebsd-host.txt");
        let names = parse(text, Path::new("x")).unwrap();
        assert_eq!(names, ["pkg", "node22", "bash", "age"]);
    }
}
