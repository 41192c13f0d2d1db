use super::*;

const VERSION: &str = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\n\
    commit-hash: 59807616e1fa\ncommit-date: 2026-04-14\nhost: x86_64-unknown-linux-gnu\n\
    release: 1.95.0\nLLVM version: 22.1.2\n";

/// A compiler whose sysroot is `folder`.
fn compiler(folder: &Path) -> Compiler {
    let libraries = folder.join("lib/rustlib/x86_64-unknown-freebsd/lib");
    let folders = format!("{}\n{}\n", folder.display(), libraries.display());
    Compiler::read(VERSION, &folders).unwrap()
}

fn put_sources(folder: &Path) {
    fs::create_dir_all(folder.join("library/std")).unwrap();
    fs::write(folder.join("library/std/Cargo.toml"), "").unwrap();
    fs::write(folder.join("library/Cargo.lock"), "").unwrap();
}

#[test]
fn what_the_compiler_says_is_understood() {
    let compiler = compiler(Path::new("/opt/rust"));
    assert_eq!(compiler.release, "1.95.0");
    assert_eq!(compiler.virtual_sources(), "/rustc/59807616e1fa");
    let unknown = VERSION.replace("59807616e1fa", "unknown");
    let compiler = Compiler::read(&unknown, "/a\n/b\n").unwrap();
    assert_eq!(compiler.virtual_sources(), "/rustc/1.95.0");
    assert_eq!(Compiler::read(VERSION, "/a\n"), None);
    assert_eq!(Compiler::read("rustc 1.95.0", "/a\n/b\n"), None);
}

#[test]
fn an_installed_library_is_taken_before_sources_and_those_before_the_archive() {
    let dir = tempfile::tempdir().unwrap();
    let compiler = compiler(dir.path());
    assert_eq!(compiler.supply(), Supply::Archive);
    put_sources(&compiler.own_sources());
    assert_eq!(compiler.supply(), Supply::Sources(compiler.own_sources()));
    // A folder without the library is what `rustup target remove` may leave behind.
    fs::create_dir_all(&compiler.libraries).unwrap();
    assert_eq!(compiler.supply(), Supply::Sources(compiler.own_sources()));
    fs::write(compiler.libraries.join("libstd-0123.rlib"), "").unwrap();
    assert_eq!(compiler.supply(), Supply::Installed);
}

#[test]
fn sources_of_another_version_are_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let compiler = compiler(&dir.path().join("sysroot"));
    let own = compiler.own_sources();
    fs::create_dir_all(own.parent().unwrap()).unwrap();
    let taken_for = |version: &str| {
        let real = dir.path().join("usr/src").join(format!("rustc-{version}"));
        put_sources(&real);
        let _ = fs::remove_file(&own);
        fs_err::os::unix::fs::symlink(&real, &own).unwrap();
        compiler.supply()
    };
    assert_eq!(taken_for("1.94.1"), Supply::Archive);
    assert_eq!(taken_for("1.95.0"), Supply::Sources(own.clone()));
}

#[test]
fn debians_versions_are_read() {
    for (version, release) in [
        ("1.95.0+dfsg1-2~bpo13+1", "1.95.0"),
        ("1.95.0-1", "1.95.0"),
        // Not the release that it leads to.
        ("1.95.0~beta.3+dfsg1-1~exp1", "1.95.0~beta.3"),
        ("1.95.0", "1.95.0"),
    ] {
        assert_eq!(upstream(version), release, "{version}");
    }
}

#[test]
fn only_the_library_leaves_the_package_and_nothing_leaves_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    let mut file = |path: &str, kind: tar::EntryType| {
        let mut header = tar::Header::new_gnu();
        // Written as it stands: the crate itself would refuse `..`.
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(if kind == tar::EntryType::Regular {
            2
        } else {
            0
        });
        header.set_cksum();
        let content: &[u8] = if kind == tar::EntryType::Regular {
            b"ok"
        } else {
            b""
        };
        builder.append(&header, content).unwrap();
    };
    file("./usr/src/rustc-1.95.0/library/", tar::EntryType::Directory);
    file(
        "./usr/src/rustc-1.95.0/library/std/lib.rs",
        tar::EntryType::Regular,
    );
    file(
        "./usr/src/rustc-1.95.0/compiler/main.rs",
        tar::EntryType::Regular,
    );
    file(
        "./usr/src/rustc-1.95.0/library/../../../../../out",
        tar::EntryType::Regular,
    );
    file(
        "./usr/share/doc/rust-src/copyright",
        tar::EntryType::Regular,
    );
    let stream = builder.into_inner().unwrap();
    let to = dir.path().join("to");
    library_of(stream.as_slice(), &to).unwrap();
    let files: Vec<_> = walkdir::WalkDir::new(dir.path())
        .into_iter()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| entry.path().strip_prefix(&to).unwrap().to_owned())
        .collect();
    assert_eq!(files, [Path::new("library/std/lib.rs")]);
}

#[test]
fn links_in_the_package_are_refused() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder
        .append_link(&mut header, "usr/src/rustc-1.95.0/library/std", "/etc")
        .unwrap();
    let stream = builder.into_inner().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let error = library_of(stream.as_slice(), dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadInput, "{error}");
}

#[test]
fn without_a_matching_version_the_ways_out_are_named() {
    let error = no_standard_library("1.95.0", "sid: has 1.97.0+dfsg1-1");
    assert_eq!(error.kind(), ErrorKind::Missing);
    let remedy = error.remedy().unwrap();
    for way in [
        "rustup target add x86_64-unknown-freebsd",
        "rustup component add rust-src",
        "--programs DIR",
    ] {
        assert!(remedy.contains(way), "{remedy}");
    }
}
