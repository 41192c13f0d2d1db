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

/// As FreeBSD's sets are read: several streams, no devices.
fn sets(streams: &[Vec<u8>]) -> Result<(Pack, Vec<u64>)> {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules {
        drop: GlobSet::empty(),
        devices: false,
    };
    let mut decoder = Decoder::new(dir.path(), rules)?;
    let mut counts = Vec::new();
    for stream in streams {
        counts.push(decoder.add(stream.as_slice(), &Silent)?);
    }
    decoder.finish()?;
    let pack = Pack::open(dir.path())?.expect("a pack that was just made is sound");
    Ok((pack, counts))
}

#[test]
fn a_second_stream_lays_files_into_the_folders_of_the_first() {
    let base = raw(&[
        ("./", EntryType::Directory, "", b""),
        ("./boot/", EntryType::Directory, "", b""),
        ("./boot/kernel/", EntryType::Directory, "", b""),
        ("./boot/loader", EntryType::Regular, "", b"1"),
    ]);
    // It has the first folder again, and lacks the second.
    let kernel = raw(&[
        ("./boot/", EntryType::Directory, "", b""),
        ("./boot/kernel/kernel", EntryType::Regular, "", b"2"),
        ("./boot/again", EntryType::Link, "./boot/loader", b""),
    ]);
    let (pack, counts) = sets(&[base.clone(), kernel]).unwrap();
    assert_eq!(counts, [4, 3]);
    let content = |path: &str| {
        let node = pack.tree.get(&TreePath::new(path).unwrap()).unwrap();
        node.content().unwrap().read().unwrap()
    };
    assert_eq!(content("boot/kernel/kernel"), b"2");
    assert_eq!(content("boot/again"), b"1");
    let again = raw(&[("./boot/loader", EntryType::Regular, "", b"3")]);
    let error = sets(&[base, again]).unwrap_err().to_string();
    assert_eq!(error, "archive entry `./boot/loader` comes twice");
}

#[test]
fn flags_and_long_names_come_from_extended_headers() {
    let long = format!("./{}/{}", "d".repeat(120), "f".repeat(120));
    let mut out = tar::Builder::new(Vec::new());
    let mut put = |name: &str, kind, flags: Option<&str>| {
        let mut pax: Vec<(&str, &[u8])> = vec![("path", name.as_bytes())];
        pax.extend(flags.map(|flags| ("SCHILY.fflags", flags.as_bytes())));
        out.append_pax_extensions(pax).unwrap();
        let mut header = header(kind, 0);
        header.set_cksum();
        out.append(&header, std::io::empty()).unwrap();
    };
    put(
        long.rsplit_once('/').unwrap().0,
        EntryType::Directory,
        Some("uarch"),
    );
    put(&long, EntryType::Regular, Some("schg,uarch,nodump"));
    put("./plain", EntryType::Regular, None);
    let good = out.into_inner().unwrap();
    let (pack, counts) = sets(std::slice::from_ref(&good)).unwrap();
    assert_eq!(counts, [3]);
    let flags = |path: &str| {
        pack.tree
            .get(&TreePath::new(path).unwrap())
            .unwrap()
            .meta
            .flags
    };
    assert_eq!(flags(&long), 0x20801);
    assert_eq!(flags(long.rsplit_once('/').unwrap().0), 0x800);
    assert_eq!(flags("plain"), 0);

    let mut out = tar::Builder::new(Vec::new());
    out.append_pax_extensions([("SCHILY.fflags", b"schg,frozen".as_slice())])
        .unwrap();
    let mut bytes = out.into_inner().unwrap();
    bytes.truncate(bytes.len() - 1024);
    bytes.extend(raw(&[("./x", EntryType::Regular, "", b"1")]));
    let error = sets(&[bytes]).unwrap_err().to_string();
    assert_eq!(
        error,
        "archive entry `./x` has the file flag `frozen`, which FreeBSD does not know"
    );
}

