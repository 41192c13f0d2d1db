//! Accounts and groups, read from their files by hand: this program is linked
//! statically, and the C library's look-ups would load modules at run time.

use std::io;
use std::path::Path;

/// This host's numeric id of an account, if there is one of that name.
///
/// # Errors
/// The system's.
pub fn uid_of(name: &str) -> io::Result<Option<u32>> {
    read(Path::new("/etc/passwd")).map(|passwd| user_id(&passwd, name))
}

/// This host's numeric id of a group, if there is one of that name.
///
/// # Errors
/// The system's.
pub fn gid_of(name: &str) -> io::Result<Option<u32>> {
    read(Path::new("/etc/group")).map(|groups| group_id(&groups, name))
}

/// The numeric id of a group in the text of `/etc/group`.
fn group_id(groups: &str, name: &str) -> Option<u32> {
    group(groups, name).map(|(id, _)| id)
}

/// Whether an account belongs to a group: because its process runs with that
/// group, because its entry in `/etc/passwd` names it, or because the group
/// lists it.
pub fn is_member(passwd: &str, groups: &str, name: &str, uid: u32, gid: u32) -> bool {
    let Some((id, members)) = group(groups, name) else {
        return false;
    };
    // Several names may share one uid.
    let mut accounts = passwd
        .lines()
        .filter_map(account)
        .filter(|account| account.uid == uid);
    gid == id
        || accounts.any(|account| {
            account.gid == id
                || members
                    .split(',')
                    .any(|member| member.trim() == account.name)
        })
}

/// The numeric id of an account in the text of `/etc/passwd`.
fn user_id(passwd: &str, name: &str) -> Option<u32> {
    passwd
        .lines()
        .filter_map(account)
        .find_map(|account| (account.name == name).then_some(account.uid))
}

/// Reads one of the two files; bytes that are no UTF-8 (in a comment field,
/// say) do not make the rest unreadable.
///
/// # Errors
/// The system's.
pub fn read(path: &Path) -> io::Result<String> {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
}

fn account(line: &str) -> Option<Account<'_>> {
    let mut fields = line.split(':');
    let name = fields
        .next()
        .filter(|name| !name.is_empty() && !name.starts_with('#'))?;
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(Account { name, uid, gid })
}

fn group<'a>(groups: &'a str, name: &str) -> Option<(u32, &'a str)> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let known = fields.next()?;
        let id = fields.nth(1)?.parse().ok()?;
        (known == name).then_some((id, fields.next().unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
        # comment:x:1:820\n\
        colibri:x:820:820::/var/lib/colibri:/usr/sbin/nologin\n\
        ana:x:1000:1000:Ana:/home/ana:/bin/bash\n\
        toor:x:1001:1001::/:\n\
        bor:x:1001:1001::/:\n\
        prim:x:1002:820::/:\n\
        broken:x:many:820\n\
        short\n";
    const GROUPS: &str = "root:x:0:\nadm:x:4:ana,bor\ncolibri:x:820:ana,bor\nempty:x:9\n:x:820:\n";

    #[test]
    fn members_are_found_by_list_by_entry_and_by_process() {
        let member = |uid, gid| is_member(PASSWD, GROUPS, "colibri", uid, gid);
        assert!(member(1000, 1000), "listed");
        assert!(member(1001, 1001), "listed under its second name");
        assert!(member(1002, 5), "primary group of its entry");
        assert!(member(5555, 820), "group of the process");
        assert!(!member(5555, 5555));
        assert!(!member(0, 0), "root is not decided here");
        assert!(!member(1, 820_000));
    }

    #[test]
    fn a_group_that_is_not_there_has_no_members() {
        assert!(!is_member(PASSWD, GROUPS, "colibr", 1000, 820));
        assert!(!is_member(PASSWD, GROUPS, "empty", 1000, 1000));
        assert!(!is_member(PASSWD, "", "colibri", 820, 820));
        assert_eq!(group_id(GROUPS, "colibri"), Some(820));
        assert_eq!(group_id(GROUPS, "empty"), Some(9));
        assert_eq!(group_id(GROUPS, "none"), None);
        assert_eq!(user_id(PASSWD, "colibri"), Some(820));
        assert_eq!(user_id(PASSWD, "broken"), None);
        assert_eq!(user_id(PASSWD, "colibr"), None);
    }

    #[test]
    fn a_name_that_is_part_of_another_is_not_that_other() {
        let groups = "colibri:x:820:anabel, xana\n";
        assert!(!is_member(PASSWD, groups, "colibri", 1000, 1000));
    }
}
