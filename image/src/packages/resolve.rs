//! From the names of a list to exactly the packages that must be on the image.
//!
//! `pkg` solves this anew on the host, from the same catalogue but with only our files at hand. So the
//! set must be closed in its eyes: over named dependencies, and over libraries and features that
//! packages ask for without naming who has them.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::catalogue::{Catalogue, Entry};
use super::sum::Sum;
use crate::error::{Error, Result};

/// The package manager: nothing gets installed without it, so it is always in the set.
pub(super) const PKG: &str = "pkg";

/// No package is longer: the largest of FreeBSD's have about 3 GB.
const MOST: u64 = 8 << 30;

/// What decides besides the catalogue.
pub(super) struct Question<'a> {
    /// Names of packages that are wanted.
    pub(super) wanted: &'a [String],
    /// The system that packages must be made for, `FreeBSD:15:amd64`.
    pub(super) abi: &'a str,
    /// Whether the base has a shared library.
    pub(super) has_library: &'a dyn Fn(&str) -> bool,
}

/// A package that was chosen.
#[derive(Debug)]
pub(super) struct Chosen<'a> {
    pub(super) entry: &'a Entry,
    pub(super) sum: Sum,
}

/// Resolves; the result is in the order of names.
///
/// # Errors
/// `BadInput` that names the package when it is not there, twice there, for another system, needs what
/// nobody has, or says what cannot be.
pub(super) fn resolve<'a>(
    catalogue: &'a Catalogue,
    question: &Question<'_>,
) -> Result<Vec<Chosen<'a>>> {
    let index = Index::new(catalogue);
    let mut set = Set {
        index: &index,
        chosen: BTreeMap::new(),
    };
    for name in std::iter::once(PKG).chain(question.wanted.iter().map(String::as_str)) {
        let entry = index.named(name)?.ok_or_else(|| {
            Error::bad_input(format!("the catalogue has no package `{name}`"))
                .hint("is the name right? it is the package's, not the port's folder")
        })?;
        set.add(entry)?;
    }
    while let Some(entry) = set.missing_provider(question)? {
        set.add(entry)?;
    }
    let mut places = HashSet::new();
    set.chosen
        .into_values()
        .map(|entry| {
            let sum = sound(entry, question.abi).map_err(|fault| {
                Error::bad_input(format!("the package `{}` {fault}", entry.name))
            })?;
            if !places.insert(entry.path()) {
                return Err(Error::bad_input(format!(
                    "the package `{}` lies where another does, at `{}`",
                    entry.name,
                    entry.path()
                )));
            }
            Ok(Chosen { entry, sum })
        })
        .collect()
}

/// The catalogue by what is asked for.
struct Index<'a> {
    names: HashMap<&'a str, Vec<&'a Entry>>,
    libraries: HashMap<&'a str, Vec<&'a Entry>>,
    features: HashMap<&'a str, Vec<&'a Entry>>,
}

impl<'a> Index<'a> {
    fn new(catalogue: &'a Catalogue) -> Self {
        let mut index = Self {
            names: HashMap::with_capacity(catalogue.entries.len()),
            libraries: HashMap::new(),
            features: HashMap::new(),
        };
        for entry in &catalogue.entries {
            index.names.entry(&entry.name).or_default().push(entry);
            for library in &entry.shlibs_provided {
                index.libraries.entry(library).or_default().push(entry);
            }
            for feature in &entry.provides {
                index.features.entry(feature).or_default().push(entry);
            }
        }
        index
    }

    /// The one package of a name.
    fn named(&self, name: &str) -> Result<Option<&'a Entry>> {
        match self.names.get(name).map(Vec::as_slice) {
            None | Some([]) => Ok(None),
            Some([entry]) => Ok(Some(entry)),
            Some(several) => {
                let versions: Vec<_> = several.iter().map(|entry| &*entry.version).collect();
                Err(Error::bad_input(format!(
                    "the catalogue has the package `{name}` {} times ({})",
                    several.len(),
                    versions.join(", ")
                )))
            }
        }
    }
}

/// What was chosen so far.
struct Set<'a, 'i> {
    index: &'i Index<'a>,
    chosen: BTreeMap<&'a str, &'a Entry>,
}

