use super::*;
use crate::pack::Pack;
use crate::progress::Silent;

fn header(kind: EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o4755);
    header.set_uid(7);
    header.set_gid(8);
    header.set_mtime(9);
    header
}

/// An archive with names that the `tar` crate itself would refuse to write.
fn raw(entries: &[(&str, EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut out = tar::Builder::new(Vec::new());
    for (name, kind, link, bytes) in entries {
        let mut header = header(*kind, bytes.len() as u64);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        out.append(&header, *bytes).unwrap();
    }
    out.into_inner().unwrap()
}

fn decoded(bytes: &[u8], drop: &[&str]) -> Result<Pack> {
    let dir = tempfile::tempdir().unwrap();
    let drop = globs(&drop.iter().map(|&glob| glob.to_owned()).collect::<Vec<_>>())?;
    decode(bytes, &drop, dir.path(), &Silent)?;
    Ok(Pack::open(dir.path())?.expect("a pack that was just made is sound"))
}

#[test]
fn every_kind_of_entry_is_kept() {
    let bytes = raw(&[
        ("./", EntryType::Directory, "", b""),
        ("./bin/", EntryType::Directory, "", b""),
        ("./bin/sh", EntryType::Regular, "", b"#!"),
        ("./bin/ash", EntryType::Link, "./bin/sh", b""),
        ("./lib", EntryType::Symlink, "../../etc", b""),
        ("./pipe", EntryType::Fifo, "", b""),
    ]);
    let pack = decoded(&bytes, &[]).unwrap();
    let node = |path: &str| pack.tree.get(&TreePath::new(path).unwrap()).unwrap();
    let meta = &node("bin/sh").meta;
    assert_eq!(
        (meta.mode, meta.uid, meta.gid, meta.mtime),
        (0o4755, 7, 8, 9)
    );
    assert_eq!(node("bin/ash").content(), node("bin/sh").content());
    // A link may point anywhere: it is data, nothing ever follows it.
    assert_eq!(node("lib").kind, Kind::Symlink(b"../../etc".to_vec()));
    assert_eq!(node("pipe").kind, Kind::Fifo);
}

#[test]
fn what_the_recipe_drops_is_left_out() {
    let bytes = raw(&[
        ("./a/", EntryType::Directory, "", b""),
        ("./a/b/", EntryType::Directory, "", b""),
        ("./a/b/d", EntryType::Regular, "", b"1"),
        ("./c", EntryType::Regular, "", b"1"),
    ]);
    let pack = decoded(&bytes, &["a/*"]).unwrap();
    assert!(pack.tree.get(&TreePath::new("a").unwrap()).is_some());
    assert!(pack.tree.get(&TreePath::new("a/b").unwrap()).is_none());
    assert!(pack.tree.get(&TreePath::new("a/b/d").unwrap()).is_none());
}

#[test]
fn nothing_escapes() {
    let file = |name: &'static str| raw(&[(name, EntryType::Regular, "", b"x")]);
    for (bytes, text) in [
        (
            file("../etc/passwd"),
            "`../etc/passwd` would leave the root",
        ),
        (file("a/../../b"), "`a/../../b` would leave the root"),
        (
            file("/etc/passwd"),
            "archive entry `/etc/passwd` has an absolute name",
        ),
        (
            raw(&[("x", EntryType::Link, "etc/shadow", b"")]),
            "archive entry `x` is a hard link to a file that did not come before",
        ),
        (
            raw(&[
                ("x", EntryType::Regular, "", b"1"),
                ("x", EntryType::Regular, "", b"2"),
            ]),
            "archive entry `x` comes twice",
        ),
    ] {
        assert_eq!(decoded(&bytes, &[]).unwrap_err().to_string(), text);
    }
}

#[test]
fn a_cut_or_foreign_stream_is_refused() {
    let whole = raw(&[("x", EntryType::Regular, "", &[7; 2000])]);
    assert!(decoded(&whole[..1000], &[]).is_err());
    assert!(decoded(&[0x42; 4096], &[]).is_err());
    assert!(decoded(b"", &[]).is_err());
}
