//! Against a repository that is made here, signed with keys of these tests, and served on loopback.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use clawdie_tree::{Kind, Meta, Node};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};
use sha2::Digest;

use super::sample::{SIGNER, Signer};
use super::*;
use crate::base::download::tests as mirror;
use crate::cache::Cache;
use crate::pack::{PackWriter, Skeleton};
use crate::progress::Silent;

const STRANGER: Signer = Signer {
    private: include_bytes!("testdata/stranger.der"),
    public: include_bytes!("testdata/stranger.pub"),
};

impl Signer {
    fn fingerprint(self) -> String {
        let sha256 = hex(sha2::Sha256::digest(self.public));
        format!("# ours\nfunction: \"sha256\"\nfingerprint: \"{sha256}\"\n")
    }
}

fn at(path: &str) -> TreePath {
    TreePath::new(path).unwrap()
}

fn noise(seed: usize, len: usize) -> Vec<u8> {
    let mut state = (seed as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) + 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

/// A repository before it is written down: what its catalogue says, and the packages.
struct Repo {
    form: Form,
    xz: bool,
    listed: Vec<Value>,
    files: BTreeMap<String, Vec<u8>>,
    /// Who signs the catalogue, each under a name.
    signers: Vec<Signer>,
    bootstrap: Signer,
}

impl Repo {
    /// `tool` needs `lib`, which needs `data`; its program asks for a library that only `codec` has.
    fn new() -> Self {
        let mut repo = Self {
            form: Form::Data,
            xz: false,
            listed: Vec::new(),
            files: BTreeMap::new(),
            signers: vec![SIGNER],
            bootstrap: SIGNER,
        };
        repo.add("pkg", "2.4.2", &[]);
        repo.add("data", "20260901,1", &[]);
        repo.add("lib", "1.2_3", &["data"]);
        repo.add("tool", "0.9", &["lib", "data"]);
        repo.add("codec", "3", &[]);
        repo.add("unrelated", "7", &["lib"]);
        repo.of("tool")["shlibs_required"] =
            json!(["libc.so.7", "libcodec.so.3", "libnobody.so.1"]);
        // As newer repositories have it: BLAKE2b, and the checksum in the name.
        repo.lies_at("codec", "All/Hashed/codec-3~2$abc.pkg");
        let sum = sum::written(&blake2::Blake2b512::digest(repo.file("codec")));
        repo.of("codec")["sum"] = json!(format!("2${sum}"));
        repo.of("codec")["shlibs_provided"] = json!(["libcodec.so.3", "libc.so.7"]);
        repo
    }

    fn add(&mut self, name: &str, version: &str, deps: &[&str]) {
        let bytes = noise(self.files.len() + 1, 30_000 + self.files.len() * 977);
        let path = format!("All/{name}-{version}.pkg");
        let deps: BTreeMap<_, _> = deps
            .iter()
            .map(|dep| {
                (
                    *dep,
                    json!({"origin": format!("misc/{dep}"), "version": "1"}),
                )
            })
            .collect();
        self.listed.push(json!({
            "name": name, "version": version, "origin": format!("misc/{name}"),
            "comment": "a \"package\"", "arch": "freebsd:15:x86:64", "abi": "FreeBSD:15:amd64",
            "sum": hex(sha2::Sha256::digest(&bytes)), "path": path, "repopath": path,
            "pkgsize": bytes.len(), "flatsize": 1, "deps": deps,
        }));
        self.files.insert(path, bytes);
    }

    fn of(&mut self, name: &str) -> &mut Value {
        self.listed
            .iter_mut()
            .find(|entry| entry["name"] == name)
            .unwrap()
    }

    fn file(&mut self, name: &str) -> &mut Vec<u8> {
        let path = self.of(name)["path"].as_str().unwrap().to_owned();
        self.files.get_mut(&path).unwrap()
    }

    fn lies_at(&mut self, name: &str, path: &str) {
        let old = self.of(name)["path"].as_str().unwrap().to_owned();
        let bytes = self.files.remove(&old).unwrap();
        self.files.insert(path.into(), bytes);
        self.of(name)["path"] = json!(path);
        self.of(name)["repopath"] = json!(path);
    }

    fn text(&self) -> Vec<u8> {
        match self.form {
            Form::Data => json!({"groups": [], "expired_packages": [], "packages": self.listed})
                .to_string()
                .into_bytes(),
            Form::Lines => self
                .listed
                .iter()
                .flat_map(|entry| format!("{entry}\n").into_bytes())
                .collect(),
        }
    }

    /// The catalogue's archive, over a text that may differ from the signed one.
    fn catalogue(&self, text: &[u8]) -> Vec<u8> {
        let name = match self.form {
            Form::Data => "data",
            Form::Lines => "packagesite.yaml",
        };
        let mut members = Vec::new();
        for (number, signer) in self.signers.iter().enumerate() {
            members.push((format!("key{number}.sig"), signer.sign(&self.text())));
            members.push((format!("key{number}.pub"), signer.public.to_vec()));
        }
        members.push((name.to_owned(), text.to_vec()));
        let members: Vec<_> = members
            .iter()
            .map(|(name, bytes)| (name, bytes.as_slice()))
            .collect();
        let tar = sample::archive(&members);
        if self.xz {
            return sample::xz(&tar);
        }
        compress_to_vec(tar.as_slice(), CompressionLevel::Fastest)
    }

    /// Every file of the repository.
    fn written(mut self) -> BTreeMap<String, Vec<u8>> {
        let catalogue = self.catalogue(&self.text());
        self.files.insert(self.form.file().into(), catalogue);
        if self.listed.iter().any(|entry| entry["name"] == "pkg") {
            let signature = self.bootstrap.detached(self.file("pkg"));
            self.files.insert(BOOTSTRAP_SIGNATURE.into(), signature);
        }
        self.files
    }
}

/// Files that were asked for, and from which byte.
type Asks = Vec<(String, Option<u64>)>;

/// A server of repositories: what it has can change, and it may hang up in the middle.
struct Server {
    url: String,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    asked: Arc<Mutex<Asks>>,
    cut: Arc<Mutex<usize>>,
}

impl Server {
    fn new(repo: Repo) -> Self {
        let files = Arc::new(Mutex::new(repo.written()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let cut = Arc::new(Mutex::new(usize::MAX));
        let (has, log, most) = (Arc::clone(&files), Arc::clone(&asked), Arc::clone(&cut));
        let answer: mirror::Answer = Box::new(move |path, range| {
            let path = path
                .strip_prefix("/freebsd:15:amd64/quarterly/")
                .expect("an address of this repository");
            log.lock().unwrap().push((path.to_owned(), range));
            let has = has.lock().unwrap();
            match has
                .iter()
                .find(|(name, _)| name.to_ascii_lowercase() == path)
            {
                Some((_, bytes)) => mirror::part(bytes.clone(), *most.lock().unwrap())("", range),
                None => b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                    .to_vec(),
            }
        });
        Self {
            url: mirror::Mirror::new(vec![answer]).url,
            files,
            asked,
            cut,
        }
    }

    fn now_has(&self, repo: Repo) {
        *self.files.lock().unwrap() = repo.written();
    }

    /// What was asked for since the last time.
    fn asked(&self) -> Asks {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

/// A machine that builds: checkout, cache, base.
struct Builder {
    dir: tempfile::TempDir,
    recipe: Recipe,
    base: Tree,
}

impl Builder {
    fn new(url: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("pkg-lists")).unwrap();
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/freebsd.toml"));
        let text = text.unwrap().replace("https://pkg.freebsd.org", url);
        let mut builder = Self {
            dir,
            recipe: Recipe::parse(&text, Path::new("image/freebsd.toml")).unwrap(),
            base: Tree::new(Meta::root(0o755, 1)),
        };
        builder.wants("tool # to try\n");
        builder.in_base("usr/share/keys/pkg/trusted/signer", &SIGNER.fingerprint());
        builder.in_base("lib/libc.so.7", "libc");
        builder
    }

    fn wants(&self, list: &str) {
        std::fs::write(self.dir.path().join("pkg-lists/freebsd-host.txt"), list).unwrap();
    }

    fn in_base(&mut self, path: &str, text: &str) {
        let dir = Meta::root(0o755, 1);
        self.base
            .ensure_dirs(&at(path).parent().unwrap(), &dir)
            .unwrap();
        let node = Node::file(Content::bytes(text), Meta::root(0o444, 1));
        self.base.insert(at(path), node).unwrap();
    }

    fn cache(&self) -> Cache {
        Cache::open(self.dir.path().join("cache")).unwrap()
    }

    fn kept(&self) -> Vec<PathBuf> {
        let mut found: Vec<_> = std::fs::read_dir(self.dir.path().join("cache/packages"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        found.sort();
        found
    }

    fn with<T>(&self, network: Network, run: impl FnOnce(&Context<'_>) -> T) -> T {
        run(&Context {
            root: self.dir.path(),
            cache: &self.cache(),
            network,
            progress: &Silent,
        })
    }

    fn fetch(&self) -> Result<Resolved> {
        self.with(Network::Allowed, |context| {
            fetch(&self.recipe, &self.base, context).map(Option::unwrap)
        })
    }

    fn cached(&self) -> Option<Resolved> {
        self.with(Network::Offline, |context| {
            cached(&self.recipe, context).unwrap()
        })
    }

    /// What `iso` does: the layer, and the list for the manifest.
    fn supply(&self, network: Network) -> Result<(Layer, Vec<Package>)> {
        let pack = tempfile::tempdir().unwrap();
        PackWriter::create(pack.path())
            .unwrap()
            .finish(pack.path(), &Skeleton::default())
            .unwrap();
        let mut base = Base {
            tree: self.base.clone(),
            boot: Tree::new(Meta::root(0o755, 0)),
            packages: vec![Package {
                name: "base.txz".into(),
                version: "15.1-RELEASE".into(),
                sha256: String::new(),
            }],
            published: 0,
            key: String::new(),
            pack: crate::pack::Pack::open(pack.path()).unwrap().unwrap(),
        };
        let mut layer = Layer {
            tree: Tree::new(Meta::root(0o755, 5)),
            owned_dirs: Default::default(),
        };
        self.with(network, |context| {
            supply(&self.recipe, &mut base, &mut layer, context, 5)
        })?;
        Ok((layer, base.packages))
    }
}

/// The files of the repository on the image, and what links say.
fn on_image(layer: &Layer) -> BTreeMap<String, Vec<u8>> {
    let top = at(FOLDER);
    layer
        .tree
        .iter()
        .filter(|(path, node)| path.starts_with(&top) && !node.is_dir())
        .map(|(path, node)| {
            let inner = path.to_string()[FOLDER.len() + 2..].to_owned();
            assert_eq!(node.meta.mtime, 5);
            match &node.kind {
                Kind::Symlink(target) => (inner, target.clone()),
                _ => (inner, node.content().unwrap().read().unwrap()),
            }
        })
        .collect()
}

fn names(lock: &Resolved) -> Vec<String> {
    lock.packages
        .iter()
        .map(|package| format!("{} {}", package.name, package.version))
        .collect()
}

fn told(error: &Error) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    format!(
        "{error}\n{}\n{}",
        cause.unwrap_or_default(),
        error.remedy().unwrap_or_default()
    )
}

const CLOSURE: [&str; 5] = [
    "codec 3",
    "data 20260901,1",
    "lib 1.2_3",
    "pkg 2.4.2",
    "tool 0.9",
];

#[test]
fn a_list_becomes_a_repository_on_the_image() {
    let server = Server::new(Repo::new());
    let builder = Builder::new(&server.url);
    let (layer, packages) = builder.supply(Network::Allowed).unwrap();
    let repo = Repo::new().written();
    let image = on_image(&layer);
    let expected = [
        "All/Hashed/codec-3~2$abc.pkg",
        "All/data-20260901,1.pkg",
        "All/lib-1.2_3.pkg",
        "All/pkg-2.4.2.pkg",
        "All/tool-0.9.pkg",
        "Latest/pkg.pkg",
        "Latest/pkg.pkg.sig",
        "data.pkg",
        "install",
        "meta.conf",
        "repos/clawdie.conf",
    ];
    assert_eq!(image.keys().collect::<Vec<_>>(), expected);
    for (name, bytes) in &image {
        // Signatures and all, as they came.
        match repo.get(name) {
            Some(there) => assert_eq!(bytes, there, "{name}"),
            None => assert!(
                [
                    "Latest/pkg.pkg",
                    "install",
                    "meta.conf",
                    "repos/clawdie.conf"
                ]
                .contains(&&**name)
            ),
        }
    }
    assert_eq!(image["Latest/pkg.pkg"], b"../All/pkg-2.4.2.pkg");
    assert_eq!(image["install"], b"tool\n");
    let conf = String::from_utf8_lossy(&image["repos/clawdie.conf"]);
    assert!(conf.contains("url: \"file:///usr/local/share/clawdie-iso/packages\""));
    assert!(conf.contains("fingerprints: \"/usr/share/keys/pkg\""));

    let listed: Vec<_> = packages
        .iter()
        .map(|package| format!("{} {}", package.name, package.version))
        .collect();
    assert_eq!(listed[0], "base.txz 15.1-RELEASE");
    assert_eq!(listed[1..], CLOSURE);
    assert_eq!(
        packages[1].sha256,
        hex(sha2::Sha256::digest(&repo["All/Hashed/codec-3~2$abc.pkg"]))
    );
}

#[test]
fn a_second_build_without_network_gives_the_same() {
    let server = Server::new(Repo::new());
    let builder = Builder::new(&server.url);
    let error = builder.supply(Network::Offline).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    assert!(told(&error).contains("xtask fetch --flavour freebsd"));
    assert!(told(&error).contains("--packages none"));
    assert_eq!(server.asked(), []);

    assert_eq!(names(&builder.fetch().unwrap()), CLOSURE);
    let first = on_image(&builder.supply(Network::Allowed).unwrap().0);
    server.asked();
    // The repository moves on; a build keeps what it has.
    let mut newer = Repo::new();
    newer.add("extra", "1", &[]);
    server.now_has(newer);
    for network in [Network::Offline, Network::Allowed] {
        assert_eq!(on_image(&builder.supply(network).unwrap().0), first);
    }
    assert_eq!(server.asked(), []);
    assert_eq!(names(&builder.cached().unwrap()), CLOSURE);
}

#[test]
fn every_form_of_a_catalogue_is_read() {
    for (form, xz) in [
        (Form::Lines, false),
        (Form::Lines, true),
        (Form::Data, true),
    ] {
        let mut repo = Repo::new();
        (repo.form, repo.xz) = (form, xz);
        let server = Server::new(repo);
        let builder = Builder::new(&server.url);
        assert_eq!(names(&builder.fetch().unwrap()), CLOSURE, "{form:?}");
        let image = on_image(&builder.supply(Network::Offline).unwrap().0);
        assert!(image.contains_key(form.file()));
    }
}

#[test]
fn what_was_cut_goes_on_where_it_ended() {
    let server = Server::new(Repo::new());
    let builder = Builder::new(&server.url);
    *server.cut.lock().unwrap() = 20_000;
    assert_eq!(names(&builder.fetch().unwrap()), CLOSURE);
    let asked = server.asked();
    let of = |name: &str| -> Vec<_> {
        let of = asked.iter().filter(|(path, _)| path == name);
        of.map(|(_, range)| *range).collect()
    };
    assert_eq!(of("all/tool-0.9.pkg"), [None, Some(20_000)]);
    assert_eq!(of("latest/pkg.pkg.sig"), [None]);
    builder.supply(Network::Offline).unwrap();
}

#[test]
fn fetch_takes_what_is_new_and_clears_what_is_old() {
    let server = Server::new(Repo::new());
    let builder = Builder::new(&server.url);
    builder.fetch().unwrap();
    let before = builder.kept();
    assert_eq!(before.len(), 7, "five packages, catalogue, signature");
    std::fs::create_dir(builder.dir.path().join("cache/packages/.partial-x")).unwrap();
    let mut newer = Repo::new();
    newer.of("lib")["version"] = json!("1.3");
    let path = json!("All/lib-1.3.pkg");
    newer.files.insert("All/lib-1.3.pkg".into(), noise(99, 500));
    newer.of("lib")["path"] = path.clone();
    newer.of("lib")["repopath"] = path;
    newer.of("lib")["pkgsize"] = json!(500);
    newer.of("lib")["sum"] = json!(hex(sha2::Sha256::digest(noise(99, 500))));
    server.now_has(newer);
    server.asked();
    let lock = builder.fetch().unwrap();
    assert!(names(&lock).contains(&"lib 1.3".to_owned()));
    let asked: Vec<_> = server.asked().into_iter().map(|(path, _)| path).collect();
    // What is there already is not asked for again.
    assert_eq!(asked, ["data.pkg", "all/lib-1.3.pkg", "latest/pkg.pkg.sig"]);
    let after = builder.kept();
    assert_eq!(after.len(), 7);
    assert_eq!(after.iter().filter(|path| before.contains(path)).count(), 5);
}

#[test]
fn a_damaged_file_of_the_cache_is_noticed() {
    let server = Server::new(Repo::new());
    let builder = Builder::new(&server.url);
    let lock = builder.fetch().unwrap();
    for (what, kept) in lock.files() {
        let path = builder.cache().folder(KEPT).unwrap().join(&kept.sha256);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[17] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let error = builder.supply(Network::Offline).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Missing);
        assert_eq!(error.to_string(), format!("{what} is damaged in the cache"));
        let error = builder.supply(Network::Offline).unwrap_err();
        assert_eq!(error.to_string(), format!("{what} is missing in the cache"));
        server.asked();
        builder.supply(Network::Allowed).unwrap();
        let asked: Vec<_> = server.asked().into_iter().map(|(path, _)| path).collect();
        assert_eq!(asked, [kept.file.to_ascii_lowercase()]);
    }
}

#[test]
fn what_the_repository_no_longer_has_is_taken_anew() {
    let server = Server::new(Repo::new());
    let builder = Builder::new(&server.url);
    let lock = builder.fetch().unwrap();
    let tool = &lock.packages[4].kept;
    std::fs::remove_file(builder.cache().folder(KEPT).unwrap().join(&tool.sha256)).unwrap();
    let mut newer = Repo::new();
    let bytes = newer.file("tool").split_off(3);
    newer.of("tool")["version"] = json!("1.0");
    newer.of("tool")["path"] = json!("All/tool-1.0.pkg");
    newer.of("tool")["repopath"] = json!("All/tool-1.0.pkg");
    newer.of("tool")["pkgsize"] = json!(bytes.len());
    newer.of("tool")["sum"] = json!(hex(sha2::Sha256::digest(&bytes)));
    newer.files.remove("All/tool-0.9.pkg");
    newer.files.insert("All/tool-1.0.pkg".into(), bytes);
    server.now_has(newer);
    let (layer, _) = builder.supply(Network::Allowed).unwrap();
    assert!(on_image(&layer).contains_key("All/tool-1.0.pkg"));
    assert!(names(&builder.cached().unwrap()).contains(&"tool 1.0".to_owned()));
}

/// What is done to a repository, and what is said of it.
type Trick = (&'static str, fn(&mut Repo), &'static str);

#[test]
fn tricks_of_a_repository_are_refused_and_named() {
    let tricks: [Trick; 29] = [
        (
            "nobody signs",
            |r| r.signers.clear(),
            "catalogue `data.pkg` is not signed",
        ),
        (
            "a stranger signs",
            |r| r.signers = vec![STRANGER],
            "is signed by nobody whom the base trusts",
        ),
        (
            "a stranger signs the bootstrap",
            |r| r.bootstrap = STRANGER,
            "the package `pkg`, as the bootstrap sees it, is signed by nobody",
        ),
        (
            "no pkg",
            |r| r.listed.retain(|e| e["name"] != "pkg"),
            "the catalogue has no package `pkg`",
        ),
        (
            "not there",
            |r| r.listed.retain(|e| e["name"] != "tool"),
            "the catalogue has no package `tool`",
        ),
        (
            "a dependency is not there",
            |r| r.listed.retain(|e| e["name"] != "data"),
            "needs `data`, which the catalogue does not have",
        ),
        (
            "a dependency is another port",
            |r| r.of("data")["origin"] = json!("evil/data"),
            "needs `data` made from `misc/data`, and the catalogue's is made from `evil/data`",
        ),
        (
            "a circle",
            |r| r.of("data")["deps"] = json!({"tool": {"origin": "misc/tool", "version": "1"}}),
            "packages need each other in a circle: ",
        ),
        (
            "needs itself",
            |r| r.of("data")["deps"] = json!({"data": {"origin": "misc/data"}}),
            "in a circle: data -> data",
        ),
        (
            "twice",
            |r| {
                let mut e = r.of("lib").clone();
                e["version"] = json!("9");
                r.listed.push(e);
            },
            "the package `lib` 2 times (1.2_3, 9)",
        ),
        (
            "two have the library",
            |r| r.of("unrelated")["shlibs_provided"] = json!(["libcodec.so.3"]),
            "the package `tool` needs the library `libcodec.so.3`, which several packages have",
        ),
        (
            "up the tree",
            |r| r.of("lib")["repopath"] = json!("All/../../../../../../etc/passwd.pkg"),
            "the package `lib` would lie at `All/../",
        ),
        (
            "absolute",
            |r| r.of("lib")["repopath"] = json!("/All/x.pkg"),
            "the package `lib` would lie at `/All/x.pkg`",
        ),
        (
            "over our own files",
            |r| r.of("lib")["repopath"] = json!("repos/clawdie.conf"),
            "the package `lib` would lie at",
        ),
        (
            "another address",
            |r| r.of("lib")["repopath"] = json!("All/x?y=.pkg"),
            "the package `lib` would lie at",
        ),
        (
            "no package",
            |r| r.of("lib")["repopath"] = json!("All/lib.txt"),
            "the package `lib` would lie at",
        ),
        (
            "same place",
            |r| r.of("lib")["repopath"] = json!("All/data-20260901,1.pkg"),
            "the package `lib` lies where another does",
        ),
        (
            "a version with a path",
            |r| r.of("lib")["version"] = json!("../1"),
            "the package `lib` has the version `../1`",
        ),
        (
            "another system",
            |r| r.of("lib")["abi"] = json!("FreeBSD:14:amd64"),
            "the package `lib` is made for `FreeBSD:14:amd64`, not for FreeBSD:15:amd64",
        ),
        (
            "half a hash",
            |r| r.of("lib")["sum"] = json!("abc"),
            "the package `lib` has `abc` where its checksum should be",
        ),
        (
            "a huge claim",
            |r| r.of("lib")["pkgsize"] = json!(1u64 << 60),
            "the package `lib` has 1152921504606846976 bytes, it says",
        ),
        (
            "nothing",
            |r| r.of("lib")["pkgsize"] = json!(0),
            "the package `lib` has 0 bytes",
        ),
        (
            "a lie about the length",
            |r| r.of("lib")["pkgsize"] = json!(400_000),
            "the package `lib` has 31954 bytes, and the catalogue says 400000",
        ),
        (
            "longer than it says",
            |r| r.of("lib")["pkgsize"] = json!(100),
            "the package `lib` cannot be downloaded",
        ),
        (
            "another sum",
            |r| r.of("lib")["sum"] = json!("0".repeat(64)),
            "the package `lib` cannot be downloaded",
        ),
        (
            "another file",
            |r| r.file("lib")[9] ^= 1,
            "the package `lib` cannot be downloaded",
        ),
        (
            "another file under BLAKE2b",
            |r| r.file("codec")[9] ^= 1,
            "the package `codec` is not what the catalogue says",
        ),
        (
            "a checksum of another kind",
            |r| r.of("lib")["sum"] = json!("5$abc"),
            "the package `lib` has `5$abc` where its checksum should be",
        ),
        (
            "not a catalogue",
            |r| r.listed.push(json!({"name": "x"})),
            "the catalogue `data.pkg` makes no sense",
        ),
    ];
    for (what, trick, expected) in tricks {
        let mut repo = Repo::new();
        trick(&mut repo);
        let server = Server::new(repo);
        let builder = Builder::new(&server.url);
        let error = builder.fetch().expect_err(what);
        assert_eq!(error.kind(), ErrorKind::BadInput, "{what}: {error}");
        let text = told(&error);
        assert!(text.contains(expected), "{what}: {text}");
        assert!(builder.cached().is_none(), "{what}: no lock is left");
    }
}

#[test]
fn a_catalogue_that_was_changed_on_the_way_is_refused() {
    for form in Form::ALL {
        let mut repo = Repo::new();
        repo.form = form;
        let mut text = repo.text();
        let digit = text.windows(5).position(|part| part == b"1.2_3").unwrap();
        text[digit] = b'9';
        let changed = repo.catalogue(&text);
        let right = repo.catalogue(&repo.text());
        let server = Server::new(repo);
        let builder = Builder::new(&server.url);
        let put = |bytes: &[u8]| {
            let mut files = server.files.lock().unwrap();
            files.insert(form.file().into(), bytes.to_vec());
        };
        put(&changed);
        let error = builder.fetch().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput);
        assert!(
            told(&error).contains("was changed after it was signed"),
            "{}",
            told(&error)
        );
        put(&right[..right.len() / 2]);
        let error = builder.fetch().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput);
        assert!(told(&error).contains("cannot be read"), "{}", told(&error));
        put(&right);
        builder.fetch().unwrap();
    }
}

#[test]
fn the_base_decides_whom_to_trust() {
    let server = Server::new(Repo::new());
    let mut builder = Builder::new(&server.url);
    builder.fetch().unwrap();
    // The same repository, and a base that knows better by now: the lock does not count any more.
    builder.in_base("usr/share/keys/pkg/revoked/bad", &SIGNER.fingerprint());
    let error = builder.supply(Network::Offline).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    let error = builder.supply(Network::Allowed).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadInput);
    assert!(
        told(&error).contains("a key that the base revokes (`bad`)"),
        "{}",
        told(&error)
    );

    // A revoked key beside a good one spoils it, as `pkg` sees it.
    let mut repo = Repo::new();
    repo.signers = vec![SIGNER, STRANGER];
    server.now_has(repo);
    let mut builder = Builder::new(&server.url);
    builder.fetch().unwrap();
    builder.in_base("usr/share/keys/pkg/revoked/bad", &STRANGER.fingerprint());
    assert!(told(&builder.fetch().unwrap_err()).contains("revokes"));

    // What cannot be read never makes a base trust more.
    builder.in_base("usr/share/keys/pkg/revoked/bad", "fingerprint: what?");
    let error = builder.fetch().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("/revoked/bad`, which cannot be read"),
        "{error}"
    );
    let mut builder = Builder::new(&server.url);
    builder.in_base(
        "usr/share/keys/pkg/trusted/signer",
        &SIGNER.fingerprint().replace("sha256", "md5"),
    );
    let error = builder.fetch().unwrap_err();
    assert!(
        error.to_string().contains("trusts nobody with packages"),
        "{error}"
    );
}

#[test]
fn a_signature_says_of_which_kind_it_is() {
    let file = b"a file";
    let sha256 = sha2::Sha256::digest(file).into();
    let mut builder = Builder::new("http://127.0.0.1:1");
    builder.in_base("usr/share/keys/pkg/trusted/zwei", &STRANGER.fingerprint());
    let trust = Trust::of(&builder.base, &at("usr/share/keys/pkg")).unwrap();
    let signed = |kind: &str| {
        let mut signature = Signature::default();
        signature.signature(&[kind.as_bytes(), &SIGNER.sign(file)].concat());
        signature.key(SIGNER.public);
        signature
    };
    for kind in ["", "$PKGSIGN:rsa$"] {
        assert_eq!(
            trust.check("x", &[signed(kind)], &sha256).unwrap(),
            "signer"
        );
    }
    let error = trust
        .check("x", &[signed("$PKGSIGN:ecc$")], &sha256)
        .unwrap_err();
    assert!(
        error.to_string().contains("signed with ecc, and only RSA"),
        "{error}"
    );
    // One key's name over another key's signature.
    let mut mixed = signed("");
    mixed.key(STRANGER.public);
    let error = trust.check("x", &[mixed], &sha256).unwrap_err();
    assert!(error.to_string().contains("is wrong"), "{error}");
    let other = sha2::Sha256::digest(b"another file").into();
    assert!(trust.check("x", &[signed("")], &other).is_err());
}

#[test]
fn a_detached_signature_is_read_as_the_bootstrap_reads_it() {
    let file = noise(3, 400);
    let sha256 = sha2::Sha256::digest(&file).into();
    let builder = Builder::new("http://127.0.0.1:1");
    let trust = Trust::of(&builder.base, &at("usr/share/keys/pkg")).unwrap();
    let holds = |bytes: &[u8]| {
        Signature::detached(bytes).is_some_and(|one| trust.check("x", &[one], &sha256).is_ok())
    };
    let right = SIGNER.detached(&file);
    assert!(holds(&right));
    let typed = [b"TYPE\nrsa\n", right.as_slice()].concat();
    assert!(holds(&typed));
    for wrong in [
        b"".as_slice(),
        b"SIGNATURE\n",
        b"CERT\nx\nEND\n",
        b"what?\n",
        &right[..100],
        &[b"TYPE\necc\n", right.as_slice()].concat(),
        &STRANGER.detached(&file),
        &SIGNER.detached(&file[1..]),
    ] {
        assert!(!holds(wrong), "{}", String::from_utf8_lossy(wrong));
    }
}

#[test]
fn a_folder_serves_as_well_as_a_mirror() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in Repo::new().written() {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let mut builder = Builder::new("http://127.0.0.1:1");
    let path = folder.path().to_str().unwrap();
    builder.recipe.choose_packages(path).unwrap();
    let (layer, packages) = builder.supply(Network::Offline).unwrap();
    assert_eq!(packages.len(), 6);
    let server = Server::new(Repo::new());
    let same = Builder::new(&server.url);
    let (from_mirror, _) = same.supply(Network::Allowed).unwrap();
    assert_eq!(on_image(&layer), on_image(&from_mirror));
    // It leaves no lock: without it, the mirror is asked.
    builder.recipe = Builder::new(&server.url).recipe;
    assert!(builder.cached().is_none());

    builder.recipe.choose_packages(path).unwrap();
    let tool = folder.path().join("All/tool-0.9.pkg");
    std::fs::remove_dir_all(builder.dir.path().join("cache")).unwrap();
    std::fs::write(&tool, "something else").unwrap();
    let error = builder.supply(Network::Offline).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadInput);
    assert!(
        error
            .to_string()
            .contains("the package `tool` is not what the catalogue says"),
        "{error}"
    );
    std::fs::remove_file(tool).unwrap();
    let error = builder.supply(Network::Offline).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    assert!(
        error
            .to_string()
            .contains("the package `tool` is not in the repository"),
        "{error}"
    );
    std::fs::remove_file(folder.path().join("data.pkg")).unwrap();
    let error = builder.supply(Network::Offline).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    assert!(told(&error).contains("catalogue"), "{}", told(&error));
}

#[test]
fn without_packages_nothing_is_asked_and_nothing_added() {
    let server = Server::new(Repo::new());
    let mut builder = Builder::new(&server.url);
    builder.recipe.choose_packages("none").unwrap();
    let (layer, packages) = builder.supply(Network::Allowed).unwrap();
    assert!(on_image(&layer).is_empty());
    assert_eq!(packages.len(), 1);
    assert_eq!(server.asked(), []);
}

#[test]
fn a_mirror_that_is_down_is_told_with_ways_out() {
    let builder = Builder::new(&mirror::nobody());
    let error = builder.fetch().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    let text = told(&error);
    assert!(
        text.contains("/FreeBSD:15:amd64/quarterly/data.pkg"),
        "{text}"
    );
    assert!(text.contains("--packages DIR"), "{text}");
}