#[test]
fn names_of_one_file_share_what_the_first_says() {
    let mut bytes = raw(&[("./a", EntryType::Regular, "", b"1")]);
    bytes.truncate(bytes.len() - 1024);
    let mut link = header(EntryType::Link, 0);
    link.set_mode(0o600);
    link.as_mut_bytes()[..3].copy_from_slice(b"./b");
    link.as_mut_bytes()[157..160].copy_from_slice(b"./a");
    link.set_cksum();
    bytes.extend_from_slice(link.as_bytes());
    let (pack, _) = sets(&[bytes]).unwrap();
    let meta = |path: &str| &pack.tree.get(&TreePath::new(path).unwrap()).unwrap().meta;
    assert_eq!(meta("a"), meta("b"));
}

#[test]
fn tricks_are_refused_by_name() {
    let huge = |kind: EntryType, size: u64| {
        let mut header = header(kind, size);
        header.as_mut_bytes()[..3].copy_from_slice(b"./x");
        header.set_cksum();
        [header.as_bytes().as_slice(), &[0; 4096]].concat()
    };
    for (bytes, text) in [
        (
            raw(&[
                ("./etc", EntryType::Symlink, "/tmp", b""),
                ("./etc/passwd", EntryType::Regular, "", b"x"),
            ]),
            "archive entry `./etc/passwd` lies below `/etc`, which is a symbolic link",
        ),
        (
            raw(&[
                ("./etc", EntryType::Symlink, "/", b""),
                ("./etc/a/b", EntryType::Regular, "", b"x"),
            ]),
            "archive entry `./etc/a/b` lies below `/etc`, which is a symbolic link",
        ),
        (
            raw(&[
                ("./etc/", EntryType::Directory, "", b""),
                ("./etc", EntryType::Symlink, "/tmp", b""),
            ]),
            "archive entry `./etc` comes twice",
        ),
        (
            raw(&[
                ("./a", EntryType::Regular, "", b"x"),
                ("./a/b", EntryType::Regular, "", b"x"),
            ]),
            "archive entry `./a/b` lies below `/a`, which is a file",
        ),
        (
            raw(&[("./a/b", EntryType::Regular, "", b"x")]),
            "archive entry `./a/b` lies in a folder that did not come before",
        ),
        (
            raw(&[("./dev", EntryType::Char, "", b"")]),
            "archive entry `./dev` is a device node, which no set holds",
        ),
        (
            raw(&[("./dev", EntryType::Block, "", b"")]),
            "archive entry `./dev` is a device node, which no set holds",
        ),
        (
            huge(EntryType::Regular, 300 << 30),
            "archive entry `./x` claims 322122547200 bytes, and no base has more than 16 GiB in all",
        ),
        (
            huge(EntryType::Directory, 300 << 30),
            "archive entry `./x` claims 322122547200 bytes, and no base has more than 16 GiB in all",
        ),
        (
            // GNU tar's volume label.
            huge(EntryType::new(b'V'), 5),
            "archive entry `./x` is of tar's type `V`, which no base has",
        ),
    ] {
        let error = sets(&[bytes]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput);
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn a_header_that_claims_gigabytes_takes_no_memory() {
    // A long name of 300 GB, of which as much comes as anybody is ready to read.
    for kind in [
        EntryType::GNULongName,
        EntryType::XHeader,
        EntryType::GNULongLink,
    ] {
        let mut name = header(kind, 300 << 30);
        name.set_cksum();
        let first = raw(&[("./first", EntryType::Regular, "", b"1")]);
        let stream = first[..1024]
            .chain(&name.as_bytes()[..])
            .chain(std::io::repeat(b'n'));
        let dir = tempfile::tempdir().unwrap();
        let rules = Rules {
            drop: GlobSet::empty(),
            devices: false,
        };
        let error = Decoder::new(dir.path(), rules)
            .unwrap()
            .add(stream, &Silent)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput);
        assert_eq!(
            error.to_string(),
            "the archive cannot be read after its entry `./first`"
        );
    }
}

#[test]
fn a_source_that_fails_is_told_apart_from_a_full_disk() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("a scratch"))
        }
    }
    let bytes = raw(&[("./x", EntryType::Regular, "", &[7; 2000])]);
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules {
        drop: GlobSet::empty(),
        devices: false,
    };
    let mut decoder = Decoder::new(dir.path(), rules).unwrap();
    let error = decoder
        .add(bytes[..1000].chain(Broken), &Silent)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadInput);
    assert_eq!(
        error.to_string(),
        "archive entry `./x` cannot be read to its end"
    );
}