impl<'a> Set<'a, '_> {
    /// Adds a package and, before it, what it depends on. Without recursion: how deep it goes is up to
    /// whoever wrote the catalogue.
    fn add(&mut self, entry: &'a Entry) -> Result<()> {
        let mut way = vec![(entry, entry.deps.iter())];
        let mut open = HashSet::from([&*entry.name]);
        while let Some((entry, rest)) = way.last_mut() {
            let entry = *entry;
            if self.chosen.contains_key(&*entry.name) {
                open.remove(&*entry.name);
                way.pop();
                continue;
            }
            let Some((name, needed)) = rest.next() else {
                self.chosen.insert(&entry.name, entry);
                continue;
            };
            let Some(found) = self.index.named(name)? else {
                return Err(Error::bad_input(format!(
                    "the package `{}` needs `{name}`, which the catalogue does not have",
                    entry.name
                )));
            };
            if found.origin != needed.origin {
                return Err(Error::bad_input(format!(
                    "the package `{}` needs `{name}` made from `{}`, and the catalogue's is made from `{}`",
                    entry.name, needed.origin, found.origin
                )));
            }
            if needed
                .version
                .as_ref()
                .is_some_and(|version| *version != found.version)
            {
                // As `pkg` does: names bind, versions say with what it was built.
                tracing::debug!("{} was built with another {name}", entry.name);
            }
            if !open.insert(&found.name) && !self.chosen.contains_key(&*found.name) {
                let names: Vec<_> = way
                    .iter()
                    .map(|(entry, _)| &*entry.name)
                    .skip_while(|name| *name != found.name)
                    .collect();
                return Err(Error::bad_input(format!(
                    "packages need each other in a circle: {} -> {}",
                    names.join(" -> "),
                    found.name
                )));
            }
            way.push((found, found.deps.iter()));
        }
        Ok(())
    }

    /// A package that has what a chosen one asks for without naming who has it.
    fn missing_provider(&self, question: &Question<'_>) -> Result<Option<&'a Entry>> {
        for entry in self.chosen.values() {
            for library in &entry.shlibs_required {
                if !(question.has_library)(library)
                    && let Some(found) =
                        self.provider(entry, "library", library, &self.index.libraries)?
                {
                    return Ok(Some(found));
                }
            }
            for feature in &entry.requires {
                if let Some(found) =
                    self.provider(entry, "feature", feature, &self.index.features)?
                {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    fn provider(
        &self,
        entry: &Entry,
        kind: &str,
        asked: &str,
        by: &HashMap<&str, Vec<&'a Entry>>,
    ) -> Result<Option<&'a Entry>> {
        let providers = by.get(asked).map(Vec::as_slice).unwrap_or_default();
        let there = |provider: &&Entry| self.chosen.contains_key(&*provider.name);
        match providers {
            _ if providers.iter().any(there) => Ok(None),
            // `pkg` lets this pass: the library may be one that the program brings itself.
            [] => Ok(None),
            [one] => Ok(Some(one)),
            several => {
                let mut names: Vec<_> = several.iter().map(|provider| &*provider.name).collect();
                names.sort_unstable();
                Err(Error::bad_input(format!(
                    "the package `{}` needs the {kind} `{asked}`, which several packages have",
                    entry.name
                ))
                .hint(format!("put one of them on the list: {}", names.join(", "))))
            }
        }
    }
}

/// Whether what the catalogue says of a package can be, and the digest of its file.
fn sound(entry: &Entry, abi: &str) -> Result<Sum, String> {
    let legal = |text: &str, more: &[u8]| {
        !text.is_empty()
            && text.len() <= 255
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    if !legal(&entry.name, b"+-._") || entry.name.starts_with(['-', '.']) {
        return Err("has a name that no package has".into());
    }
    if !legal(&entry.version, b"+-._,") {
        return Err(format!("has the version `{}`", entry.version));
    }
    let system = entry.system();
    let fits = match system.strip_suffix('*') {
        Some(start) => start.is_empty() || (start.ends_with(':') && abi.starts_with(start)),
        None => system == abi,
    };
    if !fits {
        return Err(format!("is made for `{system}`, not for {abi}"));
    }
    let path = entry.path();
    // A folder for a package of its own: our own files lie beside these folders.
    let parts: Vec<_> = path.split('/').collect();
    if !legal(path, b"+-._,~$@%:/")
        || parts
            .iter()
            .any(|part| part.is_empty() || part.starts_with('.'))
        || parts.first() != Some(&"All")
        || parts.len() < 2
        || !path.ends_with(".pkg")
    {
        return Err(format!(
            "would lie at `{path}`, and packages lie below `All/`"
        ));
    }
    if entry.pkgsize == 0 || entry.pkgsize > MOST {
        return Err(format!("has {} bytes, it says", entry.pkgsize));
    }
    Sum::parse(&entry.sum)
        .ok_or_else(|| format!("has `{}` where its checksum should be", entry.sum))
}
